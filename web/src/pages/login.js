/* The door, where the server has one. The token goes to the server once and is kept nowhere here. */
import { useState } from "preact/hooks";
import { t } from "../lib/words.js";
import { login } from "../state/server.js";
import { sentence } from "../state/view.js";
import { html } from "../ui/html.js";

export function Login() {
    const [token, setToken] = useState(""), [wrong, setWrong] = useState(""), [busy, setBusy] = useState(false);
    const enter = async (e) => {
        e.preventDefault();
        setBusy(true);
        try { await login(token.trim()); } catch (error) { setWrong(error.code === "unauthorized" ? t("login_wrong") : sentence(error)); } finally { setBusy(false); }
    };
    return html`<main id="main" tabindex="-1" class="login"><form onSubmit=${enter}><img src="/assets/icon.svg" alt="" width="44" height="44" /><h1>${t("login")}</h1><p class="hint" id="login-hint">${t("login_hint")}</p>
        <div class="field"><label for="token">${t("token")}</label><input id="token" type="password" autocomplete="current-password" required autofocus value=${token}
            aria-describedby="login-hint" aria-invalid=${String(Boolean(wrong))} onInput=${(e) => { setToken(e.target.value); setWrong(""); }} /></div>
        ${wrong && html`<p class="wrong" role="alert">${wrong}</p>`}
        <button type="submit" class="primary" disabled=${busy || !token.trim()}>${t("enter")}</button></form></main>`;
}
