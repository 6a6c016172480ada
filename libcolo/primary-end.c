/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The primary's ways out: stopped in order, the guest has ended, the other
 * side has it.  On every one of them a guest that lives goes on.  Session's
 * thread.
 */
#include "../xenstore/publish.h"
#include "hv/watchdog.h"
#include "primary-internal.h"

/* The peer is asked to end and given this long before we go on without its
 * answer; carrying out the guest's end may take the toolstack longer. */
#define ANSWER_MS 3000
#define STOCK_ANSWER_MS 10000 /* xl has destroyed the replica by then */
#define GUEST_END_MS 60000
#define RESUME_TRIES 3

/* Let the guest go on. Tried again, since nothing is worse than a guest that
 * stands still; the watchdog tries once more when we are gone. */
int colo__primary_resume(struct colo_session *s, struct colo_error *err)
{
    int rc = 0;

    for (int i = 0; i < RESUME_TRIES; i++) {
        rc = colo__session_hv(s)->stop->resume(s->parts.hv, err);
        /* devices that hang take as long again; the processors go on */
        if (!rc || rc == COLO_E_TIMEOUT)
            break;
    }
    if (!rc)
        s->p.guest_stopping = false;
    return rc;
}

/* However far it has come: no stop is under way and the guest runs. */
int colo__primary_let_run(struct colo_session *s, struct colo_error *err)
{
    struct colo_error ignored;
    bool stopped = false;
    int rc;

    atomic_store(&s->p.transfer.abort, true);
    if (!s->p.guest_stopping)
        return 0;
    rc = colo__session_hv(s)->stop->cancel(s->parts.hv, &stopped, err);
    if (!rc)
        return colo__primary_resume(s, err);
    /* the request stands, but perhaps the guest need not */
    (void)colo__session_hv(s)->stop->resume(s->parts.hv, &ignored);
    return rc;
}

static uint64_t answer_us(const struct colo_session *s)
{
    return colo__now_us(s->clock) +
           (uint64_t)(s->stock ? STOCK_ANSWER_MS : ANSWER_MS) * 1000;
}

int colo__primary_end_stop(struct colo_session *s, struct colo_error *err)
{
    int rc;

    colo__session_set_mode(s, s->mode, COLO_REASON_PROCESSING);
    s->p.await_answer = s->peer_known;
    /* First: a guest that is slow to suspend is waited for, without a sign of
     * life, and whatever comes of it, it stays here. */
    colo__control_send(s, COLO_MSG_STOP, s->epoch, 0, NULL, 0);
    rc = colo__primary_let_run(s, err);
    s->state_deadline_us = answer_us(s);
    return rc;
}

static const char *end_name(int reason)
{
    switch (reason) {
    case COLO_HV_POWEROFF:
        return "has powered off";
    case COLO_HV_REBOOT:
        return "reboots";
    case COLO_HV_CRASH:
        return "has crashed";
    default:
        return "has ended";
    }
}

int colo__primary_end_guest(struct colo_session *s, struct colo_error *err)
{
    (void)err;
    atomic_store(&s->p.transfer.abort, true);
    s->p.guest_stopping = false;
    colo__session_set_mode(s, s->mode, COLO_REASON_PROCESSING);
    colo__fail(&s->outcome, COLO_E_GUEST, 0, "primary", "the guest %s",
               s->guest_gone ? "was destroyed"
                             : end_name(s->guest_reason));
    colo__log(s->log, COLO_LOG_NOTICE, -1, "primary", "%s",
              s->outcome.text);
    /* Its last output must not get out while the replica could still come to
     * life: first the peer's answer, then the followers are released. */
    s->p.await_answer = s->peer_known;
    colo__control_send(s, COLO_MSG_GUEST_END, s->epoch,
                       (uint64_t)s->guest_reason, NULL, 0);
    s->state_deadline_us = answer_us(s);
    return 0;
}

