/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See stream-epoch.h.
 */
#include <string.h>

#include "stream-epoch.h"

/* The parameters of a container, in its order. */
static const uint32_t params[COLO_HVMCTX_MAX_PARAMS] = { 19, 34, 36, 37 };

/* ---- to a stock peer ---------------------------------------------------- */

void colo__stream_out_frames(struct colo_stream_out *out,
                             const uint64_t *gfns, uint32_t count, bool gone)
{
    uint64_t entries[COLO_STREAM_MAX_PFNS];
    uint32_t n = count > COLO_STREAM_MAX_PFNS ? 0 : count;

    for (uint32_t i = 0; i < n; i++)
        entries[i] = colo__stream_entry(gfns[i], gone ? COLO_PAGE_NONE :
                                        COLO_PAGE_NORMAL);
    /* with a count that cannot be it refuses */
    colo__stream_out_pages(out, entries, count);
}

static void add_part(struct iovec *parts, int *n, const void *p, size_t len)
{
    parts[*n].iov_base = (void *)(uintptr_t)p;
    parts[*n].iov_len = len;
    *n += 1;
}

static void put_params(struct colo_stream_out *out,
                       const struct colo_hvmctx *ctx)
{
    uint32_t indices[COLO_HVMCTX_MAX_PARAMS];
    uint64_t values[COLO_HVMCTX_MAX_PARAMS];

    for (uint32_t i = 0; i < ctx->nr_params; i++) {
        indices[i] = ctx->params[i].index;
        values[i] = ctx->params[i].value;
    }
    colo__stream_out_params(out, indices, values, ctx->nr_params);
}

/* behind a body that was not copied */
static void put_zeros(struct colo_stream_out *out, uint32_t n)
{
    if (out->rc || n > out->cap - out->len)
        return; /* which does not happen: there is room for all heads */
    memset(out->buf + out->len, 0, n);
    out->len += n;
}

/* What is being put together: everything since begin is one part. */
struct tail {
    struct colo_stream_out out;
    struct iovec *parts;
    size_t begin;
    int n;
};

/* what was written until now, and a body that the caller has */
static void add_body(struct tail *tail, const void *body, uint32_t len,
                     uint32_t head)
{
    add_part(tail->parts, &tail->n, tail->out.buf + tail->begin,
             tail->out.len - tail->begin);
    add_part(tail->parts, &tail->n, body, len);
    tail->begin = tail->out.len;
    put_zeros(&tail->out, colo__stream_pad(head + len));
}

static void put_model(struct tail *tail, const struct colo_hvmctx *ctx,
                      const char *store, uint32_t store_len)
{
    if (store_len) {
        colo__stream_out_store_head(&tail->out, store, store_len);
        add_body(tail, store, store_len, COLO_STREAM_EMULATOR);
    }
    colo__stream_out_emulator(&tail->out, ctx->devices_len);
    add_body(tail, ctx->devices, ctx->devices_len, COLO_STREAM_EMULATOR);
}

int colo__stream_tail(const uint8_t *container, uint32_t len,
                      const char *store, uint32_t store_len, uint8_t *room,
                      struct iovec *parts, int *ret_parts,
                      struct colo_error *err)
{
    struct tail tail = { .parts = parts };
    struct colo_hvmctx ctx;
    size_t end;
    int rc = colo__hvmctx_parse(container, len, &ctx, err);

    if (rc)
        return rc;
    if (store_len && !ctx.devices)
        return colo__fail(err, COLO_E_INVAL, 0, "stream",
                          "a device model's pairs without a device model");
    colo__stream_out_init(&tail.out, room, COLO_STREAM_TAIL_ROOM);
    colo__stream_out_head(&tail.out, COLO_STREAM_LIBXC,
                          COLO_LIBXC_HVM_CONTEXT, ctx.context_len);
    add_body(&tail, ctx.context, ctx.context_len, 0);
    put_params(&tail.out, &ctx);
    colo__stream_out_record(&tail.out, COLO_STREAM_LIBXC,
                            COLO_LIBXC_CHECKPOINT, NULL, 0);
    if (ctx.devices)
        put_model(&tail, &ctx, store, store_len);
    colo__stream_out_record(&tail.out, COLO_STREAM_LIBXL,
                            COLO_LIBXL_CHECKPOINT_END, NULL, 0);
    rc = colo__stream_out_end(&tail.out, &end, err);
    if (rc)
        return rc;
    add_part(parts, &tail.n, room + tail.begin, end - tail.begin);
    *ret_parts = tail.n;
    return 0;
}

