/* The server's API. Every failure becomes an ApiError with a code and a sentence; a server that doesn't answer is
 * `unreachable`, which is told by the banner and not again by each caller. */
import { signal } from "@preact/signals";

export const connected = signal(true);
export const session = signal("unknown"); /* unknown, none, needed, done */

export class ApiError extends Error {
    constructor(status, code, message, more = {}) {
        super(message);
        Object.assign(this, { status, code, ...more });
    }
}

async function failure(response) {
    let body = null;
    try { body = await response.json(); } catch { /* a proxy's page, perhaps */ }
    const { code = "internal", message = "", ...more } = body?.error ?? {};
    if (response.status === 401 && session.value !== "unknown") session.value = "needed";
    return new ApiError(response.status, code, message, { ...more, retryAfter: Number(response.headers.get("Retry-After")) || null });
}

/** options: method, body (JSON), raw (Blob), as ("json" | "blob"), signal. */
export async function call(path, { method, body, raw, as = "json", signal: abort } = {}) {
    let response;
    try {
        response = await fetch(`/api/v1${path}`, {
            method: method ?? (body || raw ? "POST" : "GET"), signal: abort, credentials: "same-origin",
            headers: body ? { "Content-Type": "application/json" } : raw ? { "Content-Type": raw.type || "image/png" } : {},
            body: body ? JSON.stringify(body) : raw,
        });
    } catch (e) {
        if (e.name === "AbortError") throw e;
        connected.value = false;
        throw new ApiError(0, "unreachable", "");
    }
    if (!response.ok) throw await failure(response);
    if (response.status === 204) return null;
    try {
        return await response[as]();
    } catch (e) {
        if (e.name === "AbortError") throw e;
        throw new ApiError(response.status, "unreachable", "");
    }
}

export const query = (values) => {
    const q = new URLSearchParams();
    for (const [key, value] of Object.entries(values)) if (value !== "" && value !== null && value !== undefined) q.set(key, value);
    const text = q.toString();
    return text ? `?${text}` : "";
};
