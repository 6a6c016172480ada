/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What libvirt's Xen driver wants before libxl's stream when it restores a
 * guest: magic, u32 version, u32 length of the XML with its NUL, ten u32
 * unused, in the byte order of the host; then the XML.  Pure.
 * Source: libvirt 9.0 and 11, src/libxl/libxl_conf.h (libxlSavefileHeader).
 */
#ifndef COLO_SAVE_IMAGE_H
#define COLO_SAVE_IMAGE_H

#include <stdint.h>

#define SAVE_IMAGE_HEADER 64u
/* 2: the stream is libxl's version 2 */
#define SAVE_IMAGE_VERSION 2u

/* xml_len: with the NUL at its end */
void save_image_header(uint8_t buf[SAVE_IMAGE_HEADER], uint32_t xml_len);

#endif
