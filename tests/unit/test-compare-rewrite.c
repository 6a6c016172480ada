/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The rewriter: what a guest with other sequence numbers and timestamps is
 * given, and what the world sees of it.
 */
#include "compare-frames.h"

#define DELTA 770000000u
#define TS_DELTA 256u
#define ISN 1000u
#define PEER_ISN 4999u

static const uint8_t in_opts[] = { /* two SACK blocks and timestamps */
    1, 8, 10, 0, 0, 0, 90, 0, 0, 0, 50, /* at an odd place */
    5, 18, 0, 0, 4, 0, 0, 0, 4, 100, 0, 0, 5, 0, 0, 0, 5, 100,
};
static const uint8_t out_opts[] = { 1, 1, 8, 10, 0, 0, 1, 60, 0, 0, 0, 90 };

static struct colo_rewrite *rewriter(void)
{
    struct colo_rewrite_settings set;
    struct colo_rewrite *r = NULL;

    colo__rewrite_defaults(&set);
    set.vnet = 0;
    ck_assert_int_eq(colo__rewrite_new(&set, &r, NULL), 0);
    return r;
}

static void tell(struct colo_rewrite *r, uint32_t delta)
{
    struct colo_note note = {
        .key = { .family = 4, .proto = 6, .guest_port = 80,
                 .peer_port = 4000, .guest = { 10, 0, 0, 1 },
                 .peer = { 10, 0, 0, 9 } },
        .seq_delta = delta, .ts_delta = TS_DELTA, .isn = ISN,
        .peer_isn = PEER_ISN, .passive = true, .number = 3,
    };
    uint8_t bytes[COLO_NOTE_BYTES];
    uint32_t number = 0;

    colo__note_write(&note, bytes);
    ck_assert(colo__rewrite_note(r, 1, bytes, sizeof(bytes), &number));
    ck_assert_uint_eq(number, 3);
    ck_assert(!colo__rewrite_note(r, 1, bytes, sizeof(bytes) - 1, &number));
}

static size_t input(uint8_t *frame, uint32_t ack)
{
    struct seg s = { .in = true, .seq = 5000, .ack = ack, .flags = TCP_ACK,
                     .opts = in_opts, .opts_len = sizeof(in_opts),
                     .data = "q", .len = 1 };

    return put_seg(frame, &s);
}

static size_t output(uint8_t *frame, uint32_t seq)
{
    struct seg s = { .seq = seq, .ack = 5001, .flags = TCP_ACK,
                     .opts = out_opts, .opts_len = sizeof(out_opts),
                     .data = "answer", .len = 6 };

    return put_seg(frame, &s);
}

START_TEST(input_of_a_connection_that_differs)
{
    struct colo_rewrite *r = rewriter();
    uint8_t f[FRAME_MAX], as_it_was[FRAME_MAX];
    size_t n = input(f, 1100);

    memcpy(as_it_was, f, n);
    ck_assert(colo__rewrite_to_guest(r, 1, f, n)); /* no note: as it is */
    ck_assert_mem_eq(f, as_it_was, n);
    tell(r, DELTA);
    ck_assert(colo__rewrite_to_guest(r, 1, f, n));
    ck_assert(tcp_sum_good(f));
    ck_assert_uint_eq(get32(f + TCP_AT + 8), 1100 + DELTA);
    ck_assert_uint_eq(get32(f + TCP_AT + 4), 5000);
    ck_assert_uint_eq(get32(f + TCP_AT + 20 + 3), 90);            /* TSval */
    ck_assert_uint_eq(get32(f + TCP_AT + 20 + 7), 50 + TS_DELTA); /* echo */
    ck_assert_uint_eq(get32(f + TCP_AT + 20 + 13), 0x400 + DELTA);
    ck_assert_uint_eq(get32(f + TCP_AT + 20 + 25), 0x564 + DELTA);
    /* another connection is not concerned */
    n = input(f, 1100);
    put16(f + TCP_AT, 4001);
    memcpy(as_it_was, f, n);
    ck_assert(colo__rewrite_to_guest(r, 1, f, n));
    ck_assert_mem_eq(f, as_it_was, n);
    colo__rewrite_free(r);
}
END_TEST

