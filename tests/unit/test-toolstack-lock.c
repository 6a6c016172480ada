/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Who sees to the end of a domain: one at a time, and not to be stopped while
 * it does.
 */
#include "pure-common.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../toolstack/monitor-lock.h"

/* the process may be another run's as well: its number keeps them apart */
static uint32_t domid(void)
{
    return (uint32_t)getppid();
}

/* a process that has the lock, and carries out the end */
static pid_t hold(uint32_t id, bool acts)
{
    int ready[2];
    char byte;
    pid_t pid;

    ck_assert_int_eq(pipe(ready), 0);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (!pid) {
        int fd = monitor_lock(id, 0);

        signal(SIGTERM, SIG_DFL); /* libcheck's handler */
        if (fd < 0)
            _exit(1);
        if (acts)
            monitor_acts(fd);
        if (write(ready[1], "r", 1) == 1)
            pause();
        _exit(0);
    }
    close(ready[1]);
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static void let_go(pid_t pid)
{
    int status = 0;

    kill(pid, SIGKILL);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
}

START_TEST(test_watches)
{
    uint32_t id = domid();
    int status = 0, fd;
    pid_t pid;

    ck_assert(!monitor_is_there(id));
    monitor_stop(id); /* nobody */
    pid = hold(id, false);
    ck_assert(monitor_is_there(id));
    ck_assert_int_eq(monitor_lock(id, 20), MONITOR_HELD);
    monitor_stop(id);
    fd = monitor_lock(id, 5000);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status));
    ck_assert_int_eq(WTERMSIG(status), SIGTERM);
    ck_assert(!monitor_is_there(id)); /* but we */
    close(fd);
}
END_TEST

START_TEST(test_acts)
{
    uint32_t id = domid();
    pid_t pid = hold(id, true);
    int status = 0;

    ck_assert(monitor_is_there(id));
    monitor_stop(id);
    ck_assert_int_eq(monitor_lock(id, 100), MONITOR_HELD);
    ck_assert_int_eq(waitpid(pid, &status, WNOHANG), 0);
    let_go(pid);
    ck_assert_int_ge(monitor_lock(id, 0), 0);
    monitor_acts(MONITOR_NO_LOCK);
}
END_TEST

PURE_MAIN("toolstack-lock", test_watches, test_acts)
