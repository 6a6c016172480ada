/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Taking the replica's list, and comparing.  The list is the peer's word:
 * its size, order and sums are checked before anything is made of it; a wrong
 * hash in it can only make a page travel, or break the replica of the side
 * that sent it.
 */
#include "match.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "bulk-read.h"

#define WHERE "match"
#define BATCH 256u
#define REST_BATCHES 64 /* in one call: some 20 ms */
#define MAX_BODY (COLO_WIRE_MAX_DIRTY * COLO_WIRE_DIRTY_ENTRY)
/* A replica that grew by itself (ballooning up, hotplug) has at most so many
 * frames more than twice the guest's. */
#define MORE_GFNS (UINT64_C(1) << 18)

int colo__match_init(struct colo_match *m, struct colo_link *bulk,
                     struct colo_capture *capture,
                     struct colo_delta_cache *cache,
                     const struct colo_clock *clock,
                     const _Atomic bool *abort, uint32_t timeout_ms,
                     struct colo_error *err)
{
    memset(m, 0, sizeof(*m));
    m->bulk = bulk;
    m->capture = capture;
    m->cache = cache;
    m->clock = clock;
    m->abort = abort;
    m->timeout_ms = timeout_ms;
    colo__bitmap_init(&m->open);
    m->buf = malloc(COLO_WIRE_HEADER + MAX_BODY);
    m->digest = XXH3_createState();
    if (!m->buf || !m->digest) {
        colo__match_fini(m);
        return colo__fail(err, COLO_E_NOMEM, ENOMEM, WHERE, "buffers");
    }
    return 0;
}

void colo__match_fini(struct colo_match *m)
{
    colo__bitmap_fini(&m->open);
    free(m->buf);
    free(m->entries);
    free(m->slot);
    XXH3_freeState(m->digest);
    m->buf = NULL;
    m->entries = NULL;
    m->slot = NULL;
    m->digest = NULL;
}

/* ---- the list ---------------------------------------------------------- */

static int read_msg(struct colo_match *m, struct colo_msg *ret_msg,
                    struct colo_error *err)
{
    const struct colo_bulk_read in = {
        .link = m->bulk, .clock = m->clock, .abort = m->abort,
        .timeout_ms = m->timeout_ms, .where = WHERE,
        .silent = "the backup does not say what its copy wrote",
        .buf = m->buf, .max_body = MAX_BODY,
    };
    int rc = colo__bulk_read(&in, ret_msg, err);

    if (!rc)
        m->bytes += COLO_WIRE_HEADER + ret_msg->len;
    return rc;
}

static uint64_t most_gfns(const struct colo_match *m)
{
    uint64_t most = m->capture->epoch.nr_gfns * 2 + MORE_GFNS;

    return most < UINT32_MAX ? most : UINT32_MAX;
}

static int begin_list(struct colo_match *m, struct colo_error *err)
{
    uint64_t most = most_gfns(m);

    m->count = 0;
    XXH3_64bits_reset(m->digest);
    if (most > m->slots) {
        free(m->slot);
        /* touched only where a frame is listed */
        m->slot = calloc(most, sizeof(*m->slot));
        m->slots = m->slot ? most : 0;
    }
    if (!m->slot || colo__bitmap_resize(&m->open, m->slots))
        return colo__fail(err, COLO_E_NOMEM, ENOMEM, WHERE,
                          "a map of %llu frames", (unsigned long long)most);
    colo__bitmap_zero(&m->open);
    return 0;
}

static int reserve(struct colo_match *m, struct colo_error *err)
{
    uint64_t cap = m->cap ? m->cap * 2 : 2 * COLO_WIRE_MAX_DIRTY;
    struct colo_wire_dirty *entries;

    if (m->cap - m->count >= COLO_WIRE_MAX_DIRTY)
        return 0;
    entries = realloc(m->entries, cap * sizeof(*entries));
    if (!entries)
        return colo__fail(err, COLO_E_NOMEM, ENOMEM, WHERE,
                          "a list of %llu frames", (unsigned long long)cap);
    m->entries = entries;
    m->cap = cap;
    return 0;
}

