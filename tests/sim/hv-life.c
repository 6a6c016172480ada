/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * How the simulated guest is stopped, what its machine's state is, and how a
 * replica comes to life: the three duties that hv.h keeps apart.
 */
#include <sched.h>
#include <unistd.h>

#include "hv-internal.h"

#define WHERE "hv-sim"

/* ---- stop -------------------------------------------------------------- */

static int stop_request(struct colo_hv *hv, struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    int rc;

    rc = sim__enter_guest(h, SIM_OP_REQUEST, err);
    if (rc)
        return rc;
    /* if it stands still or has shut down already, poll says so */
    if (!sim__run_change(h->guest, SIM_RUNNING, SIM_ASKED))
        sim__tell(h->guest);
    h->stop_asked = true;
    if (h->guest->ctl->vcpu == SIM_VCPU_NONE &&
        !atomic_load(&h->guest->ctl->stuck) &&
        sim__run_change(h->guest, SIM_ASKED, SIM_STOPPED)) {
        atomic_fetch_add(&h->guest->ctl->stops, 1);
        sim__tell(h->guest);
    }
    return 0;
}

static int stop_cancel(struct colo_hv *hv, bool *ret_stopped,
                       struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    int rc;

    rc = sim__enter_guest(h, SIM_OP_CANCEL, err);
    if (rc)
        return rc;
    h->stop_asked = false;
    sim__run_change(h->guest, SIM_ASKED, SIM_RUNNING);
    *ret_stopped = atomic_load(&h->guest->ctl->run) == SIM_STOPPED;
    h->guest_told = *ret_stopped;
    return 0;
}

/* A seed that is still under way would stop the guest again later: end it. */
static int stop_resume(struct colo_hv *hv, struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    int rc;

    rc = sim__enter_guest(h, SIM_OP_RESUME, err);
    if (rc)
        return rc;
    if (h->seed && !h->secondary) {
        sim__seed_end(h->seed);
        h->seed = NULL;
    }
    h->guest_told = false;
    if (sim__run_change(h->guest, SIM_STOPPED, SIM_RUNNING))
        atomic_fetch_add(&h->guest->ctl->resumes, 1);
    return sim__devices(h, err);
}

/* ---- machine ----------------------------------------------------------- */

static int machine_get(struct colo_hv *hv, uint8_t *buf, uint32_t cap,
                       uint32_t *ret_len, struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    uint32_t len;
    int rc;

    rc = sim__enter_guest(h, SIM_OP_GET, err);
    if (!rc)
        rc = sim__devices(h, err);
    if (rc)
        return rc;
    if (atomic_load(&h->guest->ctl->run) != SIM_STOPPED)
        return colo__fail(err, COLO_E_STATE, 0, WHERE,
                          "context of a guest that is not stopped");
    len = sim__context_len(h->guest);
    *ret_len = len;
    if (len > cap)
        return colo__fail(err, COLO_E_LIMIT, 0, WHERE,
                          "the context has %u bytes", len);
    sim__context_get(h->guest, buf);
    return 0;
}

static int machine_check(struct colo_hv *hv, const uint8_t *buf, uint32_t len,
                         struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    struct pulse_state state;
    int rc;

    rc = sim__enter_guest(h, SIM_OP_CHECK, err);
    if (rc)
        return rc;
    return sim__context_check(h->guest, buf, len, &state, err);
}

/* It has no vCPU yet, or that has stopped, or seen that it is shut down. */
static int stands_still(const struct sim_guest *guest, struct colo_error *err)
{
    struct sim_ctl *ctl = guest->ctl;
    uint64_t end = colo__now_us(&colo__clock_monotonic) + 1000000;
    uint32_t kind = atomic_load(&ctl->run) & 0xff;

    if (!atomic_load(&ctl->vcpu_pid) && !guest->has_thread)
        return 0;
    while (kind == SIM_STOPPED || kind == SIM_SHUTDOWN) {
        if (!atomic_load(&ctl->in_step))
            return 0;
        if (colo__now_us(&colo__clock_monotonic) > end)
            break; /* its vCPU process was killed in a step */
        sched_yield();
    }
    return colo__fail(err, COLO_E_STATE, 0, WHERE, "the guest runs");
}

static int machine_set(struct colo_hv *hv, const uint8_t *buf, uint32_t len,
                       struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    struct pulse_state state;
    int rc;

    rc = sim__enter_guest(h, SIM_OP_SET, err);
    if (!rc)
        rc = sim__devices(h, err);
    if (rc)
        return rc;
    rc = stands_still(h->guest, err);
    if (rc)
        return rc;
    rc = sim__context_check(h->guest, buf, len, &state, err);
    if (rc)
        return rc;
    h->guest->ctl->context = state;
    atomic_store(&h->guest->ctl->steps, state.step);
    return 0;
}

/* ---- life -------------------------------------------------------------- */

