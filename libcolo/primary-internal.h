/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What the files of the primary share: primary.c (life, and what tells it),
 * primary-epoch.c (one checkpoint), primary-end.c (the ways out).  Session's
 * thread.
 */
#ifndef COLO_PRIMARY_INTERNAL_H
#define COLO_PRIMARY_INTERNAL_H

#include "session-internal.h"

/* ---- primary-epoch.c: actions, and what the backup answers -------------- */

int colo__primary_request(struct colo_session *s, struct colo_error *err);
int colo__primary_stop_guest(struct colo_session *s, struct colo_error *err);
int colo__primary_capture(struct colo_session *s, struct colo_error *err);
int colo__primary_release(struct colo_session *s, struct colo_error *err);
/* sent, received, and everything that follows it has answered? */
void colo__primary_check_committed(struct colo_session *s);
void colo__primary_received(struct colo_session *s,
                            const struct colo_msg *msg);
/* the epoch is wanted once more and the worker is free */
void colo__primary_resend(struct colo_session *s);
void colo__primary_loaded(struct colo_session *s, const struct colo_msg *msg);

/* parts of it, for both modes */
/* colo__primary_capture_still - the guest stands still: those that follow mark
 * the end of the epoch while it is copied.  It stands still afterwards, also
 * on failure. */
int colo__primary_capture_still(struct colo_session *s,
                                struct colo_error *err);
/* colo__primary_end_pause - the guest goes on; the pause's figures. */
int colo__primary_end_pause(struct colo_session *s, struct colo_error *err);
/* colo__primary_send - what was captured goes to the peer. */
int colo__primary_send(struct colo_session *s, struct colo_error *err);

/* ---- primary-colo.c: the same in mode colo ------------------------------ */

int colo__primary_compare(struct colo_session *s, struct colo_error *err);
void colo__primary_matched(struct colo_session *s);
void colo__primary_settle(struct colo_session *s); /* in each turn */
int colo__primary_commit(struct colo_session *s, struct colo_error *err);
int colo__primary_go_on(struct colo_session *s, struct colo_error *err);
/* LOADED came; and everything that follows has answered commit? */
void colo__primary_check_loaded(struct colo_session *s);
void colo__primary_both_loaded(struct colo_session *s,
                               const struct colo_msg *msg);

/* ---- primary-end.c ------------------------------------------------------ */

/* Let the guest go on. Tried again, since nothing is worse than a guest that
 * stands still; the watchdog tries once more when we are gone. */
int colo__primary_resume(struct colo_session *s, struct colo_error *err);
/* However far a stop has come: none is under way and the guest runs. */
int colo__primary_let_run(struct colo_session *s, struct colo_error *err);
int colo__primary_end_stop(struct colo_session *s, struct colo_error *err);
int colo__primary_end_guest(struct colo_session *s, struct colo_error *err);
int colo__primary_yield(struct colo_session *s, struct colo_error *err);
/* in ENDING: the next thing that is due */
void colo__primary_end_further(struct colo_session *s);

#endif
