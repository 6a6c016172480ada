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
#include <sys/prctl.h>
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

static int told; /* where both say so */

static int writes_and_waits(void *arg)
{
    (void)arg;
    if (write(told, "w", 1) == 1)
        poll(NULL, 0, 10000);
    return EXIT_OK;
}

static void undo_and_tell(void *arg, bool killed)
{
    (void)arg;
    _exit(write(told, killed ? "k" : "u", 1) != 1);
}

/* The program between dies, not the session: who has it undo nothing would
 * leave a guest suspended. */
START_TEST(test_starter_dies)
{
    struct pollfd pfd = { -1, POLLIN, 0 };
    int life[2], tell[2];
    char word = 0;
    pid_t starter;

    ck_assert_int_eq(pipe(life), 0);
    ck_assert_int_eq(pipe(tell), 0);
    starter = fork();
    ck_assert_int_ge(starter, 0);
    if (!starter) {
        if (fork())
            pause();
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* as libvirt.c does */
        close(life[1]);
        dup2(life[0], LIFE_FD);
        told = tell[1];
        _exit(supervise(writes_and_waits, undo_and_tell, NULL));
    }
    close(tell[1]);
    pfd.fd = tell[0];
    ck_assert_int_eq(poll(&pfd, 1, 8000), 1);
    ck_assert_int_eq(read(tell[0], &word, 1), 1);
    ck_assert_int_eq(word, 'w');
    ck_assert_int_eq(kill(starter, SIGKILL), 0);
    ck_assert_int_eq(waitpid(starter, NULL, 0), starter);
    ck_assert_int_eq(poll(&pfd, 1, 8000), 1);
    ck_assert_int_eq(read(tell[0], &word, 1), 1);
    ck_assert_int_eq(word, 'k');
    close(life[1]);
}
END_TEST

PURE_MAIN("toolstack-supervise", test_stream_ends_first, test_dies,
          test_ends_well, test_starter_dies)
