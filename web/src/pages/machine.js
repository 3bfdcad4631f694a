/* The machine: memory as it is and was planned, device and model, and the two checks. */
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { call } from "../lib/api.js";
import { bytes, date, number, remaining, seconds, size as sizeWords, strategy, t, told } from "../lib/words.js";
import { busyChecking, latest, live, lookAtChecks, lookAtReports, reports, startCheck } from "../state/checks.js";
import { running } from "../state/jobs.js";
import { lookAtSystem, system } from "../state/server.js";
import { Chart } from "../ui/chart.js";
import { html } from "../ui/html.js";
import { Progress, Switch } from "../ui/parts.js";
import { Bench, Doctor } from "../ui/report.js";

const SAMPLES = 600, EVERY_MS = 1000;
const samples = signal([]), quick = signal(true);

let counted = null; /* the start of the server that the samples' seconds count from */

async function lookAtMemory() {
    const started = system.value?.started ?? null;
    if (started !== counted) samples.value = [];
    counted = started;
    const last = samples.value.at(-1)?.t ?? -1, { samples: fresh } = await call(`/system/memory?since=${Math.max(0, last)}`);
    const later = fresh.filter((s) => s.t > last);
    if (later.length && counted === started) samples.value = [...samples.value, ...later].slice(-SAMPLES);
}

function Under({ c }) {
    const { fraction, seconds_left: left, words } = c.progress, waits = c.state === "queued";
    return html`<div class="making"><div class="making-words"><span>${waits ? t("waiting") : told(words)}</span>${!waits && left > 0 && html`<span class="left">${t("left", { s: remaining(left) })}</span>`}</div>
        <${Progress} label=${t(`check_${c.kind}`)} fraction=${fraction} /></div>`;
}

function Check({ kind, report: Report }) {
    const c = latest(kind), report = c && reports.value[c.id];
    return html`<section class="card" aria-labelledby=${`check-${kind}`}><h2 id=${`check-${kind}`}>${t(`check_${kind}`)}</h2><p class="lead">${t(`check_${kind}_more`)}</p>
        <div class="card-row"><button type="button" class="secondary" disabled=${busyChecking.value} onClick=${() => startCheck(kind, quick.value)}>${t(c && !live(c) ? "check_again" : "check_start")}</button>
            <${Switch} label=${t("quick")} checked=${quick.value} onChange=${(v) => { quick.value = v; }} /></div>
        ${live(c) && html`<${Under} c=${c} />`}
        ${c?.state === "failed" && html`<p class="wrong">${told(c.error?.message) || t("check_failed")}</p>`}
        ${report && html`<${Report} report=${report} id=${c.id} /><p class="hint">${t("check_when", { date: date(c.finished) })}</p>`}</section>`;
}

function Fact({ name, children }) {
    return html`<div class="fact"><dt>${t(name)}</dt><dd>${children}</dd></div>`;
}

function Memory() {
    const m = system.value.memory, now = samples.value.at(-1), own = now?.own_bytes ?? m.own_bytes, planned = now?.planned_bytes ?? m.planned_bytes, job = running.value;
    return html`<section class="card wide" aria-labelledby="memory-title"><div class="card-head"><h2 id="memory-title">${t("memory_now")}</h2><span class="hint">${t("memory_last")}</span></div>
        <div class="big-figures"><div><span class="big own">${bytes(own)}</span><span class="hint">${t("memory_own")}</span></div>
            <div><span class="big planned">${planned ? bytes(planned) : "–"}</span><span class="hint">${t("memory_planned")}</span></div>
            <div><span class="big">${bytes(m.budget_bytes)}</span><span class="hint">${t("memory_budget")}</span></div>
            <div><span class="big">${bytes(m.available_bytes)}</span><span class="hint">${t("memory_free")}</span></div></div>
        <${Chart} samples=${samples.value} /><ul class="key" aria-hidden="true"><li class="own">${t("memory_own")}</li><li class="planned">${t("memory_planned")}</li></ul>
        ${job && html`<p class="hint">${t("memory_job", { size: sizeWords(job.request.width, job.request.height), way: strategy(job.plan.strategy), need: bytes(job.plan.need_bytes) })}</p>`}</section>`;
}

function Facts() {
    const { device: d, model: m, profile, queue: q } = system.value;
    return html`<section class="card" aria-labelledby="device-title"><h2 id="device-title">${t("device")}</h2><dl class="facts"><${Fact} name="processor">${d.name}</${Fact}><${Fact} name="instructions">${d.cpu}</${Fact}>
            <${Fact} name="threads">${d.threads}</${Fact}><${Fact} name="precision">${d.precision}</${Fact}><${Fact} name="profile">${t(`profile_${profile}`)}</${Fact}>
            <${Fact} name="queue">${t("queue_says", { n: q.queued, limit: q.limit })}${q.seconds_left > 0 && html`<small>${t("left", { s: seconds(q.seconds_left) })}</small>`}</${Fact}></dl></section>
        <section class="card" aria-labelledby="model-title"><h2 id="model-title">${t("model")}</h2><dl class="facts"><${Fact} name="name">${m.name}</${Fact}><${Fact} name="hash"><code>${m.hash}</code></${Fact}>
            <${Fact} name="native">${sizeWords(m.native_side, m.native_side)}</${Fact}><${Fact} name="multiple">${t("pixels", { n: m.size_multiple })}</${Fact}><${Fact} name="largest">${t("pixels", { n: number(m.largest_side) })}</${Fact}></dl></section>`;
}

export function Machine() {
    useEffect(() => {
        let stop = false, first = true;
        const look = async () => {
            if (!document.hidden) await Promise.allSettled([lookAtMemory(), lookAtSystem(), first || busyChecking.value ? lookAtChecks() : null]);
            if (!document.hidden) await lookAtReports();
            first = false;
            if (!stop) setTimeout(look, EVERY_MS);
        };
        look();
        return () => { stop = true; };
    }, []);
    if (!system.value) return null;
    return html`<div class="page machine"><div class="page-head"><h1>${t("page_machine")}</h1></div><div class="cards"><${Memory} /><${Facts} />
        <${Check} kind="doctor" report=${Doctor} /><${Check} kind="bench" report=${Bench} /></div></div>`;
}
