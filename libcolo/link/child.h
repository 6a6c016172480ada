/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * One child with a stream to its stdin and stdout.  One thread per child.
 */
#ifndef COLO_CHILD_H
#define COLO_CHILD_H

#include "../internal.h"

struct colo_child {
    int pid;      /* 0: none */
    int pidfd;    /* readable when it has ended; -1 */
    int stdio;    /* our end of its stdin and stdout; -1 */
    int stderr_fd; /* what it wrote to stderr, from the start; -1 */
    int status;   /* as waitpid, once it is reaped; -1 not known */
};

#define COLO_CHILD_INIT { 0, -1, -1, -1, -1 }

/* colo__child_start - argv[0] is looked up in PATH.  A session of its own,
 * so that a key at the terminal does not end it before its time.
 * Errors   COLO_E_NOTFOUND no such program, COLO_E_SYS. */
int colo__child_start(char *const *argv, struct colo_child *ret_child,
                      struct colo_error *err);

/* colo__child_wait - until it has ended or deadline; true: reaped. */
bool colo__child_wait(struct colo_child *child, uint64_t deadline_us);

/* colo__child_said - the last line on its stderr, "" if none. */
void colo__child_said(const struct colo_child *child, char *ret_text,
                      size_t cap);

/* colo__child_end - close the streams, ask it to end, make it end after
 * grace_ms, reap.  Fine for a child that is none. */
void colo__child_end(struct colo_child *child, uint32_t grace_ms);

#endif
