/* What is on the screen: page, theme, notes at the edge, dialogs, and what a screen reader is told. */
import { effect, signal } from "@preact/signals";
import { lasting } from "../lib/store.js";
import { has, language, t, told } from "../lib/words.js";

export const PAGES = ["create", "gallery", "machine", "settings", "about"];
const fromAddress = () => {
    const name = location.hash.replace(/^#\/?/, "");
    return PAGES.includes(name) ? name : "create";
};
export const page = signal(fromAddress());
addEventListener("hashchange", () => { page.value = fromAddress(); });
export const go = (name) => { location.hash = `#/${name}`; };

export const theme = lasting("theme", "auto", (v) => ["auto", "light", "dark"].includes(v));
const dark = matchMedia("(prefers-color-scheme: dark)"), systemDark = signal(dark.matches);
dark.addEventListener("change", (e) => { systemDark.value = e.matches; });
export const isDark = () => (theme.value === "auto" ? systemDark.value : theme.value === "dark");
effect(() => {
    if (theme.value === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme.value;
});

const slim = matchMedia("(max-width: 899px)");
export const narrow = signal(slim.matches);
slim.addEventListener("change", (e) => { narrow.value = e.matches; });

/* Notes: {id, kind: "note" | "error", words, action: {words, run} | null}. */
export const notes = signal([]);
let lastNote = 0;

export function dismiss(id) { notes.value = notes.value.filter((n) => n.id !== id); }

export function note(words, { kind = "note", action = null, seconds = action ? 10 : 6 } = {}) {
    const id = ++lastNote;
    notes.value = [...notes.value.slice(-2), { id, kind, words, action }];
    setTimeout(() => dismiss(id), seconds * 1000);
    return id;
}

/** A failure as a sentence in the reader's language, with the server's own words where they say more. */
export function sentence(error) {
    const own = has(`error_${error.code}`) ? t(`error_${error.code}`) : t("error_internal");
    if (!error.message) return own;
    const words = told(error.message);
    return language.value === "zh" && words === error.message ? `${own} (${words})` : words;
}

export function complain(error) {
    if (error?.name === "AbortError" || error?.code === "unreachable" || error?.code === "unauthorized") return;
    note(sentence(error), { kind: "error", seconds: 12 });
}

/* One polite live region for the whole page. */
export const spoken = signal("");
export const speak = (words) => { spoken.value = words; };

/* Dialogs: which image is shown in detail, at full size, or beside another; what a dropped PNG said. */
export const detail = signal(null); /* {images, index} */
export const zoomed = signal(null); /* image */
export const compared = signal(null); /* [image, image] */
export const pngInfo = signal(null); /* answer of /png-info with name */
export const picking = signal(null); /* the first of two pictures to compare */
