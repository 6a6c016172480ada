/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The comparator: what may go out, when, and what asks for a checkpoint.
 */
#include <stdlib.h>

#include "compare-look.h"

START_TEST(the_note_says_what_differs)
{
    struct look l;

    connect_it(&l);
    ck_assert_uint_eq(l.note.seq_delta, SEC_ISN - PRI_ISN);
    ck_assert_uint_eq(l.note.ts_delta, 256);
    ck_assert_uint_eq(l.note.isn, PRI_ISN);
    ck_assert(l.note.passive);
    ck_assert_uint_eq(l.note.peer_isn, WORLD - 1);
    ck_assert_uint_eq(l.note.key.guest_port, 80);
    /* nobody sent a second note: told of it is nonsense, and harmless */
    colo__compare_told(l.c, l.now, 2);
    ck_assert_uint_eq(l.out, 0);
    finish(&l);
}
END_TEST

START_TEST(bytes_not_segments)
{
    struct look l;

    connect_it(&l);
    pri(&l, DATA(P(0), WORLD, "hello, "));
    sec(&l, DATA(S(0), WORLD, "hel"));
    ck_assert_uint_eq(l.out, 0);
    sec(&l, DATA(S(3), WORLD, "lo, wor"));
    ck_assert_uint_eq(l.out, 1);
    pri(&l, DATA(P(7), WORLD, "world"));
    ck_assert_uint_eq(l.out, 1);
    sec(&l, DATA(S(10), WORLD, "ld"));
    ck_assert_uint_eq(l.out, 2);
    ck_assert_uint_eq(l.diverged, 0);
    finish(&l);
}
END_TEST

START_TEST(padding_and_headers_say_nothing)
{
    struct look l;
    struct seg s = DATA(S(0), WORLD, "x"), p = DATA(P(0), WORLD, "x");

    connect_it(&l);
    s.padding = 5;
    s.ip_id = 77;
    s.window = 9;
    sec(&l, s);
    pri(&l, p);
    ck_assert_uint_eq(l.out, 1);
    /* padding is no next byte either */
    s = DATA(S(1), WORLD, "y");
    sec(&l, s);
    pri(&l, DATA(P(1), WORLD, "y"));
    ck_assert_uint_eq(l.out, 2);
    ck_assert_uint_eq(l.diverged, 0);
    finish(&l);
}
END_TEST

START_TEST(other_bytes_never_leave)
{
    struct look l;

    connect_it(&l);
    pri(&l, DATA(P(0), WORLD, "answer 1"));
    sec(&l, DATA(S(0), WORLD, "answer 2"));
    ck_assert_uint_eq(l.out, 0);
    ck_assert_uint_eq(l.diverged, 1);
    /* more of the same connection, and of others: told once */
    pri(&l, DATA(P(8), WORLD, "more"));
    sec(&l, DATA(S(8), WORLD, "else"));
    ck_assert_uint_eq(l.diverged, 1);
    ck_assert_uint_eq(l.out, 0);
    colo__compare_commit(l.c, l.now, 2);
    ck_assert_uint_eq(l.out, 2);
    ck_assert_uint_eq(l.order[0], '1');
    ck_assert_uint_eq(l.order[1], 'e');
    finish(&l);
}
END_TEST

START_TEST(sent_again)
{
    struct look l;

    connect_it(&l);
    pri(&l, DATA(P(0), WORLD, "abc"));
    sec(&l, DATA(S(0), WORLD, "abc"));
    ck_assert_uint_eq(l.out, 1);
    /* of the primary: at once; of the secondary: nothing new */
    pri(&l, DATA(P(0), WORLD, "abc"));
    ck_assert_uint_eq(l.out, 2);
    sec(&l, DATA(S(0), WORLD, "abc"));
    /* partly new */
    pri(&l, DATA(P(1), WORLD, "bcde"));
    ck_assert_uint_eq(l.out, 2);
    sec(&l, DATA(S(2), WORLD, "cde"));
    ck_assert_uint_eq(l.out, 3);
    ck_assert_uint_eq(l.diverged, 0);
    /* other bytes where equal ones were */
    sec(&l, DATA(S(0), WORLD, "aXc"));
    ck_assert_uint_eq(l.diverged, 1);
    finish(&l);
}
END_TEST

