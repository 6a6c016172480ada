/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * PV guests, at the primary.  Their page tables hold machine addresses, which
 * only libxenguest knows how to take out; it blocks, keeps state and may end
 * its process.  So a helper (colo-toolstack stream) runs it all along: from the
 * seed on it is in the middle of one xc_domain_save(), and writes the next
 * piece of the stream into a memory file of ours when it is told that the guest
 * stands still.  Who stops the guest and lets it go on is hv-xen-stop.c as for
 * any other guest, so a helper that dies leaves nothing stopped.
 *
 * Words to the helper: 't' "take it, the guest stands still", with the memory
 * file at the first.  From it, as lines: "suspend" (all but the last part of
 * the seed is written), "whole N" (the seed, or a piece of N bytes, is).
 * The replica's side: hv-xen-pv-replica.c.  Thread rule: hv.h's.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hv-xen.h"

/* A piece is copied while the session does nothing else, and the guest stands
 * still.  How large it is is the guest's matter: while the helper gets on, and
 * the peer hears of us, it may take as long as an epoch may. */
#define LIMIT_MS 10000
#define STUCK_MS 3000          /* and has not moved: the helper hangs */
#define BEAT_MS 20
#define BEAT_BYTES (16u << 20) /* some milliseconds */

/* ---- whose memory nobody reads ------------------------------------------ */

int colo__hv_xen_pv_track(struct colo_hv *chv, int on, struct colo_error *err)
{
    struct colo_hv_xen *hv = colo__hv_xen(chv);

    (void)err;
    /* the helper has switched it on with the seed, and does the other, too,
     * unless it has died: that is fine if it was off */
    if (!on)
        colo__hv_xen_pv_end(hv);
    if (!on && !hv->child.pid)
        xc_shadow_control(hv->xch, hv->domid, XEN_DOMCTL_SHADOW_OP_OFF, NULL,
                          0);
    return 0;
}

int colo__hv_xen_pv_dirty(struct colo_hv *chv, struct colo_bitmap *bm,
                          uint32_t flags, bool *ret_lost,
                          struct colo_error *err)
{
    struct colo_hv_info info;
    int rc = colo__hv_ops(chv)->info(chv, &info, err);

    (void)flags;
    *ret_lost = false;
    return rc || bm->bits >= info.nr_gfns ? rc :
           colo__bitmap_resize(bm, info.nr_gfns);
}

int colo__hv_xen_pv_unmarked(struct colo_hv *chv, struct colo_bitmap *bm,
                             struct colo_error *err)
{
    (void)chv;
    (void)bm;
    (void)err;
    return 0;
}

static int no_pages(struct colo_error *err)
{
    return colo__fail(err, COLO_E_UNSUPPORTED, 0, "hv-xen-pv",
                      "a PV guest's memory cannot be read or written page by "
                      "page");
}

int colo__hv_xen_pv_read(struct colo_hv *chv, const uint64_t *gfns, size_t n,
                         uint8_t *dst, uint8_t *kinds, struct colo_error *err)
{
    (void)chv;
    (void)gfns;
    (void)n;
    (void)dst;
    (void)kinds;
    return no_pages(err);
}

int colo__hv_xen_pv_write(struct colo_hv *chv, const uint64_t *gfns, size_t n,
                          const uint8_t *src, struct colo_error *err)
{
    (void)chv;
    (void)gfns;
    (void)n;
    (void)src;
    return no_pages(err);
}

/* ---- the helper --------------------------------------------------------- */

int colo__hv_xen_pv_adopt(struct colo_hv_xen *hv, struct colo_error *err)
{
    unsigned width = 0;

    if (xc_domain_get_guest_width(hv->xch, hv->domid, &width) < 0)
        return colo__hv_xen_fail(hv, err, "ask a PV guest's word size");
    if (width != 8)
        return colo__fail(err, COLO_E_UNSUPPORTED, 0, "hv-xen",
                          "domain %u is a PV guest of %u bits", hv->domid,
                          width * 8);
    hv->pv.is = true;
    hv->ops = &colo__hv_xen_pv_ops;
    return 0;
}

int colo__hv_xen_pv_begin(struct colo_hv_xen *hv, int *ret_command,
                          struct colo_error *err)
{
    xc_physinfo_t physinfo = { 0 };
    int pair[2];

