/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A session whose primary has only stock Xen: unchanged, over a simulated
 * replica, with a gate between it and a sender of what stock Xen sends (which
 * is a session with a gate of its own) and, between both, a wire that can be
 * cut at any byte or fall silent.
 */
#include <sys/mman.h>
#include <sys/wait.h>

#include "gate-common.h"

#include "../../xl-plugin/stock-gate.h"

/* ---- the replica of this host ----------------------------------------- */

/* hv-sim, with the calls replaced whose bytes came from Xen. */
static struct {
    struct colo_hv_ops ops;
    const struct colo_hv_ops *sim;
    struct colo_machine_ops machine;
    struct colo_life_ops life;
    pthread_t thread;
    bool has_thread;
    int in_fd, out_fd; /* a seed as colo-toolstack has it; the simulation's */
} replica_hv;

static int unwrap(const uint8_t *buf, uint32_t len, const uint8_t **ret,
                  uint32_t *ret_len, struct colo_error *err)
{
    struct colo_hvmctx ctx;
    int rc = colo__hvmctx_parse(buf, len, &ctx, err);

    if (rc)
        return rc;
    *ret = ctx.context + 8 + 24 + 8 + 1032 + 8 + 4;
    *ret_len = colo__le32(*ret - 4);
    return 0;
}

static int replica_check(struct colo_hv *hv, const uint8_t *buf, uint32_t len,
                         struct colo_error *err)
{
    const uint8_t *p = NULL;
    uint32_t n = 0;
    int rc = unwrap(buf, len, &p, &n, err);

    return rc ? rc : replica_hv.sim->machine->check(hv, p, n, err);
}

static int replica_set(struct colo_hv *hv, const uint8_t *buf, uint32_t len,
                       struct colo_error *err)
{
    const uint8_t *p = NULL;
    uint32_t n = 0;
    int rc = unwrap(buf, len, &p, &n, err);

    return rc ? rc : replica_hv.sim->machine->set(hv, p, n, err);
}

/* The stream in front of which the configuration is, to its end; what was
 * carried in its pages goes to the simulation. */
static bool unpack(void)
{
    static struct colo_stream_reader reader;
    static uint8_t buf[128 * 1024];
    uint8_t header[SEED_HEADER], config[512];
    size_t pos = 0, len = 0, left = 0;
    uint32_t config_len = 0;
    bool first = true;

    if (!read_fully(replica_hv.in_fd, header, sizeof(header)) ||
        seed_header_parse(header, sizeof(header), &config_len) !=
            (int)SEED_HEADER || config_len > sizeof(config) ||
        !read_fully(replica_hv.in_fd, config, config_len) ||
        memcmp(config, GATE_CONFIG, sizeof(GATE_CONFIG) - 1))
        return false;
    colo__stream_reader_init(&reader, COLO_STREAM_PLAIN, NULL);
    for (;;) {
        struct colo_stream_item item;
        int used = colo__stream_read(&reader, buf + pos, len - pos, &item,
                                     NULL);
        size_t n;
        ssize_t r;

        if (used < 0)
            return false;
        if (!used) {
            memmove(buf, buf + pos, len - pos);
            len -= pos;
            pos = 0;
            r = read(replica_hv.in_fd, buf + len, sizeof(buf) - len);
            if (r <= 0)
                return !r && !colo__stream_ended(&reader, NULL) && !left;
            len += (size_t)r;
            continue;
        }
        pos += (size_t)used;
        if (item.kind != COLO_ITEM_PAGE)
            continue;
        if (first) {
            left = (size_t)colo__le64(item.body);
            first = false;
            continue;
        }
        n = left < COLO_PAGE_SIZE ? left : COLO_PAGE_SIZE;
        if (write(replica_hv.out_fd, item.body, n) != (ssize_t)n)
            return false;
        left -= n;
    }
}

static void *replica_main(void *arg)
{
    (void)unpack(); /* or the simulation's seed ends early, too */
    close(replica_hv.in_fd);
    close(replica_hv.out_fd);
    return arg;
}

static int replica_seed_in(struct colo_hv *hv, int fd, struct colo_error *err)
{
    int fds[2];

    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    replica_hv.in_fd = fd;
    replica_hv.out_fd = fds[1];
    ck_assert_int_eq(pthread_create(&replica_hv.thread, NULL, replica_main,
                                    NULL), 0);
    replica_hv.has_thread = true;
    return replica_hv.sim->life->seed_in(hv, fds[0], err);
}

static struct colo_hv *replica_hv_new(const struct sim_config *config)
{
    struct colo_hv *hv = sim_hv_secondary(config);

