/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Shared by the files hv-xen-*.c only: the handle, and what each file offers
 * the others.  Thread rule: hv.h's.
 */
#ifndef COLO_HV_XEN_H
#define COLO_HV_XEN_H

#include <sys/types.h>

#include <xencall.h>
#include <xenctrl.h>
#include <xendevicemodel.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xenstore.h>
#include <xentoollog.h>

#include "hv.h"

#define COLO_XEN_WINDOW 512u        /* frames mapped in one go: 2 MiB */
#define COLO_XEN_TYPE_BATCH 1024u   /* Xen's limit for one type check */
#define COLO_XEN_NO_GFN ((UINT64_C(1) << 40) - 1) /* never has memory */
#define COLO_XEN_MAX_SKIP 64

/* Sends libxc's messages to the session's log. */
struct colo_xen_logger {
    xentoollog_logger vtable; /* first */
    struct colo_log log;
};

/* 512 frames; addr NULL: not mapped */
struct colo_xen_window {
    uint8_t *addr;
    uint64_t data[COLO_XEN_WINDOW / 64]; /* mapped: memory of the guest */
    uint64_t skip[COLO_XEN_WINDOW / 64]; /* known to be the hypervisor's */
};

struct colo_xen_map {
    struct colo_xen_window *windows;
    uint64_t nr_windows;
    bool writable;
};

struct colo_xen_grants {
    xenforeignmemory_resource_handle *shared, *status;
    void *shared_addr, *status_addr;
    uint32_t nr_frames, version;
};

/* tracking of writes */
struct colo_xen_dirty {
    uint64_t *words;          /* Xen's bitmap: a hypercall buffer */
    size_t words_pages;
    uint64_t nr_gfns, tot_pages;
    uint64_t unstable_until_us;       /* the balloon may move until then */
    struct colo_bitmap populated;     /* frames ever seen with memory */
    uint64_t skip[COLO_XEN_MAX_SKIP]; /* frames that never travel */
    size_t nr_skip;
    uint64_t sentinel;                /* see set_sentinel; 0: none */
    bool sentinel_set, tracking, p2m_tracked;
};

/* suspend requests */
struct colo_xen_stop {
    bool exclusive;    /* libxl's lock is ours: see exclude */
    int exclusive_fd;
    bool subscribed;
    evtchn_port_t local_port;
    uint32_t remote_port;
    uint32_t spare_port;  /* allocated, and not yet in use; 0 none */
    bool requested;    /* control/shutdown written, not stopped yet */
    bool late;         /* cancelled after the guest had said yes */
    bool stopped;      /* we saw it stand still */
    bool need_rax;     /* the guest reads suspend's return code */
    bool xs_stale;     /* xenstored believes that the guest is shut down */
    int lock_fd;       /* see lock_open; -1 none */
    uint8_t *xstate;   /* hypercall buffer; NULL: nothing to keep */
    size_t xstate_pages;
    uint64_t xstate_size, xstate_mask;
};

/* the device model of an HVM guest */
struct colo_xen_devices {
    struct colo_dm *dm; /* opened at the first use */
    bool has_model;     /* false: PVH */
    bool opened;        /* once: then one that is not there has ended */
    bool gone;          /* it has ended, and will not come back */
    uint32_t size;      /* of the last state; 0 unknown */
    uint32_t quiet_ms;  /* deadline of a call; 0 default */
    void (*beat)(void *user); /* while one waits; NULL: nobody's */
    void *beat_user;
    uint32_t stop_ms;   /* with beat: for its requests to be done */
};

/* a replica that runs (mode colo) */
struct colo_xen_replica {
    bool runs;         /* it was let run */
    bool marked;       /* as a copy, in xenstore */
    uint32_t lapic;    /* length of this Xen's LAPIC record; 0 unknown */
    int ended_fd;      /* readable: STOPPED is to be told */
};

