"""Small random models of Z-Image's architecture, written as diffusers and transformers save them.

Weights are random with gains that keep activations near 1; norms, biases, pad tokens, gates and
scales are all away from their neutral values, so that leaving one out shows in the output.
"""
import contextlib
import json
import re
import zlib
from pathlib import Path

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, ZImagePipeline
from diffusers import ZImageTransformer2DModel
from diffusers.loaders import single_file_utils
from diffusers.models.transformers import transformer_z_image
from safetensors.torch import save_file
from transformers import Qwen3Config, Qwen3ForCausalLM, Qwen3Model

import small_tokenizer

TINY = {
    # The smallest one, also written under the original names. There no file tells the axes, the
    # number of VAE groups, eps or theta, so every such value follows the rule for such files.
    "name": "tiny",
    "time": {"mid_size": 16, "width": 256},
    "transformer": dict(dim=32, n_layers=1, n_refiner_layers=1, n_heads=2, n_kv_heads=2,
                        cap_feat_dim=24, axes_dims=[4, 6, 6], axes_lens=[1536, 512, 512]),
    "encoder": dict(vocab_size=512, hidden_size=24, intermediate_size=40, num_hidden_layers=2,
                    num_attention_heads=4, num_key_value_heads=2, head_dim=16,
                    rms_norm_eps=1e-6, tie_word_embeddings=True),
    "rope_theta": 1e6,
    "vae": dict(block_out_channels=[4, 8, 8, 8], layers_per_block=1, norm_num_groups=4,
                scaling_factor=0.3611, shift_factor=0.1159),
    "shift": 3.0,
    "tokenizer": "all",
    "head": True,            # saved from the class with a head: names start with "model."
    "old_encoder_config": True,
    "dtype": {"transformer": torch.float32, "encoder": torch.float32, "vae": torch.float32},
    "shard": None,
}
ODD = {
    # Nothing is a multiple of 4: width 20, heads of 10, feed-forward of 53; every number that a
    # config may change is changed. Sharded.
    "name": "odd",
    "time": {"mid_size": 18, "width": 14},
    "transformer": dict(dim=20, n_layers=3, n_refiner_layers=2, n_heads=2, n_kv_heads=2,
                        cap_feat_dim=36, axes_dims=[2, 4, 4], axes_lens=[1024, 64, 64],
                        norm_eps=1e-3, rope_theta=100.0, t_scale=500.0),
    "encoder": dict(vocab_size=520, hidden_size=36, intermediate_size=50, num_hidden_layers=3,
                    num_attention_heads=6, num_key_value_heads=3, head_dim=10,
                    rms_norm_eps=1e-5, tie_word_embeddings=False),
    "rope_theta": 1e4,
    "vae": dict(block_out_channels=[6, 6, 9, 9], layers_per_block=1, norm_num_groups=3,
                scaling_factor=0.5, shift_factor=0.05),
    "shift": 6.0,
    "tokenizer": "json",
    "head": False,
    "old_encoder_config": False,
    "dtype": {"transformer": torch.float32, "encoder": torch.float32, "vae": torch.float32},
    "shard": "80KB",
}
BF16 = {
    # Weights in bf16 as users have them; the VAE in f16, which files in the wild also are.
    "name": "bf16",
    "time": {"mid_size": 32, "width": 256},
    "transformer": dict(dim=44, n_layers=2, n_refiner_layers=1, n_heads=2, n_kv_heads=2,
                        cap_feat_dim=40, axes_dims=[6, 8, 8], axes_lens=[1536, 512, 512]),
    "encoder": dict(vocab_size=512, hidden_size=40, intermediate_size=72, num_hidden_layers=3,
                    num_attention_heads=4, num_key_value_heads=1, head_dim=8,
                    rms_norm_eps=1e-6, tie_word_embeddings=True),
    "rope_theta": 1e6,
    "vae": dict(block_out_channels=[4, 4, 8, 12], layers_per_block=2, norm_num_groups=2,
                scaling_factor=0.3611, shift_factor=0.1159),
    "shift": 3.0,
    "tokenizer": "text",
    "head": True,
    "old_encoder_config": True,
    "dtype": {"transformer": torch.bfloat16, "encoder": torch.bfloat16, "vae": torch.float16},
    "shard": None,
}
MODELS = {spec["name"]: spec for spec in (TINY, ODD, BF16)}


