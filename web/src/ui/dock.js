/* Below the form: what the request takes, in which way, what to do if it doesn't fit, and the button. */
import { bytes, seconds, size as sizeWords, strategy, t, told } from "../lib/words.js";
import * as form from "../state/form.js";
import { busy, generate, refused } from "../state/jobs.js";
import { plan, planning, tooBig } from "../state/plans.js";
import { Icon, html } from "./html.js";
import { Meter, tone } from "./parts.js";

const MEMORY = ["dit", "encoder", "vae", "activations", "output", "other"];
const STAGES = ["take", "encode", "denoise", "decode", "save"];

function Table({ caption, rows, values, show, names }) {
    const most = Math.max(...rows.map((k) => values[k] ?? 0), 1e-9);
    return html`<table class="parts"><caption>${caption}</caption><tbody>${rows.map((k) => html`<tr key=${k}><th scope="row">${t(`${names}_${k}`)}</th>
        <td class="part-bar" aria-hidden="true"><span style=${{ transform: `scaleX(${(values[k] ?? 0) / most})` }}></span></td><td>${show(values[k])}</td></tr>`)}</tbody></table>`;
}

function How({ plan: p }) {
    return html`<details class="how"><summary><span class=${`dot ${tone(p)}`} aria-hidden="true"></span><span>${strategy(p.strategy)}</span><${Icon} name="more" /></summary>
        <div class="how-body" tabindex="0" role="group" aria-label=${t("how")}><p>${told(p.why)}${p.estimate && html` ${t("estimate")}`}</p>
            <${Table} caption=${t("memory_caption")} rows=${MEMORY} values=${p.memory} show=${bytes} names="memory" />
            <${Table} caption=${t("stages_caption")} rows=${STAGES} values=${p.stage_seconds} show=${seconds} names="plan" /></div></details>`;
}

function alternativeWords(a, p) {
    const words = [sizeWords(a.width, a.height)];
    if (a.count !== p.count) words.push(t(a.count > 1 ? "pictures_n" : "pictures_1", { n: a.count }));
    if (p.cfg > 0 && a.cfg === 0) words.push(t("without_guidance"));
    return words.join(t("list_comma"));
}

/** What would fit: one click takes it. */
function Alternatives({ plan: p }) {
    return html`<div class="alternatives" role="group" aria-label=${t("alternatives")}>
        <p class="wrong">${told(p.why)} ${p.alternatives.length ? t("alternatives_lead") : t("alternatives_none")}</p>
        <div class="alternatives-row">${p.alternatives.map((a, i) => html`<button key=${i} type="button" class=${`alternative ${i === 0 ? "nearest" : ""}`}
            onClick=${() => { form.accept(a); refused.value = null; }}><strong>${alternativeWords(a, p)}</strong>
            <span>${seconds(a.seconds)} · ${bytes(a.need_bytes)}</span></button>`)}</div></div>`;
}

export function Dock() {
    const p = plan.value, no = tooBig.value, late = refused.value && !no ? refused.value.plan : null;
    return html`<div class="dock">
        <div class=${`dock-figures ${planning.value ? "planning" : ""}`}>
            <span class="dock-seconds">${p ? html`<span class="sr">${t("takes")} </span>${seconds(p.seconds)}` : "–"}</span>
            <span class=${`dock-memory ${tone(p)}`}>${p ? t("memory_of", { need: bytes(p.need_bytes), budget: bytes(p.budget_bytes) }) : ""}</span></div>
        <${Meter} plan=${p} />
        ${no || late ? html`<${Alternatives} plan=${late ?? p} />` : p && html`<${How} plan=${p} />`}
        <div class="dock-buttons">
            <button type="submit" class="primary" id="generate" disabled=${no} aria-keyshortcuts="Control+Enter">${no ? t("too_big_button") : busy.value ? t("generate_queue") : t("generate")}</button>
            <button type="button" class="secondary" id="draft" disabled=${no} title=${t("draft_hint")} onClick=${() => generate({ draft: 2, count: 1 })}>${t("draft")}</button>
        </div></div>`;
}
