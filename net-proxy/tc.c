/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See tc.h.  Sources: net/sched/sch_plug.c, cls_matchall.c, act_mirred.c and
 * drivers/net/ifb.c of Linux 6.1.
 */
#include <arpa/inet.h>
#include <linux/gen_stats.h>
#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>

#include "ports.h"
#include "tc.h"

#define PLUG_HANDLE TC_H_MAKE(1U << 16, 0)
#define INGRESS TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)
#define EGRESS TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS)
/* Before any other filter: a frame that another lets pass would get out. */
#define FILTER_PRIO 1
/* Tells our filter from everybody else's. */
#define FILTER_HANDLE 0xc0100001

/* ---- messages ---------------------------------------------------------- */

static struct nl_msg *link_msg(int type, int flags, int index,
                               uint32_t set_flags)
{
    struct ifinfomsg ifi = {
        .ifi_family = AF_UNSPEC, .ifi_index = index,
        .ifi_flags = set_flags, .ifi_change = set_flags,
    };
    struct nl_msg *msg = nlmsg_alloc_simple(type, flags);

    if (msg && nlmsg_append(msg, &ifi, sizeof(ifi), NLMSG_ALIGNTO)) {
        nlmsg_free(msg);
        msg = NULL;
    }
    return msg;
}

static struct nl_msg *tc_msg(int type, int flags, struct tcmsg *tcm,
                             const char *kind)
{
    struct nl_msg *msg = nlmsg_alloc_simple(type, flags);

    if (msg && (nlmsg_append(msg, tcm, sizeof(*tcm), NLMSG_ALIGNTO) ||
                (kind && nla_put_string(msg, TCA_KIND, kind)))) {
        nlmsg_free(msg);
        msg = NULL;
    }
    return msg;
}

static struct nl_msg *plug_msg(int ifb, int flags, int action, uint32_t limit)
{
    struct tcmsg tcm = {
        .tcm_family = AF_UNSPEC, .tcm_ifindex = ifb,
        .tcm_handle = PLUG_HANDLE, .tcm_parent = TC_H_ROOT,
    };
    struct tc_plug_qopt opt = { .action = action, .limit = limit };
    struct nl_msg *msg = tc_msg(RTM_NEWQDISC, flags, &tcm, "plug");

    if (msg && nla_put(msg, TCA_OPTIONS, sizeof(opt), &opt)) {
        nlmsg_free(msg);
        msg = NULL;
    }
    return msg;
}

static struct nl_msg *clsact_msg(int type, int flags, int dev)
{
    struct tcmsg tcm = {
        .tcm_family = AF_UNSPEC, .tcm_ifindex = dev,
        .tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0), .tcm_parent = TC_H_CLSACT,
    };

    return tc_msg(type, flags, &tcm, "clsact");
}

static struct tcmsg filter_tcm(int dev, uint32_t parent)
{
    struct tcmsg tcm = {
        .tcm_family = AF_UNSPEC, .tcm_ifindex = dev, .tcm_parent = parent,
        .tcm_handle = FILTER_HANDLE,
        .tcm_info = TC_H_MAKE(FILTER_PRIO << 16, htons(ETH_P_ALL)),
    };

    return tcm;
}

/* Nested: matchall > its actions > the first one > mirred. */
static int put_redirect(struct nl_msg *msg, enum colo_tc_way way, int to)
{
    struct tc_mirred mirred = {
        .action = TC_ACT_STOLEN, .ifindex = (uint32_t)to,
        .eaction = way == COLO_TC_RECEIVED ? TCA_EGRESS_REDIR
                                           : TCA_INGRESS_REDIR,
    };
    struct nlattr *options, *actions, *one, *its;

    if (!(options = nla_nest_start(msg, TCA_OPTIONS)) ||
        !(actions = nla_nest_start(msg, TCA_MATCHALL_ACT)) ||
        !(one = nla_nest_start(msg, 1)) ||
        nla_put_string(msg, TCA_ACT_KIND, "mirred") ||
        !(its = nla_nest_start(msg, TCA_ACT_OPTIONS)) ||
        nla_put(msg, TCA_MIRRED_PARMS, sizeof(mirred), &mirred))
        return -1;
    nla_nest_end(msg, its);
    nla_nest_end(msg, one);
    nla_nest_end(msg, actions);
    nla_nest_end(msg, options);
    return 0;
}

