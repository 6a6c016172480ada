/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The two threads of a relay: one for each direction, for TLS wants at most
 * one sender and one receiver.  Each waits for its source without a limit (a
 * disk may be idle for days) and for its sink with one.
 */
#include "relay.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define WHERE "relay"
#define CHUNK (256u * 1024u)
#define TAKE_MS 60000u
#define LOOK_MS 1000u /* how long one wait for the link lasts */

struct colo_relay {
    struct colo_link *link;
    int fd;
    uint32_t take_ms;
    atomic_bool over;
    _Atomic uint64_t out, in;
    pthread_t thread[2];
    int threads;
    uint8_t buf[2][CHUNK]; /* to the peer, from the peer */
};

/* Wakes both threads, wherever they wait. */
static void shut(struct colo_relay *r)
{
    atomic_store(&r->over, true);
    colo__link_ops(r->link)->shutdown(r->link);
    shutdown(r->fd, SHUT_RDWR);
}

static bool local_wait(struct colo_relay *r, short events, int timeout_ms)
{
    struct pollfd p = { .fd = r->fd, .events = events };
    int n;

    do {
        n = poll(&p, 1, timeout_ms);
    } while (n < 0 && errno == EINTR);
    return n > 0;
}

/* 0: the proxy has closed it, or it broke. */
static size_t local_read(struct colo_relay *r, uint8_t *buf, size_t cap)
{
    for (;;) {
        ssize_t n = recv(r->fd, buf, cap, MSG_DONTWAIT);

        if (n >= 0)
            return (size_t)n;
        if (errno != EAGAIN && errno != EINTR)
            return 0;
        if (!local_wait(r, POLLIN, -1))
            return 0;
    }
}

static bool local_write(struct colo_relay *r, const uint8_t *buf, size_t len)
{
    while (len) {
        ssize_t n = send(r->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n > 0) {
            buf += n;
            len -= (size_t)n;
            continue;
        }
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return false;
        if (!local_wait(r, POLLOUT, (int)r->take_ms))
            return false;
    }
    return true;
}

static void *to_peer(void *arg)
{
    struct colo_relay *r = arg;
    struct colo_error err;

    for (;;) {
        size_t len = local_read(r, r->buf[0], CHUNK);
        struct iovec iov = { r->buf[0], len };

        if (!len || colo__link_ops(r->link)->send(r->link, &iov, 1,
                                                  r->take_ms, &err))
            break;
        atomic_fetch_add(&r->out, len);
    }
    shut(r);
    return NULL;
}

static void *from_peer(void *arg)
{
    struct colo_relay *r = arg;
    struct colo_error err;

    while (!atomic_load(&r->over)) {
        size_t len = 0;
        int rc = colo__link_ops(r->link)->recv(r->link, r->buf[1], CHUNK,
                                               LOOK_MS, &len, &err);

        if (rc == COLO_E_TIMEOUT)
            continue;
        if (rc || !local_write(r, r->buf[1], len))
            break;
        atomic_fetch_add(&r->in, len);
    }
    shut(r);
    return NULL;
}

static void join(struct colo_relay *r)
{
    while (r->threads)
        pthread_join(r->thread[--r->threads], NULL);
}

int colo__relay_start(struct colo_link *link, int fd, uint32_t dead_ms,
                      struct colo_relay **ret_relay, struct colo_error *err)
{
    static void *(*const mains[2])(void *) = { to_peer, from_peer };
    struct colo_relay *r = calloc(1, sizeof(*r));
    sigset_t all, before;
    int e = 0;

    if (!r) {
        colo__link_ops(link)->close(link);
        close(fd);
        return colo__fail(err, COLO_E_NOMEM, ENOMEM, WHERE, "no memory");
    }
    r->link = link;
    r->fd = fd;
    r->take_ms = dead_ms ? dead_ms : TAKE_MS;
    /* signals are the caller's */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int i = 0; i < 2 && !e; i++) {
        e = pthread_create(&r->thread[i], NULL, mains[i], r);
        r->threads += !e;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (e) {
        colo__relay_end(r);
        return colo__fail(err, COLO_E_SYS, e, WHERE, "cannot make a thread");
    }
    *ret_relay = r;
    return 0;
}

bool colo__relay_over(const struct colo_relay *r)
{
    return atomic_load(&r->over);
}

void colo__relay_bytes(const struct colo_relay *r, uint64_t *ret_out,
                       uint64_t *ret_in)
{
    *ret_out = atomic_load(&r->out);
    *ret_in = atomic_load(&r->in);
}

void colo__relay_end(struct colo_relay *r)
{
    if (!r)
        return;
    shut(r);
    join(r);
    colo__link_ops(r->link)->close(r->link);
    close(r->fd);
    free(r);
}
