/* Markup as tagged templates, and the icons: strokes on a grid of 24, drawn for this page. */
import { h } from "preact";
import htm from "htm";

export const html = htm.bind(h);

const PATHS = {
    create: "M4 20l4-1L19 8l-3-3L5 16zM14 7l3 3M18 15v4M16 17h4M6 4v4M4 6h4",
    gallery: "M4 5h7v6H4zM13 5h7v9h-7zM4 13h7v6H4zM13 16h7v3h-7z",
    machine: "M4 18a8 8 0 1 1 16 0M12 18l4-6M4 18h16",
    settings: "M4 7h9M17 7h3M4 12h3M11 12h9M4 17h10M18 17h2M15 5v4M9 10v4M16 15v4",
    about: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 11v5M12 8v.1",
    dice: "M5 5h14v14H5z",
    lock: "M6 11h12v9H6zM8 11V8a4 4 0 0 1 8 0v3",
    unlock: "M6 11h12v9H6zM8 11V8a4 4 0 0 1 7.5-2",
    star: "M12 4l2.4 5 5.6.7-4.1 3.8 1.1 5.5-5-2.8-5 2.8 1.1-5.5L4 9.700l5.600-.7z",
    trash: "M5 7h14M9 7V4h6v3M7 7l1 13h8l1-13M10 11v5M14 11v5",
    restore: "M5 5v5h5M5.500 10a7.500 7.500 0 1 1-1 5",
    download: "M12 4v11M7 11l5 5 5-5M5 20h14",
    copy: "M9 9h11v11H9zM5 15H4V4h11v1",
    reuse: "M4 12a8 8 0 0 1 14-5l2 2M20 4v5h-5M20 12a8 8 0 0 1-14 5l-2-2M4 20v-5h5",
    compare: "M12 3v18M5 6h4M5 6v12h4M15 6h4v12h-4M3 12h2M19 12h2",
    close: "M6 6l12 12M18 6L6 18",
    left: "M15 5l-7 7 7 7",
    right: "M9 5l7 7-7 7",
    more: "M7 10l5 5 5-5",
    zoom: "M10.500 17a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13zM15.500 15.500L20 20M8 10.500h5M10.500 8v5",
    swap: "M7 4L4 7l3 3M4 7h13M17 14l3 3-3 3M20 17H7",
    sun: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 3v2M12 19v2M3 12h2M19 12h2M5.600 5.600L7 7M17 17l1.400 1.400M5.600 18.400L7 17M17 7l1.400-1.400",
    moon: "M20 14.500A8.500 8.500 0 0 1 9.500 4a8.500 8.500 0 1 0 10.500 10.500z",
    auto: "M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16zM12 4v16M12 8h5M12 12h8M12 16h5",
    search: "M10.500 17a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13zM15.500 15.500L20 20",
    finish: "M5 19h14V5h-6M5 11V5h4M5 19v-5h5v5M13 11l4-4M17 10V7h-3",
    file: "M6 3h8l4 4v14H6zM14 3v4h4M9 13l3-3 3 3M12 10v7",
    check: "M5 13l4 4L19 7",
    out: "M10 5H5v14h5M14 8l4 4-4 4M18 12H9",
};

const DOTS = { dice: "M9 9h.01M15 9h.01M9 15h.01M15 15h.01M12 12h.01" };

export function Icon({ name }) {
    return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d=${PATHS[name]} />${DOTS[name] && html`<path class="dots" d=${DOTS[name]} />`}</svg>`;
}
