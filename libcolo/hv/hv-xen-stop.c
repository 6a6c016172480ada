/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Stopping the guest, by its own help or, where it has no PV drivers, without,
 * and letting it go on: the request in xenstore or to Xen, the event channel by
 * which Xen tells at once that the guest stands still, taking a request back,
 * and the resume that gives suspend's caller a 1 ("nothing has happened").
 * Whatever fails, the guest is not left stopped.  Thread rule: hv.h's.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compat-xen.h"
#include "hv-xen.h"

#define CANCEL_WAIT_MS 1000  /* the guest has said yes: it takes this long */
#define CLOSE_WAIT_MS 10000
#define TRANSACTION_TRIES 50
#define RESUME_TRIES 3
#define OTHERS_MS 100        /* somebody's "poweroff" waits for the guest */
#define LOOK_MS 5
#define CONTROL "/local/domain/%u/control/shutdown"
#define LOCK_DIR "/run/libcolo"
#define LOCK_MS 2000

/* ---- the event channel ---- */

static void unsubscribe(struct colo_hv_xen *hv)
{
    struct colo_xen_stop *s = &hv->stop;

    if (!s->subscribed)
        return;
    xc_domain_subscribe_for_suspend(hv->xch, hv->domid, 0);
    s->subscribed = false;
}

/* Not before the seed: while subscribed, Xen does not tell xenstored of
 * suspends, and a stock suspend would wait in vain. */
static int subscribe(struct colo_hv_xen *hv, struct colo_error *err)
{
    struct colo_xen_stop *s = &hv->stop;
    int rc;

    if (s->subscribed)
        return 0;
    rc = colo__hv_xen_exclude(hv, err);
    if (rc)
        return rc;
    if (xc_domain_subscribe_for_suspend(hv->xch, hv->domid,
                                        s->remote_port) < 0)
        return colo__hv_xen_fail(hv, err, "ask for suspend events");
    s->subscribed = true;
    return 0;
}

/* ---- going on ---- */

/* Session, watchdog and a seed's helper may all want to let the guest go on.
 * The second one must not put a 1 into the rax of a guest that runs already,
 * so looking and resuming is one step under a lock. */
static void lock_open(struct colo_hv_xen *hv)
{
    char path[64];

    if (hv->stop.lock_fd >= 0)
        return;
    (void)mkdir(LOCK_DIR, 0700);
    snprintf(path, sizeof(path), LOCK_DIR "/resume-%u", hv->domid);
    hv->stop.lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
                            0600);
}

static int lock(struct colo_hv_xen *hv, struct colo_error *err)
{
    if (hv->stop.lock_fd < 0)
        return 0; /* no place for locks: rather a guest that runs */
    for (int ms = 0; flock(hv->stop.lock_fd, LOCK_EX | LOCK_NB) < 0;
         ms += LOOK_MS) {
        if (ms >= LOCK_MS)
            return colo__fail(err, COLO_E_TIMEOUT, 0, "hv-xen",
                              "somebody else is resuming domain %u",
                              hv->domid);
        poll(NULL, 0, LOOK_MS);
    }
    return 0;
}

static void unlock(struct colo_hv_xen *hv)
{
    if (hv->stop.lock_fd >= 0)
        flock(hv->stop.lock_fd, LOCK_UN);
}

/* The suspend hypercall returns 1 to the guest: "you were not moved". */
static int return_one(struct colo_hv_xen *hv, struct colo_error *err)
{
    bool keep = hv->stop.xstate != NULL;
    vcpu_guest_context_any_t ctxt;

    if (keep && colo__hv_xen_xstate_get(hv) < 0) {
        colo__log(&hv->log, COLO_LOG_WARNING, errno, "hv-xen",
                  "cannot keep the wide registers of vCPU 0");
        keep = false;
    }
    if (xc_vcpu_getcontext(hv->xch, hv->domid, 0, &ctxt) < 0)
        return colo__hv_xen_fail(hv, err, "get vCPU 0's registers");
    ctxt.c.user_regs.rax = 1;
    if (xc_vcpu_setcontext(hv->xch, hv->domid, 0, &ctxt) < 0)
        return colo__hv_xen_fail(hv, err, "set vCPU 0's registers");
    if (keep && colo__hv_xen_xstate_set(hv) < 0)
        colo__log(&hv->log, COLO_LOG_WARNING, errno, "hv-xen",
                  "cannot put back the wide registers of vCPU 0");
    return 0;
}

/* xenstored tells of a shutdown only once until it is told that the guest
 * goes on.  It hardly ever knows of ours (see subscribe). */
