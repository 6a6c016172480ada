/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The simulated guest's memory through the seam: the record of what was
 * written, reading and writing frames.
 */
#include <string.h>

#include "hv-internal.h"

#define WHERE "hv-sim"

/* ---- tracking ---------------------------------------------------------- */

int sim__track(struct colo_hv *hv, int on, struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    struct sim_ctl *ctl;
    uint32_t off = 0;
    int rc;

    rc = sim__enter_guest(h, SIM_OP_TRACK, err);
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

int sim__dirty(struct colo_hv *hv, struct colo_bitmap *bm, uint32_t flags,
               bool *ret_lost, struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    struct sim_ctl *ctl;
    bool lost;
    int rc;

    rc = sim__enter_guest(h, SIM_OP_DIRTY, err);
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

int sim__unmarked(struct colo_hv *hv, struct colo_bitmap *bm,
                  struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    int rc;

    rc = sim__enter_guest(h, SIM_OP_UNMARKED, err);
    if (rc)
        return rc;
    if (colo__bitmap_resize(bm, atomic_load(&h->guest->ctl->nr_gfns)))
        return colo__fail(err, COLO_E_NOMEM, 0, WHERE, "no memory");
    add_rings(h->guest, bm);
    return 0;
}

/* ---- memory ------------------------------------------------------------ */

int sim__read(struct colo_hv *hv, const uint64_t *gfns, size_t n, uint8_t *dst,
              uint8_t *kinds, struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    const struct sim_layout *layout;
    int rc;

    rc = sim__enter_guest(h, SIM_OP_READ, err);
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

int sim__write(struct colo_hv *hv, const uint64_t *gfns, size_t n,
               const uint8_t *src, struct colo_error *err)
{
    struct sim_hv *h = sim(hv);
    struct sim_ctl *ctl;
    int rc;

    rc = sim__enter_guest(h, SIM_OP_WRITE, err);
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