static int take_dirty(struct colo_match *m, const struct colo_msg *msg,
                      struct colo_error *err)
{
    uint8_t be[8];
    int rc;

    rc = colo__dirty_check(msg, most_gfns(m), err);
    if (!rc)
        rc = reserve(m, err);
    if (rc)
        return rc;
    colo__put64(be, msg->checksum);
    XXH3_64bits_update(m->digest, be, sizeof(be));
    for (uint32_t i = 0; i < msg->value; i++) {
        struct colo_wire_dirty *d = &m->entries[m->count];

        colo__dirty_entry(msg, i, d);
        if (colo__bitmap_test(&m->open, d->gfn))
            return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                              "DIRTY names frame 0x%llx twice",
                              (unsigned long long)d->gfn);
        colo__bitmap_set(&m->open, d->gfn);
        m->slot[d->gfn] = (uint32_t)m->count++;
    }
    return 0;
}

static int end_list(struct colo_match *m, const struct colo_msg *msg,
                    struct colo_error *err)
{
    if (msg->len != 16 || msg->value != m->count ||
        colo__get64(msg->body + 8) != XXH3_64bits_digest(m->digest))
        return colo__fail(err, COLO_E_CORRUPT, 0, WHERE,
                          "what the copy wrote is not whole: %llu of %llu "
                          "frames", (unsigned long long)m->count,
                          (unsigned long long)msg->value);
    m->peer_gfns = colo__get64(msg->body);
    if (m->peer_gfns > most_gfns(m))
        return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                          "a replica of %llu frames",
                          (unsigned long long)m->peer_gfns);
    return 0;
}

static int take_list(struct colo_match *m, struct colo_error *err)
{
    struct colo_msg msg;
    int rc = begin_list(m, err);

    while (!rc) {
        rc = read_msg(m, &msg, err);
        if (rc)
            break;
        if (msg.epoch == m->capture->epoch.number) {
            if (msg.type == COLO_MSG_DIRTY_END)
                return end_list(m, &msg, err);
            if (msg.type == COLO_MSG_DIRTY) {
                rc = take_dirty(m, &msg, err);
                continue;
            }
        }
        return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                          "%s (epoch %llu) where DIRTY was due",
                          colo__msg_name(msg.type),
                          (unsigned long long)msg.epoch);
    }
    return rc;
}

static int ask_for_all(struct colo_match *m, struct colo_error *err)
{
    struct colo_msg msg = { .type = COLO_MSG_DIRTY_ALL,
                            .epoch = m->capture->epoch.number };
    uint8_t buf[COLO_WIRE_HEADER];
    struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };
    int rc;

    rc = colo__wire_build(&msg, buf, err);
    if (!rc)
        rc = colo__link_ops(m->bulk)->send(m->bulk, &iov, 1, m->timeout_ms,
                                           err);
    return rc ? rc : take_list(m, err);
}

/* ---- comparing --------------------------------------------------------- */

static bool is_equal(const struct colo_wire_dirty *d, const uint8_t *page)
{
    uint64_t high, low;

    if (!d->high && !d->low)
        return false; /* no memory there */
    colo__page_hash128(page, &high, &low);
    return high == d->high && low == d->low;
}

