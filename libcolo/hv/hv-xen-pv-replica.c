/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * PV guests, at the backup.  The restore (colo-toolstack restore-stream, which
 * is libxl's for a checkpointed stream) runs all along.  It holds back what it
 * reads until it has read the end of a checkpoint: half a piece is never
 * loaded; when the stream ends, it makes a paused guest of the last whole one.
 * So the way to a takeover is to close our end, and the way to no guest is
 * never to do that before the restore has been ended by its other descriptor.
 *
 * Our end is a second one of the pipe that the seed comes through.  When the
 * pipe is empty the restore has read all that it was given.
 * Thread rule: hv.h's; load may be called by a worker thread.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../../remus-compat/stream-piece.h"
#include "hv-xen.h"

#define LOAD_MS 15000   /* without progress */
#define LOOK_MS 2
#define FINISH_MS 60000 /* devices are connected and scripts run */

int colo__hv_xen_pv_expect(struct colo_hv *chv, struct colo_error *err)
{
    struct colo_hv_xen *hv = colo__hv_xen(chv);

    if (!hv->is_secondary || hv->has_domain || hv->child.pid)
        return colo__fail(err, COLO_E_STATE, 0, "hv-xen-pv",
                          "too late for another kind of guest");
    hv->pv.is = true;
    hv->ops = &colo__hv_xen_pv_ops;
    return 0;
}

int colo__hv_xen_pv_feed(struct colo_hv_xen *hv, int seed,
                         struct colo_error *err)
{
    char path[32];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", seed);
    hv->pv.feed_fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (hv->pv.feed_fd < 0)
        return colo__fail(err, COLO_E_SYS, errno, "hv-xen-pv",
                          "cannot keep the restore's pipe open");
    return 0;
}

int colo__hv_xen_pv_check(struct colo_hv *chv, const uint8_t *buf,
                          uint32_t len, struct colo_error *err)
{
    (void)chv;
    return colo__stream_check_piece(buf, len, 0, NULL, err);
}

/* ---- into the restore --------------------------------------------------- */

static uint64_t deadline(void)
{
    return colo__now_us(&colo__clock_monotonic) + LOAD_MS * UINT64_C(1000);
}

static bool is_late(uint64_t end)
{
    return colo__now_us(&colo__clock_monotonic) >= end;
}

static int has_died(int e, struct colo_error *err)
{
    return colo__fail(err, COLO_E_HV, e, "hv-xen-pv",
                      "the replica's restore has died");
}

static int is_stuck(struct colo_error *err)
{
    return colo__fail(err, COLO_E_TIMEOUT, 0, "hv-xen-pv",
                      "the replica's restore takes nothing for %u ms",
                      LOAD_MS);
}

static int feed(int fd, const uint8_t *buf, uint32_t len,
                struct colo_error *err)
{
    uint64_t end = deadline();

    while (len) {
        struct pollfd pfd = { fd, POLLOUT, 0 };
        ssize_t n = write(fd, buf, len);

        if (n > 0) {
            buf += n;
            len -= (uint32_t)n;
            end = deadline();
        } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
            return has_died(errno, err);
        } else if (is_late(end)) {
            return is_stuck(err);
        } else {
            (void)poll(&pfd, 1, 100);
        }
    }
    return 0;
}

/* Nothing tells when a pipe is empty. */
static int wait_taken(int fd, struct colo_error *err)
{
    uint64_t end = deadline();
    int left = 0, before = -1;

    for (;;) {
        struct pollfd pfd = { fd, 0, 0 };

        if (ioctl(fd, FIONREAD, &left) < 0)
            return has_died(errno, err);
        if (poll(&pfd, 1, left ? LOOK_MS : 0) > 0 && pfd.revents & POLLERR)
            return has_died(0, err);
        if (!left)
            return 0;
        if (left != before)
            end = deadline();
        else if (is_late(end))
            return is_stuck(err);
        before = left;
    }
}

int colo__hv_xen_pv_load(struct colo_hv *chv, const uint8_t *buf,
                         uint32_t len, struct colo_error *err)
{
    int fd = colo__hv_xen(chv)->pv.feed_fd;
    int rc = 0;

    if (fd < 0)
        return colo__fail(err, COLO_E_STATE, 0, "hv-xen-pv",
                          "there is no restore");
    if (buf)
        rc = feed(fd, buf, len, err);
    return rc ? rc : wait_taken(fd, err);
}

/* ---- the end of the stream ---------------------------------------------- */

int colo__hv_xen_pv_set(struct colo_hv *chv, const uint8_t *buf, uint32_t len,
                        struct colo_error *err)
{
    struct colo_hv_xen *hv = colo__hv_xen(chv);
    uint32_t domid;
    int rc;

    (void)buf;
    (void)len;
    if (hv->has_domain || hv->pv.feed_fd < 0 || !hv->child.pid)
        return colo__fail(err, COLO_E_STATE, 0, "hv-xen-pv",
                          "there is no replica");
    hv->domid = 0;
    close(hv->pv.feed_fd);
    hv->pv.feed_fd = -1;
    rc = colo__hv_xen_helper_wait(hv, FINISH_MS, NULL, err);
    domid = hv->domid;
    if (!rc && !domid)
        rc = colo__fail(err, COLO_E_HV, 0, "hv-xen-pv",
                        "the restore did not say what it has made");
    return rc ? rc : colo__hv_xen_adopt(hv, domid, err);
}
