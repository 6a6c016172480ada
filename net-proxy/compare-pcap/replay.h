/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Two captures, of a guest's card on each side, by time through the
 * comparator.
 */
#ifndef COLO_PCAP_REPLAY_H
#define COLO_PCAP_REPLAY_H

#include "capture.h"

struct replay_options {
    struct colo_compare_settings compare;
    uint8_t guest[6];
    bool has_guest;  /* else it is looked for */
    bool align;      /* both begin at the same moment */
    bool go_on;      /* a checkpoint at each divergence */
    const char *path[2];
};

struct replay {
    const struct replay_options *options;
    struct capture *capture[2]; /* of the primary, of the secondary */
    struct colo_compare *compare;
    uint64_t now_us, start_us[2];
    uint64_t epoch;
    uint32_t note;              /* that nobody was told of yet */
    uint64_t cut;               /* frames that a capture has only in part */
    uint64_t output[2], input;  /* frames */
    const char *reason;         /* of a divergence, not acted upon yet */
    int side;                   /* whose frame is looked at, or -1: none */
    uint64_t divergences;
};

/* replay_run - says on stdout what differs.
 * Returns  0 or COLO_E_*; r->divergences tells the rest. */
int replay_run(struct replay *r, struct colo_error *err);

/* replay_guest - the card that all of both captures is from or to.
 * Errors   COLO_E_NOTFOUND: none, or more than one */
int replay_guest(const struct replay_options *o, uint8_t ret_mac[6],
                 struct colo_error *err);

/* say_divergence - r->reason in words (say.c) */
void say_divergence(const struct replay *r);
void say_result(const struct replay *r);

#endif
