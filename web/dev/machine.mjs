/* What the mock server pretends to be: a model, a machine, its plans and settings. The figures resemble what
 * `mebi plan` printed for models/mini and for the published model; they promise nothing. */

const MB = 1e6, GB = 1e9;

export const MODELS = {
    mini: { name: "mini", hash: "a2b2bb3204a8a9d6", native_side: 256, size_multiple: 16, largest_side: 2048,
        dit: 9.3 * MB, encoder: 1.66 * MB, vae: 1.3 * MB, program: 1.6 * MB, activations: 27 * MB,
        step: 0.0222, decode: 0.124, budget: 160 * MB, precision: "f32" },
    turbo: { name: "Z-Image-Turbo", hash: "5f1d9c3be0a74e26", native_side: 1024, size_multiple: 16, largest_side: 4096,
        dit: 6.83 * GB, encoder: 3.68 * GB, vae: 97 * MB, program: 31 * MB, activations: 3.15 * GB,
        step: 282, decode: 103, budget: 12 * GB, precision: "int8" },
};

const WEIGHTS = { resident: "weights stay in memory", freed: "the encoder's weights leave once the prompt is encoded",
    streamed: "weights streamed layer by layer" };
const DECODE = { whole: "picture decoded whole", strips: "picture decoded in strips", tiled: "picture decoded in tiles" };
const LADDER = [["resident", "whole", 1], ["freed", "whole", 1.01], ["freed", "strips", 1.04], ["freed", "tiled", 1.08],
    ["streamed", "strips", 1.12], ["streamed", "tiled", 1.18]];

export const amount = (b) => (b < 999.5e6 ? `${Math.round(b / MB)} MB` : `${(b / GB).toFixed(2)} GB`);

function way(model, r, [weights, decode, slower]) {
    const native = model.native_side ** 2, area = (r.width * r.height) / native;
    const drawn = r.draft ? area / r.draft ** 2 : area, passes = r.cfg > 0 ? 2 : 1;
    const held = { resident: 1, freed: 1, streamed: 0.12 }[weights];
    const memory = {
        dit: Math.round(model.dit * held), encoder: Math.round(weights === "resident" ? model.encoder : model.encoder * 0.01),
        vae: Math.round(model.vae),
        activations: Math.round(model.activations * drawn * { whole: 1, strips: 0.5, tiled: 0.3 }[decode]),
        output: Math.round(r.width * r.height * 6.4), other: Math.round(model.program) };
    const stage_seconds = { take: model.decode * 0.02 * drawn, encode: model.decode * 0.02,
        denoise: model.step * r.steps * passes * r.count * drawn ** 1.18 * slower,
        decode: model.decode * r.count * drawn * (decode === "tiled" ? 1.3 : 1), save: 0.008 * r.count * drawn };
    return { memory, stage_seconds, weights, decode, need_bytes: Object.values(memory).reduce((a, b) => a + b, 0),
        seconds: Object.values(stage_seconds).reduce((a, b) => a + b, 0) };
}

function best(model, r, budget) {
    const ways = LADDER.filter(([, d]) => r.decode === "auto" || r.decode === d).map((w) => way(model, r, w));
    return { found: ways.find((w) => w.need_bytes <= budget), last: ways[ways.length - 1] };
}

const verdict = (w) => (w.weights === "streamed" ? "streamed" : w.decode === "whole" ? "fits" : "tiled");

function alternatives(model, r, budget) {
    const list = [], add = (changes) => {
        const other = { ...r, ...changes }, { found } = best(model, other, budget);
        if (found && list.length < 4) list.push({ width: other.width, height: other.height, count: other.count, cfg: other.cfg,
            verdict: verdict(found), need_bytes: found.need_bytes, seconds: found.seconds });
        return Boolean(found);
    };
    if (r.cfg > 0) add({ cfg: 0 });
    for (let f = 0.96; f > 0.1; f -= 0.04) {
        const m = model.size_multiple, fit = (n) => Math.max(m, Math.round((n * f) / m) * m);
        if (add({ width: fit(r.width), height: fit(r.height) })) {
            const half = (n) => Math.max(m, Math.round((n * f) / 2 / m) * m);
            add({ width: half(r.width), height: half(r.height) });
            break;
        }
    }
    return list;
}

/** A request with the defaults in, or {error}. */
export function complete(model, body, unknown = []) {
    const r = { prompt: "", negative_prompt: "", width: model.native_side, height: model.native_side, steps: 8, cfg: 0,
        seed: -1, count: 1, draft: 0, decode: "auto", preview_every: 1 };
    for (const [key, value] of Object.entries(body ?? {})) {
        if (!(key in r) && key !== "priority") unknown.push(`The field '${key}' is not known and has no effect.`);
        else if (value !== null) r[key] = value;
    }
    const wrong = (field, message) => ({ error: { code: "bad_request", field, message } });
    for (const side of ["width", "height"]) {
        if (!Number.isInteger(r[side]) || r[side] % model.size_multiple || r[side] < model.size_multiple
            || r[side] > model.largest_side)
            return wrong(side, `${side} is ${r[side]}; it must be a multiple of ${model.size_multiple} from `
                + `${model.size_multiple} to ${model.largest_side}.`);
    }
    if (!Number.isInteger(r.steps) || r.steps < 1 || r.steps > 120) return wrong("steps", "steps must be 1 to 120.");
    if (!(r.cfg >= 0 && r.cfg <= 100)) return wrong("cfg", "cfg must be 0 to 100.");
    if (!Number.isInteger(r.count) || r.count < 1 || r.count > 64) return wrong("count", "count must be 1 to 64.");
    return r;
}

