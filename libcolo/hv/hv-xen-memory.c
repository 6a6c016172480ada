/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The guest's memory: windows of 512 frames, mapped when first needed and
 * kept, so that reading a page in the pause is a memcpy and nothing else.
 * Kept maps hold the frames they show; they are dropped when memory is
 * added or taken (the one who notices is hv-xen-dirty.c) and at close.
 * Frames of Xen and of dom0's rings are never mapped for longer than a look.
 * Thread rule: hv.h's (read and write may come from a worker).
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hv-xen.h"

static bool bit_test(const uint64_t *words, unsigned i)
{
    return words[i / 64] >> (i % 64) & 1;
}

static void bit_set(uint64_t *words, unsigned i)
{
    words[i / 64] |= UINT64_C(1) << (i % 64);
}

static void window_drop(struct colo_hv_xen *hv, struct colo_xen_window *w)
{
    if (w->addr)
        xenforeignmemory_unmap(hv->fmem, w->addr, COLO_XEN_WINDOW);
    memset(w, 0, sizeof(*w));
}

void colo__hv_xen_map_drop(struct colo_hv_xen *hv)
{
    for (uint64_t i = 0; i < hv->map.nr_windows; i++)
        window_drop(hv, &hv->map.windows[i]);
}

/* No frame of this guest can be higher; keeps a peer's numbers from making
 * us allocate.  4 GiB and a bit for the holes below, memory above. */
static uint64_t frame_limit(const struct colo_hv_xen *hv)
{
    uint64_t limit = hv->max_pages + (UINT64_C(1) << 20) + 0x10000;

    if (!hv->is_secondary && limit < hv->dirty.nr_gfns)
        limit = hv->dirty.nr_gfns;
    return limit < COLO_XEN_NO_GFN ? limit : COLO_XEN_NO_GFN;
}

static int window_get(struct colo_hv_xen *hv, uint64_t gfn,
                      struct colo_xen_window **ret_window,
                      struct colo_error *err)
{
    struct colo_xen_map *map = &hv->map;
    uint64_t index = gfn / COLO_XEN_WINDOW;

    if (gfn >= frame_limit(hv))
        return colo__fail(err, COLO_E_INVAL, 0, "hv-xen",
                          "frame 0x%llx is beyond the guest's memory",
                          (unsigned long long)gfn);
    if (index >= map->nr_windows) {
        uint64_t n = frame_limit(hv) / COLO_XEN_WINDOW + 1;
        struct colo_xen_window *w;

        w = realloc(map->windows, n * sizeof(*w));
        if (!w)
            return colo__fail(err, COLO_E_NOMEM, 0, "hv-xen",
                              "no memory for the table of maps");
        memset(w + map->nr_windows, 0, (n - map->nr_windows) * sizeof(*w));
        map->windows = w;
        map->nr_windows = n;
    }
    *ret_window = &map->windows[index];
    return 0;
}

int colo__hv_xen_types(struct colo_hv_xen *hv, const uint64_t *gfns, size_t n,
                       bool *has, struct colo_error *err)
{
    struct xen_domctl op = {
        .cmd = XEN_DOMCTL_getpageframeinfo3,
        .domain = (domid_t)hv->domid,
    };

    op.u.getpageframeinfo3.num = n;
    set_xen_guest_handle_raw(op.u.getpageframeinfo3.array, hv->types);
    memcpy(hv->types, gfns, n * sizeof(*gfns));
    if (colo__hv_xen_domctl(hv, &op) < 0)
        return colo__hv_xen_fail(hv, err, "ask the type of frames");
    for (size_t i = 0; i < n; i++) {
        uint64_t t = hv->types[i] & XEN_DOMCTL_PFINFO_LTAB_MASK;

        has[i] = t != XEN_DOMCTL_PFINFO_XTAB &&
                 t != XEN_DOMCTL_PFINFO_BROKEN &&
                 t != XEN_DOMCTL_PFINFO_XALLOC;
    }
    return 0;
}

