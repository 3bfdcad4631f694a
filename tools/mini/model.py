"""The small model: configurations, a batched forward pass over diffusers' and transformers' own modules,
and the sampler. Parameters and arithmetic are theirs; only the lists of single pictures are gone.

Shapes: B batch, L caption positions (a multiple of 32), N image tokens, D model width.
"""
import math

import torch
import torch.nn.functional as F
from diffusers import ZImageTransformer2DModel
from transformers import Qwen3Config, Qwen3Model

MULTIPLE = 32
VOCAB = 4096
ENCODER = dict(
    vocab_size=VOCAB, hidden_size=192, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4,
    num_key_value_heads=2, head_dim=48, max_position_embeddings=1024, rms_norm_eps=1e-6, rope_theta=1e6,
    tie_word_embeddings=True, attention_bias=False, hidden_act="silu", bos_token_id=None,
    eos_token_id=VOCAB - 1, pad_token_id=VOCAB - 3)
DIT = dict(
    all_patch_size=(2,), all_f_patch_size=(1,), in_channels=16, dim=192, n_layers=4, n_refiner_layers=4, n_heads=6,
    n_kv_heads=6, norm_eps=1e-5, qk_norm=True, cap_feat_dim=ENCODER["hidden_size"], rope_theta=256.0, t_scale=1000.0,
    axes_dims=[8, 12, 12], axes_lens=[1024, 256, 256])
SHIFT = 3.0
# What products are computed in: where the processor has none for it, bf16 is emulated at a tenth of the speed.
FAST = torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32


def build_encoder():
    encoder = Qwen3Model(Qwen3Config(**ENCODER))
    torch.nn.init.normal_(encoder.embed_tokens.weight, std=0.5)
    for unread in (encoder.layers[-1], encoder.norm):  # by the pipeline
        unread.requires_grad_(False)
    return encoder


def build():
    """(encoder, DiT) with random weights; every block starts as nearly the identity."""
    encoder = build_encoder()
    dit = ZImageTransformer2DModel(**DIT)
    for block in [*dit.noise_refiner, *dit.layers]:
        mod = block.adaLN_modulation[0]
        torch.nn.init.zeros_(mod.weight)
        torch.nn.init.zeros_(mod.bias)
        with torch.no_grad():  # scale_msa, gate_msa, scale_mlp, gate_mlp
            mod.bias.view(4, -1)[1::2] = 0.2
    final = dit.all_final_layer["2-1"]
    for lin in (final.linear, final.adaLN_modulation[1]):
        torch.nn.init.zeros_(lin.weight)
        torch.nn.init.zeros_(lin.bias)
    torch.nn.init.normal_(dit.x_pad_token, std=0.5)
    torch.nn.init.normal_(dit.cap_pad_token, std=0.5)
    return encoder, dit


CAPTION_SIDE = ("encoder.", "dit.cap_", "dit.context_refiner.")  # what together() calls the parameters that see no picture


def together(encoder, dit):
    """Both as one module, as checkpoints have them."""
    return torch.nn.ModuleDict(dict(encoder=encoder, dit=dit))


def loaded(weights):
    """(encoder, DiT) with a checkpoint's weights."""
    encoder, dit = build()
    together(encoder, dit).load_state_dict(weights)
    return encoder, dit


def rms(x, norm, eps):
    return F.rms_norm(x, (x.shape[-1],), norm.weight, eps)


def mixed():
    """bf16 in products, where it is faster."""
    return torch.autocast("cpu", torch.bfloat16, enabled=FAST == torch.bfloat16)


def attention(q, k, v, causal=False):
    """Written out: at these lengths faster than torch's fused one, whose backward pass takes a third of a step."""
    scores = (q @ k.mT) * q.shape[-1] ** -0.5
    if causal:
        scores = scores.masked_fill(torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1), -math.inf)
    return torch.softmax(scores, -1).to(v.dtype) @ v


