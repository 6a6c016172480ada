/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Which frames of the guest have been written: Xen's log-dirty bitmap, what
 * has to be added to it (frames of backends), what has to be taken from it
 * (frames that never travel), and every sign that the record cannot be
 * trusted; then all is reported dirty.  Thread rule: hv.h's.
 */
#include <stdlib.h>
#include <string.h>

#include "compat-xen.h"
#include "grant-scan.h"
#include "hv-xen.h"
#include "skip-set.h"

/* ---- frames that never travel ---- */

int colo__hv_xen_load_skip(struct colo_hv_xen *hv, struct colo_error *err)
{
    static const uint32_t params[COLO_SKIP_PARAMS] = {
        [COLO_SKIP_STORE] = HVM_PARAM_STORE_PFN,
        [COLO_SKIP_CONSOLE] = HVM_PARAM_CONSOLE_PFN,
        [COLO_SKIP_IOREQ] = HVM_PARAM_IOREQ_PFN,
        [COLO_SKIP_BUFIOREQ] = HVM_PARAM_BUFIOREQ_PFN,
        [COLO_SKIP_PAGING] = HVM_PARAM_PAGING_RING_PFN,
        [COLO_SKIP_MONITOR] = HVM_PARAM_MONITOR_RING_PFN,
        [COLO_SKIP_SHARING] = HVM_PARAM_SHARING_RING_PFN,
        [COLO_SKIP_IDENT_PT] = HVM_PARAM_IDENT_PT,
        [COLO_SKIP_SERVER] = HVM_PARAM_IOREQ_SERVER_PFN,
        [COLO_SKIP_NR_SERVER] = HVM_PARAM_NR_IOREQ_SERVER_PAGES,
    };
    uint64_t values[COLO_SKIP_PARAMS] = { 0 };

    for (size_t i = 0; i < COLO_SKIP_PARAMS; i++) {
        /* some are not readable on some guests: then they are not set */
        if (xc_hvm_param_get(hv->xch, hv->domid, params[i], &values[i]) < 0)
            values[i] = 0;
    }
    if (!values[COLO_SKIP_STORE])
        return colo__fail(err, COLO_E_UNSUPPORTED, 0, "hv-xen",
                          "domain %u has no xenstore page: it was not made "
                          "by libxl", hv->domid);
    hv->dirty.nr_skip = colo__skip_set(values, hv->dirty.skip,
                                       COLO_XEN_MAX_SKIP);
    return 0;
}

bool colo__hv_xen_skipped(const struct colo_hv_xen *hv, uint64_t gfn)
{
    return colo__skip_has(hv->dirty.skip, hv->dirty.nr_skip, gfn);
}

static void clear_skip(const struct colo_hv_xen *hv, struct colo_bitmap *bm)
{
    for (size_t i = 0; i < hv->dirty.nr_skip; i++)
        colo__bitmap_clear(bm, hv->dirty.skip[i]);
}

/* ---- Xen's bitmap ---- */

static int log_dirty(const struct colo_hv_xen *hv, bool on)
{
    return xc_shadow_control(hv->xch, hv->domid,
                             on ? XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY
                                : XEN_DOMCTL_SHADOW_OP_OFF, NULL, 0);
}

void colo__hv_xen_dirty_close(struct colo_hv_xen *hv)
{
    struct colo_xen_dirty *d = &hv->dirty;

    if (d->tracking && hv->has_domain) {
        (void)colo__hv_xen_devices_dirty_log(hv, false, NULL);
        log_dirty(hv, false);
    }
    d->tracking = false;
    if (d->words)
        xencall_free_buffer_pages(hv->xcall, d->words, d->words_pages);
    d->words = NULL;
    colo__bitmap_fini(&d->populated);
}

/* The guest can raise its highest frame at any time (grant frames). */
static int grow(struct colo_hv_xen *hv, struct colo_error *err)
{
    struct colo_xen_dirty *d = &hv->dirty;
    xen_pfn_t nr = 0;
    size_t pages;

    if (xc_domain_nr_gpfns(hv->xch, hv->domid, &nr) < 0)
        return colo__hv_xen_fail(hv, err, "ask the highest frame");
    if (nr > COLO_XEN_NO_GFN)
        return colo__fail(err, COLO_E_HV, 0, "hv-xen",
                          "domain %u: absurd highest frame", hv->domid);
    if (nr <= d->nr_gfns && d->words)
        return 0;
    if (colo__bitmap_resize(&d->populated, nr))
        return colo__fail(err, COLO_E_NOMEM, 0, "hv-xen",
                          "no memory for a bitmap of %llu frames",
                          (unsigned long long)nr);
    pages = (nr / 8 + COLO_PAGE_SIZE) / COLO_PAGE_SIZE;
    if (pages > d->words_pages) {
        uint64_t *words = xencall_alloc_buffer_pages(hv->xcall, pages);

        if (!words)
            return colo__fail(err, COLO_E_NOMEM, errno, "hv-xen",
                              "no memory for Xen's bitmap");
        if (d->words)
            xencall_free_buffer_pages(hv->xcall, d->words, d->words_pages);
        d->words = words;
        d->words_pages = pages;
    }
    d->nr_gfns = nr;
    return 0;
}

