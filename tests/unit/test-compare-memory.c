/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The comparator without memory: whichever allocation of a conversation fails,
 * what was taken comes out, nothing does that differs, and a frame that was
 * not taken asked for a checkpoint.
 */
#include "compare-look.h"

/* ---- an allocation that fails ------------------------------------------- */

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t m);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t m);
void *__wrap_realloc(void *p, size_t n);

static unsigned seen, fails; /* fails: the number of the first; 0: none */
static bool only_one;
static bool armed; /* in the comparator: the rest is Check's */

static bool is_denied(void)
{
    if (!armed)
        return false;
    seen++;
    return fails && (only_one ? seen == fails : seen >= fails);
}

void *__wrap_malloc(size_t n)
{
    return is_denied() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t m)
{
    return is_denied() ? NULL : __real_calloc(n, m);
}

void *__wrap_realloc(void *p, size_t n)
{
    return is_denied() ? NULL : __real_realloc(p, n);
}

/* ---- a conversation ----------------------------------------------------- */

struct talk {
    struct look l;
    unsigned taken, refused;
};

static void say(struct talk *t, int side, uint8_t *f, size_t n)
{
    int rc = 0;

    armed = true;
    if (side)
        colo__compare_secondary(t->l.c, t->l.now, 1, f, n);
    else
        rc = colo__compare_primary(t->l.c, t->l.now, f, n);
    armed = false;
    if (side)
        return;
    ck_assert(rc == 0 || rc == COLO_E_NOMEM);
    t->taken += rc == 0;
    t->refused += rc != 0;
    if (rc) /* then a checkpoint was asked for */
        ck_assert_uint_ge(t->l.diverged, 1);
}

static void segment(struct talk *t, int side, struct seg s)
{
    uint8_t f[FRAME_MAX];

    say(t, side, f, put_seg(f, &s));
}

/* Every kind of thing that is kept: streams ahead of one another, windows,
 * datagrams, fragments. */
static void converse(struct talk *t)
{
    uint8_t udp[40] = { 0x13, 0x88, 2, 0x58, 0, 40 }, f[FRAME_MAX];
    struct seg s = { .seq = PRI_ISN, .ack = WORLD, .flags = TCP_SYN | TCP_ACK,
                     .opts = pri_opts, .opts_len = sizeof(pri_opts) };

    segment(t, 0, s);
    s.seq = SEC_ISN;
    segment(t, 1, s);
    colo__compare_told(t->l.c, t->l.now, 1);
    segment(t, 0, DATA(P(0), WORLD, "first "));
    segment(t, 0, DATA(P(6), WORLD, "second"));
    segment(t, 1, DATA(S(3), WORLD, "st second"));
    segment(t, 1, DATA(S(0), WORLD, "fir"));
    s = DATA(S(12), WORLD + 900, "third");
    s.window = 20;
    segment(t, 1, s);
    segment(t, 0, DATA(P(12), WORLD + 900, "third"));
    s = DATA(S(17), WORLD + 900, "fourth");
    segment(t, 1, s); /* with a window again */
    segment(t, 0, DATA(P(17), WORLD + 900, "fourth"));
    for (int side = 0; side < 2; side++) {
        say(t, side, f, put_udp_part(f, false, 7, 16, false, udp + 16, 24));
        say(t, side, f, put_udp_part(f, false, 7, 0, true, udp, 16));
        say(t, side, f, put_udp(f, false, 700, "datagram", 8));
    }
    colo__compare_tick(t->l.c, t->l.now += 1000);
    colo__compare_gate(t->l.c, false); /* what may go waits, too */
    segment(t, 0, DATA(P(17), WORLD + 900, "fourth"));
    say(t, 0, f, put_udp_part(f, false, 9, 0, true, udp, 16));
    colo__compare_gate(t->l.c, true);
}

/* on_note of compare-look.h has assertions, which take memory. */
static void count_note(void *user, const uint8_t note[COLO_NOTE_BYTES])
{
    struct look *l = user;

    (void)note;
    l->notes++;
}

static void talk(struct talk *t)
{
    static const struct colo_compare_ops ops = {
        .release = on_release, .note = count_note, .diverged = on_diverged,
    };
    struct colo_compare_settings set = plain();

    memset(t, 0, sizeof(*t));
    t->l.now = 1000000;
    ck_assert_int_eq(colo__compare_new(&set, &ops, &t->l, &t->l.c, NULL), 0);
    colo__compare_commit(t->l.c, t->l.now, 1);
}

static void end(struct talk *t)
{
    struct colo_compare_counts counts;

    colo__compare_commit(t->l.c, t->l.now, 2);
    colo__compare_counts(t->l.c, &counts);
    ck_assert_uint_eq(t->l.out, t->taken + counts.made);
    ck_assert_uint_eq(counts.held_frames, 0);
    colo__compare_free(t->l.c);
}

START_TEST(with_all_of_it)
{
    struct talk t;

    talk(&t);
    converse(&t);
    ck_assert_uint_eq(t.l.diverged, 0);
    ck_assert_uint_eq(t.refused, 0);
    /* all before any checkpoint, but for half a datagram; one was made */
    ck_assert_uint_eq(t.l.out, t.taken - 1 + 1);
    end(&t);
}
END_TEST

static unsigned run_with(unsigned first, bool one)
{
    struct talk t;
    unsigned n;

    talk(&t);
    seen = 0;
    fails = first;
    only_one = one;
    converse(&t);
    n = seen;
    end(&t);
    return n;
}

START_TEST(any_of_them_fails)
{
    unsigned n = run_with(0, true);

    ck_assert_uint_ge(n, 12);
    for (unsigned i = 1; i <= n + 1; i++)
        run_with(i, true);
}
END_TEST

START_TEST(all_fail_from_one_on)
{
    unsigned n = run_with(0, false);

    for (unsigned i = 1; i <= n + 1; i++)
        run_with(i, false);
}
END_TEST

START_TEST(what_differs_stays_here)
{
    for (unsigned i = 1; i < 12; i++) {
        struct talk t;
        unsigned before;

        talk(&t);
        seen = 0;
        fails = i;
        only_one = true;
        segment(&t, 0, DATA(1, 1, "same"));
        segment(&t, 1, DATA(1, 1, "same"));
        before = t.l.out;
        segment(&t, 0, DATA(5, 1, "one"));
        segment(&t, 1, DATA(5, 1, "two"));
        ck_assert_uint_eq(t.l.out, before);
        ck_assert_uint_eq(t.l.diverged, 1);
        end(&t);
    }
}
END_TEST

START_TEST(without_a_table)
{
    struct colo_compare_settings set = plain();
    static const struct colo_compare_ops ops = { .release = on_release };
    struct colo_compare *c = NULL;
    struct colo_error err;

    for (unsigned i = 1; i < 3; i++) {
        int rc;

        seen = 0;
        fails = i;
        only_one = armed = true;
        rc = colo__compare_new(&set, &ops, NULL, &c, &err);
        armed = false;
        ck_assert_int_eq(rc, COLO_E_NOMEM);
        ck_assert_ptr_null(c);
    }
}
END_TEST

PURE_MAIN("compare-memory", with_all_of_it, any_of_them_fails,
          all_fail_from_one_on, what_differs_stays_here, without_a_table)
