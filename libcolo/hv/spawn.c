/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See spawn.h.  Called by hv-xen-life.c and watchdog.c.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "spawn.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

#define LOOK_MS 10
#define FD_FIRST_FREE 10 /* above every number that dup2 below uses */

/* A copy out of the way of 0..4, so that dup2 in the child cannot overwrite
 * one descriptor by another. */
static int high_copy(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, FD_FIRST_FREE);
}

struct spawn_fds {
    int in, out, report, life;
};

static int add_actions(posix_spawn_file_actions_t *actions,
                       const struct spawn_fds *fds)
{
    int e = 0;

    e |= posix_spawn_file_actions_adddup2(actions, fds->in, 0);
    e |= posix_spawn_file_actions_adddup2(actions, fds->out, 1);
    e |= posix_spawn_file_actions_adddup2(actions, fds->report, 3);
    e |= posix_spawn_file_actions_adddup2(actions, fds->life, 4);
    e |= posix_spawn_file_actions_addclosefrom_np(actions, 5);
    return e;
}

/* A session of its own, so that neither ^C at our terminal nor its end
 * reaches it; signals as at login, whatever the caller has set. */
static int add_attributes(posix_spawnattr_t *attr)
{
    sigset_t none, all;
    int e;

    sigemptyset(&none);
    sigfillset(&all);
    e = posix_spawnattr_setsigmask(attr, &none);
    e |= posix_spawnattr_setsigdefault(attr, &all);
    e |= posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK |
                                        POSIX_SPAWN_SETSIGDEF |
                                        POSIX_SPAWN_SETSID);
    return e;
}

static int run(const char *const *argv, const struct spawn_fds *fds,
               pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    int e;

    if (posix_spawn_file_actions_init(&actions))
        return ENOMEM;
    if (posix_spawnattr_init(&attr)) {
        posix_spawn_file_actions_destroy(&actions);
        return ENOMEM;
    }
    e = add_actions(&actions, fds) || add_attributes(&attr) ? ENOMEM : 0;
    if (!e)
        e = posix_spawn(ret_pid, argv[0], &actions, &attr,
                        (char *const *)(uintptr_t)argv, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    return e;
}

int colo__spawn_follow(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

static void close_all(const int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
}

int colo__spawn(const char *const *argv, int in_fd, int out_fd,
                int *ret_report, int *ret_life, pid_t *ret_pid,
                int *ret_pidfd, struct colo_error *err)
{
    int report[2] = { -1, -1 }, life[2] = { -1, -1 }, null_fd = -1, e = 0;
    struct spawn_fds fds = { -1, -1, -1, -1 };
    pid_t pid = 0;
    int rc;

    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0 || access(argv[0], X_OK) < 0 ||
        pipe2(report, O_CLOEXEC) < 0 || pipe2(life, O_CLOEXEC) < 0)
        e = errno;
    fds.in = e ? -1 : high_copy(in_fd >= 0 ? in_fd : null_fd);
    fds.out = e ? -1 : high_copy(out_fd >= 0 ? out_fd : null_fd);
    fds.report = e ? -1 : high_copy(report[1]);
    fds.life = e ? -1 : high_copy(life[0]);
    if (!e && (fds.in < 0 || fds.out < 0 || fds.report < 0 || fds.life < 0 ||
               fcntl(report[0], F_SETFL, O_NONBLOCK) < 0))
        e = errno;
    if (!e)
        e = run(argv, &fds, &pid);
    if (e) {
        rc = colo__fail(err, COLO_E_SYS, e, "spawn", "cannot run %.100s",
                        argv[0]);
        goto out;
    }
    *ret_pid = pid;
    *ret_pidfd = colo__spawn_follow(pid);
    *ret_report = report[0];
    *ret_life = life[1];
    report[0] = life[1] = -1;
    rc = 0;
out:
    close_all(report, 2);
    close_all(life, 2);
    close_all(&null_fd, 1);
    close_all((const int[]){ fds.in, fds.out, fds.report, fds.life }, 4);
    return rc;
}

/* Where a kernel or a tool under which we run knows no pidfd. */
static int wait_by_pid(pid_t pid, int timeout_ms)
{
    for (int waited = 0;; waited += LOOK_MS) {
        int status;
        pid_t r = waitpid(pid, &status, WNOHANG);

        if (r == pid)
            return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        if ((r < 0 && errno != EINTR) || waited >= timeout_ms)
            return -1;
        poll(NULL, 0, LOOK_MS);
    }
}

int colo__spawn_wait(pid_t pid, int pidfd, int timeout_ms)
{
    struct pollfd pfd = { pidfd, POLLIN, 0 };
    siginfo_t info = { 0 };

    if (pidfd < 0)
        return wait_by_pid(pid, timeout_ms);
    if (poll(&pfd, 1, timeout_ms) <= 0)
        return -1;
    if (waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED) < 0)
        return -1;
    return info.si_code == CLD_EXITED ? info.si_status : -1;
}
