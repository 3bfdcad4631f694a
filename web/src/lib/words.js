/* Language: t(key) looks the words up in the one table; amounts, times and dates are written as the language does. Whatever reads
 * them is drawn again when the language changes. */
import { computed, effect } from "@preact/signals";
import { strings } from "../text/strings.js";
import { server } from "../text/server.js";
import { lasting } from "./store.js";

const own = (navigator.languages ?? [navigator.language]).map(String).find((l) => /^(zh|en)/i.test(l)) ?? "en";
export const chosen = lasting("language", "auto", (v) => ["auto", "en", "zh"].includes(v));
export const language = computed(() => (chosen.value === "auto" ? (/^zh/i.test(own) ? "zh" : "en") : chosen.value));
/* The reader's own way of writing dates, where it is of the same language. */
const tag = computed(() => (own.startsWith(language.value) ? own : language.value === "zh" ? "zh-CN" : "en"));

effect(() => { document.documentElement.lang = language.value === "zh" ? "zh-CN" : "en"; });

export function t(key, values = {}) {
    const words = strings[key]?.[language.value === "zh" ? 1 : 0] ?? key;
    return words.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

export const has = (key) => key in strings;

/** The server speaks English. Sentences it is known to say are told in Chinese; others stay as they are. */
export function told(text) {
    if (language.value !== "zh" || !text) return text ?? "";
    for (const [pattern, chinese] of server) {
        const found = pattern.exec(text);
        if (found) return chinese.replace(/\$(\d)/g, (_, n) => told(found[n] ?? ""));
    }
    return text;
}

export function strategy(words) {
    return (words ?? "").split(/(; |, )/).map((part) => (part === "; " || part === ", " ? t("list_comma") : told(part))).join("");
}

export function bytes(n) {
    if (!Number.isFinite(n)) return "–";
    return n < 999.5e6 ? `${Math.round(n / 1e6)} MB` : `${(n / 1e9).toFixed(n < 99.5e9 ? 1 : 0)} GB`;
}

export function seconds(s) {
    if (!Number.isFinite(s)) return "–";
    if (s < 9.95) return t("unit_s", { s: s < 0.995 ? s.toFixed(2) : s.toFixed(1) });
    if (s < 59.5) return t("unit_s", { s: Math.round(s) });
    const whole = Math.round(s), minutes = Math.floor(whole / 60);
    if (minutes < 10) return t("unit_min_s", { m: minutes, s: whole % 60 });
    if (minutes < 60) return t("unit_min", { m: Math.round(s / 60) });
    return t("unit_h_min", { h: Math.floor(s / 3600), m: Math.floor((s % 3600) / 60) });
}

/** Seconds to go: never a false precision, for they are watched as they fall. */
export const remaining = (s) => seconds(s < 0.95 ? Math.max(0.1, s) : s < 59.5 ? Math.max(1, Math.round(s)) : s);

export const size = (width, height) => `${width} × ${height}`;
export const number = (n) => new Intl.NumberFormat(tag.value).format(n);
export const date = (iso) => new Intl.DateTimeFormat(tag.value, { dateStyle: "medium", timeStyle: "short" }).format(new Date(iso));
export const percent = (x) => `${Math.round(x * 100)} %`;
