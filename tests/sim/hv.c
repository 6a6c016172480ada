/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The ops of hv.h over a simulated guest: memory, tracking, stop, machine,
 * life.  One thread at a time, as hv.h says.  Every call first asks whether a
 * test wants it to fail; then it has done nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "sim-internal.h"

#define WHERE "hv-sim"

struct sim_hv {
    const struct colo_hv_ops *ops; /* first */
    struct sim_guest *guest;       /* NULL: secondary before the seed */
    bool secondary;                /* then the guest is ours */
    struct sim_config config;      /* secondary: for the replica */
    int epoll, own_event;
    struct sim_seed *seed;
    bool seeded;
    bool stop_asked, guest_told, ended;
    bool tracking;                 /* we switched it on */
    uint32_t generation;           /* of the switch, at that time */
    uint64_t tot_pages;            /* at the last dirty */
    _Atomic uint32_t calls[SIM_OP_COUNT];
    uint32_t fail_at[SIM_OP_COUNT]; /* 0 never */
    int fail_code[SIM_OP_COUNT];
    bool fail_on[SIM_OP_COUNT];
};

static const char *const op_names[SIM_OP_COUNT] = {
    "poll", "info", "track", "dirty", "unmarked", "read", "write", "request",
    "cancel", "resume", "get", "check", "set", "seed_out", "seed_in", "start",
    "destroy", "end_guest", "abandon",
};

static struct sim_hv *sim(struct colo_hv *hv)
{
    return (struct sim_hv *)hv;
}

void sim_hv_fail(struct colo_hv *hv, int op, uint32_t nth, int code, bool on)
{
    sim(hv)->fail_at[op] = sim_hv_calls(hv, op) + nth;
    sim(hv)->fail_code[op] = code;
    sim(hv)->fail_on[op] = on;
}

uint32_t sim_hv_calls(struct colo_hv *hv, int op)
{
    return atomic_load(&sim(hv)->calls[op]);
}

/* Count the call; the code that it is to fail with, or 0. */
static int enter(struct sim_hv *h, int op, struct colo_error *err)
{
    uint32_t n = atomic_fetch_add(&h->calls[op], 1) + 1;

    if (!h->fail_at[op] || n < h->fail_at[op])
        return 0;
    if (n > h->fail_at[op] && !h->fail_on[op])
        return 0;
    return colo__fail(err, h->fail_code[op], EIO, WHERE,
                      "%s: failure number %u as asked for", op_names[op], n);
}

