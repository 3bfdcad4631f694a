/* The page and the API's description. Must never look at the disk: all of it is in the program. */
#include "server/api.h"
#include "server/assets.h"

#include <string.h>
#include <strings.h>

static const mebi__asset *find(const char *address) {
    for (int i = 0; i < mebi__asset_count; i++)
        if (strcmp(mebi__assets[i].address, address) == 0) return &mebi__assets[i];
    return NULL;
}

/* "gzip" among the encodings, and not refused by q=0. */
static int takes_gzip(const char *accepted) {
    for (const char *p = accepted; p && *p; p += strcspn(p, ","), p += *p == ',') {
        p += strspn(p, " ");
        if (strncasecmp(p, "gzip", 4) != 0 || !strchr(" ;,", p[4])) continue;
        const char *q = p + 4 + strspn(p + 4, " ");
        if (*q != ';') return 1;
        q += 1 + strspn(q + 1, " ");
        return strncasecmp(q, "q=0", 3) != 0 ||
               (q[3] == '.' && strspn(q + 4, "0") != strcspn(q + 4, ", "));
    }
    return 0;
}

/* 1 if a list of tags has this one. */
static int has_tag(const char *tags, const char *tag) {
    return tags && (strstr(tags, tag) || strcmp(tags, "*") == 0);
}

static void send(const mebi__http_request *q, const mebi__asset *f, const char *caching,
                 mebi__http_answer *a) {
    if (!f) {
        mebi__answer_error(a, 0, MEBI__ERROR_NOT_FOUND,
                           "There is no such file in this server's page.");
        return;
    }
    int packed = f->packed && takes_gzip(q->accept_encoding);
    if (has_tag(q->none_match, f->tag)) mebi__answer_empty(a, 304);
    else
        mebi__answer_static(a, 200, f->type, packed ? f->packed : f->plain,
                            packed ? f->packed_bytes : f->plain_bytes);
    if (packed && a->status == 200) mebi__answer_header(a, "Content-Encoding", "gzip");
    mebi__answer_header(a, "ETag", "%s", f->tag);
    mebi__answer_header(a, "Vary", "Accept-Encoding");
    mebi__answer_header(a, "Cache-Control", "%s", caching);
}

void mebi__api_openapi(mebi__server *server, const mebi__http_request *q, mebi__http_answer *a) {
    (void)server;
    send(q, find("/api/openapi.json"), "no-cache", a);
}

/* "/" and files beside it. They are asked for again each time; a tag makes that cheap. */
void mebi__api_page(mebi__server *server, const mebi__http_request *q, mebi__http_answer *a) {
    (void)server;
    send(q, find(strcmp(q->path, "/") == 0 ? "/index.html" : q->path), "no-cache", a);
}

void mebi__api_asset(mebi__server *server, const mebi__http_request *q, mebi__http_answer *a) {
    mebi__api_page(server, q, a);
}
