/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The comparator's entry points: what class a frame is of, what is done with
 * that class, epochs, and what has waited too long; see compare.h.
 */
#include <stdlib.h>
#include <string.h>

#include "compare-internal.h"

#define ACK_MS 400 /* a delayed acknowledgement of Linux: 200 */

void colo__compare_defaults(struct colo_compare_settings *s)
{
    memset(s, 0, sizeof(*s));
    s->vnet = 10;
    s->max_flows = 8192;
    s->max_frames = 16384;
    s->max_bytes = 64u << 20;
    s->hold_ms = 3000;
    s->ack_ms = ACK_MS;
    s->idle_s = 3600;
    s->closed_s = 60;
    s->policy[COLO_CLASS_LINK] = COLO_POLICY_PASS;
}

void colo__compare_hold(struct colo_compare_settings *s, uint32_t hold_ms)
{
    s->hold_ms = hold_ms;
    s->ack_ms = hold_ms / 8 > ACK_MS ? hold_ms / 8 : ACK_MS;
}

int colo__compare_new(const struct colo_compare_settings *settings,
                      const struct colo_compare_ops *ops, void *user,
                      struct colo_compare **ret, struct colo_error *err)
{
    struct colo_compare *c = NULL;
    bool bad = (settings->vnet != 0 && settings->vnet != 10) ||
               !settings->max_flows || !settings->max_frames ||
               !settings->hold_ms || !settings->ack_ms;

    for (int i = 0; i < COLO_CLASSES; i++)
        bad |= settings->policy[i] > COLO_POLICY_DROP;
    if (bad)
        return colo__fail(err, COLO_E_INVAL, 0, "compare",
                          "settings that cannot be");
    c = calloc(1, sizeof(*c));
    if (!c || cmp_table_new(&c->table, settings->max_flows,
                            settings->seed)) {
        free(c);
        return colo__fail(err, COLO_E_NOMEM, ENOMEM, "compare",
                          "table of flows");
    }
    c->set = *settings;
    c->ops = *ops;
    c->user = user;
    c->gate = true;
    c->due_us = COLO_NEVER;
    *ret = c;
    return 0;
}

void colo__compare_free(struct colo_compare *c)
{
    static const struct colo_compare_ops nobody;

    if (!c)
        return;
    c->ops = nobody;
    c->gate = false; /* nothing goes out now */
    cmp_flush(c);
    while (c->held) {
        struct cmp_frame *h = c->held;

        c->held = h->next;
        free(h);
    }
    cmp_frags_drop(c);
    cmp_table_free(c);
    free(c);
}

/* ---- frames ------------------------------------------------------------ */

/* What nobody can compare waits for the next checkpoint. */
static int hold_alone(struct colo_compare *c, struct cmp_in *in,
                      const char *reason)
{
    int rc = 0;

    if (!in->parts && !cmp_hold_frame(c, in->now_us, in->frame, in->len))
        rc = COLO_E_NOMEM;
    cmp_diverge(c, NULL, reason);
    free(in->own);
    in->own = NULL;
    return rc;
}

int colo__compare_primary(struct colo_compare *c, uint64_t now_us,
                          uint8_t *frame, size_t len)
{
    struct colo_packet p;
    struct cmp_in in = { .now_us = now_us, .p = &p, .base = frame,
                         .frame = frame, .len = len };
    struct cmp_flow *f;
    int r;

    c->counts.primary++;
    if (c->alone || !colo__packet_parse(frame, len, c->set.vnet, true, &p)) {
        return cmp_release(c, &in);
    }
    if (p.fragment) {
        r = cmp_fragment(c, PRI, &in, &p);
        if (r <= 0)
            return r;
    }
    if (c->set.policy[p.cls] == COLO_POLICY_PASS) {
        return cmp_release(c, &in);
    }
    if (c->set.policy[p.cls] == COLO_POLICY_DROP) {
        cmp_discard(c, &in);
        return 0;
    }
    f = cmp_flow_get(c, now_us, &p);
    if (!f)
        return hold_alone(c, &in, "as many flows as may be");
    return f->tcp ? cmp_tcp_primary(c, f, &in) :
                    cmp_datagram_primary(c, f, &in);
}

void colo__compare_secondary(struct colo_compare *c, uint64_t now_us,
                             uint64_t epoch, const uint8_t *frame,
                             size_t len)
{
    struct colo_packet p;
    struct cmp_in in = { .now_us = now_us, .p = &p, .base = frame,
                         .len = len };
    struct cmp_flow *f;

    c->counts.secondary++;
    if (epoch != c->epoch) {
        c->counts.old_epoch++;
        return;
    }
    if (c->alone || !colo__packet_parse(frame, len, c->set.vnet, true, &p))
        return;
    if (p.fragment && cmp_fragment(c, SEC, &in, &p) <= 0)
        return;
    if (c->set.policy[p.cls] == COLO_POLICY_COMPARE) {
        f = cmp_flow_get(c, now_us, &p);
        if (!f)
            cmp_diverge(c, NULL, "as many flows as may be");
        else if (f->tcp)
            cmp_tcp_secondary(c, f, &in);
        else
            cmp_datagram_secondary(c, f, &in);
    }
    free(in.own);
}

