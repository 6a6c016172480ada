/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * For the tests of the comparator: one whose output is looked at, and a
 * connection that both copies have answered.
 */
#ifndef COLO_TEST_COMPARE_LOOK_H
#define COLO_TEST_COMPARE_LOOK_H

#include "compare-frames.h"

#define PRI_ISN 1000u
#define SEC_ISN 770001000u
#define WORLD 5000u /* the world's next number */

struct look {
    struct colo_compare *c;
    uint64_t now;
    unsigned out, diverged, notes;
    uint8_t last[FRAME_MAX];
    size_t last_len;
    struct colo_note note;
    const char *reason;
    uint8_t order[64]; /* the last byte of what went out */
};

static inline void on_release(void *user, const uint8_t *frame, size_t len)
{
    struct look *l = user;

    l->order[l->out++ % sizeof(l->order)] = frame[len - 1];
    memcpy(l->last, frame, len);
    l->last_len = len;
}

static inline void on_note(void *user, const uint8_t note[COLO_NOTE_BYTES])
{
    struct look *l = user;

    l->notes++;
    ck_assert_int_eq(colo__note_parse(note, COLO_NOTE_BYTES, &l->note), 0);
}

static inline void on_diverged(void *user, const char *reason)
{
    struct look *l = user;

    l->diverged++;
    l->reason = reason;
}

static inline void begin_with(struct look *l,
                              const struct colo_compare_settings *set)
{
    static const struct colo_compare_ops ops = {
        .release = on_release, .note = on_note, .diverged = on_diverged,
    };

    memset(l, 0, sizeof(*l));
    l->now = 1000000;
    ck_assert_int_eq(colo__compare_new(set, &ops, l, &l->c, NULL), 0);
    colo__compare_commit(l->c, l->now, 1);
}

static inline struct colo_compare_settings plain(void)
{
    struct colo_compare_settings set;

    colo__compare_defaults(&set);
    set.vnet = 0;
    return set;
}

static inline void begin(struct look *l)
{
    struct colo_compare_settings set = plain();

    begin_with(l, &set);
}

static inline void pri(struct look *l, struct seg s)
{
    uint8_t f[FRAME_MAX];
    size_t n = put_seg(f, &s);

    ck_assert_int_eq(colo__compare_primary(l->c, l->now, f, n), 0);
}

static inline void sec(struct look *l, struct seg s)
{
    uint8_t f[FRAME_MAX];
    size_t n = put_seg(f, &s);

    colo__compare_secondary(l->c, l->now, 1, f, n);
}

static inline void world(struct look *l, struct seg s)
{
    uint8_t f[FRAME_MAX];
    size_t n;

    s.in = true;
    n = put_seg(f, &s);
    colo__compare_input(l->c, l->now, f, n);
}

static const uint8_t pri_opts[] = { 2, 4, 5, 180, 1, 1, 8, 10, 0, 0, 0, 50,
                                    0, 0, 0, 7 };
static const uint8_t sec_opts[] = { 2, 4, 5, 180, 1, 1, 8, 10, 0, 0, 1, 50,
                                    0, 0, 0, 7 };

/* A connection that the world began; both copies have answered. */
static inline void connect_it(struct look *l)
{
    begin(l);
    world(l, (struct seg){ .seq = WORLD - 1, .flags = TCP_SYN });
    pri(l, (struct seg){ .seq = PRI_ISN, .ack = WORLD,
                         .flags = TCP_SYN | TCP_ACK, .opts = pri_opts,
                         .opts_len = sizeof(pri_opts) });
    ck_assert_uint_eq(l->out, 0);
    sec(l, (struct seg){ .seq = SEC_ISN, .ack = WORLD,
                         .flags = TCP_SYN | TCP_ACK, .opts = sec_opts,
                         .opts_len = sizeof(sec_opts) });
    ck_assert_uint_eq(l->notes, 1);
    ck_assert_uint_eq(l->out, 0); /* the rewriter does not know yet */
    colo__compare_told(l->c, l->now, 1);
    ck_assert_uint_eq(l->out, 1);
    ck_assert_uint_eq(l->diverged, 0);
    l->out = 0;
}

static inline void finish(struct look *l)
{
    colo__compare_free(l->c);
}

#define DATA(from, a, text) \
    (struct seg){ .seq = (from), .ack = (a), .flags = TCP_ACK, \
                  .data = (text), .len = strlen(text) }
#define P(n) (PRI_ISN + 1 + (n))
#define S(n) (SEC_ISN + 1 + (n))

#endif
