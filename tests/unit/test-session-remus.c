/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Whole sessions over simulated guests: protection, the clean end, takeover.
 */
#include "session-pair.h"

#include "pure-common.h"

/* in place of the real one, by the linker */
static struct {
    struct colo_hv *hv;
    int calls;
    uint64_t abandons; /* by then */
} announced;

int __wrap_colo__announce_new(uint32_t domid, const struct colo_learn *learn,
                              const struct colo_clock *clock,
                              const struct colo_log *log,
                              struct colo_announce **ret,
                              struct colo_error *err);
int __wrap_colo__announce_new(uint32_t domid, const struct colo_learn *learn,
                              const struct colo_clock *clock,
                              const struct colo_log *log,
                              struct colo_announce **ret,
                              struct colo_error *err)
{
    (void)domid, (void)learn, (void)clock, (void)log, (void)ret;
    announced.calls++;
    announced.abandons = sim_hv_calls(announced.hv, SIM_OP_ABANDON);
    return colo__fail(err, COLO_E_SYS, 0, "test", "there is no network");
}

START_TEST(protects_and_stops)
{
    struct session_pair t;
    struct colo_status st = { .size = sizeof(st) };

    pair_init(&t);
    pair_open(&t, NULL, NULL);
    pair_protected(&t, 20);
    ck_assert_int_eq(colo_query_status(t.p.session, &st, NULL), 0);
    ck_assert_int_eq(st.mode, COLO_MODE_REMUS);
    ck_assert_uint_ge(st.epoch, 20);
    ck_assert_uint_gt(st.audit_pages, 0);
    ck_assert_uint_eq(st.audit_mismatches, 0);
    ck_assert_int_eq(st.audit_off, 0);
    ck_assert_uint_gt(st.pause_median_us, 0);

    ck_assert_int_eq(colo_session_stop(t.p.session, NULL), 0);
    pair_until(&t, 5000, t.p.rc <= 0 && t.s.rc <= 0);
    ck_assert_msg(t.p.rc == 0, "%s", t.p.err.text);
    ck_assert_msg(t.s.rc == 0, "%s", t.s.err.text);
    ck_assert_int_eq(t.p.exit_reason, COLO_REASON_REQUEST);
    ck_assert_int_eq(guest_state(t.guest), COLO_HV_RUNNING);
    pair_close(&t);
}
END_TEST

/* An operator at the backup ends it for both; a signal there does not. */
START_TEST(ended_at_the_backup)
{
    struct session_pair t;

    for (int operator = 0; operator < 2; operator++) {
        pair_init(&t);
        pair_open(&t, NULL, NULL);
        pair_protected(&t, 5);
        t.s.session->operator_stop = operator;
        ck_assert_int_eq(colo_session_stop(t.s.session, NULL), 0);
        pair_until(&t, 5000, t.p.rc <= 0 && t.s.rc <= 0);
        ck_assert_msg(t.p.rc == (operator ? 0 : COLO_E_PEER), "%s",
                      t.p.err.text);
        ck_assert_int_eq(t.s.rc, 0);
        ck_assert_int_eq(guest_state(t.guest), COLO_HV_RUNNING);
        pair_close(&t);
    }
}
END_TEST

/* the host of the primary dies: its sockets fall silent and then close */
START_TEST(takes_over)
{
    struct session_pair t;
    struct sim_guest *replica;
    char why[200];

    pair_init(&t);
    pair_open(&t, NULL, NULL);
    pair_protected(&t, 10);
    shutdown(t.p.control_fd, SHUT_RDWR);
    t.p.rc = 0; /* it does nothing any more */
    pair_until(&t, 5000, t.s.rc <= 0);
    ck_assert_msg(t.s.rc == 0, "%s", t.s.err.text);
    replica = sim_hv_guest(t.s.hv);
    ck_assert_ptr_nonnull(replica);
    ck_assert_int_eq(guest_state(replica), COLO_HV_RUNNING);
    ck_assert(sim_guest_wait_steps(replica, 200, 5000));
    sim_guest_pause(replica, true);
    ck_assert_msg(sim_guest_verify(replica, &t.sim, why, sizeof(why)), "%s",
                  why);
    pair_close(&t);
}
END_TEST

