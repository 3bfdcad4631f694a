#!/usr/bin/env python3
"""Writes tests/fixtures: small models, cases with expected tensors, schedules, random numbers and
tokenized strings. Running it again gives the same bytes. See README.md."""
import argparse
import json
import os
import shutil
import warnings
from pathlib import Path

# The loops torch would pick on most machines, and an order of additions that does not vary.
os.environ["ATEN_CPU_CAPABILITY"] = "avx2"
os.environ.update(MKL_CBWR="AVX2", HF_HUB_OFFLINE="1", TQDM_DISABLE="1")
warnings.filterwarnings("ignore")

import torch  # noqa: E402
from diffusers.utils import logging as diffusers_logging  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

import run_case  # noqa: E402
import small_models  # noqa: E402
import small_tokenizer  # noqa: E402
import tables  # noqa: E402
import tokenizer_strings  # noqa: E402

diffusers_logging.set_verbosity_error()
LIMIT = 5_500_000
APPLE = "a red apple on a white background"
APPLE_ZH = "纯白背景,一个红色苹果"
LONG = "a red apple, 一个蓝色方块, " * 60  # over 512 tokens
BLOCKS = {"encoder", "dit", "image"}
ENDS = {"features", "dit-output", "image"}
LATENTS_40 = (0, 1, 2, 5, 10, 20, 30, 39, 40)


def case(name, model, stages, latents=None, **values):
    settings = {"prompt": APPLE, "negative": None, "width": 64, "height": 64, "steps": 4, "cfg": 0.0,
                "seed": 7, "count": 1}
    assert set(values) <= set(settings) | {"cfg_truncation", "cfg_normalization"}, values
    settings.update(values)
    if latents is None:
        latents = range(settings["steps"] + 1)
    return name, model, set(stages), tuple(latents), settings


def cases():
    last = lambda steps: (steps,)  # noqa: E731
    return [
        # every stage of every model
        case("tiny-stages", "tiny", BLOCKS | {"vae", "decoded"}, width=32, height=16, steps=1),
        case("odd-stages", "odd", BLOCKS | {"vae", "decoded"}, width=16, height=32, cfg=2.5,
             negative="blurry, black"),
        case("bf16-stages", "bf16", BLOCKS | {"vae", "decoded"}, width=32, height=16,
             prompt=APPLE_ZH),
        # lengths of prompts; token counts are checked below
        case("prompt-empty", "tiny", ENDS, prompt="", steps=1),
        case("prompt-1-token", "odd", ENDS, prompt="a", steps=1),
        case("prompt-32-ids", "tiny", ENDS, prompt="苹果" * 21, steps=1, seed=1),
        case("prompt-64-ids", "odd", ENDS, prompt="a red apple " * 17 + "a cube", seed=2),
        case("prompt-65-ids", "bf16", ENDS, prompt="a red apple " * 17 + "on a cup", seed=2),
        case("prompt-over-512", "tiny", ENDS, prompt=LONG, steps=1),
        case("prompt-chinese", "tiny", {"dit", "image"}, prompt=APPLE_ZH, steps=8),
        # steps
        case("steps-9", "odd", {"image"}, (0, 1, 2, 8, 9), steps=9, seed=(1 << 33) + 5),
        case("steps-40", "tiny", {"image"}, LATENTS_40, steps=40),
        case("steps-40-cfg", "odd", {"image"}, (1, 20, 40), steps=40, cfg=2.0),
        # guidance: on for every scale above 0
        case("cfg", "tiny", ENDS, steps=8, cfg=3.5, negative="blue cube, 蓝色方块的背景"),
        case("cfg-long-negative", "tiny", ENDS, cfg=3.5, prompt="a", negative=APPLE * 5, width=32),
        case("cfg-empty-negative", "odd", ENDS, steps=8, cfg=4.0, negative="", width=48, height=32),
        case("cfg-no-negative", "bf16", ENDS, steps=8, cfg=4.0, width=48, height=32),
        case("cfg-below-1", "tiny", set(), last(4), cfg=0.5, negative="cup"),
        case("cfg-1", "tiny", set(), last(4), cfg=1.0, negative="cup"),
        case("cfg-truncation", "tiny", {"image"}, steps=8, cfg=5.0, cfg_truncation=0.3, width=32),
        case("cfg-truncation-0", "odd", set(), cfg=5.0, cfg_truncation=0.0, height=32),
        case("cfg-normalization", "odd", {"image"}, cfg=5.0, cfg_normalization=1.0, height=32),
        case("cfg-normalization-low", "tiny", {"image"}, cfg=5.0, cfg_normalization=0.8,
             cfg_truncation=0.6, negative="red", height=48),
        # batches: image i is the single image of seed + i
        case("batch-3", "tiny", {"image"}, (0, 1, 4), count=3),
        case("batch-3-cfg", "odd", {"image"}, (0, 2), count=3, steps=2, cfg=3.0, width=32, height=48),
        # sizes, with the number of image tokens
        case("size-16x16", "odd", ENDS, width=16, height=16, steps=1),                  # 1
        case("size-128x64", "bf16", ENDS, width=128, height=64, steps=1),               # 32
        case("size-160x96", "tiny", {"image"}, last(4), width=160, height=96),          # 60
        case("size-208x336", "tiny", {"image"}, last(1), width=208, height=336, steps=1),    # 273
        case("size-336x208", "odd", set(), last(4), width=336, height=208, cfg=2.0),
    ]


