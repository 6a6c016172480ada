/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A monitor that says what no QEMU should: faults that the real one cannot be
 * made to show.  A child process plays a script of answers.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pure-common.h"

#include "dm/qmp.h"

#define GREETING "{\"QMP\": {}}\r\n"
#define EVENT "{\"event\": \"RTC_CHANGE\"}\r\n"
#define FLOOD "events without end"
#define READY "{\"return\": {}, \"id\": 1}\r\n"

static char dir[40], path[60];
static pid_t child;
static struct colo_error err;
static struct colo_qmp *qmp;
static struct colo_qmp_msg answer;
static int events;

static uint64_t in_ms(uint64_t ms)
{
    return colo__now_us(&colo__clock_monotonic) + ms * 1000;
}

static void count_event(void *user, const char *name, yajl_val data)
{
    (void)data;
    ck_assert_ptr_eq(user, &events);
    ck_assert_ptr_nonnull(name);
    events++;
}

static void take_line(int fd)
{
    char c = 0;

    while (c != '\n') {
        if (read(fd, &c, 1) != 1)
            _exit(0);
    }
}

/* what each command is answered, the greeting first; NULL: nothing */
static void play(int listener, const char *const *script)
{
    int fd = accept(listener, NULL, NULL);

    signal(SIGPIPE, SIG_IGN);
    for (; *script; script++) {
        while (!strcmp(*script, FLOOD)) {
            if (write(fd, EVENT, sizeof(EVENT) - 1) < 0)
                _exit(0);
        }
        if (write(fd, *script, strlen(*script)) < 0)
            _exit(0);
        if (script[1])
            take_line(fd);
    }
    for (;;)
        take_line(fd);
}

static int start(const char *const *script)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strcpy(dir, "/tmp/colo-qmp-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/qmp", dir);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&addr, sizeof(addr)),
                     0);
    ck_assert_int_eq(listen(listener, 1), 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (!child)
        play(listener, script);
    close(listener);
    return colo__qmp_open(path, in_ms(20000), count_event, &events, &qmp,
                          &err);
}

static void end(void)
{
    colo__qmp_close(qmp);
    qmp = NULL;
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    unlink(path);
    rmdir(dir);
}

static int run(uint64_t ms)
{
    return colo__qmp_run(qmp, "stop", -1, NULL, in_ms(ms), &answer, &err);
}

#define SCRIPT(...) \
    ((const char *const[]){ GREETING, READY, __VA_ARGS__, NULL })

/* Events come between, also such as nobody knows; an answer that is late. */
START_TEST(test_events_and_late_answers)
{
    uint64_t n = 0;

    ck_assert_int_eq(start(SCRIPT(
        "{\"event\": \"NEVER_HEARD_OF\", \"data\": {\"x\": [1]}}\r\n"
        "{\"event\": \"RTC_CHANGE\"}\r\n"
        "{\"return\": {\"n\": 5}, \"id\": 2}\r\n",
        "{\"event\": \"A\"}\r\n",
        "{\"return\": {\"n\": 6}, \"id\": 3}\r\n"
        "{\"return\": {\"n\": 7}, \"id\": 4}\r\n{\"event\": \"B\"}\r\n")), 0);
    ck_assert_int_eq(run(20000), 0);
    ck_assert_int_eq(events, 2);
    ck_assert(colo__qmp_number(answer.body, "n", &n) && n == 5);
    colo__qmp_msg_fini(&answer);
    ck_assert_int_eq(run(50), COLO_E_TIMEOUT);
    ck_assert_int_eq(run(20000), 0);
    ck_assert(colo__qmp_number(answer.body, "n", &n) && n == 7);
    colo__qmp_msg_fini(&answer);
    ck_assert_int_eq(colo__qmp_wait(qmp, in_ms(20000), &err), 0);
    ck_assert_int_eq(events, 4);
    end();
}
END_TEST

/* Words are no answer: the deadline holds. */
START_TEST(test_flood)
{
    ck_assert_int_eq(start(SCRIPT(FLOOD)), 0);
    ck_assert_int_eq(run(300), COLO_E_TIMEOUT);
    ck_text(err, "does not come to an answer");
    end();
}
END_TEST

START_TEST(test_refusal_keeps_text)
{
    ck_assert_int_eq(start(SCRIPT(
        "{\"id\": 2, \"error\": {\"class\": \"GenericError\", "
        "\"desc\": \"the disk is on fire\\n\"}}\r\n",
        "{\"id\": 3, \"return\": {}}\r\n")), 0);
    ck_assert_int_eq(run(20000), COLO_E_HV);
    ck_text(err, "the disk is on fire");
    ck_assert_ptr_null(strchr(err.text, '\n'));
    ck_assert_int_eq(run(20000), 0);
    colo__qmp_msg_fini(&answer);
    end();
}
END_TEST

/* Each of these makes the monitor useless, and says so again afterwards. */
START_TEST(test_nonsense)
{
    static const char *const nonsense[] = {
        "no json\n", "{\"return\": {}, \"id\": 9}\n", "{\"return\": {}}\n",
        GREETING, "{\"id\": 2, \"error\": {\"class\": \"x\"}}\n", "\n",
    };

    ck_assert_int_eq(start(SCRIPT(nonsense[_i])), 0);
    ck_assert_int_eq(run(20000), COLO_E_PROTO);
    ck_assert_int_eq(run(20000), COLO_E_HV);
    ck_assert_int_eq(colo__qmp_wait(qmp, in_ms(20000), &err), COLO_E_HV);
    end();
}
END_TEST

START_TEST(test_endless_line)
{
    char *line = malloc(COLO_QMP_LINE_MAX * 3);

    ck_assert_ptr_nonnull(line);
    memset(line, ' ', COLO_QMP_LINE_MAX * 3);
    line[COLO_QMP_LINE_MAX * 3 - 1] = 0;
    ck_assert_int_eq(start(SCRIPT(line)), 0);
    ck_assert_int_eq(run(20000), COLO_E_PROTO);
    ck_text(err, "too long");
    end();
    free(line);
}
END_TEST

START_TEST(test_no_monitor)
{
    ck_assert_int_eq(colo__qmp_open("/nonexistent/qmp", in_ms(20000), NULL,
                                    NULL, &qmp, &err), COLO_E_NOTFOUND);
    ck_assert_int_eq(start((const char *const[]){ READY, NULL }),
                     COLO_E_PROTO);
    ck_text(err, "no monitor");
    end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dm-qmp-hostile");
    TCase *tc = tcase_create("dm-qmp-hostile");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_events_and_late_answers);
    tcase_add_test(tc, test_flood);
    tcase_add_test(tc, test_refusal_keeps_text);
    tcase_add_loop_test(tc, test_nonsense, 0, 6);
    tcase_add_test(tc, test_endless_line);
    tcase_add_test(tc, test_no_monitor);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
