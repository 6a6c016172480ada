/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Pieces of the seed: packed where it is worth it, unpacked whole or not at
 * all, whatever a peer says.
 */
#include "pure-common.h"

#include "pure/seed-pack.h"

#define CHUNK COLO_WIRE_SEED_CHUNK

static uint8_t raw[CHUNK], packed[CHUNK], room[CHUNK + 1];
static struct colo_delta_scratch scratch;
static struct colo_error err;

/* noise, and from zeros_at on zeros */
static uint32_t pack(uint32_t len, uint32_t zeros_at)
{
    uint64_t state = 7;

    pure_random_fill(&state, raw, sizeof(raw));
    memset(raw + zeros_at, 0, sizeof(raw) - zeros_at);
    return colo__seed_pack(&scratch, raw, len, packed);
}

/* rc; of what is refused nothing is returned */
static int unpack(uint64_t value, const uint8_t *body, uint32_t len)
{
    struct colo_msg msg = { .type = COLO_MSG_SEED_DATA, .value = value,
                            .body = body, .len = len };
    const uint8_t *piece = NULL;
    uint32_t n = 0;
    int rc;

    room[value <= CHUNK ? value : CHUNK] = 0x5a; /* is not touched */
    rc = colo__seed_unpack(&msg, room, &piece, &n, &err);
    ck_assert_uint_eq(room[value <= CHUNK ? value : CHUNK], 0x5a);
    if (rc) {
        ck_assert_ptr_null(piece);
        ck_assert_uint_eq(n, 0);
        return rc;
    }
    ck_assert_uint_eq(n, value ? value : len);
    ck_assert_ptr_eq(piece, value ? room : body);
    ck_assert_mem_eq(piece, raw, n);
    return 0;
}

START_TEST(every_size_comes_back)
{
    static const uint32_t lens[] = { CHUNK, CHUNK - 1, 70000, 4096, 100, 40 };

    for (size_t i = 0; i < COLO_ARRAY_LEN(lens); i++) {
        uint32_t n = pack(lens[i], lens[i] / 4);

        ck_assert_uint_gt(n, 0);
        ck_assert_uint_lt(n, lens[i] - lens[i] / 8);
        ck_assert_int_eq(unpack(lens[i], packed, n), 0);
        ck_assert_int_eq(unpack(0, raw, lens[i]), 0);
    }
    ck_assert_uint_lt(pack(CHUNK, 0), CHUNK / 200); /* of zeros */
    ck_assert_int_eq(unpack(0, raw, 1), 0);
}
END_TEST

/* An eighth is the least that pays; the smallest pieces never do. */
START_TEST(what_does_not_pay_is_plain)
{
    ck_assert_uint_eq(pack(CHUNK, CHUNK), 0);
    ck_assert_uint_eq(pack(CHUNK, CHUNK - CHUNK / 9), 0);
    ck_assert_uint_gt(pack(CHUNK, CHUNK - CHUNK / 7), 0);
    for (uint32_t len = 0; len < 12; len++)
        ck_assert_uint_eq(pack(len, 0), 0);
}
END_TEST

START_TEST(sizes_that_cannot_be)
{
    uint32_t n = pack(CHUNK, CHUNK / 2);
    static uint8_t longer[CHUNK + 1];

    ck_assert_int_eq(unpack(CHUNK + 1, packed, n), COLO_E_PROTO);
    ck_text(err, "a piece of 131073 bytes");
    ck_assert_int_eq(unpack(UINT64_MAX, packed, n), COLO_E_PROTO);
    ck_assert_int_eq(unpack(UINT64_C(1) << 32 | CHUNK, packed, n),
                     COLO_E_PROTO);
    ck_assert_int_eq(unpack(n - 1, packed, n), COLO_E_PROTO);
    ck_assert_int_eq(unpack(CHUNK, packed, 0), COLO_E_PROTO);
    ck_assert_int_eq(unpack(0, packed, 0), COLO_E_PROTO);
    ck_assert_int_eq(unpack(0, longer, CHUNK + 1), COLO_E_PROTO);
}
END_TEST

START_TEST(damage)
{
    uint32_t len = 60000, n = pack(len, len / 2);
    uint8_t *end;

    ck_assert_uint_gt(n, 0);
    ck_assert_uint_lt(n, 64 * 1024);
    ck_assert_int_eq(unpack(len - 1, packed, n), COLO_E_CORRUPT);
    ck_assert_int_eq(unpack(len + 1, packed, n), COLO_E_CORRUPT);
    ck_text(err, "does not unpack to 60001");
    ck_assert_int_eq(unpack(len, packed, n - 1), COLO_E_CORRUPT);
    ck_assert_int_eq(unpack(len, raw, 100), COLO_E_CORRUPT);
    /* and not a byte behind it is read */
    end = pure_guarded(packed, n);
    ck_assert_int_eq(unpack(len, end, n), 0);
    end[0] = 0xff;
    memset(end + 1, 0xff, n - 1);
    ck_assert_int_eq(unpack(len, end, n), COLO_E_CORRUPT);
}
END_TEST

PURE_MAIN("seed-pack", every_size_comes_back, what_does_not_pay_is_plain,
          sizes_that_cannot_be, damage)
