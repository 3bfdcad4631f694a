"""GGUF files as people publish them, written with PyPI gguf: the transformer under its original names,
the encoder and its tokenizer under llama.cpp's.

PyPI gguf decodes the k-quants but can't make them; `k_quantize` rounds to them plainly (each
sub-block by its own range), which is coarser than the published tools' search and serves here.
"""
import json
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Q

SMALL = (Q.Q8_0, Q.Q4_0, Q.Q4_1, Q.Q5_0, Q.Q5_1)
LARGE = (Q.Q2_K, Q.Q3_K, Q.Q4_K, Q.Q5_K, Q.Q6_K)


# values -> blocks

def halves(x):
    return x.astype(np.float16).astype(np.float32)


def ratio(a, b):
    return np.divide(a, b, out=np.zeros_like(a), where=b != 0)


def asymmetric(x, levels, most):
    """x [n, groups, size] -> f16 d, dmin [n, 1], scales, minima [n, groups], q [n, groups, size]."""
    low, high = np.minimum(x.min(-1), 0), x.max(-1)
    step, down = (high - low) / levels, -low
    d, dmin = (halves(v.max(-1, keepdims=True) / most) for v in (step, down))
    scale = np.clip(np.rint(ratio(step, np.broadcast_to(d, step.shape))), 0, most)
    minimum = np.clip(np.rint(ratio(down, np.broadcast_to(dmin, down.shape))), 0, most)
    factor = (d * scale)[..., None]
    q = np.rint(ratio(x + (dmin * minimum)[..., None], np.broadcast_to(factor, x.shape)))
    return d, dmin, scale.astype(np.uint8), minimum.astype(np.uint8), \
        np.clip(q, 0, levels).astype(np.uint8)


def symmetric(x, low, most):
    """The same without minima: q from low (negative) to -low - 1, scales up to +-most."""
    at = np.take_along_axis(x, np.abs(x).argmax(-1)[..., None], -1)[..., 0]
    step = at / low
    d = halves(np.abs(step).max(-1, keepdims=True) / most)
    scale = np.clip(np.rint(ratio(step, np.broadcast_to(d, step.shape))), -most - 1, most)
    factor = (d * scale)[..., None]
    q = np.clip(np.rint(ratio(x, np.broadcast_to(factor, x.shape))), low, -low - 1)
    return d, scale.astype(np.int8), q.astype(np.int8)


def half_bytes(x):
    return x.astype(np.float16).view(np.uint8)


def pack_crumbs(q):
    """q [n, 256] of 2 bits -> [n, 64]: element 128 h + 32 s + l in bits 2 s of byte 32 h + l."""
    q = q.reshape(-1, 2, 4, 32)
    return (q[:, :, 0] | q[:, :, 1] << 2 | q[:, :, 2] << 4 | q[:, :, 3] << 6).reshape(-1, 64)


def pack_scales(scale, minimum):
    """Eight 6-bit scales and minima in 12 bytes."""
    low = scale[:, :4] | (scale[:, 4:] >> 4) << 6
    mid = minimum[:, :4] | (minimum[:, 4:] >> 4) << 6
    return np.concatenate([low, mid, scale[:, 4:] & 15 | (minimum[:, 4:] & 15) << 4], -1)


def pack_halves(q):
    """q [n, 256] of 4 bits -> [n, 128]: 32 in low halves, the next 32 in high ones."""
    q = q.reshape(-1, 4, 2, 32)
    return (q[:, :, 0] | q[:, :, 1] << 4).reshape(-1, 128)


def q2_k(x):
    d, dmin, scale, minimum, q = asymmetric(x.reshape(-1, 16, 16), 3, 15)
    return [scale | minimum << 4, pack_crumbs(q.reshape(-1, 256)), half_bytes(d), half_bytes(dmin)]


def q3_k(x):
    d, scale, q = symmetric(x.reshape(-1, 16, 16), -4, 31)
    q = (q.reshape(-1, 256) + 4).astype(np.uint8)
    bits = (q >> 2).reshape(-1, 8, 32)
    third = sum((bits[:, i] << i for i in range(1, 8)), bits[:, 0]).astype(np.uint8)
    s = (scale.astype(np.int16) + 32).astype(np.uint8)
    high = s >> 4
    scales = np.concatenate([s[:, :8] & 15 | (s[:, 8:] & 15) << 4,
                             high[:, :4] | high[:, 4:8] << 2 | high[:, 8:12] << 4
                             | high[:, 12:] << 6], -1)
    return [third, pack_crumbs(q & 3), scales, half_bytes(d)]


def q4_k(x):
    d, dmin, scale, minimum, q = asymmetric(x.reshape(-1, 8, 32), 15, 63)
    return [half_bytes(d), half_bytes(dmin), pack_scales(scale, minimum),
            pack_halves(q.reshape(-1, 256))]


