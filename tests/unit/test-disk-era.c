/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What dm-era noted, from metadata made by hand; the kernel's own is read in
 * tests/disk/vm-pair.sh.
 */
#include <endian.h>

#include "pure-common.h"

#include "../../disk-proxy/era-map.h"

#define BLOCK 4096u
#define BLOCKS 12u
#define DISK (UINT64_C(130) * COLO_ERA_BLOCK - 65536 * 3 - 512)
#define CHUNKS ((DISK + 65535) / 65536)

static uint8_t image[BLOCKS * BLOCK], bits[CHUNKS / 8 + 1];

static void put32(size_t at, uint32_t v)
{
    v = htole32(v);
    memcpy(image + at, &v, sizeof(v));
}

static void put64(size_t at, uint64_t v)
{
    v = htole64(v);
    memcpy(image + at, &v, sizeof(v));
}

/* a node of a tree; returns where its values begin */
static size_t node(uint32_t block, uint32_t flags, uint32_t entries,
                   uint32_t width, const uint64_t *keys)
{
    uint32_t max = (BLOCK - 32) / (8 + width);
    size_t at = (size_t)block * BLOCK;

    put32(at + 4, flags);
    put32(at + 16, entries);
    put32(at + 20, max);
    put32(at + 24, width);
    for (uint32_t i = 0; i < entries; i++)
        put64(at + 32 + i * 8, keys[i]);
    return at + 32 + max * 8;
}

/* an array block; returns where its values begin */
static size_t array(uint32_t block, uint32_t entries, uint32_t width)
{
    size_t at = (size_t)block * BLOCK;

    put32(at + 4, (BLOCK - 24) / width);
    put32(at + 8, entries);
    put32(at + 12, width);
    return at + 24;
}

/* Block 5 in the present era, 70 and 129 in an archived one behind an inner
 * node, 7 in the array of eras. */
static void make_image(void)
{
    static const uint64_t keys[2] = { 0, 1 }, era = 3;
    size_t at;

    memset(image, 0, sizeof(image));
    memset(bits, 0, sizeof(bits));
    put64(32, 2126579579);
    put32(40, 1);
    put32(172, COLO_ERA_BLOCK / 512);
    put32(176, 8);
    put32(180, 130);
    put32(188, 130);
    put64(192, 1);                      /* the present writeset */
    put64(200, 3);                      /* the archived ones */
    put64(208, 8);                      /* the array */
    put64(node(1, 2, 1, 8, keys), 2);
    put64(array(2, 3, 8), UINT64_C(1) << 5);
    put64(node(3, 1, 1, 8, keys), 4);
    at = node(4, 2, 1, 12, &era);
    put32(at, 130);
    put64(at + 4, 6);
    put64(node(6, 2, 1, 8, keys), 7);
    at = array(7, 3, 8);
    put64(at + 8, UINT64_C(1) << (70 - 64));
    put64(at + 16, UINT64_C(1) << (129 - 128));
    put64(node(8, 2, 1, 8, keys), 9);
    put32(array(9, 130, 4) + 7 * 4, 2);
}

static bool is_set(uint64_t chunk)
{
    return bits[chunk / 8] >> (chunk % 8) & 1;
}

START_TEST(test_written)
{
    struct colo_error err;

    make_image();
    ck_assert_int_eq(colo__era_written(image, sizeof(image), DISK, bits,
                                       &err), 0);
    for (uint64_t chunk = 0; chunk < CHUNKS; chunk++) {
        uint64_t block = chunk / 16;

        ck_assert_int_eq(is_set(chunk), block == 5 || block == 7 ||
                         block == 70 || block == 129);
    }
    /* nothing behind the disk's end */
    for (uint64_t chunk = CHUNKS; chunk < sizeof(bits) * 8; chunk++)
        ck_assert(!is_set(chunk));
    ck_assert_uint_ge(colo__era_bytes(UINT64_C(1) << 40), 16 << 20);
    ck_assert_uint_eq(colo__era_bytes(512) % BLOCK, 0);
}
END_TEST

static void must_refuse(void)
{
    struct colo_error err;

    ck_assert_int_eq(colo__era_written(image, sizeof(image), DISK, bits,
                                       &err), COLO_E_CORRUPT);
    make_image();
}

START_TEST(test_refused)
{
    static const size_t head[] = { 32, 40, 172, 176, 180 };
    struct colo_error err;

    make_image();
    for (size_t i = 0; i < COLO_ARRAY_LEN(head); i++) {
        image[head[i]]++;
        must_refuse();
    }
    ck_assert_int_eq(colo__era_written(image, 0, DISK, bits, &err),
                     COLO_E_CORRUPT);
    ck_assert_int_eq(colo__era_written(image, BLOCK, DISK, bits, &err),
                     COLO_E_CORRUPT);
    put64(200, BLOCKS);                     /* beyond the end */
    must_refuse();
    put64(208, 7);                          /* not a node */
    must_refuse();
    put32(3 * BLOCK + 16, 255);             /* more than there can be */
    must_refuse();
    put32(4 * BLOCK + 24, 8);               /* values of another width */
    must_refuse();
    put64(node(3, 1, 1, 8, &(uint64_t){ 0 }), 3); /* a circle */
    must_refuse();
    put32(7 * BLOCK + 8, 5000);             /* more words than fit */
    must_refuse();
    put64(6 * BLOCK + 32, UINT64_MAX);      /* an index that overflows */
    must_refuse();
}
END_TEST

PURE_MAIN("disk-era", test_written, test_refused)
