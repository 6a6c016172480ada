/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A client of QEMU's monitor: one command at a time, its answer awaited until
 * a deadline; events go to a callback.  An answer that came too late is known
 * by its id and skipped, so the client goes on after a timeout; after any
 * other failure of the socket it is of no use.  One thread at a time.
 */
#ifndef COLO_DM_QMP_H
#define COLO_DM_QMP_H

#include "qmp-msg.h"

struct colo_qmp;

/* called from inside of run and wait; must not call either */
typedef void colo_qmp_event(void *user, const char *name, yajl_val data);

/* colo__qmp_open - connect, take the greeting, negotiate.
 * deadline_us: of colo__clock_monotonic, as in all calls here.
 * Errors   COLO_E_NOTFOUND no such socket, or nobody listens
 *          COLO_E_TIMEOUT  no greeting: another client holds the monitor, or
 *                          QEMU stands still */
int colo__qmp_open(const char *socket, uint64_t deadline_us,
                   colo_qmp_event *event, void *user, struct colo_qmp **ret,
                   struct colo_error *err);
void colo__qmp_close(struct colo_qmp *qmp);

/* colo__qmp_set_beat - beat is called all the while that an answer is waited
 * for; must not call run or wait.  NULL: none. */
void colo__qmp_set_beat(struct colo_qmp *qmp, void (*beat)(void *user),
                        void *user);

/* colo__qmp_run - a command and its answer.
 * Shape    fd: goes with it, borrowed; -1: none.  args: a JSON object or NULL.
 *          ret: the answer, end with colo__qmp_msg_fini; may be NULL.
 * Errors   COLO_E_HV       QEMU refused (its own text), or it is gone
 *          COLO_E_PROTO    what it sent makes no sense
 *          COLO_E_TIMEOUT  no answer by then; it may still be carried out */
int colo__qmp_run(struct colo_qmp *qmp, const char *command, int fd,
                  const char *args, uint64_t deadline_us,
                  struct colo_qmp_msg *ret, struct colo_error *err);

/* colo__qmp_fd - what is ready for EPOLLRDHUP once the other end is closed */
int colo__qmp_fd(const struct colo_qmp *qmp);

/* colo__qmp_closed - is the other end closed, or will it be by then? */
bool colo__qmp_closed(struct colo_qmp *qmp, uint64_t deadline_us);

/* colo__qmp_wait - take what comes until one event was handed on. */
int colo__qmp_wait(struct colo_qmp *qmp, uint64_t deadline_us,
                   struct colo_error *err);

#endif
