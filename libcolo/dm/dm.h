/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The seam to the device model of an HVM guest: its devices stand still, are
 * written out, are read in, go on.  A PVH guest has none.
 *
 * Order, primary: open, dirty_log(1), (stop, save, cont)*, dirty_log(0), close.
 * stop comes once the guest's own processors stand still (a processor that
 * waits for an emulated device is answered first), and before the dirty record
 * is read: stopping drains what devices still write into the guest's memory.
 * Order, secondary: open, (stop, load, [cont])*, close.
 *
 * resumed, fd and gone are for any time.
 *
 * All calls are synchronous, end by the deadline that open was given, and leave
 * the device model usable or say COLO_E_HV.  Called where hv is called: one
 * thread at a time.
 */
#ifndef COLO_DM_H
#define COLO_DM_H

#include "../internal.h"

struct colo_dm; /* starts with const struct colo_dm_ops *ops */

struct colo_dm_ops {
    void (*close)(struct colo_dm *dm); /* devices are left as they are */
    /* dirty_log - report what devices write into the guest's memory to the
     * hypervisor's dirty record; on for the whole protection.  libxl switches
     * it off when a save of its own ends: say on again after each such. */
    int (*dirty_log)(struct colo_dm *dm, int on, struct colo_error *err);
    /* stop - devices stand still, their requests are done; fine if they do */
    int (*stop)(struct colo_dm *dm, struct colo_error *err);
    /* save - the device state, at most cap bytes; COLO_E_LIMIT says how much
     * in *ret_len.  Only while stopped. */
    int (*save)(struct colo_dm *dm, uint8_t *buf, uint32_t cap,
                uint32_t *ret_len, struct colo_error *err);
    /* load - what save gave, on another host, into a stopped device model.
     * An error leaves it unusable until the next load that succeeds: cont then
     * refuses. */
    int (*load)(struct colo_dm *dm, const uint8_t *buf, uint32_t len,
                struct colo_error *err);
    /* cont - devices go on; fine if they do */
    int (*cont)(struct colo_dm *dm, struct colo_error *err);
    /* set_beat - beat is called all the while that a call waits, so that a peer
     * does not take it for our death.  stop, which writes out what the guest's
     * disks have not yet, may then take stop_ms. */
    void (*set_beat)(struct colo_dm *dm, void (*beat)(void *user), void *user,
                     uint32_t stop_ms);
    /* resumed - somebody else has let the devices go on since stop, by what has
     * been told: nothing is asked, and nothing waited for */
    bool (*resumed)(struct colo_dm *dm);
    /* fd - EPOLLRDHUP on it, and nothing else, says: look at gone */
    int (*fd)(struct colo_dm *dm);
    /* gone - the device model has ended: nothing brings this guest's devices
     * back.  One that is ending right now takes up to half a second. */
    bool (*gone)(struct colo_dm *dm);
};

/* colo__dm_qmp_open - QEMU over QMP.  socket: a monitor of our own, or the one
 * that libxl makes for libxenstat; we are its only client until close.
 * timeout_ms: deadline of each call, greeting included. */
int colo__dm_qmp_open(const char *socket, uint32_t timeout_ms,
                      const struct colo_log *log, struct colo_dm **ret_dm,
                      struct colo_error *err);

static inline const struct colo_dm_ops *colo__dm_ops(struct colo_dm *dm)
{
    return *(const struct colo_dm_ops *const *)dm;
}

#endif
