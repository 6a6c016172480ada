/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The seam to the hypervisor.  Three duties are kept apart on purpose, so
 * that another way of doing one of them is a second implementation and not a
 * rewrite: how the guest is stopped (stop), what is captured besides memory
 * (machine), how a replica is made and brought to life (life).
 *
 * Order, primary: open, seed_out .. SEED_DONE (the guest is then stopped),
 * track(1), dirty(SEED), resume; per checkpoint: [dirty, read], request ..
 * STOPPED, dirty, read, machine get, resume; track(0), close.
 * Order, secondary: open, seed_in .. SEED_DONE, per epoch: write, drop; machine
 * set, start, or destroy; close.
 * Order, secondary whose replica runs, too (COLO): open, seed_in .. SEED_DONE;
 * the first epoch: write, machine set, track(1), run; every further one:
 * [dirty(CLEAN), read], request .. STOPPED, dirty(CLEAN | FINAL), read, write,
 * machine set, run.  Takeover: [cancel, resume if it stands still], start,
 * track(0); from a replica that stands still without a set it goes on where it
 * stopped.  Or destroy.  Then close.
 *
 * A streamed guest (PV) has no memory that could be read or written page by
 * page: each machine get is a piece of a stream, all that has changed since the
 * one before, and the replica must be given every piece, in order.  Then dirty
 * and unmarked say nothing, read and write are not called, and order is:
 * secondary: open, expect_stream, seed_in, load(NULL), per epoch: load; machine
 * set(NULL), which ends the stream, start, or destroy; close.
 *
 * All calls are synchronous and quick except those that say "begins": their
 * end is an event.  Calls come from one thread at a time.  read and write may
 * come from a worker thread while no other call is under way.
 */
#ifndef COLO_HV_H
#define COLO_HV_H

#include "../internal.h"
#include "../pure/bitmap.h"

struct colo_hv; /* starts with const struct colo_hv_ops *ops */

#define COLO_HV_RUNNING  1
#define COLO_HV_PAUSED   2  /* also a replica until the first run or start */
#define COLO_HV_STOPPED  3  /* suspended, by us or by somebody */
#define COLO_HV_SHUTDOWN 4  /* powered off, rebooting or crashed: see reason */
#define COLO_HV_GONE     5  /* no such domain any more */

/* Xen's SHUTDOWN_* numbers */
#define COLO_HV_POWEROFF 0
#define COLO_HV_REBOOT   1
#define COLO_HV_SUSPEND  2
#define COLO_HV_CRASH    3
#define COLO_HV_WATCHDOG 4

/* The guest's; with what a replica has behind it (NAME--incoming), and a NUL */
#define COLO_HV_NAME_MAX 63
#define COLO_HV_NAME (COLO_HV_NAME_MAX + 10 + 1)

struct colo_hv_info {
    uint32_t domid;
    uint32_t xen_version; /* major << 16 | minor, 0 = no Xen */
    int32_t state, reason;
    uint64_t nr_gfns;     /* highest frame number + 1; may grow */
    uint64_t tot_pages;   /* memory the guest has now */
    uint8_t uuid[16];
    char name[COLO_HV_NAME];
    bool streamed;        /* see above */
};

/* events of poll, or'ed.  A replica that runs gives STOPPED and GUEST as the
 * guest does; one that has shut down counts as stopped for request (STOPPED
 * comes at once), since its next machine set and run bring it back. */
#define COLO_HV_EV_STOPPED  1u   /* the guest stands still as requested */
#define COLO_HV_EV_PROGRESS 2u   /* seed_done, seed_total */
#define COLO_HV_EV_SEEDED   4u   /* seed_out: all written, guest stopped;
                                    seed_in: replica is there, paused */
#define COLO_HV_EV_GUEST    8u   /* look at info: shut down or gone */
#define COLO_HV_EV_ENDED   16u   /* end_guest has been carried out */
#define COLO_HV_EV_DEVICES 32u   /* the device model has ended: crippled? */

struct colo_hv_event {
    uint32_t events;
    uint64_t seed_done, seed_total; /* pages */
};

