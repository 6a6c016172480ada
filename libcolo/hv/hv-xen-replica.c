/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A replica that runs (mode colo): from each machine state that it was given
 * until it is stopped for the next one; and the last step of a takeover, in
 * either mode.  Its stopping is hv-xen-stop.c's, as the guest's is: without its
 * help, since a kernel that has registered with this host's Xen could not be
 * given the state of one that has registered with the other's.
 * Thread rule: hv.h's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "hv-xen.h"

#define MAX_PAUSES 256 /* more than Xen counts */

/* ---- of whom ---- */

int colo__hv_xen_can_copy(struct colo_hv *chv, struct colo_error *err)
{
    struct colo_hv_xen *hv = colo__hv_xen(chv);

    if (!hv->devices.has_model)
        return colo__fail(err, COLO_E_UNSUPPORTED, 0, "hv-xen", "mode colo is "
                          "for HVM guests without PV drivers, this one is PVH: "
                          "use mode remus, or make it type=\"hvm\"");
    colo__hv_xen_stop_prepare(hv);
    if (hv->stop.need_rax)
        return colo__fail(err, COLO_E_UNSUPPORTED, 0, "hv-xen", "the guest has "
                          "PV drivers and cannot run on both hosts: use mode "
                          "remus, or boot it without (Linux: xen_nopv "
                          "xen_emul_unplug=never)");
    return 0;
}

/* ---- the mark ---- */

/* A replica that runs looks like a guest that has taken over and has not its
 * name yet.  While this node is there, it is a copy. */
static void mark_path(uint32_t domid, char *buf, size_t cap)
{
    snprintf(buf, cap, "/local/domain/%u/libcolo-copy", domid);
}

static int mark(struct colo_hv_xen *hv, struct colo_error *err)
{
    char path[64];

    if (hv->replica.marked)
        return 0;
    mark_path(hv->domid, path, sizeof(path));
    if (!xs_write(hv->xs, XBT_NULL, path, "1", 1))
        return colo__fail(err, COLO_E_STORE, errno, "hv-xen",
                          "cannot mark domain %u as a copy", hv->domid);
    hv->replica.marked = true;
    return 0;
}

bool colo__hv_xen_replica_is_marked(struct colo_hv_xen *hv)
{
    unsigned len = 0;
    char path[64];
    char *value;

    mark_path(hv->domid, path, sizeof(path));
    value = xs_read(hv->xs, XBT_NULL, path, &len);
    free(value);
    return value != NULL;
}

/* ---- it goes on ---- */

/* However often it is paused: by libxl, by us (hv-xen-life.c), by an operator
 * who took it for a guest of this host. */
static int unpause(struct colo_hv_xen *hv, struct colo_error *err)
{
    xc_domaininfo_t info;

    for (int i = 0; i < MAX_PAUSES; i++) {
        int rc = colo__hv_xen_getinfo(hv, &info, err);

        if (rc || !(info.flags & XEN_DOMINF_paused))
            return rc;
        /* EINVAL: somebody else has just taken back the last one */
        if (xc_domain_unpause(hv->xch, hv->domid) < 0 && errno != EINVAL)
            return colo__hv_xen_fail(hv, err, "start the replica");
    }
    return colo__fail(err, COLO_E_HV, 0, "hv-xen", "somebody pauses domain %u "
                      "again and again", hv->domid);
}

/* `virsh shutdown` of a copy writes what the guest is to do, and the copy would
 * do that as soon as it runs: but the guest that it was meant for, if for any,
 * was told at the other host. */
static void forget_requests(struct colo_hv_xen *hv)
{
    unsigned len = 0;
    char path[64];
    char *value;

    snprintf(path, sizeof(path), "/local/domain/%u/control/shutdown",
             hv->domid);
    value = xs_read(hv->xs, XBT_NULL, path, &len);
    if (value && value[0]) {
        colo__log(&hv->log, COLO_LOG_WARNING, -1, "hv-xen", "domain %u was "
                  "asked to \"%.20s\" while it was a replica: this is not done",
                  hv->domid, value);
        if (!xs_write(hv->xs, XBT_NULL, path, "", 0))
            colo__log(&hv->log, COLO_LOG_ERROR, errno, "hv-xen",
                      "cannot take that back: it may be done at once");
    }
    free(value);
}

