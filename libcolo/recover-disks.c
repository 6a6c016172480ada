/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Disks whose colo-disk was killed: the guest's device still goes through a
 * proxy that nobody looks after.  Each has a record of who serves it, which
 * begins "supervisor PID STARTTIME"; colo-disk itself puts them right.
 */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "../xenstore/owner.h"
#include "hv/spawn.h"
#include "recover.h"
#include "run.h"

#define RECORDS "/run/libcolo/disk"
#define WAIT_MS 60000 /* requests of the guest may have to time out */

static bool abandoned(const char *name)
{
    struct colo_owner owner = { 0 };
    char path[sizeof(RECORDS) + 300];
    bool found;
    FILE *f;

    if (snprintf(path, sizeof(path), RECORDS "/%s", name) >=
        (int)sizeof(path))
        return false;
    f = fopen(path, "re");
    if (!f)
        return false;
    found = fscanf(f, "supervisor %" SCNd32 " %" SCNu64, &owner.pid,
                   &owner.start) == 2 && !colo__owner_alive(&owner);
    fclose(f);
    return found;
}

static bool any_abandoned(void)
{
    DIR *dir = opendir(RECORDS);
    struct dirent *entry;
    bool found = false;

    if (!dir)
        return false;
    while (!found && (entry = readdir(dir)))
        found = entry->d_name[0] != '.' && abandoned(entry->d_name);
    closedir(dir);
    return found;
}

/* Its exit status; it lives on if it takes longer. */
static int run_recover(struct colo_error *err)
{
    char *const argv[] = { (char *)COLO_LIBEXECDIR "/colo-disk",
                           (char *)"recover", NULL };
    int pidfd, status, e;
    pid_t pid = 0;

    e = colo__run_tool(argv, -1, &pid);
    if (e)
        return colo__fail(err, COLO_E_SYS, e, "recover", "cannot run %s",
                          argv[0]);
    pidfd = colo__run_pidfd(pid);
    status = colo__spawn_wait(pid, pidfd, WAIT_MS);
    if (pidfd >= 0)
        close(pidfd);
    if (status)
        return colo__fail(err, COLO_E_SYS, 0, "recover",
                          "%s recover failed, or takes longer than %d s: see "
                          "its messages, and colo-disk status", argv[0],
                          WAIT_MS / 1000);
    return 0;
}

int colo__recover_disks(const struct colo_log *log, struct colo_error *err)
{
    int rc;

    if (!any_abandoned())
        return 0;
    colo__log(log, COLO_LOG_NOTICE, -1, "recover",
              "a disk's proxy has nobody to look after it: cleaning up");
    rc = run_recover(err);
    return rc ? rc : 1;
}
