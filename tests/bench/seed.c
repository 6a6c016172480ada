/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The first copy: a stream of a young guest (mostly zeros) from a toolstack's
 * pipe over the TLS link into the pipe of a restore.  How many bytes travel,
 * and how much processor time each side's thread takes for a byte of the
 * guest, packed and plain, in turns.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "engine/seed-pipe.h"

#define REPS 5
#define SEED_BYTES (112 * MIB)
#define BATCH (4 * MIB) /* what libxc writes at a time */

struct copy {
    struct colo_transfer transfer;
    struct colo_receive receive;
    int from, to;   /* where the guest is written, where the replica is read */
    uint8_t *image, *replica;
    double sent_ns, received_ns; /* of processor time */
};

/* Of 16 MiB each: 12 of zeros, 3 of what programs look like, 1 of noise. */
static void make_image(uint8_t *image)
{
    uint64_t x = 88172645463325252;

    for (uint64_t at = 0; at < SEED_BYTES; at += 8) {
        uint64_t part = at / MIB % 16, word = 0;

        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        if (part == 15)
            word = x;
        else if (part >= 12)
            word = x & 3 ? 0x488b000000000000 + (x >> 8 & 0x3f3f) : x >> 40;
        memcpy(image + at, &word, 8);
    }
}

static double thread_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void *save_main(void *arg)
{
    struct copy *c = arg;

    for (uint64_t at = 0; at < SEED_BYTES;) {
        uint64_t left = SEED_BYTES - at;
        ssize_t n = write(c->from, c->image + at,
                          left < BATCH ? left : BATCH);

        if (n < 0)
            die("save", NULL);
        at += (uint64_t)n;
    }
    close(c->from);
    return NULL;
}

static void *restore_main(void *arg)
{
    struct copy *c = arg;
    uint64_t at = 0;
    ssize_t n;

    while ((n = read(c->to, c->replica + at, SEED_BYTES - at)) > 0)
        at += (uint64_t)n;
    if (at != SEED_BYTES)
        die("restore", NULL);
    close(c->to);
    return NULL;
}

static void *receive_main(void *arg)
{
    struct copy *c = arg;
    struct colo_error err = { 0 };

    if (colo__receive_seed_job(&c->receive, &err))
        die("receive", &err);
    c->received_ns = thread_ns();
    return NULL;
}

static void *send_main(void *arg)
{
    struct copy *c = arg;
    struct colo_error err = { 0 };

    if (colo__transfer_seed_job(&c->transfer, &err))
        die("send", &err);
    c->sent_ns = thread_ns();
    return NULL;
}

static uint64_t copy_once(struct copy *c, int compress)
{
    void *(*const mains[])(void *) = { restore_main, receive_main, send_main,
                                       save_main };
    struct colo_error err = { 0 };
    struct colo_link *a, *b;
    pthread_t threads[COLO_ARRAY_LEN(mains)];
    uint64_t wire;
    int out[2], in[2];

    bench_tls_pair(&a, &b);
    if (colo__transfer_init(&c->transfer, a, NULL, &colo__clock_monotonic,
                            5000, compress, 0, &err) ||
        colo__receive_init(&c->receive, b, NULL, &colo__clock_monotonic,
                           &err) ||
        colo__seed_pipe(false, out, &err) || colo__seed_pipe(true, in, &err))
        die("copy", &err);
    c->from = out[1];
    c->transfer.seed_fd = out[0];
    c->to = in[0];
    c->receive.seed_fd = in[1];
    for (size_t i = 0; i < COLO_ARRAY_LEN(mains); i++)
        pthread_create(&threads[i], NULL, mains[i], c);
    for (size_t i = 0; i < COLO_ARRAY_LEN(mains); i++)
        pthread_join(threads[i], NULL);
    wire = c->transfer.wire_bytes;
    colo__transfer_fini(&c->transfer);
    colo__receive_fini(&c->receive);
    colo__link_ops(a)->close(a);
    colo__link_ops(b)->close(b);
    if (memcmp(c->image, c->replica, SEED_BYTES))
        die("the replica differs", NULL);
    return wire;
}

void bench_seed(void)
{
    static const char *const names[] = { "plain", "packed" };
    struct series sent[2] = { 0 }, received[2] = { 0 };
    struct copy c = { 0 };
    uint64_t wire[2] = { 0 };

    c.image = need(malloc(SEED_BYTES));
    c.replica = need(malloc(SEED_BYTES));
    make_image(c.image);
    for (int i = 0; i < 2 * REPS; i++) {
        wire[i % 2] = copy_once(&c, i % 2);
        series_add(&sent[i % 2], c.sent_ns / (double)SEED_BYTES);
        series_add(&received[i % 2], c.received_ns / (double)SEED_BYTES);
    }
    for (int i = 0; i < 2; i++) {
        printf("seed_%s_wire_vs_raw=%.4f\n", names[i],
               (double)wire[i] / (double)SEED_BYTES);
        printf("seed_%s_send_ns_per_byte=%.3f\n", names[i],
               series_median(&sent[i]));
        printf("seed_%s_receive_ns_per_byte=%.3f\n", names[i],
               series_median(&received[i]));
    }
    free(c.image);
    free(c.replica);
}
