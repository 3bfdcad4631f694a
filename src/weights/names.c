/* Original single-file names, and llama.cpp's -> diffusers names. Must leave a diffusers name
 * exactly as it is: the same code reads both layouts without being told which one it has. The facts
 * are those of diffusers' single-file converters. */
#include "weights/names.h"

#include <stdio.h>
#include <string.h>

typedef struct pair {
    const char *from, *to;
} pair;

#define COUNT(list) (sizeof(list) / sizeof *(list))
#define QKV         ".attention.qkv.weight"

static int starts_with(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Replaces the first occurrence at or after `at`, if it is there and the result fits. Returns the
 * place after the replacement, or `at`. */
static size_t replace(char name[MEBI__LONG_NAME_BYTES], size_t at, const char *from,
                      const char *to) {
    char *place = strstr(name + at, from);
    size_t length = strlen(name), a = strlen(from), b = strlen(to);
    if (!place || length - a + b >= MEBI__LONG_NAME_BYTES) return at;
    memmove(place + b, place + a, strlen(place + a) + 1);
    memcpy(place, to, b);
    return (size_t)(place - name) + b;
}

static const char *skip_prefix(const char *name, const char *const *prefixes, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (starts_with(name, prefixes[i])) return name + strlen(prefixes[i]);
    return name;
}

static int translate_dit(char out[MEBI__LONG_NAME_BYTES]) {
    static const pair heads[] = {{"x_embedder.", "all_x_embedder.2-1."},
                                 {"final_layer.", "all_final_layer.2-1."}};
    static const pair inner[] = {{".attention.q_norm.", ".attention.norm_q."},
                                 {".attention.k_norm.", ".attention.norm_k."},
                                 {".attention.out.", ".attention.to_out.0."}};
    for (size_t i = 0; i < COUNT(heads); i++)
        if (starts_with(out, heads[i].from)) replace(out, 0, heads[i].from, heads[i].to);
    for (size_t i = 0; i < COUNT(inner); i++) replace(out, 0, inner[i].from, inner[i].to);
    size_t length = strlen(out), tail = strlen(QKV);
    return length > tail && strcmp(out + length - tail, QKV) == 0 ? 3 : 1;
}

/* N of "decoder.up.N.", one digit as no VAE has more levels; -1 if the name is no such. */
static int up_block(const char *name) {
    int up = -1;
    char dot = 0;
    if (sscanf(name, "decoder.up.%1d%c", &up, &dot) != 2 || dot != '.') return -1;
    return up >= 0 ? up : -1;
}

static void translate_attention(char out[MEBI__LONG_NAME_BYTES], size_t at) {
    /* CompVis names, then those of early diffusers. */
    static const pair inner[] = {{".norm.", ".group_norm."},
                                 {".q.", ".to_q."},
                                 {".k.", ".to_k."},
                                 {".v.", ".to_v."},
                                 {".proj_out.", ".to_out.0."},
                                 {".query.", ".to_q."},
                                 {".key.", ".to_k."},
                                 {".value.", ".to_v."},
                                 {".proj_attn.", ".to_out.0."}};
    for (size_t i = 0; i < COUNT(inner); i++)
        if (starts_with(out + at, inner[i].from)) {
            replace(out, at, inner[i].from, inner[i].to);
            return;
        }
}

static void translate_vae(char out[MEBI__LONG_NAME_BYTES], int up_blocks) {
    static const pair middle[] = {{".mid.block_1.", ".mid_block.resnets.0."},
                                  {".mid.block_2.", ".mid_block.resnets.1."},
                                  {".mid.attn_1.", ".mid_block.attentions.0."},
                                  {".norm_out.", ".conv_norm_out."}};
    static const pair blocks[] = {{".block.", ".resnets."},
                                  {".upsample.", ".upsamplers.0."},
                                  {".downsample.", ".downsamplers.0."}};
    size_t coder = strlen("encoder");
    if (!starts_with(out, "encoder.") && !starts_with(out, "decoder.")) return;
    for (size_t i = 0; i < COUNT(middle); i++)
        if (starts_with(out + coder, middle[i].from))
            replace(out, coder, middle[i].from, middle[i].to);
    int up = up_block(out);
    if (up >= 0 && up < up_blocks) {
        char from[16], to[24];
        snprintf(from, sizeof from, ".up.%d.", up);
        snprintf(to, sizeof to, ".up_blocks.%d.", up_blocks - 1 - up);
        replace(out, coder, from, to);
    } else if (starts_with(out, "encoder.down.")) replace(out, coder, ".down.", ".down_blocks.");
    if (strstr(out, "_blocks."))
        for (size_t i = 0; i < COUNT(blocks); i++)
            replace(out, coder, blocks[i].from, blocks[i].to);
    replace(out, coder, ".nin_shortcut.", ".conv_shortcut.");
    const char *attention = strstr(out, "mid_block.attentions.0.");
    if (attention)
        translate_attention(out, (size_t)(attention - out) + strlen("mid_block.attentions.0"));
}

/* llama.cpp's names of a Qwen3. Its rows of q and k lie as in the published model: llama.cpp
 * reorders them for LLaMA only, where it rotates neighbours. */
static int translate_llama(const char *name, char out[MEBI__LONG_NAME_BYTES]) {
    static const pair whole[] = {{"token_embd.weight", "model.embed_tokens.weight"},
                                 {"output_norm.weight", "model.norm.weight"},
                                 {"output.weight", "lm_head.weight"}};
    static const pair inner[] = {
        {"attn_q.", "self_attn.q_proj."},          {"attn_k.", "self_attn.k_proj."},
        {"attn_v.", "self_attn.v_proj."},          {"attn_output.", "self_attn.o_proj."},
        {"attn_q_norm.", "self_attn.q_norm."},     {"attn_k_norm.", "self_attn.k_norm."},
        {"ffn_gate.", "mlp.gate_proj."},           {"ffn_up.", "mlp.up_proj."},
        {"ffn_down.", "mlp.down_proj."},           {"attn_norm.", "input_layernorm."},
        {"ffn_norm.", "post_attention_layernorm."}};
    int layer, at = 0;
    for (size_t i = 0; i < COUNT(whole); i++)
        if (strcmp(name, whole[i].from) == 0) {
            snprintf(out, MEBI__LONG_NAME_BYTES, "%s", whole[i].to);
            return 1;
        }
    if (sscanf(name, "blk.%4d.%n", &layer, &at) != 1 || at == 0 || layer < 0) return 0;
    for (size_t i = 0; i < COUNT(inner); i++)
        if (starts_with(name + at, inner[i].from)) {
            snprintf(out, MEBI__LONG_NAME_BYTES, "model.layers.%d.%s%s", layer, inner[i].to,
                     name + at + strlen(inner[i].from));
            return 1;
        }
    return 0;
}

static const char *strip(mebi__part part, const char *name) {
    static const char *const dit[] = {"model.diffusion_model.", "diffusion_model."};
    static const char *const vae[] = {"first_stage_model.", "vae."};
    if (part == MEBI__PART_DIT) return skip_prefix(name, dit, COUNT(dit));
    if (part == MEBI__PART_VAE) return skip_prefix(name, vae, COUNT(vae));
    return name;
}

void mebi__names_learn(mebi__renaming *renaming, const char *name) {
    if (renaming->part != MEBI__PART_VAE) return;
    int up = up_block(strip(renaming->part, name));
    if (up >= renaming->up_blocks) renaming->up_blocks = up + 1;
}

int mebi__names_translate(const mebi__renaming *renaming, const char *name,
                          char out[MEBI__LONG_NAME_BYTES]) {
    if (renaming->part == MEBI__PART_ENCODER && translate_llama(name, out)) return 1;
    /* Qwen3Model is saved without the prefix that Qwen3ForCausalLM puts before it. */
    int bare = renaming->part == MEBI__PART_ENCODER &&
               (starts_with(name, "layers.") || starts_with(name, "embed_tokens.") ||
                starts_with(name, "norm.") || starts_with(name, "rotary_emb."));
    snprintf(out, MEBI__LONG_NAME_BYTES, "%s%s", bare ? "model." : "", strip(renaming->part, name));
    if (renaming->part == MEBI__PART_DIT) return translate_dit(out);
    if (renaming->part == MEBI__PART_VAE) translate_vae(out, renaming->up_blocks);
    return 1;
}

void mebi__names_slice(const char *translated, int slice, char out[MEBI__LONG_NAME_BYTES]) {
    static const char *const parts[] = {".attention.to_q.weight", ".attention.to_k.weight",
                                        ".attention.to_v.weight"};
    int stem = (int)(strlen(translated) - strlen(QKV));
    snprintf(out, MEBI__LONG_NAME_BYTES, "%.*s%s", stem, translated, parts[slice]);
}

int mebi__names_is_flat(const mebi__renaming *renaming, const char *translated) {
    size_t length = strlen(translated);
    return renaming->part == MEBI__PART_VAE && strstr(translated, ".attentions.0.to_") &&
           length > 7 && strcmp(translated + length - 7, ".weight") == 0;
}
