/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * GONE, LOADED and AUDIT: lists of frame numbers from a peer.
 */
#include "pure-common.h"

#include "pure/wire.h"

static struct colo_msg gone(uint8_t *body, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        colo__put64(body + i * 8, i * 2 + 1);
    return (struct colo_msg){ .type = COLO_MSG_GONE, .value = count,
                              .len = (uint32_t)(count * 8), .body = body };
}

static struct colo_msg audit(uint8_t *body, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        colo__put64(body + i * 16, i * 2 + 1);
        colo__put64(body + i * 16 + 8, ~i);
    }
    return (struct colo_msg){ .type = COLO_MSG_AUDIT, .value = count,
                              .len = (uint32_t)(count * 16), .body = body };
}

START_TEST(test_gfns)
{
    uint8_t body[(COLO_WIRE_MAX_GONE + 1) * 8];
    struct colo_error err;
    struct colo_msg msg;

    for (uint64_t n = 0; n <= COLO_WIRE_MAX_GONE; n += 128) {
        msg = gone(body, n);
        ck_assert_int_eq(colo__gfns_check(&msg, 3000, COLO_WIRE_MAX_GONE,
                                          &err), 0);
    }
    msg = gone(body, COLO_WIRE_MAX_GONE + 1);
    ck_assert_int_eq(colo__gfns_check(&msg, 3000, COLO_WIRE_MAX_GONE, &err),
                     COLO_E_PROTO);
    ck_text(err, "GONE of 1025 entries (at most 1024)");
    msg = gone(body, COLO_WIRE_MAX_DIFFER + 1);
    msg.type = COLO_MSG_VMSTATE_LOADED;
    ck_assert_int_eq(colo__gfns_check(&msg, 3000, COLO_WIRE_MAX_DIFFER,
                                      &err), COLO_E_PROTO);
    ck_text(err, "VMSTATE_LOADED");
    /* a full LOADED fits the control link */
    ck_assert_uint_le(COLO_WIRE_MAX_DIFFER * 8, COLO_WIRE_MAX_CONTROL);
}
END_TEST

START_TEST(test_gfns_that_lie)
{
    static const uint64_t counts[] = {
        0, 9, 11, 1024, UINT64_C(1) << 32 | 10, UINT64_C(1) << 61 | 10,
        UINT64_MAX,
    };
    uint8_t body[88];
    struct colo_msg msg = gone(body, 10);
    struct colo_error err;

    for (size_t i = 0; i < COLO_ARRAY_LEN(counts); i++) {
        msg.value = counts[i];
        ck_assert_int_eq(colo__gfns_check(&msg, 3000, COLO_WIRE_MAX_GONE,
                                          &err), COLO_E_PROTO);
    }
    msg = gone(body, 10);
    for (uint32_t len = 0; len < 88; len++) {
        msg.len = len;
        msg.body = pure_guarded(body, len);
        ck_assert_int_eq(colo__gfns_check(&msg, 3000, COLO_WIRE_MAX_GONE,
                                          &err), len == 80 ? 0 : COLO_E_PROTO);
    }
    msg = gone(body, 10);
    ck_assert_int_eq(colo__gfns_check(&msg, 20, 10, &err), 0);
    ck_assert_int_eq(colo__gfns_check(&msg, 19, 10, &err), COLO_E_PROTO);
    ck_text(err, "frame 0x13");
    colo__put64(body + 8, 1);
    ck_assert_int_eq(colo__gfns_check(&msg, 20, 10, &err), COLO_E_PROTO);
    ck_text(err, "out of order");
    msg = gone(body, 1);
    colo__put64(body, COLO_GFN_MAX);
    ck_assert_int_eq(colo__gfns_check(&msg, UINT64_MAX, 10, &err), 0);
    colo__put64(body, COLO_GFN_MAX + 1);
    ck_assert_int_eq(colo__gfns_check(&msg, UINT64_MAX, 10, &err),
                     COLO_E_PROTO);
    /* and no frame number can wrap the order around */
    colo__put64(body, UINT64_MAX);
    ck_assert_int_eq(colo__gfns_check(&msg, UINT64_MAX, 10, &err),
                     COLO_E_PROTO);
}
END_TEST

