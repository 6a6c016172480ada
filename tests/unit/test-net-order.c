/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What a guest and its replica are given, through both colo-net of a card: the
 * same frames in the same order, none that the guest did not take, and none
 * across a checkpoint.  Sockets stand for vifs, TAPs and the stream.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pure-common.h"

#include "../../net-proxy/colo-net/serve.h"
#include "compare-frames.h"

/* ---- a session that asks for one thing at a time ----------------------- */

struct colo_source {
    const struct colo_source_ops *ops;
    int verb; /* 0: none is due */
    uint64_t arg;
    int stream;
    unsigned events;
    char error[200];
};

static int src_join(struct colo_source *s, struct colo_error *err)
{
    (void)s, (void)err;
    return 0;
}

static int src_fd(struct colo_source *s)
{
    (void)s;
    return -1;
}

static int src_next(struct colo_source *s, struct colo_proxy_request *ret,
                    struct colo_error *err)
{
    (void)err;
    ret->verb = s->verb;
    ret->arg = s->arg;
    s->verb = 0;
    return ret->verb != 0;
}

static int src_reply(struct colo_source *s, uint64_t seq, const char *error)
{
    (void)seq;
    snprintf(s->error, sizeof(s->error), "%s", error ? error : "");
    return 0;
}

static int src_event(struct colo_source *s, const char *text)
{
    (void)text;
    s->events++;
    return 0;
}

static int src_stream(struct colo_source *s, struct colo_error *err)
{
    (void)err;
    return s->stream;
}

static void src_none(struct colo_source *s)
{
    (void)s;
}

static const struct colo_source_ops src_ops = {
    .join = src_join, .fd = src_fd, .next = src_next, .reply = src_reply,
    .event = src_event, .stream = src_stream, .leave = src_none,
    .close = src_none,
};

/* ---- two of them ------------------------------------------------------- */

struct side {
    struct net_options options;
    struct colo_source source;
    struct net net;
    int guest, world; /* the other ends of vif and TAP */
};

static void ask(struct side *a, int verb, uint64_t arg)
{
    a->source.verb = verb;
    a->source.arg = arg;
    net_requests(&a->net);
    ck_assert_str_eq(a->source.error, "");
}

static int ends(int *other, int room)
{
    int fd[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK |
                                SOCK_CLOEXEC, 0, fd), 0);
    ck_assert_int_eq(setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &room,
                                sizeof(room)), 0);
    *other = fd[1];
    return fd[0];
}

/* room: of the guest's card, in bytes */
static void begin(struct side *p, struct side *s, int room)
{
    int fd[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK |
                                SOCK_CLOEXEC, 0, fd), 0);
    for (int i = 0; i < 2; i++) {
        struct side *a = i ? s : p;

        memset(a, 0, sizeof(*a));
        a->options.secondary = i;
        a->source.ops = &src_ops;
        a->source.stream = fd[i];
        a->net.options = &a->options;
        a->net.source = &a->source;
        a->net.record_fd = a->net.life_fd = a->net.twin.fd = -1;
        a->net.way = i ? NET_QUIET : NET_PASS;
        a->net.port.packet = ends(&a->guest, i ? 8 << 20 : room);
        a->net.port.tap = ends(&a->world, 8 << 20);
        a->net.port.arena = malloc(NET_BATCH * NET_FRAME_MAX);
        ck_assert_ptr_nonnull(a->net.port.arena);
        net_join(&a->net);
        ask(a, COLO_PROXY_START, 0);
    }
}

static void end(struct side *p, struct side *s)
{
    for (int i = 0; i < 2; i++) {
        struct side *a = i ? s : p;

        net_twin_close(&a->net.twin);
        net_flow_free(a->net.flow);
        net_port_close(&a->net.port);
        close(a->guest);
        close(a->world);
    }
}

static void turn(struct side *a)
{
    net_twin_flush(&a->net.twin, net_now_us());
    net_move_twin(&a->net);
    (void)net_move_in(&a->net);
    (void)net_move_out(&a->net);
}

