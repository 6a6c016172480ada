/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Transfer: an epoch (or the seed) goes over the bulk link, behind the running
 * guest.  Jobs of the worker thread; between submit and done the epoch and
 * this object are the worker's.
 */
#ifndef COLO_TRANSFER_H
#define COLO_TRANSFER_H

#include <stdatomic.h>

#include "../link/link.h"
#include "../pure/delta.h"
#include "capture.h"

struct colo_transfer {
    struct colo_link *bulk;
    const struct colo_clock *clock;
    struct colo_capture *capture;
    uint32_t timeout_ms;        /* without progress of the link */
    int32_t compress;           /* -1 adaptive, 0, 1 */
    struct colo_delta_cache *cache;
    struct colo_delta_scratch *scratch;
    uint8_t *buf;               /* one message */
    uint8_t session[16];
    bool again;                 /* send without differences */
    /* What coding costs and what it saves, smoothed: coding is off while the
     * link would carry the plain pages sooner. */
    double link_us_per_byte, encode_us_per_page, coded_bytes_per_page;
    uint64_t encode_us;         /* of the last epoch */
    uint32_t in_coding;         /* epochs since coding went on or off */
    bool coding;                /* this epoch is coded */
    /* results of the last epoch */
    uint64_t wire_bytes, zero_pages, delta_pages, pages;
    uint64_t digest_seen;       /* messages in the epoch so far */
    void *digest;               /* XXH3 state */
    _Atomic uint64_t seed_bytes;
    _Atomic bool abort;         /* the seed job ends soon */
    int seed_fd;                /* read end of the seed's pipe */
};

int colo__transfer_init(struct colo_transfer *t, struct colo_link *bulk,
                        struct colo_capture *capture,
                        const struct colo_clock *clock, uint32_t timeout_ms,
                        int compress, uint32_t delta_mib,
                        struct colo_error *err);
void colo__transfer_fini(struct colo_transfer *t); /* zeroed is fine */

/* colo__transfer_learn - the epoch that was sent last was acknowledged
 * commit_us after its sending began. */
void colo__transfer_learn(struct colo_transfer *t, uint64_t commit_us);

/* jobs; arg is the struct colo_transfer.  epoch: of what capture holds.
 * seed: ATTACH, then everything from seed_fd until its end. */
int colo__transfer_epoch_job(void *arg, struct colo_error *err);
int colo__transfer_seed_job(void *arg, struct colo_error *err);

#endif
