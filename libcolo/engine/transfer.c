/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Encoding and sending.  Pages are gathered into messages of up to
 * COLO_WIRE_MAX_PAGES; whether coding pays is measured, not assumed: the cost
 * per page of both ways is kept, and the other way is tried now and then.
 */
#include "transfer.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "../pure/seed-pack.h"
#include "../pure/seed-trim.h"
#include "../pure/wire.h"

#define BUF_SIZE (COLO_WIRE_HEADER + COLO_WIRE_MAX_PAGES *                     \
                  (COLO_WIRE_PAGE_ENTRY + COLO_PAGE_SIZE))
#define SEED_CHUNK COLO_WIRE_SEED_CHUNK
/* Plain epochs until coding is tried again, and for how many: the cache of
 * sent content has to fill before it can show what it is worth. */
#define KEEP_PLAIN 64
#define TRY_CODING 6
/* epochs smaller than this say nothing about the cost of coding */
#define LEARN_MIN_PAGES 64

int colo__transfer_init(struct colo_transfer *t, struct colo_link *bulk,
                        struct colo_capture *capture,
                        const struct colo_clock *clock, uint32_t timeout_ms,
                        int compress, uint32_t delta_mib,
                        struct colo_error *err)
{
    memset(t, 0, sizeof(*t));
    t->bulk = bulk;
    t->capture = capture;
    t->clock = clock;
    t->timeout_ms = timeout_ms;
    t->compress = compress;
    t->seed_fd = -1;
    t->coding = compress != 0;
    t->buf = malloc(BUF_SIZE);
    t->scratch = aligned_alloc(64, (sizeof(*t->scratch) + 63) & ~(size_t)63);
    t->digest = XXH3_createState();
    t->cache = colo__delta_cache_new(compress ? delta_mib : 0);
    if (!t->buf || !t->scratch || !t->digest || !t->cache) {
        colo__transfer_fini(t);
        return colo__fail(err, COLO_E_NOMEM, ENOMEM, "transfer", "buffers");
    }
    XXH3_64bits_reset(t->digest);
    return 0;
}

void colo__transfer_fini(struct colo_transfer *t)
{
    if (t->buf && t->seed_fd >= 0) /* a zeroed one has no descriptor 0 */
        close(t->seed_fd);
    t->seed_fd = -1;
    free(t->buf);
    free(t->scratch);
    XXH3_freeState(t->digest);
    if (t->cache)
        colo__delta_cache_free(t->cache);
    t->buf = NULL;
    t->scratch = NULL;
    t->digest = NULL;
    t->cache = NULL;
}

/* msg->body must follow the header's room in t->buf, or be NULL. */
static int send_msg(struct colo_transfer *t, struct colo_msg *msg,
                    struct colo_error *err)
{
    struct iovec iov;
    uint8_t be[8];
    int rc;

    msg->body = t->buf + COLO_WIRE_HEADER;
    rc = colo__wire_build(msg, t->buf, err);
    if (rc)
        return rc;
    colo__put64(be, msg->checksum);
    XXH3_64bits_update(t->digest, be, sizeof(be));
    t->digest_seen++;
    iov.iov_base = t->buf;
    iov.iov_len = COLO_WIRE_HEADER + msg->len;
    t->wire_bytes += iov.iov_len;
    return colo__link_ops(t->bulk)->send(t->bulk, &iov, 1, t->timeout_ms,
                                         err);
}

static uint64_t gather(struct colo_transfer *t, uint64_t *pos,
                       uint64_t *indexes)
{
    const struct colo_capture *c = t->capture;
    /* frame numbers ascend within each part: live, final, the rest */
    uint64_t end = *pos < c->live_count ? c->live_count
                   : *pos < c->rest_at && c->rest_at < c->epoch.count
                       ? c->rest_at
                       : c->epoch.count;
    uint64_t n = 0;

    while (*pos < end && n < COLO_WIRE_MAX_PAGES) {
        if (!colo__capture_void(c, *pos))
            indexes[n++] = *pos;
        ++*pos;
    }
    return n;
}

/* Write page i in the shortest form to out; returns its length. */
static uint32_t put_page(struct colo_transfer *t, uint64_t i, uint8_t *entry,
                         uint8_t *out)
{
    struct colo_epoch *e = &t->capture->epoch;
    const uint8_t *page = colo__epoch_page(e, i), *base = NULL;
    struct colo_wire_page wp = { .gfn = e->gfns[i] };

    if (t->coding && !t->again)
        base = colo__delta_cache_get(t->cache, wp.gfn);
    wp.coding = colo__page_encode(t->scratch, page, base, t->coding, out,
                                  &wp.len);
    switch (wp.coding) {
    case COLO_CODING_RAW:
        memcpy(out, page, COLO_PAGE_SIZE);
        wp.len = COLO_PAGE_SIZE;
        break;
    case COLO_CODING_ZERO:
        t->zero_pages++;
        wp.len = 0;
        break;
    default:
        t->delta_pages += wp.coding == COLO_CODING_XOR;
        wp.hash = colo__page_hash(page);
        break;
    }
    if (t->coding)
        colo__delta_cache_put(t->cache, wp.gfn, page);
    colo__page_entry_build(entry, &wp);
    t->pages++;
    return wp.len;
}

