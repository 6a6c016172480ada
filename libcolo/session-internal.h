/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A session from the inside: what session*.c (loop, xenstore, life, public
 * calls), control.c (messages), primary.c and secondary.c (actions) share.
 * Everything here is the session's thread's, except the atomics.
 */
#ifndef COLO_SESSION_INTERNAL_H
#define COLO_SESSION_INTERNAL_H

#include <stdatomic.h>

#include "disks.h"
#include "engine/apply.h"
#include "engine/capture.h"
#include "engine/heartbeat.h"
#include "engine/match.h"
#include "engine/receive.h"
#include "engine/report.h"
#include "engine/stats.h"
#include "engine/transfer.h"
#include "engine/worker.h"
#include "nets.h"
#include "network.h"
#include "parts.h"
#include "pure/states.h"
#include "pure/wire.h"

/* what other threads ask for; bits of session.wants */
#define COLO_WANT_CHECKPOINT 1u
#define COLO_WANT_FAILOVER   2u
#define COLO_WANT_STOP       4u
#define COLO_WANT_START      8u

#define COLO_EVENT_QUEUE 32

/* config.interval_ms of 0 */
#define COLO_DELAY_REMUS_MS 100
#define COLO_DELAY_COLO_MS 20000 /* QEMU's x-checkpoint-delay */

/* The primary's half of a session. */
struct colo_primary {
    struct colo_capture capture;
    struct colo_transfer transfer;
    struct colo_checkpoint_info info;   /* of the epoch under way */
    uint64_t timer_us;                  /* next checkpoint */
    uint64_t stop_us, resumed_us;       /* of the epoch under way */
    bool checkpoint_wanted;
    bool seed_stopped;                  /* seed written, tracking on */
    bool tracking;                      /* writes are tracked */
    bool seed_sent;                     /* the seed's job is over */
    bool ready_came;                    /* CHECKPOINT_READY, maybe early */
    bool sent, received;                /* the epoch under way */
    bool resend;                        /* it is wanted once more */
    bool followers_wait;                /* no checkpoint before they answer */
    bool guest_stopping;                /* a stop was asked for */
    bool crippled;                      /* the guest is, and is handed over */
    /* mode colo */
    struct colo_match match;
    uint64_t send_us;                   /* sending of the epoch began */
    bool matching;                      /* the worker takes the list */
    bool settling;                      /* the rest of it is read */
    bool loaded;                        /* the epoch under way, too */
    /* how it ends */
    bool await_answer;                  /* STOP or GUEST_END was sent */
    bool answered;                      /* there is no replica any more */
    bool guest_ending;                  /* end_guest was begun */
    bool guest_ended;
};

/* The secondary's half. */
struct colo_secondary {
    struct colo_receive receive;
    struct colo_apply apply;
    uint8_t *state;                     /* context of the last whole epoch */
    uint32_t state_len;
    int job;                            /* COLO_JOB_*: what the worker does */
    bool seed_restored;                 /* the replica exists */
    bool seed_received;                 /* the seed's job is over */
    struct colo_error seed_error;       /* of the restore, while its job may
                                           still tell the cause */
    bool await_yield;                   /* the primary was told to end */
    bool primary_ended;                 /* there is no guest but this one */
    bool whole;                         /* the epoch under way is */
    bool request_waits;                 /* REQUEST came while loading */
    bool replica;                       /* there is one to destroy */
    bool answer_stop;                   /* the primary waits for STOP */
    bool hv_waits;                      /* its events were put off */
    bool told;                          /* followers were, of a takeover */
    bool tried;                         /* to start the guest: it may run */
    bool undone;                        /* the takeover is: the guest goes on
                                           at the primary */
    /* mode colo */
    struct colo_report report;
    bool runs;                          /* the replica does, or has */
    bool halting;                       /* it was asked to stop, and has not
                                           been given an epoch since */
    bool tracking;                      /* its writes are tracked */
    bool applied;                       /* LOADING waits for followers only */
    bool told_end;                      /* it shut down by itself: known */
    bool fresh;                         /* it stands where an epoch put it */
    bool spoke;                         /* what it says is let out */
    bool kept;                          /* it is the only copy, and cannot be
                                           given its state */
};

/* HASH and EPOCH read the replica, APPLY writes it */
enum {
    COLO_JOB_NONE, COLO_JOB_SEED, COLO_JOB_EPOCH, COLO_JOB_APPLY, COLO_JOB_HASH
};

struct colo_publish;
struct colo_bootstrap;

