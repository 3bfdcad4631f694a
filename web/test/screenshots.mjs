/* Makes docs/screenshots anew: MEBI=build/mebi node test/screenshots.mjs. Needs Python's Pillow: 256 colours are enough for those that are large. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { launch, open, REAL, serve } from "./browser.mjs";

assert.ok(REAL, "MEBI names the program");
const folder = path.join(path.dirname(fileURLToPath(import.meta.url)), "../../docs/screenshots"), EACH = 150e3, LOW = { width: 1280, height: 720 };
const browser = await launch(), server = await serve("--images", "13");

async function take(page, name) {
    await page.waitForTimeout(400);
    const file = path.join(folder, `${name}.png`);
    await page.screenshot({ path: file });
    if (fs.statSync(file).size > EACH) {
        const { status } = spawnSync("python3", ["-c", "import sys; from PIL import Image; f = sys.argv[1]; Image.open(f).convert('RGB').quantize(256, dither=0).save(f, optimize=True)", file], { stdio: "inherit" });
        assert.equal(status, 0);
    }
    assert.ok(fs.statSync(file).size < EACH, `${name}.png has ${fs.statSync(file).size} bytes`);
}

/* Words in the prompt, and the newest picture beside them. */
async function written(options, prompt) {
    const { page } = await open(browser, server.url, options);
    await page.waitForSelector(".size .cost.green");
    await page.waitForSelector(".frame.picture img");
    await page.fill("#prompt", prompt);
    await page.waitForTimeout(600); /* its plan */
    return page;
}

try {
    const APPLE = "a red apple on a white background";
    const desk = await written({ viewport: LOW }, APPLE);
    await take(desk, "create");
    await desk.fill("#steps", "120");
    await desk.click("#generate");
    await desk.waitForSelector(".frame.preview img");
    await desk.waitForFunction(() => /Step ([2-9]\d|1\d\d) of/.test(document.querySelector(".making-words")?.innerText));
    await take(desk, "making");
    await desk.click("#cancel");
    await desk.waitForSelector("#cancel", { state: "detached" });
    await desk.fill("#steps", "8");
    await desk.locator(".size", { hasText: "Custom" }).click();
    await desk.fill("#width", "2048");
    await desk.fill("#height", "2048");
    await desk.locator("#width").focus();
    await desk.waitForSelector(".alternative.nearest");
    await take(desk, "refused");
    await desk.goto(`${server.url}#/machine`);
    await desk.waitForSelector(".chart canvas");
    await take(desk, "machine");
    await desk.goto(`${server.url}#/gallery`);
    await desk.waitForSelector(".tile:not(.ghost) img");
    await take(desk, "gallery");
    for (const i of [1, 5]) await desk.locator(".tile-pick input").nth(i).check({ force: true });
    await desk.locator(".selection").getByRole("button", { name: "Compare" }).click();
    await desk.waitForSelector(".compare-box");
    await take(desk, "compare");

    await take(await written({ size: "phone" }, APPLE), "phone");
    await take(await written({ viewport: LOW, colorScheme: "dark" }, APPLE), "dark");
    await take(await written({ viewport: LOW, locale: "zh-CN" }, "白色背景上的一个红苹果"), "chinese");
} finally {
    await browser.close();
    await server.stop();
}
