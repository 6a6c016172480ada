/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * From the path of a target to the name of its device-mapper device, and back:
 * who cannot name a block script, as libvirt cannot, names the device.  Used
 * by the library and by colo-disk.  Pure, any thread.
 */
#ifndef COLO_DM_NAME_H
#define COLO_DM_NAME_H

#include "../internal.h"

#define COLO_DM_NAME_MAX 128  /* with the NUL; the kernel's limit */
#define COLO_DM_DIR "/dev/mapper/"
#define COLO_DM_PREFIX "colo-"
#define COLO_DM_PATH_MAX (sizeof(COLO_DM_DIR) - 1 + COLO_DM_NAME_MAX)

/* colo__dm_name - the name of the device over a target.
 * Shape    target: an absolute path.  '/' becomes '-', any odd byte '=' and
 *          two hex digits, so that no two targets share a name; a very long
 *          one ends in "==" and a hash.
 * Errors   COLO_E_INVAL not absolute */
int colo__dm_name(const char *target, char name[COLO_DM_NAME_MAX],
                  struct colo_error *err);

/* colo__dm_target - the target of a device of ours, by the device's path.
 * Returns  false: it is none, or its name does not tell.  A name tells if it
 *          is no hash, and the target has a folder and no "//": so no volume
 *          of LVM's is taken for ours, whatever its group is called.  Then
 *          colo__dm_name of the target is that name, and the target is no
 *          such device itself. */
bool colo__dm_target(const char *path, char ret_target[COLO_DM_NAME_MAX]);

/* colo__dm_is_device - is it the path of a device of ours, whether or not its
 * name tells the target? */
bool colo__dm_is_device(const char *path);

/* colo__dm_path - the path of the device over a target; false: it is none
 * from which colo__dm_target finds the target. */
bool colo__dm_path(const char *target, char ret_path[COLO_DM_PATH_MAX]);

#endif
