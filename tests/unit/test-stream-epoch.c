/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A checkpoint in libcolo's form becomes records of stock Xen, and those become
 * the same checkpoint again.
 */
#include "stream-common.h"

#include "../../remus-compat/stream-convert.h"
#include "../../remus-compat/stream-epoch.h"

static struct stream s;
static struct colo_error err;
static uint8_t container[32 * 1024], back[64 * 1024];

static void add_record(uint32_t *len, uint32_t type, uint32_t size)
{
    uint8_t *p = container + *len;

    colo__put_le(p, type, 2);
    colo__put_le(p + 2, 0, 2);
    colo__put_le(p + 4, size, 4);
    memset(p + 8, (int)(0x10 + type), size);
    *len += 8 + size;
}

/* a guest of one CPU; its context is no multiple of 8 long */
static uint32_t make(uint32_t devices, uint64_t width)
{
    const struct colo_hvmctx_param params[] = {
        { 37, UINT64_C(0x123456789abc) }, { 36, width },
    };
    uint32_t room = colo__hvmctx_room(2), len = room;

    add_record(&len, 1, 24);
    add_record(&len, 2, 1032);
    add_record(&len, 5, 24);
    add_record(&len, 16, 24 + 577);
    add_record(&len, 0, 0);
    colo__hvmctx_put_header(container, 4 << 16 | 17, params, 2, len - room);
    if (devices) {
        colo__hvmctx_put_devices(container, container + len, devices);
        len += COLO_HVMCTX_DEVICES;
        memset(container + len, 'd', devices);
        memcpy(container + len, "QEVM", 4);
        len += devices;
    }
    return len;
}

/* pages, gone frames, then the tail of the container */
static const char pairs[] = "physmap/f0/name\0vga.vram\0physmap/f0/size\0" "8";
static uint32_t pairs_len; /* 0: they are not sent */

static void put_epoch(uint32_t len)
{
    static const uint64_t gfns[] = { 5, 6, 0x100000 };
    static const uint64_t gone[] = { 7, 8 };
    struct iovec parts[COLO_STREAM_TAIL_PARTS];
    uint8_t room[COLO_STREAM_TAIL_ROOM];
    int n = 0;

    colo__stream_out_frames(&s.out, gfns, 3, false);
    stream_raw(&s, 0x55, 3 * COLO_PAGE_SIZE);
    colo__stream_out_frames(&s.out, gone, 2, true);
    ck_assert_msg(!colo__stream_tail(container, len, pairs, pairs_len, room,
                                     parts, &n, &err), "%s", err.text);
    ck_assert_int_le(n, COLO_STREAM_TAIL_PARTS);
    for (int i = 0; i < n; i++) {
        ck_assert_uint_le(parts[i].iov_len, s.out.cap - s.out.len);
        memcpy(s.bytes + s.out.len, parts[i].iov_base, parts[i].iov_len);
        s.out.len += parts[i].iov_len;
    }
}

static struct colo_stream_gather gather;
static int pages, nones, stores;

/* the whole stream; what the last checkpoint's machine is */
static int take(uint32_t cap, uint32_t *ret_len)
{
    static struct colo_stream_reader reader;
    size_t pos = 0;
    int rc = 0;

    pages = nones = stores = 0;
    colo__stream_gather_init(&gather, back, cap);
    colo__stream_reader_init(&reader, COLO_STREAM_REMUS, NULL);
    while (!rc && pos < s.len) {
        struct colo_stream_item item;
        int used = colo__stream_read(&reader, s.bytes + pos, s.len - pos,
                                     &item, &err);

        ck_assert_msg(used > 0, "at %zu: %s", pos, err.text);
        pos += (size_t)used;
        pages += item.kind == COLO_ITEM_PAGE;
        if (item.rule && item.layer == COLO_STREAM_LIBXL &&
            item.type == COLO_LIBXL_EMULATOR_XENSTORE_DATA) {
            ck_assert_uint_eq(item.len, 8 + sizeof(pairs));
            ck_assert_mem_eq(item.body + 8, pairs, sizeof(pairs));
            stores++;
        }
        for (uint32_t i = 0; i < item.count; i++)
            nones += colo__stream_page_type(item.entries[i]) ==
                     COLO_PAGE_NONE;
        rc = colo__stream_gather_add(&gather, &item, &err);
        if (!rc && colo__stream_first_done(&item))
            rc = colo__stream_gather_end(&gather, ret_len, &err);
    }
    return rc;
}

static void check_same(uint32_t len)
{
    struct colo_hvmctx a, b;
    uint32_t got = 0;

    ck_assert_msg(!take(sizeof(back), &got), "%s", err.text);
    ck_assert_int_eq(colo__hvmctx_parse(container, len, &a, &err), 0);
    ck_assert_int_eq(colo__hvmctx_parse(back, got, &b, &err), 0);
    ck_assert_uint_eq(b.xen_version, a.xen_version);
    ck_assert_uint_eq(b.context_len, a.context_len);
    ck_assert_mem_eq(b.context, a.context, a.context_len);
    ck_assert_uint_eq(b.devices_len, a.devices_len);
    if (a.devices)
        ck_assert_mem_eq(b.devices, a.devices, a.devices_len);
    /* all of them, those that did not come as 0 */
    ck_assert_uint_eq(b.nr_params, 4);
    ck_assert_uint_eq(b.params[0].value, 0);
    ck_assert_uint_eq(b.params[3].index, 37);
    ck_assert_uint_eq(b.params[3].value, a.params[0].value);
    ck_assert_uint_eq(b.params[2].value, a.params[1].value);
}

