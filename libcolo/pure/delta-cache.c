/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What was last sent of each frame, as far as memory allows, so that the
 * next time only the difference goes out.  Owned by the sending side; the
 * receiver needs none, its replica has the same content.  Sets of a few
 * slots; a full set gives up the slot that was used longest ago.  Memory is
 * touched as slots fill.  Not thread-safe.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "delta.h"

#define WAYS 4
#define NO_GFN UINT64_MAX

struct slot {
    uint64_t gfn;  /* NO_GFN: empty */
    uint64_t used; /* tick of the last get or put */
};

struct colo_delta_cache {
    uint64_t sets;
    uint64_t tick;
    struct slot *slots; /* [sets * WAYS] */
    uint8_t *pages;     /* the content of slots[i] */
};

struct colo_delta_cache *colo__delta_cache_new(uint32_t mib)
{
    struct colo_delta_cache *cache;
    uint64_t slots, i;
    void *map;

    cache = calloc(1, sizeof(*cache));
    if (!cache)
        return NULL;
    cache->sets = ((uint64_t)mib << 20) / WAYS /
                  (COLO_PAGE_SIZE + sizeof(struct slot));
    if (!cache->sets)
        return cache;

    slots = cache->sets * WAYS;
    cache->slots = malloc(slots * sizeof(*cache->slots));
    if (!cache->slots)
        goto fail;
    for (i = 0; i < slots; i++)
        cache->slots[i] = (struct slot){ .gfn = NO_GFN };

    map = mmap(NULL, slots * COLO_PAGE_SIZE, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        goto fail;
    cache->pages = map;
    return cache;

fail:
    colo__delta_cache_free(cache);
    return NULL;
}

void colo__delta_cache_free(struct colo_delta_cache *cache)
{
    if (!cache)
        return;
    if (cache->pages)
        munmap(cache->pages, cache->sets * WAYS * COLO_PAGE_SIZE);
    free(cache->slots);
    free(cache);
}

/* Frame numbers come in runs: the multiplication spreads neighbours over
 * the sets, the high half of the product scales that to their number. */
static struct slot *set_of(struct colo_delta_cache *cache, uint64_t gfn)
{
    uint64_t mixed = gfn * UINT64_C(0x9e3779b97f4a7c15);
    uint64_t set = (uint64_t)((unsigned __int128)mixed * cache->sets >> 64);

    return cache->slots + set * WAYS;
}

static uint8_t *page_of(struct colo_delta_cache *cache,
                        const struct slot *slot)
{
    return cache->pages + (size_t)(slot - cache->slots) * COLO_PAGE_SIZE;
}

static struct slot *find(struct colo_delta_cache *cache, uint64_t gfn)
{
    struct slot *set;

    if (!cache->sets || gfn == NO_GFN)
        return NULL;
    set = set_of(cache, gfn);
    for (int i = 0; i < WAYS; i++) {
        if (set[i].gfn == gfn)
            return &set[i];
    }
    return NULL;
}

const uint8_t *colo__delta_cache_get(struct colo_delta_cache *cache,
                                     uint64_t gfn)
{
    struct slot *slot = find(cache, gfn);

    if (!slot)
        return NULL;
    slot->used = ++cache->tick;
    return page_of(cache, slot);
}

void colo__delta_cache_put(struct colo_delta_cache *cache, uint64_t gfn,
                           const uint8_t *page)
{
    struct slot *set, *victim;

    if (!cache->sets || gfn == NO_GFN)
        return;
    set = set_of(cache, gfn);
    victim = &set[0];
    for (int i = 0; i < WAYS; i++) {
        if (set[i].gfn == gfn) {
            victim = &set[i];
            break;
        }
        /* an empty slot has used 0 and so comes first */
        if (set[i].used < victim->used)
            victim = &set[i];
    }
    victim->gfn = gfn;
    victim->used = ++cache->tick;
    memcpy(page_of(cache, victim), page, COLO_PAGE_SIZE);
}

void colo__delta_cache_drop(struct colo_delta_cache *cache, uint64_t gfn)
{
    struct slot *slot = find(cache, gfn);

    if (slot)
        *slot = (struct slot){ .gfn = NO_GFN };
}

void colo__delta_cache_clear(struct colo_delta_cache *cache)
{
    for (uint64_t i = 0; i < cache->sets * WAYS; i++)
        cache->slots[i] = (struct slot){ .gfn = NO_GFN };
}
