/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What xl says before the stream: banner, header, configuration.
 */
#include "pure-common.h"

#include "../../remus-compat/xl-header.h"

static struct colo_error err;

START_TEST(test_banner)
{
    static const char text[] =
        "xl migration receiver ready, send binary domain data.\nLibxlFmt";

    ck_assert_uint_eq(COLO_XL_BANNER_LEN, 54);
    for (size_t n = 0; n < 54; n++)
        ck_assert_int_eq(colo__xl_banner(pure_guarded(text, n), n, &err), 0);
    ck_assert_int_eq(colo__xl_banner((const uint8_t *)text, 54, &err), 54);
    ck_assert_int_eq(colo__xl_banner((const uint8_t *)text, 60, &err), 54);
    /* a shell that greets: known by its first byte */
    ck_assert_int_eq(colo__xl_banner((const uint8_t *)"W", 1, &err),
                     COLO_E_PROTO);
    ck_text(err, "not xl migrate-receive");
}
END_TEST

START_TEST(test_header)
{
    static const uint8_t want[52] =
        "Xen saved domain, xl format\n \0 \r"
        "\x04\x03\x02\x01\x03\0\0\0\0\0\0\0\x0a\0\0\0\x06\0\0";
    uint8_t buf[COLO_XL_HEADER + 4];
    uint32_t rest = 7;

    ck_assert_int_eq(colo__xl_put_header(buf, 6, &err), 0);
    ck_assert_mem_eq(buf, want, sizeof(want));
    for (size_t n = 0; n < COLO_XL_HEADER; n++)
        ck_assert_int_eq(colo__xl_header(pure_guarded(buf, n), n, &rest,
                                         &err), 0);
    ck_assert_uint_eq(rest, 7);
    ck_assert_int_eq(colo__xl_header(buf, sizeof(buf), &rest, &err), 48);
    ck_assert_uint_eq(rest, 10);
    ck_assert_int_eq(colo__xl_put_header(buf, 0, &err), COLO_E_LIMIT);
    ck_assert_int_eq(colo__xl_put_header(buf, COLO_XL_CONFIG_MAX + 1, &err),
                     COLO_E_LIMIT);
    ck_assert_int_eq(colo__xl_put_header(buf, COLO_XL_CONFIG_MAX, &err), 0);
    ck_assert_int_eq(colo__xl_header(buf, sizeof(buf), &rest, &err), 48);
    ck_assert_uint_eq(rest, COLO_XL_CONFIG_MAX + 4);
}
END_TEST

static int with(size_t at, uint8_t value)
{
    uint8_t buf[COLO_XL_HEADER + 4];
    uint32_t rest = 7;
    int r;

    ck_assert_int_eq(colo__xl_put_header(buf, 6, NULL), 0);
    buf[at] = value;
    r = colo__xl_header(buf, sizeof(buf), &rest, &err);
    ck_assert_uint_eq(rest, r < 0 ? 7 : 10);
    return r;
}

START_TEST(test_header_refused)
{
    for (size_t i = 0; i < 32; i++)
        ck_assert_int_eq(with(i, 'z'), COLO_E_PROTO);
    ck_assert_int_eq(with(32, 1), COLO_E_UNSUPPORTED);
    ck_text(err, "byte order");
    ck_assert_int_eq(with(36, 7), COLO_E_UNSUPPORTED);
    ck_text(err, "0x4");
    ck_assert_int_eq(with(39, 0x80), COLO_E_UNSUPPORTED);
    ck_assert_int_eq(with(36, 2), COLO_E_UNSUPPORTED);
    ck_text(err, "JSON");
    ck_assert_int_eq(with(36, 1), COLO_E_UNSUPPORTED);
    ck_text(err, "4.6");
    /* optional is optional */
    ck_assert_int_eq(with(40, 1), 48);
    ck_assert_int_eq(with(44, 3), COLO_E_PROTO);
    ck_assert_int_eq(with(46, 0x11), COLO_E_LIMIT);
    ck_assert_int_eq(with(47, 0xff), COLO_E_LIMIT);
}
END_TEST

static int config(const char *bytes, uint32_t len, const char **ret)
{
    return colo__xl_config(pure_guarded(bytes, len), len, ret, &err);
}

START_TEST(test_config)
{
    const char *text = NULL;

    ck_assert_int_eq(config("\6\0\0\0{\n\t}\n", 10, &text), 0);
    ck_assert_str_eq(text, "{\n\t}\n");
    /* what follows is for a newer xl */
    ck_assert_int_eq(config("\3\0\0\0{}\0\xff\xff", 9, &text), 0);
    ck_assert_str_eq(text, "{}");
    text = NULL;
    for (uint32_t n = 0; n < 7; n++)
        ck_assert_int_eq(config("\3\0\0\0{}", n, &text), COLO_E_PROTO);
    ck_assert_int_eq(config("\0\0\0\0{}", 7, &text), COLO_E_PROTO);
    ck_assert_int_eq(config("\2\0\0\0{}", 7, &text), COLO_E_PROTO);
    ck_assert_int_eq(config("\4\0\0\0{}", 7, &text), COLO_E_PROTO);
    ck_assert_int_eq(config("\xff\xff\xff\xff{}", 7, &text), COLO_E_PROTO);
    ck_assert_int_eq(config("\4\0\0\0{\0}", 8, &text), COLO_E_PROTO);
    ck_assert_int_eq(config("\4\0\0\0{\x1b}", 8, &text), COLO_E_PROTO);
    ck_text(err, "0x1b");
    ck_assert_ptr_null(text);
}
END_TEST

PURE_MAIN("stream-xl", test_banner, test_header, test_header_refused,
          test_config)
