/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What becomes of the primary's output, and of the replica's; see serve.h.
 * This is the answer of one who cannot compare: every frame is held until the
 * next checkpoint, which the first one asks for.  Right for any guest, and as
 * slow as mode remus; a comparator puts its better answer here.
 */
#include <stdlib.h>
#include <string.h>

#include "serve.h"

struct held {
    struct held *next;
    uint32_t len;
    uint8_t frame[];
};

struct net_flow {
    struct held *first, **last;
    bool asked; /* once for each epoch */
};

int net_flow_new(struct net *n, struct colo_error *err)
{
    struct net_flow *f = calloc(1, sizeof(*f));

    if (!f)
        return colo__fail(err, COLO_E_NOMEM, ENOMEM, NET_WHERE, "flows");
    f->last = &f->first;
    net_flow_free(n->flow);
    n->flow = f;
    return 0;
}

void net_flow_free(struct net_flow *f)
{
    if (!f)
        return;
    while (f->first) {
        struct held *h = f->first;

        f->first = h->next;
        free(h);
    }
    free(f);
}

void net_flow_output(struct net *n, const uint8_t *frame, size_t len)
{
    struct net_flow *f = n->flow;
    struct held *h = malloc(sizeof(*h) + len);

    if (h) {
        h->next = NULL;
        h->len = (uint32_t)len;
        memcpy(h->frame, frame, len);
        *f->last = h;
        f->last = &h->next;
    }
    if (f->asked)
        return;
    f->asked = true;
    net_diverged(n, h ? "output waits" : "no memory for output");
}

bool net_flow_full(const struct net *n)
{
    (void)n;
    return false;
}

void net_flow_release(struct net *n)
{
    struct net_flow *f = n->flow;

    while (f && f->first) {
        struct held *h = f->first;

        f->first = h->next;
        (void)net_port_to_world(&n->port, h->frame, h->len);
        free(h);
    }
    if (f)
        f->last = &f->first;
}

void net_flow_commit(struct net *n, uint64_t epoch)
{
    (void)epoch;
    net_flow_release(n);
    n->flow->asked = false;
}

void net_flow_input(struct net *n, const uint8_t *frame, size_t len)
{
    (void)n;
    (void)frame;
    (void)len;
}

void net_flow_twin(struct net *n, uint64_t epoch, const uint8_t *frame,
                   size_t len)
{
    (void)n;
    (void)epoch;
    (void)frame;
    (void)len;
}

/* Without comparison the replica answers nobody: what it says is for the
 * twin, which does not heed it, and what it is told is its twin's input. */
bool net_flow_to_guest(struct net *n, uint8_t *frame, size_t len)
{
    (void)n;
    (void)frame;
    (void)len;
    return true;
}

bool net_flow_from_guest(struct net *n, uint8_t *frame, size_t len)
{
    (void)frame;
    (void)len;
    return n->way == NET_ALONE;
}

bool net_flow_note(struct net *n, const uint8_t *body, size_t len)
{
    (void)n;
    (void)body;
    (void)len;
    return false;
}

void net_flow_loaded(struct net *n, uint64_t epoch)
{
    (void)n;
    (void)epoch;
}

void net_flow_alone(struct net *n)
{
    (void)n;
}

size_t net_flow_open(const struct net *n)
{
    (void)n;
    return 0;
}

uint64_t net_flow_tick(struct net *n, uint64_t now_us)
{
    (void)n;
    (void)now_us;
    return COLO_NEVER;
}
