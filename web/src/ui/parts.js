/* Small parts that many pages use. Each is named for a screen reader and reached by the keyboard. */
import { useEffect, useRef } from "preact/hooks";
import { bytes, percent, t } from "../lib/words.js";
import { Icon, html } from "./html.js";

export function IconButton({ icon, label, pressed, tone = "", shows = false, ...rest }) {
    return html`<button type="button" class=${`icon-button ${tone} ${shows ? "worded" : ""}`} title=${shows ? undefined : label}
        aria-label=${shows ? undefined : label} aria-pressed=${pressed === undefined ? undefined : String(pressed)} ...${rest}>
        <${Icon} name=${icon} />${shows && html`<span>${label}</span>`}</button>`;
}

/** A value by slider and by number. */
export function Slider({ id, label, value, min, max, step = 1, hint, onInput, format }) {
    const at = `${((value - min) / (max - min)) * 100}%`;
    const take = (e) => {
        const n = Number(e.target.value);
        if (e.target.value !== "" && Number.isFinite(n)) onInput(Math.min(max, Math.max(min, Math.round(n / step) * step)));
    };
    return html`<div class="knob">
        <div class="knob-head"><label for=${id}>${label}</label>
            <input class="knob-number" type="number" inputmode="decimal" aria-label=${t("as_number", { name: label })}
                min=${min} max=${max} step=${step} value=${value} onChange=${(e) => { take(e); e.target.value = value; }} /></div>
        <input id=${id} type="range" min=${min} max=${max} step=${step} value=${value} style=${{ "--at": at }} onInput=${take}
            aria-describedby=${hint ? `${id}-hint` : undefined} aria-valuetext=${format ? format(value) : undefined} />
        ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
    </div>`;
}

/** One of a few, as radio buttons in a row. */
export function Segments({ name, legend, value, options, onChange, hidden = false }) {
    return html`<fieldset class="segments"><legend class=${hidden ? "sr" : ""}>${legend}</legend>
        <div class="segments-row">${options.map(([v, words]) => html`<label key=${v}>
            <input class="sr" type="radio" name=${name} value=${v} checked=${v === value} onChange=${() => onChange(v)} />
            <span>${words}</span></label>`)}</div></fieldset>`;
}

export function Switch({ label, checked, onChange }) {
    return html`<label class="switch"><input class="sr" type="checkbox" role="switch" checked=${checked}
        onChange=${(e) => onChange(e.target.checked)} /><span class="switch-track" aria-hidden="true"></span><span>${label}</span></label>`;
}

export function Progress({ label, fraction }) {
    return html`<div class="progress" role="progressbar" aria-label=${label} aria-valuemin="0" aria-valuemax="100"
        aria-valuenow=${Math.round(fraction * 100)}><span style=${{ transform: `scaleX(${Math.max(0.004, fraction)})` }}></span></div>`;
}

export const tone = (plan) => (!plan ? "none" : plan.verdict === "too_big" ? "red"
    : plan.verdict !== "fits" || plan.need_bytes > plan.budget_bytes * 0.85 ? "amber" : "green");

/** How much of the memory budget a plan takes. */
export function Meter({ plan }) {
    const share = plan ? plan.need_bytes / Math.max(1, plan.budget_bytes) : 0;
    return html`<div class=${`meter ${tone(plan)}`} role="meter" aria-label=${t("meter")} aria-valuemin="0" aria-valuemax="100"
        aria-valuenow=${Math.min(100, Math.round(share * 100))}
        aria-valuetext=${plan ? t("meter_says", { need: bytes(plan.need_bytes), budget: bytes(plan.budget_bytes), percent: percent(share) }) : ""}>
        <span style=${{ transform: `scaleX(${plan ? Math.max(0.012, Math.min(1, share)) : 0})` }}></span></div>`;
}

/** A modal dialog: the browser's own, which keeps the focus and gives it back. */
export function Dialog({ label, kind = "", onClose, children }) {
    const ref = useRef();
    useEffect(() => {
        const dialog = ref.current;
        if (!dialog.open) dialog.showModal();
        return () => dialog.open && dialog.close();
    }, []);
    return html`<dialog ref=${ref} class=${`dialog ${kind}`} aria-label=${label} onClose=${onClose}
        onCancel=${(e) => e.target === ref.current && onClose()}
        onClick=${(e) => e.target === ref.current && onClose()}>${children}</dialog>`;
}

export async function copy(text) {
    try {
        await navigator.clipboard.writeText(text);
        return true;
    } catch { /* without https only the old way is there */
        const area = document.createElement("textarea");
        area.value = text;
        (document.querySelector("dialog[open]") ?? document.body).append(area);
        area.select();
        const done = document.execCommand("copy");
        area.remove();
        return done;
    }
}
