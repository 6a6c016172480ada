/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The pages that lie over a disk, against a plain array: memory, the spill
 * file, and both of them full.
 */
#include "disk-common.h"

#include "../../disk-proxy/overlay.h"

#define PAGE COLO_OVERLAY_PAGE
#define NR 2048u /* pages of the disk */
#define MIB (1024u * 1024u)

static struct colo_overlay *open_one(uint64_t memory, uint64_t spill)
{
    struct colo_overlay_config config = {
        .memory_limit = memory, .spill_limit = spill,
        .spill_dir = spill ? "/var/tmp" : NULL,
    };
    struct colo_overlay *ov;
    struct colo_error err;

    ck_assert_msg(colo__overlay_open(&config, &ov, &err) == 0, "%s",
                  err.text);
    return ov;
}

struct reference {
    bool there[NR];
    uint8_t *bytes;
};

static void compare(struct colo_overlay *ov, const struct reference *ref)
{
    uint64_t *pages;
    uint8_t buf[PAGE];
    struct colo_error err;
    size_t n, at = 0;

    ck_assert_int_eq(colo__overlay_list(ov, &pages, &n, &err), 0);
    for (uint32_t i = 0; i < NR; i++) {
        int r = colo__overlay_get(ov, i, 100, PAGE - 300, buf);

        ck_assert_int_eq(r, ref->there[i]);
        ck_assert_int_eq(colo__overlay_get(ov, i, 0, 0, NULL), r);
        if (!r)
            continue;
        ck_assert(at < n && pages[at] == i);
        at++;
        ck_assert(!memcmp(buf, ref->bytes + i * PAGE + 100, PAGE - 300));
    }
    ck_assert_uint_eq(at, n);
    free(pages);
}

static void one_op(struct colo_overlay *ov, struct reference *ref,
                   uint64_t *state)
{
    uint32_t page = (uint32_t)(pure_random(state) % NR);
    uint8_t *at = ref->bytes + page * PAGE;

    switch (pure_random(state) % 8) {
    case 0:
        colo__overlay_drop(ov, page);
        ref->there[page] = false;
        break;
    case 1:
        ck_assert_int_eq(colo__overlay_put(ov, page, NULL), 0);
        memset(at, 0, PAGE);
        ref->there[page] = true;
        break;
    default:
        pure_random_fill(state, at, PAGE);
        ck_assert_int_eq(colo__overlay_put(ov, page, at), 0);
        ref->there[page] = true;
    }
}

static void random_ops(uint64_t memory, uint64_t spill)
{
    struct reference ref = { .bytes = calloc(NR, PAGE) };
    struct colo_overlay *ov = open_one(memory, spill);
    struct colo_overlay_stats stats;
    uint64_t state = memory + spill;

    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < 3000; i++)
            one_op(ov, &ref, &state);
        compare(ov, &ref);
        colo__overlay_stats(ov, &stats);
        ck_assert_uint_le(stats.memory, memory);
        ck_assert_uint_le(stats.spilled, spill);
        ck_assert(!spill || stats.spilled);
        colo__overlay_clear(ov);
        if (round % 2)
            colo__overlay_trim(ov);
        memset(ref.there, 0, sizeof(ref.there));
        compare(ov, &ref);
    }
    colo__overlay_close(ov);
    free(ref.bytes);
}

START_TEST(test_memory)
{
    random_ops(8 * MIB, 0);
}
END_TEST

START_TEST(test_spill)
{
    random_ops(2 * MIB, 6 * MIB);
}
END_TEST

static void fill(uint64_t memory, uint64_t spill)
{
    struct colo_overlay *ov = open_one(memory, spill);
    uint64_t n = (memory + spill) / PAGE;
    uint8_t page[PAGE], got[PAGE];

    for (int round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < n; i++) {
            memset(page, (int)(i % 251), PAGE);
            ck_assert_int_eq(colo__overlay_put(ov, i * 7, page), 0);
        }
        ck_assert_int_eq(colo__overlay_put(ov, 3, page), ENOSPC);
        ck_assert_int_eq(colo__overlay_put(ov, 3, NULL), ENOSPC);
        ck_assert_int_eq(colo__overlay_get(ov, 3, 0, 0, NULL), 0);
        /* what has a place can be written again, also by way of zeros */
        ck_assert_int_eq(colo__overlay_put(ov, 7, NULL), 0);
        ck_assert_int_eq(colo__overlay_put(ov, 7, page), 0);
        for (uint64_t i = 2; i < n; i++) {
            ck_assert_int_eq(colo__overlay_get(ov, i * 7, 0, PAGE, got), 1);
            ck_assert_uint_eq(got[PAGE - 1], i % 251);
        }
        colo__overlay_clear(ov);
    }
    colo__overlay_close(ov);
}

START_TEST(test_full)
{
    fill(2 * MIB, 0);
    fill(1 * MIB, 2 * MIB);
}
END_TEST

PURE_MAIN("disk-overlay", test_memory, test_spill, test_full)
