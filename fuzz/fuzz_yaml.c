/* Any bytes as a config.yaml: read or refused with a line, never a value that the table refuses. */
#include "base/memory.h"
#include "config/config.h"
#include "config/value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void require(int condition) {
    if (!condition) abort();
}

static void check_values(const mebi__config *c) {
    char value[MEBI__VALUE_BYTES];
    for (int i = 0; i < MEBI__SETTINGS; i++) {
        const mebi__value *v = &c->value[i];
        if (!v->text) continue;
        mebi_status status = mebi__value_check(&mebi__settings[i], "x", v->text, value, NULL);
        require(status == MEBI_OK);
        require(v->line >= 1 && v->name && v->origin == MEBI__ORIGIN_FILE);
        for (const char *p = v->text; *p; p++) require((unsigned char)*p >= 0x20 && *p != 0x7f);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    mebi__config c = {0};
    mebi_error err = {0};
    char *text = malloc(bytes ? bytes : 1); /* of that size, so that a read beyond its end is seen */
    require(text != NULL);
    memcpy(text, data, bytes);
    mebi_status status = mebi__config_parse(&c, "c", text, bytes, &err);
    require(status == err.status);
    if (status != MEBI_OK && bytes <= 1 << 20) require(strncmp(err.text, "c:", 2) == 0);
    for (const char *p = err.text; *p; p++) require((unsigned char)*p >= 0x20 && *p != 0x7f);
    check_values(&c);
    mebi__config_free(&c);
    free(text);
    require(mebi__memory_held(MEBI__TAG_COUNT) == 0);
    return 0;
}
