/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See ports.h.
 */
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ports.h"

#define EMULATED "-emu"

/* ---- names ------------------------------------------------------------- */

/* A number as Xen writes it: no sign, no leading zero, 16 bits. */
static const char *take_number(const char *text, uint32_t *ret)
{
    uint32_t value = 0;
    const char *p = text;

    for (; *p >= '0' && *p <= '9' && value <= UINT16_MAX; p++)
        value = value * 10 + (uint32_t)(*p - '0');
    if (p == text || value > UINT16_MAX || (*text == '0' && p != text + 1))
        return NULL;
    *ret = value;
    return p;
}

/* "D<between>N", up to what comes after it */
static const char *take_pair(const char *text, char between,
                             struct colo_port_id *id)
{
    text = take_number(text, &id->domid);
    if (!text || *text != between)
        return NULL;
    return take_number(text + 1, &id->devid);
}

bool colo__port_parse(const char *name, struct colo_port_id *ret_id)
{
    struct colo_port_id id;
    const char *rest;

    if (strncmp(name, "vif", 3) != 0)
        return false;
    rest = take_pair(name + 3, '.', &id);
    if (!rest || (*rest && strcmp(rest, EMULATED) != 0))
        return false;
    id.emulated = *rest;
    *ret_id = id;
    return true;
}

/* The device of a vif is vif-D-N whatever its name. */
static bool find_in_sysfs(const char *name, struct colo_port_id *ret_id)
{
    char path[64], target[256];
    const char *base;
    ssize_t n;

    if (strchr(name, '/') || *name == '.')
        return false;
    snprintf(path, sizeof(path), "/sys/class/net/%s/device", name);
    n = readlink(path, target, sizeof(target) - 1);
    if (n <= 0)
        return false;
    target[n] = '\0';
    base = strrchr(target, '/');
    base = base ? base + 1 : target;
    if (strncmp(base, "vif-", 4) != 0)
        return false;
    base = take_pair(base + 4, '-', ret_id);
    ret_id->emulated = false;
    return base && !*base;
}

bool colo__port_find(const char *name, struct colo_port_id *ret_id)
{
    char base[COLO_IFNAME];
    size_t len = strlen(name), tail = strlen(EMULATED);

    if (colo__port_parse(name, ret_id) || find_in_sysfs(name, ret_id))
        return true;
    /* the emulated half of a renamed one is a tap: it has no device */
    if (len <= tail || len >= sizeof(base) ||
        strcmp(name + len - tail, EMULATED) != 0)
        return false;
    memcpy(base, name, len - tail);
    base[len - tail] = '\0';
    if (!find_in_sysfs(base, ret_id))
        return false;
    ret_id->emulated = true;
    return true;
}

void colo__ifb_name(const struct colo_port_id *id, enum colo_ifb_kind kind,
                    char ret_name[COLO_IFNAME])
{
    /* 3 + 5 + 1 + 5 characters at most: it always fits */
    snprintf(ret_name, COLO_IFNAME, "c%c%s%u.%u",
             kind == COLO_IFB_HOLD ? 'i' : 'a', id->emulated ? "e" : "",
             id->domid & UINT16_MAX, id->devid & UINT16_MAX);
}

bool colo__ifb_parse(const char *name, enum colo_ifb_kind *ret_kind,
                     struct colo_port_id *ret_id)
{
    const char *rest;

    if (name[0] != 'c' || (name[1] != 'i' && name[1] != 'a'))
        return false;
    *ret_kind = name[1] == 'i' ? COLO_IFB_HOLD : COLO_IFB_ANNOUNCE;
    ret_id->emulated = name[2] == 'e';
    rest = take_pair(name + 2 + ret_id->emulated, '.', ret_id);
    return rest && !*rest;
}

void colo__port_tap_name(const struct colo_port_id *id,
                         char ret_name[COLO_IFNAME])
{
    snprintf(ret_name, COLO_IFNAME, "cn%s%u.%u", id->emulated ? "e" : "",
             id->domid & UINT16_MAX, id->devid & UINT16_MAX);
}

