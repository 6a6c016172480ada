/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The jobs that carry the seed from one pipe to another: everything arrives,
 * in few and packed messages and without delay, and nothing of a piece that
 * is damaged.
 */
#include "pure-common.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "engine/receive.h"
#include "engine/seed-pipe.h"
#include "engine/transfer.h"
#include "pure/seed-pack.h"

#define IMAGE (1024u * 1024u)
#define PIECE 4096u

static const uint8_t id[16] = "fifteen and one";
static uint8_t image[IMAGE], got[IMAGE + 1];

struct copy {
    struct colo_transfer tx;
    struct colo_receive rx;
    struct colo_link *a, *b;
    int from, to;     /* the toolstacks' ends */
    int raw;          /* in the place of a */
    int tx_rc, rx_rc;
    struct colo_error tx_err, rx_err;
    bool sending;
    pthread_t tx_thread, rx_thread;
};

static void *tx_main(void *arg)
{
    struct copy *c = arg;

    c->tx_rc = colo__transfer_seed_job(&c->tx, &c->tx_err);
    return NULL;
}

static void *rx_main(void *arg)
{
    struct copy *c = arg;

    c->rx_rc = colo__receive_seed_job(&c->rx, &c->rx_err);
    return NULL;
}

/* sends: else the test does, at raw */
static void setup(struct copy *c, bool sends, int compress)
{
    struct colo_error *err = &c->tx_err;
    int fds[2], in[2], out[2];

    memset(c, 0, sizeof(*c));
    signal(SIGPIPE, SIG_IGN);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    ck_assert_int_eq(colo__link_fd_new(fds[1], &c->b, err), 0);
    ck_assert_int_eq(colo__receive_init(&c->rx, c->b, NULL,
                                        &colo__clock_monotonic, err), 0);
    ck_assert_int_eq(colo__seed_pipe(true, in, err), 0);
    memcpy(c->rx.session, id, 16);
    c->rx.seed_fd = in[1];
    c->to = in[0];
    c->raw = -1;
    if (!sends) {
        c->raw = fds[0];
        return;
    }
    ck_assert_int_eq(colo__link_fd_new(fds[0], &c->a, err), 0);
    ck_assert_int_eq(colo__transfer_init(&c->tx, c->a, NULL,
                                         &colo__clock_monotonic, 5000,
                                         compress, 0, err), 0);
    ck_assert_int_eq(colo__seed_pipe(false, out, err), 0);
    memcpy(c->tx.session, id, 16);
    c->tx.seed_fd = out[0];
    c->from = out[1];
}

static void start(struct copy *c)
{
    ck_assert_int_eq(pthread_create(&c->rx_thread, NULL, rx_main, c), 0);
    if (c->raw >= 0)
        return;
    ck_assert_int_eq(pthread_create(&c->tx_thread, NULL, tx_main, c), 0);
    c->sending = true;
}

static void join_sender(struct copy *c)
{
    if (c->sending)
        ck_assert_int_eq(pthread_join(c->tx_thread, NULL), 0);
    c->sending = false;
}

/* Reads until the restore's pipe ends; how much it was. */
static size_t restore(struct copy *c)
{
    size_t n = 0;
    ssize_t r;

    while ((r = read(c->to, got + n, sizeof(got) - n)) > 0)
        n += (size_t)r;
    ck_assert_int_eq(r, 0);
    return n;
}

static void finish(struct copy *c)
{
    ck_assert_int_eq(pthread_join(c->rx_thread, NULL), 0);
    join_sender(c);
    if (c->raw < 0) {
        colo__transfer_fini(&c->tx);
        colo__link_ops(c->a)->close(c->a);
    } else {
        close(c->raw);
    }
    colo__receive_fini(&c->rx);
    colo__link_ops(c->b)->close(c->b);
    close(c->to);
}

/* a quarter of it noise */
static void make_image(void)
{
    uint64_t state = 3;

    memset(image, 0, IMAGE);
    pure_random_fill(&state, image + IMAGE / 2, IMAGE / 4);
}

