/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Report: in mode colo the secondary tells the primary which frames its running
 * replica has written, each with a 128-bit hash of the page, so that equal
 * pages need not travel.  What the replica wrote is hashed first (if it pays)
 * while it still runs; a page that is written afterwards is in the final set
 * and hashed again.  Session's thread, but for the jobs.
 */
#ifndef COLO_REPORT_H
#define COLO_REPORT_H

#include "../pure/bitmap.h"
#include "../pure/wire.h"
#include "receive.h"

struct colo_report {
    struct colo_hv *hv;
    struct colo_receive *rx;    /* its link, its epoch, its abort */
    const struct colo_log *log;
    const struct colo_clock *clock;
    uint32_t timeout_ms;        /* without progress of the link */
    struct colo_bitmap live;    /* hashed while the replica ran */
    struct colo_bitmap final;   /* written since then */
    struct colo_wire_dirty *entries;
    uint64_t count, cap, live_count;
    uint8_t *pages;             /* scratch: one batch */
    uint8_t *buf;               /* one message */
    void *digest;               /* XXH3 state */
    int32_t live_mode;          /* -1 where it pays, 0 never, 1 always */
    double us_per_page;         /* of hashing, the last time */
    uint64_t last_count;        /* entries of the last report */
    uint64_t sent;              /* entries sent, for figures */
    bool lost;                  /* all frames, whatever the record says */
};

int colo__report_init(struct colo_report *r, struct colo_receive *rx,
                      const struct colo_log *log, int live_mode,
                      uint32_t timeout_ms, struct colo_error *err);
void colo__report_fini(struct colo_report *r); /* zeroed is fine */

/* colo__report_begin - an epoch is announced; the replica runs.  *ret_live:
 * it pays to hash now what it has written: live_job, then stop it. */
int colo__report_begin(struct colo_report *r, bool *ret_live,
                       struct colo_error *err);
int colo__report_live_job(void *arg, struct colo_error *err);
/* colo__report_final - the replica stands still: take the record.
 * ran: false for one that was not running since its last epoch. */
int colo__report_final(struct colo_report *r, bool ran,
                       struct colo_error *err);
/* job; arg is the struct colo_report: hash, send the list, then receive the
 * epoch as colo__receive_epoch_job does. */
int colo__report_job(void *arg, struct colo_error *err);

#endif
