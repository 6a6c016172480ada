/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See corpus-streams.c.  The n-th seed: its length, 0 if there is none.
 */
#ifndef CORPUS_STREAMS_H
#define CORPUS_STREAMS_H

#include <stddef.h>
#include <stdint.h>

size_t corpus_stream(size_t n, uint8_t *buf, size_t cap,
                     const char **ret_name);
size_t corpus_stream_xl(size_t n, uint8_t *buf, size_t cap,
                        const char **ret_name);

#endif