/* flags of dirty */
#define COLO_DIRTY_CLEAN 1u /* reset what is reported */
#define COLO_DIRTY_FINAL 2u /* the guest stands still: add what only then is
                               known (frames of backends) */
#define COLO_DIRTY_SEED  4u /* first set after a seed: add every frame that
                               might have been written between the seed's
                               last copy and track(1) */

/* what read found at a frame */
#define COLO_PAGE_DATA 0 /* copied */
#define COLO_PAGE_SKIP 1 /* the hypervisor's or a ring of dom0: never sent */
#define COLO_PAGE_GONE 2 /* no memory there (any more) */

struct colo_hv_ops {
    void (*close)(struct colo_hv *hv);
    /* a descriptor that is readable when poll has something; poll never
     * waits.  poll returns 0 or an error that ends protection (the
     * seed failed: text says why). */
    int (*fd)(struct colo_hv *hv);
    int (*poll)(struct colo_hv *hv, struct colo_hv_event *ret_event,
                struct colo_error *err);
    int (*info)(struct colo_hv *hv, struct colo_hv_info *ret_info,
                struct colo_error *err);
    /* track - dirty tracking on or off.  on: COLO_E_EXISTS if it was on.
     * Of a replica: the record begins empty, and what write and machine set
     * change may be in it or not (the session finds those pages equal); a
     * write by the replica itself, or by its device model, must be. */
    int (*track)(struct colo_hv *hv, int on, struct colo_error *err);
    /* dirty - add to *bm (resized to nr_gfns) the frames written since the
     * last CLEAN.  *ret_lost is set when the record cannot be trusted (tracking
     * was off, memory was added or taken on a Xen that does not record that):
     * *bm then has every frame and the caller sends all: text says why in
     * err->text though 0 is returned. */
    int (*dirty)(struct colo_hv *hv, struct colo_bitmap *bm, uint32_t flags,
                 bool *ret_lost, struct colo_error *err);
    /* unmarked - frames that backends or the hypervisor may write without
     * marking them: a difference found there has a known reason. */
    int (*unmarked)(struct colo_hv *hv, struct colo_bitmap *bm,
                    struct colo_error *err);
    /* read - copy n frames (ascending) to dst[n][4096]; kinds[i] says what
     * was found; dst of others is undefined. */
    int (*read)(struct colo_hv *hv, const uint64_t *gfns, size_t n,
                uint8_t *dst, uint8_t *kinds, struct colo_error *err);
    /* write - the reverse, into the replica; frames without memory get some.
     * src NULL: take the memory of these frames away. An error leaves the
     * replica half written. */
    int (*write)(struct colo_hv *hv, const uint64_t *gfns, size_t n,
                 const uint8_t *src, struct colo_error *err);
    const struct colo_stop_ops *stop;
    const struct colo_machine_ops *machine;
    const struct colo_life_ops *life;
};

struct colo_stop_ops {
    /* request - begins; STOPPED ends it. */
    int (*request)(struct colo_hv *hv, struct colo_error *err);
    /* cancel - take the request back; *ret_stopped says that the guest stood
     * still already (then resume it). */
    int (*cancel)(struct colo_hv *hv, bool *ret_stopped,
                  struct colo_error *err);
    /* resume - go on as if nothing had been; fine on a running guest.  Not
     * after machine set: that is run's. */
    int (*resume)(struct colo_hv *hv, struct colo_error *err);
};

