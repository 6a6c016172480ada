/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See hold.h.
 */
#include <time.h>

#include "hold.h"
#include "ports.h"
#include "tc.h"

/* A plug that was told to let everything out is empty within moments, unless
 * the guest sends faster than this host can pass on. */
#define DRAIN_LOOKS 200
#define DRAIN_LOOK_NS 1000000

int colo__hold_begin(struct colo_nl *nl, int dev, const char *ifb_name,
                     uint32_t limit, int *ret_ifb, struct colo_error *err)
{
    int ifb = 0, rc;

    rc = colo__tc_ifb(nl, ifb_name, &ifb, err);
    if (rc) goto out;
    rc = colo__tc_plug(nl, ifb, limit, err);
    if (rc) goto out;
    rc = colo__tc_redirect(nl, dev, COLO_TC_RECEIVED, ifb, err);
    if (rc) goto out;
    *ret_ifb = ifb;
    ifb = 0;
out:
    if (ifb)
        (void)colo__tc_remove_link(nl, ifb, NULL);
    return rc;
}

/* Has everything that went into the ifb come out again?  It passes frames on
 * in a softirq of its own, after its queue. */
static bool is_drained(struct colo_nl *nl, int ifb)
{
    struct colo_tc_stats stats;
    struct colo_link_info info;

    if (colo__tc_stats(nl, ifb, &stats, NULL) ||
        colo__link_get(nl, NULL, ifb, &info, NULL))
        return true; /* it has gone */
    return !stats.packets &&
           info.rx_packets - info.rx_dropped ==
               info.tx_packets + info.tx_dropped;
}

static void wait_drained(struct colo_nl *nl, int ifb)
{
    const struct timespec moment = { .tv_nsec = DRAIN_LOOK_NS };

    for (int i = 0; i < DRAIN_LOOKS && !is_drained(nl, ifb); i++)
        nanosleep(&moment, NULL);
}

int colo__hold_release(struct colo_nl *nl, int dev, int ifb,
                       struct colo_error *err)
{
    struct colo_nl_batch batch = { .len = 0 };
    int rc = 0, r;

    colo__tc_tell(&batch, ifb, COLO_TC_RELEASE_ALL);
    /* a plug that is not there holds nothing */
    (void)colo__nl_send(nl, &batch, "release", NULL);
    /* First empty, then the short cut: else new frames overtake old ones. */
    wait_drained(nl, ifb);
    if (dev) {
        rc = colo__tc_no_redirect(nl, dev, err);
        wait_drained(nl, ifb);
    }
    r = colo__tc_remove_link(nl, ifb, rc ? NULL : err);
    return rc ? rc : r;
}

int colo__hold_drop(struct colo_nl *nl, int dev, int ifb,
                    struct colo_error *err)
{
    /* The ifb first: meanwhile frames are lost, and none gets out. */
    int rc = colo__tc_remove_link(nl, ifb, err);
    int r = dev ? colo__tc_no_redirect(nl, dev, rc ? NULL : err) : 0;

    return rc ? rc : r;
}

int colo__hold_shut(struct colo_nl *nl, int ifb, struct colo_error *err)
{
    /* A redirection whose target has gone loses every frame (act_mirred). */
    return colo__tc_remove_link(nl, ifb, err);
}
