/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The handshake with an NBD server, good and bad ones, and the relay that
 * serves a backing as it is.
 */
#include <endian.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pure-common.h"

#include "../../disk-proxy/nbd-client.h"
#include "../../disk-proxy/nbd-netlink.h"

#define SIZE (8u << 20)

/* ---- handshake ---------------------------------------------------------------- */

struct writer {
    uint8_t buf[8192];
    size_t len;
};

static void put(struct writer *w, uint64_t value, int bytes)
{
    while (bytes--)
        w->buf[w->len++] = (uint8_t)(value >> (8 * bytes));
}

static void put_greeting(struct writer *w, unsigned int flags)
{
    put(w, UINT64_C(0x4e42444d41474943), 8);
    put(w, UINT64_C(0x49484156454f5054), 8);
    put(w, flags, 2);
}

static void put_reply(struct writer *w, uint32_t type, uint32_t len)
{
    put(w, UINT64_C(0x0003e889045565a9), 8);
    put(w, 7, 4);
    put(w, type, 4);
    put(w, len, 4);
}

static void put_export(struct writer *w)
{
    put_reply(w, 3, 12);
    put(w, 0, 2);
    put(w, 0x123456789000, 8);
    put(w, 0x6d, 2);
}

/* What the client makes of a server that says just that. */
static int talk(const struct writer *w, bool close_it,
                struct colo_nbd_export *export, struct colo_error *err)
{
    int pair[2], rc;

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    ck_assert_int_eq(write(pair[1], w->buf, w->len), (ssize_t)w->len);
    if (close_it)
        shutdown(pair[1], SHUT_WR);
    rc = colo__nbd_handshake(pair[0], 200, export, err);
    if (!rc) {
        uint8_t said[64];

        /* flags, IHAVEOPT, GO, length 6, name "", no questions */
        ck_assert_int_eq(read(pair[1], said, sizeof(said)), 26);
        ck_assert_uint_eq(said[3], 3);
        ck_assert_uint_eq(said[15], 7);
        ck_assert_uint_eq(said[19], 6);
    }
    close(pair[0]);
    close(pair[1]);
    return rc;
}

START_TEST(test_good_server)
{
    struct writer w = { .len = 0 };
    struct colo_nbd_export export;
    struct colo_error err;

    put_greeting(&w, 3);
    put_reply(&w, 3, 14);      /* block sizes: unasked, passed over */
    put(&w, 3, 2);
    put(&w, 512, 4);
    put(&w, 4096, 4);
    put(&w, 65536, 4);
    put_export(&w);
    put_reply(&w, 1, 0);
    ck_assert_int_eq(talk(&w, false, &export, &err), 0);
    ck_assert_uint_eq(export.size, 0x123456789000);
    ck_assert_uint_eq(export.flags, 0x6d);
}
END_TEST

START_TEST(test_bad_servers)
{
    struct colo_nbd_export export = { .size = 77 };
    struct writer w = { .len = 0 };
    struct colo_error err;

    ck_assert_int_eq(talk(&w, false, &export, &err), COLO_E_TIMEOUT);
    ck_assert_int_eq(talk(&w, true, &export, &err), COLO_E_PEER);
    put_greeting(&w, 0);                             /* not fixed newstyle */
    ck_assert_int_eq(talk(&w, false, &export, &err), COLO_E_PROTO);
    w.len = 0;
    put_greeting(&w, 3);
    w.buf[0] ^= 1;
    ck_assert_int_eq(talk(&w, false, &export, &err), COLO_E_PROTO);
    w.len = 0;
    put_greeting(&w, 3);
    put_reply(&w, 1, 0);                             /* no size */
    ck_assert_int_eq(talk(&w, false, &export, &err), COLO_E_PROTO);
    w.len = 0;
    put_greeting(&w, 3);
    put_reply(&w, 3, 5000);                          /* too long */
    ck_assert_int_eq(talk(&w, false, &export, &err), COLO_E_PROTO);
    w.len = 0;
    put_greeting(&w, 3);
    put_reply(&w, 0x80000006, 4);                    /* unknown export */
    put(&w, 0x6e6f6e65, 4);
    ck_assert_int_eq(talk(&w, false, &export, &err), COLO_E_PEER_SAID);
    ck_text(err, "none");
    w.len = 0;
    put_greeting(&w, 3);
    put_export(&w);
    w.len -= 3;                                      /* cut short */
    ck_assert_int_eq(talk(&w, true, &export, &err), COLO_E_PEER);
    ck_assert_uint_eq(export.size, 77);
}
END_TEST

