/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A gate (../remus-compat/gate) between a stock primary and the session of this
 * process.  The session takes the end of its links for the loss of the
 * primary, so they must not end for any other reason: not when the gate is
 * killed.  Hence this process has a copy of the control link's other end, and
 * only a gate that says that the primary is lost has it closed.
 */
#ifndef XL_STOCK_GATE_H
#define XL_STOCK_GATE_H

#include <sys/types.h>

#include "internal.h"

struct stock_gate {
    pid_t pid;
    int pidfd;   /* readable: look; -1: it has ended, or there was none */
    int control; /* the copy */
};

/* What becomes its descriptors 0 to 3, all borrowed. */
struct stock_gate_fds {
    int stream, control, bulk, config;
};

/* stock_gate_start - words: the guest's name and UUID, see colo-stock.c.
 * Owner    the caller closes control and bulk: they are the gate's ends. */
int stock_gate_start(struct stock_gate *gate, char *const words[2],
                     const struct stock_gate_fds *fds,
                     struct colo_error *err);

/* stock_gate_look - when it has ended: closes the copy if the primary is lost,
 * else says there what no session can take for that.  Fine at any time.
 * Blocks   a second at most, if nobody reads. */
void stock_gate_look(struct stock_gate *gate);

#endif
