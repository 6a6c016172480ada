/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Input: a byte for the mode, a byte for the size of the pieces, then a stream
 * of Xen.  Read in pieces and at once it is the same; what was converted can be
 * read; a machine that was gathered from it is one; what is taken for a piece
 * is exactly one checkpoint.
 */
#include "fuzz.h"

#include "../../remus-compat/stream-convert.h"
#include "../../remus-compat/stream-epoch.h"
#include "../../remus-compat/stream-piece.h"

struct result {
    uint64_t sum;   /* of all that was handed out */
    int rc;
    bool done;      /* the first checkpoint, or the end */
    size_t first;   /* bytes until then */
};

static void check_item(const struct colo_stream_reader *reader,
                       const struct colo_stream_item *item,
                       const uint8_t *at, int used)
{
    MUST(item->kind >= COLO_ITEM_HEADER && item->kind <= COLO_ITEM_SKIPPED);
    if (item->body)
        MUST(item->body >= at && item->body + item->len <= at + used);
    if (item->kind == COLO_ITEM_RECORD) {
        MUST(item->rule && item->rule->type == item->type);
        MUST(item->rule->modes & reader->mode);
        MUST(item->count <= COLO_STREAM_MAX_PFNS);
    }
    if (item->kind == COLO_ITEM_PAGE) {
        MUST(item->len == COLO_PAGE_SIZE);
        MUST(colo__stream_has_data(colo__stream_page_type(item->entry)));
        MUST(colo__stream_pfn(item->entry) <= 0xfffff);
    }
}

static void add(struct result *r, const struct colo_stream_item *item,
                const uint8_t *at, int used)
{
    if (item->kind == COLO_ITEM_SKIPPED)
        return; /* comes in any pieces */
    r->sum = r->sum * 31 + (uint64_t)item->kind * 7 + item->type;
    for (int i = 0; i < used; i++)
        r->sum = r->sum * 31 + at[i];
}

static struct result run(uint8_t mode, const uint8_t *data, size_t size,
                         size_t step)
{
    const struct colo_stream_limits limits = { .max_pfn = 0xfffff };
    struct result r = { 0 };
    struct colo_stream_reader *reader = malloc(sizeof(*reader));
    size_t pos = 0, have = 0;
    struct colo_error err;

    MUST(reader);
    colo__stream_reader_init(reader, mode, &limits);
    for (;;) {
        /* exactly what has arrived, so that a sanitizer sees more */
        uint8_t *copy = fuzz_copy(data + pos, have - pos);
        struct colo_stream_item item = { .kind = 77 };
        int used = colo__stream_read(reader, copy, have - pos, &item, &err);

        if (used > 0) {
            MUST((size_t)used <= have - pos);
            check_item(reader, &item, copy, used);
            add(&r, &item, copy, used);
        } else {
            MUST(item.kind == 77);
        }
        free(copy);
        if (used < 0) {
            fuzz_check_error(&err, used);
            r.rc = used;
            MUST(colo__stream_read(reader, data, size, &item, &err) ==
                 COLO_E_STATE);
            break;
        }
        pos += (size_t)used;
        if (used && !r.done && colo__stream_first_done(&item)) {
            r.done = true;
            r.first = pos;
        }
        if (used)
            continue;
        if (have == size)
            break;
        have = have + step < size ? have + step : size;
    }
    MUST(!r.done || mode == COLO_STREAM_PLAIN || reader->checkpoints);
    if (!r.rc && r.done)
        MUST(colo__stream_ended(reader, &err) == 0);
    free(reader);
    return r;
}

#define GATHER_ROOM 8192u

/* The machine of each checkpoint, in an exact buffer. */
static void gather(uint8_t mode, const uint8_t *data, size_t size)
{
    uint8_t *buf = fuzz_copy(data, size > GATHER_ROOM ? GATHER_ROOM : size);
    struct colo_stream_reader *reader = malloc(sizeof(*reader));
    struct colo_stream_gather g;
    struct colo_error err;
    size_t pos = 0;

    MUST(reader);
    colo__stream_gather_init(&g, buf, size > GATHER_ROOM ? GATHER_ROOM :
                             (uint32_t)size);
    colo__stream_reader_init(reader, mode, NULL);
    for (;;) {
        struct colo_stream_item item;
        struct colo_hvmctx ctx;
        uint32_t len = 0;
        int used = colo__stream_read(reader, data + pos, size - pos, &item,
                                     NULL), rc;

        if (used <= 0)
            break;
        pos += (size_t)used;
        rc = colo__stream_gather_add(&g, &item, &err);
        if (!rc && colo__stream_first_done(&item)) {
            rc = colo__stream_gather_end(&g, &len, &err);
            if (!rc)
                MUST(!colo__hvmctx_parse(buf, len, &ctx, NULL));
        }
        if (rc)
            fuzz_check_error(&err, rc);
    }
    free(reader);
    free(buf);
}

/* size bytes that are whole become a stream of the other kind */
static void convert(uint8_t mode, const uint8_t *data, size_t size)
{
    uint8_t to = mode == COLO_STREAM_PLAIN ? COLO_STREAM_REMUS :
                 COLO_STREAM_PLAIN;
    const struct colo_stream_limits limits = { .max_pfn = 0xfffff };
    struct colo_stream_reader *reader = malloc(sizeof(*reader));
    uint8_t *out = malloc(size);
    struct result r;
    size_t pos = 0;

    MUST(reader && out);
    colo__stream_reader_init(reader, mode, &limits);
    while (pos < size) {
        uint8_t spare[COLO_STREAM_HEAD];
        struct colo_stream_item item;
        const uint8_t *p = NULL;
        int used = colo__stream_read(reader, data + pos, size - pos, &item,
                                     NULL);

        MUST(used > 0);
        if (colo__stream_convert(&item, to, data + pos, spare, &p, NULL))
            goto out; /* VERIFY */
        memcpy(out + pos, p, (size_t)used);
        pos += (size_t)used;
    }
    r = run(to, out, size, size);
    MUST(!r.rc && r.done && r.first == size);
out:
    free(out);
    free(reader);
}

/* What is behind the first checkpoint may be the second one of a PV guest. */
static void piece(const uint8_t *data, size_t size)
{
    uint64_t pages = UINT64_MAX;
    struct colo_error err;
    uint32_t len = size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
    uint8_t *copy;
    int rc;

    if (!size)
        return;
    copy = fuzz_copy(data, size);
    rc = colo__stream_check_piece(copy, len, 0xfffff, &pages, &err);
    if (rc) {
        fuzz_check_error(&err, rc);
        MUST(pages == UINT64_MAX);
    } else {
        MUST(pages * COLO_PAGE_SIZE < len);
        MUST(colo__stream_check_piece(copy, len - 1, 0xfffff, NULL, NULL));
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t modes[] = {
        COLO_STREAM_PLAIN, COLO_STREAM_REMUS, COLO_STREAM_COLO,
    };
    struct result whole, pieces;
    uint8_t mode;

    if (size < 2)
        return 0;
    mode = modes[data[0] % 3];
    whole = run(mode, data + 2, size - 2, size);
    pieces = run(mode, data + 2, size - 2, 64 + data[1] * (size_t)16);
    MUST(whole.sum == pieces.sum && whole.rc == pieces.rc);
    MUST(whole.done == pieces.done && whole.first == pieces.first);
    if (whole.done)
        convert(mode, data + 2, whole.first);
    gather(mode, data + 2, size - 2);
    piece(data + 2, size - 2);
    if (whole.done)
        piece(data + 2 + whole.first, size - 2 - whole.first);
    return 0;
}
