/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * lab-run COMMANDLINE - what `lab ssh` starts on a host.
 *
 * Runs the command line with sh and ends when it ends, with its status, even
 * if a background child still holds its stdout (over plain ssh such a child
 * keeps the session open for ever).  Output that is there at that moment is
 * passed on; what such a child writes later hits a closed pipe.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Pass on what one read gives; < 0 at the end of the stream, 0 if empty. */
static ssize_t relay(int from, int to)
{
    char buf[65536];
    ssize_t n = read(from, buf, sizeof(buf)), done = 0;

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    while (done < n) {
        ssize_t w = write(to, buf + done, n - done);

        if (w < 0 && errno != EINTR)
            return -1;
        if (w > 0)
            done += w;
    }
    return n ? n : -1;
}

static pid_t start(const char *line, int out[2], int err[2])
{
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    dup2(out[1], 1);
    dup2(err[1], 2);
    execl("/bin/bash", "bash", "-c", line, (char *)NULL);
    _exit(127);
}

int main(int argc, char **argv)
{
    int out[2], err[2], status, pidfd;
    pid_t pid;

    if (argc != 2) {
        fprintf(stderr, "usage: lab-run COMMANDLINE\n");
        return 2;
    }
    if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC) ||
        (pid = start(argv[1], out, err)) < 0 ||
        (pidfd = syscall(SYS_pidfd_open, pid, 0)) < 0) {
        perror("lab-run");
        return 126;
    }
    signal(SIGPIPE, SIG_IGN);
    close(out[1]);
    close(err[1]);
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    fcntl(err[0], F_SETFL, O_NONBLOCK);

    struct pollfd fds[3] = {
        { .fd = out[0], .events = POLLIN },
        { .fd = err[0], .events = POLLIN },
        { .fd = pidfd, .events = POLLIN },
    };
    while (!fds[2].revents) {
        if (poll(fds, 3, -1) < 0 && errno != EINTR)
            break;
        for (int i = 0; i < 2; i++)
            if (fds[i].revents && relay(fds[i].fd, i + 1) < 0)
                fds[i].fd = -1;
    }
    while (relay(out[0], 1) > 0)
        ;
    while (relay(err[0], 2) > 0)
        ;
    if (waitpid(pid, &status, 0) < 0)
        return 126;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
