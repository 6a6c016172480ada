/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The comparator: IPv6, messages of ICMP, what the secondary never got, and
 * that a divergence asks once and a limit drops nothing.
 */
#include <stdio.h>

#include "compare-look.h"

/* ---- frames ------------------------------------------------------------- */

#define IP6_AT 14
#define P_ICMP 1
#define P_UDP 17
#define P_ICMP6 58

struct six {
    uint8_t next;       /* of the fixed header */
    uint8_t hops;
    uint32_t label;
    const void *ext;    /* extension headers */
    size_t ext_len;
    const void *body;
    size_t len;
};

static size_t put_six(uint8_t *f, const struct six *s)
{
    memset(f, 0, IP6_AT + 40);
    put16(f + 12, 0x86dd);
    put32(f + IP6_AT, 6u << 28 | s->label);
    put16(f + IP6_AT + 4, (uint16_t)(s->ext_len + s->len));
    f[IP6_AT + 6] = s->next;
    f[IP6_AT + 7] = s->hops ? s->hops : 64;
    f[IP6_AT + 8] = 0xfd;  /* the guest fd00::1 */
    f[IP6_AT + 23] = 1;
    f[IP6_AT + 24] = 0xfd; /* the world fd00::9 */
    f[IP6_AT + 39] = 9;
    if (s->ext_len)
        memcpy(f + IP6_AT + 40, s->ext, s->ext_len);
    memcpy(f + IP6_AT + 40 + s->ext_len, s->body, s->len);
    return IP6_AT + 40 + s->ext_len + s->len;
}

static size_t put_icmp(uint8_t *f, const uint8_t *message, size_t len)
{
    put_ip(f, false, P_ICMP, len, 0, 0);
    memcpy(f + TCP_AT, message, len);
    return TCP_AT + len;
}

static void out(struct look *l, int side, const uint8_t *frame, size_t len)
{
    uint8_t copy[FRAME_MAX];

    memcpy(copy, frame, len);
    if (side)
        colo__compare_secondary(l->c, l->now, 1, copy, len);
    else
        ck_assert_int_eq(colo__compare_primary(l->c, l->now, copy, len), 0);
}

static void six(struct look *l, int side, struct six s)
{
    uint8_t f[FRAME_MAX];

    out(l, side, f, put_six(f, &s));
}

/* ---- IPv6 --------------------------------------------------------------- */

/* A TCP segment as compare-frames.h makes it, without what is around it. */
static size_t tcp_body(uint8_t *body, struct seg s)
{
    uint8_t f[FRAME_MAX];
    size_t n = put_seg(f, &s) - TCP_AT;

    memcpy(body, f + TCP_AT, n);
    return n;
}

START_TEST(streams_over_ipv6)
{
    static const uint8_t hop[8] = { 6, 0, 5, 2, 0, 0, 1, 0 };
    uint8_t body[FRAME_MAX];
    struct look l;
    size_t n;

    begin(&l);
    n = tcp_body(body, DATA(1, 1, "both say so"));
    six(&l, 0, (struct six){ .next = 6, .body = body, .len = n });
    ck_assert_uint_eq(l.out, 0);
    /* label, hop limit and a router alert are not what is said */
    n = tcp_body(body, DATA(1, 1, "both "));
    six(&l, 1, (struct six){ .next = 0, .hops = 3, .label = 77, .ext = hop,
                             .ext_len = 8, .body = body, .len = n });
    ck_assert_uint_eq(l.out, 0);
    n = tcp_body(body, DATA(6, 1, "say so"));
    six(&l, 1, (struct six){ .next = 6, .body = body, .len = n });
    ck_assert_uint_eq(l.out, 1);
    n = tcp_body(body, DATA(12, 1, "x"));
    six(&l, 0, (struct six){ .next = 6, .body = body, .len = n });
    n = tcp_body(body, DATA(12, 1, "y"));
    six(&l, 1, (struct six){ .next = 6, .body = body, .len = n });
    ck_assert_uint_eq(l.out, 1);
    ck_assert_uint_eq(l.diverged, 1);
    finish(&l);
}
END_TEST

START_TEST(the_same_ports_of_both_families)
{
    uint8_t body[FRAME_MAX];
    struct look l;
    size_t n;

    begin(&l);
    pri(&l, DATA(1, 1, "four"));
    n = tcp_body(body, DATA(1, 1, "four"));
    six(&l, 1, (struct six){ .next = 6, .body = body, .len = n });
    ck_assert_uint_eq(l.out, 0);
    sec(&l, DATA(1, 1, "four"));
    ck_assert_uint_eq(l.out, 1);
    finish(&l);
}
END_TEST

