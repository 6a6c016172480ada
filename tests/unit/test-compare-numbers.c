/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The comparator: sequence numbers of the connection before on the same ports
 * are not those of this one; and no order of them, no claim of the world makes
 * it read what it has let go of.
 */
#include "compare-look.h"

/* A second connection on the ports of connect_it's, whose client begins
 * elsewhere, too. */
#define OLDER (PRI_ISN - 100000u)
#define NEWER (PRI_ISN + 100000u)
#define AGAIN 100u /* the world's next number */

static void world_again(struct look *l)
{
    world(l, (struct seg){ .seq = WORLD, .flags = TCP_RST });
    world(l, (struct seg){ .seq = AGAIN - 1, .flags = TCP_SYN });
}

static struct seg syn_again(uint32_t isn, const uint8_t *opts)
{
    return (struct seg){ .seq = isn, .ack = AGAIN, .flags = TCP_SYN | TCP_ACK,
                         .opts = opts, .opts_len = sizeof(pri_opts) };
}

/* Whatever the primary says of the new one has to be compared. */
static void is_compared(struct look *l, uint32_t isn)
{
    unsigned before = l->out;
    uint8_t f[FRAME_MAX];
    struct seg s = DATA(isn + 1, AGAIN, "both say so");
    size_t n = put_seg(f, &s);

    pri(l, s);
    ck_assert_uint_eq(l->out, before);
    /* an acknowledgement of what only the primary has */
    pri(l, (struct seg){ .seq = isn + 12, .ack = AGAIN + 900,
                         .flags = TCP_ACK });
    ck_assert_uint_eq(l->out, before);
    colo__compare_secondary(l->c, l->now, 2, f, n);
    ck_assert_uint_eq(l->out, before + 1);
}

START_TEST(ports_again_while_something_is_held)
{
    for (int i = 0; i < 2; i++) {
        uint32_t isn = i ? NEWER : OLDER;
        struct look l;

        connect_it(&l);
        pri(&l, DATA(P(0), WORLD, "only the primary"));
        ck_assert_uint_eq(l.out, 0);
        world_again(&l);
        pri(&l, syn_again(isn, pri_opts));
        ck_assert_uint_eq(l.out, 0);
        ck_assert_uint_eq(l.diverged, 1);
        colo__compare_commit(l.c, l.now, 2);
        ck_assert_uint_eq(l.out, 2);
        is_compared(&l, isn);
        finish(&l);
    }
}
END_TEST

START_TEST(ports_again_of_one_that_differs)
{
    struct look l;

    connect_it(&l);
    pri(&l, DATA(P(0), WORLD, "answer 1"));
    sec(&l, DATA(S(0), WORLD, "answer 2"));
    ck_assert_uint_eq(l.diverged, 1);
    world_again(&l);
    pri(&l, syn_again(OLDER, pri_opts));
    colo__compare_commit(l.c, l.now, 2);
    ck_assert_uint_eq(l.out, 2);
    is_compared(&l, OLDER);
    finish(&l);
}
END_TEST

START_TEST(ports_again_of_one_that_nobody_saw_begin)
{
    struct seg s = { .seq = 1, .ack = 1000000, .flags = TCP_ACK };
    struct look l;
    unsigned before;

    begin(&l);
    pri(&l, s);
    sec(&l, s);
    ck_assert_uint_eq(l.out, 1);
    world_again(&l);
    pri(&l, syn_again(PRI_ISN, pri_opts));
    sec(&l, syn_again(SEC_ISN, sec_opts));
    colo__compare_told(l.c, l.now, l.note.number);
    ck_assert_uint_eq(l.diverged, 0);
    ck_assert_uint_eq(l.out, 2);
    before = l.out;
    pri(&l, (struct seg){ .seq = P(0), .ack = AGAIN + 1000,
                          .flags = TCP_ACK });
    ck_assert_uint_eq(l.out, before);
    sec(&l, (struct seg){ .seq = S(0), .ack = AGAIN + 1000,
                          .flags = TCP_ACK });
    ck_assert_uint_eq(l.out, before + 1);
    finish(&l);
}
END_TEST

/* The copy is the first to answer, and the primary's last word of the old
 * connection comes after that. */
