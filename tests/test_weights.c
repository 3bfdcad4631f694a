/* Reading models: good files give exactly their tensors and dimensions, and nothing is lost when
 * memory runs out. Broken files: test_refusals.c. */
#include "reading.h"

#include "weights/config_read.h"
#include "weights/names.h"
#include "weights/safetensors.h"
#include "weights/tensors.h"

#include <math.h>

/* ---- good files ---- */

static void reads_types_shapes_and_places(void **state) {
    (void)state;
    path_text folder = make_folder(), path = path_of("%s/a.safetensors", folder.text);
    unsigned char data[23];
    for (int i = 0; i < 23; i++) data[i] = (unsigned char)(i + 1);
    /* An odd byte first, so that all that follows is unaligned. */
    write_safetensors(path.text,
                      "{\"__metadata__\":{\"format\":\"pt\"},"
                      "\"z.f32\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[1,9]},"
                      "\"odd\":{\"dtype\":\"F8_E8M0\",\"shape\":[1],\"data_offsets\":[0,1]},"
                      "\"b\":{\"dtype\":\"BF16\",\"shape\":[3],\"data_offsets\":[9,15]},"
                      "\"s\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[15,17]},"
                      "\"none\":{\"dtype\":\"F32\",\"shape\":[0,4],\"data_offsets\":[17,17]},"
                      "\"deep\":{\"dtype\":\"BF16\",\"shape\":[1,1,1,1,3],\"data_offsets\":[17,23]}"
                      "}      ",
                      data, sizeof data);
    mebi__tensors *set = open_good(path.text, MEBI__PART_ENCODER);
    assert_int_equal(mebi__tensors_count(set), 3);
    assert_int_equal(mebi__tensors_map_count(set), 1);
    const mebi__tensor *z = mebi__tensors_find(set, "z.f32");
    assert_string_equal(mebi__tensors_at(set, 0)->name, "b");
    assert_string_equal(mebi__tensors_at(set, 1)->name, "s");
    assert_ptr_equal(mebi__tensors_at(set, 2), z);
    assert_int_equal(z->dtype, MEBI__F32);
    assert_int_equal(z->shape.rank, 2);
    assert_int_equal(z->shape.dim[1], 2);
    assert_memory_equal(z->data, data + 1, 8);
    assert_int_equal(mebi__tensors_at(set, 0)->dtype, MEBI__BF16);
    assert_int_equal(mebi__tensors_at(set, 1)->dtype, MEBI__F16);
    assert_int_equal(mebi__tensors_at(set, 1)->shape.rank, 0);
    assert_null(mebi__tensors_find(set, "odd"));
    assert_null(mebi__tensors_find(set, "none"));
    assert_null(mebi__tensors_find(set, "deep"));
    assert_null(mebi__tensors_find(set, ""));
    mebi__tensors_close(&set);
    mebi__tensors_close(&set);
    remove_path(folder.text);
}

static void keeps_account_of_use(void **state) {
    (void)state;
    static const char *const names[] = {"norm_final.weight", "layers.0.a", "layers.1.b", "x", "y"};
    path_text folder = make_folder(), path = path_of("%s/m.safetensors", folder.text);
    write_named(path.text, names, COUNT(names), "[2,3]", 6);
    mebi__tensors *set = open_good(path.text, MEBI__PART_DIT);
    const int64_t right[] = {2, 3}, wrong[] = {3, 2};
    mebi_error err = {0};
    char text[256];
    assert_int_equal(mebi__tensors_report(set, &err), MEBI_OK);
    assert_int_equal(mebi__tensors_unexpected(set, text, sizeof text), 4);
    assert_string_equal(text, "layers.0.a, layers.1.b, x, y");
    assert_int_equal(mebi__tensors_unexpected(set, text, 54), 4);
    assert_string_equal(text, "layers.0.a and 3 more");
    assert_int_equal(mebi__tensors_unexpected(set, NULL, 0), 4);
    assert_non_null(mebi__tensors_want(set, 2, right, "layers.%d.%s", 0, "a"));
    assert_null(mebi__tensors_want(set, 2, wrong, "layers.1.b"));
    for (int i = 0; i < 9; i++) assert_null(mebi__tensors_want(set, 2, wrong, "gone.%d", i / 2));
    assert_int_equal(mebi__tensors_unexpected(set, text, sizeof text), 2);
    assert_string_equal(text, "x, y");
    assert_refused(mebi__tensors_report(set, &err), MEBI_BAD_FILE, &err, "m.safetensors",
                   "Missing tensors (5): gone.0 [3, 2], gone.1 [3, 2]");
    assert_non_null(strstr(err.text, "and 1 more"));
    assert_non_null(strstr(err.text, "Wrong shapes (1): layers.1.b is [2, 3] instead of [3, 2]."));
    assert_non_null(mebi__tensors_want(set, 2, right, "norm_final.weight"));
    mebi__tensors_close(&set);
    remove_path(folder.text);
}

