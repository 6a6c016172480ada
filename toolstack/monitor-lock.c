/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See monitor-lock.h.  A record lock: its first byte is that of whoever sees to
 * the end of the domain, the second is held, too, while that is being done.
 * A lock ends with its process, and with any close of the file in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "monitor-lock.h"

#ifndef LOCK_DIR
#define LOCK_DIR "/run/libcolo"
#endif
#define WATCHES 1 /* bytes */
#define ACTS 2
#define LOOK_MS 10

static int lock_open(uint32_t domid)
{
    char path[64];

    if (mkdir(LOCK_DIR, 0700) < 0 && errno != EEXIST)
        return -1;
    snprintf(path, sizeof(path), LOCK_DIR "/monitor-%u", domid);
    return open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static bool lock_take(int fd, int len)
{
    struct flock fl = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = len,
    };

    return fcntl(fd, F_SETLK, &fl) == 0;
}

/* Who has it: l_pid, 0 nobody. */
static struct flock lock_holder(int fd)
{
    struct flock fl = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = WATCHES,
    };

    if (fcntl(fd, F_GETLK, &fl) < 0 || fl.l_type == F_UNLCK ||
        fl.l_pid == getpid())
        fl.l_pid = 0;
    return fl;
}

int monitor_lock(uint32_t domid, int wait_ms)
{
    int fd = lock_open(domid);

    if (fd < 0)
        return MONITOR_NO_LOCK;
    for (int ms = 0; !lock_take(fd, WATCHES); ms += LOOK_MS) {
        if (ms >= wait_ms) {
            close(fd);
            return MONITOR_HELD;
        }
        poll(NULL, 0, LOOK_MS);
    }
    return fd;
}

void monitor_acts(int fd)
{
    if (fd >= 0)
        (void)lock_take(fd, ACTS);
}

bool monitor_is_there(uint32_t domid)
{
    int fd = lock_open(domid);
    bool is = fd >= 0 && lock_holder(fd).l_pid > 0;

    if (fd >= 0)
        close(fd);
    return is;
}

void monitor_stop(uint32_t domid)
{
    int fd = lock_open(domid);
    struct flock holder;

    if (fd < 0)
        return;
    holder = lock_holder(fd);
    if (holder.l_pid > 0 && holder.l_len != ACTS)
        kill(holder.l_pid, SIGTERM);
    close(fd);
}
