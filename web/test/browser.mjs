/* For the tests of the page: a mock server of one's own, a browser, and what every test watches for. */
import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const here = path.dirname(fileURLToPath(import.meta.url));
export const SHOTS = path.join(here, "shots");
export const SIZES = { phone: { width: 390, height: 844 }, desktop: { width: 1280, height: 800 } };

/* MEBI=build/mebi drives the real server with the small model instead of the mock one. */
export const REAL = process.env.MEBI ?? "";

function command(folder, port, options) {
    const token = options.indexOf("--token") + 1, own = ["serve", "-m", path.join(here, "../../models/mini"), "--budget", "160M", "--data", folder, "--port", port, "--log", "none"];
    if (REAL && token) {
        own.push("--token-file", path.join(folder, "token"));
        fs.writeFileSync(path.join(folder, "token"), options[token], { mode: 0o600 });
    }
    if (REAL) return [path.resolve(REAL), own];
    return [process.execPath, [path.join(here, "../dev/mock.mjs"), "--port", port, "--state", path.join(folder, "state.json"), ...options]];
}

/* What the mock server begins with, the real one has to make. */
async function fill(url, count) {
    const get = async (where, options) => (await fetch(url + where, options)).json();
    for (let i = 0; i < count; i++) {
        const job = { prompt: ["a red apple on a white background", "a blue cube on a yellow background", "a green pear on a white background", "a yellow ball on a black background"][i % 4], seed: 7 + i };
        /* The model is still being opened at first. */
        while (!(await get("api/v1/jobs", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(job) })).id) await new Promise((done) => setTimeout(done, 100));
    }
    for (let i = 0; i < 600 && (await get("api/v1/images")).total < count; i++) await new Promise((done) => setTimeout(done, 50));
}

/** Starts a server; {url, stop, start}. The options are the mock server's; the real one follows --images and --token. */
export async function serve(...options) {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "mebi-web-"));
    let child = null, port = "0";
    const start = () => new Promise((resolve, reject) => {
        const [program, words] = command(folder, port, options);
        child = spawn(program, words, { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, MEBI_CONFIG: "" } });
        child.stdout.on("data", (d) => { const found = /http:\S+/.exec(String(d)); if (found) resolve(found[0]); });
        child.once("exit", (code) => reject(new Error(`the server ended with ${code}`)));
    });
    const stop = (signal = "SIGTERM") => new Promise((resolve) => { child.once("exit", resolve); child.kill(signal); });
    const url = await start();
    port = new URL(url).port;
    if (REAL && options.includes("--images")) await fill(url, Number(options[options.indexOf("--images") + 1]));
    return { url, stop, start };
}

/** CHROMIUM names another browser than Debian's. */
export const launch = () => chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
        "--disable-default-apps", "--force-color-profile=srgb"] });

/* Milliseconds a test waits for what must come; how soon it comes is for load.mjs to judge. */
export const PATIENCE = 60000;

/* What a browser says when the server is away, which is what some tests are about. */
const EXPECTED = /ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|the server responded with a status of 4(09|22|01|04)/;

/** A page that keeps what went wrong: errors, and requests to anywhere else. */
export async function open(browser, url, { size = "desktop", ...options } = {}) {
    const context = await browser.newContext({ viewport: SIZES[size], locale: "en-GB", colorScheme: "light", reducedMotion: "reduce", ...options });
    const page = await context.newPage(), faults = [];
    page.setDefaultTimeout(PATIENCE);
    page.on("console", (m) => { if (["error", "warning"].includes(m.type()) && !EXPECTED.test(m.text())) faults.push(m.text()); });
    page.on("pageerror", (e) => faults.push(String(e.stack ?? e)));
    page.on("request", (r) => { if (!/^(data|blob):/.test(r.url()) && new URL(r.url()).origin !== new URL(url).origin) faults.push(`fetched ${r.url()}`); });
    await page.goto(url);
    return { page, context, faults };
}

export async function shot(page, name, options = {}) {
    fs.mkdirSync(SHOTS, { recursive: true });
    await page.screenshot({ path: path.join(SHOTS, `${name}.png`), ...options });
}
