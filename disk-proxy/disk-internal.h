/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What the parts of a protected disk share: disk.c (the guest's requests),
 * control part in requests.c, dirty.c (which chunks the peer may lack),
 * primary.c and first-copy.c, secondary.c, applier.c and replica.c.
 *
 * Lock order: range, view, queue_gate, flush_lock, dirty_lock, lock.  lock is
 * for flags and waiting only, and is never held over I/O.
 */
#ifndef COLO_DISK_INTERNAL_H
#define COLO_DISK_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "backing.h"
#include "disk.h"
#include "epoch-log.h"
#include "meta.h"
#include "overlay.h"
#include "range-lock.h"
#include "sendq.h"
#include "wire.h"

#define WHERE_DISK "disk"

/* what this side does now */
enum colo_disk_phase {
    PHASE_ALONE,    /* the guest's disk, nobody follows */
    PHASE_COPYING,  /* primary: the first copy runs */
    PHASE_PROTECTED,/* primary: a twin is in step */
    PHASE_IDLE,     /* secondary: nothing runs */
    PHASE_FILLING,  /* secondary: the first copy runs */
    PHASE_IN_STEP,  /* secondary */
    PHASE_DRAINING, /* secondary that took over, log not applied yet */
    PHASE_OUTDATED, /* primary: the other side took over */
    PHASE_BROKEN,   /* the copy here is of no use */
};

struct colo_dirty {
    pthread_mutex_t lock;
    bool on;
    uint64_t *cur, *old;      /* chunks written in this window, in the last */
    size_t words;
    unsigned window;
    unsigned inflight[2];     /* writes that began in window & 1 */
    int step;                 /* of the old window, see dirty.c */
    uint64_t since;           /* last BARRIER when all of old was queued */
    bool failed;              /* a local write or flush failed: clear nothing
                                 more */
};

struct colo_disk {
    struct colo_disk_config config;
    struct colo_backing *backing;
    struct colo_meta *meta;
    struct colo_range_lock range;
    struct colo_dirty dirty;

    pthread_mutex_t flush_lock;  /* held over a flush, and a write with FUA */
    int flush_owed;              /* error of one that was not the guest's, for
                                    its next; guarded by flush_lock */

    pthread_rwlock_t queue_gate; /* guards the pointer */
    struct colo_sendq *queue;    /* NULL: no twin */

    pthread_mutex_t lock; /* all below */
    pthread_cond_t cond;
    _Atomic int phase;    /* enum colo_disk_phase; written with lock held */
    bool lost;            /* the twin is; why: */
    char why[200];
    bool stopping;        /* threads of the twin shall end */
    _Atomic bool unmarked; /* a write passed that the bits do not know; written
                              with lock held */
    struct timespec unmarked_until; /* how long it waits for protection's end */
    uint64_t start_seq, verify_seq; /* unanswered, 0: none */
    uint64_t wait_seq, wait_epoch;  /* secondary: unanswered checkpoint */
    _Atomic bool undone;  /* secondary: it took over, and does not go on;
                             written with lock held */
    _Atomic bool drained; /* of DRAINING: all is on the disk, and only the
                             metadata does not say so; written with lock held */

    int stream;
    pthread_t receiver, copier, applier;
    bool have_receiver, have_copier, have_applier, applier_ends;

    /* primary: the first copy and verify */
    uint8_t zero_hash[COLO_DWIRE_HASH]; /* of a chunk that is all zeros */
    uint64_t *want;       /* chunks that the secondary asked for */
    uint64_t nr_want;
    unsigned asked;       /* HASHES or VERIFY without an answer */
    bool peer_bits_done;  /* its bitmap is here */
    bool full;            /* compare everything */
    bool since_takeover;  /* the twin is what we took over from */
    bool in_step;         /* SYNC_DONE was answered */
    uint64_t compared, differing;
    bool verify_asked;
    uint64_t last_barrier;
    _Atomic uint64_t epoch_bytes; /* sent since then */
    uint8_t next_generation[16];

    struct colo_elog *log; /* secondary */

    /* secondary in mode colo, see replica.c */
    bool colo;             /* this session's mode; the control thread's */
    pthread_rwlock_t view;
    struct colo_overlay *overlay;
    atomic_bool replica;   /* it was given an epoch: it may run and write */
    atomic_bool replica_failed; /* what it wrote is not all kept */

    int usage_fd;          /* these are the control thread's, see usage.c */
    int64_t usage_ms;
    uint64_t most_spilled, told_spilled; /* bytes */
    uint64_t told_us;      /* the receiver's: when progress was last told */
};

static inline uint64_t colo__disk_chunks(const struct colo_disk *d)
{
    return (colo__backing_size(d->backing) + COLO_DWIRE_CHUNK - 1) /
        COLO_DWIRE_CHUNK;
}

/* bytes of chunks [chunk, chunk + n), cut at the end of the disk */
static inline uint64_t colo__disk_span(const struct colo_disk *d,
                                       uint64_t chunk, uint64_t n)
{
    uint64_t size = colo__backing_size(d->backing);
    uint64_t begin = chunk * COLO_DWIRE_CHUNK;

    return n * COLO_DWIRE_CHUNK < size - begin ? n * COLO_DWIRE_CHUNK :
        size - begin;
}

/* ---- disk.c ---- */
void colo__disk_set_phase(struct colo_disk *d, int phase);
void colo__disk_say(struct colo_disk *d, const char *fmt, ...)
    COLO_PRINTF(2, 3);
void colo__disk_event(struct colo_disk *d, const char *fmt, ...)
    COLO_PRINTF(2, 3);
/* the twin is lost, for this reason; told once */
void colo__disk_lose(struct colo_disk *d, const struct colo_error *err);
/* send if there is a twin; 0 or COLO_E_PEER */
int colo__disk_send(struct colo_disk *d, const struct colo_dmsg *msg);
void colo__disk_send_error(struct colo_disk *d, const char *text);
/* answers a request that waits in *seq, and clears it */
void colo__disk_answer(struct colo_disk *d, uint64_t *seq, const char *error);
/* may the bits of both sides say what differs?  A side that took over (its
 * parent) meets the one from which it did (its generation and state). */
bool colo__disk_is_child(const uint8_t *parent, const uint8_t *generation,
                         int state);
int colo__disk_random(uint8_t *buf, size_t len, struct colo_error *err);

/* ---- usage.c ---- */
void colo__disk_end_usage(struct colo_disk *d);

/* ---- link.c: the twin's socket and threads ---- */
/* the first two messages of a stream: ours out, the twin's in */
int colo__disk_hello(struct colo_disk *d, int role, struct colo_dhello *ret,
                     struct colo_error *err);
/* reads and hands over messages until the stream ends or take fails */
typedef int colo_disk_take_fn(struct colo_disk *d, const struct colo_dmsg *m,
                              struct colo_error *err);
int colo__disk_recv_some(struct colo_disk *d, uint8_t *buf, size_t cap,
                         size_t *ret_n, struct colo_error *err);
int colo__disk_open_queue(struct colo_disk *d, size_t bytes,
                          struct colo_error *err);
/* Ends the queue, the receiver and the copier.  The receiver may be in a read
 * of a disk that stands still: with ms, and not 0, it is left there after that
 * time.  It then adds nothing to the log any more, and the next call, by which
 * the stream is closed, waits for it again. */
void colo__disk_disconnect(struct colo_disk *d, unsigned ms);
/* waits at most ms for a thread's end; false: it goes on */
bool colo__disk_join(pthread_t thread, unsigned ms);

/* ---- dirty.c ---- */
int colo__dirty_init(struct colo_dirty *t, uint64_t chunks,
                     struct colo_error *err);
void colo__dirty_fini(struct colo_dirty *t);
/* before and after a write; begin gives what end wants */
unsigned colo__dirty_begin(struct colo_dirty *t, uint64_t offset,
                           uint64_t len);
void colo__dirty_end(struct colo_dirty *t, unsigned window, bool failed);
void colo__dirty_off(struct colo_dirty *t);
/* no bit may go any more before the next colo__dirty_on */
void colo__dirty_spoil(struct colo_dirty *t);
void colo__dirty_on(struct colo_dirty *t);
/* all that was written up to now is on its way: an empty window */
void colo__dirty_fresh(struct colo_dirty *t);
/* all but what is in the window is on the peer */
void colo__dirty_clear_rest(struct colo_disk *d);
/* the peer has applied epochs up to this one */
void colo__dirty_applied(struct colo_disk *d, uint64_t epoch);

/* ---- primary.c, first-copy.c ---- */
void colo__primary_start(struct colo_disk *d, uint64_t seq, int stream);
void colo__primary_verify(struct colo_disk *d, uint64_t seq);
void colo__primary_stop(struct colo_disk *d);
void *colo__primary_copier(void *disk);

/* ---- secondary.c, applier.c, replica.c ---- */
void colo__secondary_start(struct colo_disk *d, uint64_t seq, uint64_t mode,
                           int stream);
void colo__secondary_checkpoint(struct colo_disk *d, uint64_t seq,
                                uint64_t epoch);
void colo__secondary_commit(struct colo_disk *d, uint64_t seq,
                            uint64_t epoch);
void colo__secondary_failover(struct colo_disk *d, uint64_t seq);
/* undone: a takeover, if there was one.  0, or *err: the copy goes on to pass
 * for the newest */
int colo__secondary_stop(struct colo_disk *d, bool undone,
                         struct colo_error *err);
/* has the replica a disk of its own over ours? */
bool colo__replica_runs(const struct colo_disk *d);
int colo__replica_read(struct colo_disk *d, void *buf, size_t len,
                       uint64_t offset);
/* buf NULL: zeros.  The pages of the range are the caller's.
 * Returns  0, an errno value (EOPNOTSUPP: trim only), -1 not a replica's */
int colo__replica_write(struct colo_disk *d, const uint8_t *buf, uint64_t len,
                        uint64_t offset, bool trim);
/* epoch is what it reads from now on; what it wrote itself is gone.  It
 * stands still. */
int colo__replica_commit(struct colo_disk *d, uint64_t epoch,
                         struct colo_error *err);
/* what it reads now is the truth; *ret_left: records and pages to apply */
int colo__replica_take_over(struct colo_disk *d, uint64_t *ret_left,
                            struct colo_error *err);
void colo__replica_reset(struct colo_disk *d); /* nothing of it is left */
/* after a takeover and its log: its own pages go to the disk, those of a range
 * that the caller has, or all; 0 or an errno value */
int colo__replica_merge(struct colo_disk *d, uint64_t offset, uint64_t len);
int colo__replica_merge_all(struct colo_disk *d);
/* nothing that was read through the page cache before is seen again */
int colo__replica_forget_cache(struct colo_disk *d, struct colo_error *err);
int colo__applier_start(struct colo_disk *d, struct colo_error *err);
/* lets it finish what is committed, at most ms; 0 or COLO_E_TIMEOUT */
int colo__applier_end(struct colo_disk *d, unsigned ms);

#endif
