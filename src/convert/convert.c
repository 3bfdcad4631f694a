/* mebi_convert: checks what is asked for, opens, converts, closes. Must never leave anything behind
 * when it fails. */
#include "base/memory.h"
#include "convert/job.h"
#include "weights/config_read.h"
#include "weights/tensor_set.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *mebi_convert_type_name(mebi_convert_type type) {
    static const char *const names[] = {"bf16", "int8", "q8_0", "q4_k"};
    return (unsigned)type < MEBI_CONVERT_COUNT ? names[type] : "unknown";
}

/* ---- what is asked for ---- */

static int ends_with(const char *text, const char *tail) {
    size_t a = strlen(text), b = strlen(tail);
    return a > b && strcmp(text + a - b, tail) == 0;
}

/* The form by the name's ending, which has to be able to hold the type. */
static mebi_status choose_form(const mebi_convert_params *p, int *gguf, mebi_error *err) {
    int safetensors = ends_with(p->output, ".safetensors");
    *gguf = ends_with(p->output, ".gguf");
    if (!*gguf && !safetensors)
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "The output's name, %.300s, has to end in .gguf or .safetensors.",
                          p->output);
    if (*gguf && p->type == MEBI_CONVERT_INT8)
        return mebi__fail(
            err, MEBI_BAD_ARGUMENT,
            "int8 with a scale for each row is no type of GGUF: let the output end in "
            ".safetensors, or take q8_0.");
    if (safetensors && (p->type == MEBI_CONVERT_Q8_0 || p->type == MEBI_CONVERT_Q4_K))
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "%s is a type of GGUF only: let the output end in .gguf, or take int8 or "
                          "bf16.",
                          mebi_convert_type_name(p->type));
    return MEBI_OK;
}

static mebi_status check(const mebi_convert_params *p, mebi_error *err) {
    if (!!p->model + !!p->diffusion_model + !!p->text_encoder != 1)
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "One thing is converted at a time: a model folder (--model), a diffusion "
                          "model (--diffusion-model) or a text encoder (--text-encoder).");
    if ((unsigned)p->type >= MEBI_CONVERT_COUNT)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "There is no type %d to convert to.",
                          (int)p->type);
    if (p->threads < 0 || p->threads > 256)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "%d threads are not possible; 1 to 256 are.",
                          p->threads);
    if (!p->output || !*p->output)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "The output has no name (--output).");
    if (mebi__is_file(p->output) || mebi__is_directory(p->output))
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "%.300s exists and is not overwritten. Take another name.", p->output);
    return MEBI_OK;
}

/* ---- the text encoder's metadata ---- */

typedef struct encoder_about {
    mebi__qwen3_config config;
    mebi__vocabulary vocabulary;
    int has_vocabulary;
} encoder_about;

static mebi_status read_config(const char *path, const mebi__tensors *tensors,
                               mebi__qwen3_config *config, mebi_error *err) {
    char *file = mebi__join_path(path, "config.json");
    if (!file) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for a path.");
    json_t *root = NULL;
    mebi_status status = MEBI_OK;
    if (mebi__is_file(file)) {
        status = mebi__json_load(file, &root, err);
        if (status == MEBI_OK) status = mebi__qwen3_config_read(file, root, config, err);
        json_decref(root);
    } else status = mebi__qwen3_config_guess(path, tensors, config, err);
    mebi__free(file);
    return status;
}

/* The tokenizer given; else the one in the GGUF; else the folder or file beside the encoder. */
static mebi_status read_vocabulary(const char *path, const char *tokenizer,
                                   const mebi__tensors *tensors, encoder_about *about,
                                   mebi_error *err) {
    const mebi__stored_file *gguf = mebi__tensors_gguf(tensors);
    about->vocabulary = (mebi__vocabulary){.eos = -1, .pad = -1};
    if (tokenizer) {
        about->has_vocabulary = 1;
        return mebi__vocabulary_read(tokenizer, &about->vocabulary, err);
    }
    if (gguf && mebi__gguf_has_tokens(gguf)) {
        about->has_vocabulary = 1;
        return mebi__gguf_tokens_read(gguf, &about->vocabulary.tokens, err);
    }
    if (!mebi__is_directory(path)) return MEBI_OK;
    char *beside = mebi__join_path(path, "../tokenizer");
    if (!beside) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for a path.");
    mebi_status status = MEBI_OK;
    about->has_vocabulary = mebi__is_directory(beside);
    if (about->has_vocabulary) status = mebi__vocabulary_read(beside, &about->vocabulary, err);
    mebi__free(beside);
    return status;
}

/* ---- one part ---- */

static void count_elements(mebi__convert_job *job, const mebi__tensors *tensors) {
    for (int i = 0; i < mebi__tensors_count(tensors); i++) {
        const mebi__tensor *t = mebi__tensors_at(tensors, i);
        job->total += (double)mebi__tensor_row_count(t) * (double)mebi__tensor_row_elements(t);
    }
    for (int i = 0; i < mebi__tensors_map_count(tensors); i++)
        job->report.bytes_before += mebi__tensors_map(tensors, i)->bytes;
}

typedef struct part_paths {
    const char *from, *to, *tokenizer;
} part_paths;

