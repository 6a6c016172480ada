/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The stream to the twin: a queue out with a limit, a buffer in.  Never
 * waits; whoever owns it polls the descriptor.
 */
#ifndef COLO_NET_TWIN_H
#define COLO_NET_TWIN_H

#include "net.h"
#include "twin-wire.h"

struct net_twin {
    int fd; /* -1: there is none */
    uint8_t *out, *in;
    size_t out_at, out_len, in_at, in_len;
    bool hello;          /* theirs has come */
    uint64_t hello_us;   /* it is awaited since; 0: it is not */
    uint64_t stuck_us;   /* since when the queue does not move; 0: it does */
    char why[96];        /* it has ended: the reason */
};

/* Input of the guest waits above this, output of it is sent on to the limit:
 * what waits there is lost to the comparison, not to the world. */
#define NET_TWIN_FULL (8u << 20)
#define NET_TWIN_MAX (32u << 20)

/* net_twin_open - owns fd, also on failure. */
int net_twin_open(struct net_twin *t, int fd, bool secondary,
                  struct colo_error *err);
void net_twin_close(struct net_twin *t);
/* net_twin_put - false: no room, or no twin. */
bool net_twin_put(struct net_twin *t, uint8_t type, uint64_t epoch,
                  const uint8_t *body, size_t len);
static inline bool net_twin_full(const struct net_twin *t)
{
    return t->out_len > NET_TWIN_FULL;
}
/* net_twin_await - from now on its HELLO has a deadline. */
void net_twin_await(struct net_twin *t, uint64_t now_us);
/* net_twin_flush - send what can be sent; closes it when that fails, or when a
 * deadline has passed. */
void net_twin_flush(struct net_twin *t, uint64_t now_us);
/* net_twin_fill - receive what is there; closes it at its end. */
void net_twin_fill(struct net_twin *t);
/* net_twin_peek - the next message whole in the buffer, 1; or 0. */
int net_twin_peek(struct net_twin *t, bool secondary, struct net_msg *ret);
void net_twin_next(struct net_twin *t, const struct net_msg *msg);

#endif
