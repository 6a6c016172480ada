/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Which addresses a guest speaks from, learned from frames that it sends, so
 * that the backup can announce them when it takes over.  Pure: no I/O, no
 * memory of its own; frames and imported bytes are not trusted.
 */
#ifndef COLO_NET_LEARN_H
#define COLO_NET_LEARN_H

#include "../libcolo/internal.h"

#define COLO_LEARN_MAX 64
#define COLO_LEARN_ENTRY_BYTES 26
#define COLO_LEARN_BYTES (4 + COLO_LEARN_MAX * COLO_LEARN_ENTRY_BYTES)

struct colo_learn_entry {
    uint8_t mac[6];
    uint16_t vlan;    /* VLAN number, 0: untagged */
    uint8_t card;     /* number of the network card that it spoke from */
    uint8_t family;   /* 4, 6, or 0: only the MAC is known */
    uint8_t addr[16]; /* network order; 4 bytes used for IPv4 */
};

/* All zero: empty. */
struct colo_learn {
    unsigned int count;
    uint32_t clock;
    uint32_t changes; /* grows whenever an export would differ */
    uint32_t seen[COLO_LEARN_MAX];
    struct colo_learn_entry entry[COLO_LEARN_MAX];
};

/* colo__learn_frame - look at a frame that the guest sent.
 * card      the N of vifD.N.
 * frame     begins with the Ethernet header; len may be cut short.
 * vlan      of a tag that the kernel has taken off, 0: none. */
void colo__learn_frame(struct colo_learn *learn, uint8_t card,
                       const uint8_t *frame, size_t len, uint16_t vlan);

/* colo__learn_mac - what a card is configured to be called, if it was not heard
 * to speak as that; never in the place of what was learned. */
void colo__learn_mac(struct colo_learn *learn, uint8_t card,
                     const uint8_t mac[6]);

/* colo__learn_export - at most COLO_LEARN_BYTES; the number of bytes.
 * Source   libcolo-wire(7), ADDRESSES */
size_t colo__learn_export(const struct colo_learn *learn, uint8_t *buf);

/* colo__learn_import - replace *learn by what was exported.
 * Returns 0, or COLO_E_PROTO and *learn is empty. */
int colo__learn_import(struct colo_learn *learn, const uint8_t *buf,
                       size_t len);

#endif
