/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A PV guest whose backup has only stock Xen: a session over a simulated guest
 * that is streamed, the gate, and an xl that holds a checkpoint back until it
 * is whole, as stock Xen does.  What it has must be the guest at the last one.
 */
#include "gate-common.h"
#include "pv-sim.h"

struct all {
    struct session_pair t;
    struct xl xl;
    struct gate gate;
    int control[2], bulk[2], stream[2];
    pthread_t thread;
    int rc;
    struct colo_error err;
};

/* ---- the guest's seed --------------------------------------------------- */

static int seed_fd = -1;

/* of the simulation's own seed only the end is wanted */
static void *drain(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char buf[65536];

    while (read(fd, buf, sizeof(buf)) > 0)
        ;
    close(fd);
    return NULL;
}

static int seed_out(struct colo_hv *hv, int fd, struct colo_error *err)
{
    pthread_t thread;
    int fds[2];

    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, drain,
                                    (void *)(intptr_t)fds[0]), 0);
    pthread_detach(thread);
    seed_fd = fd;
    return pv.p.sim->life->seed_out(hv, fds[1], err);
}

static void put(const void *p, size_t len)
{
    const uint8_t *at = p;

    while (len) {
        ssize_t n = write(seed_fd, at, len);

        if (n <= 0)
            return; /* nobody wants it any more */
        at += n;
        len -= (size_t)n;
    }
}

/* What colo-toolstack stream writes of a guest that stands still. */
static void put_seed(struct colo_hv *hv)
{
    static struct stream s;
    uint8_t header[SEED_HEADER];
    struct colo_stream_out out;
    struct colo_hv_info info;
    uint64_t frames[64];
    uint8_t *buf;
    size_t len, cap;

    ck_assert_int_eq(pv.p.sim->info(hv, &info, NULL), 0);
    cap = colo__stream_piece_max(info.nr_gfns);
    buf = malloc(cap);
    seed_header_put(header, sizeof(GATE_CONFIG) - 1);
    put(header, sizeof(header));
    put(GATE_CONFIG, sizeof(GATE_CONFIG) - 1);
    stream_begin(&s);
    stream_head(&s, COLO_STREAM_PV);
    stream_end(&s);
    /* the frames of p2m that stream_head has put are for other tests */
    put(s.bytes, s.len - 8 - 8 - 16);
    ck_assert_uint_le(info.nr_gfns / 512 + 1, 64);
    for (size_t i = 0; i < 64; i++)
        frames[i] = i;
    colo__stream_out_init(&out, buf, cap);
    colo__stream_out_p2m_frames(&out, 8, (uint32_t)info.nr_gfns - 1, frames);
    for (uint64_t gfn = 0; gfn < info.nr_gfns; gfn++)
        pv_put_page(&out, hv, gfn);
    pv_put_tail(&out, hv);
    ck_assert_int_eq(colo__stream_out_end(&out, &len, NULL), 0);
    put(buf, len);
    free(buf);
    close(seed_fd);
    seed_fd = -1;
}

static int poll_seed(struct colo_hv *hv, struct colo_hv_event *ev,
                     struct colo_error *err)
{
    int rc = pv.p.sim->poll(hv, ev, err);

    if (!rc && ev->events & COLO_HV_EV_SEEDED && seed_fd >= 0)
        put_seed(hv);
    return rc;
}

/* ---- xl over there ------------------------------------------------------ */

static void load(struct xl *xl)
{
    struct pulse_state state;

    for (size_t i = 0; i < xl->held; i++) {
        sim__present(xl->replica, xl->gfns[i], true);
        memcpy(sim_guest_page(xl->replica, xl->gfns[i]),
               xl->pages + i * COLO_PAGE_SIZE, COLO_PAGE_SIZE);
    }
    xl->held = 0;
    xl->loaded = !sim__context_check(xl->replica, xl->machine + 4,
                                     colo__le32(xl->machine), &state,
                                     &xl->err);
    if (xl->loaded)
        xl->replica->ctl->context = state;
}