/* a PV guest, which is streamed (hv.h) */
struct colo_xen_pv {
    bool is;             /* the guest is one, or such a one will come */
    /* primary */
    int command_fd;      /* to the helper that writes the stream; -1 */
    int body_fd;         /* the memory that it writes a piece into; -1 */
    bool seeding;        /* the suspend at the seed's end is not told */
    bool wants_stop;     /* the helper asks for that suspend */
    bool whole;          /* it has written what it was asked for: */
    uint64_t len;        /* bytes of it */
    bool broken;         /* a piece was lost: the stream cannot go on */
    void (*beat)(void *user); /* while one is copied; NULL: nobody's */
    void *beat_user;
    uint32_t limit_ms;   /* for one; 0 default */
    /* secondary */
    int feed_fd;         /* into the restore; -1 */
    uint64_t nr_pfns;    /* of the guest that comes; 0 unknown */
};

/* a helper process (colo-toolstack) */
struct colo_xen_child {
    pid_t pid;         /* 0: none */
    int pidfd;         /* -1: none */
    int report_fd;     /* its fd 3, or -1 */
    int life_fd;       /* held open while we live, or -1 */
    int what;          /* CHILD_* */
    bool done;         /* it said "done" */
    char error[160];   /* its last "error" line */
    char line[256];
    size_t line_len;
};

#define COLO_XEN_CHILD_NONE 0
#define COLO_XEN_CHILD_SAVE 1
#define COLO_XEN_CHILD_RESTORE 2
#define COLO_XEN_CHILD_START 3
#define COLO_XEN_CHILD_DESTROY 4
#define COLO_XEN_CHILD_END 5
#define COLO_XEN_CHILD_MONITOR 6
#define COLO_XEN_CHILD_STREAM 7         /* save of a PV guest, all along */
#define COLO_XEN_CHILD_RESTORE_STREAM 8

/* its devices, as they were when it was adopted */
struct colo_xen_plug {
    uint64_t devices;  /* a hash of their names and media */
    unsigned count;
};

struct colo_hv_xen {
    const struct colo_hv_ops *ops; /* first: struct colo_hv */
    struct colo_log log;
    struct colo_xen_logger logger;
    char *libexecdir;

    xc_interface *xch;
    xenforeignmemory_handle *fmem;
    xenevtchn_handle *xce;
    xencall_handle *xcall;
    xendevicemodel_handle *dmod;
    struct xen_domctl *domctl;  /* hypercall buffers, allocated once */
    uint64_t *types;
    struct xs_handle *xs;       /* requests: no watch, so no thread */
    struct xs_handle *xs_watch; /* watches only */
    int epoll_fd;

    bool target_seen;           /* a watch fires once when it is set */
    bool has_domain;
    bool is_secondary;
    int toolstack;              /* COLO_TOOLSTACK_* */
    bool gone_reported;
    uint32_t domid;
    uint32_t xen_version;
    uint64_t max_pages;
    uint8_t uuid[16];
    char name[COLO_HV_NAME];

    struct colo_xen_map map;
    struct colo_xen_grants grants;
    struct colo_xen_dirty dirty;
    struct colo_xen_stop stop;
    struct colo_xen_child child;
    struct colo_xen_devices devices;
    struct colo_xen_replica replica;
    struct colo_xen_pv pv;
    struct colo_xen_plug plug;
    uint32_t context_size;      /* of the last machine get; 0 unknown */
    uint8_t *context;           /* scratch of machine get and set */
    uint32_t context_cap;
};

static inline struct colo_hv_xen *colo__hv_xen(struct colo_hv *hv)
{
    return (struct colo_hv_xen *)hv;
}

/* hv-xen.c */
extern const struct colo_hv_ops colo__hv_xen_pv_ops;
/* fail - errno of a hypercall as an error: a domain that has gone is
 * COLO_E_GUEST, all else COLO_E_HV */
int colo__hv_xen_fail(const struct colo_hv_xen *hv, struct colo_error *err,
                      const char *what);