static int send_pages(struct colo_transfer *t, struct colo_error *err)
{
    uint64_t pos = 0;

    while (pos < t->capture->epoch.count) {
        uint64_t indexes[COLO_WIRE_MAX_PAGES];
        uint64_t n = gather(t, &pos, indexes);
        uint8_t *entries = t->buf + COLO_WIRE_HEADER;
        uint8_t *out = entries + n * COLO_WIRE_PAGE_ENTRY;
        struct colo_msg msg = { .type = COLO_MSG_PAGES, .value = n,
                                .epoch = t->capture->epoch.number };
        uint64_t t0;
        int rc;

        if (!n)
            continue;
        t0 = colo__now_us(t->clock);
        for (uint64_t i = 0; i < n; i++)
            out += put_page(t, indexes[i],
                            entries + i * COLO_WIRE_PAGE_ENTRY, out);
        t->encode_us += colo__now_us(t->clock) - t0;
        msg.len = (uint32_t)(out - entries);
        rc = send_msg(t, &msg, err);
        if (rc)
            return rc;
    }
    return 0;
}

static int send_gone(struct colo_transfer *t, struct colo_error *err)
{
    const struct colo_epoch *e = &t->capture->epoch;

    for (uint64_t i = 0, n; i < e->gone_count; i += n) {
        struct colo_msg msg = { .type = COLO_MSG_GONE, .epoch = e->number };
        int rc;

        /* they ascend within each round of the capture only */
        for (n = 0; n < COLO_WIRE_MAX_GONE && i + n < e->gone_count &&
                    (!n || e->gone[i + n] > e->gone[i + n - 1]); n++) {
            colo__put64(t->buf + COLO_WIRE_HEADER + n * 8, e->gone[i + n]);
            colo__delta_cache_drop(t->cache, e->gone[i + n]);
        }
        msg.value = n;
        msg.len = (uint32_t)n * 8;
        rc = send_msg(t, &msg, err);
        if (rc)
            return rc;
    }
    return 0;
}

static int send_state(struct colo_transfer *t, struct colo_error *err)
{
    const struct colo_epoch *e = &t->capture->epoch;

    for (uint32_t off = 0; off < e->state_len;) {
        uint32_t n = e->state_len - off;
        struct colo_msg msg = { .type = COLO_MSG_STATE, .epoch = e->number };
        int rc;

        if (n > SEED_CHUNK)
            n = SEED_CHUNK;
        memcpy(t->buf + COLO_WIRE_HEADER, e->state + off, n);
        msg.value = e->state_len;
        msg.len = n;
        rc = send_msg(t, &msg, err);
        if (rc)
            return rc;
        off += n;
    }
    return 0;
}

static int send_audit(struct colo_transfer *t, struct colo_error *err)
{
    const struct colo_epoch *e = &t->capture->epoch;

    for (uint64_t i = 0; i < e->audit_count; i += COLO_WIRE_MAX_AUDIT) {
        uint64_t n = e->audit_count - i;
        uint8_t *p = t->buf + COLO_WIRE_HEADER;
        struct colo_msg msg = { .type = COLO_MSG_AUDIT, .epoch = e->number };
        int rc;

        if (n > COLO_WIRE_MAX_AUDIT)
            n = COLO_WIRE_MAX_AUDIT;
        for (uint64_t j = 0; j < n; j++) {
            colo__put64(p + j * 16, e->audit_gfns[i + j]);
            colo__put64(p + j * 16 + 8, e->audit_hashes[i + j]);
        }
        msg.value = n;
        msg.len = (uint32_t)n * 16;
        rc = send_msg(t, &msg, err);
        if (rc)
            return rc;
    }
    return 0;
}

/* Microseconds for a page, sent plain or coded. */
static bool plain_is_sooner(const struct colo_transfer *t)
{
    double plain = COLO_PAGE_SIZE * t->link_us_per_byte;
    double coded = t->encode_us_per_page +
                   t->coded_bytes_per_page * t->link_us_per_byte;

    return plain < coded;
}

static void choose_coding(struct colo_transfer *t)
{
    bool coding = t->coding;

    if (t->compress >= 0) {
        t->coding = t->compress;
        return;
    }
    t->in_coding++;
    if (coding)
        coding = t->in_coding < TRY_CODING || !plain_is_sooner(t);
    else
        coding = t->in_coding >= KEEP_PLAIN || !plain_is_sooner(t);
    if (coding == t->coding)
        return;
    t->in_coding = 0;
    t->coding = coding;
    if (!coding)
        colo__delta_cache_clear(t->cache); /* it would go stale */
}

