/* Makes dist/ from src/: one script, one style sheet, one font, one icon, the licences. The same sources and lock file give the
 * same bytes. `--check` builds elsewhere and compares; it fails if dist/ is not what src/ makes, or grew too heavy. */
import * as esbuild from "esbuild";
import crypto from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import zlib from "node:zlib";

const here = path.dirname(fileURLToPath(import.meta.url)), dist = path.join(here, "dist");
const LIMIT = 200 * 1024; /* compressed bytes of a first visit */
const SHIPPED = ["preact", "htm", "@preact/signals", "@preact/signals-core", "uplot", "@fontsource-variable/geist"];

function licences() {
    return SHIPPED.map((name) => {
        const folder = path.join(here, "node_modules", name), about = JSON.parse(fs.readFileSync(path.join(folder, "package.json"), "utf8"));
        const file = fs.readdirSync(folder).find((f) => /^licen[cs]e/i.test(f));
        const text = file ? fs.readFileSync(path.join(folder, file), "utf8").trim().replace(/\r\n/g, "\n") : "";
        return `${name} ${about.version} (${about.license})\n\n${text}\n`;
    }).join(`\n${"-".repeat(78)}\n\n`);
}

/** Sums of what dist/ is made from, for tests/check-web, which needs no npm. */
function sources() {
    const files = ["build.mjs", "package-lock.json", ...list(path.join(here, "src")).map((f) => `src/${f}`)].sort();
    return files.map((f) => `${crypto.createHash("sha256").update(fs.readFileSync(path.join(here, f))).digest("hex")}  ${f}\n`).join("");
}

async function build(to) {
    const assets = path.join(to, "assets");
    fs.rmSync(to, { recursive: true, force: true });
    fs.mkdirSync(assets, { recursive: true });
    await esbuild.build({
        entryPoints: { app: path.join(here, "src/main.js"), app_style: path.join(here, "src/style/all.css"),
            first: path.join(here, "src/first.js") },
        bundle: true, minify: true, format: "esm", target: ["es2022", "chrome109", "firefox115", "safari16.4"], outdir: assets,
        charset: "utf8", legalComments: "none", logLevel: "warning", absWorkingDir: here,
        loader: { ".woff2": "file" }, assetNames: "[name]", external: ["/assets/*"],
    });
    fs.renameSync(path.join(assets, "app_style.css"), path.join(assets, "app.css"));
    fs.copyFileSync(path.join(here, "src/index.html"), path.join(to, "index.html"));
    fs.copyFileSync(path.join(here, "src/icon.svg"), path.join(assets, "icon.svg"));
    fs.writeFileSync(path.join(assets, "licences.txt"), licences());
    fs.writeFileSync(path.join(to, ".sources"), sources());
}

function list(folder) {
    return fs.readdirSync(folder, { recursive: true }).filter((f) => fs.statSync(path.join(folder, f)).isFile()).sort();
}

function weigh(folder) {
    let total = 0;
    for (const f of list(folder)) {
        const data = fs.readFileSync(path.join(folder, f)), small = f.endsWith(".woff2") ? data.length : zlib.gzipSync(data, { level: 9 }).length;
        if (!f.endsWith(".txt") && f !== ".sources") total += small;
        console.log(`${f.padEnd(36)} ${String(data.length).padStart(8)} ${String(small).padStart(8)}`);
    }
    console.log(`first visit, compressed: ${total} bytes of ${LIMIT}`);
    return total <= LIMIT;
}

function same(a, b) {
    const names = list(a), others = list(b);
    const unlike = [...new Set([...names, ...others])].filter((f) => !names.includes(f) || !others.includes(f)
        || !fs.readFileSync(path.join(a, f)).equals(fs.readFileSync(path.join(b, f))));
    for (const f of unlike) console.error(`dist/${f} is not what src/ makes. Run: npm ci && npm run build`);
    return unlike.length === 0;
}

if (process.argv.includes("--check")) {
    const other = fs.mkdtempSync(path.join(os.tmpdir(), "mebi-web-"));
    await build(path.join(other, "dist"));
    const good = same(dist, path.join(other, "dist")) & weigh(dist);
    fs.rmSync(other, { recursive: true, force: true });
    process.exit(good ? 0 : 1);
} else {
    await build(dist);
    if (!weigh(dist)) process.exit(1);
}
