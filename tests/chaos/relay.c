/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The two links of a run go through this relay, which can do to them what
 * networks do.  A lane is one direction of one link.  One thread moves the
 * bytes; the others ask for faults under the lock.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "chaos.h"

#define LANES 4
#define ROOM 65536

struct lane {
    uint32_t which; /* RELAY_*: link | direction */
    int from, to;   /* places in fds */
    bool drop, stall, over;
    uint32_t delay_ms;
    uint64_t ready_us;  /* what is in buf may go on then */
    uint64_t flip;      /* 0: no; else which bit of the next piece */
    size_t at, len;
    uint8_t buf[ROOM];
};

struct relay {
    pthread_t thread;
    pthread_mutex_t lock; /* all below */
    int fds[4];           /* [link * 2 + side], -1 closed */
    int wake;
    bool quit, keep_open;
    const _Atomic uint32_t *down; /* the primary's host is dead */
    struct lane lanes[LANES];
};

static uint64_t now_us(void)
{
    return colo__now_us(&colo__clock_monotonic);
}

static void close_link(struct relay *r, int link)
{
    for (int side = 0; side < 2; side++) {
        if (r->fds[link * 2 + side] >= 0)
            close(r->fds[link * 2 + side]);
        r->fds[link * 2 + side] = -1;
    }
}

/* The end of one side's stream. */
static void side_over(struct relay *r, struct lane *l)
{
    l->over = true;
    if (!r->keep_open && !l->drop)
        close_link(r, l->from / 2);
}

/* What a dead host had not yet sent, it will never send. */
static bool host_down(struct relay *r, const struct lane *l)
{
    return l->which & RELAY_OUT && atomic_load(r->down);
}

static void lane_read(struct relay *r, struct lane *l)
{
    ssize_t n = recv(r->fds[l->from], l->buf, ROOM, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        side_over(r, l);
        return;
    }
    if (l->drop || host_down(r, l))
        return;
    if (l->flip) {
        l->buf[l->flip / 8 % (uint64_t)n] ^= (uint8_t)(1u << l->flip % 8);
        l->flip = 0;
    }
    l->at = 0;
    l->len = (size_t)n;
    l->ready_us = now_us() + l->delay_ms * UINT64_C(1000);
}

static void lane_write(struct relay *r, struct lane *l)
{
    ssize_t n;

    if (l->drop) {
        l->len = l->at = 0;
        return;
    }
    n = send(r->fds[l->to], l->buf + l->at, l->len - l->at,
             MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0)
        l->at += (size_t)n;
    else if (n < 0 && errno != EAGAIN && errno != EINTR)
        l->len = l->at = 0; /* nobody takes it any more */
    if (l->at == l->len)
        l->len = l->at = 0;
}

/* What to poll for; *timeout_ms is made shorter for a delayed piece. */
static void lane_wants(struct relay *r, struct lane *l, struct pollfd *pfds,
                       int *timeout_ms)
{
    uint64_t now = now_us();

    if (l->over || l->stall || r->fds[l->from] < 0 || r->fds[l->to] < 0)
        return;
    if (!l->len)
        pfds[l->from].events |= POLLIN;
    else if (l->ready_us <= now)
        pfds[l->to].events |= POLLOUT;
    else if ((l->ready_us - now) / 1000 + 1 < (uint64_t)*timeout_ms)
        *timeout_ms = (int)((l->ready_us - now) / 1000 + 1);
}

static void move(struct relay *r, const struct pollfd *pfds)
{
    for (int i = 0; i < LANES; i++) {
        struct lane *l = &r->lanes[i];

        if (l->over || l->stall || r->fds[l->from] < 0 || r->fds[l->to] < 0)
            continue;
        if (!l->len && pfds[l->from].revents)
            lane_read(r, l);
        if (l->len && l->ready_us <= now_us())
            lane_write(r, l);
    }
}