static void hold(struct xl *xl, const struct colo_stream_item *item)
{
    if (item->kind == COLO_ITEM_PAGE)
        xl_hold(xl, item);
    else if (item->kind == COLO_ITEM_RECORD &&
             item->layer == COLO_STREAM_LIBXC &&
             item->type == COLO_LIBXC_SHARED_INFO)
        memcpy(xl->machine, item->body, COLO_PAGE_SIZE);
}

static int receive(struct xl *xl)
{
    static struct colo_stream_reader reader;
    static uint8_t buf[256 * 1024];
    size_t pos = 0, len = 0;

    if (!xl_greet(xl))
        return XL_GAVE_UP;
    colo__stream_reader_init(&reader, COLO_STREAM_REMUS, NULL);
    for (;;) {
        struct colo_stream_item item;
        int used = colo__stream_read(&reader, buf + pos, len - pos, &item,
                                     &xl->err);

        if (used <= 0) {
            memmove(buf, buf + pos, len - pos);
            len -= pos;
            pos = 0;
        }
        if (used < 0)
            return xl_refuse(xl, buf, sizeof(buf), len);
        if (!used && !xl_more(xl, buf, sizeof(buf), &len))
            return atomic_load(&xl->checkpoints) ? XL_STARTED : XL_GAVE_UP;
        if (!used)
            continue;
        hold(xl, &item);
        pos += (size_t)used;
        if (!colo__stream_first_done(&item))
            continue;
        load(xl);
        if (!xl->loaded)
            return XL_CONFUSED;
        if (atomic_fetch_add(&xl->checkpoints, 1) + 1 == xl->stop_after)
            return XL_STARTED; /* as if the connection had ended here */
    }
}

static void *pv_xl_main(void *arg)
{
    struct xl *xl = arg;

    atomic_store(&xl->end, receive(xl));
    shutdown(xl->fd, SHUT_RDWR);
    return NULL;
}

/* ---- the gate ----------------------------------------------------------- */

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
    (void)name;
    (void)err;
    return 0;
}

static int on_ended(void *user, bool revoked, struct colo_error *err)
{
    struct all *a = user;

    (void)revoked;
    if (atomic_load(&a->xl.end) == XL_GAVE_UP)
        return colo__fail(err, COLO_E_PEER_SAID, 0, "test", "xl has ended");
    return colo__fail(err, COLO_E_PEER, 0, "test", "the connection is lost");
}

static void *gate_main(void *arg)
{
    struct all *a = arg;

    a->rc = gate_to_backup(&a->gate, &a->err);
    colo__link_ops(a->gate.control)->close(a->gate.control);
    colo__link_ops(a->gate.bulk)->close(a->gate.bulk);
    return NULL;
}

static void start(struct all *a, uint64_t stop_after)
{
    static const char id[16] = "fifteen and one";
    struct colo_parts parts = { 0 };
    struct session_pair *t = &a->t;

    memset(a, 0, sizeof(*a));
    pair_init(t);
    t->p.config.dead_ms = 2000;
    a->gate.greet_ms = a->gate.send_ms = a->gate.end_ms = 5000;
    xl_make(&a->xl, &t->sim);
    a->xl.stop_after = stop_after;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, a->control), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, a->bulk), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, a->stream), 0);
    a->xl.fd = a->stream[1];
    a->gate.fd = a->stream[0];
    a->gate.user = a;
    a->gate.armed = on_armed;
    a->gate.destroy = on_destroy;
    a->gate.ended = on_ended;
    a->gate.log = &t->p.config.log;
    memcpy(a->gate.session, id, sizeof(id));
    ck_assert_int_eq(colo__link_fd_new(a->control[1], &a->gate.control, NULL),
                     0);
    ck_assert_int_eq(colo__link_fd_new(a->bulk[1], &a->gate.bulk, NULL), 0);
    ck_assert_int_eq(pthread_create(&a->xl.thread, NULL, pv_xl_main, &a->xl),
                     0);
    ck_assert_int_eq(pthread_create(&a->thread, NULL, gate_main, a), 0);
    t->p.control_fd = a->control[0];
    t->p.bulk_fd = a->bulk[0];
    ck_assert_int_eq(sim_guest_new(&t->sim, &t->guest, &t->p.err), 0);
    side_open(&t->p, pv_primary(t->guest), &parts);
    pv.p.life.seed_out = seed_out;
    pv.p.ops.poll = poll_seed;
    ck_assert_int_eq(sim_guest_run(t->guest, &t->p.err), 0);
}

