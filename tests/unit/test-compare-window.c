/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What the world may send: windows of two copies that do not read alike.
 */
#include "compare-look.h"

static const uint8_t scaled[] = { 2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 50, 0, 0,
                                  0, 7, 1, 3, 3, 7 };

static void scaled_connection(struct look *l)
{
    struct seg s = { .seq = PRI_ISN, .ack = WORLD, .window = 60000,
                     .flags = TCP_SYN | TCP_ACK, .opts = scaled,
                     .opts_len = sizeof(scaled) };

    begin(l);
    world(l, (struct seg){ .seq = WORLD - 1, .flags = TCP_SYN });
    pri(l, s);
    s.seq = SEC_ISN;
    sec(l, s);
    colo__compare_told(l->c, l->now, 1);
    ck_assert_uint_eq(l->out, 1);
    ck_assert_uint_eq(get16(l->last + TCP_AT + 14), 60000);
    l->out = 0;
}

static uint32_t said_window(const struct look *l)
{
    ck_assert(tcp_sum_good(l->last));
    return get16(l->last + TCP_AT + 14);
}

static uint32_t said_ack(const struct look *l)
{
    return get32(l->last + TCP_AT + 8);
}

static struct seg ack(bool second, uint32_t a, uint32_t window)
{
    return (struct seg){ .seq = second ? S(0) : P(0), .ack = WORLD + a,
                         .flags = TCP_ACK, .window = (uint16_t)window,
                         .shut = !window };
}

START_TEST(the_lesser_of_both)
{
    struct look l;

    scaled_connection(&l);
    /* to 1000 + 300 * 128 and 1000 + 100 * 128 */
    pri(&l, ack(false, 1000, 300));
    ck_assert_uint_eq(l.out, 0);
    sec(&l, ack(true, 1000, 500)); /* the SYN's edge was at 60000 */
    ck_assert_uint_eq(l.out, 1);
    ck_assert_uint_eq(said_window(&l), 300);
    pri(&l, ack(false, 50000, 1000));
    sec(&l, ack(true, 50000, 200));
    ck_assert_uint_eq(l.out, 2);
    ck_assert_uint_eq(said_window(&l), 200);
    /* of what the secondary has acknowledged and more: in its own numbers */
    sec(&l, ack(true, 51280, 200));
    pri(&l, ack(false, 50000, 1000));
    ck_assert_uint_eq(said_window(&l), 210);
    ck_assert_uint_eq(l.diverged, 0);
    finish(&l);
}
END_TEST

START_TEST(none_is_left)
{
    struct look l;

    scaled_connection(&l);
    sec(&l, ack(true, 65000, 0));
    pri(&l, ack(false, 65000, 400));
    ck_assert_uint_eq(l.out, 1);
    ck_assert_uint_eq(said_window(&l), 0);
    /* the other way round it is the primary's own word */
    sec(&l, ack(true, 65000, 900));
    ck_assert_uint_eq(l.out, 2); /* made: up to the primary's */
    ck_assert_uint_eq(said_window(&l), 400);
    pri(&l, ack(false, 65000, 400));
    ck_assert_uint_eq(l.out, 3);
    ck_assert_uint_eq(said_window(&l), 400);
    sec(&l, ack(true, 65000, 901));
    ck_assert_uint_eq(l.out, 3); /* there is nothing more to tell */
    finish(&l);
}
END_TEST

START_TEST(one_is_made_when_there_is_more)
{
    static const uint8_t opts[] = { 1, 1, 8, 10, 0, 0, 0, 60, 0, 0, 0, 9,
                                    1, 1, 5, 10, 0, 1, 0, 0, 0, 2, 0, 0 };
    struct seg data = DATA(P(0), WORLD + 65000, "answer");
    struct colo_compare_counts counts;
    struct colo_packet p;
    struct look l;

    scaled_connection(&l);
    data.window = 400;
    data.opts = opts;
    data.opts_len = sizeof(opts);
    pri(&l, data);
    data = DATA(S(0), WORLD + 65000, "answer");
    data.window = 8;
    sec(&l, data);
    ck_assert_uint_eq(l.out, 1);
    ck_assert_uint_eq(said_window(&l), 8);
    /* the secondary has read it; the primary believes to have said so */
    sec(&l, (struct seg){ .seq = S(6), .ack = WORLD + 65000,
                          .flags = TCP_ACK, .window = 100 });
    ck_assert_uint_eq(l.out, 2);
    ck_assert_uint_eq(said_window(&l), 100);
    ck_assert_uint_eq(said_ack(&l), WORLD + 65000);
    ck_assert(colo__packet_parse(l.last, l.last_len, 0, true, &p));
    ck_assert_uint_eq(p.seq, P(6)); /* the next one, or it would be old */
    ck_assert_uint_eq(p.body_len, 0);
    ck_assert_uint_eq(p.flags, TCP_ACK);
    ck_assert(p.has_ts && p.ts_val == 60);
    ck_assert_uint_eq(p.sack_len, 0); /* what was missing may have come */
    ck_assert_uint_eq(folded(sum_of(l.last + IP_AT, 20, 0)), 0);
    colo__compare_counts(l.c, &counts);
    ck_assert_uint_eq(counts.limited, 1);
    ck_assert_uint_eq(counts.made, 1);
    ck_assert_uint_eq(l.diverged, 0);
    finish(&l);
}
END_TEST

