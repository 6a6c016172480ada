/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See meta-file.h.
 */
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "meta-file.h"

#define WHERE "disk-meta"

int colo__meta_pwrite(int fd, const void *buf, size_t len, uint64_t offset)
{
    const uint8_t *p = buf;

    while (len) {
        ssize_t n = pwrite(fd, p, len, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (!n)
                errno = ENOSPC;
            return -1;
        }
        p += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

ssize_t colo__meta_pread(int fd, void *buf, size_t len, uint64_t offset)
{
    uint8_t *p = buf;
    size_t done = 0;

    while (done < len) {
        ssize_t n = pread(fd, p + done, len - done, (off_t)(offset + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (!n)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

int colo__meta_random(uint8_t *generation, struct colo_error *err)
{
    if (getrandom(generation, COLO_META_GENERATION, 0) != COLO_META_GENERATION)
        return colo__fail(err, COLO_E_SYS, errno, WHERE, "no random bytes");
    return 0;
}

/* The name must be as durable as what it names. */
static int sync_folder(const char *path)
{
    char folder[PATH_MAX];
    int fd, r;

    if (snprintf(folder, sizeof(folder), "%s", path) >= (int)sizeof(folder)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = open(dirname(folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    r = fsync(fd);
    close(fd);
    return r;
}

/* every chunk marked; not synced */
static int fill_ones(int fd, uint64_t words, struct colo_error *err)
{
    uint64_t ones[512], at = COLO_META_BITMAP_AT;

    memset(ones, 0xff, sizeof(ones));
    while (words) {
        size_t n = words < COLO_ARRAY_LEN(ones) ? (size_t)words :
            COLO_ARRAY_LEN(ones);

        if (colo__meta_pwrite(fd, ones, n * sizeof(ones[0]), at))
            return colo__fail(err, COLO_E_SYS, errno, WHERE,
                              "cannot write the bitmap");
        at += n * sizeof(ones[0]);
        words -= n;
    }
    return 0;
}

static int fill_new(int fd, uint64_t size, int made_as, bool marked,
                    struct colo_error *err)
{
    struct colo_meta_header header = {
        .serial = 1, .size = size, .state = made_as,
    };
    uint64_t n = (size + COLO_META_EXTENT - 1) / COLO_META_EXTENT;
    off_t len = (off_t)(COLO_META_BITMAP_AT + n * sizeof(uint64_t));
    int rc, r;

    /* blocks now, so that a full file system cannot stop a mark later */
    r = posix_fallocate(fd, 0, len);
    if (r)
        return colo__fail(err, COLO_E_SYS, r, WHERE, "no room");
    rc = marked ? fill_ones(fd, n, err) : 0;
    if (rc)
        return rc;
    rc = colo__meta_random(header.generation, err);
    if (rc)
        return rc;
    rc = colo__meta_write_header(fd, 0, &header, err);
    if (rc)
        return rc;
    if (fsync(fd))
        return colo__fail(err, COLO_E_SYS, errno, WHERE, "fsync");
    return 0;
}

/* Under another name first: the file is there whole or not at all. */
static int open_new(const char *path, char ret_name[PATH_MAX], int *ret_fd,
                    struct colo_error *err)
{
    if (snprintf(ret_name, PATH_MAX, "%s.%d.new", path, (int)getpid()) >=
        PATH_MAX)
        return colo__fail(err, COLO_E_INVAL, ENAMETOOLONG, WHERE, "%s", path);
    *ret_fd = open(ret_name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (*ret_fd < 0)
        return colo__fail(err, COLO_E_SYS, errno, WHERE, "cannot make %s",
                          ret_name);
    return 0;
}

static int make_file(const char *path, uint64_t size, int made_as,
                     struct colo_error *err)
{
    char name[PATH_MAX];
    int fd, rc;

    rc = open_new(path, name, &fd, err);
    if (rc)
        return rc;
    rc = fill_new(fd, size, made_as, false, err);
    /* EEXIST: somebody was faster, which is as good */
    if (!rc && ((link(name, path) && errno != EEXIST) || sync_folder(path)))
        rc = colo__fail(err, COLO_E_SYS, errno, WHERE, "cannot make %s", path);
    unlink(name);
    close(fd);
    return rc;
}

int colo__meta_file_replace(const char *path, uint64_t size, int state,
                            int *fd_inout, struct colo_error *err)
{
    char name[PATH_MAX];
    int fd, rc;

    rc = open_new(path, name, &fd, err);
    if (rc)
        return rc;
    rc = fill_new(fd, size, state, true, err);
    /* locked before anybody else can see it */
    if (!rc && (flock(fd, LOCK_EX | LOCK_NB) || rename(name, path) ||
                sync_folder(path)))
        rc = colo__fail(err, COLO_E_SYS, errno, WHERE, "cannot replace %s",
                        path);
    if (rc) {
        unlink(name);
        close(fd);
        return rc;
    }
    close(*fd_inout);
    *fd_inout = fd;
    return 0;
}

/* was it replaced while we waited for nothing but the lock? */
static bool is_at(int fd, const char *path)
{
    struct stat ours, there;

    return fstat(fd, &ours) == 0 && stat(path, &there) == 0 &&
        ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

int colo__meta_file_open(const char *path, uint64_t size, int made_as,
                         int *ret_fd, struct colo_error *err)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT && made_as) {
        int rc = make_file(path, size, made_as, err);

        if (rc)
            return rc;
        fd = open(path, O_RDWR | O_CLOEXEC);
    }
    if (fd < 0)
        return colo__fail(err, COLO_E_SYS, errno, WHERE, "cannot open %s",
                          path);
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        int code = errno == EWOULDBLOCK ? COLO_E_EXISTS : COLO_E_SYS;
        int rc = colo__fail(err, code, errno, WHERE,
                            "%s is in use by another proxy", path);

        close(fd);
        return rc;
    }
    if (!is_at(fd, path)) {
        close(fd);
        return colo__fail(err, COLO_E_EXISTS, 0, WHERE,
                          "%s was replaced just now", path);
    }
    *ret_fd = fd;
    return 0;
}

int colo__meta_read_header(int fd, const char *path,
                           struct colo_meta_header *ret_header, int *ret_copy,
                           struct colo_error *err)
{
    uint8_t buf[COLO_META_HEADERS];
    ssize_t n = colo__meta_pread(fd, buf, sizeof(buf), 0);
    int rc;

    if (n < 0)
        return colo__fail(err, COLO_E_SYS, errno, WHERE, "cannot read %s",
                          path);
    rc = colo__meta_headers_pick(buf, (size_t)n, ret_header);
    if (rc == COLO_E_VERSION)
        return colo__fail(err, rc, 0, WHERE,
                          "%s is of another version of libcolo", path);
    if (rc < 0)
        return colo__fail(err, rc, 0, WHERE,
                          "%s has no whole header", path);
    if (ret_copy)
        *ret_copy = rc;
    return 0;
}

int colo__meta_write_header(int fd, int copy,
                            const struct colo_meta_header *header,
                            struct colo_error *err)
{
    uint8_t buf[COLO_META_HEADER_LEN];

    colo__meta_header_build(header, buf);
    if (colo__meta_pwrite(fd, buf, sizeof(buf),
                          (uint64_t)copy * COLO_META_BLOCK) || fdatasync(fd))
        return colo__fail(err, COLO_E_SYS, errno, WHERE,
                          "cannot write the header");
    return 0;
}

/* Anything but zeros counts: a torn mark is a mark. */
int colo__meta_is_untracked(int fd, bool *ret_untracked,
                            struct colo_error *err)
{
    uint8_t buf[COLO_META_BLOCK];
    ssize_t n = colo__meta_pread(fd, buf, sizeof(buf), COLO_META_UNTRACKED_AT);

    if (n != (ssize_t)sizeof(buf))
        return colo__fail(err, n < 0 ? COLO_E_SYS : COLO_E_CORRUPT,
                          n < 0 ? errno : 0, WHERE, "cannot read the mark");
    *ret_untracked = false;
    for (size_t i = 0; i < sizeof(buf); i++) {
        if (buf[i])
            *ret_untracked = true;
    }
    return 0;
}

int colo__meta_set_untracked(int fd, bool untracked, struct colo_error *err)
{
    uint8_t buf[COLO_META_BLOCK];

    memset(buf, untracked ? 0xff : 0, sizeof(buf));
    if (colo__meta_pwrite(fd, buf, sizeof(buf), COLO_META_UNTRACKED_AT) ||
        fdatasync(fd))
        return colo__fail(err, COLO_E_SYS, errno, WHERE,
                          "cannot write the mark");
    return 0;
}
