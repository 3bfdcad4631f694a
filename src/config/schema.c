/* The table of settings. Words must stand in the order of the public API's
 * enumerations, and limits be its limits. */
#include "config/schema.h"

#include <stddef.h>

#define AUTO_WORD                                                                                  \
    { "auto" }
#define SEED_LIMIT 9007199254740992.0 /* 2^53: what JSON readers keep */

/* clang-format off */
const mebi__setting mebi__settings[MEBI__SETTINGS] = {
    [MEBI__SET_MODEL] = {"model", MEBI__KIND_PATH, "", 0, 0, {NULL}, "MEBI_MODEL", 'm', "model", "DIR",
        "model folder (diffusers layout); default: models/mini"},
    [MEBI__SET_DIFFUSION_MODEL] = {"diffusion_model", MEBI__KIND_PATH, "", 0, 0, {NULL},
        "MEBI_DIFFUSION_MODEL", 0, "diffusion-model", "FILE",
        "one part from a .safetensors or .gguf file, or a folder, of its own"},
    [MEBI__SET_TEXT_ENCODER] = {"text_encoder", MEBI__KIND_PATH, "", 0, 0, {NULL},
        "MEBI_TEXT_ENCODER", 0, "text-encoder", "FILE", "the same of the text encoder"},
    [MEBI__SET_VAE] = {"vae", MEBI__KIND_PATH, "", 0, 0, {NULL}, "MEBI_VAE", 0, "vae", "FILE",
        "the same of the VAE"},
    [MEBI__SET_TOKENIZER] = {"tokenizer", MEBI__KIND_PATH, "", 0, 0, {NULL}, "MEBI_TOKENIZER", 0,
        "tokenizer", "DIR",
        "the tokenizer: a folder or a tokenizer.json;\na text encoder in GGUF has its own"},
    [MEBI__SET_THREADS] = {"threads", MEBI__KIND_INTEGER, "auto", 1, 256, AUTO_WORD, "MEBI_THREADS", 0,
        "threads", "N", "1 to 256; default auto: one for each physical core"},
    [MEBI__SET_PRECISION] = {"precision", MEBI__KIND_WORD, "auto", 0, 0,
        {"auto", "f32", "bf16", "int8"}, "MEBI_PRECISION", 0, "precision", "TYPE",
        "auto, f32, bf16 or int8: of the large matrix products.\n"
        "int8 is about twice as fast, at an error near 2 %;\ndefault auto: as quality says"},
    [MEBI__SET_QUALITY] = {"quality", MEBI__KIND_WORD, "high", 0, 0, {"high", "exact", "any"},
        "MEBI_QUALITY", 0, "quality", "WORD",
        "what precision auto may choose. high (the default): int8 for\nmodels of over half a billion "
        "weights, else f32;\nexact: f32; any: int8"},
    [MEBI__SET_BUDGET] = {"budget", MEBI__KIND_BUDGET, "auto", 0, 0, AUTO_WORD, "MEBI_BUDGET", 0,
        "budget", "AMOUNT",
        "memory to do with: 12G, 800M, or 80% of the machine's;\ndefault auto: what the system has free"},
    [MEBI__SET_WEIGHTS] = {"weights", MEBI__KIND_WORD, "auto", 0, 0,
        {"auto", "resident", "freed", "streamed"}, "MEBI_WEIGHTS", 0, "weights", "WORD",
        "resident: all stay in memory; freed: the text encoder's go\nonce the prompt is encoded; "
        "streamed: layer by layer;\ndefault auto: the fastest that fits the budget"},
    [MEBI__SET_CACHE] = {"cache", MEBI__KIND_PATH, "auto", 0, 0, {"auto", "none"}, "MEBI_CACHE_DIR", 0,
        NULL, "DIR",
        "folder for weights in packed form; auto: mebi in the user's cache folder; none: none are kept"},
    [MEBI__SET_SIZE] = {"size", MEBI__KIND_SIZE, "auto", 0, 0, AUTO_WORD, "MEBI_SIZE", 0, "size", "SIZE",
        "1024x768, 1024 (square), or a shape: 16:9, 9:16, 4:3, ...\ndefault auto: the model's own size"},
    [MEBI__SET_STEPS] = {"steps", MEBI__KIND_INTEGER, "8", 1, 120, {NULL}, "MEBI_STEPS", 0, "steps", "N",
        "passes through the model, 1 to 120; default 8"},
    [MEBI__SET_CFG] = {"cfg", MEBI__KIND_NUMBER, "0", 0, 100, {NULL}, "MEBI_CFG", 0, "cfg", "SCALE",
        "guidance, 0 (none, the default) to 100"},
    [MEBI__SET_CFG_TRUNCATION] = {"cfg_truncation", MEBI__KIND_NUMBER, "1", 0, 1, {NULL},
        "MEBI_CFG_TRUNCATION", 0, "cfg-truncation", "T",
        "no guidance in the part of the way beyond T, 0 to 1; default 1"},
    [MEBI__SET_CFG_NORMALIZATION] = {"cfg_normalization", MEBI__KIND_NUMBER, "0", 0, 1000, {NULL},
        "MEBI_CFG_NORMALIZATION", 0, "cfg-normalization", "F",
        "guided velocity at most F times as long as without;\ndefault 0: no limit"},
    [MEBI__SET_SEED] = {"seed", MEBI__KIND_INTEGER, "-1", -1, SEED_LIMIT, {NULL}, "MEBI_SEED", 0, "seed",
        "N", "the same seed gives the same picture; default -1: random"},
    [MEBI__SET_COUNT] = {"count", MEBI__KIND_INTEGER, "1", 1, 64, {NULL}, "MEBI_COUNT", 0, "count", "N",
        "pictures, 1 to 64, with the seeds seed, seed + 1, ...; default 1"},
    [MEBI__SET_DECODE] = {"decode", MEBI__KIND_WORD, "auto", 0, 0, {"auto", "whole", "strips", "tiled"},
        "MEBI_DECODE", 0, "decode", "WORD",
        "how the VAE works: whole (fastest), in strips (half the\nmemory), tiled (a quarter); "
        "default auto: the fastest that fits"},
    [MEBI__SET_ATTENTION] = {"memory_efficient_attention", MEBI__KIND_WORD, "true", 0, 0,
        {"true", "false"}, "MEBI_MEMORY_EFFICIENT_ATTENTION", 0, NULL, NULL,
        "always on: the scores of attention are never stored; false has no effect"},
    [MEBI__SET_OUTPUT_DIR] = {"output.dir", MEBI__KIND_PATH, "outputs", 0, 0, {NULL}, "MEBI_OUTPUT_DIR",
        0, NULL, "DIR", "folder for pictures"},
    [MEBI__SET_OUTPUT_FORMAT] = {"output.format", MEBI__KIND_WORD, "png", 0, 0, {"png"},
        "MEBI_OUTPUT_FORMAT", 0, NULL, NULL, "of the pictures' files"},
    [MEBI__SET_OUTPUT_NAMING] = {"output.naming", MEBI__KIND_NAMING, "mebi_%date%time_%seed", 0, 0,
        {NULL}, "MEBI_OUTPUT_NAMING", 0, NULL, "NAME",
        "names of pictures, without .png: %seed, %i (1, 2, ...), %date, %time, %size, %steps, %cfg and "
        "%model are replaced, %% is %"},
    [MEBI__SET_SERVER_LISTEN] = {"server.listen", MEBI__KIND_TEXT, "127.0.0.1", 0, 0, {NULL}, "MEBI_LISTEN", 0,
        "listen", "ADDRESS",
        "where to be reached, as digits: 127.0.0.1 (the default, only\nthis machine), 0.0.0.0 (all who can; needs "
        "a token file)"},
    [MEBI__SET_SERVER_PORT] = {"server.port", MEBI__KIND_INTEGER, "7860", 0, 65535, {NULL}, "MEBI_PORT", 0, "port",
        "N", "0 to 65535; 0: any that is free; default 7860"},
    [MEBI__SET_SERVER_DATA] = {"server.data", MEBI__KIND_PATH, "auto", 0, 0, AUTO_WORD, "MEBI_DATA_DIR", 0, "data",
        "DIR", "folder for jobs and pictures; default auto: mebi in the\nuser's data folder (~/.local/share/mebi)"},
    [MEBI__SET_SERVER_TOKEN_FILE] = {"server.token_file", MEBI__KIND_PATH, "", 0, 0, {NULL}, "MEBI_TOKEN_FILE", 0,
        "token-file", "FILE", "file with a token that all who ask have to know"},
    [MEBI__SET_SERVER_TLS_CERT] = {"server.tls_cert", MEBI__KIND_PATH, "", 0, 0, {NULL}, "MEBI_TLS_CERT", 0,
        "tls-cert", "FILE", "certificate in PEM, for https; those that vouch for it\nbehind it"},
    [MEBI__SET_SERVER_TLS_KEY] = {"server.tls_key", MEBI__KIND_PATH, "", 0, 0, {NULL}, "MEBI_TLS_KEY", 0, "tls-key",
        "FILE", "the certificate's key in PEM, not encrypted"},
    [MEBI__SET_SERVER_HOST_NAME] = {"server.host_name", MEBI__KIND_TEXT, "", 0, 0, {NULL}, "MEBI_HOST_NAME", 0,
        "host-name", "NAME",
        "further names this server is asked for by, with commas\nbetween: those of a proxy, or in the local network"},
    [MEBI__SET_SERVER_QUEUE_LIMIT] = {"server.queue_limit", MEBI__KIND_INTEGER, "256", 1, 100000, {NULL},
        "MEBI_QUEUE_LIMIT", 0, "queue-limit", "N", "jobs that may wait, 1 to 100000; default 256"},
    [MEBI__SET_SERVER_LOG] = {"server.log", MEBI__KIND_WORD, "text", 0, 0, {"text", "json", "none"}, "MEBI_LOG", 0,
        "log", "WORD", "lines on standard error: text (the default), json, none"},
};