/* As the session does it, up to where the replica has loaded it. */
static void checkpoint(struct side *p, struct side *s, uint64_t epoch)
{
    ask(p, COLO_PROXY_CHECKPOINT, epoch);
    ask(s, COLO_PROXY_CHECKPOINT, epoch);
    ask(p, COLO_PROXY_COMMIT, epoch);
    ask(s, COLO_PROXY_COMMIT, epoch);
}

static void from_world(struct side *a, uint16_t number)
{
    uint8_t buf[NET_VNET + 200] = { 0 };
    uint8_t text[2] = { (uint8_t)(number >> 8), (uint8_t)number };
    size_t len = put_udp(buf + NET_VNET, true, 4000, text, sizeof(text));

    ck_assert_int_eq(write(a->world, buf, NET_VNET + len),
                     (ssize_t)(NET_VNET + len));
}

/* the numbers of what has come, at most max of them */
static size_t at_guest(struct side *a, uint16_t *number, size_t max)
{
    uint8_t buf[NET_VNET + 200];
    size_t n = 0;
    ssize_t r;

    while (n < max && (r = read(a->guest, buf, sizeof(buf))) > 0) {
        const uint8_t *text = buf + NET_VNET + 14 + 20 + 8;

        ck_assert_int_ge(r, (ssize_t)(NET_VNET + 14 + 20 + 8 + 2));
        number[n++] = (uint16_t)(text[0] << 8 | text[1]);
    }
    return n;
}

/* ---- the tests --------------------------------------------------------- */

#define FRAMES 3000

static uint16_t at_p[FRAMES], at_s[FRAMES];

/* Whoever's turn it is, and though the guest's card takes not all. */
START_TEST(both_get_the_same_in_the_same_order)
{
    struct side p, s;
    size_t np = 0, ns = 0;

    begin(&p, &s, 20000);
    checkpoint(&p, &s, 1);
    srand(5);
    for (unsigned i = 0; i < FRAMES; i++) {
        from_world(&p, (uint16_t)i);
        if (rand() % 8 == 0)
            turn(&p);
        if (rand() % 16 == 0)
            turn(&s);
        /* a guest that reads in gulps loses some */
        if (rand() % 400 == 0)
            np += at_guest(&p, at_p + np, FRAMES - np);
        if (rand() % 50 == 0)
            ns += at_guest(&s, at_s + ns, FRAMES - ns);
    }
    for (int i = 0; i < 50; i++) {
        turn(&p);
        turn(&s);
        ns += at_guest(&s, at_s + ns, FRAMES - ns);
    }
    np += at_guest(&p, at_p + np, FRAMES - np);
    ck_assert_uint_gt(p.net.port.lost_in, 0);
    ck_assert_uint_eq(np + p.net.port.lost_in, FRAMES);
    ck_assert_uint_eq(ns, np);
    ck_assert_int_eq(memcmp(at_p, at_s, np * sizeof(at_p[0])), 0);
    for (size_t i = 1; i < np; i++)
        ck_assert_uint_gt(at_p[i], at_p[i - 1]);
    end(&p, &s);
}
END_TEST

/* While the guest stands for a checkpoint nothing comes in; and what came in
 * after the checkpoint waits until the replica is at it, too. */
START_TEST(none_crosses_a_checkpoint)
{
    struct side p, s;
    uint16_t got[8];

    begin(&p, &s, 8 << 20);
    checkpoint(&p, &s, 1);
    from_world(&p, 1);
    turn(&p);
    ck_assert_uint_eq(at_guest(&p, got, 8), 1);
    ask(&p, COLO_PROXY_CHECKPOINT, 2);
    from_world(&p, 2);
    turn(&p);
    ck_assert_uint_eq(at_guest(&p, got, 8), 0);
    turn(&p); /* to the twin */
    turn(&s);
    ck_assert_uint_eq(at_guest(&s, got, 8), 1);
    ck_assert_uint_eq(got[0], 1);
    ask(&s, COLO_PROXY_CHECKPOINT, 2);
    ask(&p, COLO_PROXY_COMMIT, 2);
    turn(&p);
    ck_assert_uint_eq(at_guest(&p, got, 8), 1);
    ck_assert_uint_eq(got[0], 2);
    turn(&p);
    turn(&s);
    ck_assert_uint_eq(at_guest(&s, got, 8), 0);
    ask(&s, COLO_PROXY_COMMIT, 2);
    turn(&s);
    ck_assert_uint_eq(at_guest(&s, got, 8), 1);
    ck_assert_uint_eq(got[0], 2);
    end(&p, &s);
}
END_TEST

