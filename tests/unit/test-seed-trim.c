/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A seed for an older Xen: the local APICs' records become shorter, nothing
 * else changes, and it does not matter in what pieces it comes.
 */
#include "stream-common.h"

#include "../../libcolo/pure/hvmctx.h"
#include "../../libcolo/pure/seed-header.h"
#include "../../libcolo/pure/seed-trim.h"

#define CONFIG "{\"c_info\": {\"name\": \"LibxlFmt\"}}"
#define ROOM (2 * STREAM_ROOM)

static struct stream s;
static uint8_t seed[ROOM], got[ROOM], whole[ROOM];
static size_t seed_len;
static size_t context_at; /* in seed: the body of HVM_CONTEXT */
static uint32_t context_len;

static uint32_t put_entry(uint8_t *p, uint32_t type, uint32_t instance,
                          uint32_t len)
{
    colo__put_le(p, type, 2);
    colo__put_le(p + 2, instance, 2);
    colo__put_le(p + 4, len, 4);
    for (uint32_t i = 0; i < len; i++)
        p[8 + i] = (uint8_t)(0x80 + type * 16 + instance * 4 + i);
    return 8 + len;
}

/* vCPUs with an APIC's record of this length each, as in Xen's context */
static uint32_t make_context(uint8_t *p, uint32_t vcpus, uint32_t lapic)
{
    uint32_t n = put_entry(p, 1, 0, 24);

    for (uint32_t i = 0; i < vcpus; i++)
        n += put_entry(p + n, 2, i, 101);
    for (uint32_t i = 0; i < vcpus; i++)
        n += put_entry(p + n, COLO_HVMCTX_LAPIC, i, lapic);
    for (uint32_t i = 0; i < vcpus; i++)
        n += put_entry(p + n, 6, i, 9);
    return n + put_entry(p + n, 0, 0, 0);
}

static void make_seed(uint32_t vcpus, uint32_t lapic)
{
    static uint8_t context[ROOM / 2];
    static const uint64_t entries[] = { 0, 1, UINT64_C(0xf) << 60 | 2 };
    size_t at;

    context_len = make_context(context, vcpus, lapic);
    stream_begin(&s);
    stream_head(&s, COLO_STREAM_HVM);
    stream_pages(&s, entries, COLO_ARRAY_LEN(entries));
    at = s.out.len;
    colo__stream_out_record(&s.out, COLO_STREAM_LIBXC,
                            COLO_LIBXC_HVM_CONTEXT, context, context_len);
    stream_mark(&s, COLO_STREAM_LIBXC, COLO_LIBXC_END);
    colo__stream_out_emulator(&s.out, 64);
    stream_raw(&s, 5, 64); /* like an entry of an APIC, and none */
    stream_mark(&s, COLO_STREAM_LIBXL, COLO_LIBXL_END);
    stream_end(&s);
    seed_header_put(seed, strlen(CONFIG));
    memcpy(seed + SEED_HEADER, CONFIG, strlen(CONFIG));
    seed_len = SEED_HEADER + strlen(CONFIG);
    context_at = seed_len + at + COLO_STREAM_HEAD;
    memcpy(seed + seed_len, s.bytes, s.len);
    seed_len += s.len;
}

/* In pieces of step; step 0: of random lengths. */
static size_t trim(size_t step, uint64_t *state)
{
    struct colo_seed_trim t = { 0 };
    size_t pos = 0, n = 0;

    while (pos < seed_len) {
        static uint8_t out[ROOM + COLO_SEED_TRIM_ROOM];
        size_t len = step ? step : 1 + pure_random(state) % 900, used;

        if (len > seed_len - pos)
            len = seed_len - pos;
        used = colo__seed_trim(&t, seed + pos, len, out);
        ck_assert_uint_le(used, len + COLO_SEED_TRIM_ROOM);
        ck_assert_uint_le(n + used, pos + len);
        memcpy(got + n, out, used);
        n += used;
        pos += len;
    }
    return n;
}

/* The stream in got is one, and its context that of vcpus. */
static void check_got(uint32_t vcpus, uint32_t lapic)
{
    static uint8_t want[ROOM / 2];
    struct colo_stream_reader reader;
    struct colo_error err = { 0 };
    size_t head = SEED_HEADER + strlen(CONFIG);
    uint32_t n = make_context(want, vcpus, lapic);

    ck_assert_uint_le(n, context_len);
    memset(want + n, 0, context_len - n);
    /* the content that is left is that of the longer record */
    ck_assert_mem_eq(got, seed, context_at);
    ck_assert_mem_eq(got + context_at, want, context_len);
    ck_assert_mem_eq(got + context_at + context_len,
                     seed + context_at + context_len,
                     seed_len - context_at - context_len);
    ck_assert_int_eq(colo__hvmctx_record_len(got + context_at, context_len,
                                             COLO_HVMCTX_LAPIC), (int)lapic);
    colo__stream_reader_init(&reader, COLO_STREAM_PLAIN, NULL);
    ck_assert_msg(!stream_read_all(&reader, got + head, seed_len - head, 4096,
                                   NULL, &err), "%s", err.text);
}

START_TEST(test_shorter)
{
    static const uint32_t vcpus[] = { 1, 2, 7 };

    for (size_t i = 0; i < COLO_ARRAY_LEN(vcpus); i++) {
        make_seed(vcpus[i], 32);
        for (size_t step = 1; step < 64; step++) {
            ck_assert_uint_eq(trim(step, NULL), seed_len);
            check_got(vcpus[i], 24);
        }
        ck_assert_uint_eq(trim(seed_len, NULL), seed_len);
        check_got(vcpus[i], 24);
    }
}
END_TEST

START_TEST(test_unchanged)
{
    static const uint32_t lengths[] = { 8, 24, 31, 33, 40, 0x120 };

    for (size_t i = 0; i < COLO_ARRAY_LEN(lengths); i++) {
        make_seed(3, lengths[i]);
        ck_assert_uint_eq(trim(100, NULL), seed_len);
        if (lengths[i] != 0x120)
            ck_assert_mem_eq(got, seed, seed_len);
    }
    make_seed(3, 32);
    seed[3] ^= 1; /* what simulated guests have for a seed is none */
    ck_assert_uint_eq(trim(100, NULL), seed_len);
    ck_assert_mem_eq(got, seed, seed_len);
}
END_TEST

/* No piece becomes longer than there is room for. */
START_TEST(test_many)
{
    uint32_t most = COLO_SEED_TRIM_ROOM / 8;

    make_seed(most, 32);
    ck_assert_uint_eq(trim(1000, NULL), seed_len);
    check_got(most, 24);
    make_seed(most + 5, 32);
    ck_assert_uint_eq(trim(context_at + 600, NULL), seed_len);
}
END_TEST

/* Whatever it is: no byte too much, and the same in any pieces. */
START_TEST(test_damaged)
{
    uint64_t state = 7;

    for (int i = 0; i < 2000; i++) {
        size_t n;

        make_seed(2, 32);
        for (int j = 0; j < 3; j++)
            seed[pure_random(&state) % seed_len] =
                (uint8_t)pure_random(&state);
        if (i % 2)
            seed[context_at + pure_random(&state) % context_len] =
                (uint8_t)pure_random(&state);
        n = trim(seed_len, NULL);
        memcpy(whole, got, n);
        ck_assert_uint_eq(trim(0, &state), n);
        ck_assert_mem_eq(got, whole, n);
    }
}
END_TEST

PURE_MAIN("seed-trim", test_shorter, test_unchanged, test_many, test_damaged)
