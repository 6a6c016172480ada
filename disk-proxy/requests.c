/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What the session asks of a disk, by role; see disk.h.  Called by the
 * control thread only.
 */
#include <unistd.h>

#include "disk-internal.h"

static void answer_now(struct colo_disk *d, uint64_t seq, const char *error)
{
    d->config.reply(d->config.user, seq, error);
}

/* why everything but failover and stop is refused; NULL: it is not */
static const char *trouble(struct colo_disk *d)
{
    const char *why = NULL;

    pthread_mutex_lock(&d->lock);
    if (d->lost)
        why = d->why; /* set once, before lost */
    pthread_mutex_unlock(&d->lock);
    return why;
}

static void checkpoint(struct colo_disk *d, uint64_t seq, uint64_t epoch)
{
    struct colo_dmsg msg = { .type = COLO_DMSG_BARRIER, .value = epoch };

    if (d->config.role == COLO_DISK_SECONDARY) {
        colo__secondary_checkpoint(d, seq, epoch);
        return;
    }
    if (d->phase != PHASE_PROTECTED || epoch <= d->last_barrier) {
        answer_now(d, seq, "no checkpoint can come now");
        return;
    }
    /* before it is queued: see dirty.c */
    pthread_mutex_lock(&d->lock);
    d->last_barrier = epoch;
    d->epoch_bytes = 0;
    pthread_mutex_unlock(&d->lock);
    answer_now(d, seq, colo__disk_send(d, &msg) ? "the twin is lost" : NULL);
}

static void commit(struct colo_disk *d, uint64_t seq, uint64_t epoch)
{
    /* The primary's bits go when the secondary has applied the epoch. */
    if (d->config.role == COLO_DISK_SECONDARY)
        colo__secondary_commit(d, seq, epoch);
    else
        answer_now(d, seq, d->phase == PHASE_PROTECTED ? NULL :
                   "nothing is protected");
}

/* The guest runs on the other side: no write passes any more.  A stream that
 * is in step stays until stop: its end is an error to the twin's session, which
 * is told to take over only when the guest here has ended. */
static void become_outdated(struct colo_disk *d)
{
    bool in_step = d->phase == PHASE_PROTECTED;

    colo__disk_set_phase(d, PHASE_OUTDATED);
    if (!in_step) {
        colo__disk_disconnect(d, 0);
        colo__disk_set_phase(d, PHASE_OUTDATED); /* whatever the receiver did */
        return;
    }
    /* whoever waits in put lets go of his range */
    pthread_rwlock_rdlock(&d->queue_gate);
    if (d->queue)
        colo__sendq_stop(d->queue);
    pthread_rwlock_unlock(&d->queue_gate);
}

static void failover(struct colo_disk *d, uint64_t seq)
{
    struct colo_range all;
    struct colo_error err;
    int rc;

    if (d->config.role == COLO_DISK_SECONDARY) {
        colo__secondary_failover(d, seq);
        return;
    }
    become_outdated(d);
    /* not even one that has begun: take the whole disk */
    colo__range_take(&d->range, &all, 0, UINT64_MAX);
    rc = colo__meta_set(d->meta, COLO_META_OUTDATED, NULL, &err);
    colo__range_give(&d->range, &all);
    answer_now(d, seq, rc ? err.text : NULL);
}

static int stop(struct colo_disk *d, bool undone, struct colo_error *err)
{
    if (d->config.role == COLO_DISK_SECONDARY)
        return colo__secondary_stop(d, undone, err);
    colo__primary_stop(d);
    return 0;
}

void colo__disk_gone(struct colo_disk *d)
{
    (void)stop(d, false, NULL);
}

static void start(struct colo_disk *d, uint64_t seq, uint64_t mode, int stream)
{
    if (stream < 0) {
        answer_now(d, seq, "there is no stream to the twin");
        return;
    }
    if (d->config.role == COLO_DISK_SECONDARY)
        colo__secondary_start(d, seq, mode, stream);
    else
        colo__primary_start(d, seq, stream);
}

void colo__disk_request(struct colo_disk *d, uint64_t seq, int verb,
                        uint64_t arg, int stream)
{
    const char *why = trouble(d);
    struct colo_error err;

    if (verb == COLO_PROXY_STOP) {
        answer_now(d, seq, stop(d, arg == 1, &err) ? err.text : NULL);
    } else if (verb == COLO_PROXY_FAILOVER) {
        failover(d, seq);
    } else if (verb == COLO_PROXY_START) {
        start(d, seq, arg, stream);
    } else if (verb == COLO_PROXY_COMMIT &&
               d->config.role == COLO_DISK_SECONDARY) {
        commit(d, seq, arg); /* what is here whole may be applied */
    } else if (why) {
        answer_now(d, seq, why);
    } else if (verb == COLO_PROXY_CHECKPOINT) {
        checkpoint(d, seq, arg);
    } else if (verb == COLO_PROXY_COMMIT) {
        commit(d, seq, arg);
    } else if (verb == COLO_DISK_VERIFY &&
               d->config.role == COLO_DISK_PRIMARY) {
        colo__primary_verify(d, seq);
    } else {
        answer_now(d, seq, "an unknown request");
    }
}