static void piece(struct look *l, int side, uint16_t at, bool more,
                  const uint8_t *body, size_t len)
{
    uint8_t ext[8] = { P_UDP, 0, 0, 0, 0, 0, (uint8_t)side, 5 };

    put16(ext + 2, (uint16_t)(at | more));
    six(l, side, (struct six){ .next = 44, .ext = ext, .ext_len = 8,
                               .body = body + at, .len = len });
}

START_TEST(fragments_of_ipv6)
{
    uint8_t udp[48] = { 0x13, 0x88, 2, 0x58, 0, 48 };
    struct look l;

    begin(&l);
    piece(&l, 0, 0, true, udp, 16);
    piece(&l, 0, 16, true, udp, 16);
    piece(&l, 0, 32, false, udp, 16);
    ck_assert_uint_eq(l.out, 0);
    piece(&l, 1, 32, false, udp, 16);
    ck_assert_uint_eq(l.out, 0);
    piece(&l, 1, 0, true, udp, 32);
    ck_assert_uint_eq(l.out, 3); /* the pieces as they came */
    /* one that is the whole of it is no piece */
    piece(&l, 0, 0, false, udp, 48);
    six(&l, 1, (struct six){ .next = P_UDP, .body = udp, .len = 48 });
    ck_assert_uint_eq(l.out, 4);
    ck_assert_uint_eq(l.diverged, 0);
    /* and one that is never whole asks */
    piece(&l, 0, 0, true, udp, 16);
    l.now += 3001000;
    colo__compare_tick(l.c, l.now);
    ck_assert_uint_eq(l.diverged, 1);
    colo__compare_commit(l.c, l.now, 2);
    ck_assert_uint_eq(l.out, 5);
    finish(&l);
}
END_TEST

/* The guest was stopped between two pieces: the first one went with the
 * checkpoint, and nobody will ever have the whole. */
START_TEST(pieces_on_both_sides_of_a_checkpoint)
{
    uint8_t udp[48] = { 0x13, 0x88, 2, 0x58, 0, 48 };
    struct look l;

    begin(&l);
    piece(&l, 0, 0, true, udp, 16);
    colo__compare_commit(l.c, l.now, 1);
    ck_assert_uint_eq(l.out, 1);
    piece(&l, 0, 16, true, udp, 16);
    piece(&l, 0, 32, false, udp, 16);
    ck_assert_uint_eq(l.out, 3);
    /* from then on its number may be another's */
    piece(&l, 0, 0, true, udp, 16);
    piece(&l, 0, 16, false, udp, 32);
    ck_assert_uint_eq(l.out, 3);
    piece(&l, 1, 0, true, udp, 16);
    piece(&l, 1, 16, false, udp, 32);
    ck_assert_uint_eq(l.out, 5);
    /* of one whose rest never comes: after some time, however many checkpoints
     * there are */
    piece(&l, 0, 0, true, udp, 16);
    for (int i = 0; i < 2; i++) {
        colo__compare_commit(l.c, l.now, 1);
        l.now += 2000000;
        colo__compare_tick(l.c, l.now);
    }
    ck_assert_uint_eq(l.out, 6);
    piece(&l, 0, 0, true, udp, 16);
    ck_assert_uint_eq(l.out, 6);
    ck_assert_uint_eq(l.diverged, 0);
    finish(&l);
}
END_TEST

START_TEST(neighbours_of_ipv6)
{
    static const uint8_t types[] = { 133, 134, 135, 136, 143, 130, 131, 132 };
    uint8_t message[24] = { 0 };
    struct look l;

    begin(&l);
    for (size_t i = 0; i < sizeof(types); i++) {
        message[0] = types[i];
        six(&l, 1, (struct six){ .next = P_ICMP6, .body = message,
                                 .len = sizeof(message) });
        ck_assert_uint_eq(l.out, i);
        six(&l, 0, (struct six){ .next = P_ICMP6, .body = message,
                                 .len = sizeof(message) });
        ck_assert_uint_eq(l.out, i + 1);
    }
    ck_assert_uint_eq(l.diverged, 0);
    finish(&l);
}
END_TEST

/* ---- ICMP --------------------------------------------------------------- */

START_TEST(echoes)
{
    uint8_t echo[12] = { 0, 0, 1, 2, 0, 7, 0, 1, 'p', 'i', 'n', 'g' };
    uint8_t f[FRAME_MAX];
    struct look l;

    begin(&l);
    out(&l, 0, f, put_icmp(f, echo, sizeof(echo)));
    ck_assert_uint_eq(l.out, 0);
    echo[2] = 99; /* a checksum says nothing */
    out(&l, 1, f, put_icmp(f, echo, sizeof(echo)));
    ck_assert_uint_eq(l.out, 1);
    echo[5] = 8; /* another flow does not wait for this one */
    out(&l, 0, f, put_icmp(f, echo, sizeof(echo)));
    echo[5] = 9;
    out(&l, 0, f, put_icmp(f, echo, sizeof(echo)));
    out(&l, 1, f, put_icmp(f, echo, sizeof(echo)));
    ck_assert_uint_eq(l.out, 2);
    echo[5] = 8;
    echo[11] = 'k';
    out(&l, 1, f, put_icmp(f, echo, sizeof(echo)));
    ck_assert_uint_eq(l.out, 2);
    ck_assert_uint_eq(l.diverged, 1);
    ck_assert_str_eq(l.reason, "ICMP: different messages");
    finish(&l);
}
END_TEST

