/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * An owner node is how a process says that a directory is its own.  Sessions
 * and proxies take theirs, and look after it, by the same rules.  On the
 * thread of the store.
 */
#ifndef COLO_CLAIM_H
#define COLO_CLAIM_H

#include "store.h"

#define COLO_HOLDER_NOBODY 0
#define COLO_HOLDER_SELF   1
#define COLO_HOLDER_OTHER  2

struct colo_claim {
    const char *path;  /* the owner node */
    const char *where; /* for the error's text: "WHERE: process 7 TAKEN" */
    const char *taken;
    /* NULL, or removes what a holder that has died left.  It runs before the
     * claim: afterwards others may already have written to us. */
    int (*clean)(void *user, struct colo_error *err);
    void *user;
};

/* colo__claim - make this process the owner; one that has died is followed.
 * Returns  0, and the owner text in ret_self.
 * Errors   COLO_E_EXISTS  a process that lives has it. */
int colo__claim(struct colo_store *store, const struct colo_claim *claim,
                char *ret_self, size_t cap, struct colo_error *err);

/* colo__claim_holder - who has the node: COLO_HOLDER_*, self being an owner
 * text; < 0 if that cannot be said. */
int colo__claim_holder(struct colo_store *store, const char *path,
                       const char *self, struct colo_error *err);

#endif