START_TEST(test_audit)
{
    uint8_t body[(COLO_WIRE_MAX_AUDIT + 1) * 16];
    struct colo_error err;
    struct colo_msg msg;

    for (uint64_t n = 0; n <= COLO_WIRE_MAX_AUDIT; n += 128) {
        msg = audit(body, n);
        ck_assert_int_eq(colo__audit_check(&msg, 3000, &err), 0);
    }
    msg = audit(body, COLO_WIRE_MAX_AUDIT + 1);
    ck_assert_int_eq(colo__audit_check(&msg, 3000, &err), COLO_E_PROTO);
    msg = audit(body, 4);
    ck_assert_int_eq(colo__audit_check(&msg, 8, &err), 0);
    ck_assert_int_eq(colo__audit_check(&msg, 7, &err), COLO_E_PROTO);
    ck_text(err, "AUDIT");
    msg.len -= 8;
    ck_assert_int_eq(colo__audit_check(&msg, 8, &err), COLO_E_PROTO);
    msg = audit(body, 4);
    colo__put64(body + 16, 1);
    ck_assert_int_eq(colo__audit_check(&msg, 8, &err), COLO_E_PROTO);
    ck_text(err, "out of order");
}
END_TEST

START_TEST(test_dirty)
{
    uint8_t body[(COLO_WIRE_MAX_DIRTY + 1) * COLO_WIRE_DIRTY_ENTRY];
    struct colo_msg msg = { .type = COLO_MSG_DIRTY, .body = body };
    struct colo_wire_dirty d;
    struct colo_error err;

    for (uint64_t i = 0; i <= COLO_WIRE_MAX_DIRTY; i++) {
        d = (struct colo_wire_dirty){ .gfn = i * 2 + 1, .high = ~i, .low = i };
        colo__dirty_entry_build(body + i * COLO_WIRE_DIRTY_ENTRY, &d);
    }
    msg.value = COLO_WIRE_MAX_DIRTY;
    msg.len = COLO_WIRE_MAX_DIRTY * COLO_WIRE_DIRTY_ENTRY;
    ck_assert_int_eq(colo__dirty_check(&msg, 3000, &err), 0);
    ck_assert_uint_le(msg.len, COLO_WIRE_MAX_BULK);
    colo__dirty_entry(&msg, 7, &d);
    ck_assert_uint_eq(d.gfn, 15);
    ck_assert_uint_eq(d.high, ~UINT64_C(7));
    ck_assert_uint_eq(d.low, 7);
    /* the last frame is 2047 */
    ck_assert_int_eq(colo__dirty_check(&msg, 2048, &err), 0);
    ck_assert_int_eq(colo__dirty_check(&msg, 2047, &err), COLO_E_PROTO);
    msg.value++;
    ck_assert_int_eq(colo__dirty_check(&msg, 3000, &err), COLO_E_PROTO);
    ck_text(err, "DIRTY of 1025 entries (at most 1024)");
    msg.value = msg.len = 0;
    ck_assert_int_eq(colo__dirty_check(&msg, 3000, &err), COLO_E_PROTO);
    ck_text(err, "DIRTY of no frame");
    msg.value = 2;
    msg.len = 2 * COLO_WIRE_DIRTY_ENTRY - 8;
    ck_assert_int_eq(colo__dirty_check(&msg, 3000, &err), COLO_E_PROTO);
    msg.len += 8;
    memcpy(body + COLO_WIRE_DIRTY_ENTRY, body, 8);
    ck_assert_int_eq(colo__dirty_check(&msg, 3000, &err), COLO_E_PROTO);
    ck_text(err, "out of order");
}
END_TEST

PURE_MAIN("wire-gfns", test_gfns, test_gfns_that_lie, test_audit, test_dirty)