void colo__hv_xen_tell_xenstored(struct colo_hv_xen *hv)
{
    if (!hv->stop.xs_stale)
        return;
    hv->stop.xs_stale = false;
    if (!xs_resume_domain(hv->xs, hv->domid))
        colo__log(&hv->log, COLO_LOG_WARNING, errno, "hv-xen",
                  "xenstored does not know that domain %u goes on",
                  hv->domid);
}

/* *ret_resumed: it was suspended, and goes on.  Devices go on first; at the
 * last try the processors do so even without, and an error says that. */
static int resume_once(struct colo_hv_xen *hv, bool last, bool *ret_resumed,
                       struct colo_error *err)
{
    struct xen_domctl op = {
        .cmd = XEN_DOMCTL_resumedomain,
        .domain = (domid_t)hv->domid,
    };
    int devices = 0, rc = lock(hv, err);
    xc_domaininfo_t info;

    if (rc)
        return rc;
    rc = colo__hv_xen_getinfo(hv, &info, err);
    if (rc) goto out;
    /* one that runs without its devices is the work of a last try */
    if (colo__hv_xen_is_suspended(&info) || hv->stop.stopped)
        devices = colo__hv_xen_devices_cont(hv, err);
    if (!colo__hv_xen_is_suspended(&info) || (devices && !last)) {
        rc = devices;
        goto out;
    }
    if (hv->stop.need_rax) {
        rc = return_one(hv, devices ? NULL : err);
        if (rc) goto out;
    }
    if (colo__hv_xen_domctl(hv, &op) < 0) {
        rc = colo__hv_xen_fail(hv, err, "resume");
    } else {
        *ret_resumed = true;
        rc = devices;
    }
out:
    unlock(hv);
    return rc;
}

/* A guest that stays stopped is the worst that can happen: what failed for
 * want of memory may work a moment later. */
int colo__hv_xen_resume(struct colo_hv *chv, struct colo_error *err)
{
    struct colo_hv_xen *hv = colo__hv_xen(chv);
    bool resumed = false, last = false;
    int rc;

    for (int i = 2;; i++) {
        rc = resume_once(hv, last, &resumed, err);
        if (!rc || rc == COLO_E_GUEST || last)
            break;
        /* devices that hang take as long again when asked again */
        last = i == RESUME_TRIES || rc == COLO_E_TIMEOUT;
        poll(NULL, 0, LOOK_MS);
    }
    if (resumed)
        colo__hv_xen_tell_xenstored(hv);
    if (rc)
        return rc;
    hv->stop.stopped = hv->stop.requested = false;
    /* who has said yes and still runs stands still later: look() sees to it */
    if (resumed)
        hv->stop.late = false;
    return 0;
}

/* ---- what has happened ---- */

/* Waits where there is nothing: poll says whether there is. */
static bool take_event(struct colo_hv_xen *hv)
{
    xenevtchn_port_or_error_t port = xenevtchn_pending(hv->xce);

    if (port < 0)
        return false;
    xenevtchn_unmask(hv->xce, (evtchn_port_t)port);
    return true;
}

static int look(struct colo_hv_xen *hv, uint32_t *events, bool *ret_runs,
                struct colo_error *err)
{
    struct colo_xen_stop *s = &hv->stop;
    xc_domaininfo_t info;
    int rc;

    *ret_runs = false;
    rc = colo__hv_xen_getinfo(hv, &info, err);
    if (rc && rc != COLO_E_GUEST)
        return rc;
    if (rc || (info.flags & XEN_DOMINF_dying) ||
        ((info.flags & XEN_DOMINF_shutdown) &&
         !colo__hv_xen_is_suspended(&info))) {
        if (!hv->gone_reported)
            *events |= COLO_HV_EV_GUEST;
        hv->gone_reported = true;
        return 0;
    }
    *ret_runs = !colo__hv_xen_is_suspended(&info);
    if (*ret_runs)
        return 0;
    if (s->late)
        return colo__hv_xen_resume((struct colo_hv *)hv, err);
    /* before anybody reads the dirty record: devices may still be writing */
    rc = s->stopped ? 0 : colo__hv_xen_devices_stop(hv, err);
    if (rc)
        return rc;
    /* asked for by us, or by somebody else: the session knows */
    if (!s->stopped)
        *events |= COLO_HV_EV_STOPPED;
    s->requested = false;
    s->stopped = true;
    return 0;
}

int colo__hv_xen_stop_release(struct colo_hv_xen *hv, uint32_t *events,
                              struct colo_error *err)
{
    bool runs;
    int rc;

    /* xenstored has just looked at all domains: if ours stood still at that
     * moment, its real end would not be told any more. */
    hv->stop.xs_stale = true;
    rc = look(hv, events, &runs, err);
    if (!rc && runs && (!hv->is_secondary || hv->replica.runs))
        colo__hv_xen_tell_xenstored(hv);
    return rc;
}