static int enter_guest(struct sim_hv *h, int op, struct colo_error *err)
{
    int rc = enter(h, op, err);

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

    if (h->stop_asked && run == SIM_STOPPED) {
        h->stop_asked = false;
        ev->events |= COLO_HV_EV_STOPPED;
        h->guest_told = true; /* by us: nothing to look at */
    }
    if (kind == SIM_RUNNING || kind == SIM_ASKED)
        h->guest_told = false;
    else if (!h->guest_told && !(kind == SIM_STOPPED && h->seed)) {
        h->guest_told = true;
        /* stopped, but not by us: somebody's save or migrate */
        ev->events |= kind == SIM_STOPPED ? COLO_HV_EV_STOPPED
                                          : COLO_HV_EV_GUEST;
    }
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

    rc = enter(h, SIM_OP_POLL, err);
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

    rc = enter(h, SIM_OP_INFO, err);
    if (rc)
        return rc;
    memset(ret_info, 0, sizeof(*ret_info));
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

/* ---- tracking ---------------------------------------------------------- */

static int sim_track(struct colo_hv *hv, int on, struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    struct sim_ctl *ctl;
    uint32_t off = 0;
    int rc;

    rc = enter_guest(h, SIM_OP_TRACK, err);
    if (rc)
        return rc;
    ctl = h->guest->ctl;
    if (!on) {
        h->tracking = false;
        sim_guest_track_off(h->guest);
        return 0;
    }
    if (!atomic_compare_exchange_strong(&ctl->track, &off, 1))
        return colo__fail(err, COLO_E_EXISTS, EINVAL, WHERE,
                          "dirty tracking is on already");
    for (uint64_t w = 0; w < sim_words(ctl->layout.max_gfns); w++)
        if (atomic_load_explicit(&h->guest->dirty[w], memory_order_relaxed))
            atomic_exchange(&h->guest->dirty[w], 0);
    h->tracking = true;
    h->generation = atomic_load(&ctl->track_generation);
    h->tot_pages = atomic_load(&ctl->tot_pages);
    atomic_fetch_add(&ctl->tracks, 1);
    return 0;
}

/* Can the record be trusted?  Also brings it back if it was switched off. */
static bool record_lost(struct sim_hv *h, struct colo_error *err)
{
    struct sim_ctl *ctl = h->guest->ctl;
    uint64_t tot = atomic_load(&ctl->tot_pages);
    uint32_t off = 0;

    if (!h->tracking ||
        h->generation != atomic_load(&ctl->track_generation)) {
        atomic_compare_exchange_strong(&ctl->track, &off, 1);
        h->tracking = true;
        h->generation = atomic_load(&ctl->track_generation);
        h->tot_pages = tot;
        colo__fail(err, COLO_E_HV, 0, WHERE,
                   "dirty tracking was switched off by somebody");
        return true;
    }
    if (ctl->layout.flags & SIM_LAYOUT_UNRECORDED && tot != h->tot_pages) {
        colo__fail(err, COLO_E_HV, 0, WHERE,
                   "memory went from %llu to %llu pages unrecorded",
                   (unsigned long long)h->tot_pages, (unsigned long long)tot);
        h->tot_pages = tot;
        return true;
    }
    h->tot_pages = tot;
    return false;
}

static void add_rings(const struct sim_guest *guest, struct colo_bitmap *bm)
{
    const struct sim_layout *layout = &guest->ctl->layout;

    for (uint32_t i = 0; i < layout->ring_pages; i++)
        colo__bitmap_set(bm, sim_ring_at(layout) + i);
}

/* The plain load first: an exchange of a word that is zero would take its
 * cache line from the vCPU for nothing. */
static void take_words(struct sim_guest *guest, struct colo_bitmap *bm,
                       bool clean)
{
    for (uint64_t w = 0; w < sim_words(bm->bits); w++) {
        if (!atomic_load_explicit(&guest->dirty[w], memory_order_relaxed))
            continue;
        bm->words[w] |= clean ? atomic_exchange(&guest->dirty[w], 0)
                              : atomic_load(&guest->dirty[w]);
    }
    if (bm->bits % 64) /* grown meanwhile: next time */
        bm->words[bm->bits / 64] &= (UINT64_C(1) << (bm->bits % 64)) - 1;
}

static int sim_dirty(struct colo_hv *hv, struct colo_bitmap *bm,
                     uint32_t flags, bool *ret_lost, struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    struct sim_ctl *ctl;
    bool lost;
    int rc;

    rc = enter_guest(h, SIM_OP_DIRTY, err);
    if (rc)
        return rc;
    ctl = h->guest->ctl;
    if (colo__bitmap_resize(bm, atomic_load(&ctl->nr_gfns)))
        return colo__fail(err, COLO_E_NOMEM, 0, WHERE, "no memory");
    lost = record_lost(h, err);
    take_words(h->guest, bm, flags & COLO_DIRTY_CLEAN);
    if (flags & (COLO_DIRTY_FINAL | COLO_DIRTY_SEED))
        add_rings(h->guest, bm);
    if (lost)
        colo__bitmap_fill(bm);
    if (flags & COLO_DIRTY_CLEAN)
        atomic_fetch_add(&ctl->cleans, 1);
    *ret_lost = lost;
    return 0;
}

static int sim_unmarked(struct colo_hv *hv, struct colo_bitmap *bm,
                        struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    int rc;

    rc = enter_guest(h, SIM_OP_UNMARKED, err);
    if (rc)
        return rc;
    if (colo__bitmap_resize(bm, atomic_load(&h->guest->ctl->nr_gfns)))
        return colo__fail(err, COLO_E_NOMEM, 0, WHERE, "no memory");
    add_rings(h->guest, bm);
    return 0;
}

/* ---- memory ------------------------------------------------------------ */

static int sim_read(struct colo_hv *hv, const uint64_t *gfns, size_t n,
                    uint8_t *dst, uint8_t *kinds, struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    const struct sim_layout *layout;
    int rc;

    rc = enter_guest(h, SIM_OP_READ, err);
    if (rc)
        return rc;
    layout = &h->guest->ctl->layout;
    for (size_t i = 0; i < n; i++) {
        uint64_t gfn = gfns[i];

        if (!sim_guest_present(h->guest, gfn)) {
            kinds[i] = COLO_PAGE_GONE;
        } else if (gfn >= sim_special_at(layout) &&
                   gfn < sim_balloon_at(layout)) {
            kinds[i] = COLO_PAGE_SKIP;
        } else {
            kinds[i] = COLO_PAGE_DATA;
            memcpy(dst + i * COLO_PAGE_SIZE, sim_guest_page(h->guest, gfn),
                   COLO_PAGE_SIZE);
        }
    }
    return 0;
}

static int sim_write(struct colo_hv *hv, const uint64_t *gfns, size_t n,
                     const uint8_t *src, struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    struct sim_ctl *ctl;
    int rc;

    rc = enter_guest(h, SIM_OP_WRITE, err);
    if (rc)
        return rc;
    ctl = h->guest->ctl;
    for (size_t i = 0; i < n; i++) {
        uint64_t gfn = gfns[i];

        if (gfn >= ctl->layout.max_gfns)
            return colo__fail(err, COLO_E_HV, EINVAL, WHERE,
                              "frame %llu is out of range",
                              (unsigned long long)gfn);
        if (gfn >= atomic_load(&ctl->nr_gfns))
            atomic_store(&ctl->nr_gfns, gfn + 1);
        sim__present(h->guest, gfn, src);
        if (src)
            memcpy(sim_guest_page(h->guest, gfn), src + i * COLO_PAGE_SIZE,
                   COLO_PAGE_SIZE);
        else
            memset(sim_guest_page(h->guest, gfn), 0, COLO_PAGE_SIZE);
    }
    return 0;
}

/* ---- stop -------------------------------------------------------------- */

static int stop_request(struct colo_hv *hv, struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    int rc;

    rc = enter_guest(h, SIM_OP_REQUEST, err);
    if (rc)
        return rc;
    /* if it stands still or has shut down already, poll says so */
    if (!sim__run_change(h->guest, SIM_RUNNING, SIM_ASKED))
        sim__tell(h->guest);
    h->stop_asked = true;
    if (h->guest->ctl->vcpu == SIM_VCPU_NONE &&
        !atomic_load(&h->guest->ctl->stuck) &&
        sim__run_change(h->guest, SIM_ASKED, SIM_STOPPED)) {
        atomic_fetch_add(&h->guest->ctl->stops, 1);
        sim__tell(h->guest);
    }
    return 0;
}

static int stop_cancel(struct colo_hv *hv, bool *ret_stopped,
                       struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    int rc;

    rc = enter_guest(h, SIM_OP_CANCEL, err);
    if (rc)
        return rc;
    h->stop_asked = false;
    sim__run_change(h->guest, SIM_ASKED, SIM_RUNNING);
    *ret_stopped = atomic_load(&h->guest->ctl->run) == SIM_STOPPED;
    h->guest_told = *ret_stopped;
    return 0;
}

/* A seed that is still under way would stop the guest again later: end it. */
static int stop_resume(struct colo_hv *hv, struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    int rc;

    rc = enter_guest(h, SIM_OP_RESUME, err);
    if (rc)
        return rc;
    if (h->seed && !h->secondary) {
        sim__seed_end(h->seed);
        h->seed = NULL;
    }
    h->guest_told = false;
    if (sim__run_change(h->guest, SIM_STOPPED, SIM_RUNNING))
        atomic_fetch_add(&h->guest->ctl->resumes, 1);
    return 0;
}

/* ---- machine ----------------------------------------------------------- */

static int machine_get(struct colo_hv *hv, uint8_t *buf, uint32_t cap,
                       uint32_t *ret_len, struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    uint32_t len;
    int rc;

    rc = enter_guest(h, SIM_OP_GET, err);
    if (rc)
        return rc;
    if (atomic_load(&h->guest->ctl->run) != SIM_STOPPED)
        return colo__fail(err, COLO_E_STATE, 0, WHERE,
                          "context of a guest that is not stopped");
    len = sim__context_len(h->guest);
    *ret_len = len;
    if (len > cap)
        return colo__fail(err, COLO_E_LIMIT, 0, WHERE,
                          "the context has %u bytes", len);
    sim__context_get(h->guest, buf);
    return 0;
}

static int machine_check(struct colo_hv *hv, const uint8_t *buf, uint32_t len,
                         struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    struct pulse_state state;
    int rc;

    rc = enter_guest(h, SIM_OP_CHECK, err);
    if (rc)
        return rc;
    return sim__context_check(h->guest, buf, len, &state, err);
}

static int machine_set(struct colo_hv *hv, const uint8_t *buf, uint32_t len,
                       struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    struct pulse_state state;
    int rc;

    rc = enter_guest(h, SIM_OP_SET, err);
    if (rc)
        return rc;
    if (atomic_load(&h->guest->ctl->vcpu_pid) || h->guest->has_thread)
        return colo__fail(err, COLO_E_STATE, 0, WHERE, "the guest runs");
    rc = sim__context_check(h->guest, buf, len, &state, err);
    if (rc)
        return rc;
    h->guest->ctl->context = state;
    atomic_store(&h->guest->ctl->steps, state.step);
    return 0;
}

/* ---- life -------------------------------------------------------------- */

static int life_seed_out(struct colo_hv *hv, int fd, struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    int rc;

    rc = enter_guest(h, SIM_OP_SEED_OUT, err);
    if (rc) {
        close(fd);
        return rc;
    }
    sim__seed_end(h->seed);
    h->seed = NULL;
    h->seeded = false;
    return sim__seed_start(&h->guest, NULL, fd, h->own_event, &h->seed, err);
}

static int life_seed_in(struct colo_hv *hv, int fd, struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    int rc;

    rc = enter(h, SIM_OP_SEED_IN, err);
    if (!rc && (!h->secondary || h->seed || h->guest))
        rc = colo__fail(err, COLO_E_STATE, 0, WHERE, "it has a guest");
    if (rc) {
        close(fd);
        return rc;
    }
    return sim__seed_start(&h->guest, &h->config, fd, h->own_event, &h->seed,
                           err);
}

static int life_start(struct colo_hv *hv, struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    int rc;

    rc = enter_guest(h, SIM_OP_START, err);
    if (rc)
        return rc;
    return sim_guest_run(h->guest, err);
}

static int life_destroy(struct colo_hv *hv, struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    int rc;

    rc = enter(h, SIM_OP_DESTROY, err);
    if (rc)
        return rc;
    sim__seed_end(h->seed);
    h->seed = NULL;
    if (h->guest)
        sim_guest_kill(h->guest);
    return 0;
}

/* Reboot: the same memory, as of step 0, under another domid, untracked. */
static void reboot(struct sim_guest *guest)
{
    struct sim_ctl *ctl = guest->ctl;

    sim_guest_track_off(guest);
    pulse_init(guest->mem, &ctl->context, &ctl->layout.pulse, NULL, NULL);
    for (uint32_t p = 0; p < ctl->context.pages; p++)
        sim_guest_mark(guest, p);
    atomic_store(&ctl->steps, 0);
    atomic_fetch_add(&ctl->domid, 1);
    atomic_store(&ctl->run, SIM_RUNNING);
    sim__kick(guest);
}

static int life_end_guest(struct colo_hv *hv, int reason,
                          struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    int rc;

    rc = enter_guest(h, SIM_OP_END, err);
    if (rc)
        return rc;
    if ((atomic_load(&h->guest->ctl->run) & 0xff) != SIM_SHUTDOWN)
        return colo__fail(err, COLO_E_STATE, 0, WHERE,
                          "the guest has not shut down");
    if (reason == COLO_HV_REBOOT)
        reboot(h->guest);
    else
        sim_guest_kill(h->guest);
    h->guest_told = true;
    h->ended = true;
    sim__tell(h->guest);
    return 0;
}

static int life_abandon(struct colo_hv *hv, struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    int rc;

    rc = enter_guest(h, SIM_OP_ABANDON, err);
    if (rc)
        return rc;
    atomic_fetch_add(&h->guest->ctl->abandons, 1);
    return 0;
}

/* ---- making ------------------------------------------------------------ */

static const struct colo_stop_ops sim_stop = {
    .request = stop_request,
    .cancel = stop_cancel,
    .resume = stop_resume,
};

static const struct colo_machine_ops sim_machine = {
    .get = machine_get,
    .check = machine_check,
    .set = machine_set,
};

static const struct colo_life_ops sim_life = {
    .seed_out = life_seed_out,
    .seed_in = life_seed_in,
    .start = life_start,
    .destroy = life_destroy,
    .end_guest = life_end_guest,
    .abandon = life_abandon,
};

static const struct colo_hv_ops sim_ops = {
    .close = sim_close,
    .fd = sim_fd,
    .poll = sim_poll,
    .info = sim_info,
    .track = sim_track,
    .dirty = sim_dirty,
    .unmarked = sim_unmarked,
    .read = sim_read,
    .write = sim_write,
    .stop = &sim_stop,
    .machine = &sim_machine,
    .life = &sim_life,
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
