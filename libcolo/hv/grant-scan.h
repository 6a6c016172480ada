/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Which frames do the entries of a grant table give to backends?  Pure;
 * the tables may be changing while they are read.
 */
#ifndef COLO_HV_GRANT_SCAN_H
#define COLO_HV_GRANT_SCAN_H

#include "../pure/bitmap.h"

#define COLO_XEN_GRANT_WRITABLE 1 /* every frame a backend may write */
#define COLO_XEN_GRANT_WRITING  2 /* frames mapped for writing right now */

/* table: n entries of 8 (v1) or 16 (v2) bytes as the hypervisor's header
 * lays them out; status: n words of 2 bytes.  Frames outside bm are left
 * out. */
void colo__grant_scan_v1(const volatile void *table, size_t n, int which,
                         struct colo_bitmap *bm);
void colo__grant_scan_v2(const volatile void *table,
                         const volatile void *status, size_t n, int which,
                         struct colo_bitmap *bm);

#endif
