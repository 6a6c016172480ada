/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Feeds a comparator and counts what it lets go: frames per second with a
 * window of frames on their way, the time that one frame is held, and how often
 * equal streams that are cut differently are taken for different ones.
 *
 *   compare-bench [FRAMES]
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "bench.h"
#include "compare-bench.h"

#define REPS 3
#define WINDOW 256u       /* a quarter of QEMU's queue, which drops */
#define STUCK_MS 12000    /* longer than QEMU's timeout and its scan */
#define HELD_FRAMES 2000u
#define CUT_RUNS 4u
#define CUT_BYTES (64u << 10)
#define BUF (1u << 16)

/* What is on its way to a comparator and back. */
struct feed {
    struct peer *peer;
    const struct work *work;
    size_t next;            /* event */
    uint64_t sent, released, last_ns; /* when the last came out */
    uint8_t buf[2][BUF];
    size_t len[2], at[2];   /* to be sent: from at */
    uint8_t in[BUF];
    size_t in_len;
};

static void fill(struct feed *f, uint32_t window)
{
    while (f->next < f->work->count) {
        const struct event *e = &f->work->event[f->next];
        uint8_t side = e->side, *to;
        uint32_t be;

        if (side == 0 && f->sent - f->released >= window)
            break;
        if (f->at[side] && f->at[side] == f->len[side])
            f->at[side] = f->len[side] = 0;
        if (BUF - f->len[side] < 4 + FRAME_MAX)
            break;
        to = f->buf[side] + f->len[side];
        be = htobe32((uint32_t)put_frame(to + 4, e));
        memcpy(to, &be, 4);
        f->len[side] += 4 + be32toh(be);
        f->sent += side == 0;
        f->next++;
    }
}

static void push(struct feed *f, int side)
{
    int fd = side ? f->peer->sec : f->peer->pri;
    ssize_t n = send(fd, f->buf[side] + f->at[side],
                     f->len[side] - f->at[side], MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n > 0)
        f->at[side] += (size_t)n;
    else if (errno != EAGAIN && errno != EINTR)
        die("the comparator has ended", NULL);
}

static void pull(struct feed *f)
{
    ssize_t n = recv(f->peer->out, f->in + f->in_len, BUF - f->in_len,
                     MSG_DONTWAIT);
    size_t at = 0;

    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        die("the comparator has ended", NULL);
    f->in_len += n > 0 ? (size_t)n : 0;
    while (f->in_len - at >= 4) {
        uint32_t be;

        memcpy(&be, f->in + at, 4);
        if (be32toh(be) > FRAME_MAX)
            die("more came out than went in", NULL);
        if (f->in_len - at < 4 + be32toh(be))
            break;
        at += 4 + be32toh(be);
        f->released++;
    }
    f->last_ns = now_ns();
    memmove(f->in, f->in + at, f->in_len - at);
    f->in_len -= at;
}

/* All of it, or what came until nothing more did. */
static void run(struct feed *f, uint32_t window)
{
    while (f->released < f->work->frames) {
        struct pollfd p[4] = {
            { f->peer->pri, 0, 0 }, { f->peer->sec, 0, 0 },
            { f->peer->out, POLLIN, 0 }, { f->peer->notify, POLLIN, 0 },
        };

        fill(f, window);
        for (int side = 0; side < 2; side++)
            if (f->at[side] < f->len[side])
                p[side].events = POLLOUT;
        if (poll(p, 4, STUCK_MS) == 0)
            return;
        for (int side = 0; side < 2; side++)
            if (p[side].revents)
                push(f, side);
        if (p[2].revents)
            pull(f);
        if (p[3].revents)
            peer_notified(f->peer);
    }
}

struct figures {
    struct series fps, held_us;
    uint64_t lost;              /* frames that never came out */
    uint64_t unasked;           /* divergences of frames that are the same */
    uint64_t false_ones, streams;
};

/* Returns  nanoseconds for each frame that came out. */
static double run_work(struct figures *g, struct peer *p,
                       const struct work *w, uint32_t window)
{
    struct feed *f = need(calloc(1, sizeof(*f)));
    uint64_t begin = now_ns();
    double each;

    f->peer = p;
    f->work = w;
    run(f, window);
    if (!f->released)
        die("nothing comes out", NULL);
    each = (double)(f->last_ns - begin) / (double)f->released;
    g->lost += w->frames - f->released;
    free(f);
    return each;
}

/* ---- figures ------------------------------------------------------------- */

static void start(struct peer *p, bool qemu)
{
    if (!qemu)
        peer_ours(p);
    else if (!peer_qemu(p))
        die("QEMU does not start", NULL);
}

static void measure(struct figures *g, bool qemu, size_t frames)
{
    struct work w;
    struct peer p;

    work_same(&w, frames);
    start(&p, qemu);
    series_add(&g->fps, 1e9 / run_work(g, &p, &w, WINDOW));
    g->unasked += peer_divergences(&p);
    peer_end(&p);
    work_free(&w);
    work_same(&w, HELD_FRAMES); /* one at a time */
    start(&p, qemu);
    series_add(&g->held_us, run_work(g, &p, &w, 1) / 1e3);
    peer_end(&p);
    work_free(&w);
}

static void measure_false(struct figures *g, bool qemu)
{
    for (uint32_t i = 0; i < CUT_RUNS; i++) {
        struct work w;
        struct peer p;

        work_cut(&w, CUT_BYTES, i + 1);
        start(&p, qemu);
        (void)run_work(g, &p, &w, WINDOW);
        g->false_ones += peer_divergences(&p);
        g->streams += FLOWS;
        peer_end(&p);
        work_free(&w);
    }
}

static bool has_qemu(void)
{
    struct peer p;

    if (!peer_qemu(&p))
        return false;
    peer_end(&p);
    return true;
}

int main(int argc, char **argv)
{
    size_t frames = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
    struct figures ours = { 0 }, theirs = { 0 };
    bool qemu = has_qemu(), bad;

    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 0; i < REPS; i++) {
        measure(&ours, false, frames);
        if (qemu)
            measure(&theirs, true, frames);
    }
    measure_false(&ours, false);
    ours.false_ones += ours.unasked;
    bad = ours.false_ones || ours.lost;
    printf("compare_fps=%.0f\n", series_median(&ours.fps));
    printf("compare_held_us=%.1f\n", series_median(&ours.held_us));
    printf("compare_streams=%" PRIu64 "\n", ours.streams);
    printf("false_divergences=%" PRIu64 "\n", ours.false_ones);
    printf("compare_lost=%" PRIu64 "\n", ours.lost);
    if (!qemu) {
        puts("skipped: no qemu-system-x86_64 with colo-compare");
        return bad ? 1 : 77;
    }
    measure_false(&theirs, true);
    printf("compare_qemu_fps=%.0f\n", series_median(&theirs.fps));
    printf("compare_qemu_held_us=%.1f\n", series_median(&theirs.held_us));
    printf("false_divergences_qemu=%" PRIu64 "\n",
           theirs.false_ones + theirs.unasked);
    printf("compare_qemu_lost=%" PRIu64 "\n", theirs.lost);
    printf("compare_fps_vs_qemu=%.2f\n", series_median(&ours.fps) /
           series_median(&theirs.fps));
    printf("compare_held_vs_qemu=%.2f\n", series_median(&ours.held_us) /
           series_median(&theirs.held_us));
    return bad;
}