/* ---- the calls ---- */

/* Is a request there that the guest has not read yet? */
static bool has_request(struct colo_hv_xen *hv, const char *path)
{
    unsigned len = 0;
    char *value = xs_read(hv->xs, XBT_NULL, path, &len);
    bool has = value && value[0];

    free(value);
    return has;
}

/* Not over somebody's "poweroff": it would be lost. */
static int write_control(struct colo_hv_xen *hv, struct colo_error *err)
{
    char path[64];

    snprintf(path, sizeof(path), CONTROL, hv->domid);
    for (int ms = 0; ms < OTHERS_MS && has_request(hv, path); ms += LOOK_MS)
        poll(NULL, 0, LOOK_MS);
    if (!xs_write(hv->xs, XBT_NULL, path, "suspend", 7))
        return colo__fail(err, COLO_E_STORE, errno, "hv-xen",
                          "cannot ask domain %u to suspend", hv->domid);
    return 0;
}

/* An HVM guest without PV drivers has no callback; it cannot be asked and
 * has no suspend call to return from. */
void colo__hv_xen_stop_prepare(struct colo_hv_xen *hv)
{
    uint64_t irq = 0;

    lock_open(hv);
    colo__hv_xen_xstate_prepare(hv);
    /* a PV guest knows no other way to stop */
    if (!hv->pv.is)
        xc_hvm_param_get(hv->xch, hv->domid, HVM_PARAM_CALLBACK_IRQ, &irq);
    hv->stop.need_rax = hv->pv.is || irq != 0;
}

/* An HVM guest without PV drivers is just stopped. */
static int ask(struct colo_hv_xen *hv, struct colo_error *err)
{
    if (hv->stop.need_rax)
        return write_control(hv, err);
    if (xc_domain_shutdown(hv->xch, hv->domid, SHUTDOWN_suspend) < 0)
        return colo__hv_xen_fail(hv, err, "stop");
    return 0;
}

/* Xen has said that the guest stands still, and it runs: a tool that may not
 * suspend it (xl save) "resumes" it when it gives up, also out of a suspend of
 * ours.  The answer to our request is gone with that. */
static int ask_again(struct colo_hv_xen *hv, struct colo_error *err)
{
    char path[64];

    snprintf(path, sizeof(path), CONTROL, hv->domid);
    if (!hv->stop.requested || hv->stop.late ||
        (hv->stop.need_rax && has_request(hv, path)))
        return 0;
    colo__log(&hv->log, COLO_LOG_WARNING, -1, "hv-xen",
              "somebody has resumed domain %u: it is stopped again",
              hv->domid);
    return ask(hv, err);
}

int colo__hv_xen_stop_event(struct colo_hv_xen *hv, uint32_t *events,
                            struct colo_error *err)
{
    bool runs;
    int rc;

    if (!take_event(hv))
        return errno == EAGAIN || errno == EINTR ? 0 :
               colo__fail(err, COLO_E_HV, errno, "hv-xen",
                          "cannot read an event");
    if (!hv->has_domain)
        return 0;
    rc = look(hv, events, &runs, err);
    return rc || !runs ? rc : ask_again(hv, err);
}

static int stop_request(struct colo_hv *chv, struct colo_error *err)
{
    struct colo_hv_xen *hv = colo__hv_xen(chv);
    struct pollfd pfd = { xenevtchn_fd(hv->xce), POLLIN, 0 };
    xc_domaininfo_t info;
    int rc = colo__hv_xen_getinfo(hv, &info, err);

    if (rc)
        return rc;
    if (info.flags & XEN_DOMINF_dying)
        return colo__fail(err, COLO_E_GUEST, 0, "hv-xen",
                          "domain %u is dying", hv->domid);
    if ((info.flags & XEN_DOMINF_shutdown) && hv->replica.runs)
        return colo__hv_xen_replica_ended(hv, err);
    if (info.flags & XEN_DOMINF_shutdown)
        return colo__fail(err, colo__hv_xen_is_suspended(&info) ?
                          COLO_E_STATE : COLO_E_GUEST, 0, "hv-xen",
                          "domain %u is already shut down (reason %d)",
                          hv->domid, compat_shutdown_reason(&info));
    rc = subscribe(hv, err);
    if (rc)
        return rc;
    colo__hv_xen_stop_prepare(hv);
    /* what it has registered with Xen the next machine state does not know */
    if (hv->stop.need_rax && hv->is_secondary)
        return colo__fail(err, COLO_E_UNSUPPORTED, 0, "hv-xen",
                          "the guest uses PV drivers now: it cannot run on "
                          "both hosts");
    while (poll(&pfd, 1, 0) > 0 && take_event(hv))
        ; /* what comes from here on is of this request */
    rc = ask(hv, err);
    if (!rc) {
        hv->stop.requested = true;
        hv->stop.late = false;
    }
    return rc;
}

