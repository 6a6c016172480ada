/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * One domain behind the functions of Xen's libraries that hv/ calls.  Linked
 * into a test, it takes the place of those libraries, so that every answer
 * of the hypervisor, also one that no real one gives on demand, can be had.
 */
#ifndef FAKE_XEN_H
#define FAKE_XEN_H

#include <stdbool.h>
#include <stdint.h>

#include "hv/hv.h"

#define FAKE_DOMID 7
#define FAKE_GFNS 2048 /* before it grows */
#define FAKE_MAX_GFNS 4096
#define FAKE_PAGING 2040
#define FAKE_STORE 2044
#define FAKE_CONSOLE 2047

struct fake_xen {
    /* the domain */
    bool gone, dying, shutdown, paused, hvm_no_pv, emulated;
    bool pv, no_shadow;         /* a PV guest; its writes cannot be recorded */
    uint32_t pv_width;          /* of one; 0: 8 */
    bool incoming;              /* the name of a replica */
    const char *name;           /* another one */
    bool copy_mark;             /* libcolo-copy */
    int reason;
    uint64_t nr_gfns, tot_pages;
    uint8_t pages[FAKE_MAX_GFNS][COLO_PAGE_SIZE];
    bool has[FAKE_MAX_GFNS];    /* memory of the guest */
    bool is_xen[FAKE_MAX_GFNS]; /* mappable, but not the guest's */
    uint64_t rax, xstate;       /* of vCPU 0 */
    char control[64];           /* control/shutdown */

    /* the record of writes */
    bool log_dirty, enomem;
    bool dirty[FAKE_MAX_GFNS];
    bool unlogged[FAKE_MAX_GFNS]; /* given since the last CLEAN */
    int cleans, finals, peeks, offs;

    /* grants */
    uint32_t grant_frames;
    uint32_t grants[1024][2]; /* flags and domid, frame */

    /* events */
    int evtchn_fd[2];           /* a pipe: readable = pending */
    uint32_t subscribed;        /* port; 0 none */
    int ports;                  /* allocated */
    bool evtchn_dead;           /* reset by the guest */
    int watch_fd[2];
    const char *fired;          /* token of the next watch event */
    char old_port[16];          /* the node that remembers it */
    char owner[32];             /* of the guest's session */
    char channel[16];           /* the node where libxl looks for one */
    bool locked, foreign_lock;  /* libxl's lock: ours, or somebody's */
    unsigned unplugged;         /* devices that libxl does not list any more */
    bool exchanged;             /* one of them has another number */
    const char *medium;         /* what is in the drives */

    /* what was called */
    int pauses, unpauses, destroys;
    int more_pauses;            /* beside the first */
    int maps, resumes, xs_resumes, setcontexts, shutdowns, populated, taken;

    /* what fails: the errno, once or for so many calls */
    int fail_setcontext, fail_setcontext_times;
    int fail_resume_times;
    bool ack_in_transaction;    /* the guest answers at the last minute */
    bool xstate_wide;           /* the CPU has more than SSE */
    int xen_minor;
    const char *xen_extra;
};

/* one per process; tests fork */
extern struct fake_xen fake;

/* fake_xen_start - a running guest with all its memory, and a handle to it.
 * domain NULL: a secondary's, without a domain. */
struct colo_hv *fake_xen_start(const char *domain);
/* the same of a PV guest */
struct colo_hv *fake_xen_start_pv(const char *domain);
/* the guest does as asked and stands still; notifies as Xen would */
void fake_xen_suspend(void);
/* the guest writes to a frame */
void fake_xen_touch(uint64_t gfn);
/* poll the handle until there is nothing more; the events together */
uint32_t fake_xen_poll(struct colo_hv *hv);

#endif