const mebi__alias mebi__aliases[MEBI__ALIASES] = {
    {"use_tiled_vae", MEBI__SET_DECODE, {"auto", "true", "false"}, {"auto", "tiled", "whole"},
        "decode by another name: true is tiled, false is whole"},
    {"enable_xformers", MEBI__SET_ATTENTION, {"true", "false"}, {"true", "false"},
        "memory_efficient_attention by another name"},
};

const mebi__foreign_name mebi__foreign_names[] = {
    {"guidance_scale", "cfg"}, {"cfg_scale", "cfg"}, {"num_inference_steps", "steps"},
    {"sampling_steps", "steps"}, {"width", "size"}, {"height", "size"}, {"resolution", "size"},
    {"batch_size", "count"}, {"num_images", "count"}, {"dtype", "precision"}, {"memory", "budget"},
    {"max_memory", "budget"}, {"vram", "budget"}, {"vae_tiling", "use_tiled_vae"},
    {"enable_vae_tiling", "use_tiled_vae"}, {"xformers", "enable_xformers"},
    {"checkpoint", "model"}, {"unet", "diffusion_model"}, {"transformer", "diffusion_model"},
    {"clip", "text_encoder"}, {"offload", "weights"}, {"cache_dir", "cache"}, {"num_threads", "threads"},
    {NULL, NULL},
};
