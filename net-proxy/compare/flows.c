/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The table of flows: bounded, and the one at rest for the longest goes first.
 * Forgetting a flow is never wrong, only dear: it is taken up again in the
 * middle, with no difference, and if there was one a checkpoint follows.
 */
#include <stdlib.h>
#include <string.h>

#include "compare-internal.h"

#define LOOK 64 /* flows looked at for one to forget */

uint64_t colo__flow_hash(const struct colo_flow_key *key, uint64_t seed)
{
    uint8_t bytes[48] = { 0 };
    uint64_t h = seed ^ 0x9e3779b97f4a7c15u, w;

    memcpy(bytes, key, sizeof(*key));
    for (size_t i = 0; i < sizeof(bytes); i += 8) {
        memcpy(&w, bytes + i, 8);
        h = (h ^ w) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    return h;
}

int cmp_table_new(struct cmp_table *t, uint32_t max, uint64_t seed)
{
    uint32_t n = 64;

    while (n < max && n < 1u << 24)
        n *= 2;
    t->bucket = calloc(n, sizeof(*t->bucket));
    if (!t->bucket)
        return COLO_E_NOMEM;
    t->buckets = n;
    t->max = max;
    t->seed = seed;
    return 0;
}

static struct cmp_flow **place(struct cmp_table *t,
                               const struct colo_flow_key *key)
{
    struct cmp_flow **at =
        &t->bucket[colo__flow_hash(key, t->seed) & (t->buckets - 1)];

    while (*at && memcmp(&(*at)->key, key, sizeof(*key)) != 0)
        at = &(*at)->chain;
    return at;
}

struct cmp_flow *cmp_flow_find(struct cmp_table *t,
                               const struct colo_flow_key *key)
{
    return *place(t, key);
}

static void by_age_remove(struct cmp_table *t, struct cmp_flow *f)
{
    if (f->older)
        f->older->newer = f->newer;
    else
        t->oldest = f->newer;
    if (f->newer)
        f->newer->older = f->older;
    else
        t->newest = f->older;
}

static void by_age_append(struct cmp_table *t, struct cmp_flow *f)
{
    f->newer = NULL;
    f->older = t->newest;
    if (t->newest)
        t->newest->newer = f;
    else
        t->oldest = f;
    t->newest = f;
}

void cmp_flow_drop_secondary(struct colo_compare *c, struct cmp_flow *f)
{
    while (f->side[SEC].chunks) {
        struct cmp_chunk *k = f->side[SEC].chunks;

        f->side[SEC].chunks = k->next;
        cmp_chunk_free(c, k);
    }
    while (f->sec_first) {
        struct cmp_chunk *k = f->sec_first;

        f->sec_first = k->next;
        cmp_chunk_free(c, k);
    }
    f->sec_last = NULL;
    f->waits_us = 0;
}

void cmp_flow_forget(struct colo_compare *c, struct cmp_flow *f)
{
    struct cmp_flow **at = place(&c->table, &f->key);

    cmp_flow_drop_secondary(c, f);
    cmp_past_drop(c, f);
    cmp_window_drop(f);
    *at = f->chain;
    by_age_remove(&c->table, f);
    c->table.count--;
    free(f);
}

static bool idle(const struct cmp_flow *f)
{
    return !f->first && !f->side[SEC].chunks && !f->sec_first &&
           !f->waits_us && !f->diverged;
}

static bool closed(const struct cmp_flow *f)
{
    return f->reset || (f->peer_fin && f->known && f->side[PRI].fin &&
                        seq_lt(f->side[PRI].fin_at, f->cursor));
}

/* Room for one more. */
static bool make_room(struct colo_compare *c)
{
    struct cmp_flow *f = c->table.oldest, *second = NULL;

    for (int i = 0; f && i < LOOK; i++, f = f->newer) {
        if (!idle(f))
            continue;
        if (!f->tcp || closed(f) || (!f->delta && !f->ts_delta)) {
            cmp_flow_forget(c, f);
            return true;
        }
        if (!second)
            second = f;
    }
    if (second)
        cmp_flow_forget(c, second);
    return second != NULL;
}

struct cmp_flow *cmp_flow_get(struct colo_compare *c, uint64_t now_us,
                              const struct colo_packet *p)
{
    struct cmp_table *t = &c->table;
    struct cmp_flow *f = cmp_flow_find(t, &p->key), **at;

    if (f) {
        f->seen_us = now_us;
        if (t->newest != f) {
            by_age_remove(t, f);
            by_age_append(t, f);
        }
        return f;
    }
    if (t->count >= t->max && !make_room(c))
        return NULL;
    f = calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    f->key = p->key;
    f->seen_us = now_us;
    f->tcp = p->cls == COLO_CLASS_TCP;
    at = place(t, &p->key);
    *at = f;
    by_age_append(t, f);
    t->count++;
    cmp_due(c, now_us + 1000000u * (uint64_t)c->set.closed_s);
    return f;
}

void cmp_flows_expire(struct colo_compare *c, uint64_t now_us)
{
    struct cmp_flow *f = c->table.oldest, *newer;

    for (; f; f = newer) {
        uint64_t rest = now_us - f->seen_us;

        newer = f->newer;
        if (idle(f) && rest >= 1000000u * (uint64_t)(
                closed(f) || !f->tcp ? c->set.closed_s : c->set.idle_s))
            cmp_flow_forget(c, f);
    }
}

void cmp_table_free(struct colo_compare *c)
{
    while (c->table.oldest)
        cmp_flow_forget(c, c->table.oldest);
    free(c->table.bucket);
}