static void finish(struct all *a)
{
    pthread_join(a->thread, NULL);
    pthread_join(a->xl.thread, NULL);
    close(a->xl.fd);
    pair_close(&a->t);
    pv_fini();
    xl_free(&a->xl);
}

static void check_end(struct all *a, int end)
{
    ck_assert_msg(atomic_load(&a->xl.end) == end, "xl: %d, not %d: %s",
                  atomic_load(&a->xl.end), end, a->xl.err.text);
}

START_TEST(protects_and_stops)
{
    struct colo_status st = { .size = sizeof(st) };
    static struct all a;

    start(&a, 0);
    pair_until(&a.t, 10000, a.t.p.checkpoints >= 10 || a.t.p.rc <= 0);
    ck_assert_msg(a.t.p.rc > 0, "%s; xl: %s", a.t.p.err.text, a.xl.err.text);
    ck_assert_int_eq(colo_query_status(a.t.p.session, &st, NULL), 0);
    ck_assert_int_eq(st.audit_off, 1);
    ck_assert_int_ne(st.commit, COLO_COMMIT_ACKNOWLEDGED);
    ck_assert_uint_ge(atomic_load(&a.xl.checkpoints), 10);
    ck_assert_int_eq(colo_session_stop(a.t.p.session, NULL), 0);
    pair_until(&a.t, 8000, a.t.p.rc <= 0);
    ck_assert_msg(a.t.p.rc == 0, "%s", a.t.p.err.text);
    ck_assert_int_eq(guest_state(a.t.guest), COLO_HV_RUNNING);
    pair_until(&a.t, 8000, atomic_load(&a.xl.end) != XL_RUNS);
    check_end(&a, XL_GAVE_UP);
    finish(&a);
    ck_assert_int_eq(a.rc, 0);
}
END_TEST

/* the guest over there is this one, at a checkpoint */
START_TEST(is_the_guest)
{
    static struct all a;

    start(&a, 8);
    pair_until(&a.t, 10000, a.t.p.rc <= 0);
    ck_assert_int_lt(a.t.p.rc, 0);
    ck_assert_int_eq(guest_state(a.t.guest), COLO_HV_RUNNING);
    check_end(&a, XL_STARTED);
    xl_verify(&a.xl, &a.t.sim);
    finish(&a);
}
END_TEST

/* half a checkpoint is not passed on */
START_TEST(half_a_piece)
{
    static struct all a;

    start(&a, 0);
    pv.cut_at = 6;
    pair_until(&a.t, 10000, a.t.p.rc <= 0);
    ck_assert_int_lt(a.t.p.rc, 0);
    ck_assert_int_eq(guest_state(a.t.guest), COLO_HV_RUNNING);
    pair_until(&a.t, 8000, atomic_load(&a.xl.end) != XL_RUNS);
    check_end(&a, XL_GAVE_UP);
    ck_assert_uint_eq(atomic_load(&a.xl.checkpoints), 6); /* with the seed */
    finish(&a);
}
END_TEST

PURE_MAIN("gate-pv", protects_and_stops, is_the_guest, half_a_piece)
