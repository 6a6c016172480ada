/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Keeping this host's IP stack off an interface: a filter of two instructions
 * at clsact's ingress, which comes after packet sockets.  Without it this
 * host would answer ARP for its own addresses and take what a guest sends to
 * the vif's MAC.  Source: net/sched/cls_bpf.c, net/core/dev.c of Linux 6.1.
 */
#include <arpa/inet.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "net.h"

#define INGRESS TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)
#define FILTER_PRIO 2 /* 1 is the output buffer's */
#define FILTER_HANDLE 0xc0200001

static struct nl_msg *tc_msg(int type, int flags, uint32_t parent,
                             uint32_t handle, uint32_t info, int dev,
                             const char *kind)
{
    struct tcmsg tcm = {
        .tcm_family = AF_UNSPEC, .tcm_ifindex = dev, .tcm_parent = parent,
        .tcm_handle = handle, .tcm_info = info,
    };
    struct nl_msg *msg = nlmsg_alloc_simple(type, flags);

    if (msg && (nlmsg_append(msg, &tcm, sizeof(tcm), NLMSG_ALIGNTO) ||
                nla_put_string(msg, TCA_KIND, kind))) {
        nlmsg_free(msg);
        msg = NULL;
    }
    return msg;
}

static struct nl_msg *filter_msg(int type, int flags, int dev)
{
    return tc_msg(type, flags, INGRESS, FILTER_HANDLE,
                  TC_H_MAKE(FILTER_PRIO << 16, htons(ETH_P_ALL)), dev, "bpf");
}

static int load_program(void)
{
    static const struct bpf_insn insns[] = {
        { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0,
          .imm = TC_ACT_SHOT },
        { .code = BPF_JMP | BPF_EXIT },
    };
    union bpf_attr attr;

    memset(&attr, 0, sizeof(attr));
    attr.prog_type = BPF_PROG_TYPE_SCHED_CLS;
    attr.insns = (uint64_t)(uintptr_t)insns;
    attr.insn_cnt = COLO_ARRAY_LEN(insns);
    attr.license = (uint64_t)(uintptr_t)"GPL";
    return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
}

static struct nl_msg *begin_msg(int dev, int prog)
{
    struct nl_msg *msg = filter_msg(RTM_NEWTFILTER,
                                    NLM_F_CREATE | NLM_F_REPLACE, dev);
    struct nlattr *options;

    if (msg && (!(options = nla_nest_start(msg, TCA_OPTIONS)) ||
                nla_put_u32(msg, TCA_BPF_FD, (uint32_t)prog) ||
                nla_put_string(msg, TCA_BPF_NAME, "libcolo-drop") ||
                nla_put_u32(msg, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT) ||
                (nla_nest_end(msg, options), false))) {
        nlmsg_free(msg);
        msg = NULL;
    }
    return msg;
}

int net_drop_begin(struct colo_nl *nl, int dev, struct colo_error *err)
{
    int prog = load_program(), rc;

    if (prog < 0)
        return colo__fail(err, COLO_E_SYS, errno, NET_WHERE,
                          "a filter program (kernel option BPF_SYSCALL)");
    /* the hook may be there already */
    (void)colo__nl_do(nl, tc_msg(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL,
                                 TC_H_CLSACT, TC_H_MAKE(TC_H_CLSACT, 0), 0,
                                 dev, "clsact"), "clsact", NULL, NULL);
    rc = colo__nl_do(nl, begin_msg(dev, prog), "keep this host off a vif "
                     "(kernel modules sch_ingress, cls_bpf)", NULL, err);
    close(prog);
    return rc;
}

void net_drop_end(struct colo_nl *nl, int dev)
{
    (void)colo__nl_do(nl, filter_msg(RTM_DELTFILTER, 0, dev), "filter", NULL,
                      NULL);
}
