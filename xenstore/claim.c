/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Owner nodes: taken, followed when their process has died, looked at again.
 * See claim.h; who a process is says owner.h.
 */
#include <string.h>

#include "claim.h"
#include "owner.h"

#define TRIES 4 /* the owner may change between our look and our claim */

/* Somebody has the node: 0 if he has died and old holds what he wrote. */
static int check_holder(struct colo_store *store,
                        const struct colo_claim *claim, char *old, size_t cap,
                        struct colo_error *err)
{
    struct colo_owner owner;
    int rc;

    rc = colo__store_ops(store)->read(store, claim->path, old, cap, err);
    if (rc)
        return rc;
    if (colo__xs_owner_parse(old, &owner, NULL) == 0 &&
        colo__owner_alive(&owner))
        return colo__fail(err, COLO_E_EXISTS, 0, claim->where,
                          "process %d %s", owner.pid, claim->taken);
    return claim->clean ? claim->clean(claim->user, err) : 0;
}

int colo__claim(struct colo_store *store, const struct colo_claim *claim,
                char *ret_self, size_t cap, struct colo_error *err)
{
    const struct colo_store_ops *ops = colo__store_ops(store);
    struct colo_owner self;
    const char *expect = NULL;
    char old[128];
    int rc;

    rc = colo__owner_self(&self, err);
    if (rc)
        return rc;
    rc = colo__xs_owner_build(ret_self, cap, &self, err);
    if (rc)
        return rc;
    for (int i = 1;; i++) {
        rc = ops->claim(store, claim->path, ret_self, expect, err);
        if (rc != COLO_E_EXISTS || i == TRIES)
            return rc;
        rc = check_holder(store, claim, old, sizeof(old), err);
        if (rc && rc != COLO_E_NOTFOUND)
            return rc;
        expect = rc ? NULL : old;
    }
}

int colo__claim_holder(struct colo_store *store, const char *path,
                       const char *self, struct colo_error *err)
{
    char value[128];
    int rc;

    rc = colo__store_ops(store)->read(store, path, value, sizeof(value), err);
    if (rc == COLO_E_NOTFOUND)
        return COLO_HOLDER_NOBODY;
    if (rc == COLO_E_LIMIT)
        return COLO_HOLDER_OTHER;
    if (rc)
        return rc;
    return strcmp(value, self) == 0 ? COLO_HOLDER_SELF : COLO_HOLDER_OTHER;
}
