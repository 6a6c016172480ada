/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The seam to whoever decides which side may run when the link is lost.
 * ask begins; answer: 1 not yet, 0 this side runs, COLO_E_REFUSED it must not.
 */
#ifndef COLO_ARBITER_H
#define COLO_ARBITER_H

#include "internal.h"

struct colo_arbiter; /* starts with const struct colo_arbiter_ops * */

struct colo_arbiter_ops {
    void (*close)(struct colo_arbiter *arbiter);
    int (*fd)(struct colo_arbiter *arbiter); /* -1: answer is immediate */
    int (*ask)(struct colo_arbiter *arbiter, int role, struct colo_error *err);
    int (*answer)(struct colo_arbiter *arbiter, struct colo_error *err);
};

/* none: the survivor of the link runs (xl's semantics). */
struct colo_arbiter *colo__arbiter_none(void);

static inline const struct colo_arbiter_ops *
colo__arbiter_ops(struct colo_arbiter *a)
{
    return *(const struct colo_arbiter_ops *const *)a;
}

#endif