static int window_map(struct colo_hv_xen *hv, struct colo_xen_window *w,
                      uint64_t base, struct colo_error *err)
{
    int prot = hv->map.writable ? PROT_READ | PROT_WRITE : PROT_READ;
    uint64_t gfns[COLO_XEN_WINDOW];
    xen_pfn_t arr[COLO_XEN_WINDOW];
    int errs[COLO_XEN_WINDOW];
    bool has[COLO_XEN_WINDOW];
    size_t count = 0;
    unsigned i;
    void *addr;
    int rc;

    for (i = 0; i < COLO_XEN_WINDOW; i++)
        gfns[i] = base + i;
    rc = colo__hv_xen_types(hv, gfns, COLO_XEN_WINDOW, has, err);
    if (rc)
        return rc;
    for (i = 0; i < COLO_XEN_WINDOW; i++) {
        /* rings of dom0 are the guest's memory to Xen, but not to us */
        if (has[i] && colo__hv_xen_skipped(hv, gfns[i])) {
            has[i] = false;
            bit_set(w->skip, i);
        }
        arr[i] = has[i] ? gfns[i] : COLO_XEN_NO_GFN;
        count += has[i];
    }
    if (!count)
        return 0;
    addr = xenforeignmemory_map(hv->fmem, hv->domid, prot, COLO_XEN_WINDOW,
                                arr, errs);
    if (!addr)
        return colo__hv_xen_fail(hv, err, "map memory");
    w->addr = addr;
    for (i = 0; i < COLO_XEN_WINDOW; i++) {
        if (has[i] && !errs[i]) {
            bit_set(w->data, i);
            colo__bitmap_set(&hv->dirty.populated, gfns[i]);
        }
    }
    return 0;
}

/* Frames that Xen calls "no table": Xen's own (a look succeeds) or a
 * hole.  Xen's are remembered until the maps are dropped; holes are not, they
 * may fill. */
static int look_at_unknown(struct colo_hv_xen *hv, const uint64_t *gfns,
                           const size_t *idx, size_t n, uint8_t *kinds,
                           struct colo_error *err)
{
    xen_pfn_t arr[COLO_XEN_WINDOW];
    int errs[COLO_XEN_WINDOW];
    void *addr;

    for (size_t i = 0; i < n; i++)
        arr[i] = gfns[idx[i]];
    addr = xenforeignmemory_map(hv->fmem, hv->domid, PROT_READ, n, arr,
                                errs);
    if (!addr)
        return colo__hv_xen_fail(hv, err, "look at frames");
    xenforeignmemory_unmap(hv->fmem, addr, n);
    for (size_t i = 0; i < n; i++) {
        uint64_t gfn = arr[i];
        struct colo_xen_window *w =
            &hv->map.windows[gfn / COLO_XEN_WINDOW];

        kinds[idx[i]] = errs[i] ? COLO_PAGE_GONE : COLO_PAGE_SKIP;
        if (!errs[i])
            bit_set(w->skip, gfn % COLO_XEN_WINDOW);
    }
    return 0;
}

/* Frames wanted from a window that has no memory there so far: it may have
 * come since, or it is not for us. */
static int read_missing(struct colo_hv_xen *hv, const uint64_t *gfns,
                        const size_t *idx, size_t n, uint8_t *dst,
                        uint8_t *kinds, struct colo_error *err)
{
    size_t left[COLO_XEN_WINDOW], nr_left = 0;
    uint64_t ask[COLO_XEN_WINDOW];
    struct colo_xen_window *w;
    bool has[COLO_XEN_WINDOW];
    bool remap = false;
    int rc;

    for (size_t i = 0; i < n; i++)
        ask[i] = gfns[idx[i]];
    rc = colo__hv_xen_types(hv, ask, n, has, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++)
        remap |= has[i];
    w = &hv->map.windows[ask[0] / COLO_XEN_WINDOW];
    if (remap) {
        window_drop(hv, w);
        rc = window_map(hv, w, ask[0] & ~(uint64_t)(COLO_XEN_WINDOW - 1),
                        err);
        if (rc)
            return rc;
    }
    for (size_t i = 0; i < n; i++) {
        unsigned off = ask[i] % COLO_XEN_WINDOW;

        if (bit_test(w->data, off)) {
            memcpy(dst + idx[i] * COLO_PAGE_SIZE,
                   w->addr + (size_t)off * COLO_PAGE_SIZE, COLO_PAGE_SIZE);
            kinds[idx[i]] = COLO_PAGE_DATA;
        } else {
            left[nr_left++] = idx[i];
        }
    }
    return nr_left ? look_at_unknown(hv, gfns, left, nr_left, kinds, err) : 0;
}

