/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Reading messages from the bulk link into an epoch.  What the peer sends is
 * checked before it is used: type and order here, shapes in wire.
 */
#include "receive.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "../../remus-compat/stream-piece.h"
#include "../pure/seed-pack.h"
#include "bulk-read.h"

#define SLICE_MS 200 /* how soon abort is noticed */

int colo__receive_init(struct colo_receive *rx, struct colo_link *bulk,
                       struct colo_hv *hv, const struct colo_clock *clock,
                       struct colo_error *err)
{
    memset(rx, 0, sizeof(*rx));
    rx->bulk = bulk;
    rx->hv = hv;
    rx->clock = clock;
    rx->seed_fd = -1;
    rx->buf = malloc(COLO_WIRE_HEADER + COLO_WIRE_MAX_BULK);
    rx->bases = malloc((size_t)COLO_WIRE_MAX_PAGES * COLO_PAGE_SIZE);
    rx->digest = XXH3_createState();
    if (!rx->buf || !rx->bases || !rx->digest) {
        colo__receive_fini(rx);
        return colo__fail(err, COLO_E_NOMEM, ENOMEM, "receive", "buffers");
    }
    atomic_store(&rx->last_us, colo__now_us(clock));
    /* grows to the size of the guest with the first epoch */
    return colo__epoch_init(&rx->epoch, 1, err);
}

void colo__receive_fini(struct colo_receive *rx)
{
    if (rx->buf && rx->seed_fd >= 0)
        close(rx->seed_fd);
    rx->seed_fd = -1;
    colo__epoch_fini(&rx->epoch);
    free(rx->buf);
    free(rx->bases);
    XXH3_freeState(rx->digest);
    rx->buf = NULL;
    rx->bases = NULL;
    rx->digest = NULL;
}

static int read_msg(struct colo_receive *rx, struct colo_msg *ret_msg,
                    struct colo_error *err)
{
    const struct colo_bulk_read in = {
        .link = rx->bulk, .clock = rx->clock, .abort = &rx->abort,
        .heard_us = &rx->last_us, .where = "receive", .buf = rx->buf,
        .max_body = COLO_WIRE_MAX_BULK,
    };

    return colo__bulk_read(&in, ret_msg, err);
}

static int unexpected(const struct colo_msg *msg, const char *want,
                      struct colo_error *err)
{
    return colo__fail(err, COLO_E_PROTO, 0, "receive",
                      "%s (epoch %llu) where %s was due",
                      colo__msg_name(msg->type),
                      (unsigned long long)msg->epoch, want);
}

/* ---- the seed ---------------------------------------------------------- */

static int write_seed(struct colo_receive *rx, const uint8_t *p, size_t len,
                      struct colo_error *err)
{
    struct pollfd pfd = { .fd = rx->seed_fd, .events = POLLOUT };

    while (len) {
        ssize_t r;

        if (atomic_load(&rx->abort))
            return colo__fail(err, COLO_E_STATE, 0, "receive", "aborted");
        r = write(rx->seed_fd, p, len);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0 && errno == EAGAIN) {
            (void)poll(&pfd, 1, SLICE_MS);
            continue;
        }
        if (r < 0)
            return colo__fail(err, COLO_E_SYS, errno, "receive",
                              "the restore does not take the seed");
        p += r;
        len -= (size_t)r;
    }
    return 0;
}

static int receive_seed(struct colo_receive *rx, struct colo_error *err)
{
    struct colo_msg msg;
    uint64_t total = 0;
    int rc;

    _Static_assert(COLO_WIRE_SEED_CHUNK <=
                       COLO_WIRE_MAX_PAGES * COLO_PAGE_SIZE, "bases");

    rc = read_msg(rx, &msg, err);
    if (rc)
        return rc;
    if (msg.type != COLO_MSG_ATTACH || msg.len != 16)
        return unexpected(&msg, "ATTACH", err);
    if (memcmp(msg.body, rx->session, 16))
        return colo__fail(err, COLO_E_AUTH, 0, "receive",
                          "the bulk link is of another session");
    for (;;) {
        const uint8_t *piece;
        uint32_t len;

        rc = read_msg(rx, &msg, err);
        if (rc)
            return rc;
        if (msg.type == COLO_MSG_SEED_END)
            break;
        if (msg.type != COLO_MSG_SEED_DATA)
            return unexpected(&msg, "SEED_DATA", err);
        /* to bases, which the seed does not need otherwise */
        rc = colo__seed_unpack(&msg, rx->bases, &piece, &len, err);
        if (rc)
            return rc;
        rc = write_seed(rx, piece, len, err);
        if (rc)
            return rc;
        total += len;
        atomic_store(&rx->seed_bytes, total);
    }
    if (msg.value != total)
        return colo__fail(err, COLO_E_CORRUPT, 0, "receive",
                          "seed has %llu bytes, not %llu",
                          (unsigned long long)total,
                          (unsigned long long)msg.value);
    return 0;
}