/* ---- the ifb ------------------------------------------------------------ */

static struct nl_msg *new_ifb_msg(const char *name)
{
    struct nl_msg *msg = link_msg(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0, 0);
    struct nlattr *info;

    if (msg && (nla_put_string(msg, IFLA_IFNAME, name) ||
                !(info = nla_nest_start(msg, IFLA_LINKINFO)) ||
                nla_put_string(msg, IFLA_INFO_KIND, "ifb") ||
                (nla_nest_end(msg, info), false))) {
        nlmsg_free(msg);
        msg = NULL;
    }
    return msg;
}

/* Without it the host would send router solicitations into the plug. */
static struct nl_msg *no_ipv6_msg(int ifb)
{
    struct nl_msg *msg = link_msg(RTM_NEWLINK, 0, ifb, 0);
    struct nlattr *spec, *inet6;

    if (msg && (!(spec = nla_nest_start(msg, IFLA_AF_SPEC)) ||
                !(inet6 = nla_nest_start(msg, AF_INET6)) ||
                nla_put_u8(msg, IFLA_INET6_ADDR_GEN_MODE,
                           IN6_ADDR_GEN_MODE_NONE) ||
                (nla_nest_end(msg, inet6), nla_nest_end(msg, spec), false))) {
        nlmsg_free(msg);
        msg = NULL;
    }
    return msg;
}

int colo__tc_ifb(struct colo_nl *nl, const char *name, int *ret_index,
                 struct colo_error *err)
{
    struct colo_link_info info;
    int rc;

    rc = colo__nl_do(nl, new_ifb_msg(name), name, NULL, err);
    if (rc)
        return rc;
    rc = colo__link_get(nl, name, 0, &info, err);
    if (rc)
        return rc;
    /* a kernel without IPv6 refuses that, and does not need it */
    (void)colo__nl_do(nl, no_ipv6_msg(info.index), name, NULL, NULL);
    rc = colo__nl_do(nl, link_msg(RTM_NEWLINK, 0, info.index, IFF_UP), name,
                     NULL, err);
    if (rc) {
        (void)colo__tc_remove_link(nl, info.index, NULL);
        return rc;
    }
    *ret_index = info.index;
    return 0;
}

int colo__tc_remove_link(struct colo_nl *nl, int index, struct colo_error *err)
{
    int reason = 0;
    int rc = colo__nl_do(nl, link_msg(RTM_DELLINK, 0, index, 0),
                         "remove an ifb", &reason, err);

    return reason == ENODEV ? 0 : rc;
}

/* ---- the plug ----------------------------------------------------------- */

int colo__tc_plug(struct colo_nl *nl, int ifb, uint32_t limit,
                  struct colo_error *err)
{
    return colo__nl_do(nl, plug_msg(ifb, NLM_F_CREATE | NLM_F_EXCL,
                                    TCQ_PLUG_LIMIT, limit),
                       "plug (kernel module sch_plug)", NULL, err);
}

void colo__tc_tell(struct colo_nl_batch *batch, int ifb,
                   enum colo_tc_verb verb)
{
    static const int actions[] = {
        [COLO_TC_CLOSE_EPOCH] = TCQ_PLUG_BUFFER,
        [COLO_TC_RELEASE_ONE] = TCQ_PLUG_RELEASE_ONE,
        [COLO_TC_RELEASE_ALL] = TCQ_PLUG_RELEASE_INDEFINITE,
    };

    colo__nl_add(batch, plug_msg(ifb, 0, actions[verb], 0));
}

void colo__tc_limit(struct colo_nl_batch *batch, int ifb, uint32_t limit)
{
    colo__nl_add(batch, plug_msg(ifb, 0, TCQ_PLUG_LIMIT, limit));
}

