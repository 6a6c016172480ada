/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A backup that is none, for measuring (`xl remus -b`): to the gate it is an xl
 * that receives; what it has received whole and could read, it forgets.
 */
#ifndef COLO_GATE_NOWHERE_H
#define COLO_GATE_NOWHERE_H

#include "internal.h"

/* gate_nowhere - fd: the socket that xl would have; owned.  Until the sender
 * revokes or ends: both are an error, as for an xl that gives up.
 * max_pfn  the last frame that is taken
 * Blocks   as long as the session lasts */
int gate_nowhere(int fd, uint64_t max_pfn, struct colo_error *err);

#endif
