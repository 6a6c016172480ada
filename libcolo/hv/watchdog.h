/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The duty that must survive a SIGKILL of the session: on the primary, the
 * guest goes on.  A small process (colo-watchdog) started before anything
 * else holds it; colo_recover() does the same for sessions long dead.
 */
#ifndef COLO_HV_WATCHDOG_H
#define COLO_HV_WATCHDOG_H

#include <sys/types.h>

#include "../internal.h"

/* colo__watchdog_start - run the watchdog for a guest of this host.
 * Shape    uuid: the node /libcolo/UUID that it removes; libexecdir NULL:
 *          where it was installed.
 * Owner    *ret_fd is the caller's until colo__watchdog_disarm; nobody else may
 *          have a copy (it is close-on-exec). */
int colo__watchdog_start(uint32_t domid, const char *uuid,
                         const char *libexecdir, int *ret_fd, pid_t *ret_pid,
                         struct colo_error *err);

/* colo__watchdog_lend - give the watchdog a copy of the control link's
 * descriptor.  While it holds it, a killed session does not look to the peer
 * like a dead host; the watchdog then writes COLO_LAST_WORDS bytes of 0xff
 * there, which no peer can take for anything valid: it ends without taking
 * over.  A peer that has taken over already ends what it sends with the secret
 * of the link: a session that was held up, and killed before it could read
 * that, has lost its guest to the peer.
 * Shape    secret: COLO_LINK_SECRET bytes, NULL: the link has none. */
#define COLO_LAST_WORDS 20480 /* more than a TLS record or a message needs */
int colo__watchdog_lend(int fd, int control_fd, const uint8_t *secret,
                        struct colo_error *err);

/* colo__watchdog_yield - the other side has the guest, or gets it, and counts
 * on its end here: should the session be killed from now on, the guest is
 * destroyed, and the peer is left to take over.  false: not any more.  Fine
 * with -1. */
void colo__watchdog_yield(int fd, bool yields);

/* ---- the watchdog's own side ------------------------------------------- */

enum colo_watchdog_end {
    COLO_WATCHDOG_DISARMED,     /* there is nothing to do */
    COLO_WATCHDOG_DIED,         /* the session: its guest goes on here */
    COLO_WATCHDOG_YIELDED,      /* likewise, but its guest is the peer's: it
                                   said so, or the peer did */
};

/* colo__watchdog_wait - until the session is over.
 * Shape    *ret_control is the lent link, to be closed, or -1. */
enum colo_watchdog_end colo__watchdog_wait(int fd, int *ret_control);
/* colo__watchdog_last_words - this host lives and sees to its guest: say so to
 * the peer, before anything else; closes control.  Fine with -1. */
void colo__watchdog_last_words(int control);

/* ---- the session's side again ------------------------------------------ */

/* colo__watchdog_disarm - the session has ended well: the watchdog ends
 * without doing anything.  Closes fd; waits for at most a second.  Fine with -1
 * and 0. */
void colo__watchdog_disarm(int fd, pid_t pid);

/* Of a session that has died: no more suspend events to it, no request left in
 * the guest's node, the guest runs, its writes are not tracked. */
struct colo_hv;
struct colo_recovery {
    uint32_t domid;
    pid_t died;            /* the session's process, 0: none had it */
    /* colo__recovery_look's: */
    struct colo_hv *hv;
    bool recorded_off, put_right;
};

/* colo__recovery_look - the first time all of it; later, whether the guest
 * stands still after all: a suspend may have been under way.  From the first
 * look to colo__recovery_end no other tool can save or migrate the guest.
 * Errors   COLO_E_NOTFOUND, COLO_E_GUEST the domain has gone: nothing to do
 *          COLO_E_EXISTS another session has it: nothing more was touched, nor
 *          shall it be
 *          COLO_E_STATE somebody else holds it: another tool that saves or
 *          migrates it, or one that recovers it: nothing was touched; and
 *          whatever else: look again
 * Blocks   some seconds, if the device model hangs. */
int colo__recovery_look(struct colo_recovery *r, const struct colo_log *log,
                        struct colo_error *err);
/* colo__recovery_end - fine whatever look has said. */
void colo__recovery_end(struct colo_recovery *r);

/* colo__hv_xen_recover - the same by a helper that was given up, at once.
 * Others are kept off by its session, or by whoever recovers that.
 * Shape    died: the session's process, which may still live.
 *          wait_ms: how long a suspend may be under way that nobody saw the
 *          request of.
 * Errors   as above
 * Blocks   up to wait_ms, and some seconds. */
int colo__hv_xen_recover(uint32_t domid, pid_t died, uint32_t wait_ms,
                         const struct colo_log *log, struct colo_error *err);

/* colo__hv_xen_wide_get - what a resume by another program (libvirtd) makes Xen
 * forget, the wide registers of vCPU 0, kept meanwhile: see hv-xen-xstate.c.
 * Must be called, and colo__hv_xen_wide_set, while the guest is paused.
 * Shape    *ret_wide NULL: there are none; set and close are fine with that.
 * Returns  false: they could not be read, or put back. */
struct colo_hv_xen;
bool colo__hv_xen_wide_get(uint32_t domid, struct colo_hv_xen **ret_wide);
bool colo__hv_xen_wide_set(struct colo_hv_xen *wide);
void colo__hv_xen_wide_close(struct colo_hv_xen *wide);

/* colo__hv_xen_session - the living process that has a session of this guest,
 * 0: none. */
pid_t colo__hv_xen_session(uint32_t domid);

/* colo__hv_xen_yield - the session has died while it ended its guest, which is
 * the other side's: destroy it.
 * Errors   COLO_E_NOTFOUND the domain has gone: nothing to do; else it is still
 *          there, and stands still: try again
 * Blocks   up to 30 s; the guest stands still from the beginning. */
int colo__hv_xen_yield(uint32_t domid, const char *uuid,
                       const struct colo_log *log, struct colo_error *err);

/* colo__hv_xen_monitor - a guest that goes on without a session powers off,
 * reboots or crashes some day, and its toolstack has stopped to look at its
 * first suspend: somebody does again (colo-toolstack monitor).
 * Blocks   up to 30 s. */
int colo__hv_xen_monitor(uint32_t domid, struct colo_error *err);

/* colo__hv_xen_drop_replica - the session of a replica has died: destroy the
 * replica, unless it has become the guest.
 * Shape    *ret_guest: it has, and nobody watches for its end
 *          (colo__hv_xen_monitor); it has the guest's name by now.
 * Errors   COLO_E_NOTFOUND the domain has gone: nothing to do
 * Blocks   up to 30 s. */
int colo__hv_xen_drop_replica(uint32_t domid, const struct colo_log *log,
                              bool *ret_guest, struct colo_error *err);

#endif
