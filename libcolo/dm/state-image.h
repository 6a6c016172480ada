/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A qcow2 image of one snapshot, in memory: the only way in which stock QEMU
 * takes device state more than once (it aborts in xen-load-devices-state).
 * The image is made once; then only the state in it is replaced, while QEMU
 * has it open: qcow2 caches its own tables, not the data.  Pure.
 */
#ifndef COLO_DM_STATE_IMAGE_H
#define COLO_DM_STATE_IMAGE_H

#include "../internal.h"

#define COLO_STATE_IMAGE_TAG "ds"           /* the snapshot's name */
#define COLO_STATE_IMAGE_AREA_MAX (64u << 20)

/* colo__state_image_area - room for states of len bytes and some more; 0: no
 * image can hold it. */
uint32_t colo__state_image_area(uint32_t len);

/* colo__state_image_size - bytes of an image with such an area */
size_t colo__state_image_size(uint32_t area);

/* colo__state_image_build - all but the state into size() zeroed bytes. */
void colo__state_image_build(uint8_t *image, uint32_t area);

/* colo__state_image_fill - replace the state.  False: larger than the area. */
bool colo__state_image_fill(uint8_t *image, uint32_t area,
                            const uint8_t *state, uint32_t len);

#endif
