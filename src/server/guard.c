/* Who may ask. Must never let a comparison's time tell where a secret differs, and never hold a
 * secret in what it says. */
#include "server/guard.h"

#include "base/memory.h"
#include "base/os.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

enum { SESSION_SECONDS = 30 * 24 * 3600 };

/* ---- the token ---- */

static mebi_status check_token(const char *path, const char *token, size_t bytes, mebi_error *err) {
    for (size_t i = 0; i < bytes; i++)
        if (token[i] <= ' ' || token[i] > '~')
            return mebi__fail(
                err, MEBI_BAD_FILE,
                "%.300s holds something else than a token: one line of letters, digits and signs, "
                "without spaces.",
                path);
    if (bytes < MEBI__TOKEN_LEAST || bytes > MEBI__TOKEN_MOST)
        return mebi__fail(err, MEBI_BAD_FILE,
                          "The token in %.300s has %zu characters; it needs %d to %d. Make one: "
                          "openssl rand -hex "
                          "24 > FILE.",
                          path, bytes, MEBI__TOKEN_LEAST, MEBI__TOKEN_MOST);
    return MEBI_OK;
}

static mebi_status read_token(mebi__guard *g, const char *path, mebi_error *err) {
    char *text;
    size_t bytes;
    MEBI_TRY(mebi__read_file(path, 4096, &text, &bytes, err));
    while (bytes > 0 && isspace((unsigned char)text[bytes - 1])) bytes--;
    mebi_status status = check_token(path, text, bytes, err);
    if (status == MEBI_OK && !(g->token = mebi__copy_string(text, bytes)))
        status = mebi__fail(err, MEBI_NO_MEMORY, "No memory for the token.");
    g->token_bytes = bytes;
    explicit_bzero(text, bytes);
    mebi__free(text);
    return status;
}

mebi_status mebi__guard_open(mebi__guard *g, const char *token_path, mebi_error *err) {
    *g = (mebi__guard){.name_count = 0};
    if (pthread_mutex_init(&g->lock, NULL) != 0)
        return mebi__fail(err, MEBI_NO_MEMORY, "No memory for a lock.");
    static const char *const usual[] = {"127.0.0.1", "localhost", "[::1]"};
    mebi_status status = token_path ? read_token(g, token_path, err) : MEBI_OK;
    for (size_t i = 0; i < sizeof usual / sizeof *usual && status == MEBI_OK; i++)
        status = mebi__guard_name(g, usual[i], err);
    if (status != MEBI_OK) mebi__guard_close(g);
    return status;
}

void mebi__guard_close(mebi__guard *g) {
    for (int i = 0; i < g->name_count; i++) mebi__free(g->names[i]);
    g->name_count = 0;
    if (g->token) explicit_bzero(g->token, g->token_bytes);
    mebi__free(g->token);
    g->token = NULL;
    pthread_mutex_destroy(&g->lock);
}

/* Looks at every byte that was given, whatever the first ones are. */
static int equal_in_time(const char *a, const char *secret, size_t bytes, size_t secret_bytes) {
    unsigned different = bytes != secret_bytes;
    for (size_t i = 0; i < bytes; i++)
        different |=
            (unsigned char)a[i] ^ (unsigned char)secret[secret_bytes ? i % secret_bytes : 0];
    return different == 0;
}

int mebi__guard_token(const mebi__guard *g, const char *given, size_t bytes) {
    return g->token && equal_in_time(given, g->token, bytes, g->token_bytes);
}

/* ---- Authorization ---- */

static int base64_value(int c) {
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(letters, c) : NULL;
    return at ? (int)(at - letters) : -1;
}

/* Decodes up to room bytes; returns how many; 0 for what is no base64. */
static size_t base64_decode(const char *text, char *to, size_t room) {
    unsigned bits = 0;
    int held = 0;
    size_t n = 0;
    for (; *text && *text != '='; text++) {
        int value = base64_value((unsigned char)*text);
        if (value < 0 || n == room) return 0;
        bits = (bits << 6 | (unsigned)value) & 0xFFFFFF;
        held += 6;
        if (held >= 8) held -= 8, to[n++] = (char)(bits >> held & 0xFF);
    }
    return n;
}

int mebi__guard_authorization(const mebi__guard *g, const char *header) {
    char plain[MEBI__TOKEN_MOST + 256];
    const char *word = header + strcspn(header, " ");
    word += strspn(word, " ");
    if (strncasecmp(header, "Bearer ", 7) == 0) return mebi__guard_token(g, word, strlen(word));
    if (strncasecmp(header, "Basic ", 6) != 0) return 0;
    size_t bytes = base64_decode(word, plain, sizeof plain);
    const char *colon = bytes ? memchr(plain, ':', bytes) : NULL;
    int good = colon && mebi__guard_token(g, colon + 1, bytes - (size_t)(colon + 1 - plain));
    explicit_bzero(plain, sizeof plain);
    return good;
}

/* ---- hosts ---- */

mebi_status mebi__guard_name(mebi__guard *g, const char *name, mebi_error *err) {
    size_t length = strlen(name);
    int bracketed = name[0] == '[';
    const char *plain = bracketed
                            ? "0123456789abcdefABCDEF:.[]"
                            : "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    if (length == 0 || length > 253 || strspn(name, plain) != length ||
        (bracketed && name[length - 1] != ']'))
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "'%.100s' is no host name. Write it without http:// and without a port: "
                          "pictures.example.org.",
                          name);
    if (g->name_count == MEBI__GUARD_NAMES)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "There are more than %d host names.",
                          MEBI__GUARD_NAMES);
    char *copy = mebi__copy_string(name, length);
    if (!copy) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for a host name.");
    for (char *p = copy; *p; p++) *p = (char)tolower((unsigned char)*p);
    g->names[g->name_count++] = copy;
    return MEBI_OK;
}