START_TEST(ports_again_and_a_late_word)
{
    for (int i = 0; i < 2; i++) {
        uint32_t isn = i ? NEWER : OLDER;
        struct look l;

        connect_it(&l);
        world_again(&l);
        sec(&l, syn_again(SEC_ISN + 5000, sec_opts));
        pri(&l, DATA(P(0), WORLD, "only the primary"));
        pri(&l, syn_again(isn, pri_opts));
        colo__compare_told(l.c, l.now, l.note.number);
        ck_assert_uint_eq(l.out, 0);
        ck_assert_uint_eq(l.diverged, 1);
        colo__compare_commit(l.c, l.now, 2);
        ck_assert_uint_eq(l.out, 2);
        is_compared(&l, isn);
        finish(&l);
    }
}
END_TEST

/* ---- numbers that nobody honest has ------------------------------------- */

/* Each is before the next one and the last before the first. */
START_TEST(bytes_in_no_order)
{
    struct look l;

    begin(&l);
    pri(&l, (struct seg){ .seq = PRI_ISN, .flags = TCP_SYN, .opts = pri_opts,
                          .opts_len = sizeof(pri_opts) });
    pri(&l, (struct seg){ .seq = P(0) + 0x7ffffff6u, .data = "A", .len = 1 });
    pri(&l, (struct seg){ .seq = P(0) - 0x7ffffff6u, .data = "B", .len = 1 });
    sec(&l, (struct seg){ .seq = SEC_ISN, .flags = TCP_SYN, .opts = sec_opts,
                          .opts_len = sizeof(sec_opts) });
    pri(&l, (struct seg){ .seq = P(0) + 0x7ffffff8u, .data = "C", .len = 1 });
    colo__compare_commit(l.c, l.now, 2);
    ck_assert_uint_eq(l.out, 4);
    finish(&l);
}
END_TEST

/* Its last byte is half of all numbers ahead, and its end half behind. */
START_TEST(an_end_on_the_other_side)
{
    struct look l;

    connect_it(&l);
    pri(&l, (struct seg){ .seq = P(0) + 0x7ffffffeu, .ack = WORLD,
                          .flags = TCP_FIN | TCP_ACK, .data = "D",
                          .len = 1 });
    pri(&l, DATA(P(0), WORLD, "a"));
    pri(&l, DATA(P(1), WORLD, "b"));
    finish(&l);
}
END_TEST

static const char old_bytes[1000];

/* The world acknowledges what nobody has said. */
START_TEST(acknowledged_before_it_began)
{
    struct look l;

    begin(&l);
    pri(&l, (struct seg){ .seq = PRI_ISN, .ack = WORLD,
                          .flags = TCP_SYN | TCP_ACK, .opts = pri_opts,
                          .opts_len = sizeof(pri_opts) });
    world(&l, (struct seg){ .seq = WORLD, .ack = P(0) + 0x7fffff00u,
                            .flags = TCP_ACK });
    sec(&l, (struct seg){ .seq = SEC_ISN, .ack = WORLD,
                          .flags = TCP_SYN | TCP_ACK, .opts = sec_opts,
                          .opts_len = sizeof(sec_opts) });
    pri(&l, (struct seg){ .seq = P(0) - sizeof(old_bytes), .ack = WORLD,
                          .flags = TCP_ACK, .data = old_bytes,
                          .len = sizeof(old_bytes) });
    finish(&l);
}
END_TEST

START_TEST(acknowledged_before_a_checkpoint)
{
    static const uint8_t other[] = { 2, 4, 5, 100 };
    struct look l;

    begin(&l);
    pri(&l, (struct seg){ .seq = PRI_ISN, .ack = WORLD,
                          .flags = TCP_SYN | TCP_ACK, .opts = pri_opts,
                          .opts_len = 4 });
    sec(&l, (struct seg){ .seq = SEC_ISN, .ack = WORLD,
                          .flags = TCP_SYN | TCP_ACK, .opts = other,
                          .opts_len = 4 });
    ck_assert_uint_eq(l.diverged, 1);
    world(&l, (struct seg){ .seq = WORLD, .ack = P(0) + 0x7fffff00u,
                            .flags = TCP_ACK });
    colo__compare_commit(l.c, l.now, 2);
    pri(&l, (struct seg){ .seq = P(0) - sizeof(old_bytes), .ack = WORLD,
                          .flags = TCP_ACK, .data = old_bytes,
                          .len = sizeof(old_bytes) });
    finish(&l);
}
END_TEST

PURE_MAIN("compare-numbers", ports_again_while_something_is_held,
          ports_again_of_one_that_differs,
          ports_again_of_one_that_nobody_saw_begin,
          ports_again_and_a_late_word, bytes_in_no_order,
          an_end_on_the_other_side, acknowledged_before_it_began,
          acknowledged_before_a_checkpoint)
