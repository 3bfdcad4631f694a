/* The table of words: every key the page uses is there, in both languages with the same values, and none is left over. */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { strings } from "../src/text/strings.js";

const src = path.join(path.dirname(fileURLToPath(import.meta.url)), "..", "src");
const text = fs.readdirSync(src, { recursive: true }).filter((f) => f.endsWith(".js") && !f.includes("strings")).map((f) => fs.readFileSync(path.join(src, f), "utf8")).join("\n");

/* Quoted words of a call of t, its conditional ones too, and the beginnings of composed ones. */
const used = new Set([...text.matchAll(/["'`]([a-z0-9_.]+)["'`]/g)].map((m) => m[1]));
const composed = [...text.matchAll(/`([a-z]+_)\$\{/g)].map((m) => m[1]).concat(["memory_", "plan_"]);
const called = [...text.matchAll(/\bt\("([a-z0-9_]+)"/g)].map((m) => m[1]);

for (const key of called) assert.ok(key in strings, `t("${key}") has no words`);
for (const key of Object.keys(strings)) assert.ok(used.has(key) || composed.some((c) => key.startsWith(c)), `'${key}' is used nowhere`);
for (const [key, [english, chinese]] of Object.entries(strings)) {
    const values = (s) => [...s.matchAll(/\{(\w+)\}/g)].map((m) => m[1]).sort().join();
    assert.ok(chinese, `'${key}' has no Chinese`);
    if (!key.startsWith("help_")) assert.equal(values(english), values(chinese), `'${key}' names other values in Chinese`);
    if (!key.startsWith("help_") && key !== "other_language") assert.ok(!/[\u4e00-\u9fff]/.test(english), `'${key}' has Chinese in its English`);
}
console.log(`words: ${Object.keys(strings).length} keys`);
