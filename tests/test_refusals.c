/* Broken model files: every kind gives a sentence that names the file and what is wrong with it, and
 * leaks nothing. */
#include "reading.h"

#include "weights/config_read.h"
#include "weights/names.h"
#include "weights/safetensors.h"

#include <math.h>

/* ---- broken safetensors files ---- */

#define T1(name, begin, end)                                                                       \
    "\"" name "\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[" #begin "," #end "]}"

static void refuses_broken_headers(void **state) {
    (void)state;
    static const struct {
        const char *header, *word;
        int bytes; /* of data */
    } cases[] = {
        {"{\"a\":", "not valid JSON", 0},
        {"{\"a\" {}}", "not valid JSON", 0},
        {"[1,2,3]", "doesn't begin with '{'", 0},
        {"{}", "holds no tensors", 0},
        {"{\"__metadata__\":{}}", "holds no tensors", 0},
        {"{" T1("a", 0, 8) "," T1("a", 8, 16) "}", "duplicate", 16},
        {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", "tensor a has no \"dtype\"", 8},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", "tensor a has no \"shape\"", 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", "tensor a has no \"data_offsets\"", 8},
        {"{\"a\":[0,8]}", "entry of tensor a is not an object", 8},
        {"{\"a\":{\"dtype\":32,\"shape\":[2],\"data_offsets\":[0,8]}}", "\"dtype\" string", 8},
        {"{\"a\":{\"dtype\":\"F33\",\"shape\":[2],\"data_offsets\":[0,8]}}",
         "unknown dtype \"F33\"", 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}", "no \"shape\" list", 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}",
         "dimension 0 of its shape is not a whole number", 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2,1.0],\"data_offsets\":[0,8]}}",
         "dimension 1 of its shape is not a whole number", 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[\"2\"],\"data_offsets\":[0,8]}}",
         "dimension 0 of its shape is not a whole number", 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[NaN],\"data_offsets\":[0,8]}}", "not valid JSON", 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,8]}}",
         "too big integer", 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,8]}}",
         "overflows", 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,2],\"data_offsets\":[0,8]}}",
         "overflows", 8},
        {"{" T1("a", 8, 0) "}", "negative or reversed", 8},
        {"{" T1("a", -8, 0) "}", "negative or reversed", 8},
        {"{" T1("a", 0, 9223372036854775807) "}", "truncated: tensor a ends", 8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,9]}}", "two whole numbers",
         8},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0.0,8]}}", "two whole numbers",
         8},
        {"{" T1("a", 0, 8) "," T1("b", 4, 12) "}", "data of tensors a and b overlap", 12},
        {"{" T1("a", 0, 8) "," T1("b", 0, 8) "}", "overlap", 8},
        {"{" T1("a", 0, 8) "," T1("b", 8, 16) "}", "truncated: tensor b ends at byte 16", 12},
        {"{" T1("a", 0, 8) "," T1("b", 12, 20) "}", "4 bytes between a and tensor b", 20},
        {"{" T1("a", 4, 12) "}", "4 bytes between the header and tensor a", 12},
        {"{" T1("a", 0, 8) "}", "its tensors take 8 bytes, but 11 follow", 11},
        {"{" T1("a", 0, 12) "}", "need 8 bytes, its data_offsets give it 12", 12},
        {"{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]}}", "need 1 bytes", 1},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,4]}}", "need 0 bytes", 4},
        {"{\"\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "the tensor name \"\"",
         4},
        {"{\"a\\u001b[2J\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
         "the tensor name \"a?[2J\"", 4},
        {"{\"a\\u0000b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
         "not valid JSON", 4},
        {"{\"a\xff\xfe\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
         "not valid JSON", 4},
        {"{\"__metadata__\":[]," T1("a", 0, 8) "}", "__metadata__ is not an object", 8},
        {"{\"__metadata__\":{\"k\":1}," T1("a", 0, 8) "}", "value of \"k\" is not a string", 8},
        {"{" T1("a", 0, 8) "} {}", "not valid JSON", 8},
    };
    path_text folder = make_folder(), path = path_of("%s/bad.safetensors", folder.text);
    for (int i = 0; i < COUNT(cases); i++) {
        write_safetensors(path.text, cases[i].header, "12345678901234567890",
                          (size_t)cases[i].bytes);
        refuse_file(path.text, MEBI__PART_DIT, MEBI_BAD_FILE, "bad.safetensors", cases[i].word);
    }
    remove_path(folder.text);
}

