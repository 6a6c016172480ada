/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A seed for a backup with an older Xen.  Xen 4.20 has made the record of the
 * local APIC in a guest's context longer; a newer Xen fills up a short one, an
 * older one refuses a long one, and with it the whole seed.  What is cut off
 * (an error that the APIC has yet to report) comes with the first epoch, whose
 * context is cut where it is loaded, to what is wanted there
 * (hv-xen-machine.c).
 *
 * Pure, takes any bytes in any pieces; called by whoever sends a seed.
 */
#ifndef COLO_SEED_TRIM_H
#define COLO_SEED_TRIM_H

#include <stddef.h>
#include <stdint.h>

#define COLO_SEED_TRIM_HEAD 40u
/* A piece becomes longer by so much at most: by what earlier ones have lost. */
#define COLO_SEED_TRIM_ROOM 4096u

/* colo_seed_trim - zeroed: at the first byte.  All of it is private. */
struct colo_seed_trim {
    uint8_t head[COLO_SEED_TRIM_HEAD]; /* what is gathered: */
    uint32_t have;
    uint8_t at;    /* what head is of, or comes next */
    uint64_t pass; /* bytes before it that do not matter, */
    uint32_t drop; /* and so many that are left out then */
    uint32_t cut;  /* of the APIC's record, once its head is whole */
    uint64_t left; /* of the guest's context, and of what fills it up */
    uint32_t owed; /* zeros behind it, for what was left out */
};

/* colo__seed_trim - the next piece of a seed (seed-header.h), of len bytes.
 * out      has room for len + COLO_SEED_TRIM_ROOM, elsewhere
 * Returns  the bytes there.  In the end none is missing: what was left out
 *          stands as zeros behind the guest's context, where Xen does not look.
 *          From what is not as Xen sends it on, nothing is changed. */
size_t colo__seed_trim(struct colo_seed_trim *trim, const uint8_t *in,
                       size_t len, uint8_t *out);

#endif
