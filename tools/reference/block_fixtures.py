"""Blocks of every stored type as PyPI gguf and torch decode them: random bytes, with scales that are
ordinary, zero, subnormal, largest, infinite and not a number."""
import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Q
from safetensors.torch import save_file

# Where the halves of a block lie, in bytes.
HALVES = {Q.Q4_0: [0], Q.Q4_1: [0, 2], Q.Q5_0: [0], Q.Q5_1: [0, 2], Q.Q8_0: [0], Q.Q2_K: [80, 82],
          Q.Q3_K: [108], Q.Q4_K: [0, 2], Q.Q5_K: [0, 2], Q.Q6_K: [208]}
SPECIAL = [0x0000, 0x8000, 0x0001, 0x83ff, 0x7bff, 0xfbff, 0x7c00, 0xfc00, 0x7e00, 0xfe01]


def blocks(kind, rng):
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    count = 32 if elements == 32 else 14
    raw = rng.integers(0, 256, (count, size), dtype=np.uint8)
    for i in range(count):
        for at in HALVES[kind]:
            # the first few as the bytes fall, then special ones, then ordinary ones
            if 2 <= i < 2 + len(SPECIAL):
                value = SPECIAL[(i - 2 + at // 2) % len(SPECIAL)]
            elif i >= 2:
                value = int(np.float16(rng.normal() * 0.01).view(np.uint16))
            else:
                continue
            raw[i, at], raw[i, at + 1] = value & 255, value >> 8
    with np.errstate(all="ignore"):
        return raw, gguf.quants.dequantize(raw, kind).astype(np.float32)


def write(path):
    rng = np.random.default_rng(17)
    out = {}
    for kind in HALVES:
        raw, values = blocks(kind, rng)
        out[f"raw.{kind.name}"] = torch.from_numpy(raw.reshape(-1))
        out[f"f32.{kind.name}"] = torch.from_numpy(values.reshape(-1))
    every = torch.arange(256, dtype=torch.int32).to(torch.uint8)
    for name, dtype in (("F8_E4M3", torch.float8_e4m3fn), ("F8_E5M2", torch.float8_e5m2)):
        out[f"raw.{name}"] = every.clone()
        out[f"f32.{name}"] = every.view(dtype).to(torch.float32)
    halves = torch.tensor([h for h in range(0, 65536, 41)] + SPECIAL, dtype=torch.int32)
    halves = halves.to(torch.int16)
    out["raw.F16"] = halves.view(torch.uint8).clone()
    out["f32.F16"] = halves.view(torch.float16).to(torch.float32)
    save_file(out, path)
