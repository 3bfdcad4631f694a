/* Runs all tests of the page, one after the other. */
import { spawnSync } from "node:child_process";
import path from "node:path";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
for (const name of ["words", "load", "axe", "narrow", "journey", "checks"]) {
    const { status } = spawnSync(process.execPath, [path.join(here, `${name}.mjs`)], { stdio: "inherit" });
    if (status !== 0) process.exit(status ?? 1);
}
