/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See stock-receive.h.
 */
#include <stdlib.h>
#include <string.h>

#include "link/link.h"
#include "stock-receive.h"
#include "stream-convert.h"
#include "stream-epoch.h"
#include "window.h"
#include "xl-header.h"

#define WHERE "stock"

enum stage { STAGE_OPEN, STAGE_SEEDED, STAGE_BROKEN };

struct colo_stock_rx {
    struct colo_link *link;
    struct colo_window window;
    struct colo_stream_reader reader;
    uint32_t xen_version;
    enum stage stage;
};

int colo__stock_rx_open(int fd, uint64_t max_pfn, struct colo_stock_rx **ret,
                        struct colo_error *err)
{
    const struct colo_stream_limits limits = { .max_pfn = max_pfn };
    struct colo_stock_rx *rx = calloc(1, sizeof(*rx));
    struct colo_link *link = NULL;
    int rc = colo__link_fd_new(fd, &link, err); /* owns fd from here on */

    if (rc) goto out;
    if (!rx) {
        rc = colo__fail(err, COLO_E_NOMEM, 0, WHERE, "no memory");
        goto out;
    }
    rc = colo__window_init(&rx->window, COLO_STREAM_MAX_ITEM, err);
    if (rc) goto out;
    colo__stream_reader_init(&rx->reader, COLO_STREAM_REMUS, &limits);
    rx->link = link;
    *ret = rx;
    return 0;
out:
    if (link)
        colo__link_ops(link)->close(link);
    free(rx);
    return rc;
}

void colo__stock_rx_close(struct colo_stock_rx *rx)
{
    if (!rx)
        return;
    colo__link_ops(rx->link)->close(rx->link);
    colo__window_fini(&rx->window);
    free(rx);
}

int colo__stock_rx_fd(struct colo_stock_rx *rx)
{
    return colo__link_ops(rx->link)->fd(rx->link);
}

bool colo__stock_rx_pending(const struct colo_stock_rx *rx)
{
    return colo__window_left(&rx->window) > 0;
}

static int broken(struct colo_stock_rx *rx, int rc)
{
    rx->stage = STAGE_BROKEN;
    return rc;
}

static int check_stage(const struct colo_stock_rx *rx, enum stage stage,
                       struct colo_error *err)
{
    static const char *const names[] = {
        [STAGE_OPEN] = "before the seed", [STAGE_SEEDED] = "after the seed",
        [STAGE_BROKEN] = "after an error",
    };

    if (rx->stage == stage)
        return 0;
    return colo__fail(err, COLO_E_STATE, 0, WHERE, "not possible %s",
                      names[rx->stage]);
}

/* More bytes, at least one. */
static int fill(struct colo_stock_rx *rx, uint32_t timeout_ms,
                struct colo_error *err)
{
    size_t room = 0, n = 0;
    uint8_t *p = NULL;
    int rc = colo__window_room(&rx->window, &p, &room, err);

    if (rc)
        return rc;
    rc = colo__link_ops(rx->link)->recv(rx->link, p, room, timeout_ms, &n,
                                        err);
    if (!rc)
        rx->window.len += n;
    return rc;
}

/* ---- greeting ----------------------------------------------------------- */

static int read_config(struct colo_stock_rx *rx, char **ret,
                       uint32_t timeout_ms, struct colo_error *err)
{
    const char *config = NULL;
    uint32_t rest = 0;
    int rc, used;

    while (!(used = colo__xl_header(colo__window_at(&rx->window),
                                    colo__window_left(&rx->window), &rest,
                                    err))) {
        rc = fill(rx, timeout_ms, err);
        if (rc)
            return rc;
    }
    if (used < 0)
        return used;
    rx->window.pos += (size_t)used;
    while (colo__window_left(&rx->window) < rest) {
        rc = fill(rx, timeout_ms, err);
        if (rc)
            return rc;
    }
    rc = colo__xl_config(colo__window_at(&rx->window), rest, &config, err);
    if (rc)
        return rc;
    *ret = strdup(config);
    rx->window.pos += rest;
    return *ret ? 0 : colo__fail(err, COLO_E_NOMEM, 0, WHERE, "no memory");
}

int colo__stock_rx_greet(struct colo_stock_rx *rx, char **ret,
                         uint32_t timeout_ms, struct colo_error *err)
{
    static const char banner[] = COLO_XL_BANNER;
    const struct iovec part = { (void *)(uintptr_t)banner,
                                COLO_XL_BANNER_LEN };
    int rc = check_stage(rx, STAGE_OPEN, err);

    if (rc)
        return rc;
    rc = colo__link_ops(rx->link)->send(rx->link, &part, 1, timeout_ms, err);
    if (!rc)
        rc = read_config(rx, ret, timeout_ms, err);
    return rc ? broken(rx, rc) : 0;
}

/* ---- seed --------------------------------------------------------------- */

