/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The loop of a session: collects what has happened (descriptors, deadlines,
 * requests of other threads), turns it into events, and walks the state table.
 * One step function looks up, logs and refuses; the actions are in primary.c
 * and secondary.c, xenstore is in session-store.c, beginning and end are in
 * session-life.c.  Everything runs on the thread that is in
 * colo_session_process().
 */
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "session-internal.h"

#define ARBITER_MS 10000
#define TAKEOVER_MS 30000
#define ENDING_MS 60000
#define CLOSE_US 1000000 /* for a session closed while it runs */

/* ---- small services for the other files -------------------------------- */

void colo__session_step_hook(struct colo_session *s, const char *step)
{
    if (s->parts.step_fn)
        s->parts.step_fn(s->parts.step_user, step);
}

void colo__session_tell(struct colo_session *s, struct colo_event *ev)
{
    if (!s->config.event_fn)
        return;
    ev->size = sizeof(*ev);
    ev->state = s->state;
    ev->mode = s->mode;
    ev->reason = s->reason;
    s->config.event_fn(s->config.event_user, ev);
}

void colo__session_warn(struct colo_session *s, const char *text)
{
    struct colo_event ev = { .type = COLO_EVENT_WARNING, .text = text };

    colo__log(s->log, COLO_LOG_WARNING, -1, "session", "%s", text);
    colo__session_tell(s, &ev);
}

void colo__session_raise(struct colo_session *s, int event)
{
    for (uint32_t i = 0; i < s->queue_len; i++) {
        if (s->queue[(s->queue_head + i) % COLO_EVENT_QUEUE] == event)
            return; /* once is enough */
    }
    /* there are fewer kinds of events than places */
    _Static_assert(COLO_EV_COUNT <= COLO_EVENT_QUEUE, "event queue");
    s->queue[(s->queue_head + s->queue_len++) % COLO_EVENT_QUEUE] =
        (uint8_t)event;
}

void colo__session_error(struct colo_session *s, const struct colo_error *err)
{
    colo__log(s->log, COLO_LOG_DEBUG, err->sys_errno ? err->sys_errno : -1,
              err->where, "%s", err->text);
    if (s->role == COLO_ROLE_PRIMARY && colo__primary_hands_over(s))
        return;
    s->has_word = true;
    /* that the peer is lost is no news while taking over: why this fails is */
    if (!s->error.code || (s->state == COLO_STATE_TAKEOVER &&
                           s->error.code == COLO_E_PEER))
        s->error = *err;
    colo__session_raise(s, COLO_EV_ERROR);
}

void colo__session_peer_lost(struct colo_session *s,
                             const struct colo_error *err)
{
    if (s->link_dead)
        return;
    s->link_dead = true;
    colo__log(s->log, COLO_LOG_NOTICE, -1, "session", "peer lost: %s",
              err->text);
    if (!s->error.code && s->state < COLO_STATE_TAKEOVER)
        s->error = *err;
    colo__session_raise(s, COLO_EV_PEER_LOST);
}

void colo__session_bulk_broken(struct colo_session *s,
                               const struct colo_error *err)
{
    if (s->bulk_broken_us || s->link_dead)
        return;
    colo__log(s->log, COLO_LOG_NOTICE, -1, "session", "bulk link: %s",
              err->text);
    s->bulk_broken_us = colo__now_us(s->clock);
    s->link_error = *err;
}

/* A disk whose stream has ended, or that waits for a mark that does not come,
 * may be the first to notice that the other host is dead: then that is what has
 * happened, and no error, after which nobody would take over. */
void colo__session_follower_failed(struct colo_session *s,
                                   const struct colo_error *err)
{
    const struct colo_heartbeat *hb = &s->heartbeat;

    /* at the backup it may also be that the primary yields: its disk lets go
     * of the stream before its guest has ended and we are told */
    if (s->peer_known && !s->link_dead && s->state < COLO_STATE_TAKEOVER &&
        (s->role == COLO_ROLE_SECONDARY ||
         colo__now_us(s->clock) - hb->heard_us > 2 * hb->every_us))
        colo__session_bulk_broken(s, err);
    else if (!s->link_dead)
        colo__session_error(s, err);
}

void colo__session_set_mode(struct colo_session *s, int mode, int reason)
{
    if (s->mode != mode && s->mode != COLO_MODE_NONE)
        s->last_mode = s->mode;
    s->mode = mode;
    s->reason = reason;
    s->status_dirty = true;
}