/* ---- relay ------------------------------------------------------------------------ */

struct relay {
    int pair[2], file;
    uint64_t size;
    pthread_t thread;
    int result;
};

static void *run_relay(void *arg)
{
    struct relay *r = arg;

    r->result = colo__nbd_relay(r->pair[1], r->file, r->size);
    close(r->pair[1]);
    return NULL;
}

static void relay_begin_of(struct relay *r, uint64_t size)
{
    char path[] = "/tmp/colo-nbd-XXXXXX";

    r->size = size;
    r->file = mkstemp(path);
    ck_assert_int_ge(r->file, 0);
    unlink(path);
    ck_assert_int_eq(ftruncate(r->file, (off_t)size), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, r->pair), 0);
    ck_assert_int_eq(pthread_create(&r->thread, NULL, run_relay, r), 0);
}

static void relay_begin(struct relay *r)
{
    relay_begin_of(r, SIZE);
}

static int relay_end(struct relay *r)
{
    close(r->pair[0]);
    pthread_join(r->thread, NULL);
    close(r->file);
    return r->result;
}

static void request(struct relay *r, int type, int flags, uint64_t from,
                    uint32_t len)
{
    struct writer w = { .len = 0 };

    put(&w, 0x25609513, 4);
    put(&w, (uint64_t)flags, 2);
    put(&w, (uint64_t)type, 2);
    put(&w, 0x1122334455667788, 8);
    put(&w, from, 8);
    put(&w, len, 4);
    ck_assert_int_eq(write(r->pair[0], w.buf, w.len), (ssize_t)w.len);
}

static void read_all(int fd, void *buf, size_t len)
{
    ck_assert_int_eq(recv(fd, buf, len, MSG_WAITALL), (ssize_t)len);
}

static uint32_t reply(struct relay *r)
{
    uint8_t buf[16];

    read_all(r->pair[0], buf, sizeof(buf));
    ck_assert_uint_eq(buf[0], 0x67);
    ck_assert_uint_eq(buf[8], 0x11);
    ck_assert_uint_eq(buf[15], 0x88);
    return (uint32_t)buf[4] << 24 | (uint32_t)buf[5] << 16 |
           (uint32_t)buf[6] << 8 | buf[7];
}

static void send_all(int fd, const uint8_t *p, size_t len)
{
    while (len) {
        ssize_t n = write(fd, p, len);

        ck_assert_int_gt(n, 0);
        p += n;
        len -= (size_t)n;
    }
}

START_TEST(test_relay_io)
{
    size_t len = (3u << 20) + 512;  /* more than a piece */
    uint8_t *data = malloc(len), *back = malloc(len);
    uint64_t seed = 3;
    struct relay r;

    relay_begin(&r);
    pure_random_fill(&seed, data, len);
    request(&r, 1, 1, 4096, (uint32_t)len);          /* write, FUA */
    send_all(r.pair[0], data, len);
    ck_assert_uint_eq(reply(&r), 0);
    request(&r, 0, 0, 4096, (uint32_t)len);
    ck_assert_uint_eq(reply(&r), 0);
    read_all(r.pair[0], back, len);
    ck_assert_mem_eq(back, data, len);
    request(&r, 3, 0, 0, 0);                         /* flush */
    ck_assert_uint_eq(reply(&r), 0);
    request(&r, 4, 0, 4096, 4096);                   /* trim: keeps */
    ck_assert_uint_eq(reply(&r), 0);
    request(&r, 6, 0, 8192, 4096);                   /* zeroes */
    ck_assert_uint_eq(reply(&r), 0);
    request(&r, 0, 0, 4096, 8192);
    ck_assert_uint_eq(reply(&r), 0);
    read_all(r.pair[0], back, 8192);
    ck_assert_mem_eq(back, data, 4096);
    for (int i = 4096; i < 8192; i++)
        ck_assert_uint_eq(back[i], 0);
    ck_assert_int_eq(relay_end(&r), 0);
    free(data);
    free(back);
}
END_TEST

