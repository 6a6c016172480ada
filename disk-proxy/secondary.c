/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The secondary's side of the stream: the first copy goes through the epoch
 * log to the disk at once; from then on it is kept apart until its epoch is
 * committed.  start, checkpoint, commit, failover and stop are called by the
 * control thread; the rest is the receiver's.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "chunk-hash.h"

#define WHERE "disk secondary"
#define QUEUE_BYTES (4u * 1024u * 1024u) /* answers only */
#define DRAIN_MS 10000
#define RECEIVER_MS 2000 /* a takeover waits no longer for a verify's read */
#define UNDO_MS 1000 /* the applier's look at whether it is through */
#define PROGRESS_US 500000
#define GULP (256u * 1024u)   /* received at once: it is in the cache then */
#define LARGE (64u * 1024u)   /* a message that is not split if possible */

static void answer_now(struct colo_disk *d, uint64_t seq, const char *error)
{
    d->config.reply(d->config.user, seq, error);
}

static int send_msg(struct colo_disk *d, const struct colo_dmsg *msg,
                    struct colo_error *err)
{
    if (colo__disk_send(d, msg))
        return colo__fail(err, COLO_E_PEER, 0, WHERE, "the twin is lost");
    return 0;
}

/* ours, so that the primary compares there too */
static int send_bitmap(struct colo_disk *d, struct colo_error *err)
{
    size_t len = (colo__disk_chunks(d) + 7) / 8;
    struct colo_dmsg msg = { .type = COLO_DMSG_BITMAP };
    uint64_t offset = 0, n;
    uint8_t *bits = calloc(1, len);
    int rc = 0;

    if (!bits)
        return colo__fail(err, COLO_E_NOMEM, 0, WHERE, "no memory");
    while (colo__meta_next(d->meta, &offset, &n)) {
        for (uint64_t end = offset + n; offset < end;
             offset += COLO_DWIRE_CHUNK) {
            uint64_t chunk = offset / COLO_DWIRE_CHUNK;

            bits[chunk / 8] |= (uint8_t)(1u << (chunk % 8));
        }
    }
    for (size_t at = 0; at < len && !rc; at += msg.len) {
        msg.len = len - at < 65536 ? (uint32_t)(len - at) : 65536;
        msg.offset = at * 8 * COLO_DWIRE_CHUNK;
        msg.body = bits + at;
        rc = send_msg(d, &msg, err);
    }
    free(bits);
    if (!rc)
        rc = send_msg(d, &(struct colo_dmsg){ .type = COLO_DMSG_BITMAP_END },
                      err);
    return rc;
}

/* what the disk will hold when the log up to here is applied; nothing is added
 * to the log meanwhile */
static int read_chunk(struct colo_disk *d, uint8_t *buf, uint64_t len,
                      uint64_t offset)
{
    /* in this order: what the log had a moment ago is in the backing now */
    if (!colo__elog_wait_clear(d->log, offset, len, 0) &&
        colo__backing_is_hole(d->backing, offset, len))
        return COLO_READ_ZEROS;
    return colo__elog_read(d->log, d->backing, buf, len, offset);
}

/* The session of this side, too, must not take a long first copy for a proxy
 * that does not answer. */
