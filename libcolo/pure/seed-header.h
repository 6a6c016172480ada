/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What precedes libxl's stream in a seed: magic "CLSEED\r\n", u32 version 1,
 * u32 length of the configuration, both little endian; then the
 * configuration as JSON.  Behind it, after a NUL, may stand the guest's
 * definition by libvirt, as XML: who does not look for it reads the JSON as a
 * string, and does not see it.  Pure.
 */
#ifndef COLO_SEED_HEADER_H
#define COLO_SEED_HEADER_H

#include <stddef.h>
#include <stdint.h>

#define SEED_HEADER 16u
#define SEED_CONFIG_MAX (1u << 20)

void seed_header_put(uint8_t buf[SEED_HEADER], uint32_t config_len);

/* seed_header_parse - bytes used (SEED_HEADER), 0 more needed, -1 not a seed,
 * -2 another version, -3 absurd length. */
int seed_header_parse(const uint8_t *buf, size_t len,
                      uint32_t *ret_config_len);

/* seed_config_xml - the XML behind the JSON, ending with a NUL; NULL: none.
 * config: len bytes and a NUL. */
const char *seed_config_xml(const char *config, size_t len);

#endif