static void tells_why_a_type_is_refused(void **state) {
    (void)state;
    path_text folder = make_folder(), path = path_of("%s/fp8.safetensors", folder.text);
    write_safetensors(path.text,
                      "{\"w\":{\"dtype\":\"F8_E8M0\",\"shape\":[2],\"data_offsets\":[0,2]},"
                      "\"layers.0.attention.qkv.weight\":{\"dtype\":\"I8\",\"shape\":[3,1],"
                      "\"data_offsets\":[2,5]}}",
                      "12345", 5);
    mebi__tensors *set = open_good(path.text, MEBI__PART_DIT);
    const int64_t two[] = {2}, third[] = {1, 1};
    mebi_error err = {0};
    assert_int_equal(mebi__tensors_count(set), 0);
    assert_null(mebi__tensors_want(set, 1, two, "w"));
    assert_null(mebi__tensors_want(set, 2, third, "layers.0.attention.to_k.weight"));
    assert_refused(mebi__tensors_report(set, &err), MEBI_BAD_FILE, &err, "fp8.safetensors",
                   "Not supported (2): w (F8_E8M0): its type is not F32, F16, BF16, F8");
    mebi__tensors_close(&set);
    remove_path(folder.text);
}

/* Leftovers of a part are known, until something of their kind is asked for. */
static void knows_leftovers(void **state) {
    (void)state;
    static const char *const encoder[] = {"lm_head.weight",    "model.norm.weight",
                                          "model.layers.0.x",  "model.layers.9.x",
                                          "model.layers.10.x", "model.layers.10.y"};
    static const char *const vae[] = {"encoder.conv_in.bias", "encoder.conv_out.bias",
                                      "decoder.conv_in.bias", "quant_conv.bias"};
    const int64_t dim[] = {1};
    char text[256];
    path_text folder = make_folder(), path = path_of("%s/l.safetensors", folder.text);
    write_named(path.text, encoder, COUNT(encoder), "[1]", 1);
    mebi__tensors *set = open_good(path.text, MEBI__PART_ENCODER);
    assert_int_equal(mebi__tensors_unexpected(set, text, sizeof text), 2);
    assert_string_equal(text, "model.layers.0.x, model.layers.9.x");
    assert_non_null(mebi__tensors_want(set, 1, dim, "model.layers.10.x"));
    assert_int_equal(mebi__tensors_unexpected(set, text, sizeof text), 3);
    mebi__tensors_close(&set);

    write_named(path.text, vae, COUNT(vae), "[1]", 1);
    set = open_good(path.text, MEBI__PART_VAE);
    assert_int_equal(mebi__tensors_unexpected(set, text, sizeof text), 1);
    assert_string_equal(text, "decoder.conv_in.bias");
    assert_non_null(mebi__tensors_want(set, 1, dim, "encoder.conv_in.bias"));
    assert_int_equal(mebi__tensors_unexpected(set, text, sizeof text), 2);
    assert_string_equal(text, "decoder.conv_in.bias, encoder.conv_out.bias");
    mebi__tensors_close(&set);
    remove_path(folder.text);
}