START_TEST(output_only_once_alone)
{
    struct colo_rewrite *r = rewriter();
    uint8_t f[FRAME_MAX], as_it_was[FRAME_MAX];
    size_t n = output(f, 1001 + DELTA);

    tell(r, DELTA);
    memcpy(as_it_was, f, n);
    ck_assert(colo__rewrite_from_guest(r, 1, f, n));
    ck_assert_mem_eq(f, as_it_was, n);
    ck_assert_uint_eq(colo__rewrite_open(r), 1);
    colo__rewrite_alone(r);
    ck_assert(colo__rewrite_from_guest(r, 1, f, n));
    ck_assert(tcp_sum_good(f));
    ck_assert_uint_eq(get32(f + TCP_AT + 4), 1001);
    ck_assert_uint_eq(get32(f + TCP_AT + 8), 5001);
    ck_assert_uint_eq(get32(f + TCP_AT + 20 + 4), 0x13c - TS_DELTA);
    colo__rewrite_free(r);
}
END_TEST

START_TEST(a_partial_checksum_stays)
{
    struct colo_rewrite_settings set;
    struct colo_rewrite *r = NULL;
    uint8_t f[FRAME_MAX] = { 1 /* NEEDS_CSUM */ };
    size_t n;
    uint16_t sum;

    colo__rewrite_defaults(&set);
    ck_assert_int_eq(colo__rewrite_new(&set, &r, NULL), 0);
    tell(r, DELTA);
    f[6] = TCP_AT; /* csum_start, csum_offset in the host's order */
    f[8] = 16;
    n = 10 + input(f + 10, 1100);
    sum = get16(f + 10 + TCP_AT + 16);
    ck_assert(colo__rewrite_to_guest(r, 1, f, n));
    ck_assert_uint_eq(get32(f + 10 + TCP_AT + 8), 1100 + DELTA);
    ck_assert_uint_eq(get16(f + 10 + TCP_AT + 16), sum);
    colo__rewrite_free(r);
}
END_TEST

START_TEST(time_does_not_run_back)
{
    struct colo_rewrite *r = rewriter();
    uint8_t f[FRAME_MAX];
    size_t n;

    tell(r, DELTA);
    n = input(f, 1100);
    put32(f + TCP_AT + 20 + 7, 200); /* the world has seen the primary's 200 */
    ck_assert(colo__rewrite_to_guest(r, 1, f, n));
    colo__rewrite_alone(r);
    n = output(f, 1001 + DELTA); /* 0x13c - 256 = 60 */
    ck_assert(colo__rewrite_from_guest(r, 1, f, n));
    ck_assert_uint_eq(get32(f + TCP_AT + 20 + 4), 200);
    ck_assert(tcp_sum_good(f));
    colo__rewrite_free(r);
}
END_TEST

START_TEST(loaded_means_equal)
{
    struct colo_rewrite *r = rewriter();
    uint8_t f[FRAME_MAX], as_it_was[FRAME_MAX];
    size_t n = input(f, 1100);

    tell(r, DELTA);
    colo__rewrite_loaded(r);
    memcpy(as_it_was, f, n);
    ck_assert(colo__rewrite_to_guest(r, 1, f, n));
    ck_assert_mem_eq(f, as_it_was, n);
    ck_assert_uint_eq(colo__rewrite_open(r), 0);
    colo__rewrite_free(r);
}
END_TEST

/* A SYN that is not the connection's own: it arrives as it was sent. */
static void foreign_syn(struct colo_rewrite *r)
{
    struct seg syn = { .in = true, .seq = PEER_ISN + 777777,
                       .flags = TCP_SYN, .opts = in_opts,
                       .opts_len = sizeof(in_opts) };
    uint8_t f[FRAME_MAX], as_it_was[FRAME_MAX];
    size_t n = put_seg(f, &syn);

    memcpy(as_it_was, f, n);
    ck_assert(colo__rewrite_to_guest(r, 1, f, n));
    ck_assert_mem_eq(f, as_it_was, n);
}

