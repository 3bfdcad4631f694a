/* A model's parts together: finds them in a folder or by their own paths, reads each one's
 * dimensions, and checks that they fit each other. Must never start from half a model. */
#include "base/memory.h"
#include "weights/config_read.h"
#include "weights/tensor_set.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static mebi_status no_memory(mebi_error *err) {
    return mebi__fail(err, MEBI_NO_MEMORY, "No memory for the model's paths.");
}

/* Where a part is: what was given, or the folder's own sub-folder. */
static mebi_status part_path(const char *given, const char *folder, const char *sub,
                             const char *what, const char *option, char **out, mebi_error *err) {
    *out = NULL;
    if (!given && !folder)
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "No %s: give a model folder (--model), or the part itself (%s).", what,
                          option);
    *out = given ? mebi__copy_string(given, strlen(given)) : mebi__join_path(folder, sub);
    if (!*out) return no_memory(err);
    if (mebi__is_directory(*out) || (given && mebi__is_file(given))) return MEBI_OK;
    mebi_status status =
        given ? mebi__fail(err, MEBI_IO, "There is no %s at %s.", what, given)
              : mebi__fail(err, MEBI_IO,
                           "The model folder %s has no sub-folder %s, where its %s should be. Is "
                           "the download complete? A part can also be given by itself (%s).",
                           folder, sub, what, option);
    mebi__free(*out);
    *out = NULL;
    return status;
}

/* Parsed config.json of a part given as a folder; *root stays NULL where there is none. */
static mebi_status load_config(const char *path, const char *name, char **config_path,
                               json_t **root, mebi_error *err) {
    *root = NULL;
    *config_path = mebi__join_path(path, name);
    if (!*config_path) return no_memory(err);
    if (!mebi__is_directory(path)) return MEBI_OK;
    if (mebi__is_directory(*config_path))
        return mebi__fail(err, MEBI_IO, "%s is a folder; a file is expected.", *config_path);
    return mebi__is_file(*config_path) ? mebi__json_load(*config_path, root, err) : MEBI_OK;
}

static mebi_status read_dit(const char *path, const char *config, json_t *root,
                            mebi__model_files *m, mebi_error *err) {
    if (root) MEBI_TRY(mebi__dit_config_read(config, root, &m->dit_config, err));
    else MEBI_TRY(mebi__dit_config_guess(path, m->dit, &m->dit_config, err));
    return mebi__dit_config_widths(path, m->dit, &m->dit_config, err);
}

static mebi_status read_encoder(const char *path, const char *config, json_t *root,
                                mebi__model_files *m, mebi_error *err) {
    return root ? mebi__qwen3_config_read(config, root, &m->encoder_config, err)
                : mebi__qwen3_config_guess(path, m->encoder, &m->encoder_config, err);
}

static mebi_status read_vae(const char *path, const char *config, json_t *root,
                            mebi__model_files *m, mebi_error *err) {
    if (mebi__tensors_find(m->vae, "post_quant_conv.weight"))
        return mebi__fail(
            err, MEBI_UNSUPPORTED,
            "%s has the tensor post_quant_conv.weight: it is the VAE of another model "
            "family.",
            path);
    return root ? mebi__vae_config_read(config, root, &m->vae_config, err)
                : mebi__vae_config_guess(path, m->vae, &m->vae_config, err);
}

typedef mebi_status (*read_part)(const char *path, const char *config, json_t *root,
                                 mebi__model_files *m, mebi_error *err);

static mebi_status open_part(const char *path, mebi__part part, mebi__tensors **tensors,
                             read_part read, mebi__model_files *m, mebi_error *err) {
    char *config = NULL;
    json_t *root = NULL;
    mebi_status status = load_config(path, "config.json", &config, &root, err);
    if (status == MEBI_OK) status = mebi__tensors_open(path, part, tensors, err);
    if (status == MEBI_OK) status = read(path, config, root, m, err);
    json_decref(root);
    mebi__free(config);
    return status;
}

/* What was given; else the encoder's own, which fits it in any case; else the folder's. */
static mebi_status find_tokenizer(const mebi__model_paths *p, mebi__model_files *m,
                                  mebi_error *err) {
    const mebi__stored_file *gguf = mebi__tensors_gguf(m->encoder);
    if (p->tokenizer || !gguf || !mebi__gguf_has_tokens(gguf))
        return part_path(p->tokenizer, p->folder, "tokenizer", "tokenizer", "--tokenizer",
                         &m->tokenizer_path, err);
    m->tokenizer_path = mebi__copy_string(gguf->path, strlen(gguf->path));
    if (!m->tokenizer_path) return no_memory(err);
    return mebi__gguf_tokens_read(gguf, &m->tokens, err);
}

