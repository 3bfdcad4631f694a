/* JSON from files that nobody vouches for. Must never hand jansson a text that would take it more
 * than a bounded amount of memory or stack, nor repeat a file's control characters in a message. */
#include "weights/json.h"
#include "base/memory.h"
#include "base/os.h"

#include <string.h>

mebi__shown mebi__show(const char *name) {
    mebi__shown shown = {{0}};
    size_t length = strlen(name), limit = sizeof shown.text - 4, n = 0;
    for (; n < length && n < limit; n++) {
        unsigned char c = (unsigned char)name[n];
        int c1 = c == 0xC2 && (unsigned char)name[n + 1] < 0xA0; /* U+0080 to U+009F */
        shown.text[n] = (char)(c < 0x20 || c == 0x7F || c1 ? '?' : c);
        if (c1) shown.text[++n] = '?';
    }
    if (n >= length) return shown;
    while (n > 0 && ((unsigned char)name[n] & 0xC0) == 0x80) n--; /* not inside a code point */
    memcpy(shown.text + n, "...", 4);
    return shown;
}

/* Counts what jansson would build before it builds it. Strings are skipped; anything malformed is
 * left for the parser to find. */
static mebi_status scan(const char *label, const char *text, size_t bytes, mebi_error *err) {
    size_t values = 0;
    int depth = 0, in_string = 0;
    for (size_t i = 0; i < bytes; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\') i++;
            else if (c == '"') in_string = 0;
            continue;
        }
        if (c == '"') in_string = 1;
        else if (c == '{' || c == '[') depth++;
        else if (c == '}' || c == ']') depth--;
        values += c == ',' || c == '{' || c == '[';
        if (depth > MEBI__JSON_DEPTH)
            return mebi__fail(
                err, MEBI_BAD_FILE,
                "%s is nested deeper than %d levels: no model's file is. It is broken "
                "or not a model's.",
                label, MEBI__JSON_DEPTH);
        if (values > MEBI__JSON_VALUES)
            return mebi__fail(err, MEBI_BAD_FILE,
                              "%s holds more than %d values: no model needs so many. It is broken "
                              "or not a model's.",
                              label, MEBI__JSON_VALUES);
    }
    return MEBI_OK;
}

mebi_status mebi__json_parse(const char *label, const char *text, size_t bytes, json_t **out,
                             mebi_error *err) {
    *out = NULL;
    MEBI_TRY(scan(label, text, bytes, err));
    json_error_t why = {0};
    json_t *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &why);
    if (!root && (json_error_code(&why) == json_error_out_of_memory || !why.text[0]))
        return mebi__fail(err, MEBI_NO_MEMORY, "No memory to parse %s (%zu bytes).", label, bytes);
    if (!root)
        return mebi__fail(err, MEBI_BAD_FILE, "%s is not valid JSON: line %d, column %d: %s.",
                          label, why.line, why.column, mebi__show(why.text).text);
    if (!json_is_object(root)) {
        json_decref(root);
        return mebi__fail(err, MEBI_BAD_FILE, "%s is JSON but not an object ({...}).", label);
    }
    *out = root;
    return MEBI_OK;
}

mebi_status mebi__json_load(const char *path, json_t **out, mebi_error *err) {
    *out = NULL;
    char *text = NULL;
    size_t bytes = 0;
    mebi_status status = mebi__read_file(path, MEBI__JSON_FILE_BYTES, &text, &bytes, err);
    if (status == MEBI_OK && bytes == 0)
        status = mebi__fail(err, MEBI_BAD_FILE, "%s is empty: get it again.", path);
    if (status == MEBI_OK) status = mebi__json_parse(path, text, bytes, out, err);
    mebi__free(text);
    return status;
}