static void *save_main(void *arg)
{
    struct copy *c = arg;

    for (size_t at = 0; at < IMAGE; at += 7 * PIECE / 2) {
        size_t left = IMAGE - at, n = left < 7 * PIECE / 2 ? left
                                                           : 7 * PIECE / 2;

        ck_assert_int_eq(write(c->from, image + at, n), (ssize_t)n);
    }
    close(c->from);
    return NULL;
}

static uint64_t carry(int compress)
{
    struct copy c;
    pthread_t saver;

    setup(&c, true, compress);
    start(&c);
    ck_assert_int_eq(pthread_create(&saver, NULL, save_main, &c), 0);
    ck_assert_uint_eq(restore(&c), IMAGE);
    ck_assert_mem_eq(got, image, IMAGE);
    ck_assert_int_eq(pthread_join(saver, NULL), 0);
    finish(&c);
    ck_assert_int_eq(c.tx_rc, 0);
    ck_assert_int_eq(c.rx_rc, 0);
    /* progress is of the guest, not of the wire */
    ck_assert_uint_eq(atomic_load(&c.tx.seed_bytes), IMAGE);
    ck_assert_uint_eq(atomic_load(&c.rx.seed_bytes), IMAGE);
    return c.tx.wire_bytes;
}

START_TEST(zeros_do_not_travel)
{
    make_image();
    ck_assert_uint_gt(carry(0), IMAGE);
    ck_assert_uint_lt(carry(-1), IMAGE / 3);
    ck_assert_uint_lt(carry(1), IMAGE / 3);
}
END_TEST

/* What the toolstack wrote in small pieces goes as one, once it is there; and
 * the last of it waits for nothing. */
START_TEST(what_is_there_goes_at_once)
{
    struct copy c;

    make_image();
    setup(&c, true, 0);
    for (size_t at = 0; at < 16 * PIECE; at += PIECE / 4)
        ck_assert_int_eq(write(c.from, image + at, PIECE / 4), PIECE / 4);
    start(&c);
    for (size_t n = 0; n < 16 * PIECE; n += PIECE)
        ck_assert_int_eq(read(c.to, got, PIECE), PIECE);
    for (int i = 0; i < 3; i++) { /* from is open: no end is near */
        struct pollfd pfd = { .fd = c.to, .events = POLLIN };

        ck_assert_int_eq(write(c.from, "last", 4), 4);
        ck_assert_int_eq(poll(&pfd, 1, 5000), 1);
        ck_assert_int_eq(read(c.to, got, 10), 4);
    }
    close(c.from);
    ck_assert_uint_eq(restore(&c), 0);
    finish(&c);
    ck_assert_int_eq(c.rx_rc, 0);
    ck_assert_uint_eq(atomic_load(&c.tx.seed_bytes), 16 * PIECE + 12);
    /* ATTACH with its body, one piece, three short ones, SEED_END */
    ck_assert_uint_eq(c.tx.wire_bytes,
                      6 * COLO_WIRE_HEADER + 16 + 16 * PIECE + 12);
}
END_TEST

/* Told to end, it does, and no backup takes what came for the whole: also
 * where the toolstack's end comes at once. */
START_TEST(told_to_end)
{
    struct timespec while_it_waits = { .tv_nsec = 50000000 };
    struct copy c;

    setup(&c, true, 0);
    ck_assert_int_eq(write(c.from, "some", 4), 4);
    start(&c);
    ck_assert_int_eq(read(c.to, got, 10), 4);
    nanosleep(&while_it_waits, NULL);
    atomic_store(&c.tx.abort, true);
    close(c.from);
    join_sender(&c);
    ck_assert_int_eq(c.tx_rc, COLO_E_STATE);
    ck_assert_str_eq(c.tx_err.text, "seed aborted");
    colo__link_ops(c.a)->shutdown(c.a);
    ck_assert_uint_eq(restore(&c), 0);
    finish(&c);
    ck_assert_int_eq(c.rx_rc, COLO_E_PEER);
}
END_TEST

