/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A domain's number on the command line of a program that only ours start.
 */
#ifndef COLO_TOOLSTACK_DOMID_H
#define COLO_TOOLSTACK_DOMID_H

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#define DOMID_END 0x7ff0 /* from here on Xen has numbers of its own */

/* Nothing but the number of a domain that is not this one; else 0. */
static inline uint32_t domid_of(const char *text)
{
    unsigned long v;
    char *end;

    if (*text < '0' || *text > '9')
        return 0;
    errno = 0;
    v = strtoul(text, &end, 10);
    return errno || *end || v >= DOMID_END ? 0 : (uint32_t)v;
}

#endif
