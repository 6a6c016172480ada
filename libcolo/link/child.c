/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Running ssh: one socket for its stdin and stdout, a sealed memfd for its
 * stderr, a pidfd to wait on, a bounded end.  Called by the bootstrap's
 * thread, and by whoever ends a bootstrap after that thread is gone.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../run.h"
#include "child.h"
#include "link-internal.h"

#define WHERE "ssh"
#define STDERR_BYTES 65536
#define KILL_MS 2000u /* SIGKILL takes effect in microseconds */
#define STEP_MS 5u

/* Away from 0..2: what writes to our stderr must not reach ssh. */
static int above_stdio(int fd)
{
    int up;

    if (fd < 0 || fd > 2)
        return fd;
    up = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    close(fd);
    return up;
}

/* A file of fixed size: nobody has to drain it, and a child that writes
 * forever gets an error and not our memory. */
static int new_stderr(void)
{
    int fd = above_stdio(memfd_create("ssh-stderr",
                                      MFD_CLOEXEC | MFD_ALLOW_SEALING));

    if (fd < 0)
        return -1;
    if (ftruncate(fd, STDERR_BYTES) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static int new_stdio(int *ret_ours, int *ret_childs)
{
    int fd[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0)
        return -1;
    *ret_ours = above_stdio(fd[0]);
    *ret_childs = above_stdio(fd[1]);
    return *ret_ours < 0 || *ret_childs < 0 ? -1 : 0;
}

int colo__child_start(char *const *argv, struct colo_child *ret_child,
                      struct colo_error *err)
{
    struct colo_child child = COLO_CHILD_INIT;
    int theirs = -1, r, rc;
    pid_t pid = 0;

    child.stderr_fd = new_stderr();
    if (child.stderr_fd < 0 || new_stdio(&child.stdio, &theirs) < 0) {
        rc = colo__fail(err, COLO_E_SYS, errno, WHERE,
                        "cannot make the streams for %s", argv[0]);
        goto out;
    }
    r = colo__run(argv, true, NULL,
                  (const int[]){ theirs, theirs, child.stderr_fd }, 3, &pid);
    if (r) {
        rc = colo__fail(err, r == ENOENT ? COLO_E_NOTFOUND : COLO_E_SYS, r,
                        WHERE, "cannot run %s", argv[0]);
        goto out;
    }
    child.pid = (int)pid;
    /* -1: an old kernel, or somebody has reaped it already. */
    child.pidfd = colo__run_pidfd(pid);
    *ret_child = child;
    child = (struct colo_child)COLO_CHILD_INIT;
    rc = 0;
out:
    if (theirs >= 0)
        close(theirs);
    colo__child_end(&child, 0);
    return rc;
}

static void reap(struct colo_child *child)
{
    int status = -1;
    pid_t r;

    do {
        r = waitpid(child->pid, &status, WNOHANG);
    } while (r < 0 && errno == EINTR);
    if (r == 0)
        return;
    child->status = r > 0 ? status : -1;
    child->pid = 0;
}

bool colo__child_wait(struct colo_child *child, uint64_t deadline_us)
{
    for (;;) {
        uint64_t next = colo__deadline_us(STEP_MS);

        if (child->pid > 0)
            reap(child);
        if (child->pid <= 0)
            return true;
        if (colo__now_us(&colo__clock_monotonic) >= deadline_us)
            return false;
        /* Without a pidfd (an old kernel) there is nothing to wait on but
         * the time. */
        if (child->pidfd >= 0 || next > deadline_us)
            next = deadline_us;
        (void)colo__fd_wait(child->pidfd, POLLIN, -1, next);
    }
}

void colo__child_said(const struct colo_child *child, char *ret_text,
                      size_t cap)
{
    off_t end = child->stderr_fd < 0 ? 0
                                     : lseek(child->stderr_fd, 0, SEEK_CUR);
    size_t len = cap - 1 < 1024 ? cap - 1 : 1024;
    ssize_t n;
    char *p;

    ret_text[0] = '\0';
    if (end <= 0)
        return;
    /* The child moves the offset that it shares with us. */
    if ((off_t)len > end)
        len = (size_t)end;
    n = pread(child->stderr_fd, ret_text, len, end - (off_t)len);
    if (n < 0)
        n = 0;
    while (n > 0 && strchr("\r\n ", ret_text[n - 1]))
        n--;
    ret_text[n] = '\0';
    p = strrchr(ret_text, '\n');
    if (p)
        memmove(ret_text, p + 1, strlen(p + 1) + 1);
}

/* It leads a group of its own: helpers of ssh (a ProxyCommand) go with it.
 * The number is its own until it is reaped; by whom else but us, the pidfd
 * knows. */
static void signal_child(const struct colo_child *child, int sig)
{
    if (child->pidfd >= 0 &&
        pidfd_send_signal(child->pidfd, sig, NULL, 0) < 0 && errno == ESRCH)
        return;
    kill(-child->pid, sig);
}

void colo__child_end(struct colo_child *child, uint32_t grace_ms)
{
    if (child->stdio >= 0)
        close(child->stdio);
    child->stdio = -1;
    if (child->pid > 0) {
        signal_child(child, SIGTERM);
        if (!colo__child_wait(child, colo__deadline_us(grace_ms))) {
            signal_child(child, SIGKILL);
            (void)colo__child_wait(child, colo__deadline_us(KILL_MS));
        }
    }
    if (child->pidfd >= 0)
        close(child->pidfd);
    if (child->stderr_fd >= 0)
        close(child->stderr_fd);
    *child = (struct colo_child){ 0, -1, -1, -1, child->status };
}
