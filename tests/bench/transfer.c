/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * An epoch over the TLS link to a backup that receives and applies it,
 * against a raw TLS stream of as many bytes: same link code, cipher, socket
 * and number of threads (one that sends, one that receives), in turns.
 * And what the pulse workload costs on the wire.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define REPS 9
#define PAGES 16384 /* 64 MiB */

struct pair {
    struct bench_guest g;
    struct colo_capture capture;
    struct colo_transfer transfer;
    struct colo_link *a, *b;
    struct sim_guest *replica;
    struct colo_hv *replica_hv;
    struct colo_receive receive;
    struct colo_apply apply;
    uint64_t number;
    uint64_t received_ns, applied_ns; /* by the receiving thread */
    struct colo_error err;
};

static void pair_init(struct pair *p, uint64_t bytes, uint32_t pulse_pages,
                      int compress, uint32_t delta_mib)
{
    struct colo_error *err = &p->err;

    memset(p, 0, sizeof(*p));
    bench_guest_init(&p->g, bytes, pulse_pages);
    bench_tls_pair(&p->a, &p->b);
    /* the replica begins as a guest of its own with the same sizes */
    if (sim_guest_new(&p->g.config, &p->replica, err))
        die("replica", err);
    p->replica_hv = need(sim_hv_primary(p->replica));
    if (colo__capture_init(&p->capture, p->g.hv, NULL, &colo__clock_monotonic,
                           0, COLO_AUDIT_OFF, err) ||
        colo__transfer_init(&p->transfer, p->a, &p->capture,
                            &colo__clock_monotonic, 5000, compress, delta_mib,
                            err) ||
        colo__receive_init(&p->receive, p->b, p->replica_hv,
                           &colo__clock_monotonic, err) ||
        colo__apply_init(&p->apply, p->replica_hv, &p->receive.epoch, err))
        die("engines", err);
}

static void pair_fini(struct pair *p)
{
    colo__apply_fini(&p->apply);
    colo__receive_fini(&p->receive);
    colo__transfer_fini(&p->transfer);
    colo__capture_fini(&p->capture);
    colo__link_ops(p->a)->close(p->a);
    colo__link_ops(p->b)->close(p->b);
    colo__hv_ops(p->replica_hv)->close(p->replica_hv);
    sim_guest_free(p->replica);
    bench_guest_fini(&p->g);
}

static void *receive_main(void *arg)
{
    struct pair *p = arg;

    if (colo__receive_epoch_job(&p->receive, &p->err) || p->receive.again)
        die("receive", &p->err);
    p->received_ns = now_ns();
    if (colo__apply_job(&p->apply, &p->err))
        die("apply", &p->err);
    p->applied_ns = now_ns();
    return NULL;
}

static void capture_epoch(struct pair *p)
{
    struct colo_checkpoint_info info;

    p->number++;
    if (colo__capture_begin(&p->capture, p->number, &p->err))
        die("begin", &p->err);
    bench_guest_stop(&p->g);
    if (colo__capture_final(&p->capture, &info, &p->err))
        die("capture", &p->err);
    bench_guest_resume(&p->g);
}

/* Nanoseconds until it is received; *ret_applied until it is applied. */
static double epoch_once(struct pair *p, double *ret_applied)
{
    pthread_t thread;
    uint64_t t0;

    p->receive.expect = p->number;
    pthread_create(&thread, NULL, receive_main, p);
    t0 = now_ns();
    if (colo__transfer_epoch_job(&p->transfer, &p->err))
        die("transfer", &p->err);
    pthread_join(thread, NULL);
    *ret_applied = (double)(p->applied_ns - t0);
    return (double)(p->received_ns - t0);
}

struct raw {
    struct colo_link *link;
    uint8_t *buf;
    uint64_t bytes;
};

