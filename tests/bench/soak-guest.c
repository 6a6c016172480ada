/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The two sessions of a long run, each in a process that stays: the session
 * is closed and a new one made in each round, over new TLS links.  The guest
 * is a thread of the primary's process; it outlives the rounds until a
 * replica takes over from it, then there is a new one.
 *
 * A replica that takes over must be, to the byte, a moment at which an epoch
 * was cut, and not an earlier one than the last that was released.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "colo.h"
#include "parts.h"
#include "soak.h"
#include "../sim/hv-sim.h"

#define WHERE "soak"
#define CONNECT_MS 30000
#define STAND_MS 10000

static const uint8_t tls_key[32] = "soak";

struct worker {
    struct soak_shared *shared;
    int role;
    struct sim_config config; /* of the guest of this round */
    struct sim_guest *guest; /* primary */
    struct colo_hv *hv;      /* of this round */
    char last_log[240];      /* the last warning, for what goes wrong */
};

static int index_of(const struct worker *w)
{
    return w->role == COLO_ROLE_SECONDARY;
}

static void guest_config(struct worker *w)
{
    struct sim_config *ret = &w->config;

    sim_config_init(ret);
    ret->name = "soak";
    ret->nr_gfns = 8192;
    ret->pulse.seed = atomic_load(&w->shared->guest_seed);
    ret->pulse.pages = 2048;
    ret->pulse.hot = 256;
    ret->ring_every = 7;
    ret->balloon_pages = 64;
    ret->balloon_every = 500;
    ret->step_us = 3000;
    ret->life_ms = w->shared->seconds * 1000 + 600000;
    ret->vcpu = w->role == COLO_ROLE_PRIMARY ? SIM_VCPU_THREAD
                                             : SIM_VCPU_NONE;
}

static void log_line(void *user, int level, int sys_errno,
                     const char *context, const char *text)
{
    struct worker *w = user;

    (void)sys_errno;
    if (level >= COLO_LOG_WARNING)
        snprintf(w->last_log, sizeof(w->last_log), "%s: %.200s", context,
                 text);
}

/* ---- the follower: what was cut, what was released --------------------- */

struct follower {
    const struct colo_replication_ops *ops; /* first */
    struct worker *w;
};

static struct worker *of(struct colo_replication *r)
{
    return ((struct follower *)r)->w;
}

static void f_close(struct colo_replication *r)
{
    free(r);
}

static int f_fd(struct colo_replication *r)
{
    (void)r;
    return -1;
}

static int f_checkpoint(struct colo_replication *r, uint64_t epoch,
                        struct colo_error *err)
{
    struct worker *w = of(r);
    struct sim_look look;

    (void)err;
    if (w->role != COLO_ROLE_PRIMARY)
        return 0;
    sim_guest_look(w->guest, &look);
    atomic_store(&w->shared->marks[epoch % SOAK_MARKS].step,
                 look.context.step);
    atomic_store(&w->shared->marks[epoch % SOAK_MARKS].epoch, epoch);
    return 0;
}

static int f_commit(struct colo_replication *r, uint64_t epoch,
                    struct colo_error *err)
{
    struct worker *w = of(r);

    (void)err;
    if (w->role != COLO_ROLE_PRIMARY)
        return 0;
    atomic_store(&w->shared->released, epoch);
    atomic_fetch_add(&w->shared->round_commits, 1);
    atomic_fetch_add(&w->shared->commits, 1);
    return 0;
}

static int f_start(struct colo_replication *r, int mode,
                   struct colo_error *err)
{
    (void)r;
    (void)mode;
    (void)err;
    return 0;
}

static int f_end(struct colo_replication *r, struct colo_error *err)
{
    (void)r;
    (void)err;
    return 0;
}

static int f_pending(struct colo_replication *r, bool *ret_diverged,
                     struct colo_error *err)
{
    (void)r;
    (void)err;
    *ret_diverged = false;
    return 0;
}

static const struct colo_replication_ops follower_ops = {
    .close = f_close,
    .fd = f_fd,
    .start = f_start,
    .checkpoint = f_checkpoint,
    .commit = f_commit,
    .failover = f_end,
    .stop = f_end,
    .pending = f_pending,
};

static struct colo_replication *new_follower(struct worker *w)
{
    struct follower *f = calloc(1, sizeof(*f));

    if (f) {
        f->ops = &follower_ops;
        f->w = w;
    }
    return (struct colo_replication *)f;
}

/* ---- links ------------------------------------------------------------- */

static int connect_once(const struct worker *w)
{
    struct sockaddr_in sin = { .sin_family = AF_INET,
                               .sin_port = htons(w->shared->port),
                               .sin_addr = { htonl(INADDR_LOOPBACK) } };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && connect(fd, (struct sockaddr *)&sin, sizeof(sin))) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static int accept_once(const struct worker *w)
{
    struct pollfd pfd = { .fd = w->shared->listener, .events = POLLIN };

    if (poll(&pfd, 1, CONNECT_MS) <= 0)
        return -1;
    return accept4(w->shared->listener, NULL, NULL, SOCK_CLOEXEC);
}

