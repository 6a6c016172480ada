/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * For the tests of gates to stock Xen: a simulated guest whose seed and
 * machine look like Xen's, and an xl that does with a stream what stock
 * `xl migrate-receive -r` does (Xen 4.17.7, xg_sr_restore.c): it holds a
 * checkpoint back until it is whole, starts the guest when the stream ends,
 * and gives up when a checkpoint cannot be loaded.
 */
#ifndef GATE_COMMON_H
#define GATE_COMMON_H

#include <fcntl.h>
#include <pthread.h>

#include "session-pair.h"
#include "../sim/sim-internal.h"
#include "stream-common.h"

#include "../../remus-compat/gate/gate.h"
#include "../../remus-compat/stream-convert.h"
#include "../../remus-compat/stream-epoch.h"
#include "../../remus-compat/xl-header.h"
#include "../../libcolo/pure/seed-header.h"

#define GATE_CONFIG "{ \"c_info\": { \"name\": \"sim\" } }"

/* ---- the guest of this host ------------------------------------------- */

/* hv-sim, with the three calls replaced whose bytes travel. */
struct stock_hv {
    struct colo_hv_ops ops;
    const struct colo_hv_ops *sim;
    struct colo_machine_ops machine;
    struct colo_life_ops life;
    int seed_fd, drain_fd;
    pthread_t drain;
    bool draining;
    /* the simulation's own seed is carried in pages of the stream, so that a
     * simulated backup can be made of it; else pages are the guest's */
    bool carry;
    uint8_t *carried;
    size_t carried_len;
};
static struct stock_hv stock_hv;

/* The machine of the simulation in a record that may have any length. */
#define STOCK_RECORD 16u
#define STOCK_CONTEXT_MIN 600u

static inline uint32_t stock_record(uint8_t *at, uint32_t type, uint32_t len)
{
    memset(at, 0, 8 + len);
    colo__put_le(at, type, 2);
    colo__put_le(at + 4, len, 4);
    return 8 + len;
}

static inline int stock_get(struct colo_hv *hv, uint8_t *buf, uint32_t cap,
                            uint32_t *ret_len, struct colo_error *err)
{
    uint8_t context[8192];
    uint32_t n = 0, len, at = colo__hvmctx_room(0);
    int rc = stock_hv.sim->machine->get(hv, context, sizeof(context), &n,
                                        err);

    if (rc)
        return rc;
    len = n + 4 < STOCK_CONTEXT_MIN ? STOCK_CONTEXT_MIN : n + 4;
    *ret_len = at + 8 + 24 + 8 + 1032 + 8 + len + 8;
    if (*ret_len > cap)
        return colo__fail(err, COLO_E_LIMIT, 0, "test", "no room");
    at += stock_record(buf + at, 1, 24);
    at += stock_record(buf + at, 2, 1032);
    stock_record(buf + at, STOCK_RECORD, len);
    colo__put_le(buf + at + 8, n, 4);
    memcpy(buf + at + 12, context, n);
    at += 8 + len;
    at += stock_record(buf + at, 0, 0);
    colo__hvmctx_put_header(buf, 4 << 16 | 17, NULL, 0,
                            at - colo__hvmctx_room(0));
    return 0;
}

static inline void *stock_drain(void *arg)
{
    uint8_t buf[65536];
    ssize_t n;

    while ((n = read(stock_hv.drain_fd, buf, sizeof(buf))) > 0) {
        if (!stock_hv.carry)
            continue;
        stock_hv.carried = realloc(stock_hv.carried,
                                   stock_hv.carried_len + (size_t)n);
        memcpy(stock_hv.carried + stock_hv.carried_len, buf, (size_t)n);
        stock_hv.carried_len += (size_t)n;
    }
    close(stock_hv.drain_fd);
    return arg;
}

static inline int stock_seed_out(struct colo_hv *hv, int fd,
                                 struct colo_error *err)
{
    int fds[2];

    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    stock_hv.seed_fd = fd;
    stock_hv.drain_fd = fds[0];
    ck_assert_int_eq(pthread_create(&stock_hv.drain, NULL, stock_drain, NULL),
                     0);
    stock_hv.draining = true;
    return stock_hv.sim->life->seed_out(hv, fds[1], err);
}

