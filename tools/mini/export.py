"""Writes the trained parts as a model in the diffusers folder layout, weights in bf16, and checks that
ZImagePipeline loads it and computes what training's own sampler computes."""
import argparse
import json
import os
import shutil

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler

import model
import tokenizer
from train_vae import CONFIG


def export(vae_state, dit_state, folder):
    v, d = torch.load(vae_state), torch.load(dit_state)
    stats = v["latents"] if "latents" in v else (v["mean"], v["std"])
    vae = AutoencoderKL(**{**CONFIG, "scaling_factor": round(1 / stats[1], 6), "shift_factor": round(stats[0], 6)})
    vae.load_state_dict(v["ema"])
    encoder, dit = model.loaded(d["ema"])
    for part, name in ((vae, "vae"), (dit, "transformer"), (encoder, "text_encoder")):
        out = os.path.join(folder, name)
        shutil.rmtree(out, ignore_errors=True)
        part.to(torch.bfloat16).to(memory_format=torch.contiguous_format).save_pretrained(out)
    # The plain key that older readers look for, next to rope_parameters.
    path = os.path.join(folder, "text_encoder/config.json")
    config = json.load(open(path))
    config["rope_theta"] = model.ENCODER["rope_theta"]
    with open(path, "w") as f:
        f.write(json.dumps(config, indent=2, sort_keys=True) + "\n")
    FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, use_dynamic_shifting=False, shift=model.SHIFT
                                    ).save_pretrained(os.path.join(folder, "scheduler"))
    shutil.rmtree(os.path.join(folder, "tokenizer"), ignore_errors=True)
    assert tokenizer.write(os.path.join(folder, "tokenizer")) == model.VOCAB
    index = {
        "_class_name": "ZImagePipeline", "_diffusers_version": "0.36.0",
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "text_encoder": ["transformers", "Qwen3Model"], "tokenizer": ["transformers", "Qwen2Tokenizer"],
        "transformer": ["diffusers", "ZImageTransformer2DModel"], "vae": ["diffusers", "AutoencoderKL"]}
    with open(os.path.join(folder, "model_index.json"), "w") as f:
        f.write(json.dumps(index, indent=2) + "\n")


@torch.no_grad()
def check(folder):
    from diffusers import ZImagePipeline
    from tokenizers import Tokenizer
    pipe = ZImagePipeline.from_pretrained(folder, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    tok = Tokenizer.from_file(os.path.join(folder, "tokenizer/tokenizer.json"))
    for prompt in ("纯白背景，一个红色苹果", "a blue cube on a yellow background", ""):
        theirs = pipe(prompt, height=256, width=256, num_inference_steps=8, guidance_scale=0.0, output_type="latent",
                      generator=torch.Generator().manual_seed(3)).images
        ours = model.sample(pipe.text_encoder, pipe.transformer, tok, [prompt], seed=3)
        print(repr(prompt), "largest difference from the pipeline", (theirs - ours).abs().max().item())
    size = sum(os.path.getsize(os.path.join(d, f)) for d, _, fs in os.walk(folder) for f in fs)
    print(f"{size / 1e6:.2f} MB in all")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--vae", required=True, help="vae.pt")
    p.add_argument("--dit", required=True, help="dit.pt")
    p.add_argument("--out", required=True)
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    export(a.vae, a.dit, a.out)
    check(a.out)


if __name__ == "__main__":
    main()
