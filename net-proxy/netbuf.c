/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The replication seam of netbuf.h: states, epochs, interfaces that come and
 * go.  Session's thread; one wait, in stop (hold.h).
 *
 * A plug counts frames of its open and of one closed epoch only.  A second
 * close before the first was released would mix them up, so then none is
 * made: the output of both leaves later, never too early.
 */
#include <inttypes.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "hold.h"
#include "netbuf.h"
#include "ports.h"
#include "tap.h"
#include "tc.h"

#define WHERE "net"
#define MAX_PORTS COLO_NL_BATCH_MAX
/* How often the plugs are looked at: at 10 Gbit/s they hold 25 MB more. */
#define LOOK_MS 20
/* What the kernel keeps of a frame beside its bytes, at the most: a page that
 * a small one does not fill, and its descriptions. */
#define FRAME_COST 5120u

enum state { IDLE, HOLDING, SHUT };

struct port {
    struct colo_port_id id;
    char name[COLO_IFNAME];
    int dev, ifb;
    int tap;         /* see tap.h */
    bool calm;       /* see colo__tap_calm */
    bool closed;     /* a closed epoch waits for its commit */
    bool tight;      /* its plug takes no more, though it has few bytes */
    uint32_t drops;  /* the kernel's count at the last look */
};

struct netbuf {
    const struct colo_replication_ops *ops;
    struct colo_netbuf_config config;
    struct colo_log log;
    uint32_t domid;
    enum state state;
    struct colo_nl nl;     /* requests */
    struct colo_nl events; /* interfaces that come and go */
    int timer, epoll;
    bool rescan;           /* notifications were lost */
    bool asked;            /* for a checkpoint, since the last one */
    struct colo_error failure; /* code 0: none */
    struct colo_netbuf_status status;
    unsigned int count;
    struct port port[MAX_PORTS];
    struct colo_nl_batch batch;
};

static struct netbuf *to_netbuf(struct colo_replication *r)
{
    return (struct netbuf *)r;
}

/* ---- interfaces come and go ---- */

static struct port *find_port(struct netbuf *n, int dev)
{
    for (unsigned int i = 0; i < n->count; i++) {
        if (n->port[i].dev == dev)
            return &n->port[i];
    }
    return NULL;
}

/* After a takeover in mode colo, colo-net goes on with the connections that it
 * rewrites.  It reads what the guest sends at the vif itself, before the plug
 * could hold it: those would be told what no checkpoint has. */
static int refuse_served(struct netbuf *n, const struct colo_port_id *id,
                         struct colo_error *err)
{
    struct colo_error why = { 0 };
    struct colo_link_info info;
    char tap[COLO_IFNAME];
    int rc;

    colo__port_tap_name(id, tap);
    rc = colo__link_get(&n->nl, tap, 0, &info, &why);
    if (rc && why.sys_errno == ENODEV)
        return 0;
    if (rc) { /* not known is not "no" */
        if (err)
            *err = why;
        return rc;
    }
    return colo__fail(err, COLO_E_EXISTS, 0, WHERE,
                      "colo-net (%s) still serves connections from before a "
                      "takeover: wait until they are closed, or end them",
                      tap);
}

bool colo__netbuf_served(uint32_t domid, uint32_t card, char *ret_tap,
                         size_t cap)
{
    for (int emulated = 0; emulated < 2; emulated++) {
        struct colo_port_id id = { domid, card, emulated };
        char tap[COLO_IFNAME];

        colo__port_tap_name(&id, tap);
        snprintf(ret_tap, cap, "%s", tap);
        if (if_nametoindex(tap))
            return true;
    }
    return false;
}

static int add_port(struct netbuf *n, const char *name, int dev,
                    const struct colo_port_id *id, struct colo_error *err)
{
    struct port *p = &n->port[n->count];
    char ifb_name[COLO_IFNAME];
    int rc;

    if (n->count == MAX_PORTS)
        return colo__fail(err, COLO_E_LIMIT, 0, WHERE,
                          "more than %d interfaces", MAX_PORTS);
    rc = refuse_served(n, id, err);
    if (rc)
        return rc;
    memset(p, 0, sizeof(*p));
    p->id = *id;
    p->dev = dev;
    snprintf(p->name, sizeof(p->name), "%s", name);
    rc = colo__tap_open(dev, n->config.learn, &p->tap, err);
    if (rc)
        return rc;
    colo__ifb_name(id, COLO_IFB_HOLD, ifb_name);
    rc = colo__hold_begin(&n->nl, dev, ifb_name, n->config.limit, &p->ifb,
                          err);
    if (rc) {
        close(p->tap);
        return rc;
    }
    n->count++;
    colo__log(&n->log, COLO_LOG_DEBUG, -1, WHERE, "%s: output is held in %s",
              name, ifb_name);
    return 0;
}

