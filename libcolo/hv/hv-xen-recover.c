/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Putting right what a dead session has left at its guest.  Called by
 * colo-watchdog at once, and by colo_recover() later.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hv-xen.h"
#include "spawn.h"
#include "watchdog.h"

#define LOOK_MS 100
#define MONITOR_MS 20000 /* a toolstack's daemon may have to be asked */
#define UNDO_MS 10000    /* then: to undo what was begun, and watch itself */

/* A suspend that is under way shows as nothing at all between the guest's
 * answer in xenstore and its standing still: so look for a while. */
static int wait_and_resume(struct colo_hv_xen *hv, uint32_t wait_ms,
                           struct colo_error *err)
{
    uint64_t end = colo__now_us(&colo__clock_monotonic) +
                   (uint64_t)wait_ms * 1000;

    for (;;) {
        xc_domaininfo_t info;
        int rc = colo__hv_xen_getinfo(hv, &info, err);

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

int colo__hv_xen_recover(uint32_t domid, uint32_t wait_ms,
                         const struct colo_log *log, struct colo_error *err)
{
    struct colo_hv *chv = NULL;
    struct colo_hv_xen *hv;
    bool stopped = false;
    char number[16];
    int rc;

    snprintf(number, sizeof(number), "%u", domid);
    rc = colo__hv_xen_open(number, NULL, log, &chv, err);
    if (rc)
        return rc;
    hv = colo__hv_xen(chv);
    /* without this, no watch would fire for the guest's next suspend */
    xc_domain_subscribe_for_suspend(hv->xch, domid, 0);
    colo__hv_xen_exclude_clean(hv);
    colo__hv_xen_stop_prepare(hv);
    hv->stop.requested = true; /* it may have been */
    rc = colo__hv_xen_stop_ops.cancel(chv, &stopped, err);
    if (!rc)
        rc = wait_and_resume(hv, hv->stop.late ? wait_ms : 0, err);
    hv->stop.late = false;
    /* a session that is dead tracks nothing; OFF is fine if it was off */
    if (rc != COLO_E_GUEST) {
        colo__hv_xen_devices_recover(hv);
        xc_shadow_control(hv->xch, domid, XEN_DOMCTL_SHADOW_OP_OFF, NULL, 0);
    }
    colo__hv_ops(chv)->close(chv);
    return rc;
}

int colo__hv_xen_yield(uint32_t domid, const struct colo_log *log,
                       struct colo_error *err)
{
    struct colo_hv *chv = NULL;
    char number[16];
    int rc;

    snprintf(number, sizeof(number), "%u", domid);
    rc = colo__hv_xen_open(number, NULL, log, &chv, err);
    if (rc)
        return rc;
    rc = colo__hv_ops(chv)->life->destroy(chv, err);
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

/* Only what can be nothing else than an unfinished replica: under the name of
 * before a takeover, and paused or marked as a copy that runs; or, where
 * libvirt made it under its own name, marked and paused. */
static bool is_replica(struct colo_hv_xen *hv, const struct colo_hv_info *info)
{
    static const char suffix[] = "--incoming";
    size_t len = strlen(info->name), tail = sizeof(suffix) - 1;
    bool incoming = len > tail &&
                    !strcmp(info->name + len - tail, suffix);
    bool marked = colo__hv_xen_replica_is_marked(hv);

    return info->state == COLO_HV_PAUSED ? incoming || marked
                                         : incoming && marked;
}

int colo__hv_xen_drop_replica(uint32_t domid, const struct colo_log *log,
                              struct colo_error *err)
{
    struct colo_hv *chv = NULL;
    struct colo_hv_info info;
    char number[16];
    int rc;

    snprintf(number, sizeof(number), "%u", domid);
    rc = colo__hv_xen_open(number, NULL, log, &chv, err);
    if (rc)
        return rc;
    rc = colo__hv_ops(chv)->info(chv, &info, err);
    if (!rc && is_replica(colo__hv_xen(chv), &info)) {
        colo__log(log, COLO_LOG_NOTICE, -1, "recover",
                  "'%s' has no session any more: destroyed", info.name);
        rc = colo__hv_ops(chv)->life->destroy(chv, err);
    }
    colo__hv_ops(chv)->close(chv);
    return rc;
}