/* Of input that reaches a replica late: what is older than its epoch is a part
 * of that already. */
START_TEST(late_input_is_dropped)
{
    struct side p, s;
    uint16_t got[8];

    begin(&p, &s, 8 << 20);
    checkpoint(&p, &s, 1);
    from_world(&p, 1);
    turn(&p); /* into the queue */
    checkpoint(&p, &s, 2);
    from_world(&p, 2);
    turn(&p);
    turn(&p);
    turn(&s);
    ck_assert_uint_eq(at_guest(&s, got, 8), 1);
    ck_assert_uint_eq(got[0], 2);
    ck_assert_uint_eq(s.net.beyond_old_epoch, 1);
    end(&p, &s);
}
END_TEST

/* The primary's guest still takes input when the replica stands already: that
 * is in the checkpoint, and must not wait in the replica's card. */
START_TEST(a_replica_that_stands_is_given_nothing)
{
    struct side p, s;
    uint16_t got[8];

    begin(&p, &s, 8 << 20);
    checkpoint(&p, &s, 1);
    turn(&p);
    turn(&s);
    ask(&s, COLO_PROXY_CHECKPOINT, 2);
    from_world(&p, 1);
    turn(&p);
    ck_assert_uint_eq(at_guest(&p, got, 8), 1);
    turn(&p);
    turn(&s);
    ck_assert_uint_eq(at_guest(&s, got, 8), 0);
    ask(&p, COLO_PROXY_CHECKPOINT, 2);
    ask(&p, COLO_PROXY_COMMIT, 2);
    from_world(&p, 2);
    turn(&p);
    turn(&p);
    turn(&s);
    ask(&s, COLO_PROXY_COMMIT, 2);
    turn(&s);
    ck_assert_uint_eq(at_guest(&s, got, 8), 1);
    ck_assert_uint_eq(got[0], 2);
    end(&p, &s);
}
END_TEST

/* The primary has gone on: the survivor is none, and says nothing more. */
START_TEST(an_undone_takeover_is_quiet)
{
    struct side p, s;
    uint8_t buf[NET_VNET + 200] = { 0 };
    size_t len;

    begin(&p, &s, 8 << 20);
    checkpoint(&p, &s, 1);
    s.net.nl.fd = -1; /* no bridge here */
    s.net.way = NET_ALONE;
    ck_assert_uint_ne(net_announce(&s.net, net_now_us()), COLO_NEVER);
    ask(&s, COLO_PROXY_STOP, 1);
    ck_assert(s.net.record.secondary);
    ck_assert_uint_eq(net_announce(&s.net, net_now_us()), COLO_NEVER);
    ck_assert(!net_wants_in(&s.net));
    len = NET_VNET + put_udp(buf + NET_VNET, false, 4000, "hi", 2);
    ck_assert_int_eq(write(s.guest, buf, len), (ssize_t)len);
    turn(&s);
    ck_assert_int_lt(read(s.world, buf, sizeof(buf)), 0);
    end(&p, &s);
}
END_TEST

/* Input that has come with the mark of its checkpoint waits for the commit, and
 * for nothing else: there is no more to wake anybody. */
START_TEST(input_that_waits_goes_with_the_commit)
{
    struct side p, s;
    uint16_t got[8];

    begin(&p, &s, 8 << 20);
    checkpoint(&p, &s, 1);
    turn(&p);
    turn(&s);
    turn(&p);
    ask(&s, COLO_PROXY_CHECKPOINT, 2);
    ask(&p, COLO_PROXY_CHECKPOINT, 2);
    from_world(&p, 7);
    ask(&p, COLO_PROXY_COMMIT, 2);
    turn(&p);
    turn(&p);
    turn(&s);
    ck_assert_uint_eq(at_guest(&s, got, 8), 0);
    ask(&s, COLO_PROXY_COMMIT, 2);
    ck_assert_uint_eq(at_guest(&s, got, 8), 1);
    ck_assert_uint_eq(got[0], 7);
    end(&p, &s);
}
END_TEST