/* ---- interfaces -------------------------------------------------------- */

static bool parse_attributes(struct nlmsghdr *msg, struct colo_link_info *info)
{
    struct nlattr *tb[IFLA_MAX + 1];

    if (nlmsg_parse(msg, sizeof(struct ifinfomsg), tb, IFLA_MAX, NULL) < 0 ||
        !tb[IFLA_IFNAME] || nla_strlcpy(info->name, tb[IFLA_IFNAME],
                                        sizeof(info->name)) == 0)
        return false;
    if (tb[IFLA_MASTER] && nla_len(tb[IFLA_MASTER]) == 4)
        info->master = (int)nla_get_u32(tb[IFLA_MASTER]);
    if (tb[IFLA_ADDRESS] && nla_len(tb[IFLA_ADDRESS]) == 6)
        memcpy(info->mac, nla_data(tb[IFLA_ADDRESS]), 6);
    if (tb[IFLA_STATS] && nla_len(tb[IFLA_STATS]) >=
            (int)offsetof(struct rtnl_link_stats, multicast)) {
        const struct rtnl_link_stats *s = nla_data(tb[IFLA_STATS]);

        info->rx_packets = s->rx_packets;
        info->tx_packets = s->tx_packets;
        info->rx_dropped = s->rx_dropped;
        info->tx_dropped = s->tx_dropped;
    }
    return true;
}

bool colo__link_parse(struct nlmsghdr *msg, struct colo_link_info *ret_info)
{
    const struct ifinfomsg *ifi = nlmsg_data(msg);

    if ((msg->nlmsg_type != RTM_NEWLINK && msg->nlmsg_type != RTM_DELLINK) ||
        !nlmsg_valid_hdr(msg, sizeof(*ifi)))
        return false;
    /* A bridge tells of its ports in the same words: those do not count. */
    if (ifi->ifi_family != AF_UNSPEC)
        return false;
    memset(ret_info, 0, sizeof(*ret_info));
    ret_info->index = ifi->ifi_index;
    ret_info->gone = msg->nlmsg_type == RTM_DELLINK;
    ret_info->up = (ifi->ifi_flags & (IFF_UP | IFF_LOWER_UP)) ==
                   (IFF_UP | IFF_LOWER_UP);
    return parse_attributes(msg, ret_info);
}

static struct nl_msg *get_link(const char *name, int index, int flags)
{
    struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC, .ifi_index = index };
    struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETLINK, flags);

    if (!msg || nlmsg_append(msg, &ifi, sizeof(ifi), NLMSG_ALIGNTO) ||
        (name && nla_put_string(msg, IFLA_IFNAME, name))) {
        nlmsg_free(msg);
        return NULL;
    }
    return msg;
}

static void keep_link(void *user, struct nlmsghdr *answer)
{
    colo__link_parse(answer, user);
}

int colo__link_get(struct colo_nl *nl, const char *name, int index,
                   struct colo_link_info *ret_info, struct colo_error *err)
{
    int rc;

    memset(ret_info, 0, sizeof(*ret_info));
    rc = colo__nl_ask(nl, get_link(name, name ? 0 : index, NLM_F_ACK),
                      name ? name : "interface", keep_link, ret_info, err);
    if (!rc && !ret_info->index)
        rc = colo__fail(err, COLO_E_SYS, EIO, "netlink", "no interface told");
    return rc;
}

struct links_user {
    colo_link_fn fn;
    void *user;
};

static void give_link(void *user, struct nlmsghdr *answer)
{
    const struct links_user *u = user;
    struct colo_link_info info;

    if (colo__link_parse(answer, &info))
        u->fn(u->user, &info);
}

int colo__links(struct colo_nl *nl, colo_link_fn fn, void *user,
                struct colo_error *err)
{
    struct links_user u = { fn, user };

    return colo__nl_ask(nl, get_link(NULL, 0, NLM_F_DUMP), "list interfaces",
                        give_link, &u, err);
}
