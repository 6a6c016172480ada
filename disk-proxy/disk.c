/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A protected disk: opening, and what the guest asks for; see disk.h.
 *
 * A write goes to the local disk first and then to the queue, under a lock on
 * its range, so that overlapping writes have one order on both sides.  The
 * guest hears of it after both, so whatever it knows of is before the next
 * BARRIER.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "chunk-hash.h"

#define CLOSE_MS 60000 /* for what is still applied */
#define CLEAR_MS 1000  /* for the log, before its applier is looked at */
#define ZERO_PIECE (UINT64_C(64) << 20) /* in one message */
#define UNMARKED_MS 3000 /* for the end of protection */

void colo__disk_set_phase(struct colo_disk *d, int phase)
{
    pthread_mutex_lock(&d->lock);
    d->phase = phase;
    pthread_cond_broadcast(&d->cond);
    pthread_mutex_unlock(&d->lock);
}

void colo__disk_say(struct colo_disk *d, const char *fmt, ...)
{
    char text[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (d->config.say)
        d->config.say(d->config.user, text);
}

void colo__disk_event(struct colo_disk *d, const char *fmt, ...)
{
    char text[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (d->config.event)
        d->config.event(d->config.user, text);
}

void colo__disk_answer(struct colo_disk *d, uint64_t *seq, const char *error)
{
    uint64_t s;

    pthread_mutex_lock(&d->lock);
    s = *seq;
    *seq = 0;
    pthread_mutex_unlock(&d->lock);
    if (s)
        d->config.reply(d->config.user, s, error);
}

void colo__disk_lose(struct colo_disk *d, const struct colo_error *err)
{
    bool first, quiet;

    pthread_mutex_lock(&d->lock);
    first = !d->lost;
    quiet = d->stopping;
    d->lost = true;
    if (first)
        snprintf(d->why, sizeof(d->why), "%s", err->text);
    pthread_cond_broadcast(&d->cond);
    pthread_mutex_unlock(&d->lock);
    if (!first || quiet)
        return;
    colo__disk_say(d, "the twin is lost: %s", d->why);
    colo__disk_event(d, "error %s", d->why);
    colo__disk_answer(d, &d->start_seq, d->why);
    colo__disk_answer(d, &d->verify_seq, d->why);
    colo__disk_answer(d, &d->wait_seq, d->why);
}

int colo__disk_send(struct colo_disk *d, const struct colo_dmsg *msg)
{
    int rc = COLO_E_PEER;

    pthread_rwlock_rdlock(&d->queue_gate);
    if (d->queue)
        rc = colo__sendq_put(d->queue, msg, NULL);
    pthread_rwlock_unlock(&d->queue_gate);
    return rc;
}

/* The old primary has a bit for whatever it wrote that was not committed and
 * durable here when we took over, we one for whatever was written here since.
 * SYNCING: a first copy from here did not end; all that it changed there has
 * bits here.  Only a copy that lacks its own log is no base. */
bool colo__disk_is_child(const uint8_t *parent, const uint8_t *generation,
                         int state)
{
    return state != COLO_META_APPLYING &&
        colo__meta_is_child(parent, generation);
}

int colo__disk_random(uint8_t *buf, size_t len, struct colo_error *err)
{
    if (getrandom(buf, len, 0) != (ssize_t)len)
        return colo__fail(err, COLO_E_SYS, errno, WHERE_DISK, "getrandom");
    return 0;
}

static int open_parts(struct colo_disk *d, struct colo_error *err)
{
    struct colo_elog_config lc = {
        .memory_limit = d->config.memory_limit,
        .spill_dir = d->config.spill_dir,
        .spill_limit = d->config.spill_limit, .wait_ms = d->config.silent_ms,
    };
    struct colo_overlay_config oc = {
        .memory_limit = lc.memory_limit, .spill_dir = lc.spill_dir,
        .spill_limit = lc.spill_limit,
    };
    int state, made_as, rc;

    rc = colo__backing_open(d->config.backing, &d->backing, err);
    if (rc) return rc;
    if (colo__backing_size(d->backing) == 0)
        return colo__fail(err, COLO_E_INVAL, 0, WHERE_DISK, "%s is empty",
                          d->config.backing);
    /* a copy that is made only now was no guest's: it may be overwritten */
    made_as = d->config.role == COLO_DISK_SECONDARY ? COLO_META_SECONDARY :
        COLO_META_ALONE;
    if (d->config.tracked)
        rc = colo__meta_open_pending(d->config.meta,
                                     colo__backing_size(d->backing), made_as,
                                     &d->meta, err);
    else
        rc = colo__meta_open(d->config.meta, colo__backing_size(d->backing),
                             made_as, &d->meta, err);
    if (rc) return rc;
    rc = colo__dirty_init(&d->dirty, colo__disk_chunks(d), err);
    if (rc) return rc;
    d->want = calloc(d->dirty.words, sizeof(*d->want));
    if (!d->want || colo__hash_zeros(d))
        return colo__fail(err, COLO_E_NOMEM, 0, WHERE_DISK, "no memory");
    rc = colo__elog_open(&lc, &d->log, err);
    if (rc) return rc;
    if (d->config.role == COLO_DISK_SECONDARY)
        rc = colo__overlay_open(&oc, &d->overlay, err);
    if (rc) return rc;
    state = colo__meta_state(d->meta);
    d->phase = PHASE_ALONE;
    if (d->config.role == COLO_DISK_SECONDARY)
        d->phase = PHASE_IDLE;
    else if (state == COLO_META_SYNCING || state == COLO_META_APPLYING)
        d->phase = PHASE_BROKEN;
    return 0;
}

int colo__disk_in_place(struct colo_disk *d, struct colo_error *err)
{
    size_t len = (size_t)(colo__disk_chunks(d) + 7) / 8;
    uint8_t *bits = NULL;
    int fd = -1, rc;

    if (!d->config.tracked)
        return 0;
    fd = open(d->config.tracked, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        bits = malloc(len + 1);
    /* not one byte less or more: it is of another disk then */
    if (bits && pread(fd, bits, len + 1, 0) != (ssize_t)len) {
        free(bits);
        bits = NULL;
    }
    rc = colo__meta_settle(d->meta, bits, len, err);
    if (!rc && bits)
        colo__disk_say(d, "what was written without a proxy is known");
    free(bits);
    if (fd >= 0)
        close(fd);
    (void)unlink(d->config.tracked);
    return rc;
}

/* readers that follow each other must not keep a commit out */
static void init_view(struct colo_disk *d)
{
    pthread_rwlockattr_t attr;

    pthread_rwlockattr_init(&attr);
    pthread_rwlockattr_setkind_np(
        &attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&d->view, &attr);
    pthread_rwlockattr_destroy(&attr);
}

int colo__disk_open(const struct colo_disk_config *config,
                    struct colo_disk **ret_disk, struct colo_error *err)
{
    struct colo_disk *d = calloc(1, sizeof(*d));
    pthread_condattr_t clock;
    int rc;

    if (!d)
        return colo__fail(err, COLO_E_NOMEM, 0, WHERE_DISK, "no memory");
    d->config = *config;
    d->stream = d->usage_fd = -1;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&d->cond, &clock);
    pthread_condattr_destroy(&clock);
    pthread_mutex_init(&d->lock, NULL);
    pthread_mutex_init(&d->flush_lock, NULL);
    pthread_rwlock_init(&d->queue_gate, NULL);
    init_view(d);
    colo__range_init(&d->range);
    rc = open_parts(d, err);
    if (rc) {
        colo__disk_close(d);
        return rc;
    }
    *ret_disk = d;
    return 0;
}

/* the threads that a slow disk may still hold; false: it does */
static bool threads_end(struct colo_disk *d)
{
    if (d->have_receiver)
        colo__disk_disconnect(d, CLOSE_MS);
    return !d->have_receiver && colo__applier_end(d, CLOSE_MS) == 0;
}

bool colo__disk_close(struct colo_disk *d)
{
    if (!d)
        return true;
    if (d->log)
        colo__disk_gone(d);
    if (!threads_end(d)) {
        /* nothing may be freed beneath them; the process ends with them */
        colo__disk_say(d, "the local disk does not answer: what is not applied "
                       "is lost");
        return false;
    }
    colo__disk_end_usage(d);
    colo__elog_close(d->log);
    colo__overlay_close(d->overlay);
    free(d->want);
    colo__dirty_fini(&d->dirty);
    /* what is clean in the bitmap must not be lost by the local disk */
    if (d->meta && d->backing)
        (void)colo__backing_flush(d->backing);
    colo__meta_close(d->meta);
    colo__backing_close(d->backing);
    colo__range_fini(&d->range);
    pthread_rwlock_destroy(&d->queue_gate);
    pthread_rwlock_destroy(&d->view);
    pthread_cond_destroy(&d->cond);
    pthread_mutex_destroy(&d->flush_lock);
    pthread_mutex_destroy(&d->lock);
    free(d);
    return true;
}

uint64_t colo__disk_size(const struct colo_disk *d)
{
    return colo__backing_size(d->backing);
}

int colo__disk_read(struct colo_disk *d, void *buf, size_t len,
                    uint64_t offset)
{
    switch (atomic_load(&d->phase)) {
    case PHASE_BROKEN:
    case PHASE_OUTDATED:
        return EIO;
    case PHASE_DRAINING:
        if (d->undone)
            return EIO;
        /* fall through */
    case PHASE_IN_STEP:
        return colo__replica_read(d, buf, len, offset);
    default:
        return colo__backing_read(d->backing, buf, len, offset);
    }
}

/* 0 if the guest of this side may write */
static int may_write(struct colo_disk *d)
{
    switch (atomic_load(&d->phase)) {
    case PHASE_ALONE:
    case PHASE_COPYING:
    case PHASE_PROTECTED:
        return 0;
    case PHASE_DRAINING:
        /* who was started nevertheless has a copy that is behind: only the
         * applier goes on */
        return d->undone ? EIO : 0;
    case PHASE_IDLE:
    case PHASE_FILLING:
    case PHASE_IN_STEP:
        return EROFS;
    default:
        return EIO;
    }
}

struct change {
    struct colo_range range;
    unsigned window;
    bool begun;
};

/* what is merged beneath a write is whole pages */
static uint64_t change_align(const struct colo_disk *d)
{
    uint64_t align = colo__backing_align(d->backing);

    return d->overlay && align < COLO_OVERLAY_PAGE ? COLO_OVERLAY_PAGE :
        align;
}

/* After a takeover: what is committed of a range is older than any write to
 * it.  A slow disk may take long for the log, and only we know it: whoever
 * fails a guest's write instead throws away the newest copy. */
static int wait_clear(struct colo_disk *d, uint64_t begin, uint64_t len)
{
    unsigned ms = 0;

    while (colo__elog_wait_clear(d->log, begin, len, CLEAR_MS)) {
        int phase = d->phase;

        if (phase != PHASE_DRAINING)
            return phase == PHASE_ALONE ? 0 : EIO;
        ms += CLEAR_MS;
        if (ms >= COLO_META_APPLY_SECONDS * 1000u)
            return EIO;
    }
    return 0;
}

/* The metadata takes no mark: dom0's file system is read-only, or broken.
 * That is no matter of the guest, whose own disk works: protection ends
 * instead, and the flag makes the next one compare everything.  Not while a
 * takeover's log is applied, which has to be written down in the metadata too,
 * nor if nobody would remember.
 * Returns  0 the write passes, or an errno value */
static int pass_unmarked(struct colo_disk *d, const struct colo_error *why)
{
    struct colo_error err;

    colo__disk_say(d, "the metadata: %s", why->text);
    if ((d->phase == PHASE_DRAINING && !d->drained) || !d->config.flag)
        return EIO;
    if (colo__meta_flag(d->config.flag, &err)) {
        colo__disk_say(d, "%s", err.text);
        return EIO;
    }
    colo__dirty_spoil(&d->dirty);
    pthread_mutex_lock(&d->lock);
    if (!d->unmarked) {
        colo__elog_deadline(&d->unmarked_until, UNMARKED_MS);
        d->unmarked = true;
    }
    pthread_mutex_unlock(&d->lock);
    colo__fail(&err, COLO_E_SYS, why->sys_errno, WHERE_DISK,
               "what the guest changes is not noted any more: %s", why->text);
    colo__disk_lose(d, &err);
    return 0;
}

/* A host that dies before the backup has heard that protection is over leaves
 * a disk whose bits pass for all that it wrote.  So such a write waits for that
 * end, which is a matter of milliseconds; not for ever, for the guest's sake.
 */
static int let_protection_end(struct colo_disk *d)
{
    int w = 0;

    pthread_mutex_lock(&d->lock);
    while (d->phase == PHASE_PROTECTED && !w)
        w = pthread_cond_timedwait(&d->cond, &d->lock, &d->unmarked_until);
    pthread_mutex_unlock(&d->lock);
    return may_write(d);
}

/* all that comes before a write of any kind */
static int begin_change(struct colo_disk *d, struct change *c,
                        uint64_t offset, uint64_t len)
{
    uint64_t align = change_align(d);
    uint64_t begin = offset / align * align;
    uint64_t end = (offset + len + align - 1) / align * align;
    struct colo_error err;
    int r;

    colo__range_take(&d->range, &c->range, begin, end - begin);
    c->window = colo__dirty_begin(&d->dirty, offset, len);
    r = may_write(d);
    if (r)
        return r;
    if (!d->unmarked && colo__meta_mark(d->meta, offset, len, &err))
        r = pass_unmarked(d, &err);
    if (!r && d->unmarked)
        r = let_protection_end(d);
    if (r)
        return r;
    if (d->phase == PHASE_DRAINING &&
        (wait_clear(d, begin, end - begin) ||
         colo__replica_merge(d, begin, end - begin)))
        return EIO;
    r = may_write(d); /* it may have been called off meanwhile */
    c->begun = !r;
    return r;
}

static void end_change(struct colo_disk *d, struct change *c, int r)
{
    colo__dirty_end(&d->dirty, c->window, c->begun && r);
    colo__range_give(&d->range, &c->range);
}

/* Around what makes the guest's data durable: one flush after the other, as an
 * error is told to one of them only. */
static void durable_begin(struct colo_disk *d, bool durable)
{
    if (durable)
        pthread_mutex_lock(&d->flush_lock);
}

/* r: what came of it.  Returns that, or the error of a flush that was not the
 * guest's, once. */
static int durable_end(struct colo_disk *d, bool durable, int r)
{
    if (!durable)
        return r;
    if (r && r != EOPNOTSUPP) {
        colo__dirty_spoil(&d->dirty);
    } else if (!r) {
        r = d->flush_owed;
        d->flush_owed = 0;
    }
    pthread_mutex_unlock(&d->flush_lock);
    return r;
}

/* A large epoch costs the secondary memory, and then its spill file: ask for
 * a checkpoint in time, once. */
static void count_bytes(struct colo_disk *d, uint64_t len)
{
    uint64_t limit = d->config.memory_limit / 2;
    uint64_t before = atomic_fetch_add(&d->epoch_bytes, len);

    if (d->phase == PHASE_PROTECTED && before < limit &&
        before + len >= limit)
        colo__disk_event(d, "diverged the epoch's writes are large");
}

/* the message, in pieces that fit; a lost twin is no matter of the guest */
static void send_write(struct colo_disk *d, const uint8_t *buf, size_t len,
                       uint64_t offset, bool fua)
{
    struct colo_dmsg msg = { .type = COLO_DMSG_WRITE };

    pthread_rwlock_rdlock(&d->queue_gate);
    while (d->queue && len) {
        msg.len = len < COLO_DWIRE_MAX_BODY ? (uint32_t)len :
            COLO_DWIRE_MAX_BODY;
        msg.offset = offset;
        msg.body = buf;
        if (fua && msg.len == len)
            msg.flags = COLO_DFLAG_FUA;
        if (colo__sendq_put(d->queue, &msg, NULL))
            break;
        count_bytes(d, msg.len);
        buf += msg.len;
        offset += msg.len;
        len -= msg.len;
    }
    pthread_rwlock_unlock(&d->queue_gate);
}

/* A write of a running replica: true when it was one, *ret_r is its end.  It
 * needs no flush: what a replica has written is a promise to nobody. */
static bool by_replica(struct colo_disk *d, const void *buf, uint64_t len,
                       uint64_t offset, bool trim, int *ret_r)
{
    uint64_t page = COLO_OVERLAY_PAGE, begin = offset / page * page;
    uint64_t end = (offset + len + page - 1) / page * page;
    struct colo_range range;

    if (!colo__replica_runs(d) || d->phase != PHASE_IN_STEP)
        return false;
    colo__range_take(&d->range, &range, begin, end - begin);
    *ret_r = colo__replica_write(d, buf, len, offset, trim);
    colo__range_give(&d->range, &range);
    return *ret_r >= 0;
}

int colo__disk_write(struct colo_disk *d, const void *buf, size_t len,
                     uint64_t offset, bool fua)
{
    struct change c = { .begun = false };
    int r, owed = 0;

    if (by_replica(d, buf, len, offset, false, &r))
        return r;
    r = begin_change(d, &c, offset, len);

    if (!r) {
        durable_begin(d, fua);
        r = colo__backing_write(d->backing, buf, len, offset, fua);
        owed = durable_end(d, fua, r);
    }
    if (!r)
        send_write(d, buf, len, offset, fua);
    if (!r)
        r = owed;
    end_change(d, &c, r);
    return r;
}

/* In pieces, each of which a twin that has to write zeros writes soon: it is
 * taken for stuck when no record of its log is applied for long. */
static void send_zero(struct colo_disk *d, uint64_t len, uint64_t offset,
                      bool trim, bool fua)
{
    struct colo_dmsg msg = { .type = COLO_DMSG_ZERO,
                             .flags = trim ? COLO_DFLAG_TRIM : 0 };
    int rc = 0;

    for (; len && !rc; offset += msg.value, len -= msg.value) {
        msg.offset = offset;
        msg.value = len < ZERO_PIECE ? len : ZERO_PIECE;
        if (fua && msg.value == len)
            msg.flags |= COLO_DFLAG_FUA;
        rc = colo__disk_send(d, &msg);
    }
}

int colo__disk_zero(struct colo_disk *d, uint64_t len, uint64_t offset,
                    bool trim, bool fua)
{
    struct change c = { .begun = false };
    int r, owed = 0;

    if (by_replica(d, NULL, len, offset, trim, &r))
        return r;
    r = begin_change(d, &c, offset, len);
    if (!r) {
        durable_begin(d, fua);
        r = colo__backing_zero(d->backing, len, offset, trim, fua);
        owed = durable_end(d, fua, r);
    }
    if (!r)
        send_zero(d, len, offset, trim, fua);
    if (!r)
        r = owed;
    if (r == EOPNOTSUPP)
        c.begun = false; /* nothing has changed */
    end_change(d, &c, r);
    return r;
}

int colo__disk_flush(struct colo_disk *d)
{
    struct colo_dmsg msg = { .type = COLO_DMSG_FLUSH };
    struct timespec until;
    int r = may_write(d), w = 0;

    if (r == EROFS)
        return 0; /* nothing was written here */
    if (r)
        return r;
    colo__elog_deadline(&until, COLO_META_APPLY_SECONDS * 1000u);
    pthread_mutex_lock(&d->lock);
    while (d->phase == PHASE_DRAINING && !d->drained && !d->undone && !w)
        w = pthread_cond_timedwait(&d->cond, &d->lock, &until);
    pthread_mutex_unlock(&d->lock);
    if (may_write(d) || (d->phase == PHASE_DRAINING && !d->drained))
        return EIO;
    durable_begin(d, true);
    r = durable_end(d, true, colo__backing_flush(d->backing));
    if (!r)
        (void)colo__disk_send(d, &msg);
    return r;
}

bool colo__disk_extent(struct colo_disk *d, uint64_t offset, uint64_t len,
                       uint64_t *ret_len)
{
    if (d->phase == PHASE_DRAINING || colo__replica_runs(d)) {
        *ret_len = len; /* the log may have data for a hole */
        return false;
    }
    return colo__backing_extent(d->backing, offset, len, ret_len);
}
