/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See nowhere.h.
 */
#include <stdlib.h>

#include "../stock-receive.h"
#include "nowhere.h"

#define GREET_MS 60000u  /* without a byte */
#define SILENT_MS 60000u /* is what an interval can be; the session, on this
                            host, decides how long it lasts */

static int forget(void *user, const uint8_t *bytes, size_t len,
                  struct colo_error *err)
{
    (void)user;
    (void)bytes;
    (void)len;
    (void)err;
    return 0;
}

static int take_epochs(struct colo_stock_rx *rx, struct colo_error *err)
{
    for (;;) {
        int rc = colo__stock_rx_skip(rx, SILENT_MS, err);

        if (rc && rc != COLO_E_TIMEOUT)
            return rc; /* also for a timeout in the middle of one, next time */
    }
}

int gate_nowhere(int fd, uint64_t max_pfn, struct colo_error *err)
{
    struct colo_stock_rx *rx = NULL;
    char *config = NULL;
    int rc = colo__stock_rx_open(fd, max_pfn, &rx, err);

    if (rc)
        return rc;
    rc = colo__stock_rx_greet(rx, &config, GREET_MS, err);
    if (!rc)
        rc = colo__stock_rx_seed(rx, forget, NULL, GREET_MS, err);
    if (!rc)
        rc = take_epochs(rx, err);
    free(config);
    colo__stock_rx_close(rx);
    return rc;
}
