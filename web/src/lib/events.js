/* The server's events, for as long as somebody looks. A browser gives a server few connections, so a page that has been
 * hidden for a while lets go of its own; each opening begins with a fresh look at everything, so no event is missed. */
import { connected } from "./api.js";

const NAMES = ["queued", "progress", "preview", "notice", "image", "done", "failed", "cancelled", "state", "queue", "check"];
const HIDDEN_MS = 60000, FIRST_RETRY_MS = 700, LAST_RETRY_MS = 5000;

/** onOpen() at each opening; onEvent(name, data) for each event; onRefused() if the server answers but not with events. */
export function listen({ onOpen, onEvent, onRefused }) {
    let source = null, retry = null, wait = FIRST_RETRY_MS, hidden = null;

    const close = () => {
        source?.close();
        source = null;
        clearTimeout(retry);
    };
    const open = () => {
        close();
        source = new EventSource("/api/v1/events");
        source.onopen = () => {
            connected.value = true;
            wait = FIRST_RETRY_MS;
            onOpen();
        };
        source.onerror = () => {
            connected.value = false;
            const refused = source.readyState === EventSource.CLOSED;
            close();
            if (refused) onRefused();
            retry = setTimeout(open, wait);
            wait = Math.min(LAST_RETRY_MS, wait * 1.5);
        };
        for (const name of NAMES) {
            source.addEventListener(name, (e) => {
                let data;
                try { data = JSON.parse(e.data); } catch { return; }
                onEvent(name, data);
            });
        }
    };
    const look = () => {
        clearTimeout(hidden);
        if (document.hidden) hidden = setTimeout(close, HIDDEN_MS);
        else if (!source) open();
    };
    document.addEventListener("visibilitychange", look);
    open();
    return () => { document.removeEventListener("visibilitychange", look); close(); };
}