int colo__receive_seed_job(void *arg, struct colo_error *err)
{
    struct colo_receive *rx = arg;
    int rc;

    /* A restore that dies must not kill us: SIGPIPE is blocked on this
     * thread (worker.c blocks all signals), so write says EPIPE. */
    rc = receive_seed(rx, err);
    close(rx->seed_fd);
    rx->seed_fd = -1;
    if (!rc && rx->streamed && colo__hv_ops(rx->hv)->machine->load)
        rc = colo__hv_ops(rx->hv)->machine->load(rx->hv, NULL, 0, err);
    return rc;
}

/* ---- an epoch ---------------------------------------------------------- */

/* The replica's present content of every page that comes as a difference. */
static int read_bases(struct colo_receive *rx, const struct colo_msg *msg,
                      uint8_t *kinds, struct colo_error *err)
{
    uint64_t gfns[COLO_WIRE_MAX_PAGES];
    struct colo_wire_page wp;
    size_t offset = 0, n = 0;

    for (uint32_t i = 0; i < msg->value; i++) {
        colo__pages_entry(msg, i, &offset, &wp);
        if (wp.coding == COLO_CODING_XOR)
            gfns[n++] = wp.gfn;
    }
    if (!n)
        return 0;
    return colo__hv_ops(rx->hv)->read(rx->hv, gfns, n, rx->bases, kinds, err);
}

static int decode_page(struct colo_receive *rx,
                       const struct colo_wire_page *wp, const uint8_t *base,
                       uint8_t *to, struct colo_error *err)
{
    int rc;

    switch (wp->coding) {
    case COLO_CODING_RAW:
        memcpy(to, wp->payload, COLO_PAGE_SIZE);
        return 0;
    case COLO_CODING_ZERO:
        memset(to, 0, COLO_PAGE_SIZE);
        return 0;
    default:
        rc = colo__page_decode(wp->coding, wp->payload, wp->len, base,
                               wp->hash, to, err);
        /* The message is as it was sent, so the replica's page is not what
         * the peer thinks: ask for the epoch without differences. */
        if (rc && wp->coding == COLO_CODING_XOR) {
            rx->again = true;
            rc = 0;
        }
        return rc;
    }
}

static int take_pages(struct colo_receive *rx, const struct colo_msg *msg,
                      struct colo_error *err)
{
    struct colo_epoch *e = &rx->epoch;
    uint8_t kinds[COLO_WIRE_MAX_PAGES];
    size_t offset = 0, base_at = 0;
    int rc;

    rc = colo__pages_check(msg, e->nr_gfns, err);
    if (rc)
        return rc;
    if (e->cap - e->count < msg->value)
        return colo__fail(err, COLO_E_PROTO, 0, "receive",
                          "epoch %llu has more pages than the guest",
                          (unsigned long long)e->number);
    rc = read_bases(rx, msg, kinds, err);
    if (rc)
        return rc;
    for (uint32_t i = 0; i < msg->value; i++) {
        const uint8_t *base = NULL;
        struct colo_wire_page wp;

        colo__pages_entry(msg, i, &offset, &wp);
        if (wp.coding == COLO_CODING_XOR) {
            base = rx->bases + base_at * COLO_PAGE_SIZE;
            if (kinds[base_at++] != COLO_PAGE_DATA) {
                rx->again = true;
                continue;
            }
        }
        rc = decode_page(rx, &wp, base, colo__epoch_page(e, e->count), err);
        if (rc)
            return rc;
        e->gfns[e->count++] = wp.gfn;
    }
    return 0;
}

static int take_gone(struct colo_receive *rx, const struct colo_msg *msg,
                     struct colo_error *err)
{
    int rc;

    rc = colo__gfns_check(msg, rx->epoch.nr_gfns, COLO_WIRE_MAX_GONE, err);
    for (uint64_t i = 0; !rc && i < msg->value; i++)
        rc = colo__epoch_add_gone(&rx->epoch, colo__get64(msg->body + i * 8),
                                  err);
    return rc;
}

static int take_audit(struct colo_receive *rx, const struct colo_msg *msg,
                      struct colo_error *err)
{
    int rc;

    rc = colo__audit_check(msg, rx->epoch.nr_gfns, err);
    for (uint64_t i = 0; !rc && i < msg->value; i++)
        rc = colo__epoch_add_audit(&rx->epoch,
                                   colo__get64(msg->body + i * 16),
                                   colo__get64(msg->body + i * 16 + 8), err);
    return rc;
}

static int take_state(struct colo_receive *rx, const struct colo_msg *msg,
                      struct colo_error *err)
{
    struct colo_epoch *e = &rx->epoch;
    uint8_t *room;