/* One after the other, so that both sides know which is which. */
static int open_link(struct worker *w, struct colo_link **ret_link,
                     struct colo_error *err)
{
    bool server = w->role == COLO_ROLE_SECONDARY;
    int fd = server ? accept_once(w) : connect_once(w), one = 1;

    if (fd < 0)
        return colo__fail(err, COLO_E_SYS, errno, WHERE, "no connection");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return colo__link_tls_new(fd, server, tls_key, "50ac", CONNECT_MS,
                              ret_link, err);
}

/* ---- a session --------------------------------------------------------- */

static void session_config(struct worker *w, struct colo_config *c)
{
    colo_config_init(c, sizeof(*c));
    c->role = w->role;
    c->transport = COLO_TRANSPORT_FD;
    c->interval_ms = 5;
    c->dead_ms = 15000; /* a busy machine is not a dead one */
    c->commit_ms = 30000;
    c->delta_mib = 4;   /* less than is written: places are taken again */
    c->log.fn = log_line;
    c->log.user = w;
    c->log.min_level = COLO_LOG_WARNING;
}

static int open_session(struct worker *w, struct colo_session **ret_session,
                        struct colo_error *err)
{
    static const char id[16] = "soak-session-01";
    struct colo_config config;
    struct colo_parts parts;
    int rc;

    memset(&parts, 0, sizeof(parts));
    parts.watchdog_fd = -1;
    rc = open_link(w, &parts.control, err);
    if (rc)
        return rc;
    rc = open_link(w, &parts.bulk, err);
    if (rc)
        return rc;
    if (w->role == COLO_ROLE_PRIMARY) {
        struct sim_watchdog *wd = sim_watchdog_start(w->guest);

        if (!wd)
            return colo__fail(err, COLO_E_NOMEM, 0, WHERE, "watchdog");
        sim_watchdog_give(wd, &parts.watchdog_fd, &parts.watchdog_pid);
        parts.hv = sim_hv_primary(w->guest);
    } else {
        guest_config(w); /* the guest is there: its session has connected */
        parts.hv = sim_hv_secondary(&w->config);
    }
    w->hv = parts.hv;
    parts.session_id = id;
    parts.replication[0] = new_follower(w);
    session_config(w, &config);
    return colo__session_new(&config, &parts, ret_session, err);
}

static void obey(struct worker *w, struct colo_session *session)
{
    uint32_t want = atomic_exchange(&w->shared->want[index_of(w)], 0);
    struct colo_error err = { 0 };

    if ((want == SOAK_STOP && colo_session_stop(session, &err)) ||
        (want == SOAK_FAILOVER && colo_session_failover(session, &err)))
        soak_lost(w->shared, "%s: asked to end: %s",
                  colo_role_name(w->role), err.text);
}

static int run_session(struct worker *w, struct colo_session *session,
                       struct colo_error *err)
{
    int rc;

    rc = colo_set_replication(session, 1, w->role == COLO_ROLE_PRIMARY, 0,
                              err);
    if (rc)
        return rc;
    for (;;) {
        struct pollfd pfd = { .fd = colo_session_get_fd(session),
                              .events = POLLIN };
        uint64_t at, now;

        rc = colo_session_process(session, err);
        if (rc <= 0)
            return rc;
        at = colo_session_get_deadline(session);
        now = soak_now_ms();
        poll(&pfd, 1, at <= now ? 0 : at - now < 100 ? (int)(at - now) : 100);
        obey(w, session);
    }
}

static void look_at_audit(struct worker *w, struct colo_session *session)
{
    struct colo_status status = { .size = sizeof(status) };
    struct colo_error err = { 0 };

    if (colo_query_status(session, &status, &err))
        soak_lost(w->shared, "status: %s", err.text);
    else if (status.audit_mismatches)
        soak_lost(w->shared, "audit: %llu of %llu pages differed",
                  (unsigned long long)status.audit_mismatches,
                  (unsigned long long)status.audit_pages);
    else if (!status.audit_pages && status.checkpoints > 20)
        soak_lost(w->shared, "audit: no page compared in %llu checkpoints",
                  (unsigned long long)status.checkpoints);
}

/* ---- guests ------------------------------------------------------------ */

static void verify(struct worker *w, struct sim_guest *guest,
                   const char *whose)
{
    struct sim_look look;
    char why[200];

    sim_guest_look(guest, &look);
    if (look.bad)
        soak_lost(w->shared, "%s: its program found %llu errors", whose,
                  (unsigned long long)look.bad);
    if (!sim_guest_verify(guest, &w->config, why, sizeof(why)))
        soak_lost(w->shared, "%s: %s", whose, why);
}

