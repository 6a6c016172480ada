/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * From the path of a target to the name of its device.  Pure.
 */
#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "dm-table.h"

#define PREFIX "colo-"
#define HASHED_LEN 18  /* "==" and 16 hex digits */

/* The bytes that libdevmapper and udev leave alone, without our own '-' for
 * '/' and '=' for the rest. */
static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '+';
}

int colo__dm_name(const char *target, char name[COLO_DM_NAME_MAX],
                  struct colo_error *err)
{
    size_t n, cut = COLO_DM_NAME_MAX - 1 - HASHED_LEN, kept = 0;
    bool all = true;

    if (target[0] != '/' || !target[1])
        return colo__fail(err, COLO_E_INVAL, 0, "disk",
                          "target '%s' is not an absolute path", target);
    n = (size_t)snprintf(name, COLO_DM_NAME_MAX, PREFIX);
    for (const char *p = target + 1; *p && all; p++) {
        char part[4] = { *p, 0 };

        if (*p == '/')
            part[0] = '-';
        else if (!is_plain(*p))
            snprintf(part, sizeof(part), "=%02X", (unsigned char)*p);
        if (n + strlen(part) <= cut)
            kept = n + strlen(part);
        all = n + strlen(part) < COLO_DM_NAME_MAX;
        if (all)
            n += (size_t)snprintf(name + n, COLO_DM_NAME_MAX - n, "%s", part);
    }
    if (!all)
        snprintf(name + kept, COLO_DM_NAME_MAX - kept, "==%016llx",
                 (unsigned long long)XXH3_64bits(target, strlen(target)));
    return 0;
}
