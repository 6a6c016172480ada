/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The local copy of a disk: a raw file or a block device, past the page cache
 * where the file system allows it.  Requests of any alignment; those that the
 * kernel would refuse go through aligned buffers that are kept.
 *
 * Called by the plugin's threads, the applier and the first copy.  Threads:
 * any, at once; who writes less than align bytes must have the range
 * [offset, offset + len) widened to align for himself (range-lock.h).
 */
#ifndef COLO_DISK_BACKING_H
#define COLO_DISK_BACKING_H

#include "../libcolo/internal.h"

#define COLO_BACKING_PIECE (256u * 1024u) /* bytes of an aligned buffer */
#define COLO_BACKING_PARTS 64             /* of one writev */

struct iovec;

struct colo_backing;

/* colo__backing_open - open path for reading and writing.
 * Owner    colo__backing_close().
 * Errors   COLO_E_SYS; COLO_E_INVAL neither a file nor a block device */
int colo__backing_open(const char *path, struct colo_backing **ret_b,
                       struct colo_error *err);
void colo__backing_close(struct colo_backing *b); /* NULL is fine */

uint64_t colo__backing_size(const struct colo_backing *b);  /* bytes */
uint32_t colo__backing_align(const struct colo_backing *b); /* bytes, >= 1 */
/* logical block of a block device, bytes; 0: it is a file */
uint32_t colo__backing_sector(const struct colo_backing *b);

/* These return 0 or an errno value, as a guest gets it. */
int colo__backing_read(struct colo_backing *b, void *buf, size_t len,
                       uint64_t offset);
/* fua: on stable storage on return */
int colo__backing_write(struct colo_backing *b, const void *buf, size_t len,
                        uint64_t offset, bool fua);
/* colo__backing_writev - parts[n] after one another, at most
 * COLO_BACKING_PARTS of them and COLO_BACKING_PIECE bytes; from where they lie
 * if the disk takes that, else by way of buffer, an aligned one of ours. */
int colo__backing_writev(struct colo_backing *b, const struct iovec *parts,
                         int n, void *buffer, uint64_t offset, bool fua);
/* colo__backing_zero - zeros are read from there afterwards.  trim: and the
 * space is not needed; EOPNOTSUPP (nothing was done) where that cannot be. */
int colo__backing_zero(struct colo_backing *b, uint64_t len, uint64_t offset,
                       bool trim, bool fua);
int colo__backing_flush(struct colo_backing *b);

/* colo__backing_extent - what is at offset.
 * Shape    *ret_len: at most len bytes are of that kind.
 * Returns  true: a hole, reads as zeros */
bool colo__backing_extent(struct colo_backing *b, uint64_t offset,
                          uint64_t len, uint64_t *ret_len);

/* colo__backing_is_hole - is all of it one?  Cheaper than the extent: where
 * data ends can be far away, and looking for it costs. */
bool colo__backing_is_hole(struct colo_backing *b, uint64_t offset,
                           uint64_t len);

/* Aligned buffers of COLO_BACKING_PIECE bytes; NULL: no memory. */
void *colo__backing_buffer(struct colo_backing *b);
void colo__backing_release(struct colo_backing *b, void *buffer);

#endif
