/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The local copy of a disk; see backing.h.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "backing.h"

#define WHERE "backing"
#define MAX_KEPT 64 /* aligned buffers that wait for use */
#define MEM_ALIGN 4096 /* of those, enough for every device */

struct colo_backing {
    int fd;
    bool block;
    uint32_t sector;    /* of a block device, else 0 */
    uint32_t align;     /* of offset and length */
    _Atomic uint32_t mem_align; /* of the buffer */
    uint64_t size;
    pthread_mutex_t lock;
    void *kept[MAX_KEPT];
    unsigned nr_kept;
};

/* past the page cache if that works here */
static int open_direct(const char *path, bool *ret_direct)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | O_DIRECT);

    *ret_direct = fd >= 0;
    if (fd < 0 && errno == EINVAL)
        fd = open(path, O_RDWR | O_CLOEXEC);
    return fd;
}

/* what the kernel itself says, where it does (6.1): many devices take data
 * from nearly any address */
static bool ask_alignment(struct colo_backing *b)
{
#ifdef STATX_DIOALIGN
    struct statx sx;

    if (statx(b->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx) == 0 &&
        (sx.stx_mask & STATX_DIOALIGN) && sx.stx_dio_offset_align &&
        sx.stx_dio_offset_align <= 4096 && sx.stx_dio_mem_align <= 4096) {
        b->align = sx.stx_dio_offset_align;
        b->mem_align = sx.stx_dio_mem_align ? sx.stx_dio_mem_align : 1;
        return true;
    }
#else
    (void)b;
#endif
    return false;
}

static void find_alignment(struct colo_backing *b, bool direct)
{
    struct statfs fs;

    b->align = 1;
    b->mem_align = 1;
    /* there is no page cache to get past in memory */
    if (!direct || (!b->block && fstatfs(b->fd, &fs) == 0 &&
                    fs.f_type == TMPFS_MAGIC))
        return;
    if (ask_alignment(b))
        return;
    b->align = 4096;
    b->mem_align = MEM_ALIGN;
    if (b->sector)
        b->align = b->sector;
}

static int find_size(struct colo_backing *b, const char *path,
                     struct colo_error *err)
{
    struct stat st;
    int sector = 0;

    if (fstat(b->fd, &st) < 0)
        return colo__fail(err, COLO_E_SYS, errno, WHERE, "%s", path);
    b->block = S_ISBLK(st.st_mode);
    if (!b->block && !S_ISREG(st.st_mode))
        return colo__fail(err, COLO_E_INVAL, 0, WHERE,
                          "%s is no file and no block device", path);
    b->size = (uint64_t)st.st_size;
    if (b->block && ioctl(b->fd, BLKGETSIZE64, &b->size) < 0)
        return colo__fail(err, COLO_E_SYS, errno, WHERE, "size of %s", path);
    if (b->block && ioctl(b->fd, BLKSSZGET, &sector) == 0 && sector >= 512)
        b->sector = (uint32_t)sector;
    return 0;
}

int colo__backing_open(const char *path, struct colo_backing **ret_b,
                       struct colo_error *err)
{
    struct colo_backing *b = calloc(1, sizeof(*b));
    bool direct;
    int rc;

    if (!b)
        return colo__fail(err, COLO_E_NOMEM, 0, WHERE, "no memory");
    pthread_mutex_init(&b->lock, NULL);
    b->fd = open_direct(path, &direct);
    if (b->fd < 0) {
        rc = colo__fail(err, COLO_E_SYS, errno, WHERE, "%s", path);
        goto out;
    }
    rc = find_size(b, path, err);
    if (rc) goto out;
    find_alignment(b, direct);
    /* an odd tail cannot be read past the page cache */
    if (b->size % b->align) {
        int flags = fcntl(b->fd, F_GETFL);

        if (fcntl(b->fd, F_SETFL, flags & ~O_DIRECT) < 0) {
            rc = colo__fail(err, COLO_E_SYS, errno, WHERE, "%s", path);
            goto out;
        }
        b->align = 1;
        b->mem_align = 1;
    }
    *ret_b = b;
    b = NULL;
    rc = 0;
out:
    colo__backing_close(b);
    return rc;
}

