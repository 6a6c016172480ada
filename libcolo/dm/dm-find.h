/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Which monitor of a guest's QEMU is ours: the one that its configuration gives
 * us (device_model_args = [ "-qmp", "unix:/run/libcolo/NAME.qmp,..." ]), else
 * the one that libxl makes for libxenstat.
 */
#ifndef COLO_DM_FIND_H
#define COLO_DM_FIND_H

#include "../internal.h"

#define COLO_DM_PATH_MAX 108 /* of a socket, the end included */

/* colo__dm_find_argument - our monitor in a command line, as /proc gives it
 * (each argument ends with 0).  Pure.  False: it has none. */
bool colo__dm_find_argument(const char *cmdline, size_t len,
                            char path[COLO_DM_PATH_MAX]);

/* colo__dm_find - for colo__dm_qmp_open.
 * Errors   COLO_E_NOTFOUND  this guest has no device model */
int colo__dm_find(uint32_t domid, char path[COLO_DM_PATH_MAX],
                  struct colo_error *err);

#endif
