/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Framing: what build writes, parse reads; the layout is what
 * libcolo-wire(7) says; everything else is refused by name.
 */
#include "pure-common.h"

#include <xxhash.h>

#include "pure/wire.h"

static const uint32_t types[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,
                                  14, 15, 16, 17,
                                  32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42,
                                  43 };

/* a whole message in buf; returns its bytes */
static size_t make(uint8_t *buf, uint32_t type, const void *body,
                   uint32_t len)
{
    struct colo_msg msg = { .type = type, .len = len, .epoch = 0x1122334455,
                            .value = UINT64_MAX - 1, .body = body };
    struct colo_error err;

    ck_assert_int_eq(colo__wire_build(&msg, buf, &err), 0);
    if (len)
        memcpy(buf + COLO_WIRE_HEADER, body, len);
    return COLO_WIRE_HEADER + len;
}

static int64_t parse(const uint8_t *buf, size_t len, struct colo_msg *msg,
                     struct colo_error *err)
{
    return colo__wire_parse(buf, len, COLO_WIRE_MAX_CONTROL, msg, err);
}

START_TEST(test_layout)
{
    static const uint8_t want[32] = {
        'C', 'O', 'L', 'O', 0, 6, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0,
        0, 0, 0, 0x11, 0x22, 0x33, 0x44, 0x55,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe,
    };
    uint8_t buf[64], flat[35];
    uint64_t sum = 0;

    ck_assert_uint_eq(COLO_WIRE_HEADER, 40);
    make(buf, COLO_MSG_VMSTATE_SIZE, "abc", 3);
    ck_assert_mem_eq(buf, want, 32);
    memcpy(flat, want, 32);
    memcpy(flat + 32, "abc", 3);
    for (int i = 0; i < 8; i++)
        sum = sum << 8 | buf[32 + i];
    ck_assert_uint_eq(sum, XXH3_64bits(flat, sizeof(flat)));

    make(buf, COLO_MSG_VMSTATE_SIZE, NULL, 0);
    ck_assert_uint_eq(colo__get64(buf + 32), XXH3_64bits(buf, 32));
}
END_TEST

START_TEST(test_there_and_back)
{
    uint8_t *buf = malloc(COLO_WIRE_HEADER + COLO_WIRE_MAX_CONTROL);
    uint8_t *body = malloc(COLO_WIRE_MAX_CONTROL);
    static const uint32_t lens[] = { 0, 1, 7, 240, 241, 4096 };
    uint64_t seed = 5;

    pure_random_fill(&seed, body, COLO_WIRE_MAX_CONTROL);
    for (size_t t = 0; t < COLO_ARRAY_LEN(types); t++) {
        for (size_t l = 0; l < COLO_ARRAY_LEN(lens); l++) {
            size_t n = make(buf, types[t], body, lens[l]);
            struct colo_error err;
            struct colo_msg msg;

            ck_assert_int_eq(parse(buf, n, &msg, &err), (int64_t)n);
            ck_assert_uint_eq(msg.type, types[t]);
            ck_assert_uint_eq(msg.len, lens[l]);
            ck_assert_uint_eq(msg.epoch, 0x1122334455);
            ck_assert_uint_eq(msg.value, UINT64_MAX - 1);
            ck_assert_uint_eq(msg.checksum, colo__get64(buf + 32));
            ck_assert_ptr_eq(msg.body, buf + COLO_WIRE_HEADER);
            ck_assert_str_ne(colo__msg_name(types[t]), "unknown");
        }
    }
    free(buf);
    free(body);
}
END_TEST

START_TEST(test_every_prefix_wants_more)
{
    uint8_t buf[COLO_WIRE_HEADER + 10 + 3] = { 0 };
    size_t n = make(buf, COLO_MSG_ERROR, "0123456789", 10);
    struct colo_msg msg = { .type = 77 };
    struct colo_error err;

    for (size_t len = 0; len < n; len++) {
        ck_assert_int_eq(parse(buf, len, &msg, &err), 0);
        ck_assert_int_eq(colo__wire_peek(buf, len, 10, &err),
                         len < COLO_WIRE_HEADER ? 0 : (int64_t)n);
    }
    ck_assert_uint_eq(msg.type, 77);
    /* what follows is not looked at */
    ck_assert_int_eq(parse(buf, n + 3, &msg, &err), (int64_t)n);
}
END_TEST

START_TEST(test_every_flipped_bit_is_found)
{
    uint8_t buf[COLO_WIRE_HEADER + 9];
    size_t n = make(buf, COLO_MSG_ERROR, "some text", 9);
    struct colo_error err;
    struct colo_msg msg;

    for (size_t bit = 0; bit < n * 8; bit++) {
        int64_t r;

        buf[bit / 8] ^= 1 << bit % 8;
        r = parse(buf, n, &msg, &err);
        /* longer is possible: then the rest never comes */
        ck_assert_msg(r <= 0 && (r < 0 || bit / 8 >= 8), "bit %zu", bit);
        if (r < 0) {
            ck_assert(r == COLO_E_PROTO || r == COLO_E_CORRUPT);
            ck_assert_int_eq(err.code, (int)r);
            ck_assert_str_eq(err.where, "wire");
        }
        buf[bit / 8] ^= 1 << bit % 8;
    }
    ck_assert_int_eq(parse(buf, n, &msg, &err), (int64_t)n);
}
END_TEST

