/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The headers before a seed's stream: ours, and the one of libvirt's.
 */
#include "pure-common.h"

#include "../../libcolo/pure/seed-header.h"
#include "../../toolstack/save-image.h"

START_TEST(test_header)
{
    uint8_t buf[SEED_HEADER];
    uint32_t len = 7;

    seed_header_put(buf, 0x1234);
    ck_assert_int_eq(seed_header_parse(buf, sizeof(buf), &len),
                     (int)SEED_HEADER);
    ck_assert_uint_eq(len, 0x1234);
    len = 7;
    for (size_t n = 0; n < sizeof(buf); n++)
        ck_assert_int_eq(seed_header_parse(pure_guarded(buf, n), n, &len),
                         0);
    ck_assert_uint_eq(len, 7);
}
END_TEST

START_TEST(test_header_that_lies)
{
    uint8_t buf[SEED_HEADER];
    uint32_t len = 7;

    seed_header_put(buf, 0);
    ck_assert_int_eq(seed_header_parse(buf, sizeof(buf), &len), -3);
    seed_header_put(buf, SEED_CONFIG_MAX + 1);
    ck_assert_int_eq(seed_header_parse(buf, sizeof(buf), &len), -3);
    seed_header_put(buf, SEED_CONFIG_MAX);
    ck_assert_int_eq(seed_header_parse(buf, sizeof(buf), &len),
                     (int)SEED_HEADER);
    buf[8]++;
    ck_assert_int_eq(seed_header_parse(buf, sizeof(buf), &len), -2);
    /* another stream is known by its first byte */
    ck_assert_int_eq(seed_header_parse((const uint8_t *)"Xen saved domain",
                                       1, &len), -1);
}
END_TEST

/* libvirt's definition behind the configuration: seen by who looks for it */
START_TEST(test_xml)
{
    static const char both[] = "{}\0<domain/>", none[] = "{}";
    static const char empty[] = "{}\0";

    ck_assert_str_eq(seed_config_xml(both, sizeof(both) - 1), "<domain/>");
    ck_assert_str_eq(both, "{}");
    ck_assert_ptr_null(seed_config_xml(none, sizeof(none) - 1));
    ck_assert_ptr_null(seed_config_xml(empty, sizeof(empty) - 1));
    ck_assert_ptr_null(seed_config_xml(both, 3));
    ck_assert_ptr_null(seed_config_xml("", 0));
}
END_TEST

/* as libvirt 9.0 writes and reads it, on a machine of this byte order */
START_TEST(test_save_image)
{
    static const char want[] = "libvirt-xml\n \0 \r" "\2\0\0\0"
                               "\x34\x12\0\0";
    uint8_t buf[SAVE_IMAGE_HEADER];

    memset(buf, 0xff, sizeof(buf));
    save_image_header(buf, 0x1234);
    ck_assert_mem_eq(buf, want, 24);
    for (size_t i = 24; i < sizeof(buf); i++)
        ck_assert_uint_eq(buf[i], 0);
}
END_TEST

PURE_MAIN("toolstack-header", test_header, test_header_that_lies, test_xml,
          test_save_image)
