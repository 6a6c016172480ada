/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See skip-set.h.  Called by hv-xen-dirty.c on both sides.
 */
#include "skip-set.h"

#define FRAME_SHIFT 12

/* keep out sorted; a handful of entries, so insertion will do */
static size_t insert(uint64_t *out, size_t n, size_t cap, uint64_t gfn)
{
    size_t at = 0;

    while (at < n && out[at] < gfn)
        at++;
    if ((at < n && out[at] == gfn) || n == cap)
        return n;
    for (size_t i = n; i > at; i--)
        out[i] = out[i - 1];
    out[at] = gfn;
    return n + 1;
}

size_t colo__skip_set(const uint64_t values[COLO_SKIP_PARAMS], uint64_t *out,
                      size_t cap)
{
    size_t n = 0;

    for (size_t i = 0; i < COLO_SKIP_IDENT_PT; i++) {
        if (values[i])
            n = insert(out, n, cap, values[i]);
    }
    if (values[COLO_SKIP_IDENT_PT])
        n = insert(out, n, cap, values[COLO_SKIP_IDENT_PT] >> FRAME_SHIFT);
    for (uint64_t i = 0; values[COLO_SKIP_SERVER] && n < cap &&
                         i < values[COLO_SKIP_NR_SERVER]; i++)
        n = insert(out, n, cap, values[COLO_SKIP_SERVER] + i);
    return n;
}

bool colo__skip_has(const uint64_t *set, size_t n, uint64_t gfn)
{
    if (!n || gfn < set[0] || gfn > set[n - 1])
        return false;
    for (size_t i = 0; i < n; i++) {
        if (set[i] == gfn)
            return true;
    }
    return false;
}
