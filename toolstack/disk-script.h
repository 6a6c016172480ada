/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Disks of a guest that libvirt has started, where libxl alone makes it.
 */
#ifndef COLO_DISK_SCRIPT_H
#define COLO_DISK_SCRIPT_H

#include <libxl.h>

/* disk_script_use - each disk that is a device of colo-disk's gets the script
 * block-colo and the target.  Without libvirt nobody runs libvirt's hook, and
 * the device would not be there; the script makes it when the memory is here,
 * and takes it away with the domain.
 * Returns  0, or -1: no memory. */
int disk_script_use(libxl_domain_config *config);

#endif