/* One CLEAN or PEEK into d->words; *ret_marked: frames marked since the last
 * CLEAN.  Returns 0 or -1 with errno. */
static int fetch(struct colo_hv_xen *hv, uint32_t flags,
                 uint32_t *ret_marked)
{
    struct xen_domctl op = {
        .cmd = XEN_DOMCTL_shadow_op,
        .domain = (domid_t)hv->domid,
    };

    op.u.shadow_op.op = flags & COLO_DIRTY_CLEAN ?
                        XEN_DOMCTL_SHADOW_OP_CLEAN :
                        XEN_DOMCTL_SHADOW_OP_PEEK;
    op.u.shadow_op.mode = flags & COLO_DIRTY_FINAL ?
                          XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL : 0;
    op.u.shadow_op.pages = hv->dirty.nr_gfns;
    set_xen_guest_handle_raw(op.u.shadow_op.dirty_bitmap,
                             (uint8_t *)hv->dirty.words);
    if (colo__hv_xen_domctl(hv, &op) < 0)
        return -1;
    if (op.u.shadow_op.pages < hv->dirty.nr_gfns) {
        /* shorter than asked: the rest was not written by Xen */
        size_t bytes = (size_t)((op.u.shadow_op.pages + 7) / 8);

        memset((uint8_t *)hv->dirty.words + bytes, 0,
               hv->dirty.words_pages * COLO_PAGE_SIZE - bytes);
    }
    *ret_marked = op.u.shadow_op.stats.dirty_count;
    return 0;
}

static void merge(const struct colo_hv_xen *hv, struct colo_bitmap *bm)
{
    uint64_t n = hv->dirty.nr_gfns / 64, rest = hv->dirty.nr_gfns % 64;

    for (uint64_t i = 0; i < n; i++)
        bm->words[i] |= hv->dirty.words[i];
    if (rest)
        bm->words[n] |= hv->dirty.words[n] &
                        ((UINT64_C(1) << rest) - 1);
}

/* ---- when the record cannot be trusted ---- */

/* Every frame that has memory, or had: the latter so that its removal is
 * seen.  A scan of the types is dearer than filling the map, but reading
 * a hole is dearer still, and there are far more holes. */
static int fill_all(struct colo_hv_xen *hv, struct colo_bitmap *bm,
                    struct colo_error *err)
{
    struct colo_bitmap now;
    int rc;

    colo__bitmap_init(&now);
    if (colo__bitmap_resize(&now, hv->dirty.nr_gfns)) {
        rc = colo__fail(err, COLO_E_NOMEM, 0, "hv-xen",
                        "no memory for a bitmap");
        goto out;
    }
    rc = colo__hv_xen_populated(hv, &now, err);
    if (rc) goto out;
    colo__bitmap_or(bm, &hv->dirty.populated);
    colo__bitmap_or(bm, &now);
    colo__bitmap_or(&hv->dirty.populated, &now);
out:
    colo__bitmap_fini(&now);
    return rc;
}

/* Memory came or went: kept maps may show frames that are no longer the
 * guest's.  On a Xen that does not note such changes in the bitmap, what
 * a new frame holds is not marked either. */
static int check_memory(struct colo_hv_xen *hv, const char **lost,
                        struct colo_error *err)
{
    struct colo_xen_dirty *d = &hv->dirty;
    xc_domaininfo_t info;
    int rc;

    if (d->unstable_until_us) {
        /* while mapped, a page given back still counts: let go first */
        colo__hv_xen_map_drop(hv);
        if (colo__now_us(&colo__clock_monotonic) > d->unstable_until_us)
            d->unstable_until_us = 0;
    }
    rc = colo__hv_xen_getinfo(hv, &info, err);
    if (rc || info.tot_pages == d->tot_pages)
        return rc;
    if (!d->p2m_tracked)
        *lost = "the guest's memory has grown or shrunk";
    colo__hv_xen_map_drop(hv);
    rc = colo__hv_xen_getinfo(hv, &info, err);
    if (!rc)
        d->tot_pages = info.tot_pages;
    return rc;
}

