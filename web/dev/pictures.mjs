/* Pictures for the mock server: a seeded landscape as RGB, written as PNG or as baseline JPEG, with nothing but
 * node's zlib. Must never be used by the page itself. */
import zlib from "node:zlib";

/** A small seeded generator of numbers in [0, 1). */
export function random(seed) {
    let a = (Number(seed) ^ 0x9e3779b9) >>> 0;
    return () => {
        a = (a + 0x6d2b79f5) >>> 0;
        let t = Math.imul(a ^ (a >>> 15), 1 | a);
        t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
        return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
}

const PALETTES = [
    [[247, 214, 178], [236, 150, 118], [255, 244, 214], [96, 72, 96], [38, 40, 66]],
    [[201, 224, 236], [122, 170, 200], [255, 252, 240], [70, 106, 120], [24, 48, 62]],
    [[232, 226, 206], [190, 196, 160], [250, 246, 226], [104, 128, 92], [40, 62, 48]],
    [[58, 56, 96], [150, 96, 130], [250, 236, 200], [52, 42, 80], [18, 16, 38]],
    [[240, 216, 220], [214, 150, 170], [255, 250, 245], [126, 84, 110], [60, 36, 60]],
];

function hill(rand) {
    const waves = Array.from({ length: 5 }, (_, i) => ({
        f: (i + 1) * (0.7 + rand() * 1.2), a: rand() / (i + 1), p: rand() * 6.283 }));
    return (x) => waves.reduce((s, w) => s + w.a * Math.sin(w.f * x * 3 + w.p), 0);
}

const mix = (a, b, t) => a + (b - a) * t;

/** width x height x 3 bytes. noise 0..1 hides the picture as an unfinished one is hidden. */
export function scene(width, height, seed, noise = 0) {
    const rand = random(seed);
    const [top, low, sun, near, dark] = PALETTES[Math.floor(rand() * PALETTES.length)];
    const sunX = 0.2 + rand() * 0.6, sunY = 0.2 + rand() * 0.25, sunR = 0.05 + rand() * 0.07;
    const hills = [0.52, 0.63, 0.75, 0.88].map((base) => ({ base, at: hill(rand), h: 0.05 + rand() * 0.05 }));
    const aspect = width / height, out = Buffer.alloc(width * height * 3);
    for (let x = 0; x < width; x++) {
        const u = x / width, tops = hills.map((h) => h.base - h.at(u * aspect) * h.h);
        for (let y = 0; y < height; y++) {
            const v = y / height, o = (y * width + x) * 3;
            const d = Math.hypot((u - sunX) * aspect, v - sunY);
            const glow = d < sunR ? 1 : Math.exp(-(d - sunR) * 7) * 0.55;
            let layer = -1;
            for (let i = 0; i < tops.length; i++) if (v > tops[i]) layer = i;
            for (let c = 0; c < 3; c++) {
                let value = mix(mix(top[c], low[c], Math.min(1, v * 1.7)), sun[c], glow);
                if (layer >= 0) {
                    const depth = (layer + 1) / tops.length;
                    const fog = Math.max(0, 1 - (v - tops[layer]) * 9) * 0.16;
                    value = mix(mix(near[c], dark[c], depth), low[c], (1 - depth) * 0.45 + fog);
                }
                if (noise > 0) value = mix(value, 128 + (Math.random() - 0.5) * 220, noise);
                out[o + c] = Math.max(0, Math.min(255, value + (rand() - 0.5) * 3));
            }
        }
    }
    return out;
}

const CRC = Array.from({ length: 256 }, (_, n) => {
    for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
    return n >>> 0;
});

export function crc32(buffer) {
    let c = 0xffffffff;
    for (const byte of buffer) c = CRC[(c ^ byte) & 255] ^ (c >>> 8);
    return (c ^ 0xffffffff) >>> 0;
}

function chunk(type, data) {
    const body = Buffer.concat([Buffer.from(type, "latin1"), data]), out = Buffer.alloc(body.length + 8);
    out.writeUInt32BE(data.length, 0);
    body.copy(out, 4);
    out.writeUInt32BE(crc32(body), body.length + 4);
    return out;
}

const SIGNATURE = Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]);