static bool input_is_changed(struct colo_rewrite *r)
{
    uint8_t f[FRAME_MAX];
    size_t n = input(f, 1100);

    ck_assert(colo__rewrite_to_guest(r, 1, f, n));
    if (get32(f + TCP_AT + 8) == 1100)
        return false;
    ck_assert_uint_eq(get32(f + TCP_AT + 8), 1100 + DELTA);
    return true;
}

START_TEST(the_same_ports_again)
{
    struct colo_rewrite *r = rewriter();
    uint8_t f[FRAME_MAX], as_it_was[FRAME_MAX];
    struct seg syn = { .in = true, .seq = PEER_ISN, .flags = TCP_SYN };
    size_t n;

    tell(r, DELTA);
    n = put_seg(f, &syn); /* the SYN of this connection once more */
    ck_assert(colo__rewrite_to_guest(r, 1, f, n));
    foreign_syn(r);
    ck_assert(input_is_changed(r)); /* nobody knows yet what it was */
    /* beside a primary a note tells */
    tell(r, 0);
    ck_assert(!input_is_changed(r));
    tell(r, DELTA);
    colo__rewrite_alone(r);
    foreign_syn(r);
    /* the guest's answer of the connection's own is sent again: no other */
    syn = (struct seg){ .seq = ISN + DELTA, .ack = PEER_ISN + 1,
                        .flags = TCP_SYN | TCP_ACK };
    n = put_seg(f, &syn);
    ck_assert(colo__rewrite_from_guest(r, 1, f, n));
    ck_assert_uint_eq(get32(f + TCP_AT + 4), ISN);
    ck_assert_uint_eq(colo__rewrite_open(r), 1);
    /* it begins a new one */
    syn.seq = ISN + 31337;
    syn.ack = PEER_ISN + 777778;
    n = put_seg(f, &syn);
    memcpy(as_it_was, f, n);
    ck_assert(colo__rewrite_from_guest(r, 1, f, n));
    ck_assert_mem_eq(f, as_it_was, n);
    ck_assert_uint_eq(colo__rewrite_open(r), 0);
    ck_assert(!input_is_changed(r)); /* its third segment */
    colo__rewrite_free(r);
}
END_TEST

/* A stranger's, or one that comes late: the guest says where it is (RFC 5961),
 * and the connection lives. */
START_TEST(a_syn_of_anybody)
{
    struct colo_rewrite *r = rewriter();
    uint8_t f[FRAME_MAX];
    struct seg ack = { .seq = 1001 + DELTA, .ack = 5001, .flags = TCP_ACK };
    size_t n;

    tell(r, DELTA);
    colo__rewrite_alone(r);
    foreign_syn(r);
    n = put_seg(f, &ack);
    ck_assert(colo__rewrite_from_guest(r, 1, f, n));
    ck_assert_uint_eq(get32(f + TCP_AT + 4), 1001);
    ck_assert(tcp_sum_good(f));
    ck_assert(input_is_changed(r));
    ck_assert_uint_eq(colo__rewrite_open(r), 1);
    colo__rewrite_free(r);
}
END_TEST

/* The guest knows the connection no more. */
START_TEST(a_syn_that_is_refused)
{
    struct colo_rewrite *r = rewriter();
    uint8_t f[FRAME_MAX];
    struct seg rst = { .ack = PEER_ISN + 777778,
                       .flags = TCP_RST | TCP_ACK };
    size_t n;

    tell(r, DELTA);
    colo__rewrite_alone(r);
    foreign_syn(r);
    n = put_seg(f, &rst);
    ck_assert(colo__rewrite_from_guest(r, 1, f, n));
    ck_assert_uint_eq(get32(f + TCP_AT + 4), 0); /* else nobody heeds it */
    ck_assert_uint_eq(get32(f + TCP_AT + 8), PEER_ISN + 777778);
    ck_assert(colo__rewrite_tick(r, 122000000) == COLO_NEVER);
    ck_assert_uint_eq(colo__rewrite_open(r), 0);
    colo__rewrite_free(r);
}
END_TEST

