/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Kernel nbd devices by generic netlink: connected without a process that
 * must stay, and given a new socket while I/O waits.  Used by colo-disk.
 * No state: any thread.
 */
#ifndef COLO_DISK_NBD_NETLINK_H
#define COLO_DISK_NBD_NETLINK_H

#include <stdio.h>
#include <sys/types.h>

#include "../libcolo/internal.h"

struct colo_nbd_config {
    uint64_t size;           /* bytes */
    uint32_t block_size;     /* bytes */
    uint32_t flags;          /* transmission flags of the export */
    uint32_t timeout_s;      /* of one request; 0 = none */
    uint32_t dead_s;         /* how long I/O waits for a new socket */
    const char *identifier;  /* a new socket must name the same */
};

/* colo__nbd_connect - a free device on a socket that is past the handshake.
 * Owner    the kernel holds the socket by itself; sock stays the caller's.
 * Errors   COLO_E_UNSUPPORTED no nbd in this kernel; COLO_E_SYS */
int colo__nbd_connect(int sock, const struct colo_nbd_config *config,
                      int *ret_index, struct colo_error *err);

/* colo__nbd_reconfigure - another socket in place of one that has died.
 * Errors   COLO_E_STATE the kernel has not yet seen the old one die: again
 *          soon; COLO_E_NOTFOUND not connected, or another's; COLO_E_SYS */
int colo__nbd_reconfigure(int index, int sock, const char *identifier,
                          struct colo_error *err);

/* colo__nbd_disconnect - I/O under way fails; not connected is fine, and so is
 * a device that has become another's: that one is left alone. */
int colo__nbd_disconnect(int index, const char *identifier,
                         struct colo_error *err);

/* colo__nbd_connected - by sysfs, with anything. */
bool colo__nbd_connected(int index);

/* colo__nbd_tells - does a kernel of this release say for what a device is
 * connected?  We always give an identifier, nbd-client(8) need not. */
static inline bool colo__nbd_tells(const char *release)
{
    int major, minor;

    return sscanf(release, "%d.%d", &major, &minor) == 2 &&
        (major > 5 || (major == 5 && minor >= 14));
}

/* colo__nbd_is - is it still connected for this identifier, or no more for
 * anything?  A number is given out again.
 * Returns  true also where the kernel does not tell (before 5.14). */
bool colo__nbd_is(int index, const char *identifier);

/* colo__nbd_find - the device with this identifier, -1 = none. */
int colo__nbd_find(const char *identifier);

/* colo__nbd_number - the device number of nbd<index>, by sysfs. */
int colo__nbd_number(int index, dev_t *ret_dev, struct colo_error *err);

#endif