START_TEST(test_both_ways)
{
    static const uint32_t devices[] = { 0, 1000, 1003 };

    for (size_t i = 0; i < COLO_ARRAY_LEN(devices); i++) {
        uint32_t len = make(devices[i], 8);

        stream_begin(&s);
        stream_head(&s, COLO_STREAM_HVM);
        put_epoch(len);
        put_epoch(len);
        stream_end(&s);
        check_same(len);
        ck_assert_int_eq(pages, 6);
        ck_assert_int_eq(nones, 4);
    }
}
END_TEST

/* the device model's pairs of any length before its state */
START_TEST(test_store)
{
    struct iovec parts[COLO_STREAM_TAIL_PARTS];
    uint8_t room[COLO_STREAM_TAIL_ROOM];
    uint32_t len = make(1003, 8);
    int n = 77;

    stream_begin(&s);
    stream_head(&s, COLO_STREAM_HVM);
    pairs_len = sizeof(pairs);
    put_epoch(len);
    pairs_len = 0;
    put_epoch(len);
    stream_end(&s);
    check_same(len);
    ck_assert_int_eq(stores, 1);
    ck_assert_int_eq(colo__stream_tail(container, len, pairs,
                                       sizeof(pairs) - 1, room, parts, &n,
                                       &err), COLO_E_INVAL);
    len = make(0, 8);
    ck_assert_int_eq(colo__stream_tail(container, len, pairs, sizeof(pairs),
                                       room, parts, &n, &err), COLO_E_INVAL);
    ck_assert_int_eq(n, 77);
}
END_TEST

/* of two checkpoints the second counts, and keeps nothing of the first */
START_TEST(test_next)
{
    struct colo_hvmctx ctx;
    uint32_t len, got = 0;

    stream_begin(&s);
    stream_head(&s, COLO_STREAM_HVM);
    put_epoch(make(1000, 8));
    len = make(0, 4);
    put_epoch(len);
    stream_end(&s);
    ck_assert_int_eq(take(sizeof(back), &got), 0);
    ck_assert_int_eq(colo__hvmctx_parse(back, got, &ctx, &err), 0);
    ck_assert_uint_eq(ctx.devices_len, 0);
    ck_assert_uint_eq(ctx.params[2].value, 4);
}
END_TEST

START_TEST(test_no_room)
{
    uint32_t got = 77, len = make(1000, 8);

    stream_begin(&s);
    stream_head(&s, COLO_STREAM_HVM);
    put_epoch(len);
    stream_end(&s);
    for (uint32_t cap = 0; cap < len + 32; cap += 61) {
        int rc = take(cap, &got);

        ck_assert_int_eq(rc, COLO_E_LIMIT);
        ck_assert_uint_eq(got, 77);
    }
    ck_assert_int_eq(take(len + 32, &got), 0);
    ck_assert_uint_eq(got, len + 32); /* two parameters more */
}
END_TEST

/* What the peer calls a machine is looked into. */
START_TEST(test_no_machine)
{
    uint32_t got = 77;

    stream_begin(&s);
    stream_head(&s, COLO_STREAM_HVM);
    stream_round(&s, COLO_STREAM_HVM, COLO_STREAM_REMUS, false, false);
    stream_end(&s);
    ck_assert_int_eq(take(sizeof(back), &got), COLO_E_CORRUPT);
    ck_assert_uint_eq(got, 77);
}
END_TEST

START_TEST(test_tail_refused)
{
    struct iovec parts[COLO_STREAM_TAIL_PARTS];
    uint8_t room[COLO_STREAM_TAIL_ROOM];
    uint32_t len = make(100, 8);
    int n = 77;

    ck_assert_int_eq(colo__stream_tail(container, len - 1, NULL, 0, room,
                                       parts, &n, &err), COLO_E_CORRUPT);
    container[0] = 'X';
    ck_assert_int_eq(colo__stream_tail(container, len, NULL, 0, room, parts,
                                       &n, &err), COLO_E_CORRUPT);
    ck_assert_int_eq(n, 77);
}
END_TEST

START_TEST(test_too_many_frames)
{
    static const uint64_t gfns[1025];
    size_t len;

    stream_begin(&s);
    colo__stream_out_frames(&s.out, gfns, 1025, false);
    ck_assert_int_eq(colo__stream_out_end(&s.out, &len, &err), COLO_E_INVAL);
    stream_begin(&s);
    colo__stream_out_frames(&s.out, gfns, 0, true);
    ck_assert_int_eq(colo__stream_out_end(&s.out, &len, &err), COLO_E_INVAL);
}
END_TEST

PURE_MAIN("stream-epoch", test_both_ways, test_store, test_next, test_no_room,
          test_no_machine, test_tail_refused, test_too_many_frames)
