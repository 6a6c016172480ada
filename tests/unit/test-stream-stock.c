/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A sender to a stock backup, against a thread that greets as xl does and reads
 * what comes as stock Xen would; and against peers that do something else.
 */
#include <fcntl.h>
#include <poll.h>

#include "link-pair.h"
#include "stream-common.h"

#include "../../remus-compat/stock-send.h"
#include "../../remus-compat/stream-convert.h"
#include "../../remus-compat/stream-epoch.h"
#include "../../remus-compat/xl-header.h"

#define CONFIG "{ \"c_info\": { \"name\": \"guest\" } }"

static struct colo_error err;
static struct stream seed;
static uint8_t container[4096];
static uint32_t container_len;

/* ---- the peer ------------------------------------------------------------- */

struct peer {
    int fd;
    const char *banner;
    uint64_t stop_after; /* bytes; then it reads no more, until told */
    bool close_then;     /* or closes */
    bool seeded;
    /* what it has seen */
    char config[256];
    uint64_t bytes, checkpoints;
    int pages, gone, machines, wrong;
    uint64_t frames; /* sum of those of checkpoints */
    uint8_t last_page;
    int rc;
    struct colo_error err;
    pthread_t thread;
};

static bool read_xl(struct peer *peer)
{
    uint8_t header[COLO_XL_HEADER], rest[512];
    const char *config = NULL;
    uint32_t len = 0;

    if (!read_fully(peer->fd, header, sizeof(header)) ||
        colo__xl_header(header, sizeof(header), &len, &peer->err) < 0 ||
        len > sizeof(rest) || !read_fully(peer->fd, rest, len) ||
        colo__xl_config(rest, len, &config, &peer->err))
        return false;
    snprintf(peer->config, sizeof(peer->config), "%s", config);
    return true;
}

static void take_item(struct peer *peer, const struct colo_stream_item *item,
                      struct colo_stream_gather *gather)
{
    uint32_t len = 0;

    if (item->kind == COLO_ITEM_PAGE) {
        peer->pages++;
        peer->last_page = item->body[17];
        if (peer->seeded) {
            peer->wrong += colo__le64(item->body) !=
                           colo__stream_pfn(item->entry);
            peer->frames += colo__stream_pfn(item->entry);
        }
    }
    for (uint32_t i = 0; i < item->count; i++)
        peer->gone += colo__stream_page_type(item->entries[i]) ==
                      COLO_PAGE_NONE;
    (void)colo__stream_gather_add(gather, item, &peer->err);
    if (!colo__stream_first_done(item))
        return;
    /* the seed's machine is no real one */
    peer->machines += !colo__stream_gather_end(gather, &len, &peer->err);
    peer->seeded = true;
}

static void *peer_run(void *arg)
{
    struct peer *peer = arg;
    static struct colo_stream_reader reader;
    static uint8_t buf[1024 * 1024], machine[64 * 1024];
    struct colo_stream_gather gather;
    size_t pos = 0, len = 0;

    (void)!write(peer->fd, peer->banner, strlen(peer->banner));
    if (!read_xl(peer))
        return NULL;
    colo__stream_gather_init(&gather, machine, sizeof(machine));
    colo__stream_reader_init(&reader, COLO_STREAM_REMUS, NULL);
    while (!peer->stop_after || peer->bytes < peer->stop_after) {
        struct colo_stream_item item;
        int used = colo__stream_read(&reader, buf + pos, len - pos, &item,
                                     &peer->err);
        ssize_t n;

        if (used < 0) {
            peer->rc = used;
            return NULL;
        }
        if (used) {
            take_item(peer, &item, &gather);
            pos += (size_t)used;
            continue;
        }
        memmove(buf, buf + pos, len - pos);
        len -= pos;
        pos = 0;
        n = read(peer->fd, buf + len, sizeof(buf) - len);
        if (n <= 0)
            break;
        len += (size_t)n;
        peer->bytes += (uint64_t)n;
    }
    peer->checkpoints = reader.checkpoints;
    if (peer->close_then)
        close(peer->fd);
    return NULL;
}

/* the sender's end */
static struct colo_stock *start(struct peer *peer, bool tcp)
{
    struct colo_stock *stock = NULL;
    int fd[2], small = 16384;