static int life_seed_out(struct colo_hv *hv, int fd, struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    int rc;

    rc = sim__enter_guest(h, SIM_OP_SEED_OUT, err);
    if (rc) {
        close(fd);
        return rc;
    }
    sim__seed_end(h->seed);
    h->seed = NULL;
    h->seeded = false;
    return sim__seed_start(&h->guest, NULL, fd, h->own_event, &h->seed, err);
}

static int life_seed_in(struct colo_hv *hv, int fd, struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    int rc;

    rc = sim__enter(h, SIM_OP_SEED_IN, err);
    if (!rc && (!h->secondary || h->seed || h->guest))
        rc = colo__fail(err, COLO_E_STATE, 0, WHERE, "it has a guest");
    if (rc) {
        close(fd);
        return rc;
    }
    return sim__seed_start(&h->guest, &h->config, fd, h->own_event, &h->seed,
                           err);
}

/* Its processor, wherever it stands: not yet begun, paused, stopped. */
static int go(struct sim_hv *h, struct colo_error *err)
{
    int rc = sim_guest_run(h->guest, err);
    uint32_t run;

    if (rc)
        return rc;
    run = atomic_load(&h->guest->ctl->run);
    if ((run & 0xff) == SIM_STOPPED || (run & 0xff) == SIM_SHUTDOWN)
        sim__run_change(h->guest, run, SIM_RUNNING);
    return 0;
}

/* As a copy: destroy, or the end of what made it, is its end. */
static int life_run(struct colo_hv *hv, struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    int rc;

    rc = sim__enter_guest(h, SIM_OP_RUN, err);
    if (!rc)
        rc = sim__devices(h, err);
    if (rc)
        return rc;
    h->stop_asked = h->guest_told = false;
    atomic_store(&h->guest->ctl->copy, 1);
    return go(h, err);
}

static int life_start(struct colo_hv *hv, struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    int rc;

    rc = sim__enter_guest(h, SIM_OP_START, err);
    if (!rc)
        rc = sim__devices(h, err);
    if (rc)
        return rc;
    atomic_store(&h->guest->ctl->copy, 0);
    return go(h, err);
}

static int life_destroy(struct colo_hv *hv, struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    int rc;

    rc = sim__enter(h, SIM_OP_DESTROY, err);
    if (rc)
        return rc;
    sim__seed_end(h->seed);
    h->seed = NULL;
    if (h->guest)
        sim_guest_kill(h->guest);
    return 0;
}

/* Reboot: the same memory, as of step 0, under another domid, untracked. */
static void reboot(struct sim_guest *guest)
{
    struct sim_ctl *ctl = guest->ctl;

    sim_guest_track_off(guest);
    pulse_init(guest->mem, &ctl->context, &ctl->layout.pulse, NULL, NULL);
    for (uint32_t p = 0; p < ctl->context.pages; p++)
        sim_guest_mark(guest, p);
    atomic_store(&ctl->steps, 0);
    atomic_fetch_add(&ctl->domid, 1);
    atomic_store(&ctl->run, SIM_RUNNING);
    sim__kick(guest);
}

static int life_end_guest(struct colo_hv *hv, int reason,
                          struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    int rc;

    rc = sim__enter_guest(h, SIM_OP_END, err);
    if (rc)
        return rc;
    if ((atomic_load(&h->guest->ctl->run) & 0xff) != SIM_SHUTDOWN)
        return colo__fail(err, COLO_E_STATE, 0, WHERE,
                          "the guest has not shut down");
    if (reason == COLO_HV_REBOOT)
        reboot(h->guest);
    else
        sim_guest_kill(h->guest);
    h->guest_told = true;
    h->ended = true;
    sim__tell(h->guest);
    return 0;
}

static int life_abandon(struct colo_hv *hv, struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    int rc;

    rc = sim__enter_guest(h, SIM_OP_ABANDON, err);
    if (rc)
        return rc;
    atomic_fetch_add(&h->guest->ctl->abandons, 1);
    return 0;
}

/* As libxl: what it destroys, it pauses first. */
static bool life_crippled(struct colo_hv *hv)
{
    struct sim_hv *h = sim(hv);
    struct sim_look look;

    if (!h->guest || !atomic_load(&h->guest->ctl->crippled))
        return false;
    sim_guest_look(h->guest, &look);
    return look.state == COLO_HV_RUNNING || look.state == COLO_HV_STOPPED ||
           (h->secondary && look.state != COLO_HV_GONE);
}

/* ---- the ops ----------------------------------------------------------- */

const struct colo_stop_ops sim__stop_ops = {
    .request = stop_request,
    .cancel = stop_cancel,
    .resume = stop_resume,
};

const struct colo_machine_ops sim__machine_ops = {
    .get = machine_get,
    .check = machine_check,
    .set = machine_set,
};

const struct colo_life_ops sim__life_ops = {
    .seed_out = life_seed_out,
    .seed_in = life_seed_in,
    .run = life_run,
    .start = life_start,
    .destroy = life_destroy,
    .end_guest = life_end_guest,
    .abandon = life_abandon,
    .crippled = life_crippled,
};
