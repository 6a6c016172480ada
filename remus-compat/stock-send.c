/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See stock-send.h.  The bytes are made by stream-*.c and xl-header.c; here is
 * when they go.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "acked.h"
#include "link/link.h"
#include "stock-send.h"
#include "stream-convert.h"
#include "stream-epoch.h"
#include "stream-piece.h"
#include "window.h"
#include "xl-header.h"

#define WHERE "stock"

/* What has been done; each call belongs to one. */
enum stage { STAGE_OPEN, STAGE_GREETED, STAGE_CHECKPOINTS, STAGE_BROKEN };

static const char *const stages[] = {
    [STAGE_OPEN] = "before greeting", [STAGE_GREETED] = "before the seed",
    [STAGE_CHECKPOINTS] = "after the seed", [STAGE_BROKEN] = "after an error",
};

struct colo_stock {
    struct colo_link *link;
    struct colo_acked acked;
    enum stage stage;
    bool banner; /* came */
    bool armed; /* the last bytes of the seed are on their way */
    bool torn;  /* a record was begun and not ended */
};

int colo__stock_open(int fd, struct colo_stock **ret, struct colo_error *err)
{
    struct colo_stock *stock = calloc(1, sizeof(*stock));
    struct colo_link *link = NULL;
    int rc = colo__link_fd_new(fd, &link, err); /* owns fd from here on */

    if (rc) goto out;
    if (!stock) {
        rc = colo__fail(err, COLO_E_NOMEM, 0, WHERE, "no memory");
        goto out;
    }
    rc = colo__acked_init(&stock->acked, colo__link_ops(link)->fd(link), err);
    if (rc) goto out;
    stock->link = link;
    *ret = stock;
    return 0;
out:
    if (link)
        colo__link_ops(link)->close(link);
    free(stock);
    return rc;
}

void colo__stock_close(struct colo_stock *stock)
{
    if (!stock)
        return;
    colo__link_ops(stock->link)->close(stock->link);
    free(stock);
}

int colo__stock_fd(const struct colo_stock *stock)
{
    return colo__link_ops(stock->link)->fd(stock->link);
}

bool colo__stock_armed(const struct colo_stock *stock)
{
    return stock->armed;
}

const char *colo__stock_word(const struct colo_stock *stock)
{
    return colo__acked_word(&stock->acked);
}

/* ---- order and errors --------------------------------------------------- */

static int check_stage(const struct colo_stock *stock, enum stage stage,
                       struct colo_error *err)
{
    if (stock->stage == stage)
        return 0;
    return colo__fail(err, COLO_E_STATE, 0, WHERE,
                      "not possible %s", stages[stock->stage]);
}

/* A stream that was begun and not ended cannot go on. */
static int broken(struct colo_stock *stock, int rc)
{
    stock->stage = STAGE_BROKEN;
    return rc;
}

static int send_all(struct colo_stock *stock, const struct iovec *parts,
                    int n, uint32_t timeout_ms, struct colo_error *err)
{
    size_t total = 0;
    int rc;

    for (int i = 0; i < n; i++)
        total += parts[i].iov_len;
    rc = colo__link_ops(stock->link)->send(stock->link, parts, n, timeout_ms,
                                           err);
    if (rc) {
        stock->torn = true;
        return broken(stock, rc);
    }
    colo__acked_wrote(&stock->acked, total);
    return 0;
}

static int send_bytes(struct colo_stock *stock, const void *p, size_t len,
                      uint32_t timeout_ms, struct colo_error *err)
{
    struct iovec part = { (void *)(uintptr_t)p, len };

    return send_all(stock, &part, 1, timeout_ms, err);
}

/* Time without progress, as everywhere: as long as the peer acknowledges
 * something, it is there. */
static int wait_acked(struct colo_stock *stock, uint32_t timeout_ms,
                      struct colo_error *err)
{
    const struct colo_clock *clock = &colo__clock_monotonic;
    struct colo_acked *acked = &stock->acked;

    for (;;) {
        uint64_t before = acked->acked;
        int rc = colo__acked_wait(acked, acked->written, clock,
                                  colo__now_us(clock) +
                                  (uint64_t)timeout_ms * 1000u, err);

        if (!rc)
            return 0;
        if (rc == COLO_E_TIMEOUT && acked->acked > before)
            continue;
        if (rc == COLO_E_TIMEOUT)
            rc = colo__fail(err, COLO_E_PEER, 0, WHERE,
                            "the peer has acknowledged nothing for %u ms",
                            timeout_ms);
        return broken(stock, rc);
    }
}

/* ---- greeting ----------------------------------------------------------- */

static int wait_banner(struct colo_stock *stock, uint32_t timeout_ms,
                       struct colo_error *err)
{
    uint8_t buf[COLO_XL_BANNER_LEN];
    size_t len = 0;

    for (;;) {
        size_t n = 0;
        int rc = colo__xl_banner(buf, len, err);

        if (rc)
            return rc < 0 ? rc : 0;
        rc = colo__link_ops(stock->link)->recv(stock->link, buf + len,
                                               sizeof(buf) - len, timeout_ms,
                                               &n, err);
        if (rc)
            return rc;
        len += n;
    }
}

