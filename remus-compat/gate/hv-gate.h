/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The hypervisor of a gate, for engine/receive.h: there is none.  Nothing can
 * be read, so the session must not send differences, and a machine's state is
 * good if stock Xen can be told of it.
 */
#ifndef COLO_HV_GATE_H
#define COLO_HV_GATE_H

#include "hv/hv.h"

/* borrowed, for ever; streamed: of a PV guest (hv.h) */
struct colo_hv *hv_gate(bool streamed);

#endif
