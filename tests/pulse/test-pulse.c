/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) the libcolo developers
 *
 * test-pulse.c - pulse finds every wrong page: each page in turn is made
 * stale, torn, zero or wrong by one bit, and verify must name exactly it.
 */
#include "pulse-core.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define PAGES 520 /* two index pages, the second one nearly empty */
#define OLD 23    /* step of the old copy */
#define NEW 61

struct area {
    uint8_t *mem, *old; /* at step NEW, at step OLD */
    struct pulse_state st, old_st;
};

static const struct pulse_params plain = { .seed = 7, .pages = PAGES,
                                           .per_step = 37 };
static const struct pulse_params hot_cold = { .seed = 8, .pages = PAGES,
                                              .hot = 40, .per_step = 33,
                                              .cold_per_step = 3 };

static uint8_t *page_of(uint8_t *mem, uint32_t page)
{
    return mem + (size_t)page * PULSE_PAGE;
}

static void run(uint8_t *mem, struct pulse_state *st, uint64_t to)
{
    struct pulse_report rep = { 0 };

    while (st->step < to)
        ck_assert_uint_eq(pulse_step(mem, st, NULL, NULL, &rep), 0);
    ck_assert_uint_eq(rep.count, 0);
}

static struct area make(const struct pulse_params *params)
{
    size_t size = (size_t)params->pages * PULSE_PAGE;
    struct area a = { .mem = malloc(size), .old = malloc(size) };

    ck_assert(a.mem && a.old);
    ck_assert_int_eq(pulse_init(a.mem, &a.st, params, NULL, NULL), 0);
    run(a.mem, &a.st, OLD);
    memcpy(a.old, a.mem, size);
    a.old_st = a.st;
    run(a.mem, &a.st, NEW);
    return a;
}

static void drop(struct area *a)
{
    free(a->mem);
    free(a->old);
}

static uint32_t verify_all(struct area *a, struct pulse_report *rep)
{
    memset(rep, 0, sizeof(*rep));
    return pulse_verify(a->mem, &a->st, 0, a->st.pages, rep);
}

/* Put something else in one page, expect it named, put the right one back. */
static void expect_found(struct area *a, uint32_t page, const void *wrong,
                         uint32_t kind)
{
    uint8_t right[PULSE_PAGE];
    struct pulse_report rep;

    memcpy(right, page_of(a->mem, page), PULSE_PAGE);
    memcpy(page_of(a->mem, page), wrong, PULSE_PAGE);
    ck_assert_uint_eq(verify_all(a, &rep), 1);
    ck_assert_uint_eq(rep.count, 1);
    ck_assert_uint_eq(rep.page, page);
    ck_assert_str_eq(pulse_kind_name(rep.kind), pulse_kind_name(kind));
    memcpy(page_of(a->mem, page), right, PULSE_PAGE);
}

/* The next page to try: all of the special ones, some of the others. */
static uint32_t next(uint32_t page, uint32_t stride)
{
    return page + (page < 5 || page > PAGES - 20 ? 1 : stride);
}

/* Pages whose content changed between the two steps. */
static int changed(struct area *a, uint32_t page)
{
    return memcmp(page_of(a->mem, page), page_of(a->old, page), PULSE_PAGE);
}

static const struct pulse_params *const both[] = { &plain, &hot_cold };

START_TEST(whole_area_is_right_at_every_step)
{
    struct area a = make(both[_i]);
    struct pulse_report rep;

    ck_assert_uint_eq(verify_all(&a, &rep), 0);
    for (int i = 0; i < 50; i++) {
        run(a.mem, &a.st, a.st.step + 1);
        ck_assert_uint_eq(verify_all(&a, &rep), 0);
    }
    drop(&a);
}
END_TEST

START_TEST(a_stale_page_is_found)
{
    struct area a = make(both[_i]);
    uint32_t seen = 0;

    for (uint32_t p = 0; p < PAGES; p++)
        if (changed(&a, p)) {
            expect_found(&a, p, page_of(a.old, p), PULSE_BAD_STALE);
            seen++;
        }
    ck_assert_uint_gt(seen, 100);
    drop(&a);
}
END_TEST

/* The first lines of the new page, the rest of the old one, and the reverse;
 * every boundary of 64 bytes. */
