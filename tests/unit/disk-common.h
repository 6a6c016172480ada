/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * For the tests of disk-proxy: files that stand for disks.
 */
#ifndef DISK_COMMON_H
#define DISK_COMMON_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "pure-common.h"

#include "../../disk-proxy/backing.h"

struct disk_file {
    char path[64];
    struct colo_backing *b;
};

static inline void disk_file_make(struct disk_file *f, uint64_t size)
{
    int fd;

    snprintf(f->path, sizeof(f->path), "/var/tmp/colo-test.XXXXXX");
    fd = mkstemp(f->path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
    close(fd);
    f->b = NULL;
}

static inline void disk_file_open(struct disk_file *f, uint64_t size)
{
    struct colo_error err;

    disk_file_make(f, size);
    ck_assert_int_eq(colo__backing_open(f->path, &f->b, &err), 0);
    ck_assert_uint_eq(colo__backing_size(f->b), size);
}

static inline void disk_file_close(struct disk_file *f)
{
    colo__backing_close(f->b);
    unlink(f->path);
}

#endif
