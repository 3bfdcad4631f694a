/* The server that is asked. Must never wait longer for it than ten seconds. */
#include "load.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

double now_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int target_read(const char *url, target *t) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    const char *host = strncmp(url, "http://", 7) == 0 ? url + 7 : NULL;
    const char *end = host ? host + strcspn(host, "/") : NULL;
    const char *colon = host ? memchr(host, ':', (size_t)(end - host)) : NULL;
    if (!colon || colon == host || colon - host > 70 || end - colon > 6) {
        fprintf(stderr, "load: --url takes an address like http://127.0.0.1:7860\n");
        return 0;
    }
    snprintf(t->host, sizeof t->host, "%.*s", (int)(colon - host), host);
    snprintf(t->port, sizeof t->port, "%.*s", (int)(end - colon - 1), colon + 1);
    int why = getaddrinfo(t->host, t->port, &hints, &found);
    if (why) {
        fprintf(stderr, "load: %s: %s\n", t->host, gai_strerror(why));
        return 0;
    }
    memcpy(&t->address, found->ai_addr, found->ai_addrlen);
    t->address_bytes = found->ai_addrlen;
    freeaddrinfo(found);
    return 1;
}

int target_dial(const target *t) {
    int yes = 1;
    int fd = socket(t->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    (void)!connect(fd, (const struct sockaddr *)&t->address, t->address_bytes);
    return fd; /* what became of it is seen when it can be written */
}

int target_write(const target *t, const char *method, const char *path, const char *body, int keep,
                 char *to, size_t room) {
    char token[320] = "", about[100] = "";
    if (*t->token) snprintf(token, sizeof token, "Authorization: Bearer %s\r\n", t->token);
    if (body)
        snprintf(about, sizeof about, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                 strlen(body));
    return snprintf(to, room, "%s %s HTTP/1.1\r\nHost: %s:%s\r\n%s%s%s\r\n%s", method, path,
                    t->host, t->port, keep ? "" : "Connection: close\r\n", token, about,
                    body ? body : "");
}

/* Until something can be read, or written; 0: ten seconds are over. */
static int wait_for(int fd, short what) {
    struct pollfd p = {fd, what, 0};
    return poll(&p, 1, 10000) == 1;
}

int target_ask(const target *t, const char *method, const char *path, const char *body, char *to,
               size_t room, char **answer) {
    char head[4096];
    int status = 0, bytes = target_write(t, method, path, body, 0, head, sizeof head);
    size_t have = 0;
    int fd = target_dial(t);
    *answer = to;
    to[0] = 0;
    if (fd < 0) return 0;
    if (bytes < (int)sizeof head && wait_for(fd, POLLOUT) &&
        send(fd, head, (size_t)bytes, MSG_NOSIGNAL) == bytes)
        while (have + 1 < room && wait_for(fd, POLLIN)) {
            ssize_t n = recv(fd, to + have, room - 1 - have, 0);
            if (n <= 0) break;
            have += (size_t)n;
        }
    close(fd);
    to[have] = 0;
    char *end = strstr(to, "\r\n\r\n");
    if (end) *answer = end + 4;
    return end && sscanf(to, "HTTP/1.1 %d", &status) == 1 ? status : 0;
}