static mebi_status convert_part(mebi__convert_job *job, mebi__part part, const part_paths *paths,
                                int gguf, mebi_error *err) {
    mebi__tensors *tensors = NULL;
    encoder_about about = {0};
    MEBI_TRY(mebi__tensors_open(paths->from, part, &tensors, err));
    mebi__convert_file file = {.target = {.part = part, .type = job->type, .gguf = gguf},
                               .tensors = tensors,
                               .path = paths->to};
    mebi_status status = MEBI_OK;
    if (part == MEBI__PART_ENCODER && gguf) {
        status = read_config(paths->from, tensors, &about.config, err);
        if (status == MEBI_OK)
            status = read_vocabulary(paths->from, paths->tokenizer, tensors, &about, err);
        file.about.encoder = &about.config;
        file.about.vocabulary = about.has_vocabulary ? &about.vocabulary : NULL;
        job->report.has_tokenizer |= about.has_vocabulary;
    }
    job->done = job->total; /* the folder's other part: its share is done */
    count_elements(job, tensors);
    if (status == MEBI_OK) status = mebi__convert_write(job, &file, err);
    mebi__vocabulary_release(&about.vocabulary);
    mebi__tensors_close(&tensors);
    return status;
}

/* ---- a whole folder ---- */

static mebi_status in_folder(mebi__convert_job *job, const char *model, const char *to,
                             const char *name, mebi_error *err) {
    char *a = mebi__join_path(model, name), *b = mebi__join_path(to, name);
    mebi_status status = MEBI_OK;
    if (!a || !b) status = mebi__fail(err, MEBI_NO_MEMORY, "No memory for a path.");
    else if (mebi__is_file(a) || mebi__is_directory(a)) status = mebi__convert_copy(job, a, b, err);
    mebi__free(a);
    mebi__free(b);
    return status;
}

static mebi_status part_in_folder(mebi__convert_job *job, mebi__part part, const char *model,
                                  const char *to, mebi_error *err) {
    int gguf = job->type == MEBI_CONVERT_Q8_0 || job->type == MEBI_CONVERT_Q4_K;
    const char *sub = part == MEBI__PART_DIT ? "transformer" : "text_encoder";
    char name[64], config[64];
    snprintf(name, sizeof name, "%s/%s%s", sub,
             part == MEBI__PART_DIT ? "diffusion_model" : "text_encoder",
             gguf ? ".gguf" : ".safetensors");
    snprintf(config, sizeof config, "%s/config.json", sub);
    char *from = mebi__join_path(model, sub), *file = mebi__join_path(to, name);
    char *folder = mebi__join_path(to, sub);
    mebi_status status = MEBI_OK;
    if (!from || !file || !folder)
        status = mebi__fail(err, MEBI_NO_MEMORY, "No memory for a path.");
    if (status == MEBI_OK) status = mebi__make_directories(folder, err);
    if (status == MEBI_OK) status = in_folder(job, model, to, config, err);
    if (status == MEBI_OK)
        status = convert_part(job, part, &(part_paths){from, file, NULL}, gguf, err);
    mebi__free(from);
    mebi__free(file);
    mebi__free(folder);
    return status;
}

static mebi_status fill_folder(mebi__convert_job *job, const char *model, const char *to,
                               mebi_error *err) {
    static const char *const others[] = {"model_index.json", "scheduler", "tokenizer", "vae"};
    if (!mebi__is_directory(model))
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "There is no model folder %.300s. Single files are given by "
                          "--diffusion-model or --text-encoder.",
                          model);
    MEBI_TRY(mebi__make_directories(to, err));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        MEBI_TRY(in_folder(job, model, to, others[i], err));
    MEBI_TRY(part_in_folder(job, MEBI__PART_ENCODER, model, to, err));
    return part_in_folder(job, MEBI__PART_DIT, model, to, err);
}

/* Made under another name, so that a folder of the given name is a whole one. */
static mebi_status convert_folder(mebi__convert_job *job, const mebi_convert_params *p,
                                  mebi_error *err) {
    size_t length = strlen(p->output);
    while (length > 1 && p->output[length - 1] == '/') length--;
    char *temporary = mebi__alloc(MEBI__TAG_GENERAL, length + 40);
    if (!temporary) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for a path.");
    snprintf(temporary, length + 40, "%.*s.%08" PRIx64 ".part", (int)length, p->output,
             mebi__random_bits() & 0xffffffffu);
    mebi_status status = fill_folder(job, p->model, temporary, err);
    if (status == MEBI_OK && rename(temporary, p->output) != 0)
        status = mebi__fail(err, MEBI_IO, "%.300s can't be given its name: %s.", p->output,
                            strerror(errno));
    if (status != MEBI_OK) mebi__convert_remove(temporary);
    mebi__free(temporary);
    return status;
}

static mebi_status convert_one(mebi__convert_job *job, const mebi_convert_params *p,
                               mebi_error *err) {
    mebi__part part = p->diffusion_model ? MEBI__PART_DIT : MEBI__PART_ENCODER;
    int gguf;
    MEBI_TRY(choose_form(p, &gguf, err));
    part_paths paths = {p->diffusion_model ? p->diffusion_model : p->text_encoder, p->output,
                        p->tokenizer};
    return convert_part(job, part, &paths, gguf, err);
}

mebi_status mebi_convert(const mebi_convert_params *params, const mebi_convert_callbacks *callbacks,
                         mebi_convert_report *report, mebi_error *err) {
    static const mebi_convert_callbacks silent;
    mebi__convert_job job = {.callbacks = callbacks ? callbacks : &silent,
                             .type = params->type,
                             .since = mebi__now_seconds()};
    if (report) *report = (mebi_convert_report){0};
    MEBI_TRY(check(params, err));
    int threads = params->threads ? params->threads : mebi__physical_cores();
    MEBI_TRY(mebi__pool_create(threads, &job.pool, err));
    mebi_status status =
        params->model ? convert_folder(&job, params, err) : convert_one(&job, params, err);
    mebi__pool_destroy(&job.pool);
    job.report.seconds = mebi__now_seconds() - job.since;
    if (report && status == MEBI_OK) *report = job.report;
    return status;
}
