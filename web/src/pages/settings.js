/* The server's settings as a form. Only what was changed is sent; what the server refuses stands beside its field. */
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { call } from "../lib/api.js";
import { has, language, t } from "../lib/words.js";
import { lookAtSystem } from "../state/server.js";
import { complain, note, sentence } from "../state/view.js";
import { html } from "../ui/html.js";
import { IconButton } from "../ui/parts.js";

const answer = signal(null), edits = signal({}), wrong = signal(null), saving = signal(false);

const GROUPS = [["defaults", ["size", "steps", "cfg", "cfg_truncation", "cfg_normalization", "seed", "count"]],
    ["memory", ["budget", "weights", "decode", "memory_efficient_attention", "cache"]],
    ["speed", ["threads", "precision", "quality"]],
    ["files", ["model", "diffusion_model", "text_encoder", "vae", "tokenizer", "output.dir", "output.format", "output.naming"]]];

async function look() {
    try { answer.value = await call("/settings"); } catch (e) { complain(e); }
}

async function save(e) {
    e.preventDefault();
    saving.value = true;
    wrong.value = null;
    try {
        const restart = answer.value.settings.some((s) => s.restart && s.name in edits.value);
        answer.value = await call("/settings", { method: "PUT", body: edits.value });
        edits.value = {};
        note(t(restart ? "saved_restart" : "saved"));
        lookAtSystem().catch(() => {});
    } catch (error) {
        if (error.field) {
            wrong.value = { field: error.field, message: sentence(error) };
            document.getElementById(`set-${error.field}`)?.focus();
        } else complain(error);
    } finally { saving.value = false; }
}

function edit(s, value) {
    const next = { ...edits.value };
    if (String(value) === String(s.value)) delete next[s.name];
    else next[s.name] = value;
    edits.value = next;
    if (wrong.value?.field === s.name) wrong.value = null;
}

function Input({ s, value, id, describedby }) {
    const common = { id, disabled: !s.editable, "aria-describedby": describedby, "aria-invalid": String(wrong.value?.field === s.name) };
    const onInput = (e) => edit(s, e.target.value);
    if (s.kind === "word") return html`<select ...${common} value=${String(value)} onChange=${onInput}>${s.words.map((w) => html`<option key=${w} value=${w}>${w}</option>`)}</select>`;
    const numeric = (s.kind === "integer" || s.kind === "number") && !s.words?.length;
    return html`<input ...${common} type=${numeric ? "number" : "text"} step=${s.kind === "number" ? "any" : undefined} min=${numeric ? s.minimum : undefined} max=${numeric ? s.maximum : undefined}
        list=${s.words?.length && s.editable ? `${id}-words` : undefined} value=${String(value)} onInput=${onInput} autocomplete="off" spellcheck=${false} />
        ${s.words?.length > 0 && s.editable && html`<datalist id=${`${id}-words`}>${s.words.map((w) => html`<option key=${w} value=${w} />`)}</datalist>`}`;
}

function Setting({ s }) {
    const id = `set-${s.name}`, value = s.name in edits.value ? edits.value[s.name] : s.value, changed = s.name in edits.value, bad = wrong.value?.field === s.name;
    const known = language.value === "zh" && has(`help_${s.name}`);
    return html`<div class=${`setting ${changed ? "changed" : ""}`}><div class="setting-head"><label for=${id}><code>${s.name}</code></label>
            <span class="origin">${t(has(`origin_${s.origin}`) ? `origin_${s.origin}` : "origin_other", { origin: s.origin })}</span></div>
        <div class="setting-input"><${Input} s=${s} value=${value} id=${id} describedby=${`${id}-help`} />
            ${s.editable && String(value) !== String(s.default) && html`<${IconButton} icon="restore" label=${t("to_default", { value: s.default })} onClick=${() => edit(s, s.default)} />`}</div>
        <div id=${`${id}-help`}>${bad && html`<p class="wrong" role="alert">${wrong.value.message}</p>`}<p class="hint">${known ? t(`help_${s.name}`) : s.help}
            ${!s.editable && html` <em>${t("not_editable")}</em>`}${s.restart && s.editable && html` <em>${t("needs_restart")}</em>`}</p></div></div>`;
}

export function Settings() {
    useEffect(() => { look(); }, []);
    if (!answer.value) return html`<div class="page"><h1>${t("page_settings")}</h1></div>`;
    const all = answer.value.settings, known = GROUPS.flatMap(([, names]) => names), n = Object.keys(edits.value).length;
    const groups = [...GROUPS.map(([g, names]) => [g, names.map((x) => all.find((s) => s.name === x)).filter(Boolean)]), ["others", all.filter((s) => !known.includes(s.name))]];
    return html`<form class="page settings" onSubmit=${save} noValidate><div class="page-head"><h1>${t("page_settings")}</h1><p class="hint">${t("settings_lead")} <code>${answer.value.file}</code></p></div>
        ${groups.filter(([, list]) => list.length).map(([g, list]) => html`<fieldset key=${g} class="card group"><legend>${t(`group_${g}`)}</legend><div class="group-grid">${list.map((s) => html`<${Setting} key=${s.name} s=${s} />`)}</div></fieldset>`)}
        <div class=${`save-bar ${n ? "on" : ""}`}>${n > 0 && html`<span role="status">${t(n === 1 ? "n_change" : "n_changes", { n })}</span>
            <button type="button" class="quiet-button" onClick=${() => { edits.value = {}; wrong.value = null; }}>${t("discard")}</button>
            <button type="submit" class="primary" disabled=${saving.value}>${t("save")}</button>`}</div></form>`;
}
