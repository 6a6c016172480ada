/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Putting right what a dead session has left at its guest.  Called by
 * colo-watchdog at once, by colo_recover() later, and by a helper whose session
 * has given it up.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "../../xenstore/owner.h"
#include "hv-xen.h"
#include "spawn.h"
#include "watchdog.h"

#define LOOK_MS 100
#define OTHERS_MS 1000
#define START_MS 20000
#define MONITOR_MS 20000 /* a toolstack's daemon may have to be asked */
#define UNDO_MS 10000    /* then: to undo what was begun, and watch itself */

/* The session that lives and has this guest, 0: none. */
static pid_t living_owner(struct colo_hv_xen *hv)
{
    struct colo_owner owner = { 0 };
    char path[80], uuid[40], *value;
    bool lives = false;
    unsigned len;

    colo__uuid_text(hv->uuid, uuid);
    snprintf(path, sizeof(path), "/libcolo/%s/" COLO_XS_OWNER, uuid);
    value = xs_read(hv->xs, XBT_NULL, path, &len);
    if (value)
        lives = !colo__xs_owner_parse(value, &owner, NULL) &&
                colo__owner_alive(&owner);
    free(value);
    return lives ? (pid_t)owner.pid : 0;
}

pid_t colo__hv_xen_session(uint32_t domid)
{
    struct colo_hv *chv = NULL;
    struct colo_error err;
    char number[16];
    pid_t pid;

    snprintf(number, sizeof(number), "%u", domid);
    if (colo__hv_xen_open(number, NULL, NULL, &chv, &err))
        return 0;
    pid = living_owner(colo__hv_xen(chv));
    colo__hv_ops(chv)->close(chv);
    return pid;
}

/* A new session suspends the guest itself and needs the record of its writes:
 * whatever the dead one has left is no longer ours to see to. */
static int taken(struct colo_hv_xen *hv, pid_t died, struct colo_error *err)
{
    pid_t owner = living_owner(hv);

    if (!owner || owner == died)
        return 0;
    /* nor does the close of this handle */
    hv->stop.requested = hv->stop.stopped = false;
    return colo__fail(err, COLO_E_EXISTS, 0, "recover", "domain %u has another "
                      "session by now (process %d)", hv->domid, (int)owner);
}

/* A suspend that is under way shows as nothing at all between the guest's
 * answer in xenstore and its standing still: so look for a while. */
static int wait_and_resume(struct colo_hv_xen *hv, pid_t died,
                           uint32_t wait_ms, struct colo_error *err)
{
    uint64_t end = colo__now_us(&colo__clock_monotonic) +
                   (uint64_t)wait_ms * 1000;

    for (;;) {
        xc_domaininfo_t info;
        int rc = colo__hv_xen_getinfo(hv, &info, err);

        if (!rc)
            rc = taken(hv, died, err);
        if (rc)
            return rc;
        if (colo__hv_xen_is_suspended(&info)) {
            hv->stop.xs_stale = true;
            rc = colo__hv_xen_resume((struct colo_hv *)hv, err);
            colo__log(&hv->log, COLO_LOG_NOTICE, -1, "recover",
                      rc ? "domain %u cannot be resumed" :
                      "domain %u goes on", hv->domid);
            return rc;
        }
        if ((info.flags & (XEN_DOMINF_dying | XEN_DOMINF_shutdown)) ||
            colo__now_us(&colo__clock_monotonic) >= end)
            return 0;
        poll(NULL, 0, LOOK_MS);
    }
}

/* A session that is dead tracks nothing; OFF is fine if it was off. */
static void record_off(struct colo_hv_xen *hv)
{
    colo__hv_xen_devices_recover(hv);
    xc_shadow_control(hv->xch, hv->domid, XEN_DOMCTL_SHADOW_OP_OFF, NULL, 0);
}

/* All that is to be done at once: the request taken back, the guest runs, the
 * record is off.  *ret_late: it may still stand still in a while. */
static int put_right(struct colo_recovery *r, bool *ret_late,
                     struct colo_error *err)
{
    struct colo_hv_xen *hv = colo__hv_xen(r->hv);
    bool stopped = false;
    int rc = taken(hv, r->died, err);

