/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The writer of Xen's streams, byte for byte as Xen's specifications have
 * them, and what it refuses.
 */
#include "stream-common.h"

static uint8_t buf[64 * 1024];
static struct colo_stream_out out;
static struct colo_error err;

static void begin(void)
{
    memset(buf, 0xee, sizeof(buf));
    colo__stream_out_init(&out, buf, sizeof(buf));
}

static void is(const void *bytes, size_t len)
{
    size_t n = 0;

    ck_assert_msg(!colo__stream_out_end(&out, &n, &err), "%s", err.text);
    ck_assert_uint_eq(n, len);
    ck_assert_mem_eq(buf, bytes, len);
    ck_assert_uint_eq(buf[len], 0xee);
}

#define IS(...)                                                        \
    do {                                                               \
        static const uint8_t want[] = { __VA_ARGS__ };                 \
                                                                       \
        is(want, sizeof(want));                                        \
    } while (0)

START_TEST(test_headers)
{
    begin();
    colo__stream_out_libxl_header(&out);
    IS(0x4c, 0x69, 0x62, 0x78, 0x6c, 0x46, 0x6d, 0x74, 0, 0, 0, 2, 0, 0, 0, 0);
    begin();
    colo__stream_out_libxc_header(&out, COLO_STREAM_HVM, 4, 20);
    IS(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, /* marker */
       0x58, 0x45, 0x4e, 0x46, 0, 0, 0, 3,             /* id, version */
       0, 0, 0, 0, 0, 0, 0, 0,                         /* options */
       2, 0, 0, 0, 12, 0, 0, 0,                        /* type, shift */
       4, 0, 0, 0, 20, 0, 0, 0);                       /* Xen */
}
END_TEST

START_TEST(test_records)
{
    begin();
    colo__stream_out_record(&out, COLO_STREAM_LIBXC, COLO_LIBXC_CHECKPOINT,
                            NULL, 0);
    colo__stream_out_record(&out, COLO_STREAM_LIBXC, COLO_LIBXC_HVM_CONTEXT,
                            "abc", 3);
    IS(0x0e, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 3, 0, 0, 0, 'a', 'b', 'c', 0, 0,
       0, 0, 0);
    begin();
    colo__stream_out_tsc(&out, 2, 0x01020304, 0x1112131415161718, 5);
    IS(8, 0, 0, 0, 24, 0, 0, 0, 2, 0, 0, 0, 4, 3, 2, 1, 0x18, 0x17, 0x16,
       0x15, 0x14, 0x13, 0x12, 0x11, 5, 0, 0, 0, 0, 0, 0, 0);
}
END_TEST

START_TEST(test_pages)
{
    begin();
    /* one with data, one without */
    colo__stream_out_pages(&out, (uint64_t[]){ colo__stream_entry(0x1234, 0),
                           colo__stream_entry(0x55, COLO_PAGE_NONE) }, 2);
    IS(1, 0, 0, 0, 0x18, 0x10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
       0x34, 0x12, 0, 0, 0, 0, 0, 0, 0x55, 0, 0, 0, 0, 0, 0, 0xf0);
    ck_assert_uint_eq(COLO_STREAM_PAGES_HEAD(2), 32);
}
END_TEST

START_TEST(test_params)
{
    begin();
    colo__stream_out_params(&out, (uint32_t[]){ 17, 19, 36 },
                            (uint64_t[]){ 0xfefff, 0, 8 }, 3);
    IS(0x0a, 0, 0, 0, 40, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
       17, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xef, 0x0f, 0, 0, 0, 0, 0,
       36, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0);
    /* none: no record */
    begin();
    colo__stream_out_params(&out, (uint32_t[]){ 17 }, (uint64_t[]){ 0 }, 1);
    is("", 0);
    begin();
    colo__stream_out_params(&out, (uint32_t[]){ 2 }, (uint64_t[]){ 7 }, 1);
    ck_assert_int_eq(colo__stream_out_end(&out, NULL, &err), COLO_E_INVAL);
    ck_text(err, "HVM parameter 0x2");
}
END_TEST

START_TEST(test_emulator)
{
    begin();
    colo__stream_out_emulator(&out, 5);
    IS(3, 0, 0, 0, 13, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0);
    begin();
    colo__stream_out_store(&out, "k\0v", 4);
    IS(2, 0, 0, 0, 12, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 'k', 0, 'v', 0, 0, 0,
       0, 0);
    begin();
    colo__stream_out_store(&out, "", 0);
    is("", 0);
    begin();
    colo__stream_out_store(&out, "k\0v", 3);
    ck_assert_int_eq(colo__stream_out_end(&out, NULL, &err), COLO_E_INVAL);
}
END_TEST

