/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The seam between control.c and the two ways in: control-proxy.c (a
 * session) and control-socket.c (tests).  All calls by the control thread.
 */
#ifndef COLO_DISK_CONTROL_INTERNAL_H
#define COLO_DISK_CONTROL_INTERNAL_H

#include "control.h"

struct colo_source; /* starts with const struct colo_source_ops * */

struct colo_source_ops {
    /* join - be ready for requests; COLO_E_NOTFOUND: nobody is there yet */
    int (*join)(struct colo_source *s, struct colo_error *err);
    /* fd - readable when join or next may have something; -1: ask again */
    int (*fd)(struct colo_source *s);
    /* next - 1 a request, 0 none now, < 0 whoever asked has gone */
    int (*next)(struct colo_source *s, struct colo_proxy_request *ret,
                struct colo_error *err);
    int (*reply)(struct colo_source *s, uint64_t seq, const char *error);
    int (*event)(struct colo_source *s, const char *text);
    /* stream - a connected socket to the twin, or < 0 */
    int (*stream)(struct colo_source *s, struct colo_error *err);
    void (*leave)(struct colo_source *s);
    void (*close)(struct colo_source *s);
};

int colo__source_proxy(const struct colo_control_config *config,
                       struct colo_source **ret, struct colo_error *err);
int colo__source_socket(const struct colo_control_config *config,
                        struct colo_source **ret, struct colo_error *err);

#endif