static void smooth(double *mean, double value)
{
    *mean = *mean == 0 ? value : *mean * 0.75 + value * 0.25;
}

void colo__transfer_learn(struct colo_transfer *t, uint64_t commit_us)
{
    if (t->pages < LEARN_MIN_PAGES || t->again)
        return;
    if (t->coding) {
        smooth(&t->encode_us_per_page,
               (double)t->encode_us / (double)t->pages);
        smooth(&t->coded_bytes_per_page,
               (double)t->wire_bytes / (double)t->pages);
    }
    if (commit_us > t->encode_us)
        smooth(&t->link_us_per_byte, (double)(commit_us - t->encode_us) /
                                         (double)t->wire_bytes);
}

int colo__transfer_epoch_job(void *arg, struct colo_error *err)
{
    struct colo_transfer *t = arg;
    const struct colo_epoch *e = &t->capture->epoch;
    struct colo_msg msg = { .type = COLO_MSG_EPOCH_BEGIN,
                            .epoch = e->number, .value = e->nr_gfns };
    int rc;

    choose_coding(t);
    if (t->again)
        colo__delta_cache_clear(t->cache);
    t->pages = t->zero_pages = t->delta_pages = t->encode_us = 0;
    if (!t->again)
        t->wire_bytes = 0;
    XXH3_64bits_reset(t->digest);
    t->digest_seen = 0;
    rc = send_msg(t, &msg, err);
    if (rc)
        return rc;
    rc = send_gone(t, err);
    if (rc)
        return rc;
    rc = send_pages(t, err);
    if (rc)
        return rc;
    rc = send_state(t, err);
    if (rc)
        return rc;
    rc = send_audit(t, err);
    if (rc)
        return rc;

    msg = (struct colo_msg){ .type = COLO_MSG_EPOCH_END, .epoch = e->number,
                             .value = t->digest_seen - 1, .len = 8 };
    colo__put64(t->buf + COLO_WIRE_HEADER, XXH3_64bits_digest(t->digest));
    return send_msg(t, &msg, err);
}

/* A freshly booted guest is mostly zeros.  What was read is behind the first
 * chunk of the buffer; what does not get shorter is moved down as it is. */
static int send_seed(struct colo_transfer *t, uint32_t len,
                     struct colo_error *err)
{
    uint8_t *out = t->buf + COLO_WIRE_HEADER;
    const uint8_t *raw = out + SEED_CHUNK;
    struct colo_msg msg = { .type = COLO_MSG_SEED_DATA, .value = len };

    if (t->compress)
        msg.len = colo__seed_pack(t->scratch, raw, len, out);
    if (!msg.len) {
        memcpy(out, raw, len);
        msg.value = 0;
        msg.len = len;
    }
    return send_msg(t, &msg, err);
}

/* Wait for the seed's writer; 1 readable, 0 aborted. The writer may be slow
 * but not silent: the session watches its progress and sets abort. Looked at
 * last: what ends because it was aborted is not the end of a seed. */
static int wait_seed(struct colo_transfer *t)
{
    struct pollfd pfd = { .fd = t->seed_fd, .events = POLLIN };
    int r = 0;

    while (r <= 0 && !atomic_load(&t->abort))
        r = poll(&pfd, 1, 200);
    return !atomic_load(&t->abort);
}

int colo__transfer_seed_job(void *arg, struct colo_error *err)
{
    struct colo_transfer *t = arg;
    uint8_t *out = t->buf + COLO_WIRE_HEADER + SEED_CHUNK;
    uint8_t *in = out + SEED_CHUNK;
    struct colo_msg msg = { .type = COLO_MSG_ATTACH, .len = 16 };
    struct colo_seed_trim trim = { 0 };
    uint64_t total = 0;
    int rc;

    memcpy(t->buf + COLO_WIRE_HEADER, t->session, 16);
    rc = send_msg(t, &msg, err);
    while (!rc) {
        ssize_t r;

        if (!wait_seed(t)) {
            rc = colo__fail(err, COLO_E_STATE, 0, "transfer", "seed aborted");
            break;
        }
        r = read(t->seed_fd, in, SEED_CHUNK - COLO_SEED_TRIM_ROOM);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0) {
            rc = colo__fail(err, COLO_E_SYS, errno, "transfer",
                            "cannot read the seed");
            break;
        }
        if (!r)
            break;
        r = (ssize_t)colo__seed_trim(&trim, in, (size_t)r, out);
        if (r)
            rc = send_seed(t, (uint32_t)r, err);
        total += (uint64_t)r;
        atomic_store(&t->seed_bytes, total);
    }
    if (!rc) {
        msg = (struct colo_msg){ .type = COLO_MSG_SEED_END, .value = total };
        rc = send_msg(t, &msg, err);
    }
    close(t->seed_fd);
    t->seed_fd = -1;
    return rc;
}
