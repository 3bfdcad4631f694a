/* From 360 to 1600 pixels, in both languages, no page is wider than the window, and what is pressed is large enough for a finger. */
import assert from "node:assert/strict";
import { launch, open, serve } from "./browser.mjs";

const WIDTHS = [360, 414, 768, 899, 900, 1024, 1600], SMALLEST = 24;

const small = (least) => [...document.querySelectorAll("button, a, select, summary, input:not(.sr)")].filter((e) => {
    const { width, height } = e.getBoundingClientRect();
    return e.checkVisibility() && width > 0 && !e.closest("p, li, dd, .skip, .tile-pick, .compare-box") && !e.matches(".skip, .frame-button") && (width < least || height < least);
}).map((e) => e.outerHTML.slice(0, 90));

const browser = await launch(), server = await serve("--images", "3");
try {
    for (const locale of ["en-GB", "zh-CN"]) {
        const { page, faults } = await open(browser, server.url, { size: "phone", locale });
        for (const name of ["create", "gallery", "machine", "settings", "about"]) {
            await page.goto(`${server.url}#/${name}`);
            await page.waitForSelector({ create: ".size .cost.green", gallery: ".tile img", machine: ".chart canvas", settings: "#set-steps", about: ".licences" }[name]);
            for (const width of WIDTHS) {
                await page.setViewportSize({ width, height: 740 });
                /* The markup's own order changes with the width, a frame later. */
                await page.waitForFunction(() => document.documentElement.scrollWidth <= innerWidth, null, { timeout: 3000 })
                    .catch(() => assert.fail(`${name} at ${width}, ${locale}: wider than the window`));
                assert.deepEqual(await page.evaluate(small, SMALLEST), [], `${name} at ${width}, ${locale}`);
            }
        }
        assert.deepEqual(faults, []);
    }
    console.log("narrow: all pages fit");
} finally {
    await browser.close();
    await server.stop();
}