LENGTHS = {"prompt-32-ids": 32, "prompt-64-ids": 64, "prompt-65-ids": 65, "prompt-over-512": 512}
SAME_AS = {"original-stages": "tiny-stages", "original-chinese": "prompt-chinese",
           "original-cfg": "cfg", "original-over-512": "prompt-over-512"}


def tolerance(model, settings):
    """Relative error of a stage and of latents; the picture's largest difference in 8-bit steps."""
    if model == "bf16":
        return {"stage": 1e-2, "latents": 1e-2, "image": 4}
    return {"stage": 1e-5, "latents": 1e-4 if settings["steps"] >= 40 else 1e-5, "image": 1}


def dump(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def describe(name, model, folder, settings, expected):
    out = {"model": f"models/{folder}",
           "layout": "original" if folder.endswith("-original") else "diffusers", **settings,
           "expected": f"cases/{expected}.safetensors", "tolerance": tolerance(model, settings)}
    if model == "bf16":
        out["reference"] = "f32 arithmetic on bf16 weights (VAE: f16 weights)"
    return out


def write_cases(out, pipes):
    folder = out / "cases"
    folder.mkdir(parents=True)
    by_name = {}
    for name, model, stages, latents, settings in cases():
        tensors = run_case.run(pipes[model], settings)
        if name in LENGTHS:
            assert len(tensors["ids"]) == LENGTHS[name], (name, len(tensors["ids"]))
        if settings["count"] > 1:
            check_batch(name, pipes[model], settings, tensors)
        check_range(name, tensors)
        stored = run_case.choose(tensors, settings, stages, latents)
        save_file(stored, folder / f"{name}.safetensors")
        dump(folder / f"{name}.json", describe(name, model, model, settings, name))
        by_name[name] = (model, settings)
    for name, expected in SAME_AS.items():
        model, settings = by_name[expected]
        dump(folder / f"{name}.json", describe(name, model, f"{model}-original", settings, expected))
    for model, pipe in pipes.items():
        settings = {"kind": "vae_encode", "width": 48, "height": 32, "seed": 3}
        name = f"vae-encode-{model}"
        save_file(run_case.run_vae_encode(pipe, settings), folder / f"{name}.safetensors")
        tolerances = {"stage": 1e-2 if model == "bf16" else 1e-5}
        value = {"model": f"models/{model}", "layout": "diffusers", **settings,
                 "expected": f"cases/{name}.safetensors", "tolerance": tolerances}
        dump(folder / f"{name}.json", value)
        if model == "tiny":
            value = {**value, "model": "models/tiny-original", "layout": "original"}
            dump(folder / "vae-encode-original.json", value)


def check_batch(name, pipe, settings, tensors):
    """torch adds in another order for another batch size, so this holds to rounding only."""
    final = f"latents.{settings['steps']}"
    for i in range(settings["count"]):
        single = {**settings, "count": 1, "seed": settings["seed"] + i}
        alone = run_case.run(pipe, single)
        assert torch.equal(alone["latents.0"], tensors["latents.0"][i]), name
        error = (alone[final] - tensors[final][i]).norm() / alone[final].norm()
        assert error < 2e-6, (name, i, error)


def check_range(name, tensors):
    """An image that saturates would hide errors."""
    decoded = tensors["decoded"]
    outside = float((decoded.abs() > 1).float().mean())
    assert outside < 0.08 and float(decoded.std()) > 0.15, (name, outside, float(decoded.std()))


def main():
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=here.parents[1] / "tests/fixtures")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)

    for part in ("models", "cases", "tokenizer", "gguf"):
        shutil.rmtree(out / part, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    pipes = {}
    for name, spec in small_models.MODELS.items():
        small_models.make(spec, out / "models" / name)
        pipes[name] = small_models.load(spec, out / "models" / name)
    small_models.make_original(small_models.TINY, pipes["tiny"], out / "models/tiny-original")
    write_cases(out, pipes)

    dump(out / "sigmas.json", tables.sigmas())
    randn = tables.randn()
    save_file(randn, out / "randn.safetensors")
    print(tables.randn_report(randn))

    small_tokenizer.write(out / "tokenizer/small", "all")
    tokenizer_strings.write_small(out / "tokenizer")

    import gguf_models  # takes cases' helpers from here
    gguf_models.write(out)

    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"{size} bytes in {out}")
    assert size < LIMIT, f"the fixtures must stay under {LIMIT} bytes"


if __name__ == "__main__":
    main()