/* Somebody's OFF (a save or migration by another tool) makes CLEAN return
 * nothing without an error.  ENABLE says EINVAL at once while it is on. */
static int check_on(struct colo_hv_xen *hv, const char **lost,
                    struct colo_error *err)
{
    if (!log_dirty(hv, true)) {
        *lost = "somebody switched the tracking of writes off";
        return 0;
    }
    return errno == EINVAL ? 0 :
           colo__hv_xen_fail(hv, err, "check that writes are tracked");
}

/* Somebody's CLEAN, or OFF and ENABLE (what a save by libxl does), cannot be
 * told from a guest that wrote little.  So we mark a frame ourselves, one
 * that never travels and that the guest does not write, and want to find the
 * mark at the next look. */
static int choose_sentinel(struct colo_hv_xen *hv, struct colo_error *err)
{
    /* no ring that a guest uses: it writes to xenstore's as it suspends */
    static const uint32_t params[] = {
        HVM_PARAM_PAGING_RING_PFN, HVM_PARAM_SHARING_RING_PFN,
        HVM_PARAM_MONITOR_RING_PFN, HVM_PARAM_BUFIOREQ_PFN,
    };

    hv->dirty.sentinel = 0;
    for (size_t i = 0; i < COLO_ARRAY_LEN(params); i++) {
        uint64_t gfn = 0;
        bool has = false;
        int rc;

        if (xc_hvm_param_get(hv->xch, hv->domid, params[i], &gfn) < 0 || !gfn)
            continue;
        rc = colo__hv_xen_types(hv, &gfn, 1, &has, err);
        if (rc)
            return rc;
        /* a hole would take no mark, and say nothing */
        if (has && gfn < hv->dirty.nr_gfns) {
            hv->dirty.sentinel = gfn;
            return 0;
        }
    }
    colo__log(&hv->log, COLO_LOG_WARNING, -1, "hv-xen",
              "domain %u: a save by another tool cannot be noticed",
              hv->domid);
    return 0;
}

static void set_sentinel(struct colo_hv_xen *hv)
{
    struct colo_xen_dirty *d = &hv->dirty;

    d->sentinel_set = d->sentinel &&
        xendevicemodel_modified_memory(hv->dmod, (domid_t)hv->domid,
                                       d->sentinel, 1) == 0;
}

static void check_record(struct colo_hv_xen *hv, uint32_t flags,
                         uint32_t marked, const char **lost)
{
    const struct colo_xen_dirty *d = &hv->dirty;
    bool final = (flags & (COLO_DIRTY_FINAL | COLO_DIRTY_CLEAN)) ==
                 (COLO_DIRTY_FINAL | COLO_DIRTY_CLEAN);

    if (*lost)
        return;
    if (d->sentinel_set &&
        !(d->words[d->sentinel / 64] >> (d->sentinel % 64) & 1))
        *lost = "somebody else has fetched or reset the record of writes";
    /* a guest that suspends itself writes while it does so */
    else if (final && !(flags & COLO_DIRTY_SEED) && hv->stop.need_rax &&
             marked <= d->sentinel_set)
        *lost = "nothing was recorded though the guest has run";
}

static int restart(struct colo_hv_xen *hv, struct colo_error *err)
{
    log_dirty(hv, false);
    return log_dirty(hv, true) ?
           colo__hv_xen_fail(hv, err, "restart the tracking of writes") : 0;
}

/* The device model of a guest with a display may have Xen track what is written
 * to the screen, which then says that tracking is on.  So libxl does, too. */
static int track_begin(const struct colo_hv_xen *hv)
{
    int r = log_dirty(hv, true);

    if (!r || errno != EINVAL || !hv->devices.has_model)
        return r;
    log_dirty(hv, false);
    return log_dirty(hv, true);
}

/* ---- the calls ---- */

int colo__hv_xen_track(struct colo_hv *chv, int on, struct colo_error *err)
{
    struct colo_hv_xen *hv = colo__hv_xen(chv);
    xc_domaininfo_t info;
    int rc;

    rc = colo__hv_xen_getinfo(hv, &info, err);
    if (!rc)
        rc = grow(hv, err);
    if (!rc && on)
        rc = choose_sentinel(hv, err);
    if (rc)
        return rc;
    if (!on) {
        hv->dirty.tracking = false;
        rc = colo__hv_xen_devices_dirty_log(hv, false, err);
        if (rc)
            colo__log(&hv->log, COLO_LOG_WARNING, -1, "hv-xen", "domain %u: "
                      "its device model still records writes", hv->domid);
        return log_dirty(hv, false) ?
               colo__hv_xen_fail(hv, err, "stop tracking writes") : 0;
    }
    if (track_begin(hv)) {
        if (errno == EINVAL)
            return colo__fail(err, COLO_E_EXISTS, EINVAL, "hv-xen",
                              "writes of domain %u are tracked already "
                              "(another save or session), or it has a "
                              "passed-through device", hv->domid);
        return colo__hv_xen_fail(hv, err, "track writes");
    }
    rc = colo__hv_xen_devices_dirty_log(hv, true, err);
    if (rc) {
        log_dirty(hv, false);
        return rc;
    }
    hv->dirty.tracking = true;
    hv->dirty.tot_pages = info.tot_pages;
    set_sentinel(hv);
    return 0;
}