    if (tcp)
        tcp_pair(fd);
    else
        unix_pair(fd);
    setsockopt(fd[1], SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    peer->fd = fd[1];
    if (!peer->banner)
        peer->banner = COLO_XL_BANNER;
    ck_assert_int_eq(colo__stock_open(fd[0], &stock, &err), 0);
    ck_assert_int_eq(pthread_create(&peer->thread, NULL, peer_run, peer), 0);
    return stock;
}

static void finish(struct peer *peer, struct colo_stock *stock)
{
    colo__stock_close(stock);
    pthread_join(peer->thread, NULL);
}

/* ---- what is sent ---------------------------------------------------------- */

static void make_container(void)
{
    static const struct colo_hvmctx_param params[] = { { 36, 8 } };
    uint32_t room = colo__hvmctx_room(1), len = room;
    static const uint32_t records[][2] = { { 1, 24 }, { 2, 1032 }, { 0, 0 } };

    for (size_t i = 0; i < COLO_ARRAY_LEN(records); i++) {
        memset(container + len, 0, 8 + records[i][1]);
        colo__put_le(container + len, records[i][0], 2);
        colo__put_le(container + len + 4, records[i][1], 4);
        len += 8 + records[i][1];
    }
    colo__hvmctx_put_header(container, 4 << 16 | 17, params, 1, len - room);
    container_len = len;
}

struct source {
    size_t pos, step, end;
};

static int read_seed(void *user, uint8_t *buf, size_t cap,
                     struct colo_error *e)
{
    struct source *source = user;
    size_t n = source->end - source->pos;

