/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See disk-script.h.
 */
#include "disk-script.h"

#include <stdlib.h>
#include <string.h>

#include "pure/dm-name.h"

#define SCRIPT "block-colo"

static int use(libxl_device_disk *disk, const char *target)
{
    char *path = strdup(target), *script = strdup(SCRIPT);

    if (!path || !script) {
        free(path);
        free(script);
        return -1;
    }
    free(disk->pdev_path);
    free(disk->script);
    disk->pdev_path = path;
    disk->script = script;
    return 0;
}

int disk_script_use(libxl_domain_config *config)
{
    char target[COLO_DM_NAME_MAX];

    for (int i = 0; i < config->num_disks; i++) {
        libxl_device_disk *disk = &config->disks[i];

        /* unknown: libxl takes blkback for a block device */
        if (disk->backend != LIBXL_DISK_BACKEND_PHY &&
            disk->backend != LIBXL_DISK_BACKEND_UNKNOWN)
            continue;
        if (disk->pdev_path && colo__dm_target(disk->pdev_path, target) &&
            use(disk, target))
            return -1;
    }
    return 0;
}
