/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A peer that says what it must not: the test speaks for the other side.  The
 * session ends with a named error, loads nothing, and the primary's guest runs.
 */
#include "session-pair.h"

#include "pure-common.h"

struct peer {
    struct session_pair t;
    int control, bulk;   /* the test's ends */
    int mode;            /* 0: remus */
    colo_log_fn *log;    /* NULL: that of every test */
};

static const char id[16] = "fifteen and one";

/* One real side; the other end of its links is the test's. */
static void peer_open(struct peer *p, bool primary)
{
    struct colo_parts parts = { 0 };
    struct side *side = primary ? &p->t.p : &p->t.s;
    int control[2], bulk[2];

    pair_init(&p->t);
    if (p->mode)
        side->config.mode = p->mode;
    if (p->log)
        side->config.log.fn = p->log;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, control), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, bulk), 0);
    side->control_fd = control[0];
    side->bulk_fd = bulk[0];
    p->control = control[1];
    p->bulk = bulk[1];
    if (primary) {
        ck_assert_int_eq(sim_guest_new(&p->t.sim, &p->t.guest, &side->err),
                         0);
        side_open(side, sim_hv_primary(p->t.guest), &parts);
        ck_assert_int_eq(sim_guest_run(p->t.guest, &side->err), 0);
    } else {
        side_open(side, sim_hv_secondary(&p->t.sim), &parts);
    }
}

static void say(int fd, uint32_t type, uint64_t epoch, uint64_t value,
                const void *body, uint32_t len)
{
    uint8_t buf[COLO_WIRE_HEADER + COLO_WIRE_MAX_CONTROL];
    struct colo_msg msg = { .type = type, .epoch = epoch, .value = value,
                            .len = len, .body = buf + COLO_WIRE_HEADER };

    if (len)
        memcpy(buf + COLO_WIRE_HEADER, body, len);
    ck_assert_int_eq(colo__wire_build(&msg, buf, NULL), 0);
    ck_assert_int_eq(send(fd, buf, COLO_WIRE_HEADER + len, MSG_NOSIGNAL),
                     COLO_WIRE_HEADER + len);
}

static void say_hello_of(struct peer *p, uint32_t role, uint16_t major,
                         uint64_t features)
{
    struct colo_hello hello = {
        .major = major, .role = role, .mode = COLO_MODE_REMUS,
        .features = features,
        .nr_gfns = 1024, .heartbeat_ms = 20, .dead_ms = 400,
        .name = "guest", .xen_version = 4u << 16 | 20,
    };
    uint8_t body[COLO_WIRE_HELLO_MAX];
    int n;

    memcpy(hello.session, id, 16);
    n = colo__hello_build(&hello, body, sizeof(body), NULL);
    ck_assert_int_gt(n, 0);
    say(p->control, COLO_MSG_HELLO, 0, 0, body, (uint32_t)n);
}

static void say_hello(struct peer *p, uint32_t role, uint16_t major)
{
    say_hello_of(p, role, major, 0);
}

static void ends_with(struct peer *p, bool primary, int code,
                      const char *word)
{
    struct side *side = primary ? &p->t.p : &p->t.s;

    pair_until(&p->t, 10000, side->rc <= 0);
    ck_assert_msg(side->rc == code, "%d: %s", side->rc, side->err.text);
    ck_assert_msg(!word || strstr(side->err.text, word), "text: %s",
                  side->err.text);
    if (primary)
        ck_assert_int_eq(guest_state(p->t.guest), COLO_HV_RUNNING);
    else
        ck_assert_uint_eq(sim_hv_calls(side->hv, SIM_OP_START), 0);
    close(p->control);
    close(p->bulk);
    pair_close(&p->t);
}

static char said_of_xen[200];

static void hear(void *user, int level, int sys_errno, const char *context,
                 const char *text)
{
    (void)user;
    (void)level;
    (void)sys_errno;
    (void)context;
    if (strstr(text, "has Xen"))
        snprintf(said_of_xen, sizeof(said_of_xen), "%s", text);
}

