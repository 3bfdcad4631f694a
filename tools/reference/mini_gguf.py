#!/usr/bin/env python3
"""models/mini as GGUF in every type: FOLDER/TYPE-dit.gguf and TYPE-encoder.gguf. A matrix whose rows
are not whole blocks of the type is Q8_0, or F16."""
import argparse
import collections
import json
from pathlib import Path

import torch
from gguf import GGMLQuantizationType as Q
from safetensors.torch import load_file

import gguf_files
import small_models

TYPES = (Q.F32, Q.F16, Q.BF16, *gguf_files.SMALL, *gguf_files.LARGE)


def arrays(state):
    return {name: value.to(torch.float32).numpy() for name, value in state.items()}


def write(model, folder, kind):
    dit = load_file(model / "transformer/diffusion_pytorch_model.safetensors")
    dit = {name.removeprefix("model.diffusion_model."): value
           for name, value in small_models.original_dit(dit).items() if "norm_final" not in name}
    encoder = load_file(model / "text_encoder/model.safetensors")
    encoder = {name: value for name, value in encoder.items() if name != "lm_head.weight"}
    config = json.loads((model / "text_encoder/config.json").read_text())
    seen = collections.Counter()

    def kind_of(_, x):
        chosen = gguf_files.choose(x, kind)
        seen[chosen.name] += 1
        return chosen
    gguf_files.write_dit(folder / f"{kind.name}-dit.gguf", arrays(dit), kind_of)
    gguf_files.write_encoder(folder / f"{kind.name}-encoder.gguf", arrays(encoder), config,
                             config["rope_theta"], model / "tokenizer", kind_of)
    print(kind.name, dict(seen))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", type=Path,
                        default=Path(__file__).resolve().parents[2] / "models/mini")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for kind in TYPES:
        write(arguments.model, arguments.folder, kind)


if __name__ == "__main__":
    main()
