/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) the libcolo developers
 *
 * pulse-core.h - a workload that knows what every byte of it must be.
 *
 * A flat memory area and a small state (what would live in registers) go
 * forward step by step.  Which pages step S touches, and what every page holds
 * after it, follows from (seed, S) alone, so a replica is right if and only if
 * pulse_verify() finds nothing: one stale, torn or zeroed page anywhere, or a
 * state of another step than the memory, is always found.
 *
 * Area, in pages of 4096 bytes: page 0 is the root (step and digest), then
 * index pages (a table: last step of each data page), then data pages.  A
 * touch rewrites an eighth of a data page and its header.  Nothing is
 * overwritten before it was checked, so an error cannot heal unseen.
 *
 * Pure code: no libc but string.h, no allocation, no globals.  One caller per
 * area and state at a time.  Used by the guest program (pulse.c) and by
 * simulated guests.
 */
#ifndef PULSE_CORE_H
#define PULSE_CORE_H

#include <stdint.h>

#define PULSE_PAGE 4096u

/* A set of pages that is touched in turns: k pages a step, in an order that
 * jumps about, each page once before any comes again. */
struct pulse_sweep {
    uint32_t base;  /* first page */
    uint32_t n;     /* number of pages */
    uint32_t k;     /* touched each step, <= n */
    uint32_t mul;   /* page of turn t: base + t * mul mod n */
    uint32_t inv;   /* mul * inv mod n == 1 */
    uint32_t pad;
};

/* The registers: plain values, no pointers; copy it to save it. */
struct pulse_state {
    uint64_t step;   /* steps done */
    uint64_t digest; /* sum of h(page, last step) over the data pages */
    uint64_t seed;
    uint32_t pages;      /* whole area */
    uint32_t first_data; /* first data page */
    struct pulse_sweep hot, cold;
};

struct pulse_params {
    uint64_t seed;
    uint32_t pages;         /* whole area; at least 4 */
    uint32_t per_step;      /* data pages touched each step, hot set */
    uint32_t hot;           /* data pages in the hot set; 0 = all */
    uint32_t cold_per_step; /* touched each step among the others */
};

enum pulse_bad_kind {
    PULSE_OK = 0,
    PULSE_BAD_MAGIC, /* not a page of this area and place at all (zero?) */
    PULSE_BAD_STALE, /* header of an earlier step */
    PULSE_BAD_AHEAD, /* header of a later step */
    PULSE_BAD_TORN,  /* right header, but not this content */
};

/* What was wrong.  Zero it first; count adds up, the rest tells the first. */
struct pulse_report {
    uint64_t count;     /* bad pages found (the same page may count again) */
    uint64_t at_step;   /* of the state when the first was found */
    uint64_t page_step; /* what its header says */
    uint64_t want_step; /* what its header should say */
    uint64_t want, have; /* first differing word */
    uint32_t page;
    uint32_t word; /* its number in the page */
    uint32_t kind; /* enum pulse_bad_kind */
    uint32_t pad;
};

/* Called before a page is written, and possibly again for the same page
 * within one step. */
typedef void pulse_touch_fn(void *user, uint32_t page);

/* pulse_area_pages - the size of an area with that many data pages. */
uint32_t pulse_area_pages(uint32_t data_pages);

/* pulse_init - fill the area and the state as of step 0.
 * mem is pages * PULSE_PAGE bytes, aligned to 8.  touched may be NULL.
 * Returns 0, or -1 if the parameters cannot be. */
int pulse_init(void *mem, struct pulse_state *st,
               const struct pulse_params *params, pulse_touch_fn *touched,
               void *user);

/* pulse_step - one step.  Checks what it is about to overwrite; errors are
 * added to *report (may not be NULL).  Returns how many it found. */
uint32_t pulse_step(void *mem, struct pulse_state *st,
                    pulse_touch_fn *touched, void *user,
                    struct pulse_report *report);

/* pulse_verify - compare n pages, from `from` on, with what they must be at
 * the state's step, every byte.  Pages past the end do not count.  Writes
 * nothing.  Returns the number of bad pages, which *report counts too. */
uint32_t pulse_verify(const void *mem, const struct pulse_state *st,
                      uint32_t from, uint32_t n, struct pulse_report *report);

/* pulse_seek - set *ret_st to what st's registers are after `step` steps. */
void pulse_seek(const struct pulse_state *st, uint64_t step,
                struct pulse_state *ret_st);

/* pulse_expect - write what `page` must hold at the step of st to
 * ret_page[PULSE_PAGE], aligned to 8.  For another step see pulse_seek. */
void pulse_expect(const struct pulse_state *st, uint32_t page,
                  void *ret_page);

/* pulse_last_step - the step that touched a page last, 0 if none has. */
uint64_t pulse_last_step(const struct pulse_state *st, uint32_t page);

/* pulse_touched_by - the data pages that step `step` touches: page number i,
 * 0 <= i < pulse_touches(st), step >= 1.  (Besides, a step touches the root
 * page and the index pages of these data pages.) */
uint32_t pulse_touched_by(const struct pulse_state *st, uint64_t step,
                          uint32_t i);
uint32_t pulse_touches(const struct pulse_state *st);

const char *pulse_kind_name(uint32_t kind);

#endif
