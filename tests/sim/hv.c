/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The ops of hv.h over a simulated guest: making, events, and the failures
 * that a test wants.  One thread at a time, as hv.h says.  Every call first
 * asks whether it is to fail; then it has done nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "hv-internal.h"

#define WHERE "hv-sim"

static const char *const op_names[SIM_OP_COUNT] = {
    "poll", "info", "track", "dirty", "unmarked", "read", "write", "request",
    "cancel", "resume", "get", "check", "set", "seed_out", "seed_in", "start",
    "destroy", "end_guest", "abandon", "run",
};

void sim_hv_fail(struct colo_hv *hv, int op, uint32_t nth, int code, bool on)
{
    sim(hv)->fail_at[op] = sim_hv_calls(hv, op) + nth;
    sim(hv)->fail_code[op] = code;
    sim(hv)->fail_on[op] = on;
}

int sim__devices(const struct sim_hv *h, struct colo_error *err)
{
    bool gone = h->guest && atomic_load(&h->guest->ctl->crippled);

    return !gone ? 0 : colo__fail(err, COLO_E_HV, 0, WHERE,
                                  "the devices are gone");
}

uint32_t sim_hv_calls(struct colo_hv *hv, int op)
{
    return atomic_load(&sim(hv)->calls[op]);
}

int sim__enter(struct sim_hv *h, int op, struct colo_error *err)
{
    uint32_t n = atomic_fetch_add(&h->calls[op], 1) + 1;

    if (!h->fail_at[op] || n < h->fail_at[op])
        return 0;
    if (n > h->fail_at[op] && !h->fail_on[op])
        return 0;
    return colo__fail(err, h->fail_code[op], EIO, WHERE,
                      "%s: failure number %u as asked for", op_names[op], n);
}

int sim__enter_guest(struct sim_hv *h, int op, struct colo_error *err)
{
    int rc = sim__enter(h, op, err);

    if (rc)
        return rc;
    if (!h->guest)
        return colo__fail(err, COLO_E_STATE, 0, WHERE, "%s: no guest yet",
                          op_names[op]);
    if (atomic_load(&h->guest->ctl->run) == SIM_GONE)
        return colo__fail(err, COLO_E_GUEST, 0, WHERE,
                          "%s: the guest is gone", op_names[op]);
    return 0;
}

static void watch(struct sim_hv *h, int fd)
{
    struct epoll_event ev = { .events = EPOLLIN };

    epoll_ctl(h->epoll, EPOLL_CTL_ADD, fd, &ev);
}

/* ---- open, close, poll ------------------------------------------------- */

static void sim_close(struct colo_hv *hv)
{
    struct sim_hv *h = sim(hv);

    if (!h)
        return;
    sim__seed_end(h->seed);
    if (h->secondary)
        sim_guest_free(h->guest);
    close(h->epoll);
    close(h->own_event);
    free(h);
}

static int sim_fd(struct colo_hv *hv)
{
    return sim(hv)->epoll;
}

static void drain(int fd)
{
    char buf[512];

    while (read(fd, buf, sizeof(buf)) > 0)
        ;
}

static int poll_seed(struct sim_hv *h, struct colo_hv_event *ev,
                     struct colo_error *err)
{
    int rc = sim__seed_look(h->seed, &ev->seed_done, &ev->seed_total, err);

    ev->events |= COLO_HV_EV_PROGRESS;
    if (rc > 0)
        return 0;
    if (rc)
        return rc;
    h->seeded = true;
    ev->events |= COLO_HV_EV_SEEDED;
    if (h->secondary)
        watch(h, h->guest->event_in);
    return 0;
}