static void tell_progress(struct colo_disk *d, uint64_t offset)
{
    struct timespec ts;
    uint64_t now;
    uint64_t size = colo__backing_size(d->backing);

    clock_gettime(CLOCK_MONOTONIC, &ts);
    now = (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
    if (now - d->told_us < PROGRESS_US)
        return;
    d->told_us = now;
    colo__disk_event(d, "progress %llu %llu",
                     (unsigned long long)(offset < size ? offset : size),
                     (unsigned long long)size);
}

/* HASHES and VERIFY */
static int take_hashes(struct colo_disk *d, const struct colo_dmsg *m,
                       struct colo_error *err)
{
    uint32_t n = m->len / COLO_DWIRE_HASH;
    uint8_t bits[512] = { 0 }, *hashes = malloc(m->len);
    struct colo_dmsg msg = {
        .type = m->type == COLO_DMSG_HASHES ? COLO_DMSG_WANT :
            COLO_DMSG_VERIFIED,
        .offset = m->offset, .value = m->value, .body = bits,
        .len = (n + 7) / 8,
    };
    int r;

    if (!hashes)
        return colo__fail(err, COLO_E_NOMEM, 0, WHERE, "no memory");
    r = colo__hash_chunks(d, read_chunk, m->offset / COLO_DWIRE_CHUNK, n,
                          hashes);
    for (uint32_t i = 0; i < n && !r; i++) {
        if (memcmp(hashes + i * COLO_DWIRE_HASH,
                   m->body + i * COLO_DWIRE_HASH, COLO_DWIRE_HASH))
            bits[i / 8] |= (uint8_t)(1u << (i % 8));
    }
    free(hashes);
    if (r)
        return colo__fail(err, COLO_E_SYS, r, WHERE,
                          "cannot read the local copy");
    return send_msg(d, &msg, err);
}

/* until all that has come is on the disk */
static int wait_applied(struct colo_disk *d, struct colo_error *err)
{
    struct colo_elog_stats stats;
    struct timespec ts = { .tv_nsec = 1000000 };
    uint64_t last = UINT64_MAX;
    unsigned idle = 0;

    for (;;) {
        colo__elog_stats(d->log, &stats);
        if (!stats.records)
            return 0;
        idle = stats.records == last ? idle + 1 : 0;
        last = stats.records;
        if (idle > d->config.silent_ms || d->stopping ||
            d->phase == PHASE_BROKEN)
            return colo__fail(err, COLO_E_TIMEOUT, 0, WHERE,
                              "the local disk does not go on");
        nanosleep(&ts, NULL);
    }
}

static int take_done(struct colo_disk *d, const struct colo_dmsg *m,
                     struct colo_error *err)
{
    struct colo_dmsg msg = { .type = COLO_DMSG_SYNC_DONE, .len = 16,
                             .body = m->body };
    uint64_t offset = 0, len;
    int rc, r;

    rc = wait_applied(d, err);
    if (rc) return rc;
    r = colo__backing_flush(d->backing);
    if (r)
        return colo__fail(err, COLO_E_SYS, r, WHERE,
                          "cannot flush the local copy");
    while (colo__meta_next(d->meta, &offset, &len)) {
        (void)colo__meta_clear(d->meta, offset, len, NULL);
        offset += (len + COLO_DWIRE_CHUNK - 1) / COLO_DWIRE_CHUNK *
            COLO_DWIRE_CHUNK;
    }
    rc = colo__meta_set(d->meta, COLO_META_SECONDARY, m->body, err);
    if (rc) return rc;
    colo__elog_at_once(d->log, false);
    colo__disk_set_phase(d, PHASE_IN_STEP);
    rc = send_msg(d, &msg, err);
    if (rc) return rc;
    colo__disk_say(d, "in step with the twin");
    colo__disk_answer(d, &d->start_seq, NULL);
    return 0;
}

static int take_barrier(struct colo_disk *d, const struct colo_dmsg *m,
                        struct colo_error *err)
{
    bool answer;
    int rc;

    if (m->value <= colo__elog_barrier(d->log))
        return colo__fail(err, COLO_E_PROTO, 0, WHERE, "epoch %llu twice",
                          (unsigned long long)m->value);
    rc = colo__elog_add(d->log, COLO_REC_BARRIER, m->value, 0, NULL, false,
                        false, err);
    if (rc) return rc;
    pthread_mutex_lock(&d->lock);
    answer = d->wait_seq && d->wait_epoch <= m->value;
    pthread_mutex_unlock(&d->lock);
    if (answer)
        colo__disk_answer(d, &d->wait_seq, NULL);
    return 0;
}

static int take(struct colo_disk *d, const struct colo_dmsg *m,
                struct colo_error *err)
{
    bool fua = m->flags & COLO_DFLAG_FUA, filling = d->phase == PHASE_FILLING;

    if (d->phase == PHASE_BROKEN)
        return colo__fail(err, COLO_E_SYS, 0, WHERE,
                          "the local copy cannot be written");
    if (m->type != COLO_DMSG_ERROR && m->epoch != colo__elog_barrier(d->log))
        return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                          "%s of epoch %llu does not belong here",
                          colo__dmsg_name(m->type),
                          (unsigned long long)m->epoch);
    if (filling)
        tell_progress(d, m->offset);
    switch (m->type) {
    case COLO_DMSG_WRITE:
        return colo__elog_add(d->log, COLO_REC_WRITE, m->offset, m->len,
                              m->body, fua, false, err);
    case COLO_DMSG_ZERO:
        return colo__elog_add(d->log, COLO_REC_ZERO, m->offset, m->value,
                              NULL, fua, m->flags & COLO_DFLAG_TRIM, err);
    case COLO_DMSG_FLUSH:
        return colo__elog_add(d->log, COLO_REC_FLUSH, 0, 0, NULL, false,
                              false, err);
    case COLO_DMSG_HASHES:
        if (!filling)
            break;
        return take_hashes(d, m, err);
    case COLO_DMSG_SYNC_DONE:
        if (!filling)
            break;
        return take_done(d, m, err);
    case COLO_DMSG_BARRIER:
        if (filling)
            break;
        return take_barrier(d, m, err);
    case COLO_DMSG_VERIFY:
        if (filling)
            break;
        return take_hashes(d, m, err);
    case COLO_DMSG_ERROR:
        return colo__fail(err, COLO_E_PEER_SAID, 0, WHERE,
                          "the twin says: %.*s", (int)m->len,
                          (const char *)m->body);
    }
    return colo__fail(err, COLO_E_PROTO, 0, WHERE, "%s does not belong here",
                      colo__dmsg_name(m->type));
}

