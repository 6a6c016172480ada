/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * An NBD server as small as can be, for the moments between a proxy's death
 * and the return of the backing: one request after the other, no program to
 * start.  See nbd-client.h.  The other side is this host's kernel; its ranges
 * are checked nevertheless.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nbd-client.h"

#define REQUEST 0x25609513u
#define REPLY 0x67446698u
#define CMD_READ 0
#define CMD_WRITE 1
#define CMD_DISCONNECT 2
#define CMD_FLUSH 3
#define CMD_TRIM 4
#define CMD_ZEROES 6
#define FLAG_FUA 1
#define PIECE (1u << 20)
#define LEN_MAX (64u << 20)

struct request {
    uint32_t magic;
    uint16_t flags, type;
    uint64_t handle, from;
    uint32_t len;
} __attribute__((packed));

struct reply {
    uint32_t magic, error;
    uint64_t handle;
} __attribute__((packed));

struct relay {
    int sock, backing;
    uint64_t size;
    uint8_t *buf;   /* PIECE, aligned */
    uint8_t *big;   /* a read that is longer, or NULL */
};

static int take(int sock, void *buf, size_t len)
{
    uint8_t *p = buf;

    while (len) {
        ssize_t n = recv(sock, p, len, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n ? errno : EPIPE;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

static int give(int sock, const void *buf, size_t len)
{
    const uint8_t *p = buf;

    while (len) {
        ssize_t n = send(sock, p, len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

static int do_io(int fd, uint8_t *p, size_t len, uint64_t at, bool writing)
{
    while (len) {
        ssize_t n = writing ? pwrite(fd, p, len, (off_t)at)
                            : pread(fd, p, len, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n ? errno : EIO;
        p += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

static int answer(struct relay *relay, const struct request *req, int error)
{
    struct reply reply = {
        .magic = htobe32(REPLY), .handle = req->handle,
        .error = htobe32((uint32_t)error),
    };

    return give(relay->sock, &reply, sizeof(reply));
}

/* The payload is taken from the socket also when it cannot be written. */
static int do_write(struct relay *relay, const struct request *req,
                    uint64_t from, uint32_t len, int error)
{
    bool payload = be16toh(req->type) == CMD_WRITE;

    memset(relay->buf, 0, payload ? 0 : PIECE);
    for (uint32_t done = 0; done < len; ) {
        uint32_t n = len - done < PIECE ? len - done : PIECE;
        int r = payload ? take(relay->sock, relay->buf, n) : 0;

        if (r)
            return r;
        if (error && !payload)
            break;
        if (!error)
            error = do_io(relay->backing, relay->buf, n, from + done, true);
        done += n;
    }
    if (!error && be16toh(req->flags) & FLAG_FUA && fdatasync(relay->backing))
        error = errno;
    return answer(relay, req, error);
}

static int do_read(struct relay *relay, const struct request *req,
                   uint64_t from, uint32_t len, int error)
{
    uint8_t *buf = relay->buf;
    int r;

    if (!error && len > PIECE) {
        void *big = NULL;

        /* the kernel asks for as much as it once asked for before */
        free(relay->big);
        relay->big = NULL;
        error = posix_memalign(&big, 4096, len);
        buf = relay->big = error ? NULL : big;
    }
    if (!error)
        error = do_io(relay->backing, buf, len, from, false);
    r = answer(relay, req, error);
    return r || error ? r : give(relay->sock, buf, len);
}

/* Only where data travels: the kernel sends what a guest discards or zeroes as
 * long as the field allows. */
static bool too_long(uint16_t type, uint32_t len)
{
    return (type == CMD_READ || type == CMD_WRITE) && len > LEN_MAX;
}

static int serve_one(struct relay *relay, const struct request *req)
{
    uint64_t from = be64toh(req->from);
    uint32_t len = be32toh(req->len);
    int error = 0;

    if (be32toh(req->magic) != REQUEST || too_long(be16toh(req->type), len))
        return EPROTO;
    if (from > relay->size || len > relay->size - from)
        error = EINVAL;
    switch (be16toh(req->type)) {
    case CMD_READ:
        return do_read(relay, req, from, len, error);
    case CMD_WRITE:
    case CMD_ZEROES:
        return do_write(relay, req, from, len, error);
    case CMD_FLUSH:
        if (fdatasync(relay->backing))
            error = errno;
        return answer(relay, req, error);
    case CMD_TRIM:
        return answer(relay, req, error);  /* advice: not followed */
    default:
        return answer(relay, req, EINVAL);
    }
}

int colo__nbd_relay(int sock, int backing, uint64_t size)
{
    struct relay relay = { .sock = sock, .backing = backing, .size = size };
    void *buf = NULL;
    int r;

    r = posix_memalign(&buf, 4096, PIECE);
    if (r)
        return r;
    relay.buf = buf;
    for (;;) {
        struct request req;

        r = take(sock, &req, sizeof(req));
        if (r || be16toh(req.type) == CMD_DISCONNECT)
            break;
        r = serve_one(&relay, &req);
        if (r)
            break;
    }
    free(relay.buf);
    free(relay.big);
    return r == EPIPE ? 0 : r;
}
