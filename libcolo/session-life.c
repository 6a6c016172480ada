/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The life of a session around its loop: it is made of its parts, it ends, it
 * is taken apart.  open.c brings the parts, the loop calls
 * colo__session_end() when the state table says so; everything is freed here.
 * On the session's thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../xenstore/publish.h"
#include "hv/watchdog.h"
#include "session-internal.h"

#define REAP_US 3000000 /* disks and networks let go of the guest meanwhile */

/* ---- the beginning ----------------------------------------------------- */

static char *copy_text(const char *text, bool *ok)
{
    char *copy = text ? strdup(text) : NULL;

    if (text && !copy)
        *ok = false;
    return copy;
}

static bool copy_config(struct colo_session *s, const struct colo_config *c)
{
    bool ok = true;

    s->config = *c;
    s->config.domain = copy_text(c->domain, &ok);
    s->config.peer = copy_text(c->peer, &ok);
    s->config.address = copy_text(c->address, &ok);
    s->config.ssh_command = copy_text(c->ssh_command, &ok);
    s->config.remote_command = copy_text(c->remote_command, &ok);
    s->config.libexecdir = copy_text(c->libexecdir, &ok);
    s->config.disk_spill_dir = copy_text(c->disk_spill_dir, &ok);
    s->config.net_policy = copy_text(c->net_policy, &ok);
    return ok;
}

static int set_up(struct colo_session *s, struct colo_error *err)
{
    struct colo_hv *hv = s->parts.hv;
    int rc;

    s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->epoll_fd < 0 || s->wake_fd < 0)
        return colo__fail(err, COLO_E_SYS, errno, "session", "descriptors");
    rc = colo__worker_new(&s->worker, err);
    if (rc)
        return rc;
    if (s->role == COLO_ROLE_PRIMARY) {
        rc = colo__hv_ops(hv)->info(hv, &s->info, err);
        if (rc)
            return rc;
        rc = colo__session_publish(s, err);
        if (!rc && s->parts.store && s->config.disks)
            rc = colo__disks_find(s->parts.store, s->info.domid, &s->disks,
                                  err);
        /* whatever else is asked for: both copies run */
        if (!rc && s->parts.store && colo__both_run(s))
            rc = colo__nets_find(s->parts.store, s->info.domid, &s->nets,
                                 err);
        if (!rc && s->parts.hold_network)
            rc = colo__network_hold(s, err);
        if (rc)
            return rc;
    } else {
        struct colo_hv_info info; /* of this host: there is no guest yet */

        if (!colo__hv_ops(hv)->info(hv, &info, NULL))
            s->info.xen_version = info.xen_version;
    }
    rc = colo__session_watch_fd(s, s->wake_fd, COLO_FD_WAKE, err);
    if (!rc)
        rc = colo__session_watch_fd(s, colo__hv_ops(hv)->fd(hv), COLO_FD_HV,
                                    err);
    if (!rc)
        rc = colo__session_watch_fd(s, colo__worker_fd(s->worker),
                                    COLO_FD_WORKER, err);
    if (!rc)
        rc = colo__session_watch_fd(
            s, colo__arbiter_ops(s->parts.arbiter)->fd(s->parts.arbiter),
            COLO_FD_ARBITER, err);
    for (size_t i = 0; !rc && i < COLO_MAX_REPLICATION; i++) {
        struct colo_replication *r = s->parts.replication[i];

        if (r)
            rc = colo__session_watch_fd(s, colo__replication_ops(r)->fd(r),
                                        COLO_FD_REPLICATION, err);
    }
    return rc;
}

int colo__session_new(const struct colo_config *config,
                      struct colo_parts *parts,
                      struct colo_session **ret_session,
                      struct colo_error *err)
{
    struct colo_session *s;
    int rc;

    s = calloc(1, sizeof(*s));
    if (!s)
        return colo__fail(err, COLO_E_NOMEM, ENOMEM, "session", "session");
    s->epoll_fd = s->wake_fd = -1;
    s->parts = *parts;
    s->role = config->role;
    s->table = s->role == COLO_ROLE_PRIMARY ? &colo__primary_table
                                            : &colo__secondary_table;
    s->clock = parts->clock ? parts->clock : &colo__clock_monotonic;
    s->log = &s->config.log;
    s->guest_reason = -1;
    s->state_deadline_us = COLO_NEVER;
    s->status_dirty = true;
    if (!s->parts.arbiter)
        s->parts.arbiter = colo__arbiter_none();
    if (parts->session_id)
        memcpy(s->id, parts->session_id, 16);
    colo__heartbeat_init(&s->heartbeat, config->heartbeat_ms,
                         config->dead_ms);
    atomic_store(&s->interval_ms,
                 config->interval_ms ? config->interval_ms
                 : config->mode == COLO_MODE_COLO ? COLO_DELAY_COLO_MS
                                                  : COLO_DELAY_REMUS_MS);
    if (!copy_config(s, config)) {
        rc = colo__fail(err, COLO_E_NOMEM, ENOMEM, "session", "settings");
        goto out;
    }
    snprintf(s->peer_name, sizeof(s->peer_name), "%s",
             config->peer ? config->peer : "");
    rc = set_up(s, err);
    if (rc) goto out;
    *ret_session = s;
    s = NULL;
out:
    colo_session_close(s);
    return rc;
}

/* ---- the end ----------------------------------------------------------- */