void colo__compare_input(struct colo_compare *c, uint64_t now_us,
                         const uint8_t *frame, size_t len)
{
    struct colo_packet p;
    struct cmp_flow *f;

    if (c->alone || !colo__packet_parse(frame, len, c->set.vnet, false, &p) ||
        p.cls != COLO_CLASS_TCP)
        return;
    f = cmp_flow_find(&c->table, &p.key);
    if (f && f->tcp) {
        f->seen_us = now_us;
        cmp_tcp_input(f, &p);
    }
}

/* ---- epochs ------------------------------------------------------------ */

static void flush(struct colo_compare *c)
{
    cmp_flush(c);
    c->full = c->asked = false;
}

void colo__compare_commit(struct colo_compare *c, uint64_t now_us,
                          uint64_t epoch)
{
    cmp_frags_commit(c, now_us);
    flush(c);
    for (struct cmp_flow *f = c->table.oldest; f; f = f->newer)
        cmp_tcp_commit(c, f, now_us);
    c->epoch = epoch;
    c->due_us = c->table.count ?
                now_us + 1000000u * (uint64_t)c->set.closed_s : COLO_NEVER;
    cmp_frags_expire(c, now_us); /* when it is to be done again */
}

void colo__compare_alone(struct colo_compare *c, uint64_t now_us)
{
    cmp_frags_drop(c);
    flush(c);
    c->alone = true;
    while (c->table.oldest) {
        cmp_window_settle(c, c->table.oldest, now_us);
        cmp_flow_forget(c, c->table.oldest);
    }
    c->due_us = COLO_NEVER;
}

void colo__compare_gate(struct colo_compare *c, bool open)
{
    c->gate = open;
    if (open)
        cmp_gate_opened(c);
}

void colo__compare_told(struct colo_compare *c, uint64_t now_us,
                        uint32_t number)
{
    if (seq_lt(c->notes, number) || seq_le(number, c->told))
        return; /* nobody said that, or it is old */
    c->told = number;
    cmp_tcp_told(c, now_us);
}

bool colo__compare_full(const struct colo_compare *c)
{
    return c->full;
}

/* ---- time -------------------------------------------------------------- */

/* since and for how long; true: too long */
static bool overdue(struct colo_compare *c, uint64_t now_us, uint64_t since,
                    uint32_t ms)
{
    uint64_t due = since + 1000u * (uint64_t)ms;

    if (now_us >= due)
        return true;
    cmp_due(c, due);
    return false;
}

/* An acknowledgement of the secondary's is missing for long if those that come
 * do not get nearer; one that is slow has as much time as everything else. */
static bool unit_overdue(struct colo_compare *c, uint64_t now_us,
                         const struct cmp_unit *u)
{
    uint64_t since = u->since_us;

    if (overdue(c, now_us, since, c->set.hold_ms))
        return true;
    if (u->waits_ack && u->flow->moved_us > since)
        since = u->flow->moved_us;
    return u->waits_ack && overdue(c, now_us, since, c->set.ack_ms);
}

static void look_at_held(struct colo_compare *c, uint64_t now_us)
{
    for (struct cmp_frame *h = c->held; h && !c->asked; h = h->next) {
        struct cmp_unit *u = h->unit;

        /* Of a connection that the world has reset, nobody may say more; but
         * the guest's own reset has still to go out. */
        if (h->ready || (u && u->flow->reset && !u->flow->side[PRI].rsts))
            continue;
        if (!u) {
            if (overdue(c, now_us, h->since_us, c->set.hold_ms))
                cmp_diverge(c, NULL, "a fragment without the others");
        } else if (unit_overdue(c, now_us, u)) {
            cmp_diverge(c, u->flow, u->waits_ack ?
                        "TCP: the secondary has not acknowledged" :
                        "the secondary has not said it");
        }
    }
}

static void look_at_secondary(struct colo_compare *c, uint64_t now_us)
{
    for (struct cmp_flow *f = c->table.oldest; f && !c->asked; f = f->newer) {
        const struct cmp_chunk *k = f->tcp ? f->side[SEC].chunks :
                                             f->sec_first;

        if (f->reset)
            continue;
        if ((k && overdue(c, now_us, k->since_us, c->set.hold_ms)) ||
            (f->waits_us &&
             overdue(c, now_us, f->waits_us, c->set.hold_ms)))
            cmp_diverge(c, f, "the primary has not said it");
    }
}

uint64_t colo__compare_tick(struct colo_compare *c, uint64_t now_us)
{
    if (now_us < c->due_us)
        return c->due_us;
    c->due_us = COLO_NEVER;
    cmp_flows_expire(c, now_us);
    cmp_frags_expire(c, now_us);
    if (!c->asked)
        look_at_held(c, now_us);
    if (!c->asked)
        look_at_secondary(c, now_us);
    if (c->table.count)
        cmp_due(c, now_us + 500000u * (uint64_t)(c->set.closed_s + 1));
    return c->due_us;
}

void colo__compare_counts(const struct colo_compare *c,
                          struct colo_compare_counts *ret)
{
    *ret = c->counts;
    ret->flows = c->table.count;
}

void colo__compare_where(const struct colo_compare *c,
                         struct colo_compare_where *ret)
{
    *ret = c->where;
}