    *ret_late = false;
    if (rc)
        return rc;
    /* without this, no watch would fire for the guest's next suspend */
    xc_domain_subscribe_for_suspend(hv->xch, hv->domid, 0);
    colo__hv_xen_stop_prepare(hv);
    hv->stop.requested = true; /* it may have been */
    rc = colo__hv_xen_stop_ops.cancel(r->hv, &stopped, err);
    if (!rc)
        rc = wait_and_resume(hv, r->died, 0, err);
    *ret_late = hv->stop.late;
    hv->stop.late = false;
    /* Now, not after a wait, and never again: by then the record may be a new
     * session's, or another tool's. */
    if (!r->recorded_off && rc != COLO_E_GUEST && rc != COLO_E_EXISTS) {
        record_off(hv);
        r->recorded_off = true;
    }
    r->put_right = !rc;
    return rc;
}

static int recovery_open(struct colo_recovery *r, const struct colo_log *log,
                         struct colo_error *err)
{
    char number[16];

    snprintf(number, sizeof(number), "%u", r->domid);
    return colo__hv_xen_open(number, NULL, log, &r->hv, err);
}

/* Only the dead session's own end can take a moment. */
static int keep_others_off(struct colo_hv_xen *hv, struct colo_error *err)
{
    int rc = colo__hv_xen_exclude(hv, err);

    for (int ms = 0; rc == COLO_E_EXISTS && ms < OTHERS_MS; ms += LOOK_MS) {
        poll(NULL, 0, LOOK_MS);
        rc = colo__hv_xen_exclude(hv, err);
    }
    if (!rc)
        return 0;
    if (rc == COLO_E_EXISTS) { /* which says here: another session */
        if (err)
            err->code = COLO_E_STATE;
        return COLO_E_STATE;
    }
    /* rather a guest that runs */
    colo__hv_xen_exclude_clean(hv);
    return 0;
}

int colo__recovery_look(struct colo_recovery *r, const struct colo_log *log,
                        struct colo_error *err)
{
    struct colo_hv_xen *hv;
    bool late;
    int rc;

    if (!r->hv) {
        rc = recovery_open(r, log, err);
        if (rc)
            return rc;
    }
    hv = colo__hv_xen(r->hv);
    /* once it has the guest no more, its process may begin anew */
    if (living_owner(hv) != r->died)
        r->died = 0;
    rc = taken(hv, r->died, err);
    if (rc) {
        colo__hv_xen_exclude_end(hv); /* its seed needs the lock */
        return rc;
    }
    /* whose suspends are other tools', or whose record is */
    rc = keep_others_off(hv, err);
    if (rc)
        return rc;
    if (r->put_right)
        return wait_and_resume(hv, r->died, 0, err);
    rc = put_right(r, &late, err);
    /* a guest that was found stopped has cost the exclusion */
    return rc ? rc : keep_others_off(hv, err);
}

void colo__recovery_end(struct colo_recovery *r)
{
    if (r->hv)
        colo__hv_ops(r->hv)->close(r->hv);
    r->hv = NULL;
}

int colo__hv_xen_recover(uint32_t domid, pid_t died, uint32_t wait_ms,
                         const struct colo_log *log, struct colo_error *err)
{
    struct colo_recovery r = { .domid = domid, .died = died };
    bool late;
    int rc;

    rc = recovery_open(&r, log, err);
    if (rc)
        return rc;
    rc = put_right(&r, &late, err);
    if (!rc && late)
        rc = wait_and_resume(colo__hv_xen(r.hv), died, wait_ms, err);
    colo__recovery_end(&r);
    return rc;
}

int colo__hv_xen_yield(uint32_t domid, const char *uuid,
                       const struct colo_log *log, struct colo_error *err)
{
    struct colo_hv *chv = NULL;
    char number[16], text[40];
    struct colo_hv_xen *hv;
    int rc;

    snprintf(number, sizeof(number), "%u", domid);
    rc = colo__hv_xen_open(number, NULL, log, &chv, err);
    if (rc)
        return rc;
    hv = colo__hv_xen(chv);
    colo__uuid_text(hv->uuid, text);
    if (strcasecmp(text, uuid)) {
        rc = colo__fail(err, COLO_E_NOTFOUND, 0, "recover",
                        "domain %u is another guest by now", domid);
        goto out;
    }
    /* pauses are counted, so a destroy that fails does not let it go */
    (void)xc_domain_pause(hv->xch, domid);
    rc = colo__hv_ops(chv)->life->destroy(chv, err);
out:
    colo__hv_ops(chv)->close(chv);
    return rc;
}

