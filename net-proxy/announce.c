/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See announce.h.  The frames must enter the bridge as if the guest had sent
 * them, so that it learns too; nobody can send on the receiving side of an
 * interface, but an ifb can, with a redirection.  While a vif is not yet
 * connected its bridge hears nothing from it: then they go out on the bridge
 * itself, which reaches the switches outside.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "announce.h"
#include "frames.h"
#include "ports.h"
#include "tc.h"

#define WHERE "net"
#define MAX_PORTS 64

/* Milliseconds after the first: frames get lost, guests connect late. */
static const uint32_t rounds_ms[] = { 0, 100, 300, 700, 1500, 3000 };

struct port {
    struct colo_port_id id;
    struct colo_link_info link;
};

struct colo_announce {
    uint32_t domid;
    const struct colo_clock *clock;
    struct colo_log log;
    struct colo_nl nl;
    int fd;
    uint64_t begun_us;
    unsigned int round;
    struct colo_learn learn;
    unsigned int count; /* of the guest's interfaces in this round */
    struct port port[MAX_PORTS];
};

int colo__announce_new(uint32_t domid, const struct colo_learn *learn,
                       const struct colo_clock *clock,
                       const struct colo_log *log,
                       struct colo_announce **ret, struct colo_error *err)
{
    struct colo_announce *a = calloc(1, sizeof(*a));
    int rc;

    if (!a)
        return colo__fail(err, COLO_E_NOMEM, ENOMEM, WHERE, "announce");
    a->domid = domid;
    a->clock = clock ? clock : &colo__clock_monotonic;
    if (log)
        a->log = *log;
    a->learn = *learn;
    a->begun_us = colo__now_us(a->clock);
    a->fd = -1;
    rc = colo__nl_open(&a->nl, 0, err);
    if (rc) goto out;
    /* Protocol 0: it only sends. */
    a->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (a->fd < 0) {
        rc = colo__fail(err, COLO_E_SYS, errno, WHERE, "packet socket");
        goto out;
    }
    *ret = a;
    a = NULL;
out:
    colo__announce_close(a);
    return rc;
}

uint64_t colo__announce_deadline(const struct colo_announce *a)
{
    if (a->round == COLO_ARRAY_LEN(rounds_ms) || !a->learn.count)
        return COLO_NEVER;
    return a->begun_us + rounds_ms[a->round] * UINT64_C(1000);
}

static void send_frame(struct colo_announce *a, int dev, const uint8_t *frame,
                       size_t len)
{
    struct sockaddr_ll to = {
        .sll_family = AF_PACKET, .sll_ifindex = dev,
        .sll_protocol = htons((uint16_t)(frame[12] << 8 | frame[13])),
    };

    if (len && sendto(a->fd, frame, len, MSG_NOSIGNAL,
                      (struct sockaddr *)&to, sizeof(to)) < 0)
        colo__log(&a->log, COLO_LOG_DEBUG, errno, WHERE,
                  "an announcement was not sent");
}

/* Everything that is known of one card, on one interface. */
static void send_all(struct colo_announce *a, uint32_t card, int dev)
{
    uint8_t frame[COLO_FRAME_BYTES];

    for (unsigned int i = 0; i < a->learn.count; i++) {
        const struct colo_learn_entry *e = &a->learn.entry[i];

        if (e->card != card)
            continue;
        if (e->family == 0)
            send_frame(a, dev, frame, colo__frame_rarp(e, frame));
        else
            send_frame(a, dev, frame, colo__frame_address(e, frame));
    }
}

/* As if the guest had sent it. */
static int send_through(struct colo_announce *a,
                        const struct port *p, struct colo_error *err)
{
    char name[COLO_IFNAME];
    int ifb = 0, rc;

    colo__ifb_name(&p->id, COLO_IFB_ANNOUNCE, name);
    rc = colo__tc_ifb(&a->nl, name, &ifb, err);
    if (rc)
        return rc;
    rc = colo__tc_redirect(&a->nl, ifb, COLO_TC_SENT, p->link.index, err);
    if (!rc)
        send_all(a, p->id.devid, ifb);
    (void)colo__tc_remove_link(&a->nl, ifb, NULL);
    return rc;
}

static void on_link(void *user, const struct colo_link_info *info)
{
    struct colo_announce *a = user;
    struct port *p = &a->port[a->count];

    if (a->count < MAX_PORTS && colo__port_find(info->name, &p->id) &&
        p->id.domid == a->domid) {
        p->link = *info;
        a->count++;
    }
}

/* Of a card's two interfaces the guest uses the connected one. */
static int rank(const struct port *p)
{
    return p->link.up ? (p->id.emulated ? 2 : 3) : (p->id.emulated ? 0 : 1);
}

static bool is_best(const struct colo_announce *a, const struct port *p)
{
    for (unsigned int i = 0; i < a->count; i++) {
        if (a->port[i].id.devid == p->id.devid && rank(&a->port[i]) > rank(p))
            return false;
    }
    return true;
}

static void announce_port(struct colo_announce *a, const struct port *p)
{
    struct colo_error err = { 0 };
    int rc = COLO_E_STATE;

    if (p->link.up)
        rc = send_through(a, p, &err);
    if (!rc)
        return;
    if (p->link.master)
        send_all(a, p->id.devid, p->link.master);
    if (p->link.up)
        colo__log(&a->log, COLO_LOG_WARNING, -1, WHERE,
                  "%s: announced on its bridge only: %s", p->link.name,
                  err.text);
}

void colo__announce_run(struct colo_announce *a)
{
    struct colo_error err = { 0 };

    if (colo__now_us(a->clock) < colo__announce_deadline(a))
        return;
    a->round++;
    a->count = 0;
    if (colo__links(&a->nl, on_link, a, &err))
        colo__log(&a->log, COLO_LOG_WARNING, -1, WHERE,
                  "the guest is not announced: %s", err.text);
    for (unsigned int i = 0; i < a->count; i++) {
        if (is_best(a, &a->port[i]))
            announce_port(a, &a->port[i]);
    }
}

void colo__announce_close(struct colo_announce *a)
{
    if (!a)
        return;
    colo__nl_close(&a->nl);
    if (a->fd >= 0)
        close(a->fd);
    free(a);
}