START_TEST(what_the_copy_has_not_acknowledged)
{
    struct look l;

    connect_it(&l);
    pri(&l, (struct seg){ .seq = P(0), .ack = WORLD + 10, .flags = TCP_ACK });
    ck_assert_uint_eq(l.out, 0);
    sec(&l, (struct seg){ .seq = S(0), .ack = WORLD + 9, .flags = TCP_ACK });
    ck_assert_uint_eq(l.out, 0);
    sec(&l, (struct seg){ .seq = S(0), .ack = WORLD + 10, .flags = TCP_ACK });
    ck_assert_uint_eq(l.out, 1);
    /* a bare one never waits for a twin */
    pri(&l, (struct seg){ .seq = P(0), .ack = WORLD + 8, .flags = TCP_ACK });
    ck_assert_uint_eq(l.out, 2);
    /* and one that is missing for long asks for a checkpoint */
    pri(&l, (struct seg){ .seq = P(0), .ack = WORLD + 20, .flags = TCP_ACK });
    l.now += 399000;
    colo__compare_tick(l.c, l.now);
    ck_assert_uint_eq(l.diverged, 0);
    l.now += 2000;
    colo__compare_tick(l.c, l.now);
    ck_assert_uint_eq(l.diverged, 1);
    ck_assert_uint_eq(l.out, 2);
    finish(&l);
}
END_TEST

START_TEST(numbers_go_round)
{
    struct look l;
    uint32_t ack = 0xfffffff0u;

    begin(&l);
    /* an old connection, in the middle: both go on from the same place */
    sec(&l, DATA(0xfffffffeu, ack, "abcd"));
    pri(&l, DATA(0xfffffffeu, ack, "abcd"));
    ck_assert_uint_eq(l.out, 1);
    pri(&l, DATA(2, 5, "ef"));
    ck_assert_uint_eq(l.out, 1);
    sec(&l, DATA(2, 5, "ef"));
    ck_assert_uint_eq(l.out, 2);
    ck_assert_uint_eq(l.diverged, 0);
    finish(&l);
}
END_TEST

START_TEST(options_of_the_beginning)
{
    static const uint8_t other[] = { 2, 4, 5, 100 };
    static const uint8_t sorted[] = { 4, 2, 2, 4, 5, 180 };
    static const uint8_t turned[] = { 2, 4, 5, 180, 4, 2 };
    static const uint8_t md5[20] = { 19, 18 };
    struct look l;
    struct seg s = { .seq = PRI_ISN, .flags = TCP_SYN, .opts = pri_opts,
                     .opts_len = 4 };

    begin(&l);
    pri(&l, s);
    s.opts = other;
    sec(&l, s);
    ck_assert_uint_eq(l.diverged, 1);
    ck_assert_uint_eq(l.out, 0);
    finish(&l);
    begin(&l); /* their order says nothing */
    s.opts = sorted;
    s.opts_len = sizeof(sorted);
    pri(&l, s);
    s.opts = turned;
    sec(&l, s);
    ck_assert_uint_eq(l.diverged, 0);
    ck_assert_uint_eq(l.notes, 1);
    finish(&l);
    begin(&l); /* headers that are signed cannot be rewritten */
    s.opts = md5;
    s.opts_len = sizeof(md5);
    pri(&l, s);
    sec(&l, s);
    ck_assert_uint_eq(l.diverged, 1);
    finish(&l);
}
END_TEST