/* What backends wrote, or may be writing, without a mark. */
static int add_grants(struct colo_hv_xen *hv, struct colo_bitmap *bm,
                      uint32_t flags, struct colo_error *err)
{
    if (flags & COLO_DIRTY_SEED)
        return colo__hv_xen_grants_add(hv, COLO_XEN_GRANT_WRITABLE, bm, err);
    if (flags & COLO_DIRTY_FINAL)
        return colo__hv_xen_grants_add(hv, COLO_XEN_GRANT_WRITING, bm, err);
    return 0;
}

int colo__hv_xen_dirty(struct colo_hv *chv, struct colo_bitmap *bm,
                       uint32_t flags, bool *ret_lost, struct colo_error *err)
{
    struct colo_hv_xen *hv = colo__hv_xen(chv);
    const char *lost = NULL;
    uint32_t marked = 0;
    int rc;

    if (!hv->dirty.tracking)
        return colo__fail(err, COLO_E_STATE, 0, "hv-xen",
                          "writes are not tracked");
    rc = check_memory(hv, &lost, err);
    if (!rc)
        rc = check_on(hv, &lost, err);
    if (!rc)
        rc = grow(hv, err);
    if (rc)
        return rc;
    if (colo__bitmap_resize(bm, hv->dirty.nr_gfns))
        return colo__fail(err, COLO_E_NOMEM, 0, "hv-xen",
                          "no memory for a bitmap");
    if (fetch(hv, flags, &marked) < 0) {
        if (errno != ENOMEM)
            return colo__hv_xen_fail(hv, err, "fetch the written frames");
        lost = "Xen ran out of memory for its record";
        rc = restart(hv, err);
        if (rc)
            return rc;
    } else {
        merge(hv, bm);
        check_record(hv, flags, marked, &lost);
    }
    set_sentinel(hv);
    /* somebody's save switches the device model's record off, too */
    rc = lost ? colo__hv_xen_devices_dirty_log(hv, true, err) : 0;
    if (!rc)
        rc = lost ? fill_all(hv, bm, err) : add_grants(hv, bm, flags, err);
    if (rc)
        return rc;
    clear_skip(hv, bm);
    if (lost)
        colo__fail(err, 0, 0, "hv-xen", "%s", lost);
    *ret_lost = lost != NULL;
    return 0;
}

/* Frames that were given memory since the last CLEAN, or moved while the device
 * model loaded its state, may be written without a mark until the next one.
 * What this one finds is dropped: the replica has stood still since the last,
 * and what was written into it the session knows. */
int colo__hv_xen_dirty_rearm(struct colo_hv_xen *hv, struct colo_error *err)
{
    uint32_t marked = 0;
    xc_domaininfo_t info;
    int rc;

    if (!hv->dirty.tracking)
        return 0;
    rc = colo__hv_xen_getinfo(hv, &info, err);
    if (!rc)
        rc = grow(hv, err);
    if (rc)
        return rc;
    hv->dirty.tot_pages = info.tot_pages;
    if (fetch(hv, COLO_DIRTY_CLEAN, &marked) < 0) {
        if (errno != ENOMEM)
            return colo__hv_xen_fail(hv, err, "reset the record of writes");
        rc = restart(hv, err);
        if (rc)
            return rc;
    }
    set_sentinel(hv);
    return 0;
}

int colo__hv_xen_unmarked(struct colo_hv *chv, struct colo_bitmap *bm,
                          struct colo_error *err)
{
    struct colo_hv_xen *hv = colo__hv_xen(chv);
    int rc;

    if (!hv->has_domain)
        return colo__fail(err, COLO_E_STATE, 0, "hv-xen", "no domain");
    rc = grow(hv, err);
    if (rc)
        return rc;
    if (colo__bitmap_resize(bm, hv->dirty.nr_gfns))
        return colo__fail(err, COLO_E_NOMEM, 0, "hv-xen",
                          "no memory for a bitmap");
    rc = colo__hv_xen_grants_add(hv, COLO_XEN_GRANT_WRITABLE, bm, err);
    if (!rc)
        clear_skip(hv, bm);
    return rc;
}
