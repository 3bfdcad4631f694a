/* The left side: what to make, how large, how carefully. Under every choice stands what it takes on this machine. */
import { useState } from "preact/hooks";
import { bytes, language, number, seconds, size as sizeWords, t } from "../lib/words.js";
import { key, snap } from "../lib/sizes.js";
import * as form from "../state/form.js";
import { generate } from "../state/jobs.js";
import { bySize, otherPlan, plan } from "../state/plans.js";
import { system } from "../state/server.js";
import { Icon, html } from "./html.js";
import { IconButton, Segments, Slider, tone } from "./parts.js";

function Prompt() {
    const wrong = form.promptMissing.value;
    return html`<div class="field prompt">
        <label for="prompt">${t("prompt")}</label>
        <textarea id="prompt" rows="3" maxlength="16000" placeholder=${t("prompt_example")} value=${form.prompt.value} aria-invalid=${String(wrong)}
            aria-describedby=${wrong ? "prompt-wrong" : "prompt-hint"}
            onInput=${(e) => { form.prompt.value = e.target.value; form.promptMissing.value = false; }}></textarea>
        ${wrong ? html`<p class="wrong" id="prompt-wrong" role="alert">${t("prompt_missing")}</p>` : html`<p class="sr" id="prompt-hint">${t("prompt_hint")}</p>`}
    </div>`;
}

function Negative() {
    const off = form.cfg.value === 0;
    return html`<details class="fold" open=${Boolean(form.negative.value)}><summary><${Icon} name="more" />${t("negative")}
            ${off && html`<span class="aside">${t("negative_off_short")}</span>`}</summary>
        <div class="field"><label class="sr" for="negative">${t("negative")}</label>
            <textarea id="negative" rows="2" maxlength="16000" placeholder=${t("negative_example")} value=${form.negative.value}
                aria-describedby="negative-hint" onInput=${(e) => { form.negative.value = e.target.value; }}></textarea>
            <p class="hint" id="negative-hint">${off ? t("negative_off") : t("negative_on")}
                ${off && html` <button type="button" class="link" onClick=${() => { form.cfg.value = 3; }}>${t("negative_turn_on")}</button>`}</p></div>
    </details>`;
}

/* The scale of the outlines is shared, so that a larger picture is drawn larger. */
function Shape({ width, height }) {
    const most = Math.max(...form.choices.value.flatMap((c) => [c.width, c.height])), scale = 24 / most;
    return html`<span class="shape" aria-hidden="true"><span style=${{ width: `${Math.max(9, width * scale)}px`, height: `${Math.max(9, height * scale)}px` }}></span></span>`;
}

function Cost({ plan: p }) {
    if (!p) return html`<span class="cost waiting" aria-hidden="true">· · ·</span>`;
    if (p.verdict === "too_big") return html`<span class="cost red"><span>${t("too_big_short")}</span><span>${bytes(p.need_bytes)}</span></span>`;
    return html`<span class=${`cost ${tone(p)}`}><span>${seconds(p.seconds)}</span><span>${bytes(p.need_bytes)}</span></span>`;
}

function SizeTile({ choice }) {
    const now = key(form.size.value), mine = key(choice);
    return html`<label class=${`size ${tone(bySize.value[mine])}`}>
        <input class="sr" type="radio" name="size" value=${mine} checked=${!form.isFree.value && now === mine}
            onChange=${() => { form.free.value = false; form.chosenSize.value = { width: choice.width, height: choice.height }; }} />
        <span class="size-face"><${Shape} ...${choice} />
            <span class="size-name">${choice.name || sizeWords(choice.width, choice.height)}</span>
            ${choice.name && html`<span class="size-pixels">${sizeWords(choice.width, choice.height)}</span>`}
            ${choice.recommended && html`<span class="badge">${t("recommended")}</span>`}
            <${Cost} plan=${bySize.value[mine]} /></span></label>`;
}

function FreeSize() {
    const m = form.model.value, [why, setWhy] = useState("");
    const take = (side) => (e) => {
        const asked = Number(e.target.value), got = snap(asked, m);
        form.free.value = true;
        form.chosenSize.value = { ...form.size.value, [side]: got };
        e.target.value = got;
        setWhy(asked === got ? "" : t(asked > m.largest_side ? "snapped_largest" : "snapped", { asked, got, multiple: m.size_multiple, largest: m.largest_side }));
    };
    const field = (side) => html`<div class="field"><label for=${side}>${t(side)}</label><input id=${side} type="number" inputmode="numeric"
        min=${m.size_multiple} max=${m.largest_side} step=${m.size_multiple} value=${form.size.value[side]} onChange=${take(side)} aria-describedby="free-hint" /></div>`;
    return html`<div class="free-size">${field("width")}
        <${IconButton} icon="swap" label=${t("swap")} onClick=${() => { form.chosenSize.value = { width: form.size.value.height, height: form.size.value.width }; }} />
        ${field("height")}<p class="hint" id="free-hint" role="status">${why || t("free_hint", { multiple: m.size_multiple, largest: m.largest_side })}</p></div>`;
}

