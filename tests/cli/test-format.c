/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Numbers for people, at the edges where the unit changes; options.
 */
#include "../unit/pure-common.h"

#include "../../cli/cli.h"

START_TEST(test_bytes)
{
    char b[CLI_FORMAT_MAX];

    ck_assert_str_eq(cli_format_bytes(0, b), "0 B");
    ck_assert_str_eq(cli_format_bytes(1023, b), "1023 B");
    ck_assert_str_eq(cli_format_bytes(1024, b), "1.0 KiB");
    ck_assert_str_eq(cli_format_bytes(1536, b), "1.5 KiB");
    ck_assert_str_eq(cli_format_bytes(1048575, b), "1.0 MiB");
    ck_assert_str_eq(cli_format_bytes(UINT64_C(5) << 30, b), "5.0 GiB");
    ck_assert_str_eq(cli_format_bytes(UINT64_MAX, b), "16.0 EiB");
}
END_TEST

START_TEST(test_times)
{
    char b[CLI_FORMAT_MAX];

    ck_assert_str_eq(cli_format_us(0, b), "0 us");
    ck_assert_str_eq(cli_format_us(999, b), "999 us");
    ck_assert_str_eq(cli_format_us(1000, b), "1.0 ms");
    ck_assert_str_eq(cli_format_us(41234, b), "41.2 ms");
    ck_assert_str_eq(cli_format_us(12300000, b), "12.3 s");
    ck_assert_str_eq(cli_format_age(83, b), "83 ms");
    ck_assert_str_eq(cli_format_age(1500, b), "1.5 s");
    ck_assert_str_eq(cli_format_age(59999, b), "59 s");
    ck_assert_str_eq(cli_format_age(182000, b), "3 min 2 s");
    ck_assert_str_eq(cli_format_age(3600000, b), "1 h 0 min");
    ck_assert(strlen(cli_format_age(UINT64_MAX, b)) < CLI_FORMAT_MAX);
}
END_TEST

START_TEST(test_numbers)
{
    static const char *const bad[] = {
        "", " 5", "+5", "-5", "5 ", "5x", "0x10", "0", "11",
        "99999999999999999999", "x"
    };
    static const char *const words[] = { "auto", "never", NULL };
    uint64_t n = 77;

    for (size_t i = 0; i < COLO_ARRAY_LEN(bad); i++)
        ck_assert_msg(!cli_number("x", bad[i], 1, 10, &n), "%s", bad[i]);
    ck_assert_uint_eq(n, 77);
    ck_assert(cli_number("x", "10", 1, 10, &n));
    ck_assert_uint_eq(n, 10);
    ck_assert(cli_number("x", "18446744073709551615", 0, UINT64_MAX, &n));
    ck_assert_int_eq(cli_choice("x", "never", words), 1);
    ck_assert_int_eq(cli_choice("x", "nev", words), -1);
    ck_assert_int_eq(cli_choice("x", "", words), -1);
}
END_TEST

START_TEST(test_exits)
{
    ck_assert_int_eq(cli_exit_of(0), CLI_OK);
    ck_assert_int_eq(cli_exit_of(COLO_E_NOTFOUND), CLI_NOT_FOUND);
    ck_assert_int_eq(cli_exit_of(COLO_E_UNSUPPORTED), CLI_NOT_PROTECTABLE);
    for (int code = -100; code < 0; code++)
        ck_assert_int_ne(cli_exit_of(code), CLI_OK);
}
END_TEST

PURE_MAIN("cli-format", test_bytes, test_times, test_numbers, test_exits)