START_TEST(a_torn_page_is_found)
{
    struct area a = make(both[_i]);
    struct pulse_report rep;

    for (uint32_t p = 0; p < PAGES; p = next(p, 29))
        for (uint32_t cut = 64; changed(&a, p) && cut < PULSE_PAGE;
             cut += 64) {
            uint8_t *now = page_of(a.mem, p), *old = page_of(a.old, p);
            uint8_t torn[2][PULSE_PAGE];

            memcpy(torn[0], old, PULSE_PAGE);
            memcpy(torn[0], now, cut);
            memcpy(torn[1], now, PULSE_PAGE);
            memcpy(torn[1], old, cut);
            /* A touch changes more than the header. */
            ck_assert(cut > 64 || memcmp(torn[0], now, PULSE_PAGE));
            if (memcmp(torn[0], now, PULSE_PAGE))
                expect_found(&a, p, torn[0], PULSE_BAD_TORN);
            expect_found(&a, p, torn[1], PULSE_BAD_STALE);
        }
    ck_assert_uint_eq(verify_all(&a, &rep), 0);
    drop(&a);
}
END_TEST

START_TEST(a_zero_page_is_found)
{
    static const uint8_t zero[PULSE_PAGE];
    struct area a = make(both[_i]);

    for (uint32_t p = 0; p < PAGES; p = next(p, 3))
        expect_found(&a, p, zero, PULSE_BAD_MAGIC);
    drop(&a);
}
END_TEST

START_TEST(a_page_in_the_wrong_place_is_found)
{
    struct area a = make(both[_i]);

    for (uint32_t p = 1; p < PAGES; p = next(p, 5))
        expect_found(&a, p, page_of(a.mem, p - 1), PULSE_BAD_MAGIC);
    drop(&a);
}
END_TEST

START_TEST(a_single_wrong_bit_is_found)
{
    struct area a = make(both[_i]);
    struct pulse_report rep;

    for (uint32_t p = 0; p < PAGES; p = next(p, 97))
        for (uint32_t byte = 0; byte < PULSE_PAGE; byte++) {
            page_of(a.mem, p)[byte] ^= 1u << byte % 8;
            memset(&rep, 0, sizeof(rep));
            ck_assert_uint_eq(pulse_verify(a.mem, &a.st, p, 1, &rep), 1);
            ck_assert_uint_eq(rep.page, p);
            ck_assert_uint_eq(rep.word, byte / 8);
            page_of(a.mem, p)[byte] ^= 1u << byte % 8;
        }
    drop(&a);
}
END_TEST

START_TEST(registers_of_another_step_are_found)
{
    struct area a = make(both[_i]);
    struct pulse_report rep = { 0 };

    a.st.digest ^= 1;
    ck_assert_uint_eq(verify_all(&a, &rep), 1);
    ck_assert_uint_eq(rep.page, 0);
    a.st.digest ^= 1;
    a.st.step--;
    ck_assert_uint_gt(verify_all(&a, &rep), 1);
    ck_assert_str_eq(pulse_kind_name(rep.kind), "ahead");
    a.st = a.old_st;
    ck_assert_uint_gt(verify_all(&a, &rep), 1);
    drop(&a);
}
END_TEST

/* Going on over a wrong page never makes it right unseen. */
START_TEST(going_on_does_not_heal)
{
    struct area a = make(both[_i]);
    size_t size = (size_t)PAGES * PULSE_PAGE;
    uint8_t *good = malloc(size);
    struct pulse_state good_st = a.st;

    memcpy(good, a.mem, size);
    for (uint32_t p = 0; p < PAGES; p = next(p, 17))
        for (int how = 0; how < 3; how++) {
            struct pulse_report rep = { 0 };
            uint8_t *page = page_of(a.mem, p);

            if (how == 0) /* stale */
                memcpy(page, page_of(a.old, p), PULSE_PAGE);
            else if (how == 1) /* half stale */
                memcpy(page + 2048, page_of(a.old, p) + 2048, 2048);
            else /* one bit of the header */
                page[(p * 8 + 5) % 64] ^= 4;
            if (!memcmp(page, page_of(good, p), PULSE_PAGE))
                continue;
            for (int i = 0; i < 60; i++)
                pulse_step(a.mem, &a.st, NULL, NULL, &rep);
            pulse_verify(a.mem, &a.st, 0, PAGES, &rep);
            ck_assert_uint_ge(rep.count, 1);
            ck_assert_uint_eq(rep.page, p);
            memcpy(a.mem, good, size);
            a.st = good_st;
        }
    free(good);
    drop(&a);
}
END_TEST

