/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The public calls on a session besides its loop: what any thread may ask for
 * (noted in atomics, carried out by the loop) and what the session's thread
 * may look at.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../xenstore/publish.h"
#include "session-internal.h"

int colo_config_init(struct colo_config *config, size_t size)
{
    if (!config || size != sizeof(*config))
        return COLO_E_INVAL;
    memset(config, 0, sizeof(*config));
    config->size = sizeof(*config);
    config->mode = COLO_MODE_REMUS;
    config->control_fd = config->bulk_fd = -1;
    config->boot_in_fd = config->boot_out_fd = -1;
    config->heartbeat_ms = 100;
    config->dead_ms = 1000;
    config->stop_ms = 10000;
    config->connect_ms = 30000;
    config->seed_ms = 60000;
    config->commit_ms = 10000;
    config->audit_checkpoints = 256;
    config->delta_mib = 64;
    config->live_round = -1;
    config->compress = -1;
    config->disks = 1;
    config->network_buffer = 1;
    return 0;
}

int colo_session_get_fd(struct colo_session *s)
{
    return s->epoll_fd;
}

int colo_session_get_events(struct colo_session *s)
{
    (void)s;
    return POLLIN;
}

static void want(struct colo_session *s, uint32_t bits)
{
    uint64_t one = 1;

    atomic_fetch_or(&s->wants, bits);
    /* the counter cannot be near its maximum: process resets it */
    (void)!write(s->wake_fd, &one, sizeof(one));
}

int colo_do_checkpoint(struct colo_session *s, struct colo_error *err)
{
    if (s->role != COLO_ROLE_PRIMARY)
        return colo__fail(err, COLO_E_STATE, 0, "session",
                          "checkpoints are made on the primary's host");
    if (s->mode == COLO_MODE_NONE)
        return colo__fail(err, COLO_E_STATE, 0, "session",
                          "not protecting yet, or no longer");
    want(s, COLO_WANT_CHECKPOINT);
    return 0;
}

int colo_session_set_delay(struct colo_session *s, uint32_t interval_ms,
                           struct colo_error *err)
{
    if (s->role != COLO_ROLE_PRIMARY)
        return colo__fail(err, COLO_E_STATE, 0, "session",
                          "the interval is set on the primary's host");
    if (!interval_ms || interval_ms > COLO_DELAY_MAX_MS)
        return colo__fail(err, COLO_E_INVAL, 0, "session",
                          "interval of %u ms: it must be 1 to %u", interval_ms,
                          COLO_DELAY_MAX_MS);
    atomic_store(&s->interval_ms, interval_ms);
    want(s, 0);
    return 0;
}

int colo_session_failover(struct colo_session *s, struct colo_error *err)
{
    if (s->role == COLO_ROLE_SECONDARY && !s->committed)
        return colo__fail(err, COLO_E_STATE, 0, "session",
                          "there is no whole epoch yet to take over from");
    if (s->state == COLO_STATE_NEW || s->state >= COLO_STATE_ENDING)
        return colo__fail(err, COLO_E_STATE, 0, "session",
                          "no failover in state %s",
                          colo_state_name(s->state));
    want(s, COLO_WANT_FAILOVER);
    return 0;
}

int colo_session_stop(struct colo_session *s, struct colo_error *err)
{
    (void)err; /* stopping twice, or what has ended, is fine */
    want(s, COLO_WANT_STOP);
    return 0;
}

int colo_set_replication(struct colo_session *s, int enable, int primary,
                         int failover, struct colo_error *err)
{
    int is_primary = s->role == COLO_ROLE_PRIMARY;

    if (enable && failover)
        return colo__fail(err, COLO_E_INVAL, 0, "session",
                          "failover cannot be set while enable is set");
    if (!!primary != is_primary)
        return colo__fail(err, COLO_E_INVAL, 0, "session",
                          "this session is the %s", colo_role_name(s->role));
    if (failover)
        return colo_session_failover(s, err);
    if (!enable)
        return colo_session_stop(s, err);
    if (s->state != COLO_STATE_NEW)
        return colo__fail(err, COLO_E_STATE, 0, "session",
                          "replication was started already (state %s)",
                          colo_state_name(s->state));
    want(s, COLO_WANT_START);
    return 0;
}

int colo_replication_status(struct colo_session *s, int *ret_error,
                            char *desc, size_t cap, struct colo_error *err)
{
    if (!ret_error || (cap && !desc))
        return colo__fail(err, COLO_E_INVAL, 0, "session", "no place for "
                          "the result");
    *ret_error = s->replication_error;
    if (cap)
        snprintf(desc, cap, "%s", s->replication_error ? s->error.text : "");
    return 0;
}

static void fill_followers(struct colo_session *s, struct colo_status *st)
{
    struct colo_netbuf_status net;

    st->disks = s->disks.count;
    if (s->proxies)
        colo__replication_xenstore_progress(s->proxies, &st->disk_done,
                                            &st->disk_total);
    if (!s->network.buffer)
        return;
    colo__netbuf_status(s->network.buffer, &net);
    st->interfaces = net.ports;
    st->held_bytes = net.held;
    st->held_max = net.held_max;
    st->output_lost = net.drops;
}

static void fill(struct colo_session *s, struct colo_status *st)
{
    st->role = s->role;
    st->state = s->state;
    st->mode = s->mode;
    st->last_mode = s->last_mode;
    st->reason = s->reason;
    st->replication_error = s->replication_error;
    st->domid = s->info.domid;
    st->interval_ms = atomic_load(&s->interval_ms);
    snprintf(st->name, sizeof(st->name), "%.63s", s->info.name);
    colo__uuid_text(s->info.uuid, st->uuid);
    snprintf(st->peer, sizeof(st->peer), "%s", s->peer_name);
    snprintf(st->error, sizeof(st->error), "%s", s->error.text);
    st->seed_done = s->seed_done;
    st->seed_total = s->seed_total;
    st->seed_bytes_per_second = s->seed_rate;
    st->audit_pages = s->audit_pages;
    st->audit_mismatches = s->audit_mismatches;
    st->audit_known = s->audit_known;
    st->full_resyncs = s->role == COLO_ROLE_PRIMARY ? s->p.capture.resyncs
                                                    : 0;
    /* what the peer or the guest does not allow: keep_to_features */
    st->audit_off = s->role == COLO_ROLE_PRIMARY &&
                    s->config.audit_checkpoints == UINT32_MAX;
    if (s->role == COLO_ROLE_PRIMARY)
        st->commit = s->peer.features & COLO_FEATURE_WRITTEN
                         ? COLO_COMMIT_WRITTEN
                     : s->peer.features & COLO_FEATURE_UNACKED
                         ? COLO_COMMIT_UNACKNOWLEDGED
                         : COLO_COMMIT_ACKNOWLEDGED;
    colo__stats_fill(&s->stats, colo__now_us(s->clock), st);
    st->epoch = s->committed;
    st->lockstep = s->lockstep;
    fill_followers(s, st);
}

int colo_query_status(struct colo_session *s, struct colo_status *status,
                      struct colo_error *err)
{
    struct colo_status full = { 0 };
    uint32_t size;

    if (!status || status->size < sizeof(uint32_t))
        return colo__fail(err, COLO_E_INVAL, 0, "session",
                          "status->size is not set");
    size = status->size;
    fill(s, &full);
    full.size = size;
    if (size > sizeof(full)) /* a newer caller: what we do not know is 0 */
        memset((char *)status + sizeof(full), 0, size - sizeof(full));
    memcpy(status, &full, size < sizeof(full) ? size : sizeof(full));
    return 0;
}
