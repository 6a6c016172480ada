/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Is the process that an owner node names still the one that wrote it?
 * Reads /proc.  Any thread.
 */
#ifndef COLO_OWNER_H
#define COLO_OWNER_H

#include "schema.h"

/* colo__owner_self - this process. */
int colo__owner_self(struct colo_owner *ret_owner, struct colo_error *err);

/* colo__owner_alive - true while that process runs; a zombie, or another
 * process that got the same pid, is not it. */
bool colo__owner_alive(const struct colo_owner *owner);

/* colo__owner_pidfd - a pidfd of that process, readable when it has ended.
 * Returns  a descriptor that the caller closes, or COLO_E_NOTFOUND. */
int colo__owner_pidfd(const struct colo_owner *owner, struct colo_error *err);

/* colo__owner_ended - has the process of a pidfd ended?  Does not wait. */
bool colo__owner_ended(int pidfd);

#endif
