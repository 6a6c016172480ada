/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The part of a checkpoint that the guest feels: scan and copy, against
 * memcpy of the same pages; the scan alone; and how both grow with the size of
 * the guest.  Guests of many GiB are sparse: their bitmaps and scans are
 * real, of their memory only the dirty set is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define REPS 15

/* One capture of what was marked; nanoseconds of the stopped part. */
static double capture_once(struct bench_guest *g, struct colo_capture *c,
                           uint64_t number)
{
    struct colo_checkpoint_info info;
    struct colo_error err = { 0 };
    uint64_t t0, t1;

    bench_guest_mark(g);
    if (colo__capture_begin(c, number, &err))
        die("begin", &err);
    bench_guest_stop(g);
    t0 = now_ns();
    if (colo__capture_final(c, &info, &err))
        die("capture", &err);
    t1 = now_ns();
    bench_guest_resume(g);
    if (c->epoch.count < g->count)
        die("pages are missing", NULL);
    return (double)(t1 - t0);
}

static double memcpy_once(const struct bench_guest *g, uint8_t *to)
{
    uint64_t t0 = now_ns();

    for (uint64_t i = 0; i < g->count; i++)
        memcpy(to + i * COLO_PAGE_SIZE, sim_guest_page(g->guest, g->gfns[i]),
               COLO_PAGE_SIZE);
    return (double)(now_ns() - t0);
}

static void start_capture(struct bench_guest *g, struct colo_capture *c,
                          uint32_t audit)
{
    struct colo_error err = { 0 };

    if (colo__capture_init(c, g->hv, NULL, &colo__clock_monotonic, 0, audit,
                           &err))
        die("capture", &err);
}

static void against_memcpy(uint64_t pages, const char *name)
{
    struct series copy = { 0 }, capture = { 0 }, ratio = { 0 };
    struct bench_guest g;
    struct colo_capture c;
    double bytes = (double)(pages * COLO_PAGE_SIZE);
    uint8_t *to;

    bench_guest_init(&g, GIB, 64);
    bench_guest_spread(&g, pages);
    start_capture(&g, &c, COLO_AUDIT_OFF);
    to = need(aligned_alloc(2 * MIB, pages * COLO_PAGE_SIZE));
    memset(to, 1, pages * COLO_PAGE_SIZE);
    for (int i = -2; i < REPS; i++) { /* the first two warm up */
        double m = memcpy_once(&g, to), t = capture_once(&g, &c, 3 + i);

        if (i < 0)
            continue;
        series_add(&copy, m);
        series_add(&capture, t);
        series_add(&ratio, m / t);
    }
    printf("memcpy%s_gbps=%.2f\n", name, bytes / series_median(&copy));
    printf("capture%s_gbps=%.2f\n", name, bytes / series_median(&capture));
    printf("capture%s_vs_memcpy=%.3f\n", name, series_median(&ratio));
    free(to);
    colo__capture_fini(&c);
    bench_guest_fini(&g);
}

void bench_capture(void)
{
    against_memcpy(512, "_512");
    against_memcpy(16384, "");
}

/* ---- the scan alone ---------------------------------------------------- */

#define SCAN_GFNS (UINT64_C(16) << 20) /* 64 GiB */

static double scan_once(const struct colo_bitmap *bm, uint64_t want)
{
    uint64_t gfns[1024], pos = 0, found = 0, t0 = now_ns();
    size_t n;

    while ((n = colo__bitmap_scan(bm, &pos, gfns, COLO_ARRAY_LEN(gfns))))
        found += n;
    if (found != want)
        die("the scan lost bits", NULL);
    return (double)(now_ns() - t0);
}

static double read_once(const struct colo_bitmap *bm)
{
    uint64_t sum = 0, t0 = now_ns();

    for (uint64_t w = 0; w < bm->bits / 64; w++)
        sum += bm->words[w];
    __asm__ volatile("" : : "r"(sum));
    return (double)(now_ns() - t0);
}

