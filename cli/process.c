/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Processes around a session: the child that outlives the terminal or the
 * ssh it was started from, the parent that waits for it, and a short remote
 * command.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "process.h"

bool cli_fork(struct cli_child *child)
{
    int fds[2];
    pid_t pid;

    fflush(NULL);
    if (pipe2(fds, O_CLOEXEC)) {
        cli_say("pipe: %s", strerror(errno));
        return false;
    }
    pid = fork();
    if (pid < 0) {
        cli_say("fork: %s", strerror(errno));
        close(fds[0]);
        close(fds[1]);
        return false;
    }
    child->pid = pid;
    child->report_fd = fds[pid ? 0 : 1];
    close(fds[pid ? 1 : 0]);
    if (!pid)
        setsid();
    return true;
}

void cli_child_report(struct cli_child *child)
{
    ssize_t r;

    if (child->report_fd < 0)
        return;
    r = write(child->report_fd, "", 1);
    (void)r; /* a parent that has gone needs no report */
    close(child->report_fd);
    child->report_fd = -1;
}

void cli_detach(const char *name)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    fflush(NULL);
    if (fd >= 0) {
        dup2(fd, STDIN_FILENO);
        dup2(fd, STDOUT_FILENO);
    }
    if (!cli_log_open(name) && fd >= 0)
        dup2(fd, STDERR_FILENO);
    if (fd > STDERR_FILENO)
        close(fd);
}

/* The child has ended: its exit code is ours. */
static int exit_of_child(pid_t pid)
{
    int status = 0;

    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return CLI_FAILED;
    }
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    cli_say("the process that ran the session was killed (%s); "
            "`colo recover` puts right what it left",
            strsignal(WTERMSIG(status)));
    return CLI_FAILED;
}

static void hand_on_signals(int signal_fd, pid_t pid)
{
    struct signalfd_siginfo info;

    while (read(signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        kill(pid, (int)info.ssi_signo);
}

int cli_parent_wait(struct cli_child *child, int signal_fd, int hangup_fd)
{
    bool reported = false;

    for (;;) {
        /* The report's pipe has another life after the report: it is closed
         * with it, so the child's end is then seen by waitpid only. */
        struct pollfd pfds[3] = {
            { child->report_fd, POLLIN, 0 },
            { signal_fd, POLLIN, 0 },
            { reported ? hangup_fd : -1, POLLRDHUP, 0 },
        };
        char byte;

        if (poll(pfds, 3, reported ? 1000 : -1) < 0 && errno != EINTR)
            return CLI_FAILED;
        if (pfds[1].revents)
            hand_on_signals(signal_fd, child->pid);
        if (pfds[0].revents) {
            reported = read(child->report_fd, &byte, 1) == 1;
            close(child->report_fd);
            child->report_fd = -1;
            if (!reported)
                return exit_of_child(child->pid);
            if (hangup_fd < 0)
                return CLI_OK;
        }
        if (pfds[2].revents)
            return CLI_OK;
        if (reported) {
            siginfo_t info = { 0 };

            if (waitid(P_PID, (id_t)child->pid, &info,
                       WEXITED | WNOHANG | WNOWAIT) || info.si_pid)
                return exit_of_child(child->pid);
        }
    }
}

/* ---- a remote command --------------------------------------------------- */

#define CAPTURE_MAX (1u << 20)
#define END_LOOK_MS 10

static uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

static bool readable(int fd)
{
    struct pollfd pfd = { fd, POLLIN, 0 };

    return poll(&pfd, 1, 0) > 0;
}

/* All of fd; false on a time-out, a cancellation, an error or too much. */
static bool read_all(int fd, int cancel_fd, uint64_t end, char *buf,
                     size_t cap, size_t *ret_len)
{
    size_t len = 0;

    for (;;) {
        struct pollfd pfds[2] = {
            { fd, POLLIN, 0 }, { cancel_fd, POLLIN, 0 }
        };
        uint64_t now = now_ms();
        ssize_t r;

        if (now >= end || len == cap)
            return false;
        if (poll(pfds, 2, (int)(end - now)) < 0 && errno != EINTR)
            return false;
        if (pfds[1].revents)
            return false;
        if (!pfds[0].revents)
            continue;
        r = read(fd, buf + len, cap - len);
        if (r < 0 && errno != EINTR)
            return false;
        if (r == 0)
            break;
        if (r > 0)
            len += (size_t)r;
    }
    *ret_len = len;
    return true;
}

/* The end of a child that has closed its stdout may be another hour away.
 * Returns  false: it is still there. */
static bool ended_by(pid_t pid, int cancel_fd, uint64_t end, int *ret_status)
{
    for (;;) {
        struct pollfd pfd = { cancel_fd, POLLIN, 0 };
        pid_t r = waitpid(pid, ret_status, WNOHANG);

        if (r == pid)
            return true;
        if ((r < 0 && errno != EINTR) || now_ms() >= end)
            return false;
        if (poll(&pfd, 1, END_LOOK_MS) > 0)
            return false;
    }
}

/* In the child: words of the command are split by the shell, nothing else is
 * looked at by it. */
static void exec_remote(const char *command, const char *host,
                        const char *remote)
{
    int fd = open("/dev/null", O_RDONLY);

    if (fd >= 0)
        dup2(fd, STDIN_FILENO);
    execl("/bin/sh", "sh", "-c", "set -f; exec $0 \"$1\" \"$2\"", command,
          host, remote, (char *)NULL);
    _exit(127);
}

int cli_capture(const char *command, const char *host, const char *remote,
                uint32_t timeout_ms, int cancel_fd, char **ret_text)
{
    int fds[2] = { -1, -1 }, status = 0, code = -1;
    uint64_t end = now_ms() + timeout_ms;
    char *text = NULL;
    pid_t pid = -1;
    size_t len = 0;
    bool whole;

    text = malloc(CAPTURE_MAX + 1);
    if (!text || pipe2(fds, O_CLOEXEC)) {
        cli_say("%s: %s", host, strerror(errno));
        goto out;
    }
    pid = fork();
    if (pid == 0) {
        dup2(fds[1], STDOUT_FILENO);
        exec_remote(command, host, remote);
    }
    if (pid < 0) {
        cli_say("fork: %s", strerror(errno));
        goto out;
    }
    close(fds[1]);
    fds[1] = -1;
    whole = read_all(fds[0], cancel_fd, end, text, CAPTURE_MAX, &len) &&
            ended_by(pid, cancel_fd, end, &status);
    if (!whole) {
        kill(pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
    }
    if (!whole && readable(cancel_fd)) {
        code = CLI_CANCELLED;
        goto out;
    }
    if (!whole || !WIFEXITED(status)) {
        if (now_ms() >= end)
            code = CLI_SILENT;
        cli_say("`%s %s %s`: %s", command, host, remote, code == CLI_SILENT ?
                "no answer in time" : "killed, or more than an answer");
        goto out;
    }
    code = WEXITSTATUS(status);
    text[len] = 0;
    *ret_text = text;
    text = NULL;
out:
    if (fds[0] >= 0)
        close(fds[0]);
    if (fds[1] >= 0)
        close(fds[1]);
    free(text);
    return code;
}
