/* Any bytes as what a client sends: the server answers in HTTP, or closes, or waits for more; and
 * it goes on answering others. */
#include "small_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum {
    INPUT_BYTES = 16 << 10,
    REPLY_BYTES = 4 << 20,
    SOON_MS = 2,
    QUIET_MS = 20,
    PATIENCE_MS = 5000
};

static char reply[REPLY_BYTES];
static size_t reply_bytes;

/* From another address each time, for a closed connection keeps its two ports for a minute. */
static int dial(void) {
    static uint32_t from;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    struct sockaddr_in here = {.sin_family = AF_INET},
                       to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)mebi__server_port(server))};
    here.sin_addr.s_addr = htonl(0x7f010001 + from++ % 50000);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    require(fd >= 0 && setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes) == 0);
    require(bind(fd, (struct sockaddr *)&here, sizeof here) == 0);
    require(connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    return fd;
}

static void send_all(int fd, const uint8_t *data, size_t bytes) {
    while (bytes > 0) {
        ssize_t n = send(fd, data, bytes, MSG_NOSIGNAL);
        if (n <= 0) return;
        data += n, bytes -= (size_t)n;
    }
}

/* 1: something came; 0: the end; -1: silence. */
static int read_some(int fd, int ms) {
    struct pollfd wait = {fd, POLLIN, 0};
    int ready;
    do ready = poll(&wait, 1, ms);
    while (ready < 0 && errno == EINTR); /* the fuzzer has an alarm */
    if (ready <= 0) return -1;
    require(reply_bytes + 1 < sizeof reply);
    ssize_t n = recv(fd, reply + reply_bytes, sizeof reply - 1 - reply_bytes, 0);
    if (n <= 0) return 0;
    reply_bytes += (size_t)n;
    reply[reply_bytes] = 0;
    return 1;
}

/* 1 if the first answer is there from begin to end. Those to HEAD have a length and no body. */
static int is_whole(int has_head) {
    const char *end = strstr(reply, "\r\n\r\n"), *length = strstr(reply, "Content-Length: ");
    if (!end) return 0;
    size_t body = reply_bytes - (size_t)(end + 4 - reply);
    if (has_head || strstr(reply, "text/event-stream")) return 1;
    if (length && length < end) return body >= strtoull(length + 16, NULL, 10);
    if (strstr(reply, "Transfer-Encoding: chunked"))
        return body >= 5 && memcmp(reply + reply_bytes - 5, "0\r\n\r\n", 5) == 0;
    return 1; /* 204, 304 */
}

/* Until the answers are there, the connection ends, or it is silent for long enough. Pictures may
 * come later; a server that has all it will get of a request has to be told so. */
static void read_reply(int fd, int later, int has_head, int several) {
    int ms = later ? QUIET_MS : SOON_MS, more;
    reply_bytes = 0, reply[0] = 0;
    while ((more = read_some(fd, ms)) != 0) {
        int whole = is_whole(has_head);
        if (whole && (more < 0 || !several)) return;
        if (more < 0 && ms == PATIENCE_MS) abort();
        if (more > 0 && !whole) ms = PATIENCE_MS; /* what has begun goes on */
        else if (more < 0 && ms == SOON_MS) shutdown(fd, SHUT_WR), ms = QUIET_MS;
        else if (more < 0) return;
    }
}

static int count(const uint8_t *data, size_t bytes, const char *word) {
    int n = 0;
    const uint8_t *end = data + bytes;
    while ((data = memmem(data, (size_t)(end - data), word, strlen(word)))) n++, data++;
    return n;
}

/* A status line and lines of printable ASCII. What is behind them is a body, or further answers. */
static void check_reply(void) {
    const char *end = strstr(reply, "\r\n\r\n");
    int minor, status;
    if (reply_bytes == 0) return;
    require(sscanf(reply, "HTTP/1.%1d %3d ", &minor, &status) == 2);
    require(minor <= 1 && status >= 100 && status < 600 && status != 500);
    require(end != NULL);
    for (const char *p = reply; p < end; p++)
        require((*p >= ' ' && *p <= '~') || (*p == '\r' && p[1] == '\n') ||
                (*p == '\n' && p[-1] == '\r'));
}

/* With a reset: a connection that ends in silence leaves nothing behind. */
static void hang_up(int fd) {
    const struct linger now = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}

static void check_life(void) {
    static const char text[] =
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    int fd = dial();
    send_all(fd, (const uint8_t *)text, sizeof text - 1);
    reply_bytes = 0, reply[0] = 0;
    for (int more; (more = read_some(fd, PATIENCE_MS)) != 0;) require(more > 0);
    hang_up(fd);
    require(strncmp(reply, "HTTP/1.1 200 ", 13) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static unsigned runs;
    if (bytes > INPUT_BYTES) return 0;
    if (!server) start_small_server();
    int fd = dial();
    send_all(fd, data, bytes);
    read_reply(fd, count(data, bytes, "\"prompt\"") > 0, count(data, bytes, "HEAD") > 0,
               count(data, bytes, "HTTP/1.") > 1);
    hang_up(fd);
    check_reply();
    if (reply_bytes == 0 || runs++ % 64 == 0) check_life();
    check_log();
    return 0;
}