@contextlib.contextmanager
def time_embedder(mid_size, width):
    """diffusers fixes the time embedder's middle width (1024) and the modulation's (256 or dim).
    A thousand wide, it alone would outweigh all other fixtures, so both are lowered while a model
    is made or loaded. The arithmetic is untouched."""
    original = transformer_z_image.TimestepEmbedder, transformer_z_image.ADALN_EMBED_DIM
    cls = original[0]
    transformer_z_image.TimestepEmbedder = lambda out_size, **_: cls(out_size, mid_size=mid_size)
    transformer_z_image.ADALN_EMBED_DIM = width
    try:
        yield
    finally:
        transformer_z_image.TimestepEmbedder, transformer_z_image.ADALN_EMBED_DIM = original


def randomize(module, label):
    for name, parameter in module.named_parameters():
        generator = torch.Generator().manual_seed(zlib.crc32(f"{label}/{name}".encode()))
        value = torch.randn(parameter.shape, generator=generator)
        if name.endswith("pad_token"):
            value *= 0.7
        elif name == "embed_tokens.weight" or name == "model.embed_tokens.weight":
            value *= 0.8
        elif "adaLN_modulation" in name:
            value *= 0.3 if parameter.ndim == 1 else 0.5 / parameter.shape[1] ** 0.5
        elif parameter.ndim == 1 and name.endswith("weight"):
            value = 1 + 0.2 * value  # norms
        elif parameter.ndim == 1:
            value *= 0.15  # biases
        else:
            value /= parameter[0].numel() ** 0.5  # fan-in, also of convolutions
        if name == "decoder.conv_out.weight":
            value *= 0.4  # keeps pixels inside the clamp
        parameter.data.copy_(value)
    return module.eval()