typedef struct renamed {
    const char *from, *to;
} renamed;

static void check_names(mebi__part part, const renamed *list, int count) {
    mebi__renaming renaming = {.part = part};
    for (int i = 0; i < count; i++) mebi__names_learn(&renaming, list[i].from);
    for (int i = 0; i < count; i++) {
        char out[MEBI__LONG_NAME_BYTES], again[MEBI__LONG_NAME_BYTES];
        assert_int_equal(mebi__names_translate(&renaming, list[i].from, out), 1);
        assert_string_equal(out, list[i].to);
        /* A diffusers name stays as it is. */
        assert_int_equal(mebi__names_translate(&renaming, out, again), 1);
        assert_string_equal(again, out);
    }
}

static void translates_names(void **state) {
    (void)state;
    static const renamed dit[] = {
        {"model.diffusion_model.x_embedder.weight", "all_x_embedder.2-1.weight"},
        {"x_embedder.bias", "all_x_embedder.2-1.bias"},
        {"model.diffusion_model.final_layer.linear.bias", "all_final_layer.2-1.linear.bias"},
        {"final_layer.adaLN_modulation.1.weight", "all_final_layer.2-1.adaLN_modulation.1.weight"},
        {"layers.29.attention.q_norm.weight", "layers.29.attention.norm_q.weight"},
        {"noise_refiner.1.attention.k_norm.weight", "noise_refiner.1.attention.norm_k.weight"},
        {"context_refiner.0.attention.out.weight", "context_refiner.0.attention.to_out.0.weight"},
        {"layers.0.attention.out.bias", "layers.0.attention.to_out.0.bias"},
        {"norm_final.weight", "norm_final.weight"},
        {"cap_pad_token", "cap_pad_token"},
    };
    static const renamed encoder[] = {
        {"layers.3.mlp.up_proj.weight", "model.layers.3.mlp.up_proj.weight"},
        {"embed_tokens.weight", "model.embed_tokens.weight"},
        {"norm.weight", "model.norm.weight"},
        {"lm_head.weight", "lm_head.weight"},
    };
    static const renamed vae[] = {
        {"decoder.up.3.block.0.norm1.weight", "decoder.up_blocks.0.resnets.0.norm1.weight"},
        {"decoder.up.0.block.2.conv2.bias", "decoder.up_blocks.3.resnets.2.conv2.bias"},
        {"decoder.up.1.block.0.nin_shortcut.weight",
         "decoder.up_blocks.2.resnets.0.conv_shortcut.weight"},
        {"decoder.up.2.upsample.conv.weight", "decoder.up_blocks.1.upsamplers.0.conv.weight"},
        {"first_stage_model.encoder.down.0.downsample.conv.bias",
         "encoder.down_blocks.0.downsamplers.0.conv.bias"},
        {"encoder.down.1.block.0.nin_shortcut.bias",
         "encoder.down_blocks.1.resnets.0.conv_shortcut.bias"},
        {"vae.decoder.mid.block_1.conv1.weight", "decoder.mid_block.resnets.0.conv1.weight"},
        {"encoder.mid.block_2.norm2.bias", "encoder.mid_block.resnets.1.norm2.bias"},
        {"decoder.mid.attn_1.norm.weight", "decoder.mid_block.attentions.0.group_norm.weight"},
        {"decoder.mid.attn_1.q.bias", "decoder.mid_block.attentions.0.to_q.bias"},
        {"decoder.mid.attn_1.k.weight", "decoder.mid_block.attentions.0.to_k.weight"},
        {"decoder.mid.attn_1.v.weight", "decoder.mid_block.attentions.0.to_v.weight"},
        {"encoder.mid.attn_1.proj_out.weight", "encoder.mid_block.attentions.0.to_out.0.weight"},
        {"decoder.mid_block.attentions.0.query.weight",
         "decoder.mid_block.attentions.0.to_q.weight"},
        {"decoder.mid_block.attentions.0.proj_attn.bias",
         "decoder.mid_block.attentions.0.to_out.0.bias"},
        {"decoder.norm_out.weight", "decoder.conv_norm_out.weight"},
        {"encoder.conv_out.bias", "encoder.conv_out.bias"},
        {"loss.logvar", "loss.logvar"},
    };
    check_names(MEBI__PART_DIT, dit, COUNT(dit));
    check_names(MEBI__PART_ENCODER, encoder, COUNT(encoder));
    check_names(MEBI__PART_VAE, vae, COUNT(vae));
}

