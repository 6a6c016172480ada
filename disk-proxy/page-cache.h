/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The kernel's page cache of the guest's device.  An emulated disk is opened
 * by QEMU as a file, through that cache, and udev reads there too: what was
 * read before an epoch was applied beneath would be seen ever after.
 */
#ifndef COLO_DISK_PAGE_CACHE_H
#define COLO_DISK_PAGE_CACHE_H

#include "../libcolo/internal.h"

/* colo__page_cache_drop - write what is dirty to the device, forget the rest,
 * for all who have it open.
 * Shape    a device that does not exist has no cache: 0.  Pages that somebody
 *          has mapped stay.
 * Blocks   ms at most; the device must be served meanwhile.
 * Errors   COLO_E_TIMEOUT, COLO_E_SYS, COLO_E_NOMEM */
int colo__page_cache_drop(const char *device, unsigned ms,
                          struct colo_error *err);

#endif
