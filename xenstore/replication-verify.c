/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Comparing the disks of both sides: asks every disk's proxy, collects what
 * they found.  Checkpoints go on meanwhile.  The session's thread.
 */
#include <string.h>

#include "publish.h"
#include "replication-internal.h"

static bool is_disk(const struct colo_peer *p)
{
    return p->counts && strcmp(p->class_name, COLO_XS_CLASS_DISK) == 0;
}

int colo__replication_xenstore_verify(struct colo_replication *replication,
                                      struct colo_error *err)
{
    struct replication_xenstore *rx =
        (struct replication_xenstore *)replication;
    unsigned int asked = 0;

    for (struct colo_peer *p = rx->peers; p; p = p->next) {
        int rc;

        if (!is_disk(p))
            continue;
        if (p->verify == 1)
            return colo__fail(err, COLO_E_STATE, 0, "replication",
                              "disk %s is being compared already", p->id);
        rc = colo__peer_ask(&rx->place, p, COLO_PROXY_VERIFY, 0, err);
        if (rc)
            return rc;
        p->verify = 1;
        asked++;
    }
    if (!asked)
        return colo__fail(err, COLO_E_STATE, 0, "replication",
                          "the guest has no replicated disk");
    return 0;
}

int colo__replication_xenstore_verified(struct colo_replication *replication,
                                        uint64_t *ret_compared,
                                        uint64_t *ret_differing,
                                        struct colo_error *err)
{
    const struct replication_xenstore *rx =
        (const struct replication_xenstore *)replication;

    *ret_compared = *ret_differing = 0;
    for (const struct colo_peer *p = rx->peers; p; p = p->next) {
        if (!is_disk(p))
            continue;
        if (p->verify == 1)
            return 1;
        if (p->verify < 0)
            return colo__fail(err, p->verify, 0, "replication",
                              "disk %s could not be compared", p->id);
        *ret_compared += p->compared;
        *ret_differing += p->differing;
    }
    return 0;
}