/* how much to receive now.  A large message shall end where its segment does,
 * or before: what does not fit must be moved to the next.  So after a large
 * one no more is taken than one that is as large.
 * Shape    cap: room; have: bytes of the message that begins there, of need,
 *          which is a header's until that is known; before: the last one's. */
static size_t gulp(size_t cap, size_t have, size_t need, size_t before)
{
    size_t want = GULP;

    if (before >= LARGE || need >= LARGE) {
        want = need - have;
        if (need == COLO_DWIRE_HEADER && have < before &&
            before - have <= cap)
            want = before - have;
    }
    return want < cap ? want : cap;
}

/* What is in the log and not yet parsed.  *ret_need is what the message has
 * that is not whole, *ret_before what the last one had. */
static int take_all(struct colo_disk *d, size_t *ret_need, size_t *ret_before,
                    struct colo_error *err)
{
    uint64_t size = colo__backing_size(d->backing);
    struct colo_dmsg m;
    int64_t used, total;
    size_t len;
    int rc;

    for (;;) {
        const uint8_t *p = colo__elog_unparsed(d->log, &len);

        *ret_need = COLO_DWIRE_HEADER;
        used = colo__dwire_parse(p, len, size, &m, err);
        if (used < 0)
            return (int)used;
        if (used == 0) {
            total = colo__dwire_peek(p, len, err);
            if (total > 0)
                *ret_need = (size_t)total;
            return 0;
        }
        rc = take(d, &m, err);
        if (rc) return rc;
        colo__elog_parsed(d->log, (size_t)used);
        *ret_before = (size_t)used;
    }
}

static int receive(struct colo_disk *d, struct colo_error *err)
{
    size_t need = COLO_DWIRE_HEADER, before = 0, have, cap, n;
    uint8_t *p;
    int rc = 0;

    while (!rc) {
        rc = colo__elog_space(d->log, need, &p, &cap, err);
        if (rc)
            break;
        (void)colo__elog_unparsed(d->log, &have);
        rc = colo__disk_recv_some(d, p, gulp(cap, have, need, before), &n,
                                  err);
        if (rc)
            break;
        colo__elog_filled(d->log, n);
        rc = take_all(d, &need, &before, err);
    }
    return rc;
}