static void note_version(struct colo_stock_rx *rx,
                         const struct colo_stream_item *item)
{
    if (item->kind == COLO_ITEM_HEADER && item->layer == COLO_STREAM_LIBXC)
        rx->xen_version = (uint32_t)item->xen_major << 16 | item->xen_minor;
}

int colo__stock_rx_seed(struct colo_stock_rx *rx, colo_stock_write_fn *write,
                        void *user, uint32_t timeout_ms,
                        struct colo_error *err)
{
    bool done = false;
    int rc = check_stage(rx, STAGE_OPEN, err);

    if (rc)
        return rc;
    while (!rc && !done) {
        const uint8_t *raw = colo__window_at(&rx->window), *p = NULL;
        uint8_t spare[COLO_STREAM_HEAD];
        struct colo_stream_item item;
        int used = colo__stream_read(&rx->reader, raw,
                                     colo__window_left(&rx->window), &item,
                                     err);

        if (used < 0)
            rc = used;
        else if (!used)
            rc = fill(rx, timeout_ms, err);
        if (used <= 0)
            continue;
        note_version(rx, &item);
        rc = colo__stream_convert(&item, COLO_STREAM_PLAIN, raw, spare, &p,
                                  err);
        if (!rc)
            rc = write(user, p, (size_t)used, err);
        rx->window.pos += (size_t)used;
        done = colo__stream_first_done(&item);
    }
    rx->stage = rc ? STAGE_BROKEN : STAGE_SEEDED;
    return rc;
}

/* ---- checkpoints -------------------------------------------------------- */

static int take_page(struct colo_epoch *epoch,
                     const struct colo_stream_item *item,
                     struct colo_error *err)
{
    if (epoch->count == epoch->cap)
        return colo__fail(err, COLO_E_LIMIT, 0, WHERE,
                          "a checkpoint of more than %llu pages",
                          (unsigned long long)epoch->cap);
    memcpy(colo__epoch_page(epoch, epoch->count), item->body,
           COLO_PAGE_SIZE);
    epoch->gfns[epoch->count++] = colo__stream_pfn(item->entry);
    if (epoch->touched < epoch->count)
        epoch->touched = epoch->count;
    return 0;
}

static int take_item(struct colo_epoch *epoch,
                     struct colo_stream_gather *gather,
                     const struct colo_stream_item *item,
                     struct colo_error *err)
{
    if (!epoch)
        return 0; /* skipped */
    if (item->kind == COLO_ITEM_PAGE)
        return take_page(epoch, item, err);
    return colo__stream_gather_add(gather, item, err);
}

/* *ret_begun: something of it has come */
static int read_epoch(struct colo_stock_rx *rx, struct colo_epoch *epoch,
                      struct colo_stream_gather *gather, uint32_t timeout_ms,
                      bool *ret_begun, struct colo_error *err)
{
    for (;;) {
        struct colo_stream_item item;
        int rc = 0, used = colo__stream_read(&rx->reader,
                                             colo__window_at(&rx->window),
                                             colo__window_left(&rx->window),
                                             &item, err);

        *ret_begun |= colo__window_left(&rx->window) > 0;
        if (used < 0)
            return used;
        if (!used)
            rc = fill(rx, timeout_ms, err);
        else
            rc = take_item(epoch, gather, &item, err);
        if (rc)
            return rc;
        rx->window.pos += (size_t)used;
        if (used && colo__stream_first_done(&item))
            return 0;
    }
}

int colo__stock_rx_epoch(struct colo_stock_rx *rx, struct colo_epoch *epoch,
                         uint32_t timeout_ms, struct colo_error *err)
{
    struct colo_stream_gather gather;
    bool begun = false;
    uint8_t *state;
    int rc = check_stage(rx, STAGE_SEEDED, err);

    if (rc)
        return rc;
    if (rx->reader.guest != COLO_STREAM_HVM)
        return colo__fail(err, COLO_E_UNSUPPORTED, 0, WHERE,
                          "checkpoints of a PV guest are libxl's business");
    state = colo__epoch_state_room(epoch, COLO_HVMCTX_MAX);
    if (!state)
        return colo__fail(err, COLO_E_NOMEM, 0, WHERE,
                          "no memory for the machine");
    colo__stream_gather_init(&gather, state, COLO_HVMCTX_MAX);
    gather.xen_version = rx->xen_version;
    rc = read_epoch(rx, epoch, &gather, timeout_ms, &begun, err);
    if (rc == COLO_E_TIMEOUT && !begun)
        return rc;
    if (!rc)
        rc = colo__stream_gather_end(&gather, &epoch->state_len, err);
    return rc ? broken(rx, rc) : 0;
}

int colo__stock_rx_skip(struct colo_stock_rx *rx, uint32_t timeout_ms,
                        struct colo_error *err)
{
    bool begun = false;
    int rc = check_stage(rx, STAGE_SEEDED, err);

    if (rc)
        return rc;
    rc = read_epoch(rx, NULL, NULL, timeout_ms, &begun, err);
    if (rc == COLO_E_TIMEOUT && !begun)
        return rc;
    return rc ? broken(rx, rc) : 0;
}
