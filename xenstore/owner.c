/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Process identity for owner nodes: pid and start time, see owner.h.
 * Source: pidfd_open(2).
 */
#include <errno.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../libcolo/proc-start.h"
#include "owner.h"

int colo__owner_self(struct colo_owner *ret_owner, struct colo_error *err)
{
    struct colo_owner self = { .pid = getpid() };

    if (colo__proc_start(self.pid, &self.start))
        return colo__fail(err, COLO_E_SYS, errno, "owner",
                          "/proc/%d/stat cannot be read", self.pid);
    *ret_owner = self;
    return 0;
}

bool colo__owner_alive(const struct colo_owner *owner)
{
    uint64_t start;

    return colo__proc_start(owner->pid, &start) == 0 &&
           start == owner->start;
}

int colo__owner_pidfd(const struct colo_owner *owner, struct colo_error *err)
{
    int fd = (int)syscall(SYS_pidfd_open, (pid_t)owner->pid, 0u);

    if (fd < 0 && errno != ESRCH)
        return colo__fail(err, COLO_E_SYS, errno, "owner", "pidfd_open");
    /* asked after the open: now the pid cannot change hands unseen */
    if (fd < 0 || !colo__owner_alive(owner)) {
        if (fd >= 0)
            close(fd);
        return colo__fail(err, COLO_E_NOTFOUND, 0, "owner",
                          "process %d has ended", owner->pid);
    }
    return fd;
}

bool colo__owner_ended(int pidfd)
{
    struct pollfd pfd = { pidfd, POLLIN, 0 };

    return poll(&pfd, 1, 0) > 0;
}