    if (!msg->len || msg->value > rx->state_max ||
        (uint64_t)e->state_len + msg->len > msg->value)
        return colo__fail(err, COLO_E_PROTO, 0, "receive",
                          "context of %llu bytes, %u more at %u",
                          (unsigned long long)msg->value, msg->len,
                          e->state_len);
    room = colo__epoch_state_room(e, (uint32_t)msg->value);
    if (!room)
        return colo__fail(err, COLO_E_NOMEM, ENOMEM, "receive", "context");
    memcpy(room + e->state_len, msg->body, msg->len);
    e->state_len += msg->len;
    rx->state_total = (uint32_t)msg->value;
    return 0;
}

static int begin_epoch(struct colo_receive *rx, struct colo_error *err)
{
    struct colo_msg msg;
    uint8_t be[8];
    int rc;

    rc = read_msg(rx, &msg, err);
    if (!rc && msg.type == COLO_MSG_DIRTY_ALL && msg.epoch == rx->expect &&
        rx->say_all) {
        rc = rx->say_all(rx->say_arg, err);
        rx->say_all = NULL;
        if (!rc)
            rc = read_msg(rx, &msg, err);
    }
    if (rc)
        return rc;
    if (msg.type != COLO_MSG_EPOCH_BEGIN || msg.epoch != rx->expect)
        return unexpected(&msg, "EPOCH_BEGIN", err);
    if (!msg.value || msg.value > COLO_GFN_MAX)
        return colo__fail(err, COLO_E_PROTO, 0, "receive",
                          "a guest of %llu frames",
                          (unsigned long long)msg.value);
    colo__epoch_reset(&rx->epoch, msg.epoch, rx->epoch.count + 4096);
    rc = colo__epoch_grow(&rx->epoch, rx->streamed ? 1 : msg.value, err);
    if (rc)
        return rc;
    rx->epoch.nr_gfns = msg.value;
    rx->state_max = COLO_STATE_MAX;
    if (rx->streamed) {
        rx->state_max = colo__stream_piece_max(msg.value);
        rc = colo__epoch_state_grow(&rx->epoch, rx->state_max, err);
        if (rc)
            return rc;
    }
    rx->state_total = 0;
    XXH3_64bits_reset(rx->digest);
    colo__put64(be, msg.checksum);
    XXH3_64bits_update(rx->digest, be, sizeof(be));
    return 0;
}

static int take_msg(struct colo_receive *rx, const struct colo_msg *msg,
                    struct colo_error *err)
{
    uint8_t be[8];

    colo__put64(be, msg->checksum);
    XXH3_64bits_update(rx->digest, be, sizeof(be));
    switch (msg->type) {
    case COLO_MSG_PAGES:
        return take_pages(rx, msg, err);
    case COLO_MSG_GONE:
        return take_gone(rx, msg, err);
    case COLO_MSG_STATE:
        return take_state(rx, msg, err);
    case COLO_MSG_AUDIT:
        return take_audit(rx, msg, err);
    default:
        return unexpected(msg, "a part of an epoch", err);
    }
}

static int end_epoch(struct colo_receive *rx, const struct colo_msg *msg,
                     uint64_t seen, struct colo_error *err)
{
    struct colo_epoch *e = &rx->epoch;

    if (msg->len != 8)
        return unexpected(msg, "EPOCH_END", err);
    if (msg->value != seen ||
        colo__get64(msg->body) != XXH3_64bits_digest(rx->digest))
        return colo__fail(err, COLO_E_CORRUPT, 0, "receive",
                          "epoch %llu is not whole: %llu of %llu messages",
                          (unsigned long long)e->number,
                          (unsigned long long)seen,
                          (unsigned long long)msg->value);
    if (e->state_len != rx->state_total)
        return colo__fail(err, COLO_E_CORRUPT, 0, "receive",
                          "context of epoch %llu has %u of %u bytes",
                          (unsigned long long)e->number, e->state_len,
                          rx->state_total);
    return colo__hv_ops(rx->hv)->machine->check(rx->hv, e->state,
                                                e->state_len, err);
}

int colo__receive_epoch_job(void *arg, struct colo_error *err)
{
    struct colo_receive *rx = arg;
    struct colo_msg msg;
    uint64_t seen = 0;
    int rc;

    rx->again = false;
    rc = begin_epoch(rx, err);
    while (!rc) {
        rc = read_msg(rx, &msg, err);
        if (rc)
            break;
        if (msg.epoch != rx->expect)
            return unexpected(&msg, "the same epoch", err);
        if (msg.type == COLO_MSG_EPOCH_END)
            return end_epoch(rx, &msg, seen, err);
        seen++;
        rc = take_msg(rx, &msg, err);
    }
    return rc;
}
