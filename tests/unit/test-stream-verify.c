/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Xen's own verify-stream-v2 (python, of Debian's xen-utils) takes what the
 * writer writes, and refuses what the reader refuses.
 *
 * Its check of EMULATOR_XENSTORE_DATA fails with python 3 on any data, so that
 * record is left out.  Skipped without it.
 */
#include "stream-verify.h"

#include "../../remus-compat/stream-convert.h"
#include "../../remus-compat/xl-header.h"

static struct stream s;
static uint8_t bytes[STREAM_ROOM + 8];
static size_t nr_bytes;

static int verify(const char *format)
{
    return verify_bytes(format, bytes, nr_bytes);
}

static void put(const void *p, size_t len)
{
    ck_assert_uint_le(len, sizeof(bytes) - nr_bytes);
    memcpy(bytes + nr_bytes, p, len);
    nr_bytes += len;
}

static void make(uint8_t guest, uint8_t mode, int rounds)
{
    stream_begin(&s);
    stream_head(&s, guest);
    for (int i = 0; i < rounds; i++)
        stream_round(&s, guest, mode, guest == COLO_STREAM_HVM, false);
    stream_end(&s);
}

static void take(void)
{
    nr_bytes = 0;
    put(s.bytes, s.len);
}

START_TEST(test_plain)
{
    make(COLO_STREAM_HVM, COLO_STREAM_PLAIN, 1);
    take();
    ck_assert_int_eq(verify("libxl"), 0);
    make(COLO_STREAM_PV, COLO_STREAM_PLAIN, 1);
    take();
    ck_assert_int_eq(verify("libxl"), 0);
}
END_TEST

/* with all that xl says before it */
START_TEST(test_xl)
{
    static const char config[] = "{ \"c_info\": { \"name\": \"g\" } }\n";
    uint8_t header[COLO_XL_HEADER + 4];

    make(COLO_STREAM_HVM, COLO_STREAM_PLAIN, 1);
    ck_assert_int_eq(colo__xl_put_header(header, sizeof(config), NULL), 0);
    nr_bytes = 0;
    put(header, sizeof(header));
    put(config, sizeof(config));
    put(s.bytes, s.len);
    ck_assert_int_eq(verify("xl"), 0);
    bytes[31] = 'x';
    ck_assert_int_eq(verify("xl"), 1);
}
END_TEST

static void layer_of(int layer)
{
    nr_bytes = verify_layer(s.bytes, s.len, layer, bytes);
}

START_TEST(test_checkpoints)
{
    static const uint8_t guests[] = { COLO_STREAM_PV, COLO_STREAM_HVM };

    for (size_t i = 0; i < COLO_ARRAY_LEN(guests); i++) {
        make(guests[i], COLO_STREAM_REMUS, 3);
        layer_of(COLO_STREAM_LIBXC);
        ck_assert_int_eq(verify("libxc"), 0);
        layer_of(COLO_STREAM_LIBXL);
        ck_assert_int_eq(verify("libxl"), 0);
    }
}
END_TEST

/* The first checkpoint, made plain, is whole. */
START_TEST(test_converted)
{
    static struct colo_stream_reader reader;
    struct colo_stream_item item;
    struct colo_error err;
    size_t pos = 0;

    make(COLO_STREAM_HVM, COLO_STREAM_REMUS, 2);
    nr_bytes = 0;
    colo__stream_reader_init(&reader, COLO_STREAM_REMUS, NULL);
    do {
        uint8_t spare[COLO_STREAM_HEAD];
        const uint8_t *p = NULL;
        int used = colo__stream_read(&reader, s.bytes + pos, s.len - pos,
                                     &item, &err);

        ck_assert_msg(used > 0, "%s", err.text);
        ck_assert_int_eq(colo__stream_convert(&item, COLO_STREAM_PLAIN,
                                              s.bytes + pos, spare, &p,
                                              &err), 0);
        put(p, (size_t)used);
        pos += (size_t)used;
    } while (!colo__stream_first_done(&item));
    ck_assert_int_eq(verify("libxl"), 0);
}
END_TEST

/* ---- damaged: refused by both ------------------------------------------ */

/* the first record of a type in a plain stream: where it begins */
static size_t find(int layer, uint32_t type)
{
    static struct colo_stream_reader reader;
    struct colo_stream_item item;
    size_t pos = 0;

    colo__stream_reader_init(&reader, COLO_STREAM_PLAIN, NULL);
    while (pos < s.len) {
        int used = colo__stream_read(&reader, s.bytes + pos, s.len - pos,
                                     &item, NULL);

        ck_assert_int_gt(used, 0);
        if (item.kind == COLO_ITEM_RECORD && item.layer == layer &&
            item.type == type)
            return pos;
        pos += (size_t)used;
    }
    ck_abort_msg("record %u is not there", type);
    return 0;
}

