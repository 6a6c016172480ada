/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A simulated guest that is streamed, as a PV guest is: hv-sim, whose memory
 * and machine travel in pieces of the form that libxenguest writes.  One pair
 * at a time.
 */
#ifndef PV_SIM_H
#define PV_SIM_H

#include "session-pair.h"

#include "../../remus-compat/stream-piece.h"
#include "../../remus-compat/stream-read.h"
#include "../../remus-compat/stream-write.h"

struct pv_side {
    struct colo_hv_ops ops;
    const struct colo_hv_ops *sim;
    struct colo_machine_ops machine;
    struct colo_life_ops life;
};

struct pv_sim {
    struct pv_side p, s;
    struct colo_bitmap carry;
    uint8_t *piece;
    uint32_t len, cap;
    bool taken;               /* and not yet fetched */
    uint8_t context[COLO_PAGE_SIZE];
    uint32_t context_len;
    bool expected, ended;
    uint64_t loads;
    void (*beat)(void *user);
    void *beat_user;
    struct side *other;       /* of a get that takes its time, see pv_linger */
    /* faults */
    uint64_t gets, fail_get, fail_load, cut_at, slow_get;
    int wishes;               /* answers of get that are no lengths */
};
static struct pv_sim pv;

/* ---- the primary's side ------------------------------------------------- */

static inline int pv_info(struct colo_hv *hv, struct colo_hv_info *ret,
                          struct colo_error *err)
{
    int rc = pv.p.sim->info(hv, ret, err);

    ret->streamed = true;
    return rc;
}

static inline int pv_dirty(struct colo_hv *hv, struct colo_bitmap *bm,
                           uint32_t flags, bool *ret_lost,
                           struct colo_error *err)
{
    struct colo_hv_info info;

    *ret_lost = false;
    if (flags & COLO_DIRTY_SEED)
        return pv.p.sim->dirty(hv, &pv.carry, flags, ret_lost, err);
    ck_assert_int_eq(pv.p.sim->info(hv, &info, err), 0);
    return colo__bitmap_resize(bm, info.nr_gfns);
}

static inline int pv_no_pages(struct colo_hv *hv, const uint64_t *gfns,
                              size_t n, uint8_t *dst, uint8_t *kinds,
                              struct colo_error *err)
{
    (void)hv;
    (void)gfns;
    (void)n;
    (void)dst;
    (void)kinds;
    ck_abort_msg("a streamed guest's page is read");
    return colo__fail(err, COLO_E_STATE, 0, "test", "no pages");
}

static inline void pv_put_page(struct colo_stream_out *out, struct colo_hv *hv,
                               uint64_t gfn)
{
    uint64_t entry = colo__stream_entry(gfn, COLO_PAGE_NORMAL);
    uint8_t page[COLO_PAGE_SIZE], kind;

    ck_assert_int_eq(pv.p.sim->read(hv, &gfn, 1, page, &kind, NULL), 0);
    if (kind != COLO_PAGE_DATA)
        return;
    colo__stream_out_pages(out, &entry, 1);
    ck_assert_uint_le(out->len + COLO_PAGE_SIZE, out->cap);
    memcpy(out->buf + out->len, page, COLO_PAGE_SIZE);
    out->len += COLO_PAGE_SIZE;
}

/* What ends a checkpoint; in SHARED_INFO is what the simulation has for a
 * machine. */
static inline void pv_put_tail(struct colo_stream_out *out,
                               struct colo_hv *hv)
{
    static uint8_t vcpu[8 + COLO_STREAM_VCPU_64];
    uint8_t shared[COLO_PAGE_SIZE] = { 0 };
    uint32_t n = 0;

    ck_assert_int_eq(pv.p.sim->machine->get(hv, shared + 4,
                                            sizeof(shared) - 4, &n, NULL), 0);
    colo__put_le(shared, n, 4);
    colo__stream_out_tsc(out, 2, 2400000, 1, 1);
    colo__stream_out_record(out, COLO_STREAM_LIBXC, COLO_LIBXC_SHARED_INFO,
                            shared, sizeof(shared));
    colo__stream_out_record(out, COLO_STREAM_LIBXC, COLO_LIBXC_PV_VCPU_BASIC,
                            vcpu, sizeof(vcpu));
    colo__stream_out_record(out, COLO_STREAM_LIBXC, COLO_LIBXC_CHECKPOINT,
                            NULL, 0);
    colo__stream_out_record(out, COLO_STREAM_LIBXL, COLO_LIBXL_CHECKPOINT_END,
                            NULL, 0);
}

static inline void pv_take(struct colo_hv *hv)
{
    struct colo_stream_out out;
    uint64_t pos = 0, gfn;
    bool lost = false;
    size_t len;

    ck_assert_int_eq(pv.p.sim->dirty(hv, &pv.carry, COLO_DIRTY_CLEAN |
                                     COLO_DIRTY_FINAL, &lost, NULL), 0);
    pv.cap = colo__stream_piece_max(colo__bitmap_count(&pv.carry));
    pv.piece = realloc(pv.piece, pv.cap);
    colo__stream_out_init(&out, pv.piece, pv.cap);
    while (colo__bitmap_scan(&pv.carry, &pos, &gfn, 1))
        pv_put_page(&out, hv, gfn);
    colo__bitmap_zero(&pv.carry);
    pv_put_tail(&out, hv);
    ck_assert_int_eq(colo__stream_out_end(&out, &len, NULL), 0);
    pv.len = (uint32_t)len;
    pv.taken = true;
}