/* Its buffer is gone already; forget it. */
static void forget_port(struct netbuf *n, struct port *p)
{
    close(p->tap);
    *p = n->port[--n->count];
}

static void link_came(struct netbuf *n, const struct colo_link_info *info)
{
    struct colo_port_id id;
    struct colo_error err = { 0 };
    struct port *p = find_port(n, info->index);

    if (p || n->state != HOLDING || n->failure.code ||
        !colo__port_find(info->name, &id) ||
        id.domid != n->domid)
        return;
    if (!add_port(n, info->name, info->index, &id, &err))
        return;
    /* It may have gone again: then its end is on its way to us. */
    if (err.sys_errno == ENODEV)
        return;
    colo__fail(&n->failure, err.code, 0, WHERE,
               "the output of %s cannot be held: %s", info->name, err.text);
}

static void link_went(struct netbuf *n, int dev)
{
    struct port *p = find_port(n, dev);

    if (!p)
        return;
    /* Nowhere to go for what it held: frames of a card that was pulled. */
    (void)colo__tc_remove_link(&n->nl, p->ifb, NULL);
    colo__log(&n->log, COLO_LOG_INFO, -1, WHERE, "%s has gone", p->name);
    forget_port(n, p);
}

static void on_event(void *user, struct nlmsghdr *msg)
{
    struct netbuf *n = user;
    struct colo_link_info info;

    if (!colo__link_parse(msg, &info))
        return;
    if (info.gone)
        link_went(n, info.index);
    else
        link_came(n, &info);
}

/* What a list names; acted upon when it has ended, over the same socket. */
struct listed {
    uint32_t domid;
    unsigned int count;
    struct colo_link_info info[MAX_PORTS + 1];
};

static void on_listed(void *user, const struct colo_link_info *info)
{
    struct listed *l = user;
    struct colo_port_id id;

    if (l->count < COLO_ARRAY_LEN(l->info) &&
        colo__port_find(info->name, &id) && id.domid == l->domid)
        l->info[l->count++] = *info;
}

static int take_list(struct netbuf *n, struct colo_error *err)
{
    struct listed l = { .domid = n->domid };
    int rc = colo__links(&n->nl, on_listed, &l, err);

    for (unsigned int i = 0; i < l.count; i++)
        link_came(n, &l.info[i]);
    return rc;
}

/* Notifications were lost: compare all that there is.  An answer that did not
 * come says nothing of an interface: what is held there stays; we ask again. */
static void look_at_all(struct netbuf *n)
{
    struct colo_link_info info;
    struct colo_error err;
    bool known = true;

    for (unsigned int i = n->count; i-- > 0;) {
        if (!colo__link_get(&n->nl, NULL, n->port[i].dev, &info, &err))
            continue;
        if (err.sys_errno == ENODEV)
            link_went(n, n->port[i].dev);
        else
            known = false;
    }
    if (take_list(n, &n->failure) == 0)
        n->rescan = !known;
}

static void take_events(struct netbuf *n)
{
    if (colo__nl_events(&n->events, on_event, n, &n->rescan, &n->failure))
        return;
    if (n->rescan)
        look_at_all(n);
}

/* ---- looking at the plugs ---- */

static void count_drops(struct netbuf *n, struct port *p, uint32_t drops)
{
    uint32_t more = drops - p->drops;

    p->drops = drops;
    if (!more)
        return;
    n->status.drops += more;
    colo__log(&n->log, COLO_LOG_WARNING, -1, WHERE,
              "%s: %" PRIu32 " frames lost, the memory for %" PRIu32
              " bytes is used up", p->name, more, n->config.limit);
}

static void set_limit(struct netbuf *n, struct port *p, bool tight,
                      uint32_t limit)
{
    struct colo_nl_batch batch = { .len = 0 };

    colo__tc_limit(&batch, p->ifb, limit);
    if (!colo__nl_send(&n->nl, &batch, "limit of a plug", NULL))
        p->tight = tight;
}

/* A plug counts bytes, the host has memory: of small frames it would take many
 * times as much as may be.  Then what is there is the limit, until some of it
 * has left; what does not fit is lost, and counted as that of a full plug. */
static void look_at_cost(struct netbuf *n, struct port *p,
                         const struct colo_tc_stats *stats, bool *ret_diverged)
{
    uint64_t cost = stats->backlog + (uint64_t)stats->packets * FRAME_COST;

    if (cost > n->config.limit && !p->tight)
        set_limit(n, p, true, stats->backlog);
    if (cost > n->config.limit / 2 && !n->asked) {
        n->asked = true;
        *ret_diverged = true;
    }
}