export function png(width, height, rgb, texts = {}) {
    const head = Buffer.alloc(13), rows = Buffer.alloc(height * (width * 3 + 1));
    head.writeUInt32BE(width, 0);
    head.writeUInt32BE(height, 4);
    head.set([8, 2, 0, 0, 0], 8);
    for (let y = 0; y < height; y++)
        rgb.copy(rows, y * (width * 3 + 1) + 1, y * width * 3, (y + 1) * width * 3);
    const text = Object.entries(texts).map(([key, value]) =>
        chunk("iTXt", Buffer.from(`${key}\0\0\0\0\0${value}`, "utf8")));
    return Buffer.concat([SIGNATURE, chunk("IHDR", head), ...text,
        chunk("IDAT", zlib.deflateSync(rows, { level: 3 })), chunk("IEND", Buffer.alloc(0))]);
}

/** {width, height, texts} of a PNG, or null. */
export function readPng(data) {
    if (data.length < 33 || !data.subarray(0, 8).equals(SIGNATURE)) return null;
    const texts = {};
    for (let at = 8; at + 12 <= data.length;) {
        const length = data.readUInt32BE(at), type = data.toString("latin1", at + 4, at + 8);
        if (at + 12 + length > data.length) return null;
        if (type === "iTXt" || type === "tEXt") {
            const body = data.subarray(at + 8, at + 8 + length), zero = body.indexOf(0);
            texts[body.toString("latin1", 0, zero)] = type === "iTXt"
                ? body.subarray(zero + 5).toString("utf8") : body.subarray(zero + 1).toString("latin1");
        }
        at += 12 + length;
    }
    return { width: data.readUInt32BE(16), height: data.readUInt32BE(20), texts };
}

/* JPEG, after ITU-T T.81: no subsampling, the standard's own tables. */
const ZIGZAG = [0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61,
    54, 47, 55, 62, 63];
const QUANT = [16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22,
    29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120,
    101, 72, 92, 95, 98, 112, 100, 103, 99].map((q) => Math.max(1, Math.round(q * 0.4)));
const DC_BITS = [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0], DC_VALUES = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
const AC_BITS = [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7d];
const AC_VALUES = [...Buffer.from("0102030004110512213141061351610722711432" +
    "8191a1082342b1c11552d1f02433627282090a161718191a25262728292a3435363738393a434445464748494a5354555657" +
    "58595a636465666768696a737475767778797a838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8" +
    "b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa", "hex")];

function codes(bits, values) {
    const table = {};
    let code = 0, k = 0;
    bits.forEach((n, i) => {
        for (let j = 0; j < n; j++) table[values[k++]] = [code++, i + 1];
        code <<= 1;
    });
    return table;
}
const DC = codes(DC_BITS, DC_VALUES), AC = codes(AC_BITS, AC_VALUES);
const COS = Array.from({ length: 64 }, (_, i) =>
    Math.cos(((2 * (i & 7) + 1) * (i >> 3) * Math.PI) / 16) * (i >> 3 ? 0.5 : Math.SQRT1_2 / 2));

function transform(block) {
    const half = new Float64Array(64), out = new Int32Array(64);
    for (let y = 0; y < 8; y++) for (let u = 0; u < 8; u++) {
        let s = 0;
        for (let x = 0; x < 8; x++) s += block[y * 8 + x] * COS[u * 8 + x];
        half[y * 8 + u] = s;
    }
    for (let v = 0; v < 8; v++) for (let u = 0; u < 8; u++) {
        let s = 0;
        for (let y = 0; y < 8; y++) s += half[y * 8 + u] * COS[v * 8 + y];
        out[v * 8 + u] = Math.round(s / QUANT[v * 8 + u]);
    }
    return out;
}

