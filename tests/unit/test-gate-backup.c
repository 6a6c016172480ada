/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A session whose backup has only stock Xen: unchanged, over a simulated guest,
 * with a gate between it and an xl that does what stock Xen does.  Whatever
 * happens, the replica starts when the primary's host dies and never
 * otherwise.
 */
#include "gate-backup.h"
#include "stream-verify.h"

static void finish(struct all *a)
{
    pair_close(&a->t);
    stock_hv_join();
    xl_free(&a->xl);
}

static void check_xl(struct all *a, enum xl_end end)
{
    ck_assert_msg(atomic_load(&a->xl.end) == (int)end, "xl: %d, not %d: %s",
                  atomic_load(&a->xl.end), (int)end, a->xl.err.text);
    if (end == XL_STARTED)
        xl_verify(&a->xl, &a->t.sim);
}

START_TEST(protects_and_stops)
{
    struct colo_status st = { .size = sizeof(st) };
    static struct all a;

    all_init(&a);
    all_start(&a, stock_hv_primary);
    pair_protected(&a.t, 20);
    ck_assert_int_eq(colo_query_status(a.t.p.session, &st, NULL), 0);
    ck_assert_int_eq(st.commit, COLO_COMMIT_WRITTEN);
    ck_assert_uint_ge(st.epoch, 20);
    ck_assert_uint_eq(st.audit_pages, 0); /* nobody would have compared */
    ck_assert_str_eq(a.armed, "sim");
    ck_assert_int_eq(colo_session_stop(a.t.p.session, NULL), 0);
    pair_until(&a.t, 5000, a.t.p.rc <= 0);
    ck_assert_msg(a.t.p.rc == 0, "%s", a.t.p.err.text);
    all_join(&a);
    ck_assert_msg(!a.rc, "%s", a.err.text);
    ck_assert_int_eq(a.destroyed, 0);
    check_xl(&a, XL_GAVE_UP);
    xl_verify(&a.xl, &a.t.sim); /* what it threw away was good */
    ck_assert_str_eq(a.t.p.warning, "");
    ck_assert_int_eq(guest_state(a.t.guest), COLO_HV_RUNNING);
    finish(&a);
}
END_TEST

/* What was committed is there, at whatever byte the host dies. */
START_TEST(host_dies)
{
    for (unsigned i = 0; i < 8; i++) {
        static struct all a;

        all_init(&a);
        a.destroy_rc = COLO_E_PEER;
        all_start(&a, stock_hv_primary);
        pair_protected(&a.t, 3 + i);
        for (unsigned k = 0; k < 7 * i; k++)
            pair_turn(&a.t);
        shutdown(a.stream[0], SHUT_RDWR);
        pair_until(&a.t, 10000, a.t.p.rc <= 0);
        ck_assert_int_eq(a.t.p.rc, COLO_E_PEER);
        all_join(&a);
        check_xl(&a, XL_STARTED);
        /* the seed is a checkpoint, too */
        ck_assert_uint_gt(a.xl.checkpoints, a.t.p.checkpoints);
        ck_assert_int_eq(a.destroyed, 1);
        ck_assert_int_ne(a.rc, 0);
        finish(&a);
    }
}
END_TEST

/* The host goes on: so must the guest, and only here. */
static void goes_on(struct all *a, int rc)
{
    pair_until(&a->t, 10000, a->t.p.rc <= 0);
    ck_assert_msg(a->t.p.rc == rc, "%d: %s", a->t.p.rc, a->t.p.err.text);
    all_join(a);
    ck_assert_msg(!a->rc, "%s", a->err.text);
    ck_assert_int_eq(a->destroyed, 0);
    ck_assert_int_eq(guest_state(a->t.guest), COLO_HV_RUNNING);
}

START_TEST(xl_dies)
{
    static struct all a;

    all_init(&a);
    a.xl.stop_after = 5;
    a.xl.stop_how = XL_DIE;
    all_start(&a, stock_hv_primary);
    goes_on(&a, COLO_E_PEER_SAID);
    ck_assert_ptr_nonnull(strstr(a.t.p.err.text, "xl has ended"));
    check_xl(&a, XL_GAVE_UP);
    finish(&a);
}
END_TEST

/* It takes no more: the session gives up, and xl is told by other means. */
START_TEST(xl_hangs)
{
    static struct all a;

    all_init(&a);
    a.xl.stop_after = 5;
    a.xl.stop_how = XL_HANG;
    a.gate.send_ms = 300;
    all_start(&a, stock_hv_primary);
    pair_until(&a.t, 10000, a.t.p.rc <= 0);
    ck_assert_int_lt(a.t.p.rc, 0);
    pthread_join(a.thread, NULL);
    ck_assert_int_eq(a.rc, 0);
    ck_assert_int_eq(a.destroyed, 1);
    atomic_store(&a.xl.end, XL_GAVE_UP);
    all_join(&a);
    ck_assert_int_eq(guest_state(a.t.guest), COLO_HV_RUNNING);
    finish(&a);
}
END_TEST

