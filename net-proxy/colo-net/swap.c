/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Takes a vif out of its bridge, puts our TAP in its place, and the way back;
 * see net.h.  The exchange itself is one batch, so the guest misses frames
 * for the time of one system call.  Sources: net/bridge/br_sysfs_if.c,
 * br_netlink.c of Linux 6.1.
 */
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net.h"

/* In the bridge's order of meaning; a kernel that lacks one lacks the file. */
static const char *const settings[] = {
    "priority", "path_cost", "hairpin_mode", "bpdu_guard", "root_block",
    "learning", "unicast_flood", "multicast_flood", "broadcast_flood",
    "multicast_fast_leave", "multicast_to_unicast", "neigh_suppress",
    "isolated", "proxyarp", "proxyarp_wifi", "group_fwd_mask",
};

/* ---- small files ------------------------------------------------------- */

static bool read_number(const char *path, uint32_t *ret)
{
    char text[32], *end;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return false;
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n <= 0)
        return false;
    text[n] = 0;
    *ret = (uint32_t)strtoul(text, &end, 0);
    return end != text;
}

static bool write_number(const char *path, uint32_t value)
{
    char text[16];
    int n = snprintf(text, sizeof(text), "%u", value);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok;

    if (fd < 0)
        return false;
    ok = write(fd, text, (size_t)n) == n;
    close(fd);
    return ok;
}

static void set_ipv6(const char *vif, bool on)
{
    char path[96];

    /* a kernel without IPv6 has no such file */
    snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6",
             vif);
    (void)write_number(path, !on);
}

static void set_port(const struct net_record *r, const char *port)
{
    char path[128];
    uint32_t now;

    for (unsigned i = 0; i < r->nr_settings; i++) {
        snprintf(path, sizeof(path), "/sys/class/net/%s/brport/%s", port,
                 r->setting[i].name);
        if (!read_number(path, &now) || now != r->setting[i].value)
            (void)write_number(path, r->setting[i].value);
    }
}

/* ---- messages ---------------------------------------------------------- */

static struct nl_msg *link_msg(int type, int flags, int family, int index,
                               uint32_t value, uint32_t change)
{
    struct ifinfomsg ifi = {
        .ifi_family = (uint8_t)family, .ifi_index = index,
        .ifi_flags = value, .ifi_change = change,
    };
    struct nl_msg *msg = nlmsg_alloc_simple(type, flags);

    if (msg && nlmsg_append(msg, &ifi, sizeof(ifi), NLMSG_ALIGNTO)) {
        nlmsg_free(msg);
        msg = NULL;
    }
    return msg;
}

static struct nl_msg *master_msg(int index, int master)
{
    struct nl_msg *msg = link_msg(RTM_NEWLINK, 0, AF_UNSPEC, index, 0, 0);

    if (msg && nla_put_u32(msg, IFLA_MASTER, (uint32_t)master)) {
        nlmsg_free(msg);
        msg = NULL;
    }
    return msg;
}

static struct nl_msg *flags_msg(int index, uint32_t value, uint32_t change)
{
    return link_msg(RTM_NEWLINK, 0, AF_UNSPEC, index, value, change);
}

/* ---- VLANs ------------------------------------------------------------- */

/* All of them in one message: the kernel joins the two ends of a range only
 * within one (br_netlink.c, br_process_vlan_info). */
static struct nl_msg *vlan_msg(int type, int index, const struct net_record *r)
{
    struct nl_msg *msg = link_msg(type, 0, PF_BRIDGE, index, 0, 0);
    struct nlattr *spec = msg ? nla_nest_start(msg, IFLA_AF_SPEC) : NULL;
    bool ok = spec != NULL;

    for (unsigned i = 0; ok && i < r->nr_vlans; i++) {
        struct bridge_vlan_info info = {
            .flags = r->vlan[i].flags, .vid = r->vlan[i].vid,
        };

        ok = !nla_put(msg, IFLA_BRIDGE_VLAN_INFO, sizeof(info), &info);
    }
    if (ok)
        nla_nest_end(msg, spec);
    else if (msg)
        nlmsg_free(msg);
    return ok ? msg : NULL;
}

struct vlan_look {
    int index;
    struct net_record *r;
};

static void take_vlans(void *user, struct nlmsghdr *answer)
{
    struct vlan_look *look = user;
    const struct ifinfomsg *ifi = nlmsg_data(answer);
    struct nlattr *tb[IFLA_MAX + 1], *a;
    int left;

    if (answer->nlmsg_type != RTM_NEWLINK || ifi->ifi_index != look->index ||
        nlmsg_parse(answer, sizeof(*ifi), tb, IFLA_MAX, NULL) < 0)
        return;
    look->r->has_vlans = true; /* known, and there may be none */
    if (!tb[IFLA_AF_SPEC])
        return;
    nla_for_each_nested(a, tb[IFLA_AF_SPEC], left) {
        const struct bridge_vlan_info *info = nla_data(a);

        if (nla_type(a) != IFLA_BRIDGE_VLAN_INFO ||
            nla_len(a) < (int)sizeof(*info) || look->r->nr_vlans == NET_VLANS)
            continue;
        look->r->vlan[look->r->nr_vlans].vid = info->vid;
        look->r->vlan[look->r->nr_vlans++].flags = info->flags;
    }
}

