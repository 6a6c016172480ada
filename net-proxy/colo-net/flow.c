/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Between frames that move and those who judge them: the comparator on the
 * primary, the rewriter on the secondary (../compare); see serve.h.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "serve.h"

#define TICK_US 1500000u

struct net_flow {
    struct colo_compare *compare; /* primary */
    struct colo_rewrite *rewrite; /* secondary */
    uint64_t no_memory;           /* frames lost so */
    uint64_t due_us;              /* before, the rewriter forgets nothing */
    bool note_lost;               /* of this epoch: no "all up to" is true */
};

/* ---- what the comparator decides --------------------------------------- */

static void release(void *user, const uint8_t *frame, size_t len)
{
    struct net *n = user;

    (void)net_port_to_world(&n->port, frame, len);
}

static void note(void *user, const uint8_t text[COLO_NOTE_BYTES])
{
    struct net *n = user;

    /* without it the replica would not understand its clients */
    if (!net_twin_put(&n->twin, NET_MSG_NOTE, n->committed, text,
                      COLO_NOTE_BYTES))
        net_diverged(n, "the queue to the twin is full");
}

/* Which client it was: whoever asks why there are so many checkpoints begins
 * there. */
static void diverged(void *user, const char *reason)
{
    struct net *n = user;
    struct colo_compare_where w;
    char text[160], peer[INET6_ADDRSTRLEN] = "?";

    colo__compare_where(n->flow->compare, &w);
    if (!w.has_flow || !w.flow.family) {
        net_diverged(n, reason);
        return;
    }
    (void)inet_ntop(w.flow.family == 6 ? AF_INET6 : AF_INET, w.flow.peer, peer,
                    sizeof(peer));
    snprintf(text, sizeof(text), "%.80s (port %u, client %s port %u)", reason,
             w.flow.guest_port, peer, w.flow.peer_port);
    net_diverged(n, text);
}

static const struct colo_compare_ops ops = {
    .release = release, .note = note, .diverged = diverged,
};

/* ---- both -------------------------------------------------------------- */

static uint64_t random_seed(void)
{
    uint64_t seed;

    /* without one an attacker could choose flows that meet in the table, which
     * makes us slow, not wrong */
    return getrandom(&seed, sizeof(seed), GRND_NONBLOCK) == sizeof(seed) ?
           seed : net_now_us();
}

int net_flow_new(struct net *n, struct colo_error *err)
{
    struct colo_compare_settings cs;
    struct colo_rewrite_settings rs;
    struct net_flow *f = calloc(1, sizeof(*f));
    int rc;

    if (!f)
        return colo__fail(err, COLO_E_NOMEM, ENOMEM, NET_WHERE, "flows");
    if (n->options->secondary) {
        colo__rewrite_defaults(&rs);
        rs.vnet = NET_VNET;
        rs.seed = random_seed();
        if (n->options->linger_s)
            rs.closed_s = n->options->linger_s;
        rc = colo__rewrite_new(&rs, &f->rewrite, err);
    } else {
        colo__compare_defaults(&cs);
        cs.vnet = NET_VNET;
        cs.seed = random_seed();
        if (n->options->hold_ms)
            colo__compare_hold(&cs, n->options->hold_ms);
        for (int i = 0; i < COLO_CLASSES; i++)
            if (n->options->policy[i])
                cs.policy[i] = (uint8_t)(n->options->policy[i] - 1);
        rc = colo__compare_new(&cs, &ops, n, &f->compare, err);
    }
    if (rc) {
        free(f);
        return rc;
    }
    net_flow_free(n->flow);
    n->flow = f;
    return 0;
}

static void say_counts(const struct net_flow *f)
{
    struct colo_compare_counts c;

    colo__compare_counts(f->compare, &c);
    net_say("compared %" PRIu64 " frames with %" PRIu64 ": %" PRIu64
            " released, %" PRIu64 " of them at once; %" PRIu64
            " divergences; windows made smaller %" PRIu64 ", told later %"
            PRIu64, c.primary, c.secondary, c.released, c.at_once,
            c.divergences, c.limited, c.made);
    if (f->no_memory)
        net_say("%" PRIu64 " frames of the guest lost: no memory",
                f->no_memory);
}

