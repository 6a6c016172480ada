/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The disks of a session: which ones the guest has, a colo-disk process for
 * each, and the stream between its proxy and the twin.  The proxy itself joins
 * through xenstore and follows checkpoints like any other.  Session's thread.
 */
#ifndef COLO_DISKS_H
#define COLO_DISKS_H

#include "../xenstore/store.h"
#include "proxy-process.h"
#include "pure/dm-name.h"
#include "pure/wire.h"

struct colo_session;

struct colo_disk {
    struct colo_disk_name name;
    struct colo_proxy_process process;
};

struct colo_disks {
    uint32_t count;
    bool started;
    struct colo_disk disk[COLO_WIRE_DISKS];
};

/* colo__disk_target - what a disk of blkback's lies on, if its writes can
 * follow the checkpoints: its block script (a path) is block-colo, or its
 * params are a device that colo-disk has made, as of a guest of libvirt's.
 * Returns  params or target_buf, NULL: it is neither. */
const char *colo__disk_target(const char *script, const char *params,
                              char target_buf[COLO_DM_NAME_MAX]);

/* colo__disk_way_out - what to do about one that is neither.
 * Shape    params: as in xenstore, of a disk of QEMU's, too.  A text that is
 *          too long for cap is replaced by one without the device's name. */
void colo__disk_way_out(const char *params, char *buf, size_t cap);

/* colo__disks_find - the writable disks of a guest on this host, all of which
 * must be colo-disk's, see colo__disk_target; others are refused.
 * Errors   COLO_E_UNSUPPORTED names the disk and the way out; COLO_E_LIMIT,
 *          COLO_E_STORE */
int colo__disks_find(struct colo_store *store, uint32_t domid,
                     struct colo_disks *ret_disks, struct colo_error *err);

/* colo__disks_say - primary: tell the peer which they are. */
int colo__disks_say(struct colo_session *s, struct colo_error *err);
/* colo__disks_take - secondary: the primary's DISKS has come; starts them, if
 * seeding has begun. */
int colo__disks_take(struct colo_session *s, const struct colo_msg *msg,
                     struct colo_error *err);
/* colo__disks_start - a socket, a node and a process for each. */
int colo__disks_start(struct colo_session *s, struct colo_error *err);
/* colo__disks_known - does this side know all that there are streams for? */
bool colo__disks_known(const struct colo_session *s);
/* colo__disks_poll - after anything happened; raises what has failed. */
void colo__disks_poll(struct colo_session *s);
/* colo__disks_stop - let the processes leave, by themselves: they put the
 * guest's disks back on their backings, and live on until that is done. */
void colo__disks_stop(struct colo_session *s);
/* colo__disks_free - close what is still open; until_us: see
 * colo__proxy_process_free. */
void colo__disks_free(struct colo_disks *disks, uint64_t until_us);

#endif
