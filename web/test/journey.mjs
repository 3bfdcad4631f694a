/* The way through the page, at a phone's and a desk's width: first visit, recommended size, plan, preview, result, history, reuse, cancel,
 * a refused size and what fits instead, a reload and a restarted server in the middle of a job, drafts, trash, language, theme. */
import assert from "node:assert/strict";
import fs from "node:fs";
import { launch, open, PATIENCE, REAL, serve, shot, SIZES } from "./browser.mjs";

const text = (page, where) => page.locator(where).first().innerText();
const until = (page, what, argument) => page.waitForFunction(what, argument, { timeout: PATIENCE });

/* The page draws a moment after something changed: waits for what it comes to say. */
async function says(page, where, pattern) {
    await until(page, ([w, source]) => new RegExp(source).test(document.querySelector(w)?.innerText ?? ""), [where, pattern.source])
        .catch(async () => assert.match(await text(page, where), pattern));
}

const choose = (page, name, value) => page.locator(`label:has(> input[name="${name}"][value="${value}"])`).click();

async function firstVisit({ page, name }) {
    await page.waitForSelector(".size .cost.green");
    assert.equal(await page.locator(".size").count(), 6);
    const best = page.locator(".size", { hasText: "recommended" });
    assert.match(await best.innerText(), /256 × 256/);
    assert.ok(await best.locator("input").isChecked(), "the recommended size is chosen");
    for (const tile of (await page.locator(".size").all()).slice(0, 5)) assert.match(await tile.innerText(), /\d s\s+\d+ MB/);
    await says(page, ".dock-memory", /^\d+ MB of 160 MB memory$/);
    await says(page, ".how summary", /weights stay in memory/);
    await shot(page, `${name}-first`);
}

async function planFollows({ page }) {
    const before = await page.locator(".dock .meter").getAttribute("aria-valuenow");
    const seconds = () => text(page, ".dock-seconds"), changed = async (act) => {
        const was = await seconds();
        await act();
        await until(page, (s) => document.querySelector(".dock-seconds").innerText !== s, was);
    };
    await changed(() => page.fill("#steps", "16"));
    await changed(() => choose(page, "count", "4"));
    await choose(page, "count", "1");
    await page.fill("#steps", "8");
    await page.locator(".size").nth(0).click();
    await until(page, (was) => document.querySelector(".dock .meter").getAttribute("aria-valuenow") !== was, before);
    await page.locator(".size", { hasText: "recommended" }).click();
    await says(page, "#cfg-hint", /instead of/);
}

async function noPrompt({ page }) {
    await page.click("#generate");
    await page.waitForSelector("#prompt-wrong");
    assert.ok(await page.evaluate(() => document.activeElement.id === "prompt"));
}

async function generate({ page, name }) {
    await page.fill("#prompt", "a quiet valley at dawn");
    if (REAL) await page.fill("#steps", LONG); /* eight are done sooner than a preview can be looked at */
    await page.click("#generate");
    await page.waitForSelector(".frame.preview img");
    await says(page, ".making-words", /Step \d+ of (8|60)/);
    await until(page, () => document.querySelector(".frame.preview img")?.naturalWidth > 0);
    await shot(page, `${name}-preview`);
    await page.waitForSelector(".frame.picture img");
    if (REAL) {
        await page.fill("#steps", "8");
        await page.click("#generate");
        await until(page, () => document.querySelector(".caption-facts")?.innerText.includes("8 steps"));
    }
    await says(page, ".caption-facts", /256 × 256 · 8 steps · seed \d+/);
    await until(page, () => document.querySelector(".frame.picture img").naturalWidth === 256);
    await shot(page, `${name}-result`);
    await page.locator(".frame.picture").click();
    await page.waitForSelector(".pane img");
    const width = await page.locator(".pane img").evaluate((i) => i.getBoundingClientRect().width * devicePixelRatio);
    assert.equal(Math.round(width), 256, "a picture's pixel is one of the screen's");
    await page.keyboard.press("Escape");
    await page.waitForSelector("dialog", { state: "detached" });
}