/* A guest wrote here when nobody followed any more.  A copy from which another
 * took over is outdated, if it was told, or still primary, if its host died
 * before.  What is alone has what no other has, also if the twin names it as
 * its parent: then both went on.  Which of them goes only an operator knows. */
static int may_fill(const struct colo_disk *d, struct colo_error *err)
{
    if (colo__meta_state(d->meta) != COLO_META_ALONE)
        return 0;
    /* short: it must fit into an error of the twin's session, too */
    return colo__fail(err, COLO_E_REFUSED, 0, WHERE,
                      "this copy may have writes that no other has: protect "
                      "from its host, or give it up there: "
                      "colo-disk discard TARGET");
}

/* The copy is about to be changed: until it is in step it is nothing. */
static int begin_filling(struct colo_disk *d, const struct colo_dhello *twin,
                         struct colo_error *err)
{
    uint8_t generation[16];
    const uint8_t *ours = colo__meta_generation(d->meta);
    bool same = !memcmp(ours, twin->generation, 16) ||
        colo__disk_is_child(twin->parent, ours, colo__meta_state(d->meta));
    int rc;

    /* with another generation, no bitmap may be trusted next time */
    rc = colo__disk_random(generation, sizeof(generation), err);
    if (rc) return rc;
    return colo__meta_set(d->meta, COLO_META_SYNCING,
                          same ? NULL : generation, err);
}

static void *receiver(void *user)
{
    struct colo_disk *d = user;
    struct colo_dhello twin;
    struct colo_error err;
    int rc;

    rc = colo__disk_hello(d, COLO_DISK_SECONDARY, &twin, &err);
    if (rc) goto out;
    rc = colo__disk_open_queue(d, QUEUE_BYTES, &err);
    if (rc) goto out;
    rc = may_fill(d, &err);
    if (rc) goto out;
    rc = send_bitmap(d, &err);
    if (rc) goto out;
    rc = begin_filling(d, &twin, &err);
    if (rc) goto out;
    colo__disk_set_phase(d, PHASE_FILLING);
    rc = receive(d, &err);
out:
    /* A primary that closes says nothing; everything else it should know. */
    if (rc && rc != COLO_E_PEER && rc != COLO_E_PEER_SAID) {
        colo__disk_send_error(d, err.text);
        pthread_rwlock_rdlock(&d->queue_gate);
        if (d->queue)
            colo__sendq_drain(d->queue, 500);
        pthread_rwlock_unlock(&d->queue_gate);
    }
    if (rc)
        colo__disk_lose(d, &err);
    return NULL;
}

void colo__secondary_start(struct colo_disk *d, uint64_t seq, uint64_t mode,
                           int stream)
{
    struct colo_error err;
    int r;

    if (d->phase == PHASE_ALONE || d->phase == PHASE_DRAINING) {
        close(stream);
        answer_now(d, seq, "the guest runs on this copy");
        return;
    }
    (void)colo__secondary_stop(d, false, NULL); /* what was before is over */
    if (colo__applier_end(d, DRAIN_MS)) {
        close(stream);
        answer_now(d, seq, "the epochs before are not yet on the disk");
        return;
    }
    colo__elog_reset(d->log);
    colo__elog_at_once(d->log, true);
    colo__replica_reset(d);
    d->colo = mode == COLO_MODE_COLO;
    d->lost = d->stopping = false;
    d->undone = false;
    d->drained = false;
    d->start_seq = seq;
    d->stream = stream;
    colo__disk_set_phase(d, PHASE_IDLE);
    if (colo__applier_start(d, &err)) {
        colo__disk_answer(d, &d->start_seq, err.text);
        return;
    }
    r = pthread_create(&d->receiver, NULL, receiver, d);
    if (r)
        colo__disk_answer(d, &d->start_seq, "cannot make a thread");
    else
        d->have_receiver = true;
}