START_TEST(a_checkpoint_gives_all_of_it)
{
    struct look l;

    scaled_connection(&l);
    sec(&l, ack(true, 65000, 10));
    pri(&l, ack(false, 65000, 400));
    ck_assert_uint_eq(said_window(&l), 10);
    colo__compare_commit(l.c, l.now, 2);
    /* both are the primary now, which does not say it again */
    ck_assert_uint_eq(l.out, 2);
    ck_assert_uint_eq(said_window(&l), 400);
    colo__compare_commit(l.c, l.now, 3);
    ck_assert_uint_eq(l.out, 2);
    finish(&l);

    scaled_connection(&l);
    sec(&l, ack(true, 65000, 10));
    pri(&l, ack(false, 65000, 400));
    colo__compare_alone(l.c, l.now);
    ck_assert_uint_eq(l.out, 2);
    ck_assert_uint_eq(said_window(&l), 400);
    finish(&l);
}
END_TEST

START_TEST(what_is_held_tells_it_then)
{
    struct look l;

    scaled_connection(&l);
    sec(&l, ack(true, 65000, 10));
    pri(&l, ack(false, 65000, 400));
    pri(&l, ack(false, 66000, 500)); /* waits */
    ck_assert_uint_eq(l.out, 1);
    colo__compare_commit(l.c, l.now, 2);
    ck_assert_uint_eq(l.out, 2); /* that one says all there is */
    ck_assert_uint_eq(said_window(&l), 500);
    finish(&l);
}
END_TEST

static void say_at(struct look *l, uint32_t from, uint8_t ts)
{
    uint8_t opts[] = { 1, 1, 8, 10, 0, 0, 0, ts, 0, 0, 0, 9 };
    struct seg s = DATA(P(from), WORLD + 65000, "four");

    s.window = 400;
    s.opts = opts;
    s.opts_len = sizeof(opts);
    pri(l, s);
}

START_TEST(its_time_does_not_go_back)
{
    struct seg s = DATA(S(0), WORLD + 65000, "fourfour");
    struct colo_packet p;
    struct look l;

    scaled_connection(&l);
    s.window = 10;
    sec(&l, s);
    say_at(&l, 0, 60);
    say_at(&l, 4, 61);
    say_at(&l, 0, 63); /* again, and later than all */
    ck_assert_uint_eq(l.out, 3);
    sec(&l, (struct seg){ .seq = S(8), .ack = WORLD + 65000,
                          .flags = TCP_ACK, .window = 100 });
    ck_assert_uint_eq(l.out, 4);
    ck_assert(colo__packet_parse(l.last, l.last_len, 0, true, &p));
    ck_assert_uint_eq(p.seq, P(8));
    ck_assert_uint_eq(p.ts_val, 63);
    finish(&l);
}
END_TEST

START_TEST(a_reset_is_the_end)
{
    struct look l;

    scaled_connection(&l);
    sec(&l, ack(true, 65000, 10));
    pri(&l, ack(false, 65000, 400));
    world(&l, (struct seg){ .seq = WORLD + 65010, .flags = TCP_RST });
    sec(&l, ack(true, 65000, 300));
    ck_assert_uint_eq(l.out, 1);
    colo__compare_commit(l.c, l.now, 2);
    ck_assert_uint_eq(l.out, 1);
    finish(&l);
}
END_TEST

/* Anybody can send one: what the guest would not take is none, and one that it
 * did not take neither. */
START_TEST(a_forged_reset_is_no_end)
{
    struct look l;

    scaled_connection(&l);
    sec(&l, ack(true, 65000, 10));
    pri(&l, ack(false, 65000, 400));
    world(&l, (struct seg){ .seq = WORLD, .flags = TCP_RST });
    world(&l, (struct seg){ .seq = WORLD + (1u << 30), .flags = TCP_RST });
    sec(&l, ack(true, 65000, 300));
    ck_assert_uint_eq(l.out, 2);
    ck_assert_uint_eq(said_window(&l), 300);
    world(&l, (struct seg){ .seq = WORLD + 65010, .flags = TCP_RST });
    sec(&l, ack(true, 65000, 350));
    ck_assert_uint_eq(l.out, 2);
    pri(&l, ack(false, 65000, 400));
    ck_assert_uint_eq(said_window(&l), 350);
    sec(&l, ack(true, 65000, 380));
    ck_assert_uint_eq(said_window(&l), 380);
    finish(&l);
}
END_TEST

