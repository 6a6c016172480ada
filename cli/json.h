/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The JSON that `colo` prints; written and read by libyajl.  Names are those
 * of the fields in colo.h; colo(1) lists them.
 */
#ifndef CLI_JSON_H
#define CLI_JSON_H

#include <yajl/yajl_gen.h>

#include "cli.h"

/* cli_json_new - a generator; NULL: no memory (said so). */
yajl_gen cli_json_new(void);
/* cli_json_end - print what is in it as one line, or indented, and free it. */
void cli_json_end(yajl_gen gen, FILE *out);

void cli_json_key(yajl_gen gen, const char *key);
/* Bytes that are not UTF-8 become '?': texts come from guests too. */
void cli_json_text(yajl_gen gen, const char *key, const char *text);
void cli_json_number(yajl_gen gen, const char *key, uint64_t number);
void cli_json_bool(yajl_gen gen, const char *key, bool yes);

/* Whole objects; key NULL: a member of an array, or at the top. */
void cli_json_status(yajl_gen gen, const struct colo_status *status);
void cli_json_checkpoint(yajl_gen gen, const char *key,
                         const struct colo_checkpoint_info *info);

#endif
