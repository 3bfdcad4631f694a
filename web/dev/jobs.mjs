/* The mock server's queue: one job at a time, progress by the clock, and what happens told to listeners. The state
 * can be written down and taken up again, as the real server does. */
import { complete, plan } from "./machine.mjs";
import { jpeg, png, scene } from "./pictures.mjs";

const now = () => new Date().toISOString();
const short = () => Math.random().toString(36).slice(2, 10);
const say = (image) => `${image.prompt}\n${image.negative_prompt ? `Negative prompt: ${image.negative_prompt}\n` : ""}`
    + `Steps: ${image.steps}, Sampler: Euler, CFG scale: ${image.cfg + 1}, Seed: ${image.seed}, Size: ${image.width}x${image.height}, `
    + `Model hash: ${image.model_hash}, Model: ${image.model}, Version: mebi`;

export class Queue {
    constructor(model, budget, speed) {
        Object.assign(this, { model, budget, speed, jobs: [], images: [], listeners: new Set(), files: new Map(), event: 0,
            own: model.program * 2, planned: 0 });
    }

    /** Everything but the pictures, which their seeds make again. */
    freeze() { return { jobs: this.jobs, images: this.images, event: this.event }; }

    thaw(state) {
        Object.assign(this, state);
        for (const job of this.jobs) if (job.state === "running") job.state = "queued";
        this.next();
    }

    tell(job, event, data) {
        for (const listener of this.listeners) listener({ id: ++this.event, event, data: { job: job?.id, ...data }, job });
    }

    waiting() { return this.jobs.filter((j) => j.state === "queued"); }
    running() { return this.jobs.find((j) => j.state === "running"); }
    secondsLeft() {
        const one = this.running();
        return ((one?.progress.seconds_left ?? 0)
            + this.waiting().reduce((s, j) => s + j.plan.seconds / this.speed, 0));
    }

    add(body, warnings) {
        const request = complete(this.model, body, warnings);
        if (request.error) return request;
        if (!String(request.prompt).trim())
            return { error: { code: "bad_request", field: "prompt", message: "There is no prompt. Say what the picture shows." } };
        const p = plan(this.model, request, this.budget);
        if (p.verdict === "too_big") return { error: { code: "too_big", plan: p, message:
            `${p.width}x${p.height} needs more than may be taken. ${p.why}` } };
        if (this.waiting().length >= 8) return { error: { code: "queue_full", message:
            "8 jobs are waiting, which is as many as are kept. Cancel one, or try again once one is done." } };
        if (request.seed < 0) request.seed = Math.floor(Math.random() * 2 ** 32);
        const job = { id: short(), state: "queued", request, created: now(), started: null, finished: null, position: 0,
            progress: { stage: "load", image: 0, count: request.count, step: 0, steps: request.steps, fraction: 0, seconds: 0,
                seconds_left: p.seconds / this.speed, memory_bytes: this.own }, plan: p, images: [], error: null, notices: [],
            preview: null };
        this.jobs.unshift(job);
        this.next();
        return job;
    }

    next() {
        this.waiting().reverse().forEach((job, i) => {
            job.position = i + 1;
            this.tell(job, "queued", { position: job.position, seconds_left: this.secondsLeft() });
        });
        this.tell(null, "queue", { queued: this.waiting().length, running: this.running() ? 1 : 0, seconds_left: this.secondsLeft() });
        const job = this.waiting().at(-1);
        if (this.running() || !job) return;
        job.state = "running";
        job.position = 0;
        job.started ??= now();
        this.run(job);
    }

    run(job) {
        const { stage_seconds: s } = job.plan, per = (name) => s[name] / job.request.count / this.speed * 1000;
        const steps = job.request.steps, todo = [["take", s.take / this.speed * 1000], ["encode", s.encode / this.speed * 1000]];
        for (let i = job.images.length; i < job.request.count; i++) {
            for (let k = 0; k < steps; k++) todo.push(["step", per("denoise") / steps, i, k + 1]);
            todo.push(["decode", per("decode"), i], ["save", per("save"), i]);
        }
        const total = todo.reduce((sum, t) => sum + t[1], 0), begun = Date.now();
        this.planned = job.plan.need_bytes;
        let at = 0;
        const go = () => {
            if (job.state !== "running") return;
            if (at === todo.length) return this.finish(job);
            const [stage, wait, image, step] = todo[at++];
            const done = todo.slice(0, at - 1).reduce((sum, t) => sum + t[1], 0);
            this.own = job.plan.need_bytes * (stage === "take" ? 0.5 : stage === "step" ? 0.96 : 0.99);
            job.progress = { stage, image: image ?? 0, count: job.request.count, step: step ?? (stage === "step" ? 0 : job.progress.step),
                steps, fraction: done / total, seconds: (Date.now() - begun) / 1000, seconds_left: (total - done) / 1000,
                memory_bytes: Math.round(this.own) };
            this.tell(job, "progress", job.progress);
            this.timer = setTimeout(() => {
                if (job.state !== "running") return;
                if (stage === "step" && job.request.preview_every && step % job.request.preview_every === 0)
                    this.preview(job, image, step);
                if (stage === "save") this.save(job, image);
                go();
            }, wait);
        };
        go();
    }

    preview(job, image, step) {
        const r = job.request, f = 192 / Math.max(r.width, r.height), w = Math.round(r.width * f), h = Math.round(r.height * f);
        const left = 1 - step / r.steps;
        this.files.set(`preview/${job.id}`, jpeg(w, h, scene(w, h, r.seed + image, left ** 1.3)));
        job.preview = `/api/v1/jobs/${job.id}/preview?n=${this.event + 1}`;
        this.tell(job, "preview", { url: job.preview, step, width: w, height: h });
    }

    save(job, index) {
        const r = job.request, d = r.draft || 1, m = this.model;
        const image = { id: short(), job: job.id, index, width: r.width / d, height: r.height / d, seed: r.seed + index,
            prompt: r.prompt, negative_prompt: r.negative_prompt, steps: r.steps, cfg: r.cfg, created: now(), model: m.name,
            model_hash: m.hash, bytes: 0, favourite: false, trashed: false,
            draft: r.draft ? { factor: r.draft, width: r.width, height: r.height } : null };
        image.parameters = say(image);
        image.file = `/api/v1/images/${image.id}/file`;
        image.thumbnail = `/api/v1/images/${image.id}/thumbnail`;
        image.bytes = this.file(image).length;
        this.images.unshift(image);
        job.images.push(image);
        this.tell(job, "image", image);
    }

    file(image) {
        const key = `file/${image.id}`;
        if (!this.files.has(key)) this.files.set(key, png(image.width, image.height,
            scene(image.width, image.height, image.seed), { parameters: image.parameters }));
        return this.files.get(key);
    }

    thumbnail(image) {
        const key = `thumbnail/${image.id}`, f = Math.min(1, 320 / Math.max(image.width, image.height));
        const w = Math.round(image.width * f), h = Math.round(image.height * f);
        if (!this.files.has(key)) this.files.set(key, jpeg(w, h, scene(w, h, image.seed)));
        return this.files.get(key);
    }

    finish(job) {
        job.state = "done";
        job.finished = now();
        job.progress = { ...job.progress, fraction: 1, seconds_left: 0 };
        this.own = this.model.program * 3;
        this.planned = 0;
        this.tell(job, "done", job);
        this.next();
    }

    cancel(job) {
        if (job.state === "running") this.own = this.model.program * 3;
        job.state = "cancelled";
        job.finished = now();
        this.planned = 0;
        this.tell(job, "cancelled", {});
        this.next();
    }
}