START_TEST(not_xl)
{
    static struct all a;

    all_init(&a);
    a.xl.banner = "bash: xl: command not found, and that is all to be said "
                  "about it";
    all_start(&a, stock_hv_primary);
    goes_on(&a, COLO_E_PEER_SAID);
    ck_assert_str_eq(a.armed, "");
    check_xl(&a, XL_GAVE_UP);
    finish(&a);
}
END_TEST

/* killed: its watchdog's last words, or nothing but the end of its links */
START_TEST(session_dies)
{
    for (int words = 0; words < 2; words++) {
        static struct all a;
        uint8_t last[256];

        all_init(&a);
        all_start(&a, stock_hv_primary);
        pair_protected(&a.t, 5);
        memset(last, 0xff, sizeof(last));
        if (words)
            ck_assert_int_gt(write(a.control[0], last, sizeof(last)), 0);
        shutdown(a.control[0], SHUT_RDWR);
        shutdown(a.bulk[0], SHUT_RDWR);
        all_join(&a);
        ck_assert_msg(!a.rc, "%s", a.err.text);
        ck_assert_int_eq(a.destroyed, 0);
        check_xl(&a, XL_GAVE_UP);
        finish(&a);
    }
}
END_TEST

START_TEST(guest_ends)
{
    static struct all a;

    all_init(&a);
    all_start(&a, stock_hv_primary);
    pair_protected(&a.t, 5);
    sim_guest_shutdown(a.t.guest, COLO_HV_POWEROFF);
    pair_until(&a.t, 5000, a.t.p.rc <= 0);
    ck_assert_int_eq(a.t.p.rc, COLO_E_GUEST);
    all_join(&a);
    ck_assert_int_eq(a.rc, 0);
    check_xl(&a, XL_GAVE_UP);
    finish(&a);
}
END_TEST

/* at any moment of the first copy */
START_TEST(stopped_while_seeding)
{
    for (unsigned i = 0; i < 6; i++) {
        static struct all a;

        all_init(&a);
        all_start(&a, stock_hv_primary);
        for (unsigned k = 0; k < 3 * i; k++)
            pair_turn(&a.t);
        ck_assert_int_eq(colo_session_stop(a.t.p.session, NULL), 0);
        pair_until(&a.t, 8000, a.t.p.rc <= 0);
        ck_assert_msg(a.t.p.rc == 0, "%s", a.t.p.err.text);
        all_join(&a);
        ck_assert_msg(!a.rc, "%s", a.err.text);
        ck_assert_int_eq(a.destroyed, 0);
        check_xl(&a, XL_GAVE_UP);
        ck_assert_int_eq(guest_state(a.t.guest), COLO_HV_RUNNING);
        finish(&a);
    }
}
END_TEST

/* The guest takes memory and gives it back, and much changes at once. */
START_TEST(balloons)
{
    static struct all a;

    all_init(&a);
    a.destroy_rc = COLO_E_PEER;
    a.t.sim.balloon_pages = 64;
    a.t.sim.balloon_every = 3;
    all_start(&a, stock_hv_primary);
    pair_protected(&a.t, 15);
    shutdown(a.stream[0], SHUT_RDWR);
    pair_until(&a.t, 10000, a.t.p.rc <= 0);
    all_join(&a);
    /* stock Xen takes nothing away that the guest gave back, so only what is
     * there can be compared */
    ck_assert_int_eq(atomic_load(&a.xl.end), XL_STARTED);
    finish(&a);
}
END_TEST

/* Xen's own verifier, over all that was sent. */
START_TEST(xen_takes_it)
{
    static struct all a;
    uint8_t *layer;

    if (!verify_find()) {
        printf("xen_takes_it: skipped: no verify-stream-v2\n");
        return;
    }
    all_init(&a);
    a.xl.cap = 64 << 20;
    a.xl.bytes = malloc(a.xl.cap);
    all_start(&a, stock_hv_primary);
    pair_protected(&a.t, 10);
    shutdown(a.stream[0], SHUT_RDWR);
    pair_until(&a.t, 10000, a.t.p.rc <= 0);
    all_join(&a);
    ck_assert_uint_lt(a.xl.len, a.xl.cap); /* all of it was kept */
    ck_assert_uint_ge(a.xl.checkpoints, 11);
    layer = malloc(a.xl.len + 8);
    ck_assert_int_eq(verify_bytes("libxc", layer,
                                  verify_layer(a.xl.bytes, a.xl.len,
                                               COLO_STREAM_LIBXC, layer)),
                     0);
    ck_assert_int_eq(verify_bytes("libxl", layer,
                                  verify_layer(a.xl.bytes, a.xl.len,
                                               COLO_STREAM_LIBXL, layer)),
                     0);
    free(layer);
    finish(&a);
}
END_TEST

START_TEST(mode_colo)
{
    static struct all a;

    all_init(&a);
    a.t.p.config.mode = COLO_MODE_COLO;
    all_start(&a, stock_hv_primary);
    goes_on(&a, COLO_E_PEER_SAID);
    ck_assert_ptr_nonnull(strstr(a.t.p.err.text, "remus only"));
    check_xl(&a, XL_GAVE_UP);
    finish(&a);
}
END_TEST

PURE_MAIN("gate-backup", protects_and_stops, host_dies, xl_dies, xl_hangs,
          not_xl, session_dies, guest_ends, stopped_while_seeding, balloons,
          xen_takes_it, mode_colo)
