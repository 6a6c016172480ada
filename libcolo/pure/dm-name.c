/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See dm-name.h.
 */
#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "dm-name.h"

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
    n = (size_t)snprintf(name, COLO_DM_NAME_MAX, COLO_DM_PREFIX);
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

/* -1: colo__dm_name writes none such */
static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* LVM writes '-' twice within a name and once between group and volume: what
 * has a folder, and no empty part, is never one of its names. */
static bool has_parts(const char *target)
{
    size_t n = strlen(target);

    return strchr(target + 1, '/') && target[n - 1] != '/' &&
           !strstr(target, "//");
}

bool colo__dm_target(const char *path, char ret_target[COLO_DM_NAME_MAX])
{
    static const char ours[] = COLO_DM_DIR COLO_DM_PREFIX;
    const char *name = path + sizeof(COLO_DM_DIR) - 1;
    char again[COLO_DM_NAME_MAX];
    size_t n = 0;

    if (strncmp(path, ours, sizeof(ours) - 1) ||
        strnlen(name, COLO_DM_NAME_MAX) == COLO_DM_NAME_MAX)
        return false;
    ret_target[n++] = '/';
    for (const char *p = path + sizeof(ours) - 1; *p; p++) {
        int high, low;

        ret_target[n] = *p;
        if (*p == '-') {
            ret_target[n] = '/';
        } else if (*p == '=') {
            high = hex_digit(p[1]);
            low = high < 0 ? -1 : hex_digit(p[2]);
            if (low < 0)
                return false;
            ret_target[n] = (char)(high << 4 | low);
            p += 2;
        }
        n++;
    }
    ret_target[n] = '\0';
    /* one target, one name: not "=41" for 'A', nor a byte of 0; and no device
     * over a device of ours, whose own target it would be taken for */
    return has_parts(ret_target) &&
           !colo__dm_name(ret_target, again, NULL) && !strcmp(again, name) &&
           !colo__dm_is_device(ret_target);
}

bool colo__dm_is_device(const char *path)
{
    static const char ours[] = COLO_DM_DIR COLO_DM_PREFIX;
    char target[COLO_DM_NAME_MAX];

    if (strncmp(path, ours, sizeof(ours) - 1))
        return false;
    /* LVM has no '=' */
    return strchr(path, '=') || colo__dm_target(path, target);
}

bool colo__dm_path(const char *target, char ret_path[COLO_DM_PATH_MAX])
{
    char name[COLO_DM_NAME_MAX], again[COLO_DM_NAME_MAX];

    if (colo__dm_name(target, name, NULL))
        return false;
    snprintf(ret_path, COLO_DM_PATH_MAX, COLO_DM_DIR "%s", name);
    return colo__dm_target(ret_path, again) && !strcmp(again, target);
}
