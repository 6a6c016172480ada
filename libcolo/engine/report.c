/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Hashing and sending the list of what the replica wrote.
 */
#include "report.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define WHERE "report"
#define BATCH 64u
/* Every look at the dirty record makes the replica fault its pages in again,
 * so one ahead of the stop is worth it only where hashing would take long. */
#define LIVE_MIN_US 10000
/* fewer pages say nothing about the cost of one */
#define LEARN_MIN_PAGES 64
#define BUF_SIZE (COLO_WIRE_HEADER +                                           \
                  COLO_WIRE_MAX_DIRTY * COLO_WIRE_DIRTY_ENTRY)

int colo__report_init(struct colo_report *r, struct colo_receive *rx,
                      const struct colo_log *log, int live_mode,
                      uint32_t timeout_ms, struct colo_error *err)
{
    memset(r, 0, sizeof(*r));
    r->hv = rx->hv;
    r->rx = rx;
    r->log = log;
    r->clock = rx->clock;
    r->live_mode = live_mode;
    r->timeout_ms = timeout_ms;
    colo__bitmap_init(&r->live);
    colo__bitmap_init(&r->final);
    r->pages = malloc((size_t)BATCH * COLO_PAGE_SIZE);
    r->buf = malloc(BUF_SIZE);
    r->digest = XXH3_createState();
    if (!r->pages || !r->buf || !r->digest) {
        colo__report_fini(r);
        return colo__fail(err, COLO_E_NOMEM, ENOMEM, WHERE, "buffers");
    }
    return 0;
}

void colo__report_fini(struct colo_report *r)
{
    colo__bitmap_fini(&r->live);
    colo__bitmap_fini(&r->final);
    free(r->entries);
    free(r->pages);
    free(r->buf);
    XXH3_freeState(r->digest);
    r->entries = NULL;
    r->pages = r->buf = NULL;
    r->digest = NULL;
}

/* ---- hashing ----------------------------------------------------------- */

static int reserve(struct colo_report *r, uint64_t more,
                   struct colo_error *err)
{
    struct colo_wire_dirty *entries;
    uint64_t cap = r->cap ? r->cap : 1024;

    while (cap < r->count + more)
        cap *= 2;
    if (cap == r->cap)
        return 0;
    entries = realloc(r->entries, cap * sizeof(*entries));
    if (!entries)
        return colo__fail(err, COLO_E_NOMEM, ENOMEM, WHERE,
                          "a list of %llu frames", (unsigned long long)cap);
    r->entries = entries;
    r->cap = cap;
    return 0;
}

static int hash_batch(struct colo_report *r, const uint64_t *gfns, size_t n,
                      struct colo_error *err)
{
    uint8_t kinds[BATCH];
    int rc;

    rc = reserve(r, n, err);
    if (!rc)
        rc = colo__hv_ops(r->hv)->read(r->hv, gfns, n, r->pages, kinds, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++) {
        struct colo_wire_dirty *d = &r->entries[r->count];

        if (kinds[i] == COLO_PAGE_SKIP)
            continue; /* nobody sends such a frame */
        *d = (struct colo_wire_dirty){ .gfn = gfns[i] };
        if (kinds[i] == COLO_PAGE_DATA)
            colo__page_hash128(r->pages + i * COLO_PAGE_SIZE, &d->high,
                               &d->low);
        r->count++;
    }
    return 0;
}

static int hash_set(struct colo_report *r, const struct colo_bitmap *bm,
                    struct colo_error *err)
{
    uint64_t t0 = colo__now_us(r->clock), pos = 0, from = r->count;

    for (;;) {
        uint64_t gfns[BATCH];
        size_t n = colo__bitmap_scan(bm, &pos, gfns, BATCH);
        int rc;

        if (!n)
            break;
        if (atomic_load(&r->rx->abort))
            return colo__fail(err, COLO_E_STATE, 0, WHERE, "aborted");
        rc = hash_batch(r, gfns, n, err);
        if (rc)
            return rc;
    }
    if (r->count - from >= LEARN_MIN_PAGES)
        r->us_per_page = (double)(colo__now_us(r->clock) - t0) /
                         (double)(r->count - from);
    return 0;
}

/* ---- an epoch ---------------------------------------------------------- */

static bool want_live(const struct colo_report *r)
{
    if (r->live_mode >= 0)
        return r->live_mode;
    return (double)r->last_count * r->us_per_page >= LIVE_MIN_US;
}

int colo__report_begin(struct colo_report *r, bool *ret_live,
                       struct colo_error *err)
{
    struct colo_error why = { 0 };
    int rc;

    r->count = r->live_count = 0;
    r->lost = false;
    colo__bitmap_zero(&r->live);
    *ret_live = false;
    if (!want_live(r))
        return 0;
    rc = colo__hv_ops(r->hv)->dirty(r->hv, &r->live, COLO_DIRTY_CLEAN,
                                    &r->lost, &why);
    if (rc) {
        if (err)
            *err = why;
        return rc;
    }
    if (r->lost) /* everything is in the final set then */
        colo__bitmap_zero(&r->live);
    *ret_live = !r->lost;
    return 0;
}

