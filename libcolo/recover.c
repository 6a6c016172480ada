/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * colo_recover: what a killed session left behind, when its watchdog was
 * killed too.  Any thread; uses a xenstore handle of its own.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "../net-proxy/netbuf.h"
#include "../xenstore/owner.h"
#include "../xenstore/sessions.h"
#include "hv/watchdog.h"
#include "recover.h"

#define OUTDATE_MS 10000 /* somebody waits for us */
#define WATCHDOG_MS 1000 /* in which a watchdog that lives says what it knows */

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

/* "" if there is none */
static void read_node(struct recovery *r, const struct colo_session_node *node,
                      const char *name, char *buf, size_t cap)
{
    char path[COLO_XS_PATH_MAX];
    struct colo_error ignored;

    if (colo__xs_path(path, sizeof(path), node->uuid, name, &ignored) ||
        colo__store_ops(r->store)->read(r->store, path, buf, cap, &ignored))
        buf[0] = 0;
}

static bool has_yielded(struct recovery *r,
                        const struct colo_session_node *node)
{
    char yield[4];

    read_node(r, node, COLO_XS_YIELD, yield, sizeof(yield));
    return !strcmp(yield, "1");
}

/* Its session died while it destroyed the guest, which the peer has. */
static int recover_yield(struct recovery *r,
                         const struct colo_session_node *node)
{
    struct colo_disks disks;
    struct colo_error err;
    int rc;

    colo__recover_list_disks(node->domid, node->uuid, &disks);
    rc = colo__hv_xen_yield(node->domid, node->uuid, r->log, r->err);
    if (colo__netbuf_cleanup(node->domid, false, &err))
        warn(r, &err);
    if (!rc)
        colo__recover_outdate(&disks, OUTDATE_MS, r->log);
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
    /* The watchdog may be at work, and find out just now that the peer has it:
     * then nothing is let out. */
    if (rc != COLO_E_EXISTS) {
        poll(NULL, 0, WATCHDOG_MS);
        if (has_yielded(r, node))
            return recover_yield(r, node);
    }
    /* its guest goes on alone: what it said is said; unless what is held there
     * is another session's */
    if (rc != COLO_E_EXISTS && colo__netbuf_cleanup(node->domid, true, &err))
        warn(r, &err);
    if (!rc)
        watch_for_end(r, node->domid);
    return rc;
}

static int recover_domain(struct recovery *r,
                          const struct colo_session_node *node)
{
    char role[16];

    read_node(r, node, COLO_XS_ROLE, role, sizeof(role));
    if (!strcmp(role, colo_role_name(COLO_ROLE_SECONDARY)))
        return recover_replica(r, node);
    return has_yielded(r, node) ? recover_yield(r, node)
                                : recover_guest(r, node);
}

static int recover_one(void *user, const struct colo_session_node *node)
{
    struct recovery *r = user;
    struct colo_owner owner;
    char path[80], text[64];
    int rc = 0;

    if (node->alive)
        return 0;
    colo__log(r->log, COLO_LOG_NOTICE, -1, "recover",
              "the session of '%s' has died: cleaning up", node->name);
    if (node->domid_known)
        rc = recover_domain(r, node);
    /* its guest may be gone with it */
    if (rc && rc != COLO_E_NOTFOUND && rc != COLO_E_GUEST) {
        r->rc = rc;
        return 0; /* the node stays, so that the next try finds it */
    }
    /* that took a while: a new session may have taken the place */
    read_node(r, node, COLO_XS_OWNER, text, sizeof(text));
    if (!colo__xs_owner_parse(text, &owner, NULL) && colo__owner_alive(&owner))
        return 0;
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
