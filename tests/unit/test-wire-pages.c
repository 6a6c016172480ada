/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * PAGES: what entry_build writes is read back in order, and every way in
 * which a body can lie is refused before an entry of it is used.
 */
#include "pure-common.h"

#include "pure/wire.h"

#define NR_GFNS 1000

struct body {
    uint8_t bytes[COLO_WIRE_MAX_BULK];
    uint32_t count;
    size_t payload_len;
};

/* entries first, payloads behind them: count is known beforehand */
static void add(struct body *b, uint32_t i, uint64_t gfn, uint32_t coding,
                uint32_t len)
{
    struct colo_wire_page page = {
        .gfn = gfn, .coding = coding, .len = len,
        .hash = coding == COLO_CODING_LZ4 || coding == COLO_CODING_XOR
                    ? gfn * 77 + 1 : 0,
    };

    colo__page_entry_build(b->bytes + i * COLO_WIRE_PAGE_ENTRY, &page);
    memset(b->bytes + b->count * COLO_WIRE_PAGE_ENTRY + b->payload_len,
           (int)i + 1, len);
    b->payload_len += len;
}

static struct colo_msg msg_of(const struct body *b)
{
    return (struct colo_msg){
        .type = COLO_MSG_PAGES, .value = b->count, .body = b->bytes,
        .len = (uint32_t)(b->count * COLO_WIRE_PAGE_ENTRY + b->payload_len),
    };
}

static struct body *body_new(uint32_t count)
{
    struct body *b = calloc(1, sizeof(*b));

    ck_assert_ptr_nonnull(b);
    b->count = count;
    return b;
}

/* four pages, one of each coding */
static struct body *sample(void)
{
    struct body *b = body_new(4);

    add(b, 0, 3, COLO_CODING_LZ4, 1);
    add(b, 1, 4, COLO_CODING_RAW, 4096);
    add(b, 2, 700, COLO_CODING_ZERO, 0);
    add(b, 3, 999, COLO_CODING_XOR, 4095);
    return b;
}

static int check(const struct body *b, struct colo_error *err)
{
    struct colo_msg msg = msg_of(b);

    return colo__pages_check(&msg, NR_GFNS, err);
}

START_TEST(test_there_and_back)
{
    static const uint8_t want[24] = {
        2, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 232,
    };
    static const struct colo_wire_page pages[] = {
        { .gfn = 3, .coding = COLO_CODING_LZ4, .len = 1, .hash = 232 },
        { .gfn = 4, .coding = COLO_CODING_RAW, .len = 4096 },
        { .gfn = 700, .coding = COLO_CODING_ZERO },
        { .gfn = 999, .coding = COLO_CODING_XOR, .len = 4095,
          .hash = 999 * 77 + 1 },
    };
    struct body *b = sample();
    struct colo_msg msg = msg_of(b);
    struct colo_error err;
    size_t offset = 0;

    ck_assert_int_eq(check(b, &err), 0);
    ck_assert_mem_eq(b->bytes, want, sizeof(want));
    for (uint32_t i = 0; i < 4; i++) {
        struct colo_wire_page got;

        colo__pages_entry(&msg, i, &offset, &got);
        ck_assert_uint_eq(got.gfn, pages[i].gfn);
        ck_assert_uint_eq(got.coding, pages[i].coding);
        ck_assert_uint_eq(got.len, pages[i].len);
        ck_assert_uint_eq(got.hash, pages[i].hash);
        for (uint32_t k = 0; k < got.len; k++) {
            if (got.payload[k] != i + 1)
                ck_abort_msg("payload of entry %u", i);
        }
    }
    ck_assert_uint_eq(offset, b->payload_len);
    free(b);
}
END_TEST

START_TEST(test_as_many_as_fit)
{
    struct body *b = body_new(COLO_WIRE_MAX_PAGES);
    struct colo_error err;

    for (uint32_t i = 0; i < COLO_WIRE_MAX_PAGES; i++)
        add(b, i, i, COLO_CODING_RAW, 4096);
    ck_assert_int_eq(check(b, &err), 0);
    ck_assert_uint_le(msg_of(b).len, COLO_WIRE_MAX_BULK);
    free(b);

    b = body_new(COLO_WIRE_MAX_PAGES + 1);
    for (uint32_t i = 0; i <= COLO_WIRE_MAX_PAGES; i++)
        add(b, i, i, COLO_CODING_ZERO, 0);
    ck_assert_int_eq(check(b, &err), COLO_E_PROTO);
    ck_text(err, "129 pages");
    free(b);

    b = body_new(0);
    ck_assert_int_eq(check(b, &err), COLO_E_PROTO);
    free(b);
}
END_TEST