void colo__session_progress(struct colo_session *s, uint64_t done,
                            uint64_t total)
{
    struct colo_event ev = { .type = COLO_EVENT_PROGRESS };
    uint64_t now = colo__now_us(s->clock), ms;

    ms = (now - s->seed_start_us) / 1000;
    s->seed_done = done;
    s->seed_total = total;
    s->seed_rate = ms ? done * COLO_PAGE_SIZE * 1000 / ms : 0;
    if (s->state == COLO_STATE_SEEDING)
        s->state_deadline_us = now + (uint64_t)s->config.seed_ms * 1000;
    s->status_dirty = true;
    ev.seed_done = done;
    ev.seed_total = total;
    ev.seed_bytes_per_second = s->seed_rate;
    colo__session_tell(s, &ev);
}

int colo__session_watch_fd(struct colo_session *s, int fd, uint32_t id,
                           struct colo_error *err)
{
    struct epoll_event ev = { .events = EPOLLIN, .data.u32 = id };

    if (fd < 0 || !epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &ev) ||
        errno == EEXIST)
        return 0;
    return colo__fail(err, COLO_E_SYS, errno, "session", "epoll_ctl");
}

void colo__session_unwatch_fd(struct colo_session *s, int fd)
{
    if (fd >= 0)
        (void)epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

/* ---- the state machine ------------------------------------------------- */

static uint64_t state_ms(const struct colo_session *s, int state)
{
    const struct colo_config *c = &s->config;

    switch (state) {
    case COLO_STATE_CONNECTING:
        return c->connect_ms;
    case COLO_STATE_SEEDING:
        return c->seed_ms;
    case COLO_STATE_REQUESTED:
        return (uint64_t)c->commit_ms * 2; /* the peer may be loading */
    case COLO_STATE_STOPPING:
        return c->stop_ms;
    case COLO_STATE_RECEIVING:
        return (uint64_t)c->stop_ms + c->commit_ms;
    case COLO_STATE_LOADING: /* the primary's guest stands still meanwhile */
        return (uint64_t)c->commit_ms *
               (s->role == COLO_ROLE_PRIMARY ? 1 : 10);
    case COLO_STATE_ARBITRATING:
        return ARBITER_MS + (uint64_t)c->dead_ms;
    case COLO_STATE_TAKEOVER:
    case COLO_STATE_ACTIVE:
        return TAKEOVER_MS;
    case COLO_STATE_ENDING:
        return ENDING_MS;
    default: /* COMMITTING: begins when the epoch has been sent */
        return 0;
    }
}

static int run_action(struct colo_session *s, int action,
                      struct colo_error *err)
{
    return s->role == COLO_ROLE_PRIMARY
               ? colo__primary_action(s, action, err)
               : colo__secondary_action(s, action, err);
}

static void tell_checkpoint(struct colo_session *s)
{
    size_t last = (s->stats.count - 1) % COLO_STATS_KEEP;
    struct colo_event ev = { .type = COLO_EVENT_CHECKPOINT,
                             .checkpoint = &s->stats.infos[last] };

    colo__session_tell(s, &ev);
    colo__session_publish_checkpoint(s, ev.checkpoint);
}

static void step(struct colo_session *s, int event)
{
    const struct colo_transition *t;
    struct colo_event ev = { .type = COLO_EVENT_STATE };
    struct colo_error err = { 0 };
    uint64_t ms;

    if (s->state == COLO_STATE_ENDED)
        return;
    t = colo__transition(s->table, s->state, event);
    if (!t) {
        colo__log(s->log, COLO_LOG_DEBUG, -1, "session", "%s in state %s: "
                  "nothing to do", colo__event_name(event),
                  colo_state_name(s->state));
        return;
    }
    colo__log(s->log, COLO_LOG_DEBUG, -1, "session", "%s: %s -> %s (%s)",
              colo__event_name(event), colo_state_name(t->from),
              colo_state_name(t->to), t->why);
    ev.old_state = s->state;
    s->state = t->to;
    if (t->to != t->from) {
        ms = state_ms(s, t->to);
        s->state_deadline_us = ms ? colo__now_us(s->clock) + ms * 1000
                                  : COLO_NEVER;
        s->status_dirty |= !colo__session_passing_state(t->to);
        colo__session_tell(s, &ev);
    }
    if (event == COLO_EV_DEADLINE && !s->error.code)
        colo__fail(&s->error, COLO_E_TIMEOUT, 0, "session", "%s (state %s)",
                   t->why, colo_state_name(t->from));
    if (run_action(s, t->action, &err))
        colo__session_error(s, &err);
    if (t->action == COLO_ACT_RELEASE || t->action == COLO_ACT_LOADED ||
        t->action == COLO_ACT_GO_ON)
        tell_checkpoint(s);
    if (s->state == COLO_STATE_ENDED)
        colo__session_end(s);
}

static void drain(struct colo_session *s)
{
    while (s->queue_len) {
        int event = s->queue[s->queue_head];

        s->queue_head = (s->queue_head + 1) % COLO_EVENT_QUEUE;
        s->queue_len--;
        step(s, event);
    }
}

/* ---- process ----------------------------------------------------------- */

/* The primary has ended its guest, or does so for the operator's failover:
 * without the replica there would be none left. */
static bool must_take_over(const struct colo_session *s)
{
    if (s->role != COLO_ROLE_SECONDARY)
        return false;
    switch (s->state) {
    case COLO_STATE_TAKEOVER:
        return true;
    case COLO_STATE_ARBITRATING:
        return s->s.await_yield || s->s.primary_ended;
    case COLO_STATE_LOADING: /* which is finished first */
        return s->s.primary_ended;
    default:
        return false;
    }
}

static void take_wants(struct colo_session *s)
{
    uint64_t count;
    uint32_t wants;

    /* In this order, and in one step: a bit that another thread sets meanwhile
     * wakes us again.  COLO_WANT_CHECKPOINT waits until one can be made. */
    (void)!read(s->wake_fd, &count, sizeof(count));
    wants = atomic_fetch_and(&s->wants, COLO_WANT_CHECKPOINT);
    if (wants & COLO_WANT_START)
        colo__session_raise(s, COLO_EV_START);
    if ((wants & COLO_WANT_STOP) && !must_take_over(s))
        colo__session_raise(s, COLO_EV_STOP);
    if (wants & COLO_WANT_FAILOVER) {
        s->operator_failover = true;
        colo__session_raise(s, COLO_EV_FAILOVER);
    }
}

static void take_worker(struct colo_session *s)
{
    struct colo_error err = { 0 };
    int rc;

    if (!s->worker || !colo__worker_done(s->worker, &rc, &err))
        return;
    if (s->role == COLO_ROLE_PRIMARY)
        colo__primary_worker(s, rc, &err);
    else
        colo__secondary_worker(s, rc, &err);
}

static void take_fd(struct colo_session *s, uint32_t id)
{
    switch (id) {
    case COLO_FD_WAKE:
        take_wants(s);
        break;
    case COLO_FD_HV:
        if (s->role == COLO_ROLE_PRIMARY)
            colo__primary_hv(s);
        else
            colo__secondary_hv(s);
        break;
    case COLO_FD_CONTROL:
        colo__control_read(s);
        /* the end of a stream can be read for ever */
        if (s->link_dead)
            colo__session_unwatch_fd(s, colo__link_ops(s->parts.control)->
                                        fd(s->parts.control));
        break;
    case COLO_FD_WORKER:
        take_worker(s);
        break;
    case COLO_FD_STORE:
        colo__session_read_store(s);
        break;
    case COLO_FD_BOOT:
        colo__connect_ready(s);
        break;
    default: /* arbiter, replication: the role's poll looks at them */
        break;
    }
}

/* Links that have broken: what is there to be read comes first. */
static void take_links(struct colo_session *s)
{
    uint64_t dead_us = (uint64_t)s->config.dead_ms * 1000;

    if (s->send_broken && !s->link_dead) {
        colo__control_read(s);
        if (!s->link_dead)
            colo__session_peer_lost(s, &s->link_error);
    }
    if (s->bulk_broken_us && !s->link_dead &&
        colo__now_us(s->clock) - s->bulk_broken_us > dead_us &&
        s->state < COLO_STATE_TAKEOVER)
        colo__session_error(s, &s->link_error);
}

void colo__session_beat(struct colo_session *s)
{
    uint64_t now = colo__now_us(s->clock);

    if (!s->link_dead && colo__heartbeat_due(&s->heartbeat, now))
        colo__control_send(s, COLO_MSG_HEARTBEAT, s->epoch, now, NULL, 0);
}

/* Not after the end, when the links go before the hypervisor does. */
void colo__session_beat_fn(void *user)
{
    struct colo_session *s = user;

    if (s->state < COLO_STATE_ENDING)
        colo__session_beat(s);
}

void colo__session_beats(struct colo_session *s)
{
    const struct colo_machine_ops *machine = colo__session_hv(s)->machine;

    if (machine->set_beat)
        machine->set_beat(s->parts.hv, colo__session_beat_fn, s,
                          s->info.streamed ? s->config.commit_ms
                                           : s->config.stop_ms);
}

static void take_time(struct colo_session *s)
{
    uint64_t now = colo__now_us(s->clock);
    struct colo_error err = { 0 };

    if (s->link_dead || s->state >= COLO_STATE_ENDED)
        return;
    colo__session_beat(s);
    if (!s->link_dead && colo__heartbeat_dead(&s->heartbeat, now)) {
        colo__fail(&err, COLO_E_PEER, 0, "session",
                   "nothing heard from the peer for %u ms",
                   s->config.dead_ms);
        s->silent = true;
        colo__session_peer_lost(s, &err);
    }
}

static void role_poll(struct colo_session *s)
{
    colo__disks_poll(s);
    colo__nets_poll(s);
    colo__session_verify_poll(s);
    if (s->role == COLO_ROLE_PRIMARY)
        colo__primary_poll(s);
    else
        colo__secondary_poll(s);
}

/* A peer that has not been heard of lately is the heartbeat's to judge:
 * lost is something else than slow. */
static bool deadline_passed(struct colo_session *s)
{
    const struct colo_heartbeat *hb = &s->heartbeat;
    uint64_t now = colo__now_us(s->clock);

    if (now < s->state_deadline_us)
        return false;
    if (s->peer_known && !s->link_dead && s->state < COLO_STATE_TAKEOVER &&
        now - hb->heard_us > 2 * hb->every_us) {
        s->state_deadline_us = hb->heard_us + hb->dead_us + hb->every_us;
        return now >= s->state_deadline_us;
    }
    return true;
}

/* Everything that is ready, then what follows from it, until nothing does. */
static void work(struct colo_session *s)
{
    struct epoll_event evs[16];
    int n;

    n = epoll_wait(s->epoll_fd, evs, COLO_ARRAY_LEN(evs), 0);
    for (int i = 0; i < n && s->state != COLO_STATE_ENDED; i++) {
        take_fd(s, evs[i].data.u32);
        drain(s);
    }
    if (s->state == COLO_STATE_ENDED)
        return;
    take_time(s);
    take_links(s);
    do {
        drain(s);
        role_poll(s);
    } while (s->queue_len && s->state != COLO_STATE_ENDED);
    if (deadline_passed(s)) {
        colo__session_raise(s, COLO_EV_DEADLINE);
        drain(s);
    }
    colo__session_publish_status(s);
}

void colo__session_wind_up(struct colo_session *s)
{
    struct colo_error stopped;
    uint64_t until = colo__now_us(s->clock) + CLOSE_US;
    bool takes_over = must_take_over(s);

    colo__fail(&stopped, COLO_E_STATE, 0, "session", "closed while it ran");
    if (!takes_over)
        colo__session_raise(s, COLO_EV_STOP);
    /* the states of a takeover have deadlines of their own */
    while (s->state != COLO_STATE_ENDED &&
           (takes_over || colo__now_us(s->clock) < until)) {
        struct pollfd pfd = { .fd = s->epoll_fd, .events = POLLIN };

        work(s);
        if (s->state != COLO_STATE_ENDED)
            (void)poll(&pfd, 1, 10);
    }
    if (s->state != COLO_STATE_ENDED) {
        colo__session_error(s, &stopped);
        drain(s);
    }
    if (s->state != COLO_STATE_ENDED) {
        s->state = COLO_STATE_ENDED;
        colo__session_end(s);
    }
}

int colo_session_process(struct colo_session *s, struct colo_error *err)
{
    if (s->state == COLO_STATE_NEW)
        colo__session_raise(s, COLO_EV_START);
    if (s->state != COLO_STATE_ENDED)
        work(s);
    if (s->state != COLO_STATE_ENDED)
        return 1;
    if (colo__session_ended_well(s)) {
        if (err && s->outcome.code)
            *err = s->outcome;
        return s->outcome.code;
    }
    if (err)
        *err = s->error;
    return s->error.code;
}

uint64_t colo_session_get_deadline(struct colo_session *s)
{
    uint64_t at = s->state_deadline_us, t;

    if (s->state == COLO_STATE_ENDED)
        return UINT64_MAX;
    if (s->state == COLO_STATE_NEW)
        return 0; /* the first process starts it */
    if (!s->link_dead) {
        t = colo__heartbeat_deadline(&s->heartbeat);
        if (t < at)
            at = t;
    }
    if (s->bulk_broken_us && !s->link_dead && s->state < COLO_STATE_TAKEOVER) {
        t = s->bulk_broken_us + (uint64_t)s->config.dead_ms * 1000 + 1;
        if (t < at)
            at = t;
    }
    t = s->role == COLO_ROLE_PRIMARY ? colo__primary_deadline(s)
                                     : colo__secondary_deadline(s);
    if (t < at)
        at = t;
    return at == COLO_NEVER ? UINT64_MAX : (at + 999) / 1000;
}

int colo_session_run(struct colo_session *s, struct colo_error *err)
{
    int rc;

    for (;;) {
        struct pollfd pfd = { .fd = s->epoll_fd, .events = POLLIN };
        uint64_t at, now;
        int64_t wait;

        rc = colo_session_process(s, err);
        if (rc <= 0)
            return rc;
        at = colo_session_get_deadline(s);
        now = colo__now_us(s->clock) / 1000;
        wait = at == UINT64_MAX ? 1000 : at > now ? (int64_t)(at - now) : 0;
        (void)poll(&pfd, 1, wait < 1000 ? (int)wait : 1000);
    }
}