int colo__stock_wait(struct colo_stock *stock, uint32_t timeout_ms,
                     struct colo_error *err)
{
    int rc = check_stage(stock, STAGE_OPEN, err);

    if (rc || stock->banner)
        return rc;
    rc = wait_banner(stock, timeout_ms, err);
    stock->banner = !rc;
    return rc ? broken(stock, rc) : 0;
}

int colo__stock_greet(struct colo_stock *stock, const char *config,
                      uint32_t len, uint32_t timeout_ms,
                      struct colo_error *err)
{
    uint8_t header[COLO_XL_HEADER + 4];
    struct iovec parts[2] = {
        { header, sizeof(header) },
        { (void *)(uintptr_t)config, (size_t)len + 1 },
    };
    int rc = check_stage(stock, STAGE_OPEN, err);

    if (rc)
        return rc;
    if (len >= COLO_XL_CONFIG_MAX || config[len])
        return colo__fail(err, COLO_E_LIMIT, 0, WHERE,
                          "a configuration of %u bytes", len);
    rc = colo__stock_wait(stock, timeout_ms, err);
    if (rc)
        return rc;
    rc = colo__xl_put_header(header, len + 1, err);
    if (rc)
        return broken(stock, rc);
    rc = send_all(stock, parts, 2, timeout_ms, err);
    if (!rc)
        stock->stage = STAGE_GREETED;
    return rc;
}

/* ---- seed --------------------------------------------------------------- */

/* Up to sent it went to the peer, up to the window's pos it was read and goes
 * as it is. */
struct seed {
    colo_stock_read_fn *read;
    void *user;
    size_t sent;
    struct colo_window window;
    struct colo_stream_reader reader;
};

/* Much at once: items are as small as a page. */
static int flush(struct colo_stock *stock, struct seed *seed,
                 uint32_t timeout_ms, struct colo_error *err)
{
    size_t from = seed->sent, to = seed->window.pos;

    seed->sent = to;
    return from == to ? 0 : send_bytes(stock, seed->window.buf + from,
                                       to - from, timeout_ms, err);
}

static int fill(struct seed *seed, struct colo_error *err)
{
    size_t room;
    uint8_t *p;
    int n, rc = colo__window_room(&seed->window, &p, &room, err);

    if (rc)
        return rc;
    seed->sent = 0; /* all of it was, and the rest is at the front */
    n = seed->read(seed->user, p, room, err);
    if (n < 0)
        return n;
    if (!n)
        return colo__fail(err, COLO_E_HV, 0, WHERE,
                          "the saved guest ends before its end");
    seed->window.len += (size_t)n;
    return 0;
}

/* One item; *ret_done: it was the last. */
static int pass_item(struct colo_stock *stock, struct seed *seed,
                     uint32_t timeout_ms, bool *ret_done,
                     struct colo_error *err)
{
    const uint8_t *raw = colo__window_at(&seed->window), *p = NULL;
    uint8_t spare[COLO_STREAM_HEAD];
    struct colo_stream_item item;
    int rc, used = colo__stream_read(&seed->reader, raw,
                                     colo__window_left(&seed->window), &item,
                                     err);

    if (used < 0)
        return used;
    if (!used) {
        rc = flush(stock, seed, timeout_ms, err);
        return rc ? rc : fill(seed, err);
    }
    stock->armed |= colo__stream_first_done(&item);
    rc = colo__stream_convert(&item, COLO_STREAM_REMUS, raw, spare, &p, err);
    if (!rc && p == spare) {
        rc = flush(stock, seed, timeout_ms, err);
        if (!rc)
            rc = send_bytes(stock, spare, (size_t)used, timeout_ms, err);
        seed->sent += (size_t)used;
    }
    seed->window.pos += (size_t)used;
    *ret_done = colo__stream_first_done(&item); /* which was replaced */
    return rc;
}

int colo__stock_seed(struct colo_stock *stock, uint8_t kind,
                     colo_stock_read_fn *read, void *user,
                     uint32_t timeout_ms, struct colo_error *err)
{
    struct seed *seed;
    bool done = false;
    int rc = check_stage(stock, STAGE_GREETED, err);

    if (rc)
        return rc;
    seed = calloc(1, sizeof(*seed));
    if (!seed)
        return broken(stock, colo__fail(err, COLO_E_NOMEM, 0, WHERE,
                                        "no memory for the seed"));
    seed->read = read;
    seed->user = user;
    rc = colo__window_init(&seed->window, COLO_STREAM_MAX_ITEM, err);
    colo__stream_reader_init(&seed->reader, kind, NULL);
    while (!rc && !done)
        rc = pass_item(stock, seed, timeout_ms, &done, err);
    if (!rc) /* an end that needed no change is still here */
        rc = flush(stock, seed, timeout_ms, err);
    if (!rc)
        rc = wait_acked(stock, timeout_ms, err);
    colo__window_fini(&seed->window);
    free(seed);
    stock->stage = rc ? STAGE_BROKEN : STAGE_CHECKPOINTS;
    return rc;
}

