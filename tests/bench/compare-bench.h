/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Two comparators, fed the same frames by the same program over the same kind
 * of sockets: ours, and the one of a stock QEMU.
 */
#ifndef COMPARE_BENCH_H
#define COMPARE_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- frames (compare-bench-frames.c) ------------------------------------ */

#define FLOWS 16u
#define SEGMENT 1448u
#define FRAME_HEAD 54u
#define FRAME_MAX (FRAME_HEAD + SEGMENT)

/* Something that a copy says; the bytes follow from flow and offset. */
struct event {
    uint8_t side;  /* 0 the primary */
    uint8_t flow;
    uint16_t len;
    uint32_t at;   /* of the flow's stream */
};

struct work {
    struct event *event;
    size_t count, frames; /* frames: of the primary */
};

/* work_same - both cut alike; frames of the primary, at least. */
void work_same(struct work *w, size_t frames);
/* work_cut - streams of so many bytes, each side cuts them as it likes. */
void work_cut(struct work *w, uint32_t bytes, uint32_t seed);
void work_free(struct work *w);
size_t put_frame(uint8_t *frame, const struct event *e);

/* ---- comparators (compare-bench-peer.c) --------------------------------- */

struct shared {
    volatile uint64_t divergences;
};

/* One that runs: a frame is be32 length and the frame. */
struct peer {
    pid_t pid;
    int pri, sec, out;
    int notify;            /* QEMU: asks for checkpoints there; else -1 */
    struct shared *shared; /* ours: it counts here; else NULL */
    uint64_t asked;        /* QEMU: for a checkpoint */
    char dir[32];
};

void peer_ours(struct peer *p);
/* false: there is no such QEMU */
bool peer_qemu(struct peer *p);
void peer_end(struct peer *p);
/* peer_notified - read what there is, answer with a checkpoint. */
void peer_notified(struct peer *p);

/* What a session would have been asked. */
static inline uint64_t peer_divergences(const struct peer *p)
{
    return p->shared ? p->shared->divergences : p->asked;
}

#endif