static void poll_guest(struct sim_hv *h, struct colo_hv_event *ev)
{
    uint32_t run = atomic_load(&h->guest->ctl->run), kind = run & 0xff;

    if (h->stop_asked && (run == SIM_STOPPED ||
                          (kind == SIM_SHUTDOWN && h->secondary))) {
        h->stop_asked = false;
        ev->events |= COLO_HV_EV_STOPPED;
        h->guest_told = true; /* by us: nothing to look at */
    }
    if (kind == SIM_RUNNING || kind == SIM_ASKED)
        h->guest_told = false;
    else if (!h->guest_told &&
             !(kind == SIM_STOPPED && h->seed && !h->secondary)) {
        h->guest_told = true;
        /* stopped, but not by us: somebody's save or migrate */
        ev->events |= kind == SIM_STOPPED ? COLO_HV_EV_STOPPED
                                          : COLO_HV_EV_GUEST;
    }
    if (atomic_exchange(&h->guest->ctl->cripple_event, 0))
        ev->events |= COLO_HV_EV_DEVICES;
    if (h->ended) {
        h->ended = false;
        ev->events |= COLO_HV_EV_ENDED;
    }
}

static int sim_poll(struct colo_hv *hv, struct colo_hv_event *ret_event,
                    struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    struct colo_hv_event ev = { 0 };
    int rc;

    rc = sim__enter(h, SIM_OP_POLL, err);
    if (rc)
        return rc;
    drain(h->own_event);
    if (h->guest)
        drain(h->guest->event_in);
    if (h->seed && !h->seeded) {
        rc = poll_seed(h, &ev, err);
        if (rc)
            return rc;
    }
    if (h->guest)
        poll_guest(h, &ev);
    *ret_event = ev;
    return 0;
}

static int sim_info(struct colo_hv *hv, struct colo_hv_info *ret_info,
                    struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    struct sim_look look;
    int rc;

    rc = sim__enter(h, SIM_OP_INFO, err);
    if (rc)
        return rc;
    memset(ret_info, 0, sizeof(*ret_info));
    ret_info->xen_version = SIM_XEN_VERSION;
    if (!h->guest) {
        ret_info->state = COLO_HV_GONE;
        return 0;
    }
    sim_guest_look(h->guest, &look);
    ret_info->domid = look.domid;
    ret_info->state = look.state;
    ret_info->reason = look.reason;
    ret_info->nr_gfns = look.nr_gfns;
    ret_info->tot_pages = look.tot_pages;
    memcpy(ret_info->uuid, h->guest->ctl->layout.uuid, 16);
    snprintf(ret_info->name, sizeof(ret_info->name), "%s",
             h->guest->ctl->layout.name);
    return 0;
}

/* ---- making ------------------------------------------------------------ */

static const struct colo_hv_ops sim_ops = {
    .close = sim_close,
    .fd = sim_fd,
    .poll = sim_poll,
    .info = sim_info,
    .track = sim__track,
    .dirty = sim__dirty,
    .unmarked = sim__unmarked,
    .read = sim__read,
    .write = sim__write,
    .stop = &sim__stop_ops,
    .machine = &sim__machine_ops,
    .life = &sim__life_ops,
};

static struct sim_hv *new_hv(void)
{
    struct sim_hv *h = calloc(1, sizeof(*h));

    if (!h)
        return NULL;
    h->ops = &sim_ops;
    h->epoll = epoll_create1(EPOLL_CLOEXEC);
    h->own_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    watch(h, h->own_event);
    return h;
}

struct colo_hv *sim_hv_primary(struct sim_guest *guest)
{
    struct sim_hv *h = new_hv();

    if (!h)
        return NULL;
    h->guest = guest;
    watch(h, guest->event_in);
    return (struct colo_hv *)h;
}

struct colo_hv *sim_hv_secondary(const struct sim_config *config)
{
    struct sim_hv *h = new_hv();

    if (!h)
        return NULL;
    h->secondary = true;
    h->config = *config;
    return (struct colo_hv *)h;
}

struct sim_guest *sim_hv_guest(struct colo_hv *hv)
{
    return sim(hv)->guest;
}