/* false: the reader is gone */
static inline bool stock_put(const void *p, size_t len)
{
    const uint8_t *at = p;

    while (len) {
        ssize_t n = write(stock_hv.seed_fd, at, len);

        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static inline bool stock_put_page(uint64_t gfn, const uint8_t *page)
{
    uint8_t head[COLO_STREAM_PAGES_HEAD(1)];
    struct colo_stream_out out;
    size_t len = 0;

    colo__stream_out_init(&out, head, sizeof(head));
    colo__stream_out_frames(&out, &gfn, 1, false);
    ck_assert_int_eq(colo__stream_out_end(&out, &len, NULL), 0);
    return stock_put(head, len) && stock_put(page, COLO_PAGE_SIZE);
}

/* the first page says how many bytes follow in the others */
static inline bool stock_put_carried(void)
{
    uint8_t page[COLO_PAGE_SIZE] = { 0 };
    bool ok;

    pthread_join(stock_hv.drain, NULL);
    stock_hv.draining = false;
    colo__put_le(page, stock_hv.carried_len, 8);
    ok = stock_put_page(0, page);
    for (size_t at = 0; ok && at < stock_hv.carried_len;
         at += COLO_PAGE_SIZE) {
        size_t n = stock_hv.carried_len - at;

        memcpy(page, stock_hv.carried + at, n < sizeof(page) ? n
                                                             : sizeof(page));
        ok = stock_put_page(1 + at / COLO_PAGE_SIZE, page);
    }
    free(stock_hv.carried);
    stock_hv.carried = NULL;
    stock_hv.carried_len = 0;
    return ok;
}

static inline bool stock_put_memory(struct colo_hv *hv)
{
    uint8_t page[COLO_PAGE_SIZE], kind;
    struct colo_hv_info info;

    if (stock_hv.carry)
        return stock_put_carried();
    ck_assert_int_eq(stock_hv.sim->info(hv, &info, NULL), 0);
    for (uint64_t gfn = 0; gfn < info.nr_gfns; gfn++) {
        ck_assert_int_eq(stock_hv.sim->read(hv, &gfn, 1, page, &kind, NULL),
                         0);
        if (kind != COLO_PAGE_DATA)
            continue;
        if (!stock_put_page(gfn, page))
            return false;
    }
    return true;
}

/* What colo-toolstack writes of a PVH guest that stands still. */
static inline void stock_put_seed(struct colo_hv *hv)
{
    static struct stream s;
    static uint8_t container[16384];
    uint8_t header[SEED_HEADER];
    uint32_t len = 0, room = colo__hvmctx_room(0);
    bool ok;

    ck_assert_int_eq(stock_get(hv, container, sizeof(container), &len, NULL),
                     0);
    seed_header_put(header, sizeof(GATE_CONFIG) - 1);
    stream_begin(&s);
    stream_head(&s, COLO_STREAM_HVM);
    stream_end(&s);
    ok = stock_put(header, sizeof(header)) &&
         stock_put(GATE_CONFIG, sizeof(GATE_CONFIG) - 1) &&
         stock_put(s.bytes, s.len) && stock_put_memory(hv);
    stream_begin(&s);
    colo__stream_out_tsc(&s.out, 2, 2400000, 123456789, 1);
    colo__stream_out_record(&s.out, COLO_STREAM_LIBXC, COLO_LIBXC_HVM_CONTEXT,
                            container + room, len - room);
    colo__stream_out_params(&s.out, (uint32_t[]){ 1, 17 },
                            (uint64_t[]){ 0xfeffc, 0xfefff }, 2);
    stream_mark(&s, COLO_STREAM_LIBXC, COLO_LIBXC_END);
    stream_mark(&s, COLO_STREAM_LIBXL, COLO_LIBXL_END);
    stream_end(&s);
    if (ok)
        stock_put(s.bytes, s.len);
    close(stock_hv.seed_fd);
}

static inline int stock_poll(struct colo_hv *hv, struct colo_hv_event *ev,
                             struct colo_error *err)
{
    int rc = stock_hv.sim->poll(hv, ev, err);

    if (!rc && (ev->events & COLO_HV_EV_SEEDED) && stock_hv.seed_fd >= 0) {
        stock_put_seed(hv);
        stock_hv.seed_fd = -1;
    }
    return rc;
}

/* One at a time. */
static inline struct colo_hv *stock_hv_primary(struct sim_guest *guest)
{
    struct colo_hv *hv = sim_hv_primary(guest);

    memset(&stock_hv, 0, sizeof(stock_hv));
    stock_hv.seed_fd = -1;
    stock_hv.sim = colo__hv_ops(hv);
    stock_hv.ops = *stock_hv.sim;
    stock_hv.machine = *stock_hv.sim->machine;
    stock_hv.life = *stock_hv.sim->life;
    stock_hv.ops.poll = stock_poll;
    stock_hv.ops.machine = &stock_hv.machine;
    stock_hv.ops.life = &stock_hv.life;
    stock_hv.machine.get = stock_get;
    stock_hv.life.seed_out = stock_seed_out;
    *(const struct colo_hv_ops **)hv = &stock_hv.ops;
    return hv;
}

static inline void stock_hv_join(void)
{
    if (stock_hv.draining)
        pthread_join(stock_hv.drain, NULL);
    stock_hv.draining = false;
    free(stock_hv.carried);
    stock_hv.carried = NULL;
    stock_hv.carried_len = 0;
}

/* ---- xl over there ---------------------------------------------------- */

enum xl_end {
    XL_RUNS,
    XL_STARTED,  /* the guest, from the last whole checkpoint */
    XL_GAVE_UP,  /* and destroyed what it had */
    XL_CONFUSED, /* by what stock Xen does not send; also gives up */
};

struct xl {
    int fd;
    const char *banner;
    bool streamed;             /* the guest is: pv-sim.h */
    uint64_t stop_after;       /* checkpoints; then it does stop_how */
    enum { XL_HANG = 1, XL_DIE, XL_CUT /* off from the primary */ } stop_how;
    _Atomic uint64_t checkpoints;
    _Atomic int end;
    struct sim_guest *replica; /* as of the last whole checkpoint */
    bool loaded;               /* its machine was */
    struct colo_error err;
    /* all that came, if wanted */
    uint8_t *bytes;
    size_t len, cap;
    /* of the checkpoint under way */
    uint64_t *gfns;
    uint8_t *pages;
    size_t held, room;
    struct colo_stream_gather gather;
    uint8_t machine[65536];
    pthread_t thread;
};

static inline bool xl_read(struct xl *xl, void *buf, size_t len)
{
    uint8_t *p = buf;

    while (len) {
        ssize_t n = read(xl->fd, p, len);

        if (n <= 0)
            return false;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

static inline bool xl_greet(struct xl *xl)
{
    const char *banner = xl->banner ? xl->banner : COLO_XL_BANNER;
    uint8_t header[COLO_XL_HEADER], rest[512];
    const char *config = NULL;
    uint32_t len = 0;

    if (write(xl->fd, banner, strlen(banner)) < 0 ||
        !xl_read(xl, header, sizeof(header)) ||
        colo__xl_header(header, sizeof(header), &len, &xl->err) < 0 ||
        len > sizeof(rest) || !xl_read(xl, rest, len) ||
        colo__xl_config(rest, len, &config, &xl->err))
        return false;
    return !strcmp(config, GATE_CONFIG);
}

/* The simulation's context in what came of the machine. */
static inline const uint8_t *xl_context(struct xl *xl, uint32_t *ret_len)
{
    struct colo_hvmctx ctx;
    const uint8_t *record = xl->machine;
    uint32_t len = 0;

    if (!xl->streamed) {
        if (colo__stream_gather_end(&xl->gather, &len, &xl->err) ||
            colo__hvmctx_parse(xl->gather.buf, len, &ctx, &xl->err))
            return NULL;
        record = ctx.context + 8 + 24 + 8 + 1032 + 8;
    }
    *ret_len = colo__le32(record);
    return record + 4;
}

/* Nothing of a checkpoint is loaded before all of it is there. */
static inline void xl_load(struct xl *xl)
{
    struct pulse_state state;
    const uint8_t *context;
    uint32_t len;

    for (size_t i = 0; i < xl->held; i++) {
        sim__present(xl->replica, xl->gfns[i], true);
        memcpy(sim_guest_page(xl->replica, xl->gfns[i]),
               xl->pages + i * COLO_PAGE_SIZE, COLO_PAGE_SIZE);
    }
    xl->held = 0;
    context = xl_context(xl, &len);
    xl->loaded = context && !sim__context_check(xl->replica, context, len,
                                                &state, &xl->err);
    if (xl->loaded)
        xl->replica->ctl->context = state;
}

static inline void xl_hold(struct xl *xl, const struct colo_stream_item *item)
{
    if (item->kind == COLO_ITEM_PAGE) {
        if (xl->held == xl->room) {
            xl->room = xl->room ? 2 * xl->room : 1024;
            xl->gfns = realloc(xl->gfns, xl->room * sizeof(*xl->gfns));
            xl->pages = realloc(xl->pages, xl->room * COLO_PAGE_SIZE);
        }
        memcpy(xl->pages + xl->held * COLO_PAGE_SIZE, item->body,
               COLO_PAGE_SIZE);
        xl->gfns[xl->held++] = colo__stream_pfn(item->entry);
    } else if (!xl->streamed) {
        (void)colo__stream_gather_add(&xl->gather, item, &xl->err);
    } else if (item->kind == COLO_ITEM_RECORD &&
               item->layer == COLO_STREAM_LIBXC &&
               item->type == COLO_LIBXC_SHARED_INFO) {
        memcpy(xl->machine, item->body, COLO_PAGE_SIZE);
    }
}

static inline bool xl_more(struct xl *xl, uint8_t *buf, size_t cap,
                           size_t *len)
{
    ssize_t n = read(xl->fd, buf + *len, cap - *len);

    if (n <= 0)
        return false;
    if (xl->bytes && xl->len + (size_t)n <= xl->cap) {
        memcpy(xl->bytes + xl->len, buf + *len, (size_t)n);
        xl->len += (size_t)n;
    }
    *len += (size_t)n;
    return true;
}

/* The reader has refused a record: stock Xen would when all of its checkpoint
 * is there, and this one must be what revoke sends. */
static inline int xl_refuse(struct xl *xl, uint8_t *buf, size_t cap,
                            size_t len)
{
    uint8_t revoke[COLO_STREAM_REVOKE];

    colo__stream_revoke(revoke);
    while (len < sizeof(revoke)) {
        if (!xl_more(xl, buf, cap, &len))
            return atomic_load(&xl->checkpoints) ? XL_STARTED : XL_GAVE_UP;
    }
    return len == sizeof(revoke) && !memcmp(buf, revoke, len) ? XL_GAVE_UP
                                                              : XL_CONFUSED;
}

static inline int xl_receive(struct xl *xl)
{
    static struct colo_stream_reader reader;
    static uint8_t buf[256 * 1024];
    size_t pos = 0, len = 0;

    if (!xl_greet(xl))
        return XL_GAVE_UP;
    colo__stream_reader_init(&reader, COLO_STREAM_REMUS, NULL);
    for (;;) {
        struct colo_stream_item item;
        int used = colo__stream_read(&reader, buf + pos, len - pos, &item,
                                     &xl->err);

        if (used <= 0) {
            memmove(buf, buf + pos, len - pos);
            len -= pos;
            pos = 0;
        }
        if (used < 0)
            return xl_refuse(xl, buf, sizeof(buf), len);
        if (!used && !xl_more(xl, buf, sizeof(buf), &len))
            return atomic_load(&xl->checkpoints) ? XL_STARTED : XL_GAVE_UP;
        if (!used)
            continue;
        xl_hold(xl, &item);
        pos += (size_t)used;
        if (!colo__stream_first_done(&item))
            continue;
        xl_load(xl);
        if (!xl->loaded)
            return XL_CONFUSED;
        if (atomic_fetch_add(&xl->checkpoints, 1) + 1 == xl->stop_after)
            break;
    }
    while (xl->stop_how == XL_HANG && !poll(NULL, 0, 10) &&
           atomic_load(&xl->end) == XL_RUNS)
        ;
    return xl->stop_how == XL_CUT ? XL_STARTED : XL_GAVE_UP;
}

/* The whole life of an xl; what it started runs no step here. */
static inline void *xl_main(void *arg)
{
    struct xl *xl = arg;
    int end = xl_receive(xl);

    atomic_store(&xl->end, end);
    shutdown(xl->fd, SHUT_RDWR);
    return NULL;
}

static inline void xl_make(struct xl *xl, const struct sim_config *config)
{
    struct sim_config mine = *config;

    mine.vcpu = SIM_VCPU_NONE;
    colo__stream_gather_init(&xl->gather, xl->machine, sizeof(xl->machine));
    if (sim_guest_new(&mine, &xl->replica, &xl->err))
        abort(); /* it may be in a process that is no test */
}

/* Is what it has, byte for byte, the guest at some step? */
static inline void xl_verify(struct xl *xl, const struct sim_config *config)
{
    struct sim_config mine = *config;
    char why[200];

    mine.vcpu = SIM_VCPU_NONE;
    ck_assert_msg(sim_guest_verify(xl->replica, &mine, why, sizeof(why)),
                  "%s", why);
}

static inline void xl_free(struct xl *xl)
{
    sim_guest_free(xl->replica);
    free(xl->gfns);
    free(xl->pages);
    free(xl->bytes);
}

#endif
