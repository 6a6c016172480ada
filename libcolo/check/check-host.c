/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Preflight of this host as a backup, the public call.
 */
#include <stdio.h>
#include <string.h>

#include "check.h"

/* Replicas of earlier attempts keep memory and their name. */
struct leftovers {
    struct colo_store *store;
    struct colo_check_out *out;
};

static int look_at(void *user, const char *id)
{
    static const char mark[] = "--incoming";
    struct leftovers *leftovers = user;
    char path[64], name[128];
    size_t n;

    if (snprintf(path, sizeof(path), "/local/domain/%s/name", id) >=
        (int)sizeof(path))
        return 0;
    if (colo__store_ops(leftovers->store)->read(leftovers->store, path, name,
                                                sizeof(name), NULL))
        return 0;
    n = strlen(name);
    if (n >= sizeof(mark) && !strcmp(name + n - (sizeof(mark) - 1), mark))
        colo__check_say(leftovers->out, COLO_CHECK_WARNING, "incoming-domain",
                        "fine while it is being received; else `xl destroy` "
                        "it", "%s is on this host", name);
    return 0;
}

int colo_check_host(uint64_t need_pages, colo_check_fn *fn, void *user,
                    struct colo_error *err)
{
    struct colo_check_out out = { fn, user, 0 };
    struct leftovers leftovers = { NULL, &out };
    struct colo_host_facts host;
    int rc;

    rc = colo__check_host_facts(&host, err);
    if (rc) goto out;
    colo__check_host_rules(&host, COLO_LIBEXECDIR, &out);
    colo__check_hap_rules(&host, 0, &out);
    colo__check_memory_rules(&host, need_pages, &out);
    colo__check_follower_rules(&host, &out);
    if (!host.is_root || !host.is_dom0)
        goto out;
    if (colo__store_xs_open(&leftovers.store, NULL)) {
        colo__check_say(&out, COLO_CHECK_REFUSED, "no-xenstore",
                        "start xenstored", "xenstore does not answer");
        goto out;
    }
    colo__store_ops(leftovers.store)->list(leftovers.store, "/local/domain",
                                           look_at, &leftovers, NULL);
out:
    if (leftovers.store)
        colo__store_ops(leftovers.store)->close(leftovers.store);
    return rc ? rc : out.refused;
}
