/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What the files of colo-net share.  One process for each network card of a
 * protected guest and side, one thread.  The parts that change interfaces
 * (swap, drop, record) know nothing of frames; those that move frames (port,
 * twin, serve) nothing of bridges.
 */
#ifndef COLO_NET_NET_H
#define COLO_NET_NET_H

#include <stdio.h>
#include <sys/types.h>

#include "../ports.h"
#include "frame.h"

/* to stderr, a line */
void net_say(const char *fmt, ...) COLO_PRINTF(1, 2);

#define NET_WHERE "colo-net"
#define NET_RUN_DIR "/run/libcolo/net"

/* ---- the record (record.c) --------------------------------------------- */

#define NET_SETTINGS 24
#define NET_VLANS 128

/* What a vif was before, so that anybody can put it back. */
struct net_record {
    char vif[COLO_IFNAME], bridge[COLO_IFNAME], tap[COLO_IFNAME];
    bool secondary;   /* a replica's: its output is not for the world */
    bool had_arp, had_ipv6;
    bool has_vlans;   /* they are known; a vif that was in no bridge has none */
    unsigned nr_settings, nr_vlans;
    struct {
        char name[32]; /* of a file in brport/ */
        uint32_t value;
    } setting[NET_SETTINGS];
    struct {
        uint16_t flags, vid; /* struct bridge_vlan_info */
    } vlan[NET_VLANS];
};

/* net_record_lock - the record of a vif, ours as long as *ret_fd is open.
 * Errors  COLO_E_EXISTS a process that lives has it */
int net_record_lock(const char *vif, int *ret_fd, struct colo_error *err);
int net_record_write(int fd, const struct net_record *r,
                     struct colo_error *err);
/* net_record_read - COLO_E_NOTFOUND: it is empty, there is nothing to do. */
int net_record_read(int fd, struct net_record *ret, struct colo_error *err);
/* pure: text of len bytes, not terminated; 0 or -1 */
int net_record_parse(const char *text, size_t len, struct net_record *ret);
/* net_record_clear - nothing to put back any more. */
void net_record_clear(int fd);
/* net_record_each - the vif of every record there is. */
int net_record_each(void (*fn)(void *user, const char *vif), void *user,
                    struct colo_error *err);

/* ---- out of the bridge and back (swap.c, drop.c) ----------------------- */

/* net_swap_look - fill *ret with how the vif is now. */
int net_swap_look(struct colo_nl *nl, const char *vif, const char *bridge,
                  struct net_record *ret, struct colo_error *err);
/* net_swap_out - the vif leaves its bridge and this host's IP stack; with
 * `tap` its place is taken by our TAP in the same system call. */
int net_swap_out(struct colo_nl *nl, const struct net_record *r, bool tap,
                 struct colo_error *err);
/* net_swap_enter - at a takeover: our TAP goes into the bridge. */
int net_swap_enter(struct colo_nl *nl, const struct net_record *r,
                   struct colo_error *err);
/* net_swap_leave - and out of it again. */
int net_swap_leave(struct colo_nl *nl, const struct net_record *r,
                   struct colo_error *err);
/* net_swap_back - the vif is what it was.  with_bridge false: it stays out of
 * the bridge.  What has gone already is fine. */
int net_swap_back(struct colo_nl *nl, const struct net_record *r,
                  bool with_bridge, struct colo_error *err);
/* net_cleanup - what a killed process has left of this vif.
 * replica: put also a secondary's vif into its bridge. */
int net_cleanup(const char *vif, bool replica, struct colo_error *err);

/* net_drop_begin - everything that dev receives ends there, after packet
 * sockets have seen it. */
int net_drop_begin(struct colo_nl *nl, int dev, struct colo_error *err);
void net_drop_end(struct colo_nl *nl, int dev);

/* ---- frames (port.c) --------------------------------------------------- */

#define NET_BATCH 32

struct net_frame {
    uint32_t len; /* with the header */
    uint8_t *data;
};

struct net_port {
    int packet; /* what the guest sends and receives */
    int vif_index;
    int tap;    /* the bridge's side */
    uint64_t from_guest, to_guest, from_world, to_world; /* frames */
    uint64_t lost_in;   /* the guest's card would not take them */
    uint64_t malformed; /* header does not fit the frame, or there is none */
    uint64_t missed;    /* the guest sent more than we could read */
    uint8_t *arena;     /* NET_BATCH frames */
    bool cut;           /* a packet socket said that it has lost some */
};

int net_port_tap(struct net_port *p, const char *name, uint32_t mtu,
                 const char *vif, struct colo_error *err);
int net_port_packet(struct net_port *p, int vif_index, struct colo_error *err);
void net_port_close(struct net_port *p);

/* Both: up to max frames, which live until the next call; 0: none now; < 0
 * the interface has gone. */
int net_port_from_guest(struct net_port *p, struct net_frame *f, int max);
int net_port_from_world(struct net_port *p, struct net_frame *f, int max);

/* net_port_gone - has the guest's card been removed?  No error of the socket
 * says so after one that said that it was set down. */
bool net_port_gone(const struct net_port *p);

/* net_port_to_guest - false: its card did not take it. */
bool net_port_to_guest(struct net_port *p, const uint8_t *frame, size_t len);
bool net_port_to_world(struct net_port *p, const uint8_t *frame, size_t len);

#endif
