/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See hv-gate.h.
 */
#include <string.h>

#include "../stream-piece.h"
#include "hv-gate.h"
#include "pure/hvmctx.h"

struct colo_hv {
    const struct colo_hv_ops *ops;
};

static int nothing_there(struct colo_hv *hv, const uint64_t *gfns, size_t n,
                         uint8_t *dst, uint8_t *kinds, struct colo_error *err)
{
    (void)hv;
    (void)gfns;
    (void)dst;
    (void)err;
    memset(kinds, COLO_PAGE_GONE, n);
    return 0;
}

static int check(struct colo_hv *hv, const uint8_t *buf, uint32_t len,
                 struct colo_error *err)
{
    struct colo_hvmctx ctx;

    (void)hv;
    return colo__hvmctx_parse(buf, len, &ctx, err);
}

static int check_piece(struct colo_hv *hv, const uint8_t *buf, uint32_t len,
                       struct colo_error *err)
{
    (void)hv;
    return colo__stream_check_piece(buf, len, 0, NULL, err);
}

static const struct colo_machine_ops machine[] = {
    { .check = check }, { .check = check_piece },
};
static const struct colo_hv_ops ops[] = {
    { .read = nothing_there, .machine = &machine[0] },
    { .read = nothing_there, .machine = &machine[1] },
};
static const struct colo_hv hv[] = { { &ops[0] }, { &ops[1] } };

struct colo_hv *hv_gate(bool streamed)
{
    return (struct colo_hv *)(uintptr_t)&hv[streamed];
}
