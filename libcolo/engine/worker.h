/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * One thread that does one long job at a time for a session, so that the
 * caller's thread never blocks for the peer.  submit, done and stop are called
 * from the session's thread only.
 */
#ifndef COLO_WORKER_H
#define COLO_WORKER_H

#include "../internal.h"

struct colo_worker;

/* a job; its result and error go to done */
typedef int colo_job_fn(void *arg, struct colo_error *err);

int colo__worker_new(struct colo_worker **ret_worker, struct colo_error *err);
/* colo__worker_free - waits for the job that runs: make it end first (shut
 * its link down).  NULL is fine. */
void colo__worker_free(struct colo_worker *worker);
int colo__worker_fd(struct colo_worker *worker);
/* colo__worker_submit - COLO_E_STATE while one is running or not collected */
int colo__worker_submit(struct colo_worker *worker, colo_job_fn *fn, void *arg,
                        struct colo_error *err);
bool colo__worker_busy(struct colo_worker *worker);
/* colo__worker_done - 1: the job has ended and *ret_rc and *err are its; 0:
 * none has.  Never waits. */
int colo__worker_done(struct colo_worker *worker, int *ret_rc,
                      struct colo_error *err);

#endif