    memset(&replica_hv, 0, sizeof(replica_hv));
    replica_hv.sim = colo__hv_ops(hv);
    replica_hv.ops = *replica_hv.sim;
    replica_hv.machine = *replica_hv.sim->machine;
    replica_hv.life = *replica_hv.sim->life;
    replica_hv.ops.machine = &replica_hv.machine;
    replica_hv.ops.life = &replica_hv.life;
    replica_hv.machine.check = replica_check;
    replica_hv.machine.set = replica_set;
    replica_hv.life.seed_in = replica_seed_in;
    *(const struct colo_hv_ops **)hv = &replica_hv.ops;
    return hv;
}

/* ---- both hosts ------------------------------------------------------- */

struct all {
    struct session_pair t;
    struct gate to;
    struct gate_from from;
    int to_fd[2], from_fd[2]; /* [1]: the wire's ends */
    pthread_t to_thread, from_thread, wire_thread;
    int to_rc, from_rc;
    struct colo_error to_err, from_err;
    /* the gate as a process of its own, whose stream is a pipe */
    bool process;
    struct stock_gate gate;
    /* the wire */
    _Atomic uint64_t passed;  /* bytes to the backup */
    _Atomic uint64_t limit;   /* then: */
    _Atomic int then;
};
enum { WIRE_CUT = 1, WIRE_SILENT, WIRE_NOISE };

static int on_armed(void *user, const char *name, int fd,
                    struct colo_error *err)
{
    (void)user;
    (void)name;
    (void)fd;
    (void)err;
    return 0;
}

static int on_destroy(void *user, const char *name, struct colo_error *err)
{
    (void)user;
    return colo__fail(err, COLO_E_PEER, 0, "test", "%s is out of reach", name);
}

static int on_ended(void *user, bool revoked, struct colo_error *err)
{
    (void)user;
    (void)revoked;
    return colo__fail(err, COLO_E_PEER, 0, "test", "the connection is lost");
}

static void close_links(struct colo_link *control, struct colo_link *bulk)
{
    colo__link_ops(control)->close(control);
    colo__link_ops(bulk)->close(bulk);
}

static void *to_main(void *arg)
{
    struct all *a = arg;

    a->to_rc = gate_to_backup(&a->to, &a->to_err);
    close_links(a->to.control, a->to.bulk);
    return NULL;
}

static void *from_main(void *arg)
{
    struct all *a = arg;

    a->from_rc = gate_from_primary(&a->from, &a->from_err);
    close_links(a->from.control, a->from.bulk);
    return NULL;
}

/* 1 copied, 0 the end */
static int pass(struct all *a, int from, int to, bool counts)
{
    static uint8_t buf[128 * 1024]; /* few turns, on a busy machine */
    uint64_t limit = atomic_load(&a->limit), passed = atomic_load(&a->passed);
    uint64_t room = limit > passed ? limit - passed : 0;
    ssize_t n;

    if (counts && !room) /* the limit has just been set */
        return 1;
    if (!counts || room > sizeof(buf))
        room = sizeof(buf);
    n = read(from, buf, room);
    if (n <= 0 || write(to, buf, (size_t)n) != n)
        return 0;
    if (counts)
        atomic_fetch_add(&a->passed, (uint64_t)n);
    return 1;
}

/* What xl does before it calls libxl. */
static bool greet(struct all *a)
{
    uint8_t header[COLO_XL_HEADER], rest[512];
    uint32_t len = 0;

    return write(a->to_fd[1], COLO_XL_BANNER, COLO_XL_BANNER_LEN) > 0 &&
           read_fully(a->to_fd[1], header, sizeof(header)) &&
           colo__xl_header(header, sizeof(header), &len, NULL) > 0 &&
           len <= sizeof(rest) && read_fully(a->to_fd[1], rest, len);
}

static void *wire_main(void *arg)
{
    struct all *a = arg;
    static uint8_t noise[65536];

    memset(noise, 0x5a, sizeof(noise));
    if (a->process && !greet(a))
        return NULL;
    for (;;) {
        bool open = atomic_load(&a->passed) < atomic_load(&a->limit);
        struct pollfd pfds[2] = {
            { open ? a->to_fd[1] : -1, POLLIN, 0 },
            { a->process ? -1 : a->from_fd[1], POLLIN, 0 },
        };

        if (!open && atomic_load(&a->then) == WIRE_CUT)
            break;
        if (!open && atomic_load(&a->then) == WIRE_NOISE) {
            /* more than the record takes that it may be in */
            for (int i = 0; i < 256; i++) {
                if (write(a->from_fd[1], noise, sizeof(noise)) < 0)
                    break;
            }
            atomic_store(&a->then, WIRE_SILENT);
        }
        if (poll(pfds, 2, 10) < 0)
            break;
        if (pfds[0].revents && !pass(a, a->to_fd[1], a->from_fd[1], true))
            break;
        if (pfds[1].revents && !pass(a, a->from_fd[1], a->to_fd[1], false))
            break;
    }
    close(a->to_fd[1]);
    close(a->from_fd[1]);
    return NULL;
}

