/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What the files of the secondary share: secondary.c (first copy, epochs, and
 * what tells it), secondary-takeover.c (taking over, and the other ends).
 * Session's thread.
 */
#ifndef COLO_SECONDARY_INTERNAL_H
#define COLO_SECONDARY_INTERNAL_H

#include "session-internal.h"

/* ---- secondary.c -------------------------------------------------------- */

/* of a replica that is not to run yet: nobody has let it run */
int colo__secondary_check_paused(struct colo_session *s,
                                 struct colo_error *err);

/* ---- secondary-colo.c: the replica runs, too ---------------------------- */

int colo__secondary_halt(struct colo_session *s, struct colo_error *err);
void colo__secondary_hashed(struct colo_session *s);
int colo__secondary_report(struct colo_session *s, struct colo_error *err);
void colo__secondary_applied(struct colo_session *s);
void colo__secondary_check_loaded(struct colo_session *s);
int colo__secondary_bring_up(struct colo_session *s, struct colo_error *err);
int colo__secondary_let_run(struct colo_session *s, struct colo_error *err);
int colo__secondary_check_ended(struct colo_session *s,
                                struct colo_error *err);
void colo__secondary_replica_ended(struct colo_session *s);
void colo__secondary_tell_diverged(struct colo_session *s);
void colo__secondary_foreign_stop(struct colo_session *s);

/* ---- secondary-takeover.c ----------------------------------------------- */

/* a step of the failover's own table */
int colo__secondary_failover(struct colo_session *s, int to,
                             struct colo_error *err);
int colo__secondary_ask(struct colo_session *s, struct colo_error *err);
int colo__secondary_relaunch(struct colo_session *s, struct colo_error *err);
int colo__secondary_take_over(struct colo_session *s, struct colo_error *err);
int colo__secondary_hand_over(struct colo_session *s, struct colo_error *err);
/* the primary's guest goes on, and the takeover does not */
void colo__secondary_undo(struct colo_session *s);
/* make the worker's job end soon, if it is one that can be given up */
void colo__secondary_abort_job(struct colo_session *s);
/* what is due in ARBITRATING, TAKEOVER, ENDING */
void colo__secondary_arbitrate(struct colo_session *s);
void colo__secondary_start(struct colo_session *s);
void colo__secondary_end_further(struct colo_session *s);

#endif