START_TEST(test_pv)
{
    begin();
    colo__stream_out_pv_info(&out, 8);
    IS(2, 0, 0, 0, 8, 0, 0, 0, 8, 4, 0, 0, 0, 0, 0, 0);
    begin();
    colo__stream_out_pv_info(&out, 4);
    IS(2, 0, 0, 0, 8, 0, 0, 0, 4, 3, 0, 0, 0, 0, 0, 0);
    /* 512 entries in a frame of a 64-bit guest, 1024 of a 32-bit one */
    begin();
    colo__stream_out_p2m_frames(&out, 8, 512, (uint64_t[]){ 7, 8 });
    IS(3, 0, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0,
       8, 0, 0, 0, 0, 0, 0, 0);
    begin();
    colo__stream_out_p2m_frames(&out, 4, 512, (uint64_t[]){ 7 });
    IS(3, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 7, 0, 0, 0, 0, 0, 0,
       0);
    begin();
    colo__stream_out_vcpu(&out, COLO_LIBXC_PV_VCPU_EXTENDED, 3, "xyz", 3);
    IS(5, 0, 0, 0, 11, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 'x', 'y', 'z', 0, 0, 0,
       0, 0);
}
END_TEST

START_TEST(test_state)
{
    begin();
    colo__stream_out_state(&out, COLO_SVM_READY);
    IS(5, 0, 0, 0, 4, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0);
}
END_TEST

/* Nothing is written beyond the end, and the first failure stays. */
START_TEST(test_full)
{
    size_t len = 77;

    for (size_t cap = 0; cap < 56; cap++) {
        begin();
        colo__stream_out_init(&out, buf, cap);
        colo__stream_out_libxl_header(&out);
        colo__stream_out_libxc_header(&out, COLO_STREAM_PV, 4, 17);
        ck_assert_int_eq(colo__stream_out_end(&out, &len, &err),
                         COLO_E_LIMIT);
        ck_assert_uint_eq(len, 77);
        ck_assert_uint_eq(buf[cap], 0xee);
        ck_text(err, cap < 16 ? "16 bytes do not fit" :
                "40 bytes do not fit");
    }
}
END_TEST

START_TEST(test_wrong)
{
    begin();
    colo__stream_out_record(&out, COLO_STREAM_LIBXC, 0x0b, NULL, 0);
    colo__stream_out_libxc_header(&out, 3, 4, 17);
    ck_assert_int_eq(colo__stream_out_end(&out, NULL, &err), COLO_E_INVAL);
    ck_text(err, "record 0xb");
    begin();
    colo__stream_out_libxc_header(&out, 3, 4, 17);
    ck_assert_int_eq(colo__stream_out_end(&out, NULL, &err), COLO_E_INVAL);
    begin();
    colo__stream_out_pages(&out, (uint64_t[]){ UINT64_C(5) << 60 }, 1);
    ck_assert_int_eq(colo__stream_out_end(&out, NULL, &err), COLO_E_INVAL);
    begin();
    colo__stream_out_pages(&out, NULL, 0);
    ck_assert_int_eq(colo__stream_out_end(&out, NULL, &err), COLO_E_INVAL);
    begin();
    colo__stream_out_pages(&out, NULL, 1025);
    ck_assert_int_eq(colo__stream_out_end(&out, NULL, &err), COLO_E_INVAL);
    begin();
    colo__stream_out_head(&out, COLO_STREAM_LIBXC, COLO_LIBXC_HVM_CONTEXT,
                          COLO_STREAM_MAX_BLOB + 1);
    ck_assert_int_eq(colo__stream_out_end(&out, NULL, &err), COLO_E_LIMIT);
    begin();
    colo__stream_out_emulator(&out, UINT32_MAX);
    ck_assert_int_eq(colo__stream_out_end(&out, NULL, &err), COLO_E_INVAL);
    begin();
    colo__stream_out_vcpu(&out, COLO_LIBXC_TSC_INFO, 0, "x", 1);
    ck_assert_int_eq(colo__stream_out_end(&out, NULL, &err), COLO_E_INVAL);
    begin();
    colo__stream_out_state(&out, 4);
    ck_assert_int_eq(colo__stream_out_end(&out, NULL, &err), COLO_E_INVAL);
}
END_TEST

PURE_MAIN("stream-write", test_headers, test_records, test_pages, test_params,
          test_emulator, test_pv, test_state, test_full, test_wrong)
