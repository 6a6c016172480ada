/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See bulk-read.h.
 */
#include "bulk-read.h"

#define SLICE_MS 200 /* how soon abort is noticed */

static uint64_t deadline(const struct colo_bulk_read *r)
{
    return r->timeout_ms ? colo__now_us(r->clock) +
                           (uint64_t)r->timeout_ms * 1000 : COLO_NEVER;
}

static int read_full(const struct colo_bulk_read *r, uint8_t *to, size_t len,
                     struct colo_error *err)
{
    uint64_t until = deadline(r);

    while (len) {
        size_t got = 0;
        int rc;

        if (atomic_load(r->abort))
            return colo__fail(err, COLO_E_STATE, 0, r->where, "aborted");
        rc = colo__link_ops(r->link)->recv(r->link, to, len, SLICE_MS, &got,
                                           err);
        if (rc && rc != COLO_E_TIMEOUT)
            return rc;
        if (rc && colo__now_us(r->clock) >= until)
            return colo__fail(err, COLO_E_TIMEOUT, 0, r->where,
                              "%s within %u ms", r->silent, r->timeout_ms);
        if (got) {
            until = deadline(r);
            if (r->heard_us)
                atomic_store(r->heard_us, colo__now_us(r->clock));
        }
        to += got;
        len -= got;
    }
    return 0;
}

int colo__bulk_read(const struct colo_bulk_read *r, struct colo_msg *ret_msg,
                    struct colo_error *err)
{
    int64_t whole, used;
    int rc;

    rc = read_full(r, r->buf, COLO_WIRE_HEADER, err);
    if (rc)
        return rc;
    whole = colo__wire_peek(r->buf, COLO_WIRE_HEADER, r->max_body, err);
    if (whole < 0)
        return (int)whole;
    rc = read_full(r, r->buf + COLO_WIRE_HEADER,
                   (size_t)whole - COLO_WIRE_HEADER, err);
    if (rc)
        return rc;
    used = colo__wire_parse(r->buf, (size_t)whole, r->max_body, ret_msg, err);
    return used < 0 ? (int)used : 0;
}
