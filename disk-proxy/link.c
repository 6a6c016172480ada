/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The twin's socket: the greeting, receiving, and taking all of it down.
 * Called by the receiver and, for disconnect, by the control thread.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "disk-internal.h"

#define WHERE "disk link"
#define HELLO_MS 60000 /* the twin's side may be starting, on a busy host */

static bool ends(struct colo_disk *d)
{
    bool r;

    pthread_mutex_lock(&d->lock);
    r = d->stopping || d->lost;
    pthread_mutex_unlock(&d->lock);
    return r;
}

int colo__disk_recv_some(struct colo_disk *d, uint8_t *buf, size_t cap,
                         size_t *ret_n, struct colo_error *err)
{
    for (;;) {
        struct pollfd pfd = { .fd = d->stream, .events = POLLIN };
        ssize_t r = recv(d->stream, buf, cap, MSG_DONTWAIT);

        if (r > 0) {
            *ret_n = (size_t)r;
            return 0;
        }
        if (r == 0)
            return colo__fail(err, COLO_E_PEER, 0, WHERE,
                              "the twin closed the stream");
        if (errno != EAGAIN && errno != EINTR)
            return colo__fail(err, COLO_E_PEER, errno, WHERE,
                              "cannot receive from the twin");
        if (ends(d))
            return colo__fail(err, COLO_E_PEER, 0, WHERE, "ended");
        (void)poll(&pfd, 1, 500);
    }
}

/* a message that is so small that the socket takes it whole */
static int send_small(int fd, const uint8_t *buf, size_t len,
                      struct colo_error *err)
{
    struct pollfd pfd = { .fd = fd, .events = POLLOUT };
    ssize_t r;

    if (poll(&pfd, 1, HELLO_MS) <= 0)
        return colo__fail(err, COLO_E_PEER, 0, WHERE, "the twin is silent");
    r = send(fd, buf, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (r != (ssize_t)len)
        return colo__fail(err, COLO_E_PEER, r < 0 ? errno : 0, WHERE,
                          "cannot send to the twin");
    return 0;
}

static int recv_hello(struct colo_disk *d, struct colo_dhello *ret,
                      struct colo_error *err)
{
    uint8_t buf[COLO_DWIRE_HEADER + 512];
    struct colo_dmsg msg;
    size_t have = 0, want = COLO_DWIRE_HEADER;
    int64_t used = 0;
    int rc;

    /* not one byte more than hello has */
    while (used == 0) {
        struct pollfd pfd = { .fd = d->stream, .events = POLLIN };
        size_t n;

        if (poll(&pfd, 1, HELLO_MS) <= 0)
            return colo__fail(err, COLO_E_PEER, 0, WHERE,
                              "the twin is silent");
        rc = colo__disk_recv_some(d, buf + have, want - have, &n, err);
        if (rc) return rc;
        have += n;
        used = colo__dwire_peek(buf, have, err);
        if (used > (int64_t)sizeof(buf))
            return colo__fail(err, COLO_E_PROTO, 0, WHERE, "no hello");
        if (used > 0)
            want = (size_t)used;
        if (used >= 0)
            used = colo__dwire_parse(buf, have, 0, &msg, err);
    }
    if (used < 0)
        return (int)used;
    if (msg.type == COLO_DMSG_ERROR)
        return colo__fail(err, COLO_E_PEER_SAID, 0, WHERE,
                          "the twin says: %.*s", (int)msg.len,
                          (const char *)msg.body);
    return colo__dhello_parse(&msg, ret, err);
}

int colo__disk_hello(struct colo_disk *d, int role, struct colo_dhello *ret,
                     struct colo_error *err)
{
    uint8_t buf[COLO_DWIRE_HEADER + COLO_DHELLO_BODY];
    struct colo_dhello hello = {
        .size = colo__backing_size(d->backing), .role = (uint8_t)role,
        .state = (uint8_t)colo__meta_state(d->meta),
        .block = colo__backing_sector(d->backing),
    };
    struct colo_dmsg msg = { .type = COLO_DMSG_HELLO,
                             .len = COLO_DHELLO_BODY, .value = hello.size,
                             .body = buf + COLO_DWIRE_HEADER };
    int rc;

    memcpy(hello.generation, colo__meta_generation(d->meta), 16);
    memcpy(hello.parent, colo__meta_parent(d->meta), 16);
    colo__dhello_build(&hello, buf + COLO_DWIRE_HEADER);
    colo__dwire_build(&msg, buf);
    rc = send_small(d->stream, buf, sizeof(buf), err);
    if (rc) return rc;
    rc = recv_hello(d, ret, err);
    if (rc) return rc;
    return colo__dhello_match(&hello, ret, err);
}

static void queue_lost(void *user, const struct colo_error *err)
{
    colo__disk_lose(user, err);
}

int colo__disk_open_queue(struct colo_disk *d, size_t bytes,
                          struct colo_error *err)
{
    struct colo_sendq *q = NULL;
    int rc = colo__sendq_open(d->stream, bytes, d->config.silent_ms,
                              queue_lost, d, &q, err);

    if (rc) return rc;
    pthread_rwlock_wrlock(&d->queue_gate);
    d->queue = q;
    pthread_rwlock_unlock(&d->queue_gate);
    return 0;
}

void colo__disk_send_error(struct colo_disk *d, const char *text)
{
    struct colo_dmsg msg = { .type = COLO_DMSG_ERROR,
                             .len = (uint32_t)strnlen(text, 200),
                             .body = (const uint8_t *)text };

    (void)colo__disk_send(d, &msg);
}

bool colo__disk_join(pthread_t thread, unsigned ms)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ms / 1000;
    return pthread_timedjoin_np(thread, NULL, &until) == 0;
}

void colo__disk_disconnect(struct colo_disk *d, unsigned ms)
{
    struct colo_sendq *q;

    colo__elog_interrupt(d->log);
    pthread_mutex_lock(&d->lock);
    d->stopping = true;
    pthread_cond_broadcast(&d->cond);
    pthread_mutex_unlock(&d->lock);
    if (d->stream >= 0)
        (void)shutdown(d->stream, SHUT_RDWR);
    /* Whoever waits in put lets go of the gate; then it can be closed.  The
     * receiver opens the queue, so it ends first. */
    pthread_rwlock_rdlock(&d->queue_gate);
    if (d->queue)
        colo__sendq_stop(d->queue);
    pthread_rwlock_unlock(&d->queue_gate);
    if (d->have_receiver && ms)
        d->have_receiver = !colo__disk_join(d->receiver, ms);
    else if (d->have_receiver)
        d->have_receiver = pthread_join(d->receiver, NULL) != 0;
    pthread_rwlock_rdlock(&d->queue_gate);
    if (d->queue)
        colo__sendq_stop(d->queue);
    pthread_rwlock_unlock(&d->queue_gate);
    if (d->have_copier)
        pthread_join(d->copier, NULL);
    d->have_copier = false;
    pthread_rwlock_wrlock(&d->queue_gate);
    q = d->queue;
    d->queue = NULL;
    pthread_rwlock_unlock(&d->queue_gate);
    colo__sendq_close(q);
    if (d->have_receiver)
        return;
    if (d->stream >= 0)
        close(d->stream);
    d->stream = -1;
}
