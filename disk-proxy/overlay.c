/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See overlay.h.  A hash table says in which slot a page is.  Slots are given
 * out in order: those of memory come first, in pieces of 1 MiB that are made
 * when they are first needed, then those of the file.  A page written again
 * keeps its slot.  One lock; it is held over a copy of a page, and over the
 * file's page cache when there is no more memory.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "overlay.h"

#define WHERE "overlay"
#define PAGE COLO_OVERLAY_PAGE
#define PIECE_PAGES 256u /* 1 MiB */
#define FIRST_CAP 1024u  /* entries of the table; a power of 2 */

enum kind {
    FREE, /* never used */
    GONE, /* the page was dropped */
    ZERO, /* a page of zeros needs no room, and keeps what it had */
    DATA,
};

struct entry {
    uint64_t page;
    uint32_t slot; /* + 1; 0: none */
    uint8_t kind;
};

struct colo_overlay {
    struct colo_overlay_config config;
    pthread_mutex_t lock; /* all below */
    struct entry *table;
    size_t cap, used;     /* used: with those that are gone */
    size_t pages, limit;  /* there; how many there may be */
    uint8_t **pieces;
    uint32_t nr_pieces, max_pieces;
    uint32_t next_slot;
    uint32_t max_slots;   /* of memory and file */
    int fd;
};

static int make_table(struct colo_overlay *ov, struct colo_error *err)
{
    ov->cap = FIRST_CAP;
    ov->table = calloc(ov->cap, sizeof(*ov->table));
    ov->pieces = calloc(ov->max_pieces, sizeof(*ov->pieces));
    if (!ov->table || !ov->pieces)
        return colo__fail(err, COLO_E_NOMEM, 0, WHERE, "no memory");
    return 0;
}

int colo__overlay_open(const struct colo_overlay_config *config,
                       struct colo_overlay **ret_ov, struct colo_error *err)
{
    struct colo_overlay *ov = calloc(1, sizeof(*ov));
    uint64_t slots, piece = (uint64_t)PIECE_PAGES * PAGE;
    int rc;

    if (!ov)
        return colo__fail(err, COLO_E_NOMEM, 0, WHERE, "no memory");
    ov->config = *config;
    ov->fd = -1;
    pthread_mutex_init(&ov->lock, NULL);
    ov->max_pieces = (uint32_t)((config->memory_limit + piece - 1) / piece);
    slots = (uint64_t)ov->max_pieces * PIECE_PAGES;
    if (config->spill_dir)
        slots += config->spill_limit / PAGE;
    ov->max_slots = slots < UINT32_MAX / 2 ? (uint32_t)slots : UINT32_MAX / 2;
    /* a page of zeros costs an entry only, but the table is memory too */
    ov->limit = ov->max_slots;
    rc = make_table(ov, err);
    if (!rc && config->spill_dir && config->spill_limit) {
        /* it has no name, so it goes with the process */
        ov->fd = open(config->spill_dir, O_TMPFILE | O_RDWR | O_CLOEXEC,
                      0600);
        if (ov->fd < 0)
            rc = colo__fail(err, COLO_E_SYS, errno, WHERE,
                            "a spill file in %s", config->spill_dir);
    }
    if (rc)
        colo__overlay_close(ov);
    else
        *ret_ov = ov;
    return rc;
}

void colo__overlay_close(struct colo_overlay *ov)
{
    if (!ov)
        return;
    for (uint32_t i = 0; i < ov->nr_pieces; i++)
        free(ov->pieces[i]);
    free(ov->pieces);
    free(ov->table);
    if (ov->fd >= 0)
        close(ov->fd);
    pthread_mutex_destroy(&ov->lock);
    free(ov);
}