static void refuses_foreign_files(void **state) {
    (void)state;
#define TEXT(text) text, sizeof(text) - 1
    static const struct {
        const char *data;
        size_t bytes;
        const char *word;
        mebi_status status;
    } cases[] = {
        {TEXT(""), "is empty", MEBI_BAD_FILE},
        {TEXT("1234567"), "truncated: it has 7 bytes", MEBI_BAD_FILE},
        {TEXT("\xff\0\0\0\0\0\0\0{}"), "ends beyond the file's 10 bytes", MEBI_BAD_FILE},
        {TEXT("\0\0\0\0\0\0\0\x80{}"), "header of 9223372036854775808 bytes", MEBI_BAD_FILE},
        {TEXT("\xff\xff\xff\xff\xff\xff\xff\xff{}"), "18446744073709551615 bytes", MEBI_BAD_FILE},
        {TEXT("\1\0\x40\6\0\0\0\0{}"), "the limit is 104857600", MEBI_BAD_FILE},
        {TEXT("\0\0\0\0\0\0\0\0"), "doesn't begin with '{'", MEBI_BAD_FILE},
        {TEXT("\2\0\0\0\0\0\0\0  {}"), "doesn't begin with '{'", MEBI_BAD_FILE},
        {TEXT("GGUF\3\0\0\0\0\0\0\0"), "truncated", MEBI_BAD_FILE},
        {TEXT("PK\x03\x04\0\0\0\0\0\0\0\0"), "PyTorch pickle", MEBI_UNSUPPORTED},
        {TEXT("\x80\x02}q\0(X\0\0\0\0"), "convert it to safetensors", MEBI_UNSUPPORTED},
        {TEXT("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"),
         "git-lfs pointer", MEBI_BAD_FILE},
        {TEXT("<!DOCTYPE html><html><body>404</body></html>"), "web page", MEBI_BAD_FILE},
        {TEXT("<html>Not found</html>"), "web page", MEBI_BAD_FILE},
        {TEXT("{\"weight_map\": {}}"), "not a safetensors file", MEBI_BAD_FILE},
    };
    path_text folder = make_folder(), path = path_of("%s/odd.safetensors", folder.text);
    for (int i = 0; i < COUNT(cases); i++) {
        write_bytes(path.text, cases[i].data, cases[i].bytes);
        refuse_file(path.text, MEBI__PART_VAE, cases[i].status, "odd.safetensors", cases[i].word);
    }
    remove_path(folder.text);
}

/* Headers that would take a parser's stack or memory. */
static void refuses_absurd_headers(void **state) {
    (void)state;
    enum { DEEP = 100000, MANY = 10000000 };
    path_text folder = make_folder(), path = path_of("%s/big.safetensors", folder.text);
    char *text = take_bytes(3 * (size_t)MANY + 64);
    memcpy(text, "{\"a\":", 5);
    memset(text + 5, '[', DEEP);
    text[5 + DEEP] = 0;
    write_safetensors(path.text, text, "", 0);
    refuse_file(path.text, MEBI__PART_DIT, MEBI_BAD_FILE, "big.safetensors", "deeper than 32");
    for (int i = 0; i < DEEP; i++) memcpy(text + 5 * i, "{\"a\":", 5);
    text[5 * DEEP] = 0;
    write_safetensors(path.text, text, "", 0);
    refuse_file(path.text, MEBI__PART_DIT, MEBI_BAD_FILE, "big.safetensors", "deeper than 32");
    size_t used = 6;
    memcpy(text, "{\"a\":[", used);
    for (int i = 0; i < MANY; i++, used += 2) memcpy(text + used, "0,", 2);
    text[used] = 0;
    write_safetensors(path.text, text, "", 0);
    refuse_file(path.text, MEBI__PART_DIT, MEBI_BAD_FILE, "big.safetensors", "more than 1048576");
    used = 1;
    for (int i = 0; i <= MEBI__STORED_TENSORS; i++)
        used += (size_t)snprintf(text + used, 32, "%s\"%d\":{}", i ? "," : "", i);
    memcpy(text + used, "}", 2);
    write_safetensors(path.text, text, "", 0);
    refuse_file(path.text, MEBI__PART_DIT, MEBI_BAD_FILE, "big.safetensors", "lists 65537 tensors");
    memset(text, 'n', 600);
    memcpy(text, "{\"", 2);
    strcpy(text + 300, "\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}");
    write_safetensors(path.text, text, "1234", 4);
    refuse_file(path.text, MEBI__PART_DIT, MEBI_BAD_FILE, "big.safetensors", "more than 255 bytes");
    free(text);
    remove_path(folder.text);
}

