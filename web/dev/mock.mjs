/* A server that answers the whole API with plausible data, to work on the page without the engine.
 *   node dev/mock.mjs [--port 8190] [--model mini|turbo] [--speed 1] [--budget BYTES] [--state FILE] [--token WORD] [--images N]
 * It binds 127.0.0.1 alone and makes no real pictures. */
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { fileURLToPath } from "node:url";
import zlib from "node:zlib";
import { complete, licences, MODELS, plan, refuse, settings } from "./machine.mjs";
import { Queue } from "./jobs.mjs";
import { readPng, zip } from "./pictures.mjs";

const here = path.dirname(fileURLToPath(import.meta.url)), dist = path.join(here, "..", "dist");
const option = (name, other) => {
    const i = process.argv.indexOf(`--${name}`);
    return i > 0 ? process.argv[i + 1] : other;
};
const model = MODELS[option("model", "mini")], budget = Number(option("budget", model.budget)), token = option("token", "");
const speed = Number(option("speed", 1)), stateFile = option("state", ""), started = new Date();
const queue = new Queue(model, budget, speed), samples = [], checks = new Map(), table = settings();
const sessions = new Set(), CSP = "default-src 'self'; img-src 'self' blob: data:; style-src 'self'; script-src 'self'; "
    + "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

if (stateFile && fs.existsSync(stateFile)) queue.thaw(JSON.parse(fs.readFileSync(stateFile, "utf8")));
else seedImages(Number(option("images", 0)));
const keep = () => stateFile && fs.writeFileSync(stateFile, JSON.stringify(queue.freeze()));
setInterval(() => {
    samples.push({ t: Math.round((Date.now() - started) / 1000), own_bytes: Math.round(queue.own * (1 + Math.random() * 0.01)),
        planned_bytes: Math.round(queue.planned) });
    samples.splice(0, samples.length - 600);
    keep();
}, 1000);
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => { keep(); process.exit(0); });

function seedImages(n) {
    const words = ["a quiet valley at dawn, mist between the hills", "远山如黛,晨雾,水墨风格", "low sun over layered ridges, warm haze",
        "the last light on the mountains, long exposure", "山谷里的清晨,柔和的光"];
    for (let i = 0; i < n; i++) {
        const side = model.native_side, shapes = [[side, side], [side * 1.25, side * 0.75], [side * 0.75, side]];
        const [w, h] = shapes[i % 3].map((x) => Math.round(x / 16) * 16);
        const r = complete(model, { prompt: words[i % words.length], seed: 1000 + i, width: w, height: h });
        queue.save({ id: `old${i}`, request: r, images: [] }, 0);
        queue.images[0].created = new Date(Date.now() - (n - i) * 4e6).toISOString();
        queue.images[0].favourite = i % 7 === 2;
    }
}

const error = (status, code, message, more = {}) => ({ status, body: { error: { code, message, ...more } } });
const nothing = (what) => error(404, "not_found", `There is no such ${what}. It may have been removed.`);
const STATUS = { bad_request: 422, too_big: 409, queue_full: 429 };

function system() {
    return { version: "0.1.0", model: { name: model.name, hash: model.hash, native_side: model.native_side,
        size_multiple: model.size_multiple, largest_side: model.largest_side },
        device: { cpu: "avx512 vnni bf16", threads: 2, precision: model.precision, name: "AMD EPYC" },
        memory: { own_bytes: Math.round(queue.own), available_bytes: Math.round(budget * 1.08), budget_bytes: budget,
            planned_bytes: Math.round(queue.planned) }, profile: "small",
        queue: { queued: queue.waiting().length, running: queue.running() ? 1 : 0, limit: 8, seconds_left: queue.secondsLeft() },
        started: started.toISOString(), licences };
}

function listImages(q) {
    const page = Number(q.get("limit") ?? 40), from = Number(q.get("cursor") ?? 0), words = (q.get("q") ?? "").toLowerCase();
    const all = queue.images.filter((i) => i.trashed === (q.get("trashed") === "true" || q.get("trashed") === "1")
        && (!q.has("favourite") || i.favourite) && i.prompt.toLowerCase().includes(words)
        && ["width", "height", "seed"].every((k) => !q.get(k) || Number(q.get(k)) === i[k])
        && (!q.get("from") || i.created >= q.get("from")) && (!q.get("to") || i.created <= q.get("to")));
    return { images: all.slice(from, from + page), next: from + page < all.length ? String(from + page) : null, total: all.length };
}

const withoutReport = ({ report, ...check }) => check;
const tellCheck = (check) => queue.listeners.forEach((send) => send({ event: "check", data: withoutReport(check) }));

