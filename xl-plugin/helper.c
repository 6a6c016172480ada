/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See helper.h.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper.h"
#include "run.h"

#define WHERE "xl"
#define PROGRAM "colo-xl-session"
#define MAX_ARGS 16

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

/* life and report become its stdin and stdout.  SIGINT of a terminal reaches
 * xl, and with it the end of life; what ends ssh's session at the backup must
 * not end this one: it has a session of its own. */
static int start(const char *const *args, int life, int report, int send_fd,
                 int recv_fd, int config_fd, pid_t *ret_pid,
                 struct colo_error *err)
{
    const char *words[MAX_ARGS + 2];
    const int fds[] = {
        life, report, -1, [XL_SEND_FD] = send_fd, [XL_RECV_FD] = recv_fd,
        [XL_CONFIG_FD] = config_fd,
    };
    size_t nr_fds = config_fd < 0 ? XL_CONFIG_FD : COLO_ARRAY_LEN(fds);
    char path[512], **env;
    size_t n = 1;
    int e;

    if (!xl_program(path, sizeof(path), PROGRAM))
        return colo__fail(err, COLO_E_INVAL, 0, WHERE, "the path of "
                          PROGRAM " is too long");
    words[0] = path;
    for (; args[n - 1]; n++) {
        if (n > MAX_ARGS)
            return colo__fail(err, COLO_E_INVAL, 0, WHERE,
                              "too many words for " PROGRAM);
        words[n] = args[n - 1];
    }
    words[n] = NULL;
    env = make_env();
    e = env ? colo__run((char *const *)(uintptr_t)words, false, env, fds,
                        nr_fds, ret_pid) : ENOMEM;
    free(env);
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
                  int config_fd, xl_say_fn *say, void *user,
                  struct colo_error *err)
{
    struct reports reports = { .say = say, .user = user };
    int life[2] = { -1, -1 }, report[2] = { -1, -1 }, rc;
    pid_t pid = -1;

    if (pipe2(life, O_CLOEXEC) || pipe2(report, O_CLOEXEC)) {
        rc = colo__fail(err, COLO_E_SYS, errno, WHERE, "a pipe");
        goto out;
    }
    rc = start(argv, life[0], report[1], send_fd, recv_fd, config_fd, &pid,
               err);
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