/* Every file that is cut short is refused, wherever the cut is. */
static void refuses_every_truncation(void **state) {
    (void)state;
    static const char *const names[] = {"a", "b", "c"};
    path_text folder = make_folder(), path = path_of("%s/cut.safetensors", folder.text);
    write_named(path.text, names, 3, "[2]", 2);
    size_t bytes;
    unsigned char *data = read_bytes(path.text, &bytes);
    for (size_t n = 0; n < bytes; n++) {
        mebi__safetensors file;
        mebi_error err = {0};
        /* A block of its own, so that a sanitizer sees a read beyond it. */
        unsigned char *part = take_bytes(n + 1);
        memcpy(part + 1, data, n);
        assert_int_not_equal(mebi__safetensors_parse("cut", part + 1, n, &file, &err), MEBI_OK);
        assert_int_equal(err.status, MEBI_BAD_FILE);
        free(part);
    }
    free(data);
    remove_path(folder.text);
}

static void refuses_names_that_collide(void **state) {
    (void)state;
    static const char *const twice[] = {"x_embedder.weight",
                                        "model.diffusion_model.x_embedder.weight"};
    static const char *const fused[] = {"layers.0.attention.qkv.weight"};
    path_text folder = make_folder(), path = path_of("%s/two.safetensors", folder.text);
    write_named(path.text, twice, 2, "[2]", 2);
    refuse_file(path.text, MEBI__PART_DIT, MEBI_BAD_FILE, "two.safetensors",
                "tensor all_x_embedder.2-1.weight is there twice");
    write_named(path.text, fused, 1, "[4,2]", 8);
    refuse_file(path.text, MEBI__PART_DIT, MEBI_BAD_FILE, "two.safetensors", "divisible by 3");
    write_named(path.text, fused, 1, "[6]", 6);
    refuse_file(path.text, MEBI__PART_DIT, MEBI_BAD_FILE, "two.safetensors", "2 dimensions");
    write_named(path.text, fused, 1, "[]", 1);
    refuse_file(path.text, MEBI__PART_DIT, MEBI_BAD_FILE, "two.safetensors", "2 dimensions");
    remove_path(folder.text);
}

static void refuses_paths(void **state) {
    (void)state;
    path_text folder = make_folder(), path = path_of("%s/model.safetensors", folder.text);
    refuse_file(path.text, MEBI__PART_DIT, MEBI_IO, "model.safetensors", "No such file");
    refuse_file(folder.text, MEBI__PART_DIT, MEBI_IO, "mebi-test-", "no .safetensors or .gguf file");
    assert_int_equal(mkdir(path.text, 0700), 0);
    refuse_file(folder.text, MEBI__PART_DIT, MEBI_IO, "model.safetensors", "not a regular file");
    remove_path(path.text);
    write_text(path_of("%s/diffusion_pytorch_model.bin", folder.text).text, "\x80\x02}q");
    refuse_file(folder.text, MEBI__PART_DIT, MEBI_UNSUPPORTED, "diffusion_pytorch_model.bin",
                "PyTorch pickle");
    static const char *const name[] = {"a"};
    write_named(path_of("%s/b.safetensors", folder.text).text, name, 1, "[1]", 1);
    write_named(path_of("%s/a.safetensors", folder.text).text, name, 1, "[1]", 1);
    refuse_file(folder.text, MEBI__PART_DIT, MEBI_BAD_FILE, "mebi-test-",
                "2 model files (such as a.safetensors) and no index");
    write_named(path.text, name, 1, "[1]", 1);
    assert_int_equal(chmod(path.text, 0), 0);
    if (geteuid() != 0) /* root reads everything */
        refuse_file(path.text, MEBI__PART_DIT, MEBI_IO, "model.safetensors", "Permission denied");
    else print_message("permission denied: skipped, root may read everything\n");
    assert_int_equal(mkfifo(path_of("%s/pipe", folder.text).text, 0600), 0);
    refuse_file(path_of("%s/pipe", folder.text).text, MEBI__PART_DIT, MEBI_IO, "pipe",
                "not a regular file");
    remove_path(folder.text);
    write_named(path_of("%s", folder.text).text, name, 1, "[1]", 1);
    refuse_file(path_of("%s/x", folder.text).text, MEBI__PART_DIT, MEBI_IO, "/x",
                "Not a directory");
    remove_path(folder.text);
}

