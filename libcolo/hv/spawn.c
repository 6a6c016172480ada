/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See spawn.h.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../run.h"
#include "spawn.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

#define LOOK_MS 10

int colo__spawn_follow(pid_t pid)
{
    return colo__run_pidfd(pid);
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
    pid_t pid = 0;
    int rc;

    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0 || access(argv[0], X_OK) < 0 ||
        pipe2(report, O_CLOEXEC) < 0 || pipe2(life, O_CLOEXEC) < 0)
        e = errno;
    if (!e && fcntl(report[0], F_SETFL, O_NONBLOCK) < 0)
        e = errno;
    if (!e)
        e = colo__run((char *const *)(uintptr_t)argv, false, NULL,
                      (const int[]){
                          in_fd >= 0 ? in_fd : null_fd,
                          out_fd >= 0 ? out_fd : null_fd,
                          -1, report[1], life[0] }, 5, &pid);
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