/* Often none: a checkpoint is one system call. */
static void loosen(struct netbuf *n)
{
    for (unsigned int i = 0; i < n->count; i++) {
        if (n->port[i].tight)
            set_limit(n, &n->port[i], false, n->config.limit);
    }
}

/* The first words at once, later ones need not be heard all. */
static void learn_from(struct netbuf *n, struct port *p)
{
    if (p->id.devid > UINT8_MAX ||
        !colo__tap_read(p->tap, (uint8_t)p->id.devid, n->config.learn) ||
        p->calm)
        return;
    colo__tap_calm(p->tap);
    p->calm = true;
}

static void look_at_plugs(struct netbuf *n, bool *ret_diverged)
{
    uint32_t held = 0;

    for (unsigned int i = 0; i < n->count; i++) {
        struct port *p = &n->port[i];
        struct colo_tc_stats stats;

        if (colo__tc_stats(&n->nl, p->ifb, &stats, NULL))
            continue; /* it has gone, and its end is on its way to us */
        held += stats.backlog;
        count_drops(n, p, stats.drops);
        look_at_cost(n, p, &stats, ret_diverged);
        if (n->config.learn)
            learn_from(n, p);
    }
    n->status.held = held;
    if (held > n->status.held_max)
        n->status.held_max = held;
}

/* ---- the seam ---- */

static int netbuf_fd(struct colo_replication *r)
{
    return to_netbuf(r)->epoll;
}

static int set_timer(struct netbuf *n, bool on, struct colo_error *err)
{
    struct itimerspec when = { 0 };

    if (on) {
        when.it_value.tv_nsec = LOOK_MS * 1000000L;
        when.it_interval = when.it_value;
    }
    if (timerfd_settime(n->timer, 0, &when, NULL))
        return colo__fail(err, COLO_E_SYS, errno, WHERE, "timer");
    return 0;
}

static int netbuf_start(struct colo_replication *r, int mode,
                        struct colo_error *err)
{
    struct netbuf *n = to_netbuf(r);
    int rc;

    (void)mode;
    if (n->state != IDLE)
        return colo__fail(err, COLO_E_STATE, 0, WHERE, "started already");
    rc = colo__netbuf_cleanup(n->domid, true, err);
    if (rc)
        return rc;
    n->state = HOLDING;
    memset(&n->failure, 0, sizeof(n->failure));
    rc = take_list(n, err);
    if (rc)
        return rc;
    if (n->failure.code) {
        if (err)
            *err = n->failure;
        return n->failure.code;
    }
    if (!n->count)
        colo__log(&n->log, COLO_LOG_INFO, -1, WHERE,
                  "domain %" PRIu32 " has no interface yet", n->domid);
    return set_timer(n, true, err);
}

/* Tell the same to each plug whose epoch is, or is not, closed. */
static int tell_plugs(struct netbuf *n, bool closed, enum colo_tc_verb verb,
                      const char *what, struct colo_error *err)
{
    n->batch.len = 0;
    n->batch.count = 0;
    n->batch.failed = 0;
    for (unsigned int i = 0; i < n->count; i++) {
        struct port *p = &n->port[i];

        if (p->closed != closed)
            continue;
        colo__tc_tell(&n->batch, p->ifb, verb);
        p->closed = !closed;
    }
    return colo__nl_send(&n->nl, &n->batch, what, err);
}

static int need_holding(const struct netbuf *n, struct colo_error *err)
{
    if (n->state != HOLDING)
        return colo__fail(err, COLO_E_STATE, 0, WHERE, "nothing is held");
    if (n->failure.code && err)
        *err = n->failure;
    return n->failure.code;
}

static int netbuf_checkpoint(struct colo_replication *r, uint64_t epoch,
                             struct colo_error *err)
{
    struct netbuf *n = to_netbuf(r);
    int rc;

    (void)epoch;
    /* An interface that has just come belongs to this epoch already. */
    take_events(n);
    rc = need_holding(n, err);
    if (rc)
        return rc;
    n->asked = false;
    return tell_plugs(n, false, COLO_TC_CLOSE_EPOCH, "close an epoch", err);
}

static int netbuf_commit(struct colo_replication *r, uint64_t epoch,
                         struct colo_error *err)
{
    struct netbuf *n = to_netbuf(r);
    int rc = need_holding(n, err);

    (void)epoch;
    if (rc)
        return rc;
    n->status.epochs++;
    rc = tell_plugs(n, true, COLO_TC_RELEASE_ONE, "release an epoch", err);
    if (!rc)
        loosen(n);
    return rc;
}

/* End it for every interface; the first failure is told, none stops it. */
static int end_all(struct netbuf *n, enum state then,
                   int (*end)(struct netbuf *n, struct port *p,
                              struct colo_error *err),
                   struct colo_error *err)
{
    int rc = 0;

