/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What is held: frames of the primary in the order they came, units made of
 * them, copies of what the secondary said, and how much all of it is.  A
 * frame of the primary leaves this list by going out and no other way, but
 * for the policy that nobody's goes.
 */
#include <stdlib.h>
#include <string.h>

#include "compare-internal.h"

bool cmp_take(struct colo_compare *c, size_t bytes)
{
    if (c->counts.held_bytes + bytes > c->set.max_bytes ||
        c->counts.held_frames >= c->set.max_frames)
        c->full = true;
    c->counts.held_bytes += bytes;
    c->counts.held_frames++;
    return !c->full;
}

void cmp_give(struct colo_compare *c, size_t bytes)
{
    c->counts.held_bytes -= bytes;
    c->counts.held_frames--;
}

void cmp_due(struct colo_compare *c, uint64_t at_us)
{
    if (at_us < c->due_us)
        c->due_us = at_us;
}

static void say_where(struct colo_compare *c, const struct cmp_flow *f)
{
    memset(&c->where, 0, sizeof(c->where));
    if (!f)
        return;
    c->where.has_flow = true;
    c->where.flow = f->key;
    c->where.has_stream = f->tcp && f->known;
    c->where.seq = f->cursor;
    c->where.from_start = f->synced;
    c->where.offset = f->cursor - (f->side[PRI].isn + 1);
}

void cmp_diverge(struct colo_compare *c, struct cmp_flow *f,
                 const char *reason)
{
    if (f && f->diverged)
        return;
    if (f) {
        f->diverged = true;
        cmp_flow_drop_secondary(c, f);
    }
    c->counts.divergences++;
    if (c->asked)
        return;
    c->asked = true;
    say_where(c, f);
    c->ops.diverged(c->user, reason);
}

/* ---- of the secondary -------------------------------------------------- */

struct cmp_chunk *cmp_chunk_new(struct colo_compare *c, uint64_t now_us,
                                const uint8_t *data, size_t len)
{
    struct cmp_chunk *k = NULL;

    if (cmp_take(c, sizeof(*k) + len))
        k = malloc(sizeof(*k) + len);
    if (!k) {
        cmp_give(c, sizeof(*k) + len);
        return NULL;
    }
    memset(k, 0, sizeof(*k));
    memcpy(k->own, data, len);
    k->data = k->own;
    k->since_us = now_us;
    cmp_due(c, now_us + 1000u * (uint64_t)c->set.hold_ms);
    k->end = (uint32_t)len; /* seq is the caller's to add */
    return k;
}

void cmp_chunk_free(struct colo_compare *c, struct cmp_chunk *k)
{
    cmp_give(c, sizeof(*k) + (k->end - k->seq));
    free(k);
}

/* ---- frames ------------------------------------------------------------ */

struct cmp_frame *cmp_hold_frame(struct colo_compare *c, uint64_t now_us,
                                 const uint8_t *frame, size_t len)
{
    struct cmp_frame *h = malloc(sizeof(*h) + len);

    if (!h)
        return NULL;
    memset(h, 0, sizeof(*h));
    memcpy(h->data, frame, len);
    h->len = len;
    h->since_us = now_us;
    cmp_due(c, now_us + 1000u * (uint64_t)(c->set.ack_ms < c->set.hold_ms ?
                                           c->set.ack_ms : c->set.hold_ms));
    h->prev = c->held_last;
    if (c->held_last)
        c->held_last->next = h;
    else
        c->held = h;
    c->held_last = h;
    if (!cmp_take(c, sizeof(*h) + len))
        cmp_diverge(c, NULL, "as much is held as may be");
    return h;
}

static void frame_free(struct colo_compare *c, struct cmp_frame *h)
{
    if (h->prev)
        h->prev->next = h->next;
    else
        c->held = h->next;
    if (h->next)
        h->next->prev = h->prev;
    else
        c->held_last = h->prev;
    cmp_give(c, sizeof(*h) + h->len);
    free(h);
}

static void frame_out(struct colo_compare *c, struct cmp_frame *h)
{
    c->counts.released++;
    c->ops.release(c->user, h->data, h->len);
    frame_free(c, h);
}

