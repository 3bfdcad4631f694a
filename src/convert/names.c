/* diffusers names -> those of the files that other programs read. The opposite of weights/names.c:
 * what is written here has to be what is read there. */
#include "convert/outputs.h"

#include <stdio.h>
#include <string.h>

typedef struct pair {
    const char *from, *to;
} pair;

#define COUNT(list) (sizeof(list) / sizeof *(list))

static int ends_with(const char *text, const char *tail) {
    size_t a = strlen(text), b = strlen(tail);
    return a >= b && strcmp(text + a - b, tail) == 0;
}

static void copy(char out[MEBI__OUTPUT_NAME], const char *head, int head_bytes, const char *middle,
                 const char *tail) {
    snprintf(out, MEBI__OUTPUT_NAME, "%.*s%s%s", head_bytes, head, middle, tail);
}

static int original_dit(const char *name, char out[MEBI__OUTPUT_NAME]) {
    static const char q[] = ".attention.to_q.weight";
    static const pair inner[] = {{"all_x_embedder.2-1.", "x_embedder."},
                                 {"all_final_layer.2-1.", "final_layer."},
                                 {".attention.norm_q.", ".attention.q_norm."},
                                 {".attention.norm_k.", ".attention.k_norm."},
                                 {".attention.to_out.0.", ".attention.out."}};
    if (ends_with(name, ".attention.to_k.weight") || ends_with(name, ".attention.to_v.weight"))
        return 0;
    if (ends_with(name, q)) {
        copy(out, name, (int)(strlen(name) - strlen(q)), ".attention.qkv.weight", "");
        return 3;
    }
    for (size_t i = 0; i < COUNT(inner); i++) {
        const char *place = strstr(name, inner[i].from);
        if (!place) continue;
        copy(out, name, (int)(place - name), inner[i].to, place + strlen(inner[i].from));
        return 1;
    }
    copy(out, name, (int)strlen(name), "", "");
    return 1;
}

static int llama_encoder(const char *name, char out[MEBI__OUTPUT_NAME]) {
    static const pair whole[] = {{"model.embed_tokens.weight", "token_embd.weight"},
                                 {"model.norm.weight", "output_norm.weight"},
                                 {"lm_head.weight", "output.weight"}};
    static const pair inner[] = {
        {"self_attn.q_proj.", "attn_q."},          {"self_attn.k_proj.", "attn_k."},
        {"self_attn.v_proj.", "attn_v."},          {"self_attn.o_proj.", "attn_output."},
        {"self_attn.q_norm.", "attn_q_norm."},     {"self_attn.k_norm.", "attn_k_norm."},
        {"mlp.gate_proj.", "ffn_gate."},           {"mlp.up_proj.", "ffn_up."},
        {"mlp.down_proj.", "ffn_down."},           {"input_layernorm.", "attn_norm."},
        {"post_attention_layernorm.", "ffn_norm."}};
    int layer, at = 0;
    for (size_t i = 0; i < COUNT(whole); i++)
        if (strcmp(name, whole[i].from) == 0) {
            copy(out, "", 0, whole[i].to, "");
            return 1;
        }
    if (strstr(name, "rotary_emb.")) return 0; /* a table that everybody computes */
    if (sscanf(name, "model.layers.%4d.%n", &layer, &at) != 1 || at == 0 || layer < 0) return -1;
    for (size_t i = 0; i < COUNT(inner); i++)
        if (strncmp(name + at, inner[i].from, strlen(inner[i].from)) == 0) {
            snprintf(out, MEBI__OUTPUT_NAME, "blk.%d.%s%s", layer, inner[i].to,
                     name + at + strlen(inner[i].from));
            return 1;
        }
    return -1;
}

int mebi__output_name(const mebi__target *target, const char *name, char out[MEBI__OUTPUT_NAME]) {
    if (target->part == MEBI__PART_DIT) return original_dit(name, out);
    if (target->gguf) return llama_encoder(name, out);
    copy(out, name, (int)strlen(name), "", "");
    return 1;
}
