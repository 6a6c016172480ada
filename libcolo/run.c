/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * posix_spawn with its attributes and descriptors, see run.h.
 */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "run.h"

/* A session of its own, so that neither ^C at our terminal nor its end
 * reaches it; signals as at login, whatever the caller has set. */
static int set_attributes(posix_spawnattr_t *attr)
{
    sigset_t none, all;
    int e;

    sigemptyset(&none);
    sigfillset(&all);
    e = posix_spawnattr_setsigmask(attr, &none);
    if (!e)
        e = posix_spawnattr_setsigdefault(attr, &all);
    if (!e)
        e = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK |
                                           POSIX_SPAWN_SETSIGDEF |
                                           POSIX_SPAWN_SETSID);
    return e;
}

static int set_files(posix_spawn_file_actions_t *files, const int *fds,
                     size_t n)
{
    int e = 0;

    for (size_t i = 0; i < n && !e; i++) {
        if (fds[i] >= 0)
            e = posix_spawn_file_actions_adddup2(files, fds[i], (int)i);
    }
    /* Also what others opened without O_CLOEXEC. */
    if (!e)
        e = posix_spawn_file_actions_addclosefrom_np(files, (int)n);
    return e;
}

static int spawn(char *const *argv, bool in_path, char *const *env,
                 const int *fds, size_t n, pid_t *ret_pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    int e = posix_spawnattr_init(&attr);

    if (e)
        return e;
    e = posix_spawn_file_actions_init(&files);
    if (e) {
        posix_spawnattr_destroy(&attr);
        return e;
    }
    e = set_attributes(&attr);
    if (!e)
        e = set_files(&files, fds, n);
    if (!e)
        e = (in_path ? posix_spawnp : posix_spawn)(ret_pid, argv[0], &files,
                                                   &attr, argv,
                                                   env ? env : environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attr);
    return e;
}

int colo__run(char *const *argv, bool in_path, char *const *env,
              const int *fds, size_t n, pid_t *ret_pid)
{
    int high[COLO_RUN_FDS] = { 0 };
    size_t made = 0;
    int e = n > COLO_RUN_FDS ? EINVAL : 0;

    /* Copies out of the way, so that no dup2 in the child overwrites what a
     * later one takes. */
    for (; made < n && !e; made++) {
        high[made] = fds[made] < 0 ? -1 : fcntl(fds[made], F_DUPFD_CLOEXEC,
                                                COLO_RUN_FDS);
        if (fds[made] >= 0 && high[made] < 0)
            e = errno;
    }
    if (!e)
        e = spawn(argv, in_path, env, high, n, ret_pid);
    while (made > 0) {
        if (high[--made] >= 0)
            close(high[made]);
    }
    return e;
}

int colo__run_tool(char *const *argv, int in_fd, pid_t *ret_pid)
{
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC), e;

    if (null_fd < 0)
        return errno;
    e = colo__run(argv, false, NULL, (const int[]){
                      in_fd >= 0 ? in_fd : null_fd, null_fd, -1 }, 3, ret_pid);
    close(null_fd);
    return e;
}

int colo__run_pidfd(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}
