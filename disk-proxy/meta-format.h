/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * How the metadata of a copy lies in its file:
 *
 *   0      header, copy 0        4096 bytes, 88 of them used
 *   4096   header, copy 1
 *   8192   untracked mark        all zero, or: writes went past the bitmap
 *   12288  bitmap                one little-endian word of 64 bits for each
 *                                4 MiB extent, bit n its chunk n
 *
 * A header is written over the older copy, so that a torn write leaves the
 * other one.  Version 1 had the first 64 bytes only; it is read, without a
 * parent, and written as version 2.  Pure: no I/O.  Any thread.
 */
#ifndef COLO_DISK_META_FORMAT_H
#define COLO_DISK_META_FORMAT_H

#include "meta.h"

#define COLO_META_BLOCK 4096u
#define COLO_META_HEADERS (2 * COLO_META_BLOCK)
#define COLO_META_UNTRACKED_AT COLO_META_HEADERS
#define COLO_META_BITMAP_AT (3 * COLO_META_BLOCK)
#define COLO_META_HEADER_LEN 88u

struct colo_meta_header {
    uint64_t serial;  /* the higher of the two whole copies counts */
    uint64_t size;    /* of the disk, bytes */
    int32_t state;    /* COLO_META_* */
    uint8_t generation[COLO_META_GENERATION];
    uint8_t parent[COLO_META_GENERATION]; /* all zero: none */
};

/* colo__meta_header_build - the bytes of a header. */
void colo__meta_header_build(const struct colo_meta_header *header,
                             uint8_t *buf);

/* colo__meta_header_parse - one copy of the header.
 * Returns  0, COLO_E_CORRUPT not whole, COLO_E_VERSION of another layout. */
int colo__meta_header_parse(const uint8_t *buf, size_t len,
                            struct colo_meta_header *ret_header);

/* colo__meta_headers_pick - the newer of the two copies.
 * Shape    buf: the file's first bytes, as many as there are.
 * Returns  which copy (0 or 1), or < 0 as parse if neither is whole. */
int colo__meta_headers_pick(const uint8_t *buf, size_t len,
                            struct colo_meta_header *ret_header);

#endif
