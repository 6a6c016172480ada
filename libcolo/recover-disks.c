/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Disks whose colo-disk was killed: the guest's device still goes through a
 * proxy that nobody looks after.  Each has a record of who serves it, which
 * begins "supervisor PID STARTTIME"; colo-disk itself puts them right.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../xenstore/owner.h"
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
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC), e, pidfd, status;
    struct pollfd pfd;
    pid_t pid = 0;

    e = null_fd < 0 ? errno : colo__run(argv, false, (const int[]){
                                            null_fd, null_fd, -1 }, 3, &pid);
    if (null_fd >= 0)
        close(null_fd);
    if (e)
        return colo__fail(err, COLO_E_SYS, e, "recover", "cannot run %s",
                          argv[0]);
    pidfd = colo__run_pidfd(pid);
    pfd = (struct pollfd){ pidfd, POLLIN, 0 };
    if (pidfd >= 0)
        (void)poll(&pfd, 1, WAIT_MS);
    if (pidfd >= 0)
        close(pidfd);
    if (waitpid(pid, &status, WNOHANG) != pid)
        return colo__fail(err, COLO_E_TIMEOUT, 0, "recover",
                          "%s is still at it: see colo-disk status", argv[0]);
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        return colo__fail(err, COLO_E_SYS, 0, "recover",
                          "%s recover failed: see its messages", argv[0]);
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