int colo__hv_xen_getinfo(const struct colo_hv_xen *hv,
                         xc_domaininfo_t *ret_info, struct colo_error *err);
/* domctl - a hypercall that libxc does not offer, or offers with copies;
 * returns 0 or -1 with errno */
int colo__hv_xen_domctl(const struct colo_hv_xen *hv, struct xen_domctl *op);
/* adopt - the domain is known now: name, uuid, skip set, watches */
int colo__hv_xen_adopt(struct colo_hv_xen *hv, uint32_t domid,
                       struct colo_error *err);
/* is_suspended - shut down with reason suspend */
bool colo__hv_xen_is_suspended(const xc_domaininfo_t *info);

/* hv-xen-plug.c */
/* watch - remember what the guest has, and hear of changes: a watch with this
 * token, at which look says whether the replica still matches the guest */
#define COLO_XEN_TOKEN_PLUG "plug"
int colo__hv_xen_plug_watch(struct colo_hv_xen *hv, struct colo_error *err);
int colo__hv_xen_plug_look(struct colo_hv_xen *hv, struct colo_error *err);

/* hv-xen-memory.c */
int colo__hv_xen_read(struct colo_hv *hv, const uint64_t *gfns, size_t n,
                      uint8_t *dst, uint8_t *kinds, struct colo_error *err);
int colo__hv_xen_write(struct colo_hv *hv, const uint64_t *gfns, size_t n,
                       const uint8_t *src, struct colo_error *err);
/* types - what Xen says of n <= 1024 frames: true in has[i] for memory of the
 * guest, false for a hole or a frame of Xen */
int colo__hv_xen_types(struct colo_hv_xen *hv, const uint64_t *gfns, size_t n,
                       bool *has, struct colo_error *err);
void colo__hv_xen_map_drop(struct colo_hv_xen *hv);
/* populated - add to bm every frame below nr_gfns that has memory */
int colo__hv_xen_populated(struct colo_hv_xen *hv, struct colo_bitmap *bm,
                           struct colo_error *err);

/* hv-xen-grants.c */
/* grants_add - which: COLO_XEN_GRANT_* of grant-scan.h */
int colo__hv_xen_grants_add(struct colo_hv_xen *hv, int which,
                            struct colo_bitmap *bm, struct colo_error *err);
void colo__hv_xen_grants_drop(struct colo_hv_xen *hv);

/* hv-xen-dirty.c */
int colo__hv_xen_track(struct colo_hv *hv, int on, struct colo_error *err);
int colo__hv_xen_dirty(struct colo_hv *hv, struct colo_bitmap *bm,
                       uint32_t flags, bool *ret_lost, struct colo_error *err);
/* rearm - before the replica runs: no write to any of its frames is missed */
int colo__hv_xen_dirty_rearm(struct colo_hv_xen *hv, struct colo_error *err);
int colo__hv_xen_unmarked(struct colo_hv *hv, struct colo_bitmap *bm,
                          struct colo_error *err);
int colo__hv_xen_load_skip(struct colo_hv_xen *hv, struct colo_error *err);
bool colo__hv_xen_skipped(const struct colo_hv_xen *hv, uint64_t gfn);
void colo__hv_xen_dirty_close(struct colo_hv_xen *hv);

/* hv-xen-exclude.c */
/* exclude - from now on no other tool that uses libxl can suspend the guest;
 * COLO_E_EXISTS: one is about to.  Fine if it was so before.  What libxl of our
 * own has begun is not kept from it. */
int colo__hv_xen_exclude(struct colo_hv_xen *hv, struct colo_error *err);
/* end - others may again; fine if nothing was begun */
void colo__hv_xen_exclude_end(struct colo_hv_xen *hv);
/* clean - what a dead session has left of it in xenstore */
void colo__hv_xen_exclude_clean(struct colo_hv_xen *hv);

