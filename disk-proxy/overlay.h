/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Pages of a disk that lie over it: what a running replica has written of
 * its own.  In memory, and above the limit in a file that has a limit too.
 *
 * Threads: any, at once; each call is whole for the others.  Who changes a
 * part of a page must have it for himself meanwhile (range-lock.h).
 */
#ifndef COLO_DISK_OVERLAY_H
#define COLO_DISK_OVERLAY_H

#include "../libcolo/internal.h"

#define COLO_OVERLAY_PAGE 4096u

struct colo_overlay;

struct colo_overlay_config {
    uint64_t memory_limit; /* bytes */
    const char *spill_dir; /* NULL: none; a file system with O_TMPFILE */
    uint64_t spill_limit;  /* bytes */
};

struct colo_overlay_stats {
    uint64_t pages;           /* there, those of zeros too */
    uint64_t memory, spilled; /* bytes in use */
};

int colo__overlay_open(const struct colo_overlay_config *config,
                       struct colo_overlay **ret_ov, struct colo_error *err);
void colo__overlay_close(struct colo_overlay *ov); /* NULL is fine */

/* colo__overlay_put - a page, whole; data NULL: of zeros.
 * Returns  0, ENOSPC memory and file are full, ENOMEM, or another errno
 *          value; the page is then as before */
int colo__overlay_put(struct colo_overlay *ov, uint64_t page,
                      const uint8_t *data);

/* colo__overlay_get - len bytes of a page, from skip on; buf NULL: only ask.
 * Returns  1 there, 0 not there (buf untouched), < 0 minus an errno value */
int colo__overlay_get(struct colo_overlay *ov, uint64_t page, uint32_t skip,
                      uint32_t len, uint8_t *buf);

/* colo__overlay_drop - one page is not there any more. */
void colo__overlay_drop(struct colo_overlay *ov, uint64_t page);

/* colo__overlay_clear - none is; quick, what was used stays ready for use. */
void colo__overlay_clear(struct colo_overlay *ov);

/* colo__overlay_trim - after clear: memory and file go back to the system. */
void colo__overlay_trim(struct colo_overlay *ov);

/* colo__overlay_list - the pages that are there, ascending.
 * Owner    free(*ret_pages), NULL if there is none.
 * Errors   COLO_E_NOMEM */
int colo__overlay_list(struct colo_overlay *ov, uint64_t **ret_pages,
                       size_t *ret_n, struct colo_error *err);

void colo__overlay_stats(struct colo_overlay *ov,
                         struct colo_overlay_stats *ret);

#endif
