/* Every page and dialog under axe-core, light and dark, at a phone's and a desk's width: no serious finding. And the door, where the server
 * has a token. */
import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";
import { launch, open, serve, shot } from "./browser.mjs";

const source = fs.readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

async function audit(page, name) {
    /* The page's own policy forbids evaluated scripts; a browser's debugger may. */
    await page.evaluate(source);
    const { violations } = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
    const bad = violations.filter((v) => ["serious", "critical"].includes(v.impact));
    for (const v of violations) console.log(`${name}: ${v.impact} ${v.id}: ${v.nodes.slice(0, 3).map((n) => n.target.join(" ")).join(" | ")}`);
    assert.equal(bad.length, 0, `${name}: ${bad.map((v) => v.id).join(", ")}`);
}

const DIALOGS = {
    details: async (page) => { await page.locator(".tile-picture").first().click(); await page.waitForSelector("dialog.detail img"); },
    zoom: async (page) => { await page.locator("dialog .frame-button img").click(); await page.waitForSelector(".pane img"); },
};

async function pages(browser, url, size, colorScheme) {
    const { page, context, faults } = await open(browser, url, { size, colorScheme }), name = (p) => `${size} ${colorScheme} ${p}`;
    for (const p of ["create", "gallery", "machine", "settings", "about"]) {
        await page.goto(`${url}#/${p}`);
        await page.waitForSelector({ create: ".size .cost.green", gallery: ".tile:not(.ghost) img", machine: ".chart canvas", settings: "#set-steps", about: ".licences" }[p]);
        await page.evaluate(() => document.querySelectorAll("details").forEach((d) => { d.open = true; }));
        await audit(page, name(p));
    }
    await page.goto(`${url}#/gallery`);
    for (const [dialog, show] of Object.entries(DIALOGS)) {
        await show(page);
        await audit(page, name(dialog));
    }
    await page.keyboard.press("Escape");
    for (const i of [0, 1]) await page.locator(".tile-pick input").nth(i).check({ force: true });
    await page.locator(".selection").getByRole("button", { name: "Compare" }).click();
    await page.waitForSelector(".compare-box");
    await audit(page, name("compare"));
    assert.deepEqual(faults, []);
    await context.close();
}

const TOKEN = "apples-and-pears-of-this-autumn";

async function door(browser) {
    const server = await serve("--token", TOKEN), { page, context, faults } = await open(browser, server.url, { size: "phone" });
    await page.waitForSelector("#token");
    await audit(page, "login");
    await shot(page, "login");
    await page.fill("#token", "pears");
    await page.keyboard.press("Enter");
    await page.waitForSelector(".login .wrong");
    await page.fill("#token", TOKEN);
    await page.keyboard.press("Enter");
    await page.waitForSelector("#generate");
    await page.getByRole("button", { name: "Log out" }).click();
    await page.waitForSelector("#token");
    assert.deepEqual(faults, []);
    await context.close();
    await server.stop();
}

const browser = await launch(), server = await serve("--images", "4");
try {
    for (const size of ["phone", "desktop"]) for (const scheme of ["light", "dark"]) await pages(browser, server.url, size, scheme);
    await door(browser);
    console.log("axe: no serious findings");
} finally {
    await browser.close();
    await server.stop();
}