/* hv-xen-stop.c */
extern const struct colo_stop_ops colo__hv_xen_stop_ops;
/* stop_event - the event channel fired; adds to *events */
int colo__hv_xen_stop_event(struct colo_hv_xen *hv, uint32_t *events,
                            struct colo_error *err);
/* release - xenstored told that some domain was shut down or has died */
int colo__hv_xen_stop_release(struct colo_hv_xen *hv, uint32_t *events,
                              struct colo_error *err);
/* prepare - learn what a resume needs (PV drivers, wide registers) */
void colo__hv_xen_stop_prepare(struct colo_hv_xen *hv);
void colo__hv_xen_stop_close(struct colo_hv_xen *hv);
/* tell_xenstored - that the guest goes on, if it believes otherwise */
void colo__hv_xen_tell_xenstored(struct colo_hv_xen *hv);
int colo__hv_xen_resume(struct colo_hv *hv, struct colo_error *err);

/* hv-xen-xstate.c; get, set: -1 it could not be kept or put back */
void colo__hv_xen_xstate_prepare(struct colo_hv_xen *hv);
int colo__hv_xen_xstate_get(struct colo_hv_xen *hv);
int colo__hv_xen_xstate_set(struct colo_hv_xen *hv);
void colo__hv_xen_xstate_close(struct colo_hv_xen *hv);

/* hv-xen-machine.c */
extern const struct colo_machine_ops colo__hv_xen_machine_ops;

/* hv-xen-devices.c: all are fine for a guest without a device model */
void colo__hv_xen_devices_adopt(struct colo_hv_xen *hv,
                                const xc_domaininfo_t *info);
/* open - done by the others when needed; earlier, so that what is wrong is
 * known before the guest depends on it */
int colo__hv_xen_devices_open(struct colo_hv_xen *hv, struct colo_error *err);
/* hv.h's set_beat; stop_ms: see dm.h */
void colo__hv_xen_devices_set_beat(struct colo_hv *hv,
                                   void (*beat)(void *user), void *user,
                                   uint32_t stop_ms);
void colo__hv_xen_devices_close(struct colo_hv_xen *hv);
/* what is ready when it has ended, and what is to be done then; -1 none */
int colo__hv_xen_devices_fd(const struct colo_hv_xen *hv);
void colo__hv_xen_devices_event(struct colo_hv_xen *hv, uint32_t *events);
/* hv.h's crippled */
bool colo__hv_xen_devices_crippled(struct colo_hv *chv);
/* dirty_log - QEMU reports what it writes; on again is fine, and needed after
 * somebody's save */
int colo__hv_xen_devices_dirty_log(struct colo_hv_xen *hv, bool on,
                                   struct colo_error *err);
/* stop - once the guest stands still, before the dirty record is read */
int colo__hv_xen_devices_stop(struct colo_hv_xen *hv, struct colo_error *err);
/* still - stop for a replica that was just made, tried again: nobody waits */
int colo__hv_xen_devices_still(struct colo_hv_xen *hv, struct colo_error *err);
/* hv.h's devices_go_on */
bool colo__hv_xen_devices_resumed(struct colo_hv *chv);
/* cont - before the guest goes on */
int colo__hv_xen_devices_cont(struct colo_hv_xen *hv, struct colo_error *err);
/* get - as machine get's; *ret_len 0: there are no devices */
int colo__hv_xen_devices_get(struct colo_hv_xen *hv, uint8_t *buf,
                             uint32_t cap, uint32_t *ret_len,
                             struct colo_error *err);
/* room - what get will need, as far as it is known */
uint32_t colo__hv_xen_devices_room(const struct colo_hv_xen *hv);
int colo__hv_xen_devices_set(struct colo_hv_xen *hv, const uint8_t *buf,
                             uint32_t len, struct colo_error *err);
/* recover - what a dead session switched on */
void colo__hv_xen_devices_recover(struct colo_hv_xen *hv);

