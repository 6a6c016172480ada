/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See nl.h.  The kernel works on a request within sendmsg: when that
 * returns, everything is done and all acknowledgements are in our queue.
 */
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "nl.h"

#define WHERE "netlink"
/* A dump comes in pieces that the kernel makes while we read. */
#define ANSWER_SECONDS 2
#define RECEIVE_BYTES 32768

int colo__nl_open(struct colo_nl *nl, uint32_t groups, struct colo_error *err)
{
    struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = groups };
    struct timeval limit = { .tv_sec = ANSWER_SECONDS };
    int on = 1, big = 1 << 20;

    nl->seq = 1;
    nl->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (nl->fd < 0)
        return colo__fail(err, COLO_E_SYS, errno, WHERE, "socket");
    /* Shorter answers, with a text; kernels without them are fine too. */
    (void)setsockopt(nl->fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
    (void)setsockopt(nl->fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
    (void)setsockopt(nl->fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big));
    if (setsockopt(nl->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) ||
        setsockopt(nl->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) ||
        bind(nl->fd, (struct sockaddr *)&addr, sizeof(addr))) {
        int saved = errno;

        colo__nl_close(nl);
        return colo__fail(err, COLO_E_SYS, saved, WHERE, "bind");
    }
    return 0;
}

void colo__nl_close(struct colo_nl *nl)
{
    if (nl->fd >= 0)
        close(nl->fd);
    nl->fd = -1;
}

void colo__nl_add(struct colo_nl_batch *batch, struct nl_msg *msg)
{
    struct nlmsghdr *hdr;
    size_t room = sizeof(batch->buf) - batch->len;

    if (!msg) {
        batch->failed = ENOMEM;
        return;
    }
    hdr = nlmsg_hdr(msg);
    if (batch->count == COLO_NL_BATCH_MAX ||
        NLMSG_ALIGN(hdr->nlmsg_len) > room) {
        batch->failed = EMSGSIZE;
    } else {
        memcpy(batch->buf + batch->len, hdr, hdr->nlmsg_len);
        batch->len += NLMSG_ALIGN(hdr->nlmsg_len);
        batch->count++;
    }
    nlmsg_free(msg);
}

/* What the kernel says besides the number, or "". */
static const char *kernel_text(struct nlmsghdr *hdr)
{
    struct nlmsgerr *e = nlmsg_data(hdr);
    size_t skip = sizeof(*e), len = nlmsg_datalen(hdr);
    struct nlattr *text;

    if (!(hdr->nlmsg_flags & NLM_F_ACK_TLVS))
        return "";
    if (!(hdr->nlmsg_flags & NLM_F_CAPPED)) {
        if (e->msg.nlmsg_len < NLMSG_HDRLEN || e->msg.nlmsg_len > len)
            return "";
        skip += NLMSG_ALIGN(e->msg.nlmsg_len - NLMSG_HDRLEN);
    }
    if (skip >= len)
        return "";
    text = nla_find((struct nlattr *)((char *)e + skip), len - skip,
                    NLMSGERR_ATTR_MSG);
    if (!text || !memchr(nla_data(text), '\0', nla_len(text)))
        return "";
    return nla_get_string(text);
}

/* > 0: bytes of one datagram of the kernel's; 0: nothing there; < 0 */
static ssize_t receive(struct colo_nl *nl, uint8_t *buf, int flags)
{
    struct sockaddr_nl from = { 0 };
    socklen_t from_len = sizeof(from);
    ssize_t n;

    do {
        n = recvfrom(nl->fd, buf, RECEIVE_BYTES, flags | MSG_TRUNC,
                     (struct sockaddr *)&from, &from_len);
        /* Others may send to a netlink socket too: only the kernel counts. */
    } while ((n < 0 && errno == EINTR) || (n >= 0 && from.nl_pid != 0));
    if (n > RECEIVE_BYTES) {
        errno = EMSGSIZE;
        return -1;
    }
    return n;
}

/* Number the batch's messages; the first number. */
static uint32_t number_messages(struct colo_nl *nl,
                                struct colo_nl_batch *batch)
{
    uint32_t first = nl->seq;

    for (size_t at = 0; at < batch->len;) {
        struct nlmsghdr *hdr = (struct nlmsghdr *)(batch->buf + at);

        hdr->nlmsg_seq = nl->seq++;
        hdr->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
        at += NLMSG_ALIGN(hdr->nlmsg_len);
    }
    return first;
}

/* One datagram of answers; the number of messages that it settles. */
static unsigned int take_acks(struct colo_nl_batch *batch, uint32_t first,
                              uint8_t *buf, int len, const char *what,
                              struct colo_error *err)
{
    struct nlmsghdr *hdr = (struct nlmsghdr *)buf;
    unsigned int settled = 0;

    for (; nlmsg_ok(hdr, len); hdr = nlmsg_next(hdr, &len)) {
        uint32_t i = hdr->nlmsg_seq - first;
        struct nlmsgerr *e = nlmsg_data(hdr);

        /* an answer to something older, that we no longer waited for */
        if (hdr->nlmsg_type != NLMSG_ERROR || i >= batch->count ||
            nlmsg_datalen(hdr) < (int)sizeof(*e))
            continue;
        settled++;
        batch->results[i] = -e->error;
        if (e->error && !batch->failed) {
            const char *text = kernel_text(hdr);

            batch->failed = -e->error;
            colo__fail(err, COLO_E_SYS, -e->error, WHERE, "%s%s%s", what,
                       *text ? ": " : "", text);
        }
    }
    return settled;
}

