/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The child that does the work and the parent that waits for it; a remote
 * command.
 */
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/pure-common.h"

#include "../../cli/process.h"

START_TEST(test_report)
{
    struct cli_child child;
    int signal_fd;

    ck_assert(cli_signals_open(&signal_fd));
    ck_assert(cli_fork(&child));
    if (!child.pid) {
        cli_child_report(&child);
        cli_child_report(&child); /* once more does nothing */
        pause();
        _exit(9);
    }
    ck_assert_int_eq(cli_parent_wait(&child, signal_fd, -1), CLI_OK);
    ck_assert_int_eq(kill(child.pid, SIGKILL), 0);
}
END_TEST

START_TEST(test_exit)
{
    struct cli_child child;
    int signal_fd;

    ck_assert(cli_signals_open(&signal_fd));
    ck_assert(cli_fork(&child));
    if (!child.pid)
        _exit(CLI_NOT_PROTECTABLE);
    ck_assert_int_eq(cli_parent_wait(&child, signal_fd, -1),
                     CLI_NOT_PROTECTABLE);
    ck_assert(cli_fork(&child));
    if (!child.pid) {
        signal(SIGSEGV, SIG_DFL);
        raise(SIGSEGV);
    }
    ck_assert_int_eq(cli_parent_wait(&child, signal_fd, -1), CLI_FAILED);
}
END_TEST

/* A signal to the parent ends the child cleanly, which decides the exit. */
START_TEST(test_signal)
{
    struct cli_child child;
    int signal_fd;

    ck_assert(cli_signals_open(&signal_fd));
    ck_assert(cli_fork(&child));
    if (!child.pid) {
        struct signalfd_siginfo info;

        while (read(signal_fd, &info, sizeof(info)) < 0)
            poll(NULL, 0, 5);
        _exit(CLI_UNPROTECTED);
    }
    raise(SIGTERM);
    ck_assert_int_eq(cli_parent_wait(&child, signal_fd, -1),
                     CLI_UNPROTECTED);
}
END_TEST

/* Ctrl-Z would make a session look like a dead host. */
START_TEST(test_not_stopped)
{
    static const int list[] = { SIGTSTP, SIGTTIN, SIGTTOU };
    struct sigaction is;
    int signal_fd;

    ck_assert(cli_signals_open(&signal_fd));
    for (unsigned int i = 0; i < 3; i++) {
        ck_assert_int_eq(sigaction(list[i], NULL, &is), 0);
        ck_assert_ptr_eq(is.sa_handler, SIG_IGN);
    }
    close(signal_fd);
}
END_TEST

/* As ssh sees it: after the report the parent stays until ssh lets go. */
START_TEST(test_hangup)
{
    struct cli_child child;
    int signal_fd, ssh[2];

    ck_assert(cli_signals_open(&signal_fd));
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ssh),
                     0);
    ck_assert(cli_fork(&child));
    if (!child.pid) {
        cli_child_report(&child);
        poll(NULL, 0, 100);
        shutdown(ssh[0], SHUT_WR);
        pause();
        _exit(9);
    }
    ck_assert_int_eq(cli_parent_wait(&child, signal_fd, ssh[1]), CLI_OK);
    ck_assert_int_eq(waitpid(child.pid, NULL, WNOHANG), 0); /* it lives on */
    kill(child.pid, SIGKILL);
    /* the child's end ends the parent, too, with its code */
    ck_assert(cli_fork(&child));
    if (!child.pid) {
        cli_child_report(&child);
        poll(NULL, 0, 50);
        _exit(CLI_FAILED);
    }
    ck_assert_int_eq(cli_parent_wait(&child, signal_fd, -1), CLI_OK);
}
END_TEST

START_TEST(test_capture)
{
    char *text = NULL;

    ck_assert_int_eq(cli_capture("echo -n", "*", "a  b;c", 5000, -1,
                                 &text), 0);
    ck_assert_str_eq(text, "* a  b;c"); /* nothing is expanded or split */
    free(text);
    text = NULL;
    ck_assert_int_eq(cli_capture("sh -c", "exit 7", "x", 5000, -1, &text), 7);
    ck_assert_str_eq(text, "");
    free(text);
    text = NULL;
    ck_assert_int_eq(cli_capture("/nonexistent", "h", "x", 5000, -1, &text),
                     127);
    free(text);
    text = NULL;
    ck_assert_int_eq(cli_capture("sh -c", "sleep 30", "x", 200, -1, &text),
                     CLI_SILENT);
    ck_assert_ptr_null(text);
    /* nor for one that has said all and stays */
    ck_assert_int_eq(cli_capture("sh -c", "exec >&-; exec sleep 30", "x", 500,
                                 -1, &text), CLI_SILENT);
    ck_assert_ptr_null(text);
    ck_assert_int_eq(cli_capture("sh -c", "yes | head -c 3000000", "x", 5000,
                                 -1, &text), -1);
    ck_assert_ptr_null(text);
}
END_TEST

PURE_MAIN("cli-process", test_report, test_exit, test_signal,
          test_not_stopped, test_hangup, test_capture)
