/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The watchdog of a simulated guest: a child of the session's process at the
 * other end of a socket, speaking as colo-watchdog does.  End of file without
 * a word means that the session was killed: tracking off, the guest goes on,
 * and the peer hears of it; or, where the peer has the guest, its end.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hv/watchdog.h"
#include "sim-internal.h"

struct sim_watchdog {
    pid_t pid;
    int fd;
};

/* A stop that is under way may yet be answered: wait for what comes of it. */
static void let_go(struct sim_guest *guest)
{
    struct timespec rest = { .tv_nsec = 1000000 };

    sim_guest_track_off(guest);
    for (int i = 0; i < 10000; i++) {
        uint32_t run = atomic_load(&guest->ctl->run);

        if (run == SIM_ASKED)
            sim__run_change(guest, SIM_ASKED, SIM_RUNNING);
        else if (run == SIM_STOPPED)
            sim__run_change(guest, SIM_STOPPED, SIM_RUNNING);
        else
            return;
        nanosleep(&rest, NULL);
    }
}

static _Noreturn void child_main(struct sim_guest *guest, int fd)
{
    int control;
    int null = open("/dev/null", O_RDWR);

    for (int i = 0; i < 3; i++)
        dup2(null, i);
    if (fd != 3)
        dup2(fd, 3);
    close_range(4, ~0u, 0);
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    prctl(PR_SET_NAME, "sim-watchdog");
    switch (colo__watchdog_wait(3, &control)) {
    case COLO_WATCHDOG_DISARMED:
        break;
    case COLO_WATCHDOG_DIED:
        colo__watchdog_last_words(control);
        let_go(guest);
        break;
    case COLO_WATCHDOG_YIELDED:
        sim_guest_kill(guest);
        break;
    }
    _exit(0);
}

struct sim_watchdog *sim_watchdog_start(struct sim_guest *guest)
{
    struct sim_watchdog *wd = calloc(1, sizeof(*wd));
    int pipefd[2];

    if (!wd)
        return NULL;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pipefd)) {
        free(wd);
        return NULL;
    }
    wd->pid = fork();
    if (wd->pid == 0) {
        close(pipefd[1]);
        child_main(guest, pipefd[0]);
    }
    close(pipefd[0]);
    wd->fd = pipefd[1];
    if (wd->pid < 0) {
        close(wd->fd);
        free(wd);
        return NULL;
    }
    return wd;
}

void sim_watchdog_give(struct sim_watchdog *wd, int *ret_fd, int *ret_pid)
{
    *ret_fd = wd->fd;
    *ret_pid = wd->pid;
    free(wd);
}

void sim_watchdog_end(struct sim_watchdog *wd)
{
    if (!wd)
        return;
    if (write(wd->fd, "q", 1) == 1)
        waitpid(wd->pid, NULL, 0);
    close(wd->fd);
    free(wd);
}
