/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * HELLO: layout, limits, and another version refused before anything else.
 */
#include "pure-common.h"

#include "pure/wire.h"

static struct colo_hello sample(void)
{
    struct colo_hello hello = {
        .major = COLO_WIRE_MAJOR, .minor = COLO_WIRE_MINOR,
        .role = COLO_ROLE_SECONDARY, .mode = COLO_MODE_REMUS,
        .xen_version = 4 << 16 | 17,
        .features = COLO_FEATURE_DELTA | UINT64_C(1) << 63,
        .nr_gfns = 0x12345, .heartbeat_ms = 100, .dead_ms = 1000,
        .name = "web1",
    };

    for (int i = 0; i < 16; i++) {
        hello.session[i] = (uint8_t)(0xa0 + i);
        hello.uuid[i] = (uint8_t)(0xb0 + i);
    }
    return hello;
}

static int build(const struct colo_hello *hello, uint8_t *out,
                 struct colo_error *err)
{
    return colo__hello_build(hello, out, COLO_WIRE_HELLO_MAX, err);
}

START_TEST(test_there_and_back)
{
    static const uint8_t want[76] = {
        0, COLO_WIRE_MAJOR, 0, COLO_WIRE_MINOR, 0, 0, 0, 2, 0, 0, 0, 1,
        0, 4, 0, 17, 0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0x23, 0x45,
        0, 0, 0, 100, 0, 0, 3, 0xe8,
        0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7,
        0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf,
        0xb0, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7,
        0xb8, 0xb9, 0xba, 0xbb, 0xbc, 0xbd, 0xbe, 0xbf, 'w', 'e', 'b', '1',
    };
    struct colo_hello hello = sample(), got;
    uint8_t body[COLO_WIRE_HELLO_MAX];
    struct colo_error err;

    ck_assert_int_eq(build(&hello, body, &err), 76);
    ck_assert_mem_eq(body, want, sizeof(want));
    memset(&got, 0xee, sizeof(got));
    ck_assert_int_eq(colo__hello_parse(body, 76, &got, &err), 0);
    ck_assert_mem_eq(&got, &hello, sizeof(hello));
}
END_TEST

START_TEST(test_names)
{
    struct colo_hello hello = sample(), got;
    uint8_t body[COLO_WIRE_HELLO_MAX + 1];
    struct colo_error err;

    hello.name[0] = '\0';
    memset(hello.name, 0, sizeof(hello.name));
    ck_assert_int_eq(build(&hello, body, &err), 72);
    ck_assert_int_eq(colo__hello_parse(body, 72, &got, &err), 0);
    ck_assert_str_eq(got.name, "");

    memset(hello.name, 'x', 63);
    ck_assert_int_eq(build(&hello, body, &err), COLO_WIRE_HELLO_MAX);
    ck_assert_int_eq(colo__hello_parse(body, COLO_WIRE_HELLO_MAX, &got,
                                       &err), 0);
    ck_assert_uint_eq(strlen(got.name), 63);
    body[COLO_WIRE_HELLO_MAX] = 'x';
    ck_assert_int_eq(colo__hello_parse(body, COLO_WIRE_HELLO_MAX + 1, &got,
                                       &err), COLO_E_PROTO);
    body[80] = '\0';
    ck_assert_int_eq(colo__hello_parse(body, COLO_WIRE_HELLO_MAX, &got,
                                       &err), COLO_E_PROTO);
    ck_text(err, "not text");
    body[80] = '\n';
    ck_assert_int_eq(colo__hello_parse(body, COLO_WIRE_HELLO_MAX, &got,
                                       &err), COLO_E_PROTO);

    hello.name[63] = 'x'; /* no end */
    ck_assert_int_eq(build(&hello, body, &err), COLO_E_INVAL);
    ck_text(err, "too long");
    memcpy(hello.name, "a\nb", 4);
    ck_assert_int_eq(build(&hello, body, &err), COLO_E_INVAL);
    memcpy(hello.name, "h\xc3\xa9", 4);
    ck_assert_int_eq(build(&hello, body, &err), 75);
}
END_TEST

