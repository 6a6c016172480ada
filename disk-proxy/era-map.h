/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What the kernel's dm-era noted of a disk while no proxy was beneath it, as
 * bits of our chunks.  Pure: the metadata of a device that was removed is
 * read from memory, bounds checked first.
 * Source   linux drivers/md/dm-era-target.c, and there persistent-data/
 *          dm-btree-internal.h, dm-array.c
 */
#ifndef COLO_DISK_ERA_MAP_H
#define COLO_DISK_ERA_MAP_H

#include "../libcolo/internal.h"

#define COLO_ERA_BLOCK (1024u * 1024u)  /* bytes that are marked together */

/* colo__era_bytes - how much metadata a disk of size bytes needs, at most. */
uint64_t colo__era_bytes(uint64_t size);

/* colo__era_written - sets the bit of every chunk that may have been written.
 * Shape    meta[len]: all of the metadata; size: bytes of the disk; bits: bit i
 *          of byte i / 8 is chunk i, one for each, others stay.
 * Returns  0, COLO_E_CORRUPT: then bits are of no use */
int colo__era_written(const uint8_t *meta, size_t len, uint64_t size,
                      uint8_t *bits, struct colo_error *err);

#endif
