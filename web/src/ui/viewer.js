/* Three dialogs for pictures: every pixel of one, two under one slider, all that is known of one. */
import { useEffect, useRef, useState } from "preact/hooks";
import { bytes, date, size as sizeWords, t } from "../lib/words.js";
import * as form from "../state/form.js";
import { favourite, remove, restore, trash } from "../state/images.js";
import { finish } from "../state/jobs.js";
import { compared, detail, go, note, zoomed } from "../state/view.js";
import { Icon, html } from "./html.js";
import { copy, Dialog, IconButton, Segments } from "./parts.js";
import { describe } from "./stage.js";

const ZOOMS = [["fit", "zoom_fit"], [1, "100 %"], [2, "200 %"], [4, "400 %"]];

/** One picture's pixel is one of the screen's at 100 %. */
function Zoom({ image }) {
    const [zoom, setZoom] = useState(1), pane = useRef(), drag = useRef(null);
    const width = zoom === "fit" ? undefined : `${(image.width * zoom) / devicePixelRatio}px`;
    const move = (e) => {
        if (!drag.current) return;
        pane.current.scrollLeft = drag.current.left - (e.clientX - drag.current.x);
        pane.current.scrollTop = drag.current.top - (e.clientY - drag.current.y);
    };
    useEffect(() => {
        const p = pane.current;
        p.scrollLeft = (p.scrollWidth - p.clientWidth) / 2;
        p.scrollTop = (p.scrollHeight - p.clientHeight) / 2;
    }, [zoom]);
    return html`<${Dialog} label=${t("zoom")} kind="full" onClose=${() => { zoomed.value = null; }}>
        <div class="full-bar"><${Segments} name="zoom" legend=${t("zoom")} hidden value=${zoom} onChange=${setZoom}
                options=${ZOOMS.map(([v, words]) => [v, v === "fit" ? t(words) : words])} />
            <span class="full-facts">${sizeWords(image.width, image.height)}</span>
            <${IconButton} icon="close" label=${t("close")} onClick=${() => { zoomed.value = null; }} /></div>
        <div ref=${pane} class=${`pane ${zoom === "fit" ? "fit" : ""}`} tabindex="0" role="group" aria-label=${t("pane")}
            onPointerDown=${(e) => { if (e.pointerType === "mouse") drag.current = { x: e.clientX, y: e.clientY, left: pane.current.scrollLeft, top: pane.current.scrollTop }; }}
            onPointerMove=${move} onPointerUp=${() => { drag.current = null; }} onPointerLeave=${() => { drag.current = null; }}>
            <img src=${image.file} alt=${describe(image)} draggable=${false} class=${zoom >= 2 ? "pixels" : ""} style=${{ width, height: width && "auto" }} /></div></${Dialog}>`;
}

const facts = (i) => `${sizeWords(i.width, i.height)} · ${t("n_steps", { n: i.steps })}${i.cfg > 0 ? ` · CFG ${i.cfg}` : ""} · ${t("seed_n", { n: i.seed })}`;

function Compare({ pair: [a, b] }) {
    const [cut, setCut] = useState(50), large = a.width * a.height >= b.width * b.height ? a : b;
    return html`<${Dialog} label=${t("compare")} kind="full" onClose=${() => { compared.value = null; }}>
        <div class="full-bar"><h2>${t("compare")}</h2><${IconButton} icon="close" label=${t("close")} onClick=${() => { compared.value = null; }} /></div>
        <div class="compare"><div class="compare-box" style=${{ "--w": large.width, "--h": large.height, "--cut": `${cut}%` }}>
            <img src=${a.file} alt=${describe(a)} /><img class="over" src=${b.file} alt=${describe(b)} /><span class="compare-line" aria-hidden="true"></span>
            <input type="range" min="0" max="100" value=${cut} aria-label=${t("compare_slider")} onInput=${(e) => setCut(Number(e.target.value))} /></div></div>
        <div class="compare-facts"><p><strong>${t("left_side")}</strong> ${facts(a)}</p><p><strong>${t("right_side")}</strong> ${facts(b)}</p></div></${Dialog}>`;
}

function Fact({ name, children }) {
    return html`<div class="fact"><dt>${name}</dt><dd>${children}</dd></div>`;
}

