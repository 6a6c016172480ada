/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Whole texts in and out, for both programs.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "pure/seed-header.h"
#include "toolstack.h"

bool write_all(int fd, const void *data, size_t len)
{
    const uint8_t *p = data;

    while (len) {
        ssize_t n = write(fd, p, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

char *read_text(int fd, int timeout_ms)
{
    char *text = malloc(SEED_CONFIG_MAX);
    struct pollfd pfd = { fd, POLLIN, 0 };
    size_t used = 0;
    ssize_t n = -1;

    while (text && used < SEED_CONFIG_MAX - 1) {
        int r = poll(&pfd, 1, timeout_ms);

        n = r > 0 ? read(fd, text + used, SEED_CONFIG_MAX - 1 - used) : -1;
        if (r && n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        used += (size_t)n;
        n = -1;
    }
    if (n || !text || !used) {
        free(text);
        return NULL;
    }
    text[used] = 0;
    return text;
}