void cmp_ready_frames(struct colo_compare *c, struct cmp_frame *parts)
{
    while (parts) {
        struct cmp_frame *h = parts;

        parts = h->part;
        h->part = NULL;
        h->unit = NULL;
        h->ready = true;
        if (c->gate)
            frame_out(c, h);
    }
}

void cmp_gate_opened(struct colo_compare *c)
{
    struct cmp_frame *next;

    for (struct cmp_frame *h = c->held; h; h = next) {
        next = h->next;
        if (h->ready)
            frame_out(c, h);
    }
}

int cmp_release(struct colo_compare *c, struct cmp_in *in)
{
    struct cmp_frame *h;

    if (in->parts) {
        cmp_ready_frames(c, in->parts);
        free(in->own);
        in->parts = NULL;
        in->own = NULL;
        return 0;
    }
    if (c->gate) {
        c->counts.released++;
        c->counts.at_once++;
        c->ops.release(c->user, in->frame, in->len);
        return 0;
    }
    h = cmp_hold_frame(c, in->now_us, in->frame, in->len);
    if (!h) {
        cmp_diverge(c, NULL, "no memory");
        return COLO_E_NOMEM;
    }
    h->ready = true;
    return 0;
}

void cmp_discard(struct colo_compare *c, struct cmp_in *in)
{
    while (in->parts) {
        struct cmp_frame *h = in->parts;

        in->parts = h->part;
        frame_free(c, h);
    }
    free(in->own);
    in->own = NULL;
}

/* ---- units ------------------------------------------------------------- */

struct cmp_unit *cmp_hold(struct colo_compare *c, struct cmp_flow *f,
                          struct cmp_in *in, const struct cmp_unit *from)
{
    struct cmp_unit *u = malloc(sizeof(*u));
    struct cmp_frame *h = in->parts;

    if (u && !h)
        h = cmp_hold_frame(c, in->now_us, in->frame, in->len);
    if (!u || !h) {
        free(u);
        return NULL;
    }
    *u = *from;
    u->flow = f;
    u->since_us = in->now_us;
    u->frames = h;
    u->own = in->own;
    if (!in->parts) /* the body is in our copy now */
        u->body = h->data + (from->body - in->frame);
    in->parts = NULL;
    in->own = NULL;
    for (; h; h = h->part)
        h->unit = u;
    u->next = NULL;
    u->prev = f->last;
    if (f->last)
        f->last->next = u;
    else
        f->first = u;
    f->last = u;
    return u;
}

int cmp_not_held(struct colo_compare *c, struct cmp_flow *f,
                 struct cmp_in *in)
{
    cmp_diverge(c, f, "no memory");
    free(in->own);
    in->own = NULL;
    return in->parts ? 0 : COLO_E_NOMEM;
}

static void unit_unlink(struct cmp_flow *f, struct cmp_unit *u)
{
    if (u->prev)
        u->prev->next = u->next;
    else
        f->first = u->next;
    if (u->next)
        u->next->prev = u->prev;
    else
        f->last = u->prev;
}

void cmp_release_unit(struct colo_compare *c, struct cmp_flow *f,
                      struct cmp_unit *u)
{
    unit_unlink(f, u);
    cmp_chunk_unlink(&f->side[PRI], &u->chunk);
    cmp_ready_frames(c, u->frames);
    free(u->own);
    free(u);
}

void cmp_flush(struct colo_compare *c)
{
    struct cmp_frame *next;

    /* The units first, as their frames go in the order of all. */
    for (struct cmp_flow *f = c->table.oldest; f; f = f->newer) {
        f->side[PRI].chunks = NULL; /* they are in the units */
        while (f->first) {
            struct cmp_unit *u = f->first;

            cmp_window_flushed(f, u);
            unit_unlink(f, u);
            free(u->own);
            free(u);
        }
    }
    for (struct cmp_frame *h = c->held; h; h = next) {
        next = h->next;
        h->unit = NULL;
        h->part = NULL;
        h->ready = true;
        if (c->gate)
            frame_out(c, h);
    }
}