async function history({ page, url, name }) {
    await page.goto(`${url}#/gallery`);
    await page.waitForSelector(".tile img");
    await page.getByRole("searchbox").fill("nothing like this");
    await page.waitForSelector(".nothing");
    await page.getByRole("searchbox").fill("quiet valley");
    await page.waitForSelector(".tile img");
    await page.locator(".tile-picture").first().click();
    await page.waitForSelector("dialog.detail");
    await shot(page, `${name}-details`);
    const seed = await page.locator("dialog .fact", { hasText: "Seed" }).locator("dd").innerText();
    await page.locator("dialog").getByRole("button", { name: "Use its parameters" }).click();
    await page.waitForSelector("#prompt");
    assert.equal(await page.inputValue("#prompt"), "a quiet valley at dawn");
    assert.equal(await page.inputValue("#seed"), seed);
    assert.ok(await page.locator('[aria-label="Keep this seed"]').getAttribute("aria-pressed") === "true");
}

async function trashAndBack({ page, url }) {
    await page.goto(`${url}#/gallery`);
    await page.reload();
    await page.waitForSelector(".tile:not(.ghost)");
    const before = await page.locator(".tile:not(.ghost)").count();
    await page.locator(".tile-pick input").first().check({ force: true });
    await page.locator(".selection").getByRole("button", { name: "Move to the trash" }).click();
    await page.waitForSelector(".note-action");
    await until(page, (n) => document.querySelectorAll(".tile:not(.ghost)").length === n, before - 1);
    await page.click(".note-action");
    await until(page, (n) => document.querySelectorAll(".tile:not(.ghost)").length === n, before);
    await page.locator(".tile-pick input").first().check({ force: true });
    await page.locator(".selection").getByRole("button", { name: "Move to the trash" }).click();
    await choose(page, "kind", "trash");
    await page.waitForSelector(".tile-pick input");
    await page.locator(".tile-pick input").first().check({ force: true });
    await page.locator(".selection").getByRole("button", { name: "Restore" }).click();
    await page.waitForSelector(".nothing");
    await choose(page, "kind", "all");
    await until(page, (n) => document.querySelectorAll(".tile:not(.ghost)").length === n, before);
}

async function zipAndCompare({ page, name }) {
    for (const i of [0, 1]) await page.locator(".tile-pick input").nth(i).check({ force: true });
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Download as zip" }).click()]);
    const bytes = fs.readFileSync(await download.path());
    assert.equal(bytes.subarray(0, 4).toString("latin1"), "PK\u0003\u0004");
    await page.locator(".selection").getByRole("button", { name: "Compare" }).click();
    const slider = page.getByLabel("How much of the left picture is seen");
    await page.waitForSelector("dialog.full[open]"); /* opening it moves the focus */
    await slider.press("ArrowRight");
    await until(page, () => document.querySelector("dialog input[type=range]").value === "51");
    await shot(page, `${name}-compare`);
    await page.keyboard.press("Escape");
}

async function dropPng({ page, url }) {
    await page.goto(`${url}#/gallery`);
    const png = await page.evaluate(async () => {
        const { images } = await (await fetch("/api/v1/images?limit=1&q=quiet")).json();
        return [...new Uint8Array(await (await fetch(images[0].file)).arrayBuffer())];
    });
    await page.evaluate((data) => {
        const files = new DataTransfer();
        files.items.add(new File([new Uint8Array(data)], "old.png", { type: "image/png" }));
        for (const type of ["dragenter", "dragover", "drop"]) document.body.dispatchEvent(new DragEvent(type, { dataTransfer: files, bubbles: true, cancelable: true }));
    }, png);
    await page.waitForSelector(".parameters");
    await says(page, ".parameters", /quiet valley[^]*Steps: 8/);
    await page.getByRole("button", { name: "Use these parameters" }).click();
    await page.waitForSelector("#prompt");
    await page.locator('[aria-label="Keep this seed"]').click();
}

