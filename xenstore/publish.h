/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The session's side of the xenstore contract: status nodes out, control
 * requests in.  Source: xenstore/schema.h, libcolo-xenstore(7).  One thread.
 */
#ifndef COLO_PUBLISH_H
#define COLO_PUBLISH_H

#include "schema.h"
#include "store.h"

struct colo_publish;

/* colo__publish_open - claim /libcolo/UUID for this process.  A node whose
 * owner has died is cleaned first (recover is the caller's duty before).
 * Errors   COLO_E_EXISTS  a living process has it (text has its pid). */
int colo__publish_open(struct colo_store *store, const char *uuid, int role,
                       struct colo_publish **ret_publish,
                       struct colo_error *err);
/* colo__publish_close - remove every node; NULL is fine. Does not close the
 * store. */
void colo__publish_close(struct colo_publish *publish);

/* colo__publish_status - write what has changed since the last call. */
int colo__publish_status(struct colo_publish *publish,
                         const struct colo_status *status,
                         struct colo_error *err);
/* colo__publish_checkpoint - one write: the figures of a checkpoint. */
int colo__publish_checkpoint(struct colo_publish *publish,
                             const struct colo_checkpoint_info *info,
                             struct colo_error *err);

/* colo__publish_control - token: one that store->next gave.  1 a request was
 * read into *ret_control, 0 not ours or nothing new, < 0 error.  A malformed
 * request is answered here with the reason; one whose number came before is
 * not done again, its answer is repeated. */
int colo__publish_control(struct colo_publish *publish, const char *token,
                          struct colo_control *ret_control,
                          struct colo_error *err);
/* colo__publish_reply - error NULL: ok. */
int colo__publish_reply(struct colo_publish *publish, uint64_t seq,
                        const char *error, struct colo_error *err);

/* colo__publish_stream - name the socket of a proxy's stream to its twin. */
int colo__publish_stream(struct colo_publish *publish, const char *class_name,
                         const char *id, const char *socket_name,
                         struct colo_error *err);

/* colo__publish_yield - the guest is the peer's: whoever tidies up after this
 * session destroys it, instead of letting it go on.  false: not any more. */
int colo__publish_yield(struct colo_publish *publish, bool yields,
                        struct colo_error *err);

/* colo__publish_interval - changed by a request: whoever has its answer sees it
 * in the status, which is not written at every moment. */
int colo__publish_interval(struct colo_publish *publish, uint32_t ms,
                           struct colo_error *err);

/* colo__publish_verified - what a comparison of the disks has found. */
int colo__publish_verified(struct colo_publish *publish, uint64_t compared,
                           uint64_t differing, struct colo_error *err);

/* replication through proxies: follows /libcolo/UUID/proxy.  token: fed with
 * what store->next gave; 1 it was ours. */
struct colo_replication;
int colo__replication_xenstore_new(struct colo_store *store, const char *uuid,
                                   const struct colo_log *log,
                                   struct colo_replication **ret_replication,
                                   struct colo_error *err);
/* expect - this proxy is waited for from prepare on, and counts. */
int colo__replication_xenstore_expect(struct colo_replication *replication,
                                      const char *class_name, const char *id,
                                      struct colo_error *err);
/* gives - of a primary, whose failover means that the other side takes over: it
 * is asked of all, whoever has gone or refused. */
void colo__replication_xenstore_gives(struct colo_replication *replication);
/* marks - of a secondary, which asks for a checkpoint when the primary's
 * begins: its mark comes after that, and after what was written before. */
void colo__replication_xenstore_marks(struct colo_replication *replication,
                                      uint64_t ms);
/* progress - bytes of all proxies' first copies, as they last said. */
void colo__replication_xenstore_progress(
    const struct colo_replication *replication, uint64_t *ret_done,
    uint64_t *ret_total);
/* verify - compare the disks with their twins; verified: 1 not yet, 0 done
 * (chunks of all disks together), < 0 why it could not be. */
int colo__replication_xenstore_verify(struct colo_replication *replication,
                                      struct colo_error *err);
int colo__replication_xenstore_verified(struct colo_replication *replication,
                                        uint64_t *ret_compared,
                                        uint64_t *ret_differing,
                                        struct colo_error *err);
int colo__replication_xenstore_watch(struct colo_replication *replication,
                                     const char *token,
                                     struct colo_error *err);

#endif