START_TEST(test_no_room)
{
    struct colo_hello hello = sample();
    uint8_t body[76];
    struct colo_error err;

    memset(body, 0xee, sizeof(body));
    ck_assert_int_eq(colo__hello_build(&hello, body, 75, &err),
                     COLO_E_INVAL);
    ck_text(err, "no room");
    ck_assert_uint_eq(body[0], 0xee);
    ck_assert_int_eq(colo__hello_build(&hello, body, 76, &err), 76);
}
END_TEST

START_TEST(test_another_major)
{
    struct colo_hello hello = sample(), got = { .role = 99 };
    uint8_t body[COLO_WIRE_HELLO_MAX];
    struct colo_error err;

    ck_assert_int_gt(build(&hello, body, &err), 0);
    colo__put16(body, COLO_WIRE_MAJOR + 1);
    colo__put16(body + 2, 3);
    /* whatever the rest looks like */
    for (size_t len = 4; len <= sizeof(body); len += 131) {
        ck_assert_int_eq(colo__hello_parse(body, len, &got, &err),
                         COLO_E_VERSION);
        ck_text(err, "protocol 2.3");
        ck_text(err, "this side 1.1");
    }
    ck_assert_uint_eq(got.role, 99);

    /* another minor talks to us */
    colo__put16(body, COLO_WIRE_MAJOR);
    ck_assert_int_eq(colo__hello_parse(body, 76, &got, &err), 0);
    ck_assert_uint_eq(got.minor, 3);
}
END_TEST

START_TEST(test_malformed)
{
    struct colo_hello hello = sample(), got;
    uint8_t body[COLO_WIRE_HELLO_MAX];
    struct colo_error err;

    for (size_t len = 0; len < 72; len++) {
        ck_assert_int_gt(build(&hello, body, &err), 0);
        ck_assert_int_eq(colo__hello_parse(body, len, &got, &err),
                         COLO_E_PROTO);
    }
    for (uint32_t role = 0; role < 5; role++) {
        colo__put32(body + 4, role);
        ck_assert_int_eq(colo__hello_parse(body, 76, &got, &err),
                         role == 1 || role == 2 ? 0 : COLO_E_PROTO);
    }
    ck_text(err, "role 4");
    colo__put32(body + 4, 1);
    colo__put32(body + 8, 3);
    ck_assert_int_eq(colo__hello_parse(body, 76, &got, &err), COLO_E_PROTO);
    ck_text(err, "mode 3");
    colo__put32(body + 8, 1);
    colo__put64(body + 24, COLO_GFN_MAX + 1);
    ck_assert_int_eq(colo__hello_parse(body, 76, &got, &err), 0);
    colo__put64(body + 24, COLO_GFN_MAX + 2);
    ck_assert_int_eq(colo__hello_parse(body, 76, &got, &err), COLO_E_PROTO);
    ck_text(err, "frames");
    colo__put64(body + 24, 1);
    for (uint32_t heartbeat = 0; heartbeat < 3; heartbeat++) {
        for (uint32_t dead = 0; dead < 5; dead++) {
            colo__put32(body + 32, heartbeat);
            colo__put32(body + 36, dead);
            ck_assert_int_eq(colo__hello_parse(body, 76, &got, &err),
                             heartbeat > 0 && dead > heartbeat
                                 ? 0 : COLO_E_PROTO);
        }
    }
    colo__put32(body + 36, 2);
    ck_assert_int_eq(colo__hello_parse(body, 76, &got, &err), COLO_E_PROTO);
    ck_text(err, "heartbeat");

    hello.role = 0;
    ck_assert_int_eq(build(&hello, body, &err), COLO_E_INVAL);
}
END_TEST

PURE_MAIN("wire-hello", test_there_and_back, test_names, test_no_room,
          test_another_major, test_malformed)