    (void)e;
    n = n > source->step ? source->step : n;
    n = n > cap ? cap : n;
    memcpy(buf, seed.bytes + source->pos, n);
    source->pos += n;
    return (int)n;
}

static int send_seed(struct colo_stock *stock, size_t step)
{
    struct source source = { .step = step, .end = seed.len };

    return colo__stock_seed(stock, COLO_STREAM_PLAIN, read_seed, &source,
                            2000 * SLOW, &err);
}

static int greet(struct colo_stock *stock)
{
    return colo__stock_greet(stock, CONFIG, sizeof(CONFIG) - 1, 2000 * SLOW,
                             &err);
}

#define PAGES 1500u /* more than one record takes */

static int send_epoch(struct colo_stock *stock, uint32_t pages, int fill,
                      uint32_t timeout_ms)
{
    static const uint64_t gone[] = { 100000, 100001, 100002 };
    uint64_t *gfns = calloc(pages, sizeof(*gfns));
    uint8_t *bytes = malloc((size_t)pages * COLO_PAGE_SIZE);
    int rc;

    memset(bytes, fill, (size_t)pages * COLO_PAGE_SIZE);
    /* each page says whose it is */
    for (uint32_t i = 0; i < pages; i++) {
        gfns[i] = 3 * i;
        colo__put_le(bytes + (size_t)i * COLO_PAGE_SIZE, gfns[i], 8);
    }
    rc = colo__stock_pages(stock, gfns, bytes, pages, timeout_ms, &err);
    if (!rc)
        rc = colo__stock_gone(stock, gone, 3, timeout_ms, &err);
    if (!rc)
        rc = colo__stock_commit(stock, container, container_len, NULL, 0,
                                timeout_ms, &err);
    free(gfns);
    free(bytes);
    return rc;
}

static void setup(void)
{
    stream_make(&seed, COLO_STREAM_HVM, COLO_STREAM_PLAIN, 1);
    make_container();
}

/* ---- ---------------------------------------------------------------------- */

static void check_all(bool tcp, size_t step)
{
    struct peer peer = { .fd = -1 };
    struct colo_stock *stock = start(&peer, tcp);

    ck_assert_str_eq(colo__stock_word(stock),
                     tcp ? "unacknowledged" : "written");
    ck_assert_msg(!greet(stock), "%s", err.text);
    ck_assert_msg(!send_seed(stock, step), "%s", err.text);
    ck_assert_msg(!send_epoch(stock, 10, 1, 5000 * SLOW), "%s", err.text);
    ck_assert_msg(!send_epoch(stock, PAGES, 2, 5000 * SLOW), "%s", err.text);
    ck_assert_msg(!send_epoch(stock, 0, 0, 5000 * SLOW), "%s", err.text);
    finish(&peer, stock);
    ck_assert_msg(!peer.rc, "%s", peer.err.text);
    ck_assert_str_eq(peer.config, CONFIG);
    ck_assert_uint_eq(peer.checkpoints, 4);
    ck_assert_int_eq(peer.pages, 4 + 10 + (int)PAGES);
    ck_assert_int_eq(peer.gone, 1 + 3 * 3);
    ck_assert_int_eq(peer.machines, 3);
    ck_assert_int_eq(peer.last_page, 2);
    ck_assert_int_eq(peer.wrong, 0);
    ck_assert_uint_eq(peer.frames, 3 * (9 * 10 + PAGES * (PAGES - 1)) / 2);
    close(peer.fd);
}

START_TEST(test_whole)
{
    setup();
    check_all(true, 100000);
    check_all(false, 100000);
    check_all(true, 333);
}
END_TEST

/* not before all of it is there */
START_TEST(test_commit_waits)
{
    struct peer peer = { .stop_after = 1024 * 1024 };
    struct colo_stock *stock;
    uint64_t before;

    setup();
    stock = start(&peer, true);
    ck_assert_int_eq(greet(stock), 0);
    ck_assert_int_eq(send_seed(stock, 100000), 0);
    before = now_ms();
    ck_assert_int_eq(send_epoch(stock, PAGES, 2, 300), COLO_E_PEER);
    ck_assert_uint_ge(now_ms() - before, 300);
    /* and then it is over */
    ck_assert_int_eq(send_epoch(stock, 1, 2, 300), COLO_E_STATE);
    ck_text(err, "after an error");
    finish(&peer, stock);
    ck_assert_uint_eq(peer.checkpoints, 1);
    close(peer.fd);
}
END_TEST

/* A small checkpoint that is written at once, and a peer that does not read: on
 * TCP its kernel has it, which is as much as can be known; of ssh nothing is
 * known before it has taken it. */
START_TEST(test_written_is_not_committed)
{
    for (int tcp = 0; tcp < 2; tcp++) {
        struct peer peer = { .fd = -1 };
        struct colo_stock *stock;

        setup();
        peer.stop_after = seed.len;
        stock = start(&peer, tcp);
        ck_assert_int_eq(greet(stock), 0);
        ck_assert_int_eq(send_seed(stock, 100000), 0);
        ck_assert_int_eq(send_epoch(stock, 1, 2, 300), tcp ? 0 : COLO_E_PEER);
        if (!tcp)
            ck_text(err, "acknowledged nothing for 300 ms");
        finish(&peer, stock);
        close(peer.fd);
    }
}
END_TEST

START_TEST(test_peer_closes)
{
    struct peer peer = { .stop_after = 300000, .close_then = true };
    struct colo_stock *stock;
    uint64_t before = now_ms();

    setup();
    stock = start(&peer, true);
    ck_assert_int_eq(greet(stock), 0);
    ck_assert_int_eq(send_seed(stock, 100000), 0);
    ck_assert_int_eq(send_epoch(stock, PAGES, 2, 20000), COLO_E_PEER);
    ck_assert_uint_lt(now_ms() - before, 10000 * SLOW);
    finish(&peer, stock);
}
END_TEST

START_TEST(test_greeting)
{
    struct peer noisy = { .banner = "Welcome to host 2\n" };
    struct peer silent = { .banner = "xl migration receiver ready, " };
    struct colo_stock *stock;

    setup();
    stock = start(&noisy, true);
    ck_assert_int_eq(send_seed(stock, 1000), COLO_E_STATE);
    ck_text(err, "before greeting");
    ck_assert_int_eq(send_epoch(stock, 1, 1, 100), COLO_E_STATE);
    ck_assert_int_eq(colo__stock_greet(stock, CONFIG, 5, 100, &err),
                     COLO_E_LIMIT);
    ck_assert_int_eq(greet(stock), COLO_E_PROTO);
    ck_assert_int_eq(greet(stock), COLO_E_STATE);
    finish(&noisy, stock);
    close(noisy.fd);
    stock = start(&silent, true);
    ck_assert_int_eq(colo__stock_greet(stock, CONFIG, sizeof(CONFIG) - 1, 100,
                                       &err), COLO_E_TIMEOUT);
    finish(&silent, stock);
    close(silent.fd);
}
END_TEST

/* What libxl saved is read before it goes on. */
START_TEST(test_bad_seed)
{
    for (int i = 0; i < 2; i++) {
        struct peer peer = { .fd = -1 };
        struct colo_stock *stock;

        setup();
        if (i == 0)
            seed.len -= 20;
        else
            colo__put_le(seed.bytes + seed.checkpoint, 0x77, 4);
        stock = start(&peer, true);
        ck_assert_int_eq(greet(stock), 0);
        ck_assert_int_eq(send_seed(stock, 5000),
                         i == 0 ? COLO_E_HV : COLO_E_UNSUPPORTED);
        ck_assert_int_eq(send_epoch(stock, 1, 1, 100), COLO_E_STATE);
        finish(&peer, stock);
        ck_assert_uint_eq(peer.checkpoints, 0);
        close(peer.fd);
    }
}
END_TEST

START_TEST(test_bad_machine)
{
    struct peer peer = { .fd = -1 };
    struct colo_stock *stock;

    setup();
    stock = start(&peer, true);
    ck_assert_int_eq(greet(stock), 0);
    ck_assert_int_eq(send_seed(stock, 100000), 0);
    ck_assert_int_eq(colo__stock_commit(stock, container, container_len - 1,
                                        NULL, 0, 100, &err), COLO_E_CORRUPT);
    finish(&peer, stock);
    ck_assert_uint_eq(peer.checkpoints, 1);
    close(peer.fd);
}
END_TEST

START_TEST(test_open)
{
    struct colo_stock *stock = NULL;
    int fd[2];

    ck_assert_int_eq(pipe2(fd, O_CLOEXEC), 0);
    ck_assert_int_lt(colo__stock_open(fd[1], &stock, &err), 0);
    ck_assert_ptr_null(stock);
    colo__stock_close(NULL);
    close(fd[0]);
}
END_TEST

PURE_MAIN("stream-stock", test_whole, test_commit_waits,
          test_written_is_not_committed, test_peer_closes, test_greeting,
          test_bad_seed, test_bad_machine, test_open)