/* Long enough to do something in the middle, also where the browser is slower than the model: steps to be finished, steps to be cancelled. */
const LONG = REAL ? "60" : "30", SLOW = REAL ? "120" : "30";
async function slowJob(page) {
    await page.fill("#steps", SLOW);
    if (REAL) { await page.fill("#cfg", "4"); await choose(page, "count", "4"); }
    await page.locator(".size", { hasText: "recommended" }).click();
}
async function quickJob(page) {
    await page.fill("#steps", "8");
    if (REAL) { await page.fill("#cfg", "0"); await choose(page, "count", "1"); }
}

async function cancel({ page }) {
    await slowJob(page);
    await page.click("#generate");
    await page.waitForSelector("#cancel");
    await page.click("#generate");
    await page.waitForSelector(".waiting-list li");
    await page.locator(".waiting-list button").first().click();
    await page.waitForSelector(".waiting-list", { state: "detached" });
    await page.click("#cancel");
    await page.waitForSelector("#cancel", { state: "detached" });
    await quickJob(page);
}

async function refusedSize({ page, name }) {
    await page.locator(".size", { hasText: "Custom" }).click();
    await page.fill("#width", "2001");
    await page.locator("#height").focus();
    await until(page, () => document.querySelector("#width").value === "2000");
    await says(page, "#free-hint", /2001 became 2000: .*multiples of 16/);
    await page.fill("#height", "2000");
    await page.locator("#width").focus();
    await page.waitForSelector(".alternative.nearest");
    assert.ok(await page.locator("#generate").isDisabled());
    await says(page, ".alternatives .wrong", /Even in the smallest way it needs/);
    assert.ok(await page.locator(".dock .meter.red").count());
    await shot(page, `${name}-refused`);
    await page.locator(".alternative").nth(1).click();
    await page.fill("#steps", SLOW);
    await page.waitForSelector("#generate:not([disabled])");
    await page.click("#generate");
    await page.waitForSelector(".frame.preview img");
    await page.click("#cancel");
    await page.waitForSelector("#cancel", { state: "detached" });
    await quickJob(page);
    await page.locator(".size", { hasText: "recommended" }).click();
}

async function reloaded({ page, context, url }) {
    await slowJob(page);
    await page.click("#generate");
    await page.waitForSelector(".frame.preview img");
    await page.reload();
    await page.waitForSelector(".making-words");
    await says(page, ".making-words", /Step \d+ of (30|120)/);
    const second = await context.newPage();
    await second.goto(url);
    await second.waitForSelector(".making-words .left");
    await second.close();
    await page.click("#cancel");
    await page.waitForSelector("#cancel", { state: "detached" });
    await quickJob(page);
}

const newest = (page) => page.evaluate(async () => (await (await fetch("/api/v1/jobs?limit=1")).json()).jobs[0]);

async function restarted({ page, server, name }) {
    await page.fill("#steps", LONG);
    for (const signal of REAL ? ["SIGTERM", "SIGKILL"] : ["SIGTERM"]) {
        await page.click("#generate");
        await page.waitForSelector(".frame.preview img");
        const { id } = await newest(page);
        await server.stop(signal);
        await page.waitForSelector(".banner");
        await says(page, ".banner", /Connection lost, trying again/);
        await shot(page, `${name}-lost`);
        await server.start();
        await page.waitForSelector(".banner", { state: "detached" });
        await page.waitForSelector(".frame.picture img", { timeout: 60000 });
        const job = await newest(page);
        assert.deepEqual([job.id, job.state, job.images.length], [id, "done", 1], `after ${signal} the same job goes on to its end`);
    }
    await page.fill("#steps", "8");
}