void net_flow_free(struct net_flow *f)
{
    if (!f)
        return;
    if (f->compare)
        say_counts(f);
    colo__compare_free(f->compare);
    colo__rewrite_free(f->rewrite);
    free(f);
}

uint64_t net_flow_tick(struct net *n, uint64_t now_us)
{
    struct net_flow *f = n->flow;

    if (f && f->compare && n->way == NET_COMPARE)
        return colo__compare_tick(f->compare, now_us);
    if (!f || !f->rewrite)
        return COLO_NEVER;
    /* It looks at all connections: not with every frame, and often enough for
     * one whose time is over. */
    if (now_us >= f->due_us) {
        f->due_us = colo__rewrite_tick(f->rewrite, now_us);
        if (f->due_us != COLO_NEVER && f->due_us > now_us + TICK_US)
            f->due_us = now_us + TICK_US;
    }
    return f->due_us;
}

/* ---- primary ----------------------------------------------------------- */

void net_flow_output(struct net *n, uint8_t *frame, size_t len)
{
    /* Out of memory is the one way to lose a frame here, as a network loses
     * some: it must not go out, and cannot wait. */
    if (colo__compare_primary(n->flow->compare, net_now_us(), frame, len))
        n->flow->no_memory++;
}

bool net_flow_full(const struct net *n)
{
    return n->way == NET_COMPARE && colo__compare_full(n->flow->compare);
}

void net_flow_input(struct net *n, const uint8_t *frame, size_t len)
{
    colo__compare_input(n->flow->compare, net_now_us(), frame, len);
}

void net_flow_twin(struct net *n, uint64_t epoch, const uint8_t *frame,
                   size_t len)
{
    colo__compare_secondary(n->flow->compare, net_now_us(), epoch, frame,
                            len);
}

void net_flow_told(struct net *n, const uint8_t number[4])
{
    uint32_t be;

    memcpy(&be, number, sizeof(be));
    colo__compare_told(n->flow->compare, net_now_us(), be32toh(be));
}

void net_flow_commit(struct net *n, uint64_t epoch)
{
    colo__compare_commit(n->flow->compare, net_now_us(), epoch);
}

void net_flow_release(struct net *n)
{
    if (!n->flow || !n->flow->compare)
        return;
    colo__compare_alone(n->flow->compare, net_now_us());
    colo__compare_gate(n->flow->compare, true); /* last: in their order */
}

void net_flow_shut(struct net *n)
{
    if (n->flow && n->flow->compare)
        colo__compare_gate(n->flow->compare, false);
}

/* ---- secondary --------------------------------------------------------- */

bool net_flow_to_guest(struct net *n, uint8_t *frame, size_t len)
{
    return !n->flow ||
        colo__rewrite_to_guest(n->flow->rewrite, net_now_us(), frame, len);
}

bool net_flow_from_guest(struct net *n, uint8_t *frame, size_t len)
{
    return !n->flow ||
        colo__rewrite_from_guest(n->flow->rewrite, net_now_us(), frame, len);
}

bool net_flow_note(struct net *n, const uint8_t *body, size_t len)
{
    uint32_t number, be;

    if (!colo__rewrite_note(n->flow->rewrite, net_now_us(), body, len,
                            &number)) {
        /* from here on every new connection waits for a checkpoint */
        if (!n->flow->note_lost)
            net_diverged(n, "no room for one more connection");
        n->flow->note_lost = true;
        return false;
    }
    if (n->flow->due_us == COLO_NEVER)
        n->flow->due_us = 0;
    /* That would mean the lost one as well, and its SYN go out.  All of them
     * wait, until a checkpoint. */
    if (n->flow->note_lost)
        return true;
    be = htobe32(number);
    return net_twin_put(&n->twin, NET_MSG_TOLD, n->committed,
                        (const uint8_t *)&be, sizeof(be));
}

void net_flow_loaded(struct net *n, uint64_t epoch)
{
    (void)epoch;
    n->flow->note_lost = false;
    colo__rewrite_loaded(n->flow->rewrite);
}

void net_flow_alone(struct net *n)
{
    if (n->flow)
        colo__rewrite_alone(n->flow->rewrite);
}

size_t net_flow_open(const struct net *n)
{
    return n->flow && n->flow->rewrite ?
        colo__rewrite_open(n->flow->rewrite) : 0;
}
