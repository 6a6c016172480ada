/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A capture file, frame by frame: the next one can be looked at before it is
 * taken.  Ethernet only.
 */
#ifndef COLO_PCAP_CAPTURE_H
#define COLO_PCAP_CAPTURE_H

#include "../compare/compare.h"

struct capture; /* capture.c */

struct capture_frame {
    uint64_t number;  /* from 1, as other programs count */
    uint64_t at_us;   /* since 1970 */
    const uint8_t *data;
    size_t len;
    bool cut;         /* the capture has not all of it */
};

int capture_open(const char *path, struct capture **ret,
                 struct colo_error *err);
void capture_close(struct capture *c);
/* capture_peek - the next frame, until capture_next; NULL: there is none. */
const struct capture_frame *capture_peek(const struct capture *c);
/* capture_next - take it. */
int capture_next(struct capture *c, struct colo_error *err);

#endif
