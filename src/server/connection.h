/* Connections as the core counts them: how many there are, whose, and how long each has kept us
 * waiting. */
#ifndef MEBI_SERVER_CONNECTION_H
#define MEBI_SERVER_CONNECTION_H

#include <pthread.h>
#include <sys/socket.h>

typedef struct mebi__connection {
    struct mebi__connection *next, *before;
    int fd;
    char address[48], own[64]; /* whose; ours, as a Host header would have it */
    int loopback;
    int waiting;  /* 1: for a request's head or body */
    double since; /* it has been waiting */
    void *request; /* the core's, under way */
} mebi__connection;

typedef struct mebi__connections {
    pthread_mutex_t lock;
    mebi__connection *first;
    int count, most, most_of_one;
} mebi__connections;

/* 1 if one more from there may come. */
int mebi__connections_may(mebi__connections *all, const struct sockaddr *from);
/* NULL: no memory. */
mebi__connection *mebi__connections_add(mebi__connections *all, int fd,
                                        const struct sockaddr *from);
void mebi__connections_remove(mebi__connections *all, mebi__connection *one);
void mebi__connections_wait(mebi__connections *all, mebi__connection *one, int waiting);
/* 1 if the client has closed its end, if only the sending half: who waits for an answer keeps both. An end that came
 * together with the last bytes is not seen by the HTTP library, which takes the bytes and waits for more. */
int mebi__connection_gone(int fd);
/* Cuts those that have been waited for longer, and those whose client has gone; their requests end as
 * broken ones do. */
void mebi__connections_cut(mebi__connections *all, double seconds);

#endif
