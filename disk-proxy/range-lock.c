/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Locks over ranges of a disk; see range-lock.h.  There are as many nodes as
 * requests in flight, some dozens at most, so a list is fast enough.
 */
#include "range-lock.h"

void colo__range_init(struct colo_range_lock *l)
{
    pthread_mutex_init(&l->lock, NULL);
    l->first = l->last = NULL;
}

void colo__range_fini(struct colo_range_lock *l)
{
    pthread_mutex_destroy(&l->lock);
}

/* somebody who asked earlier is in the way */
static bool blocked(const struct colo_range *node)
{
    for (const struct colo_range *o = node->prev; o; o = o->prev) {
        if (o->begin < node->end && node->begin < o->end)
            return true;
    }
    return false;
}

void colo__range_take(struct colo_range_lock *l, struct colo_range *node,
                      uint64_t offset, uint64_t len)
{
    pthread_cond_t cond;

    node->begin = offset;
    node->end = offset + len;
    node->next = NULL;
    node->waits = false;
    pthread_mutex_lock(&l->lock);
    node->prev = l->last;
    if (l->last)
        l->last->next = node;
    else
        l->first = node;
    l->last = node;
    if (blocked(node)) {
        pthread_cond_init(&cond, NULL);
        node->cond = &cond;
        node->waits = true;
        while (blocked(node))
            pthread_cond_wait(&cond, &l->lock);
        node->waits = false;
        pthread_cond_destroy(&cond);
    }
    pthread_mutex_unlock(&l->lock);
}

void colo__range_give(struct colo_range_lock *l, struct colo_range *node)
{
    pthread_mutex_lock(&l->lock);
    for (struct colo_range *o = node->next; o; o = o->next) {
        if (o->waits && o->begin < node->end && node->begin < o->end)
            pthread_cond_signal(o->cond);
    }
    if (node->prev)
        node->prev->next = node->next;
    else
        l->first = node->next;
    if (node->next)
        node->next->prev = node->prev;
    else
        l->last = node->prev;
    pthread_mutex_unlock(&l->lock);
}