    while (n->count) {
        int r = end(n, &n->port[0], rc ? NULL : err);

        rc = rc ? rc : r;
        forget_port(n, &n->port[0]);
    }
    n->state = then;
    n->status.held = 0;
    (void)set_timer(n, false, NULL);
    return rc;
}

static int end_shut(struct netbuf *n, struct port *p, struct colo_error *err)
{
    return colo__hold_shut(&n->nl, p->ifb, err);
}

static int end_release(struct netbuf *n, struct port *p,
                       struct colo_error *err)
{
    return colo__hold_release(&n->nl, p->dev, p->ifb, err);
}

static int end_drop(struct netbuf *n, struct port *p, struct colo_error *err)
{
    return colo__hold_drop(&n->nl, p->dev, p->ifb, err);
}

static int netbuf_failover(struct colo_replication *r, struct colo_error *err)
{
    struct netbuf *n = to_netbuf(r);

    if (n->state == HOLDING)
        return end_all(n, SHUT, end_shut, err);
    return 0;
}

static int netbuf_release(struct colo_replication *r, struct colo_error *err)
{
    struct netbuf *n = to_netbuf(r);
    bool diverged;

    if (n->state != HOLDING)
        return 0;
    take_events(n);
    look_at_plugs(n, &diverged); /* the last figures, also of what was lost */
    loosen(n);
    return end_all(n, IDLE, end_release, err);
}

static int netbuf_pending(struct colo_replication *r, bool *ret_diverged,
                          struct colo_error *err)
{
    struct netbuf *n = to_netbuf(r);
    uint64_t ticks;

    *ret_diverged = false;
    take_events(n);
    if (n->state != HOLDING)
        return 0;
    if (read(n->timer, &ticks, sizeof(ticks)) == sizeof(ticks))
        look_at_plugs(n, ret_diverged);
    if (n->failure.code && err)
        *err = n->failure;
    return n->failure.code;
}

static void netbuf_close(struct colo_replication *r)
{
    struct netbuf *n = to_netbuf(r);

    if (!n)
        return;
    if (n->state == HOLDING)
        (void)end_all(n, IDLE, end_drop, NULL);
    colo__nl_close(&n->nl);
    colo__nl_close(&n->events);
    if (n->timer >= 0)
        close(n->timer);
    if (n->epoll >= 0)
        close(n->epoll);
    free(n);
}

static const struct colo_replication_ops netbuf_ops = {
    .close = netbuf_close,
    .fd = netbuf_fd,
    .start = netbuf_start,
    .checkpoint = netbuf_checkpoint,
    .commit = netbuf_commit,
    .failover = netbuf_failover,
    .release = netbuf_release,
    .pending = netbuf_pending,
};

/* ---- making one ---- */

static int open_fds(struct netbuf *n, struct colo_error *err)
{
    struct epoll_event event = { .events = EPOLLIN };
    int rc;

    rc = colo__nl_open(&n->nl, 0, err);
    if (rc)
        return rc;
    rc = colo__nl_open(&n->events, RTMGRP_LINK, err);
    if (rc)
        return rc;
    n->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    n->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (n->timer < 0 || n->epoll < 0 ||
        epoll_ctl(n->epoll, EPOLL_CTL_ADD, n->events.fd, &event) ||
        epoll_ctl(n->epoll, EPOLL_CTL_ADD, n->timer, &event))
        return colo__fail(err, COLO_E_SYS, errno, WHERE, "epoll");
    return 0;
}

int colo__netbuf_new(uint32_t domid, const struct colo_netbuf_config *config,
                     const struct colo_log *log, struct colo_replication **ret,
                     struct colo_error *err)
{
    struct netbuf *n;
    int rc;

    if (config->limit > INT32_MAX)
        return colo__fail(err, COLO_E_INVAL, 0, WHERE,
                          "a limit of %" PRIu32 " bytes", config->limit);
    n = calloc(1, sizeof(*n));
    if (!n)
        return colo__fail(err, COLO_E_NOMEM, ENOMEM, WHERE, "netbuf");
    n->ops = &netbuf_ops;
    n->config = *config;
    if (!n->config.limit)
        n->config.limit = COLO_NETBUF_LIMIT;
    if (log)
        n->log = *log;
    n->domid = domid;
    n->nl.fd = n->events.fd = n->timer = n->epoll = -1;
    rc = open_fds(n, err);
    if (rc) {
        netbuf_close((struct colo_replication *)n);
        return rc;
    }
    *ret = (struct colo_replication *)n;
    return 0;
}

void colo__netbuf_status(struct colo_replication *r,
                         struct colo_netbuf_status *ret)
{
    struct netbuf *n = to_netbuf(r);

    *ret = n->status;
    ret->ports = n->count;
}