    if (xc_physinfo(hv->xch, &physinfo) < 0)
        return colo__hv_xen_fail(hv, err, "ask what Xen can");
    if (!(physinfo.capabilities & XEN_SYSCTL_PHYSCAP_shadow))
        return colo__fail(err, COLO_E_UNSUPPORTED, 0, "hv-xen-pv",
                          "this Xen is built without shadow paging: it cannot "
                          "tell what PV guest %u writes", hv->domid);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return colo__fail(err, COLO_E_SYS, errno, "hv-xen-pv", "socketpair");
    hv->pv.body_fd = memfd_create("colo-piece", MFD_CLOEXEC);
    if (hv->pv.body_fd < 0) {
        int rc = colo__fail(err, COLO_E_SYS, errno, "hv-xen-pv",
                            "no memory for an epoch");

        close(pair[0]);
        close(pair[1]);
        return rc;
    }
    hv->pv.command_fd = pair[1];
    hv->pv.seeding = true;
    *ret_command = pair[0];
    return 0;
}

/* "The guest stands still"; where the pieces go is said with the seed. */
static int tell_take(struct colo_hv_xen *hv, struct colo_error *err)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    char word = 't';
    struct iovec iov = { .iov_base = &word, .iov_len = 1 };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    struct cmsghdr *cmsg;

    if (hv->pv.seeding) {
        msg.msg_control = &control;
        msg.msg_controllen = sizeof(control);
        cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(cmsg), &hv->pv.body_fd, sizeof(int));
    }
    hv->pv.whole = false;
    if (sendmsg(hv->pv.command_fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
        return colo__fail(err, COLO_E_HV, errno, "hv-xen-pv",
                          "the helper that reads the PV guest has died");
    return 0;
}

bool colo__hv_xen_pv_line(struct colo_hv_xen *hv, const char *line)
{
    unsigned long long len;

    if (hv->child.what != COLO_XEN_CHILD_STREAM)
        return false;
    if (!strcmp(line, "suspend")) {
        hv->pv.wants_stop = true;
        return true;
    }
    if (sscanf(line, "whole %llu", &len) == 1) {
        hv->pv.whole = true;
        hv->pv.len = len;
        return true;
    }
    return false;
}

int colo__hv_xen_pv_poll(struct colo_hv_xen *hv, struct colo_hv_event *event,
                         struct colo_error *err)
{
    struct colo_xen_pv *pv = &hv->pv;
    int rc = 0;

    if (!pv->seeding)
        return 0;
    if (pv->wants_stop) {
        pv->wants_stop = false;
        rc = hv->ops->stop->request((struct colo_hv *)hv, err);
        if (rc)
            return rc;
    }
    if (event->events & COLO_HV_EV_STOPPED) {
        event->events &= ~COLO_HV_EV_STOPPED;
        return tell_take(hv, err);
    }
    if (pv->whole && hv->stop.stopped) {
        pv->whole = pv->seeding = false;
        event->events |= COLO_HV_EV_SEEDED;
    }
    return 0;
}

void colo__hv_xen_pv_end(struct colo_hv_xen *hv)
{
    if (hv->pv.command_fd >= 0)
        close(hv->pv.command_fd);
    hv->pv.command_fd = -1;
}

void colo__hv_xen_pv_close(struct colo_hv_xen *hv)
{
    colo__hv_xen_pv_end(hv);
    if (hv->pv.body_fd >= 0)
        close(hv->pv.body_fd);
    if (hv->pv.feed_fd >= 0)
        close(hv->pv.feed_fd);
    hv->pv.body_fd = hv->pv.feed_fd = -1;
}

/* ---- a piece ------------------------------------------------------------ */

static void pv_set_beat(struct colo_hv *chv, void (*beat)(void *user),
                        void *user, uint32_t limit_ms)
{
    struct colo_xen_pv *pv = &colo__hv_xen(chv)->pv;

    pv->beat = beat;
    pv->beat_user = user;
    pv->limit_ms = limit_ms;
}

static void beat(const struct colo_xen_pv *pv)
{
    if (pv->beat)
        pv->beat(pv->beat_user);
}

/* Until it says that the piece is whole.  It writes through an open file that
 * is ours, too: where that stands is how far it is. */
static int wait_whole(struct colo_hv_xen *hv, struct colo_error *err)
{
    struct colo_xen_pv *pv = &hv->pv;
    uint32_t limit_ms = pv->limit_ms ? pv->limit_ms : LIMIT_MS;
    uint64_t moved = colo__now_us(&colo__clock_monotonic), now = moved;
    uint64_t end = now + (uint64_t)limit_ms * 1000;
    off_t at, before = -1;
    int rc;

    for (;;) {
        rc = colo__hv_xen_helper_wait(hv, BEAT_MS, &pv->whole, err);
        if (rc != COLO_E_TIMEOUT)
            return rc;
        beat(pv);
        now = colo__now_us(&colo__clock_monotonic);
        at = lseek(pv->body_fd, 0, SEEK_CUR);
        if (at != before)
            moved = now;
        before = at;
        if (now >= end)
            return colo__fail(err, COLO_E_TIMEOUT, 0, "hv-xen-pv", "an epoch "
                              "of more than %lld bytes is not copied in %u ms",
                              (long long)at, limit_ms);
        if (now - moved >= STUCK_MS * UINT64_C(1000))
            return rc;
    }
}

static int take_piece(struct colo_hv_xen *hv, struct colo_error *err)
{
    xc_domaininfo_t info;
    int rc;

    if (hv->pv.broken || hv->pv.command_fd < 0)
        return colo__fail(err, COLO_E_STATE, 0, "hv-xen-pv",
                          "the stream of domain %u has ended", hv->domid);
    hv->pv.broken = true; /* until it is whole */
    rc = tell_take(hv, err);
    if (!rc)
        rc = wait_whole(hv, err);
    if (!rc)
        rc = colo__hv_xen_getinfo(hv, &info, err);
    if (!rc && !colo__hv_xen_is_suspended(&info))
        rc = colo__fail(err, COLO_E_GUEST, 0, "hv-xen", "somebody has resumed "
                        "domain %u while its memory was copied", hv->domid);
    if (!rc && (!hv->pv.len || hv->pv.len > UINT32_MAX))
        rc = colo__fail(err, COLO_E_LIMIT, 0, "hv-xen-pv", "an epoch of %llu "
                        "bytes", (unsigned long long)hv->pv.len);
    hv->pv.broken = rc != 0;
    return rc;
}

static int copy_piece(struct colo_hv_xen *hv, uint8_t *buf, uint32_t len,
                      struct colo_error *err)
{
    for (uint32_t done = 0; done < len;) {
        uint32_t room = len - done < BEAT_BYTES ? len - done : BEAT_BYTES;
        ssize_t n = pread(hv->pv.body_fd, buf + done, room, done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return colo__fail(err, COLO_E_HV, n ? errno : 0, "hv-xen-pv",
                              "an epoch of %u bytes ends after %u", len, done);
        done += (uint32_t)n;
        beat(&hv->pv);
    }
    return 0;
}

/* Asked with too little room, it was taken all the same: the next call is for
 * the same piece. */
static int pv_get(struct colo_hv *chv, uint8_t *buf, uint32_t cap,
                  uint32_t *ret_len, struct colo_error *err)
{
    struct colo_hv_xen *hv = colo__hv_xen(chv);
    struct colo_xen_pv *pv = &hv->pv;
    uint32_t more;
    int rc = pv->whole ? 0 : take_piece(hv, err);

    if (rc)
        return rc;
    if (cap < pv->len) {
        more = (uint32_t)pv->len / 4;
        *ret_len = pv->len < UINT32_MAX - more ? (uint32_t)pv->len + more :
                   UINT32_MAX;
        return colo__fail(err, COLO_E_LIMIT, 0, "hv-xen-pv",
                          "the epoch has %u bytes", (uint32_t)pv->len);
    }
    pv->whole = false;
    rc = copy_piece(hv, buf, (uint32_t)pv->len, err);
    pv->broken = rc != 0;
    if (!rc)
        *ret_len = (uint32_t)pv->len;
    return rc;
}

const struct colo_machine_ops colo__hv_xen_pv_machine_ops = {
    .get = pv_get,
    .check = colo__hv_xen_pv_check,
    .set = colo__hv_xen_pv_set,
    .load = colo__hv_xen_pv_load,
    .set_beat = pv_set_beat,
};
