/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * colo-disk attach and detach: the device of a disk comes and goes with its
 * guest.  What the script block-colo and libvirt's hook call.  See
 * colo-disk.h.
 */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "colo-disk.h"

#define SWAP_SECONDS 30
#define BUSY_SECONDS 10  /* the backend of a guest that has just gone */

/* What the new device goes over.  *backing is kept open by the caller until
 * the device is there. */
static int find_under(const struct disk_names *names,
                      struct disk_backing *backing, dev_t *ret_under,
                      struct colo_error *err)
{
    struct disk_record record;
    char why[400];
    int rc;

    /* its server is what the guest needs now; recovery would await its log */
    rc = disk_is_draining(names, &record);
    if (!rc) {
        rc = disk_recover_one(names, err);
        if (rc < 0)
            return rc;
        rc = disk_record_read(names->record, &record, err);
        if (rc < 0)
            return rc;
    }
    if (rc == 1) {
        /* the session answers for who may run on it */
        rc = colo__nbd_number(record.nbd, ret_under, err);
        return rc ? rc : disk_backing_open(backing, names->target, err);
    }
    if (colo__meta_may_start(names->meta, why, sizeof(why)))
        return colo__fail(err, COLO_E_REFUSED, 0, DISK_WHERE, "%s", why);
    rc = disk_backing_open(backing, names->target, err);
    if (rc)
        return rc;
    *ret_under = backing->dev;
    return colo__meta_untracked(names->meta, err);
}

static int wait_unused(const struct disk_names *names,
                       struct colo_dm_info *ret_info, struct colo_error *err)
{
    for (int i = 0; ; i++) {
        struct timespec t = { .tv_nsec = 50 * 1000 * 1000 };
        int rc = colo__dm_info(names->name, ret_info, err);

        if (rc || !ret_info->exists || !ret_info->open_count)
            return rc;
        if (i == BUSY_SECONDS * 20)
            return colo__fail(err, COLO_E_EXISTS, 0, DISK_WHERE,
                              "%s is in use by another guest or program",
                              names->target);
        nanosleep(&t, NULL);
    }
}

static int attach(const struct disk_names *names, struct colo_error *err)
{
    struct disk_backing backing = { .fd = -1 };
    struct colo_dm_info info;
    uint64_t sectors;
    dev_t under;
    int rc;

    rc = wait_unused(names, &info, err);
    if (!rc)
        rc = find_under(names, &backing, &under, err);
    if (rc)
        goto out;
    sectors = backing.size / 512;
    if (info.exists)
        rc = colo__dm_swap(names->name, sectors, under, SWAP_SECONDS, err);
    else
        rc = colo__dm_create(names->name, sectors, under, err);
    if (!rc)
        disk_track_drop(names); /* another guest, or another run of it */
out:
    disk_backing_close(&backing);
    return rc;
}

int disk_cmd_attach(const struct disk_options *options)
{
    struct disk_names names;
    struct colo_error err;
    int lock, rc;

    rc = disk_take(&names, options, &lock, &err);
    if (!rc)
        rc = attach(&names, &err);
    if (lock >= 0)
        close(lock);
    if (rc)
        return disk_report(&err);
    printf(COLO_DM_DIR "%s\n", names.name);
    return 0;
}

int disk_cmd_detach(const struct disk_options *options)
{
    struct disk_names names;
    struct colo_error err;
    int lock, rc;

    rc = disk_take(&names, options, &lock, &err);
    if (!rc)
        rc = colo__dm_remove(names.name, &err);
    if (!rc)
        disk_track_drop(&names);
    if (lock >= 0)
        close(lock);
    return rc ? disk_report(&err) : 0;
}
