// Draws the chosen pictures of an icon set at one size: raw RGBA, one after the other, in the order of objects.txt.
// usage: node raster.mjs SET SIZE OBJECTS OUT    a picture that the set has not is all transparent
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
const packages = process.env.MINI_PACKAGES ?? join(import.meta.dirname, "node_modules");
const require = createRequire(join(packages, "x.js"));
const { Resvg } = require("@resvg/resvg-js");
const [set, size, objects, out] = process.argv.slice(2);
const json = (name) => JSON.parse(readFileSync(join(packages, "@iconify-json", set, name)));
const icons = json("icons.json"), plain = (code) => code.toLowerCase().replaceAll("-fe0f", "");
const byCode = Object.fromEntries(Object.entries(json("chars.json")).map(([code, name]) => [plain(code), name]));
// The rasteriser fails at these.
const skip = new Set(["noto 1F4E6"]);
const shapes = JSON.parse(readFileSync(join(import.meta.dirname, "shapes.json")));
const parts = readFileSync(objects, "utf8").trim().split("\n").map((line) => {
  const code = line.split("\t")[0];
  const name = byCode[plain(code)];
  const icon = icons.icons[name] ?? icons.icons[icons.aliases?.[name]?.parent];
  const own = shapes[code]?.replace("width='32' height='32'", `width="${size}" height="${size}"`);
  if ((!icon && !own) || skip.has(`${set} ${code}`)) return Buffer.alloc(size * size * 4);
  const w = icon?.width ?? icons.width, h = icon?.height ?? icons.height;
  const svg = own ?? `<svg xmlns="http://www.w3.org/2000/svg" width="${size}" height="${size}" viewBox="0 0 ${w} ${h}">${icon.body}</svg>`;
  const image = new Resvg(svg).render();
  if (image.width != size || image.height != size) throw new Error(`${name} is not square`);
  return Buffer.from(image.pixels);
});
writeFileSync(out, Buffer.concat(parts));
console.log(`${set}: ${parts.length} pictures, ${parts.filter((p) => p.every((v) => v === 0)).length} missing`);
