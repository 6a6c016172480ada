/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The seed of a simulated guest: everything copied through a descriptor while
 * it runs, rounds over what was written meanwhile, stop, the rest, the
 * context.  As with the real thing, tracking is off afterwards and the guest
 * stands still.  One thread per copy; the caller looks at the figures.
 *
 * Stream: header, then records { gfn, kind, n } with their data, END last.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "pure/delta.h"
#include "sim-internal.h"

#define WHERE "hv-sim"
#define SEED_MAGIC UINT64_C(0x3164656573766873)
#define SEED_ROUNDS 3
#define STOP_MS 10000
#define BATCH 64 /* pages of one record at most */

enum { REC_PAGES = 1, REC_ZERO, REC_GONE, REC_CONTEXT, REC_END };

struct seed_header {
    uint64_t magic, total;
    struct sim_layout layout;
};

struct record {
    uint64_t gfn;
    uint32_t kind, n;
};

struct sim_seed {
    struct sim_guest *guest; /* out: borrowed; in: made here */
    struct sim_guest **ret_guest;
    struct sim_config config;
    bool in;
    int fd, event_fd;
    pthread_t thread;
    _Atomic bool cancel;
    _Atomic uint64_t done, total;
    pthread_mutex_t lock;    /* what follows */
    bool over;
    int rc;
    struct colo_error err;
};

/* ---- bytes through the descriptor -------------------------------------- */

static int wait_fd(struct sim_seed *seed, short events, struct colo_error *err)
{
    struct pollfd pfd = { .fd = seed->fd, .events = events };

    do {
        if (atomic_load(&seed->cancel))
            return colo__fail(err, COLO_E_STATE, 0, WHERE,
                              "the seed was cancelled");
    } while (poll(&pfd, 1, 20) <= 0);
    return 0;
}

static int put(struct sim_seed *seed, const void *buf, size_t len,
               struct colo_error *err)
{
    const char *p = buf;

    while (len) {
        ssize_t r = write(seed->fd, p, len);
        int rc;

        if (r > 0) {
            p += r;
            len -= (size_t)r;
            continue;
        }
        if (errno != EAGAIN && errno != EINTR)
            return colo__fail(err, COLO_E_PEER, errno, WHERE,
                              "cannot write the seed");
        rc = wait_fd(seed, POLLOUT, err);
        if (rc)
            return rc;
    }
    return 0;
}

static int get(struct sim_seed *seed, void *buf, size_t len,
               struct colo_error *err)
{
    char *p = buf;

    while (len) {
        ssize_t r = read(seed->fd, p, len);
        int rc;

        if (r > 0) {
            p += r;
            len -= (size_t)r;
            continue;
        }
        if (r == 0 || (errno != EAGAIN && errno != EINTR))
            return colo__fail(err, COLO_E_PEER, r ? errno : 0, WHERE,
                              "the seed ends early");
        rc = wait_fd(seed, POLLIN, err);
        if (rc)
            return rc;
    }
    return 0;
}

static int put_record(struct sim_seed *seed, uint64_t gfn, uint32_t kind,
                      uint32_t n, struct colo_error *err)
{
    struct record rec = { gfn, kind, n };

    return put(seed, &rec, sizeof(rec), err);
}

/* ---- out --------------------------------------------------------------- */

static uint32_t kind_of(const struct sim_guest *guest, uint64_t gfn)
{
    if (!sim_guest_present(guest, gfn))
        return REC_GONE;
    return colo__page_is_zero(sim_guest_page(guest, gfn)) ? REC_ZERO
                                                          : REC_PAGES;
}

static bool is_special(const struct sim_guest *guest, uint64_t gfn)
{
    const struct sim_layout *layout = &guest->ctl->layout;

    return gfn >= sim_special_at(layout) && gfn < sim_balloon_at(layout);
}

/* A run of frames of one kind from gfn on; the content is copied once into
 * the pipe, torn or not: a frame that is written meanwhile comes again. */
static int put_run(struct sim_seed *seed, const struct colo_bitmap *set,
                   uint64_t *gfn, struct colo_error *err)
{
    uint64_t first = *gfn, at = first + 1;
    uint32_t kind = kind_of(seed->guest, first), n;
    int rc;

    while (at - first < BATCH && colo__bitmap_test(set, at) &&
           !is_special(seed->guest, at) && kind_of(seed->guest, at) == kind)
        at++;
    n = (uint32_t)(at - first);
    *gfn = at;
    rc = put_record(seed, first, kind, n, err);
    if (!rc && kind == REC_PAGES)
        rc = put(seed, sim_guest_page(seed->guest, first),
                 (size_t)n * COLO_PAGE_SIZE, err);
    atomic_fetch_add(&seed->done, n);
    return rc;
}

static int put_set(struct sim_seed *seed, const struct colo_bitmap *set,
                   struct colo_error *err)
{
    uint64_t gfn = 0, told = 0;
    int rc;

