/* Several pictures as one ZIP. */
#include "base/memory.h"
#include "server/api.h"
#include "server/fields.h"
#include "server/server.h"
#include "server/zip.h"

#include <stdio.h>
#include <string.h>

/* 0: *answer says what is wrong. */
static int add(mebi__server *server, mebi__zip *zip, const json_t *id, mebi__http_answer *a) {
    char *path = NULL, name[MEBI__IMAGE_ID + 16];
    mebi_error err = {0};
    const char *text = json_string_value(id);
    mebi_status status =
        text ? mebi__jobs_image_file(mebi__server_jobs(server), text, &path, &err) : MEBI_OK;
    if (status != MEBI_OK) mebi__answer_failure(a, status, &err);
    else if (!path)
        mebi__answer_error_about(a, 404, MEBI__ERROR_NOT_FOUND, "One of the ids is of no picture.",
                                 "ids", NULL);
    if (!path) return 0;
    snprintf(name, sizeof name, "mebi_%.55s.png", text);
    if (mebi__zip_add(zip, path, name)) return 1;
    mebi__answer_error(a, 0, MEBI__ERROR_BAD_REQUEST, "There are more than %d pictures.",
                       MEBI__ZIP_FILES);
    return 0;
}

static void answer_zip(mebi__server *server, const json_t *ids, mebi__http_answer *a) {
    size_t i;
    const json_t *id;
    mebi__zip *zip = mebi__zip_begin();
    if (!zip) {
        mebi__answer_error(a, 0, MEBI__ERROR_UNAVAILABLE, "There is no memory for the archive.");
        return;
    }
    json_array_foreach((json_t *)(uintptr_t)ids, i, id) {
        if (add(server, zip, id, a)) continue;
        mebi__zip_free(zip);
        return;
    }
    mebi__answer_drop(a);
    a->status = 200;
    a->type = "application/zip";
    a->source = mebi__zip_source(zip);
    mebi__answer_header(a, "Content-Disposition", "attachment; filename=\"mebi.zip\"");
}

void mebi__api_zip(mebi__server *server, const mebi__http_request *q, mebi__http_answer *a) {
    static const mebi__field table[] = {{"ids", MEBI__FIELD_JSON, 0, 0, 0, {NULL}}};
    json_t *ids = NULL, *body = mebi__body_read(q, a);
    mebi__fields_fault fault;
    if (!body) return;
    if (!mebi__fields_read(table, 1, body, &ids, NULL, &fault) || !json_is_array(ids) ||
        json_array_size(ids) == 0 || json_array_size(ids) > MEBI__ZIP_FILES)
        mebi__answer_error_about(a, 422, MEBI__ERROR_BAD_REQUEST,
                                 "ids takes a list of 1 to 1000 ids of pictures.", "ids", NULL);
    else answer_zip(server, ids, a);
    json_decref(body);
}
