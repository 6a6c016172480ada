/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Reading one message from the bulk link: whole, told to end, and silent.
 */
#include "pure-common.h"

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/bulk-read.h"

struct fixture {
    struct colo_bulk_read in;
    struct colo_link *link;
    int peer;
    _Atomic bool abort;
    _Atomic uint64_t heard;
    uint8_t buf[COLO_WIRE_HEADER + 64];
    struct colo_msg msg;
    struct colo_error err;
};

static void setup(struct fixture *f)
{
    int fds[2];

    memset(f, 0, sizeof(*f));
    signal(SIGPIPE, SIG_IGN);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    ck_assert_int_eq(colo__link_fd_new(fds[0], &f->link, &f->err), 0);
    f->peer = fds[1];
    f->in = (struct colo_bulk_read){
        .link = f->link, .clock = &colo__clock_monotonic, .abort = &f->abort,
        .heard_us = &f->heard, .timeout_ms = 300, .where = "test",
        .silent = "nothing came", .buf = f->buf, .max_body = 64,
    };
}

static void teardown(struct fixture *f)
{
    colo__link_ops(f->link)->close(f->link);
    close(f->peer);
}

static void say(struct fixture *f, size_t bytes)
{
    struct colo_msg msg = { .type = COLO_MSG_SEED_DATA, .epoch = 3,
                            .len = 5 };
    uint8_t body[] = "hello", out[COLO_WIRE_HEADER + 5];

    msg.body = body;
    ck_assert_int_eq(colo__wire_build(&msg, out, &f->err), 0);
    memcpy(out + COLO_WIRE_HEADER, body, 5);
    ck_assert_int_eq(write(f->peer, out, bytes), (ssize_t)bytes);
}

START_TEST(a_message_is_heard)
{
    struct fixture f;
    uint64_t begin = colo__now_us(&colo__clock_monotonic);

    setup(&f);
    say(&f, COLO_WIRE_HEADER + 5);
    ck_assert_int_eq(colo__bulk_read(&f.in, &f.msg, &f.err), 0);
    ck_assert_uint_eq(f.msg.type, COLO_MSG_SEED_DATA);
    ck_assert_uint_eq(f.msg.len, 5);
    ck_assert_mem_eq(f.msg.body, "hello", 5);
    ck_assert_uint_ge(atomic_load(&f.heard), begin);
    teardown(&f);
}
END_TEST

START_TEST(half_of_one_is_late)
{
    struct fixture f;
    uint64_t begin;

    setup(&f);
    say(&f, COLO_WIRE_HEADER + 2);
    begin = colo__now_us(&colo__clock_monotonic);
    ck_assert_int_eq(colo__bulk_read(&f.in, &f.msg, &f.err),
                     COLO_E_TIMEOUT);
    ck_assert_str_eq(f.err.text, "nothing came within 300 ms");
    ck_assert_uint_ge(colo__now_us(&colo__clock_monotonic) - begin, 300000);
    ck_assert_uint_ne(atomic_load(&f.heard), 0); /* of the half */
    teardown(&f);
}
END_TEST

START_TEST(told_to_end)
{
    struct fixture f;

    setup(&f);
    f.in.timeout_ms = 0; /* nobody else would end it */
    atomic_store(&f.abort, true);
    ck_assert_int_eq(colo__bulk_read(&f.in, &f.msg, &f.err), COLO_E_STATE);
    ck_assert_uint_eq(atomic_load(&f.heard), 0);
    teardown(&f);
}
END_TEST

START_TEST(too_much_or_gone)
{
    struct fixture f;

    setup(&f);
    f.in.max_body = 4;
    say(&f, COLO_WIRE_HEADER + 5);
    ck_assert_int_eq(colo__bulk_read(&f.in, &f.msg, &f.err), COLO_E_PROTO);
    teardown(&f);
    setup(&f);
    ck_assert_int_eq(shutdown(f.peer, SHUT_WR), 0);
    ck_assert_int_eq(colo__bulk_read(&f.in, &f.msg, &f.err), COLO_E_PEER);
    teardown(&f);
}
END_TEST

PURE_MAIN("bulk-read", a_message_is_heard, half_of_one_is_late, told_to_end,
          too_much_or_gone)