/* The length of the name in "name", "name:80", "[::1]:80"; 0 for anything else. */
static size_t host_length(const char *host) {
    size_t length = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    if (host[0] == '[' && host[length - 1] != ']') return 0;
    const char *rest = host + length;
    if (!*rest) return length;
    size_t digits = *rest == ':' ? strspn(rest + 1, "0123456789") : 0;
    return digits >= 1 && digits <= 5 && !rest[1 + digits] ? length : 0;
}

static int same_name(const char *host, size_t length, const char *name) {
    return strlen(name) == length && strncasecmp(host, name, length) == 0;
}

int mebi__guard_host(const mebi__guard *g, const char *host, const char *own) {
    size_t length = host_length(host);
    if (length == 0) return 0;
    for (int i = 0; i < g->name_count; i++)
        if (same_name(host, length, g->names[i])) return 1;
    return *own && same_name(host, length, own);
}

int mebi__guard_origin(const char *origin, const char *host, int tls) {
    const char *rest = strncasecmp(origin, "https://", 8) == 0          ? origin + 8
                       : !tls && strncasecmp(origin, "http://", 7) == 0 ? origin + 7
                                                                        : NULL;
    return rest && strcasecmp(rest, host) == 0;
}

/* ---- tries ---- */

/* Of an IPv6 address the network counts: who has one has 2^64. */
static void trier_key(const char *address, char key[48]) {
    struct in6_addr six;
    snprintf(key, 48, "%.47s", address);
    if (inet_pton(AF_INET6, address, &six) != 1 || IN6_IS_ADDR_V4MAPPED(&six)) return;
    memset(six.s6_addr + 8, 0, 8);
    inet_ntop(AF_INET6, &six, key, 48);
}

/* The address's place, or the one to take for it: a free one, else the one longest unused. */
static int trier_place(const mebi__guard *g, const char *key) {
    int oldest = 0;
    for (int i = 0; i < MEBI__GUARD_TRIERS; i++) {
        if (strcmp(g->trier[i].address, key) == 0) return i;
        if (g->trier[i].since < g->trier[oldest].since) oldest = i;
    }
    return oldest;
}

int mebi__guard_wait(mebi__guard *g, const char *address) {
    char key[48];
    trier_key(address, key);
    pthread_mutex_lock(&g->lock);
    int i = trier_place(g, key);
    double left = g->trier[i].since + MEBI__GUARD_WINDOW - mebi__now_seconds();
    int blocked = strcmp(g->trier[i].address, key) == 0 &&
                  g->trier[i].failed >= MEBI__GUARD_TRIES && left > 0;
    pthread_mutex_unlock(&g->lock);
    return blocked ? (int)left + 1 : 0;
}

void mebi__guard_failed(mebi__guard *g, const char *address) {
    char key[48];
    double now = mebi__now_seconds();
    trier_key(address, key);
    pthread_mutex_lock(&g->lock);
    int i = trier_place(g, key);
    if (strcmp(g->trier[i].address, key) != 0 || g->trier[i].since + MEBI__GUARD_WINDOW < now) {
        strcpy(g->trier[i].address, key);
        g->trier[i].failed = 0;
    }
    g->trier[i].failed++;
    g->trier[i].since = now;
    pthread_mutex_unlock(&g->lock);
}

void mebi__guard_succeeded(mebi__guard *g, const char *address) {
    char key[48];
    trier_key(address, key);
    pthread_mutex_lock(&g->lock);
    int i = trier_place(g, key);
    if (strcmp(g->trier[i].address, key) == 0) g->trier[i].failed = 0;
    pthread_mutex_unlock(&g->lock);
}

/* ---- sessions ---- */

void mebi__guard_login(mebi__guard *g, char id[MEBI__SESSION_DIGITS + 1]) {
    unsigned char bits[MEBI__SESSION_DIGITS / 2];
    while (getrandom(bits, sizeof bits, 0) != (ssize_t)sizeof bits) {
    }
    for (size_t i = 0; i < sizeof bits; i++) snprintf(id + 2 * i, 3, "%02x", bits[i]);
    pthread_mutex_lock(&g->lock);
    int oldest = 0;
    for (int i = 1; i < MEBI__GUARD_SESSIONS; i++)
        if (g->session[i].until < g->session[oldest].until) oldest = i;
    memcpy(g->session[oldest].id, id, MEBI__SESSION_DIGITS + 1);
    g->session[oldest].until = mebi__now_seconds() + SESSION_SECONDS;
    pthread_mutex_unlock(&g->lock);
}

static int find_session(mebi__guard *g, const char *id) {
    int found = -1;
    size_t length = strlen(id);
    double now = mebi__now_seconds();
    for (int i = 0; i < MEBI__GUARD_SESSIONS; i++)
        if (g->session[i].until > now &&
            equal_in_time(id, g->session[i].id, length, MEBI__SESSION_DIGITS))
            found = i;
    return found;
}

int mebi__guard_session(mebi__guard *g, const char *id) {
    pthread_mutex_lock(&g->lock);
    int found = find_session(g, id);
    pthread_mutex_unlock(&g->lock);
    return found >= 0;
}

void mebi__guard_logout(mebi__guard *g, const char *id) {
    pthread_mutex_lock(&g->lock);
    int found = find_session(g, id);
    if (found >= 0) g->session[found].until = 0, g->session[found].id[0] = 0;
    pthread_mutex_unlock(&g->lock);
}