START_TEST(test_a_stranger_is_told_early)
{
    struct colo_error err;

    ck_assert_int_eq(colo__wire_peek((const uint8_t *)"SSH", 3, 4096, &err),
                     0);
    ck_assert_int_eq(colo__wire_peek((const uint8_t *)"SSH-", 4, 4096, &err),
                     COLO_E_PROTO);
    ck_text(err, "0x5353482d");
    ck_assert_int_eq(colo__wire_peek((const uint8_t *)"SSH-", 4, 4096, NULL),
                     COLO_E_PROTO);
}
END_TEST

START_TEST(test_unknown_types)
{
    uint8_t buf[COLO_WIRE_HEADER];
    struct colo_error err;
    size_t known = 0;

    for (uint32_t type = 0; type < 0x10000; type++) {
        if (known < COLO_ARRAY_LEN(types) && types[known] == type) {
            known++;
            continue;
        }
        if (strcmp(colo__msg_name(type), "unknown"))
            ck_abort_msg("type %u has a name", type);
    }
    ck_assert_uint_eq(known, COLO_ARRAY_LEN(types));
    ck_assert_str_eq(colo__msg_name(UINT32_MAX), "unknown");

    for (uint32_t type = 18; type < 32; type++) {
        make(buf, COLO_MSG_STOP, NULL, 0);
        colo__put16(buf + 4, (uint16_t)type);
        ck_assert_int_eq(colo__wire_peek(buf, sizeof(buf), 4096, &err),
                         COLO_E_PROTO);
        ck_text(err, "unknown message type");
    }
}
END_TEST

START_TEST(test_reserved_bits)
{
    uint8_t buf[COLO_WIRE_HEADER];
    struct colo_error err;
    static const size_t at[] = { 6, 7, 12, 13, 14, 15 };

    for (size_t i = 0; i < COLO_ARRAY_LEN(at); i++) {
        make(buf, COLO_MSG_STOP, NULL, 0);
        buf[at[i]] = 1;
        ck_assert_int_eq(colo__wire_peek(buf, sizeof(buf), 4096, &err),
                         COLO_E_PROTO);
        ck_text(err, "STOP with reserved bits");
    }
}
END_TEST

START_TEST(test_too_long)
{
    struct colo_msg msg = { .type = COLO_MSG_PAGES };
    uint8_t buf[COLO_WIRE_HEADER];
    struct colo_error err;

    make(buf, COLO_MSG_PAGES, NULL, 0);
    colo__put32(buf + 8, COLO_WIRE_MAX_CONTROL + 1);
    ck_assert_int_eq(parse(buf, sizeof(buf), &msg, &err), COLO_E_PROTO);
    ck_text(err, "PAGES with a body of 4097 bytes");
    ck_assert_int_eq(colo__wire_peek(buf, sizeof(buf), COLO_WIRE_MAX_BULK,
                                     &err), 40 + 4097);
    colo__put32(buf + 8, UINT32_MAX);
    ck_assert_int_eq(colo__wire_peek(buf, sizeof(buf), COLO_WIRE_MAX_BULK,
                                     &err), COLO_E_PROTO);

    msg.len = COLO_WIRE_MAX_BULK + 1;
    ck_assert_int_eq(colo__wire_build(&msg, buf, &err), COLO_E_INVAL);
    ck_text(err, "too long");
    msg = (struct colo_msg){ .type = 18 };
    ck_assert_int_eq(colo__wire_build(&msg, buf, &err), COLO_E_INVAL);
    ck_text(err, "no message type 18");
}
END_TEST

START_TEST(test_numbers)
{
    uint8_t b[9] = { 0 };

    colo__put16(b + 1, 0x0102);
    ck_assert_mem_eq(b + 1, "\1\2", 2);
    ck_assert_uint_eq(colo__get16(b + 1), 0x0102);
    colo__put32(b + 1, 0x01020304);
    ck_assert_mem_eq(b + 1, "\1\2\3\4", 4);
    ck_assert_uint_eq(colo__get32(b + 1), 0x01020304);
    colo__put64(b + 1, UINT64_C(0x0102030405060708));
    ck_assert_mem_eq(b + 1, "\1\2\3\4\5\6\7\10", 8);
    ck_assert_uint_eq(colo__get64(b + 1), UINT64_C(0x0102030405060708));
    ck_assert_uint_eq(b[0], 0);
}
END_TEST

PURE_MAIN("wire-framing", test_layout, test_there_and_back,
          test_every_prefix_wants_more, test_every_flipped_bit_is_found,
          test_a_stranger_is_told_early, test_unknown_types,
          test_reserved_bits, test_too_long, test_numbers)
