/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See hv-gate.h.
 */
#include <string.h>

#include "hv-gate.h"
#include "hv/hvmctx.h"

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

static const struct colo_machine_ops machine = { .check = check };
static const struct colo_hv_ops ops = {
    .read = nothing_there, .machine = &machine,
};
static const struct colo_hv hv = { &ops };

struct colo_hv *hv_gate(void)
{
    return (struct colo_hv *)(uintptr_t)&hv;
}