/* one window's part of a read: gfns[from..to) */
static int read_window(struct colo_hv_xen *hv, const uint64_t *gfns,
                       size_t from, size_t to, uint8_t *dst, uint8_t *kinds,
                       struct colo_error *err)
{
    size_t missing[COLO_XEN_WINDOW], nr_missing = 0;
    struct colo_xen_window *w = NULL;
    int rc;

    rc = window_get(hv, gfns[from], &w, err);
    if (rc)
        return rc;
    if (!w->addr) {
        rc = window_map(hv, w,
                        gfns[from] & ~(uint64_t)(COLO_XEN_WINDOW - 1), err);
        if (rc)
            return rc;
    }
    for (size_t i = from; i < to; i++) {
        unsigned off = gfns[i] % COLO_XEN_WINDOW;

        if (bit_test(w->data, off)) {
            memcpy(dst + i * COLO_PAGE_SIZE,
                   w->addr + (size_t)off * COLO_PAGE_SIZE, COLO_PAGE_SIZE);
            kinds[i] = COLO_PAGE_DATA;
        } else if (bit_test(w->skip, off) ||
                   colo__hv_xen_skipped(hv, gfns[i])) {
            kinds[i] = COLO_PAGE_SKIP;
        } else if (nr_missing < COLO_XEN_WINDOW) {
            missing[nr_missing++] = i;
        }
    }
    return nr_missing ?
           read_missing(hv, gfns, missing, nr_missing, dst, kinds, err) : 0;
}

/* the end of the run of frames that lie in one window and ascend */
static size_t run_end(const uint64_t *gfns, size_t from, size_t n)
{
    uint64_t window = gfns[from] / COLO_XEN_WINDOW;
    size_t to = from + 1;

    while (to < n && gfns[to] / COLO_XEN_WINDOW == window &&
           gfns[to] > gfns[to - 1])
        to++;
    return to;
}

int colo__hv_xen_read(struct colo_hv *chv, const uint64_t *gfns, size_t n,
                      uint8_t *dst, uint8_t *kinds, struct colo_error *err)
{
    struct colo_hv_xen *hv = colo__hv_xen(chv);
    size_t from = 0;

    if (!hv->has_domain)
        return colo__fail(err, COLO_E_STATE, 0, "hv-xen", "no domain");
    while (from < n) {
        size_t to = run_end(gfns, from, n);
        int rc = read_window(hv, gfns, from, to, dst, kinds, err);

        if (rc)
            return rc;
        from = to;
    }
    return 0;
}

/* ---- writing, on the replica ---- */

/* Give these frames (all in one window) memory, then map the window anew. */
static int populate(struct colo_hv_xen *hv, struct colo_xen_window *w,
                    const uint64_t *gfns, size_t n, struct colo_error *err)
{
    xen_pfn_t arr[COLO_XEN_WINDOW];
    uint64_t base = gfns[0] & ~(uint64_t)(COLO_XEN_WINDOW - 1);
    bool has[COLO_XEN_WINDOW];
    size_t want = 0;
    int rc;

    rc = colo__hv_xen_types(hv, gfns, n, has, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++) {
        if (!has[i])
            arr[want++] = gfns[i];
    }
    if (want && xc_domain_populate_physmap_exact(hv->xch, hv->domid, want, 0,
                                                 0, arr))
        return colo__fail(err, errno == ESRCH ? COLO_E_GUEST : COLO_E_NOMEM,
                          errno, "hv-xen",
                          "the replica cannot have %zu more pages", want);
    window_drop(hv, w);
    rc = window_map(hv, w, base, err);
    for (size_t i = 0; !rc && i < n; i++) {
        if (!bit_test(w->data, gfns[i] % COLO_XEN_WINDOW))
            rc = colo__fail(err, COLO_E_HV, 0, "hv-xen",
                            "frame 0x%llx of the replica cannot be written",
                            (unsigned long long)gfns[i]);
    }
    return rc;
}