/* Its devices first, then its processors, wherever they stand: paused since the
 * seed, stopped by us, shut down by the replica itself. */
static int go(struct colo_hv_xen *hv, struct colo_error *err)
{
    struct xen_domctl op = {
        .cmd = XEN_DOMCTL_resumedomain,
        .domain = (domid_t)hv->domid,
    };
    xc_domaininfo_t info;
    int rc;

    rc = colo__hv_xen_getinfo(hv, &info, err);
    if (!rc)
        rc = colo__hv_xen_devices_cont(hv, err);
    if (rc)
        return rc;
    /* also where it was told to stop and does not yet stand still */
    if ((info.flags & XEN_DOMINF_shutdown) || hv->stop.requested ||
        hv->stop.late) {
        if (colo__hv_xen_domctl(hv, &op) < 0)
            return colo__hv_xen_fail(hv, err, "let the replica go on");
        /* of an end by itself, xenstored was told */
        hv->stop.xs_stale |= !colo__hv_xen_is_suspended(&info);
    }
    /* one that runs, as in mode colo, has no driver that would read them */
    if (info.flags & XEN_DOMINF_paused)
        forget_requests(hv);
    rc = unpause(hv, err);
    if (rc)
        return rc;
    colo__hv_xen_tell_xenstored(hv);
    hv->stop.stopped = hv->stop.requested = hv->stop.late = false;
    hv->gone_reported = false;
    return 0;
}

int colo__hv_xen_replica_run(struct colo_hv *chv, struct colo_error *err)
{
    struct colo_hv_xen *hv = colo__hv_xen(chv);
    int rc;

    if (!hv->has_domain || !hv->is_secondary)
        return colo__fail(err, COLO_E_STATE, 0, "hv-xen",
                          "there is no replica to run");
    /* The primary's check has refused these.  One that was let run would
     * connect itself with this host before its next stop could refuse it. */
    if (!hv->devices.has_model)
        return colo__fail(err, COLO_E_UNSUPPORTED, 0, "hv-xen",
                          "a guest without a device model cannot run on both "
                          "hosts");
    rc = mark(hv, err);
    if (!rc)
        rc = colo__hv_xen_dirty_rearm(hv, err);
    if (!rc)
        rc = go(hv, err);
    if (!rc)
        hv->replica.runs = true;
    return rc;
}

/* On the takeover: as it is, running or not. */
int colo__hv_xen_replica_release(struct colo_hv_xen *hv,
                                 struct colo_error *err)
{
    char path[64];

    if (hv->replica.marked) {
        mark_path(hv->domid, path, sizeof(path));
        if (!xs_rm(hv->xs, XBT_NULL, path))
            colo__log(&hv->log, COLO_LOG_ERROR, errno, "hv-xen",
                      "domain %u keeps the mark of a copy", hv->domid);
        hv->replica.marked = false;
    }
    return go(hv, err);
}

/* ---- a stop of what stands still already ---- */

int colo__hv_xen_replica_open(struct colo_hv_xen *hv, struct colo_error *err)
{
    hv->replica.ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return hv->replica.ended_fd >= 0 ? 0 :
           colo__fail(err, COLO_E_SYS, errno, "hv-xen", "eventfd");
}

void colo__hv_xen_replica_close(struct colo_hv_xen *hv)
{
    if (hv->replica.ended_fd >= 0)
        close(hv->replica.ended_fd);
    hv->replica.ended_fd = -1;
}

int colo__hv_xen_replica_ended(struct colo_hv_xen *hv, struct colo_error *err)
{
    uint64_t one = 1;
    int rc = colo__hv_xen_devices_stop(hv, err);

    if (rc)
        return rc;
    if (write(hv->replica.ended_fd, &one, sizeof(one)) != sizeof(one))
        return colo__fail(err, COLO_E_SYS, errno, "hv-xen", "eventfd");
    hv->stop.stopped = true;
    return 0;
}

void colo__hv_xen_replica_event(struct colo_hv_xen *hv, uint32_t *events)
{
    uint64_t n;

    if (read(hv->replica.ended_fd, &n, sizeof(n)) == sizeof(n))
        *events |= COLO_HV_EV_STOPPED;
}