struct colo_session {
    struct colo_config config;          /* strings are ours */
    struct colo_parts parts;
    const struct colo_clock *clock;
    const struct colo_log *log;         /* &config.log */
    const struct colo_state_table *table;
    int role, state, mode, last_mode, reason, failover;
    struct colo_error error;            /* what ended it; code 0 = none */
    struct colo_error outcome;          /* no error, but not as asked either:
                                           the guest ended, the peer has it */
    struct colo_hv_info info;           /* the guest, as last seen */
    uint64_t epoch;      /* primary: begun last; secondary: applied last */
    uint64_t committed;  /* last committed, 0 = none */
    int epoll_fd, wake_fd;
    struct colo_worker *worker;
    uint64_t state_deadline_us;
    uint8_t queue[COLO_EVENT_QUEUE];    /* COLO_EV_*, in order */
    uint32_t queue_head, queue_len;
    /* the peer */
    struct colo_bootstrap *boot;
    uint8_t id[16];
    struct colo_hello peer;
    bool peer_known;                    /* its HELLO came */
    bool link_dead;
    bool stock;                         /* the peer is stock Xen: the link is
                                           to a gate on this host */
    bool silent;                        /* link_dead for want of a word only */
    bool has_word;                      /* see colo__control_look_back */
    bool send_broken;                   /* control takes no more; it may
                                           still have something to say */
    uint64_t bulk_broken_us;            /* 0: it works */
    struct colo_error link_error;       /* of either of these */
    char peer_name[128];
    struct colo_heartbeat heartbeat;
    uint8_t in[COLO_WIRE_HEADER + COLO_WIRE_MAX_CONTROL];
    size_t in_len;
    int guest_reason;                   /* COLO_HV_*, for GUEST_END */
    bool guest_gone;
    bool guest_stuck;                   /* it could not be resumed */
    bool operator_failover;             /* asked for, not detected */
    bool operator_stop;                 /* by a request in xenstore */
    bool arbiter_asked;
    struct colo_disks disks;
    struct colo_nets nets;              /* mode colo */
    struct colo_network network;
    struct colo_link *stream[COLO_MAX_STREAMS]; /* until a disk has it */
    uint32_t streams;                   /* that the peers have made */
    bool prepared;                      /* followers_prepare was called */
    /* xenstore */
    struct colo_publish *publish;
    struct colo_replication *proxies;   /* in parts.replication too */
    bool status_dirty;
    uint64_t verify_seq;                /* a request to compare the disks that
                                           has no answer yet; 0: none */
    uint64_t published_us;
    struct colo_stats stats;
    bool diverged;                      /* colo: a checkpoint is wanted */
    struct colo_lockstep_info lockstep; /* colo: figures */
    uint64_t seed_done, seed_total, seed_rate, seed_start_us;
    uint64_t audit_pages, audit_mismatches, audit_known;
    int replication_error;              /* it ended by an error */
    _Atomic uint32_t wants;
    _Atomic uint32_t interval_ms;
    union {
        struct colo_primary p;
        struct colo_secondary s;
    };
};

static inline bool colo__both_run(const struct colo_session *s)
{
    return s->config.mode == COLO_MODE_COLO;
}

/* ---- session.c --------------------------------------------------------- */

void colo__session_raise(struct colo_session *s, int event);
/* remember *err as what ends the session (the first one stays) and raise
 * COLO_EV_ERROR */
void colo__session_error(struct colo_session *s, const struct colo_error *err);
/* the link is gone: raise COLO_EV_PEER_LOST once */
void colo__session_peer_lost(struct colo_session *s,
                             const struct colo_error *err);
/* The bulk link has broken.  Alone this says little: a peer that ends by
 * itself closes it too, and says why on the control link.  So control has the
 * last word: what it brings, its end, its silence, or, if it goes on living, an
 * error after dead_ms. */
void colo__session_bulk_broken(struct colo_session *s,
                               const struct colo_error *err);
/* a follower has failed: an error, unless the peer is silent, too */
void colo__session_follower_failed(struct colo_session *s,
                                   const struct colo_error *err);
void colo__session_set_mode(struct colo_session *s, int mode, int reason);
void colo__session_warn(struct colo_session *s, const char *text);
void colo__session_step_hook(struct colo_session *s, const char *step);
/* a sign of life if one is due: for what keeps this thread for long */
void colo__session_beat(struct colo_session *s);
void colo__session_beat_fn(void *session);
/* and for the hypervisor, as soon as the guest's kind is known */
void colo__session_beats(struct colo_session *s);
int colo__session_watch_fd(struct colo_session *s, int fd, uint32_t id,
                           struct colo_error *err);
void colo__session_unwatch_fd(struct colo_session *s, int fd);
void colo__session_progress(struct colo_session *s, uint64_t done,
                            uint64_t total);
/* give *ev to the caller's event_fn, what all events carry filled in */
void colo__session_tell(struct colo_session *s, struct colo_event *ev);
/* it is closed while it runs: stop it, by force after a second */
void colo__session_wind_up(struct colo_session *s);

/* what a descriptor in the epoll set is */
enum {
    COLO_FD_WAKE, COLO_FD_HV, COLO_FD_CONTROL, COLO_FD_WORKER, COLO_FD_STORE,
    COLO_FD_BOOT, COLO_FD_ARBITER, COLO_FD_REPLICATION, COLO_FD_PROXY
};

/* ---- session-store.c --------------------------------------------------- */

