/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * How one page is written for the wire: nothing (zero), itself, LZ4, or the
 * LZ4 of its difference to the content last sent.  Pure; scratch memory is
 * the caller's, so each worker has its own.
 */
#ifndef COLO_PURE_DELTA_H
#define COLO_PURE_DELTA_H

#include <stdbool.h>
#include <stdint.h>

#include "../internal.h"

struct colo_delta_scratch {
    _Alignas(64) uint8_t diff[COLO_PAGE_SIZE];
    uint64_t lz4_state[16416 / 8 + 8]; /* >= LZ4_sizeofState() */
};

/* colo__page_is_zero - stops at the first non-zero word. */
bool colo__page_is_zero(const uint8_t *page);
uint64_t colo__page_hash(const uint8_t *page); /* XXH3-64, seed 0 */
/* XXH3-128: equal hashes are taken for equal pages, so 64 bits do not do */
void colo__page_hash128(const uint8_t *page, uint64_t *ret_high,
                        uint64_t *ret_low);

/* colo__page_encode - choose the shortest form of page.
 * Shape    page, base: COLO_PAGE_SIZE; base NULL = nothing was sent before;
 *          out: COLO_PAGE_SIZE bytes.  try_lz4 false: zero or raw only (base
 *          is then ignored).
 * Returns  the coding (COLO_CODING_*), *ret_len bytes in out (0 for RAW too:
 *          the caller sends the page itself and saves the copy). */
uint32_t colo__page_encode(struct colo_delta_scratch *scratch,
                           const uint8_t *page, const uint8_t *base,
                           bool try_lz4, uint8_t *out, uint32_t *ret_len);

/* colo__page_decode - the reverse, into out (COLO_PAGE_SIZE; may not overlap
 * base; undefined after an error), and check what LZ4 and XOR give against
 * hash (RAW and ZERO have none).
 * Errors   COLO_E_CORRUPT  does not decode to exactly one page, or another
 *          hash; COLO_E_PROTO XOR without base. */
int colo__page_decode(uint32_t coding, const uint8_t *payload, uint32_t len,
                      const uint8_t *base, uint64_t hash, uint8_t *out,
                      struct colo_error *err);

/* ---- last sent content ------------------------------------------------- */

/* A bounded cache gfn -> page, so that XOR has something to differ from.
 * Direct-mapped with a small probe; a page that is not in it is sent
 * without XOR. */
struct colo_delta_cache;

/* mib 0: a cache that holds nothing.  NULL: no memory. */
struct colo_delta_cache *colo__delta_cache_new(uint32_t mib);
void colo__delta_cache_free(struct colo_delta_cache *cache);
/* the content last put for gfn, or NULL */
const uint8_t *colo__delta_cache_get(struct colo_delta_cache *cache,
                                     uint64_t gfn);
void colo__delta_cache_put(struct colo_delta_cache *cache, uint64_t gfn,
                           const uint8_t *page);
/* forget gfn: the replica's page is not (any more) what was last put */
void colo__delta_cache_drop(struct colo_delta_cache *cache, uint64_t gfn);
void colo__delta_cache_clear(struct colo_delta_cache *cache);

#endif