/* ---- broken shards ---- */

static void refuses_broken_indexes(void **state) {
    (void)state;
    static const struct {
        const char *index, *word;
        mebi_status status;
    } cases[] = {
        {"", "is empty", MEBI_BAD_FILE},
        {"not json", "not valid JSON", MEBI_BAD_FILE},
        {"[]", "not an object", MEBI_BAD_FILE},
        {"{}", "no \"weight_map\"", MEBI_BAD_FILE},
        {"{\"weight_map\": []}", "no \"weight_map\"", MEBI_BAD_FILE},
        {"{\"weight_map\": {}}", "weight_map is empty", MEBI_BAD_FILE},
        {"{\"weight_map\": {\"a\": 1}}", "file of tensor a is not a string", MEBI_BAD_FILE},
        {"{\"weight_map\": {\"a\": \"s1.safetensors\", \"a\": \"s2.safetensors\"}}", "duplicate",
         MEBI_BAD_FILE},
        {"{\"weight_map\": {\"a\": \"../s1.safetensors\"}}", "names the file \"../s1.safetensors\"",
         MEBI_BAD_FILE},
        {"{\"weight_map\": {\"a\": \"/etc/s1.safetensors\"}}", "only a plain name", MEBI_BAD_FILE},
        {"{\"weight_map\": {\"a\": \"..\\\\s1.safetensors\"}}", "only a plain name", MEBI_BAD_FILE},
        {"{\"weight_map\": {\"a\": \"\"}}", "only a plain name", MEBI_BAD_FILE},
        {"{\"weight_map\": {\"a\": \"..\"}}", "only a plain name", MEBI_BAD_FILE},
        {"{\"weight_map\": {\"a\": \"s1.bin\"}}", "only a plain name", MEBI_BAD_FILE},
        {"{\"weight_map\": {\"a\": \"\\u001bs1.safetensors\"}}", "only a plain name",
         MEBI_BAD_FILE},
        {"{\"weight_map\": {\"a\": \"s1.safetensors\", \"b\": \"s3.safetensors\"}}",
         "s3.safetensors is missing", MEBI_IO},
        {"{\"weight_map\": {\"a\": \"s2.safetensors\", \"b\": \"s2.safetensors\"}}",
         "tensor a is in s2.safetensors, but it is not there", MEBI_BAD_FILE},
        {"{\"weight_map\": {\"c\": \"s1.safetensors\"}}",
         "tensor c is in s1.safetensors, but it is not there", MEBI_BAD_FILE},
        {"{\"weight_map\": {\"a\": \"s1.safetensors\", \"a2\": \"twin.safetensors\"}}",
         "tensor a is there twice", MEBI_BAD_FILE},
    };
    static const char *const a[] = {"a"}, *const b[] = {"b"}, *const twin[] = {"a", "a2"};
    path_text folder = make_folder();
    write_named(path_of("%s/s1.safetensors", folder.text).text, a, 1, "[1]", 1);
    write_named(path_of("%s/s2.safetensors", folder.text).text, b, 1, "[1]", 1);
    write_named(path_of("%s/twin.safetensors", folder.text).text, twin, 2, "[1]", 1);
    path_text index = path_of("%s/model.safetensors.index.json", folder.text);
    write_text(index.text,
               "{\"weight_map\": {\"a\": \"s1.safetensors\", \"b\": \"s2.safetensors\"}}");
    mebi__tensors *set = open_good(folder.text, MEBI__PART_ENCODER);
    assert_int_equal(mebi__tensors_count(set), 2);
    mebi__tensors_close(&set);
    for (int i = 0; i < COUNT(cases); i++) {
        write_text(index.text, cases[i].index);
        refuse_file(folder.text, MEBI__PART_ENCODER, cases[i].status,
                    i < COUNT(cases) - 1 ? "model.safetensors.index.json" : "twin.safetensors",
                    cases[i].word);
    }
    remove_path(folder.text);
}