    while (gfn < set->bits) {
        if (!colo__bitmap_test(set, gfn) || is_special(seed->guest, gfn)) {
            gfn++;
            continue;
        }
        rc = put_run(seed, set, &gfn, err);
        if (rc)
            return rc;
        if (gfn - told >= 4096) {
            told = gfn;
            sim__tell(seed->guest);
        }
    }
    return 0;
}

static void take_dirty(struct sim_guest *guest, struct colo_bitmap *set)
{
    colo__bitmap_zero(set);
    for (uint64_t w = 0; w < sim_words(set->bits); w++)
        set->words[w] = atomic_exchange(&guest->dirty[w], 0);
}

static int stop_guest(struct sim_guest *guest, struct sim_seed *seed,
                      struct colo_error *err)
{
    struct timespec rest = { .tv_nsec = 500000 };

    if (!sim__run_change(guest, SIM_RUNNING, SIM_ASKED))
        return colo__fail(err, COLO_E_GUEST, 0, WHERE,
                          "the guest does not run: cannot seed");
    if (guest->ctl->vcpu == SIM_VCPU_NONE)
        sim__run_change(guest, SIM_ASKED, SIM_STOPPED);
    for (int i = 0; i < STOP_MS * 2; i++) {
        if (atomic_load(&guest->ctl->run) == SIM_STOPPED)
            return 0;
        if (atomic_load(&seed->cancel))
            break;
        nanosleep(&rest, NULL);
    }
    if (sim__run_change(guest, SIM_ASKED, SIM_RUNNING))
        return colo__fail(err, COLO_E_GUEST, 0, WHERE,
                          "the guest does not stop");
    if (atomic_load(&guest->ctl->run) != SIM_STOPPED)
        return colo__fail(err, COLO_E_GUEST, 0, WHERE,
                          "the guest shut down while being seeded");
    return 0;
}

static int put_context(struct sim_seed *seed, struct colo_error *err)
{
    uint32_t len = sim__context_len(seed->guest);
    uint8_t *buf = malloc(len);
    int rc;

    if (!buf)
        return colo__fail(err, COLO_E_NOMEM, 0, WHERE, "no memory");
    sim__context_get(seed->guest, buf);
    rc = put_record(seed, 0, REC_CONTEXT, len, err);
    if (!rc)
        rc = put(seed, buf, len, err);
    if (!rc)
        rc = put_record(seed, 0, REC_END, 0, err);
    free(buf);
    return rc;
}

static int put_all(struct sim_seed *seed, struct colo_bitmap *set,
                   struct colo_error *err)
{
    struct sim_guest *guest = seed->guest;
    const struct sim_layout *layout = &guest->ctl->layout;
    struct seed_header header;
    int rc;

    memset(&header, 0, sizeof(header));
    header.magic = SEED_MAGIC;
    header.total = set->bits;
    header.layout = *layout;
    atomic_store(&seed->total, set->bits);
    rc = put(seed, &header, sizeof(header), err);
    if (rc)
        return rc;
    take_dirty(guest, set);
    colo__bitmap_fill(set);
    for (int round = 0; round < SEED_ROUNDS; round++) {
        rc = put_set(seed, set, err);
        if (rc)
            return rc;
        take_dirty(guest, set);
    }
    rc = stop_guest(guest, seed, err);
    if (rc)
        return rc;
    /* what was taken for the next round is not yet sent */
    for (uint64_t w = 0; w < sim_words(set->bits); w++)
        set->words[w] |= atomic_exchange(&guest->dirty[w], 0);
    for (uint32_t i = 0; i < layout->ring_pages; i++)
        colo__bitmap_set(set, sim_ring_at(layout) + i);
    rc = put_set(seed, set, err);
    if (rc)
        return rc;
    return put_context(seed, err);
}

static int seed_out(struct sim_seed *seed, struct colo_error *err)
{
    struct sim_guest *guest = seed->guest;
    struct colo_bitmap set;
    int rc;

    colo__bitmap_init(&set);
    if (colo__bitmap_resize(&set, atomic_load(&guest->ctl->nr_gfns)))
        return colo__fail(err, COLO_E_NOMEM, 0, WHERE, "no memory");
    atomic_store(&guest->ctl->track, 1);
    rc = put_all(seed, &set, err);
    sim_guest_track_off(guest);
    colo__bitmap_fini(&set);
    return rc;
}

/* ---- in ---------------------------------------------------------------- */

static int get_context(struct sim_seed *seed, uint32_t len,
                       struct colo_error *err)
{
    uint8_t *buf;
    int rc;

    if (len != sim__context_len(seed->guest))
        return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                          "the seed has a context of a wrong size");
    buf = malloc(len);
    if (!buf)
        return colo__fail(err, COLO_E_NOMEM, 0, WHERE, "no memory");
    rc = get(seed, buf, len, err);
    if (!rc)
        rc = sim__context_check(seed->guest, buf, len,
                                &seed->guest->ctl->context, err);
    free(buf);
    return rc;
}

