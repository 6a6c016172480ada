/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See order.h.  Stock Xen sends frames in ascending order, but for those that
 * it had to put off: what is in order is looked at once and not touched.
 */
#include <stdlib.h>
#include <string.h>

#include "order.h"

struct place {
    uint64_t gfn, at;
};

static int compare(const void *a, const void *b)
{
    const struct place *x = a, *y = b;

    if (x->gfn != y->gfn)
        return x->gfn < y->gfn ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

static bool is_ordered(const struct colo_epoch *e)
{
    for (uint64_t i = 1; i < e->count; i++) {
        if (e->gfns[i - 1] >= e->gfns[i])
            return false;
    }
    return true;
}

/* Page i comes from order[i].at.  Around each circle of places that take from
 * each other, with one page put aside; a place that is done takes from
 * itself. */
static void permute(struct colo_epoch *e, struct place *order)
{
    uint8_t aside[COLO_PAGE_SIZE];

    for (uint64_t first = 0; first < e->count; first++) {
        uint64_t to = first;

        if (order[first].at == first)
            continue;
        memcpy(aside, colo__epoch_page(e, first), COLO_PAGE_SIZE);
        while (order[to].at != first) {
            uint64_t from = order[to].at;

            memcpy(colo__epoch_page(e, to), colo__epoch_page(e, from),
                   COLO_PAGE_SIZE);
            order[to].at = to;
            to = from;
        }
        memcpy(colo__epoch_page(e, to), aside, COLO_PAGE_SIZE);
        order[to].at = to;
    }
}

/* All are in order: the last of each number stays. */
static void drop_doubles(struct colo_epoch *e, const struct place *order)
{
    uint64_t kept = 0;

    for (uint64_t i = 0; i < e->count; i++) {
        if (i + 1 < e->count && order[i].gfn == order[i + 1].gfn)
            continue;
        if (kept != i)
            memcpy(colo__epoch_page(e, kept), colo__epoch_page(e, i),
                   COLO_PAGE_SIZE);
        e->gfns[kept++] = order[i].gfn;
    }
    e->count = kept;
}

int gate_order(struct colo_epoch *e, struct colo_error *err)
{
    struct place *order;

    if (!is_ordered(e)) {
        order = malloc(e->count * sizeof(*order));
        if (!order)
            return colo__fail(err, COLO_E_NOMEM, ENOMEM, "gate",
                              "to order %llu pages",
                              (unsigned long long)e->count);
        for (uint64_t i = 0; i < e->count; i++)
            order[i] = (struct place){ e->gfns[i], i };
        qsort(order, e->count, sizeof(*order), compare);
        permute(e, order);
        drop_doubles(e, order);
        free(order);
    }
    e->nr_gfns = e->count ? e->gfns[e->count - 1] + 1 : 1;
    return 0;
}
