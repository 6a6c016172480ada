/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * colo-net's loop, its way into the bridge and out of it.  See serve.h.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "serve.h"

#define LOOK_MS 500

void net_say(const char *fmt, ...)
{
    va_list ap;

    fputs("colo-net: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

uint64_t net_now_us(void)
{
    return colo__now_us(&colo__clock_monotonic);
}

/* ---- whoever is killed leaves a second one behind ---------------------- */

/* A process of its own that waits for our end.  If that came without good-bye,
 * the guest's card goes back into its bridge at once: nobody else has to
 * notice.  A replica's does not: its output is not for the world. */
static int guard(const char *vif, struct colo_error *err)
{
    int pair[2];
    pid_t pid;
    char byte;

    if (pipe2(pair, O_CLOEXEC) < 0)
        return colo__fail(err, COLO_E_SYS, errno, NET_WHERE, "pipe");
    pid = fork();
    if (pid < 0) {
        close(pair[0]);
        close(pair[1]);
        return colo__fail(err, COLO_E_SYS, errno, NET_WHERE, "fork");
    }
    if (pid > 0) {
        close(pair[0]);
        return pair[1];
    }
    (void)setsid();
    (void)prctl(PR_SET_NAME, "colo-net-guard");
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    close(0); /* the session sees its pipe end when we do not */
    close(pair[1]);
    while (read(pair[0], &byte, 1) < 0 && errno == EINTR)
        ;
    /* The lock is free as soon as the last of the dead one's files is. */
    for (int i = 0; i < 200; i++) {
        struct timespec ts = { .tv_nsec = 5000000 };
        struct colo_error why;
        int rc = net_cleanup(vif, false, &why);

        if (rc == 0)
            _exit(0);
        if (rc != COLO_E_EXISTS)
            net_say("%s", why.text);
        nanosleep(&ts, NULL);
    }
    _exit(1);
}

/* ---- in and out -------------------------------------------------------- */

static uint32_t mtu_of(const char *vif)
{
    char path[64], text[16] = "";
    int fd;
    uint32_t mtu;

    snprintf(path, sizeof(path), "/sys/class/net/%s/mtu", vif);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t n = read(fd, text, sizeof(text) - 1);

        text[n > 0 ? n : 0] = 0;
        close(fd);
    }
    mtu = (uint32_t)strtoul(text, NULL, 10);
    return mtu >= 68 && mtu <= 65535 ? mtu : 1500;
}

static int enter(struct net *n, struct colo_error *err)
{
    const struct net_options *o = n->options;
    struct colo_link_info vif;
    struct colo_port_id id;
    int rc;

    rc = net_cleanup(o->vif, true, err); /* of an earlier one */
    if (rc) return rc;
    rc = net_record_lock(o->vif, &n->record_fd, err);
    if (rc) return rc;
    rc = colo__nl_open(&n->nl, 0, err);
    if (rc) return rc;
    rc = net_swap_look(&n->nl, o->vif, o->bridge, &n->record, err);
    if (rc) return rc;
    n->record.secondary = o->secondary;
    n->card = colo__port_find(o->vif, &id) ? (uint8_t)id.devid : 0;
    rc = net_port_tap(&n->port, n->record.tap, mtu_of(o->vif), o->vif, err);
    if (rc) return rc;
    rc = net_record_write(n->record_fd, &n->record, err);
    if (rc) return rc;
    n->in_place = true;
    rc = net_swap_out(&n->nl, &n->record, !o->secondary, err);
    if (rc) return rc;
    rc = colo__link_get(&n->nl, o->vif, 0, &vif, err);
    if (rc) return rc;
    return net_port_packet(&n->port, vif.index, err);
}

static void leave(struct net *n)
{
    struct colo_error err;

    if (n->in_place && !n->said_lost)
        net_flow_release(n);
    if (n->in_place && net_swap_back(&n->nl, &n->record, !n->record.secondary,
                                     &err))
        net_say("%s", err.text);
    else if (n->in_place)
        net_record_clear(n->record_fd);
    net_twin_close(&n->twin);
    net_port_close(&n->port);
    net_flow_free(n->flow);
    colo__nl_close(&n->nl);
    if (n->source) {
        const struct colo_source_ops *ops = colo__source_ops(n->source);

        if (n->joined)
            ops->leave(n->source);
        ops->close(n->source);
    }
    if (n->record_fd >= 0)
        close(n->record_fd);
}

/* ---- the loop ---------------------------------------------------------- */

enum { P_SIGNAL, P_LIFE, P_SOURCE, P_PACKET, P_TAP, P_TWIN, NR_POLL };

static void prepare(struct net *n, struct pollfd *pfd)
{
    const struct colo_source_ops *ops = colo__source_ops(n->source);
    bool waits = n->twin_waits || (n->options->secondary &&
                 n->way != NET_ALONE && n->marked > n->committed);

    pfd[P_LIFE].fd = n->leaving ? -1 : n->life_fd;
    pfd[P_LIFE].events = POLLIN;
    pfd[P_SOURCE].fd = n->leaving ? -1 : ops->fd(n->source);
    pfd[P_SOURCE].events = POLLIN;
    pfd[P_PACKET].fd = net_flow_full(n) ? -1 : n->port.packet;
    pfd[P_PACKET].events = POLLIN;
    pfd[P_TAP].fd = net_wants_in(n) ? n->port.tap : -1;
    pfd[P_TAP].events = POLLIN;
    pfd[P_TWIN].fd = n->twin.fd;
    pfd[P_TWIN].events = (short)((waits ? 0 : POLLIN) |
                                 (n->twin.out_len ? POLLOUT : 0));
}

static int wait_ms(uint64_t now, uint64_t deadline)
{
    uint64_t us = deadline <= now ? 0 : deadline - now;

    return us >= LOOK_MS * 1000u ? LOOK_MS : (int)((us + 999) / 1000);
}

/* The session has let go: a primary leaves at once, a survivor when it has told
 * the network where the guest is and no connection needs it any more. */
static bool may_leave(struct net *n, uint64_t next_say)
{
    return n->leaving && (n->way != NET_ALONE || n->port.packet < 0 ||
                          (next_say == COLO_NEVER && !net_flow_open(n)));
}

static void look_after_twin(struct net *n, uint64_t now)
{
    net_twin_flush(&n->twin, now);
    if (n->twin.fd < 0 && n->twin.out)
        net_lost(n);
}

static void let_go(struct net *n)
{
    char byte;

    if (read(n->life_fd, &byte, 1) > 0)
        return;
    n->leaving = true;
    if (n->way != NET_ALONE || !net_flow_open(n))
        return;
    net_say("%zu connections still need this process; it ends with the last",
            net_flow_open(n));
}

/* The guest has ended, and the toolstack has taken its card away.  What that
 * means the session knows better. */
static void card_gone(struct net *n)
{
    net_say("%s has gone", n->record.vif);
    close(n->port.packet);
    close(n->port.tap);
    n->port.packet = n->port.tap = -1;
}

/* Xen's script sets a card down before it removes it: of that the socket tells
 * the first only. */
static void look_at_card(struct net *n, uint64_t now)
{
    if (n->port.packet < 0 || now < n->next_look_us)
        return;
    n->next_look_us = now + LOOK_MS * 1000u;
    if (net_port_gone(&n->port)) {
        card_gone(n);
    } else if (n->port.malformed && !n->said_malformed) {
        n->said_malformed = true;
        net_say("%s: a frame that cannot be handed on was lost; more of them "
                "are only counted", n->record.vif);
    }
}

static int loop(struct net *n, int sig)
{
    struct pollfd pfd[NR_POLL] = { { .fd = sig, .events = POLLIN } };

    for (;;) {
        uint64_t now = net_now_us(), due = net_flow_tick(n, now), say;

        say = net_announce(n, now);
        look_after_twin(n, now);
        look_at_card(n, now);
        if (may_leave(n, say))
            return 0;
        prepare(n, pfd);
        if (poll(pfd, NR_POLL, wait_ms(now, due < say ? due : say)) < 0 &&
            errno != EINTR)
            return -1;
        if (pfd[P_SIGNAL].revents)
            return 0;
        if (pfd[P_LIFE].fd >= 0 && pfd[P_LIFE].revents)
            let_go(n);
        /* the guest's output first: of a checkpoint it is the older */
        if (pfd[P_PACKET].fd >= 0 && pfd[P_PACKET].revents &&
            net_move_out(n))
            card_gone(n);
        if (pfd[P_TWIN].fd >= 0 && (pfd[P_TWIN].revents || n->twin.in_len))
            net_move_twin(n);
        if (pfd[P_TAP].fd >= 0 && pfd[P_TAP].revents && n->port.tap >= 0 &&
            net_move_in(n))
            card_gone(n);
        net_join(n);
        net_requests(n);
    }
}

static int signals(struct colo_error *err)
{
    sigset_t set;
    int fd;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    fd = signalfd(-1, &set, SFD_CLOEXEC);
    return fd >= 0 ? fd : colo__fail(err, COLO_E_SYS, errno, NET_WHERE,
                                     "signalfd");
}

int net_serve(const struct net_options *options)
{
    struct net n = {
        .options = options, .record_fd = -1, .life_fd = 0,
        .port = { .packet = -1, .tap = -1 }, .twin = { .fd = -1 },
        .nl = { .fd = -1 }, .way = options->secondary ? NET_QUIET : NET_PASS,
    };
    const struct colo_source_config config = {
        .domain = options->domain, .class_name = "net",
        .id = options->id ? options->id : options->vif,
        .control = options->control, .stream = options->stream,
        .secondary = options->secondary,
    };
    struct colo_error err;
    int guard_fd = -1, sig, r = 1;

    /* before anything is open: it must hold none of it */
    guard_fd = guard(options->vif, &err);
    sig = guard_fd < 0 ? -1 : signals(&err);
    if (sig < 0 || enter(&n, &err) ||
        colo__source_open(&config, &n.source, &err)) {
        net_say("%s", err.text);
    } else {
        net_say("%s is in place in %s", n.record.vif, n.record.bridge);
        r = loop(&n, sig) < 0;
        if (n.port.malformed)
            net_say("%" PRIu64 " frames that could not be handed on were lost",
                    n.port.malformed);
        if (n.dropped || n.beyond_old_epoch)
            net_say("of the twin: %" PRIu64 " frames of an old epoch, %" PRIu64
                    " that were not due or had no room", n.beyond_old_epoch,
                    n.dropped);
    }
    leave(&n);
    if (sig >= 0)
        close(sig);
    return r;
}
