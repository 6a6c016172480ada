/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Receive: an epoch (or the seed) comes in over the bulk link.  An epoch is
 * gathered whole in the buffer, every page decoded and verified, before
 * anybody hears of it; the replica is only read here.  Jobs of the secondary's
 * worker thread.
 */
#ifndef COLO_RECEIVE_H
#define COLO_RECEIVE_H

#include <stdatomic.h>

#include "../hv/hv.h"
#include "../link/link.h"
#include "../pure/delta.h"
#include "../pure/epoch.h"

/* more context than any machine has; refuses nonsense before allocating.  Of a
 * streamed guest its memory is in it, too. */
#define COLO_STATE_MAX (64u * 1024u * 1024u)

struct colo_receive {
    struct colo_link *bulk;
    struct colo_hv *hv;
    const struct colo_clock *clock;
    struct colo_epoch epoch;
    uint64_t expect;            /* number of the epoch that must come */
    uint8_t session[16];
    uint8_t *buf;               /* one message */
    uint8_t *bases;             /* COLO_WIRE_MAX_PAGES pages of the replica */
    void *digest;
    bool streamed;              /* the guest is: see hv.h */
    uint32_t state_max;         /* more bytes of context are refused */
    uint32_t state_total;       /* bytes of context that were announced */
    bool again;                 /* result: a difference did not fit */
    /* mode colo: what answers DIRTY_ALL, once; NULL: it is not due */
    int (*say_all)(void *arg, struct colo_error *err);
    void *say_arg;
    int seed_fd;                /* write end of the restore's pipe */
    _Atomic uint64_t seed_bytes;
    _Atomic uint64_t last_us;   /* when bytes last came: the peer lives */
    _Atomic bool abort;         /* end soon */
};

int colo__receive_init(struct colo_receive *rx, struct colo_link *bulk,
                       struct colo_hv *hv, const struct colo_clock *clock,
                       struct colo_error *err);
void colo__receive_fini(struct colo_receive *rx); /* zeroed is fine */

/* jobs; arg is the struct colo_receive.  seed: of a streamed guest it is over
 * when the replica has taken it. */
int colo__receive_seed_job(void *arg, struct colo_error *err);
int colo__receive_epoch_job(void *arg, struct colo_error *err);

#endif
