/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The header before a seed's stream.
 */
#include "pure-common.h"

#include "../../libcolo/pure/seed-header.h"

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

PURE_MAIN("toolstack-header", test_header, test_header_that_lies)
