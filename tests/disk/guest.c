/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The guest of the disk model: random requests, and the reference that says
 * what must be read.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model.h"

#define MAX_LEN (192u * 1024u)

void image_init(struct model *m, struct image *im)
{
    im->bytes = calloc(1, m->size);
    im->nr_maybe = 0;
    if (!im->bytes)
        abort();
}

void image_settle(struct image *im)
{
    for (unsigned i = 0; i < im->nr_maybe; i++)
        free(im->maybe[i].data);
    im->nr_maybe = 0;
}

void image_copy(struct model *m, struct image *to, const struct image *from)
{
    image_settle(to);
    memcpy(to->bytes, from->bytes, m->size);
    for (unsigned i = 0; i < from->nr_maybe; i++) {
        to->maybe[i] = from->maybe[i];
        to->maybe[i].data = malloc(from->maybe[i].len);
        memcpy(to->maybe[i].data, from->maybe[i].data, from->maybe[i].len);
    }
    to->nr_maybe = from->nr_maybe;
}

void image_free(struct image *im)
{
    image_settle(im);
    free(im->bytes);
    im->bytes = NULL;
}

/* sizes and places that meet edges: sectors, pages, chunks, odd bytes */
static void pick_range(struct model *m, uint64_t *offset, uint32_t *len)
{
    static const uint32_t units[] = { 1, SECTOR, 4096, 65536 };
    uint32_t unit = units[rnd(m, 8) ? 1 + rnd(m, 3) : 0];

    *len = (uint32_t)(1 + rnd(m, rnd(m, 4) ? 16 : MAX_LEN / unit)) * unit;
    if (*len > MAX_LEN)
        *len = MAX_LEN;
    if (rnd(m, 2)) /* a hot spot, so that epochs overlap */
        *offset = rnd(m, 256 * 1024 / unit) * unit;
    else
        *offset = rnd(m, m->size / unit) * unit;
    if (*offset >= m->size)
        *offset = 0;
    if (*len > m->size - *offset)
        *len = (uint32_t)(m->size - *offset);
}

static void fill(struct model *m, uint8_t *p, uint32_t len)
{
    uint64_t x = rnd(m, UINT64_MAX) | 1;

    if (!rnd(m, 16)) { /* zeros by write */
        memset(p, 0, len);
        return;
    }
    for (uint32_t i = 0; i < len; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        p[i] = (uint8_t)(x >> 56);
    }
}

/* a request by who sees im, at h */
static void op(struct model *m, struct nbd_handle *h, struct image *im)
{
    uint8_t *data;
    uint64_t offset;
    uint32_t len, fua = rnd(m, 16) ? 0 : LIBNBD_CMD_FLAG_FUA;
    int r = 0;

    pick_range(m, &offset, &len);
    switch (rnd(m, 12)) {
    case 0:
        r = nbd_flush(h, 0);
        break;
    case 1:
        r = nbd_zero(h, len, offset, fua |
                     (rnd(m, 2) ? LIBNBD_CMD_FLAG_NO_HOLE : 0));
        memset(im->bytes + offset, 0, len);
        break;
    case 2: /* reads as zeros on these file systems */
        r = nbd_trim(h, len, offset, fua);
        memset(im->bytes + offset, 0, len);
        break;
    case 3:
        data = malloc(len);
        r = nbd_pread(h, data, len, offset, 0);
        if (r == 0 && memcmp(data, im->bytes + offset, len))
            lost(m, "the guest reads what it did not write, at %llu + %u",
                 (unsigned long long)offset, len);
        free(data);
        break;
    default:
        data = malloc(len);
        fill(m, data, len);
        r = nbd_pwrite(h, data, len, offset, fua);
        memcpy(im->bytes + offset, data, len);
        free(data);
    }
    if (r < 0)
        lost(m, "a request of the guest failed: %s", nbd_get_error());
}

/* writes that overlap and are under way together: one order, on all sides */
static void race(struct model *m, struct nbd_handle *h, struct image *im)
{
    uint8_t *data[8], *got;
    int64_t cookie[8];
    uint64_t offset, low = UINT64_MAX, high = 0;
    uint32_t len;
    unsigned n = 2 + (unsigned)rnd(m, 6);

    pick_range(m, &offset, &len);
    for (unsigned i = 0; i < n; i++) {
        uint64_t o = offset + rnd(m, 2) * (len / 2);
        uint32_t l = len;

        if (l > m->size - o)
            l = (uint32_t)(m->size - o);
        data[i] = malloc(l);
        fill(m, data[i], l);
        cookie[i] = nbd_aio_pwrite(h, data[i], l, o, NBD_NULL_COMPLETION, 0);
        if (cookie[i] < 0)
            lost(m, "a request of the guest failed: %s", nbd_get_error());
        low = o < low ? o : low;
        high = o + l > high ? o + l : high;
    }
    for (unsigned i = 0; i < n; i++) {
        int r;

        while ((r = nbd_aio_command_completed(h, (uint64_t)cookie[i])) == 0) {
            if (nbd_poll(h, 10000) <= 0)
                break;
        }
        if (r != 1)
            lost(m, "a request of the guest failed: %s", nbd_get_error());
        free(data[i]);
    }
    got = malloc(high - low);
    if (nbd_pread(h, got, high - low, low, 0) < 0)
        lost(m, "a read of the guest failed: %s", nbd_get_error());
    memcpy(im->bytes + low, got, high - low);
    free(got);
}