static void look_vlans(struct colo_nl *nl, int index, struct net_record *r)
{
    struct vlan_look look = { index, r };
    struct nl_msg *msg = link_msg(RTM_GETLINK, NLM_F_DUMP, PF_BRIDGE, 0, 0, 0);

    /* compressed: ranges as two entries, which vlan_msg gives back so */
    if (msg && nla_put_u32(msg, IFLA_EXT_MASK,
                           RTEXT_FILTER_BRVLAN_COMPRESSED)) {
        nlmsg_free(msg);
        msg = NULL;
    }
    (void)colo__nl_ask(nl, msg, "vlans", take_vlans, &look, NULL);
}

/* The end of the range that entry i begins, or its own VLAN. */
static unsigned range_end(const struct net_record *r, unsigned i)
{
    return (r->vlan[i].flags & BRIDGE_VLAN_INFO_RANGE_BEGIN) &&
           i + 1 < r->nr_vlans ? r->vlan[i + 1].vid : r->vlan[i].vid;
}

static bool has_vlan(const struct net_record *r, unsigned vid)
{
    for (unsigned i = 0; i < r->nr_vlans; i++) {
        if (vid >= r->vlan[i].vid && vid <= range_end(r, i))
            return true;
    }
    return false;
}

/* What `now` has and r lacks, one by one.  A port that has just come has what
 * its bridge gives to all: one or none. */
static void list_surplus(const struct net_record *now,
                         const struct net_record *r, struct net_record *ret)
{
    memset(ret, 0, sizeof(*ret));
    for (unsigned i = 0; i < now->nr_vlans; i++) {
        for (unsigned v = now->vlan[i].vid; v <= range_end(now, i); v++) {
            if (!has_vlan(r, v) && !has_vlan(ret, v) &&
                ret->nr_vlans < NET_VLANS)
                ret->vlan[ret->nr_vlans++].vid = (uint16_t)v;
        }
    }
}

/* Only what a bridge with vlan_filtering heeds; others keep it as well.  The
 * guest must not be in a VLAN where it was not: bridges put a new port into
 * one by themselves. */
static void set_vlans(struct colo_nl *nl, const struct net_record *r,
                      int index)
{
    struct net_record now = { .nr_vlans = 0 }, surplus;
    struct colo_error err;
    int rc = 0;

    if (r->nr_vlans)
        rc = colo__nl_do(nl, vlan_msg(RTM_SETLINK, index, r), "VLANs of a port",
                         NULL, &err);
    if (!rc && r->has_vlans) {
        look_vlans(nl, index, &now);
        list_surplus(&now, r, &surplus);
        if (surplus.nr_vlans)
            rc = colo__nl_do(nl, vlan_msg(RTM_DELLINK, index, &surplus),
                             "VLANs that a port had not", NULL, &err);
    }
    if (rc)
        net_say("%s", err.text);
}

/* ---- looking ----------------------------------------------------------- */

static void look_settings(struct net_record *r)
{
    char path[128];

    for (size_t i = 0; i < COLO_ARRAY_LEN(settings); i++) {
        snprintf(path, sizeof(path), "/sys/class/net/%s/brport/%s", r->vif,
                 settings[i]);
        if (!read_number(path, &r->setting[r->nr_settings].value))
            continue;
        strcpy(r->setting[r->nr_settings++].name, settings[i]);
    }
}

/* The record's name of our TAP: from the vif's number, which no two have. */
static void name_tap(const char *vif, int index, char *tap)
{
    struct colo_port_id id;

    if (colo__port_find(vif, &id))
        colo__port_tap_name(&id, tap);
    else
        snprintf(tap, COLO_IFNAME, "cn-%d", index);
}

static bool is_bridge(const char *name)
{
    char path[64];

    snprintf(path, sizeof(path), "/sys/class/net/%s/bridge", name);
    return access(path, F_OK) == 0;
}

int net_swap_look(struct colo_nl *nl, const char *vif, const char *bridge,
                  struct net_record *ret, struct colo_error *err)
{
    struct colo_link_info info, br;
    char path[96];
    uint32_t v;
    int rc = colo__link_get(nl, vif, 0, &info, err);