def q5_k(x):
    d, dmin, scale, minimum, q = asymmetric(x.reshape(-1, 8, 32), 31, 63)
    fifth = sum(((q[:, i] >> 4) << i for i in range(1, 8)), q[:, 0] >> 4).astype(np.uint8)
    return [half_bytes(d), half_bytes(dmin), pack_scales(scale, minimum), fifth,
            pack_halves(q.reshape(-1, 256) & 15)]


def q6_k(x):
    d, scale, q = symmetric(x.reshape(-1, 16, 16), -32, 127)
    q = (q.reshape(-1, 256).astype(np.int16) + 32).astype(np.uint8)
    low = (q & 15).reshape(-1, 2, 2, 64)
    low = (low[:, :, 0] | low[:, :, 1] << 4).reshape(-1, 128)
    return [low, pack_crumbs(q >> 4), scale.view(np.uint8), half_bytes(d)]


K_QUANTS = {Q.Q2_K: q2_k, Q.Q3_K: q3_k, Q.Q4_K: q4_k, Q.Q5_K: q5_k, Q.Q6_K: q6_k}


def quantize(x, kind):
    """x in f32, rows of whole blocks -> bytes [..., bytes of a row] (or values, for plain types)."""
    x = np.ascontiguousarray(x, dtype=np.float32)
    if kind not in K_QUANTS:
        return gguf.quants.quantize(x, kind)
    parts = K_QUANTS[kind](x.reshape(-1, 256))
    raw = np.concatenate([np.ascontiguousarray(p, dtype=np.uint8) for p in parts], -1)
    assert raw.shape[-1] == gguf.GGML_QUANT_SIZES[kind][1], kind
    return raw.reshape(*x.shape[:-1], -1)


def fits(x, kind):
    return x.ndim == 2 and x.shape[-1] % gguf.GGML_QUANT_SIZES[kind][0] == 0


def choose(x, kind, fallback=(Q.Q8_0, Q.F16)):
    """The first of kind and fallback that can hold x; vectors stay f32."""
    if x.ndim == 1 or x.shape[0] == 1:
        return Q.F32
    return next(k for k in (kind, *fallback) if fits(x, k) or k == Q.F16)


# files

def add(writer, name, x, kind):
    """Writes a tensor and returns the values that a reader gets."""
    raw = quantize(x, kind)
    writer.add_tensor(name, raw, raw_dtype=kind)
    return np.asarray(gguf.quants.dequantize(raw, kind), dtype=np.float32).reshape(x.shape)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_dit(path, state, kind_of, architecture="lumina2"):
    """state: original names -> arrays. Returns the values that the file holds, by name."""
    writer = gguf.GGUFWriter(path, architecture or "none")
    if architecture is None:
        writer.kv_data[0].pop("general.architecture")
    else:
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    values = {name: add(writer, name, x, kind_of(name, x)) for name, x in state.items()}
    finish(writer)
    return values


LLAMA = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
         "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
         "post_attention_layernorm": "ffn_norm"}


def llama_name(name):
    """transformers' name of a Qwen3Model's tensor -> llama.cpp's, checked with PyPI gguf's map."""
    name = name.removeprefix("model.")
    if name.startswith("layers."):
        _, layer, rest = name.split(".", 2)
        ours = f"blk.{layer}.{LLAMA[rest.removesuffix('.weight')]}.weight"
    else:
        ours = {"embed_tokens.weight": "token_embd.weight", "norm.weight": "output_norm.weight"}[name]
    table = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, 64)
    assert ours == table.get_name("model." + name, (".weight",)), name
    return ours


def add_tokenizer(writer, folder, rows):
    """tokenizer.json of folder as llama.cpp's converter writes it; ids up to rows are padding."""
    root = json.loads((Path(folder) / "tokenizer.json").read_text(encoding="utf-8"))
    texts = {i: (t, gguf.TokenType.NORMAL) for t, i in root["model"]["vocab"].items()}
    for t in root["added_tokens"]:
        kind = gguf.TokenType.CONTROL if t["special"] else gguf.TokenType.USER_DEFINED
        texts[t["id"]] = (t["content"], kind)
    tokens = [texts.get(i, (f"[PAD{i}]", gguf.TokenType.UNUSED)) for i in range(rows)]
    merges = [m if isinstance(m, str) else " ".join(m) for m in root["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([t for t, _ in tokens])
    writer.add_token_types([k for _, k in tokens])
    writer.add_token_merges(merges)


def write_encoder(path, state, config, theta, tokenizer, kind_of):
    """state: transformers' names -> arrays; config: its config.json's values."""
    writer = gguf.GGUFWriter(path, "qwen3")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(40960)
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_freq_base(theta)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    add_tokenizer(writer, tokenizer, config["vocab_size"])
    values = {name: add(writer, llama_name(name), x, kind_of(name, x)) for name, x in state.items()}
    finish(writer)
    return values
