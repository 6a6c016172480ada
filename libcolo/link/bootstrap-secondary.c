/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The side that ssh started: reads the primary's line from its stdin, says
 * where the links can be made, and takes them.  Runs on the bootstrap's
 * thread.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bootstrap-internal.h"

#define WHERE "bootstrap"
#define SAY_MS 1000u

static int say(struct colo_bootstrap *boot, const struct colo_boot_line *line,
               struct colo_error *err)
{
    return colo__boot_write_line(boot->out_fd, boot->cancel_fd,
                                 boot->deadline_us, line, err);
}

/* The primary shows it to whoever started it. */
static void say_why(struct colo_bootstrap *boot, const struct colo_error *why)
{
    struct colo_boot_line line = { .verb = COLO_BOOT_ERROR };

    snprintf(line.text, sizeof(line.text), "%s", why->text);
    (void)colo__boot_write_line(boot->out_fd, -1, colo__deadline_us(SAY_MS),
                                &line, NULL);
}

static int read_open(struct colo_bootstrap *boot, struct colo_error *err)
{
    char buf[COLO_BOOT_LINE_MAX];
    struct colo_boot_line line;
    size_t len;
    int rc;

    rc = colo__boot_read_line(boot->in_fd, boot->cancel_fd,
                              boot->deadline_us, buf, sizeof(buf), &len, err);
    if (rc) goto out;
    rc = colo__boot_line_parse(buf, len, &line);
    if (rc == COLO_E_VERSION) {
        rc = colo__fail(err, rc, 0, WHERE,
                        "the primary speaks bootstrap version %u, this host "
                        "%u", (unsigned)line.version,
                        (unsigned)COLO_BOOT_VERSION);
        goto out;
    }
    if (rc || line.verb != COLO_BOOT_OPEN) {
        rc = colo__fail(err, COLO_E_PROTO, 0, WHERE,
                        "what came on stdin is not from a libcolo primary");
        goto out;
    }
    boot->transport = line.transport;
    boot->result.streams = line.streams;
    memcpy(boot->key, line.key, sizeof(boot->key));
    memcpy(boot->result.session, line.session, sizeof(line.session));
    colo__hex_encode(line.session, sizeof(line.session), boot->identity);
out:
    explicit_bzero(buf, sizeof(buf));
    explicit_bzero(&line, sizeof(line));
    return rc;
}

static int open_tls(struct colo_bootstrap *boot, struct colo_error *err)
{
    struct colo_boot_line ok = { .verb = COLO_BOOT_OK };
    const char *address = boot->address ? boot->address : boot->ssh_server;
    int listener = -1, rc;

    rc = colo__boot_listen(boot, &listener, &ok.port, err);
    if (rc) {
        say_why(boot, err);
        goto out;
    }
    snprintf(ok.address, sizeof(ok.address), "%s", address);
    rc = say(boot, &ok, err);
    if (rc) goto out;
    rc = colo__boot_accept(boot, listener, err);
out:
    if (listener >= 0)
        close(listener);
    return rc;
}

/* ---- everything through ssh -------------------------------------------- */

static void *pump_main(void *arg)
{
    struct colo_bootstrap *boot = arg;

    colo__link_copy(boot->in_fd, boot->out_fd, boot->pump_fd,
                    boot->cancel_fd);
    colo__boot_raise(boot->pump_done_fd);
    return NULL;
}

/* sshd may give us two pipes; a link is one socket. */
static int start_pump(struct colo_bootstrap *boot, struct colo_error *err)
{
    int fd[2], r, rc;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0)
        return colo__fail(err, COLO_E_SYS, errno, WHERE,
                          "cannot make a socket pair");
    rc = colo__link_fd_new(fd[0], &boot->result.control, err);
    if (rc) {
        close(fd[1]);
        return rc;
    }
    boot->pump_fd = fd[1];
    r = pthread_create(&boot->pump, NULL, pump_main, boot);
    if (r) {
        close(fd[1]);
        return colo__fail(err, COLO_E_SYS, r, WHERE,
                          "cannot start a thread");
    }
    boot->pumping = true; /* and it owns in_fd and out_fd */
    return 0;
}

static int open_ssh(struct colo_bootstrap *boot, struct colo_error *err)
{
    struct colo_boot_line ok = { .verb = COLO_BOOT_OK };
    int listener = -1, rc;

    rc = colo__boot_attach_listen(boot, &listener, err);
    if (rc) {
        say_why(boot, err);
        goto out;
    }
    rc = say(boot, &ok, err);
    if (rc) goto out;
    rc = colo__boot_attach_accept(boot, listener, err);
    if (rc) goto out;
    rc = start_pump(boot, err);
out:
    if (listener >= 0)
        close(listener);
    return rc;
}

int colo__boot_secondary(struct colo_bootstrap *boot, struct colo_error *err)
{
    int rc;

    snprintf(boot->result.peer, sizeof(boot->result.peer), "%s",
             boot->ssh_client[0] ? boot->ssh_client : "unknown");
    rc = read_open(boot, err);
    if (rc) {
        if (rc != COLO_E_STATE)
            say_why(boot, err);
        return rc;
    }
    return boot->transport == COLO_TRANSPORT_SSH ? open_ssh(boot, err)
                                                 : open_tls(boot, err);
}
