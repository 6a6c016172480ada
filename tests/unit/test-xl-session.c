/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * colo-xl-session itself: libcolo's bootstrap through its relay and the two
 * pipes of an xl, and what it reports where there is no guest.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "link-pair.h"
#include "pure-common.h"

#include "../../xl-plugin/helper.h"

#define LIBEXEC "../../xl-plugin"

static struct colo_error err;

static int finish(struct colo_bootstrap *boot,
                  struct colo_bootstrap_result *result)
{
    struct pollfd p = { colo__bootstrap_fd(boot), POLLIN, 0 };

    if (poll(&p, 1, 20000 * (int)SLOW) != 1)
        return COLO_E_TIMEOUT;
    return colo__bootstrap_finish(boot, result, &err);
}

/* The session that has xl's pipes as 3 and 4: what it is sent comes back. */
static int near_end(void)
{
    struct colo_bootstrap_config config = {
        .peer = "127.0.0.1", .remote_command = "migrate-receive",
        .in_fd = -1, .out_fd = -1, .streams = 1, .timeout_ms = 15000 * SLOW,
    };
    struct colo_bootstrap_result r = { 0 };
    struct colo_bootstrap *boot = NULL;
    char command[128];

    signal(SIGPIPE, SIG_IGN); /* as colo-xl-session has it */
    snprintf(command, sizeof(command), LIBEXEC "/colo-xl-session relay %ld",
             (long)getpid());
    config.ssh_command = command;
    if (colo__bootstrap_start(&config, true, NULL, &boot, &err) ||
        finish(boot, &r)) {
        fprintf(stderr, "near: %s\n", err.text);
        return 1;
    }
    for (int i = 0; i < 3; i++) {
        struct colo_link *link = i == 0 ? r.control : i == 1 ? r.bulk :
                                 r.stream[0];
        uint8_t word[4];

        if (link_recv_all(link, word, 4, 10000 * SLOW, &err) ||
            link_send(link, word, 4, 1000, &err))
            return 2;
        link_close(link);
    }
    colo__bootstrap_end(boot);
    /* the relay has gone */
    return waitpid(-1, NULL, WNOHANG) == -1 ? 0 : 3;
}

static pid_t start_near(int to, int from)
{
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (!pid) {
        int high[2] = { fcntl(to, F_DUPFD_CLOEXEC, 20),
                        fcntl(from, F_DUPFD_CLOEXEC, 20) };

        dup2(high[0], XL_SEND_FD);
        dup2(high[1], XL_RECV_FD);
        /* the test's others: the relay must see the end of its pipes */
        for (int fd = XL_RECV_FD + 1; fd < 100; fd++)
            close(fd);
        _exit(near_end());
    }
    close(to);
    close(from);
    return pid;
}

START_TEST(test_relay)
{
    struct colo_bootstrap_config config = { .timeout_ms = 15000 * SLOW };
    struct colo_bootstrap_result r = { 0 };
    struct colo_bootstrap *boot = NULL;
    int to[2], from[2], status = -1;
    pid_t pid;

    ck_assert_int_eq(pipe2(to, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(from, O_CLOEXEC), 0);
    unsetenv("SSH_CONNECTION");
    signal(SIGPIPE, SIG_IGN);
    pid = start_near(to[1], from[0]);
    config.in_fd = to[0];
    config.out_fd = from[1];
    ck_assert_int_eq(colo__bootstrap_start(&config, false, NULL, &boot, &err),
                     0);
    ck_assert_msg(!finish(boot, &r), "%s", err.text);
    for (int i = 0; i < 3; i++) {
        struct colo_link *link = i == 0 ? r.control : i == 1 ? r.bulk :
                                 r.stream[0];
        uint8_t back[4] = { 0 };

        ck_assert_int_eq(link_send(link, "abcd", 4, 1000, &err), 0);
        ck_assert_int_eq(link_recv_all(link, back, 4, 10000 * SLOW, &err), 0);
        ck_assert_mem_eq(back, "abcd", 4);
        link_close(link);
    }
    colo__bootstrap_end(boot);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

/* no session has this number */
START_TEST(test_relay_alone)
{
    int status = system(LIBEXEC "/colo-xl-session relay 0 2>/dev/null");

    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 1);
}
END_TEST

/* not started by xl: its descriptors are not there */
START_TEST(test_by_hand)
{
    int status = system(LIBEXEC "/colo-xl-session secondary 2>/dev/null "
                        "3>&- 4>&-");

    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 2);
}
END_TEST

static void on_say(void *user, int level, const char *text)
{
    (void)user;
    ck_assert_int_ge(level, COLO_LOG_DEBUG);
    ck_assert_uint_gt(strlen(text), 0);
}

/* Where there is no such guest, or no Xen at all, that is what it ends with. */
START_TEST(test_no_guest)
{
    static const char *const primary[] = {
        "primary", "32000", "peer", "remus", "200", "buffer", "disks",
        "compress", NULL,
    };
    static const char *const secondary[] = { "secondary", NULL };
    int to[2], from[2];

    setenv("COLO_XL_LIBEXECDIR", LIBEXEC, 1);
    for (int i = 0; i < 2; i++) {
        int rc;

        ck_assert_int_eq(pipe2(to, O_CLOEXEC), 0);
        ck_assert_int_eq(pipe2(from, O_CLOEXEC), 0);
        close(from[1]);
        rc = xl_helper_run(i ? secondary : primary, to[1], from[0], -1,
                           on_say, NULL, &err);
        ck_assert_int_lt(rc, 0);
        ck_assert_int_eq(rc, err.code);
        ck_assert_uint_gt(strlen(err.text), 0);
        ck_assert_ptr_null(strstr(err.text, "without a word"));
        close(to[0]);
        close(to[1]);
        close(from[0]);
    }
}
END_TEST

/* xl stands still and reads nothing: the session must not stand still, too. */
START_TEST(test_nobody_reads)
{
    static char line[1024];
    int report[2], status, saved = dup(STDOUT_FILENO);

    ck_assert_int_eq(pipe2(report, O_CLOEXEC | O_NONBLOCK), 0);
    while (write(report[1], line, sizeof(line)) > 0)
        ;
    ck_assert_int_eq(fcntl(report[1], F_SETFL, 0), 0);
    ck_assert_int_eq(dup2(report[1], STDOUT_FILENO), STDOUT_FILENO);
    status = system("exec timeout 15 " LIBEXEC "/colo-xl-session primary "
                    "32000 peer remus 200 buffer disks compress "
                    "2>/dev/null </dev/null 3>/dev/null 4</dev/null");
    dup2(saved, STDOUT_FILENO);
    close(saved);
    close(report[0]);
    close(report[1]);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 1); /* no such guest; not 124 */
}
END_TEST

PURE_MAIN("xl-session", test_relay, test_relay_alone, test_by_hand,
          test_no_guest, test_nobody_reads)