static void *raw_main(void *arg)
{
    struct raw *r = arg;
    struct colo_error err = { 0 };
    size_t got;

    for (uint64_t left = r->bytes; left; left -= got) {
        size_t cap = left < MIB ? (size_t)left : MIB;

        if (colo__link_ops(r->link)->recv(r->link, r->buf, cap, 5000, &got,
                                          &err))
            die("raw receive", &err);
    }
    return NULL;
}

static double raw_once(struct pair *p, uint8_t *from, struct raw *r)
{
    struct colo_error err = { 0 };
    pthread_t thread;
    uint64_t t0;

    pthread_create(&thread, NULL, raw_main, r);
    t0 = now_ns();
    for (uint64_t off = 0; off < r->bytes; off += MIB / 2) {
        struct iovec iov = { from + off, MIB / 2 };

        if (colo__link_ops(p->a)->send(p->a, &iov, 1, 5000, &err))
            die("raw send", &err);
    }
    pthread_join(thread, NULL);
    return (double)(now_ns() - t0);
}

void bench_transfer(void)
{
    struct series raw = { 0 }, whole = { 0 }, ratio = { 0 }, applied = { 0 };
    double bytes = (double)PAGES * COLO_PAGE_SIZE, x;
    struct raw r = { .bytes = (uint64_t)PAGES * COLO_PAGE_SIZE };
    struct pair p;
    uint8_t *from;

    pair_init(&p, GIB, 64, 0, 0);
    bench_guest_spread(&p.g, PAGES);
    r.link = p.b;
    r.buf = need(malloc(MIB));
    from = need(malloc(r.bytes));
    memset(from, 0x5a, r.bytes);
    for (int i = -1; i < REPS; i++) {
        double t_raw, t;

        bench_guest_mark(&p.g);
        capture_epoch(&p);
        t_raw = raw_once(&p, from, &r);
        t = epoch_once(&p, &x);
        if (i < 0)
            continue;
        series_add(&raw, t_raw);
        series_add(&whole, t);
        series_add(&ratio, t_raw / t);
        series_add(&applied, t_raw / x);
    }
    printf("tls_gbps=%.3f\n", bytes / series_median(&raw));
    printf("epoch_gbps=%.3f\n", bytes / series_median(&whole));
    printf("epoch_vs_tls=%.3f\n", series_median(&ratio));
    printf("epoch_applied_vs_tls=%.3f\n", series_median(&applied));
    printf("wire_overhead_raw=%.4f\n",
           (double)p.transfer.wire_bytes / bytes);
    free(r.buf);
    free(from);
    pair_fini(&p);
}

/* ---- bytes on the wire, pulse ------------------------------------------ */

static void wire(const char *name, int compress, uint32_t delta_mib)
{
    struct series ratio = { 0 }, us = { 0 };
    double applied;
    struct pair p;

    pair_init(&p, 64 * MIB, 8192, compress, delta_mib);
    for (int i = 0; i < 40; i++) {
        double t;

        sim_guest_steps(p.g.guest, 100);
        capture_epoch(&p);
        t = epoch_once(&p, &applied);
        if (i < 8) /* nothing was sent before: no differences yet */
            continue;
        series_add(&ratio, (double)p.transfer.wire_bytes /
                               ((double)p.transfer.pages * COLO_PAGE_SIZE));
        series_add(&us, t / 1000);
    }
    if (sim_guest_differ(p.g.guest, p.replica) != UINT64_MAX)
        die("the replica differs", NULL);
    printf("wire_pulse_%s_vs_raw=%.3f\n", name, series_median(&ratio));
    printf("wire_pulse_%s_us=%.0f\n", name, series_median(&us));
    if (compress > 0)
        printf("wire_pulse_pages=%llu\n",
               (unsigned long long)p.transfer.pages);
    pair_fini(&p);
}

void bench_wire(void)
{
    wire("plain", 0, 0);
    wire("delta", 1, 64);
    wire("adaptive", -1, 64);
}
