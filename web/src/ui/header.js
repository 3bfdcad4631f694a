/* The top of the page: name, pages, what is being made, language, theme. */
import { connected, session } from "../lib/api.js";
import { chosen, language, percent, t, told } from "../lib/words.js";
import { queued, running, watching } from "../state/jobs.js";
import { logout, system } from "../state/server.js";
import { complain, dismiss, go, isDark, notes, page, PAGES, spoken, theme } from "../state/view.js";
import { Icon, html } from "./html.js";
import { IconButton } from "./parts.js";

function Working() {
    const job = running.value, waiting = queued.value.length;
    if (!job && !waiting) return null;
    const fraction = job?.progress.fraction ?? 0;
    return html`<button type="button" class="working" onClick=${() => { watching.value = true; go("create"); }}>
        <svg viewBox="0 0 20 20" aria-hidden="true"><circle cx="10" cy="10" r="8" /><circle class="done" cx="10" cy="10" r="8"
            pathLength="1" style=${{ strokeDashoffset: 1 - fraction }} /></svg>
        <span>${percent(fraction)}${waiting > 0 && html` <small>+${waiting}</small>`}</span><span class="sr">${t("working")}</span></button>`;
}

const NEXT = { auto: "light", light: "dark", dark: "auto" };
const ICON = { auto: "auto", light: "sun", dark: "moon" };

export function Header() {
    return html`<header class="top">
        <a class="skip" href="#main" onClick=${(e) => { e.preventDefault(); document.getElementById("main").focus(); }}>${t("skip")}</a>
        <a class="brand" href="#/create" aria-label=${t("brand")}><img src="/assets/icon.svg" alt="" width="28" height="28" /><span>mebi</span></a>
        <nav class="pages" aria-label=${t("pages")}>${PAGES.map((p) => html`<a key=${p} href=${`#/${p}`}
            aria-current=${page.value === p ? "page" : undefined}><${Icon} name=${p} /><span>${t(`page_${p}`)}</span></a>`)}</nav>
        <div class="top-end"><${Working} />
            <button type="button" class="quiet-button language" lang=${language.value === "zh" ? "en" : "zh-CN"} aria-label=${t("other_language")}
                onClick=${() => { chosen.value = language.value === "zh" ? "en" : "zh"; }}>${language.value === "zh" ? "EN" : "中"}</button>
            <${IconButton} icon=${ICON[theme.value]} label=${t(`theme_${theme.value}`)} data-theme-button="" data-dark=${String(isDark())}
                onClick=${() => { theme.value = NEXT[theme.value]; }} />
            ${session.value === "done" && html`<${IconButton} icon="out" label=${t("logout")} onClick=${() => logout().catch(complain)} />`}
        </div>
    </header>`;
}

export function Banner() {
    return html`<div class="banner-place" role="status">${!connected.value && html`<div class="banner"><span class="pulse" aria-hidden="true"></span>
        <span><strong>${t("lost")}</strong> ${t("lost_more")}</span></div>`}
        ${connected.value && system.value?.trouble && html`<div class="banner trouble"><span>${told(system.value.trouble)}</span></div>`}</div>`;
}

export function Notes() {
    return html`<div class="notes" role="region" aria-label=${t("notes")}>
        ${notes.value.map((n) => html`<div key=${n.id} class=${`note ${n.kind}`} role=${n.kind === "error" ? "alert" : "status"}>
            <span>${n.words}</span>
            ${n.action && html`<button type="button" class="note-action" onClick=${() => { dismiss(n.id); n.action.run(); }}>${n.action.words}</button>`}
            <${IconButton} icon="close" label=${t("dismiss")} onClick=${() => dismiss(n.id)} /></div>`)}</div>
        <div class="sr" role="status" aria-live="polite">${spoken.value}</div>`;
}
