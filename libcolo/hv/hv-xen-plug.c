/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A device that another tool attaches to a protected guest, or takes away, is
 * not on the backup, or still is: a replica that takes over would have another
 * machine than its memory knows.  libxl lists a guest's devices in xenstore,
 * and what is in a drive: what it writes there, the watch tells.
 * Thread rule: hv.h's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "hv-xen.h"

static void list_path(const struct colo_hv_xen *hv, char *buf, size_t cap)
{
    snprintf(buf, cap, "/libxl/%u/device", hv->domid);
}

static void add_name(struct colo_xen_plug *plug, const char *name)
{
    plug->devices = XXH3_64bits_withSeed(name, strlen(name) + 1,
                                         plug->devices);
}

/* What a disk is of: another CD is the same device, and the replica's QEMU
 * would go on with the one before. */
static void add_medium(struct colo_hv_xen *hv, struct colo_xen_plug *plug,
                       const char *device)
{
    unsigned len = 0;
    char path[192];
    char *params;

    snprintf(path, sizeof(path), "%s/params", device);
    params = xs_read(hv->xs, XBT_NULL, path, &len);
    if (params)
        add_name(plug, params);
    free(params);
}

/* Kinds, and of each the numbers. */
static void read_devices(struct colo_hv_xen *hv, struct colo_xen_plug *ret)
{
    char path[64], of_kind[128], device[176];
    unsigned i, j, kinds = 0, n;
    char **kind, **id;

    *ret = (struct colo_xen_plug){ 0 };
    list_path(hv, path, sizeof(path));
    kind = xs_directory(hv->xs, XBT_NULL, path, &kinds);
    for (i = 0; kind && i < kinds; i++) {
        snprintf(of_kind, sizeof(of_kind), "%s/%.40s", path, kind[i]);
        n = 0;
        id = xs_directory(hv->xs, XBT_NULL, of_kind, &n);
        for (j = 0; id && j < n; j++) {
            add_name(ret, kind[i]);
            add_name(ret, id[j]);
            snprintf(device, sizeof(device), "%s/%.40s", of_kind, id[j]);
            add_medium(hv, ret, device);
            ret->count++;
        }
        free(id);
    }
    free(kind);
}

int colo__hv_xen_plug_watch(struct colo_hv_xen *hv, struct colo_error *err)
{
    char path[64];

    read_devices(hv, &hv->plug);
    list_path(hv, path, sizeof(path));
    if (!xs_watch(hv->xs_watch, path, COLO_XEN_TOKEN_PLUG))
        return colo__fail(err, COLO_E_STORE, errno, "hv-xen",
                          "cannot watch the guest's devices");
    return 0;
}

int colo__hv_xen_plug_look(struct colo_hv_xen *hv, struct colo_error *err)
{
    struct colo_xen_plug now;
    xc_domaininfo_t info;
    int rc;

    read_devices(hv, &now);
    if (now.devices == hv->plug.devices && now.count == hv->plug.count)
        return 0;
    rc = colo__hv_xen_getinfo(hv, &info, err);
    if (rc == COLO_E_GUEST)
        return 0;
    if (rc)
        return rc;
    /* libxl pauses a guest and takes its devices before it destroys it */
    if ((info.flags & (XEN_DOMINF_dying | XEN_DOMINF_paused)) ||
        ((info.flags & XEN_DOMINF_shutdown) &&
         !colo__hv_xen_is_suspended(&info)))
        return 0;
    return colo__fail(err, COLO_E_STATE, 0, "hv-xen",
                      "another tool has %s: the replica does not have the "
                      "same devices any more",
                      now.count > hv->plug.count ? "attached a device" :
                      now.count < hv->plug.count ? "detached a device" :
                                "exchanged a device or its medium");
}
