/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * An arbiter for tests of sessions, which answers when it is told to.
 */
#ifndef COLO_TESTS_SESSION_ARBITER_H
#define COLO_TESTS_SESSION_ARBITER_H

#include "session-pair.h"

struct colo_arbiter {
    const struct colo_arbiter_ops *ops;
    int asked;
    bool silent;    /* no answer yet */
    bool allows;
};

static void a_close(struct colo_arbiter *a)
{
    (void)a;
}

static int a_fd(struct colo_arbiter *a)
{
    (void)a;
    return -1;
}

static int a_ask(struct colo_arbiter *a, int role, struct colo_error *err)
{
    (void)role;
    (void)err;
    a->asked++;
    return 0;
}

static int a_answer(struct colo_arbiter *a, struct colo_error *err)
{
    if (a->silent)
        return 1;
    return a->allows ? 0 : colo__fail(err, COLO_E_REFUSED, 0, "arbiter", "no");
}

static const struct colo_arbiter_ops a_ops = { a_close, a_fd, a_ask,
                                               a_answer };

#endif