START_TEST(ends_and_resets)
{
    struct look l;

    connect_it(&l);
    pri(&l, (struct seg){ .seq = P(0), .ack = WORLD,
                          .flags = TCP_FIN | TCP_ACK });
    ck_assert_uint_eq(l.out, 0);
    sec(&l, (struct seg){ .seq = S(0), .ack = WORLD,
                          .flags = TCP_FIN | TCP_ACK });
    ck_assert_uint_eq(l.out, 1);
    finish(&l);

    connect_it(&l); /* one ends, the other has more to say */
    pri(&l, (struct seg){ .seq = P(0), .ack = WORLD,
                          .flags = TCP_FIN | TCP_ACK });
    sec(&l, DATA(S(0), WORLD, "x"));
    ck_assert_uint_eq(l.diverged, 1);
    ck_assert_uint_eq(l.out, 0);
    finish(&l);

    connect_it(&l); /* a reset needs its twin, and does not overtake */
    pri(&l, DATA(P(0), WORLD, "last"));
    pri(&l, (struct seg){ .seq = P(4), .flags = TCP_RST });
    sec(&l, (struct seg){ .seq = S(4), .flags = TCP_RST });
    ck_assert_uint_eq(l.out, 0);
    sec(&l, DATA(S(0), WORLD, "last"));
    ck_assert_uint_eq(l.out, 2);
    ck_assert_uint_eq(l.order[0], 't');
    ck_assert_uint_eq(l.diverged, 0);
    finish(&l);

    connect_it(&l); /* one of a port that is closed has no number */
    pri(&l, (struct seg){ .seq = 0, .ack = WORLD + 1,
                          .flags = TCP_RST | TCP_ACK });
    sec(&l, (struct seg){ .seq = 0, .ack = WORLD + 1,
                          .flags = TCP_RST | TCP_ACK });
    ck_assert_uint_eq(l.out, 1);
    finish(&l);

    connect_it(&l); /* of the secondary alone: never sent, and it differs */
    sec(&l, (struct seg){ .seq = S(0), .flags = TCP_RST });
    l.now += 3001000;
    colo__compare_tick(l.c, l.now);
    ck_assert_uint_eq(l.diverged, 1);
    ck_assert_uint_eq(l.out, 0);
    finish(&l);
}
END_TEST

/* What its copy ends alone is noticed though the primary has nothing to say. */
START_TEST(an_end_of_the_secondary_alone)
{
    for (int late = 0; late < 2; late++) {
        struct look l;

        connect_it(&l);
        sec(&l, (struct seg){ .seq = S(0), .ack = WORLD,
                              .flags = TCP_FIN | TCP_ACK });
        if (!late)
            pri(&l, (struct seg){ .seq = P(0), .ack = WORLD,
                                  .flags = TCP_FIN | TCP_ACK });
        ck_assert_uint_eq(l.out, late ? 0 : 1);
        l.now += 3001000;
        colo__compare_tick(l.c, l.now);
        ck_assert_uint_eq(l.diverged, late);
        finish(&l);
    }
}
END_TEST

/* Its client has reset it: one copy had said more than the other ever will. */
START_TEST(a_reset_of_the_world)
{
    for (int side = 0; side < 2; side++) {
        struct look l;

        connect_it(&l);
        if (side)
            sec(&l, DATA(S(0), WORLD, "abc"));
        else
            pri(&l, DATA(P(0), WORLD, "abc"));
        world(&l, (struct seg){ .seq = WORLD, .flags = TCP_RST });
        l.now += 3001000;
        colo__compare_tick(l.c, l.now);
        ck_assert_uint_eq(l.diverged, 0);
        ck_assert_uint_eq(l.out, 0);
        /* a guest that goes on has not believed it */
        pri(&l, DATA(P(0), WORLD, "abc"));
        l.now += 3001000;
        colo__compare_tick(l.c, l.now);
        ck_assert_uint_eq(l.diverged, !side);
        ck_assert_uint_eq(l.out, side);
        finish(&l);
    }
}
END_TEST

/* Both copies abort: one has acknowledged before, which the other never will,
 * and the reset waits behind that. */