/* ---- what a peer sends -------------------------------------------------- */

static void say(struct copy *c, uint32_t type, uint64_t value,
                const void *body, uint32_t len, size_t spoil)
{
    static uint8_t buf[COLO_WIRE_HEADER + COLO_WIRE_SEED_CHUNK];
    struct colo_msg msg = { .type = type, .value = value, .len = len,
                            .body = buf + COLO_WIRE_HEADER };

    if (len)
        memcpy(buf + COLO_WIRE_HEADER, body, len);
    ck_assert_int_eq(colo__wire_build(&msg, buf, NULL), 0);
    if (spoil)
        buf[spoil] ^= 1;
    ck_assert_int_eq(send(c->raw, buf, COLO_WIRE_HEADER + len, 0),
                     (ssize_t)(COLO_WIRE_HEADER + len));
}

/* A good piece, then one that is not; of this nothing is handed on. */
static void bad_piece(uint64_t value, const uint8_t *body, uint32_t len,
                      size_t spoil, int code, const char *text)
{
    struct copy c;

    setup(&c, false, 0);
    start(&c);
    say(&c, COLO_MSG_ATTACH, 0, id, 16, 0);
    say(&c, COLO_MSG_SEED_DATA, 0, "good", 4, 0);
    say(&c, COLO_MSG_SEED_DATA, value, body, len, spoil);
    ck_assert_int_eq(shutdown(c.raw, SHUT_WR), 0); /* or it waits for more */
    ck_assert_uint_eq(restore(&c), 4);
    finish(&c);
    ck_assert_msg(c.rx_rc == code, "%d: %s", c.rx_rc, c.rx_err.text);
    ck_text(c.rx_err, text);
    ck_assert_uint_eq(atomic_load(&c.rx.seed_bytes), 4);
}

START_TEST(nothing_of_a_damaged_piece)
{
    static struct colo_delta_scratch scratch;
    static uint8_t packed[PIECE];
    uint32_t n;

    make_image();
    n = colo__seed_pack(&scratch, image + IMAGE / 2 - PIECE / 2, PIECE,
                        packed);
    ck_assert_uint_gt(n, 1000);
    bad_piece(PIECE, packed, n, COLO_WIRE_HEADER + 700, COLO_E_CORRUPT,
              "checksum of SEED_DATA");
    bad_piece(PIECE + 1, packed, n, 0, COLO_E_CORRUPT, "does not unpack");
    bad_piece(PIECE - 1, packed, n, 0, COLO_E_CORRUPT, "does not unpack");
    bad_piece(PIECE, packed, n - 5, 0, COLO_E_CORRUPT, "does not unpack");
    bad_piece(UINT64_C(1) << 40, packed, n, 0, COLO_E_PROTO, "a piece of");
    bad_piece(0, packed, 0, 0, COLO_E_PROTO, "a piece of");
}
END_TEST

/* The total is that of the unpacked pieces. */
START_TEST(one_that_is_missing)
{
    static struct colo_delta_scratch scratch;
    static uint8_t packed[PIECE];
    uint32_t n;

    memset(image, 0, sizeof(image));
    n = colo__seed_pack(&scratch, image, PIECE, packed);
    ck_assert_uint_gt(n, 0);
    for (int lost = 0; lost < 2; lost++) {
        struct copy c;

        setup(&c, false, 0);
        start(&c);
        say(&c, COLO_MSG_ATTACH, 0, id, 16, 0);
        say(&c, COLO_MSG_SEED_DATA, PIECE, packed, n, 0);
        say(&c, COLO_MSG_SEED_END, PIECE << lost, NULL, 0, 0);
        ck_assert_uint_eq(restore(&c), PIECE);
        finish(&c);
        ck_assert_int_eq(c.rx_rc, lost ? COLO_E_CORRUPT : 0);
    }
}
END_TEST

PURE_MAIN("seed-copy", zeros_do_not_travel, what_is_there_goes_at_once,
          told_to_end, nothing_of_a_damaged_piece,
          one_that_is_missing)
