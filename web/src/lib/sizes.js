/* Sizes: the choices that are offered for a model, and the nearest size that the model can make. */

export function snap(value, { size_multiple: m, largest_side: largest }) {
    const n = Math.round((Number(value) || m) / m) * m;
    return Math.min(Math.floor(largest / m) * m, Math.max(m, n));
}

const shape = (model, a, b) => ({ width: snap(model.native_side * Math.sqrt(a / b), model),
    height: snap(model.native_side * Math.sqrt(b / a), model) });

/** Half, three quarters and all of the native side, then two shapes of as many pixels. */
export function presets(model) {
    const square = (part) => {
        const side = snap(model.native_side * part, model);
        return { width: side, height: side, name: "", recommended: part === 1 };
    };
    return [square(0.5), square(0.75), square(1), { ...shape(model, 16, 9), name: "16:9" }, { ...shape(model, 9, 16), name: "9:16" }];
}

export const key = (r) => `${r.width}x${r.height}`;