static void splits_fused_rows(void **state) {
    (void)state;
    static const char *const name[] = {"model.diffusion_model.layers.7.attention.qkv.weight"};
    path_text folder = make_folder(), path = path_of("%s/q.safetensors", folder.text);
    write_named(path.text, name, 1, "[6,2]", 12);
    mebi__tensors *set = open_good(path.text, MEBI__PART_DIT);
    static const char *const parts[] = {"to_q", "to_k", "to_v"};
    const int64_t dim[] = {2, 2};
    for (int i = 0; i < 3; i++) {
        const mebi__tensor *t =
            mebi__tensors_want(set, 2, dim, "layers.7.attention.%s.weight", parts[i]);
        assert_non_null(t);
        float first;
        memcpy(&first, t->data, sizeof first);
        assert_true(first == (float)(4 * i) / 100);
    }
    mebi__tensors_close(&set);
    remove_path(folder.text);
}

static void reads_any_single_file_of_a_folder(void **state) {
    (void)state;
    static const char *const names[] = {"a", "b"};
    path_text folder = make_folder();
    write_named(path_of("%s/model.fp16.safetensors", folder.text).text, names, 2, "[1]", 1);
    mebi__tensors *set = open_good(folder.text, MEBI__PART_DIT);
    assert_int_equal(mebi__tensors_count(set), 2);
    mebi__tensors_close(&set);
    remove_path(folder.text);
}

static void finds_values_that_are_not_finite(void **state) {
    (void)state;
    enum { N = 9000 };
    static const struct {
        const char *name;
        int bytes;
        uint32_t bad[4], good[4];
    } types[] = {
        {"F32",
         4,
         {0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001},
         {0x7f7fffff, 0xff7fffff, 0x00000001, 0x80000000}},
        {"F16", 2, {0x7c00, 0xfc00, 0x7e00, 0x7c01}, {0x7bff, 0xfbff, 0x0001, 0x8000}},
        {"BF16", 2, {0x7f80, 0xff80, 0x7fc0, 0x7f81}, {0x7f7f, 0xff7f, 0x0001, 0x8000}},
    };
    static const int places[] = {0, 1, 4095, 4096, 8191, 8192, N - 1};
    path_text folder = make_folder(), path = path_of("%s/n.safetensors", folder.text);
    unsigned char *data = take_bytes(4 * N);
    for (int t = 0; t < COUNT(types); t++)
        for (int k = 0; k < 4 * COUNT(places); k++) {
            char header[256], element[128];
            int at = places[k / 4];
            for (int i = 0; i < N; i++)
                memcpy(data + (size_t)(i * types[t].bytes), &types[t].good[i % 4],
                       (size_t)types[t].bytes);
            memcpy(data + (size_t)(at * types[t].bytes), &types[t].bad[k % 4],
                   (size_t)types[t].bytes);
            snprintf(header, sizeof header,
                     "{\"w\":{\"dtype\":\"%s\",\"shape\":[%d],\"data_offsets\":[0,%d]}}",
                     types[t].name, N, N * types[t].bytes);
            write_safetensors(path.text, header, data, (size_t)(N * types[t].bytes));
            mebi__tensors *set = open_good(path.text, MEBI__PART_DIT);
            mebi_error err = {0};
            snprintf(element, sizeof element,
                     "tensor w holds a value that is not finite (%s, "
                     "element %d of",
                     k % 4 < 2 ? "infinity" : "NaN", at);
            assert_refused(mebi__tensors_check_finite(set, &err), MEBI_BAD_FILE, &err,
                           "n.safetensors", element);
            mebi__tensors_close(&set);
        }
    refusals -= COUNT(types) * 4 * COUNT(places) - 1; /* one kind */
    free(data);
    remove_path(folder.text);
}

