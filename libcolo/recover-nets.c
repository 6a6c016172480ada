/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Network cards whose colo-net was killed, and the one beside it that puts
 * them back, too: each has a record, which a living process keeps locked and
 * one that ended well leaves empty.  colo-net itself puts them right.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hv/spawn.h"
#include "recover.h"
#include "run.h"

#define RECORDS "/run/libcolo/net"
#define WAIT_MS 10000

static bool abandoned(int dir, const char *name)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;
    bool found;

    if (fd < 0)
        return false;
    found = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
            flock(fd, LOCK_SH | LOCK_NB) == 0;
    close(fd);
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
        found = entry->d_name[0] != '.' && abandoned(dirfd(dir),
                                                     entry->d_name);
    closedir(dir);
    return found;
}

int colo__recover_nets(const struct colo_log *log, struct colo_error *err)
{
    char *const argv[] = { (char *)COLO_LIBEXECDIR "/colo-net",
                           (char *)"cleanup", (char *)"--all", NULL };
    int pidfd, status, e;
    pid_t pid = 0;

    if (!any_abandoned())
        return 0;
    colo__log(log, COLO_LOG_NOTICE, -1, "recover",
              "a network card's proxy was killed: cleaning up");
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
                          "%s cleanup --all failed: see its messages",
                          argv[0]);
    return 1;
}