class Bits {
    constructor() { this.bytes = []; this.held = 0; this.count = 0; }
    put([code, length]) {
        for (let i = length - 1; i >= 0; i--) {
            this.held = (this.held << 1) | ((code >> i) & 1);
            if (++this.count === 8) {
                this.bytes.push(this.held);
                if (this.held === 255) this.bytes.push(0);
                this.held = this.count = 0;
            }
        }
    }
    number(value, size) { this.put([value < 0 ? value + (1 << size) - 1 : value, size]); }
    end() { while (this.count) this.put([1, 1]); return Buffer.from(this.bytes); }
}

const size = (n) => 32 - Math.clz32(Math.abs(n));

function encode(bits, q, before) {
    const difference = q[0] - before;
    bits.put(DC[size(difference)]);
    bits.number(difference, size(difference));
    let zeros = 0;
    for (let i = 1; i < 64; i++) {
        const value = q[ZIGZAG[i]];
        if (!value) { zeros++; continue; }
        for (; zeros > 15; zeros -= 16) bits.put(AC[0xf0]);
        bits.put(AC[(zeros << 4) | size(value)]);
        bits.number(value, size(value));
        zeros = 0;
    }
    if (zeros) bits.put(AC[0]);
    return q[0];
}

const segment = (marker, data) =>
    Buffer.concat([Buffer.from([255, marker, (data.length + 2) >> 8, (data.length + 2) & 255]), Buffer.from(data)]);

export function jpeg(width, height, rgb) {
    const bits = new Bits(), before = [0, 0, 0], block = new Float64Array(64);
    const part = [(r, g, b) => 0.299 * r + 0.587 * g + 0.114 * b - 128, (r, g, b) => -0.1687 * r - 0.3313 * g + 0.5 * b,
        (r, g, b) => 0.5 * r - 0.4187 * g - 0.0813 * b];
    for (let y = 0; y < height; y += 8) for (let x = 0; x < width; x += 8) for (let c = 0; c < 3; c++) {
        for (let i = 0; i < 64; i++) {
            const o = (Math.min(height - 1, y + (i >> 3)) * width + Math.min(width - 1, x + (i & 7))) * 3;
            block[i] = part[c](rgb[o], rgb[o + 1], rgb[o + 2]);
        }
        before[c] = encode(bits, transform(block), before[c]);
    }
    return Buffer.concat([Buffer.from([255, 0xd8]), segment(0xdb, [0, ...ZIGZAG.map((i) => QUANT[i])]),
        segment(0xc0, [8, height >> 8, height & 255, width >> 8, width & 255, 3, 1, 17, 0, 2, 17, 0, 3, 17, 0]),
        segment(0xc4, [0, ...DC_BITS, ...DC_VALUES]), segment(0xc4, [16, ...AC_BITS, ...AC_VALUES]),
        segment(0xda, [3, 1, 0, 2, 0, 3, 0, 0, 63, 0]), bits.end(), Buffer.from([255, 0xd9])]);
}

/** A zip of stored files. */
export function zip(files) {
    const parts = [], list = [];
    let at = 0;
    for (const { name, data } of files) {
        const n = Buffer.from(name), head = Buffer.alloc(30), entry = Buffer.alloc(46), crc = crc32(data);
        head.writeUInt32LE(0x04034b50, 0);
        head.writeUInt16LE(20, 4);
        head.writeUInt32LE(crc, 14);
        head.writeUInt32LE(data.length, 18);
        head.writeUInt32LE(data.length, 22);
        head.writeUInt16LE(n.length, 26);
        entry.writeUInt32LE(0x02014b50, 0);
        head.copy(entry, 6, 4, 30);
        entry.writeUInt32LE(at, 42);
        parts.push(head, n, data);
        list.push(entry, n);
        at += 30 + n.length + data.length;
    }
    const directory = Buffer.concat(list), end = Buffer.alloc(22);
    end.writeUInt32LE(0x06054b50, 0);
    end.writeUInt16LE(files.length, 8);
    end.writeUInt16LE(files.length, 10);
    end.writeUInt32LE(directory.length, 12);
    end.writeUInt32LE(at, 16);
    return Buffer.concat([...parts, directory, end]);
}