static void take_stats(void *user, struct nlmsghdr *answer)
{
    struct colo_tc_stats *ret = user;
    struct nlattr *tb[TCA_MAX + 1], *inner[TCA_STATS_MAX + 1];
    const struct gnet_stats_queue *q;

    if (answer->nlmsg_type != RTM_NEWQDISC ||
        nlmsg_parse(answer, sizeof(struct tcmsg), tb, TCA_MAX, NULL) < 0 ||
        !tb[TCA_STATS2] ||
        nla_parse_nested(inner, TCA_STATS_MAX, tb[TCA_STATS2], NULL) < 0 ||
        !inner[TCA_STATS_QUEUE] ||
        nla_len(inner[TCA_STATS_QUEUE]) < (int)sizeof(*q))
        return;
    q = nla_data(inner[TCA_STATS_QUEUE]);
    ret->packets = q->qlen;
    ret->backlog = q->backlog;
    ret->drops = q->drops;
}

int colo__tc_stats(struct colo_nl *nl, int ifb, struct colo_tc_stats *ret,
                   struct colo_error *err)
{
    struct tcmsg tcm = {
        .tcm_family = AF_UNSPEC, .tcm_ifindex = ifb, .tcm_parent = TC_H_ROOT,
    };

    ret->packets = ret->backlog = ret->drops = 0;
    /* Linux 6.1 tells the asker only with ECHO. */
    return colo__nl_ask(nl, tc_msg(RTM_GETQDISC, NLM_F_ACK | NLM_F_ECHO, &tcm,
                                   NULL),
                        "state of a plug", take_stats, ret, err);
}

/* ---- the redirection ---------------------------------------------------- */

int colo__tc_redirect(struct colo_nl *nl, int dev, enum colo_tc_way way,
                      int to, struct colo_error *err)
{
    struct tcmsg tcm = filter_tcm(dev, way == COLO_TC_RECEIVED ? INGRESS
                                                               : EGRESS);
    struct nl_msg *msg;

    /* The hook may be there, or an older kind of it that does as well: what
     * counts is whether it takes the filter. */
    (void)colo__nl_do(nl, clsact_msg(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL,
                                     dev), "clsact", NULL, NULL);
    msg = tc_msg(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, &tcm, "matchall");
    if (msg && put_redirect(msg, way, to)) {
        nlmsg_free(msg);
        msg = NULL;
    }
    return colo__nl_do(nl, msg,
                       "redirect (kernel modules cls_matchall, act_mirred)",
                       NULL, err);
}

static void count_filter(void *user, struct nlmsghdr *answer)
{
    if (answer->nlmsg_type == RTM_NEWTFILTER)
        ++*(unsigned int *)user;
}

static unsigned int filters_of(struct colo_nl *nl, int dev, uint32_t parent)
{
    struct tcmsg tcm = {
        .tcm_family = AF_UNSPEC, .tcm_ifindex = dev, .tcm_parent = parent,
    };
    unsigned int n = 0;

    /* not to be told counts as used */
    if (colo__nl_ask(nl, tc_msg(RTM_GETTFILTER, NLM_F_DUMP, &tcm, NULL),
                     "list filters", count_filter, &n, NULL))
        n++;
    return n;
}

int colo__tc_no_redirect(struct colo_nl *nl, int dev, struct colo_error *err)
{
    struct tcmsg tcm = filter_tcm(dev, INGRESS);
    int reason = 0;
    int rc = colo__nl_do(nl, tc_msg(RTM_DELTFILTER, 0, &tcm, "matchall"),
                         "end a redirect", &reason, err);

    /* no interface, no hook, no such place, another's filter there */
    if (reason == ENODEV || reason == ENOENT || reason == EINVAL)
        return 0;
    if (rc)
        return rc;
    if (!filters_of(nl, dev, INGRESS) && !filters_of(nl, dev, EGRESS))
        (void)colo__nl_do(nl, clsact_msg(RTM_DELQDISC, 0, dev), "clsact",
                          NULL, NULL);
    return 0;
}
