"""Small models in GGUF and in 8-bit floats, and what diffusers computes with the weights that those
files hold. Writes tests/fixtures/gguf and the cases gguf-* and fp8-*."""
import argparse
import itertools
import tempfile
from pathlib import Path

import make_fixtures  # noqa: F401  (sets torch's environment first)

import numpy as np
import torch
from gguf import GGMLQuantizationType as Q
from safetensors.torch import save_file

import block_fixtures
import gguf_files
import run_case
import small_models

LIMIT = 1_500_000
MIXED = {
    # Rows of 96, 64 and 256: all types find a place.
    "name": "mixed",
    "time": {"mid_size": 256, "width": 96},
    "transformer": dict(dim=96, n_layers=3, n_refiner_layers=1, n_heads=6, n_kv_heads=6,
                        cap_feat_dim=64, axes_dims=[4, 6, 6], axes_lens=[1536, 512, 512]),
    "encoder": dict(vocab_size=520, hidden_size=64, intermediate_size=256, num_hidden_layers=3,
                    num_attention_heads=4, num_key_value_heads=2, head_dim=16, rms_norm_eps=1e-5,
                    tie_word_embeddings=True),
    "rope_theta": 5e5,  # not what is guessed without metadata, nor eps above
    "vae": small_models.TINY["vae"],
    "shift": 3.0,
    "tokenizer": "all",
    "head": False,
    "old_encoder_config": False,
    "dtype": small_models.TINY["dtype"],
    "shard": None,
}


def in_turn(first, *more):
    """Each matrix gets the next type of those that hold its rows, k-quants where they fit."""
    turns = [itertools.cycle(kinds) for kinds in (first, *more)]

    def kind_of(name, x):
        if x.ndim == 1 or x.shape[0] == 1:
            return Q.F32
        for kinds, turn in zip((first, *more), turns):
            if gguf_files.fits(x, kinds[0]):
                return next(turn)
        return Q.F16
    return kind_of


def arrays(state):
    return {name: value.float().numpy() for name, value in state.items()}


