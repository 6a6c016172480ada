/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The host with stock Xen: xl over there, reached by ssh, and the guard, a
 * process of this host that holds the connection when the gate has died.  One
 * thread at a time.
 */
#ifndef COLO_HOST_H
#define COLO_HOST_H

#include "link/child.h"

#define HOST_WORDS 64

struct host {
    const char *tcp;         /* "ADDRESS:PORT": xl is there, and ssh only for
                                what else is to be done; NULL: through ssh */
    const char *const *ssh;  /* words, NULL behind the last; borrowed */
    const char *name;
    const char *command;     /* "xl migrate-receive -r" */
    const char *guard;       /* our own program; NULL: without a guard */
    const char *run_dir;     /* where guards leave their pid */
    const struct colo_log *log;
    struct colo_child child; /* ssh */
    int guard_fd, guard_pid;
};

void host_init(struct host *host, const char *const *ssh, const char *name,
               const char *command, const struct colo_log *log);

/* host_connect - xl over there.
 * *ret_fd  a connected socket, the caller's: local, or TCP */
int host_connect(struct host *host, uint32_t timeout_ms, int *ret_fd,
                 struct colo_error *err);

/* host_end - ssh and guard; certain: there is no replica, so the guard has
 * nothing to do. */
void host_end(struct host *host, bool certain);

/* ---- what struct gate wants; user is a struct host -------------------- */

int host_armed(void *user, const char *name, int fd, struct colo_error *err);
int host_destroy(void *user, const char *name, struct colo_error *err);
int host_ended(void *user, bool revoked, struct colo_error *err);

/* ---- the guard's own side --------------------------------------------- */

/* host_guard - fd: what host_armed() gave it.  Until the gate has ended; when
 * that was not in order it destroys the replica, tried again and again while
 * the connection is held; until there is a newer guard of the same guest and
 * host, under whichever name of the host, whose replica has the same name.
 * Returns  0, or why there may be a replica */
int host_guard(struct host *host, const char *name, int fd,
               struct colo_error *err);

#endif