static inline void pv_set_beat(struct colo_hv *hv, void (*beat)(void *user),
                               void *user, uint32_t limit_ms)
{
    (void)hv;
    (void)limit_ms;
    pv.beat = beat;
    pv.beat_user = user;
}

/* The other side goes on meanwhile, and would take this one for dead. */
static inline void pv_linger(void)
{
    uint64_t until = now_ms() + 3 * pv.other->config.dead_ms;

    while (now_ms() < until) {
        if (pv.beat)
            pv.beat(pv.beat_user);
        poll(NULL, 0, 5);
        side_process(pv.other);
    }
}

static inline int pv_get(struct colo_hv *hv, uint8_t *buf, uint32_t cap,
                         uint32_t *ret_len, struct colo_error *err)
{
    if (!pv.taken) {
        if (++pv.gets == pv.fail_get)
            return colo__fail(err, COLO_E_HV, 0, "test", "the helper died");
        pv_take(hv);
        if (pv.gets == pv.slow_get)
            pv_linger();
        if (pv.gets == pv.cut_at)
            pv.len -= 8;
    }
    if (pv.wishes) { /* a guess that is too small, then more than it takes */
        *ret_len = --pv.wishes ? cap + 1 : UINT32_MAX;
        return colo__fail(err, COLO_E_LIMIT, 0, "test", "a wish");
    }
    *ret_len = pv.len;
    if (pv.len > cap)
        return colo__fail(err, COLO_E_LIMIT, 0, "test", "no room");
    memcpy(buf, pv.piece, pv.len);
    pv.taken = false;
    return 0;
}

static inline void pv_wrap(struct colo_hv *hv, struct pv_side *side)
{
    side->sim = colo__hv_ops(hv);
    side->ops = *side->sim;
    side->machine = *side->sim->machine;
    side->life = *side->sim->life;
    side->life.run = NULL;
    side->ops.machine = &side->machine;
    side->ops.life = &side->life;
    *(const struct colo_hv_ops **)hv = &side->ops;
}

/* ---- the backup's ------------------------------------------------------- */

static inline int pv_expect(struct colo_hv *hv, struct colo_error *err)
{
    (void)hv;
    (void)err;
    pv.expected = true;
    return 0;
}

static inline int pv_check(struct colo_hv *hv, const uint8_t *buf,
                           uint32_t len, struct colo_error *err)
{
    (void)hv;
    return colo__stream_check_piece(buf, len, 0, NULL, err);
}

static inline int pv_load(struct colo_hv *hv, const uint8_t *buf,
                          uint32_t len, struct colo_error *err)
{
    struct colo_stream_reader reader;
    struct colo_stream_item item;
    uint64_t gfn;

    ck_assert(pv.expected);
    ck_assert(!pv.ended);
    for (int i = 0; !sim_hv_guest(hv) && i < 2000; i++)
        poll(NULL, 0, 1);
    if (!buf)
        return 0;
    if (++pv.loads == pv.fail_load)
        return colo__fail(err, COLO_E_HV, 0, "test", "the restore died");
    colo__stream_reader_at_data(&reader, 0);
    for (uint32_t at = 0; at < len;) {
        int n = colo__stream_read(&reader, buf + at, len - at, &item, err);

        ck_assert_int_gt(n, 0);
        at += (uint32_t)n;
        gfn = colo__stream_pfn(item.entry);
        if (item.kind == COLO_ITEM_PAGE)
            ck_assert_int_eq(pv.s.sim->write(hv, &gfn, 1, item.body, err), 0);
        if (item.kind != COLO_ITEM_RECORD ||
            item.type != COLO_LIBXC_SHARED_INFO ||
            item.layer != COLO_STREAM_LIBXC)
            continue;
        pv.context_len = colo__le32(item.body);
        memcpy(pv.context, item.body + 4, COLO_PAGE_SIZE - 4);
    }
    return 0;
}

static inline int pv_set(struct colo_hv *hv, const uint8_t *buf, uint32_t len,
                         struct colo_error *err)
{
    (void)len;
    ck_assert_ptr_null(buf);
    pv.ended = true;
    return pv.s.sim->machine->set(hv, pv.context, pv.context_len, err);
}

/* ---- both --------------------------------------------------------------- */

static inline struct colo_hv *pv_primary(struct sim_guest *guest)
{
    struct colo_hv *hv = sim_hv_primary(guest);

    memset(&pv, 0, sizeof(pv));
    colo__bitmap_init(&pv.carry);
    pv_wrap(hv, &pv.p);
    pv.p.ops.info = pv_info;
    pv.p.ops.dirty = pv_dirty;
    pv.p.ops.read = pv_no_pages;
    pv.p.machine.get = pv_get;
    pv.p.machine.set_beat = pv_set_beat;
    return hv;
}

static inline struct colo_hv *pv_secondary(const struct sim_config *config)
{
    struct colo_hv *hv = sim_hv_secondary(config);

    pv_wrap(hv, &pv.s);
    pv.s.ops.read = pv_no_pages;
    pv.s.machine.check = pv_check;
    pv.s.machine.load = pv_load;
    pv.s.machine.set = pv_set;
    pv.s.life.expect_stream = pv_expect;
    return hv;
}

static inline void pv_fini(void)
{
    colo__bitmap_fini(&pv.carry);
    free(pv.piece);
    pv.piece = NULL;
}

#endif