static void *relay_main(void *arg)
{
    struct relay *r = arg;

    for (;;) {
        struct pollfd pfds[5];
        int timeout = 100;
        uint64_t count;

        pthread_mutex_lock(&r->lock);
        if (r->quit)
            break;
        for (int i = 0; i < 4; i++)
            pfds[i] = (struct pollfd){ .fd = r->fds[i] };
        for (int i = 0; i < LANES; i++)
            lane_wants(r, &r->lanes[i], pfds, &timeout);
        /* no wish: not even a hangup, which would come again and again */
        for (int i = 0; i < 4; i++)
            if (!pfds[i].events)
                pfds[i].fd = -1;
        pthread_mutex_unlock(&r->lock);
        pfds[4] = (struct pollfd){ .fd = r->wake, .events = POLLIN };
        if (poll(pfds, 5, timeout) < 0)
            continue;
        if (pfds[4].revents)
            (void)!read(r->wake, &count, sizeof(count));
        pthread_mutex_lock(&r->lock);
        move(r, pfds);
        pthread_mutex_unlock(&r->lock);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

struct relay *relay_start(const int fds[2][2], const _Atomic uint32_t *down)
{
    struct relay *r = calloc(1, sizeof(*r));

    if (!r)
        return NULL;
    pthread_mutex_init(&r->lock, NULL);
    r->down = down;
    r->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    for (int i = 0; i < 4; i++)
        r->fds[i] = fds[i / 2][i % 2];
    for (int i = 0; i < LANES; i++) {
        int link = i / 2, from = i % 2;

        r->lanes[i].which = (link ? RELAY_BULK : RELAY_CONTROL) |
                            (from ? RELAY_BACK : RELAY_OUT);
        r->lanes[i].from = link * 2 + from;
        r->lanes[i].to = link * 2 + !from;
    }
    if (pthread_create(&r->thread, NULL, relay_main, r)) {
        free(r);
        return NULL;
    }
    return r;
}

static void wake(struct relay *r)
{
    uint64_t one = 1;

    (void)!write(r->wake, &one, sizeof(one));
}

void relay_stop(struct relay *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->quit = true;
    pthread_mutex_unlock(&r->lock);
    wake(r);
    pthread_join(r->thread, NULL);
    close_link(r, 0);
    close_link(r, 1);
    close(r->wake);
    free(r);
}

static bool meant(const struct lane *l, uint32_t which)
{
    return (l->which & which) == l->which;
}

void relay_cut(struct relay *r, uint32_t which)
{
    pthread_mutex_lock(&r->lock);
    if (which & RELAY_CONTROL)
        close_link(r, 0);
    if (which & RELAY_BULK)
        close_link(r, 1);
    pthread_mutex_unlock(&r->lock);
    wake(r);
}

void relay_drop(struct relay *r, uint32_t which)
{
    pthread_mutex_lock(&r->lock);
    for (int i = 0; i < LANES; i++)
        r->lanes[i].drop |= meant(&r->lanes[i], which);
    pthread_mutex_unlock(&r->lock);
    wake(r);
}

void relay_stall(struct relay *r, uint32_t which)
{
    pthread_mutex_lock(&r->lock);
    for (int i = 0; i < LANES; i++)
        r->lanes[i].stall |= meant(&r->lanes[i], which);
    pthread_mutex_unlock(&r->lock);
    wake(r);
}

void relay_delay(struct relay *r, uint32_t which, uint32_t ms)
{
    pthread_mutex_lock(&r->lock);
    for (int i = 0; i < LANES; i++)
        if (meant(&r->lanes[i], which))
            r->lanes[i].delay_ms = ms;
    pthread_mutex_unlock(&r->lock);
}

void relay_flip(struct relay *r, uint32_t which, uint64_t salt)
{
    pthread_mutex_lock(&r->lock);
    for (int i = 0; i < LANES; i++)
        if (meant(&r->lanes[i], which))
            r->lanes[i].flip = salt | 1;
    pthread_mutex_unlock(&r->lock);
}

void relay_keep_open(struct relay *r)
{
    pthread_mutex_lock(&r->lock);
    r->keep_open = true;
    pthread_mutex_unlock(&r->lock);
}
