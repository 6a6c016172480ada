/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The device model of an HVM guest, in step with the guest's own processors:
 * it stops after them, goes on before them, and its state travels with theirs.
 * A PVH guest has none: then every call here is fine and does nothing.
 *
 * Seed: libxl switches QEMU's own record of writes on for its copy and off at
 * its end.  It has then stopped QEMU after the guest and leaves both so, and
 * stopping has drained what QEMU still had to write; so nothing is written
 * until the first resume, and track(1), which comes before it, switches the
 * record on again in time.
 * Thread rule: hv.h's.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "../dm/dm-find.h"
#include "../dm/dm.h"
#include "hv-xen.h"

/* Of each call, where nobody set it.  The session does nothing else meanwhile
 * but heartbeats. */
#define DEVICES_MS 2500
#define CONT_TRIES 2
#define CONT_PAUSE_MS 50
#define STILL_TRIES 3
#define DEVICES_FIRST (64u << 10) /* room for a state whose size is unknown */

/* What PVH has of emulated devices is in Xen. */
static bool has_model(const xc_domaininfo_t *info)
{
    return (info->arch_config.emulation_flags & XEN_X86_EMU_PIT) != 0;
}

void colo__hv_xen_devices_adopt(struct colo_hv_xen *hv,
                                const xc_domaininfo_t *info)
{
    hv->devices.has_model = has_model(info);
}

void colo__hv_xen_set_quiet(struct colo_hv *chv, uint32_t ms)
{
    colo__hv_xen(chv)->devices.quiet_ms = ms;
}

void colo__hv_xen_devices_set_beat(struct colo_hv *chv,
                                   void (*beat)(void *user), void *user,
                                   uint32_t stop_ms)
{
    struct colo_xen_devices *d = &colo__hv_xen(chv)->devices;

    d->beat = beat;
    d->beat_user = user;
    d->stop_ms = stop_ms;
    if (d->dm)
        colo__dm_ops(d->dm)->set_beat(d->dm, beat, user, stop_ms);
}

/* Its end shows as that of the connection.  What it says meanwhile must not
 * wake anybody: that is read with the next answer. */
static int watch(struct colo_hv_xen *hv, struct colo_error *err)
{
    int fd = colo__dm_ops(hv->devices.dm)->fd(hv->devices.dm);
    struct epoll_event ev = { .events = EPOLLRDHUP, .data.fd = fd };

    if (!epoll_ctl(hv->epoll_fd, EPOLL_CTL_ADD, fd, &ev))
        return 0;
    return colo__fail(err, COLO_E_SYS, errno, "hv-xen",
                      "cannot wait for the device model");
}

static int ended(const struct colo_hv_xen *hv, struct colo_error *err)
{
    return colo__fail(err, COLO_E_HV, 0, "hv-xen", "the device model (QEMU) "
                      "of domain %u has ended", hv->domid);
}

int colo__hv_xen_devices_open(struct colo_hv_xen *hv, struct colo_error *err)
{
    struct colo_xen_devices *d = &hv->devices;
    char path[COLO_DM_PATH_MAX];
    int rc;

    if (d->gone)
        return ended(hv, err);
    if (!d->has_model || d->dm)
        return 0;
    rc = colo__dm_find(hv->domid, path, err);
    if (!rc)
        rc = colo__dm_qmp_open(path, d->quiet_ms ? d->quiet_ms : DEVICES_MS,
                               &hv->log, &d->dm, err);
    if (rc == COLO_E_NOTFOUND && d->opened) {
        d->gone = true;
        return ended(hv, err);
    }
    if (!rc) {
        colo__dm_ops(d->dm)->set_beat(d->dm, d->beat, d->beat_user,
                                      d->stop_ms);
        rc = watch(hv, err);
    }
    d->opened |= !rc;
    return rc;
}

int colo__hv_xen_devices_fd(const struct colo_hv_xen *hv)
{
    struct colo_dm *dm = hv->devices.dm;

    return dm && !hv->devices.gone ? colo__dm_ops(dm)->fd(dm) : -1;
}

