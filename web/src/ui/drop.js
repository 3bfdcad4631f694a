/* A PNG dropped anywhere, or chosen by a button, tells how it was made. The server reads it; nothing is kept. */
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { ApiError, call } from "../lib/api.js";
import { size as sizeWords, t } from "../lib/words.js";
import { reuse } from "../state/form.js";
import { complain, go, note, pngInfo } from "../state/view.js";
import { html } from "./html.js";
import { copy, Dialog, IconButton } from "./parts.js";

const LARGEST = 64 * 2 ** 20;
const over = signal(false);

async function read(file) {
    if (!file) return;
    if (file.type !== "image/png" && !/\.png$/i.test(file.name)) return note(t("not_png"), { kind: "error" });
    if (file.size > LARGEST) return note(t("png_too_large"), { kind: "error" });
    try {
        pngInfo.value = { name: file.name, ...(await call("/png-info", { raw: new Blob([file], { type: "image/png" }) })) };
    } catch (e) {
        complain(e instanceof ApiError && e.code === "bad_request" ? new ApiError(e.status, "bad_png", e.message) : e);
    }
}

export function PngButton() {
    return html`<label class="secondary file-button"><input class="sr" type="file" accept="image/png" onChange=${(e) => { read(e.target.files[0]); e.target.value = ""; }} />
        <span>${t("read_png")}</span></label>`;
}

function Answer({ info }) {
    const close = () => { pngInfo.value = null; };
    return html`<${Dialog} label=${t("png_info")} onClose=${close}><div class="detail-head"><h2>${info.name}</h2><${IconButton} icon="close" label=${t("close")} onClick=${close} /></div>
        <p class="hint">${sizeWords(info.width, info.height)}</p>
        ${info.parameters ? html`<pre class="parameters" tabindex="0" aria-label=${t("png_info")}>${info.parameters}</pre>` : html`<p>${t("png_silent")}</p>`}
        <div class="detail-actions">${info.request && html`<button type="button" class="primary" onClick=${() => { reuse(info.request); close(); go("create"); }}>${t("use_these")}</button>`}
            ${info.parameters && html`<button type="button" class="secondary" onClick=${async () => note(t((await copy(info.parameters)) ? "copied" : "not_copied"))}>${t("copy")}</button>`}</div></${Dialog}>`;
}

export function Drop() {
    useEffect(() => {
        let depth = 0;
        const files = (e) => e.dataTransfer?.types.includes("Files");
        const handlers = {
            dragenter: (e) => { if (files(e)) { depth++; over.value = true; } },
            dragleave: (e) => { if (files(e) && --depth <= 0) { depth = 0; over.value = false; } },
            dragover: (e) => { if (files(e)) e.preventDefault(); },
            drop: (e) => { if (files(e)) { e.preventDefault(); depth = 0; over.value = false; read(e.dataTransfer.files[0]); } },
        };
        for (const [name, run] of Object.entries(handlers)) addEventListener(name, run);
        return () => { for (const [name, run] of Object.entries(handlers)) removeEventListener(name, run); };
    }, []);
    return html`${over.value && html`<div class="drop" aria-hidden="true"><div>${t("drop")}</div></div>`}${pngInfo.value && html`<${Answer} info=${pngInfo.value} />`}`;
}
