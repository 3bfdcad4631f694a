/* What this is, under which licences, and what the keyboard does. */
import { date, t } from "../lib/words.js";
import { system } from "../state/server.js";
import { html } from "../ui/html.js";

const KEYS = [["Ctrl + Enter", "key_generate"], ["← →", "key_arrows"], ["Esc", "key_escape"]];

export function About() {
    const s = system.value;
    return html`<div class="page about"><div class="page-head"><h1>mebi</h1><p class="lead">${t("about_lead")}</p></div>
        ${s && html`<div class="cards"><section class="card" aria-labelledby="about-version"><h2 id="about-version">${t("version")}</h2><dl class="facts">
                <div class="fact"><dt>mebi</dt><dd>${s.version}</dd></div><div class="fact"><dt>${t("model")}</dt><dd>${s.model.name}<small>${s.model.hash}</small></dd></div>
                <div class="fact"><dt>${t("started")}</dt><dd>${date(s.started)}</dd></div></dl>
                <p><a href="/api/openapi.json" target="_blank" rel="noopener">${t("api")}</a></p></section>
            <section class="card" aria-labelledby="about-keys"><h2 id="about-keys">${t("keys")}</h2><dl class="facts">${KEYS.map(([k, w]) => html`<div key=${k} class="fact"><dt><kbd>${k}</kbd></dt><dd>${t(w)}</dd></div>`)}</dl></section>
            <section class="card wide" aria-labelledby="about-licences"><h2 id="about-licences">${t("licences")}</h2><ul class="licences">${s.licences.map((l) => html`<li key=${l.name}>
                ${/^https?:\/\//.test(l.url ?? "") ? html`<a href=${l.url} target="_blank" rel="noopener noreferrer">${l.name}</a>` : l.name}<span>${l.licence}</span></li>`)}</ul>
                <p class="hint">${t("page_licences")} <a href="/assets/licences.txt" target="_blank" rel="noopener">${t("page_licences_link")}</a></p></section></div>`}</div>`;
}
