/* The first visit: what comes over the line, and when the page can be used. Usable is: the sizes have their seconds and memory, and the
 * button takes a click. */
import assert from "node:assert/strict";
import { launch, open, serve } from "./browser.mjs";

const BYTES = 200e3, MILLISECONDS = 1000, VISITS = 5;

/* In the page, from its first line on. */
const watch = () => {
    const look = () => {
        const button = document.querySelector("#generate");
        if (button && !button.disabled && document.querySelector(".size .cost.green")) globalThis.usableAt = performance.now();
        else requestAnimationFrame(look);
    };
    look();
};

async function visit(browser, url) {
    const { page, context, faults } = await open(browser, "about:blank");
    const line = await context.newCDPSession(page);
    let bytes = 0;
    await line.send("Network.enable");
    line.on("Network.loadingFinished", (e) => { bytes += e.encodedDataLength; });
    await page.addInitScript(watch);
    await page.goto(url);
    await page.waitForFunction(() => globalThis.usableAt);
    const at = await page.evaluate(() => globalThis.usableAt);
    await page.waitForTimeout(500); /* what comes late counts, too */
    assert.deepEqual(faults.filter((f) => !f.startsWith("fetched")), []);
    await context.close();
    return { bytes, at };
}

const browser = await launch(), server = await serve();
try {
    const visits = [];
    for (let i = 0; i < VISITS; i++) visits.push(await visit(browser, server.url));
    const at = visits.map((v) => v.at).sort((a, b) => a - b), bytes = Math.max(...visits.map((v) => v.bytes));
    console.log(`load: usable after ${at.map(Math.round).join(", ")} ms, ${(bytes / 1000).toFixed(1)} KB`);
    assert.ok(bytes > 20e3 && bytes < BYTES, `${bytes} bytes`);
    assert.ok(at[(VISITS - 1) / 2] < MILLISECONDS, "the middle one of the visits");
} finally {
    await browser.close();
    await server.stop();
}