void colo__secondary_checkpoint(struct colo_disk *d, uint64_t seq,
                                uint64_t epoch)
{
    if (d->phase != PHASE_IN_STEP) {
        answer_now(d, seq, "the copy is not in step");
        return;
    }
    pthread_mutex_lock(&d->lock);
    d->wait_seq = seq;
    d->wait_epoch = epoch;
    pthread_mutex_unlock(&d->lock);
    /* it may have come before, or the twin may be gone since */
    if (colo__elog_barrier(d->log) >= epoch)
        colo__disk_answer(d, &d->wait_seq, NULL);
    else if (d->lost)
        colo__disk_answer(d, &d->wait_seq, d->why);
}

void colo__secondary_commit(struct colo_disk *d, uint64_t seq,
                            uint64_t epoch)
{
    struct colo_error err;
    int rc;

    if (d->phase != PHASE_IN_STEP) {
        answer_now(d, seq, "the copy is not in step");
        return;
    }
    if (d->colo)
        rc = colo__replica_commit(d, epoch, &err);
    else
        rc = colo__elog_commit(d->log, epoch, &err);
    answer_now(d, seq, rc ? err.text : NULL);
}

void colo__secondary_failover(struct colo_disk *d, uint64_t seq)
{
    struct colo_error err;
    uint64_t left = 0;
    int rc;

    if (d->phase == PHASE_ALONE || d->phase == PHASE_DRAINING) {
        rc = colo__replica_forget_cache(d, &err);
        answer_now(d, seq, rc ? err.text : NULL); /* done before */
        return;
    }
    if (d->phase != PHASE_IN_STEP) {
        answer_now(d, seq, "the copy was never in step with the twin");
        return;
    }
    colo__disk_disconnect(d, RECEIVER_MS);
    colo__disk_answer(d, &d->wait_seq, "replaced by another request");
    rc = colo__replica_take_over(d, &left, &err);
    if (!rc)
        colo__disk_say(d, "took over; %llu records and pages to apply",
                       (unsigned long long)left);
    /* A replica that did not run was looked at before, as the disk was then;
     * what one that ran has cached is its own. */
    if (!rc && !colo__replica_runs(d))
        rc = colo__replica_forget_cache(d, &err);
    answer_now(d, seq, rc ? err.text : NULL);
}

/* It took over, but the guest was never started here: the primary's goes on,
 * and this copy is behind it.  While the log is applied it is APPLYING, which
 * no guest may start on and a primary may overwrite, and then the applier ends
 * so; a crash before changes nothing of that. */
static int undo_takeover(struct colo_disk *d, struct colo_error *err)
{
    struct timespec until;
    int rc, phase, w = 0;

    colo__elog_deadline(&until, UNDO_MS);
    pthread_mutex_lock(&d->lock);
    d->undone = true;
    pthread_cond_broadcast(&d->cond); /* a flush that waits */
    phase = d->phase;
    while (d->phase == PHASE_DRAINING && !w)
        w = pthread_cond_timedwait(&d->cond, &d->lock, &until);
    pthread_mutex_unlock(&d->lock);
    if (phase == PHASE_ALONE) {
        rc = colo__meta_set(d->meta, COLO_META_OUTDATED, NULL, err);
        if (rc)
            return rc;
        colo__disk_set_phase(d, PHASE_IDLE);
    }
    colo__disk_say(d, "the takeover was called off");
    return 0;
}

int colo__secondary_stop(struct colo_disk *d, bool undone,
                         struct colo_error *err)
{
    if (d->phase == PHASE_ALONE || d->phase == PHASE_DRAINING)
        return undone ? undo_takeover(d, err) : 0; /* it took over */
    if (d->stream >= 0)
        colo__disk_disconnect(d, 0);
    colo__disk_answer(d, &d->start_seq, "replaced by another request");
    colo__disk_answer(d, &d->wait_seq, "replaced by another request");
    if (d->phase == PHASE_BROKEN)
        return 0;
    colo__replica_reset(d);
    (void)colo__elog_drop(d->log);
    pthread_mutex_lock(&d->lock);
    d->applier_ends = true; /* when it has applied what is committed */
    d->phase = PHASE_IDLE;
    pthread_mutex_unlock(&d->lock);
    return 0;
}
