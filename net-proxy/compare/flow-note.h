/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What the comparator learned about a connection and the rewriter must know.
 * Ground floor of this folder; the bytes on the stream are twin.h's.
 */
#ifndef COLO_FLOW_NOTE_H
#define COLO_FLOW_NOTE_H

#include "../../libcolo/internal.h"

/* Names a conversation of the guest, whichever way a frame goes. */
struct colo_flow_key {
    uint8_t guest[16];   /* network order, 4 bytes used for IPv4; the rest 0 */
    uint8_t world[16];
    uint16_t guest_port; /* 0 without ports; ICMP: type and code */
    uint16_t world_port; /* ICMP: identifier of an echo */
    uint16_t vlan[2];    /* tag control without priority, outer first; |0x8000
                          * says that there is one */
    uint8_t family;      /* 4 or 6 */
    uint8_t proto;       /* IPPROTO_* */
    uint8_t zero[6];
};

struct colo_flow_note {
    struct colo_flow_key key; /* of proto TCP */
    uint32_t isn_primary;     /* the guest's own, on either host */
    uint32_t isn_secondary;
    uint32_t ts_delta;        /* TSval secondary - primary; 0 without */
    uint32_t world_isn;       /* if COLO_NOTE_WORLD_ISN */
    uint32_t flags;           /* COLO_NOTE_* */
};
#define COLO_NOTE_WORLD_ISN 1u  /* the guest answered a SYN of this number */
#define COLO_NOTE_TIMESTAMPS 2u /* both copies' SYNs had timestamps */
#define COLO_NOTE_FLAGS 3u      /* all that there are */

#endif