/* where the page is in the table, or would be; there is always room */
static struct entry *find(struct entry *table, size_t cap, uint64_t page)
{
    size_t i = (size_t)(page * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (cap - 1);

    while (table[i].kind != FREE && table[i].page != page)
        i = (i + 1) & (cap - 1);
    return &table[i];
}

static bool is_there(const struct entry *e)
{
    return e->kind > GONE;
}

static int grow(struct colo_overlay *ov)
{
    struct entry *table = calloc(ov->cap * 2, sizeof(*table));

    if (!table)
        return ENOMEM;
    for (size_t i = 0; i < ov->cap; i++) {
        if (is_there(&ov->table[i]))
            *find(table, ov->cap * 2, ov->table[i].page) = ov->table[i];
    }
    free(ov->table);
    ov->table = table;
    ov->cap *= 2;
    ov->used = ov->pages;
    return 0;
}

static int file_write(struct colo_overlay *ov, uint32_t slot,
                      const uint8_t *data)
{
    off_t at = (off_t)(slot - (uint64_t)ov->max_pieces * PIECE_PAGES) * PAGE;
    ssize_t r = pwrite(ov->fd, data, PAGE, at);

    return r == PAGE ? 0 : r < 0 ? errno : ENOSPC;
}

static int file_read(struct colo_overlay *ov, uint32_t slot, uint32_t skip,
                     uint32_t len, uint8_t *buf)
{
    off_t at = (off_t)(slot - (uint64_t)ov->max_pieces * PIECE_PAGES) * PAGE;
    ssize_t r = pread(ov->fd, buf, len, at + skip);

    return r == (ssize_t)len ? 0 : r < 0 ? errno : EIO;
}

/* the memory of a slot; NULL: it is one of the file */
static uint8_t *memory_of(struct colo_overlay *ov, uint32_t slot)
{
    if (slot / PIECE_PAGES >= ov->max_pieces)
        return NULL;
    return ov->pieces[slot / PIECE_PAGES] +
        (size_t)(slot % PIECE_PAGES) * PAGE;
}

static int new_slot(struct colo_overlay *ov, uint32_t *ret_slot)
{
    uint32_t piece = ov->next_slot / PIECE_PAGES;

    if (ov->next_slot == ov->max_slots)
        return ENOSPC;
    if (piece < ov->max_pieces && piece == ov->nr_pieces) {
        ov->pieces[piece] = malloc((size_t)PIECE_PAGES * PAGE);
        if (!ov->pieces[piece])
            return ENOMEM;
        ov->nr_pieces++;
    }
    *ret_slot = ov->next_slot;
    return 0;
}

static int store(struct colo_overlay *ov, uint32_t slot, const uint8_t *data)
{
    uint8_t *mem = memory_of(ov, slot);

    if (!mem)
        return file_write(ov, slot, data);
    memcpy(mem, data, PAGE);
    return 0;
}

/* lock is held */
static int put(struct colo_overlay *ov, uint64_t page, const uint8_t *data)
{
    struct entry *e = find(ov->table, ov->cap, page);
    uint32_t slot;
    int r;

    if (!is_there(e) && ov->pages >= ov->limit)
        return ENOSPC;
    if (data && e->slot) {
        r = store(ov, e->slot - 1, data);
        if (r)
            return r;
    } else if (data) {
        r = new_slot(ov, &slot);
        if (!r)
            r = store(ov, slot, data);
        if (r)
            return r;
        ov->next_slot++;
        e->slot = slot + 1;
    }
    ov->used += e->kind == FREE;
    ov->pages += !is_there(e);
    e->page = page;
    e->kind = data ? DATA : ZERO;
    return 0;
}

int colo__overlay_put(struct colo_overlay *ov, uint64_t page,
                      const uint8_t *data)
{
    int r = 0;

    pthread_mutex_lock(&ov->lock);
    if (ov->used >= ov->cap / 2)
        r = grow(ov);
    if (!r)
        r = put(ov, page, data);
    pthread_mutex_unlock(&ov->lock);
    return r;
}

int colo__overlay_get(struct colo_overlay *ov, uint64_t page, uint32_t skip,
                      uint32_t len, uint8_t *buf)
{
    struct entry *e;
    uint8_t *mem;
    int r = 0;

    pthread_mutex_lock(&ov->lock);
    e = find(ov->table, ov->cap, page);
    if (!is_there(e)) {
        pthread_mutex_unlock(&ov->lock);
        return 0;
    }
    if (buf && e->kind == ZERO) {
        memset(buf, 0, len);
    } else if (buf) {
        mem = memory_of(ov, e->slot - 1);
        if (mem)
            memcpy(buf, mem + skip, len);
        else
            r = file_read(ov, e->slot - 1, skip, len, buf);
    }
    pthread_mutex_unlock(&ov->lock);
    return r ? -r : 1;
}

void colo__overlay_drop(struct colo_overlay *ov, uint64_t page)
{
    struct entry *e;

    pthread_mutex_lock(&ov->lock);
    e = find(ov->table, ov->cap, page);
    if (is_there(e)) {
        e->kind = GONE;
        ov->pages--;
    }
    pthread_mutex_unlock(&ov->lock);
}

void colo__overlay_clear(struct colo_overlay *ov)
{
    pthread_mutex_lock(&ov->lock);
    if (ov->used)
        memset(ov->table, 0, ov->cap * sizeof(*ov->table));
    ov->used = ov->pages = 0;
    ov->next_slot = 0;
    pthread_mutex_unlock(&ov->lock);
}

void colo__overlay_trim(struct colo_overlay *ov)
{
    struct entry *table;

    pthread_mutex_lock(&ov->lock);
    while (!ov->pages && ov->nr_pieces) {
        free(ov->pieces[--ov->nr_pieces]);
        ov->pieces[ov->nr_pieces] = NULL;
    }
    if (!ov->pages && ov->cap > FIRST_CAP &&
        (table = calloc(FIRST_CAP, sizeof(*table)))) {
        free(ov->table);
        ov->table = table;
        ov->cap = FIRST_CAP;
        ov->used = 0;
    }
    if (!ov->pages)
        ov->next_slot = 0;
    /* what stays is room, not data */
    if (!ov->pages && ov->fd >= 0 && ftruncate(ov->fd, 0) < 0)
        errno = 0;
    pthread_mutex_unlock(&ov->lock);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

int colo__overlay_list(struct colo_overlay *ov, uint64_t **ret_pages,
                       size_t *ret_n, struct colo_error *err)
{
    uint64_t *pages = NULL;
    size_t n = 0;

    pthread_mutex_lock(&ov->lock);
    if (ov->pages)
        pages = malloc(ov->pages * sizeof(*pages));
    for (size_t i = 0; pages && i < ov->cap; i++) {
        if (is_there(&ov->table[i]))
            pages[n++] = ov->table[i].page;
    }
    if (!pages && ov->pages) {
        pthread_mutex_unlock(&ov->lock);
        return colo__fail(err, COLO_E_NOMEM, 0, WHERE, "no memory");
    }
    pthread_mutex_unlock(&ov->lock);
    if (n)
        qsort(pages, n, sizeof(*pages), compare);
    *ret_pages = pages;
    *ret_n = n;
    return 0;
}

void colo__overlay_stats(struct colo_overlay *ov,
                         struct colo_overlay_stats *ret)
{
    uint64_t of_memory = (uint64_t)ov->max_pieces * PIECE_PAGES;

    pthread_mutex_lock(&ov->lock);
    ret->pages = ov->pages;
    ret->memory = (ov->next_slot < of_memory ? ov->next_slot : of_memory) *
        PAGE;
    ret->spilled = ov->next_slot > of_memory ?
        (ov->next_slot - of_memory) * PAGE : 0;
    pthread_mutex_unlock(&ov->lock);
}