export function plan(model, r, budget) {
    const { found, last } = best(model, r, budget), w = found ?? last, need = amount(w.need_bytes);
    return { verdict: found ? verdict(w) : "too_big", peak_bytes: w.memory.activations + w.memory.output + w.memory.other,
        need_bytes: w.need_bytes, budget_bytes: budget, file_bytes: Math.round(model.dit + model.encoder),
        seconds: w.seconds, strategy: `${WEIGHTS[w.weights]}; ${DECODE[w.decode]}`,
        why: !found ? `Even in the smallest way it needs ${need}, and ${amount(budget)} may be taken.`
            : w.weights === "resident" && w.decode === "whole"
                ? `The fastest way needs ${need} of the ${amount(budget)} that may be taken.`
                : `Of the ways that fit into ${amount(budget)} it is the fastest; it needs ${need}.`,
        estimate: false, memory: w.memory, stage_seconds: w.stage_seconds,
        alternatives: found ? [] : alternatives(model, r, budget),
        width: r.width, height: r.height, count: r.count, steps: r.steps, cfg: r.cfg };
}

const setting = (name, kind, value, help, more = {}) => ({ name, kind, value, default: value, origin: "default", words: [],
    minimum: null, maximum: null, help, editable: kind !== "path", restart: false, ...more });

export const settings = () => [
    setting("model", "path", "models/mini", "model folder (diffusers layout); default: models/mini",
        { default: "", origin: "option", restart: true }),
    setting("threads", "integer", "auto", "1 to 256; default auto: one for each physical core",
        { words: ["auto"], minimum: 1, maximum: 256, restart: true }),
    setting("precision", "word", "auto", "auto, f32, bf16 or int8: of the large matrix products. int8 is about twice as fast, at an "
        + "error near 2 %; default auto: as quality says", { words: ["auto", "f32", "bf16", "int8"], restart: true }),
    setting("quality", "word", "high", "what precision auto may choose. high (the default): int8 for models of over half a billion "
        + "weights, else f32; exact: f32; any: int8", { words: ["high", "exact", "any"], restart: true }),
    setting("budget", "budget", "auto", "memory to do with: 12G, 800M, or 80% of the machine's; default auto: what the system has free",
        { words: ["auto"] }),
    setting("weights", "word", "auto", "resident: all stay in memory; freed: the text encoder's go once the prompt is encoded; "
        + "streamed: layer by layer; default auto: the fastest that fits the budget",
        { words: ["auto", "resident", "freed", "streamed"] }),
    setting("size", "size", "auto", "1024x768, 1024 (square), or a shape: 16:9, 9:16, 4:3, ... default auto: the model's own size",
        { words: ["auto"] }),
    setting("steps", "integer", "8", "passes through the model, 1 to 120; default 8", { minimum: 1, maximum: 120 }),
    setting("cfg", "number", "0", "guidance, 0 (none, the default) to 100", { minimum: 0, maximum: 100 }),
    setting("cfg_truncation", "number", "1", "no guidance in the part of the way beyond T, 0 to 1; default 1",
        { minimum: 0, maximum: 1 }),
    setting("seed", "integer", "-1", "the same seed gives the same picture; default -1: random", { minimum: -1, maximum: 2 ** 53 }),
    setting("count", "integer", "1", "pictures, 1 to 64, with the seeds seed, seed + 1, ...; default 1", { minimum: 1, maximum: 64 }),
    setting("decode", "word", "auto", "how the VAE works: whole (fastest), in strips (half the memory), tiled (a quarter); default "
        + "auto: the fastest that fits", { words: ["auto", "whole", "strips", "tiled"] }),
    setting("output.naming", "naming", "mebi_%date%time_%seed", "names of pictures, without .png: %seed, %i (1, 2, ...), %date, "
        + "%time, %size, %steps, %cfg and %model are replaced, %% is %"),
];

/** What is wrong with a value, or null. */
export function refuse(s, value) {
    const text = String(value);
    if (!s.editable) return `${s.name} can't be changed here.`;
    if (s.words.includes(text)) return null;
    if (s.kind === "word") return `${s.name}: '${text}' is not one of ${s.words.join(", ")}.`;
    if (s.kind === "integer" || s.kind === "number") {
        const n = Number(text);
        return text.trim() !== "" && n >= s.minimum && n <= s.maximum && (s.kind === "number" || Number.isInteger(n)) ? null
            : `${s.name}: '${text}' is not ${s.words.length ? s.words.join(", ") + " or " : ""}a number from ${s.minimum} to ${s.maximum}.`;
    }
    if (s.kind === "budget") return /^\d+(\.\d+)?([GM](i?B)?|%)$/.test(text) ? null : `budget: '${text}' is not an amount. Write 12G, 800M or 80%.`;
    if (s.kind === "size") return /^\d+([x:]\d+)?$/.test(text) ? null : `size: '${text}' is not a size. Write 1024x768, 1024 or 16:9.`;
    return text ? null : `${s.name} is empty.`;
}

export const licences = [
    { name: "mebi", licence: "Apache-2.0", url: "https://www.apache.org/licenses/LICENSE-2.0" },
    { name: "Z-Image-Turbo", licence: "Apache-2.0", url: "https://huggingface.co/Tongyi-MAI/Z-Image-Turbo" },
    { name: "jansson", licence: "MIT", url: "https://github.com/akheron/jansson" },
    { name: "PCRE2", licence: "BSD-3-Clause", url: "https://www.pcre.org" },
    { name: "libspng", licence: "BSD-2-Clause", url: "https://libspng.org" },
];
