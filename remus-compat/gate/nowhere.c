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

static int take_epochs(struct colo_stock_rx *rx, struct colo_epoch *epoch,
                       struct colo_error *err)
{
    for (;;) {
        int rc = colo__stock_rx_epoch(rx, epoch, SILENT_MS, err);

        if (rc == COLO_E_TIMEOUT)
            continue; /* in the middle of one the next call refuses */
        if (rc)
            return rc;
        colo__epoch_reset(epoch, epoch->number + 1, epoch->count + 4096);
    }
}

int gate_nowhere(int fd, uint64_t max_pfn, struct colo_error *err)
{
    struct colo_stock_rx *rx = NULL;
    struct colo_epoch epoch = { 0 };
    char *config = NULL;
    int rc = colo__stock_rx_open(fd, max_pfn, &rx, err);

    if (rc)
        return rc;
    rc = colo__epoch_init(&epoch, max_pfn + 1, err);
    if (!rc)
        rc = colo__stock_rx_greet(rx, &config, GREET_MS, err);
    if (!rc)
        rc = colo__stock_rx_seed(rx, forget, NULL, GREET_MS, err);
    if (!rc) {
        colo__epoch_reset(&epoch, 1, 4096);
        rc = take_epochs(rx, &epoch, err);
    }
    free(config);
    colo__epoch_fini(&epoch);
    colo__stock_rx_close(rx);
    return rc;
}