function Facts({ image: i }) {
    return html`<dl class="facts"><${Fact} name=${t("size")}>${sizeWords(i.width, i.height)}</${Fact}><${Fact} name=${t("seed")}>${i.seed}</${Fact}>
        <${Fact} name=${t("steps")}>${i.steps}</${Fact}><${Fact} name="CFG">${i.cfg}</${Fact}><${Fact} name=${t("created")}>${date(i.created)}</${Fact}>
        <${Fact} name=${t("file")}>PNG, ${bytes2(i.bytes)}</${Fact}><${Fact} name=${t("model")}>${i.model}<small>${i.model_hash}</small></${Fact}>
        ${i.draft && html`<${Fact} name=${t("draft_of")}>${i.draft.width ? sizeWords(i.draft.width, i.draft.height) : t("is_draft")}</${Fact}>`}</dl>`;
}
const bytes2 = (n) => (n < 1e6 ? `${Math.max(1, Math.round(n / 1e3))} KB` : bytes(n));

function DetailActions({ image, close }) {
    const after = (act) => () => { act(); close(); };
    if (image.trashed) return html`<div class="detail-actions">
        <button type="button" class="primary" onClick=${after(() => restore([image]))}>${t("restore")}</button>
        <button type="button" class="secondary danger" onClick=${after(() => remove([image]))}>${t("remove")}</button></div>`;
    return html`<div class="detail-actions">
        <button type="button" class="primary" onClick=${after(() => { form.reuse(image); go("create"); })}>${t("reuse")}</button>
        ${image.draft && html`<button type="button" class="secondary" onClick=${after(() => { go("create"); finish(image); })}>${t("finish")}</button>`}
        <button type="button" class="secondary" onClick=${async () => note(t((await copy(image.parameters)) ? "copied" : "not_copied"))}>${t("copy")}</button>
        <span class="detail-icons"><${IconButton} icon="star" label=${t("favourite")} pressed=${image.favourite} onClick=${() => favourite(image)} />
            <a class="icon-button" href=${`${image.file}?download=1`} title=${t("download")} aria-label=${t("download")} download><${Icon} name="download" /></a>
            <${IconButton} icon="trash" label=${t("to_trash")} onClick=${after(() => trash([image]))} /></span></div>`;
}

function Detail({ images, index, live }) {
    const image = live(images[index]), close = () => { detail.value = null; };
    const step = (by) => { if (images[index + by]) detail.value = { images, index: index + by }; };
    useEffect(() => {
        const onKey = (e) => {
            if (e.target.matches("input, textarea")) return;
            if (e.key === "ArrowLeft") step(-1);
            if (e.key === "ArrowRight") step(1);
        };
        addEventListener("keydown", onKey);
        return () => removeEventListener("keydown", onKey);
    }, [index]);
    return html`<${Dialog} label=${t("details")} kind="detail" onClose=${close}>
        <div class="detail-picture"><button type="button" class="frame-button" aria-label=${t("zoom_open", { prompt: image.prompt.slice(0, 80) })} onClick=${() => { close(); zoomed.value = image; }}>
                <img key=${image.id} src=${image.file} alt=${describe(image)} width=${image.width} height=${image.height} /></button>
            <${IconButton} icon="left" tone="over at-left" label=${t("previous")} disabled=${index === 0} onClick=${() => step(-1)} />
            <${IconButton} icon="right" tone="over at-right" label=${t("next")} disabled=${index === images.length - 1} onClick=${() => step(1)} /></div>
        <div class="detail-words"><div class="detail-head"><h2>${t("details")}</h2><${IconButton} icon="close" label=${t("close")} onClick=${close} /></div>
            <p class="detail-prompt" tabindex="0">${image.prompt}</p>
            ${image.negative_prompt && html`<p class="detail-negative"><span>${t("negative")}</span> ${image.negative_prompt}</p>`}
            <${Facts} image=${image} /><${DetailActions} image=${image} close=${close} /></div></${Dialog}>`;
}

export function Dialogs({ live }) {
    return html`${detail.value && html`<${Detail} key="detail" ...${detail.value} live=${live} />`}
        ${zoomed.value && html`<${Zoom} key=${zoomed.value.id} image=${zoomed.value} />`}
        ${compared.value && html`<${Compare} key="compare" pair=${compared.value} />`}`;
}