START_TEST(closed_connections_are_forgotten)
{
    struct colo_rewrite *r = rewriter();
    struct seg fin = { .seq = 1001 + DELTA, .ack = 5001,
                       .flags = TCP_FIN | TCP_ACK };
    uint8_t f[FRAME_MAX];
    size_t n;

    tell(r, DELTA);
    colo__rewrite_alone(r);
    n = put_seg(f, &fin);
    ck_assert(colo__rewrite_from_guest(r, 1, f, n));
    ck_assert_uint_eq(colo__rewrite_open(r), 1);
    fin = (struct seg){ .in = true, .seq = 5001, .ack = 1002,
                        .flags = TCP_FIN | TCP_ACK };
    n = put_seg(f, &fin);
    ck_assert(colo__rewrite_to_guest(r, 1, f, n));
    /* the last words are still rewritten, and who does it must stay */
    n = output(f, 1002 + DELTA);
    ck_assert(colo__rewrite_from_guest(r, 1, f, n));
    ck_assert_uint_eq(get32(f + TCP_AT + 4), 1002);
    ck_assert_uint_eq(colo__rewrite_open(r), 1);
    ck_assert(colo__rewrite_tick(r, 2) != COLO_NEVER);
    ck_assert_uint_eq(colo__rewrite_open(r), 1);
    ck_assert(colo__rewrite_tick(r, 121000000) == COLO_NEVER);
    ck_assert_uint_eq(colo__rewrite_open(r), 0);
    colo__rewrite_free(r);
}
END_TEST

#define SECOND 1000000u

/* As long as Linux by default waits with its first probe, 7200 s, and with all
 * nine of them, 75 s each; and not for ever. */
START_TEST(keepalive_comes_in_time)
{
    struct colo_rewrite_settings set;
    struct colo_rewrite *r = NULL;

    colo__rewrite_defaults(&set);
    ck_assert_int_eq(colo__rewrite_new(&set, &r, NULL), 0);
    tell(r, DELTA); /* at 1 */
    colo__rewrite_alone(r);
    ck_assert(colo__rewrite_tick(r, (7200 + 9 * 75 + 60ull) * SECOND) !=
              COLO_NEVER);
    ck_assert_uint_eq(colo__rewrite_open(r), 1);
    ck_assert(colo__rewrite_tick(r, 10801ull * SECOND) == COLO_NEVER);
    ck_assert_uint_eq(colo__rewrite_open(r), 0);
    colo__rewrite_free(r);
}
END_TEST

static void reset(struct colo_rewrite *r, uint64_t now_us, uint32_t seq)
{
    struct seg s = { .in = true, .seq = seq, .flags = TCP_RST };
    uint8_t f[FRAME_MAX];
    size_t n = put_seg(f, &s);

    ck_assert(colo__rewrite_to_guest(r, now_us, f, n));
}

static void speak(struct colo_rewrite *r, uint64_t now_us)
{
    uint8_t f[FRAME_MAX];
    size_t n = output(f, 1001 + DELTA); /* acknowledges 5001 */

    ck_assert(colo__rewrite_from_guest(r, now_us, f, n));
    ck_assert_uint_eq(get32(f + TCP_AT + 4), 1001);
}