static int write_window(struct colo_hv_xen *hv, const uint64_t *gfns,
                        size_t from, size_t to, const uint8_t *src,
                        struct colo_error *err)
{
    uint64_t missing[COLO_XEN_WINDOW];
    struct colo_xen_window *w = NULL;
    size_t nr_missing = 0;
    int rc;

    rc = window_get(hv, gfns[from], &w, err);
    if (!rc && !w->addr)
        rc = window_map(hv, w,
                        gfns[from] & ~(uint64_t)(COLO_XEN_WINDOW - 1), err);
    if (rc)
        return rc;
    for (size_t i = from; i < to; i++) {
        if (!bit_test(w->data, gfns[i] % COLO_XEN_WINDOW) &&
            !colo__hv_xen_skipped(hv, gfns[i]))
            missing[nr_missing++] = gfns[i];
    }
    if (nr_missing) {
        rc = populate(hv, w, missing, nr_missing, err);
        if (rc)
            return rc;
    }
    for (size_t i = from; i < to; i++) {
        /* dom0's rings belong to this host: whatever the peer says */
        if (colo__hv_xen_skipped(hv, gfns[i]))
            continue;
        memcpy(w->addr + gfns[i] % COLO_XEN_WINDOW * COLO_PAGE_SIZE,
               src + i * COLO_PAGE_SIZE, COLO_PAGE_SIZE);
    }
    return 0;
}

/* A page that is still mapped would not be freed: unmap first. */
static int drop_window(struct colo_hv_xen *hv, const uint64_t *gfns,
                       size_t from, size_t to, struct colo_error *err)
{
    xen_pfn_t arr[COLO_XEN_WINDOW];
    struct colo_xen_window *w = NULL;
    bool has[COLO_XEN_WINDOW];
    size_t n = 0;
    int rc;

    rc = window_get(hv, gfns[from], &w, err);
    if (!rc)
        rc = colo__hv_xen_types(hv, gfns + from, to - from, has, err);
    if (rc)
        return rc;
    window_drop(hv, w);
    for (size_t i = from; i < to; i++) {
        if (has[i - from] && !colo__hv_xen_skipped(hv, gfns[i]))
            arr[n++] = gfns[i];
    }
    if (n && xc_domain_decrease_reservation_exact(hv->xch, hv->domid, n, 0,
                                                  arr))
        return colo__hv_xen_fail(hv, err, "take memory away");
    return 0;
}

int colo__hv_xen_write(struct colo_hv *chv, const uint64_t *gfns, size_t n,
                       const uint8_t *src, struct colo_error *err)
{
    struct colo_hv_xen *hv = colo__hv_xen(chv);
    size_t from = 0;
    int rc;

    if (!hv->has_domain || !hv->is_secondary)
        return colo__fail(err, COLO_E_STATE, 0, "hv-xen",
                          "there is no replica to write to");
    while (from < n) {
        size_t to = run_end(gfns, from, n);

        rc = src ? write_window(hv, gfns, from, to, src, err)
                 : drop_window(hv, gfns, from, to, err);
        if (rc)
            return rc;
        from = to;
    }
    return 0;
}

/* ---- the whole picture ---- */

int colo__hv_xen_populated(struct colo_hv_xen *hv, struct colo_bitmap *bm,
                           struct colo_error *err)
{
    uint64_t gfns[COLO_XEN_TYPE_BATCH];
    bool has[COLO_XEN_TYPE_BATCH];

    for (uint64_t base = 0; base < bm->bits; base += COLO_XEN_TYPE_BATCH) {
        size_t n = COLO_XEN_TYPE_BATCH;
        int rc;

        if (n > bm->bits - base)
            n = (size_t)(bm->bits - base);
        for (size_t i = 0; i < n; i++)
            gfns[i] = base + i;
        rc = colo__hv_xen_types(hv, gfns, n, has, err);
        if (rc)
            return rc;
        for (size_t i = 0; i < n; i++) {
            if (has[i])
                colo__bitmap_set(bm, base + i);
        }
    }
    return 0;
}
