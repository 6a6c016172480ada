/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What the preflight tests share: a guest and a host with nothing wrong, and
 * a list of what was found.
 */
#ifndef CHECK_COMMON_H
#define CHECK_COMMON_H

#include <stdio.h>

#include "pure-common.h"

#include "check/check.h"

struct found {
    struct colo_check_out out;
    char ids[16][32];
    char texts[16][330];
    char advices[16][330];
    int results[16];
    int n;
};

static inline void found_add(void *user, const struct colo_check_item *item)
{
    struct found *found = user;

    ck_assert_int_lt(found->n, 16);
    ck_assert_ptr_nonnull(item->advice);
    snprintf(found->ids[found->n], 32, "%s", item->id);
    snprintf(found->texts[found->n], 330, "%s", item->text);
    snprintf(found->advices[found->n], 330, "%s", item->advice);
    found->results[found->n++] = item->result;
}

static inline void found_init(struct found *found)
{
    memset(found, 0, sizeof(*found));
    found->out.fn = found_add;
    found->out.user = found;
}

/* -1: not found at all */
static inline int found_result(const struct found *found, const char *id)
{
    for (int i = 0; i < found->n; i++) {
        if (!strcmp(found->ids[i], id))
            return found->results[i];
    }
    return -1;
}

static inline struct colo_host_facts good_host(void)
{
    struct colo_host_facts host = {
        .is_root = true, .is_dom0 = true, .xen_major = 4, .xen_minor = 17,
        .xen_extra = ".7", .hvm = true, .hap = true, .free_pages = 100000,
        .dom0_kib = 1024 * 1024,
    };

    return host;
}

static inline struct colo_guest_facts good_guest(void)
{
    struct colo_guest_facts guest = {
        .domid = 7, .uuid = "00112233-4455-6677-8899-aabbccddeeff",
        .kind = COLO_GUEST_PVH, .shutdown_reason = -1, .hap = true,
        .pv_events = true, .tot_pages = 32768, .max_pages = 33024,
        .vcpus = 1,
    };

    return guest;
}

#endif
