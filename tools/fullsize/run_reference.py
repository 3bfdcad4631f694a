#!/usr/bin/env python3
"""One full-size pass through the reference's own classes, every block's output by name.

A model is made without memory; a block's weights are read from the shards just before the reference
calls it and dropped right after, so a pass needs a few GB at most. The arithmetic and all that joins
the blocks is that of diffusers and transformers. --dtype bf16 is what their users run; f32 has the
same weights widened.

The outputs' names are those of tests/fixtures/README.md. Inputs are stored with them, rounded to
bf16 so that each run gets the same: transformer: latent [16, H/8, W/8], features [T, E], timestep
[1] (the model's time input before t_scale); text_encoder: ids [T]; vae: latent [16, H/8, W/8].
"""
import argparse
import json
import time
from pathlib import Path

import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, ZImageTransformer2DModel
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import Qwen3Config, Qwen3Model


class Shards:
    def __init__(self, folder, prefix=""):
        indices = list(folder.glob("*.safetensors.index.json"))
        if indices:
            where = json.loads(indices[0].read_text())["weight_map"]
            files = {name: safe_open(folder / name, "pt") for name in set(where.values())}
            self.where = {name: files[file] for name, file in where.items()}
        else:
            file = safe_open(next(folder.glob("*.safetensors")), "pt")
            self.where = dict.fromkeys(file.keys(), file)
        self.prefix = prefix

    def load(self, module, name, dtype, recurse=True):
        state = {}
        for leaf, _ in module.named_parameters(recurse=recurse):
            full = self.prefix + name + leaf
            state[leaf] = self.where[full].get_tensor(full).to(dtype)
        module.load_state_dict(state, assign=True, strict=recurse)


class Record:
    def __init__(self):
        self.tensors = {}

    def __call__(self, name, value):
        self.tensors[name] = value.detach().float().contiguous().clone()

    def after(self, module, name, pick):
        module.register_forward_hook(lambda m, args, out: self(name, pick(out)))


def lazily(shards, dtype, block, name, record, label):
    """Weights come before the call and go after it; the first batch item's output is recorded."""
    begun = []

    def before(module, args):
        begun.append(time.monotonic())
        shards.load(module, f"{name}.", dtype)

    def after(module, args, out):
        module.to("meta")
        record(label, (out[0] if isinstance(out, tuple) else out)[0])
        print(f"{label}: {time.monotonic() - begun.pop():.1f} s", flush=True)

    block.register_forward_pre_hook(before)
    block.register_forward_hook(after)


def run_transformer(options, dtype, generator, record):
    folder = options.model / "transformer"
    with torch.device("meta"):
        model = ZImageTransformer2DModel.from_config(
            ZImageTransformer2DModel.load_config(folder)).eval()
    shards = Shards(folder)
    shards.load(model, "", dtype, recurse=False)  # the pad tokens
    for name in ("all_x_embedder", "all_final_layer", "t_embedder", "cap_embedder"):
        shards.load(getattr(model, name), f"{name}.", dtype)
    for stage in ("noise_refiner", "context_refiner", "layers"):
        for i, block in enumerate(getattr(model, stage)):
            lazily(shards, dtype, block, f"{stage}.{i}", record, f"dit.{stage}.{i}")

    side = options.size // 8
    image_tokens = -(-(side // 2) ** 2 // 32) * 32
    for name, block in (("x", model.noise_refiner[0]), ("cap", model.context_refiner[0])):
        block.register_forward_pre_hook(
            lambda m, args, n=name: record(f"dit.{n}_embedder", args[0][0]))
    record.after(model.t_embedder, "dit.t_emb", lambda out: out[0])
    record.after(model.all_final_layer["2-1"], "dit.final_layer", lambda out: out[0, :image_tokens])

    latent = torch.randn(16, side, side, generator=generator).bfloat16()
    features = torch.randn(options.tokens, model.config.cap_feat_dim, generator=generator).bfloat16()
    timestep = torch.tensor([options.time])
    out = model([latent.to(dtype)[:, None]], timestep, [features.to(dtype)], return_dict=False)[0]
    record("dit.output", out[0][:, 0])
    return {"latent": latent.float(), "features": features.float(), "timestep": timestep}


def run_text_encoder(options, dtype, generator, record):
    folder = options.model / "text_encoder"
    config = Qwen3Config.from_pretrained(folder)
    with init_empty_weights(include_buffers=False):  # the rotary frequencies are a buffer
        model = Qwen3Model(config).eval()
    shards = Shards(folder, "model.")
    shards.load(model.embed_tokens, "embed_tokens.", dtype)
    shards.load(model.norm, "norm.", dtype)
    record.after(model.embed_tokens, "encoder.embed", lambda out: out[0])
    for i, layer in enumerate(model.layers):
        lazily(shards, dtype, layer, f"layers.{i}", record, f"encoder.layer.{i}")
    ids = torch.randint(config.vocab_size, (options.tokens,), generator=generator)
    out = model(input_ids=ids[None], attention_mask=torch.ones(1, options.tokens, dtype=torch.bool),
                output_hidden_states=True)
    record.tensors.pop(f"encoder.layer.{config.num_hidden_layers - 1}")  # not part of the features
    record("features", out.hidden_states[-2][0])
    return {"ids": ids}


def run_vae(options, dtype, generator, record):
    vae = AutoencoderKL.from_pretrained(options.model / "vae", dtype=dtype).eval()
    record.after(vae.decoder.conv_in, "vae.conv_in", lambda out: out[0])
    record.after(vae.decoder.mid_block, "vae.mid", lambda out: out[0])
    for i, block in enumerate(vae.decoder.up_blocks):
        record.after(block, f"vae.up.{i}", lambda out: out[0])
    side = options.size // 8
    latent = torch.randn(16, side, side, generator=generator).bfloat16()
    scaled = latent.to(dtype)[None] / vae.config.scaling_factor + vae.config.shift_factor
    record("decoded", vae.decode(scaled, return_dict=False)[0][0])
    return {"latent": latent.float()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="the diffusers folder")
    parser.add_argument("out", type=Path, help="the safetensors file to write")
    parser.add_argument("--part", choices=("transformer", "text_encoder", "vae"),
                        default="transformer")
    parser.add_argument("--dtype", choices=("f32", "bf16"), default="f32")
    parser.add_argument("--size", type=int, default=256, help="pixels a side")
    parser.add_argument("--tokens", type=int, default=64, help="of the caption")
    parser.add_argument("--time", type=float, default=0.7)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[options.dtype]
    run = {"transformer": run_transformer, "text_encoder": run_text_encoder, "vae": run_vae}

    record, begin = Record(), time.monotonic()
    with torch.no_grad():
        generator = torch.Generator().manual_seed(options.seed)
        inputs = run[options.part](options, dtype, generator, record)
    print(f"{options.part} in {options.dtype}: {time.monotonic() - begin:.0f} s")
    save_file({**record.tensors, **inputs}, options.out)


if __name__ == "__main__":
    main()