/* Its clients find it before a toolstack has taken note. */
START_TEST(announces_first)
{
    struct session_pair t;

    pair_init(&t);
    pair_open(&t, NULL, NULL);
    pair_protected(&t, 5);
    announced.hv = t.s.hv;
    t.s.session->network.learn.count = 1;
    shutdown(t.p.control_fd, SHUT_RDWR);
    t.p.rc = 0;
    pair_until(&t, 5000, t.s.rc <= 0);
    ck_assert_msg(t.s.rc == 0, "%s", t.s.err.text);
    ck_assert_int_eq(announced.calls, 1);
    ck_assert_uint_eq(announced.abandons, 0);
    ck_assert_uint_eq(sim_hv_calls(t.s.hv, SIM_OP_ABANDON), 1);
    pair_close(&t);
}
END_TEST

START_TEST(backup_lost)
{
    struct session_pair t;

    pair_init(&t);
    pair_open(&t, NULL, NULL);
    pair_protected(&t, 10);
    shutdown(t.s.control_fd, SHUT_RDWR);
    t.s.rc = 0;
    pair_until(&t, 5000, t.p.rc <= 0);
    ck_assert_int_eq(t.p.rc, COLO_E_PEER);
    ck_assert_int_eq(t.p.exit_reason, COLO_REASON_ERROR);
    ck_assert_int_eq(guest_state(t.guest), COLO_HV_RUNNING);
    pair_close(&t);
}
END_TEST

START_TEST(operator_takes_over)
{
    struct session_pair t;

    pair_init(&t);
    pair_open(&t, NULL, NULL);
    pair_protected(&t, 10);
    ck_assert_int_eq(colo_set_replication(t.s.session, 0, 0, 1, NULL), 0);
    pair_until(&t, 5000, t.p.rc <= 0 && t.s.rc <= 0);
    ck_assert_msg(t.s.rc == 0, "%s", t.s.err.text);
    ck_assert_int_eq(t.p.rc, COLO_E_REFUSED);
    ck_assert_int_eq(t.s.exit_reason, COLO_REASON_REQUEST);
    ck_assert_int_eq(guest_state(sim_hv_guest(t.s.hv)), COLO_HV_RUNNING);
    ck_assert_int_eq(guest_state(t.guest), COLO_HV_GONE);
    pair_close(&t);
}
END_TEST

START_TEST(guest_powers_off)
{
    struct session_pair t;

    pair_init(&t);
    pair_open(&t, NULL, NULL);
    pair_protected(&t, 10);
    sim_guest_shutdown(t.guest, COLO_HV_POWEROFF);
    pair_until(&t, 5000, t.p.rc <= 0 && t.s.rc <= 0);
    ck_assert_int_eq(t.p.rc, COLO_E_GUEST);
    ck_assert_ptr_nonnull(strstr(t.p.err.text, "powered off"));
    ck_assert_msg(t.s.rc == 0, "%s", t.s.err.text);
    ck_assert_uint_eq(sim_hv_calls(t.p.hv, SIM_OP_END), 1);
    ck_assert_uint_ge(sim_hv_calls(t.s.hv, SIM_OP_DESTROY), 1);
    ck_assert_uint_eq(sim_hv_calls(t.s.hv, SIM_OP_START), 0);
    pair_close(&t);
}
END_TEST

/* An operator resumes the paused replica: it is no copy of anything then. */
START_TEST(replica_let_run)
{
    struct session_pair t;
    struct sim_guest *replica;

    pair_init(&t);
    pair_open(&t, NULL, NULL);
    pair_protected(&t, 5);
    replica = sim_hv_guest(t.s.hv);
    ck_assert_int_eq(guest_state(replica), COLO_HV_PAUSED);
    sim_guest_pause(replica, false);
    pair_until(&t, 5000, pair_over(&t));
    ck_assert_int_eq(t.s.rc, COLO_E_GUEST);
    ck_text(t.s.err, "let the replica");
    ck_assert_int_eq(guest_state(replica), COLO_HV_GONE);
    ck_assert_int_eq(t.p.rc, COLO_E_PEER_SAID);
    ck_text(t.p.err, "let the replica");
    ck_assert_int_eq(guest_state(t.guest), COLO_HV_RUNNING);
    pair_close(&t);
}
END_TEST

/* Or destroys it: both sides say so, and the guest runs on. */
static bool go_on(struct colo_hv *hv)
{
    (void)hv;
    return true;
}

/* Only its device model: that writes into the replica's memory. */
START_TEST(devices_let_run)
{
    struct session_pair t;
    struct colo_hv_ops ops;
    struct colo_life_ops life;

    pair_init(&t);
    pair_open(&t, NULL, NULL);
    pair_protected(&t, 3);
    ops = *colo__hv_ops(t.s.hv);
    life = *ops.life;
    life.devices_go_on = go_on;
    ops.life = &life;
    *(const struct colo_hv_ops **)t.s.hv = &ops;
    pair_until(&t, 10000, t.p.rc <= 0 && t.s.rc <= 0);
    ck_text(t.s.err, "let the replica");
    ck_text(t.p.err, "let the replica");
    ck_assert_int_eq(guest_state(t.guest), COLO_HV_RUNNING);
    pair_close(&t);
}
END_TEST