/* The primary's host dies when the replica stands, or right after: taking over
 * begins with the end of that checkpoint, and with no twin. */
START_TEST(a_replica_needs_no_twin)
{
    struct side p, s;

    begin(&p, &s, 8 << 20);
    checkpoint(&p, &s, 1);
    turn(&p);
    turn(&s);
    ask(&s, COLO_PROXY_CHECKPOINT, 2);
    net_twin_close(&p.net.twin);
    turn(&s);
    ck_assert_int_lt(s.net.twin.fd, 0);
    ask(&s, COLO_PROXY_COMMIT, 2);
    ask(&s, COLO_PROXY_CHECKPOINT, 3);
    ask(&s, COLO_PROXY_COMMIT, 3);
    end(&p, &s);
}
END_TEST

/* What the guest has just said waits for a copy that stands: that is why, and
 * the commit is on its way. */
START_TEST(a_checkpoint_asks_for_no_other)
{
    uint8_t buf[NET_VNET + 200] = { 0 };
    struct side p, s;
    size_t len;

    begin(&p, &s, 8 << 20);
    checkpoint(&p, &s, 1);
    len = NET_VNET + put_udp(buf + NET_VNET, false, 4000, "hi", 2);
    ck_assert_int_eq(write(p.guest, buf, len), (ssize_t)len);
    ask(&s, COLO_PROXY_CHECKPOINT, 2);
    ask(&p, COLO_PROXY_CHECKPOINT, 2);
    (void)net_flow_tick(&p.net, net_now_us() + 60000000u);
    ck_assert_uint_eq(p.source.events, 0);
    ask(&p, COLO_PROXY_COMMIT, 2);
    ask(&s, COLO_PROXY_COMMIT, 2);
    /* the next one asks again */
    ck_assert_int_eq(write(p.guest, buf, len), (ssize_t)len);
    turn(&p);
    (void)net_flow_tick(&p.net, net_now_us() + 120000000u);
    ck_assert_uint_eq(p.source.events, 1);
    end(&p, &s);
}
END_TEST

/* So does what comes before the replica is at the first checkpoint of all: it
 * is no part of that, and nobody sends it again. */
START_TEST(input_before_the_first_load_waits)
{
    struct side p, s;
    uint16_t got[8];

    begin(&p, &s, 8 << 20);
    ask(&p, COLO_PROXY_CHECKPOINT, 1);
    ask(&s, COLO_PROXY_CHECKPOINT, 1);
    ask(&p, COLO_PROXY_COMMIT, 1);
    from_world(&p, 7);
    turn(&p);
    turn(&p);
    turn(&s);
    ck_assert_uint_eq(at_guest(&s, got, 8), 0);
    ask(&s, COLO_PROXY_COMMIT, 1);
    ck_assert_uint_eq(at_guest(&s, got, 8), 1);
    ck_assert_uint_eq(got[0], 7);
    ck_assert_uint_eq(s.net.beyond_old_epoch, 0);
    end(&p, &s);
}
END_TEST

/* Nor is what comes during that checkpoint a part of it: none has it. */
START_TEST(input_during_the_first_checkpoint_waits)
{
    struct side p, s;
    uint16_t got[8];

    begin(&p, &s, 8 << 20);
    ask(&p, COLO_PROXY_CHECKPOINT, 1);
    ask(&s, COLO_PROXY_CHECKPOINT, 1);
    from_world(&p, 7);
    turn(&p);
    ck_assert_uint_eq(at_guest(&p, got, 8), 0);
    ask(&p, COLO_PROXY_COMMIT, 1);
    ask(&s, COLO_PROXY_COMMIT, 1);
    turn(&p);
    turn(&p);
    turn(&s);
    ck_assert_uint_eq(at_guest(&p, got, 8), 1);
    ck_assert_uint_eq(at_guest(&s, got, 8), 1);
    ck_assert_uint_eq(got[0], 7);
    end(&p, &s);
}
END_TEST