static void make_links(struct side *side, struct colo_link **control,
                       struct colo_link **bulk)
{
    int c[2], b[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, c), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, b), 0);
    side->control_fd = c[0];
    side->bulk_fd = b[0];
    ck_assert_int_eq(colo__link_fd_new(c[1], control, NULL), 0);
    ck_assert_int_eq(colo__link_fd_new(b[1], bulk, NULL), 0);
}

static void init(struct all *a)
{
    memset(a, 0, sizeof(*a));
    pair_init(&a->t);
    a->t.p.config.dead_ms = a->t.s.config.dead_ms = 8000;
    a->t.p.config.commit_ms = a->t.s.config.commit_ms = 20000;
    a->t.p.config.stop_ms = a->t.s.config.stop_ms = 20000;
    a->to.greet_ms = a->to.send_ms = 40000; /* on a busy machine */
    a->to.end_ms = 1000;
    a->from.silent_ms = 20000;
    a->from.send_ms = 40000;
    a->from.dead_ms = 8000;
    atomic_store(&a->limit, UINT64_MAX);
}

static void start_process(struct all *a)
{
    static char name[] = "sim", uuid[] = "000102030405060708090a0b0c0d0e0f";
    char *const words[2] = { name, uuid };
    struct stock_gate_fds fds = {
        .stream = a->from_fd[0],
        .control = colo__link_ops(a->from.control)->fd(a->from.control),
        .bulk = colo__link_ops(a->from.bulk)->fd(a->from.bulk),
        .config = memfd_create("config", MFD_CLOEXEC),
    };

    setenv("COLO_XL_LIBEXECDIR", "../../remus-compat", 1);
    ck_assert_int_eq(write(fds.config, GATE_CONFIG, strlen(GATE_CONFIG)),
                     (ssize_t)strlen(GATE_CONFIG));
    ck_assert_int_eq(stock_gate_start(&a->gate, words, &fds, NULL), 0);
    close(fds.config);
    close(a->from_fd[0]);
    close_links(a->from.control, a->from.bulk);
}

static void start(struct all *a)
{
    static const char id[16] = "fifteen and one";
    struct colo_parts p = { 0 }, s = { 0 };
    struct session_pair *t = &a->t;

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, a->to_fd), 0);
    if (a->process)
        ck_assert_int_eq(pipe2(a->from_fd, O_CLOEXEC), 0);
    else
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, a->from_fd), 0);
    a->to.fd = a->to_fd[0];
    a->to.armed = on_armed;
    a->to.destroy = on_destroy;
    a->to.ended = on_ended;
    a->to.log = &t->p.config.log;
    a->from.fd = a->from_fd[0];
    a->from.name = "sim";
    memset(a->from.uuid, 7, sizeof(a->from.uuid));
    a->from.max_pfn = 1 << 16;
    a->from.log = &t->s.config.log;
    memcpy(a->to.session, id, sizeof(id));
    memcpy(a->from.session, id, sizeof(id));
    make_links(&t->p, &a->to.control, &a->to.bulk);
    make_links(&t->s, &a->from.control, &a->from.bulk);
    ck_assert_int_eq(pthread_create(&a->wire_thread, NULL, wire_main, a), 0);
    ck_assert_int_eq(pthread_create(&a->to_thread, NULL, to_main, a), 0);
    if (a->process)
        start_process(a);
    else
        ck_assert_int_eq(pthread_create(&a->from_thread, NULL, from_main, a),
                         0);
    ck_assert_int_eq(sim_guest_new(&t->sim, &t->guest, &t->p.err), 0);
    side_open(&t->p, stock_hv_primary(t->guest), &p);
    stock_hv.carry = true;
    side_open(&t->s, replica_hv_new(&t->sim), &s);
    if (a->process) /* as with links that a caller gives */
        memset(t->s.session->id, 0, sizeof(t->s.session->id));
    ck_assert_int_eq(sim_guest_run(t->guest, &t->p.err), 0);
}

