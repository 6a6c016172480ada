/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * NETS: numbers of network cards that another host sends, and that become
 * names of interfaces here.
 */
#include "pure-common.h"

#include "pure/wire.h"

static const struct colo_net_name two[2] = { { 0, true }, { 255, false } };

static struct colo_msg message(const uint8_t *body, uint32_t count)
{
    return (struct colo_msg){ .type = COLO_MSG_NETS, .value = count,
                              .len = count * COLO_WIRE_NET_BYTES,
                              .body = body };
}

START_TEST(what_is_built_is_parsed)
{
    struct colo_net_name got[COLO_WIRE_NETS];
    uint8_t body[COLO_WIRE_NETS * COLO_WIRE_NET_BYTES];
    struct colo_msg msg = message(body, 2);

    ck_assert_int_eq(colo__nets_build(two, 2, body, sizeof(body), NULL), 8);
    ck_assert_int_eq(colo__nets_parse(&msg, got, NULL), 0);
    for (int i = 0; i < 2; i++) {
        ck_assert_uint_eq(got[i].devid, two[i].devid);
        ck_assert(got[i].emulated == two[i].emulated);
    }
}
END_TEST

START_TEST(anything_else_is_refused)
{
    static const struct {
        uint8_t body[8];
        uint32_t count, len;
    } bad[] = {
        { { 1, 0, 0, 0 }, 1, 4 },             /* number 256 */
        { { 0, 0, 2, 0 }, 1, 4 },             /* neither 0 nor 1 */
        { { 0, 0, 0, 1 }, 1, 4 },             /* not zero */
        { { 0, 7, 0, 0, 0, 7, 1, 0 }, 2, 8 }, /* one twice */
        { { 0, 7, 0, 0 }, 1, 3 },             /* cut */
        { { 0, 7, 0, 0, 0 }, 1, 5 },          /* too long */
        { { 0 }, 0, 0 },                      /* none */
        { { 0 }, 9, 36 },                     /* too many */
    };
    struct colo_net_name got[COLO_WIRE_NETS];

    for (size_t i = 0; i < COLO_ARRAY_LEN(bad); i++) {
        struct colo_msg msg = message(bad[i].body, bad[i].count);

        msg.len = bad[i].len;
        ck_assert_msg(colo__nets_parse(&msg, got, NULL) == COLO_E_PROTO,
                      "body %zu", i);
    }
}
END_TEST

START_TEST(no_more_than_there_is_room_for)
{
    struct colo_net_name many[COLO_WIRE_NETS + 1] = { { 0, false } };
    uint8_t body[64];

    ck_assert_int_eq(colo__nets_build(many, COLO_WIRE_NETS + 1, body,
                                      sizeof(body), NULL), COLO_E_LIMIT);
    ck_assert_int_eq(colo__nets_build(two, 2, body, 7, NULL), COLO_E_LIMIT);
}
END_TEST

PURE_MAIN("wire-nets", what_is_built_is_parsed, anything_else_is_refused,
          no_more_than_there_is_room_for)