static void fingerprints_differ(void **state) {
    (void)state;
    static const char *const names[] = {"a", "b"}, *const others[] = {"a", "c"};
    path_text folder = make_folder(), path = path_of("%s/f.safetensors", folder.text);
    char hex[5][17];
    for (int i = 0; i < 5; i++) {
        write_named(path.text, i == 2 ? others : names, 2, i == 3 ? "[2,3]" : "[6]", 6);
        if (i == 4) { /* last byte of the data */
            size_t bytes;
            unsigned char *data = read_bytes(path.text, &bytes);
            data[bytes - 1] ^= 1;
            write_bytes(path.text, data, bytes);
            free(data);
        }
        mebi__tensors *set = open_good(path.text, MEBI__PART_ENCODER);
        mebi__tensors_fingerprint(set, hex[i]);
        assert_int_equal(strspn(hex[i], "0123456789abcdef"), 16);
        mebi__tensors_close(&set);
    }
    assert_string_equal(hex[0], hex[1]);
    for (int i = 2; i < 5; i++) assert_string_not_equal(hex[0], hex[i]);
    remove_path(folder.text);
}

/* ---- the fixture models ---- */

/* Every tensor of a is in b, the same in type, shape and every byte. */
static void check_contained(const mebi__tensors *a, const mebi__tensors *b) {
    for (int i = 0; i < mebi__tensors_count(a); i++) {
        const mebi__tensor *t = mebi__tensors_at(a, i), *u = mebi__tensors_find(b, t->name);
        size_t bytes = 0;
        if (!u) fail_msg("%s is missing", t->name);
        assert_int_equal(t->dtype, u->dtype);
        if (!mebi__shape_equal(&t->shape, &u->shape)) fail_msg("%s: shape", t->name);
        assert_true(mebi__shape_bytes(&t->shape, t->dtype, &bytes));
        assert_memory_equal(t->data, u->data, bytes);
    }
}

static void original_names_give_the_same_tensors(void **state) {
    (void)state;
    mebi__model_files a = open_model(&(mebi__model_paths){.folder = MODELS "/tiny"});
    mebi__model_files b = open_model(&original);
    check_tiny(&a);
    check_tiny(&b);
    check_contained(a.dit, b.dit);
    check_contained(a.encoder, b.encoder);
    check_contained(a.vae, b.vae);
    assert_int_equal(mebi__tensors_count(a.dit) + 1, mebi__tensors_count(b.dit)); /* norm_final */
    assert_int_equal(mebi__tensors_count(a.encoder), mebi__tensors_count(b.encoder));
    assert_int_equal(mebi__tensors_count(a.vae), mebi__tensors_count(b.vae));
    assert_string_not_equal(a.hash, b.hash);
    mebi__model_files_close(&a);
    mebi__model_files_close(&b);
    mebi__model_files_close(&b);
}