START_TEST(policies_of_icmp)
{
    struct colo_compare_settings set = plain();
    uint8_t echo[8] = { 0 }, f[FRAME_MAX];
    struct look l;

    set.policy[COLO_CLASS_ICMP] = COLO_POLICY_PASS;
    begin_with(&l, &set);
    out(&l, 0, f, put_icmp(f, echo, sizeof(echo)));
    ck_assert_uint_eq(l.out, 1);
    echo[7] = 1;
    out(&l, 1, f, put_icmp(f, echo, sizeof(echo)));
    echo[0] = 129; /* ICMPv6 is of the same class */
    six(&l, 0, (struct six){ .next = P_ICMP6, .body = echo, .len = 8 });
    ck_assert_uint_eq(l.out, 2);
    finish(&l);
    set.policy[COLO_CLASS_ICMP] = COLO_POLICY_DROP;
    begin_with(&l, &set);
    out(&l, 0, f, put_icmp(f, echo, sizeof(echo)));
    colo__compare_commit(l.c, l.now, 2);
    ck_assert_uint_eq(l.out, 0);
    finish(&l);
}
END_TEST

/* Errors quote what came in, which each copy had with its own numbers. */
START_TEST(errors_quote_other_numbers)
{
    uint8_t error[8 + 28] = { 3, 3, 0, 0, 0, 0, 0, 0, 0x45, 0, 0, 60,
                              0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 9,
                              10, 0, 0, 1, 0x0f, 0xa0, 0, 80, 0, 40 };
    uint8_t f[FRAME_MAX];
    struct look l;

    begin(&l);
    out(&l, 0, f, put_icmp(f, error, sizeof(error)));
    error[12] = 5;  /* its identification */
    error[16] = 63; /* and time to live */
    error[18] = 9;  /* and their checksum */
    out(&l, 1, f, put_icmp(f, error, sizeof(error)));
    ck_assert_uint_eq(l.out, 1);
    /* the other way round */
    out(&l, 1, f, put_icmp(f, error, sizeof(error)));
    error[12] = 6;
    out(&l, 0, f, put_icmp(f, error, sizeof(error)));
    ck_assert_uint_eq(l.out, 2);
    ck_assert_uint_eq(l.diverged, 0);
    /* another port is another error */
    out(&l, 0, f, put_icmp(f, error, sizeof(error)));
    error[31] = 81;
    out(&l, 1, f, put_icmp(f, error, sizeof(error)));
    ck_assert_uint_eq(l.out, 2);
    ck_assert_uint_eq(l.diverged, 1);
    finish(&l);
}
END_TEST

/* ---- rule 15: what the secondary never got ------------------------------- */

START_TEST(input_that_the_secondary_lost)
{
    struct look l;

    connect_it(&l);
    world(&l, (struct seg){ .seq = WORLD, .ack = P(0), .flags = TCP_ACK,
                            .data = "question", .len = 8 });
    /* the primary has it, and answers; the copy knows nothing of it */
    pri(&l, (struct seg){ .seq = P(0), .ack = WORLD + 8, .flags = TCP_ACK });
    pri(&l, DATA(P(0), WORLD + 8, "answer"));
    ck_assert_uint_eq(l.out, 0);
    l.now += 401000;
    colo__compare_tick(l.c, l.now);
    ck_assert_uint_eq(l.diverged, 1);
    ck_assert_str_eq(l.reason, "TCP: the secondary has not acknowledged");
    ck_assert_uint_eq(l.out, 0);
    colo__compare_commit(l.c, l.now, 2);
    ck_assert_uint_eq(l.out, 2);
    /* it has it now: what both acknowledge from here on is known */
    pri(&l, (struct seg){ .seq = P(6), .ack = WORLD + 8, .flags = TCP_ACK });
    ck_assert_uint_eq(l.out, 3);
    pri(&l, (struct seg){ .seq = P(6), .ack = WORLD + 9, .flags = TCP_ACK });
    ck_assert_uint_eq(l.out, 3);
    finish(&l);
}
END_TEST

