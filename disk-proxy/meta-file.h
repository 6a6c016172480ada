/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The metadata's file: made, locked, its headers and its untracked mark read
 * and written.  Used by meta.c and meta-rules.c.  No state: any thread.
 */
#ifndef COLO_DISK_META_FILE_H
#define COLO_DISK_META_FILE_H

#include <sys/types.h>

#include "meta-format.h"

/* colo__meta_file_open - open for writing and lock it.
 * Shape    made_as: the state of a file that is made if there is none; 0: none
 *          is made, and size is not looked at.
 * Errors   COLO_E_EXISTS somebody else has the lock; COLO_E_SYS */
int colo__meta_file_open(const char *path, uint64_t size, int made_as,
                         int *ret_fd, struct colo_error *err);

/* colo__meta_file_replace - a new file at path, with a new generation and every
 * chunk marked.
 * Shape    *fd_inout: of colo__meta_file_open; then the new one's, locked too.
 *          A crash leaves the one or the other. */
int colo__meta_file_replace(const char *path, uint64_t size, int state,
                            int *fd_inout, struct colo_error *err);

/* colo__meta_read_header - the newer header; path is for the error's text. */
int colo__meta_read_header(int fd, const char *path,
                           struct colo_meta_header *ret_header, int *ret_copy,
                           struct colo_error *err);

/* colo__meta_write_header - durable on return. */
int colo__meta_write_header(int fd, int copy,
                            const struct colo_meta_header *header,
                            struct colo_error *err);

int colo__meta_is_untracked(int fd, bool *ret_untracked,
                            struct colo_error *err);
int colo__meta_set_untracked(int fd, bool untracked, struct colo_error *err);

/* colo__meta_random - a new generation. */
int colo__meta_random(uint8_t *generation, struct colo_error *err);

/* colo__meta_pwrite - all of it.  Returns 0, or -1 with errno. */
int colo__meta_pwrite(int fd, const void *buf, size_t len, uint64_t offset);

/* colo__meta_pread - as much as there is, up to len; -1 with errno. */
ssize_t colo__meta_pread(int fd, void *buf, size_t len, uint64_t offset);

#endif