static void reads_a_sharded_model(void **state) {
    (void)state;
    mebi__model_files m = open_model(&(mebi__model_paths){.folder = MODELS "/odd"});
    const mebi__dit_config dit = {.dim = 20,
                                  .layers = 3,
                                  .refiner_layers = 2,
                                  .heads = 2,
                                  .head_dim = 10,
                                  .ffn_hidden = 53,
                                  .caption_dim = 36,
                                  .channels = 16,
                                  .patch = 2,
                                  .adaln_dim = 14,
                                  .time_hidden = 18,
                                  .time_frequencies = 256,
                                  .norm_eps = 1e-3f,
                                  .time_scale = 500,
                                  .rope_theta = 100,
                                  .axes_dim = {2, 4, 4},
                                  .axes_len = {1024, 64, 64}};
    const mebi__qwen3_config encoder = {.hidden = 36,
                                        .layers = 3,
                                        .heads = 6,
                                        .kv_heads = 3,
                                        .head_dim = 10,
                                        .intermediate = 50,
                                        .vocab = 520,
                                        .norm_eps = 1e-5f,
                                        .rope_theta = 1e4};
    const mebi__vae_config vae = {.latent_channels = 16,
                                  .levels = 4,
                                  .block_channels = {6, 6, 9, 9},
                                  .layers_per_block = 1,
                                  .groups = 3,
                                  .scaling = 0.5f,
                                  .shift = 0.05f};
    assert_memory_equal(&m.dit_config, &dit, sizeof dit);
    assert_memory_equal(&m.encoder_config, &encoder, sizeof encoder);
    assert_memory_equal(&m.vae_config, &vae, sizeof vae);
    assert_true(m.scheduler.shift == 6);
    assert_int_equal(mebi__tensors_map_count(m.dit), 3);
    assert_int_equal(mebi__tensors_map_count(m.encoder), 3);
    assert_non_null(mebi__tensors_find(m.encoder, "model.layers.2.self_attn.q_norm.weight"));
    mebi__model_files_close(&m);
}

static void reads_half_precision(void **state) {
    (void)state;
    mebi__model_files m = open_model(&(mebi__model_paths){.folder = MODELS "/bf16"});
    mebi_error err = {0};
    assert_int_equal(m.dit_config.ffn_hidden, 117);
    assert_int_equal(m.dit_config.adaln_dim, 44);
    assert_int_equal(m.encoder_config.kv_heads, 1);
    assert_int_equal(m.vae_config.groups, 2);
    assert_int_equal(m.vae_config.layers_per_block, 2);
    for (int i = 0; i < mebi__tensors_count(m.dit); i++)
        assert_int_equal(mebi__tensors_at(m.dit, i)->dtype, MEBI__BF16);
    for (int i = 0; i < mebi__tensors_count(m.vae); i++)
        assert_int_equal(mebi__tensors_at(m.vae, i)->dtype, MEBI__F16);
    assert_int_equal(mebi__tensors_check_finite(m.dit, &err), MEBI_OK);
    assert_int_equal(mebi__tensors_check_finite(m.encoder, &err), MEBI_OK);
    assert_int_equal(mebi__tensors_check_finite(m.vae, &err), MEBI_OK);
    mebi__model_files_close(&m);
}

/* A folder with one part from elsewhere; a part's folder by itself; a folder without configs. */
static void mixes_layouts(void **state) {
    (void)state;
    mebi__model_files m = open_model(
        &(mebi__model_paths){.folder = MODELS "/tiny",
                             .vae = MODELS "/tiny-original/ae.safetensors",
                             .text_encoder = MODELS "/tiny/text_encoder/model.safetensors",
                             .tokenizer = MODELS "/tiny/tokenizer/tokenizer.json"});
    assert_true(mebi__is_file(m.tokenizer_path));
    assert_int_equal(m.encoder_config.heads, 4);
    mebi__model_files_close(&m);

    path_text folder = make_folder(), model = path_of("%s/m", folder.text);
    link_folder(MODELS "/tiny", model.text);
    static const char *const configs[] = {"transformer/config.json", "text_encoder/config.json",
                                          "vae/config.json", "scheduler/scheduler_config.json",
                                          "model_index.json"};
    for (int i = 0; i < COUNT(configs); i++)
        remove_path(path_of("%s/%s", model.text, configs[i]).text);
    m = open_model(&(mebi__model_paths){.folder = model.text});
    check_tiny(&m);
    mebi__model_files_close(&m);
    remove_path(folder.text);
}

/* ---- memory ---- */

