/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The seam to the peer: a reliable byte stream, already authenticated.
 * A session has two, control and bulk.  At most one thread sends and one
 * receives at a time; shutdown may come from any thread and wakes both.
 */
#ifndef COLO_LINK_H
#define COLO_LINK_H

#include <sys/uio.h>

#include "../internal.h"

#define COLO_LINK_SECRET 32

struct colo_link; /* starts with const struct colo_link_ops *ops */

struct colo_link_ops {
    void (*close)(struct colo_link *link); /* NULL is fine */
    /* a descriptor to poll for input */
    int (*fd)(struct colo_link *link);
    /* send - all of it.  timeout_ms: without any progress.
     * COLO_E_PEER closed, reset or no progress in time: the link is dead. */
    int (*send)(struct colo_link *link, const struct iovec *iov, int n,
                uint32_t timeout_ms, struct colo_error *err);
    /* recv - at least 1, at most cap bytes to *ret_len; timeout_ms 0 = what
     * is there now, *ret_len 0 then.  COLO_E_PEER closed, reset; a wait that
     * ran out is COLO_E_TIMEOUT and leaves the link usable. */
    int (*recv)(struct colo_link *link, void *buf, size_t cap,
                uint32_t timeout_ms, size_t *ret_len, struct colo_error *err);
    /* pending - bytes in memory, though the descriptor is not readable: recv
     * has them, or with timeout_ms 0 says that a record is not whole yet.
     * Who polls and gives recv less room than 16 KiB, or calls it until
     * nothing is there, need not ask: then none is read ahead. */
    size_t (*pending)(struct colo_link *link);
    void (*shutdown)(struct colo_link *link);
    /* secret - COLO_LINK_SECRET bytes that both ends of this connection know
     * and nobody between them.  0, COLO_E_*; NULL: there are none. */
    int (*secret)(struct colo_link *link, uint8_t *ret, struct colo_error *err);
    /* part - the orderly end of what we send, and then bytes that only who has
     * the peer's descriptor finds.  One try.  NULL: cannot. */
    void (*part)(struct colo_link *link, const void *data, size_t len);
};

static inline const struct colo_link_ops *colo__link_ops(struct colo_link *l)
{
    return *(const struct colo_link_ops *const *)l;
}

/* colo__link_fd_new - over a connected stream socket (TCP, AF_UNIX),
 * which it owns; made non-blocking.
 * colo__link_tls_new - TLS 1.3-PSK over it; does the handshake within
 * timeout_ms.  key: 32 bytes, wiped by the caller afterwards; identity: at
 * most 32 hex digits.  server: the side that accepted.
 * Both own fd also when they fail.
 * Errors   COLO_E_AUTH wrong key or identity, COLO_E_PEER, COLO_E_NOMEM. */
int colo__link_fd_new(int fd, struct colo_link **ret_link,
                      struct colo_error *err);
int colo__link_tls_new(int fd, bool server, const uint8_t *key,
                       const char *identity, uint32_t timeout_ms,
                       struct colo_link **ret_link, struct colo_error *err);

/* colo__link_tune - TCP: no delay, keepalive, and dead after dead_ms without
 * an acknowledgement or with a closed window.  Other sockets: nothing. */
void colo__link_tune(int fd, uint32_t dead_ms);

/* colo__link_copy - in_fd to sock and sock to out_fd until sock has ended, one
 * breaks or cancel_fd (or -1) is readable.  Owns in_fd, out_fd and sock.
 * SIGPIPE must be blocked. */
void colo__link_copy(int in_fd, int out_fd, int sock, int cancel_fd);

/* colo__deadline_us - now + ms, in microseconds of the monotonic clock. */
uint64_t colo__deadline_us(uint32_t ms);

/* ---- bootstrap: from "ssh HOST colo receive" to two links -------------- */

#define COLO_BOOTSTRAP_SSH "ssh -o BatchMode=yes" /* where none is named */

/* Links beside control and bulk: one for each disk, so that a burst of pages
 * does not delay its writes. */
#define COLO_MAX_STREAMS 8

struct colo_bootstrap_config {
    const char *peer, *address, *ssh_command, *remote_command;
    int32_t transport;     /* primary: COLO_TRANSPORT_TLS or _SSH */
    uint32_t streams;      /* primary: so many more links */
    int in_fd, out_fd;     /* secondary: the ends that ssh gave us.  Owned,
                              also on failure; 0, 1 and 2 are duplicated and
                              left alone, so the caller has to close those
                              himself before ssh can end */
    uint32_t timeout_ms, dead_ms; /* 0: 30000, 1000 */
};

struct colo_bootstrap_result {
    struct colo_link *control, *bulk;
    struct colo_link *stream[COLO_MAX_STREAMS]; /* the first streams */
    uint32_t streams;
    uint8_t session[16];
    char peer[128];        /* who it is, for people */
    int helper_pid;        /* ssh that carries a link, or 0; reaped by
                              colo__bootstrap_end */
};

struct colo_bootstrap; /* under way */

/* A secondary needs its stdin and stdout for this only until it is over (with
 * ssh as transport its bootstrap goes on copying them until end).  Then a
 * process that was started by ssh should have left ssh's session (setsid)
 * and write no more to its stderr, which ends together with ssh.
 *
 * begins; the work is done on a thread of its own that never outlives
 * cancel/finish.  fd is readable when it is over. */
int colo__bootstrap_start(const struct colo_bootstrap_config *config,
                          bool primary, const struct colo_log *log,
                          struct colo_bootstrap **ret_boot,
                          struct colo_error *err);
int colo__bootstrap_fd(struct colo_bootstrap *boot);
/* finish - its result or its error; COLO_E_STATE if it is not over. */
int colo__bootstrap_finish(struct colo_bootstrap *boot,
                           struct colo_bootstrap_result *ret_result,
                           struct colo_error *err);
/* absent - after finish said so: the command was not found at the peer. */
bool colo__bootstrap_absent(const struct colo_bootstrap *boot);
/* end - stop it if it runs, end the ssh children, free; NULL is fine.  Call
 * it after the links are closed. */
void colo__bootstrap_end(struct colo_bootstrap *boot);

/* attach - what "colo receive --attach SESSION" does: copy its stdio to the
 * process of the same user that is receiving that session, until both have
 * ended.  Owns in_fd and out_fd.  Blocks as long as the link lasts; a signal
 * or the end of either side ends it.
 * Errors   COLO_E_INVAL no session id, COLO_E_NOTFOUND nobody waits for it,
 *          COLO_E_AUTH another user does (the primary is told too). */
int colo__bootstrap_attach(const char *session_hex, int in_fd, int out_fd,
                           struct colo_error *err);

#endif