def restore(module, values, names):
    """Sets the module's parameters to what the file holds."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            value = names(values, name)
            parameter.copy_(torch.from_numpy(np.array(value)).reshape(parameter.shape))


def dit_value(prefix):
    def find(values, name):
        for ours, theirs in (("all_x_embedder.2-1.", "x_embedder."),
                             ("all_final_layer.2-1.", "final_layer."), (".norm_q.", ".q_norm."),
                             (".norm_k.", ".k_norm."), (".to_out.0.", ".out.")):
            name = name.replace(ours, theirs)
        for i, part in enumerate((".to_q.", ".to_k.", ".to_v.")):
            if part in name:
                whole = values[prefix + name.replace(part, ".qkv.")]
                return np.split(whole, 3)[i]
        return values[prefix + name]
    return find


def store(out, name, pipe, files, tolerance=1e-5, **settings):
    case = {"prompt": make_fixtures.APPLE, "negative": None, "width": 32, "height": 32, "steps": 2,
            "cfg": 0.0, "seed": 7, "count": 1, **settings}
    tensors = run_case.run(pipe, case)
    make_fixtures.check_range(name, tensors)
    stored = run_case.choose(tensors, case, {"features", "dit-output", "image"}, (1, 2))
    save_file(stored, out / f"cases/{name}.safetensors")
    make_fixtures.dump(out / f"cases/{name}.json", {
        "layout": "files", **files, **case, "expected": f"cases/{name}.safetensors",
        "tolerance": {"stage": tolerance, "latents": tolerance, "image": 1}})


def mixed(out, scratch):
    """Every type; fused qkv without prefix, pad tokens [1, D]; the encoder with its tokenizer."""
    small_models.make(MIXED, scratch / "mixed")
    pipe = small_models.load(MIXED, scratch / "mixed")
    state = {name.removeprefix("model.diffusion_model."): value for name, value in
             small_models.original_dit(pipe.transformer.state_dict()).items()}
    kinds = in_turn(gguf_files.LARGE, (*gguf_files.SMALL, Q.BF16, Q.F16))
    values = gguf_files.write_dit(out / "gguf/mixed-dit.gguf", arrays(state), kinds)
    restore(pipe.transformer, values, dit_value(""))
    encoder = pipe.text_encoder
    kinds = in_turn(gguf_files.LARGE, gguf_files.SMALL)
    values = gguf_files.write_encoder(
        out / "gguf/mixed-encoder.gguf", arrays(encoder.state_dict()), MIXED["encoder"],
        MIXED["rope_theta"], scratch / "mixed/tokenizer", kinds)
    restore(encoder, values, lambda v, name: v[name])
    vae = small_models.original_vae(pipe.vae.state_dict())
    save_file({k: v.half() for k, v in vae.items() if k.startswith("decoder.")},
              out / "gguf/mixed-ae.safetensors")
    pipe.vae.half().float()
    files = {"diffusion_model": "gguf/mixed-dit.gguf", "text_encoder": "gguf/mixed-encoder.gguf",
             "vae": "gguf/mixed-ae.safetensors"}
    store(out, "gguf-mixed", pipe, files, negative="blue cube, 蓝色方块的背景", cfg=2.5)


def tiny(out):
    return small_models.load(small_models.TINY, out / "models/tiny")


ORIGINAL = {"text_encoder": "models/tiny-original/encoder.safetensors",
            "vae": "models/tiny-original/ae.safetensors",
            "tokenizer": "models/tiny-original/tokenizer"}


def prefixed(out):
    """Names with prefix, no architecture, pad tokens [D] in f16 and bf16."""
    pipe = tiny(out)
    state = small_models.original_dit(pipe.transformer.state_dict())
    prefix = "model.diffusion_model."
    for pad in ("x_pad_token", "cap_pad_token"):
        state[prefix + pad] = state[prefix + pad][0]
    turns = in_turn((Q.Q8_0, Q.Q5_1, Q.Q4_0))

    def kind_of(name, x):
        pads = {prefix + "x_pad_token": Q.F16, prefix + "cap_pad_token": Q.BF16}
        return pads.get(name) or turns(name, x)
    values = gguf_files.write_dit(out / "gguf/prefixed-dit.gguf", arrays(state), kind_of, None)
    restore(pipe.transformer, values, dit_value(prefix))
    store(out, "gguf-prefixed", pipe, {"diffusion_model": "gguf/prefixed-dit.gguf", **ORIGINAL})


# 8-bit floats

def to_fp8(x, dtype, form, index):
    """(stored tensors by suffix, value). form: how the scale is named and shaped."""
    most = torch.finfo(dtype).max
    rows = form in ("rows", "column")
    if form == "none":
        scale = torch.ones(())
    elif rows:
        # powers of two: such a matrix is held in bf16, which then is exact
        scale = torch.exp2(torch.ceil(torch.log2(x.abs().amax(1) / most)))
    else:
        scale = x.abs().max() / most
    stored = (x / (scale[:, None] if rows else scale)).clamp(-most, most).to(dtype)
    value = stored.float() * (scale[:, None] if rows else scale)
    suffix = {"none": None, "scalar": "scale_weight", "one": "weight_scale", "inv": "weight_scale_inv",
              "rows": "weight_scale", "column": "scale_weight"}[form]
    if form == "one":
        scale = scale.reshape(1)
    if form == "column":
        scale = scale[:, None]
    if index % 3 == 0 and form == "inv":
        scale = scale.reshape(1, 1)
    return stored, suffix, scale.contiguous(), value


def fp8_state(state, forms, dtypes, keep):
    out, values, turn = {"scaled_fp8": torch.zeros(2).to(torch.float8_e4m3fn)}, {}, 0
    for name, x in state.items():
        if x.ndim < 2 or x.shape[0] == 1 or keep(name):
            out[name] = x.to(torch.bfloat16)
            values[name] = out[name].float().numpy()
            continue
        form, dtype = forms[turn % len(forms)], dtypes[turn % len(dtypes)]
        turn += 1
        out[name], suffix, scale, value = to_fp8(x, dtype, form, turn)
        values[name] = value.numpy()
        if suffix:
            stem = name.removesuffix(".weight")
            out[f"{stem}.{suffix}"] = scale.to(torch.bfloat16) if form == "column" else scale
            out[f"{stem}.{'scale_input' if turn % 2 else 'input_scale'}"] = torch.ones(())
    return out, values


def fp8(out):
    pipe = tiny(out)
    dtypes = (torch.float8_e4m3fn, torch.float8_e4m3fn, torch.float8_e5m2)
    prefix = "model.diffusion_model."
    state = small_models.original_dit(pipe.transformer.state_dict())
    forms = ("scalar", "rows", "one", "none", "inv", "column", "scalar")
    stored, values = fp8_state(state, forms, dtypes, lambda name: "norm_final" in name)
    save_file(stored, out / "gguf/fp8-dit.safetensors")
    restore(pipe.transformer, values, dit_value(prefix))
    encoder = {f"model.{k}": v for k, v in pipe.text_encoder.state_dict().items()}
    stored, values = fp8_state(encoder, ("none", "scalar", "one", "rows"), dtypes, lambda name: False)
    save_file(stored, out / "gguf/fp8-encoder.safetensors")
    restore(pipe.text_encoder, values, lambda v, name: v[f"model.{name}"])
    files = {"diffusion_model": "gguf/fp8-dit.safetensors", **ORIGINAL,
             "text_encoder": "gguf/fp8-encoder.safetensors"}
    store(out, "fp8-scaled", pipe, files)


def write(out):
    (out / "gguf").mkdir(parents=True, exist_ok=True)
    block_fixtures.write(out / "gguf/blocks.safetensors")
    with tempfile.TemporaryDirectory() as scratch:
        mixed(out, Path(scratch))
    prefixed(out)
    fp8(out)
    names = [*(out / "gguf").iterdir(), *(out / "cases").glob("gguf-*"), *(out / "cases").glob("fp8-*")]
    size = sum(path.stat().st_size for path in names)
    print(f"{size} bytes of GGUF and 8-bit floats")
    assert size < LIMIT, LIMIT


def main():
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=here.parents[1] / "tests/fixtures")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    write(parser.parse_args().out)


if __name__ == "__main__":
    main()
