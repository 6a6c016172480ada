/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Input: one byte of choices, then bytes that are taken twice: as the
 * payload of a page, which decode must survive, and as the content of a page
 * and its base, which must come back from encode and decode.
 */
#include "fuzz.h"

#include "pure/delta.h"
#include "pure/wire.h"

#define PAGE COLO_PAGE_SIZE

/* size bytes from data, over and over */
static void tile(uint8_t *page, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < PAGE; i++)
        page[i] = size ? data[i % size] : 0;
}

static void decode_any(uint32_t coding, const uint8_t *payload, size_t size,
                       const uint8_t *base)
{
    uint8_t page[PAGE], again[PAGE];
    struct colo_error err;
    uint64_t hash;
    int rc;

    memset(page, 0, PAGE);
    rc = colo__page_decode(coding, payload, (uint32_t)size, base, 1, page,
                           &err);
    if (rc)
        fuzz_check_error(&err, rc);
    if (rc != COLO_E_CORRUPT || !strstr(err.text, "hash"))
        return;
    /* with the right hash it is a page, and always the same */
    hash = colo__page_hash(page);
    MUST(colo__page_decode(coding, payload, (uint32_t)size, base, hash,
                           again, &err) == 0);
    MUST(memcmp(page, again, PAGE) == 0);
}

static void there_and_back(const uint8_t *page, const uint8_t *base,
                           bool try_lz4)
{
    struct colo_delta_scratch scratch;
    uint8_t out[PAGE], back[PAGE];
    const uint8_t *payload = out;
    uint32_t coding, len;
    struct colo_error err;

    coding = colo__page_encode(&scratch, page, base, try_lz4, out, &len);
    MUST(coding <= COLO_CODING_XOR);
    MUST(coding == COLO_CODING_LZ4 || coding == COLO_CODING_XOR
             ? len > 0 && len < PAGE : len == 0);
    MUST((coding == COLO_CODING_ZERO) == colo__page_is_zero(page));
    MUST(coding != COLO_CODING_XOR || (base && try_lz4));
    if (coding == COLO_CODING_RAW) {
        payload = page;
        len = PAGE;
    }
    MUST(colo__page_decode(coding, payload, len, base, colo__page_hash(page),
                           back, &err) == 0);
    MUST(memcmp(page, back, PAGE) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t page[PAGE], base[PAGE];
    uint8_t choice;

    if (size < 1)
        return 0;
    choice = data[0];
    data++;
    size--;

    tile(base, data, size / 2);
    decode_any(choice & 7, data, size, choice & 8 ? base : NULL);

    tile(page, data, size);
    if (choice & 16) /* only some of it was written */
        memcpy(page + (size_t)choice * 8, base + (size_t)choice * 8,
               PAGE - (size_t)choice * 8);
    there_and_back(page, choice & 8 ? base : NULL, choice & 32);
    return 0;
}
