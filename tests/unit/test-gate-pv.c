/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A PV guest whose backup has only stock Xen: a session over a simulated guest
 * that is streamed, the gate, and an xl that holds a checkpoint back until it
 * is whole, as stock Xen does.  What it has must be the guest at the last one.
 */
#include "gate-backup.h"
#include "pv-sim.h"

#include "../../remus-compat/gate/nowhere.h"
#include "../../remus-compat/stream-epoch.h"
#include "../../remus-compat/xl-header.h"

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

/* ---- the whole ---------------------------------------------------------- */

static struct colo_hv *streamed_primary(struct sim_guest *guest)
{
    struct colo_hv *hv = pv_primary(guest);

    pv.p.life.seed_out = seed_out;
    pv.p.ops.poll = poll_seed;
    return hv;
}

/* After so many checkpoints it is as if the connection had ended; 0: never. */
static void begin(struct all *a, uint64_t stop_after)
{
    all_init(a);
    a->xl.streamed = true;
    a->xl.stop_after = stop_after;
    a->xl.stop_how = XL_CUT;
    all_start(a, streamed_primary);
}

static void finish(struct all *a)
{
    all_join(a);
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

    begin(&a, 0);
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

    begin(&a, 8);
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

    begin(&a, 0);
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

/* xl remus -b: a PV guest's checkpoints are taken and forgotten, until a revoke */
START_TEST(nowhere_takes_them)
{
    static struct stream s;
    uint8_t header[COLO_XL_HEADER + 4], revoke[COLO_STREAM_REVOKE];
    struct colo_error err = { 0 };
    int fds[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    ck_assert_int_eq(colo__xl_put_header(header, sizeof(GATE_CONFIG), NULL),
                     0);
    stream_make(&s, COLO_STREAM_PV, COLO_STREAM_REMUS, 3);
    colo__stream_revoke(revoke);
    seed_fd = fds[1];
    put(header, sizeof(header));
    put(GATE_CONFIG, sizeof(GATE_CONFIG));
    put(s.bytes, s.len);
    put(revoke, sizeof(revoke));
    ck_assert_int_eq(gate_nowhere(fds[0], 1 << 20, &err), COLO_E_PROTO);
    ck_assert_msg(strstr(err.text, "PAGE_DATA") != NULL, "%s", err.text);
    close(fds[1]);
    seed_fd = -1;
}
END_TEST

PURE_MAIN("gate-pv", nowhere_takes_them, protects_and_stops, is_the_guest, half_a_piece)