/* ---- broken models ---- */

static void refuse_model(const mebi__model_paths *paths, mebi_status status, const char *file,
                         const char *word) {
    size_t held = mebi__memory_held(MEBI__TAG_COUNT);
    mebi__model_files m;
    mebi_error err = {0};
    mebi_status got = mebi__model_files_open(paths, &m, &err);
    assert_refused(got, status, &err, file, word);
    assert_null(m.dit);
    assert_null(m.tokenizer_path);
    assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), held);
}

#define DIT     "transformer/config.json"
#define ENCODER "text_encoder/config.json"
#define VAE     "vae/config.json"
#define SCHED   "scheduler/scheduler_config.json"

static void refuses_broken_configs(void **state) {
    (void)state;
    static const struct {
        const char *file, *key, *value, *word; /* value NULL: the key is taken out */
        mebi_status status;
    } cases[] = {
        {"model_index.json", "_class_name", "\"FluxPipeline\"", "made for \"FluxPipeline\"",
         MEBI_UNSUPPORTED},
        {"model_index.json", "_class_name", "7", "lacks the string \"_class_name\"", MEBI_BAD_FILE},
        {"model_index.json", "_class_name", NULL, "lacks the string \"_class_name\"",
         MEBI_BAD_FILE},
        {DIT, "_class_name", "\"FluxTransformer2DModel\"",
         "configuration of \"FluxTransformer2DModel\", not of ZImageTransformer2DModel",
         MEBI_UNSUPPORTED},
        {DIT, "dim", NULL, "lacks the key \"dim\"", MEBI_BAD_FILE},
        {DIT, "dim", "null", "lacks the key \"dim\"", MEBI_BAD_FILE},
        {DIT, "dim", "\"32\"", "\"dim\" is \"32\"; a whole number from 1 to 65536", MEBI_BAD_FILE},
        {DIT, "dim", "32.5", "\"dim\" is 32.5; a whole number", MEBI_BAD_FILE},
        {DIT, "dim", "true", "\"dim\" is true; a whole number", MEBI_BAD_FILE},
        {DIT, "dim", "[32]", "\"dim\" is [32]; a whole number", MEBI_BAD_FILE},
        {DIT, "dim", "0", "\"dim\" is 0; a whole number", MEBI_BAD_FILE},
        {DIT, "dim", "-32", "\"dim\" is -32; a whole number", MEBI_BAD_FILE},
        {DIT, "dim", "9223372036854775807", "\"dim\" is 9223372036854775807; a whole",
         MEBI_BAD_FILE},
        {DIT, "dim", "33", "\"dim\" 33 is not divisible by \"n_heads\" 2", MEBI_BAD_FILE},
        {DIT, "dim", "36", "\"axes_dims\" add up to 16; the size of a head, dim / n_heads, is 18",
         MEBI_BAD_FILE},
        {DIT, "dim", "4096", "2 heads of 2048; at most 1024 of 1024", MEBI_BAD_FILE},
        {DIT, "n_layers", "0", "\"n_layers\" is 0", MEBI_BAD_FILE},
        {DIT, "n_refiner_layers", "2000", "\"n_refiner_layers\" is 2000", MEBI_BAD_FILE},
        {DIT, "n_kv_heads", "1", "\"n_kv_heads\" is 1 and \"n_heads\" 2", MEBI_UNSUPPORTED},
        {DIT, "norm_eps", "0", "\"norm_eps\" is 0; a number above 0", MEBI_BAD_FILE},
        {DIT, "norm_eps", "\"tiny\"", "\"norm_eps\" is \"tiny\"", MEBI_BAD_FILE},
        {DIT, "rope_theta", "-256", "\"rope_theta\" is -256", MEBI_BAD_FILE},
        {DIT, "t_scale", "1e300", "\"t_scale\" is 1e300", MEBI_BAD_FILE},
        {DIT, "axes_dims", NULL, "lacks the key \"axes_dims\"", MEBI_BAD_FILE},
        {DIT, "axes_dims", "16", "\"axes_dims\" is 16; a list of 3 to 3", MEBI_BAD_FILE},
        {DIT, "axes_dims", "[8, 8]", "\"axes_dims\" is [8,8]; a list of 3 to 3", MEBI_BAD_FILE},
        {DIT, "axes_dims", "[5, 5, 6]", "axis 0 of \"axes_dims\" is 5", MEBI_BAD_FILE},
        {DIT, "axes_dims", "[4, 6, \"6\"]", "\"axes_dims\" is \"6\"", MEBI_BAD_FILE},
        {DIT, "axes_dims", "[4, 4, 6]", "add up to 14", MEBI_BAD_FILE},
        {DIT, "axes_lens", "[1536, 512, -1]", "\"axes_lens\" is -1", MEBI_BAD_FILE},
        {DIT, "qk_norm", "false", "\"qk_norm\" is false; only true", MEBI_UNSUPPORTED},
        {DIT, "all_patch_size", "[4]", "\"all_patch_size\" is [4]; only [2]", MEBI_UNSUPPORTED},
        {DIT, "siglip_feat_dim", "1152", "\"siglip_feat_dim\" is 1152", MEBI_UNSUPPORTED},
        {DIT, "cap_feat_dim", "40",
         "features are 24 wide (hidden_size), the diffusion model takes 40", MEBI_BAD_FILE},
        {DIT, "in_channels", "4", "16 latent channels", MEBI_BAD_FILE},
        {ENCODER, "model_type", "\"llama\"", "configuration of \"llama\", not of qwen3",
         MEBI_UNSUPPORTED},
        {ENCODER, "num_key_value_heads", "3",
         "4 attention heads (\"num_attention_heads\") are not "
         "divisible by 3",
         MEBI_BAD_FILE},
        {ENCODER, "head_dim", "15", "\"head_dim\" is 15; an even number", MEBI_BAD_FILE},
        {ENCODER, "rope_theta", NULL, "lacks the key \"rope_theta\"", MEBI_BAD_FILE},
        {ENCODER, "rope_scaling", "{\"rope_type\": \"yarn\", \"factor\": 4.0}",
         "\"rope_type\" is \"yarn\"", MEBI_UNSUPPORTED},
        {ENCODER, "rope_parameters", "[1]", "\"rope_parameters\" is [1]", MEBI_UNSUPPORTED},
        {ENCODER, "hidden_act", "\"gelu\"", "\"hidden_act\" is \"gelu\"", MEBI_UNSUPPORTED},
        {ENCODER, "attention_bias", "true", "\"attention_bias\" is true", MEBI_UNSUPPORTED},
        {ENCODER, "vocab_size", "100000000", "\"vocab_size\" is 100000000", MEBI_BAD_FILE},
        {ENCODER, "hidden_size", "{}", "\"hidden_size\" is {}", MEBI_BAD_FILE},
        {VAE, "_class_name", "\"AutoencoderTiny\"", "configuration of \"AutoencoderTiny\"",
         MEBI_UNSUPPORTED},
        {VAE, "block_out_channels", "[]", "\"block_out_channels\" is []; a list of 1 to 8",
         MEBI_BAD_FILE},
        {VAE, "block_out_channels", "[1,1,1,1,1,1,1,1,1]", "a list of 1 to 8", MEBI_BAD_FILE},
        {VAE, "block_out_channels", "[4, 8, 0, 8]", "\"block_out_channels\" is 0", MEBI_BAD_FILE},
        {VAE, "norm_num_groups", "3", "\"norm_num_groups\" 3 does not divide 4", MEBI_BAD_FILE},
        {VAE, "scaling_factor", NULL, "lacks the key \"scaling_factor\"", MEBI_BAD_FILE},
        {VAE, "scaling_factor", "0", "\"scaling_factor\" is 0", MEBI_BAD_FILE},
        {VAE, "shift_factor", "[0]", "\"shift_factor\" is [0]", MEBI_BAD_FILE},
        {VAE, "use_post_quant_conv", "true", "\"use_post_quant_conv\" is true", MEBI_UNSUPPORTED},
        {VAE, "up_block_types", "[\"AttnUpDecoderBlock2D\"]", "only \"UpDecoderBlock2D\"",
         MEBI_UNSUPPORTED},
        {VAE, "latents_mean", "[0.5]", "\"latents_mean\" is [0.5]", MEBI_UNSUPPORTED},
        {SCHED, "_class_name", "\"DDIMScheduler\"", "configuration of \"DDIMScheduler\"",
         MEBI_UNSUPPORTED},
        {SCHED, "shift", "-3", "\"shift\" is -3", MEBI_BAD_FILE},
        {SCHED, "num_train_timesteps", "0", "\"num_train_timesteps\" is 0", MEBI_BAD_FILE},
        {SCHED, "use_dynamic_shifting", "true", "\"use_dynamic_shifting\" is true",
         MEBI_UNSUPPORTED},
    };
    path_text folder = make_folder(), model = path_of("%s/m", folder.text);
    link_folder(MODELS "/tiny", model.text);
    for (int i = 0; i < COUNT(cases); i++) {
        path_text path = path_of("%s/%s", model.text, cases[i].file);
        edit_json(path.text, cases[i].key, cases[i].value);
        int fits = strstr(cases[i].word, "latent channels") || strstr(cases[i].word, "wide");
        refuse_model(&(mebi__model_paths){.folder = model.text}, cases[i].status,
                     fits ? "does not fit the diffusion model" : cases[i].file, cases[i].word);
        remove_path(path.text);
        assert_int_equal(symlink(path_of(MODELS "/tiny/%s", cases[i].file).text, path.text), 0);
    }
    mebi__model_files m = open_model(&(mebi__model_paths){.folder = model.text});
    check_tiny(&m);
    mebi__model_files_close(&m);
    remove_path(folder.text);
}