/* A stock peer knows only the loss of this host, which has not been lost. */
bool colo__primary_hands_over(struct colo_session *s)
{
    const struct colo_life_ops *life;

    if (!s->committed || s->stock || s->link_dead || s->guest_reason >= 0 ||
        s->guest_gone ||
        !colo__transition(s->table, s->state, COLO_EV_CRIPPLED))
        return false;
    life = colo__session_hv(s)->life;
    if (!s->p.crippled && (!life->crippled || !life->crippled(s->parts.hv)))
        return false;
    s->p.crippled = true;
    colo__session_raise(s, COLO_EV_CRIPPLED);
    return true;
}

/* For the watchdog, and for `colo recover` where that was killed, too. */
static void note_yield(struct colo_session *s, bool yields)
{
    struct colo_error err;

    colo__watchdog_yield(s->parts.watchdog_fd, yields);
    if (s->publish && colo__publish_yield(s->publish, yields, &err))
        colo__session_warn(s, err.text);
}

/* The other side has the guest, or gets it: what was not committed is
 * dropped. */
int colo__primary_yield(struct colo_session *s, struct colo_error *err)
{
    struct colo_error ignored;
    int rc;

    colo__session_set_mode(s, s->mode, COLO_REASON_PROCESSING);
    atomic_store(&s->p.transfer.abort, true);
    note_yield(s, true);
    /* whatever a follower says: the other side counts on this guest's end */
    if (s->prepared && colo__followers_failover(s, &ignored))
        colo__session_warn(s, ignored.text);
    rc = colo__session_hv(s)->life->destroy(s->parts.hv, err);
    if (rc) {
        note_yield(s, false);
        return rc;
    }
    s->guest_gone = true;
    s->p.guest_stopping = false;
    if (s->error.code == COLO_E_PEER) /* it is there, and has the guest */
        s->error.code = 0;
    colo__fail(&s->outcome, COLO_E_REFUSED, 0, "primary", "%s",
               s->p.crippled ? "the guest's device model (QEMU) has ended "
                               "here: the other side goes on with the guest"
                             : "the guest was taken over by the other side");
    colo__control_send(s, COLO_MSG_STOP, s->epoch, 1, NULL, 0);
    colo__session_raise(s, COLO_EV_DONE);
    return 0;
}

/* In ENDING: the next thing that is due. */
void colo__primary_end_further(struct colo_session *s)
{
    struct colo_primary *p = &s->p;
    struct colo_error err = { 0 };
    bool late = colo__now_us(s->clock) >= s->state_deadline_us;

    if (p->await_answer && !s->link_dead && !late)
        return;
    if (p->await_answer && s->stock)
        colo__session_warn(s, "the stock Xen at the peer has not confirmed "
                              "that it has destroyed its replica: look there "
                              "for NAME--incoming, and in this host's syslog");
    p->await_answer = false;
    if (s->guest_reason >= 0 && !s->guest_gone && !p->guest_ended) {
        if (p->guest_ending)
            return; /* its deadline is the state's */
        p->guest_ending = true;
        /* its last words leave before its interfaces do */
        if (s->prepared && p->answered) {
            colo__followers_stop(s);
            s->prepared = false;
        }
        s->state_deadline_us = colo__now_us(s->clock) + GUEST_END_MS * 1000;
        if (colo__session_hv(s)->life->end_guest(s->parts.hv,
                                                 s->guest_reason, &err))
            colo__session_error(s, &err);
        return;
    }
    colo__session_raise(s, COLO_EV_DONE);
}

void colo__primary_finish(struct colo_session *s)
{
    struct colo_primary *p = &s->p;
    struct colo_error err = { 0 };

    if (!s->guest_gone && !p->guest_ended && s->guest_reason < 0) {
        if (colo__primary_let_run(s, &err)) {
            colo__log(s->log, COLO_LOG_ERROR, err.sys_errno, "primary",
                      "the guest could not be resumed: %s", err.text);
            colo__session_warn(s, err.text);
            s->guest_stuck = true;
        }
        if (p->tracking && colo__session_hv(s)->track(s->parts.hv, 0, &err))
            colo__session_warn(s, err.text);
    }
    if (s->prepared)
        colo__followers_stop(s);
    colo__disks_stop(s);
    colo__nets_stop(s);
    if (!s->guest_gone && !p->guest_ended && s->seed_start_us &&
        colo__session_hv(s)->life->abandon(s->parts.hv, &err))
        colo__session_warn(s, err.text);
}