START_TEST(seek_and_expect_say_what_was)
{
    struct area a = make(both[_i]);
    struct pulse_state st;
    uint64_t want[PULSE_PAGE / 8];

    pulse_seek(&a.st, OLD, &st);
    ck_assert(!memcmp(&st, &a.old_st, sizeof(st)));
    for (uint32_t p = 0; p < PAGES; p++) {
        pulse_expect(&st, p, want);
        ck_assert(!memcmp(want, page_of(a.old, p), PULSE_PAGE));
    }
    drop(&a);
}
END_TEST

static void mark(void *user, uint32_t page)
{
    ((uint8_t *)user)[page] = 1;
}

/* What is written was announced, and the announced data pages are those of
 * pulse_touched_by(). */
START_TEST(every_write_is_announced)
{
    struct area a = make(both[_i]);
    struct pulse_report rep = { 0 };
    size_t size = (size_t)PAGES * PULSE_PAGE;

    for (int round = 0; round < 20; round++) {
        uint8_t said[PAGES] = { 0 };
        uint32_t n = 0;

        memcpy(a.old, a.mem, size);
        pulse_step(a.mem, &a.st, mark, said, &rep);
        for (uint32_t p = 0; p < PAGES; p++)
            ck_assert_int_eq(!!changed(&a, p), said[p]);
        for (uint32_t i = 0; i < pulse_touches(&a.st); i++) {
            uint32_t p = pulse_touched_by(&a.st, a.st.step, i);

            ck_assert_uint_eq(pulse_last_step(&a.st, p), a.st.step);
            n += said[p];
        }
        ck_assert_uint_eq(n, pulse_touches(&a.st));
    }
    drop(&a);
}
END_TEST

START_TEST(parameters_that_cannot_be_are_refused)
{
    static const struct pulse_params bad[] = {
        { .pages = 3 },
        { .pages = 10, .per_step = 9 },
        { .pages = 10, .hot = 9 },
        { .pages = 10, .hot = 4, .per_step = 5 },
        { .pages = 10, .hot = 4, .cold_per_step = 5 },
    };
    uint64_t mem[10 * PULSE_PAGE / 8];
    struct pulse_state st;

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        ck_assert_int_eq(pulse_init(mem, &st, &bad[i], NULL, NULL), -1);
}
END_TEST

START_TEST(an_area_has_the_data_pages_asked_for)
{
    static uint64_t mem[1020 * PULSE_PAGE / 8];

    for (uint32_t data = 500; data <= 1012; data += 4) {
        struct pulse_params params = { .pages = pulse_area_pages(data) };
        struct pulse_state st;

        ck_assert_int_eq(pulse_init(mem, &st, &params, NULL, NULL), 0);
        ck_assert_uint_eq(st.pages - st.first_data, data);
    }
}
END_TEST

START_TEST(small_areas_work)
{
    uint64_t mem[16 * PULSE_PAGE / 8];

    for (uint32_t pages = 4; pages <= 16; pages++)
        for (uint32_t k = 0; k <= pages - 2; k++) {
            struct pulse_params params = { .pages = pages, .per_step = k };
            struct pulse_report rep = { 0 };
            struct pulse_state st;

            ck_assert_int_eq(pulse_init(mem, &st, &params, NULL, NULL), 0);
            run((uint8_t *)mem, &st, 40);
            ck_assert_uint_eq(pulse_verify(mem, &st, 0, pages, &rep), 0);
        }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pulse");
    TCase *tc = tcase_create("pulse");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, whole_area_is_right_at_every_step, 0, 2);
    tcase_add_loop_test(tc, a_stale_page_is_found, 0, 2);
    tcase_add_loop_test(tc, a_torn_page_is_found, 0, 2);
    tcase_add_loop_test(tc, a_zero_page_is_found, 0, 2);
    tcase_add_loop_test(tc, a_page_in_the_wrong_place_is_found, 0, 2);
    tcase_add_loop_test(tc, a_single_wrong_bit_is_found, 0, 2);
    tcase_add_loop_test(tc, registers_of_another_step_are_found, 0, 2);
    tcase_add_loop_test(tc, going_on_does_not_heal, 0, 2);
    tcase_add_loop_test(tc, seek_and_expect_say_what_was, 0, 2);
    tcase_add_loop_test(tc, every_write_is_announced, 0, 2);
    tcase_add_test(tc, parameters_that_cannot_be_are_refused);
    tcase_add_test(tc, an_area_has_the_data_pages_asked_for);
    tcase_add_test(tc, small_areas_work);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
