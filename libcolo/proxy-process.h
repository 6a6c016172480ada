/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A proxy of the session's own with a twin on the other host (colo-disk,
 * colo-net): its process, the socket where it meets the session, and the link
 * that carries what it says to its twin.  Session's thread.
 */
#ifndef COLO_PROXY_PROCESS_H
#define COLO_PROXY_PROCESS_H

#include "engine/relay.h"
#include "internal.h"

struct colo_session;

struct colo_proxy_process {
    const char *where;        /* of errors; static */
    char what[80];            /* "colo-disk for xvda" */
    struct colo_link *link;   /* to the peer, until the relay has it */
    struct colo_relay *relay;
    int listener;             /* it comes here */
    int life_fd;              /* its stdin: it leaves at its end */
    int pidfd, pid;
};

/* colo__proxy_process_init - link (*stream, NULL afterwards) is ours now.
 * what, id: for messages.  Of several all before the first is started: free is
 * fine from then on. */
void colo__proxy_process_init(struct colo_proxy_process *p, const char *where,
                              const char *what, const char *id,
                              struct colo_link **stream);
/* colo__proxy_process_start - a socket, a node and the process.  cls, id: what
 * it joins as; argv[0]: its path; borrowed. */
int colo__proxy_process_start(struct colo_session *s,
                              struct colo_proxy_process *p, const char *cls,
                              const char *id, const char *const *argv,
                              struct colo_error *err);
/* colo__proxy_process_path - where the session's programs are. */
void colo__proxy_process_path(const struct colo_session *s, const char *name,
                              char *buf, size_t cap);
/* colo__proxy_process_poll - after anything happened; raises what failed. */
void colo__proxy_process_poll(struct colo_session *s,
                              struct colo_proxy_process *p);
/* colo__proxy_process_cut - it hears no more of its twin. */
void colo__proxy_process_cut(struct colo_proxy_process *p);
/* colo__proxy_process_stop - let it leave, by itself. */
void colo__proxy_process_stop(struct colo_proxy_process *p);
/* colo__proxy_process_free - close what is still open; the process is waited
 * for until then, and left if it stays. */
void colo__proxy_process_free(struct colo_proxy_process *p, uint64_t until_us);

#endif
