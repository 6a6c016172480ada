/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The simulated guest as a thing: its memory and control page, made or
 * attached to, and the hazards that others put it to.  Any process and
 * thread; what is shared is atomic.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "sim-internal.h"

#define WHERE "hv-sim"

void sim_config_init(struct sim_config *config)
{
    memset(config, 0, sizeof(*config));
    config->name = "sim";
    config->nr_gfns = 1024;
    config->pulse = (struct pulse_params){
        .seed = 1, .pages = 512, .per_step = 8, .hot = 64,
        .cold_per_step = 2,
    };
    config->ring_pages = 2;
    config->special_pages = 2;
    config->hole_pages = 8;
    config->step_us = 200;
    config->vcpu = SIM_VCPU_THREAD;
}

/* ---- content of step 0 ------------------------------------------------- */

/* Every fourth frame is zero, the others differ in every word. */
void sim__static_page(const struct sim_layout *layout, uint64_t gfn,
                      uint8_t *ret_page)
{
    uint64_t x = layout->pulse.seed * UINT64_C(0x9e3779b97f4a7c15) + gfn;

    memset(ret_page, 0, COLO_PAGE_SIZE);
    if (layout->flags & SIM_LAYOUT_SPARSE || gfn % 4 == 3)
        return;
    for (size_t i = 0; i < COLO_PAGE_SIZE; i += 8) {
        x = (x ^ x >> 27) * UINT64_C(0x3c79ac492ba7b653) + i;
        memcpy(ret_page + i, &x, 8);
    }
}

static void fill_guest(struct sim_guest *guest)
{
    const struct sim_layout *layout = &guest->ctl->layout;
    uint64_t end = layout->nr_gfns - layout->hole_pages;

    pulse_init(guest->mem, &guest->ctl->context, &layout->pulse, NULL, NULL);
    for (uint64_t gfn = 0; gfn < end; gfn++) {
        sim__present(guest, gfn, true);
        if (gfn >= layout->pulse.pages && !(layout->flags & SIM_LAYOUT_SPARSE))
            sim__static_page(layout, gfn, sim_guest_page(guest, gfn));
    }
}

/* ---- making and attaching ---------------------------------------------- */

int sim__layout_check(const struct sim_layout *layout,
                      struct colo_error *err)
{
    uint64_t used = (uint64_t)layout->pulse.pages + layout->ring_pages +
                    layout->special_pages + layout->balloon_pages +
                    layout->noise_pages + layout->hole_pages;

    if (!layout->nr_gfns || used > layout->nr_gfns ||
        layout->nr_gfns > layout->max_gfns ||
        layout->max_gfns > UINT64_C(1) << 32 || layout->pulse.pages < 4 ||
        layout->context_pad > 1u << 20)
        return colo__fail(err, COLO_E_INVAL, 0, WHERE,
                          "sizes of the guest do not fit together");
    return 0;
}

static size_t ctl_size(uint64_t max_gfns)
{
    return sizeof(struct sim_ctl) + 64 + 2 * sim_words(max_gfns) * 8;
}

static void set_maps(struct sim_guest *guest, uint64_t max_gfns)
{
    size_t at = (sizeof(struct sim_ctl) + 63) / 64 * 64;

    guest->dirty = (_Atomic uint64_t *)((char *)guest->ctl + at);
    guest->present = guest->dirty + sim_words(max_gfns);
}

/* Allocated before any fork: the vCPU process must not need malloc. */
static int set_touched(struct sim_guest *guest,
                       const struct sim_layout *layout, struct colo_error *err)
{
    size_t n = 2 * ((size_t)layout->pulse.per_step +
                    layout->pulse.cold_per_step) + 1;

    guest->touched = malloc(n * sizeof(*guest->touched));
    if (!guest->touched)
        return colo__fail(err, COLO_E_NOMEM, 0, WHERE, "no memory");
    return 0;
}

