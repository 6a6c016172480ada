/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See save-image.h.  Called by lv-restore.c.
 */
#include <string.h>

#include "save-image.h"

/* "libvirt-xml\n \0 \r" */
static const uint8_t save_magic[16] = {
    'l', 'i', 'b', 'v', 'i', 'r', 't', '-', 'x', 'm', 'l', '\n', ' ', 0, ' ',
    '\r'
};

void save_image_header(uint8_t buf[SAVE_IMAGE_HEADER], uint32_t xml_len)
{
    uint32_t version = SAVE_IMAGE_VERSION;

    memset(buf, 0, SAVE_IMAGE_HEADER);
    memcpy(buf, save_magic, sizeof(save_magic));
    memcpy(buf + 16, &version, sizeof(version));
    memcpy(buf + 20, &xml_len, sizeof(xml_len));
}
