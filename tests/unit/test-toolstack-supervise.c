/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The process that outlives the part of colo-toolstack that may die: what it
 * does then, and that it has no share in the streams meanwhile.
 */
#include "pure-common.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../toolstack/toolstack.h"

#define UNDONE 40
#define KILLED 41

void report(const char *word, const char *fmt, ...)
{
    (void)word;
    (void)fmt;
}

static int closes_its_stream(void *arg)
{
    (void)arg;
    close(STDOUT_FILENO);
    poll(NULL, 0, 10000);
    return EXIT_OK;
}

static int dies(void *arg)
{
    (void)arg;
    raise(SIGKILL);
    return EXIT_OK;
}

static int ends_well(void *arg)
{
    (void)arg;
    return EXIT_OK;
}

static void undo(void *arg, bool killed)
{
    (void)arg;
    _exit(killed ? KILLED : UNDONE);
}

struct helper {
    pid_t pid;
    int stream, life; /* our ends */
};

static void start(struct helper *h, int (*work)(void *))
{
    int out[2], life[2];

    ck_assert_int_eq(pipe(out), 0);
    ck_assert_int_eq(pipe(life), 0);
    h->pid = fork();
    ck_assert_int_ge(h->pid, 0);
    if (!h->pid) {
        dup2(out[1], STDOUT_FILENO);
        dup2(life[0], LIFE_FD);
        for (int fd = LIFE_FD + 1; fd < 64; fd++)
            close(fd);
        _exit(supervise(work, undo, NULL));
    }
    close(out[1]);
    close(life[0]);
    h->stream = out[0];
    h->life = life[1];
}

static int end(struct helper *h)
{
    int status = 0;

    ck_assert_int_eq(waitpid(h->pid, &status, 0), h->pid);
    ck_assert(WIFEXITED(status));
    close(h->stream);
    return WEXITSTATUS(status);
}

START_TEST(test_stream_ends_first)
{
    struct pollfd pfd = { -1, POLLIN, 0 };
    struct helper h;
    char byte;

    start(&h, closes_its_stream);
    pfd.fd = h.stream;
    ck_assert_int_eq(poll(&pfd, 1, 8000), 1);
    ck_assert_int_eq(read(h.stream, &byte, 1), 0);
    ck_assert_int_eq(waitpid(h.pid, NULL, WNOHANG), 0);
    /* and the session's end is its end */
    close(h.life);
    ck_assert_int_eq(end(&h), KILLED);
}
END_TEST

START_TEST(test_dies)
{
    struct helper h;

    start(&h, dies);
    ck_assert_int_eq(end(&h), KILLED);
    close(h.life);
}
END_TEST

START_TEST(test_ends_well)
{
    struct helper h;

    start(&h, ends_well);
    ck_assert_int_eq(end(&h), EXIT_OK);
    close(h.life);
}
END_TEST

PURE_MAIN("toolstack-supervise", test_stream_ends_first, test_dies,
          test_ends_well)
