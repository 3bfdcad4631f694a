/* All pictures: search, choose, keep, throw away and take back. */
import { useEffect, useRef, useState } from "preact/hooks";
import { number, t } from "../lib/words.js";
import { chosen, favourite, filter, gallery, loadGallery, loading, more, remove, restore, toggle, total, trash, zip } from "../state/images.js";
import { compared, detail } from "../state/view.js";
import { PngButton } from "../ui/drop.js";
import { Icon, html } from "../ui/html.js";
import { IconButton, Segments } from "../ui/parts.js";
import { describe } from "../ui/stage.js";

const SEARCH_MS = 250, GHOSTS = [1, 1.5, 0.75, 1, 1.5, 1, 0.75, 1];

function Filters() {
    const [words, setWords] = useState(filter.value.q), timer = useRef();
    const change = (values) => { filter.value = { ...filter.value, ...values }; chosen.value = new Set(); loadGallery(); };
    const later = (values) => { clearTimeout(timer.current); timer.current = setTimeout(change, SEARCH_MS, values); };
    const field = (name, type) => html`<div class="field"><label for=${`filter-${name}`}>${t(`filter_${name}`)}</label><input id=${`filter-${name}`} type=${type}
        value=${filter.value[name]} onInput=${(e) => later({ [name]: e.target.value.trim() })} /></div>`;
    return html`<div class="filters" role="search"><div class="search"><${Icon} name="search" /><input type="search" aria-label=${t("search")} placeholder=${t("search")} value=${words}
            onInput=${(e) => { setWords(e.target.value); later({ q: e.target.value.trim() }); }} /></div>
        <${Segments} name="kind" legend=${t("show")} hidden value=${filter.value.kind} onChange=${(kind) => change({ kind })}
            options=${[["all", t("kind_all")], ["favourites", t("kind_favourites")], ["trash", t("kind_trash")]]} />
        <${PngButton} />
        <details class="fold more-filters"><summary><${Icon} name="more" />${t("more_filters")}</summary>
            <div class="filter-fields">${field("from", "date")}${field("to", "date")}${field("seed", "number")}${field("width", "number")}${field("height", "number")}</div></details></div>`;
}

function Tile({ image, index }) {
    const picked = chosen.value.has(image.id), any = chosen.value.size > 0;
    const press = () => (any ? toggle(image.id) : (detail.value = { images: gallery.value, index }));
    return html`<li class=${`tile ${picked ? "picked" : ""}`} style=${{ "--shape": image.width / image.height }}>
        <button type="button" class="tile-picture" onClick=${press} aria-label=${describe(image)}><img src=${image.thumbnail} alt="" loading="lazy" decoding="async" /></button>
        <label class="tile-pick"><input type="checkbox" checked=${picked} onChange=${() => toggle(image.id)} aria-label=${t("pick", { prompt: image.prompt.slice(0, 60) })} /></label>
        ${!image.trashed && html`<${IconButton} icon="star" tone="tile-star over" label=${t("favourite")} pressed=${image.favourite} onClick=${() => favourite(image)} />`}
        ${image.draft && html`<span class="tile-badge">${t("is_draft")}</span>`}</li>`;
}

function Selection() {
    const images = gallery.value.filter((i) => chosen.value.has(i.id)), n = images.length, inTrash = filter.value.kind === "trash";
    if (!n) return null;
    const all = images.every((i) => i.favourite);
    return html`<div class="selection" role="region" aria-label=${t("selection")}><span class="selection-count" role="status">${t("n_chosen", { n })}</span>
        <${IconButton} icon="download" label=${t("zip")} shows onClick=${() => zip(images.map((i) => i.id))} />
        ${n === 2 && html`<${IconButton} icon="compare" label=${t("compare")} shows onClick=${() => { compared.value = images; }} />`}
        ${inTrash ? html`<${IconButton} icon="restore" label=${t("restore")} shows onClick=${() => restore(images)} />
            <${IconButton} icon="trash" label=${t("remove")} shows tone="danger" onClick=${() => remove(images)} />`
        : html`<${IconButton} icon="star" label=${t("favourite")} shows pressed=${all} onClick=${() => images.forEach((i) => favourite(i, !all))} />
            <${IconButton} icon="trash" label=${t("to_trash")} shows onClick=${() => trash(images)} />`}
        <${IconButton} icon="close" label=${t("choose_none")} onClick=${() => { chosen.value = new Set(); }} /></div>`;
}

/** More is loaded before the end is reached; the button is for those who don't scroll. */
function More() {
    const ref = useRef();
    useEffect(() => {
        if (!more.value) return undefined;
        const watch = new IntersectionObserver(([e]) => { if (e.isIntersecting && !loading.value) loadGallery(more.value); }, { rootMargin: "600px" });
        watch.observe(ref.current);
        return () => watch.disconnect();
    }, [more.value]);
    return html`<div ref=${ref} class="load-more">${more.value && html`<button type="button" class="secondary" disabled=${loading.value} onClick=${() => loadGallery(more.value)}>${t("load_more")}</button>`}</div>`;
}

function Nothing() {
    const { q, kind } = filter.value;
    return html`<div class="nothing"><p>${t(q ? "nothing_found" : `nothing_${kind}`)}</p>${!q && kind === "all" && html`<a class="primary" href="#/create">${t("make_first")}</a>`}</div>`;
}

export function Gallery() {
    useEffect(() => { loadGallery(); }, []);
    return html`<div class="page gallery"><div class="page-head"><h1>${t("page_gallery")}</h1><p class="hint" role="status">${total.value === null ? "" : t(total.value === 1 ? "n_picture" : "n_pictures", { n: number(total.value) })}</p></div>
        <${Filters} />
        ${filter.value.kind === "trash" && html`<p class="hint">${t("trash_hint")}</p>`}
        ${gallery.value.length ? html`<ul class="tiles">${gallery.value.map((image, index) => html`<${Tile} key=${image.id} image=${image} index=${index} />`)}</ul>`
        : loading.value ? html`<ul class="tiles" aria-hidden="true">${GHOSTS.map((shape, i) => html`<li key=${i} class="tile ghost" style=${{ "--shape": shape }}></li>`)}</ul>`
        : total.value !== null && html`<${Nothing} />`}
        <${More} /><${Selection} /></div>`;
}
