/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The guard of a stock backup's replica (gate/host.h): it tries for as long as
 * the replica may be there, and makes way for the guard of a later one, which
 * has the same name.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../remus-compat/gate/host.h"

#include "pure-common.h"

static char dir[] = "/tmp/colo-guard.XXXXXX";

/* of one host, and not one another's */
#define NAME "localhost"
#define OTHER "root@127.0.0.1"
#define ELSEWHERE "127.0.0.2"

/* xl over there notes that it was asked, and says so much of its end */
static pid_t start_guard(const char *where, const char *answer, int *ret_line)
{
    static const struct colo_log quiet = { .min_level = COLO_LOG_ERROR };
    char script[200];
    const char *const ssh[] = { "sh", "-c", script, "sh", NULL };
    struct host host;
    struct colo_error err;
    int line[2];
    pid_t pid;

    snprintf(script, sizeof(script), "echo \"$2\" >>\"%s/asked.$1\"; %s", dir,
             answer);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line),
                     0);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (!pid) {
        close(line[1]);
        host_init(&host, ssh, where, "xl migrate-receive -r", &quiet);
        host.run_dir = dir;
        _exit(host_guard(&host, "web", line[0], &err) ? 1 : 0);
    }
    close(line[0]);
    *ret_line = line[1];
    return pid;
}

static int asked(const char *where)
{
    char path[80], text[80];
    int n = 0;
    FILE *f;

    snprintf(path, sizeof(path), "%s/asked.%s", dir, where);
    f = fopen(path, "re");
    while (f && fgets(text, sizeof(text), f)) {
        ck_assert_str_eq(text, "xl destroy 'web--incoming'\n");
        n++;
    }
    if (f)
        fclose(f);
    return n;
}

static bool ends(pid_t pid, int ms, int *ret_status)
{
    for (int i = 0; i < ms; i += 20) {
        if (waitpid(pid, ret_status, WNOHANG) == pid)
            return true;
        usleep(20000);
    }
    return false;
}

static void clean(void)
{
    char command[80];

    snprintf(command, sizeof(command), "rm -r %s", dir);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(makes_way)
{
    int line, next, far_line, status = -1;
    pid_t old, newer, far;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    far = start_guard(ELSEWHERE, "exit 255", &far_line);
    close(far_line); /* or the next one would have it, too */
    old = start_guard(NAME, "exit 255", &line);
    usleep(300000);
    close(line); /* its gate has died */
    ck_assert(!ends(old, 1500, &status)); /* it has been refused, and waits */
    ck_assert_int_eq(asked(NAME), 1);
    newer = start_guard(OTHER, "exit 0", &next);
    ck_assert_msg(ends(old, 20000, &status), "the old one does not end");
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(asked(NAME), 1);
    close(next);
    ck_assert(ends(newer, 5000, &status));
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(asked(OTHER), 1);
    /* it was no newer one of that host, and what is there may still start */
    ck_assert(!ends(far, 2000, &status));
    ck_assert_int_gt(asked(ELSEWHERE), 1);
    kill(far, SIGKILL);
    waitpid(far, &status, 0);
    clean();
}
END_TEST

/* What xl says of a domain that it does not know ends it; nothing else does. */
START_TEST(what_ends_it)
{
    int line, status = -1;
    pid_t pid;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    pid = start_guard(NAME, "echo \"web--incoming is an invalid domain "
                      "identifier (rc=-6)\" >&2; exit 1", &line);
    close(line);
    ck_assert(ends(pid, 5000, &status));
    ck_assert_int_eq(WEXITSTATUS(status), 1); /* has it been started? */
    pid = start_guard(NAME, "echo \"no memory\" >&2; exit 1", &line);
    close(line);
    ck_assert(!ends(pid, 2000, &status));
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    clean();
}
END_TEST

PURE_MAIN("gate-guard", makes_way, what_ends_it)
