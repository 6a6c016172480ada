/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What disks and network cards have in common when their processes were killed:
 * a folder of records, and a program of ours that puts things right.
 */
#include <dirent.h>
#include <unistd.h>

#include "hv/spawn.h"
#include "recover.h"
#include "run.h"

bool colo__recover_any(const char *folder,
                       bool (*abandoned)(int dir, const char *name))
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    bool found = false;

    if (!dir)
        return false;
    while (!found && (entry = readdir(dir)))
        found = entry->d_name[0] != '.' && abandoned(dirfd(dir),
                                                     entry->d_name);
    closedir(dir);
    return found;
}

int colo__recover_run(const char *const *argv, uint32_t wait_ms,
                      const char *hint, struct colo_error *err)
{
    int pidfd, status, e;
    pid_t pid = 0;

    e = colo__run_tool((char *const *)(uintptr_t)argv, -1, &pid);
    if (e)
        return colo__fail(err, COLO_E_SYS, e, "recover", "cannot run %s",
                          argv[0]);
    pidfd = colo__run_pidfd(pid);
    status = colo__spawn_wait(pid, pidfd, wait_ms);
    if (pidfd >= 0)
        close(pidfd);
    if (status)
        return colo__fail(err, COLO_E_SYS, 0, "recover",
                          "%s %s failed, or takes longer than %u s: see its "
                          "messages%s", argv[0], argv[1], wait_ms / 1000,
                          hint);
    return 0;
}
