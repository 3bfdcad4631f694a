#!/usr/bin/env python3
"""Writes a diffusers folder with exactly Z-Image-Turbo's tensors, in bf16, with random values.

Names and shapes come from diffusers' and transformers' own classes. Values are windows of one
random tile, scaled tensor by tensor so that activations stay near 1. The tile's length is prime, so
no two rows of a matrix are the same window. 20.5 GB in all; memory stays under 1 GB.
"""
import argparse
import json
import sys
import time
import zlib
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "reference"))
import small_tokenizer  # noqa: E402

TILE = 16_777_213  # prime, just under 2^24

TRANSFORMER = {
    "_class_name": "ZImageTransformer2DModel", "_diffusers_version": "0.36.0",
    "all_f_patch_size": [1], "all_patch_size": [2], "axes_dims": [32, 48, 48],
    "axes_lens": [1536, 512, 512], "cap_feat_dim": 2560, "dim": 3840, "in_channels": 16,
    "n_heads": 30, "n_kv_heads": 30, "n_layers": 30, "n_refiner_layers": 2, "norm_eps": 1e-5,
    "qk_norm": True, "rope_theta": 256.0, "t_scale": 1000.0,
}
TEXT_ENCODER = {
    "architectures": ["Qwen3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
    "bos_token_id": 151643, "eos_token_id": 151645, "head_dim": 128, "hidden_act": "silu",
    "hidden_size": 2560, "initializer_range": 0.02, "intermediate_size": 9728,
    "max_position_embeddings": 40960, "max_window_layers": 36, "model_type": "qwen3",
    "num_attention_heads": 32, "num_hidden_layers": 36, "num_key_value_heads": 8,
    "rms_norm_eps": 1e-6, "rope_scaling": None, "rope_theta": 1000000, "sliding_window": None,
    "tie_word_embeddings": True, "torch_dtype": "bfloat16", "use_cache": True,
    "use_sliding_window": False, "vocab_size": 151936,
}
VAE = {
    "_class_name": "AutoencoderKL", "_diffusers_version": "0.36.0", "act_fn": "silu",
    "block_out_channels": [128, 256, 512, 512], "down_block_types": ["DownEncoderBlock2D"] * 4,
    "force_upcast": True, "in_channels": 3, "latent_channels": 16, "latents_mean": None,
    "latents_std": None, "layers_per_block": 2, "mid_block_add_attention": True,
    "norm_num_groups": 32, "out_channels": 3, "sample_size": 1024, "scaling_factor": 0.3611,
    "shift_factor": 0.1159, "up_block_types": ["UpDecoderBlock2D"] * 4,
    "use_post_quant_conv": False, "use_quant_conv": False,
}
SCHEDULER = {"_class_name": "FlowMatchEulerDiscreteScheduler", "_diffusers_version": "0.36.0",
             "num_train_timesteps": 1000, "shift": 3.0, "use_dynamic_shifting": False}
INDEX = {
    "_class_name": "ZImagePipeline", "_diffusers_version": "0.36.0",
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "Qwen3Model"], "tokenizer": ["transformers", "Qwen2Tokenizer"],
    "transformer": ["diffusers", "ZImageTransformer2DModel"], "vae": ["diffusers", "AutoencoderKL"],
}


def shapes(part):
    """Names and shapes as the classes register them, without memory for the values."""
    from diffusers import AutoencoderKL, ZImageTransformer2DModel
    from transformers import Qwen3Config, Qwen3ForCausalLM
    with torch.device("meta"):
        if part == "transformer":
            model = ZImageTransformer2DModel.from_config(TRANSFORMER)
        elif part == "vae":
            model = AutoencoderKL.from_config(VAE)
        else:
            model = Qwen3ForCausalLM(Qwen3Config.from_dict(TEXT_ENCODER))
    return {name: tuple(value.shape) for name, value in model.state_dict().items()
            if name != "lm_head.weight"}  # tied to the embedding


