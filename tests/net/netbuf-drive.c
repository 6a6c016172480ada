/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * netbuf-drive DOMID EPOCH_MS COMMIT_MS SECONDS [LIMIT]: hold the output of
 * DOMID's interfaces for SECONDS, closing an epoch every EPOCH_MS and
 * committing it COMMIT_MS later, as a session does.  Prints what the session
 * would see.
 */
#include <err.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../net-proxy/netbuf.h"

static const struct colo_replication_ops *ops;
static struct colo_replication *net;
static struct colo_learn learn;
static unsigned int asked;

static uint64_t now_us(void)
{
    return colo__now_us(&colo__clock_monotonic);
}

/* As a session's loop does: look whenever its descriptor says so. */
static bool follow_until(uint64_t until)
{
    struct colo_error error = { 0 };
    bool diverged = false;

    while (!diverged && now_us() < until) {
        struct pollfd p = { ops->fd(net), POLLIN, 0 };
        uint64_t left = until - now_us();

        poll(&p, 1, (int)(left / 1000 < 1000 ? left / 1000 + 1 : 1000));
        if (ops->pending(net, &diverged, &error))
            errx(1, "pending: %s", error.text);
    }
    asked += diverged;
    return diverged;
}

static void step(int (*call)(struct colo_replication *, uint64_t,
                             struct colo_error *), uint64_t epoch)
{
    struct colo_error error = { 0 };

    if (call(net, epoch, &error))
        errx(1, "epoch %llu: %s", (unsigned long long)epoch, error.text);
}

int main(int argc, char **argv)
{
    struct colo_netbuf_config config = { .learn = &learn };
    struct colo_netbuf_status s;
    struct colo_error error = { 0 };
    uint64_t end, epoch = 0;
    long epoch_us, commit_us;

    if (argc < 5)
        errx(2, "usage: netbuf-drive DOMID EPOCH_MS COMMIT_MS SECONDS [LIMIT]");
    epoch_us = atol(argv[2]) * 1000;
    commit_us = atol(argv[3]) * 1000;
    end = now_us() + (uint64_t)atol(argv[4]) * 1000000;
    if (argc > 5)
        config.limit = (uint32_t)strtoul(argv[5], NULL, 0);
    if (colo__netbuf_new((uint32_t)atol(argv[1]), &config, NULL, &net, &error))
        errx(1, "netbuf: %s", error.text);
    ops = colo__replication_ops(net);
    if (ops->start(net, COLO_MODE_REMUS, &error))
        errx(1, "start: %s", error.text);
    while (now_us() < end) {
        uint64_t begun = now_us();

        step(ops->checkpoint, ++epoch);
        follow_until(begun + (uint64_t)commit_us);
        step(ops->commit, epoch);
        follow_until(begun + (uint64_t)epoch_us);
    }
    if (ops->release(net, &error))
        errx(1, "release: %s", error.text);
    colo__netbuf_status(net, &s);
    printf("epochs=%llu held_max=%u drops=%llu asked=%u learned=%u\n",
           (unsigned long long)s.epochs, s.held_max,
           (unsigned long long)s.drops, asked, learn.count);
    ops->close(net);
    return 0;
}
