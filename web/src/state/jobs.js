/* Jobs, as the server has them. The page holds no truth of its own: a reload, a second tab or a restarted server all begin
 * with GET /jobs, and events only carry on from there. */
import { computed, signal } from "@preact/signals";
import { call } from "../lib/api.js";
import { listen } from "../lib/events.js";
import { seconds, t, told } from "../lib/words.js";
import { putCheck } from "./checks.js";
import { draw as drawRecent, recent, shown } from "./images.js";
import { promptMissing, request, seed } from "./form.js";
import { lookAtSession, lookAtSystem } from "./server.js";
import { complain, narrow, note, sentence, speak } from "./view.js";

export const jobs = signal([]); /* newest first, running and queued ones before */
export const refused = signal(null); /* the last refusal for size: {message, plan} */

const SILENCE_MS = 4000;
const live = (j) => j.state === "running" || j.state === "queued";
export const running = computed(() => jobs.value.find((j) => j.state === "running") ?? null);
export const queued = computed(() => jobs.value.filter((j) => j.state === "queued").sort((a, b) => a.position - b.position));
export const current = computed(() => running.value ?? queued.value[0] ?? null);
export const lastFailure = signal(null);
export const watching = signal(true); /* the stage follows what is being made */

function put(job) {
    const known = jobs.value.some((j) => j.id === job.id);
    jobs.value = known ? jobs.value.map((j) => (j.id === job.id ? { ...j, ...job } : j)) : [job, ...jobs.value];
}
function change(id, changes) {
    jobs.value = jobs.value.map((j) => (j.id === id ? { ...j, ...changes } : j));
}

/** Told to a screen reader: stages and quarters, not every step. */
let said = "";
function announce(p) {
    const words = p.stage === "step" ? t("say_percent", { percent: Math.floor(p.fraction * 4) * 25 }) : t(`stage_${p.stage}`);
    if (words !== said) speak(said = words);
}

const on = {
    state: (job) => put(job),
    queued: ({ job, position }) => change(job, { state: "queued", position }),
    progress: ({ job, ...progress }) => {
        if (!jobs.value.some((j) => j.id === job)) return void lookAtJobs();
        change(job, { state: "running", progress });
        announce(progress);
    },
    preview: ({ job, url }) => change(job, { preview: url }),
    notice: ({ message }) => note(told(message)),
    image: (image) => {
        const job = jobs.value.find((j) => j.id === image.job);
        if (job && !job.images.some((i) => i.id === image.id)) change(image.job, { images: [...job.images, image] });
        drawRecent(image);
    },
    done: (job) => {
        put(job);
        const first = job.images?.[0];
        if (first && watching.value) shown.value = recent.value.find((i) => i.id === first.id) ?? first;
        speak(t("say_done", { seconds: seconds(job.progress.seconds) }));
    },
    failed: ({ job, code, message }) => {
        change(job, { state: "failed", error: { code, message } });
        lastFailure.value = { code, message };
        speak(sentence({ code, message }));
    },
    cancelled: ({ job }) => { change(job, { state: "cancelled" }); speak(t("say_cancelled")); },
    queue: () => {},
    check: putCheck,
};

export async function lookAtJobs() {
    try {
        const before = new Set(jobs.value.filter(live).map((j) => j.id));
        jobs.value = (await call("/jobs?limit=30")).jobs;
        /* What ended while nobody listened ends here. */
        for (const j of jobs.value.filter((x) => before.has(x.id) && x.state === "done")) {
            j.images.forEach(drawRecent);
            on.done(j);
        }
    } catch (e) { complain(e); }
}

export function watchJobs(onFresh) {
    const look = async () => {
        lookAtSystem().catch(() => {});
        await lookAtJobs();
        onFresh();
    };
    look(); /* a quiet server may open the stream late */
    let heard = Date.now();
    /* Something between here and the server may hold events back: then they are asked for. */
    const timer = setInterval(() => { if (busy.value && !document.hidden && Date.now() - heard > SILENCE_MS) look(); }, SILENCE_MS);
    const end = listen({
        onOpen: look,
        onEvent: (name, data) => { heard = Date.now(); on[name]?.(data); },
        onRefused: () => lookAtSession().catch(() => {}),
    });
    return () => { clearInterval(timer); end(); };
}

export async function generate(changes = {}) {
    const asked = request(changes);
    if (!asked.prompt) {
        promptMissing.value = true;
        document.getElementById("prompt")?.focus();
        return null;
    }
    refused.value = lastFailure.value = null;
    try {
        const job = await call("/jobs", { body: asked });
        put(job);
        watching.value = true;
        for (const warning of job.warnings ?? []) note(told(warning));
        if (!seed.value.locked) seed.value = { value: job.request.seed, locked: false };
        speak(t("say_started"));
        if (narrow.value) scrollTo({ top: 0, behavior: "smooth" }); /* the picture stands above the form there */
        return job;
    } catch (e) {
        if (e.code === "too_big" && e.plan) refused.value = { message: e.message, plan: e.plan };
        else if (e.code === "queue_full" && e.retryAfter) note(t("queue_full_wait", { seconds: seconds(e.retryAfter) }), { kind: "error" });
        else complain(e);
        return null;
    }
}

export async function cancel(job) {
    try {
        put(await call(`/jobs/${job.id}`, { method: "DELETE" }));
    } catch (e) {
        if (e.code === "conflict") lookAtJobs();
        else complain(e);
    }
}

/** The large picture of a draft: the job it came from says what was asked; its seed is the draft's own. */
export async function finish(image) {
    let asked = null;
    try { asked = (await call(`/jobs/${image.job}`)).request; } catch { /* jobs are forgotten sooner than pictures */ }
    const factor = image.draft?.factor ?? 2;
    return generate({ prompt: image.prompt, negative_prompt: image.negative_prompt ?? "", steps: image.steps, cfg: image.cfg,
        width: asked?.width ?? image.draft?.width ?? image.width * factor, height: asked?.height ?? image.draft?.height ?? image.height * factor,
        seed: image.seed, count: 1, draft: 0 });
}

export const busy = computed(() => jobs.value.some(live));
