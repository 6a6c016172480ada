/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Beginning, ending and owning a bootstrap: its thread, its descriptors, its
 * ssh children, the key.  Called by the session on its own thread; what
 * happens in between is in bootstrap-primary.c and bootstrap-secondary.c.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "bootstrap-internal.h"

#define WHERE "bootstrap"
#define TIMEOUT_MS 30000u
#define DEAD_MS 1000u
#define GRACE_MS 500u
#define LAST_MS 500u

void colo__boot_raise(int event_fd)
{
    uint64_t one = 1;

    while (write(event_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* ---- the links --------------------------------------------------------- */

void colo__boot_tag(unsigned link, char ret_tag[COLO_BOOT_TAG])
{
    memcpy(ret_tag, link == COLO_BOOT_CONTROL ? "COLOCTRL"
                    : link == COLO_BOOT_BULK  ? "COLOBULK"
                                              : "COLOSTR0", COLO_BOOT_TAG);
    if (link >= COLO_BOOT_STREAM)
        ret_tag[COLO_BOOT_TAG - 1] = (char)('0' + link - COLO_BOOT_STREAM);
}

struct colo_link **colo__boot_place(struct colo_bootstrap *boot,
                                    unsigned link)
{
    if (link == COLO_BOOT_CONTROL)
        return &boot->result.control;
    if (link == COLO_BOOT_BULK)
        return &boot->result.bulk;
    if (link - COLO_BOOT_STREAM < boot->result.streams)
        return &boot->result.stream[link - COLO_BOOT_STREAM];
    return NULL;
}

bool colo__boot_complete(struct colo_bootstrap *boot)
{
    struct colo_link **place;

    for (unsigned i = 0; (place = colo__boot_place(boot, i)); i++)
        if (!*place)
            return false;
    return true;
}

static void close_links(struct colo_bootstrap *boot)
{
    struct colo_link **place;

    for (unsigned i = 0; (place = colo__boot_place(boot, i)); i++) {
        if (*place)
            colo__link_ops(*place)->close(*place);
        *place = NULL;
    }
}

static void end_children(struct colo_bootstrap *boot)
{
    for (unsigned i = 0; i < COLO_BOOT_LINKS; i++)
        colo__child_end(&boot->child[i], GRACE_MS);
}

/* ---- the thread -------------------------------------------------------- */

static void log_stderr(struct colo_bootstrap *boot,
                       const struct colo_child *child)
{
    char said[200];

    colo__child_said(child, said, sizeof(said));
    if (said[0])
        colo__log(&boot->log, COLO_LOG_NOTICE, -1, WHERE, "ssh said: %s",
                  said);
}

static void *boot_main(void *arg)
{
    struct colo_bootstrap *boot = arg;
    int rc;

    rc = boot->primary ? colo__boot_primary(boot, &boot->err)
                       : colo__boot_secondary(boot, &boot->err);
    explicit_bzero(boot->key, sizeof(boot->key));
    if (rc) {
        close_links(boot);
        for (unsigned i = 0; i < COLO_BOOT_LINKS; i++)
            log_stderr(boot, &boot->child[i]);
        end_children(boot);
    }
    /* ssh learns that we need it no more; the pump owns them otherwise. */
    if (!boot->pumping) {
        close_fd(&boot->in_fd);
        close_fd(&boot->out_fd);
    }
    boot->rc = rc;
    atomic_store(&boot->over, true);
    colo__boot_raise(boot->done_fd);
    return NULL;
}

/* With every signal blocked: they are the caller's. */
static int start_thread(struct colo_bootstrap *boot, struct colo_error *err)
{
    sigset_t all, before;
    int r;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&boot->thread, NULL, boot_main, boot);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r)
        return colo__fail(err, COLO_E_SYS, r, WHERE,
                          "cannot start a thread");
    boot->started = true;
    return 0;
}

static void join_thread(struct colo_bootstrap *boot)
{
    if (boot->started)
        pthread_join(boot->thread, NULL);
    boot->started = false;
}

/* ---- beginning --------------------------------------------------------- */

/* A word of its own on ssh's command line, and never an option. */
static bool is_host(const char *peer)
{
    if (!peer || !peer[0] || peer[0] == '-')
        return false;
    for (; *peer; peer++) {
        unsigned char c = (unsigned char)*peer;

        if (c <= ' ' || c == 0x7f)
            return false;
    }
    return true;
}

static int check_config(const struct colo_bootstrap_config *config,
                        bool primary, struct colo_error *err)
{
    if (primary && !is_host(config->peer))
        return colo__fail(err, COLO_E_INVAL, 0, WHERE,
                          "\"%s\" is no host name", config->peer
                          ? config->peer : "");
    if (primary && config->transport != COLO_TRANSPORT_TLS &&
        config->transport != COLO_TRANSPORT_SSH)
        return colo__fail(err, COLO_E_INVAL, 0, WHERE,
                          "transport %d needs no bootstrap",
                          (int)config->transport);
    if (config->streams > COLO_MAX_STREAMS)
        return colo__fail(err, COLO_E_LIMIT, 0, WHERE,
                          "%u disks and network cards need a stream each: at "
                          "most %d can be protected",
                          (unsigned)config->streams, COLO_MAX_STREAMS);
    if (config->address && (!is_host(config->address) ||
                            strlen(config->address) > 63))
        return colo__fail(err, COLO_E_INVAL, 0, WHERE,
                          "\"%s\" is no address", config->address);
    if (!primary && (config->in_fd < 0 || config->out_fd < 0))
        return colo__fail(err, COLO_E_INVAL, 0, WHERE,
                          "there is no stream from ssh");
    return 0;
}

static bool copy_string(char **ret, const char *value)
{
    if (!value)
        return true;
    *ret = strdup(value);
    return *ret;
}

static bool copy_config(struct colo_bootstrap *boot,
                        const struct colo_bootstrap_config *config)
{
    const char *ssh = config->ssh_command, *remote = config->remote_command;

    boot->transport = config->transport;
    boot->result.streams = boot->primary ? config->streams : 0;
    boot->timeout_ms = config->timeout_ms ? config->timeout_ms : TIMEOUT_MS;
    boot->dead_ms = config->dead_ms ? config->dead_ms : DEAD_MS;
    boot->deadline_us = colo__deadline_us(boot->timeout_ms);
    return copy_string(&boot->peer, config->peer) &&
           copy_string(&boot->address, config->address) &&
           copy_string(&boot->ssh_command,
                       ssh ? ssh : COLO_BOOTSTRAP_SSH) &&
           copy_string(&boot->remote_command,
                       remote ? remote : "colo receive");
}

/* The process's own stdio stays as it is; two numbers for two ends. */
static int own_fd(int *fd, bool shared)
{
    if (*fd <= 2 || shared)
        *fd = fcntl(*fd, F_DUPFD_CLOEXEC, 3);
    return *fd;
}

static int own_stdio(struct colo_bootstrap *boot, struct colo_error *err)
{
    int in = boot->in_fd, out = boot->out_fd;

    if (own_fd(&boot->in_fd, false) < 0 ||
        own_fd(&boot->out_fd, in == out) < 0)
        return colo__fail(err, COLO_E_SYS, errno, WHERE,
                          "cannot duplicate descriptors %d and %d", in, out);
    return 0;
}

static int set_up(struct colo_bootstrap *boot,
                  const struct colo_bootstrap_config *config,
                  struct colo_error *err)
{
    int rc = check_config(config, boot->primary, err);

    if (rc)
        return rc;
    if (!copy_config(boot, config))
        return colo__fail(err, COLO_E_NOMEM, 0, WHERE,
                          "no memory for the settings");
    boot->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    boot->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    boot->pump_done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (boot->cancel_fd < 0 || boot->done_fd < 0 || boot->pump_done_fd < 0)
        return colo__fail(err, COLO_E_SYS, errno, WHERE,
                          "cannot make an eventfd");
    if (!boot->primary) {
        colo__boot_ssh_connection(getenv("SSH_CONNECTION"), boot->ssh_client,
                                  boot->ssh_server,
                                  sizeof(boot->ssh_server));
        rc = own_stdio(boot, err);
        if (rc)
            return rc;
    }
    return start_thread(boot, err);
}

int colo__bootstrap_start(const struct colo_bootstrap_config *config,
                          bool primary, const struct colo_log *log,
                          struct colo_bootstrap **ret_boot,
                          struct colo_error *err)
{
    struct colo_bootstrap *boot = NULL;
    int rc;

    boot = calloc(1, sizeof(*boot));
    if (!boot) {
        if (!primary && config->in_fd > 2)
            close(config->in_fd);
        if (!primary && config->out_fd > 2 && config->out_fd != config->in_fd)
            close(config->out_fd);
        return colo__fail(err, COLO_E_NOMEM, 0, WHERE,
                          "no memory for a bootstrap");
    }
    boot->primary = primary;
    if (log)
        boot->log = *log;
    boot->cancel_fd = boot->done_fd = boot->pump_done_fd = -1;
    boot->in_fd = primary ? -1 : config->in_fd;
    boot->out_fd = primary ? -1 : config->out_fd;
    for (unsigned i = 0; i < COLO_BOOT_LINKS; i++)
        boot->child[i] = (struct colo_child)COLO_CHILD_INIT;
    rc = set_up(boot, config, err);
    if (rc) goto out;
    *ret_boot = boot;
    boot = NULL;
out:
    colo__bootstrap_end(boot);
    return rc;
}

int colo__bootstrap_fd(struct colo_bootstrap *boot)
{
    return boot->done_fd;
}

bool colo__bootstrap_absent(const struct colo_bootstrap *boot)
{
    return boot->absent;
}

/* ---- ending ------------------------------------------------------------ */

int colo__bootstrap_finish(struct colo_bootstrap *boot,
                           struct colo_bootstrap_result *ret_result,
                           struct colo_error *err)
{
    if (!atomic_load(&boot->over))
        return colo__fail(err, COLO_E_STATE, 0, WHERE,
                          "the bootstrap is not over");
    if (boot->taken)
        return colo__fail(err, COLO_E_STATE, 0, WHERE,
                          "the links were handed over before");
    join_thread(boot);
    if (boot->rc) {
        if (err)
            *err = boot->err;
        return boot->rc;
    }
    boot->taken = true;
    *ret_result = boot->result;
    memset(&boot->result, 0, sizeof(boot->result));
    return 0;
}

/* Links that are closed may still have their last words on the way through
 * the pump or an ssh: these end by themselves then, or after LAST_MS. */
static void end_helpers(struct colo_bootstrap *boot)
{
    uint64_t deadline = colo__deadline_us(LAST_MS);

    if (boot->pumping) {
        (void)colo__fd_wait(boot->pump_done_fd, POLLIN, -1, deadline);
        colo__boot_raise(boot->cancel_fd);
        pthread_join(boot->pump, NULL);
    }
    for (unsigned i = 0; i < COLO_BOOT_LINKS; i++)
        (void)colo__child_wait(&boot->child[i], deadline);
}

void colo__bootstrap_end(struct colo_bootstrap *boot)
{
    if (!boot)
        return;
    if (boot->started && !atomic_load(&boot->over))
        colo__boot_raise(boot->cancel_fd);
    join_thread(boot);
    close_links(boot);
    end_helpers(boot);
    end_children(boot);
    if (!boot->pumping) {
        if (boot->in_fd > 2)
            close(boot->in_fd);
        if (boot->out_fd > 2 && boot->out_fd != boot->in_fd)
            close(boot->out_fd);
    }
    close_fd(&boot->cancel_fd);
    close_fd(&boot->done_fd);
    close_fd(&boot->pump_done_fd);
    free(boot->peer);
    free(boot->address);
    free(boot->ssh_command);
    free(boot->remote_command);
    explicit_bzero(boot->key, sizeof(boot->key));
    free(boot);
}
