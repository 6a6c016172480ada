/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Followers of checkpoints (disks, networks): one that refuses ends the session
 * and not the guest; no epoch, commit or takeover comes before their word.
 */
#include <limits.h>

#include "session-follower.h"

#include "pure-common.h"

START_TEST(followers_refuse)
{
    for (int refuse = 0; refuse <= F_NOTHING; refuse++) {
        struct colo_replication r = { .ops = &f_ops, .refuse = refuse };
        struct colo_parts parts = { .replication = { &r } };
        struct session_pair t;

        pair_init(&t);
        t.p.config.interval_ms = 1;
        pair_open(&t, &parts, NULL);
        pair_run_on(&t);
        ck_assert_int_eq(guest_state(t.guest), COLO_HV_RUNNING);
        if (refuse == F_NOTHING)
            ck_assert_int_eq(t.p.rc, 0);
        else
            ck_assert_int_eq(t.p.rc, COLO_E_PEER_SAID);
        ck_assert_int_eq(r.stops, 1);
        pair_close(&t);
        ck_assert_int_eq(r.closes, 1);
    }
}
END_TEST

/* Memory is there long before the disk: no epoch begins. */
START_TEST(no_epoch_before_the_first_copies)
{
    struct colo_replication r = { .ops = &f_ops, .refuse = F_NOTHING,
                                  .behind = INT_MAX };
    struct colo_parts parts = { .replication = { &r } };
    struct session_pair t;
    uint64_t begin;

    pair_init(&t);
    t.p.config.interval_ms = 1;
    t.p.config.seed_ms = 300; /* of silence; a follower has its own limits */
    pair_open(&t, &parts, NULL);
    begin = now_ms();
    pair_until(&t, 5000, t.p.rc <= 0 || now_ms() > begin + 1500);
    ck_assert_int_eq(t.p.rc, 1);
    ck_assert_int_eq(r.prepares, 1);
    ck_assert_int_eq(r.starts, 0);
    r.behind = 0;
    pair_until(&t, 10000, r.commits >= 2);
    ck_assert_int_eq(r.starts, 1);
    ck_assert_int_ge(r.commits, 2);
    pair_close(&t);
}
END_TEST

/* What the guest does next must not be taken for a part of the epoch. */
START_TEST(the_guest_waits_for_the_mark)
{
    struct colo_replication r = { .ops = &f_ops, .refuse = F_NOTHING };
    struct colo_parts parts = { .replication = { &r } };
    struct session_pair t;

    pair_init(&t);
    t.p.config.interval_ms = 1;
    pair_open(&t, &parts, NULL);
    r.guest = t.guest;
    pair_until(&t, 10000, r.commits >= 3);
    ck_assert_int_eq(r.marks, 0);
    ck_assert_int_eq(t.p.rc, 1);
    pair_close(&t);
}
END_TEST

/* The epoch is at the backup, but a disk has not answered: no commit. */
START_TEST(no_commit_before_the_followers)
{
    struct colo_replication r = { .ops = &f_ops, .refuse = F_NOTHING,
                                  .pending_forever = true };
    struct colo_parts parts = { .replication = { &r } };
    struct session_pair t;

    pair_init(&t);
    t.p.config.interval_ms = 1;
    t.p.config.commit_ms = 500;
    pair_open(&t, &parts, NULL);
    pair_until(&t, 10000, t.p.rc <= 0);
    ck_assert_int_eq(t.p.rc, COLO_E_TIMEOUT);
    ck_assert_int_eq(r.commits, 2);
    ck_assert_int_eq(guest_state(t.guest), COLO_HV_RUNNING);
    pair_close(&t);
}
END_TEST

/* The replica starts when its disks are at the last epoch, and not before. */
START_TEST(the_disks_come_first)
{
    struct colo_replication r = { .ops = &f_ops, .refuse = F_NOTHING,
                                  .failover_says = 1 };
    struct colo_parts parts = { .replication = { &r } };
    struct session_pair t;
    uint64_t begin;

    pair_init(&t);
    pair_open(&t, NULL, &parts);
    pair_protected(&t, 2);
    shutdown(t.p.control_fd, SHUT_RDWR);
    t.p.rc = 0;
    pair_until(&t, 10000, r.failovers);
    begin = now_ms();
    pair_until(&t, 5000, t.s.rc <= 0 || now_ms() > begin + 300);
    ck_assert_int_eq(t.s.rc, 1);
    ck_assert_uint_eq(sim_hv_calls(t.s.hv, SIM_OP_START), 0);
    ck_assert_int_eq(r.speaks, 0);
    r.failover_says = 0;
    pair_until(&t, 10000, t.s.rc <= 0);
    ck_assert_int_eq(t.s.rc, 0);
    ck_assert_uint_eq(sim_hv_calls(t.s.hv, SIM_OP_START), 1);
    ck_assert_int_eq(r.speaks, 1);
    ck_assert_int_eq(r.undones, 0);
    pair_close(&t);
}
END_TEST

static int cannot_speak(struct colo_replication *r, struct colo_error *err)
{
    r->speaks++;
    r->failover_says = 1; /* for ever: it is asked, but not waited for long */
    return colo__fail(err, COLO_E_SYS, 0, "follower", "no bridge");
}