static void finish(struct all *a)
{
    colo_session_close(a->t.p.session);
    a->t.p.session = NULL;
    pthread_join(a->to_thread, NULL);
    if (!a->process)
        pthread_join(a->from_thread, NULL);
    pthread_join(a->wire_thread, NULL);
    pair_close(&a->t);
    stock_hv_join();
    if (replica_hv.has_thread)
        pthread_join(replica_hv.thread, NULL);
}

/* What each of the four has said, whoever was the first to end. */
#define SAID(a) \
    "%s; the primary: %d %s; its gate: %d %s", (a)->t.s.err.text, \
    (a)->t.p.rc, (a)->t.p.err.text, (a)->to_rc, (a)->to_err.text

/* The replica is the guest, from an epoch that was whole. */
static void check_taken_over(struct all *a)
{
    struct sim_guest *replica = sim_hv_guest(a->t.s.hv);
    char why[200];

    ck_assert_msg(a->t.s.rc == 0, SAID(a));
    ck_assert_ptr_nonnull(replica);
    ck_assert_int_eq(guest_state(replica), COLO_HV_RUNNING);
    ck_assert_uint_eq(sim_hv_calls(a->t.s.hv, SIM_OP_START), 1);
    sim_guest_pause(replica, true);
    ck_assert_msg(sim_guest_verify(replica, &a->t.sim, why, sizeof(why)),
                  "%s", why);
}

static void check_not_taken_over(struct all *a)
{
    ck_assert_int_ne(a->t.s.rc, 0);
    ck_assert_uint_eq(sim_hv_calls(a->t.s.hv, SIM_OP_START), 0);
    ck_assert_uint_ge(sim_hv_calls(a->t.s.hv, SIM_OP_DESTROY), 1);
}

/* at any byte: in the middle of a record, of a page, of the machine's state */
START_TEST(connection_lost)
{
    for (unsigned i = 0; i < 8; i++) {
        static struct all a;

        init(&a);
        start(&a);
        pair_until(&a.t, 15000, a.t.s.checkpoints >= 4 || a.t.s.rc <= 0);
        atomic_store(&a.then, WIRE_CUT);
        atomic_store(&a.limit, atomic_load(&a.passed) + 1 + 4321 * i);
        pair_until(&a.t, 15000, a.t.s.rc <= 0);
        check_taken_over(&a);
        finish(&a);
        ck_assert_msg(!a.from_rc, "%s", a.from_err.text);
    }
}
END_TEST

/* a host that is dead closes nothing */
START_TEST(silence)
{
    static struct all a;
    uint64_t before;

    init(&a);
    a.from.silent_ms = 4000;
    start(&a);
    pair_until(&a.t, 15000, a.t.s.checkpoints >= 4 || a.t.s.rc <= 0);
    ck_assert_msg(a.t.s.rc == 1, "%s", a.t.s.err.text);
    atomic_store(&a.then, WIRE_SILENT);
    atomic_store(&a.limit, atomic_load(&a.passed) + 10000);
    before = now_ms();
    pair_until(&a.t, 15000, a.t.s.rc <= 0);
    ck_assert_uint_ge(now_ms() - before, 3900);
    check_taken_over(&a);
    atomic_store(&a.then, WIRE_CUT);
    finish(&a);
}
END_TEST

/* what cannot be read is no lost host */
START_TEST(noise)
{
    static struct all a;

    init(&a);
    start(&a);
    pair_until(&a.t, 15000, a.t.s.checkpoints >= 4 || a.t.s.rc <= 0);
    atomic_store(&a.then, WIRE_NOISE);
    atomic_store(&a.limit, atomic_load(&a.passed));
    pair_until(&a.t, 15000, a.t.s.rc <= 0);
    check_not_taken_over(&a);
    ck_assert_int_eq(a.t.s.rc, COLO_E_PEER_SAID);
    atomic_store(&a.then, WIRE_CUT);
    finish(&a);
}
END_TEST

/* no half seed becomes a guest */
START_TEST(lost_while_seeding)
{
    for (unsigned i = 0; i < 4; i++) {
        static struct all a;

        init(&a);
        atomic_store(&a.then, WIRE_CUT);
        atomic_store(&a.limit, 60 + 70001 * i);
        start(&a);
        pair_until(&a.t, 15000, a.t.s.rc <= 0);
        ck_assert_int_lt(a.t.s.rc, 0);
        ck_assert_uint_eq(sim_hv_calls(a.t.s.hv, SIM_OP_START), 0);
        finish(&a);
    }
}
END_TEST