/* The number that the replica's side tells next; 0: none. */
static uint32_t told(struct side *p, struct side *s)
{
    struct net_msg m;
    uint32_t number = 0;

    turn(p);
    turn(s);
    net_twin_flush(&s->net.twin, net_now_us());
    net_twin_fill(&p->net.twin);
    while (net_twin_peek(&p->net.twin, false, &m)) {
        ck_assert_int_eq(m.type, NET_MSG_TOLD);
        number = get32(m.body);
        net_twin_next(&p->net.twin, &m);
    }
    return number;
}

static void put_note(struct side *p, uint32_t number, bool good)
{
    struct colo_note note = {
        .key = { .family = 4, .proto = good ? 6 : 17,
                 .guest_port = (uint16_t)number },
        .seq_delta = 1, .number = number,
    };
    uint8_t body[COLO_NOTE_BYTES];

    colo__note_write(&note, body);
    ck_assert(net_twin_put(&p->net.twin, NET_MSG_NOTE, p->net.committed, body,
                           sizeof(body)));
}

/* Whoever is told "up to 3" takes 2 for known, and lets its SYN go: a survivor
 * could not speak to that client. */
START_TEST(none_is_told_after_a_lost_note)
{
    struct side p, s;

    begin(&p, &s, 8 << 20);
    checkpoint(&p, &s, 1);
    put_note(&p, 1, true);
    ck_assert_uint_eq(told(&p, &s), 1);
    put_note(&p, 2, false);
    put_note(&p, 3, true);
    ck_assert_uint_eq(told(&p, &s), 0);
    ck_assert_uint_eq(net_flow_open(&s.net), 2);
    /* it asks for the checkpoint that helps, and not with every one more */
    ck_assert_uint_eq(s.source.events, 1);
    put_note(&p, 4, false);
    ck_assert_uint_eq(told(&p, &s), 0);
    ck_assert_uint_eq(s.source.events, 1);
    checkpoint(&p, &s, 2);
    put_note(&p, 5, true);
    ck_assert_uint_eq(told(&p, &s), 5);
    end(&p, &s);
}
END_TEST

/* Its table is looked at when something can be due, not with every frame. */
START_TEST(the_rewriter_is_not_asked_all_the_time)
{
    struct side p, s;
    uint64_t now = net_now_us(), due;

    begin(&p, &s, 8 << 20);
    checkpoint(&p, &s, 1);
    ck_assert_uint_eq(net_flow_tick(&s.net, now), COLO_NEVER);
    put_note(&p, 1, true);
    ck_assert_uint_eq(told(&p, &s), 1);
    due = net_flow_tick(&s.net, now + 1000000);
    ck_assert_uint_lt(now + 2000000, due);
    ck_assert_uint_gt(now + 4000000, due); /* no later is it forgotten */
    ck_assert_uint_eq(net_flow_tick(&s.net, now + 2000000), due);
    ck_assert_uint_eq(net_flow_open(&s.net), 1);
    /* at rest for a day */
    ck_assert_uint_eq(net_flow_tick(&s.net, now + 86400000000u), COLO_NEVER);
    ck_assert_uint_eq(net_flow_open(&s.net), 0);
    end(&p, &s);
}
END_TEST

PURE_MAIN("net-order", both_get_the_same_in_the_same_order,
          none_crosses_a_checkpoint, a_replica_that_stands_is_given_nothing,
          an_undone_takeover_is_quiet, late_input_is_dropped,
          input_that_waits_goes_with_the_commit, a_replica_needs_no_twin,
          a_checkpoint_asks_for_no_other, input_before_the_first_load_waits,
          input_during_the_first_checkpoint_waits,
          none_is_told_after_a_lost_note,
          the_rewriter_is_not_asked_all_the_time)