def encode(encoder, ids):
    """ids (B, L), padded on the right -> features (B, L, 192) after all but the last layer.

    Causal attention: what pads compute never reaches the caption's own tokens.
    """
    c = encoder.config
    h = encoder.embed_tokens(ids)
    b, n = ids.shape
    inv = 1.0 / 1e6 ** (torch.arange(0, c.head_dim, 2).float() / c.head_dim)
    angle = torch.outer(torch.arange(n).float(), inv)
    cos, sin = angle.cos().repeat(1, 2), angle.sin().repeat(1, 2)
    half = lambda x: torch.cat([-x[..., c.head_dim // 2:], x[..., :c.head_dim // 2]], -1)
    for layer in encoder.layers[:-1]:
        a = layer.self_attn
        x = rms(h, layer.input_layernorm, c.rms_norm_eps)
        heads = lambda y: y.view(b, n, -1, c.head_dim)
        q = rms(heads(a.q_proj(x)), a.q_norm, c.rms_norm_eps).transpose(1, 2)
        k = rms(heads(a.k_proj(x)), a.k_norm, c.rms_norm_eps).transpose(1, 2)
        v = heads(a.v_proj(x)).transpose(1, 2)
        q, k = q * cos + half(q) * sin, k * cos + half(k) * sin
        k, v = (y.repeat_interleave(q.shape[1] // k.shape[1], 1) for y in (k, v))
        y = attention(q, k, v, causal=True)
        h = h + a.o_proj(y.transpose(1, 2).flatten(2))
        h = h + layer.mlp(rms(h, layer.post_attention_layernorm, c.rms_norm_eps))
    return h


def rotations(height, width, caption, keep=None):
    """cos, sin (S, 1, head_dim / 2) of the image's tokens (those in `keep`, or all), its pads, the caption."""
    config = DIT
    r, c = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    grid = torch.stack([torch.full((height * width,), 1 + caption), r.flatten(), c.flatten()], 1).double()
    grid = grid if keep is None else grid[keep]
    n = len(grid)
    pos = torch.zeros(n + (-n) % MULTIPLE + caption, 3, dtype=torch.float64)
    pos[:n] = grid
    pos[len(pos) - caption:, 0] = 1 + torch.arange(caption)
    freq = [1.0 / config["rope_theta"] ** (torch.arange(0, d, 2, dtype=torch.float64) / d) for d in config["axes_dims"]]
    angle = torch.cat([pos[:, i:i + 1] * f for i, f in enumerate(freq)], 1).float()[:, None]
    return angle.cos(), angle.sin()


def rotate(x, cos, sin):
    a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)


def block(m, x, cos, sin, mod=None):
    """One transformer block on (B, S, D); mod (B, 1, 4 D) or None for the caption's refiner."""
    at, eps = m.attention, 1e-5
    s1 = s2 = g1 = g2 = 1.0
    if mod is not None:
        s1, g1, s2, g2 = mod.chunk(4, dim=2)
        s1, s2, g1, g2 = 1 + s1, 1 + s2, g1.tanh(), g2.tanh()
    y = rms(x, m.attention_norm1, eps) * s1
    heads = lambda z: z.unflatten(-1, (at.heads, -1))
    q = rotate(rms(heads(at.to_q(y)), at.norm_q, eps), cos, sin).transpose(1, 2)
    k = rotate(rms(heads(at.to_k(y)), at.norm_k, eps), cos, sin).transpose(1, 2)
    y = attention(q, k, heads(at.to_v(y)).transpose(1, 2))
    x = x + g1 * rms(at.to_out[0](y.transpose(1, 2).flatten(2)), m.attention_norm2, eps)
    f = m.feed_forward
    y = rms(x, m.ffn_norm1, eps) * s2
    return x + g2 * rms(f.w2(F.silu(f.w1(y)) * f.w3(y)), m.ffn_norm2, eps)


def patches(latent):
    """(B, C, H, W) -> tokens (B, N, 4 C), channel fastest."""
    b, c, h, w = latent.shape
    return latent.view(b, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 3, 5, 1).reshape(b, h * w // 4, 4 * c)


def picture(tokens, h, w):
    """The inverse of patches() for a latent h x w."""
    b, _, d = tokens.shape
    return tokens.view(b, h // 2, w // 2, 2, 2, d // 4).permute(0, 5, 1, 3, 2, 4).reshape(b, d // 4, h, w)


def refined(dit, feats, own, cos, sin, stages=None):
    """The caption as the DiT's main blocks get it: (B, L, 192) -> (B, L, D). A list `stages` gets what each block returns."""
    y = dit.cap_embedder[1](rms(feats, dit.cap_embedder[0], 1e-5))
    y = torch.where(own[..., None], y, dit.cap_pad_token)
    for m in dit.context_refiner:
        y = block(m, y, cos, sin)
        if stages is not None:
            stages.append(y)
    return y


def denoise(dit, x, t, feats, own, cos, sin):
    """x (B, N, 64) noisy tokens, t = 1 - sigma (B,), feats (B, L, 192), own (B, L) true for the caption's own
    -> the model's output, x0 - noise, like x. cos, sin from rotations()."""
    b, n, _ = x.shape
    x = dit.all_x_embedder["2-1"](x)
    if n % MULTIPLE:
        x = torch.cat([x, dit.x_pad_token.expand(b, (-n) % MULTIPLE, -1)], 1)
    padded = x.shape[1]
    half = 128
    freq = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32) / half)
    angle = (t * 1000.0)[:, None] * freq
    temb = dit.t_embedder.mlp(torch.cat([angle.cos(), angle.sin()], -1))
    mod = lambda m: m.adaLN_modulation[0](temb)[:, None]
    for m in dit.noise_refiner:
        x = block(m, x, cos[:padded], sin[:padded], mod(m))
    x = torch.cat([x, refined(dit, feats, own, cos[padded:], sin[padded:])], 1)
    for m in dit.layers:
        x = block(m, x, cos, sin, mod(m))
    final = dit.all_final_layer["2-1"]
    x = F.layer_norm(x[:, :n], (x.shape[-1],), eps=1e-6) * (1 + final.adaLN_modulation(temb))[:, None]
    return final.linear(x)


def shifted(s):
    return SHIFT * s / (1 + (SHIFT - 1) * s)


def sigmas(steps):
    return torch.cat([shifted(torch.linspace(1, 1 / steps, steps)), torch.zeros(1)])


def tokenize(tok, prompts, length=0):
    """ids (B, L) padded to a multiple of 32, at least to length, and which of them are the prompts' own."""
    from tokenizer import chat
    rows = [e.ids[:512] for e in tok.encode_batch([chat(p) for p in prompts], add_special_tokens=False)]
    length = max(length, *(len(r) for r in rows))
    length += (-length) % MULTIPLE
    ids = torch.full((len(rows), length), ENCODER["pad_token_id"])
    own = torch.zeros(len(rows), length, dtype=torch.bool)
    for i, r in enumerate(rows):
        ids[i, :len(r)] = torch.tensor(r)
        own[i, :len(r)] = True
    return ids, own


@torch.no_grad()
def sample(encoder, dit, tok, prompts, height=32, width=32, steps=8, seed=0):
    """Normalised latents (B, 16, height, width) by Euler's method, without guidance. All prompts at once
    must need the same number of caption positions to equal the pipeline's."""
    ids, own = tokenize(tok, prompts)
    feats = encode(encoder, ids)
    cos, sin = rotations(height // 2, width // 2, ids.shape[1])
    x = torch.cat([torch.randn(1, 16, height, width, generator=torch.Generator().manual_seed(seed + i))
                   for i in range(len(prompts))])
    x = patches(x)
    s = sigmas(steps)
    for a, b in zip(s[:-1], s[1:]):
        out = denoise(dit, x, (1 - a).expand(len(prompts)), feats, own, cos, sin)
        x = x + (b - a) * -out
    return picture(x, height, width)


def check():
    """Largest difference between this file and diffusers / transformers on random weights."""
    torch.manual_seed(0)
    encoder, dit = build()
    for p in dit.parameters():
        torch.nn.init.normal_(p, std=0.1) if p.ndim > 1 else p.data.add_(torch.randn_like(p) * 0.1)
    ids = torch.randint(0, VOCAB - 3, (2, 32))
    own = torch.arange(32)[None] < torch.tensor([[19], [32]])
    with torch.no_grad():
        feats = encode(encoder, ids)
        want = encoder(input_ids=ids, attention_mask=own.long(), output_hidden_states=True).hidden_states[-2]
        print("encoder", (feats - want)[own].abs().max().item(), "of", want.abs().max().item())
        for h, w in ((16, 16), (20, 12), (32, 32)):
            lat, t = torch.randn(2, 16, h, w), torch.tensor([0.1, 0.7])
            got = picture(denoise(dit, patches(lat), t, feats, own, *rotations(h // 2, w // 2, 32)), h, w)
            want = dit(list(lat[:, :, None].unbind(0)), t, [f[o] for f, o in zip(feats, own)], return_dict=False)[0]
            want = torch.stack(want)[:, :, 0]
            print("dit", (h, w), (got - want).abs().max().item(), "of", want.abs().max().item())


if __name__ == "__main__":
    check()
