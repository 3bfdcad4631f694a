/* Connections as the core counts them. Must never close a descriptor: the HTTP library does, and
 * only cuts reach a socket from here. */
#include "server/connection.h"

#include "base/memory.h"
#include "base/os.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

/* An IPv4 address in IPv6's clothes is shown as IPv4's. */
static void show(const struct sockaddr *a, char *text, size_t bytes) {
    const struct sockaddr_in6 *six = (const void *)a;
    const struct sockaddr_in *four = (const void *)a;
    text[0] = 0;
    if (a->sa_family == AF_INET) inet_ntop(AF_INET, &four->sin_addr, text, (socklen_t)bytes);
    else if (a->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&six->sin6_addr))
        inet_ntop(AF_INET, six->sin6_addr.s6_addr + 12, text, (socklen_t)bytes);
    else if (a->sa_family == AF_INET6) inet_ntop(AF_INET6, &six->sin6_addr, text, (socklen_t)bytes);
}

static int is_loopback(const char *address) {
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0;
}

int mebi__connections_may(mebi__connections *all, const struct sockaddr *from) {
    char address[48];
    int same = 0;
    show(from, address, sizeof address);
    pthread_mutex_lock(&all->lock);
    for (const mebi__connection *c = all->first; c; c = c->next)
        same += strcmp(c->address, address) == 0;
    int may = all->count < all->most && (is_loopback(address) || same < all->most_of_one);
    pthread_mutex_unlock(&all->lock);
    return may;
}

static void find_own(int fd, char *own, size_t bytes) {
    struct sockaddr_storage here;
    socklen_t size = sizeof here;
    char address[48];
    own[0] = 0;
    if (getsockname(fd, (struct sockaddr *)&here, &size) != 0) return;
    show((struct sockaddr *)&here, address, sizeof address);
    snprintf(own, bytes, strchr(address, ':') ? "[%s]" : "%s", address);
}

mebi__connection *mebi__connections_add(mebi__connections *all, int fd,
                                        const struct sockaddr *from) {
    mebi__connection *c = mebi__alloc(MEBI__TAG_GENERAL, sizeof *c);
    if (!c) return NULL;
    c->fd = fd;
    show(from, c->address, sizeof c->address);
    find_own(fd, c->own, sizeof c->own);
    c->loopback = is_loopback(c->address);
    c->waiting = 1;
    c->since = mebi__now_seconds();
    pthread_mutex_lock(&all->lock);
    c->next = all->first;
    if (c->next) c->next->before = c;
    all->first = c;
    all->count++;
    pthread_mutex_unlock(&all->lock);
    return c;
}

void mebi__connections_remove(mebi__connections *all, mebi__connection *c) {
    if (!c) return;
    pthread_mutex_lock(&all->lock);
    if (c->before) c->before->next = c->next;
    else all->first = c->next;
    if (c->next) c->next->before = c->before;
    all->count--;
    pthread_mutex_unlock(&all->lock);
    mebi__free(c);
}

void mebi__connections_wait(mebi__connections *all, mebi__connection *c, int waiting) {
    if (!c) return;
    pthread_mutex_lock(&all->lock);
    c->waiting = waiting;
    c->since = mebi__now_seconds();
    pthread_mutex_unlock(&all->lock);
}

int mebi__connection_gone(int fd) {
    struct pollfd look = {fd, POLLRDHUP, 0};
    return poll(&look, 1, 0) == 1;
}

void mebi__connections_cut(mebi__connections *all, double seconds) {
    double now = mebi__now_seconds();
    pthread_mutex_lock(&all->lock);
    for (mebi__connection *c = all->first; c; c = c->next)
        if (c->waiting && (now - c->since > seconds || (now - c->since > 1 && mebi__connection_gone(c->fd)))) {
            shutdown(c->fd, SHUT_RDWR);
            c->waiting = 0;
        }
    pthread_mutex_unlock(&all->lock);
}
