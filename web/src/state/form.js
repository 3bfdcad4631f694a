/* The request that is being written. Everything but the draft switch outlives the page. */
import { computed, signal } from "@preact/signals";
import { key, presets, snap } from "../lib/sizes.js";
import { lasting } from "../lib/store.js";
import { system } from "./server.js";

const between = (low, high) => (v) => Number.isFinite(v) && v >= low && v <= high;
const text = (v) => typeof v === "string";

export const prompt = lasting("prompt", "", text);
export const negative = lasting("negative", "", text);
export const chosenSize = lasting("size", null, (v) => v === null || (v?.width > 0 && v?.height > 0));
export const free = signal(false); /* width and height by hand */
export const steps = lasting("steps", 8, between(1, 120));
export const cfg = lasting("cfg", 0, between(0, 20));
export const seed = lasting("seed", { value: null, locked: false }, (v) => typeof v?.locked === "boolean");
export const count = lasting("count", 1, between(1, 4));
export const preview = lasting("preview", true, (v) => typeof v === "boolean");
export const promptMissing = signal(false);

export const model = computed(() => system.value?.model ?? null);
export const choices = computed(() => (model.value ? presets(model.value) : []));

/** The size in effect: the chosen one as far as this model can make it, else its own. */
export const size = computed(() => {
    const m = model.value, s = chosenSize.value;
    if (!m) return s ?? { width: 1024, height: 1024 };
    return s ? { width: snap(s.width, m), height: snap(s.height, m) } : { width: m.native_side, height: m.native_side };
});

export const isFree = computed(() => free.value || !choices.value.some((c) => key(c) === key(size.value)));

/** What plans depend on. */
export const shape = (changes = {}) => ({ ...size.value, steps: steps.value, cfg: cfg.value, count: count.value, ...changes });

export function request(changes = {}) {
    return { prompt: prompt.value.trim(), negative_prompt: cfg.value > 0 ? negative.value.trim() : "", ...shape(),
        seed: seed.value.locked && seed.value.value !== null ? seed.value.value : -1, draft: 0,
        preview_every: preview.value ? 1 : 0, ...changes };
}

export const dice = () => { seed.value = { value: Math.floor(Math.random() * 2 ** 31), locked: true }; };

/** Takes the parameters of a picture or of a read PNG. Fields it doesn't have stay as they are. */
export function reuse(r, { withSeed = true } = {}) {
    if (text(r.prompt)) prompt.value = r.prompt;
    if (text(r.negative_prompt)) negative.value = r.negative_prompt;
    if (r.width > 0 && r.height > 0) { chosenSize.value = { width: r.width, height: r.height }; free.value = false; }
    if (between(1, 120)(r.steps)) steps.value = r.steps;
    if (between(0, 100)(r.cfg)) cfg.value = Math.min(20, r.cfg);
    if (between(0, 2 ** 53)(r.seed)) seed.value = { value: r.seed, locked: withSeed };
    count.value = 1;
    promptMissing.value = false;
}

export function accept(alternative) {
    chosenSize.value = { width: alternative.width, height: alternative.height };
    free.value = false;
    count.value = Math.min(4, alternative.count);
    cfg.value = Math.min(20, alternative.cfg);
}