/* The guest runs by then, and nowhere else: that is not taken back. */
START_TEST(a_guest_that_is_not_heard_runs)
{
    struct colo_replication_ops ops = f_ops;
    struct colo_replication r = { .ops = &ops, .refuse = F_NOTHING };
    struct colo_parts parts = { .replication = { &r } };
    struct session_pair t;

    ops.speak = cannot_speak;
    pair_init(&t);
    pair_open(&t, NULL, &parts);
    pair_protected(&t, 2);
    shutdown(t.p.control_fd, SHUT_RDWR);
    t.p.rc = 0;
    pair_until(&t, 10000, r.speaks);
    ck_assert_int_eq(t.s.session->state, COLO_STATE_ACTIVE);
    ck_assert_ptr_nonnull(strstr(t.s.warning, "runs here, but: no bridge"));
    t.s.session->state_deadline_us = 1;
    pair_until(&t, 10000, t.s.rc <= 0);
    ck_assert_int_eq(t.s.rc, 0);
    ck_assert_ptr_nonnull(strstr(t.s.warning, "does not answer"));
    ck_assert_uint_eq(sim_hv_calls(t.s.hv, SIM_OP_DESTROY), 0);
    pair_close(&t);
}
END_TEST

static int cannot(struct colo_replication *r, struct colo_error *err)
{
    r->failovers++;
    return colo__fail(err, COLO_E_NOTFOUND, 0, "follower", "no disk");
}

/* A primary that gives its guest away tells all of them so, and a backup that
 * lacks one of them does not let the others think that it took over. */
START_TEST(who_is_told_of_a_takeover)
{
    for (int backup = 0; backup < 2; backup++) {
        struct colo_replication_ops ops = f_ops;
        struct colo_replication r[2] = {
            { .ops = &ops, .refuse = F_NOTHING },
            { .ops = &f_ops, .refuse = F_NOTHING },
        };
        struct colo_parts parts = { .replication = { &r[0], &r[1] } };
        struct session_pair t;

        ops.failover = cannot;
        pair_init(&t);
        pair_open(&t, backup ? NULL : &parts, backup ? &parts : NULL);
        pair_protected(&t, 2);
        ck_assert_int_eq(colo_session_failover(t.s.session, &t.s.err), 0);
        pair_until(&t, 20000, pair_over(&t));
        ck_assert_int_eq(r[0].failovers, 1);
        ck_assert_int_eq(r[1].failovers, !backup);
        pair_close(&t);
    }
}
END_TEST

/* A disk that is not there: better no guest than one with another disk. */
START_TEST(no_takeover_without_the_disks)
{
    struct colo_replication r = { .ops = &f_ops, .refuse = F_NOTHING,
                                  .failover_says = COLO_E_NOTFOUND };
    struct colo_parts parts = { .replication = { &r } };
    struct session_pair t;

    pair_init(&t);
    pair_open(&t, NULL, &parts);
    pair_protected(&t, 2);
    shutdown(t.p.control_fd, SHUT_RDWR);
    t.p.rc = 0;
    pair_until(&t, 10000, t.s.rc <= 0);
    ck_assert_int_eq(t.s.rc, COLO_E_NOTFOUND);
    ck_assert_uint_eq(sim_hv_calls(t.s.hv, SIM_OP_START), 0);
    ck_assert_int_eq(r.undones, 0); /* the primary may be dead */
    pair_close(&t);
}
END_TEST

static struct session_pair *pair;
static uint64_t durable_at; /* ms */
static bool released, released_early;

/* A disk takes its time to write down that it goes on alone. */
static int slow_stop(struct colo_replication *r, struct colo_error *err)
{
    (void)err;
    r->stops++;
    durable_at = now_ms() + 300;
    return 0;
}

static int stop_pending(struct colo_replication *r, bool *ret_diverged,
                        struct colo_error *err)
{
    (void)ret_diverged;
    (void)err;
    return r->stops && (r->pending_forever || now_ms() < durable_at);
}

static int release(struct colo_replication *r, struct colo_error *err)
{
    (void)err;
    r->stops++;
    released = true;
    released_early = !durable_at || now_ms() < durable_at;
    ck_assert_int_eq(guest_state(pair->guest), COLO_HV_RUNNING);
    return 0;
}

/* What was held leaves when the disks go on alone durably; one that hangs does
 * not keep it for long. */
START_TEST(output_waits_for_the_disks)
{
    struct colo_replication_ops disk = f_ops, buffer = f_ops;

    disk.stop = slow_stop;
    disk.pending = stop_pending;
    buffer.stop = NULL;
    buffer.release = release;
    for (int hangs = 0; hangs < 2; hangs++) {
        struct colo_replication r[2] = {
            { .ops = &buffer, .refuse = F_NOTHING },
            { .ops = &disk, .refuse = F_NOTHING, .pending_forever = hangs },
        };
        struct colo_parts parts = { .replication = { &r[0], &r[1] } };
        struct session_pair t;
        uint64_t begin;

        pair = &t;
        released = false;
        durable_at = 0;
        pair_init(&t);
        pair_open(&t, &parts, NULL);
        pair_protected(&t, 3);
        shutdown(t.s.control_fd, SHUT_RDWR);
        t.s.rc = 0;
        begin = now_ms();
        pair_until(&t, 10000, t.p.rc <= 0);
        ck_assert_int_eq(r[1].stops, 1);
        ck_assert(released && !released_early);
        ck_assert_uint_lt(now_ms() - begin, 8000);
        pair_close(&t);
    }
}
END_TEST

PURE_MAIN("session-followers", output_waits_for_the_disks, followers_refuse,
          no_epoch_before_the_first_copies, the_guest_waits_for_the_mark,
          no_commit_before_the_followers, the_disks_come_first,
          no_takeover_without_the_disks, a_guest_that_is_not_heard_runs,
          who_is_told_of_a_takeover)