static int get_frames(struct sim_seed *seed, const struct record *rec,
                      struct colo_error *err)
{
    struct sim_guest *guest = seed->guest;
    uint64_t max = guest->ctl->layout.max_gfns;

    if (rec->n > BATCH || rec->gfn >= max || rec->n > max - rec->gfn)
        return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                          "the seed has frames out of range");
    if (rec->gfn + rec->n > guest->ctl->nr_gfns)
        guest->ctl->nr_gfns = rec->gfn + rec->n;
    atomic_fetch_add(&seed->done, rec->n);
    for (uint32_t i = 0; i < rec->n; i++) {
        uint64_t gfn = rec->gfn + i;

        /* a frame that is new is zero, and looking at it would cost memory */
        if (rec->kind != REC_PAGES && sim_guest_present(guest, gfn))
            memset(sim_guest_page(guest, gfn), 0, COLO_PAGE_SIZE);
        sim__present(guest, gfn, rec->kind != REC_GONE);
    }
    if (rec->kind == REC_PAGES)
        return get(seed, sim_guest_page(guest, rec->gfn),
                   (size_t)rec->n * COLO_PAGE_SIZE, err);
    return 0;
}

static int seed_in(struct sim_seed *seed, struct colo_error *err)
{
    struct seed_header header;
    struct record rec;
    bool context = false;
    int rc;

    rc = get(seed, &header, sizeof(header), err);
    if (rc)
        return rc;
    if (header.magic != SEED_MAGIC || sim__layout_check(&header.layout, err))
        return colo__fail(err, COLO_E_PROTO, 0, WHERE, "not a seed");
    header.layout.name[sizeof(header.layout.name) - 1] = '\0';
    atomic_store(&seed->total, header.total);
    rc = sim__guest_make(&seed->config, &header.layout, false, &seed->guest,
                         err);
    while (!rc) {
        rc = get(seed, &rec, sizeof(rec), err);
        if (rc)
            break;
        if (rec.kind >= REC_PAGES && rec.kind <= REC_GONE)
            rc = get_frames(seed, &rec, err);
        else if (rec.kind == REC_CONTEXT)
            rc = get_context(seed, rec.n, err), context = true;
        else if (rec.kind == REC_END && context)
            break;
        else
            rc = colo__fail(err, COLO_E_PROTO, 0, WHERE,
                            "the seed has a record that cannot be");
    }
    return rc;
}

/* ---- the thread and its owner ------------------------------------------ */

static void *seed_main(void *arg)
{
    struct sim_seed *seed = arg;
    struct colo_error err = { 0 };
    uint64_t one = 1;
    ssize_t r;
    int rc = seed->in ? seed_in(seed, &err) : seed_out(seed, &err);

    pthread_mutex_lock(&seed->lock);
    seed->rc = rc;
    seed->err = err;
    seed->over = true;
    pthread_mutex_unlock(&seed->lock);
    close(seed->fd);
    r = write(seed->event_fd, &one, sizeof(one));
    (void)r;
    return NULL;
}

int sim__seed_start(struct sim_guest **guest, const struct sim_config *config,
                    int fd, int event_fd, struct sim_seed **ret_seed,
                    struct colo_error *err)
{
    struct sim_seed *seed = calloc(1, sizeof(*seed));
    int r;

    if (!seed) {
        close(fd);
        return colo__fail(err, COLO_E_NOMEM, 0, WHERE, "no memory");
    }
    seed->in = config;
    if (config)
        seed->config = *config;
    else
        seed->guest = *guest;
    seed->ret_guest = guest;
    seed->fd = fd;
    seed->event_fd = event_fd;
    pthread_mutex_init(&seed->lock, NULL);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    r = pthread_create(&seed->thread, NULL, seed_main, seed);
    if (r) {
        close(fd);
        free(seed);
        return colo__fail(err, COLO_E_SYS, r, WHERE, "cannot seed");
    }
    *ret_seed = seed;
    return 0;
}

int sim__seed_look(struct sim_seed *seed, uint64_t *ret_done,
                   uint64_t *ret_total, struct colo_error *err)
{
    int rc = 1;

    *ret_total = atomic_load(&seed->total);
    *ret_done = atomic_load(&seed->done);
    if (*ret_done > *ret_total)
        *ret_done = *ret_total;
    pthread_mutex_lock(&seed->lock);
    if (seed->over) {
        rc = seed->rc;
        if (rc && err)
            *err = seed->err;
        if (!rc && seed->in && seed->guest) {
            *seed->ret_guest = seed->guest;
            seed->guest = NULL;
        }
    }
    pthread_mutex_unlock(&seed->lock);
    return rc;
}

void sim__seed_end(struct sim_seed *seed)
{
    if (!seed)
        return;
    atomic_store(&seed->cancel, true);
    pthread_join(seed->thread, NULL);
    if (seed->in && seed->guest) { /* half made */
        sim_guest_kill(seed->guest);
        sim_guest_free(seed->guest);
    }
    pthread_mutex_destroy(&seed->lock);
    free(seed);
}
