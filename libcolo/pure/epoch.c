/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The memory of one epoch.  Every array is a mapping of its own, as large as
 * it can ever be for this guest, without reserved swap: what is not used
 * costs address space only, and the capture never waits for an allocator.
 * Called by whoever holds the epoch at the moment; no locks.
 */
#include <string.h>
#include <sys/mman.h>

#include "epoch.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* since Linux 5.14 */
#endif

#define WHERE "epoch"

/* Context of CPUs and devices: some 100 KiB, a few MiB with a video card.
 * A peer that announces more than this is refused. */
#define STATE_CAP (256u << 20)
/* Kept of everything but the pages between epochs. */
#define KEEP_BYTES ((size_t)4 << 20)
#define HUGE_SIZE ((size_t)2 << 20)

/* 2^40 pages are 4 PiB: larger than any address space */
#define MAX_CAP (UINT64_C(1) << 40)

/* ---- areas ------------------------------------------------------------- */

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

/* One mapping of len bytes that begins at a huge page, or NULL. */
static void *area_new(size_t len)
{
    size_t slack = HUGE_SIZE, head;
    uint8_t *raw, *start;

    raw = mmap(NULL, len + slack, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (raw == MAP_FAILED)
        return NULL;
    start = raw + (round_up((uintptr_t)raw, HUGE_SIZE) - (uintptr_t)raw);
    head = (size_t)(start - raw);
    if (head)
        munmap(raw, head);
    if (slack - head)
        munmap(start + len, slack - head);
    return start;
}

static void area_free(void *area, size_t len)
{
    if (area)
        munmap(area, len);
}

/* Give back what lies above keep bytes.  Only advice: if it fails, the
 * memory stays ours. */
static void area_trim(void *area, size_t len, size_t keep)
{
    keep = round_up(keep, HUGE_SIZE);
    if (keep < len)
        (void)madvise((uint8_t *)area + keep, len - keep, MADV_DONTNEED);
}

/* never 0, which cannot be mapped */
static size_t words_len(uint64_t cap)
{
    return round_up(cap * sizeof(uint64_t) + 1, HUGE_SIZE);
}

static size_t pages_len(uint64_t cap)
{
    return round_up(cap * COLO_PAGE_SIZE + 1, HUGE_SIZE);
}

/* ---- life -------------------------------------------------------------- */

static void free_arrays(struct colo_epoch *epoch)
{
    area_free(epoch->pages, pages_len(epoch->cap));
    area_free(epoch->gfns, words_len(epoch->cap));
    area_free(epoch->gone, words_len(epoch->gone_cap));
    area_free(epoch->audit_gfns, words_len(epoch->audit_cap));
    area_free(epoch->audit_hashes, words_len(epoch->audit_cap));
}

/* The arrays that depend on the size of the guest; whoever had the old ones
 * still has them.  After an error some may be there. */
static int new_arrays(struct colo_epoch *epoch, uint64_t cap,
                      struct colo_error *err)
{
    epoch->pages = NULL;
    epoch->gfns = epoch->gone = NULL;
    epoch->audit_gfns = epoch->audit_hashes = NULL;
    if (cap > MAX_CAP)
        return colo__fail(err, COLO_E_NOMEM, 0, WHERE,
                          "a guest of %llu pages is too large",
                          (unsigned long long)cap);
    epoch->cap = epoch->gone_cap = epoch->audit_cap = cap;
    epoch->pages = area_new(pages_len(cap));
    epoch->gfns = area_new(words_len(cap));
    epoch->gone = area_new(words_len(cap));
    epoch->audit_gfns = area_new(words_len(cap));
    epoch->audit_hashes = area_new(words_len(cap));
    if (!epoch->pages || !epoch->gfns || !epoch->gone ||
        !epoch->audit_gfns || !epoch->audit_hashes)
        return colo__fail(err, COLO_E_NOMEM, errno, WHERE,
                          "cannot reserve address space for %llu pages",
                          (unsigned long long)cap);
    /* Pages are filled from the start without holes, so huge pages waste at
     * most one, and a capture of 512 pages faults once instead of 512
     * times. */
    (void)madvise(epoch->pages, pages_len(cap), MADV_HUGEPAGE);
    return 0;
}

int colo__epoch_init(struct colo_epoch *epoch, uint64_t cap_pages,
                     struct colo_error *err)
{
    int rc;

    memset(epoch, 0, sizeof(*epoch));
    rc = new_arrays(epoch, cap_pages, err);
    if (rc) goto out;
    epoch->state = area_new(STATE_CAP);
    if (!epoch->state) {
        rc = colo__fail(err, COLO_E_NOMEM, errno, WHERE,
                        "cannot reserve address space for the state");
        goto out;
    }
    epoch->state_cap = STATE_CAP;
    rc = 0;
out:
    if (rc)
        colo__epoch_fini(epoch);
    return rc;
}

void colo__epoch_fini(struct colo_epoch *epoch)
{
    free_arrays(epoch);
    area_free(epoch->state, epoch->state_cap);
    memset(epoch, 0, sizeof(*epoch));
}

/* ---- use --------------------------------------------------------------- */

int colo__epoch_grow(struct colo_epoch *epoch, uint64_t cap_pages,
                     struct colo_error *err)
{
    struct colo_epoch larger = *epoch;
    int rc;

    if (cap_pages <= epoch->cap)
        return 0;
    rc = new_arrays(&larger, cap_pages, err);
    if (rc) {
        free_arrays(&larger);
        return rc;
    }

    /* A copy, and no mremap, which could fail with half of the arrays
     * moved.  A guest grows rarely, and mostly between two epochs. */
    memcpy(larger.pages, epoch->pages, epoch->count * COLO_PAGE_SIZE);
    memcpy(larger.gfns, epoch->gfns, epoch->count * sizeof(*epoch->gfns));
    memcpy(larger.gone, epoch->gone,
           epoch->gone_count * sizeof(*epoch->gone));
    memcpy(larger.audit_gfns, epoch->audit_gfns,
           epoch->audit_count * sizeof(*epoch->audit_gfns));
    memcpy(larger.audit_hashes, epoch->audit_hashes,
           epoch->audit_count * sizeof(*epoch->audit_hashes));
    larger.touched = epoch->count;
    free_arrays(epoch);
    *epoch = larger;
    return 0;
}

static void trim_words(uint64_t *array, uint64_t cap, uint64_t count)
{
    if (count * sizeof(*array) > KEEP_BYTES)
        area_trim(array, words_len(cap), KEEP_BYTES);
}

void colo__epoch_reset(struct colo_epoch *epoch, uint64_t number,
                       uint64_t keep_pages)
{
    if (epoch->touched < epoch->count)
        epoch->touched = epoch->count;
    if (epoch->touched > keep_pages) {
        area_trim(epoch->pages, pages_len(epoch->cap),
                  keep_pages * COLO_PAGE_SIZE);
        area_trim(epoch->gfns, words_len(epoch->cap),
                  keep_pages * sizeof(*epoch->gfns));
        epoch->touched = keep_pages;
    }
    trim_words(epoch->gone, epoch->gone_cap, epoch->gone_count);
    trim_words(epoch->audit_gfns, epoch->audit_cap, epoch->audit_count);
    trim_words(epoch->audit_hashes, epoch->audit_cap, epoch->audit_count);
    if (epoch->state_len > KEEP_BYTES)
        area_trim(epoch->state, epoch->state_cap, epoch->state_len * 2ul);

    epoch->number = number;
    epoch->nr_gfns = 0;
    epoch->count = 0;
    epoch->gone_count = 0;
    epoch->audit_count = 0;
    epoch->state_len = 0;
}

void colo__epoch_prepare(struct colo_epoch *epoch, uint64_t pages)
{
    if (pages > epoch->cap)
        pages = epoch->cap;
    if (pages <= epoch->touched)
        return;
    /* An older kernel refuses; the faults then come one by one. */
    if (madvise((uint8_t *)epoch->pages + epoch->touched * COLO_PAGE_SIZE,
                (pages - epoch->touched) * COLO_PAGE_SIZE,
                MADV_POPULATE_WRITE) ||
        madvise(epoch->gfns, round_up(pages * sizeof(*epoch->gfns),
                                      COLO_PAGE_SIZE), MADV_POPULATE_WRITE))
        return;
    epoch->touched = pages;
}

int colo__epoch_add_gone(struct colo_epoch *epoch, uint64_t gfn,
                         struct colo_error *err)
{
    if (epoch->gone_count >= epoch->gone_cap)
        return colo__fail(err, COLO_E_LIMIT, 0, WHERE,
                          "more than %llu removed frames in one epoch",
                          (unsigned long long)epoch->gone_cap);
    epoch->gone[epoch->gone_count++] = gfn;
    return 0;
}

int colo__epoch_add_audit(struct colo_epoch *epoch, uint64_t gfn,
                          uint64_t hash, struct colo_error *err)
{
    if (epoch->audit_count >= epoch->audit_cap)
        return colo__fail(err, COLO_E_LIMIT, 0, WHERE,
                          "more than %llu audited frames in one epoch",
                          (unsigned long long)epoch->audit_cap);
    epoch->audit_gfns[epoch->audit_count] = gfn;
    epoch->audit_hashes[epoch->audit_count++] = hash;
    return 0;
}

int colo__epoch_state_grow(struct colo_epoch *epoch, uint32_t cap,
                           struct colo_error *err)
{
    uint8_t *area;

    if (cap <= epoch->state_cap)
        return 0;
    cap = cap < UINT32_MAX - HUGE_SIZE ? (uint32_t)round_up(cap, HUGE_SIZE) :
          UINT32_MAX / HUGE_SIZE * HUGE_SIZE;
    area = area_new(cap);
    if (!area)
        return colo__fail(err, COLO_E_NOMEM, ENOMEM, WHERE,
                          "cannot reserve %u bytes for the state", cap);
    memcpy(area, epoch->state, epoch->state_len);
    area_free(epoch->state, epoch->state_cap);
    epoch->state = area;
    epoch->state_cap = cap;
    return 0;
}

uint8_t *colo__epoch_state_room(struct colo_epoch *epoch, uint32_t len)
{
    return len <= epoch->state_cap ? epoch->state : NULL;
}
