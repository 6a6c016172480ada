/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What a check of a guest finds, and whoever protects it has said he can do
 * without.  For cmd-protect.c and xl-plugin/session.c.  Pure.
 */
#ifndef CHECK_WAIVED_H
#define CHECK_WAIVED_H

#include <stdbool.h>
#include <string.h>

#include "colo.h"

/* check_waived - a refusal that is to be told, and refuses nothing. */
static inline bool check_waived(const struct colo_config *config,
                                const struct colo_check_item *item)
{
    static const char disks[] = "disk-", net[] = "net-";

    return item->result == COLO_CHECK_REFUSED &&
           ((!config->disks && !strncmp(item->id, disks, strlen(disks))) ||
            (!config->network_buffer &&
             !strncmp(item->id, net, strlen(net))));
}

#endif
