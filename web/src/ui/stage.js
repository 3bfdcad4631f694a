/* The right side: the picture. While one is made its preview stands where it will stand; the newest ones wait below. */
import { remaining, seconds, size as sizeWords, t } from "../lib/words.js";
import * as form from "../state/form.js";
import { favourite, recent, shown, trash } from "../state/images.js";
import { cancel, current, finish, generate, lastFailure, queued, running, watching } from "../state/jobs.js";
import { compared, detail, narrow, picking, sentence, zoomed } from "../state/view.js";
import { Icon, html } from "./html.js";
import { IconButton, Progress, Switch } from "./parts.js";

/** What the picture is of, in few words, for those who don't see it. */
export const describe = (image) => t("alt", { prompt: image.prompt.slice(0, 160) });

function Frame({ width, height, children, kind = "" }) {
    return html`<div class=${`frame ${kind}`} style=${{ "--w": width, "--h": height }}>${children}</div>`;
}

const EXAMPLES = ["example_1", "example_2", "example_3"];

function Empty() {
    const { width, height } = form.size.value;
    return html`<div class="canvas empty"><${Frame} width=${width} height=${height} kind="outline">
        <span class="outline-size" aria-hidden="true">${sizeWords(width, height)}</span></${Frame}>
        <div class="welcome"><h2>${t("welcome")}</h2><p>${t("welcome_more")}</p>
            <div class="examples">${EXAMPLES.map((k) => html`<button key=${k} type="button" class="chip"
                onClick=${() => { form.prompt.value = t(k); document.getElementById("prompt")?.focus(); }}>${t(k)}</button>`)}</div></div></div>`;
}

function stageWords(job) {
    const p = job.progress;
    if (job.state === "queued") return job.position > 1 ? t("waiting_behind", { n: job.position - 1 }) : t("waiting");
    const words = p.stage === "step" ? t("stage_step", { step: p.step, steps: p.steps }) : t(`stage_${p.stage}`);
    return p.count > 1 ? `${t("picture_of", { i: p.image + 1, n: p.count })} · ${words}` : words;
}

function Making({ job }) {
    const { width, height } = job.request, p = job.progress;
    return html`<div class="canvas"><${Frame} width=${width} height=${height} kind=${job.preview ? "preview" : "shimmer"}>
            ${job.preview && html`<img src=${job.preview} alt=${t("preview_alt", { step: p.step, steps: p.steps })} />`}</${Frame}></div>
        <div class="making"><div class="making-words"><span><strong>${stageWords(job)}</strong></span>
                ${job.state === "running" && html`<span class="left">${p.seconds_left === null ? "" : t("left", { s: remaining(p.seconds_left) })}</span>`}</div>
            <${Progress} label=${t("progress")} fraction=${p.fraction} />
            <div class="making-buttons"><${Switch} label=${t("preview")} checked=${form.preview.value} onChange=${(v) => { form.preview.value = v; }} />
                <button type="button" class="secondary" id="cancel" onClick=${() => cancel(job)}>${t("cancel")}</button></div></div>`;
}

function Actions({ image }) {
    const draft = Boolean(image.draft);
    return html`<div class="actions" role="group" aria-label=${t("actions")}>
        ${draft && html`<${IconButton} icon="finish" label=${t("finish")} shows tone="accent" onClick=${() => finish(image)} />`}
        <${IconButton} icon="star" label=${t("favourite")} pressed=${image.favourite} onClick=${() => favourite(image)} />
        <${IconButton} icon="reuse" label=${t("reuse")} onClick=${() => form.reuse(image)} />
        ${recent.value.length > 1 && html`<${IconButton} icon="compare" label=${t("compare")} pressed=${picking.value?.id === image.id}
            onClick=${() => { picking.value = picking.value ? null : image; }} />`}
        <a class="icon-button" href=${`${image.file}?download=1`} title=${t("download")} aria-label=${t("download")} download><${Icon} name="download" /></a>
        <${IconButton} icon="about" label=${t("details")} onClick=${() => { detail.value = { images: recent.value, index: Math.max(0, recent.value.findIndex((i) => i.id === image.id)) }; }} />
        <${IconButton} icon="trash" label=${t("to_trash")} onClick=${() => trash([image])} /></div>`;
}