static void ops(struct model *m, int i, struct image *im, unsigned n)
{
    struct nbd_handle *h = m->side[i].nbd;

    for (unsigned k = 0; k < n; k++) {
        if (rnd(m, 10))
            op(m, h, im);
        else
            race(m, h, im);
    }
}

void guest_ops(struct model *m, unsigned n)
{
    ops(m, m->primary, &m->now, n);
}

void replica_ops(struct model *m, unsigned n)
{
    side_nbd(m, !m->primary);
    ops(m, !m->primary, &m->own, n);
}

unsigned guest_launch(struct model *m, int i, struct flight *f, unsigned n)
{
    struct nbd_handle *h = m->side[i].nbd;
    uint64_t slot = m->size / MAX_FLIGHT; /* they do not overlap */
    unsigned k = 0;

    for (unsigned j = 0; j < n; j++) {
        f[k].len = (uint32_t)(1 + rnd(m, 32)) * SECTOR;
        f[k].offset = j * slot + rnd(m, 64) * SECTOR;
        f[k].data = malloc(f[k].len);
        fill(m, f[k].data, f[k].len);
        f[k].cookie = nbd_aio_pwrite(h, f[k].data, f[k].len, f[k].offset,
                                     NBD_NULL_COMPLETION, 0);
        if (f[k].cookie < 0)
            free(f[k].data);
        else
            k++;
    }
    return k;
}

void guest_land(struct model *m, int side, struct image *im, struct flight *f,
                unsigned n, bool dead)
{
    struct nbd_handle *h = m->side[side].nbd;

    for (unsigned i = 0; i < n; i++) {
        int r = 0;

        while (!dead && (r = nbd_aio_command_completed(
                             h, (uint64_t)f[i].cookie)) == 0) {
            if (nbd_poll(h, 10000) <= 0)
                break;
        }
        if (!dead && r != 1)
            lost(m, "a request of the guest failed: %s", nbd_get_error());
        if (!dead) {
            memcpy(im->bytes + f[i].offset, f[i].data, f[i].len);
            free(f[i].data);
        } else { /* nobody knows */
            im->maybe[im->nr_maybe++] = f[i];
        }
    }
}

/* got must be im, each write that is in doubt there or not, as a whole */
static void check(struct model *m, uint8_t *got, struct image *im,
                  const char *what)
{
    for (unsigned i = 0; i < im->nr_maybe; i++) {
        struct flight *f = &im->maybe[i];

        if (!memcmp(got + f->offset, f->data, f->len))
            memcpy(im->bytes + f->offset, f->data, f->len);
    }
    image_settle(im);
    if (!memcmp(got, im->bytes, m->size))
        return;
    for (uint64_t i = 0; i < m->size; i++) {
        if (got[i] != im->bytes[i])
            lost(m, "%s: byte %llu is not as of epoch %llu", what,
                 (unsigned long long)i, (unsigned long long)m->committed);
    }
}

void check_guest(struct model *m, int i, struct image *im, const char *what)
{
    uint8_t *got = malloc(m->size);
    uint64_t step = 65536 * (1 + rnd(m, 8));

    side_nbd(m, i);
    for (uint64_t o = 0; o < m->size; o += step) {
        uint64_t n = m->size - o < step ? m->size - o : step;

        if (nbd_pread(m->side[i].nbd, got + o, n, o, 0) < 0)
            lost(m, "%s: cannot read: %s", what, nbd_get_error());
    }
    check(m, got, im, what);
    free(got);
}

static void read_file(struct model *m, int i, uint8_t *got, const char *what)
{
    char path[128];
    int fd;

    side_path(m, i, "img", path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || pread(fd, got, m->size, 0) != (ssize_t)m->size)
        lost(m, "%s: cannot read the file", what);
    close(fd);
}

void image_read(struct model *m, int i, struct image *im)
{
    read_file(m, i, im->bytes, "an image");
}

void check_file(struct model *m, int i, struct image *im, const char *what)
{
    uint8_t *got = malloc(m->size);

    read_file(m, i, got, what);
    check(m, got, im, what);
    free(got);
}
