/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See helper.h.
 */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper.h"

#define WHERE "xl"
#define PROGRAM "colo-xl-session"
#define MAX_ARGS 16

/* What the descriptors given to start() become in the child. */
#define FDS 4
static const int places[FDS] = { 0, 1, XL_SEND_FD, XL_RECV_FD };

static int set_files(posix_spawn_file_actions_t *files, const int *high)
{
    int e = 0;

    for (size_t i = 0; i < FDS && !e; i++)
        e = posix_spawn_file_actions_adddup2(files, high[i], places[i]);
    if (!e)
        e = posix_spawn_file_actions_addclosefrom_np(files, XL_RECV_FD + 1);
    return e;
}

/* SIGINT of a terminal reaches xl, and with it the end of the pipe; what ends
 * ssh's session at the backup must not end this one.  xl ignores SIGPIPE,
 * which exec keeps. */
static int set_attributes(posix_spawnattr_t *attr)
{
    sigset_t none, all;
    int e;

    sigemptyset(&none);
    sigfillset(&all);
    e = posix_spawnattr_setsigmask(attr, &none);
    if (!e)
        e = posix_spawnattr_setsigdefault(attr, &all);
    if (!e)
        e = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK |
                                           POSIX_SPAWN_SETSIGDEF |
                                           POSIX_SPAWN_SETSID);
    return e;
}

/* The plug-in itself must not be loaded into what xl starts for it. */
static char **make_env(void)
{
    size_t n = 0, k = 0;
    char **env;

    while (environ[n])
        n++;
    env = calloc(n + 1, sizeof(*env));
    for (size_t i = 0; env && i < n; i++) {
        if (strncmp(environ[i], "LD_PRELOAD=", 11))
            env[k++] = environ[i];
    }
    return env;
}

static int spawn(const char *path, char *const *argv, const int *high,
                 pid_t *ret_pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    char **env = make_env();
    int e = env ? posix_spawnattr_init(&attr) : ENOMEM;

    if (e)
        goto out;
    e = posix_spawn_file_actions_init(&files);
    if (!e) {
        e = set_files(&files, high);
        if (!e)
            e = set_attributes(&attr);
        if (!e)
            e = posix_spawn(ret_pid, path, &files, &attr, argv, env);
        posix_spawn_file_actions_destroy(&files);
    }
    posix_spawnattr_destroy(&attr);
out:
    free(env);
    return e;
}

static int start(const char *const *args, const int *fds, pid_t *ret_pid,
                 struct colo_error *err)
{
    const char *dir = getenv("COLO_XL_LIBEXECDIR"), *words[MAX_ARGS + 2];
    int high[FDS] = { -1, -1, -1, -1 }, e = 0;
    char path[512];
    size_t n = 1;

    if (snprintf(path, sizeof(path), "%s/" PROGRAM,
                 dir ? dir : COLO_LIBEXECDIR) >= (int)sizeof(path))
        return colo__fail(err, COLO_E_INVAL, 0, WHERE, "the path of "
                          PROGRAM " is too long");
    words[0] = PROGRAM;
    for (; args[n - 1]; n++) {
        if (n > MAX_ARGS)
            return colo__fail(err, COLO_E_INVAL, 0, WHERE,
                              "too many words for " PROGRAM);
        words[n] = args[n - 1];
    }
    words[n] = NULL;
    /* out of the way, so that no dup2 overwrites what a later one takes */
    for (size_t i = 0; i < FDS && !e; i++) {
        high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 16);
        if (high[i] < 0)
            e = errno;
    }
    if (!e)
        e = spawn(path, (char *const *)(uintptr_t)words, high, ret_pid);
    for (size_t i = 0; i < FDS; i++) {
        if (high[i] >= 0)
            close(high[i]);
    }
    return e ? colo__fail(err, COLO_E_SYS, e, WHERE, "%s", path) : 0;
}

/* ---- what it reports --------------------------------------------------- */

struct reports {
    xl_say_fn *say;
    void *user;
    bool ended;
    int code;
    char text[XL_LINE_MAX];
};

static void take_line(struct reports *reports, const char *line)
{
    char *rest = NULL;
    long number;

    if (!strncmp(line, "log ", 4)) {
        number = strtol(line + 4, &rest, 10);
        if (*rest == ' ' && number >= COLO_LOG_DEBUG &&
            number <= COLO_LOG_ERROR)
            reports->say(reports->user, (int)number, rest + 1);
    } else if (!strncmp(line, "end ", 4)) {
        number = strtol(line + 4, &rest, 10);
        if ((*rest == ' ' || !*rest) && number <= XL_TAKEN_OVER &&
            number >= -1000) {
            reports->ended = true;
            reports->code = (int)number;
            snprintf(reports->text, sizeof(reports->text), "%s",
                     *rest ? rest + 1 : "");
        }
    }
}

/* Until the helper closes its end, which it does by ending. */
static void read_reports(int fd, struct reports *reports)
{
    char buf[XL_LINE_MAX + 1];
    size_t len = 0;

    for (;;) {
        ssize_t n = read(fd, buf + len, sizeof(buf) - 1 - len);
        char *line = buf, *end;

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        len += (size_t)n;
        buf[len] = '\0';
        while ((end = strchr(line, '\n'))) {
            *end = '\0';
            take_line(reports, line);
            line = end + 1;
        }
        len = strlen(line);
        memmove(buf, line, len + 1);
        if (len == sizeof(buf) - 1)
            len = 0; /* too long to be one of its lines */
    }
}

static int finish(pid_t pid, const struct reports *reports,
                  struct colo_error *err)
{
    int status = 0;
    pid_t r;

    do {
        r = waitpid(pid, &status, 0);
    } while (r < 0 && errno == EINTR);
    if (reports->ended && reports->code >= 0)
        return reports->code;
    if (reports->ended)
        return colo__fail(err, reports->code, 0, WHERE, "%s", reports->text);
    if (r == pid && WIFSIGNALED(status))
        return colo__fail(err, COLO_E_SYS, 0, WHERE, PROGRAM
                          " was killed by signal %d", WTERMSIG(status));
    return colo__fail(err, COLO_E_SYS, 0, WHERE, PROGRAM
                      " has ended without a word");
}

int xl_helper_run(const char *const *argv, int send_fd, int recv_fd,
                  xl_say_fn *say, void *user, struct colo_error *err)
{
    struct reports reports = { .say = say, .user = user };
    int life[2] = { -1, -1 }, report[2] = { -1, -1 }, rc;
    pid_t pid = -1;

    if (pipe2(life, O_CLOEXEC) || pipe2(report, O_CLOEXEC)) {
        rc = colo__fail(err, COLO_E_SYS, errno, WHERE, "a pipe");
        goto out;
    }
    rc = start(argv, (const int[]){ life[0], report[1], send_fd, recv_fd },
               &pid, err);
    if (rc) goto out;
    close(life[0]);
    close(report[1]);
    life[0] = report[1] = -1;
    read_reports(report[0], &reports);
    rc = finish(pid, &reports, err);
out:
    for (int i = 0; i < 2; i++) {
        if (life[i] >= 0)
            close(life[i]);
        if (report[i] >= 0)
            close(report[i]);
    }
    return rc;
}
