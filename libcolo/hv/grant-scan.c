/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See grant-scan.h.  Called by hv-xen-grants.c and its test.
 * Source: xen/include/public/grant_table.h.
 */
#include <xenctrl.h>

#include "grant-scan.h"

/* Only full access is looked at: Xen does not map transitive grants, and
 * HVM guests cannot give pages away. */
static bool wanted(unsigned flags, unsigned state, int which)
{
    if ((flags & GTF_type_mask) != GTF_permit_access)
        return false;
    if (which == COLO_XEN_GRANT_WRITING)
        return state & GTF_writing;
    return !(flags & GTF_readonly) || (state & GTF_writing);
}

void colo__grant_scan_v1(const volatile void *table, size_t n, int which,
                         struct colo_bitmap *bm)
{
    const volatile struct grant_entry_v1 *entries = table;

    for (size_t i = 0; i < n; i++) {
        unsigned flags = entries[i].flags;

        if (wanted(flags, flags, which))
            colo__bitmap_set(bm, entries[i].frame);
    }
}

void colo__grant_scan_v2(const volatile void *table,
                         const volatile void *status, size_t n, int which,
                         struct colo_bitmap *bm)
{
    const volatile union grant_entry_v2 *entries = table;
    const volatile uint16_t *states = status;

    for (size_t i = 0; i < n; i++) {
        unsigned flags = entries[i].hdr.flags;

        /* full_page.frame and sub_page.frame are the same bytes */
        if (wanted(flags, states[i], which))
            colo__bitmap_set(bm, entries[i].full_page.frame);
    }
}