static void scan(struct colo_bitmap *bm, const char *name)
{
    struct series s = { 0 }, plain = { 0 };
    uint64_t want = colo__bitmap_count(bm);

    for (int i = 0; i < REPS; i++) {
        series_add(&plain, read_once(bm));
        series_add(&s, scan_once(bm, want));
    }
    printf("scan_%s_ns_per_gfn=%.4f\n", name,
           series_median(&s) / (double)bm->bits);
    printf("scan_%s_bitmap_gbps=%.2f\n", name,
           (double)bm->bits / 8 / series_median(&s));
    printf("scan_%s_us=%.0f\n", name, series_median(&s) / 1000);
    printf("scan_%s_vs_read=%.3f\n", name,
           series_median(&plain) / series_median(&s));
}

void bench_scan(void)
{
    struct colo_bitmap bm;
    uint64_t x = 1;

    colo__bitmap_init(&bm);
    if (colo__bitmap_resize(&bm, SCAN_GFNS))
        die("no memory", NULL);
    scan(&bm, "empty");
    for (int i = 0; i < 4096; i++) {
        x = x * UINT64_C(6364136223846793005) + 1442695040888963407;
        colo__bitmap_set(&bm, (x >> 30) % SCAN_GFNS);
    }
    scan(&bm, "sparse");
    for (uint64_t w = 0; w < bm.bits / 64; w++)
        bm.words[w] = UINT64_C(0x5555555555555555);
    scan(&bm, "half");
    colo__bitmap_fill(&bm);
    scan(&bm, "dense");
    colo__bitmap_fini(&bm);
}

/* ---- growth with the size of the guest --------------------------------- */

/* Microseconds of the stopped part, of memcpy of the same pages (which are
 * further apart in a larger guest), and of what goes before the stop. */
static double pause_of(uint64_t gib, uint32_t audit, double *ret_memcpy,
                       double *ret_begin)
{
    struct series s = { 0 }, begin = { 0 }, copy = { 0 };
    uint8_t *to = need(malloc(2048 * COLO_PAGE_SIZE));
    struct bench_guest g;
    struct colo_capture c;

    bench_guest_init(&g, gib * GIB, 64);
    bench_guest_spread(&g, 2048);
    start_capture(&g, &c, audit);
    for (int i = 0; i < REPS; i++) {
        uint64_t t0 = now_ns();
        double t = capture_once(&g, &c, 1 + (uint64_t)i);

        series_add(&begin, (double)(now_ns() - t0) - t);
        if (i < 2)
            continue;
        series_add(&s, t);
        series_add(&copy, memcpy_once(&g, to));
    }
    *ret_begin = series_median(&begin) / 1000;
    *ret_memcpy = series_median(&copy) / 1000;
    free(to);
    colo__capture_fini(&c);
    bench_guest_fini(&g);
    return series_median(&s) / 1000;
}

void bench_growth(void)
{
    static const uint64_t gib[] = { 1, 4, 16, 64 };
    double first = 0, last = 0, begin, copy;

    printf("# growth: 2048 dirty pages; a guest of N GiB is sparse, its "
           "bitmap is real\n");
    for (size_t i = 0; i < COLO_ARRAY_LEN(gib); i++) {
        last = pause_of(gib[i], COLO_AUDIT_OFF, &copy, &begin);
        if (!i)
            first = last;
        printf("capture_%llug_us=%.0f\n", (unsigned long long)gib[i], last);
        printf("memcpy_%llug_us=%.0f\n", (unsigned long long)gib[i], copy);
    }
    printf("capture_growth_1g_to_64g=%.2f\n", last / first);
    printf("capture_1g_audited_us=%.0f\n", pause_of(1, 256, &copy, &begin));
    printf("capture_1g_audit_prepare_us=%.0f\n", begin);
}
