/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Fragments of IPv4 and IPv6: put together for each side, as each numbers its
 * datagrams as it likes.  The datagram is compared; the primary's fragments
 * go out as they came.  Fragments that overlap, which no honest guest makes,
 * wait for a checkpoint.  A datagram of which a checkpoint has let some go is a
 * part of the state that both have: its rest goes as it comes.
 */
#include <stdlib.h>
#include <string.h>

#include "compare-internal.h"

#define FRAGS_MAX 64      /* datagrams of one side at a time */
#define DATAGRAM_MAX 65535u

static struct cmp_frag **place(struct colo_compare *c, int side,
                               const struct colo_packet *p)
{
    struct cmp_frag **at = &c->frags[side];

    while (*at && ((*at)->id != p->frag_id ||
                   memcmp(&(*at)->key, &p->key, sizeof(p->key)) != 0))
        at = &(*at)->next;
    return at;
}

static void drop(struct colo_compare *c, int side, struct cmp_frag **at)
{
    struct cmp_frag *g = *at;

    *at = g->next;
    c->frag_count[side]--;
    free(g->buf);
    free(g);
}

static struct cmp_frag *get(struct colo_compare *c, int side,
                            const struct cmp_in *in)
{
    struct cmp_frag **at = place(c, side, in->p), *g = *at;

    if (g)
        return g;
    if (c->frag_count[side] == FRAGS_MAX) {
        /* the oldest of all, of the primary only one that holds nothing */
        if (side == PRI && !c->frags[PRI]->gone)
            return NULL;
        drop(c, side, &c->frags[side]);
        at = place(c, side, in->p);
    }
    g = calloc(1, sizeof(*g));
    if (!g)
        return NULL;
    g->key = in->p->key;
    g->id = in->p->frag_id;
    g->since_us = in->now_us;
    *at = g;
    c->frag_count[side]++;
    cmp_due(c, in->now_us + 1000u * (uint64_t)c->set.hold_ms);
    return g;
}

/* 1: new bytes; 0: the same as there were; -1: it cannot be so. */
static int fits(const struct cmp_frag *g, const struct cmp_in *in)
{
    const struct colo_packet *p = in->p;
    uint32_t from = p->frag_at, to = from + (uint32_t)p->len;

    if (!p->len || p->len > DATAGRAM_MAX || to > DATAGRAM_MAX ||
        (p->more && p->len % 8 != 0) || (g->total && to > g->total) ||
        (!p->more && g->total && to != g->total))
        return -1;
    for (unsigned i = 0; i < g->pieces; i++) {
        if (to <= g->piece[i].from || from >= g->piece[i].to) {
            if (!p->more && g->piece[i].to > to)
                return -1;
            continue;
        }
        return from == g->piece[i].from && to == g->piece[i].to &&
               memcmp(g->buf + from, in->base + p->at, p->len) == 0 ? 0 : -1;
    }
    return g->pieces < CMP_PIECES ? 1 : -1;
}

static bool put(struct cmp_frag *g, const struct cmp_in *in)
{
    const struct colo_packet *p = in->p;
    uint32_t to = p->frag_at + (uint32_t)p->len;

    if (to > g->cap) {
        uint8_t *buf = realloc(g->buf, to);

        if (!buf)
            return false;
        g->buf = buf;
        g->cap = to;
    }
    memcpy(g->buf + p->frag_at, in->base + p->at, p->len);
    g->piece[g->pieces].from = p->frag_at;
    g->piece[g->pieces++].to = to;
    g->have += (uint32_t)p->len;
    if (!p->more)
        g->total = to;
    return true;
}

/* The whole of it, as if it had come in one frame. */
static void whole(struct colo_compare *c, int side, struct cmp_frag *g,
                  struct cmp_in *in, struct colo_packet *p)
{
    struct cmp_frag **at = place(c, side, p);

    p->fragment = p->more = false;
    p->at = 0;
    p->len = g->total;
    colo__packet_transport(g->buf, true, p);
    in->base = in->own = g->buf;
    in->parts = g->frames;
    in->frame = NULL;
    g->buf = NULL;
    drop(c, side, at);
}

/* What belongs to the state that both have; with its last bytes it is over, and
 * the number may be another's. */
static int rest_goes(struct colo_compare *c, struct cmp_frag *g,
                     struct cmp_in *in)
{
    const struct colo_packet *p = in->p;

    g->have += (uint32_t)p->len;
    if (!p->more)
        g->total = p->frag_at + (uint32_t)p->len;
    if (g->total && g->have >= g->total)
        drop(c, PRI, place(c, PRI, p));
    return cmp_release(c, in);
}

int cmp_fragment(struct colo_compare *c, int side, struct cmp_in *in,
                 struct colo_packet *p)
{
    struct cmp_frag *g = get(c, side, in);
    struct cmp_frame *h = NULL;
    int fit;

    if (side == PRI && g && g->gone)
        return rest_goes(c, g, in);
    fit = g ? fits(g, in) : -1;
    if (side == PRI) {
        h = cmp_hold_frame(c, in->now_us, in->frame, in->len);
        if (!h) {
            cmp_diverge(c, NULL, "no memory");
            return COLO_E_NOMEM;
        }
    }
    if (fit == 1 && !put(g, in))
        fit = -1;
    if (fit < 0) {
        if (side == PRI || g)
            cmp_diverge(c, NULL, "fragments that cannot be put together");
        return 0;
    }
    if (h) {
        if (g->frames_last)
            g->frames_last->part = h;
        else
            g->frames = h;
        g->frames_last = h;
    }
    if (!g->total || g->have != g->total)
        return 0;
    whole(c, side, g, in, p);
    return 1;
}

void cmp_frags_drop(struct colo_compare *c)
{
    for (int side = PRI; side <= SEC; side++) {
        while (c->frags[side])
            drop(c, side, &c->frags[side]);
    }
}

void cmp_frags_commit(struct colo_compare *c, uint64_t now_us)
{
    while (c->frags[SEC])
        drop(c, SEC, &c->frags[SEC]);
    for (struct cmp_frag *g = c->frags[PRI]; g; g = g->next) {
        if (g->gone)
            continue; /* its time runs already */
        free(g->buf);
        g->buf = NULL;
        g->frames = g->frames_last = NULL;
        g->gone = true;
        g->since_us = now_us;
    }
}

/* Forgotten if it holds no frame.  The primary's frames are looked at where all
 * that is held is. */
void cmp_frags_expire(struct colo_compare *c, uint64_t now_us)
{
    for (int side = PRI; side <= SEC; side++) {
        struct cmp_frag **at = &c->frags[side];

        while (*at) {
            uint64_t due = (*at)->since_us + 1000u * (uint64_t)c->set.hold_ms;

            if (side == PRI && !(*at)->gone) {
                at = &(*at)->next;
            } else if (now_us >= due) {
                drop(c, side, at);
            } else {
                cmp_due(c, due);
                at = &(*at)->next;
            }
        }
    }
}
