/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What a proxy tells its session, see schema.h.  Pure; any thread.
 */
#include <string.h>

#include "schema.h"

const char *colo__xs_event_diverged(const char *text)
{
    static const char word[] = "diverged";
    size_t n = sizeof(word) - 1;

    if (strncmp(text, word, n) != 0 || (text[n] && text[n] != ' '))
        return NULL;
    return text + n + strspn(text + n, " ");
}

bool colo__xs_pair_parse(const char *text, uint64_t *ret_a, uint64_t *ret_b)
{
    size_t len = strcspn(text, " ");
    char number[24];
    uint64_t a, b;

    if (len >= sizeof(number) || text[len] != ' ')
        return false;
    memcpy(number, text, len);
    number[len] = '\0';
    if (colo__xs_u64_parse(number, &a, NULL) ||
        colo__xs_u64_parse(text + len + 1, &b, NULL))
        return false;
    *ret_a = a;
    *ret_b = b;
    return true;
}

static bool take_pair(const char *text, const char *word, uint64_t *ret_a,
                      uint64_t *ret_b)
{
    size_t n = strlen(word);

    return strncmp(text, word, n) == 0 && text[n] == ' ' &&
           colo__xs_pair_parse(text + n + 1, ret_a, ret_b);
}

bool colo__xs_event_progress(const char *text, uint64_t *ret_done,
                             uint64_t *ret_total)
{
    uint64_t done, total;

    if (!take_pair(text, "progress", &done, &total) || done > total)
        return false;
    *ret_done = done;
    *ret_total = total;
    return true;
}

bool colo__xs_event_verified(const char *text, uint64_t *ret_compared,
                             uint64_t *ret_differing)
{
    uint64_t compared, differing;

    if (!take_pair(text, "verified", &compared, &differing) ||
        differing > compared)
        return false;
    *ret_compared = compared;
    *ret_differing = differing;
    return true;
}
