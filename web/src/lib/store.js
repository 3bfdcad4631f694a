/* What the page remembers between visits. Storage may be full, forbidden or hold another version's values: then it forgets. */
import { effect, signal } from "@preact/signals";

export function recall(key, otherwise) {
    try {
        const text = localStorage.getItem(`mebi.${key}`);
        return text === null ? otherwise : JSON.parse(text);
    } catch {
        return otherwise;
    }
}

export function remember(key, value) {
    try {
        localStorage.setItem(`mebi.${key}`, JSON.stringify(value));
    } catch { /* nothing is lost but comfort */ }
}

/** A signal that outlives the page. `sound` refuses remembered values of a wrong kind. */
export function lasting(key, otherwise, sound = () => true) {
    const old = recall(key, otherwise), s = signal(sound(old) ? old : otherwise);
    effect(() => remember(key, s.value));
    return s;
}