int colo__hv_xen_monitor(uint32_t domid, struct colo_error *err)
{
    char number[16];
    const char *const argv[] = { COLO_LIBEXECDIR "/colo-toolstack", "monitor",
                                 number, NULL };
    int report, life, pidfd, rc;
    pid_t pid;

    snprintf(number, sizeof(number), "%u", domid);
    rc = colo__spawn(argv, -1, -1, &report, &life, &pid, &pidfd, err);
    if (rc)
        return rc;
    /* It leaves a child that watches.  It may have paused or suspended the
     * guest for libvirt: with its life line's end that is undone, and if it
     * were killed nobody would. */
    rc = colo__spawn_wait(pid, pidfd, MONITOR_MS);
    close(life);
    if (rc)
        rc = colo__spawn_wait(pid, pidfd, UNDO_MS);
    if (rc)
        rc = colo__fail(err, COLO_E_SYS, 0, "recover", "nobody watches for the "
                        "end of domain %u: if it powers off, `xl destroy` it",
                        domid);
    close(report);
    if (pidfd >= 0)
        close(pidfd);
    return rc;
}

static bool is_incoming(const char *name)
{
    static const char suffix[] = "--incoming";
    size_t len = strlen(name), tail = sizeof(suffix) - 1;

    return len > tail && !strcmp(name + len - tail, suffix);
}

/* Only what can be nothing else than an unfinished replica: under the name of
 * before a takeover, and paused or marked as a copy that runs; or, where
 * libvirt made it under its own name, marked and paused. */
static bool is_replica(struct colo_hv_xen *hv, const struct colo_hv_info *info)
{
    bool incoming = is_incoming(info->name);
    bool marked = colo__hv_xen_replica_is_marked(hv);

    return info->state == COLO_HV_PAUSED ? incoming || marked
                                         : incoming && marked;
}

/* What its session has not come to: it has its name only then, and may stand
 * still where it ran on both hosts. */
static void finish_start(struct colo_hv_xen *hv)
{
    struct colo_error err = { 0 };
    int rc;

    hv->is_secondary = true; /* as its session had it */
    rc = colo__hv_ops((struct colo_hv *)hv)->life->start((struct colo_hv *)hv,
                                                         &err);
    if (!rc)
        rc = colo__hv_xen_helper_wait(hv, START_MS, NULL, &err);
    if (rc)
        colo__log(&hv->log, COLO_LOG_WARNING, err.sys_errno, "recover",
                  "domain %u is the guest, and still called a replica: %s",
                  hv->domid, err.text);
}

int colo__hv_xen_drop_replica(uint32_t domid, const struct colo_log *log,
                              bool *ret_guest, struct colo_error *err)
{
    struct colo_hv *chv = NULL;
    struct colo_hv_info info;
    struct colo_hv_xen *hv;
    char number[16];
    int rc;

    *ret_guest = false;
    snprintf(number, sizeof(number), "%u", domid);
    rc = colo__hv_xen_open(number, NULL, log, &chv, err);
    if (rc)
        return rc;
    hv = colo__hv_xen(chv);
    rc = colo__hv_ops(chv)->info(chv, &info, err);
    if (rc) goto out;
    if (is_replica(hv, &info)) {
        colo__log(log, COLO_LOG_NOTICE, -1, "recover",
                  "'%s' has no session any more: destroyed", info.name);
        rc = colo__hv_ops(chv)->life->destroy(chv, err);
        goto out;
    }
    *ret_guest = info.state != COLO_HV_GONE;
    if (*ret_guest && info.state != COLO_HV_PAUSED && is_incoming(info.name))
        finish_start(hv);
out:
    colo__hv_ops(chv)->close(chv);
    return rc;
}