async function draftToFinal({ page }) {
    await page.click("#draft");
    await page.getByRole("button", { name: "Make the final picture" }).waitFor();
    const seed = /seed (\d+)/.exec(await text(page, ".caption-facts"))[1];
    await says(page, ".caption-facts", /128 × 128/);
    await page.getByRole("button", { name: "Make the final picture" }).click();
    await until(page, (s) => document.querySelector(".caption-facts")?.innerText.includes("256 × 256 · 8 steps · seed " + s), seed);
}

async function languageAndTheme({ page, name }) {
    await page.click(".language");
    await page.waitForSelector('html[lang="zh-CN"]');
    await says(page, "#generate", /^生成$/);
    await says(page, ".how summary", /权重常驻内存/);
    await page.click("[data-theme-button]");
    await page.click("[data-theme-button]");
    await page.waitForSelector('html[data-theme="dark"]');
    await page.reload();
    await page.waitForSelector('html[data-theme="dark"][lang="zh-CN"]');
    await shot(page, `${name}-zh-dark`);
    await page.click(".language");
    await page.waitForSelector('html[lang="en"]');
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true, "nothing is wider than the page");
}

async function machine({ page, url, name }) {
    await page.goto(`${url}#/machine`);
    await page.waitForSelector(".chart canvas");
    await until(page, () => /takes \d+ MB/.test(document.querySelector(".chart").getAttribute("aria-label")));
    /* With the real server each takes its time, so one at each width. */
    if (!REAL || name === "phone") {
        await page.locator(".card", { hasText: "Is everything in order?" }).getByRole("button").click();
        await page.waitForSelector(".report-verdict", { timeout: 60000 });
    }
    if (!REAL || name === "desktop") {
        await page.locator(".card", { hasText: "Which size pays?" }).getByRole("button").click();
        await page.waitForSelector(".figures", { timeout: 120000 });
    }
    await page.reload();
    await page.waitForSelector(REAL && name === "phone" ? ".report-verdict" : ".figures");
    await shot(page, `${name}-machine`);
}

async function settings({ page, url }) {
    await page.goto(`${url}#/settings`);
    await page.waitForSelector("#set-steps");
    assert.ok(await page.locator("#set-model").isDisabled());
    await page.fill("#set-steps", "500");
    await page.getByRole("button", { name: "Save" }).click();
    await page.waitForSelector(".setting .wrong");
    await page.fill("#set-steps", "12");
    await page.getByRole("button", { name: "Save" }).click();
    await page.waitForSelector(".save-bar.on", { state: "detached" });
    await page.reload();
    await page.waitForSelector("#set-steps");
    assert.equal(await page.inputValue("#set-steps"), "12");
}

const WAY = [firstVisit, planFollows, noPrompt, generate, history, cancel, refusedSize, reloaded, restarted, draftToFinal, trashAndBack, zipAndCompare, dropPng,
    machine, settings, async (c) => { await c.page.goto(`${c.url}#/create`); await c.page.waitForSelector(".size .cost.green"); }, languageAndTheme];

const browser = await launch();
let taken = 0;

async function walk(name) {
    const server = await serve("--speed", "0.15"), { page, context, faults } = await open(browser, server.url, { size: name });
    for (const step of WAY) {
        const began = performance.now();
        try {
            await step({ page, context, server, url: server.url, name, faults });
            assert.deepEqual(faults, [], "the console is quiet");
            taken++;
            if (step.name) console.log(`${name}: ${step.name}, ${((performance.now() - began) / 1000).toFixed(1)} s`);
        } catch (e) {
            await shot(page, `failed-${name}-${step.name}`);
            console.error(`${name}: ${step.name} failed; see web/test/shots/`, faults);
            await server.stop();
            throw e;
        }
    }
    await context.close();
    await server.stop();
}

/* Both at once: most of the time each waits. */
const ends = await Promise.allSettled(Object.keys(SIZES).map(walk));
await browser.close();
for (const end of ends) if (end.reason) console.error(end.reason);
assert.equal(taken, WAY.length * ends.length, "all steps were taken");
console.log(`journey: ${taken} steps`);