void colo__backing_close(struct colo_backing *b)
{
    if (!b)
        return;
    if (b->fd >= 0)
        close(b->fd);
    while (b->nr_kept)
        free(b->kept[--b->nr_kept]);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

uint64_t colo__backing_size(const struct colo_backing *b) { return b->size; }

uint32_t colo__backing_align(const struct colo_backing *b)
{
    return b->align;
}

uint32_t colo__backing_sector(const struct colo_backing *b)
{
    return b->sector;
}

void *colo__backing_buffer(struct colo_backing *b)
{
    void *p = NULL;

    pthread_mutex_lock(&b->lock);
    if (b->nr_kept)
        p = b->kept[--b->nr_kept];
    pthread_mutex_unlock(&b->lock);
    if (!p && posix_memalign(&p, MEM_ALIGN, COLO_BACKING_PIECE))
        p = NULL;
    return p;
}

void colo__backing_release(struct colo_backing *b, void *buffer)
{
    if (!buffer)
        return;
    pthread_mutex_lock(&b->lock);
    if (b->nr_kept < MAX_KEPT) {
        b->kept[b->nr_kept++] = buffer;
        buffer = NULL;
    }
    pthread_mutex_unlock(&b->lock);
    free(buffer);
}

static int pread_all(int fd, uint8_t *buf, size_t len, uint64_t offset)
{
    while (len) {
        ssize_t r = pread(fd, buf, len, (off_t)offset);

        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return r ? errno : EIO;
        buf += r;
        offset += (uint64_t)r;
        len -= (size_t)r;
    }
    return 0;
}

/* what was written is cut off at the front */
static void advance(struct iovec **iov, int *n, size_t done)
{
    while (*n && done >= (*iov)->iov_len) {
        done -= (*iov)->iov_len;
        (*iov)++;
        (*n)--;
    }
    if (*n) {
        (*iov)->iov_base = (uint8_t *)(*iov)->iov_base + done;
        (*iov)->iov_len -= done;
    }
}

/* iov is used up */
static int pwritev_all(int fd, struct iovec *iov, int n, uint64_t offset,
                       bool fua)
{
    while (n) {
        ssize_t r = pwritev2(fd, iov, n, (off_t)offset, fua ? RWF_DSYNC : 0);

        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return r ? errno : EIO;
        offset += (uint64_t)r;
        advance(&iov, &n, (size_t)r);
    }
    return 0;
}

static int pwrite_all(int fd, const uint8_t *buf, size_t len, uint64_t offset,
                      bool fua)
{
    struct iovec iov = { (void *)(uintptr_t)buf, len };

    return pwritev_all(fd, &iov, len ? 1 : 0, offset, fua);
}

static bool is_aligned(const struct colo_backing *b, const void *buf,
                       size_t len, uint64_t offset)
{
    return ((uintptr_t)buf % b->mem_align | len % b->align |
            offset % b->align) == 0;
}

/* The volume may have moved to a device that wants more than the first one:
 * then everything goes through a buffer of ours from now on. */
static bool wants_more(struct colo_backing *b, int r, uintptr_t addresses)
{
    if (r != EINVAL || addresses % MEM_ALIGN == 0)
        return false;
    b->mem_align = MEM_ALIGN;
    return true;
}

/* the next piece of an unaligned request: [*base, + *span) holds it */
static size_t next_piece(const struct colo_backing *b, size_t len,
                         uint64_t offset, uint64_t *base, size_t *span)
{
    size_t skip = offset % b->align, n;

    *base = offset - skip;
    n = COLO_BACKING_PIECE - skip < len ? COLO_BACKING_PIECE - skip : len;
    *span = (skip + n + b->align - 1) / b->align * b->align;
    return n;
}

int colo__backing_read(struct colo_backing *b, void *buf, size_t len,
                       uint64_t offset)
{
    uint8_t *out = buf, *bounce;
    int r = 0;

    if (is_aligned(b, buf, len, offset)) {
        r = pread_all(b->fd, buf, len, offset);
        if (!wants_more(b, r, (uintptr_t)buf))
            return r;
        r = 0;
    }
    bounce = colo__backing_buffer(b);
    if (!bounce)
        return ENOMEM;
    while (len && !r) {
        uint64_t base;
        size_t span, n = next_piece(b, len, offset, &base, &span);

        r = pread_all(b->fd, bounce, span, base);
        if (!r)
            memcpy(out, bounce + (offset - base), n);
        out += n;
        offset += n;
        len -= n;
    }
    colo__backing_release(b, bounce);
    return r;
}

int colo__backing_write(struct colo_backing *b, const void *buf, size_t len,
                        uint64_t offset, bool fua)
{
    const uint8_t *in = buf;
    uint8_t *bounce;
    int r = 0;

    if (is_aligned(b, buf, len, offset)) {
        r = pwrite_all(b->fd, buf, len, offset, fua);
        if (!wants_more(b, r, (uintptr_t)buf))
            return r;
        r = 0;
    }
    bounce = colo__backing_buffer(b);
    if (!bounce)
        return ENOMEM;
    while (len && !r) {
        uint64_t base;
        size_t span, n = next_piece(b, len, offset, &base, &span);

        if (n != span)
            r = pread_all(b->fd, bounce, span, base);
        if (!r) {
            memcpy(bounce + (offset - base), in, n);
            r = pwrite_all(b->fd, bounce, span, base, fua);
        }
        in += n;
        offset += n;
        len -= n;
    }
    colo__backing_release(b, bounce);
    return r;
}

int colo__backing_writev(struct colo_backing *b, const struct iovec *parts,
                         int n, void *buffer, uint64_t offset, bool fua)
{
    struct iovec iov[COLO_BACKING_PARTS];
    uint8_t *bounce = buffer;
    bool aligned = true;
    uintptr_t addresses = 0;
    size_t len = 0;

    if (n > COLO_BACKING_PARTS)
        return EINVAL;
    for (int i = 0; i < n; i++) {
        iov[i] = parts[i];
        aligned = aligned && is_aligned(b, parts[i].iov_base,
                                        parts[i].iov_len, offset);
        addresses |= (uintptr_t)parts[i].iov_base;
        len += parts[i].iov_len;
    }
    if (len > COLO_BACKING_PIECE)
        return EINVAL;
    if (aligned) {
        int r = pwritev_all(b->fd, iov, n, offset, fua);

        if (!wants_more(b, r, addresses))
            return r;
    }
    for (int i = 0; i < n; i++) {
        memcpy(bounce, parts[i].iov_base, parts[i].iov_len);
        bounce += parts[i].iov_len;
    }
    return colo__backing_write(b, buffer, len, offset, fua);
}

/* [offset, offset + len) by writing zeros */
static int write_zeros(struct colo_backing *b, uint64_t len, uint64_t offset)
{
    uint8_t *zeros = colo__backing_buffer(b);
    int r = 0;

    if (!zeros)
        return ENOMEM;
    memset(zeros, 0, COLO_BACKING_PIECE);
    while (len && !r) {
        uint64_t n = COLO_BACKING_PIECE - offset % COLO_BACKING_PIECE;

        if (n > len)
            n = len;
        r = colo__backing_write(b, zeros, n, offset, false);
        offset += n;
        len -= n;
    }
    colo__backing_release(b, zeros);
    return r;
}

static bool cannot(int error)
{
    return error == EOPNOTSUPP || error == ENOSYS || error == EINVAL ||
        error == ENOTTY;
}

int colo__backing_zero(struct colo_backing *b, uint64_t len, uint64_t offset,
                       bool trim, bool fua)
{
    /* A punched hole reads as zeros, of a file and of a block device. */
    int mode = FALLOC_FL_KEEP_SIZE |
        (trim || !b->block ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);
    int r = 0;

    if (fallocate(b->fd, mode, (off_t)offset, (off_t)len) < 0)
        r = errno;
    if (r && cannot(r))
        r = trim ? EOPNOTSUPP : write_zeros(b, len, offset);
    if (!r && fua)
        r = colo__backing_flush(b);
    return r;
}

int colo__backing_flush(struct colo_backing *b)
{
    return fdatasync(b->fd) < 0 ? errno : 0;
}

bool colo__backing_is_hole(struct colo_backing *b, uint64_t offset,
                           uint64_t len)
{
    off_t data;

    if (b->block)
        return false;
    data = lseek(b->fd, (off_t)offset, SEEK_DATA);
    return data < 0 ? errno == ENXIO : (uint64_t)data - offset >= len;
}

bool colo__backing_extent(struct colo_backing *b, uint64_t offset,
                          uint64_t len, uint64_t *ret_len)
{
    off_t data, hole;

    *ret_len = len;
    if (b->block)
        return false;
    data = lseek(b->fd, (off_t)offset, SEEK_DATA);
    if (data < 0 && errno == ENXIO)
        return true;
    if (data < 0)
        return false;
    if ((uint64_t)data > offset) {
        if ((uint64_t)data - offset < len)
            *ret_len = (uint64_t)data - offset;
        return true;
    }
    hole = lseek(b->fd, (off_t)offset, SEEK_HOLE);
    if (hole > (off_t)offset && (uint64_t)hole - offset < len)
        *ret_len = (uint64_t)hole - offset;
    return false;
}