START_TEST(a_reset_of_both)
{
    struct look l;

    connect_it(&l);
    pri(&l, (struct seg){ .seq = P(0), .ack = WORLD + 4, .flags = TCP_ACK });
    pri(&l, (struct seg){ .seq = P(0), .ack = WORLD + 4,
                          .flags = TCP_RST | TCP_ACK });
    sec(&l, (struct seg){ .seq = S(0), .ack = WORLD + 4,
                          .flags = TCP_RST | TCP_ACK });
    ck_assert_uint_eq(l.out, 0);
    l.now += 3001000;
    colo__compare_tick(l.c, l.now);
    ck_assert_uint_eq(l.diverged, 1);
    finish(&l);
}
END_TEST

/* All of [100, 200) went out before this epoch, the world had lost its head
 * alone, and acknowledges the rest with it. */
START_TEST(taken_up_by_what_is_sent_again)
{
    for (int acked = 0; acked < 2; acked++) {
        struct look l;

        begin(&l);
        pri(&l, DATA(100, WORLD, "abcd"));
        sec(&l, DATA(100, WORLD, "abcd"));
        ck_assert_uint_eq(l.out, 1);
        if (acked)
            world(&l, (struct seg){ .seq = WORLD, .ack = 200,
                                    .flags = TCP_ACK });
        pri(&l, DATA(200, WORLD, "ef"));
        ck_assert_uint_eq(l.out, 1);
        sec(&l, DATA(200, WORLD, "ef"));
        ck_assert_uint_eq(l.out, acked ? 2 : 1);
        pri(&l, DATA(202, WORLD, "gh"));
        sec(&l, DATA(202, WORLD, "gx"));
        ck_assert_uint_eq(l.out, acked ? 2 : 1);
        ck_assert_uint_eq(l.diverged, acked);
        finish(&l);
    }
}
END_TEST

START_TEST(datagrams_in_order)
{
    struct look l;
    uint8_t f[FRAME_MAX];
    size_t n;

    begin(&l);
    n = put_udp(f, false, 600, "one", 3);
    ck_assert_int_eq(colo__compare_primary(l.c, l.now, f, n), 0);
    n = put_udp(f, false, 600, "two", 3);
    ck_assert_int_eq(colo__compare_primary(l.c, l.now, f, n), 0);
    ck_assert_uint_eq(l.out, 0);
    n = put_udp(f, false, 600, "one", 3);
    colo__compare_secondary(l.c, l.now, 1, f, n);
    ck_assert_uint_eq(l.out, 1);
    ck_assert_uint_eq(l.order[0], 'e');
    n = put_udp(f, false, 600, "too", 3);
    colo__compare_secondary(l.c, l.now, 1, f, n);
    ck_assert_uint_eq(l.out, 1);
    ck_assert_uint_eq(l.diverged, 1);
    finish(&l);
}
END_TEST

START_TEST(pieces_of_a_datagram)
{
    static const size_t cuts[2][2] = { { 16, 40 }, { 32, 40 } };
    uint8_t body[40] = { 0 }, f[FRAME_MAX];
    struct look l;

    begin(&l);
    put16(body, 5000);
    put16(body + 2, 600);
    put16(body + 4, 40);
    memset(body + 8, 'z', 32);
    for (int side = 0; side < 2; side++) {
        size_t cut = cuts[side][0], n;

        /* the last one first, cut differently, ids of their own */
        n = put_udp_part(f, false, (uint16_t)(9 + side), cut, false,
                         body + cut, 40 - cut);
        if (side)
            colo__compare_secondary(l.c, l.now, 1, f, n);
        else
            ck_assert_int_eq(colo__compare_primary(l.c, l.now, f, n), 0);
        n = put_udp_part(f, false, (uint16_t)(9 + side), 0, true, body, cut);
        ck_assert_uint_eq(l.out, 0);
        if (side)
            colo__compare_secondary(l.c, l.now, 1, f, n);
        else
            ck_assert_int_eq(colo__compare_primary(l.c, l.now, f, n), 0);
    }
    ck_assert_uint_eq(l.out, 2); /* the original pieces */
    ck_assert_uint_eq(l.diverged, 0);
    finish(&l);
}
END_TEST

