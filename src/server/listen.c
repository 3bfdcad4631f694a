/* Taking a port. Must never take another one than asked for. */
#include "server/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 256 };

static mebi_status say(const char *address, int port, int why, mebi_error *err) {
    if (why == EADDRINUSE)
        return mebi__fail(err, MEBI_IO,
                          "Port %d of %.60s is taken by another program, maybe by another mebi "
                          "serve. End that, or "
                          "choose another port: --port %d.",
                          port, address, port < 65535 ? port + 1 : port - 1);
    if (why == EACCES)
        return mebi__fail(err, MEBI_IO,
                          "Port %d needs rights that this user does not have. Choose one from 1024 "
                          "to 65535: --port "
                          "7860.",
                          port);
    if (why == EADDRNOTAVAIL)
        return mebi__fail(err, MEBI_IO,
                          "%.60s is no address of this machine. `ip addr` lists those.", address);
    return mebi__fail(err, MEBI_IO, "Port %d of %.60s can't be taken: %s.", port, address,
                      strerror(why));
}

static int port_of(int fd) {
    struct sockaddr_storage here;
    socklen_t size = sizeof here;
    if (getsockname(fd, (struct sockaddr *)&here, &size) != 0) return 0;
    if (here.ss_family == AF_INET6) return ntohs(((struct sockaddr_in6 *)&here)->sin6_port);
    return ntohs(((struct sockaddr_in *)&here)->sin_port);
}

mebi_status mebi__listen(const char *address, int port, int *out, int *got, mebi_error *err) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE},
                    *found;
    char digits[8];
    snprintf(digits, sizeof digits, "%d", port);
    if (getaddrinfo(address, digits, &hints, &found) != 0)
        return mebi__fail(
            err, MEBI_BAD_ARGUMENT,
            "'%.60s' is no address. Write it as digits: 127.0.0.1, ::1, or 0.0.0.0 for all of this "
            "machine.",
            address);
    int yes = 1, fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int good = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
               bind(fd, found->ai_addr, found->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0;
    int why = errno;
    freeaddrinfo(found);
    if (!good) {
        if (fd >= 0) close(fd);
        return say(address, port, why, err);
    }
    *out = fd;
    *got = port_of(fd);
    return MEBI_OK;
}

int mebi__is_loopback(const char *address) {
    struct in_addr four;
    struct in6_addr six;
    if (inet_pton(AF_INET, address, &four) == 1) return (ntohl(four.s_addr) >> 24) == 127;
    return inet_pton(AF_INET6, address, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}