bool colo__session_ended_well(const struct colo_session *s)
{
    return !s->error.code || s->failover == COLO_FAILOVER_COMPLETED;
}

/* Say so before the links go: a peer that only saw them go would take it for
 * the loss of a host.  So would a backup that was silent because it was held
 * up, and comes back. */
static void tell_the_end(struct colo_session *s)
{
    if (!s->error.code)
        return;
    if (s->role == COLO_ROLE_PRIMARY && !s->guest_gone)
        colo__control_send_back(s, COLO_MSG_ERROR,
                                (uint64_t)(int64_t)s->error.code,
                                s->error.text);
    else
        colo__control_send_error(s, &s->error);
}

void colo__session_end(struct colo_session *s)
{
    struct colo_event ev = { .type = COLO_EVENT_EXIT };

    tell_the_end(s);
    if (s->parts.bulk)
        colo__link_ops(s->parts.bulk)->shutdown(s->parts.bulk);
    if (s->role == COLO_ROLE_PRIMARY)
        atomic_store(&s->p.transfer.abort, true);
    else
        atomic_store(&s->s.receive.abort, true);
    colo__worker_free(s->worker);
    s->worker = NULL;
    if (s->role == COLO_ROLE_PRIMARY)
        colo__primary_finish(s);
    else
        colo__secondary_finish(s);
    if (s->parts.watchdog_fd >= 0) {
        /* if the guest could not be let go, the watchdog has its turn */
        if (s->guest_stuck)
            close(s->parts.watchdog_fd);
        else
            colo__watchdog_disarm(s->parts.watchdog_fd,
                                  s->parts.watchdog_pid);
        s->parts.watchdog_fd = -1;
    }
    s->replication_error = !colo__session_ended_well(s);
    colo__session_set_mode(s, COLO_MODE_NONE,
                           colo__session_ended_well(s) && !s->error.code
                               ? COLO_REASON_REQUEST
                               : COLO_REASON_ERROR);
    if (s->role == COLO_ROLE_PRIMARY && s->p.crippled)
        s->reason = COLO_REASON_ERROR;
    if (s->operator_failover)
        s->reason = COLO_REASON_REQUEST;
    colo__session_publish_status(s);
    ev.code = colo__session_ended_well(s) ? s->outcome.code : s->error.code;
    ev.text = s->error.code ? s->error.text
              : s->outcome.code ? s->outcome.text : NULL;
    colo__session_tell(s, &ev);
    colo__publish_close(s->publish);
    s->publish = NULL;
}

static void free_session(struct colo_session *s)
{
    uint64_t until_us = 0;

    if (s->role == COLO_ROLE_PRIMARY) {
        colo__match_fini(&s->p.match);
        colo__transfer_fini(&s->p.transfer);
        colo__capture_fini(&s->p.capture);
    } else {
        colo__report_fini(&s->s.report);
        colo__receive_fini(&s->s.receive);
        colo__apply_fini(&s->s.apply);
        free(s->s.state);
    }
    for (size_t i = 0; i < COLO_MAX_REPLICATION; i++) {
        struct colo_replication *r = s->parts.replication[i];

        if (r)
            colo__replication_ops(r)->close(r);
    }
    if (s->parts.control)
        colo__link_ops(s->parts.control)->close(s->parts.control);
    if (s->parts.bulk)
        colo__link_ops(s->parts.bulk)->close(s->parts.bulk);
    for (uint32_t i = 0; i < COLO_MAX_STREAMS; i++)
        if (s->stream[i])
            colo__link_ops(s->stream[i])->close(s->stream[i]);
    /* after a takeover they are to outlive us */
    if (s->failover != COLO_FAILOVER_COMPLETED)
        until_us = colo__now_us(&colo__clock_monotonic) + REAP_US;
    colo__disks_free(&s->disks, until_us);
    colo__nets_free(&s->nets, until_us);
    colo__network_free(&s->network);
    colo__bootstrap_end(s->boot);
    if (s->parts.hv)
        colo__hv_ops(s->parts.hv)->close(s->parts.hv);
    colo__publish_close(s->publish);
    if (s->parts.store)
        colo__store_ops(s->parts.store)->close(s->parts.store);
    colo__arbiter_ops(s->parts.arbiter)->close(s->parts.arbiter);
    if (s->wake_fd >= 0)
        close(s->wake_fd);
    if (s->epoll_fd >= 0)
        close(s->epoll_fd);
    if (s->config.boot_in_fd >= 0)
        close(s->config.boot_in_fd);
    if (s->config.boot_out_fd >= 0)
        close(s->config.boot_out_fd);
    free((char *)s->config.domain);
    free((char *)s->config.peer);
    free((char *)s->config.address);
    free((char *)s->config.ssh_command);
    free((char *)s->config.remote_command);
    free((char *)s->config.libexecdir);
    free((char *)s->config.disk_spill_dir);
    free((char *)s->config.net_policy);
    free(s);
}

void colo_session_close(struct colo_session *s)
{
    if (!s)
        return;
    if (s->state != COLO_STATE_NEW && s->state != COLO_STATE_ENDED) {
        colo__session_wind_up(s);
    } else {
        colo__worker_free(s->worker);
        if (s->parts.watchdog_fd >= 0)
            colo__watchdog_disarm(s->parts.watchdog_fd,
                                  s->parts.watchdog_pid);
    }
    free_session(s);
}
