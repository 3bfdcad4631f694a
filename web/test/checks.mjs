/* The machine's checks, from the page: both are started, watched by a second page and another browser, and read to their end. */
import assert from "node:assert/strict";
import { launch, open, REAL, serve, shot as shoot } from "./browser.mjs";

const PATIENCE = { timeout: 180000 };
const card = (page, kind) => page.locator(`section[aria-labelledby="check-${kind}"]`);
const bar = (page, kind) => card(page, kind).locator(".progress");
const startOf = (page, kind) => card(page, kind).locator("button.secondary");

/* From the top, or what sticks there would be in the middle of a whole page's picture. */
async function shot(page, name) {
    await page.evaluate(() => scrollTo(0, 0));
    await shoot(page, name, { fullPage: true });
}

async function at(browser, url, options) {
    const seen = await open(browser, url, options);
    await seen.page.goto(`${url}#/machine`);
    await startOf(seen.page, "doctor").waitFor();
    return seen;
}

/** What the bar showed until it went, in per cent. */
async function watch(page, kind) {
    const shown = new Set();
    while (await bar(page, kind).count()) {
        const now = await bar(page, kind).getAttribute("aria-valuenow", { timeout: 500 }).catch(() => null);
        if (now !== null) shown.add(Number(now));
        await page.waitForTimeout(50);
    }
    return [...shown];
}

async function check(mine, others, kind, name) {
    await startOf(mine, kind).click();
    await bar(mine, kind).waitFor();
    for (const page of others) await bar(page, kind).waitFor();
    for (const page of [mine, ...others]) for (const k of ["doctor", "bench"]) assert.ok(await startOf(page, k).isDisabled(), "one at a time");
    const watched = watch(others[0], kind);
    await mine.waitForFunction((k) => Number(document.querySelector(`section[aria-labelledby="check-${k}"] .progress`)?.getAttribute("aria-valuenow")) > 20, kind, PATIENCE);
    const words = await card(mine, kind).locator(".making-words").innerText();
    await shot(mine, `${name}-${kind}-running`);
    assert.match(words, kind === "doctor" || !REAL ? /^run \d of 4: \d+x\d+, \d+ steps, / : /^picture \d of \d|^measuring/);
    for (const page of [mine, ...others]) await card(page, kind).locator(".report").waitFor(PATIENCE);
    const fractions = await watched;
    assert.ok(fractions.filter((f) => f > 0 && f < 100).length >= 3, `the bar moved: ${fractions}`);
    assert.deepEqual(fractions, [...fractions].sort((a, b) => a - b), "and never back");
    await shot(mine, `${name}-${kind}-done`);
}

async function reads({ page, url }) {
    assert.match(await card(page, "doctor").locator(".report-verdict").innerText(), /\S/);
    assert.ok(await card(page, "bench").locator("tbody tr").count() >= 3);
    const link = card(page, "bench").getByRole("link"), whole = await page.request.get(new URL(await link.getAttribute("href"), url).href);
    assert.equal(whole.status(), 200);
    assert.match(await whole.text(), /<!doctype html>/i);
}

async function readsInChinese(browser, url) {
    const seen = await at(browser, url, { locale: "zh-CN" });
    await card(seen.page, "bench").locator(".report").waitFor();
    await startOf(seen.page, "doctor").click();
    await seen.page.waitForFunction(() => /第 \d \/ 4 轮：\d+x\d+，\d+ 步，引导/.test(document.querySelector(".making-words")?.innerText ?? ""), null, PATIENCE);
    await shot(seen.page, "checks-chinese");
    await card(seen.page, "doctor").locator(".report").waitFor(PATIENCE);
    return seen;
}

const server = await serve("--model", "mini"), browser = await launch();
try {
    const mine = await at(browser, server.url), tab = await mine.context.newPage(), other = await at(browser, server.url, { size: "phone" });
    await tab.goto(`${server.url}#/machine`);
    await startOf(tab, "doctor").waitFor();
    for (const kind of ["doctor", "bench"]) await check(mine.page, [tab, other.page], kind, "checks");
    await reads({ page: mine.page, url: server.url });
    await shot(other.page, "checks-phone");
    const late = await at(browser, server.url); /* nothing remembered */
    for (const kind of ["doctor", "bench"]) await card(late.page, kind).locator(".report").waitFor();
    const chinese = await readsInChinese(browser, server.url);
    if (REAL) { /* what a restarted server has forgotten goes */
        await server.stop();
        await server.start();
        await mine.page.waitForFunction(() => !document.querySelector(".report"), null, PATIENCE);
        await startOf(mine.page, "doctor").waitFor();
    }
    for (const seen of [mine, other, late, chinese]) assert.deepEqual(seen.faults, []);
    console.log("checks: ok");
} finally {
    await browser.close();
    await server.stop().catch(() => {});
}
