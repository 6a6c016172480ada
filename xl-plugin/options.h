/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The options of `xl remus`, and what each does with libcolo: the one table,
 * which xl-colo(1) and a test repeat.  Pure.
 *
 * Source: Xen 4.17.7, tools/xl/xl_migrate.c main_remus(), tools/libs/light/
 * libxl_domain.c libxl_domain_remus_start(); the same in 4.22.
 */
#ifndef XL_OPTIONS_H
#define XL_OPTIONS_H

#include <libxl.h>

#include "internal.h"

/* xl_request - what is asked of a session. */
struct xl_request {
    int32_t mode;           /* COLO_MODE_* */
    uint32_t interval_ms;   /* 0: the mode's default */
    bool network_buffer, disks;
    bool compress;          /* false: never; true: where it is worth it */
    bool nowhere;           /* no peer: a run for measuring */
};

/* Who does what an option says. */
#define XL_BY_COLO 1   /* take() sets the request */
#define XL_BY_XL 2     /* xl, before it calls libxl */
#define XL_BY_NOBODY 3 /* accepted: there is nothing to do */

struct xl_option {
    char letter;
    const char *arg;   /* NULL: none */
    int by;
    const char *field; /* of libxl_domain_remus_info; NULL: it is not there */
    const char *text;  /* as in xl-colo(1) */
    int (*take)(const libxl_domain_remus_info *info,
                struct xl_request *request, struct colo_error *err);
};

/* xl_option_at - the n-th row; NULL behind the last. */
const struct xl_option *xl_option_at(size_t n);

/* xl_request_from - what the options that xl was given mean.
 * Errors   COLO_E_INVAL       an interval that cannot be
 *          COLO_E_REFUSED     unsafe, and -F was not given; or never safe */
int xl_request_from(const libxl_domain_remus_info *info,
                    struct xl_request *ret, struct colo_error *err);

#endif
