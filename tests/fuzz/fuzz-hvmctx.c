/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Input: a machine state as a peer sends it.
 */
#include "fuzz.h"

#include "pure/hvmctx.h"

/* What was taken apart is put together again, as the sender does it. */
static void put_devices_again(const uint8_t *data, size_t size,
                              const struct colo_hvmctx *ctx)
{
    uint8_t *copy = fuzz_copy(data, size);
    uint32_t at = (uint32_t)(ctx->devices - data) - COLO_HVMCTX_DEVICES;
    struct colo_hvmctx again;
    struct colo_error err;

    colo__hvmctx_put_header(copy, ctx->xen_version, ctx->params,
                            ctx->nr_params, ctx->context_len);
    colo__hvmctx_put_devices(copy, copy + at, ctx->devices_len);
    MUST(!memcmp(copy, data, size));
    MUST(!colo__hvmctx_parse(copy, (uint32_t)size, &again, &err));
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct colo_hvmctx ctx = { .nr_vcpus = 0xdead };
    uint8_t *copy = fuzz_copy(data, size), *trimmed;
    struct colo_error err;
    uint32_t len;
    int rc;

    /* any bytes, also those that parse would refuse */
    trimmed = fuzz_copy(data, size);
    len = colo__hvmctx_trim_lapic(trimmed, (uint32_t)size, 24);
    MUST(len <= size);
    (void)colo__hvmctx_record_len(data, (uint32_t)size, COLO_HVMCTX_LAPIC);
    free(trimmed);

    rc = colo__hvmctx_parse(copy, (uint32_t)size, &ctx, &err);
    if (rc) {
        fuzz_check_error(&err, rc);
        MUST(ctx.nr_vcpus == 0xdead);
        free(copy);
        return 0;
    }
    MUST(ctx.nr_params <= COLO_HVMCTX_MAX_PARAMS && ctx.nr_vcpus);
    if (ctx.devices) {
        MUST(ctx.devices_len >= 4 && !memcmp(ctx.devices, "QEVM", 4));
        MUST(ctx.context + ctx.context_len + COLO_HVMCTX_DEVICES ==
             ctx.devices);
        MUST(ctx.devices + ctx.devices_len == copy + size);
        put_devices_again(copy, size, &ctx);
    } else {
        MUST(ctx.context + ctx.context_len == copy + size);
    }
    /* what was good stays good when it is cut for an older host */
    len = colo__hvmctx_trim_lapic(copy + (ctx.context - copy),
                                  ctx.context_len, 24);
    colo__hvmctx_put_header(copy, ctx.xen_version, ctx.params, ctx.nr_params,
                            len);
    MUST(!colo__hvmctx_parse(copy, colo__hvmctx_room(ctx.nr_params) + len,
                             &ctx, &err));
    rc = colo__hvmctx_record_len(ctx.context, ctx.context_len,
                                 COLO_HVMCTX_LAPIC);
    MUST(rc == -1 || rc == 24);
    free(copy);
    return 0;
}