static const struct {
    uint8_t guest, layer;
    uint32_t type;
    int at;        /* byte of the record */
    uint8_t value;
} damages[] = {
    /* a type that nobody knows, a length that is not the body's */
    { COLO_STREAM_HVM, COLO_STREAM_LIBXC, COLO_LIBXC_TSC_INFO, 0, 0x77 },
    { COLO_STREAM_HVM, COLO_STREAM_LIBXC, COLO_LIBXC_TSC_INFO, 4, 16 },
    { COLO_STREAM_HVM, COLO_STREAM_LIBXC, COLO_LIBXC_TSC_INFO, 28, 1 },
    { COLO_STREAM_HVM, COLO_STREAM_LIBXC, COLO_LIBXC_PAGE_DATA, 8, 6 },
    { COLO_STREAM_HVM, COLO_STREAM_LIBXC, COLO_LIBXC_PAGE_DATA, 12, 1 },
    { COLO_STREAM_HVM, COLO_STREAM_LIBXC, COLO_LIBXC_PAGE_DATA, 23, 0x50 },
    { COLO_STREAM_HVM, COLO_STREAM_LIBXC, COLO_LIBXC_PAGE_DATA, 22, 0x10 },
    { COLO_STREAM_HVM, COLO_STREAM_LIBXC, COLO_LIBXC_HVM_PARAMS, 8, 3 },
    { COLO_STREAM_HVM, COLO_STREAM_LIBXC, COLO_LIBXC_HVM_PARAMS, 12, 1 },
    { COLO_STREAM_HVM, COLO_STREAM_LIBXC, COLO_LIBXC_CPUID_POLICY, 4, 23 },
    { COLO_STREAM_HVM, COLO_STREAM_LIBXC, COLO_LIBXC_STATIC_DATA_END, 4, 8 },
    { COLO_STREAM_HVM, COLO_STREAM_LIBXC, COLO_LIBXC_END, 0, 0x0f },
    { COLO_STREAM_HVM, COLO_STREAM_LIBXL, COLO_LIBXL_EMULATOR_CONTEXT, 8, 9 },
    { COLO_STREAM_HVM, COLO_STREAM_LIBXL, COLO_LIBXL_EMULATOR_CONTEXT, 0, 9 },
    /* what pads it: 1234 + 8 bytes and 6 of zeros */
    { COLO_STREAM_HVM, COLO_STREAM_LIBXL, COLO_LIBXL_EMULATOR_CONTEXT, 1250,
      1 },
    { COLO_STREAM_PV, COLO_STREAM_LIBXC, COLO_LIBXC_PV_INFO, 8, 5 },
    { COLO_STREAM_PV, COLO_STREAM_LIBXC, COLO_LIBXC_PV_INFO, 10, 1 },
    { COLO_STREAM_PV, COLO_STREAM_LIBXC, COLO_LIBXC_PV_P2M_FRAMES, 4, 23 },
    { COLO_STREAM_PV, COLO_STREAM_LIBXC, COLO_LIBXC_SHARED_INFO, 5, 0x0f },
    { COLO_STREAM_PV, COLO_STREAM_LIBXC, COLO_LIBXC_PV_VCPU_MSRS, 12, 1 },
};

START_TEST(test_damaged)
{
    static struct colo_stream_reader reader;
    struct colo_error err;

    for (size_t i = 0; i < COLO_ARRAY_LEN(damages); i++) {
        size_t at;
        int rc;

        make(damages[i].guest, COLO_STREAM_PLAIN, 1);
        at = find(damages[i].layer, damages[i].type) + (size_t)damages[i].at;
        ck_assert_uint_ne(s.bytes[at], damages[i].value);
        s.bytes[at] = damages[i].value;
        colo__stream_reader_init(&reader, COLO_STREAM_PLAIN, NULL);
        rc = stream_read_all(&reader, s.bytes, s.len, s.len, NULL, &err);
        if (!rc)
            rc = colo__stream_ended(&reader, &err);
        ck_assert_msg(rc < 0, "case %zu is not refused here", i);
        take();
        ck_assert_msg(verify("libxl") == 1, "case %zu: %d there, here %s", i,
                      verify("libxl"), err.text);
    }
}
END_TEST

START_TEST(test_cut)
{
    make(COLO_STREAM_HVM, COLO_STREAM_PLAIN, 1);
    take();
    nr_bytes -= 8;
    ck_assert_int_eq(verify("libxl"), 1);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_plain, test_xl, test_checkpoints, test_converted, test_damaged,
        test_cut,
    };

    if (!verify_find()) {
        printf("skipped: no verify-stream-v2, see tools/install-deps\n");
        return 77;
    }
    return pure_run("stream-verify", tests, COLO_ARRAY_LEN(tests));
}
