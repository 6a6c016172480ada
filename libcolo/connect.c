/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Reaching the peer: from nothing, or from links that the caller gave, to two
 * links and a HELLO.  Session's thread.
 */
#include <stdio.h>
#include <string.h>

#include "hv/watchdog.h"
#include "session-internal.h"

static void have_links(struct colo_session *s)
{
    struct colo_link *link = s->parts.control;
    struct colo_error err = { 0 };
    int fd = colo__link_ops(link)->fd(link);

    /* Should this process be killed, the watchdog keeps the link from
     * looking as if the host had died. */
    if (s->parts.watchdog_fd >= 0 &&
        colo__watchdog_lend(s->parts.watchdog_fd, fd, &err)) {
        colo__session_error(s, &err);
        return;
    }
    if (colo__session_watch_fd(s, fd, COLO_FD_CONTROL, &err)) {
        colo__session_error(s, &err);
        return;
    }
    colo__control_hello(s);
    if (s->role == COLO_ROLE_PRIMARY &&
        (colo__disks_say(s, &err) || colo__nets_say(s, &err))) {
        colo__session_error(s, &err);
        return;
    }
    /* what the handshake read ahead makes no descriptor readable */
    colo__control_read(s);
}

int colo__connect_begin(struct colo_session *s, struct colo_error *err)
{
    struct colo_bootstrap_config boot = {
        .peer = s->config.peer,
        .address = s->config.address,
        .ssh_command = s->config.ssh_command,
        .remote_command = s->config.remote_command,
        .transport = s->config.transport,
        .streams = s->disks.count + s->nets.count,
        .in_fd = s->config.boot_in_fd,
        .out_fd = s->config.boot_out_fd,
        .timeout_ms = s->config.connect_ms,
        .dead_ms = s->config.dead_ms,
    };
    int rc;

    if (s->parts.control && s->parts.bulk) {
        have_links(s);
        return 0;
    }
    /* the bootstrap owns these descriptors from here on */
    s->config.boot_in_fd = s->config.boot_out_fd = -1;
    rc = colo__bootstrap_start(&boot, s->role == COLO_ROLE_PRIMARY, s->log,
                               &s->boot, err);
    if (rc)
        return rc;
    return colo__session_watch_fd(s, colo__bootstrap_fd(s->boot),
                                  COLO_FD_BOOT, err);
}

void colo__connect_ready(struct colo_session *s)
{
    struct colo_bootstrap_result result = { 0 };
    struct colo_error err = { 0 };
    int rc;

    if (!s->boot || s->parts.control)
        return;
    rc = colo__bootstrap_finish(s->boot, &result, &err);
    if (rc == COLO_E_STATE)
        return;
    colo__session_unwatch_fd(s, colo__bootstrap_fd(s->boot));
    if (rc) {
        s->link_dead = true; /* nobody to tell */
        colo__session_error(s, &err);
        return;
    }
    s->parts.control = result.control;
    s->parts.bulk = result.bulk;
    s->streams = result.streams;
    memcpy(s->stream, result.stream, sizeof(s->stream));
    memcpy(s->id, result.session, 16);
    snprintf(s->peer_name, sizeof(s->peer_name), "%s", result.peer);
    have_links(s);
}
