/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What the native benchmarks share: medians, alternating repetitions, a
 * simulated guest with a dirty set of a given size, a pair of TLS links.
 * Every figure is printed as name=value; a benchmark that cannot go on says
 * why and exits 1.
 */
#ifndef BENCH_H
#define BENCH_H

#include "engine/apply.h"
#include "engine/capture.h"
#include "engine/receive.h"
#include "engine/transfer.h"
#include "link/link.h"
#include "../sim/hv-sim.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define MAX_REPS 64

struct series {
    double v[MAX_REPS];
    int n;
};

void series_add(struct series *s, double v);
double series_median(const struct series *s);

uint64_t now_ns(void);
_Noreturn void die(const char *what, const struct colo_error *err);
void *need(void *p); /* dies if NULL */

/* A guest without vCPU of so many bytes; only what is touched is memory. */
struct bench_guest {
    struct sim_config config;
    struct sim_guest *guest;
    struct colo_hv *hv;
    uint64_t *gfns; /* the dirty set, ascending */
    uint64_t count;
};

void bench_guest_init(struct bench_guest *g, uint64_t bytes,
                      uint32_t pulse_pages);
/* count frames spread evenly behind the pulse area become the dirty set and
 * get content that does not compress */
void bench_guest_spread(struct bench_guest *g, uint64_t count);
void bench_guest_mark(struct bench_guest *g);
void bench_guest_stop(struct bench_guest *g);
void bench_guest_resume(struct bench_guest *g);
void bench_guest_fini(struct bench_guest *g);

void bench_tls_pair(struct colo_link **ret_a, struct colo_link **ret_b);

/* the parts; each prints its own figures */
void bench_capture(void);
void bench_scan(void);
void bench_growth(void);
void bench_transfer(void);
void bench_wire(void);
void bench_seed(void);
void bench_guests(void);

#endif