static void refuses_incomplete_models(void **state) {
    (void)state;
    path_text folder = make_folder(), model = path_of("%s/m", folder.text);
    mebi__model_paths paths = {.folder = model.text};
    refuse_model(&(mebi__model_paths){0}, MEBI_BAD_ARGUMENT, "No diffusion model", "--model");
    refuse_model(&paths, MEBI_IO, "/m", "There is no model folder");
    write_text(model.text, "x");
    refuse_model(&paths, MEBI_BAD_ARGUMENT, "/m is a file", "a model is a folder");
    remove_path(model.text);
    mebi__model_paths wrong = original;
    wrong.vae = model.text;
    refuse_model(&wrong, MEBI_IO, "/m", "There is no VAE at");
    wrong.vae = NULL;
    refuse_model(&wrong, MEBI_BAD_ARGUMENT, "No VAE", "--vae");
    wrong.vae = original.text_encoder;
    refuse_model(&wrong, MEBI_BAD_FILE, "encoder.safetensors", "decoder.conv_in.weight is missing");
    wrong = original;
    wrong.diffusion_model = original.vae;
    refuse_model(&wrong, MEBI_BAD_FILE, "ae.safetensors", "Is it a Z-Image diffusion transformer?");
    wrong = original;
    wrong.text_encoder = original.vae;
    refuse_model(&wrong, MEBI_BAD_FILE, "ae.safetensors", "Is it a Qwen3 text encoder?");
    wrong = original;
    wrong.diffusion_model = MODELS "/tiny";
    refuse_model(&wrong, MEBI_BAD_FILE, "models/tiny", "sub-folder");

    static const char *const subs[] = {"transformer", "text_encoder", "vae", "tokenizer"};
    for (int i = 0; i < COUNT(subs); i++) {
        link_folder(MODELS "/tiny", model.text);
        path_text sub = path_of("%s/%s", model.text, subs[i]);
        char word[64];
        snprintf(word, sizeof word, "no sub-folder %s", subs[i]);
        remove_path(sub.text);
        refuse_model(&paths, MEBI_IO, "/m", word);
        write_text(sub.text, "a file where a folder should be");
        refuse_model(&paths, MEBI_IO, "/m", word);
        remove_path(model.text);
    }
    static const char *const configs[] = {"model_index.json", DIT, VAE, SCHED};
    for (int i = 0; i < COUNT(configs); i++) {
        link_folder(MODELS "/tiny", model.text);
        path_text config = path_of("%s/%s", model.text, configs[i]);
        write_text(config.text, "{\"a\": 1,}");
        refuse_model(&paths, MEBI_BAD_FILE, configs[i], "not valid JSON");
        write_text(config.text, "");
        refuse_model(&paths, MEBI_BAD_FILE, configs[i], "is empty");
        remove_path(config.text);
        assert_int_equal(mkdir(config.text, 0700), 0);
        refuse_model(&paths, MEBI_IO, configs[i], "is a folder; a file is expected");
        remove_path(model.text);
    }
    remove_path(folder.text);
}