function startCheck({ kind, quick }) {
    if ([...checks.values()].some((c) => c.state === "running"))
        return error(409, "conflict", "A check is running already. Wait until it is done.");
    const check = { id: Math.random().toString(36).slice(2), kind, state: "running", progress: { fraction: 0, seconds_left: null, words: "loading the model" },
        quick: Boolean(quick), created: new Date().toISOString(), started: new Date().toISOString(), finished: null, error: null,
        has_report: false, has_page: false, report: null }, begun = Date.now(), span = quick ? 1500 : 4000;
    checks.set(check.id, check);
    const timer = setInterval(() => {
        check.progress.fraction = Math.min(1, (Date.now() - begun) / span);
        check.progress.seconds_left = (span / 1000) * (1 - check.progress.fraction);
        check.progress.words = `run ${1 + Math.floor(check.progress.fraction * 3.99)} of 4: 256x256, 10 steps, guidance 7.5`;
        if (check.progress.fraction < 1) return tellCheck(check);
        clearInterval(timer);
        check.state = "done";
        check.report = JSON.parse(fs.readFileSync(path.join(here, `${kind}.json`), "utf8"));
        Object.assign(check, { has_report: true, has_page: kind === "bench", finished: new Date().toISOString() });
        tellCheck(check);
    }, 200);
    return { status: 202, body: check };
}

function putSettings(body) {
    for (const [name, value] of Object.entries(body)) {
        const s = table.find((x) => x.name === name);
        const why = s ? refuse(s, value) : `There is no setting '${name}'.`;
        if (why) return error(422, "bad_request", why, { field: name });
    }
    for (const [name, value] of Object.entries(body)) {
        const s = table.find((x) => x.name === name);
        s.value = String(value);
        s.origin = "file";
    }
    return { body: { settings: table, file: "~/.local/share/mebi/config.yaml" } };
}

function pngInfo(data) {
    const info = readPng(data);
    if (!info) return error(422, "bad_request", "This is no PNG that can be read.");
    const text = info.texts.parameters ?? null;
    if (!text) return { body: { width: info.width, height: info.height, parameters: null, request: null } };
    const find = (name) => text.match(new RegExp(`${name}: ([^,\\n]+)`))?.[1], [w, h] = (find("Size") ?? "0x0").split("x").map(Number);
    return { body: { width: info.width, height: info.height, parameters: text, request: {
        prompt: text.split(/\nNegative prompt: |\nSteps: /)[0], negative_prompt: text.match(/\nNegative prompt: (.*)\nSteps/s)?.[1] ?? "",
        width: w, height: h, steps: Number(find("Steps")), cfg: Math.max(0, Number(find("CFG scale")) - 1), seed: Number(find("Seed")) } } };
}

function onImage(method, image, rest, query, body) {
    if (!image) return nothing("picture");
    if (rest === "file") return { raw: queue.file(image), type: "image/png", headers: { "Cache-Control": "private, max-age=31536000, immutable",
        ...(query.has("download") && { "Content-Disposition": `attachment; filename="mebi_${image.seed}.png"` }) } };
    if (rest === "thumbnail") return { raw: queue.thumbnail(image), type: "image/jpeg" };
    if (rest === "restore" && method === "POST") image.trashed = false;
    else if (method === "PATCH") image.favourite = Boolean(body.favourite);
    else if (method === "DELETE" && image.trashed && query.has("forever")) {
        queue.images = queue.images.filter((i) => i !== image);
        return { status: 204 };
    } else if (method === "DELETE") image.trashed = true;
    return { body: image };
}

function onJobs(method, id, rest, query, body) {
    if (!id && method === "POST") {
        const warnings = [], job = queue.add(body, warnings), code = job.error?.code;
        if (code) return { status: STATUS[code], body: job, headers: code === "queue_full" ? { "Retry-After": "5" } : {} };
        return { status: 202, body: { ...job, warnings } };
    }
    const rank = { running: 0, queued: 1 };
    if (!id) return { body: { next: null, jobs: queue.jobs.filter((j) => !query.get("state") || j.state === query.get("state"))
        .sort((a, b) => (rank[a.state] ?? 2) - (rank[b.state] ?? 2) || a.position - b.position).slice(0, Number(query.get("limit") ?? 50)) } };
    const job = queue.jobs.find((j) => j.id === id);
    if (!job) return nothing("job");
    if (rest === "preview") return queue.files.has(`preview/${id}`)
        ? { raw: queue.files.get(`preview/${id}`), type: "image/jpeg" } : nothing("preview");
    if (method === "DELETE") {
        if (!["queued", "running"].includes(job.state)) return error(409, "conflict", "This job has ended: there is nothing to cancel.");
        queue.cancel(job);
    }
    return { body: job };
}

function onSession(method, body, request) {
    const cookie = /mebi=(\w+)/.exec(request.headers.cookie ?? "")?.[1];
    if (method === "POST") {
        if (body.token !== token) return error(401, "unauthorized", "That is not the token. It is the first line of the server's token file.");
        const id = Math.random().toString(36).slice(2);
        sessions.add(id);
        return { body: { login: "done" }, headers: { "Set-Cookie": `mebi=${id}; HttpOnly; SameSite=Strict; Path=/` } };
    }
    if (method === "DELETE") sessions.delete(cookie);
    return { body: { login: !token ? "none" : sessions.has(cookie) ? "done" : "needed" } };
}