START_TEST(replica_destroyed)
{
    struct session_pair t;

    pair_init(&t);
    pair_open(&t, NULL, NULL);
    pair_protected(&t, 5);
    sim_guest_kill(sim_hv_guest(t.s.hv));
    pair_until(&t, 5000, pair_over(&t));
    ck_assert_int_eq(t.s.rc, COLO_E_GUEST);
    ck_text(t.s.err, "somebody destroyed the replica");
    ck_assert_int_eq(t.p.rc, COLO_E_PEER_SAID);
    ck_text(t.p.err, "somebody destroyed the replica");
    ck_assert_int_eq(guest_state(t.guest), COLO_HV_RUNNING);
    pair_close(&t);
}
END_TEST

/* And while an epoch is on its way into it: whichever call meets that. */
struct kill_at {
    struct session_pair *t;
    const char *step;
    bool done;
};

static void kill_at_step(void *user, const char *step)
{
    struct kill_at *at = user;

    if (at->done || at->t->p.checkpoints < 3 || strcmp(step, at->step))
        return;
    at->done = true;
    sim_guest_kill(sim_hv_guest(at->t->s.hv));
}

START_TEST(replica_destroyed_at_any_step)
{
    static const char *const steps[] = { "reply", "whole", "received",
                                         "loaded" };

    for (size_t i = 0; i < COLO_ARRAY_LEN(steps); i++) {
        struct session_pair t;
        struct kill_at at = { .t = &t, .step = steps[i] };
        struct colo_parts parts = { .step_fn = kill_at_step,
                                    .step_user = &at };

        pair_init(&t);
        pair_open(&t, NULL, &parts);
        pair_until(&t, 5000, pair_over(&t));
        ck_assert_msg(at.done, "step %s never came", steps[i]);
        ck_text(t.s.err, "somebody destroyed the replica");
        ck_text(t.p.err, "somebody destroyed the replica");
        ck_assert_int_eq(guest_state(t.guest), COLO_HV_RUNNING);
        pair_close(&t);
    }
}
END_TEST

/* One that ran after the last epoch does not take over. */
START_TEST(takeover_of_one_that_ran)
{
    struct session_pair t;

    pair_init(&t);
    pair_open(&t, NULL, NULL);
    pair_protected(&t, 5);
    pair_until(&t, 5000, t.s.session->state == COLO_STATE_READY);
    shutdown(t.p.control_fd, SHUT_RDWR);
    t.p.rc = 0;
    sim_guest_pause(sim_hv_guest(t.s.hv), false);
    pair_until(&t, 5000, t.s.rc <= 0);
    ck_assert_int_eq(t.s.rc, COLO_E_GUEST);
    ck_text(t.s.err, "let the replica");
    ck_assert_uint_eq(sim_hv_calls(t.s.hv, SIM_OP_START), 0);
    pair_close(&t);
}
END_TEST

START_TEST(refuses_enable_with_failover)
{
    struct session_pair t;
    struct colo_error err;

    pair_init(&t);
    pair_open(&t, NULL, NULL);
    ck_assert_int_eq(colo_set_replication(t.p.session, 1, 1, 1, &err),
                     COLO_E_INVAL);
    ck_assert_ptr_nonnull(strstr(err.text, "failover"));
    ck_assert_int_eq(colo_set_replication(t.p.session, 0, 0, 0, &err),
                     COLO_E_INVAL);
    ck_assert_int_eq(colo_session_failover(t.s.session, &err), COLO_E_STATE);
    ck_assert_int_eq(colo_session_set_delay(t.p.session, 0, &err),
                     COLO_E_INVAL);
    ck_assert_int_eq(colo_session_set_delay(t.p.session, 50, &err), 0);
    ck_assert_int_eq(colo_session_set_delay(t.s.session, 50, &err),
                     COLO_E_STATE);
    pair_close(&t);
}
END_TEST

PURE_MAIN("session-remus", protects_and_stops, ended_at_the_backup,
          takes_over, announces_first, backup_lost,
          operator_takes_over, guest_powers_off, replica_let_run, devices_let_run,
          replica_destroyed, replica_destroyed_at_any_step,
          takeover_of_one_that_ran,
          refuses_enable_with_failover)