START_TEST(link_level_passes)
{
    struct look l;
    uint8_t arp[42] = { 0 };

    begin(&l);
    put16(arp + 12, 0x0806);
    ck_assert_int_eq(colo__compare_primary(l.c, l.now, arp, sizeof(arp)), 0);
    ck_assert_uint_eq(l.out, 1);
    colo__compare_secondary(l.c, l.now, 1, arp, sizeof(arp));
    ck_assert_uint_eq(l.out, 1);
    ck_assert_uint_eq(l.diverged, 0);
    finish(&l);
}
END_TEST

START_TEST(old_epochs_gates_and_being_alone)
{
    struct look l;
    struct seg s = DATA(S(0), WORLD, "a");
    uint8_t f[FRAME_MAX];
    size_t n = put_seg(f, &s);

    connect_it(&l);
    colo__compare_secondary(l.c, l.now, 0, f, n); /* of the last epoch */
    pri(&l, DATA(P(0), WORLD, "a"));
    ck_assert_uint_eq(l.out, 0);
    colo__compare_gate(l.c, false);
    sec(&l, s);
    ck_assert_uint_eq(l.out, 0);
    colo__compare_gate(l.c, true);
    ck_assert_uint_eq(l.out, 1);
    /* after a commit, both have the primary's numbers */
    pri(&l, DATA(P(1), WORLD, "b"));
    colo__compare_commit(l.c, l.now, 2);
    ck_assert_uint_eq(l.out, 2);
    pri(&l, DATA(P(2), WORLD, "c"));
    s = DATA(P(2), WORLD, "c");
    n = put_seg(f, &s);
    colo__compare_secondary(l.c, l.now, 2, f, n);
    ck_assert_uint_eq(l.out, 3);
    pri(&l, DATA(P(3), WORLD, "d"));
    colo__compare_alone(l.c, l.now);
    ck_assert_uint_eq(l.out, 4);
    pri(&l, DATA(P(4), WORLD, "e"));
    ck_assert_uint_eq(l.out, 5);
    ck_assert_uint_eq(l.diverged, 0);
    finish(&l);
}
END_TEST

START_TEST(a_policy_for_each_class)
{
    struct colo_compare_settings set = plain();
    struct look l;
    uint8_t f[FRAME_MAX];
    size_t n;

    set.policy[COLO_CLASS_DNS] = COLO_POLICY_PASS;
    set.policy[COLO_CLASS_QUIC] = COLO_POLICY_DROP;
    begin_with(&l, &set);
    n = put_udp(f, false, 53, "id 1", 4);
    ck_assert_int_eq(colo__compare_primary(l.c, l.now, f, n), 0);
    ck_assert_uint_eq(l.out, 1);
    n = put_udp(f, false, 53, "id 2", 4);
    colo__compare_secondary(l.c, l.now, 1, f, n);
    n = put_udp(f, false, 443, "random", 6);
    ck_assert_int_eq(colo__compare_primary(l.c, l.now, f, n), 0);
    colo__compare_commit(l.c, l.now, 2);
    ck_assert_uint_eq(l.out, 1);
    ck_assert_uint_eq(l.diverged, 0);
    colo__compare_free(l.c);
    set.policy[COLO_CLASS_UDP] = 3;
    ck_assert_int_eq(colo__compare_new(&set, &(struct colo_compare_ops){ 0 },
                                       &l, &l.c, NULL), COLO_E_INVAL);
}
END_TEST

/* The same frame with the tag of a VLAN. */
static size_t tagged(uint8_t *frame, size_t len, uint16_t id)
{
    memmove(frame + 16, frame + 12, len - 12);
    put16(frame + 12, 0x8100);
    put16(frame + 14, id);
    return len + 4;
}