START_TEST(test_counts_that_lie)
{
    struct body *b = sample();
    struct colo_msg msg = msg_of(b);
    struct colo_error err;
    static const uint64_t counts[] = {
        0, 1, 2, 3, 5, 128, 129, UINT32_MAX, UINT64_C(1) << 32 | 4,
        UINT64_MAX / 24 + 1, UINT64_MAX,
    };

    for (size_t i = 0; i < COLO_ARRAY_LEN(counts); i++) {
        msg.value = counts[i];
        ck_assert_int_eq(colo__pages_check(&msg, NR_GFNS, &err),
                         COLO_E_PROTO);
        ck_text(err, "PAGES");
    }
    for (uint32_t len = 0; len < msg_of(b).len; len += 13) {
        msg = msg_of(b);
        msg.len = len;
        msg.body = pure_guarded(b->bytes, len);
        ck_assert_int_eq(colo__pages_check(&msg, NR_GFNS, &err),
                         COLO_E_PROTO);
    }
    msg = msg_of(b);
    msg.len++;
    ck_assert_int_eq(colo__pages_check(&msg, NR_GFNS, &err), COLO_E_PROTO);
    ck_text(err, "its pages end at");
    free(b);
}
END_TEST

START_TEST(test_frames)
{
    struct body *b = sample();
    struct colo_msg msg = msg_of(b);
    struct colo_error err;

    ck_assert_int_eq(colo__pages_check(&msg, 999, &err), COLO_E_PROTO);
    ck_text(err, "frame 0x3e7");
    colo__put64(b->bytes, UINT64_C(2) << 56 | 4); /* twice the same */
    ck_assert_int_eq(check(b, &err), COLO_E_PROTO);
    ck_text(err, "out of order");
    colo__put64(b->bytes, UINT64_C(2) << 56 | 5);
    ck_assert_int_eq(check(b, &err), COLO_E_PROTO);
    colo__put64(b->bytes, UINT64_C(2) << 56);
    ck_assert_int_eq(check(b, &err), 0);
    free(b);

    b = body_new(1);
    add(b, 0, COLO_GFN_MAX, COLO_CODING_ZERO, 0);
    msg = msg_of(b);
    ck_assert_int_eq(colo__pages_check(&msg, COLO_GFN_MAX + 1, &err), 0);
    colo__put64(b->bytes, UINT64_C(1) << 56 | (COLO_GFN_MAX + 1));
    ck_assert_int_eq(colo__pages_check(&msg, UINT64_MAX, &err),
                     COLO_E_PROTO);
    free(b);
}
END_TEST

START_TEST(test_codings)
{
    static const uint32_t lens[] = { 0, 1, 100, 4095, 4096, 4097 };
    struct colo_error err;

    for (uint32_t coding = 0; coding < 256; coding++) {
        for (size_t i = 0; i < COLO_ARRAY_LEN(lens); i++) {
            struct body *b = body_new(1);
            bool fine = coding == COLO_CODING_RAW    ? lens[i] == 4096
                        : coding == COLO_CODING_ZERO ? lens[i] == 0
                        : coding <= COLO_CODING_XOR
                            ? lens[i] > 0 && lens[i] < 4096
                            : false;

            add(b, 0, 1, coding, lens[i]);
            if (check(b, &err) != (fine ? 0 : COLO_E_PROTO))
                ck_abort_msg("coding %u, %u bytes", coding, lens[i]);
            free(b);
        }
    }
}
END_TEST

START_TEST(test_what_must_be_zero)
{
    struct body *b = sample();
    struct colo_error err;

    for (int i = 0; i < 4; i++) {
        colo__put32(b->bytes + i * 24 + 12, 1);
        ck_assert_int_eq(check(b, &err), COLO_E_PROTO);
        colo__put32(b->bytes + i * 24 + 12, 0);
    }
    ck_assert_int_eq(check(b, &err), 0);
    colo__put64(b->bytes + 24 + 16, 1); /* a hash of RAW */
    ck_assert_int_eq(check(b, &err), COLO_E_PROTO);
    colo__put64(b->bytes + 24 + 16, 0);
    colo__put64(b->bytes + 48 + 16, 1); /* of ZERO */
    ck_assert_int_eq(check(b, &err), COLO_E_PROTO);
    colo__put64(b->bytes + 48 + 16, 0);
    colo__put64(b->bytes + 16, 0); /* of LZ4: 0 is a hash, too */
    ck_assert_int_eq(check(b, &err), 0);
    free(b);
}
END_TEST

PURE_MAIN("wire-pages", test_there_and_back, test_as_many_as_fit,
          test_counts_that_lie, test_frames, test_codings,
          test_what_must_be_zero)