/* ---- checkpoints -------------------------------------------------------- */

static int send_frames(struct colo_stock *stock, const uint64_t *gfns,
                       const uint8_t *pages, uint32_t count,
                       uint32_t timeout_ms, struct colo_error *err)
{
    uint8_t head[COLO_STREAM_PAGES_HEAD(COLO_STREAM_MAX_PFNS)];
    int rc = check_stage(stock, STAGE_CHECKPOINTS, err);

    while (!rc && count) {
        uint32_t n = count < COLO_STREAM_MAX_PFNS ? count :
                     COLO_STREAM_MAX_PFNS;
        struct iovec parts[2] = { { head, 0 }, { NULL, 0 } };
        struct colo_stream_out out;

        colo__stream_out_init(&out, head, sizeof(head));
        colo__stream_out_frames(&out, gfns, n, !pages);
        rc = colo__stream_out_end(&out, &parts[0].iov_len, err);
        if (rc)
            return broken(stock, rc);
        if (pages) {
            parts[1].iov_base = (void *)(uintptr_t)pages;
            parts[1].iov_len = (size_t)n * COLO_PAGE_SIZE;
            pages += parts[1].iov_len;
        }
        rc = send_all(stock, parts, pages ? 2 : 1, timeout_ms, err);
        gfns += n;
        count -= n;
    }
    return rc;
}

int colo__stock_pages(struct colo_stock *stock, const uint64_t *gfns,
                      const uint8_t *pages, uint32_t count,
                      uint32_t timeout_ms, struct colo_error *err)
{
    return send_frames(stock, gfns, pages, count, timeout_ms, err);
}

int colo__stock_gone(struct colo_stock *stock, const uint64_t *gfns,
                     uint32_t count, uint32_t timeout_ms,
                     struct colo_error *err)
{
    return send_frames(stock, gfns, NULL, count, timeout_ms, err);
}

int colo__stock_commit(struct colo_stock *stock, const uint8_t *container,
                       uint32_t len, const char *store, uint32_t store_len,
                       uint32_t timeout_ms, struct colo_error *err)
{
    struct iovec parts[COLO_STREAM_TAIL_PARTS];
    uint8_t room[COLO_STREAM_TAIL_ROOM];
    int n = 0, rc = check_stage(stock, STAGE_CHECKPOINTS, err);

    if (!rc)
        rc = colo__stream_tail(container, len, store, store_len, room, parts,
                               &n, err);
    if (!rc)
        rc = send_all(stock, parts, n, timeout_ms, err);
    if (!rc)
        rc = wait_acked(stock, timeout_ms, err);
    return rc;
}

int colo__stock_piece(struct colo_stock *stock, const uint8_t *piece,
                      uint32_t len, uint32_t timeout_ms,
                      struct colo_error *err)
{
    int rc = check_stage(stock, STAGE_CHECKPOINTS, err);

    if (!rc)
        rc = colo__stream_check_piece(piece, len, 0, NULL, err);
    if (!rc)
        rc = send_bytes(stock, piece, len, timeout_ms, err);
    return rc ? rc : wait_acked(stock, timeout_ms, err);
}

/* ---- the end ---------------------------------------------------------- */

/* What it says meanwhile means nothing. */
static int wait_end(struct colo_stock *stock, uint32_t timeout_ms,
                    struct colo_error *err)
{
    const struct colo_clock *clock = &colo__clock_monotonic;
    uint64_t end = colo__now_us(clock) + (uint64_t)timeout_ms * 1000u;

    for (;;) {
        uint64_t now = colo__now_us(clock);
        struct colo_error why = { 0 };
        uint8_t buf[256];
        size_t n = 0;
        int rc;

        if (now >= end)
            return colo__fail(err, COLO_E_TIMEOUT, 0, WHERE,
                              "the peer has not ended within %u ms",
                              timeout_ms);
        rc = colo__link_ops(stock->link)->recv(
            stock->link, buf, sizeof(buf), (uint32_t)((end - now) / 1000) + 1,
            &n, &why);
        if (rc == COLO_E_PEER && !why.sys_errno)
            return 0; /* in order */
        if (rc && err)
            *err = why;
        if (rc && rc != COLO_E_TIMEOUT)
            return rc;
    }
}

int colo__stock_revoke(struct colo_stock *stock, uint32_t timeout_ms,
                       struct colo_error *err)
{
    uint8_t bytes[COLO_STREAM_REVOKE];
    int rc = 0;

    if (stock->armed && stock->torn)
        return colo__fail(err, COLO_E_STATE, 0, WHERE, "not possible %s",
                          stages[stock->stage]);
    colo__stream_revoke(bytes);
    if (stock->armed)
        rc = send_bytes(stock, bytes, sizeof(bytes), timeout_ms, err);
    else /* half a seed is no guest to xl either */
        (void)shutdown(colo__stock_fd(stock), SHUT_WR);
    if (!rc)
        rc = wait_end(stock, timeout_ms, err);
    return broken(stock, rc);
}