START_TEST(vlans_are_other_connections)
{
    struct look l;
    uint8_t f[FRAME_MAX];
    size_t n = put_udp(f, false, 600, "same", 4);

    begin(&l);
    n = tagged(f, n, 5);
    ck_assert_int_eq(colo__compare_primary(l.c, l.now, f, n), 0);
    n = put_udp(f, false, 600, "same", 4);
    colo__compare_secondary(l.c, l.now, 1, f, n);
    n = tagged(f, n, 6);
    colo__compare_secondary(l.c, l.now, 1, f, n);
    ck_assert_uint_eq(l.out, 0);
    put16(f + 14, 5 | 3 << 13); /* a priority says nothing */
    colo__compare_secondary(l.c, l.now, 1, f, n);
    ck_assert_uint_eq(l.out, 1);
    finish(&l);
}
END_TEST

/* One way of a connection may have it, and the other not. */
START_TEST(a_priority_is_no_vlan)
{
    struct look l;
    uint8_t f[FRAME_MAX];
    size_t n = put_udp(f, false, 600, "same", 4);

    begin(&l);
    n = tagged(f, n, 3 << 13);
    ck_assert_int_eq(colo__compare_primary(l.c, l.now, f, n), 0);
    n = put_udp(f, false, 600, "same", 4);
    colo__compare_secondary(l.c, l.now, 1, f, n);
    ck_assert_uint_eq(l.out, 1);
    /* nor is one beside a VLAN a second one */
    n = put_udp(f, false, 600, "same", 4);
    n = tagged(f, tagged(f, n, 5), 3 << 13);
    ck_assert_int_eq(colo__compare_primary(l.c, l.now, f, n), 0);
    n = put_udp(f, false, 600, "same", 4);
    colo__compare_secondary(l.c, l.now, 1, f, tagged(f, n, 5));
    ck_assert_uint_eq(l.out, 2);
    finish(&l);
}
END_TEST

START_TEST(a_limit_asks_and_drops_nothing)
{
    struct colo_compare_settings set = plain();
    struct look l;
    uint8_t f[FRAME_MAX];

    set.max_frames = 4;
    begin_with(&l, &set);
    for (unsigned i = 0; i < 6; i++) {
        char text = (char)('a' + i);
        size_t n = put_udp(f, false, 600, &text, 1);

        ck_assert(!colo__compare_full(l.c) || i > 3);
        ck_assert_int_eq(colo__compare_primary(l.c, l.now, f, n), 0);
    }
    ck_assert(colo__compare_full(l.c));
    ck_assert_uint_eq(l.diverged, 1);
    ck_assert_uint_eq(l.out, 0);
    colo__compare_commit(l.c, l.now, 2);
    ck_assert_uint_eq(l.out, 6);
    ck_assert_mem_eq(l.order, "abcdef", 6);
    ck_assert(!colo__compare_full(l.c));
    finish(&l);
}
END_TEST

START_TEST(large_frames_go_as_they_came)
{
    struct colo_compare_settings set = plain();
    uint8_t f[FRAME_MAX] = { 1, 1 /* NEEDS_CSUM, TCPV4 */ }, part[FRAME_MAX];
    static const char text[1200] = "large";
    struct seg s = { .seq = 1, .ack = 1, .flags = TCP_ACK, .data = text,
                     .len = sizeof(text) };
    struct look l;
    size_t n = 10 + put_seg(f + 10, &s);

    set.vnet = 10;
    begin_with(&l, &set);
    f[4] = 0xf4; /* gso_size 500, csum_start, csum_offset, as the host has */
    f[5] = 1;
    f[6] = TCP_AT;
    f[8] = 16;
    ck_assert_int_eq(colo__compare_primary(l.c, l.now, f, n), 0);
    for (uint32_t at = 0; at < sizeof(text); at += 400) {
        struct seg small = { .seq = 1 + at, .ack = 1, .flags = TCP_ACK,
                             .data = text + at, .len = 400 };

        ck_assert_uint_eq(l.out, 0);
        memset(part, 0, 10);
        colo__compare_secondary(l.c, l.now, 1, part,
                                10 + put_seg(part + 10, &small));
    }
    ck_assert_uint_eq(l.out, 1);
    ck_assert_uint_eq(l.last_len, n);
    ck_assert_mem_eq(l.last, f, n);
    finish(&l);
}
END_TEST