function Result({ image }) {
    return html`<div class="canvas"><button type="button" class="frame-button" onClick=${() => { zoomed.value = image; }} aria-label=${t("zoom_open", { prompt: image.prompt.slice(0, 80) })}>
            <${Frame} width=${image.width} height=${image.height} kind="picture"><img key=${image.id} src=${image.file} alt=${describe(image)} width=${image.width} height=${image.height} /></${Frame}></button></div>
        <div class="caption"><div class="caption-words"><p class="caption-prompt">${image.prompt}</p>
            <p class="caption-facts">${sizeWords(image.width, image.height)} · ${t("n_steps", { n: image.steps })}${image.cfg > 0 ? ` · CFG ${image.cfg}` : ""} · ${t("seed_n", { n: image.seed })}${image.draft ? ` · ${t("is_draft")}` : ""}</p></div>
            <${Actions} image=${image} /></div>`;
}

function Failure() {
    const e = lastFailure.value;
    if (!e) return null;
    return html`<div class="failure" role="alert"><p>${sentence(e)}</p><div><button type="button" class="secondary" onClick=${() => generate()}>${t("try_again")}</button>
        <button type="button" class="quiet-button" onClick=${() => { lastFailure.value = null; }}>${t("dismiss")}</button></div></div>`;
}

function Waiting() {
    const rest = queued.value.filter((j) => j.id !== current.value?.id || !watching.value);
    if (!rest.length) return null;
    return html`<section class="waiting-list" aria-label=${t("queue")}><h3>${t("queue")}</h3><ol>${rest.map((j) => html`<li key=${j.id}>
        <span class="waiting-prompt">${j.request.prompt}</span><span class="waiting-facts">${sizeWords(j.request.width, j.request.height)} · ${seconds(j.plan?.seconds)}</span>
        <${IconButton} icon="close" label=${t("cancel_n", { prompt: j.request.prompt.slice(0, 40) })} onClick=${() => cancel(j)} /></li>`)}</ol></section>`;
}

function Strip() {
    const job = running.value, live = current.value && watching.value, pick = picking.value;
    if (!recent.value.length && !job) return null;
    const press = (image) => {
        if (pick && pick.id !== image.id) { compared.value = [pick, image]; picking.value = null; return; }
        watching.value = false;
        shown.value = image;
    };
    return html`<section class="strip" aria-label=${t("recent")}>
        ${pick && html`<p class="picking" role="status">${t("picking")}</p>`}
        <ul tabindex="-1">${job && html`<li key="live"><button type="button" class="thumb live" aria-pressed=${String(Boolean(live))} aria-label=${t("live")} onClick=${() => { watching.value = true; }}>
                ${job.preview ? html`<img src=${job.preview} alt="" />` : html`<span class="thumb-empty"></span>`}<span class="thumb-bar" style=${{ transform: `scaleX(${job.progress.fraction})` }}></span></button></li>`}
            ${recent.value.map((image) => html`<li key=${image.id}><button type="button" class="thumb" aria-pressed=${String(!live && shown.value?.id === image.id)}
                aria-label=${describe(image)} onClick=${() => press(image)}><img src=${image.thumbnail} alt="" loading="lazy" />${image.favourite && html`<span class="thumb-star" aria-hidden="true">★</span>`}</button></li>`)}</ul></section>`;
}

export function Stage() {
    const job = current.value, image = shown.value;
    const body = job && watching.value ? html`<${Making} job=${job} />` : image ? html`<${Result} image=${image} />` : html`<${Empty} />`;
    return html`<section class=${`stage ${narrow.value ? "narrow" : ""}`} aria-label=${t("stage")}><${Failure} />${body}<${Waiting} /><${Strip} /></section>`;
}