/* Take "suspend" out of the node unless the guest has answered.
 * Returns 1 withdrawn, 0 the guest has said yes, < 0 error. */
static int withdraw(struct colo_hv_xen *hv, struct colo_error *err)
{
    char path[64];

    snprintf(path, sizeof(path), CONTROL, hv->domid);
    for (int i = 0; i < TRANSACTION_TRIES; i++) {
        xs_transaction_t t = xs_transaction_start(hv->xs);
        bool asked, ok;
        unsigned len;
        char *value;

        if (t == XBT_NULL)
            break;
        value = xs_read(hv->xs, t, path, &len);
        asked = value && !strcmp(value, "suspend");
        free(value);
        ok = !asked || xs_write(hv->xs, t, path, "", 0);
        if (!ok || !asked) {
            xs_transaction_end(hv->xs, t, true);
            if (ok)
                return 0;
            break;
        }
        if (xs_transaction_end(hv->xs, t, false))
            return 1;
        if (errno != EAGAIN)
            break;
    }
    return colo__fail(err, COLO_E_STORE, errno, "hv-xen",
                      "cannot take back the suspend request of domain %u",
                      hv->domid);
}

/* Wait until the guest that said yes stands still.  Looks now and then even
 * without an event: the guest may have reset its event channels. */
static int wait_stopped(struct colo_hv_xen *hv, int timeout_ms,
                        bool *ret_stopped, struct colo_error *err)
{
    uint64_t end = colo__now_us(&colo__clock_monotonic) +
                   (uint64_t)timeout_ms * 1000;
    xc_domaininfo_t info;

    for (;;) {
        struct pollfd pfd = { xenevtchn_fd(hv->xce), POLLIN, 0 };
        int rc = colo__hv_xen_getinfo(hv, &info, err);

        if (rc)
            return rc;
        *ret_stopped = colo__hv_xen_is_suspended(&info);
        if (*ret_stopped || (info.flags & XEN_DOMINF_shutdown) ||
            colo__now_us(&colo__clock_monotonic) >= end)
            return 0;
        if (poll(&pfd, 1, 50) > 0)
            take_event(hv);
    }
}

static int stop_cancel(struct colo_hv *chv, bool *ret_stopped,
                       struct colo_error *err)
{
    struct colo_hv_xen *hv = colo__hv_xen(chv);
    struct colo_xen_stop *s = &hv->stop;
    int rc, wait_ms = s->requested ? CANCEL_WAIT_MS : 0;
    bool stopped = false;

    if (s->requested && s->need_rax) {
        rc = withdraw(hv, err);
        if (rc < 0)
            return rc;
        if (rc == 1)
            wait_ms = 0;
    }
    rc = wait_stopped(hv, wait_ms, &stopped, err);
    if (rc)
        return rc;
    if (stopped && s->requested) {
        /* and no event told us: the channel may have been reset */
        unsubscribe(hv);
        colo__hv_xen_exclude_end(hv);
        s->stopped = true;
    } else if (wait_ms) {
        s->late = true; /* poll lets it go on when it stops after all */
    }
    s->requested = false;
    *ret_stopped = stopped;
    return 0;
}

void colo__hv_xen_stop_close(struct colo_hv_xen *hv)
{
    struct colo_xen_stop *s = &hv->stop;
    struct colo_error err = { 0 };
    bool stopped = s->stopped;
    int rc = 0;

    if (hv->has_domain && !hv->is_secondary) {
        if (s->requested)
            rc = stop_cancel((struct colo_hv *)hv, &stopped, &err);
        if (!rc && s->late)
            rc = wait_stopped(hv, CLOSE_WAIT_MS, &stopped, &err);
        s->late = false;
        if (!rc && stopped)
            rc = colo__hv_xen_resume((struct colo_hv *)hv, &err);
        if (rc && rc != COLO_E_GUEST)
            colo__log(&hv->log, COLO_LOG_ERROR, err.sys_errno, "hv-xen",
                      "%s", err.text);
    }
    unsubscribe(hv);
    colo__hv_xen_exclude_end(hv);
    colo__hv_xen_xstate_close(hv);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    s->lock_fd = -1;
}

const struct colo_stop_ops colo__hv_xen_stop_ops = {
    .request = stop_request,
    .cancel = stop_cancel,
    .resume = colo__hv_xen_resume,
};