/* What a guest's fstrim or mkfs asks for. */
START_TEST(test_relay_long)
{
    uint32_t most = 0xffffffffu / 512 * 512, zeros = 65u << 20;
    uint8_t *page = malloc(4096), *back = malloc(4096);
    uint64_t seed = 5;
    struct relay r;

    relay_begin_of(&r, UINT64_C(5) << 30);
    pure_random_fill(&seed, page, 4096);
    for (int i = 0; i < 2; i++) { /* within the zeroes, and right behind */
        request(&r, 1, 0, i ? zeros : zeros - 4096, 4096);
        send_all(r.pair[0], page, 4096);
        ck_assert_uint_eq(reply(&r), 0);
    }
    request(&r, 4, 0, 1u << 20, most);
    ck_assert_uint_eq(reply(&r), 0);
    request(&r, 4, 0, UINT64_C(3) << 30, most); /* beyond the end */
    ck_assert_uint_eq(reply(&r), EINVAL);
    request(&r, 6, 0, UINT64_C(3) << 30, most);
    ck_assert_uint_eq(reply(&r), EINVAL);
    request(&r, 6, 1, 0, zeros);
    ck_assert_uint_eq(reply(&r), 0);
    request(&r, 0, 0, zeros - 4096, 4096);
    ck_assert_uint_eq(reply(&r), 0);
    read_all(r.pair[0], back, 4096);
    for (int i = 0; i < 4096; i++)
        ck_assert_uint_eq(back[i], 0);
    request(&r, 0, 0, zeros, 4096);
    ck_assert_uint_eq(reply(&r), 0);
    read_all(r.pair[0], back, 4096);
    ck_assert_mem_eq(back, page, 4096);
    request(&r, 0, 0, 0, (64u << 20) + 512); /* data does have a limit */
    ck_assert_int_eq(read(r.pair[0], back, 1), 0);
    ck_assert_int_eq(relay_end(&r), EPROTO);
    free(page);
    free(back);
}
END_TEST

START_TEST(test_relay_refuses)
{
    uint8_t data[4096] = { 1 };
    struct relay r;

    relay_begin(&r);
    request(&r, 0, 0, SIZE, 512);
    ck_assert_uint_eq(reply(&r), EINVAL);
    request(&r, 0, 0, UINT64_MAX, 512);
    ck_assert_uint_eq(reply(&r), EINVAL);
    request(&r, 1, 0, SIZE - 512, 4096);             /* payload is taken */
    send_all(r.pair[0], data, sizeof(data));
    ck_assert_uint_eq(reply(&r), EINVAL);
    request(&r, 9, 0, 0, 0);
    ck_assert_uint_eq(reply(&r), EINVAL);
    request(&r, 3, 0, 0, 0);
    ck_assert_uint_eq(reply(&r), 0);
    send_all(r.pair[0], data, 28);                   /* no magic */
    ck_assert_int_eq(read(r.pair[0], data, 1), 0);
    ck_assert_int_eq(relay_end(&r), EPROTO);
}
END_TEST

/* From 5.14 on, a device without an identifier is nobody's of ours. */
START_TEST(test_kernels)
{
    ck_assert(colo__nbd_tells("6.1.0-37-amd64"));
    ck_assert(colo__nbd_tells("5.14.0"));
    ck_assert(!colo__nbd_tells("5.13.19-2-pve"));
    ck_assert(!colo__nbd_tells("5.4.0"));
    ck_assert(!colo__nbd_tells("4.19.0"));
    ck_assert(!colo__nbd_tells("strange"));
}
END_TEST

PURE_MAIN("disk-nbd", test_kernels, test_good_server, test_bad_servers, test_relay_io,
          test_relay_long, test_relay_refuses)
