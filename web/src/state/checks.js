/* Checks of the machine, as the server has them: whoever started one, every page sees it. */
import { computed, signal } from "@preact/signals";
import { call } from "../lib/api.js";
import { t } from "../lib/words.js";
import { complain, page, note, speak } from "./view.js";

export const checks = signal([]); /* newest first, without reports */
export const reports = signal({}); /* by id: of the newest of each kind, once it was looked at */
const asked = new Set(); /* ids whose report is on its way */

export const live = (c) => Boolean(c) && (c.state === "running" || c.state === "queued");
export const busyChecking = computed(() => checks.value.some(live));
export const latest = (kind) => checks.value.find((c) => c.kind === kind) ?? null;

function tellEnd(before, now) {
    if (!live(before) || live(now) || now.state === "cancelled") return;
    const words = t(now.state === "done" ? "check_done" : "check_failed");
    if (page.value === "machine") speak(words);
    else note(words, now.state === "done" ? {} : { kind: "error" });
}

/** What an event or an answer says of one. */
export function putCheck({ report, ...check }) {
    const before = checks.value.find((c) => c.id === check.id);
    checks.value = before ? checks.value.map((c) => (c === before ? check : c)) : [check, ...checks.value];
    if (report) reports.value = { ...reports.value, [check.id]: report };
    tellEnd(before, check);
}

/** Asks for all: what a restarted server has forgotten goes. */
export async function lookAtChecks() {
    const before = checks.value, { checks: list } = await call("/checks");
    checks.value = list;
    for (const c of list) tellEnd(before.find((b) => b.id === c.id), c);
}

/** Brings the reports that are to be seen. */
export async function lookAtReports() {
    const wanted = ["doctor", "bench"].map(latest).filter((c) => c?.has_report && !reports.value[c.id] && !asked.has(c.id));
    await Promise.allSettled(wanted.map(async ({ id }) => {
        asked.add(id);
        try { putCheck(await call(`/checks/${encodeURIComponent(id)}`)); } finally { asked.delete(id); }
    }));
}

export async function startCheck(kind, quick) {
    try { putCheck(await call("/checks", { body: { kind, quick } })); } catch (e) {
        complain(e);
        lookAtChecks().catch(() => {});
    }
}