/* Its descriptor stays ready: nobody is to be woken by it again. */
static void has_ended(struct colo_hv_xen *hv)
{
    int fd = colo__hv_xen_devices_fd(hv);

    if (fd >= 0)
        (void)epoll_ctl(hv->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    hv->devices.gone = true;
}

void colo__hv_xen_devices_event(struct colo_hv_xen *hv, uint32_t *events)
{
    has_ended(hv);
    *events |= COLO_HV_EV_DEVICES;
}

/* A toolstack that destroys a guest pauses it and then ends its device model;
 * a guest that has shut down needs none.  Neither shall go on elsewhere. */
bool colo__hv_xen_devices_crippled(struct colo_hv *chv)
{
    struct colo_hv_xen *hv = colo__hv_xen(chv);
    struct colo_xen_devices *d = &hv->devices;
    uint32_t unless = XEN_DOMINF_dying;
    xc_domaininfo_t info;

    if (!d->gone && (!d->dm || !colo__dm_ops(d->dm)->gone(d->dm)))
        return false;
    has_ended(hv);
    if (colo__hv_xen_getinfo(hv, &info, NULL))
        return false;
    if (!hv->is_secondary)
        unless |= XEN_DOMINF_paused;
    if (!hv->is_secondary && !colo__hv_xen_is_suspended(&info))
        unless |= XEN_DOMINF_shutdown;
    return !(info.flags & unless);
}

void colo__hv_xen_devices_close(struct colo_hv_xen *hv)
{
    if (hv->devices.dm)
        colo__dm_ops(hv->devices.dm)->close(hv->devices.dm);
    hv->devices.dm = NULL;
}

/* A connection that failed may work when made anew: QEMU was busy, or what it
 * said was too late and is in the way now. */
static int reopen(struct colo_hv_xen *hv, struct colo_error *err)
{
    colo__hv_xen_devices_close(hv);
    return colo__hv_xen_devices_open(hv, err);
}

int colo__hv_xen_devices_dirty_log(struct colo_hv_xen *hv, bool on,
                                   struct colo_error *err)
{
    int rc = colo__hv_xen_devices_open(hv, err);

    if (!rc && hv->devices.dm)
        rc = colo__dm_ops(hv->devices.dm)->dirty_log(hv->devices.dm, on, err);
    return rc;
}

int colo__hv_xen_devices_stop(struct colo_hv_xen *hv, struct colo_error *err)
{
    int rc = colo__hv_xen_devices_open(hv, err);

    if (!rc && hv->devices.dm)
        rc = colo__dm_ops(hv->devices.dm)->stop(hv->devices.dm, err);
    return rc;
}

int colo__hv_xen_devices_still(struct colo_hv_xen *hv, struct colo_error *err)
{
    int rc = colo__hv_xen_devices_stop(hv, err);

    for (int i = 1; rc && hv->devices.has_model && i < STILL_TRIES; i++) {
        poll(NULL, 0, CONT_PAUSE_MS);
        rc = reopen(hv, err);
        if (!rc)
            rc = colo__hv_xen_devices_stop(hv, err);
    }
    return rc;
}

bool colo__hv_xen_devices_resumed(struct colo_hv *chv)
{
    struct colo_dm *dm = colo__hv_xen(chv)->devices.dm;

    return dm && colo__dm_ops(dm)->resumed(dm);
}

/* A guest whose devices stand still is a guest that hangs. */
int colo__hv_xen_devices_cont(struct colo_hv_xen *hv, struct colo_error *err)
{
    int rc = colo__hv_xen_devices_open(hv, err);

    for (int i = 1; hv->devices.has_model; i++) {
        if (!rc)
            rc = colo__dm_ops(hv->devices.dm)->cont(hv->devices.dm, err);
        /* one that hangs hangs on, and each try would take as long */
        if (!rc || rc == COLO_E_TIMEOUT || i == CONT_TRIES)
            break;
        poll(NULL, 0, CONT_PAUSE_MS);
        /* a replica's model keeps what it knows of its last load */
        rc = hv->is_secondary && hv->devices.dm ? 0 : reopen(hv, err);
    }
    return rc;
}

int colo__hv_xen_devices_get(struct colo_hv_xen *hv, uint8_t *buf,
                             uint32_t cap, uint32_t *ret_len,
                             struct colo_error *err)
{
    uint32_t len = 0;
    int rc;

    *ret_len = 0;
    if (!hv->devices.has_model)
        return 0;
    rc = colo__hv_xen_devices_open(hv, err);
    if (rc)
        return rc;
    rc = colo__dm_ops(hv->devices.dm)->save(hv->devices.dm, buf, cap, &len,
                                            err);
    if (!rc || rc == COLO_E_LIMIT)
        *ret_len = hv->devices.size = len;
    return rc;
}

uint32_t colo__hv_xen_devices_room(const struct colo_hv_xen *hv)
{
    if (!hv->devices.has_model)
        return 0;
    return hv->devices.size ? hv->devices.size : DEVICES_FIRST;
}

int colo__hv_xen_devices_set(struct colo_hv_xen *hv, const uint8_t *buf,
                             uint32_t len, struct colo_error *err)
{
    int rc;

    if (!hv->devices.has_model)
        return 0;
    rc = colo__hv_xen_devices_open(hv, err);
    if (!rc)
        rc = colo__dm_ops(hv->devices.dm)->load(hv->devices.dm, buf, len,
                                                err);
    return rc;
}

void colo__hv_xen_devices_recover(struct colo_hv_xen *hv)
{
    struct colo_error err = { 0 };
    int rc;

    if (!hv->devices.has_model)
        return;
    /* Off is for a record that is on: see dm-qmp.c. */
    rc = colo__hv_xen_devices_dirty_log(hv, true, &err);
    if (!rc)
        rc = colo__hv_xen_devices_dirty_log(hv, false, &err);
    if (rc)
        colo__log(&hv->log, COLO_LOG_WARNING, err.sys_errno, "recover",
                  "domain %u: its device model still records writes: %s",
                  hv->domid, err.text);
}