START_TEST(one_that_was_there_before)
{
    struct look l;

    begin(&l); /* its scale is not known: where both say the same, as it is */
    sec(&l, (struct seg){ .seq = 10, .ack = WORLD, .flags = TCP_ACK,
                          .window = 50 });
    pri(&l, (struct seg){ .seq = 10, .ack = WORLD, .flags = TCP_ACK,
                          .window = 900 });
    ck_assert_uint_eq(l.out, 1);
    ck_assert_uint_eq(said_window(&l), 50);
    finish(&l);
}
END_TEST

START_TEST(headers_that_are_signed)
{
    static const uint8_t md5[20] = { 1, 1, 19, 18 };
    struct seg s = { .seq = 10, .ack = WORLD, .flags = TCP_ACK,
                     .window = 900, .opts = md5, .opts_len = sizeof(md5) };
    struct look l;

    begin(&l);
    sec(&l, (struct seg){ .seq = 10, .ack = WORLD, .flags = TCP_ACK,
                          .window = 50 });
    pri(&l, s);
    ck_assert_uint_eq(l.out, 1);
    ck_assert_uint_eq(said_window(&l), 900); /* a changed one were lost */
    finish(&l);
}
END_TEST

START_TEST(as_the_host_left_the_checksum)
{
    struct colo_compare_settings set = plain();
    struct seg s = { .seq = 10, .ack = WORLD, .flags = TCP_ACK,
                     .window = 900 };
    uint8_t f[FRAME_MAX] = { 1 /* NEEDS_CSUM */ };
    struct look l;
    size_t n = 10 + put_seg(f + 10, &s);
    uint16_t before = get16(f + 10 + TCP_AT + 16);

    set.vnet = 10;
    begin_with(&l, &set);
    s.window = 50;
    {
        uint8_t g[FRAME_MAX] = { 0 };

        colo__compare_secondary(l.c, l.now, 1, g, 10 + put_seg(g + 10, &s));
    }
    ck_assert_int_eq(colo__compare_primary(l.c, l.now, f, n), 0);
    ck_assert_uint_eq(get16(l.last + 10 + TCP_AT + 14), 50);
    ck_assert_uint_eq(get16(l.last + 10 + TCP_AT + 16), before);
    /* made: whole, as nobody has promised to fill it in */
    {
        uint8_t g[FRAME_MAX] = { 0 };

        s.window = 60;
        colo__compare_secondary(l.c, l.now, 1, g, 10 + put_seg(g + 10, &s));
    }
    ck_assert_uint_eq(l.out, 2);
    ck_assert_uint_eq(l.last[0], 0);
    ck_assert(tcp_sum_good(l.last + 10));
    ck_assert_uint_eq(get16(l.last + 10 + TCP_AT + 14), 60);
    finish(&l);
}
END_TEST

START_TEST(slow_is_not_different)
{
    struct look l;

    scaled_connection(&l);
    pri(&l, ack(false, 3000, 400));
    for (uint32_t i = 1; i < 3; i++) { /* it gets nearer, in its time */
        l.now += 399000;
        colo__compare_tick(l.c, l.now);
        ck_assert_uint_eq(l.diverged, 0);
        sec(&l, ack(true, i * 1000, 400));
    }
    l.now += 401000; /* and now no more */
    colo__compare_tick(l.c, l.now);
    ck_assert_uint_eq(l.diverged, 1);
    finish(&l);

    scaled_connection(&l);
    pri(&l, ack(false, 30000, 400));
    for (uint32_t i = 1; i < 11; i++) { /* but not for ever */
        l.now += 299000;
        colo__compare_tick(l.c, l.now);
        ck_assert_uint_eq(l.diverged, 0);
        sec(&l, ack(true, i * 1000, 400));
    }
    l.now += 11000;
    colo__compare_tick(l.c, l.now);
    ck_assert_uint_eq(l.diverged, 1);
    finish(&l);
}
END_TEST

PURE_MAIN("compare-window", the_lesser_of_both, none_is_left,
          one_is_made_when_there_is_more, a_checkpoint_gives_all_of_it,
          what_is_held_tells_it_then, its_time_does_not_go_back,
          a_reset_is_the_end, a_forged_reset_is_no_end,
          one_that_was_there_before, headers_that_are_signed,
          as_the_host_left_the_checksum, slow_is_not_different)
