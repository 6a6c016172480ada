/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The parent that stays sane: the work that calls libxl is done in a child
 * and its helpers in a process group of their own.  Whatever ends it (an
 * error, a crash, the death of the session: end of file on fd 4, or that of
 * the program between), this process is left to undo it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "toolstack.h"

/* 1 the child has ended, 0 our starter is gone */
static int wait_for_either(int pidfd, int starter)
{
    for (;;) {
        struct pollfd pfd[3] = {
            { pidfd, POLLIN, 0 },
            { LIFE_FD, POLLIN, 0 },
            { starter, POLLIN, 0 },
        };

        if (poll(pfd, 3, -1) < 0) {
            if (errno == EINTR)
                continue;
            return 0;
        }
        if (pfd[0].revents)
            return 1;
        if (pfd[1].revents || pfd[2].revents)
            return 0;
    }
}

/* A starter that has us killed at its own death (colo-toolstack, of
 * colo-toolstack-libvirt) would leave nobody to undo: from here on its death is
 * waited for instead.  Until then that signal keeps its number from being
 * another process's.  -1: end of file on fd 4 says enough. */
static int follow_starter(void)
{
    int sig = 0, fd = -1;

    if (!prctl(PR_GET_PDEATHSIG, &sig) && sig)
        fd = (int)syscall(SYS_pidfd_open, getppid(), 0);
    if (fd >= 0)
        prctl(PR_SET_PDEATHSIG, 0);
    return fd;
}

static void run_child(pid_t parent, int (*work)(void *arg), void *arg)
{
    setpgid(0, 0);
    /* if this parent dies too, nobody would end us; and it may be dead */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EXIT_FAILED);
    close(LIFE_FD);
    _exit(work(arg));
}

/* The streams are the work's.  Held here, too, a pipe would not end when the
 * work has closed it: the seed of a PV guest, long before the work does. */
static void leave_streams(void)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (fd < 0)
        return;
    dup2(fd, STDIN_FILENO);
    dup2(fd, STDOUT_FILENO);
    close(fd);
}

int supervise(int (*work)(void *arg), void (*undo)(void *arg, bool killed),
              void *arg)
{
    int status = 0, pidfd, starter = follow_starter();
    pid_t parent = getpid(), pid;
    bool killed = false;

    pid = fork();
    if (pid < 0) {
        report("error", "cannot fork");
        return EXIT_FAILED;
    }
    if (pid == 0)
        run_child(parent, work, arg);
    setpgid(pid, pid);
    leave_streams();
    pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0 || !wait_for_either(pidfd, starter)) {
        kill(-pid, SIGKILL);
        killed = true;
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!killed && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_OK)
        return EXIT_OK;
    /* what is left of the group, such as libxl's save helper */
    kill(-pid, SIGKILL);
    if (!killed && WIFSIGNALED(status))
        report("error", "libxl has crashed (signal %d)", WTERMSIG(status));
    undo(arg, killed || WIFSIGNALED(status));
    return EXIT_FAILED;
}