function Sizes() {
    if (!form.model.value) return html`<div class="sizes-waiting" aria-hidden="true"></div>`;
    return html`<fieldset class="sizes"><legend>${t("size")}</legend><div class="sizes-grid">
        ${form.choices.value.map((c) => html`<${SizeTile} key=${key(c)} choice=${c} />`)}
        <label class="size"><input class="sr" type="radio" name="size" value="free" checked=${form.isFree.value} onChange=${() => { form.free.value = true; }} />
            <span class="size-face"><span class="shape dashed" aria-hidden="true"><span></span></span><span class="size-name">${t("free")}</span>
                ${form.isFree.value && html`<span class="size-pixels">${sizeWords(form.size.value.width, form.size.value.height)}</span>`}
                ${form.isFree.value ? html`<${Cost} plan=${plan.value} />` : html`<span class="cost">${t("free_short")}</span>`}</span></label>
        </div>${form.isFree.value && html`<${FreeSize} />`}</fieldset>`;
}

function guidanceCost() {
    const own = plan.value, other = otherPlan.value;
    if (!own || !other) return t("cfg_hint");
    const [without, guided] = form.cfg.value > 0 ? [other, own] : [own, other];
    return t(form.cfg.value > 0 ? "cfg_costs" : "cfg_would_cost", { with: seconds(guided.seconds), without: seconds(without.seconds) });
}

function Seed() {
    const { value, locked } = form.seed.value;
    const take = (e) => {
        const text = e.target.value.trim(), n = Number(text);
        form.seed.value = text === "" || !Number.isInteger(n) || n < 0 || n > 2 ** 53 ? { value: null, locked: false } : { value: n, locked: true };
        e.target.value = form.seed.value.value ?? "";
    };
    return html`<div class="field seed"><label for="seed">${t("seed")}</label><div class="seed-row">
        <input id="seed" class=${locked ? "" : "loose"} type="text" inputmode="numeric" autocomplete="off" value=${value ?? ""} placeholder=${t("random")} onChange=${take} aria-describedby="seed-hint" />
        <${IconButton} icon="dice" label=${t("dice")} onClick=${form.dice} />
        <${IconButton} icon=${locked ? "lock" : "unlock"} label=${t("seed_lock")} pressed=${locked} disabled=${value === null && !locked}
            onClick=${() => { form.seed.value = { value, locked: !locked }; }} /></div>
        <p class="hint" id="seed-hint">${locked ? t("seed_locked") : value === null ? t("seed_random") : t("seed_last")}</p></div>`;
}

function Knobs() {
    const p = plan.value, each = p ? p.stage_seconds.denoise / Math.max(1, p.steps * p.count) : null;
    return html`<div class="knobs">
        <${Slider} id="steps" label=${t("steps")} min=${1} max=${120} value=${form.steps.value} onInput=${(v) => { form.steps.value = v; }}
            hint=${each === null ? t("steps_hint") : t("steps_cost", { each: seconds(each) })} />
        <${Slider} id="cfg" label=${t("cfg")} min=${0} max=${20} step=${0.5} value=${form.cfg.value} onInput=${(v) => { form.cfg.value = v; }}
            hint=${guidanceCost()} format=${(v) => (v === 0 ? t("cfg_off") : number(v))} />
        <div class="knob-pair"><${Seed} /><${Segments} name="count" legend=${t("count")} value=${form.count.value}
            options=${[1, 2, 3, 4].map((n) => [n, n])} onChange=${(n) => { form.count.value = n; }} /></div></div>`;
}

export function Form({ children }) {
    const enter = (e) => {
        if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) { e.preventDefault(); generate(); }
    };
    return html`<form class="form" lang=${language.value === "zh" ? "zh-CN" : "en"} onSubmit=${(e) => { e.preventDefault(); generate(); }} onKeyDown=${enter} noValidate>
        <div class="form-body"><${Prompt} /><${Negative} /><${Sizes} /><${Knobs} />
            ${system.value?.model && html`<p class="model-line">${system.value.model.name} · ${system.value.device.precision} · ${system.value.device.name}</p>`}</div>
        ${children}</form>`;
}