/* colo stop, or failover, at the backup: the guest is the primary's */
START_TEST(asked_at_the_backup)
{
    for (int failover = 0; failover < 2; failover++) {
        static struct all a;

        init(&a);
        start(&a);
        pair_until(&a.t, 15000, a.t.s.checkpoints >= 4 || a.t.s.rc <= 0);
        ck_assert_int_eq(failover ? colo_session_failover(a.t.s.session, NULL)
                                  : colo_session_stop(a.t.s.session, NULL),
                         0);
        pair_until(&a.t, 15000, a.t.s.rc <= 0 && a.t.p.rc <= 0);
        ck_assert_uint_eq(sim_hv_calls(a.t.s.hv, SIM_OP_START), 0);
        if (failover) {
            ck_assert_int_eq(a.t.s.rc, COLO_E_PEER_SAID);
            ck_assert_ptr_nonnull(strstr(a.t.s.err.text, "runs there"));
        } else {
            ck_assert_msg(a.t.s.rc == 0, "%s", a.t.s.err.text);
        }
        ck_assert_int_eq(guest_state(a.t.guest), COLO_HV_RUNNING);
        finish(&a);
        ck_assert_int_ne(a.from_rc, 0);
    }
}
END_TEST

/* as the loop of colo-xl-session does it, once its gate has ended */
static void until_ended(struct all *a)
{
    pair_until(&a->t, 15000, (stock_gate_look(&a->gate), a->t.s.rc <= 0));
}

/* colo-stock from-primary, as colo-xl-session starts it */
START_TEST(process)
{
    static struct all a;

    init(&a);
    a.process = true;
    start(&a);
    pair_until(&a.t, 15000, a.t.s.checkpoints >= 4 || a.t.s.rc <= 0);
    ck_assert_str_eq(a.t.s.session->info.name, "sim");
    ck_assert_uint_eq(a.t.s.session->info.uuid[15], 15);
    atomic_store(&a.then, WIRE_CUT);
    atomic_store(&a.limit, atomic_load(&a.passed) + 100);
    until_ended(&a);
    check_taken_over(&a);
    finish(&a);
}
END_TEST

/* that is no loss of the primary */
START_TEST(process_killed)
{
    static struct all a;

    init(&a);
    a.process = true;
    start(&a);
    pair_until(&a.t, 15000, a.t.s.checkpoints >= 4 || a.t.s.rc <= 0);
    ck_assert_msg(a.t.s.rc == 1, SAID(&a));
    ck_assert_int_eq(kill(a.gate.pid, SIGKILL), 0);
    until_ended(&a);
    check_not_taken_over(&a);
    finish(&a);
}
END_TEST

/* nor is it when it is held up: its silence says nothing of the primary */
START_TEST(process_held_up)
{
    static struct all a;
    struct colo_heartbeat *hb;
    uint64_t n;

    init(&a);
    a.process = true;
    start(&a);
    pair_until(&a.t, 15000, a.t.s.checkpoints >= 4 || a.t.s.rc <= 0);
    ck_assert_msg(a.t.s.rc == 1, SAID(&a));
    ck_assert_int_eq(kill(a.gate.pid, SIGSTOP), 0);
    /* what it has said before is taken in, and then it was a minute ago */
    n = now_ms() + 300;
    pair_until(&a.t, 5000, now_ms() >= n);
    hb = &a.t.s.session->heartbeat;
    hb->heard_us -= UINT64_C(60000000);
    for (int i = 0; i < 20; i++)
        side_process(&a.t.s);
    ck_assert_msg(a.t.s.rc == 1, SAID(&a));
    ck_assert_int_lt(a.t.s.session->state, COLO_STATE_TAKEOVER);
    n = a.t.s.checkpoints + 4;
    ck_assert_int_eq(kill(a.gate.pid, SIGCONT), 0);
    pair_until(&a.t, 15000, a.t.s.checkpoints >= n || a.t.s.rc <= 0);
    ck_assert_msg(a.t.s.rc == 1, SAID(&a));
    /* its end is no less of one */
    ck_assert_int_eq(kill(a.gate.pid, SIGSTOP), 0);
    ck_assert_int_eq(kill(a.gate.pid, SIGKILL), 0);
    n = now_ms();
    until_ended(&a);
    ck_assert_uint_lt(now_ms() - n, 15000);
    check_not_taken_over(&a);
    finish(&a);
}
END_TEST

PURE_MAIN("gate-primary", connection_lost, silence, noise, lost_while_seeding,
          asked_at_the_backup, process, process_killed, process_held_up)
