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

#include "../link/link.h"
#include "spawn.h"
#include "watchdog.h"

#define DISARM_MS 1000
/* What is looked through: a peer that says more has not gone silent. */
#define LOOK_BYTES (1024u * 1024u)

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

int colo__watchdog_lend(int fd, int control_fd, const uint8_t *secret,
                        struct colo_error *err)
{
    uint8_t told[1 + COLO_LINK_SECRET] = { 's' };
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
    if (!secret)
        return 0;
    memcpy(told + 1, secret, COLO_LINK_SECRET);
    if (send(fd, told, sizeof(told), MSG_NOSIGNAL | MSG_DONTWAIT) !=
        sizeof(told))
        return colo__fail(err, COLO_E_SYS, errno, "watchdog",
                          "the watchdog does not take the link's secret");
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

/* Nobody reads that link any more.  Only the peer knows the secret, so no other
 * can end the guest with it. */
static bool peer_has_taken_over(int control, const uint8_t *secret)
{
    uint8_t buf[16384];
    size_t have = 0;

    for (size_t total = 0; total < LOOK_BYTES;) {
        ssize_t r = recv(control, buf + have, sizeof(buf) - have,
                         MSG_DONTWAIT);

        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return false;
        total += (size_t)r;
        have += (size_t)r;
        if (memmem(buf, have, secret, COLO_LINK_SECRET))
            return true;
        if (have >= COLO_LINK_SECRET) { /* it may come in two pieces */
            memmove(buf, buf + have - (COLO_LINK_SECRET - 1),
                    COLO_LINK_SECRET - 1);
            have = COLO_LINK_SECRET - 1;
        }
    }
    return false;
}

enum colo_watchdog_end colo__watchdog_wait(int fd, int *ret_control)
{
    enum colo_watchdog_end end = COLO_WATCHDOG_DIED;
    uint8_t secret[COLO_LINK_SECRET];
    bool have_secret = false;
    char word = 0;

    *ret_control = -1;
    while (read_word(fd, &word, ret_control) > 0) {
        if (word == 'q')
            return COLO_WATCHDOG_DISARMED;
        if (word == 'y')
            end = COLO_WATCHDOG_YIELDED;
        else if (word == 'k') /* keeps it after all */
            end = COLO_WATCHDOG_DIED;
        else if (word == 's')
            have_secret = recv(fd, secret, sizeof(secret), MSG_WAITALL) ==
                          (ssize_t)sizeof(secret);
    }
    if (end == COLO_WATCHDOG_DIED && have_secret && *ret_control >= 0 &&
        peer_has_taken_over(*ret_control, secret))
        end = COLO_WATCHDOG_YIELDED;
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
