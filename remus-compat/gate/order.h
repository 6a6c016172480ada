/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The pages of an epoch in the order in which libcolo sends them.  Pure.
 */
#ifndef COLO_ORDER_H
#define COLO_ORDER_H

#include "pure/epoch.h"

/* gate_order - frame numbers ascending; of those that came twice the later one
 * is kept.  Fills nr_gfns, too.
 * Errors   COLO_E_NOMEM */
int gate_order(struct colo_epoch *epoch, struct colo_error *err);

#endif