/* Both say which release they have, also where there is no guest yet. */
START_TEST(releases)
{
    for (int primary = 0; primary < 2; primary++) {
        uint8_t buf[COLO_WIRE_HEADER + COLO_WIRE_HELLO_MAX];
        struct peer p = { .log = hear };
        struct colo_hello hello;
        struct colo_msg msg;
        int64_t used = 0;
        ssize_t n;

        said_of_xen[0] = '\0';
        peer_open(&p, primary);
        say_hello(&p, primary ? COLO_ROLE_SECONDARY : COLO_ROLE_PRIMARY,
                  COLO_WIRE_MAJOR);
        pair_until(&p.t, 10000, said_of_xen[0]);
        ck_assert_str_eq(said_of_xen,
                         "the peer has Xen 4.20, this host 4.17");
        n = recv(p.control, buf, sizeof(buf), MSG_DONTWAIT);
        if (n > 0)
            used = colo__wire_parse(buf, (size_t)n, COLO_WIRE_HELLO_MAX,
                                    &msg, NULL);
        ck_assert_int_gt(used, 0);
        ck_assert_uint_eq(msg.type, COLO_MSG_HELLO);
        ck_assert_int_eq(colo__hello_parse(msg.body, msg.len, &hello, NULL),
                         0);
        ck_assert_uint_eq(hello.xen_version, SIM_XEN_VERSION);
        close(p.control);
        close(p.bulk);
        pair_close(&p.t);
    }
}
END_TEST

START_TEST(another_major)
{
    struct peer p = { 0 };

    peer_open(&p, true);
    say_hello(&p, COLO_ROLE_SECONDARY, 7);
    ends_with(&p, true, COLO_E_VERSION, "7");
}
END_TEST

START_TEST(the_same_role)
{
    struct peer p = { 0 };

    peer_open(&p, true);
    say_hello(&p, COLO_ROLE_PRIMARY, COLO_WIRE_MAJOR);
    ends_with(&p, true, COLO_E_PROTO, "primary");
}
END_TEST

/* It must not come to a checkpoint that the other side does not understand. */
START_TEST(a_peer_without_mode_colo)
{
    struct peer p = { .mode = COLO_MODE_COLO };

    peer_open(&p, true);
    say_hello(&p, COLO_ROLE_SECONDARY, COLO_WIRE_MAJOR);
    ends_with(&p, true, COLO_E_UNSUPPORTED, "mode colo");
}
END_TEST

START_TEST(diverged_in_mode_remus)
{
    struct peer p = { 0 };

    peer_open(&p, true);
    say_hello(&p, COLO_ROLE_SECONDARY, COLO_WIRE_MAJOR);
    say(p.control, COLO_MSG_DIVERGED, 0, 0, NULL, 0);
    ends_with(&p, true, COLO_E_PROTO, "DIVERGED");
}
END_TEST

START_TEST(loaded_out_of_turn_in_mode_colo)
{
    struct peer p = { .mode = COLO_MODE_COLO };
    struct colo_hello hello = {
        .major = COLO_WIRE_MAJOR, .role = COLO_ROLE_SECONDARY,
        .mode = COLO_MODE_COLO, .features = COLO_FEATURE_COLO,
        .heartbeat_ms = 20, .dead_ms = 400,
    };
    uint8_t body[COLO_WIRE_HELLO_MAX];
    int n;

    peer_open(&p, true);
    memcpy(hello.session, id, 16);
    n = colo__hello_build(&hello, body, sizeof(body), NULL);
    ck_assert_int_gt(n, 0);
    say(p.control, COLO_MSG_HELLO, 0, 0, body, (uint32_t)n);
    say(p.control, COLO_MSG_VMSTATE_LOADED, 0, 0, NULL, 0);
    ends_with(&p, true, COLO_E_PROTO, "LOADED");
}
END_TEST

START_TEST(garbage)
{
    static const char words[] = "GET / HTTP/1.1\r\nHost: nobody\r\n"
                                "Accept: everything\r\n\r\n";
    struct peer p = { 0 };

    peer_open(&p, true);
    ck_assert_int_eq(send(p.control, words, sizeof(words), 0),
                     sizeof(words));
    ends_with(&p, true, COLO_E_PROTO, NULL);
}
END_TEST

START_TEST(before_hello)
{
    struct peer p = { 0 };

    peer_open(&p, false);
    say(p.control, COLO_MSG_CHECKPOINT_REQUEST, 1, 0, NULL, 0);
    ends_with(&p, false, COLO_E_PROTO, "before HELLO");
}
END_TEST

START_TEST(received_out_of_turn)
{
    struct peer p = { 0 };

    peer_open(&p, true);
    say_hello(&p, COLO_ROLE_SECONDARY, COLO_WIRE_MAJOR);
    say(p.control, COLO_MSG_VMSTATE_RECEIVED, 1, 0, NULL, 0);
    ends_with(&p, true, COLO_E_PROTO, "VMSTATE_RECEIVED");
}
END_TEST

