/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Holding what one interface receives, and ending that in three ways.
 * Knows the order in which it must be done; no guests, no epochs.
 */
#ifndef COLO_NET_HOLD_H
#define COLO_NET_HOLD_H

#include "nl.h"

/* colo__hold_begin - from the return on, everything that dev receives is
 * held in the plug of a new ifb.  After a failure nothing is left. */
int colo__hold_begin(struct colo_nl *nl, int dev, const char *ifb_name,
                     uint32_t limit, int *ret_ifb, struct colo_error *err);

/* colo__hold_release - let everything out, in order, and end it.  dev 0: the
 * interface has gone. */
int colo__hold_release(struct colo_nl *nl, int dev, int ifb,
                       struct colo_error *err);

/* colo__hold_drop - lose what is held and end it. */
int colo__hold_drop(struct colo_nl *nl, int dev, int ifb,
                    struct colo_error *err);

/* colo__hold_shut - lose what is held and all that dev ever receives. */
int colo__hold_shut(struct colo_nl *nl, int ifb, struct colo_error *err);

#endif
