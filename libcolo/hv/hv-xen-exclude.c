/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * One tool at a time suspends a guest.  A save or migration by another one
 * would take our suspends for its own, keep the torn memory of a guest that we
 * have let go on, and then destroy the guest.  libxl has a lock against that,
 * which it asks for where the guest has a suspend event channel.  Guests with
 * an old kernel publish one; for the others we do, and hold the lock: so `xl
 * save`, `xl migrate` and libvirt's fail before they have done anything.
 * Thread rule: hv.h's.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hv-xen.h"

#include <xenguest.h> /* wants what hv-xen.h includes */

/* A port of the guest that we once allocated can only be freed by the guest,
 * so it is remembered for the next session. */
static void port_path(const struct colo_hv_xen *hv, char *buf, size_t cap)
{
    snprintf(buf, cap, "/local/domain/%u/libcolo-suspend-port", hv->domid);
}

/* where libxl looks for it */
static void channel_path(const struct colo_hv_xen *hv, char *buf, size_t cap)
{
    snprintf(buf, cap, "/local/domain/%u/device/suspend/event-channel",
             hv->domid);
}

/* 0: there is none. */
static uint32_t read_port(struct colo_hv_xen *hv, const char *path)
{
    unsigned len;
    char *value = xs_read(hv->xs, XBT_NULL, path, &len);
    uint32_t port = value ? (uint32_t)strtoul(value, NULL, 10) : 0;

    free(value);
    return port;
}

static bool write_port(struct colo_hv_xen *hv, const char *path, uint32_t port)
{
    char value[16];

    snprintf(value, sizeof(value), "%u", port);
    return xs_write(hv->xs, XBT_NULL, path, value, (unsigned)strlen(value));
}

static bool can_be_bound(struct colo_hv_xen *hv, uint32_t port)
{
    xc_evtchn_status_t status = { .dom = (domid_t)hv->domid, .port = port };

    return port && !xc_evtchn_status(hv->xch, &status) &&
           status.status == EVTCHNSTAT_unbound && status.u.unbound.dom == 0;
}

/* The one that is remembered, or one more.  Nothing is written: another process
 * may have the lock, and with it the one that is remembered. */
static int have_port(struct colo_hv_xen *hv, uint32_t remembered,
                     struct colo_error *err)
{
    struct colo_xen_stop *s = &hv->stop;
    xc_evtchn_port_or_error_t port;

    s->remote_port = remembered;
    if (can_be_bound(hv, remembered))
        return 0;
    if (!s->spare_port) {
        port = xc_evtchn_alloc_unbound(hv->xch, hv->domid, 0);
        if (port < 0)
            return colo__hv_xen_fail(hv, err, "allocate an event channel");
        s->spare_port = (uint32_t)port; /* for the next try, too */
    }
    s->remote_port = s->spare_port;
    return 0;
}

/* The lock is ours: what a dead session published is replaced, a guest's own
 * channel is not. */
static void publish(struct colo_hv_xen *hv, uint32_t remembered)
{
    struct colo_xen_stop *s = &hv->stop;
    char path[80];
    uint32_t port;

    if (s->remote_port != remembered) {
        port_path(hv, path, sizeof(path));
        write_port(hv, path, s->remote_port);
        s->spare_port = 0;
    }
    channel_path(hv, path, sizeof(path));
    port = read_port(hv, path);
    if ((!port || port == remembered) && port != s->remote_port &&
        !write_port(hv, path, s->remote_port))
        colo__log(&hv->log, COLO_LOG_WARNING, errno, "hv-xen",
                  "domain %u: a save by another tool cannot be refused",
                  hv->domid);
}

int colo__hv_xen_exclude(struct colo_hv_xen *hv, struct colo_error *err)
{
    struct colo_xen_stop *s = &hv->stop;
    uint32_t remembered;
    char path[80];
    int rc, local;

    if (s->exclusive)
        return 0;
    port_path(hv, path, sizeof(path));
    remembered = read_port(hv, path);
    rc = have_port(hv, remembered, err);
    if (rc)
        return rc;
    errno = 0;
    local = xc_suspend_evtchn_init_sane(hv->xch, hv->xce, hv->domid,
                                        (int)s->remote_port, &s->exclusive_fd);
    if (local < 0)
        return errno == EINVAL ?
               colo__fail(err, COLO_E_EXISTS, errno, "hv-xen",
                          "another tool is saving or migrating domain %u",
                          hv->domid) :
               colo__hv_xen_fail(hv, err, "keep others from suspending");
    /* Not yet: while subscribed, Xen does not tell xenstored of suspends, and
     * the seed's own, by libxl, would wait in vain. */
    xc_domain_subscribe_for_suspend(hv->xch, hv->domid, 0);
    s->local_port = (evtchn_port_t)local;
    s->exclusive = true;
    publish(hv, remembered);
    return 0;
}

/* Whoever saves it later must not wait for this channel: the guest does not
 * listen to it. */
void colo__hv_xen_exclude_clean(struct colo_hv_xen *hv)
{
    char ours[64], path[80];
    uint32_t port;

    port_path(hv, ours, sizeof(ours));
    channel_path(hv, path, sizeof(path));
    port = read_port(hv, ours);
    if (!port || read_port(hv, path) != port)
        return; /* the guest's own */
    *strrchr(path, '/') = 0;
    if (!xs_rm(hv->xs, XBT_NULL, path))
        colo__log(&hv->log, COLO_LOG_WARNING, errno, "hv-xen",
                  "cannot remove %s", path);
}

void colo__hv_xen_exclude_end(struct colo_hv_xen *hv)
{
    struct colo_xen_stop *s = &hv->stop;

    if (!s->exclusive)
        return;
    colo__hv_xen_exclude_clean(hv);
    xc_suspend_evtchn_release(hv->xch, hv->xce, hv->domid, (int)s->local_port,
                              &s->exclusive_fd);
    s->exclusive = false;
}
