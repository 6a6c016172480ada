/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Starting and disarming colo-watchdog.  Called by the primary's session.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "spawn.h"
#include "watchdog.h"

#define DISARM_MS 1000

int colo__watchdog_start(uint32_t domid, const char *uuid,
                         const char *libexecdir, int *ret_fd, pid_t *ret_pid,
                         struct colo_error *err)
{
    int report = -1, life = -1, pidfd = -1, pair[2] = { -1, -1 }, rc;
    char path[512], number[16];
    const char *argv[] = { path, number, uuid, NULL };
    pid_t pid;

    snprintf(path, sizeof(path), "%s/colo-watchdog",
             libexecdir ? libexecdir : COLO_LIBEXECDIR);
    snprintf(number, sizeof(number), "%u", domid);
    /* a socket, so that disarming can use MSG_NOSIGNAL */
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return colo__fail(err, COLO_E_SYS, errno, "watchdog", "socketpair");
    rc = colo__spawn(argv, pair[0], -1, &report, &life, &pid, &pidfd, err);
    close(pair[0]);
    if (rc) {
        close(pair[1]);
        return rc;
    }
    /* its life line is its stdin; the other two are not used */
    close(report);
    close(life);
    if (pidfd >= 0)
        close(pidfd);
    *ret_fd = pair[1];
    *ret_pid = pid;
    return 0;
}

int colo__watchdog_lend(int fd, int control_fd, struct colo_error *err)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    char word = 'f';
    struct iovec iov = { .iov_base = &word, .iov_len = 1 };
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(cmsg), &control_fd, sizeof(int));
    if (sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
        return colo__fail(err, COLO_E_SYS, errno, "watchdog",
                          "the watchdog does not take the link");
    return 0;
}

void colo__watchdog_yield(int fd, bool yields)
{
    if (fd >= 0)
        (void)!send(fd, yields ? "y" : "k", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* One word of the session, and the descriptor that may come with it. */
static ssize_t read_word(int fd, char *word, int *ret_control)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct iovec iov = { .iov_base = word, .iov_len = 1 };
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };
    struct cmsghdr *cmsg;
    ssize_t r;

    do {
        r = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
    } while (r < 0 && errno == EINTR);
    cmsg = r > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
    if (cmsg && cmsg->cmsg_type == SCM_RIGHTS) {
        if (*ret_control >= 0)
            close(*ret_control);
        memcpy(ret_control, CMSG_DATA(cmsg), sizeof(int));
    }
    return r;
}

enum colo_watchdog_end colo__watchdog_wait(int fd, int *ret_control)
{
    enum colo_watchdog_end end = COLO_WATCHDOG_DIED;
    char word = 0;

    *ret_control = -1;
    while (read_word(fd, &word, ret_control) > 0) {
        if (word == 'q')
            return COLO_WATCHDOG_DISARMED;
        if (word == 'y')
            end = COLO_WATCHDOG_YIELDED;
        else if (word == 'k') /* keeps it after all */
            end = COLO_WATCHDOG_DIED;
    }
    return end;
}

void colo__watchdog_disarm(int fd, pid_t pid)
{
    int pidfd;

    if (fd < 0)
        return;
    (void)!send(fd, "q", 1, MSG_NOSIGNAL);
    close(fd);
    pidfd = colo__spawn_follow(pid);
    colo__spawn_wait(pid, pidfd, DISARM_MS);
    if (pidfd >= 0)
        close(pidfd);
}
