/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * colo_session_open: checks the settings and puts a session together from the
 * real parts: Xen, the watchdog, xenstore, the caller's links or none yet.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../xenstore/schema.h"
#include "../xenstore/store.h"
#include "hv/watchdog.h"
#include "nets.h"
#include "parts.h"

#define QUIET_MAX_MS 2500u

static int bad(struct colo_error *err, const char *what)
{
    return colo__fail(err, COLO_E_INVAL, 0, "open", "%s", what);
}

static int check_config(const struct colo_config *c, struct colo_error *err)
{
    struct colo_nets_policy policy;
    int rc;

    if (!c || c->size != sizeof(*c))
        return bad(err, "config->size: use colo_config_init()");
    if (c->role != COLO_ROLE_PRIMARY && c->role != COLO_ROLE_SECONDARY)
        return bad(err, "role is neither primary nor secondary");
    if (c->mode != COLO_MODE_REMUS && c->mode != COLO_MODE_COLO)
        return bad(err, "mode is neither remus nor colo");
    if (c->arbiter != COLO_ARBITER_NONE)
        return bad(err, "unknown arbiter");
    if (c->transport < COLO_TRANSPORT_TLS || c->transport > COLO_TRANSPORT_FD)
        return bad(err, "unknown transport");
    if (c->peer_kind < COLO_PEER_LIBCOLO || c->peer_kind > COLO_PEER_STOCK)
        return bad(err, "unknown peer_kind");
    if (c->toolstack < COLO_TOOLSTACK_AUTO ||
        c->toolstack > COLO_TOOLSTACK_LIBVIRT)
        return bad(err, "unknown toolstack");
    if (c->transport == COLO_TRANSPORT_FD &&
        (c->control_fd < 0 || c->bulk_fd < 0))
        return bad(err, "transport fd needs control_fd and bulk_fd");
    if (c->role == COLO_ROLE_PRIMARY && (!c->domain || !*c->domain))
        return bad(err, "no domain is named");
    if (c->transport != COLO_TRANSPORT_FD) {
        if (c->role == COLO_ROLE_PRIMARY && (!c->peer || !*c->peer))
            return bad(err, "no peer is named");
        if (c->role == COLO_ROLE_SECONDARY &&
            (c->boot_in_fd < 0 || c->boot_out_fd < 0))
            return bad(err, "boot_in_fd and boot_out_fd are not set");
    }
    if (c->interval_ms > COLO_DELAY_MAX_MS)
        return bad(err, "interval_ms is over 600000");
    if (c->hold_ms > 60000)
        return bad(err, "hold_ms is over 60000");
    rc = colo__nets_policy(c->net_policy, &policy, err);
    if (rc)
        return rc;
    if (c->live_round < -1 || c->live_round > 1 || c->compress < -1 ||
        c->compress > 1)
        return bad(err, "live_round and compress are -1, 0 or 1");
    if ((c->disks | c->network_buffer | c->disk_track) & ~1)
        return bad(err, "disks, network_buffer and disk_track are 0 or 1");
    /* Nothing would stand between the network and two guests that run with one
     * address. */
    if (c->role == COLO_ROLE_PRIMARY && c->mode == COLO_MODE_COLO &&
        !c->network_buffer)
        return bad(err, "in mode colo both copies run, and their output is "
                   "compared: network_buffer must be 1; or use mode remus");
    /* A disk that both hosts reach would be written by both. */
    if (c->role == COLO_ROLE_PRIMARY && c->mode == COLO_MODE_COLO && !c->disks)
        return bad(err, "in mode colo both copies run, each on a disk of its "
                   "own: disks must be 1; or use mode remus");
    return 0;
}

static void set_default(uint32_t *field, uint32_t value)
{
    if (!*field)
        *field = value;
}