/* the guest's name and uuid are known: join xenstore */
int colo__session_publish(struct colo_session *s, struct colo_error *err);
/* the store's descriptor is readable: its watches, and what they ask for */
void colo__session_read_store(struct colo_session *s);
/* answer a comparison of the disks that is over */
void colo__session_verify_poll(struct colo_session *s);
/* write the status if it has changed and this is a moment for it */
void colo__session_publish_status(struct colo_session *s);
void colo__session_publish_checkpoint(struct colo_session *s,
                                      const struct colo_checkpoint_info *info);
/* a step of one checkpoint, as opposed to a state that lasts */
bool colo__session_passing_state(int state);

/* ---- session-life.c ---------------------------------------------------- */

/* the table has led to ENDED: take everything down and say so */
void colo__session_end(struct colo_session *s);
bool colo__session_ended_well(const struct colo_session *s);

/* ---- connect.c --------------------------------------------------------- */

int colo__connect_begin(struct colo_session *s, struct colo_error *err);
/* the bootstrap's descriptor is readable */
void colo__connect_ready(struct colo_session *s);

/* ---- control.c --------------------------------------------------------- */

/* send a control message; a dead link raises PEER_LOST and is no error here */
void colo__control_send(struct colo_session *s, uint32_t type, uint64_t epoch,
                        uint64_t value, const void *body, uint32_t len);
/* a last word to a peer that was given up for its silence alone: it may have
 * been held up, and reads it when it comes back */
void colo__control_send_back(struct colo_session *s, uint32_t type,
                             uint64_t value, const char *text);
/* behind it, for a watchdog whose session never reads again: nothing more is
 * said on this link */
void colo__control_part(struct colo_session *s);
/* And the other way round: what has it said since?  To be asked before this
 * side goes on as if it were dead.  True: it goes on itself, or wants to; the
 * event for that is raised. */
bool colo__control_look_back(struct colo_session *s);
void colo__control_send_error(struct colo_session *s,
                              const struct colo_error *err);
void colo__control_hello(struct colo_session *s);
/* read and dispatch what has come */
void colo__control_read(struct colo_session *s);

/* ---- followers.c: replication and the arbiter -------------------------- */

/* add - one more, which belongs to the session afterwards, also on failure */
int colo__followers_add(struct colo_session *s, struct colo_replication *r,
                        struct colo_error *err);
/* prepare when the first copy begins, start when epochs do */
int colo__followers_prepare(struct colo_session *s, struct colo_error *err);
int colo__followers_start(struct colo_session *s, struct colo_error *err);
int colo__followers_checkpoint(struct colo_session *s, uint64_t epoch,
                               struct colo_error *err);
int colo__followers_commit(struct colo_session *s, uint64_t epoch,
                           struct colo_error *err);
int colo__followers_failover(struct colo_session *s, struct colo_error *err);
/* the guest has been started: what holds its output lets it out */
void colo__followers_speak(struct colo_session *s);
/* has it?  True also when it cannot, with a warning */
bool colo__followers_speaking(struct colo_session *s);
/* before stop: the guest was not started here, it goes on at the peer */
void colo__followers_undone(struct colo_session *s);
/* waits a little for the answers of those that others depend on */
void colo__followers_stop(struct colo_session *s);
/* Wait, in the pause, until all have answered; COLO_E_TIMEOUT. */
int colo__followers_settle(struct colo_session *s, uint32_t limit_ms,
                           struct colo_error *err);
/* While the first copy is made: false while a follower is behind or has failed
 * (that is raised). Each has a deadline of its own, so the state's waits. */
bool colo__followers_in_step(struct colo_session *s);
/* 1 waiting, 0 all answered, < 0 error; a divergence asks for a checkpoint */
int colo__followers_pending(struct colo_session *s, struct colo_error *err);
/* in ARBITRATING: ask once, then raise what the answer means */
void colo__arbiter_poll(struct colo_session *s);

static inline const struct colo_hv_ops *
colo__session_hv(const struct colo_session *s)
{
    return colo__hv_ops(s->parts.hv);
}

/* ---- primary.c, secondary.c -------------------------------------------- */

int colo__primary_action(struct colo_session *s, int action,
                         struct colo_error *err);
void colo__primary_message(struct colo_session *s, const struct colo_msg *msg);
void colo__primary_hv(struct colo_session *s);
void colo__primary_worker(struct colo_session *s, int rc,
                          const struct colo_error *err);
/* The guest's devices are gone, whatever error showed it, and the backup can go
 * on with the guest: then that is raised, and it is no error. */
bool colo__primary_hands_over(struct colo_session *s);
void colo__primary_poll(struct colo_session *s); /* after anything happened */
void colo__primary_finish(struct colo_session *s);
uint64_t colo__primary_deadline(struct colo_session *s);

int colo__secondary_action(struct colo_session *s, int action,
                           struct colo_error *err);
void colo__secondary_message(struct colo_session *s,
                             const struct colo_msg *msg);
void colo__secondary_hv(struct colo_session *s);
void colo__secondary_worker(struct colo_session *s, int rc,
                            const struct colo_error *err);
void colo__secondary_poll(struct colo_session *s);
void colo__secondary_finish(struct colo_session *s);
uint64_t colo__secondary_deadline(struct colo_session *s);

#endif
