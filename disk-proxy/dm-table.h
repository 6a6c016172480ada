/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The device-mapper device that a guest's disk is: one linear table over the
 * backing, over a kernel nbd device while the proxy is in between, or `error`
 * when nobody may write.  Used by colo-disk.
 * Threads: one; libdevmapper keeps process-wide state.
 */
#ifndef COLO_DISK_DM_TABLE_H
#define COLO_DISK_DM_TABLE_H

#include <sys/types.h>

#include "../libcolo/internal.h"
#include "../libcolo/pure/dm-name.h"

/* What is under the device; error is a table of its own. */
#define COLO_DM_ERROR ((dev_t)0)

struct colo_dm_info {
    bool exists;
    bool suspended;
    uint32_t open_count;
    uint64_t sectors;   /* 512 bytes; 0 = no table */
    dev_t dev;          /* of the device itself */
    dev_t under;        /* COLO_DM_ERROR when it is no linear table */
};

/* colo__dm_info - exists is false, and 0 returned, if there is none. */
int colo__dm_info(const char *name, struct colo_dm_info *ret_info,
                  struct colo_error *err);

/* colo__dm_create - make it over `under`, from its first sector. */
int colo__dm_create(const char *name, uint64_t sectors, dev_t under,
                    struct colo_error *err);

/* colo__dm_create_era - over `under`; the kernel notes in the device `notes`
 * which blocks (sectors long each) are written. */
int colo__dm_create_era(const char *name, uint64_t sectors, dev_t notes,
                        dev_t under, uint32_t block, struct colo_error *err);

/* colo__dm_swap - put `under` beneath the living device.  One ioctl of the
 * kernel waits for the I/O under way, exchanges the table and goes on: a
 * process killed in the middle leaves nothing suspended.
 * Errors   COLO_E_TIMEOUT the I/O under way did not end in timeout_s; the old
 *          table is in force
 * Signals  uses SIGALRM. */
int colo__dm_swap(const char *name, uint64_t sectors, dev_t under,
                  unsigned int timeout_s, struct colo_error *err);

/* colo__dm_clear - forget a table that was loaded and not put in force: it
 * keeps its device open, and whoever resumes next would put it in force.
 * What a process killed within a swap leaves.  No device, none loaded: fine. */
int colo__dm_clear(const char *name, struct colo_error *err);

/* colo__dm_remove - take it away, now or when its last user has gone. */
int colo__dm_remove(const char *name, struct colo_error *err);

#endif