    memset(ret, 0, sizeof(*ret));
    if (rc) return rc;
    if (bridge)
        rc = colo__link_get(nl, bridge, 0, &br, err);
    else if (info.master)
        rc = colo__link_get(nl, NULL, info.master, &br, err);
    else
        return colo__fail(err, COLO_E_UNSUPPORTED, 0, NET_WHERE,
                          "%s is in no bridge", vif);
    if (rc) return rc;
    if (!is_bridge(br.name))
        return colo__fail(err, COLO_E_UNSUPPORTED, 0, NET_WHERE,
                          "%s belongs to %s, which is not a Linux bridge",
                          vif, br.name);
    strcpy(ret->vif, info.name);
    strcpy(ret->bridge, br.name);
    name_tap(info.name, info.index, ret->tap);
    snprintf(path, sizeof(path), "/sys/class/net/%s/flags", info.name);
    ret->had_arp = !read_number(path, &v) || !(v & IFF_NOARP);
    snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6",
             info.name);
    ret->had_ipv6 = read_number(path, &v) && !v;
    look_settings(ret);
    if (info.master)
        look_vlans(nl, info.index, ret);
    return 0;
}

/* ---- changing ---------------------------------------------------------- */

int net_swap_out(struct colo_nl *nl, const struct net_record *r, bool tap,
                 struct colo_error *err)
{
    struct colo_link_info vif, dev, br;
    struct colo_nl_batch batch;
    int rc;

    rc = colo__link_get(nl, r->vif, 0, &vif, err);
    if (rc) return rc;
    rc = colo__link_get(nl, r->tap, 0, &dev, err);
    if (rc) return rc;
    rc = colo__link_get(nl, r->bridge, 0, &br, err);
    if (rc) return rc;
    set_ipv6(r->vif, false);
    set_ipv6(r->tap, false);
    memset(&batch, 0, sizeof(batch));
    colo__nl_add(&batch, flags_msg(vif.index, IFF_NOARP, IFF_NOARP));
    colo__nl_add(&batch, flags_msg(dev.index, IFF_UP | IFF_NOARP,
                                   IFF_UP | IFF_NOARP));
    colo__nl_add(&batch, master_msg(vif.index, 0));
    if (tap)
        colo__nl_add(&batch, master_msg(dev.index, br.index));
    /* not while it is in the bridge: that would cut the guest off */
    rc = colo__nl_send(nl, &batch, "put a TAP in a vif's place", err);
    if (!rc)
        rc = net_drop_begin(nl, vif.index, err);
    if (!rc && tap) {
        set_port(r, r->tap);
        set_vlans(nl, r, dev.index);
    }
    return rc;
}

int net_swap_enter(struct colo_nl *nl, const struct net_record *r,
                   struct colo_error *err)
{
    struct colo_link_info dev, br;
    int rc = colo__link_get(nl, r->tap, 0, &dev, err);

    if (!rc)
        rc = colo__link_get(nl, r->bridge, 0, &br, err);
    if (!rc)
        rc = colo__nl_do(nl, master_msg(dev.index, br.index),
                         "put a TAP into the bridge", NULL, err);
    if (!rc) {
        set_port(r, r->tap);
        set_vlans(nl, r, dev.index);
    }
    return rc;
}

int net_swap_leave(struct colo_nl *nl, const struct net_record *r,
                   struct colo_error *err)
{
    struct colo_link_info dev;
    int rc = colo__link_get(nl, r->tap, 0, &dev, err);

    return rc ? rc : colo__nl_do(nl, master_msg(dev.index, 0),
                                 "take a TAP out of the bridge", NULL, err);
}

int net_swap_back(struct colo_nl *nl, const struct net_record *r,
                  bool with_bridge, struct colo_error *err)
{
    struct colo_link_info vif, dev, br;
    struct colo_nl_batch batch;
    int rc;

    if (colo__link_get(nl, r->vif, 0, &vif, NULL))
        return 0; /* the guest has gone, and its card with it */
    net_drop_end(nl, vif.index);
    set_ipv6(r->vif, r->had_ipv6);
    memset(&batch, 0, sizeof(batch));
    if (r->had_arp)
        colo__nl_add(&batch, flags_msg(vif.index, 0, IFF_NOARP));
    if (!colo__link_get(nl, r->tap, 0, &dev, NULL))
        colo__nl_add(&batch, master_msg(dev.index, 0));
    if (with_bridge) {
        rc = colo__link_get(nl, r->bridge, 0, &br, err);
        if (rc) return rc;
        if (vif.master && vif.master != br.index)
            with_bridge = false; /* somebody has moved it: that counts */
        else
            colo__nl_add(&batch, master_msg(vif.index, br.index));
    }
    rc = batch.count ? colo__nl_send(nl, &batch, "put a vif back", err) : 0;
    if (!rc && with_bridge) {
        set_port(r, r->vif);
        set_vlans(nl, r, vif.index);
    }
    return rc;
}

int net_cleanup(const char *vif, bool replica, struct colo_error *err)
{
    struct net_record r;
    struct colo_nl nl;
    int fd, rc = net_record_lock(vif, &fd, err);

    if (rc) return rc;
    rc = net_record_read(fd, &r, err);
    if (!rc) {
        rc = colo__nl_open(&nl, 0, err);
        if (!rc)
            rc = net_swap_back(&nl, &r, replica || !r.secondary, err);
        colo__nl_close(&nl);
    } else if (rc == COLO_E_NOTFOUND) {
        rc = 0;
    }
    if (!rc)
        net_record_clear(fd);
    close(fd);
    return rc;
}
