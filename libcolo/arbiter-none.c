/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The arbiter that nobody asked for: whoever survives the link runs.  Fits
 * where loss of the link means loss of the host, and says so in the manual.
 */
#include "arbiter.h"

struct colo_arbiter {
    const struct colo_arbiter_ops *ops;
};

static void none_close(struct colo_arbiter *arbiter)
{
    (void)arbiter;
}

static int none_fd(struct colo_arbiter *arbiter)
{
    (void)arbiter;
    return -1;
}

static int none_ask(struct colo_arbiter *arbiter, int role,
                    struct colo_error *err)
{
    (void)arbiter;
    (void)role;
    (void)err;
    return 0;
}

static int none_answer(struct colo_arbiter *arbiter, struct colo_error *err)
{
    (void)arbiter;
    (void)err;
    return 0;
}

static const struct colo_arbiter_ops none_ops = {
    .close = none_close,
    .fd = none_fd,
    .ask = none_ask,
    .answer = none_answer,
};

struct colo_arbiter *colo__arbiter_none(void)
{
    /* no state, so one for all; never written */
    static const struct colo_arbiter none = { &none_ops };

    return (struct colo_arbiter *)(uintptr_t)&none;
}
