/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What every file of the library may use: errors, log, clock.  Ground
 * floor; includes nothing of the floors above.
 */
#ifndef COLO_INTERNAL_H
#define COLO_INTERNAL_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "colo.h"

#define COLO_PAGE_SIZE 4096u
#define COLO_PAGE_SHIFT 12

#define COLO_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* colo__fail - fill *err (may be NULL) and return code.
 * sys_errno: errno or 0; kept in the text ("...: No such file").  errno is
 * preserved. */
int colo__fail(struct colo_error *err, int code, int sys_errno,
               const char *where, const char *fmt, ...) COLO_PRINTF(5, 6);

/* colo__log - one message to the callback; dropped below min_level.
 * sys_errno: errno value or -1.  errno is preserved.  log may be NULL. */
void colo__log(const struct colo_log *log, int level, int sys_errno,
               const char *context, const char *fmt, ...) COLO_PRINTF(5, 6);

/* colo__uuid_text - 16 bytes as 8-4-4-4-12 hex digits, terminated. */
#define COLO_UUID_TEXT 37
void colo__uuid_text(const uint8_t *uuid, char *text);

/* colo_clock - the seam to time, so that tests can move it. */
struct colo_clock {
    uint64_t (*now_us)(const struct colo_clock *clock);
};
extern const struct colo_clock colo__clock_monotonic;

static inline uint64_t colo__now_us(const struct colo_clock *clock)
{
    return clock->now_us(clock);
}

#define COLO_NEVER UINT64_MAX  /* a deadline that does not come */

#endif