struct colo_machine_ops {
    /* get - the context, at most cap bytes; COLO_E_LIMIT says how much in
     * *ret_len.  Only while stopped.  Versioned by its own header. */
    int (*get)(struct colo_hv *hv, uint8_t *buf, uint32_t cap,
               uint32_t *ret_len, struct colo_error *err);
    /* check - could set take these bytes?  No effect; any input. */
    int (*check)(struct colo_hv *hv, const uint8_t *buf, uint32_t len,
                 struct colo_error *err);
    /* set - load it into the replica, once all memory is in place.  In COLO
     * again and again: the replica stands still (paused after the seed, then
     * stopped by request, or shut down).  Streamed: buf is NULL, the replica is
     * what the last whole piece made of it. */
    int (*set)(struct colo_hv *hv, const uint8_t *buf, uint32_t len,
               struct colo_error *err);
    /* load - streamed guests only: the next piece, which check has seen;
     * returns when all of it was taken.  buf NULL: so much for the seed, whose
     * pipe was closed.  From a worker thread, as write.  After an error there
     * is nothing to take over with. */
    int (*load)(struct colo_hv *hv, const uint8_t *buf, uint32_t len,
                struct colo_error *err);
    /* set_beat - may be NULL.  beat (NULL: none) is called all the while that a
     * call keeps its caller for long, so that a peer does not take it for our
     * death: get of a streamed guest, which copies a piece that may be large,
     * or whatever waits for a device model.  limit_ms: at most so long for that
     * piece, or until the devices stand still. */
    void (*set_beat)(struct colo_hv *hv, void (*beat)(void *user), void *user,
                     uint32_t limit_ms);
};

struct colo_life_ops {
    /* seed_out, seed_in - begin writing / reading the seed stream.  fd is a
     * pipe or socket that the backend owns from now on. SEEDED ends it. */
    int (*seed_out)(struct colo_hv *hv, int fd, struct colo_error *err);
    int (*seed_in)(struct colo_hv *hv, int fd, struct colo_error *err);
    /* expect_stream - before seed_in: a streamed guest will come, and no event
     * SEEDED.  NULL: this backend cannot. */
    int (*expect_stream)(struct colo_hv *hv, struct colo_error *err);
    /* run - after machine set: the replica runs from there, as a copy. It has
     * not the guest's name, the toolstack takes no care of it, and it is still
     * the session's: destroy takes it away.  start makes it the guest.  NULL:
     * this backend cannot, and COLO is refused. */
    int (*run)(struct colo_hv *hv, struct colo_error *err);
    /* start - the replica becomes the guest: runs, has its name.  One that
     * runs (or ran and was resumed) goes on without a break. */
    int (*start)(struct colo_hv *hv, struct colo_error *err);
    /* destroy - take the replica away; fine if there is none. */
    int (*destroy)(struct colo_hv *hv, struct colo_error *err);
    /* end_guest - begins: do what on_poweroff, on_reboot or on_crash say for
     * this reason.  ENDED ends it. */
    int (*end_guest)(struct colo_hv *hv, int reason, struct colo_error *err);
    /* abandon - protection is over on the primary and the guest goes on: give
     * back to the toolstack what is needed for its life (somebody who watches
     * for its end). */
    int (*abandon)(struct colo_hv *hv, struct colo_error *err);
    /* crippled - the guest, or the replica, is there and cannot go on, ever:
     * its device model has ended, and nobody is about to destroy it. */
    bool (*crippled)(struct colo_hv *hv);
    /* devices_go_on - of a paused replica: somebody has let its device model go
     * on, which writes into its memory.  NULL: it has none. */
    bool (*devices_go_on)(struct colo_hv *hv);
};

/* colo__hv_xen_open - domain: name or domid on the primary, NULL on the
 * secondary (seed_in makes it).  libexecdir: where colo-toolstack is. */
int colo__hv_xen_open(const char *domain, const char *libexecdir,
                      const struct colo_log *log, struct colo_hv **ret_hv,
                      struct colo_error *err);

/* colo__hv_xen_set_quiet - a call may keep its caller for so long where a
 * device model does not answer, some times over, and a guest that stands still
 * with it; but see set_beat.  Before the first seed; default 2500 ms. */
void colo__hv_xen_set_quiet(struct colo_hv *hv, uint32_t ms);

/* colo__hv_xen_can_copy - could a replica of this guest run, too (mode colo)?
 * COLO_E_UNSUPPORTED says why not, and what to do. */
int colo__hv_xen_can_copy(struct colo_hv *hv, struct colo_error *err);

/* colo__hv_xen_set_toolstack - COLO_TOOLSTACK_*: whose the replica is.  Before
 * the first seed; default AUTO. */
void colo__hv_xen_set_toolstack(struct colo_hv *hv, int toolstack);

static inline const struct colo_hv_ops *colo__hv_ops(struct colo_hv *hv)
{
    return *(const struct colo_hv_ops *const *)hv;
}

#endif