/* Not by stream-write.h, which refuses to write what no reader takes. */
void colo__stream_revoke(uint8_t bytes[COLO_STREAM_REVOKE])
{
    memset(bytes, 0, COLO_STREAM_REVOKE);
    colo__put_le(bytes, COLO_LIBXC_PAGE_DATA, 4);
    colo__put_le(bytes + 4, 8, 4); /* a count of 0 */
    colo__put_le(bytes + 16, COLO_LIBXC_CHECKPOINT, 4);
    colo__put_le(bytes + 24, COLO_LIBXL_CHECKPOINT_END, 4);
}

/* ---- from a stock peer -------------------------------------------------- */

void colo__stream_gather_init(struct colo_stream_gather *gather, uint8_t *buf,
                              uint32_t cap)
{
    memset(gather, 0, sizeof(*gather));
    gather->buf = buf;
    gather->cap = cap < COLO_HVMCTX_MAX ? cap : COLO_HVMCTX_MAX;
}

/* room: before it, in buf */
static int take_blob(struct colo_stream_gather *gather, uint32_t room,
                     const uint8_t *body, uint32_t len, uint32_t *ret_len,
                     struct colo_error *err)
{
    if (room > gather->cap || len > gather->cap - room)
        return colo__fail(err, COLO_E_LIMIT, 0, "stream",
                          "a machine of %llu bytes, this build takes %u",
                          (unsigned long long)room + len, gather->cap);
    memcpy(gather->buf + room, body, len);
    *ret_len = len;
    return 0;
}

static void take_params(struct colo_stream_gather *gather,
                        const uint8_t *body, uint32_t len)
{
    for (uint32_t at = 8; at < len; at += 16) {
        for (size_t i = 0; i < COLO_ARRAY_LEN(params); i++) {
            if (colo__le64(body + at) == params[i])
                gather->params[i] = colo__le64(body + at + 8);
        }
    }
}

int colo__stream_gather_add(struct colo_stream_gather *gather,
                            const struct colo_stream_item *item,
                            struct colo_error *err)
{
    uint32_t room = colo__hvmctx_room(COLO_HVMCTX_MAX_PARAMS);

    if (item->kind == COLO_ITEM_HEADER && item->layer == COLO_STREAM_LIBXC)
        gather->xen_version = (uint32_t)item->xen_major << 16 |
                              item->xen_minor;
    if (item->kind != COLO_ITEM_RECORD)
        return 0;
    if (item->layer == COLO_STREAM_LIBXC &&
        item->type == COLO_LIBXC_HVM_CONTEXT)
        return take_blob(gather, room, item->body, item->len,
                         &gather->context_len, err);
    if (item->layer == COLO_STREAM_LIBXC &&
        item->type == COLO_LIBXC_HVM_PARAMS)
        take_params(gather, item->body, item->len);
    /* the context is behind libxc's CHECKPOINT, so its length is known */
    if (item->layer == COLO_STREAM_LIBXL &&
        item->type == COLO_LIBXL_EMULATOR_CONTEXT)
        return take_blob(gather, room + gather->context_len +
                         COLO_HVMCTX_DEVICES,
                         item->body + COLO_STREAM_EMULATOR,
                         item->len - COLO_STREAM_EMULATOR,
                         &gather->devices_len, err);
    return 0;
}

int colo__stream_gather_end(struct colo_stream_gather *gather,
                            uint32_t *ret_len, struct colo_error *err)
{
    struct colo_hvmctx_param list[COLO_HVMCTX_MAX_PARAMS];
    uint32_t room = colo__hvmctx_room(COLO_HVMCTX_MAX_PARAMS), len;
    struct colo_hvmctx ctx;
    int rc;

    if (room + gather->context_len > gather->cap)
        return colo__fail(err, COLO_E_LIMIT, 0, "stream",
                          "no room for a machine");
    for (size_t i = 0; i < COLO_ARRAY_LEN(list); i++) {
        list[i].index = params[i];
        list[i].value = gather->params[i];
    }
    colo__hvmctx_put_header(gather->buf, gather->xen_version, list,
                            COLO_HVMCTX_MAX_PARAMS, gather->context_len);
    len = room + gather->context_len;
    if (gather->devices_len) {
        colo__hvmctx_put_devices(gather->buf, gather->buf + len,
                                 gather->devices_len);
        len += COLO_HVMCTX_DEVICES + gather->devices_len;
    }
    gather->context_len = gather->devices_len = 0;
    rc = colo__hvmctx_parse(gather->buf, len, &ctx, err);
    if (!rc)
        *ret_len = len;
    return rc;
}
