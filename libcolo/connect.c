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

static int lend_link(struct colo_session *s, struct colo_error *err)
{
    struct colo_link *link = s->parts.control;
    const struct colo_link_ops *ops = colo__link_ops(link);
    uint8_t secret[COLO_LINK_SECRET];
    bool has_secret = ops->secret && !ops->secret(link, secret, err);

    return colo__watchdog_lend(s->parts.watchdog_fd, ops->fd(link),
                               has_secret ? secret : NULL, err);
}

static void have_links(struct colo_session *s)
{
    struct colo_link *link = s->parts.control;
    struct colo_error err = { 0 };
    int fd = colo__link_ops(link)->fd(link);

    /* Should this process be killed, the watchdog keeps the link from
     * looking as if the host had died. */
    if (s->parts.watchdog_fd >= 0 && lend_link(s, &err)) {
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

/* xl over there, as stock Xen has it. */
#define STOCK_COMMAND "xl migrate-receive -r"

/* A gate (remus-compat/gate) stands in for the peer: it is started as ssh would
 * be, on this host. */
static int use_gate(struct colo_session *s, struct colo_bootstrap_config *boot,
                    char *words, size_t cap, struct colo_error *err)
{
    const char *dir = s->config.libexecdir, *ssh = s->config.ssh_command;
    const char *to = s->config.address;

    s->stock = true;
    if (s->config.mode != COLO_MODE_REMUS)
        return colo__fail(err, COLO_E_UNSUPPORTED, 0, "session",
                          "%s has only stock Xen: mode remus is all it knows",
                          s->config.peer);
    if (boot->streams)
        return colo__fail(err, COLO_E_UNSUPPORTED, 0, "session",
                          "%s has only stock Xen, which keeps no disks in step:"
                          " put them where both hosts reach them and leave "
                          "them alone, or install libcolo there",
                          s->config.peer);
    if (to && (!strchr(to, ':') || strpbrk(to, " \t")))
        return colo__fail(err, COLO_E_INVAL, 0, "session", "stock Xen at \"%s\""
                          ": it must be ADDRESS:PORT", to);
    if (snprintf(words, cap, "%s/colo-stock to-backup %s%s%s%s",
                 dir ? dir : COLO_LIBEXECDIR, to ? "tcp=" : "", to ? to : "",
                 to ? " " : "", ssh ? ssh : COLO_BOOTSTRAP_SSH) >= (int)cap)
        return colo__fail(err, COLO_E_INVAL, 0, "session",
                          "the ssh command is too long");
    boot->ssh_command = words;
    boot->remote_command = STOCK_COMMAND;
    boot->address = "127.0.0.1";
    boot->transport = COLO_TRANSPORT_TLS;
    return 0;
}

static int begin(struct colo_session *s, bool stock, struct colo_error *err)
{
    char words[1024];
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

    if (stock) {
        rc = use_gate(s, &boot, words, sizeof(words), err);
        if (rc)
            return rc;
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

int colo__connect_begin(struct colo_session *s, struct colo_error *err)
{
    if (s->parts.control && s->parts.bulk) {
        have_links(s);
        return 0;
    }
    return begin(s, s->config.peer_kind == COLO_PEER_STOCK, err);
}

/* There is no libcolo over there: is there an xl? */
static int try_stock(struct colo_session *s, struct colo_error *err)
{
    char text[200];

    colo__bootstrap_end(s->boot);
    s->boot = NULL;
    snprintf(text, sizeof(text), "%s has no libcolo: trying its stock Xen, "
             "whose commits mean less (commit: in the status)",
             s->config.peer);
    colo__session_warn(s, text);
    return begin(s, true, err);
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
    if (rc && !s->stock && s->config.peer_kind == COLO_PEER_AUTO &&
        colo__bootstrap_absent(s->boot)) {
        rc = try_stock(s, &err);
        if (!rc)
            return;
    }
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
