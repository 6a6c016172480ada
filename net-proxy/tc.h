/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The kernel's traffic control as far as we use it: what an interface
 * receives is sent through an ifb of ours, whose "plug" queue holds it until
 * told.  No knowledge of guests or epochs.  One thread for each colo_nl.
 */
#ifndef COLO_NET_TC_H
#define COLO_NET_TC_H

#include "nl.h"

/* colo__tc_ifb - make the ifb `name`, running, without an address.
 * *ret_index: its number.  COLO_E_SYS with EEXIST in *err: it is there. */
int colo__tc_ifb(struct colo_nl *nl, const char *name, int *ret_index,
                 struct colo_error *err);

/* colo__tc_remove_link - remove it and all it holds; it may have gone. */
int colo__tc_remove_link(struct colo_nl *nl, int index,
                         struct colo_error *err);

/* colo__tc_plug - a plug as the queue of ifb, closed, `limit` bytes. */
int colo__tc_plug(struct colo_nl *nl, int ifb, uint32_t limit,
                  struct colo_error *err);

/* What a plug can be told. */
enum colo_tc_verb {
    COLO_TC_CLOSE_EPOCH,  /* what comes from now on is another epoch */
    COLO_TC_RELEASE_ONE,  /* let the closed epoch out; at most one may be */
    COLO_TC_RELEASE_ALL,  /* pass everything until CLOSE_EPOCH */
};

/* colo__tc_tell - a plug's verb, appended to a batch. */
void colo__tc_tell(struct colo_nl_batch *batch, int ifb,
                   enum colo_tc_verb verb);

/* colo__tc_limit - another limit of a plug, appended to a batch.  What it
 * holds stays. */
void colo__tc_limit(struct colo_nl_batch *batch, int ifb, uint32_t limit);

/* Which frames of an interface are redirected. */
enum colo_tc_way {
    COLO_TC_RECEIVED, /* what it receives is sent by the other one */
    COLO_TC_SENT,     /* what it sends is received by the other one */
};

/* colo__tc_redirect - all frames of dev, of any protocol, before any other
 * filter.  Fails if somebody else's filter has the first place. */
int colo__tc_redirect(struct colo_nl *nl, int dev, enum colo_tc_way way,
                      int to, struct colo_error *err);

/* colo__tc_no_redirect - take our filter from the frames that dev receives,
 * and the hook if nothing else uses it.  Nothing there is fine. */
int colo__tc_no_redirect(struct colo_nl *nl, int dev, struct colo_error *err);

struct colo_tc_stats {
    uint32_t backlog; /* bytes held */
    uint32_t packets; /* frames held */
    uint32_t drops;   /* frames lost since the plug was made; wraps */
};

/* colo__tc_stats - of a plug. */
int colo__tc_stats(struct colo_nl *nl, int ifb, struct colo_tc_stats *ret,
                   struct colo_error *err);

#endif
