/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See state-image.h.  Called by dm-qmp.c.  Format: QEMU's docs/interop/qcow2.
 *
 * The image is as after one revert to the snapshot (every cluster that both
 * the disk and the snapshot use counts 2, both L1 tables say the same), so
 * that each further revert changes nothing.
 */
#include <endian.h>
#include <string.h>

#include "state-image.h"

#define CLUSTER_BITS 16
#define CLUSTER (1u << CLUSTER_BITS)
#define DISK_SIZE 65536u /* of the empty disk; the state lies behind it */
#define L1_SIZE 2u
#define HEADER_LEN 104u
#define ENTRY_EXTRA 24u

/* cluster numbers */
enum {
    AT_HEADER, AT_REFTABLE, AT_REFBLOCK, AT_L1, AT_SNAPSHOT, AT_SNAPSHOT_L1,
    AT_L2, AT_DATA,
};

/* No section "description of the state" follows in what
 * xen-save-devices-state writes; QEMU complains at each load without one. */
static const uint8_t no_description[] = { 0x06, 0, 0, 0, 0 };

static void put16(uint8_t *p, uint16_t v)
{
    v = htobe16(v);
    memcpy(p, &v, sizeof(v));
}

static void put32(uint8_t *p, uint32_t v)
{
    v = htobe32(v);
    memcpy(p, &v, sizeof(v));
}

static void put64(uint8_t *p, uint64_t v)
{
    v = htobe64(v);
    memcpy(p, &v, sizeof(v));
}

static uint64_t at(uint32_t cluster)
{
    return (uint64_t)cluster << CLUSTER_BITS;
}

uint32_t colo__state_image_area(uint32_t len)
{
    uint32_t area = 2 * CLUSTER;

    while (area <= COLO_STATE_IMAGE_AREA_MAX) {
        if (len + sizeof(no_description) <= area - area / 4)
            return area;
        area *= 2;
    }
    if (len <= COLO_STATE_IMAGE_AREA_MAX - sizeof(no_description))
        return COLO_STATE_IMAGE_AREA_MAX;
    return 0;
}

size_t colo__state_image_size(uint32_t area)
{
    return (size_t)AT_DATA * CLUSTER + area;
}

static void build_header(uint8_t *p)
{
    memcpy(p, "QFI\xfb", 4);
    put32(p + 4, 3);              /* version */
    put32(p + 20, CLUSTER_BITS);
    put64(p + 24, DISK_SIZE);
    put32(p + 36, L1_SIZE);
    put64(p + 40, at(AT_L1));
    put64(p + 48, at(AT_REFTABLE));
    put32(p + 56, 1);             /* clusters of the refcount table */
    put32(p + 60, 1);             /* snapshots */
    put64(p + 64, at(AT_SNAPSHOT));
    put32(p + 96, 4);             /* refcount order: 16 bits */
    put32(p + 100, HEADER_LEN);
}

static void build_snapshot(uint8_t *p, uint32_t area)
{
    put64(p, at(AT_SNAPSHOT_L1));
    put32(p + 8, L1_SIZE);
    put16(p + 12, 1);             /* length of the id */
    put16(p + 14, sizeof(COLO_STATE_IMAGE_TAG) - 1);
    put32(p + 32, UINT32_MAX);    /* size of the state: see below */
    put32(p + 36, ENTRY_EXTRA);
    put64(p + 40, area);
    put64(p + 48, DISK_SIZE);
    put64(p + 56, UINT64_MAX);    /* no instruction count */
    memcpy(p + 64, "1" COLO_STATE_IMAGE_TAG, sizeof(COLO_STATE_IMAGE_TAG));
}

void colo__state_image_build(uint8_t *image, uint32_t area)
{
    uint32_t data = area / CLUSTER;

    build_header(image);
    put64(image + at(AT_REFTABLE), at(AT_REFBLOCK));
    for (uint32_t i = 0; i < AT_DATA + data; i++)
        put16(image + at(AT_REFBLOCK) + 2 * i, i < AT_L2 ? 1 : 2);
    /* the second entry: the first covers the disk itself */
    put64(image + at(AT_L1) + 8, at(AT_L2));
    put64(image + at(AT_SNAPSHOT_L1) + 8, at(AT_L2));
    for (uint32_t i = 0; i < data; i++)
        put64(image + at(AT_L2) + 8 * i, at(AT_DATA + i));
    build_snapshot(image + at(AT_SNAPSHOT), area);
}

bool colo__state_image_fill(uint8_t *image, uint32_t area,
                            const uint8_t *state, uint32_t len)
{
    uint8_t *data = image + at(AT_DATA);

    if (area < sizeof(no_description) || len > area - sizeof(no_description))
        return false;
    memcpy(data, state, len);
    memcpy(data + len, no_description, sizeof(no_description));
    return true;
}