/* ---- any way to cut a stream ------------------------------------------- */

#define STREAM 6000

struct cut { size_t at, len; };

/* Pieces that cover [0, total), some twice, in an order of their own. */
static size_t cut_stream(struct cut *cuts, size_t max, size_t total)
{
    size_t n = 0, at = 0;

    while (at < total && n + 2 < max) {
        size_t len = 1 + (size_t)rand() % 400;

        if (len > total - at)
            len = total - at;
        cuts[n++] = (struct cut){ at, len };
        if (rand() % 4 == 0) { /* again, from a little earlier */
            size_t back = at < 50 ? at : (size_t)rand() % 50;

            cuts[n++] = (struct cut){ at - back, back + len };
        }
        at += len;
    }
    ck_assert_uint_eq(at, total);
    for (size_t i = 0; i + 1 < n; i++) /* neighbours change places */
        if (rand() % 3 == 0) {
            struct cut c = cuts[i];

            cuts[i] = cuts[i + 1];
            cuts[i + 1] = c;
        }
    return n;
}

static void one_stream(unsigned seed, bool flip)
{
    static uint8_t a[STREAM], b[STREAM];
    struct cut cp[256], cs[256];
    size_t np, ns, p = 0, s = 0, wrong = STREAM;
    struct look l;

    srand(seed);
    for (size_t i = 0; i < STREAM; i++)
        a[i] = b[i] = (uint8_t)rand();
    if (flip) {
        wrong = (size_t)rand() % STREAM;
        b[wrong] ^= 1;
    }
    np = cut_stream(cp, 256, STREAM);
    ns = cut_stream(cs, 256, STREAM);
    connect_it(&l);
    while (p < np || s < ns) {
        unsigned before = l.out;
        struct cut c;

        if (s == ns || (p < np && rand() % 2)) {
            c = cp[p++];
            pri(&l, (struct seg){ .seq = P((uint32_t)c.at), .ack = WORLD,
                                  .flags = TCP_ACK, .data = a + c.at,
                                  .len = c.len });
        } else {
            c = cs[s++];
            sec(&l, (struct seg){ .seq = S((uint32_t)c.at), .ack = WORLD,
                                  .flags = TCP_ACK, .data = b + c.at,
                                  .len = c.len });
        }
        if (l.out != before) {
            /* what left ends before the byte that differs */
            uint32_t at = get32(l.last + TCP_AT + 4) - P(0);

            ck_assert(at + (l.last_len - TCP_AT - 20) <= wrong);
        }
    }
    ck_assert_uint_eq(l.diverged, flip);
    if (!flip)
        ck_assert_uint_eq(l.out, np);
    finish(&l);
}

START_TEST(any_segmentation)
{
    for (unsigned i = 0; i < 400; i++)
        one_stream(i, false);
}
END_TEST

START_TEST(one_byte_of_any_segmentation)
{
    for (unsigned i = 0; i < 400; i++)
        one_stream(i, true);
}
END_TEST

PURE_MAIN("compare", the_note_says_what_differs, bytes_not_segments,
          padding_and_headers_say_nothing, other_bytes_never_leave,
          sent_again, what_the_copy_has_not_acknowledged, numbers_go_round,
          options_of_the_beginning, ends_and_resets,
          an_end_of_the_secondary_alone, a_reset_of_the_world,
          a_reset_of_both,
          taken_up_by_what_is_sent_again, datagrams_in_order,
          pieces_of_a_datagram, link_level_passes,
          old_epochs_gates_and_being_alone, a_policy_for_each_class,
          vlans_are_other_connections, a_priority_is_no_vlan,
          a_limit_asks_and_drops_nothing,
          large_frames_go_as_they_came, any_segmentation,
          one_byte_of_any_segmentation)
