/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Is the plug-in at the other end of xl's pipes, too?
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pure-common.h"

#include "../../xl-plugin/peer.h"

static struct colo_error err;
static int fds[2];

static void make_pipe(const char *bytes, size_t len)
{
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    if (len)
        ck_assert_int_eq(write(fds[1], bytes, len), (ssize_t)len);
}

static int wait_hello(const char *bytes, char name[XL_NAME_MAX])
{
    strcpy(name, "before");
    make_pipe(bytes, strlen(bytes));
    return xl_peer_wait_hello(fds[0], 50, name, &err);
}

START_TEST(test_hello)
{
    char name[XL_NAME_MAX], next[8] = "";

    make_pipe("", 0);
    ck_assert_int_eq(xl_peer_say_hello(fds[1], "host-2.example", &err), 0);
    ck_assert_int_eq(write(fds[1], "COLO", 4), 4);
    ck_assert_int_eq(xl_peer_wait_hello(fds[0], 5000, name, &err), 0);
    ck_assert_str_eq(name, "host-2.example");
    /* and what follows is still there */
    ck_assert_int_eq(read(fds[0], next, sizeof(next)), 4);
    ck_assert_str_eq(next, "COLO");
}
END_TEST

START_TEST(test_names)
{
    static const struct {
        const char *name, *want;
    } cases[] = {
        { "", "-" }, { "a b\nc;d", "abcd" }, { "-x", "-x" },
        { "0123456789012345678901234567890123456789012345678901234567890123"
          "456789",
          "012345678901234567890123456789012345678901234567890123456789012" },
    };

    for (size_t i = 0; i < COLO_ARRAY_LEN(cases); i++) {
        char name[XL_NAME_MAX];

        make_pipe("", 0);
        ck_assert_int_eq(xl_peer_say_hello(fds[1], cases[i].name, &err), 0);
        ck_assert_int_eq(xl_peer_wait_hello(fds[0], 50, name, &err), 0);
        ck_assert_str_eq(name, cases[i].want);
    }
}
END_TEST

START_TEST(test_no_hello)
{
    char name[XL_NAME_MAX] = "before";

    make_pipe("", 0);
    ck_assert_int_eq(xl_peer_wait_hello(fds[0], 30, name, &err), 0);
    ck_assert_str_eq(name, "");
    strcpy(name, "before");
    close(fds[1]);
    ck_assert_int_eq(xl_peer_wait_hello(fds[0], 5000, name, &err),
                     COLO_E_PEER);
    ck_assert_str_eq(name, "before");
}
END_TEST

START_TEST(test_other_hello)
{
    char name[XL_NAME_MAX];

    ck_assert_int_eq(wait_hello("libcolo-xl 2 host\n", name),
                     COLO_E_VERSION);
    ck_text(err, "2 host");
    ck_assert_int_eq(wait_hello("libcolo-xl 1 host", name), COLO_E_PROTO);
    ck_assert_int_eq(wait_hello("libcolo-xl 1 \n", name), COLO_E_PROTO);
    ck_assert_int_eq(wait_hello("libcolo-xl 1 a b\n", name), COLO_E_PROTO);
    ck_assert_int_eq(wait_hello("libcolo-xl 1 $(x)\n", name), COLO_E_PROTO);
    ck_assert_int_eq(wait_hello("domain received, ready to unpause", name),
                     COLO_E_PROTO);
    ck_text(err, "domain received");
    ck_assert_int_eq(wait_hello(
        "libcolo-xl 1 01234567890123456789012345678901234567890123456789"
        "01234567890123456789\n", name), COLO_E_PROTO);
    ck_assert_str_eq(name, "before");
}
END_TEST

static void check_stock(bool socket)
{
    static const struct {
        const char *bytes;
        int rc;
        bool stock;
    } cases[] = {
        { "LibxlFmt....", 0, true }, { "LibxlFmt", 0, true },
        { "COLO 1 open", 0, false }, { "LibxlFmX", 0, false },
        { "C", 0, false }, { "Libxl", COLO_E_TIMEOUT, false },
        { "", COLO_E_TIMEOUT, false },
    };

    for (size_t i = 0; i < COLO_ARRAY_LEN(cases); i++) {
        size_t len = strlen(cases[i].bytes);
        char again[32] = "";
        bool stock = !cases[i].stock;

        if (socket)
            ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC,
                                        0, fds), 0);
        else
            make_pipe("", 0);
        ck_assert_int_eq(write(fds[1], cases[i].bytes, len), (ssize_t)len);
        ck_assert_int_eq(xl_peer_is_stock(fds[0], 50, &stock, &err),
                         cases[i].rc);
        if (!cases[i].rc)
            ck_assert_int_eq(stock, cases[i].stock);
        /* nothing was taken */
        close(fds[1]);
        ck_assert_int_eq(read(fds[0], again, sizeof(again)), (ssize_t)len);
        ck_assert_str_eq(again, cases[i].bytes);
        ck_assert_int_eq(xl_peer_is_stock(fds[0], 50, &stock, &err),
                         COLO_E_PEER);
        close(fds[0]);
    }
}

START_TEST(test_stock)
{
    check_stock(false);
    check_stock(true);
}
END_TEST

START_TEST(test_unreadable)
{
    char path[] = "/tmp/colo-peer.XXXXXX";
    int fd = mkstemp(path);
    bool stock;

    unlink(path);
    ck_assert_int_eq(write(fd, "LibxlFmt", 8), 8);
    ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
    ck_assert_int_eq(xl_peer_is_stock(fd, 50, &stock, &err), COLO_E_SYS);
}
END_TEST

PURE_MAIN("xl-peer", test_hello, test_names, test_no_hello, test_other_hello,
          test_stock, test_unreadable)
