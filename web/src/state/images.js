/* Pictures: the newest few beside the stage, and the gallery's pages. Both follow what happens to a picture anywhere. */
import { signal } from "@preact/signals";
import { call, query } from "../lib/api.js";
import { t } from "../lib/words.js";
import { complain, note } from "./view.js";

const RECENT = 24, PAGE = 40;

export const recent = signal([]);
export const shown = signal(null); /* on the stage */

export const filter = signal({ q: "", kind: "all", from: "", to: "", seed: "", width: "", height: "" });
export const gallery = signal([]);
export const total = signal(null);
export const more = signal(null); /* cursor of the next page */
export const loading = signal(false);
export const chosen = signal(new Set());
let asked = 0;

export function draw(image) {
    if (recent.value.some((i) => i.id === image.id)) return;
    recent.value = [image, ...recent.value].slice(0, RECENT);
    if (filter.value.kind === "all" && !filter.value.q && total.value !== null) {
        gallery.value = [image, ...gallery.value];
        total.value += 1;
    }
}

export async function lookAtRecent() {
    try {
        recent.value = (await call(`/images?limit=${RECENT}`)).images;
        if (!shown.value || !recent.value.some((i) => i.id === shown.value.id)) shown.value = recent.value[0] ?? null;
    } catch (e) { complain(e); }
}

const question = (cursor) => {
    const { kind, ...f } = filter.value;
    /* Days are the reader's, times the server's: from the first day's beginning to the last day's end, here. */
    return query({ ...f, from: f.from && new Date(`${f.from}T00:00:00`).toISOString(), to: f.to && new Date(`${f.to}T23:59:59.999`).toISOString(),
        favourite: kind === "favourites" ? "true" : "", trashed: kind === "trash" ? "true" : "", cursor, limit: PAGE });
};

export async function loadGallery(cursor = null) {
    const mine = ++asked;
    loading.value = true;
    try {
        const answer = await call(`/images${question(cursor)}`);
        if (mine !== asked) return;
        const known = new Set(cursor ? gallery.value.map((i) => i.id) : []);
        gallery.value = cursor ? [...gallery.value, ...answer.images.filter((i) => !known.has(i.id))] : answer.images;
        total.value = answer.total;
        more.value = answer.next;
    } catch (e) { complain(e); } finally {
        if (mine === asked) loading.value = false;
    }
}

function update(image) {
    const put = (list) => list.map((i) => (i.id === image.id ? image : i));
    recent.value = put(recent.value);
    gallery.value = put(gallery.value);
    if (shown.value?.id === image.id) shown.value = image;
}

function leave(ids) {
    const gone = new Set(ids), stay = (i) => !gone.has(i.id);
    const before = gallery.value.length;
    recent.value = recent.value.filter(stay);
    gallery.value = gallery.value.filter(stay);
    if (total.value !== null) total.value -= before - gallery.value.length;
    if (shown.value && gone.has(shown.value.id)) shown.value = recent.value[0] ?? null;
    chosen.value = new Set([...chosen.value].filter((id) => !gone.has(id)));
}

const each = async (images, act) => {
    const done = [];
    for (const image of images) {
        try {
            await act(image);
            done.push(image);
        } catch (e) { complain(e); break; }
    }
    return done;
};
const refresh = () => Promise.all([lookAtRecent(), total.value === null ? null : loadGallery()]);

export async function favourite(image, on = !image.favourite) {
    try {
        update(await call(`/images/${image.id}`, { method: "PATCH", body: { favourite: on } }));
    } catch (e) { complain(e); }
}

export async function restore(images) {
    const done = await each(images, (i) => call(`/images/${i.id}/restore`, { method: "POST" }));
    leave(done.map((i) => i.id));
    await refresh();
    if (done.length) note(t(done.length > 1 ? "restored_many" : "restored", { n: done.length }));
}

export async function trash(images) {
    const done = await each(images, (i) => call(`/images/${i.id}`, { method: "DELETE" }));
    leave(done.map((i) => i.id));
    if (done.length) note(t(done.length > 1 ? "trashed_many" : "trashed", { n: done.length }),
        { action: { words: t("undo"), run: () => restore(done) } });
}

export async function remove(images) {
    const done = await each(images, (i) => call(`/images/${i.id}?forever=1`, { method: "DELETE" }));
    leave(done.map((i) => i.id));
    if (done.length) note(t(done.length > 1 ? "removed_many" : "removed", { n: done.length }));
}

export async function zip(ids) {
    try {
        const blob = await call("/images/zip", { body: { ids }, as: "blob" }), link = document.createElement("a");
        link.href = URL.createObjectURL(blob);
        link.download = `mebi-${ids.length}.zip`;
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    } catch (e) { complain(e); }
}

export function toggle(id) {
    const next = new Set(chosen.value);
    if (!next.delete(id)) next.add(id);
    chosen.value = next;
}
