/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The secondary's port of the TLS transport: anybody may connect, one peer
 * knows the key.  All connections go forward side by side, so that a silent
 * stranger holds up nobody; what fails is dropped and counted.  Runs on the
 * bootstrap's thread.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bootstrap-internal.h"

#define WHERE "bootstrap"
#define MAX_CALLERS 12     /* a few more than there are links */
#define MAX_REFUSED 1000   /* then somebody floods us */
#define CALLER_MS 5000u    /* handshake and tag of one connection */
#define ORPHAN_MS 1500u    /* after the primary's ssh has ended */

/* One that has connected and is not yet a link of the session. */
struct caller {
    struct colo_link *link; /* NULL: free place */
    int fd;
    short events;           /* what the handshake waits for; 0: it is done */
    size_t have;
    char tag[COLO_BOOT_TAG];
    uint64_t deadline_us;
    char name[64];
};

struct door {
    struct colo_bootstrap *boot;
    int listener;
    uint64_t deadline_us;
    bool watch_ssh;
    unsigned refused;
    struct caller caller[MAX_CALLERS];
};

static void close_caller(struct caller *c)
{
    if (c->link)
        colo__link_ops(c->link)->close(c->link);
    c->link = NULL;
}

static void refuse(struct door *d, struct caller *c, const char *why)
{
    colo__log(&d->boot->log, COLO_LOG_NOTICE, -1, WHERE,
              "dropped a connection from %s: %s", c->name, why);
    close_caller(c);
    d->refused++;
}

/* A free place, or that of the one who has been at it longest. */
static struct caller *place_for_one_more(struct door *d)
{
    struct caller *oldest = &d->caller[0];

    for (int i = 0; i < MAX_CALLERS; i++) {
        if (!d->caller[i].link)
            return &d->caller[i];
        if (d->caller[i].deadline_us < oldest->deadline_us)
            oldest = &d->caller[i];
    }
    refuse(d, oldest, "too many at once");
    return oldest;
}

/* The whole message is one of ours, and its place is free. */
static bool seat(struct colo_bootstrap *boot, struct caller *c)
{
    struct colo_link **place;
    char tag[COLO_BOOT_TAG];

    for (unsigned i = 0; (place = colo__boot_place(boot, i)); i++) {
        colo__boot_tag(i, tag);
        if (memcmp(c->tag, tag, COLO_BOOT_TAG) != 0)
            continue;
        if (*place)
            return false;
        colo__boot_tune(boot, c->fd, i != COLO_BOOT_CONTROL);
        *place = c->link;
        c->link = NULL;
        return true;
    }
    return false;
}

/* As far as it goes without waiting. */
static void advance(struct door *d, struct caller *c)
{
    struct colo_error why;
    size_t len = 0;

    if (c->events && colo__link_tls_step(c->link, &c->events, &why)) {
        refuse(d, c, why.text);
        return;
    }
    if (c->events)
        return;
    do {
        if (colo__link_ops(c->link)->recv(c->link, c->tag + c->have,
                                          sizeof(c->tag) - c->have, 0, &len,
                                          &why)) {
            refuse(d, c, why.text);
            return;
        }
        c->have += len;
    } while (len && c->have < sizeof(c->tag));
    if (c->have == sizeof(c->tag) && !seat(d->boot, c))
        refuse(d, c, "it named no link that is missing");
}

static int let_in(struct door *d, struct colo_error *err)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    struct colo_error why;
    struct caller *c;
    int fd = accept4(d->listener, (struct sockaddr *)&sa, &len,
                     SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0) {
        switch (errno) {
        case EMFILE:
        case ENFILE:
        case ENOMEM:
        case ENOBUFS:
            return colo__fail(err, COLO_E_SYS, errno, WHERE,
                              "cannot accept a connection");
        default: /* it has gone again */
            return 0;
        }
    }
    c = place_for_one_more(d);
    memset(c, 0, sizeof(*c));
    c->fd = fd;
    c->events = POLLIN;
    c->deadline_us = colo__deadline_us(CALLER_MS);
    if (getnameinfo((struct sockaddr *)&sa, len, c->name, sizeof(c->name),
                    NULL, 0, NI_NUMERICHOST) != 0)
        strcpy(c->name, "?");
    if (colo__link_tls_begin(fd, true, d->boot->key, d->boot->identity,
                             &c->link, &why))
        return colo__fail(err, why.code, why.sys_errno, why.where, "%s",
                          why.text);
    return 0;
}