/* Anybody can send a reset; what becomes of it the guest decides. */
START_TEST(a_reset_of_anybody)
{
    struct colo_rewrite *r = rewriter();

    tell(r, DELTA);
    colo__rewrite_alone(r);
    speak(r, 1);
    reset(r, 2, 5001 + (1u << 20)); /* fits nothing */
    ck_assert(colo__rewrite_tick(r, 150 * SECOND) != COLO_NEVER);
    ck_assert_uint_eq(colo__rewrite_open(r), 1);
    reset(r, 151 * SECOND, 5001); /* fits, and the guest goes on */
    speak(r, 152 * SECOND);
    ck_assert(colo__rewrite_tick(r, 300 * SECOND) != COLO_NEVER);
    ck_assert_uint_eq(colo__rewrite_open(r), 1);
    speak(r, 301 * SECOND);
    reset(r, 302 * SECOND, 5001);
    ck_assert_uint_eq(colo__rewrite_open(r), 1);
    ck_assert(colo__rewrite_tick(r, 423 * SECOND) == COLO_NEVER);
    ck_assert_uint_eq(colo__rewrite_open(r), 0);
    colo__rewrite_free(r);
}
END_TEST

/* Nothing of the guest's was acknowledged yet: a connection that was refused, or
 * a probe.  It is over like any other. */
START_TEST(a_reset_before_the_first_word)
{
    struct colo_rewrite *r = rewriter();

    tell(r, DELTA);
    reset(r, 1, 5001 + (1u << 20));
    colo__rewrite_alone(r);
    ck_assert(colo__rewrite_tick(r, 122 * SECOND) == COLO_NEVER);
    ck_assert_uint_eq(colo__rewrite_open(r), 0);
    colo__rewrite_free(r);
}
END_TEST

START_TEST(errors_quote_numbers)
{
    struct colo_rewrite *r = rewriter();
    uint8_t f[FRAME_MAX], inner[FRAME_MAX], icmp[36] = { 3, 4 };
    size_t len = 36;

    output(inner, 1001);
    tell(r, DELTA);
    memcpy(icmp + 8, inner + IP_AT, 28);
    put16(icmp + 6, 1400);
    put16(icmp + 2, folded(sum_of(icmp, len, 0)));
    put_ip(f, true, 1, len, 1, 0);
    memcpy(f + TCP_AT, icmp, len);
    ck_assert(colo__rewrite_to_guest(r, 1, f, TCP_AT + len));
    ck_assert_uint_eq(get32(f + TCP_AT + 8 + 20 + 4), 1001 + DELTA);
    ck_assert_uint_eq(folded(sum_of(f + TCP_AT, len, 0)), 0);
    ck_assert_uint_eq(get32(f + TCP_AT + 4), 1400); /* and nothing else */
    /* a ping that looks like one is none */
    f[TCP_AT] = 8;
    ck_assert(colo__rewrite_to_guest(r, 1, f, TCP_AT + len));
    ck_assert_uint_eq(get32(f + TCP_AT + 8 + 20 + 4), 1001 + DELTA);
    colo__rewrite_free(r);
}
END_TEST

static void as_piece(uint8_t *f, size_t body, uint16_t frag)
{
    put16(f + IP_AT + 2, (uint16_t)(20 + body));
    put16(f + IP_AT + 6, frag);
    put16(f + IP_AT + 10, 0);
    put16(f + IP_AT + 10, folded(sum_of(f + IP_AT, 20, 0)));
}

#define MORE 0x2000

/* What a path with a smaller MTU, or a guest that does not look for one, makes
 * of a segment: whoever puts it together finds it changed as a whole. */
