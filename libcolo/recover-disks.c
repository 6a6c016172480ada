/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Disks whose colo-disk was killed: the guest's device still goes through a
 * proxy that nobody looks after.  Each has a record of who serves it, which
 * begins "supervisor PID STARTTIME"; colo-disk itself puts them right.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "../xenstore/owner.h"
#include "recover.h"

#define RECORDS "/run/libcolo/disk"
#define WAIT_MS 60000 /* requests of the guest may have to time out */

static bool abandoned(int dir, const char *name)
{
    struct colo_owner owner = { 0 };
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
    bool found;

    if (!f) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    found = fscanf(f, "supervisor %" SCNd32 " %" SCNu64, &owner.pid,
                   &owner.start) == 2 && !colo__owner_alive(&owner);
    fclose(f);
    return found;
}

int colo__recover_disks(const struct colo_log *log, struct colo_error *err)
{
    static const char *const argv[] = { COLO_LIBEXECDIR "/colo-disk",
                                        "recover", NULL };
    int rc;

    if (!colo__recover_any(RECORDS, abandoned))
        return 0;
    colo__log(log, COLO_LOG_NOTICE, -1, "recover",
              "a disk's proxy has nobody to look after it: cleaning up");
    rc = colo__recover_run(argv, WAIT_MS, ", and colo-disk status", err);
    return rc ? rc : 1;
}
