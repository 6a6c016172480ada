/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A route netlink socket and the two ways we talk over it: a batch of
 * requests that the kernel carries out in one system call, and a question
 * with answers.  Messages are built and taken apart with libnl; the socket is
 * our own, because libnl's gets its address from process-wide state.
 * One thread for each socket.
 */
#ifndef COLO_NET_NL_H
#define COLO_NET_NL_H

#include <netlink/attr.h>
#include <netlink/msg.h>

#include "../libcolo/internal.h"

#define COLO_NL_BATCH_BYTES 8192
#define COLO_NL_BATCH_MAX 64 /* messages */

struct colo_nl {
    int fd;
    uint32_t seq;
};

/* A batch is emptied by memset 0, or by being sent. */
struct colo_nl_batch {
    size_t len;
    unsigned int count;
    int failed; /* an errno: a message could not be built or did not fit */
    int results[COLO_NL_BATCH_MAX]; /* after sending: errno of each, 0 = ok */
    uint8_t buf[COLO_NL_BATCH_BYTES] __attribute__((aligned(8)));
};

/* colo__nl_open - groups: bits of RTMGRP_*, 0 for none.  nl->fd is -1 after
 * a failure. */
int colo__nl_open(struct colo_nl *nl, uint32_t groups, struct colo_error *err);
void colo__nl_close(struct colo_nl *nl);

/* colo__nl_add - append msg, which is freed; NULL counts as out of memory. */
void colo__nl_add(struct colo_nl_batch *batch, struct nl_msg *msg);

/* colo__nl_send - have the kernel carry out the batch, in order.
 * Every message is tried, whatever became of those before it.
 * Returns  0; COLO_E_SYS with the first failure in *err (its text ends with
 *          what the kernel said), results[] then says which failed. */
int colo__nl_send(struct colo_nl *nl, struct colo_nl_batch *batch,
                  const char *what, struct colo_error *err);

/* colo__nl_do - one message, freed.  errno of the kernel is in
 * *ret_errno if that is not NULL. */
int colo__nl_do(struct colo_nl *nl, struct nl_msg *msg, const char *what,
                int *ret_errno, struct colo_error *err);

/* colo__nl_ask - send msg (freed) and give every answer to fn, until the
 * kernel says that it was the last.  A dump needs NLM_F_DUMP, a single
 * question NLM_F_ACK in its flags. */
typedef void (*colo_nl_fn)(void *user, struct nlmsghdr *answer);
int colo__nl_ask(struct colo_nl *nl, struct nl_msg *msg, const char *what,
                 colo_nl_fn fn, void *user, struct colo_error *err);

/* colo__nl_events - give every waiting notification to fn, without waiting.
 * *ret_lost: some were lost, look at everything. */
int colo__nl_events(struct colo_nl *nl, colo_nl_fn fn, void *user,
                    bool *ret_lost, struct colo_error *err);

#endif
