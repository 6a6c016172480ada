/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The guest is the peer's by now, and its session here was killed before it
 * could tell the disks: their copies become outdated, or a guest could be
 * started on them as if they were the newest.  Used by the watchdog and by
 * colo_recover.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "../xenstore/schema.h"
#include "recover.h"

#define META "/var/lib/libcolo/disk/%s.meta" /* as sessions have it */
#define TRY_MS 1000
#define TOOL_MS 70000 /* it waits for the disk's lock */

/* By now the number may be another guest's. */
static bool is_guest(struct colo_store *store, uint32_t domid,
                     const char *uuid)
{
    char path[40], vm[COLO_XS_PATH_MAX];

    snprintf(path, sizeof(path), "/local/domain/%u/vm", domid);
    return !colo__store_ops(store)->read(store, path, vm, sizeof(vm), NULL) &&
        !strncmp(vm, "/vm/", 4) && !strcasecmp(vm + 4, uuid);
}

void colo__recover_list_disks(uint32_t domid, const char *uuid,
                              struct colo_disks *ret_disks)
{
    struct colo_store *store;
    struct colo_error ignored;

    memset(ret_disks, 0, sizeof(*ret_disks));
    if (colo__store_xs_open(&store, &ignored))
        return;
    /* of one that is not colo-disk's there is nothing to say */
    if (is_guest(store, domid, uuid))
        (void)colo__disks_find(store, domid, ret_disks, &ignored);
    colo__store_ops(store)->close(store);
}

/* One that was never protected has no metadata: nobody asks it. */
static bool is_known(const char *target)
{
    char name[COLO_DM_NAME_MAX], path[sizeof(META) + COLO_DM_NAME_MAX];

    if (colo__dm_name(target, name, NULL))
        return false;
    snprintf(path, sizeof(path), META, name);
    return !access(path, F_OK);
}

/* Its proxy and its guest's backend are about to let go of it. */
static int outdate(const char *target, uint64_t until_us,
                   struct colo_error *err)
{
    const char *const argv[] = { COLO_LIBEXECDIR "/colo-disk", "discard",
                                 target, NULL };
    int rc;

    while ((rc = colo__recover_run(argv, TOOL_MS, "", err)) != 0 &&
           colo__now_us(&colo__clock_monotonic) < until_us)
        poll(NULL, 0, TRY_MS);
    return rc;
}

void colo__recover_outdate(const struct colo_disks *disks, uint32_t limit_ms,
                           const struct colo_log *log)
{
    uint64_t until_us = colo__now_us(&colo__clock_monotonic) +
                        limit_ms * 1000ull;
    struct colo_error err;

    for (uint32_t i = 0; i < disks->count; i++) {
        const char *target = disks->disk[i].name.target;

        if (is_known(target) && outdate(target, until_us, &err))
            colo__log(log, COLO_LOG_ERROR, -1, "recover",
                      "the guest is the peer's, and this copy of its disk "
                      "could not be marked so: colo-disk discard %s", target);
    }
}