/* hv-xen-replica.c */
int colo__hv_xen_replica_open(struct colo_hv_xen *hv, struct colo_error *err);
void colo__hv_xen_replica_close(struct colo_hv_xen *hv);
int colo__hv_xen_replica_run(struct colo_hv *hv, struct colo_error *err);
/* release - it is the guest from now on, and runs */
int colo__hv_xen_replica_release(struct colo_hv_xen *hv,
                                 struct colo_error *err);
/* ended - asked to stop, it has shut down already: STOPPED comes at the next
 * poll */
int colo__hv_xen_replica_ended(struct colo_hv_xen *hv, struct colo_error *err);
void colo__hv_xen_replica_event(struct colo_hv_xen *hv, uint32_t *events);
/* is_marked - a copy, whatever its state; whoever asks */
bool colo__hv_xen_replica_is_marked(struct colo_hv_xen *hv);

/* hv-xen-life.c */
extern const struct colo_life_ops colo__hv_xen_life_ops;
extern const struct colo_life_ops colo__hv_xen_pv_life_ops;
int colo__hv_xen_life_poll(struct colo_hv_xen *hv,
                           struct colo_hv_event *event,
                           struct colo_error *err);
void colo__hv_xen_life_close(struct colo_hv_xen *hv);
/* helper_wait - for its end, or (until not NULL) until *until is set.  The end
 * is taken in: COLO_E_HV if it has failed, COLO_E_TIMEOUT. */
int colo__hv_xen_helper_wait(struct colo_hv_xen *hv, int timeout_ms,
                             const bool *until, struct colo_error *err);

/* hv-xen-pv.c */
extern const struct colo_machine_ops colo__hv_xen_pv_machine_ops;
int colo__hv_xen_pv_track(struct colo_hv *hv, int on, struct colo_error *err);
int colo__hv_xen_pv_dirty(struct colo_hv *hv, struct colo_bitmap *bm,
                          uint32_t flags, bool *ret_lost,
                          struct colo_error *err);
int colo__hv_xen_pv_unmarked(struct colo_hv *hv, struct colo_bitmap *bm,
                             struct colo_error *err);
int colo__hv_xen_pv_read(struct colo_hv *hv, const uint64_t *gfns, size_t n,
                         uint8_t *dst, uint8_t *kinds, struct colo_error *err);
int colo__hv_xen_pv_write(struct colo_hv *hv, const uint64_t *gfns, size_t n,
                          const uint8_t *src, struct colo_error *err);
/* adopt - the primary's guest is one */
int colo__hv_xen_pv_adopt(struct colo_hv_xen *hv, struct colo_error *err);
/* begin - *ret_command: what the helper gets as 0; the caller's */
int colo__hv_xen_pv_begin(struct colo_hv_xen *hv, int *ret_command,
                          struct colo_error *err);
/* line - true: this line of the helper was for here */
bool colo__hv_xen_pv_line(struct colo_hv_xen *hv, const char *line);
/* poll - after the helper's lines and the guest's events were taken in */
int colo__hv_xen_pv_poll(struct colo_hv_xen *hv, struct colo_hv_event *event,
                         struct colo_error *err);
/* end - the helper that writes is asked to end */
void colo__hv_xen_pv_end(struct colo_hv_xen *hv);
void colo__hv_xen_pv_close(struct colo_hv_xen *hv);

/* hv-xen-pv-replica.c */
int colo__hv_xen_pv_expect(struct colo_hv *hv, struct colo_error *err);
/* feed - seed: what the restore reads from; another way into it is kept */
int colo__hv_xen_pv_feed(struct colo_hv_xen *hv, int seed,
                         struct colo_error *err);
int colo__hv_xen_pv_check(struct colo_hv *hv, const uint8_t *buf,
                          uint32_t len, struct colo_error *err);
int colo__hv_xen_pv_load(struct colo_hv *hv, const uint8_t *buf,
                         uint32_t len, struct colo_error *err);
int colo__hv_xen_pv_set(struct colo_hv *hv, const uint8_t *buf, uint32_t len,
                        struct colo_error *err);

#endif