/* After a stop: stands still for a look, then goes on. */
static void verify_primary(struct worker *w)
{
    struct colo_error err = { 0 };
    struct sim_look look;
    struct colo_hv *hv;

    sim_guest_look(w->guest, &look);
    if (look.state != COLO_HV_RUNNING || look.tracking) {
        soak_lost(w->shared, "the guest was left in state %d%s", look.state,
                  look.tracking ? ", tracked" : "");
        return;
    }
    sim_guest_suspend(w->guest);
    for (int ms = 0; ms < STAND_MS && look.state != COLO_HV_STOPPED; ms++) {
        soak_nap(1);
        sim_guest_look(w->guest, &look);
    }
    if (look.state != COLO_HV_STOPPED) {
        soak_lost(w->shared, "the guest does not stand still for a look");
        return;
    }
    verify(w, w->guest, "the guest");
    hv = sim_hv_primary(w->guest);
    if (!hv || colo__hv_ops(hv)->stop->resume(hv, &err))
        soak_lost(w->shared, "cannot let the guest go on: %s", err.text);
    if (hv)
        colo__hv_ops(hv)->close(hv);
}

static void verify_takeover(struct worker *w, struct sim_guest *replica)
{
    uint64_t epoch = 0, released = atomic_load(&w->shared->released);
    struct sim_look look;

    sim_guest_look(replica, &look);
    for (uint32_t i = 0; i < SOAK_MARKS; i++)
        if (atomic_load(&w->shared->marks[i].step) == look.context.step &&
            atomic_load(&w->shared->marks[i].epoch) > epoch)
            epoch = atomic_load(&w->shared->marks[i].epoch);
    if (!epoch)
        soak_lost(w->shared, "the replica took over at step %llu, where no "
                  "epoch was cut", (unsigned long long)look.context.step);
    else if (epoch < released)
        soak_lost(w->shared, "the replica is of epoch %llu, epoch %llu was "
                  "released", (unsigned long long)epoch,
                  (unsigned long long)released);
    verify(w, replica, "the replica");
    sim_guest_steps(replica, 500);
    verify(w, replica, "the replica, having run on");
    atomic_fetch_add(&w->shared->takeovers, 1);
}

/* The primary's guest, if there is none. */
static int need_guest(struct worker *w, struct colo_error *err)
{
    int rc;

    if (w->guest)
        return 0;
    atomic_fetch_add(&w->shared->guest_seed, 1);
    guest_config(w);
    rc = sim_guest_new(&w->config, &w->guest, err);
    if (!rc)
        rc = sim_guest_run(w->guest, err);
    return rc;
}

static void drop_guest(struct worker *w)
{
    if (w->guest)
        sim_guest_kill(w->guest);
    sim_guest_free(w->guest);
    w->guest = NULL;
}

/* ---- rounds ------------------------------------------------------------ */

/* Of the primary.  COLO_E_REFUSED: the replica has taken over, as asked. */
static int primary_round(struct worker *w, struct colo_error *err)
{
    struct colo_session *session = NULL;
    int rc;

    rc = need_guest(w, err);
    if (!rc)
        rc = open_session(w, &session, err);
    if (rc)
        return rc;
    atomic_fetch_add(&w->shared->guest_protections, 1);
    rc = run_session(w, session, err);
    look_at_audit(w, session);
    colo_session_close(session);
    if (rc == COLO_E_REFUSED) {
        drop_guest(w);
        return 0;
    }
    if (!rc)
        verify_primary(w);
    return rc;
}

static int secondary_round(struct worker *w, struct colo_error *err)
{
    struct colo_session *session = NULL;
    struct sim_guest *replica;
    struct sim_look look;
    int rc;

    rc = open_session(w, &session, err);
    if (rc)
        return rc;
    rc = run_session(w, session, err);
    replica = sim_hv_guest(w->hv);
    if (!rc && replica) {
        sim_guest_look(replica, &look);
        if (look.state == COLO_HV_RUNNING)
            verify_takeover(w, replica);
    }
    colo_session_close(session);
    return rc;
}

static _Noreturn void rounds(struct worker *w)
{
    bool primary = w->role == COLO_ROLE_PRIMARY;
    struct colo_error err = { 0 };
    int rc;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, primary ? "soak-primary" : "soak-secondary");
    do {
        rc = primary ? primary_round(w, &err) : secondary_round(w, &err);
        if (rc) {
            soak_lost(w->shared, "%s: %s (last warning: %s)",
                      colo_role_name(w->role), err.text, w->last_log);
            break;
        }
        if (primary)
            atomic_store(&w->shared->round_commits, 0);
        atomic_fetch_add(&w->shared->ended[index_of(w)], 1);
    } while (!atomic_load(&w->shared->quit));
    drop_guest(w);
    _exit(rc != 0);
}

void soak_primary(struct soak_shared *shared)
{
    struct worker w = { .shared = shared, .role = COLO_ROLE_PRIMARY };

    close(shared->listener);
    rounds(&w);
}

void soak_secondary(struct soak_shared *shared)
{
    struct worker w = { .shared = shared, .role = COLO_ROLE_SECONDARY };

    rounds(&w);
}