def make(spec, folder):
    folder = Path(folder)
    name, dtype = spec["name"], spec["dtype"]
    sharding = {"max_shard_size": spec["shard"]} if spec["shard"] else {}

    with time_embedder(**spec["time"]):
        transformer = randomize(ZImageTransformer2DModel(**spec["transformer"]), f"{name}/dit")
    transformer.to(dtype["transformer"]).save_pretrained(folder / "transformer", **sharding)

    config = Qwen3Config(
        rope_parameters={"rope_type": "default", "rope_theta": spec["rope_theta"]},
        max_position_embeddings=40960, **spec["encoder"])
    encoder = (Qwen3ForCausalLM if spec["head"] else Qwen3Model)(config)
    randomize(encoder, f"{name}/encoder").to(dtype["encoder"])
    encoder.save_pretrained(folder / "text_encoder", **sharding)
    (folder / "text_encoder/generation_config.json").unlink(missing_ok=True)
    if spec["old_encoder_config"]:
        old_config(folder / "text_encoder/config.json", spec["rope_theta"])

    vae = AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=16, sample_size=64, act_fn="silu",
        down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4,
        use_quant_conv=False, use_post_quant_conv=False, force_upcast=True,
        mid_block_add_attention=True, **spec["vae"])
    randomize(vae, f"{name}/vae").to(dtype["vae"]).save_pretrained(folder / "vae")

    scheduler = FlowMatchEulerDiscreteScheduler(
        num_train_timesteps=1000, shift=spec["shift"], use_dynamic_shifting=False)
    scheduler.save_pretrained(folder / "scheduler")
    small_tokenizer.write(folder / "tokenizer", spec["tokenizer"])
    index = {
        "_class_name": "ZImagePipeline",
        "_diffusers_version": "0.42.1",
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "text_encoder": ["transformers", "Qwen3Model"],
        "tokenizer": ["transformers", "Qwen2Tokenizer"],
        "transformer": ["diffusers", "ZImageTransformer2DModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")


def old_config(path, rope_theta):
    """The published encoder's config is of an older form: rope_theta beside the other values."""
    config = json.loads(path.read_text())
    config.pop("rope_parameters")
    config["torch_dtype"] = config.pop("dtype")
    config["rope_theta"] = rope_theta
    path.write_text(json.dumps(dict(sorted(config.items())), indent=2) + "\n")


def load(spec, folder):
    """The pipeline in f32 arithmetic, whatever the files' dtype."""
    with time_embedder(**spec["time"]):
        pipe = ZImagePipeline.from_pretrained(folder, torch_dtype=torch.float32)
    for module in (pipe.transformer, pipe.text_encoder, pipe.vae):
        assert all(p.dtype == torch.float32 for p in module.parameters())
    pipe.set_progress_bar_config(disable=True)
    return pipe


# The original names of the transformer: the inverse of diffusers' converter.

def original_dit(state):
    out = {}
    for name, value in state.items():
        if ".attention.to_k." in name or ".attention.to_v." in name:
            continue
        if ".attention.to_q." in name:
            parts = [state[name.replace("to_q", part)] for part in ("to_q", "to_k", "to_v")]
            name, value = name.replace("to_q", "qkv"), torch.cat(parts, dim=0)
        for ours, theirs in (("all_x_embedder.2-1.", "x_embedder."),
                             ("all_final_layer.2-1.", "final_layer."), (".norm_q.", ".q_norm."),
                             (".norm_k.", ".k_norm."), (".to_out.0.", ".out.")):
            name = name.replace(ours, theirs)
        out["model.diffusion_model." + name] = value.contiguous()
    dim = state["x_pad_token"].shape[1]
    out["model.diffusion_model.norm_final.weight"] = torch.full((dim,), 7.0)  # unused by the model
    return out


def original_vae(state):
    """CompVis names: up blocks counted from the output, attention as 1x1 convolutions."""
    out = {}
    for name, value in state.items():
        name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
        name = re.sub(r"up_blocks\.(\d)\.", lambda m: f"up.{3 - int(m[1])}.", name)
        name = re.sub(r"down_blocks\.(\d)\.", r"down.\1.", name)
        name = name.replace(".resnets.", ".block.").replace("conv_shortcut", "nin_shortcut")
        name = name.replace("upsamplers.0", "upsample").replace("downsamplers.0", "downsample")
        name = name.replace("conv_norm_out", "norm_out")
        if "mid_block.attentions.0." in name:
            name = name.replace("mid_block.attentions.0.", "mid.attn_1.")
            for ours, theirs in (("group_norm", "norm"), ("to_out.0", "proj_out"),
                                 ("to_q", "q"), ("to_k", "k"), ("to_v", "v")):
                name = name.replace(ours, theirs)
            if value.ndim == 2:
                value = value[:, :, None, None]
        out[name] = value.contiguous()
    return out


def make_original(spec, pipe, folder):
    """The same weights as the split files hold them, checked with diffusers' own converters."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    dit, vae = pipe.transformer.state_dict(), pipe.vae.state_dict()
    original = original_dit(dit)
    save_file(original, folder / "dit.safetensors", {"format": "pt"})
    same(single_file_utils.convert_z_image_transformer_checkpoint_to_diffusers(original), dit)

    original = original_vae(vae)
    save_file(original, folder / "ae.safetensors", {"format": "pt"})
    same(single_file_utils.convert_ldm_vae_checkpoint(original, dict(pipe.vae.config)), vae)

    encoder = {f"model.{k}": v.contiguous() for k, v in pipe.text_encoder.state_dict().items()}
    save_file(encoder, folder / "encoder.safetensors", {"format": "pt"})
    small_tokenizer.write(folder / "tokenizer", "json")


def same(converted, expected):
    assert sorted(converted) == sorted(expected), set(converted) ^ set(expected)
    for name, value in expected.items():
        assert torch.equal(converted[name].reshape(value.shape), value), name