/* Without a config.json, shapes that make no sense. */
static void refuses_shapes_that_tell_nothing(void **state) {
    (void)state;
    static const char *const names[] = {"x_embedder.weight"};
    path_text folder = make_folder(), path = path_of("%s/d.safetensors", folder.text);
    mebi__model_paths paths = original;
    paths.diffusion_model = path.text;
    write_named(path.text, names, 1, "[12]", 12);
    refuse_model(&paths, MEBI_BAD_FILE, "d.safetensors", "all_x_embedder.2-1.weight is [12]; 2");
    write_named(path.text, names, 1, "[2,6]", 12);
    refuse_model(&paths, MEBI_BAD_FILE, "d.safetensors", "patch embedder: 6 is not divisible by 4");
    write_named(path.text, names, 1, "[3,4]", 12);
    refuse_model(&paths, MEBI_BAD_FILE, "d.safetensors", "cap_embedder.0.weight is missing");
    write_named(path.text, names, 1, "[70000,4]", 280000);
    refuse_model(&paths, MEBI_BAD_FILE, "d.safetensors", "[70000, 4]; 2 dimensions of at most");

    static const char *const bare[] = {"decoder.conv_in.weight"};
    static const char *const high[] = {"decoder.conv_in.weight", "decoder.up_blocks.12345.x"};
    static const char *const quant[] = {"decoder.conv_in.weight", "post_quant_conv.weight"};
    paths = original;
    paths.vae = path.text;
    write_named(path.text, bare, 1, "[1,1,1,1]", 1);
    refuse_model(&paths, MEBI_BAD_FILE, "d.safetensors", "has no decoder blocks");
    write_named(path.text, high, 2, "[1,1,1,1]", 1);
    refuse_model(&paths, MEBI_BAD_FILE, "d.safetensors", "more than 8 blocks decoder.up_blocks.N");
    write_named(path.text, quant, 2, "[1,1,1,1]", 1);
    refuse_model(&paths, MEBI_UNSUPPORTED, "d.safetensors", "VAE of another model family");
    remove_path(folder.text);

    /* 2 heads of 10 can't be split by the rule for files without config. */
    paths = (mebi__model_paths){.folder = MODELS "/odd", .diffusion_model = NULL};
    folder = make_folder();
    path_text model = path_of("%s/m", folder.text);
    link_folder(MODELS "/odd", model.text);
    remove_path(path_of("%s/" DIT, model.text).text);
    paths.folder = model.text;
    refuse_model(&paths, MEBI_BAD_FILE, "/transformer", "10 is not divisible by 16");
    remove_path(folder.text);
}

static void at_least_forty_kinds(void **state) {
    (void)state;
    print_message("%d refusals checked\n", refusals);
    assert_true(refusals >= 40);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_broken_headers),
        cmocka_unit_test(refuses_foreign_files),
        cmocka_unit_test(refuses_absurd_headers),
        cmocka_unit_test(refuses_every_truncation),
        cmocka_unit_test(refuses_names_that_collide),
        cmocka_unit_test(refuses_paths),
        cmocka_unit_test(refuses_broken_indexes),
        cmocka_unit_test(refuses_broken_configs),
        cmocka_unit_test(refuses_incomplete_models),
        cmocka_unit_test(refuses_shapes_that_tell_nothing),
        cmocka_unit_test(at_least_forty_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