static mebi_status open_parts(const mebi__model_paths *p, mebi__model_files *m, mebi_error *err) {
    const struct {
        const char *given, *sub, *what, *option;
        mebi__part part;
        mebi__tensors **tensors;
        read_part read;
    } parts[] = {
        {p->diffusion_model, "transformer", "diffusion model", "--diffusion-model", MEBI__PART_DIT,
         &m->dit, read_dit},
        {p->text_encoder, "text_encoder", "text encoder", "--text-encoder", MEBI__PART_ENCODER,
         &m->encoder, read_encoder},
        {p->vae, "vae", "VAE", "--vae", MEBI__PART_VAE, &m->vae, read_vae},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char *path;
        MEBI_TRY(part_path(parts[i].given, p->folder, parts[i].sub, parts[i].what, parts[i].option,
                           &path, err));
        mebi_status status =
            open_part(path, parts[i].part, parts[i].tensors, parts[i].read, m, err);
        mebi__free(path);
        MEBI_TRY(status);
    }
    return find_tokenizer(p, m, err);
}

/* The folder itself: what it says it is, and its scheduler's numbers. */
static mebi_status read_folder(const char *folder, mebi__model_files *m, mebi_error *err) {
    m->scheduler = (mebi__scheduler_config){.train_timesteps = 1000, .shift = 3};
    if (!folder) return MEBI_OK;
    if (mebi__is_file(folder))
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "%s is a file; a model is a folder. Single files are given by "
                          "--diffusion-model, --text-encoder and --vae.",
                          folder);
    if (!mebi__is_directory(folder))
        return mebi__fail(err, MEBI_IO, "There is no model folder %s.", folder);
    char *path = NULL, *scheduler = NULL;
    json_t *root = NULL;
    mebi_status status = load_config(folder, "model_index.json", &path, &root, err);
    if (status == MEBI_OK && root) status = mebi__pipeline_check(path, root, err);
    json_decref(root);
    root = NULL;
    mebi__free(path);
    path = NULL;
    if (status == MEBI_OK && !(scheduler = mebi__join_path(folder, "scheduler")))
        status = no_memory(err);
    if (status == MEBI_OK)
        status = load_config(scheduler, "scheduler_config.json", &path, &root, err);
    if (status == MEBI_OK && root)
        status = mebi__scheduler_config_read(path, root, &m->scheduler, err);
    json_decref(root);
    mebi__free(path);
    mebi__free(scheduler);
    return status;
}

static mebi_status check_fit(const mebi__model_files *m, mebi_error *err) {
    if (m->encoder_config.hidden != m->dit_config.caption_dim)
        return mebi__fail(err, MEBI_BAD_FILE,
                          "The text encoder does not fit the diffusion model: its features are %d "
                          "wide (hidden_size), the diffusion model takes %d (cap_feat_dim).",
                          m->encoder_config.hidden, m->dit_config.caption_dim);
    if (m->vae_config.latent_channels != m->dit_config.channels)
        return mebi__fail(err, MEBI_BAD_FILE,
                          "The VAE does not fit the diffusion model: it has %d latent channels "
                          "(latent_channels), the diffusion model %d (in_channels).",
                          m->vae_config.latent_channels, m->dit_config.channels);
    return MEBI_OK;
}

static void combine_hashes(mebi__model_files *m) {
    const mebi__tensors *parts[] = {m->dit, m->encoder, m->vae};
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    for (int i = 0; i < 3; i++) {
        char hex[17];
        mebi__tensors_fingerprint(parts[i], hex);
        for (int k = 0; k < 16; k++) hash = (hash ^ (unsigned char)hex[k]) * 0x100000001b3u;
    }
    snprintf(m->hash, sizeof m->hash, "%016" PRIx64, hash);
}

mebi_status mebi__model_files_open(const mebi__model_paths *paths, mebi__model_files *out,
                                   mebi_error *err) {
    memset(out, 0, sizeof *out);
    mebi_status status = read_folder(paths->folder, out, err);
    if (status == MEBI_OK) status = open_parts(paths, out, err);
    if (status == MEBI_OK) status = check_fit(out, err);
    if (status == MEBI_OK) combine_hashes(out);
    else mebi__model_files_close(out);
    return status;
}

void mebi__model_files_close(mebi__model_files *files) {
    mebi__tensors_close(&files->dit);
    mebi__tensors_close(&files->encoder);
    mebi__tensors_close(&files->vae);
    mebi__gguf_tokens_release(&files->tokens);
    mebi__free(files->tokenizer_path);
    memset(files, 0, sizeof *files);
}
