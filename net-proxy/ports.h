/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Which network interfaces of this host are a guest's: vifD.N, the
 * emulated vifD.N-emu, those renamed by vifname=, and the ifbs that we make
 * for them.  Names are the only record of what a session has made, so
 * that whoever comes after a killed one finds it.
 */
#ifndef COLO_NET_PORTS_H
#define COLO_NET_PORTS_H

#include "nl.h"

/* Room for a name; IFNAMSIZ, whose two headers exclude each other. */
#define COLO_IFNAME 16

/* One network card of a guest has up to two interfaces. */
struct colo_port_id {
    uint32_t domid;
    uint32_t devid;
    bool emulated;
};

enum colo_ifb_kind {
    COLO_IFB_HOLD,     /* ciD.N, cieD.N: holds the output */
    COLO_IFB_ANNOUNCE, /* caD.N, caeD.N: speaks for the guest */
};

/* An interface as the kernel describes it. */
struct colo_link_info {
    int index;
    int master; /* index of its bridge, 0: none */
    bool up;    /* running: frames pass */
    bool gone;  /* in a notification: it has been removed */
    uint8_t mac[6];
    uint32_t rx_packets, tx_packets, rx_dropped, tx_dropped; /* wrap */
    char name[COLO_IFNAME];
};

/* colo__port_parse - is name vifD.N or vifD.N-emu?  Pure. */
bool colo__port_parse(const char *name, struct colo_port_id *ret_id);

/* colo__port_find - as above, and for a vif that was renamed ask sysfs. */
bool colo__port_find(const char *name, struct colo_port_id *ret_id);

/* colo__ifb_name, colo__ifb_parse - the name of our ifb, and back.  Pure. */
void colo__ifb_name(const struct colo_port_id *id, enum colo_ifb_kind kind,
                    char ret_name[COLO_IFNAME]);
bool colo__ifb_parse(const char *name, enum colo_ifb_kind *ret_kind,
                     struct colo_port_id *ret_id);

/* colo__port_tap_name - of colo-net's TAP in the interface's place; it is there
 * as long as colo-net serves that.  Pure. */
void colo__port_tap_name(const struct colo_port_id *id,
                         char ret_name[COLO_IFNAME]);

static inline bool colo__port_same(const struct colo_port_id *a,
                                   const struct colo_port_id *b)
{
    return a->domid == b->domid && a->devid == b->devid &&
           a->emulated == b->emulated;
}

/* colo__link_parse - a RTM_NEWLINK or RTM_DELLINK message.  Pure.
 * Returns false if it is something else, or makes no sense. */
bool colo__link_parse(struct nlmsghdr *msg, struct colo_link_info *ret_info);

/* colo__link_get - one interface by name or, with name NULL, by index. */
int colo__link_get(struct colo_nl *nl, const char *name, int index,
                   struct colo_link_info *ret_info, struct colo_error *err);

/* colo__links - every interface of this host.  fn must not use nl. */
typedef void (*colo_link_fn)(void *user, const struct colo_link_info *info);
int colo__links(struct colo_nl *nl, colo_link_fn fn, void *user,
                struct colo_error *err);

#endif