static int sweep(const mebi__model_paths *paths) {
    size_t held = mebi__memory_held(MEBI__TAG_COUNT);
    for (int nth = 1;; nth++) {
        mebi__model_files m;
        mebi_error err = {0};
        mebi__memory_fail_nth((uint64_t)nth);
        mebi_status status = mebi__model_files_open(paths, &m, &err);
        mebi__memory_fail_nth(0);
        if (status == MEBI_OK) {
            mebi__model_files_close(&m);
            assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), held);
            return nth;
        }
        assert_int_equal(status, MEBI_NO_MEMORY);
        assert_int_equal(err.status, MEBI_NO_MEMORY);
        assert_non_null(strstr(err.text, "No memory"));
        assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), held);
    }
}

static void survives_every_failed_allocation(void **state) {
    (void)state;
    int failures = sweep(&(mebi__model_paths){.folder = MODELS "/odd"}) + sweep(&original);
    assert_true(failures > 60);
}

static long json_calls, json_fail_at, json_live;

static void *json_test_malloc(size_t bytes) {
    if (++json_calls == json_fail_at) return NULL;
    json_live++;
    return malloc(bytes);
}

static void json_test_free(void *block) {
    json_live -= block != NULL;
    free(block);
}

/* The JSON library's allocations fail one by one: an error, nothing lost. */
static void survives_the_json_library_failing(void **state) {
    (void)state;
    static const char *const names[] = {"a"};
    path_text folder = make_folder();
    write_named(path_of("%s/s.safetensors", folder.text).text, names, 1, "[1]", 1);
    write_text(path_of("%s/model.safetensors.index.json", folder.text).text,
               "{\"metadata\": {\"total_size\": 4}, \"weight_map\": {\"a\": \"s.safetensors\"}}");
    size_t held = mebi__memory_held(MEBI__TAG_COUNT);
    json_set_alloc_funcs(json_test_malloc, json_test_free);
    mebi_status status = MEBI_INTERNAL;
    for (json_fail_at = 1; status != MEBI_OK; json_fail_at++) {
        mebi__tensors *set = NULL;
        mebi_error err = {0};
        json_calls = 0;
        status = mebi__tensors_open(folder.text, MEBI__PART_ENCODER, &set, &err);
        /* The library itself takes some of its failures for bad syntax. */
        if (status != MEBI_OK) assert_true(status == MEBI_NO_MEMORY || status == MEBI_BAD_FILE);
        else assert_true(json_calls < json_fail_at && mebi__tensors_count(set) == 1);
        mebi__tensors_close(&set);
        assert_int_equal(json_live, 0);
        assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), held);
    }
    json_set_alloc_funcs(malloc, free);
    assert_true(json_fail_at > 20);
    remove_path(folder.text);
}

/* Asking for tensors when there is no memory to note what is missing. */
static void reports_lost_notes(void **state) {
    (void)state;
    mebi__tensors *set = open_good(MODELS "/tiny/vae", MEBI__PART_VAE);
    const int64_t dim[] = {1};
    for (int nth = 1; nth <= 2; nth++) {
        mebi_error err = {0};
        mebi__memory_fail_nth((uint64_t)nth);
        assert_null(mebi__tensors_want(set, 1, dim, "gone.%d", nth));
        mebi__memory_fail_nth(0);
        assert_int_equal(mebi__tensors_report(set, &err), MEBI_NO_MEMORY);
    }
    mebi__tensors_close(&set);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_types_shapes_and_places),
        cmocka_unit_test(keeps_account_of_use),
        cmocka_unit_test(tells_why_a_type_is_refused),
        cmocka_unit_test(knows_leftovers),
        cmocka_unit_test(translates_names),
        cmocka_unit_test(splits_fused_rows),
        cmocka_unit_test(reads_any_single_file_of_a_folder),
        cmocka_unit_test(finds_values_that_are_not_finite),
        cmocka_unit_test(fingerprints_differ),
        cmocka_unit_test(original_names_give_the_same_tensors),
        cmocka_unit_test(reads_a_sharded_model),
        cmocka_unit_test(reads_half_precision),
        cmocka_unit_test(mixes_layouts),
        cmocka_unit_test(survives_every_failed_allocation),
        cmocka_unit_test(survives_the_json_library_failing),
        cmocka_unit_test(reports_lost_notes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