/* The epoch's pages are in memory: no hypervisor is needed. */
static int settle_epoch(struct colo_match *m, struct colo_error *err)
{
    struct colo_capture *c = m->capture;
    struct colo_epoch *e = &c->epoch;

    if (colo__bitmap_resize(&c->equal, e->nr_gfns))
        return colo__fail(err, COLO_E_NOMEM, ENOMEM, WHERE, "equal pages");
    for (uint64_t i = 0; i < e->count; i++) {
        uint64_t gfn = e->gfns[i];

        if (colo__capture_void(c, i) || !colo__bitmap_test(&m->open, gfn))
            continue;
        if (is_equal(&m->entries[m->slot[gfn]], colo__epoch_page(e, i))) {
            colo__bitmap_set(&c->equal, gfn);
            m->equal++;
        }
        colo__bitmap_clear(&m->open, gfn);
    }
    /* these are said to have gone, whatever the replica has there */
    for (uint64_t i = 0; i < e->gone_count; i++)
        colo__bitmap_clear(&m->open, e->gone[i]);
    return 0;
}

int colo__match_job(void *arg, struct colo_error *err)
{
    struct colo_match *m = arg;
    int rc;

    m->listed = m->equal = m->added = m->bytes = m->both = 0;
    rc = take_list(m, err);
    if (!rc && m->capture->lost)
        rc = ask_for_all(m, err);
    if (rc)
        return rc;
    m->listed = m->count;
    for (uint64_t i = 0; i < m->count; i++)
        colo__delta_cache_drop(m->cache, m->entries[i].gfn);
    rc = settle_epoch(m, err);
    m->both = m->equal;
    m->rest_pos = 0;
    m->own_gfns = m->capture->epoch.nr_gfns;
    m->capture->rest_at = m->capture->epoch.count;
    return rc;
}

/* One batch that was read at the end of the epoch's buffer. */
static int settle_batch(struct colo_match *m, size_t n, struct colo_error *err)
{
    struct colo_capture *c = m->capture;
    struct colo_epoch *e = &c->epoch;
    const uint64_t *gfns = e->gfns + e->count;
    uint64_t to = e->count;

    for (size_t i = 0; i < n; i++) {
        uint64_t gfn = gfns[i];
        const struct colo_wire_dirty *d = &m->entries[m->slot[gfn]];
        const uint8_t *page = colo__epoch_page(e, e->count + i);
        int rc;

        if (c->kinds[i] == COLO_PAGE_GONE && (d->high || d->low)) {
            if (gfn >= e->nr_gfns)
                e->nr_gfns = gfn + 1;
            rc = colo__epoch_add_gone(e, gfn, err);
            if (rc)
                return rc;
        }
        if (c->kinds[i] == COLO_PAGE_GONE)
            m->equal += !d->high && !d->low;
        if (c->kinds[i] != COLO_PAGE_DATA)
            continue;
        if (is_equal(d, page)) {
            m->equal++;
            continue;
        }
        if (to != e->count + i) {
            e->gfns[to] = gfn;
            memcpy(colo__epoch_page(e, to), page, COLO_PAGE_SIZE);
        }
        to++;
    }
    m->added += to - e->count;
    e->count = to;
    return 0;
}

int colo__match_rest(struct colo_match *m, bool *ret_more,
                     struct colo_error *err)
{
    struct colo_capture *c = m->capture;
    struct colo_epoch *e = &c->epoch;

    *ret_more = true;
    for (int i = 0; i < REST_BATCHES; i++) {
        size_t n, there = 0;
        int rc;

        if (e->cap - e->count < BATCH) {
            rc = colo__epoch_grow(e, e->cap + e->nr_gfns + BATCH, err);
            if (rc)
                return rc;
        }
        n = colo__bitmap_scan(&m->open, &m->rest_pos, e->gfns + e->count,
                              BATCH);
        *ret_more = n == BATCH;
        if (!n)
            return 0;
        while (there < n && e->gfns[e->count + there] < m->own_gfns)
            there++;
        memset(c->kinds + there, COLO_PAGE_GONE, n - there);
        rc = there ? colo__hv_ops(c->hv)->read(c->hv, e->gfns + e->count,
                                               there,
                                               colo__epoch_page(e, e->count),
                                               c->kinds, err) : 0;
        if (!rc)
            rc = settle_batch(m, n, err);
        if (rc || !*ret_more)
            return rc;
    }
    return 0;
}
