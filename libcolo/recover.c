/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * colo_recover: what a killed session left behind, when its watchdog was
 * killed too.  Any thread; uses a xenstore handle of its own.
 */
#include <stdio.h>
#include <string.h>

#include "../net-proxy/netbuf.h"
#include "../xenstore/sessions.h"
#include "hv/watchdog.h"
#include "recover.h"

struct recovery {
    struct colo_store *store;
    const struct colo_log *log;
    int cleaned;
    int rc;
    struct colo_error *err;
};

static void warn(struct recovery *r, const struct colo_error *err)
{
    colo__log(r->log, COLO_LOG_WARNING, err->sys_errno, "recover", "%s",
              err->text);
}

static void watch_for_end(struct recovery *r, uint32_t domid)
{
    struct colo_error err;

    if (colo__hv_xen_monitor(domid, &err))
        warn(r, &err);
}

static int recover_replica(struct recovery *r,
                           const struct colo_session_node *node)
{
    bool guest = false;
    int rc = colo__hv_xen_drop_replica(node->domid, r->log, &guest, r->err);

    if (!rc && guest)
        watch_for_end(r, node->domid);
    return rc;
}

static int recover_guest(struct recovery *r,
                         const struct colo_session_node *node)
{
    struct colo_recovery guest = {
        .domid = node->domid, .died = node->owner.pid,
    };
    struct colo_error err;
    int rc;

    /* a suspend that nobody saw the request of is over by now */
    rc = colo__recovery_look(&guest, r->log, r->err);
    colo__recovery_end(&guest);
    /* its guest goes on alone: what it said is said */
    if (colo__netbuf_cleanup(node->domid, true, &err))
        warn(r, &err);
    if (!rc)
        watch_for_end(r, node->domid);
    return rc;
}

static int recover_one(void *user, const struct colo_session_node *node)
{
    struct recovery *r = user;
    struct colo_error ignored;
    char path[80], role[16];
    int rc = 0;

    if (node->alive)
        return 0;
    colo__log(r->log, COLO_LOG_NOTICE, -1, "recover",
              "the session of '%s' has died: cleaning up", node->name);
    snprintf(path, sizeof(path), "/libcolo/%s/" COLO_XS_ROLE, node->uuid);
    if (colo__store_ops(r->store)->read(r->store, path, role, sizeof(role),
                                        &ignored))
        role[0] = 0;
    if (node->domid_known)
        rc = strcmp(role, colo_role_name(COLO_ROLE_SECONDARY)) ?
             recover_guest(r, node) : recover_replica(r, node);
    /* its guest may be gone with it */
    if (rc && rc != COLO_E_NOTFOUND && rc != COLO_E_GUEST) {
        r->rc = rc;
        return 0; /* the node stays, so that the next try finds it */
    }
    snprintf(path, sizeof(path), "/libcolo/%s", node->uuid);
    rc = colo__store_ops(r->store)->remove(r->store, path, r->err);
    if (rc)
        r->rc = rc;
    else
        r->cleaned++;
    return 0;
}

int colo_recover(struct colo_log *log, struct colo_error *err)
{
    struct recovery r = { .log = log, .err = err };
    int rc;

    rc = colo__store_xs_open(&r.store, err);
    if (rc)
        return rc;
    rc = colo__sessions_scan(r.store, recover_one, &r, err);
    colo__store_ops(r.store)->close(r.store);
    if (rc)
        return rc;
    if (r.rc)
        return r.rc;
    rc = colo__recover_disks(log, err);
    if (rc < 0)
        return rc;
    r.cleaned += rc;
    rc = colo__recover_nets(log, err);
    return rc < 0 ? rc : r.cleaned + rc;
}