def law(name, shape):
    """(mean, deviation) of a tensor's values."""
    leaf = name.rsplit(".", 2)[-2] if "." in name else name
    if name.endswith("pad_token"):
        return 0.0, 0.7
    if "adaLN_modulation" in name:
        return (0.0, 0.3) if len(shape) == 1 else (0.0, 0.5 / shape[1] ** 0.5)
    if leaf in ("norm_q", "norm_k", "q_norm", "k_norm"):
        return 1.4, 0.2  # attention that is neither flat nor a single token
    if leaf in ("attention_norm2", "ffn_norm2"):
        # Each block adds a vector of this size to the stream, 64 times in all. With 1.0 the rounding
        # of diffusers' own bf16 pass alone is 2.6e-2 at the output, more than what is to be measured.
        return 0.4, 0.1
    if len(shape) == 1:
        return (1.0, 0.2) if name.endswith("weight") else (0.0, 0.1)
    if leaf == "embed_tokens":
        return 0.0, 0.5
    fan_in = 1
    for extent in shape[1:]:
        fan_in *= extent
    gain = {"o_proj": 0.5, "down_proj": 0.5}.get(leaf, 1.0)  # no norm after these: keep sums small
    if name == "decoder.conv_out.weight":
        gain = 0.4
    return 0.0, gain / fan_in ** 0.5


def values(tile, name, shape):
    """The tensor's bytes in bf16, a piece at a time."""
    mean, deviation = law(name, shape)
    count = 1
    for extent in shape:
        count *= extent
    start = zlib.crc32(name.encode()) % TILE
    while count > 0:
        piece = tile[start:start + count]
        yield (piece * deviation + mean).to(torch.bfloat16).view(torch.int16).numpy()
        count -= len(piece)
        start = 0


def write_shard(path, tile, tensors):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in tensors.items():
        size = 2
        for extent in shape:
            size *= extent
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in tensors.items():
            for piece in values(tile, name, shape):
                piece.tofile(file)
    return offset


def split(tensors, limit):
    """Shards in the classes' own order, none over limit bytes."""
    shards, size = [{}], 0
    for name, shape in tensors.items():
        count = 2
        for extent in shape:
            count *= extent
        if size + count > limit:
            shards.append({})
            size = 0
        shards[-1][name] = shape
        size += count
    return shards


def write_part(folder, part, tile):
    stem = "model" if part == "text_encoder" else "diffusion_pytorch_model"
    config = {"transformer": TRANSFORMER, "text_encoder": TEXT_ENCODER, "vae": VAE}[part]
    # three shards each for the two large parts, as published
    limit = {"transformer": 5e9, "text_encoder": 4e9, "vae": 1e9}[part]
    folder = folder / part
    folder.mkdir(parents=True, exist_ok=True)
    dump(folder / "config.json", config)
    shards = split(shapes(part), limit)
    total, where = 0, {}
    for i, tensors in enumerate(shards):
        name = f"{stem}-{i + 1:05}-of-{len(shards):05}.safetensors" if len(shards) > 1 else f"{stem}.safetensors"
        total += write_shard(folder / name, tile, tensors)
        where.update(dict.fromkeys(tensors, name))
    if len(shards) > 1:
        dump(folder / f"{stem}.safetensors.index.json",
             {"metadata": {"total_size": total}, "weight_map": where})
    return total


def dump(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the folder to write")
    parser.add_argument("--only", choices=("transformer", "text_encoder", "vae"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    tile = torch.randn(TILE, generator=torch.Generator().manual_seed(1))
    dump(options.out / "model_index.json", INDEX)
    (options.out / "scheduler").mkdir(exist_ok=True)
    dump(options.out / "scheduler/scheduler_config.json", SCHEDULER)
    small_tokenizer.write(options.out / "tokenizer", "all")
    for part in [options.only] if options.only else ["transformer", "text_encoder", "vae"]:
        begin = time.monotonic()
        total = write_part(options.out, part, tile)
        print(f"{part}: {total / 1e9:.2f} GB in {time.monotonic() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    main()