static void fill_defaults(struct colo_config *c)
{
    struct colo_config d;

    (void)colo_config_init(&d, sizeof(d));
    set_default(&c->heartbeat_ms, d.heartbeat_ms);
    set_default(&c->dead_ms, d.dead_ms);
    set_default(&c->stop_ms, d.stop_ms);
    set_default(&c->connect_ms, d.connect_ms);
    set_default(&c->seed_ms, d.seed_ms);
    set_default(&c->commit_ms, d.commit_ms);
    set_default(&c->audit_checkpoints, d.audit_checkpoints);
}

static int open_primary(const struct colo_config *c, struct colo_parts *parts,
                        struct colo_error *err)
{
    struct colo_hv_info info;
    char uuid[COLO_UUID_TEXT];
    int rc;

    rc = colo__hv_xen_open(c->domain, c->libexecdir, &c->log, &parts->hv,
                           err);
    if (rc)
        return rc;
    /* a guest does not stand still for long with a device model that hangs */
    colo__hv_xen_set_quiet(parts->hv, c->dead_ms < 4 * QUIET_MAX_MS ?
                                      c->dead_ms / 4 : QUIET_MAX_MS);
    rc = colo__hv_ops(parts->hv)->info(parts->hv, &info, err);
    if (rc)
        return rc;
    if (strlen(info.name) > COLO_HV_NAME_MAX)
        return colo__fail(err, COLO_E_UNSUPPORTED, 0, "open", "the guest's "
                          "name has more than %d characters",
                          COLO_HV_NAME_MAX);
    rc = c->mode == COLO_MODE_COLO ? colo__hv_xen_can_copy(parts->hv, err) : 0;
    if (rc)
        return rc;
    /* mode colo compares output instead */
    parts->hold_network = c->network_buffer && c->mode == COLO_MODE_REMUS;
    colo__uuid_text(info.uuid, uuid);
    return colo__watchdog_start(info.domid, uuid, c->libexecdir,
                                &parts->watchdog_fd, &parts->watchdog_pid,
                                err);
}

static int open_links(const struct colo_config *c, struct colo_parts *parts,
                      struct colo_error *err)
{
    int rc;

    if (c->transport != COLO_TRANSPORT_FD)
        return 0;
    rc = colo__link_fd_new(c->control_fd, &parts->control, err);
    if (rc) {
        close(c->bulk_fd);
        return rc;
    }
    return colo__link_fd_new(c->bulk_fd, &parts->bulk, err);
}

static void drop_parts(struct colo_parts *parts)
{
    if (parts->watchdog_fd >= 0)
        colo__watchdog_disarm(parts->watchdog_fd, parts->watchdog_pid);
    if (parts->control)
        colo__link_ops(parts->control)->close(parts->control);
    if (parts->bulk)
        colo__link_ops(parts->bulk)->close(parts->bulk);
    if (parts->store)
        colo__store_ops(parts->store)->close(parts->store);
    if (parts->hv)
        colo__hv_ops(parts->hv)->close(parts->hv);
}

int colo_session_open(const struct colo_config *config,
                      struct colo_session **ret_session,
                      struct colo_error *err)
{
    struct colo_parts parts = { .watchdog_fd = -1 };
    struct colo_config c;
    int rc;

    rc = check_config(config, err);
    if (rc)
        return rc;
    c = *config;
    fill_defaults(&c);
    if (c.dead_ms / 2 < c.heartbeat_ms)
        return bad(err, "dead_ms must be at least twice heartbeat_ms");
    rc = open_links(&c, &parts, err);
    if (rc) goto out;
    rc = colo__store_xs_open(&parts.store, err);
    if (rc) goto out;
    if (c.role == COLO_ROLE_PRIMARY)
        rc = open_primary(&c, &parts, err);
    else
        rc = colo__hv_xen_open(NULL, c.libexecdir, &c.log, &parts.hv, err);
    if (rc) goto out;
    colo__hv_xen_set_toolstack(parts.hv, c.toolstack);
    rc = colo__session_new(&c, &parts, ret_session, err);
    return rc; /* the parts are the session's, or released by it */
out:
    drop_parts(&parts);
    return rc;
}