int colo__report_live_job(void *arg, struct colo_error *err)
{
    struct colo_report *r = arg;
    int rc = hash_set(r, &r->live, err);

    r->live_count = r->count;
    return rc;
}

int colo__report_final(struct colo_report *r, bool ran,
                       struct colo_error *err)
{
    struct colo_error why = { 0 };
    bool lost = false;
    int rc;

    colo__bitmap_zero(&r->final);
    if (!ran) {
        r->count = r->live_count = 0;
        return 0;
    }
    rc = colo__hv_ops(r->hv)->dirty(r->hv, &r->final,
                                    COLO_DIRTY_CLEAN | COLO_DIRTY_FINAL,
                                    &lost, &why);
    if (rc) {
        if (err)
            *err = why;
        return rc;
    }
    if (lost || r->lost) {
        colo__log(r->log, COLO_LOG_WARNING, -1, WHERE,
                  "all frames are compared: %s", lost ? why.text
                                                      : "record lost");
        colo__bitmap_fill(&r->final);
    }
    return 0;
}

/* ---- sending ----------------------------------------------------------- */

static int send_msg(struct colo_report *r, struct colo_msg *msg,
                    struct colo_error *err)
{
    struct iovec iov = { .iov_base = r->buf };
    uint8_t be[8];
    int rc;

    msg->epoch = r->rx->expect;
    msg->body = r->buf + COLO_WIRE_HEADER;
    rc = colo__wire_build(msg, r->buf, err);
    if (rc)
        return rc;
    colo__put64(be, msg->checksum);
    XXH3_64bits_update(r->digest, be, sizeof(be));
    iov.iov_len = COLO_WIRE_HEADER + msg->len;
    return colo__link_ops(r->rx->bulk)->send(r->rx->bulk, &iov, 1,
                                             r->timeout_ms, err);
}

/* Entries [*pos, end) that still hold, as many as a message takes. */
static uint32_t put_entries(struct colo_report *r, uint64_t *pos,
                            uint64_t end)
{
    uint8_t *out = r->buf + COLO_WIRE_HEADER;
    uint32_t n = 0;

    for (; *pos < end && n < COLO_WIRE_MAX_DIRTY; ++*pos) {
        const struct colo_wire_dirty *d = &r->entries[*pos];

        if (*pos < r->live_count && colo__bitmap_test(&r->final, d->gfn))
            continue; /* written after it was hashed */
        colo__dirty_entry_build(out + n++ * COLO_WIRE_DIRTY_ENTRY, d);
    }
    return n;
}

static int send_list(struct colo_report *r, struct colo_error *err)
{
    struct colo_msg end = { .type = COLO_MSG_DIRTY_END, .len = 16 };
    struct colo_hv_info info;
    uint64_t pos = 0;
    int rc;

    XXH3_64bits_reset(r->digest);
    while (pos < r->count) {
        /* frames ascend within each part */
        uint32_t n = put_entries(r, &pos, pos < r->live_count ? r->live_count
                                                              : r->count);
        struct colo_msg msg = { .type = COLO_MSG_DIRTY, .value = n,
                                .len = n * COLO_WIRE_DIRTY_ENTRY };

        if (!n)
            continue;
        rc = send_msg(r, &msg, err);
        if (rc)
            return rc;
        end.value += n;
    }
    rc = colo__hv_ops(r->hv)->info(r->hv, &info, err);
    if (rc)
        return rc;
    r->sent = r->last_count = end.value;
    colo__put64(r->buf + COLO_WIRE_HEADER, info.nr_gfns);
    colo__put64(r->buf + COLO_WIRE_HEADER + 8, XXH3_64bits_digest(r->digest));
    return send_msg(r, &end, err);
}

/* DIRTY_ALL came: every frame. */
static int report_all(void *arg, struct colo_error *err)
{
    struct colo_report *r = arg;
    struct colo_hv_info info;
    int rc;

    rc = colo__hv_ops(r->hv)->info(r->hv, &info, err);
    if (!rc && colo__bitmap_resize(&r->final, info.nr_gfns))
        rc = colo__fail(err, COLO_E_NOMEM, ENOMEM, WHERE, "all frames");
    if (rc)
        return rc;
    colo__bitmap_fill(&r->final);
    r->count = r->live_count = 0;
    rc = hash_set(r, &r->final, err);
    return rc ? rc : send_list(r, err);
}

int colo__report_job(void *arg, struct colo_error *err)
{
    struct colo_report *r = arg;
    int rc;

    rc = hash_set(r, &r->final, err);
    if (rc)
        return rc;
    rc = send_list(r, err);
    if (rc)
        return rc;
    r->rx->say_all = report_all;
    r->rx->say_arg = r;
    rc = colo__receive_epoch_job(r->rx, err);
    r->rx->say_all = NULL;
    return rc;
}
