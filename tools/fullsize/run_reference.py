#!/usr/bin/env python3
"""One full-size pass through diffusers' ZImageTransformer2DModel, every block's output by name.

The model is made without memory; a block's weights are read from the shards just before diffusers
calls it and dropped right after, so a pass needs a few GB at most. The arithmetic and all that joins
the blocks is diffusers' own. --dtype bf16 is what its users run; f32 has the same weights widened.

The outputs' names are those of tests/fixtures/README.md, and the inputs are stored with them:
latent [16, H/8, W/8], features [T, E] (both rounded to bf16, so that each run gets the same), and
timestep [1], the model's time input before t_scale.
"""
import argparse
import json
import time
from pathlib import Path

import torch
from diffusers import ZImageTransformer2DModel
from safetensors import safe_open
from safetensors.torch import save_file


class Shards:
    def __init__(self, folder):
        index = folder / "diffusion_pytorch_model.safetensors.index.json"
        where = json.loads(index.read_text())["weight_map"]
        files = {name: safe_open(folder / name, "pt") for name in set(where.values())}
        self.where = {name: files[file] for name, file in where.items()}

    def load(self, module, prefix, dtype, recurse=True):
        names = dict(module.named_parameters(recurse=recurse))
        state = {name: self.where[prefix + name].get_tensor(prefix + name).to(dtype)
                 for name in names}
        module.load_state_dict(state, assign=True, strict=recurse)


def prepare(model, shards, dtype, record):
    """Small modules are loaded now; blocks as they are called."""
    blocks = {f"{stage}.{i}": block for stage in ("noise_refiner", "context_refiner", "layers")
              for i, block in enumerate(getattr(model, stage))}
    shards.load(model, "", dtype, recurse=False)  # the pad tokens
    for name in ("all_x_embedder", "all_final_layer", "t_embedder", "cap_embedder"):
        shards.load(getattr(model, name), f"{name}.", dtype)
    begun = {}

    def before(block, args, name):
        begun[name] = time.monotonic()
        shards.load(block, f"{name}.", dtype)
        if name in ("noise_refiner.0", "context_refiner.0"):
            record("x_embedder" if name[0] == "n" else "cap_embedder", args[0][0])

    def after(block, args, out, name):
        block.to("meta")
        record(name, out[0])
        print(f"{name}: {time.monotonic() - begun[name]:.1f} s", flush=True)

    for name, block in blocks.items():
        block.register_forward_pre_hook(lambda m, a, n=name: before(m, a, n))
        block.register_forward_hook(lambda m, a, o, n=name: after(m, a, o, n))
    model.t_embedder.register_forward_hook(lambda m, a, out: record("t_emb", out[0]))
    tokens = lambda: record.image_tokens  # noqa: E731
    model.all_final_layer["2-1"].register_forward_hook(
        lambda m, a, out: record("final_layer", out[0, :tokens()]))


class Record:
    def __init__(self, image_tokens):
        self.tensors, self.image_tokens = {}, image_tokens

    def __call__(self, name, value):
        self.tensors[f"dit.{name}"] = value.detach().float().contiguous().clone()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="the diffusers folder")
    parser.add_argument("out", type=Path, help="the safetensors file to write")
    parser.add_argument("--dtype", choices=("f32", "bf16"), default="f32")
    parser.add_argument("--size", type=int, default=256, help="pixels a side")
    parser.add_argument("--tokens", type=int, default=64, help="of the caption")
    parser.add_argument("--time", type=float, default=0.7)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[options.dtype]

    folder = options.model / "transformer"
    with torch.device("meta"):
        model = ZImageTransformer2DModel.from_config(
            ZImageTransformer2DModel.load_config(folder)).eval()
    side = options.size // 8
    generator = torch.Generator().manual_seed(options.seed)
    latent = torch.randn(16, side, side, generator=generator).bfloat16()
    features = torch.randn(options.tokens, model.config.cap_feat_dim, generator=generator).bfloat16()
    timestep = torch.tensor([options.time])

    record = Record(-(-(side // 2) ** 2 // 32) * 32)
    prepare(model, Shards(folder), dtype, record)
    begin = time.monotonic()
    with torch.no_grad():
        out = model([latent.to(dtype)[:, None]], timestep, [features.to(dtype)], return_dict=False)
    record("output", out[0][0][:, 0])
    print(f"{options.dtype} pass: {time.monotonic() - begin:.0f} s")
    save_file({**record.tensors, "latent": latent.float(), "features": features.float(),
               "timestep": timestep}, options.out)


if __name__ == "__main__":
    main()