function api(method, parts, query, body, request) {
    const [what, id, rest] = parts;
    if (what === "session") return onSession(method, body, request);
    if (token && !sessions.has(/mebi=(\w+)/.exec(request.headers.cookie ?? "")?.[1])) return error(401, "unauthorized", "Log in first.");
    if (what === "system" && id === "memory") {
        const last = samples.at(-1)?.t ?? 0, since = Number(query.get("since") ?? 0);
        return { body: { samples: samples.filter((s) => s.t >= since && s.t <= last) } };
    }
    if (what === "system") return { body: system() };
    const one = (r) => { const c = complete(model, r); return c.error ? c : plan(model, c, budget); };
    if (what === "plan") { const p = one(body); return { status: p.error ? 422 : 200, body: p }; }
    if (what === "plans") return { body: { plans: body.requests.slice(0, 64).map(one) } };
    if (what === "jobs") return onJobs(method, id, rest, query, body);
    if (what === "images" && id === "zip") return { type: "application/zip", raw: zip(queue.images.filter((i) => body.ids.includes(i.id))
        .map((i) => ({ name: `mebi_${i.seed}_${i.id}.png`, data: queue.file(i) }))) };
    if (what === "images" && !id) return { body: listImages(query) };
    if (what === "images") return onImage(method, queue.images.find((i) => i.id === id), rest, query, body);
    if (what === "png-info") return pngInfo(body);
    if (what === "settings") return method === "PUT" ? putSettings(body) : { body: { settings: table, file: "~/.local/share/mebi/config.yaml" } };
    if (what === "checks" && method === "GET" && !id) return { body: { checks: [...checks.values()].reverse().map(withoutReport) } };
    if (what === "checks" && method === "POST") return startCheck(body);
    if (what === "checks" && checks.has(id)) return rest === "html"
        ? { raw: Buffer.from("<!doctype html><title>bench</title><p>The bench's report."), type: "text/html" } : { body: checks.get(id) };
    return nothing("address");
}

function stream(request, response, id) {
    response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
    response.flushHeaders();
    const send = (e) => {
        if (id && e.job?.id !== id) return;
        response.write(`${["state", "check"].includes(e.event) ? "" : `id: ${e.id}\n`}event: ${e.event}\ndata: ${JSON.stringify(e.data)}\n\n`);
        if (id && ["done", "failed", "cancelled"].includes(e.event)) response.end();
    };
    for (const job of queue.jobs.filter((j) => (id ? j.id === id : ["queued", "running"].includes(j.state))))
        send({ event: "state", data: { ...job, job: job.id }, job });
    queue.listeners.add(send);
    const beat = setInterval(() => response.write(": still here\n\n"), 15000);
    response.on("close", () => { queue.listeners.delete(send); clearInterval(beat); });
}

const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml", ".woff2": "font/woff2", ".txt": "text/plain; charset=utf-8" };

function asset(name, response) {
    const file = path.join(dist, path.normalize(name === "/" ? "/index.html" : name));
    if (!file.startsWith(dist) || !fs.existsSync(file)) return response.writeHead(404).end();
    response.writeHead(200, { "Content-Type": TYPES[path.extname(file)] ?? "application/octet-stream", "Content-Encoding": "gzip",
        "Content-Security-Policy": CSP, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache" });
    response.end(zlib.gzipSync(fs.readFileSync(file)));
}

http.createServer((request, response) => {
    const url = new URL(request.url, "http://localhost"), parts = url.pathname.split("/").slice(3), chunks = [];
    if (!url.pathname.startsWith("/api/")) return asset(url.pathname, response);
    request.on("data", (c) => chunks.push(c)).on("end", () => {
        const needs = token && !sessions.has(/mebi=(\w+)/.exec(request.headers.cookie ?? "")?.[1]);
        if (!needs && parts.at(-1) === "events") return stream(request, response, parts[0] === "jobs" ? parts[1] : null);
        let body = Buffer.concat(chunks), answer;
        try {
            if (parts[0] !== "png-info") body = body.length ? JSON.parse(body) : {};
            answer = api(request.method, parts, url.searchParams, body, request);
        } catch (e) {
            answer = error(400, "bad_request", `The body can't be read: ${e.message}`);
        }
        const raw = answer.raw ?? (answer.body === undefined ? "" : JSON.stringify(answer.body));
        response.writeHead(answer.status ?? 200, { "Content-Type": answer.type ?? "application/json", "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff", ...answer.headers });
        response.end(raw);
    });
}).listen(Number(option("port", 8190)), "127.0.0.1", function () { console.log(`http://127.0.0.1:${this.address().port}/`); });