START_TEST(bulk_of_another_session)
{
    struct peer p = { 0 };

    peer_open(&p, false);
    say_hello(&p, COLO_ROLE_PRIMARY, COLO_WIRE_MAJOR);
    say(p.bulk, COLO_MSG_ATTACH, 0, 0, "somebody else's!", 16);
    ends_with(&p, false, COLO_E_AUTH, "another session");
}
END_TEST

START_TEST(no_seed_at_all)
{
    struct peer p = { 0 };

    peer_open(&p, false);
    say_hello(&p, COLO_ROLE_PRIMARY, COLO_WIRE_MAJOR);
    say(p.bulk, COLO_MSG_EPOCH_BEGIN, 1, 1024, NULL, 0);
    ends_with(&p, false, COLO_E_PROTO, "ATTACH");
}
END_TEST

/* What came of the first copy so far; true: all of it. */
struct heard {
    uint8_t buf[COLO_WIRE_HEADER + COLO_WIRE_SEED_CHUNK];
    size_t len;
    uint64_t packed, plain, total;
};

static bool seed_came(struct peer *p, struct heard *h)
{
    struct colo_error err;
    struct colo_msg msg;

    say(p->control, COLO_MSG_HEARTBEAT, 0, 1, NULL, 0);
    for (;;) {
        ssize_t n = recv(p->bulk, h->buf + h->len, sizeof(h->buf) - h->len,
                         MSG_DONTWAIT);
        int64_t used = 0;

        if (n <= 0)
            return false;
        h->len += (size_t)n;
        while ((used = colo__wire_parse(h->buf, h->len, COLO_WIRE_SEED_CHUNK,
                                        &msg, &err)) > 0) {
            if (msg.type == COLO_MSG_SEED_DATA) {
                h->packed += msg.value != 0;
                h->plain += !msg.value;
                h->total += msg.value ? msg.value : msg.len;
            } else if (msg.type == COLO_MSG_SEED_END) {
                ck_assert_uint_eq(h->total, msg.value);
                return true;
            }
            h->len -= (size_t)used;
            memmove(h->buf, h->buf + used, h->len);
        }
        ck_assert_msg(!used, "%s", err.text);
    }
}

/* It is packed only for who has said that he can unpack it. */
START_TEST(a_peer_that_unpacks_or_not)
{
    const uint64_t both = COLO_FEATURE_DELTA | COLO_FEATURE_LZ4;

    for (int can = 0; can < 2; can++) {
        static struct heard h;
        struct peer p = { 0 };

        memset(&h, 0, sizeof(h));
        peer_open(&p, true);
        for (uint64_t gfn = 0; gfn < 64; gfn++) /* the others are noise */
            memset(sim_guest_page(p.t.guest, p.t.sim.pulse.pages + gfn), 'a',
                   COLO_PAGE_SIZE);
        say_hello_of(&p, COLO_ROLE_SECONDARY, COLO_WIRE_MAJOR,
                     can ? both : COLO_FEATURE_DELTA);
        pair_until(&p.t, 10000, seed_came(&p, &h));
        ck_assert_uint_gt(h.total, 0);
        ck_assert_msg(can ? h.packed > 0 : !h.packed && h.plain > 0,
                      "%d: %lu packed, %lu plain", can,
                      (unsigned long)h.packed, (unsigned long)h.plain);
        close(p.control);
        close(p.bulk);
        pair_close(&p.t);
    }
}
END_TEST

/* The peer says why it ends: that is what the user hears. */
START_TEST(the_peers_own_words)
{
    struct peer p = { 0 };

    peer_open(&p, true);
    say_hello(&p, COLO_ROLE_SECONDARY, COLO_WIRE_MAJOR);
    say(p.control, COLO_MSG_ERROR, 0, (uint64_t)COLO_E_NOMEM,
        "no memory for the guest\n\033[2J", 28);
    ends_with(&p, true, COLO_E_PEER_SAID, "no memory for the guest?");
}
END_TEST

START_TEST(silence)
{
    struct peer p = { 0 };

    peer_open(&p, true);
    say_hello(&p, COLO_ROLE_SECONDARY, COLO_WIRE_MAJOR);
    ends_with(&p, true, COLO_E_PEER, "nothing heard");
}
END_TEST

PURE_MAIN("session-peer", another_major, the_same_role,
          a_peer_without_mode_colo, diverged_in_mode_remus,
          loaded_out_of_turn_in_mode_colo, garbage, before_hello, releases,
          received_out_of_turn, bulk_of_another_session, no_seed_at_all,
          a_peer_that_unpacks_or_not, the_peers_own_words, silence)
