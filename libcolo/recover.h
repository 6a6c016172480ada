/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The parts of colo_recover.  Any thread.
 */
#ifndef COLO_RECOVER_H
#define COLO_RECOVER_H

#include "disks.h"
#include "internal.h"

/* colo__recover_disks - take proxies out whose colo-disk has been killed.
 * Returns  1 something was put right, 0 there was nothing, < 0.
 * Blocks   until it is done, at most a minute. */
int colo__recover_disks(const struct colo_log *log, struct colo_error *err);
/* colo__recover_nets - the same of network cards. */
int colo__recover_nets(const struct colo_log *log, struct colo_error *err);

/* colo__recover_list_disks - those of colo-disk's that a guest has; it must
 * still be there, and be that of this uuid.  None, if that cannot be told. */
void colo__recover_list_disks(uint32_t domid, const char *uuid,
                              struct colo_disks *ret_disks);
/* colo__recover_outdate - the guest was destroyed here, since it is the peer's:
 * these copies are not the newest.  What fails is logged.
 * Blocks   limit_ms, and what a last try takes. */
void colo__recover_outdate(const struct colo_disks *disks, uint32_t limit_ms,
                           const struct colo_log *log);

/* colo__recover_any - is any record in folder one that nobody looks after?
 * dir: descriptor of the folder. */
bool colo__recover_any(const char *folder,
                       bool (*abandoned)(int dir, const char *name));
/* colo__recover_run - argv[0] puts it right; it lives on if it takes longer.
 * hint: where else to look, after "see its messages". */
int colo__recover_run(const char *const *argv, uint32_t wait_ms,
                      const char *hint, struct colo_error *err);

#endif
