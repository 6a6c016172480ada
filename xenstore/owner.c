/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Process identity for owner nodes: pid and start time, see owner.h.
 * Source: proc(5), /proc/PID/stat fields 3 and 22; pidfd_open(2).
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "owner.h"

#define STAT_FIELD_STATE 3
#define STAT_FIELD_START 22

/* The second field, the name, may hold spaces and parentheses: fields count
 * from the last ')'. */
static int parse_stat(const char *text, char *ret_state, uint64_t *ret_start)
{
    const char *p = strrchr(text, ')');
    char *end;

    if (!p || p[1] != ' ' || !p[2])
        return -1;
    p += 2;
    *ret_state = *p;
    for (int field = STAT_FIELD_STATE; field < STAT_FIELD_START; field++) {
        p = strchr(p, ' ');
        if (!p)
            return -1;
        p++;
    }
    errno = 0;
    *ret_start = strtoull(p, &end, 10);
    return errno || end == p ? -1 : 0;
}

static int read_stat(int32_t pid, char *ret_state, uint64_t *ret_start)
{
    char path[32], text[1024];
    ssize_t r;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    r = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (r <= 0)
        return -1;
    text[r] = '\0';
    return parse_stat(text, ret_state, ret_start);
}

int colo__owner_self(struct colo_owner *ret_owner, struct colo_error *err)
{
    struct colo_owner self = { .pid = getpid() };
    char state;

    if (read_stat(self.pid, &state, &self.start))
        return colo__fail(err, COLO_E_SYS, errno, "owner",
                          "/proc/%d/stat cannot be read", self.pid);
    *ret_owner = self;
    return 0;
}

bool colo__owner_alive(const struct colo_owner *owner)
{
    uint64_t start;
    char state;

    return read_stat(owner->pid, &state, &start) == 0 &&
           start == owner->start && state != 'Z' && state != 'X';
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