START_TEST(input_that_is_sent_again_heals)
{
    struct look l;

    connect_it(&l);
    pri(&l, (struct seg){ .seq = P(0), .ack = WORLD + 8, .flags = TCP_ACK });
    sec(&l, (struct seg){ .seq = S(0), .ack = WORLD, .flags = TCP_ACK });
    l.now += 200000;
    ck_assert_uint_eq(l.out, 0);
    /* nobody has told the world that it came, so it comes again */
    world(&l, (struct seg){ .seq = WORLD, .ack = P(0), .flags = TCP_ACK,
                            .data = "question", .len = 8 });
    pri(&l, (struct seg){ .seq = P(0), .ack = WORLD + 8, .flags = TCP_ACK });
    sec(&l, (struct seg){ .seq = S(0), .ack = WORLD + 8, .flags = TCP_ACK });
    ck_assert_uint_eq(l.out, 2);
    l.now += 500000;
    colo__compare_tick(l.c, l.now);
    ck_assert_uint_eq(l.diverged, 0);
    finish(&l);
}
END_TEST

/* ---- rule 17: asked once, and nothing is dropped ------------------------- */

static void port_says(struct look *l, int side, uint16_t port,
                      const char *text)
{
    uint8_t f[FRAME_MAX];

    out(l, side, f, put_udp(f, false, port, text, strlen(text)));
}

START_TEST(one_checkpoint_for_all_that_differs)
{
    struct colo_compare_counts counts;
    uint8_t f[FRAME_MAX];
    struct look l;
    size_t n;

    begin(&l);
    for (uint16_t port = 600; port < 620; port++) {
        port_says(&l, 0, port, "a");
        port_says(&l, 1, port, "b");
        port_says(&l, 1, port, "c");
        colo__compare_tick(l.c, l.now += 4000000);
    }
    ck_assert_uint_eq(l.diverged, 1);
    colo__compare_counts(l.c, &counts);
    ck_assert_uint_eq(counts.divergences, 20);
    ck_assert_uint_eq(l.out, 0);
    colo__compare_commit(l.c, l.now, 2);
    ck_assert_uint_eq(l.out, 20);
    /* the next one asks again */
    port_says(&l, 0, 600, "d");
    n = put_udp(f, false, 600, "e", 1);
    colo__compare_secondary(l.c, l.now, 2, f, n);
    ck_assert_uint_eq(l.diverged, 2);
    finish(&l);
}
END_TEST

/* Frames of one letter each, with limits: all come out, in their order. */
static void all_in_order(const struct colo_compare_settings *set,
                         bool flows_apart)
{
    struct look l;
    char text[] = "a";

    begin_with(&l, set);
    for (unsigned i = 0; i < 26; i++) {
        text[0] = (char)('a' + i);
        port_says(&l, 0, (uint16_t)(600 + (flows_apart ? i : 0)), text);
    }
    ck_assert_uint_eq(l.diverged, 1);
    ck_assert_uint_eq(l.out, 0);
    colo__compare_commit(l.c, l.now, 2);
    ck_assert_uint_eq(l.out, 26);
    ck_assert_mem_eq(l.order, "abcdefghijklmnopqrstuvwxyz", 26);
    ck_assert(!colo__compare_full(l.c));
    finish(&l);
}

START_TEST(no_limit_drops_output)
{
    struct colo_compare_settings set = plain();

    set.max_frames = 5;
    all_in_order(&set, false);
    set = plain();
    set.max_bytes = 700;
    all_in_order(&set, true);
    set = plain();
    set.max_flows = 3;
    all_in_order(&set, true);
}
END_TEST

START_TEST(the_secondary_cannot_fill_it)
{
    struct colo_compare_settings set = plain();
    struct colo_compare_counts counts;
    struct look l;

    set.max_frames = 8;
    begin_with(&l, &set);
    for (uint16_t i = 0; i < 100; i++)
        port_says(&l, 1, (uint16_t)(600 + i), "nobody else says this");
    ck_assert_uint_eq(l.diverged, 1);
    colo__compare_counts(l.c, &counts);
    ck_assert_uint_le(counts.held_frames, 9);
    colo__compare_commit(l.c, l.now, 2);
    ck_assert_uint_eq(l.out, 0);
    colo__compare_counts(l.c, &counts);
    ck_assert_uint_eq(counts.held_frames, 0);
    finish(&l);
}
END_TEST

PURE_MAIN("compare-rules", streams_over_ipv6, the_same_ports_of_both_families,
          fragments_of_ipv6, pieces_on_both_sides_of_a_checkpoint,
          neighbours_of_ipv6, echoes, policies_of_icmp,
          errors_quote_other_numbers, input_that_the_secondary_lost,
          input_that_is_sent_again_heals,
          one_checkpoint_for_all_that_differs, no_limit_drops_output,
          the_secondary_cannot_fill_it)