/* dir NULL: a memfd.  create: made anew with this size, else *ret_bytes tells
 * the size. */
static int map_file(const char *dir, const char *file, bool create,
                    size_t *bytes, void **ret_map, struct colo_error *err)
{
    char path[PATH_MAX];
    struct stat st;
    void *map = MAP_FAILED;
    int fd, rc;

    if (dir) {
        snprintf(path, sizeof(path), "%s/%s", dir, file);
        fd = open(path, O_RDWR | O_CLOEXEC |
                            (create ? O_CREAT | O_TRUNC : 0), 0600);
    } else {
        fd = memfd_create(file, MFD_CLOEXEC);
    }
    if (fd < 0)
        return colo__fail(err, errno == ENOENT ? COLO_E_NOTFOUND : COLO_E_SYS,
                          errno, WHERE, "cannot open %s of the guest", file);
    if (create ? ftruncate(fd, (off_t)*bytes) : fstat(fd, &st)) {
        rc = colo__fail(err, COLO_E_SYS, errno, WHERE, "cannot size %s", file);
        goto out;
    }
    if (!create)
        *bytes = (size_t)st.st_size;
    map = mmap(NULL, *bytes, PROT_READ | PROT_WRITE,
               MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (map == MAP_FAILED) {
        rc = colo__fail(err, COLO_E_SYS, errno, WHERE, "cannot map %s", file);
        goto out;
    }
    *ret_map = map;
    rc = 0;
out:
    close(fd);
    return rc;
}

/* A FIFO, because it is found by name; both ends in each process, so that no
 * end of file is ever seen. */
static int open_event(struct sim_guest *guest, const char *dir, bool create,
                      struct colo_error *err)
{
    char path[PATH_MAX];

    if (!dir) {
        guest->event_in = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        guest->event_out = guest->event_in;
    } else {
        snprintf(path, sizeof(path), "%s/event", dir);
        if (create && mkfifo(path, 0600) && errno != EEXIST)
            return colo__fail(err, COLO_E_SYS, errno, WHERE,
                              "cannot make the event FIFO");
        guest->event_in = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        guest->event_out = guest->event_in;
    }
    if (guest->event_in < 0)
        return colo__fail(err, COLO_E_SYS, errno, WHERE,
                          "cannot open the event descriptor");
    return 0;
}

int sim__guest_make(const struct sim_config *config,
                    const struct sim_layout *layout, bool fill,
                    struct sim_guest **ret_guest, struct colo_error *err)
{
    struct sim_guest *guest = calloc(1, sizeof(*guest));
    struct sim_ctl *ctl;
    int rc;

    if (!guest)
        return colo__fail(err, COLO_E_NOMEM, 0, WHERE, "no memory");
    guest->event_in = guest->event_out = -1;
    rc = sim__layout_check(layout, err);
    if (rc) goto out;
    guest->ctl_bytes = ctl_size(layout->max_gfns);
    guest->mem_bytes = layout->max_gfns * COLO_PAGE_SIZE;
    rc = map_file(config->dir, "mem", true, &guest->mem_bytes,
                  (void **)&guest->mem, err);
    if (rc) goto out;
    rc = open_event(guest, config->dir, true, err);
    if (rc) goto out;
    /* last: who finds ctl finds a whole guest */
    rc = map_file(config->dir, "ctl", true, &guest->ctl_bytes,
                  (void **)&guest->ctl, err);
    if (rc) goto out;
    ctl = guest->ctl;
    set_maps(guest, layout->max_gfns);
    rc = set_touched(guest, layout, err);
    if (rc) goto out;
    if (sim__origin(&layout->pulse, &ctl->origin)) {
        rc = colo__fail(err, COLO_E_INVAL, 0, WHERE,
                        "no such pulse can be");
        goto out;
    }
    ctl->layout = *layout;
    ctl->run = SIM_RUNNING;
    ctl->paused = 1;
    ctl->domid = 1 + (uint32_t)getpid() % 30000;
    ctl->salt = colo__now_us(&colo__clock_monotonic) ^ (uintptr_t)ctl;
    ctl->nr_gfns = layout->nr_gfns;
    ctl->step_us = config->step_us;
    ctl->stop_delay_us = config->stop_delay_us;
    ctl->life_ms = config->life_ms ? config->life_ms : 600000;
    ctl->vcpu = config->vcpu;
    ctl->context = ctl->origin;
    if (fill)
        fill_guest(guest);
    atomic_thread_fence(memory_order_seq_cst);
    ctl->magic = SIM_MAGIC;
    *ret_guest = guest;
    guest = NULL;
out:
    sim_guest_free(guest);
    return rc;
}

int sim_guest_new(const struct sim_config *config,
                  struct sim_guest **ret_guest, struct colo_error *err)
{
    struct sim_layout layout;

    memset(&layout, 0, sizeof(layout));
    layout.nr_gfns = config->nr_gfns;
    layout.max_gfns = config->max_gfns ? config->max_gfns : config->nr_gfns;
    layout.pulse = config->pulse;
    layout.ring_pages = config->ring_pages;
    layout.special_pages = config->special_pages;
    layout.balloon_pages = config->balloon_pages;
    layout.hole_pages = config->hole_pages;
    layout.balloon_every = config->balloon_every;
    layout.ring_every = config->ring_every;
    layout.context_pad = config->context_pad;
    layout.noise_pages = config->noise_pages;
    layout.noise_every = config->noise_every;
    layout.flags = (config->sparse ? SIM_LAYOUT_SPARSE : 0) |
                   (config->p2m_unrecorded ? SIM_LAYOUT_UNRECORDED : 0) |
                   (config->lockstep ? SIM_LAYOUT_LOCKSTEP : 0);
    snprintf(layout.name, sizeof(layout.name), "%s",
             config->name ? config->name : "sim");
    memcpy(layout.uuid, &config->pulse.seed, 8);
    layout.uuid[15] = 0x51;
    return sim__guest_make(config, &layout, true, ret_guest, err);
}

int sim_guest_attach(const char *dir, struct sim_guest **ret_guest,
                     struct colo_error *err)
{
    struct sim_guest *guest = calloc(1, sizeof(*guest));
    int rc;

    if (!guest)
        return colo__fail(err, COLO_E_NOMEM, 0, WHERE, "no memory");
    guest->event_in = guest->event_out = -1;
    rc = map_file(dir, "ctl", false, &guest->ctl_bytes,
                  (void **)&guest->ctl, err);
    if (rc) goto out;
    if (guest->ctl_bytes < sizeof(struct sim_ctl) ||
        guest->ctl->magic != SIM_MAGIC ||
        guest->ctl_bytes != ctl_size(guest->ctl->layout.max_gfns)) {
        rc = colo__fail(err, COLO_E_NOTFOUND, 0, WHERE, "not a whole guest");
        goto out;
    }
    set_maps(guest, guest->ctl->layout.max_gfns);
    rc = set_touched(guest, &guest->ctl->layout, err);
    if (rc) goto out;
    rc = map_file(dir, "mem", false, &guest->mem_bytes,
                  (void **)&guest->mem, err);
    if (rc) goto out;
    rc = open_event(guest, dir, false, err);
    if (rc) goto out;
    *ret_guest = guest;
    guest = NULL;
out:
    sim_guest_free(guest);
    return rc;
}

void sim_guest_free(struct sim_guest *guest)
{
    if (!guest)
        return;
    sim__vcpu_join(guest);
    if (guest->mem)
        munmap(guest->mem, guest->mem_bytes);
    if (guest->ctl)
        munmap(guest->ctl, guest->ctl_bytes);
    if (guest->event_in >= 0)
        close(guest->event_in);
    free(guest->touched);
    free(guest);
}

/* ---- small changes ----------------------------------------------------- */

void sim__kick(struct sim_guest *guest)
{
    atomic_fetch_add(&guest->ctl->kick, 1);
    syscall(SYS_futex, &guest->ctl->kick, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void sim__tell(struct sim_guest *guest)
{
    uint64_t one = 1;
    ssize_t r = write(guest->event_out, &one, sizeof(one));

    (void)r; /* full: it is readable anyway */
}

bool sim__run_change(struct sim_guest *guest, uint32_t from, uint32_t to)
{
    if (!atomic_compare_exchange_strong(&guest->ctl->run, &from, to))
        return false;
    sim__kick(guest);
    return true;
}

void sim__present(struct sim_guest *guest, uint64_t gfn, bool on)
{
    uint64_t bit = UINT64_C(1) << (gfn % 64), old;

    if (on)
        old = atomic_fetch_or(&guest->present[gfn / 64], bit);
    else
        old = atomic_fetch_and(&guest->present[gfn / 64], ~bit);
    if (on && !(old & bit))
        atomic_fetch_add(&guest->ctl->tot_pages, 1);
    if (!on && old & bit)
        atomic_fetch_sub(&guest->ctl->tot_pages, 1);
}

/* ---- hazards ----------------------------------------------------------- */

void sim_guest_kill(struct sim_guest *guest)
{
    atomic_store(&guest->ctl->run, SIM_GONE);
    sim__kick(guest);
    sim__tell(guest);
}

void sim_guest_shutdown(struct sim_guest *guest, int reason)
{
    uint32_t run = atomic_load(&guest->ctl->run);

    while (run == SIM_RUNNING || run == SIM_ASKED)
        if (atomic_compare_exchange_strong(&guest->ctl->run, &run,
                                           SIM_SHUTDOWN |
                                               (uint32_t)reason << 8))
            break;
    sim__kick(guest);
    sim__tell(guest);
}

void sim_guest_suspend(struct sim_guest *guest)
{
    sim__run_change(guest, SIM_RUNNING, SIM_ASKED);
}

void sim_guest_pause(struct sim_guest *guest, bool on)
{
    atomic_store(&guest->ctl->paused, on);
    sim__kick(guest);
    /* whoever looks at its memory next must not find half a step; one that was
     * killed in the middle of it stays there */
    for (int i = 0; on && i < 20000 && atomic_load(&guest->ctl->in_step); i++)
        usleep(100);
}

void sim_guest_track_off(struct sim_guest *guest)
{
    atomic_store(&guest->ctl->track, 0);
    atomic_fetch_add(&guest->ctl->track_generation, 1);
}

void sim_guest_cripple(struct sim_guest *guest, bool tell)
{
    atomic_store(&guest->ctl->crippled, 1);
    atomic_store(&guest->ctl->cripple_event, tell);
    sim__tell(guest);
}

void sim_guest_stuck(struct sim_guest *guest, bool on)
{
    atomic_store(&guest->ctl->stuck, on);
    sim__kick(guest);
}

void sim_guest_mark(struct sim_guest *guest, uint64_t gfn)
{
    atomic_fetch_or(&guest->dirty[gfn / 64], UINT64_C(1) << (gfn % 64));
}

void sim_guest_balloon(struct sim_guest *guest, uint64_t gfn, uint64_t n,
                       bool out)
{
    for (; n; n--, gfn++) {
        sim__present(guest, gfn, !out);
        if (out)
            memset(sim_guest_page(guest, gfn), 0, COLO_PAGE_SIZE);
        if (!(guest->ctl->layout.flags & SIM_LAYOUT_UNRECORDED))
            sim_guest_mark(guest, gfn);
    }
}

void sim_guest_grow(struct sim_guest *guest, uint64_t n)
{
    uint64_t at = atomic_load(&guest->ctl->nr_gfns);

    if (n > guest->ctl->layout.max_gfns - at)
        n = guest->ctl->layout.max_gfns - at;
    atomic_fetch_add(&guest->ctl->nr_gfns, n);
    sim_guest_balloon(guest, at, n, false);
}

void sim_guest_scribble(struct sim_guest *guest, uint64_t gfn, uint64_t salt)
{
    uint64_t x = (salt + 1) * UINT64_C(0xd1342543de82ef95);

    memcpy(sim_guest_page(guest, gfn) + salt * 8 % COLO_PAGE_SIZE, &x, 8);
}

void sim_guest_goal(struct sim_guest *guest, uint64_t steps)
{
    atomic_store(&guest->ctl->goal, steps);
    sim__kick(guest);
}

/* ---- looking ----------------------------------------------------------- */

uint8_t *sim_guest_page(const struct sim_guest *guest, uint64_t gfn)
{
    return guest->mem + gfn * COLO_PAGE_SIZE;
}

bool sim_guest_present(const struct sim_guest *guest, uint64_t gfn)
{
    return gfn < atomic_load(&guest->ctl->nr_gfns) &&
           sim_test(guest->present, gfn);
}

bool sim_guest_compared(const struct sim_guest *guest, uint64_t gfn)
{
    const struct sim_layout *layout = &guest->ctl->layout;

    if (gfn >= sim_noise_at(layout) &&
        gfn < sim_noise_at(layout) + layout->noise_pages)
        return false;
    return gfn < sim_ring_at(layout) || gfn >= sim_balloon_at(layout);
}

void sim_guest_look(const struct sim_guest *guest, struct sim_look *ret_look)
{
    struct sim_ctl *ctl = guest->ctl;
    uint32_t run = atomic_load(&ctl->run);

    memset(ret_look, 0, sizeof(*ret_look));
    switch (run & 0xff) {
    case SIM_STOPPED:
        ret_look->state = COLO_HV_STOPPED;
        ret_look->reason = COLO_HV_SUSPEND;
        break;
    case SIM_SHUTDOWN:
        ret_look->state = COLO_HV_SHUTDOWN;
        ret_look->reason = (int32_t)(run >> 8);
        break;
    case SIM_GONE:
        ret_look->state = COLO_HV_GONE;
        break;
    default:
        ret_look->state = atomic_load(&ctl->paused) ? COLO_HV_PAUSED
                                                    : COLO_HV_RUNNING;
    }
    ret_look->stop_asked = run == SIM_ASKED;
    ret_look->copy = atomic_load(&ctl->copy);
    ret_look->tracking = atomic_load(&ctl->track);
    ret_look->steps = atomic_load(&ctl->steps);
    ret_look->bad = atomic_load(&ctl->bad);
    ret_look->stops = atomic_load(&ctl->stops);
    ret_look->resumes = atomic_load(&ctl->resumes);
    ret_look->tracks = atomic_load(&ctl->tracks);
    ret_look->cleans = atomic_load(&ctl->cleans);
    ret_look->abandons = atomic_load(&ctl->abandons);
    ret_look->nr_gfns = atomic_load(&ctl->nr_gfns);
    ret_look->tot_pages = atomic_load(&ctl->tot_pages);
    ret_look->domid = atomic_load(&ctl->domid);
    ret_look->vcpu_pid = atomic_load(&ctl->vcpu_pid);
    ret_look->context = ctl->context;
    ret_look->report = ctl->report;
}

bool sim_guest_wait_steps(const struct sim_guest *guest, uint64_t steps,
                          uint32_t timeout_ms)
{
    uint64_t end = colo__now_us(&colo__clock_monotonic) +
                   (uint64_t)timeout_ms * 1000;
    struct timespec rest = { .tv_nsec = 500000 };

    while (atomic_load(&guest->ctl->steps) < steps) {
        if (colo__now_us(&colo__clock_monotonic) > end)
            return false;
        nanosleep(&rest, NULL);
    }
    return true;
}