int colo__nl_send(struct colo_nl *nl, struct colo_nl_batch *batch,
                  const char *what, struct colo_error *err)
{
    struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
    uint8_t buf[RECEIVE_BYTES] __attribute__((aligned(8)));
    unsigned int settled = 0;
    uint32_t first;
    int rc = 0;

    if (batch->failed) {
        rc = colo__fail(err, COLO_E_NOMEM, batch->failed, WHERE, "%s", what);
        goto out;
    }
    if (!batch->count)
        goto out;
    first = number_messages(nl, batch);
    memset(batch->results, 0, sizeof(batch->results));
    if (sendto(nl->fd, batch->buf, batch->len, MSG_NOSIGNAL,
               (struct sockaddr *)&kernel, sizeof(kernel)) < 0) {
        rc = colo__fail(err, COLO_E_SYS, errno, WHERE, "%s: send", what);
        goto out;
    }
    while (settled < batch->count) {
        ssize_t n = receive(nl, buf, 0);

        if (n <= 0) {
            rc = colo__fail(err, COLO_E_SYS, n ? errno : EIO, WHERE,
                            "%s: answer", what);
            goto out;
        }
        settled += take_acks(batch, first, buf, (int)n, what, err);
    }
    if (batch->failed)
        rc = COLO_E_SYS;
out:
    batch->len = 0;
    batch->count = 0;
    batch->failed = 0;
    return rc;
}

int colo__nl_do(struct colo_nl *nl, struct nl_msg *msg, const char *what,
                int *ret_errno, struct colo_error *err)
{
    struct colo_nl_batch batch;
    int rc;

    batch.len = 0;
    batch.count = 0;
    batch.failed = 0;
    batch.results[0] = EIO;
    colo__nl_add(&batch, msg);
    rc = colo__nl_send(nl, &batch, what, err);
    if (ret_errno)
        *ret_errno = rc && !batch.results[0] ? EIO : batch.results[0];
    return rc;
}

/* One datagram of answers; 1 when the last one was there, < 0 on failure. */
static int take_answers(uint32_t seq, uint8_t *buf, int len, const char *what,
                        colo_nl_fn fn, void *user, struct colo_error *err)
{
    struct nlmsghdr *hdr = (struct nlmsghdr *)buf;

    for (; nlmsg_ok(hdr, len); hdr = nlmsg_next(hdr, &len)) {
        struct nlmsgerr *e = nlmsg_data(hdr);

        if (hdr->nlmsg_seq != seq)
            continue;
        if (hdr->nlmsg_type == NLMSG_DONE)
            return 1;
        if (hdr->nlmsg_type != NLMSG_ERROR) {
            fn(user, hdr);
            continue;
        }
        if (nlmsg_datalen(hdr) < (int)sizeof(*e))
            return colo__fail(err, COLO_E_SYS, EIO, WHERE, "%s", what);
        if (e->error)
            return colo__fail(err, COLO_E_SYS, -e->error, WHERE, "%s %s", what,
                              kernel_text(hdr));
        return 1;
    }
    return 0;
}

int colo__nl_ask(struct colo_nl *nl, struct nl_msg *msg, const char *what,
                 colo_nl_fn fn, void *user, struct colo_error *err)
{
    struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
    uint8_t buf[RECEIVE_BYTES] __attribute__((aligned(8)));
    struct nlmsghdr *hdr;
    uint32_t seq;
    int r = 0;

    if (!msg)
        return colo__fail(err, COLO_E_NOMEM, ENOMEM, WHERE, "%s", what);
    hdr = nlmsg_hdr(msg);
    hdr->nlmsg_seq = seq = nl->seq++;
    hdr->nlmsg_flags |= NLM_F_REQUEST;
    if (sendto(nl->fd, hdr, hdr->nlmsg_len, MSG_NOSIGNAL,
               (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
        r = colo__fail(err, COLO_E_SYS, errno, WHERE, "%s: send", what);
    nlmsg_free(msg);
    while (r == 0) {
        ssize_t n = receive(nl, buf, 0);

        r = n <= 0 ? colo__fail(err, COLO_E_SYS, n ? errno : EIO, WHERE,
                                "%s: answer", what)
                   : take_answers(seq, buf, (int)n, what, fn, user, err);
    }
    return r < 0 ? r : 0;
}

int colo__nl_events(struct colo_nl *nl, colo_nl_fn fn, void *user,
                    bool *ret_lost, struct colo_error *err)
{
    uint8_t buf[RECEIVE_BYTES] __attribute__((aligned(8)));

    for (;;) {
        ssize_t n = receive(nl, buf, MSG_DONTWAIT);
        struct nlmsghdr *hdr = (struct nlmsghdr *)buf;
        int len = (int)n;

        if (n < 0 && (errno == ENOBUFS || errno == EMSGSIZE)) {
            *ret_lost = true;
            continue;
        }
        if (n < 0 && errno == EAGAIN)
            return 0;
        if (n <= 0)
            return colo__fail(err, COLO_E_SYS, n ? errno : EIO, WHERE,
                              "notification");
        for (; nlmsg_ok(hdr, len); hdr = nlmsg_next(hdr, &len))
            fn(user, hdr);
    }
}
