/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See nbd-client.h.  Source: the NBD project's doc/proto.md.
 */
#include <endian.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "nbd-client.h"

#define WHERE "disk-nbd"
#define MAGIC UINT64_C(0x4e42444d41474943)      /* "NBDMAGIC" */
#define OPTION UINT64_C(0x49484156454f5054)     /* "IHAVEOPT" */
#define REPLY UINT64_C(0x0003e889045565a9)
#define FLAG_FIXED_NEWSTYLE 1u
#define FLAG_NO_ZEROES 2u
#define OPT_GO 7u
#define REP_ACK 1u
#define REP_INFO 3u
#define REP_ERROR 0x80000000u
#define INFO_EXPORT 0u
#define BODY_MAX 4096u

struct greeting {
    uint64_t magic, option;
    uint16_t flags;
} __attribute__((packed));

struct go {
    uint32_t client_flags;
    uint64_t option;
    uint32_t type, len;
    uint32_t name_len;
    uint16_t n_infos;
} __attribute__((packed));

struct option_reply {
    uint64_t magic;
    uint32_t option, type, len;
} __attribute__((packed));

struct info_export {
    uint16_t type;
    uint64_t size;
    uint16_t flags;
} __attribute__((packed));

/* All of buf, or an error; never more than is said, so that nothing of the
 * kernel's is read. */
static int receive(int sock, void *buf, size_t len, uint64_t deadline,
                   struct colo_error *err)
{
    uint8_t *p = buf;

    while (len) {
        struct pollfd pfd = { .fd = sock, .events = POLLIN };
        uint64_t now = colo__now_us(&colo__clock_monotonic);
        ssize_t n;

        if (now >= deadline)
            return colo__fail(err, COLO_E_TIMEOUT, 0, WHERE,
                              "the proxy says nothing");
        if (poll(&pfd, 1, (int)((deadline - now) / 1000 + 1)) <= 0)
            continue;
        n = recv(sock, p, len, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (n <= 0)
            return colo__fail(err, COLO_E_PEER, n < 0 ? errno : 0, WHERE,
                              "the proxy ended, see its message");
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

static int greet(int sock, uint64_t deadline, struct colo_error *err)
{
    struct greeting hello;
    struct go go = {
        .client_flags = htobe32(FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES),
        .option = htobe64(OPTION), .type = htobe32(OPT_GO),
        .len = htobe32(sizeof(go.name_len) + sizeof(go.n_infos)),
    };
    int rc;

    rc = receive(sock, &hello, sizeof(hello), deadline, err);
    if (rc)
        return rc;
    if (be64toh(hello.magic) != MAGIC || be64toh(hello.option) != OPTION ||
        !(be16toh(hello.flags) & FLAG_FIXED_NEWSTYLE))
        return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                          "the proxy is no fixed newstyle server");
    if (!(be16toh(hello.flags) & FLAG_NO_ZEROES))
        go.client_flags = htobe32(FLAG_FIXED_NEWSTYLE);
    if (send(sock, &go, sizeof(go), MSG_NOSIGNAL) != (ssize_t)sizeof(go))
        return colo__fail(err, COLO_E_PEER, errno, WHERE, "handshake");
    return 0;
}

int colo__nbd_handshake(int sock, int timeout_ms,
                        struct colo_nbd_export *ret_export,
                        struct colo_error *err)
{
    uint64_t deadline = colo__now_us(&colo__clock_monotonic) +
                        (uint64_t)timeout_ms * 1000;
    struct colo_nbd_export export = { .size = 0 };
    bool have = false;
    int rc;

    rc = greet(sock, deadline, err);
    while (!rc) {
        struct option_reply reply;
        struct info_export info;
        uint8_t body[BODY_MAX];
        uint32_t type, len;

        rc = receive(sock, &reply, sizeof(reply), deadline, err);
        if (rc)
            break;
        type = be32toh(reply.type);
        len = be32toh(reply.len);
        if (be64toh(reply.magic) != REPLY || be32toh(reply.option) != OPT_GO ||
            len > sizeof(body))
            return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                              "a bad reply from the proxy");
        rc = receive(sock, body, len, deadline, err);
        if (rc)
            break;
        if (type & REP_ERROR)
            return colo__fail(err, COLO_E_PEER_SAID, 0, WHERE,
                              "the proxy refused (%#x): %.*s", type,
                              (int)len, (const char *)body);
        if (type == REP_ACK && have) {
            *ret_export = export;
            return 0;
        }
        if (type == REP_ACK)
            return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                              "the proxy did not tell the size");
        memset(&info, 0xff, sizeof(info));
        memcpy(&info, body, len < sizeof(info) ? len : sizeof(info));
        if (type == REP_INFO && len == sizeof(info) &&
            be16toh(info.type) == INFO_EXPORT) {
            export.size = be64toh(info.size);
            export.flags = be16toh(info.flags);
            have = true;
        }
    }
    return rc;
}