/* The primary keeps its ssh until it has both links.  Once that has ended
 * nobody new will come, only what is under way. */
static void ssh_has_ended(struct door *d)
{
    uint64_t soon = colo__deadline_us(ORPHAN_MS);
    char byte;

    if (read(d->boot->in_fd, &byte, 1) > 0)
        return;
    d->watch_ssh = false;
    if (soon < d->deadline_us)
        d->deadline_us = soon;
}

static uint64_t next_deadline(const struct door *d)
{
    uint64_t next = d->deadline_us;

    for (int i = 0; i < MAX_CALLERS; i++) {
        if (d->caller[i].link && d->caller[i].deadline_us < next)
            next = d->caller[i].deadline_us;
    }
    return next;
}

static int timeout_of(uint64_t deadline_us)
{
    uint64_t now = colo__now_us(&colo__clock_monotonic);

    if (deadline_us <= now)
        return 0;
    return (int)((deadline_us - now) / 1000u + 1u);
}

static void drop_late(struct door *d)
{
    uint64_t now = colo__now_us(&colo__clock_monotonic);

    for (int i = 0; i < MAX_CALLERS; i++) {
        if (d->caller[i].link && d->caller[i].deadline_us <= now)
            refuse(d, &d->caller[i], "it took too long");
    }
}

#define P_CANCEL 0
#define P_SSH 1
#define P_LISTENER 2
#define P_CALLER 3

static int one_round(struct door *d, struct colo_error *err)
{
    struct pollfd p[P_CALLER + MAX_CALLERS];

    p[P_CANCEL] = (struct pollfd){ d->boot->cancel_fd, POLLIN, 0 };
    p[P_SSH] = (struct pollfd){ d->watch_ssh ? d->boot->in_fd : -1, POLLIN,
                                0 };
    p[P_LISTENER] = (struct pollfd){ d->listener, POLLIN, 0 };
    for (int i = 0; i < MAX_CALLERS; i++) {
        struct caller *c = &d->caller[i];

        p[P_CALLER + i] = (struct pollfd){ c->link ? c->fd : -1,
                                           c->events ? c->events : POLLIN,
                                           0 };
    }
    if (poll(p, P_CALLER + MAX_CALLERS, timeout_of(next_deadline(d))) < 0 &&
        errno != EINTR)
        return colo__fail(err, COLO_E_SYS, errno, WHERE,
                          "cannot wait for the primary");
    if (p[P_CANCEL].revents)
        return colo__fail(err, COLO_E_STATE, 0, WHERE, "called off");
    for (int i = 0; i < MAX_CALLERS; i++) {
        if (p[P_CALLER + i].revents)
            advance(d, &d->caller[i]);
    }
    drop_late(d);
    if (p[P_SSH].revents)
        ssh_has_ended(d);
    return p[P_LISTENER].revents ? let_in(d, err) : 0;
}

int colo__boot_accept(struct colo_bootstrap *boot, int listener,
                      struct colo_error *err)
{
    struct door d = {
        .boot = boot,
        .listener = listener,
        .deadline_us = boot->deadline_us,
        .watch_ssh = true,
    };
    int rc;

    do {
        rc = one_round(&d, err);
        if (rc) goto out;
        if (colo__boot_complete(boot))
            goto out;
        if (d.refused > MAX_REFUSED) {
            rc = colo__fail(err, COLO_E_AUTH, 0, WHERE,
                            "%u connections did not prove the key",
                            d.refused);
            goto out;
        }
    } while (d.deadline_us > colo__now_us(&colo__clock_monotonic));
    rc = d.watch_ssh
       ? colo__fail(err, COLO_E_TIMEOUT, 0, WHERE,
                    "the primary did not connect within %u ms (%u others "
                    "did)", (unsigned)boot->timeout_ms, d.refused)
       : colo__fail(err, COLO_E_PEER, 0, WHERE,
                    "the primary went away before it connected (%u others "
                    "did)", d.refused);
out:
    for (int i = 0; i < MAX_CALLERS; i++)
        close_caller(&d.caller[i]);
    return rc;
}
