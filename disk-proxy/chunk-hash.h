/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Hashes of a disk's chunks, which both sides compare.  Several chunks are
 * read at once: a disk that is asked for one after the other is mostly idle,
 * and the whole of it is compared when a host comes back.
 */
#ifndef COLO_DISK_CHUNK_HASH_H
#define COLO_DISK_CHUNK_HASH_H

#include "disk-internal.h"

/* reads a chunk, or says that it is zeros; called by several threads.
 * Returns  0, COLO_READ_ZEROS (buf is not filled), or an errno value */
typedef int colo_chunk_read_fn(struct colo_disk *d, uint8_t *buf,
                               uint64_t len, uint64_t offset);
#define COLO_READ_ZEROS (-1)

/* colo__hash_chunks - of n chunks from chunk on.
 * Shape    ret_hashes: n times COLO_DWIRE_HASH bytes.
 * Returns  0 or an errno value */
int colo__hash_chunks(struct colo_disk *d, colo_chunk_read_fn *read,
                      uint64_t chunk, uint32_t n, uint8_t *ret_hashes);

/* colo__hash_zeros - fills zero_hash, when a disk is opened; 0 or ENOMEM */
int colo__hash_zeros(struct colo_disk *d);

#endif