START_TEST(pieces_are_changed_together)
{
    struct colo_rewrite *r = rewriter();
    uint8_t f[FRAME_MAX], first[FRAME_MAX], rest[FRAME_MAX], was[FRAME_MAX];
    char data[201];
    struct seg s = { .in = true, .seq = 5000, .ack = 1100, .flags = TCP_ACK,
                     .opts = in_opts, .opts_len = sizeof(in_opts),
                     .data = data, .len = sizeof(data) };
    size_t n, cut = 120; /* of its header 52 */

    memset(data, 'q', sizeof(data));
    tell(r, DELTA);
    (void)put_seg(f, &s);
    memcpy(data + cut - 52, f + TCP_AT, 52); /* data that looks like a header */
    n = put_seg(f, &s);
    ck_assert_uint_eq(n, TCP_AT + 52 + sizeof(data));
    memcpy(first, f, TCP_AT + cut);
    as_piece(first, cut, MORE);
    memcpy(rest, f, TCP_AT);
    memcpy(rest + TCP_AT, f + TCP_AT + cut, n - TCP_AT - cut);
    as_piece(rest, n - TCP_AT - cut, (uint16_t)(cut / 8));
    memcpy(was, rest, sizeof(was));
    ck_assert(colo__rewrite_to_guest(r, 1, first, TCP_AT + cut));
    ck_assert(colo__rewrite_to_guest(r, 1, rest, n - cut));
    ck_assert_mem_eq(rest, was, n - cut);
    ck_assert(colo__rewrite_to_guest(r, 1, f, n));
    ck_assert(tcp_sum_good(f));
    ck_assert_mem_eq(first + TCP_AT, f + TCP_AT, cut);
    ck_assert_uint_eq(get32(first + TCP_AT + 8), 1100 + DELTA);
    /* and out again */
    colo__rewrite_alone(r);
    n = output(f, 1001 + DELTA);
    memcpy(first, f, n);
    as_piece(first, n - TCP_AT - 6, MORE); /* without its data */
    ck_assert(colo__rewrite_from_guest(r, 1, first, n - 6));
    ck_assert(colo__rewrite_from_guest(r, 1, f, n));
    ck_assert(tcp_sum_good(f));
    ck_assert_mem_eq(first + TCP_AT, f + TCP_AT, n - TCP_AT - 6);
    ck_assert_uint_eq(get32(first + TCP_AT + 4), 1001);
    colo__rewrite_free(r);
}
END_TEST

START_TEST(a_header_in_pieces_cannot_be_changed)
{
    struct colo_rewrite *r = rewriter();
    uint8_t f[FRAME_MAX];

    input(f, 1100);
    as_piece(f, 24, MORE); /* of its header 52 */
    ck_assert(colo__rewrite_to_guest(r, 1, f, TCP_AT + 24));
    tell(r, DELTA);
    ck_assert(!colo__rewrite_to_guest(r, 1, f, TCP_AT + 24));
    output(f, 1100);
    as_piece(f, 24, MORE);
    /* beside a primary it says nothing to the world */
    ck_assert(colo__rewrite_from_guest(r, 1, f, TCP_AT + 24));
    colo__rewrite_alone(r);
    ck_assert(!colo__rewrite_from_guest(r, 1, f, TCP_AT + 24));
    colo__rewrite_free(r);
}
END_TEST

/* Whatever comes: no crash, and the length of what a checksum covers. */
START_TEST(anything_at_all)
{
    struct colo_rewrite *r = rewriter();
    uint64_t state = 7;

    tell(r, DELTA);
    colo__rewrite_alone(r);
    for (int i = 0; i < 20000; i++) {
        uint8_t f[FRAME_MAX];
        size_t n = i % 2 ? input(f, 9) : output(f, 9), m;
        uint8_t *p;

        for (int k = 0; k < 4; k++)
            f[pure_random(&state) % n] = (uint8_t)pure_random(&state);
        m = (size_t)(pure_random(&state) % (n + 1));
        p = malloc(m ? m : 1); /* a sanitizer sees its end */
        memcpy(p, f, m);
        if (i % 2)
            (void)colo__rewrite_to_guest(r, 1, p, m);
        else
            (void)colo__rewrite_from_guest(r, 1, p, m);
        free(p);
    }
    colo__rewrite_free(r);
}
END_TEST

PURE_MAIN("compare-rewrite", input_of_a_connection_that_differs,
          output_only_once_alone, a_partial_checksum_stays,
          time_does_not_run_back, loaded_means_equal, the_same_ports_again,
          a_syn_of_anybody, a_syn_that_is_refused,
          closed_connections_are_forgotten, keepalive_comes_in_time,
          a_reset_of_anybody,
          a_reset_before_the_first_word,
          errors_quote_numbers,
          pieces_are_changed_together, a_header_in_pieces_cannot_be_changed,
          anything_at_all)
