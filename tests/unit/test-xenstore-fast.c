/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The seqpacket socket between a session and a proxy: texts whole or not at
 * all, and strange ends.
 */
#include <sys/socket.h>

#include "../../xenstore/fast.h"
#include "xenstore-common.h"

static char name[COLO_FAST_NAME_MAX], buf[64];
static struct colo_error err;
static int listener, a, b;

static void setup(void)
{
    listener = colo__fast_listen("net", "vif0", name, &err);
    ck_assert_int_ge(listener, 0);
    ck_assert_int_eq(colo__fast_accept(listener, &err), COLO_E_NOTFOUND);
    a = colo__fast_connect(name, &err);
    ck_assert_int_ge(a, 0);
    b = colo__fast_accept(listener, &err);
    ck_assert_int_ge(b, 0);
}

static void teardown(void)
{
    close(listener);
    close(a);
    close(b);
}

START_TEST(texts)
{
    ck_assert_int_eq(colo__fast_recv(b, buf, sizeof(buf), &err), 0);
    ck_assert_int_eq(colo__fast_send(a, "one", &err), 0);
    ck_assert_int_eq(colo__fast_send(a, "two", &err), 0);
    ck_assert_int_eq(colo__fast_recv(b, buf, sizeof(buf), &err), 1);
    ck_assert_str_eq(buf, "one");
    ck_assert_int_eq(colo__fast_recv(b, buf, sizeof(buf), &err), 1);
    ck_assert_str_eq(buf, "two");
    ck_assert_int_eq(colo__fast_recv(b, buf, sizeof(buf), &err), 0);
}
END_TEST

START_TEST(no_texts)
{
    char big[64];

    memset(big, 'x', sizeof(big));
    memset(buf, 'y', sizeof(buf));
    ck_assert_int_eq(send(a, big, 64, 0), 64);
    ck_assert_int_eq(colo__fast_recv(b, buf, sizeof(buf), &err),
                     COLO_E_PROTO);
    ck_assert_int_eq(send(a, big, 63, 0), 63);
    ck_assert_int_eq(colo__fast_recv(b, buf, sizeof(buf), &err), 1);
    ck_assert_int_eq(strlen(buf), 63);
    ck_assert_int_eq(send(a, "1\0k", 3, 0), 3);
    ck_assert_int_eq(colo__fast_recv(b, buf, sizeof(buf), &err),
                     COLO_E_PROTO);
    /* it was taken out: the next one is read */
    ck_assert_int_eq(colo__fast_send(a, "ok", &err), 0);
    ck_assert_int_eq(colo__fast_recv(b, buf, sizeof(buf), &err), 1);
}
END_TEST

START_TEST(closed)
{
    ck_assert_int_eq(colo__fast_send(a, "last", &err), 0);
    close(a);
    a = -1;
    ck_assert_int_eq(colo__fast_recv(b, buf, sizeof(buf), &err), 1);
    ck_assert_int_eq(colo__fast_recv(b, buf, sizeof(buf), &err), COLO_E_PEER);
    ck_assert_int_eq(colo__fast_send(b, "x", &err), COLO_E_PEER);
}
END_TEST

/* A reader that does not read must not make us wait. */
START_TEST(full)
{
    int rc = 0;

    for (int i = 0; i < 100000 && !rc; i++)
        rc = colo__fast_send(a, "7 checkpoint 8", &err);
    ck_assert_int_eq(rc, COLO_E_PEER);
}
END_TEST

START_TEST(names)
{
    char text[120];

    ck_assert_int_eq(colo__fast_connect("", &err), COLO_E_INVAL);
    ck_assert_int_eq(colo__fast_connect("nobody there", &err), COLO_E_PEER);
    memset(text, 'x', sizeof(text));
    text[107] = '\0';
    ck_assert_int_eq(colo__fast_connect(text, &err), COLO_E_PEER);
    text[107] = 'x';
    text[108] = '\0';
    ck_assert_int_eq(colo__fast_connect(text, &err), COLO_E_INVAL);
}
END_TEST

/* Everybody can connect to an abstract socket; only root is taken in.  Needs
 * to be root to become somebody else. */
START_TEST(stranger)
{
    int status;
    pid_t child;

    if (geteuid() != 0)
        return;
    child = fork();
    if (child == 0) {
        int fd;

        if (setuid(65534))
            _exit(1);
        /* his own side refuses nothing: we are root */
        fd = colo__fast_connect(name, &err);
        _exit(fd >= 0 ? 0 : 1);
    }
    waitpid(child, &status, 0);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(colo__fast_accept(listener, &err), COLO_E_AUTH);
}
END_TEST

/* And a session does not talk to a socket that a stranger has made. */
START_TEST(strange_listener)
{
    int status, ready[2], done[2];
    char c;
    pid_t child;

    if (geteuid() != 0)
        return;
    ck_assert_int_eq(pipe(ready) | pipe(done), 0);
    child = fork();
    if (child == 0) {
        char his[COLO_FAST_NAME_MAX];

        if (setuid(65534) || colo__fast_listen("net", "x", his, &err) < 0 ||
            write(ready[1], his, sizeof(his)) != sizeof(his))
            _exit(1);
        close(done[1]);
        _exit(read(done[0], &c, 1) == 0 ? 0 : 1);
    }
    close(done[0]);
    ck_assert_int_eq(read(ready[0], name, sizeof(name)), sizeof(name));
    ck_assert_int_eq(colo__fast_connect(name, &err), COLO_E_AUTH);
    close(done[1]);
    waitpid(child, &status, 0);
    ck_assert_int_eq(status, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("xenstore-fast");
    TCase *tc = tcase_create("all");
    SRunner *sr;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, texts);
    tcase_add_test(tc, no_texts);
    tcase_add_test(tc, closed);
    tcase_add_test(tc, full);
    tcase_add_test(tc, names);
    tcase_add_test(tc, stranger);
    tcase_add_test(tc, strange_listener);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
