#!/usr/bin/env python3
"""Times mebi against torch's own classes: the same weights, the same machine, one run after the other.

    python tools/fullsize/compare_torch.py full/model --mebi build/mebi --part step --precision int8

step: one pass of diffusers' ZImageTransformer2DModel at --size with --tokens prompt tokens, beside
`mebi bench`'s step. encode: transformers' Qwen3Model without its last layer. decode: diffusers'
AutoencoderKL decoder, contiguous and channels-last. --dtype takes what torch computes in; --threads
is given to both.

Where a machine multiplies bf16 slowly a whole step can take torch a quarter of an hour. --blocks N
times N of the 30 layers, and both refiners' blocks, and counts them for the rest: every layer has the
same shapes. Weights are then read for those alone. What is left out besides (embedding, final layer,
under 1 % of the arithmetic) is in torch's favour.
"""
import argparse
import json
import statistics
import subprocess
import time
from pathlib import Path

import torch
from safetensors import safe_open

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


class Weights:
    def __init__(self, folder, prefix=""):
        index = list(folder.glob("*.safetensors.index.json"))
        if index:
            where = json.loads(index[0].read_text())["weight_map"]
        else:
            file = next(folder.glob("*.safetensors"))
            where = dict.fromkeys(safe_open(file, "pt").keys(), file.name)
        files = {name: safe_open(folder / name, "pt") for name in set(where.values())}
        self.where = {name: files[file] for name, file in where.items()}
        self.prefix = prefix

    def fill(self, module, name, dtype):
        """Gives a module made on the meta device its weights."""
        state = {leaf: self.where[self.prefix + name + leaf].get_tensor(self.prefix + name + leaf).to(dtype)
                 for leaf, _ in module.named_parameters()}
        module.load_state_dict(state, assign=True)
        return module.eval()


def timed(function, runs):
    """Median seconds of some calls after one that warms up, unless a single call is asked for."""
    if runs > 1:
        function()
    seconds = []
    for _ in range(runs):
        begin = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def step_model(options, dtype, layers):
    from diffusers import ZImageTransformer2DModel
    folder = options.model / "transformer"
    config = dict(ZImageTransformer2DModel.load_config(folder), n_layers=layers)
    with torch.device("meta"):
        model = ZImageTransformer2DModel.from_config(config)
    model.rope_embedder.freqs_cis = None  # made anew, not on the meta device
    return Weights(folder).fill(model, "", dtype)


def step_inputs(options, dtype):
    generator = torch.Generator().manual_seed(1)
    latent = torch.randn(16, 1, options.height // 8, options.width // 8, generator=generator)
    features = torch.randn(options.tokens, 2560, generator=generator)
    return [latent.to(dtype)], torch.tensor([0.7], dtype=dtype), [features.to(dtype)]


def time_step(options, dtype):
    """A pass; with --blocks one of so many layers, each clocked, and the rest reckoned from them."""
    layers = options.blocks or 30
    model = step_model(options, dtype, layers)
    inputs = step_inputs(options, dtype)
    clocked = []
    for layer in model.layers:
        layer.register_forward_pre_hook(lambda *_: clocked.append(-time.perf_counter()))
        layer.register_forward_hook(lambda *_: clocked.append(clocked.pop() + time.perf_counter()))
    total = timed(lambda: model(*inputs), options.runs)
    one = statistics.median(clocked)
    if not options.blocks:
        return total, "whole"
    rest = total - layers * one
    return rest + 30 * one, f"from {layers} of 30 layers ({one:.2f} s each, {rest:.2f} s the rest)"


def time_encode(options, dtype):
    from transformers import Qwen3Config, Qwen3Model
    folder = options.model / "text_encoder"
    config = Qwen3Config.from_dict(json.loads((folder / "config.json").read_text()))
    config.num_hidden_layers -= 1
    config.layer_types = config.layer_types[:-1] if config.layer_types else None
    with torch.device("meta"):
        model = Qwen3Model(config)
    weights = Weights(folder, "model.")
    weights.fill(model, "", dtype)
    # Buffers have no values on the meta device.
    model.rotary_emb = type(model.rotary_emb)(config)
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, config.vocab_size, (1, options.tokens), generator=generator)
    return timed(lambda: model(input_ids=ids, use_cache=False), options.runs), "whole"


def time_decode(options, dtype, layout):
    from diffusers import AutoencoderKL
    folder = options.model / "vae"
    with torch.device("meta"):
        model = AutoencoderKL.from_config(AutoencoderKL.load_config(folder))
    Weights(folder).fill(model, "", dtype)
    generator = torch.Generator().manual_seed(1)
    latent = torch.randn(1, 16, options.height // 8, options.width // 8, generator=generator).to(dtype)
    if layout == "channels_last":
        model = model.to(memory_format=torch.channels_last)
        latent = latent.to(memory_format=torch.channels_last)
    return timed(lambda: model.decode(latent).sample, options.runs), layout


def ours(options):
    command = [options.mebi, "bench", "--full-size", "-m", str(options.model), "--json", "--stage",
               options.part, "--precision", options.precision, "--threads", str(options.threads),
               "--runs", str(options.mebi_runs), "--tokens", str(options.tokens), "--size",
               f"{options.width}x{options.height}"]
    result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return result["stages"][options.part]


def torch_cases(options):
    for name in options.dtype.split(","):
        dtype = DTYPES[name]
        if options.part == "step":
            yield name, lambda d=dtype: time_step(options, d)
        elif options.part == "encode":
            yield name, lambda d=dtype: time_encode(options, d)
        else:
            for layout in options.layout.split(","):
                yield name, lambda d=dtype, l=layout: time_decode(options, d, l)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a diffusers folder")
    parser.add_argument("--mebi", default="build/mebi", help="the program; none: torch alone")
    parser.add_argument("--part", choices=("step", "encode", "decode"), default="step")
    parser.add_argument("--precision", choices=("f32", "bf16", "int8"), default="int8")
    parser.add_argument("--size", default="512x512")
    parser.add_argument("--tokens", type=int, default=61)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", default="bf16", help="torch's: bf16, f32, or both with a comma")
    parser.add_argument("--layout", default="contiguous,channels_last")
    parser.add_argument("--runs", type=int, default=1, help="torch's; from 2 on one more warms up")
    parser.add_argument("--mebi-runs", type=int, default=3)
    parser.add_argument("--blocks", type=int, default=0)
    options = parser.parse_args()
    options.width, options.height = (int(side) for side in options.size.split("x"))
    torch.set_num_threads(options.threads)
    our = ours(options) if options.mebi != "none" else None
    if our:
        print(f"mebi {options.precision}: {our['seconds']:.2f} s ({our['gops']:.0f} GOP/s)", flush=True)
    with torch.inference_mode():
        for name, run in torch_cases(options):
            seconds, how = run()
            ratio = f", {seconds / our['seconds']:.2f} times ours" if our else ""
            print(f"torch {torch.__version__} {name}, {how}: {seconds:.2f} s{ratio}", flush=True)


if __name__ == "__main__":
    main()
