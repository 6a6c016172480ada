/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A receiver from a stock primary: what xl says, the seed as libxl takes it,
 * epochs as libcolo has them; silence, ends and nonsense.  The other end is a
 * thread that writes prepared bytes, or remus-compat's own sender.
 */
#include "link-pair.h"
#include "stream-common.h"

#include "../../remus-compat/stock-receive.h"
#include "../../remus-compat/stock-send.h"
#include "../../remus-compat/stream-epoch.h"
#include "../../remus-compat/xl-header.h"

#define CONFIG "{ \"c_info\": { } }"
#define MS (3000 * SLOW)

static struct colo_error err;
static struct stream s, plain;
static struct colo_epoch epoch;
static uint8_t container[4096];
static uint32_t container_len;

static void make_container(uint32_t devices)
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
    if (devices) {
        colo__hvmctx_put_devices(container, container + len, devices);
        len += COLO_HVMCTX_DEVICES;
        memset(container + len, 'd', devices);
        memcpy(container + len, "QEVM", 4);
        len += devices;
    }
    container_len = len;
}

/* a checkpoint with one page for each frame, filled with its number */
static void put_epoch(const uint64_t *gfns, uint32_t count)
{
    struct iovec parts[COLO_STREAM_TAIL_PARTS];
    uint8_t room[COLO_STREAM_TAIL_ROOM];
    int n = 0;

    colo__stream_out_frames(&s.out, gfns, count, false);
    for (uint32_t i = 0; i < count; i++)
        stream_raw(&s, (int)(gfns[i] + i), COLO_PAGE_SIZE);
    colo__stream_out_frames(&s.out, (uint64_t[]){ 500, 501 }, 2, true);
    ck_assert_int_eq(colo__stream_tail(container, container_len, NULL, 0, room,
                                       parts, &n, &err), 0);
    for (int i = 0; i < n; i++) {
        memcpy(s.bytes + s.out.len, parts[i].iov_base, parts[i].iov_len);
        s.out.len += parts[i].iov_len;
    }
}

/* the seed, with its stand-in for a machine */
static void begin(uint8_t guest)
{
    stream_make(&plain, guest, COLO_STREAM_PLAIN, 1);
    stream_begin(&s);
    stream_head(&s, guest);
    stream_round(&s, guest, COLO_STREAM_REMUS, guest == COLO_STREAM_HVM,
                 true);
}

struct writer {
    int fd;
    size_t from, to;
    pthread_t thread;
};

static void *write_run(void *arg)
{
    struct writer *w = arg;

    while (w->from < w->to) {
        ssize_t n = send(w->fd, s.bytes + w->from, w->to - w->from,
                         MSG_NOSIGNAL);

        if (n <= 0)
            break;
        w->from += (size_t)n;
    }
    return NULL;
}

static struct colo_stock_rx *start(struct writer *w, uint64_t max_pfn)
{
    struct colo_stock_rx *rx = NULL;
    int fd[2];

    tcp_pair(fd);
    w->fd = fd[1];
    w->from = 0;
    ck_assert_int_eq(colo__stock_rx_open(fd[0], max_pfn, &rx, &err), 0);
    return rx;
}

static void feed(struct writer *w, size_t to)
{
    w->to = to;
    ck_assert_int_eq(pthread_create(&w->thread, NULL, write_run, w), 0);
}

static void finish(struct writer *w, struct colo_stock_rx *rx)
{
    colo__stock_rx_close(rx);
    pthread_join(w->thread, NULL);
    close(w->fd);
}

struct sink {
    uint8_t bytes[STREAM_ROOM];
    size_t len;
    int rc;
};

static struct sink sink;

static int take(void *user, const uint8_t *bytes, size_t len,
                struct colo_error *e)
{
    struct sink *k = user;

    if (k->rc)
        return colo__fail(e, k->rc, 0, "sink", "no");
    ck_assert_uint_le(len, sizeof(k->bytes) - k->len);
    memcpy(k->bytes + k->len, bytes, len);
    k->len += len;
    return 0;
}

static int seed(struct colo_stock_rx *rx)
{
    sink.len = 0;
    sink.rc = 0;
    return colo__stock_rx_seed(rx, take, &sink, MS, &err);
}

static int next_epoch(struct colo_stock_rx *rx, uint64_t number,
                      uint32_t timeout_ms)
{
    colo__epoch_reset(&epoch, number, UINT64_MAX);
    return colo__stock_rx_epoch(rx, &epoch, timeout_ms, &err);
}

static void check_machine(uint32_t devices)
{
    struct colo_hvmctx ctx;

    ck_assert_int_eq(colo__hvmctx_parse(epoch.state, epoch.state_len, &ctx,
                                        &err), 0);
    ck_assert_uint_eq(ctx.xen_version, 4 << 16 | 17);
    ck_assert_uint_eq(ctx.devices_len, devices);
    ck_assert_uint_eq(ctx.params[2].value, 8);
}

START_TEST(test_epochs)
{
    static const uint64_t first[] = { 3, 1, 0xfff, 3 }, second[] = { 9 };
    struct colo_stock_rx *rx;
    struct writer w;

    begin(COLO_STREAM_HVM);
    make_container(100);
    put_epoch(first, 4);
    make_container(0);
    put_epoch(second, 1);
    stream_end(&s);
    rx = start(&w, 0);
    ck_assert_int_eq(next_epoch(rx, 1, 100), COLO_E_STATE);
    feed(&w, s.len);
    ck_assert_msg(!seed(rx), "%s", err.text);
    ck_assert_uint_eq(sink.len, plain.len);
    ck_assert_mem_eq(sink.bytes, plain.bytes, plain.len);
    ck_assert_msg(!next_epoch(rx, 1, MS), "%s", err.text);
    ck_assert_uint_eq(epoch.count, 4);
    ck_assert_uint_eq(epoch.gone_count, 0);
    for (uint32_t i = 0; i < 4; i++) {
        ck_assert_uint_eq(epoch.gfns[i], first[i]);
        ck_assert_uint_eq(colo__epoch_page(&epoch, i)[4095],
                          (first[i] + i) & 0xff);
    }
    check_machine(100);
    ck_assert_int_eq(next_epoch(rx, 2, MS), 0);
    ck_assert_uint_eq(epoch.count, 1);
    check_machine(0);
    finish(&w, rx);
}
END_TEST

/* Silence between checkpoints may be waited out; in one it may not. */
START_TEST(test_silence)
{
    static const uint64_t gfns[] = { 3 };
    struct colo_stock_rx *rx;
    struct writer w;
    size_t first, half;

    begin(COLO_STREAM_HVM);
    first = s.out.len;
    make_container(0);
    put_epoch(gfns, 1);
    half = first + 2000;
    stream_end(&s);
    rx = start(&w, 0);
    feed(&w, first);
    ck_assert_int_eq(seed(rx), 0);
    ck_assert_int_eq(next_epoch(rx, 1, 50), COLO_E_TIMEOUT);
    ck_assert_int_eq(next_epoch(rx, 1, 50), COLO_E_TIMEOUT);
    pthread_join(w.thread, NULL);
    feed(&w, half);
    ck_assert_int_eq(next_epoch(rx, 1, 200), COLO_E_TIMEOUT);
    ck_assert_int_eq(next_epoch(rx, 1, 50), COLO_E_STATE);
    finish(&w, rx);
}
END_TEST

/* the sender ends: in the seed, between checkpoints, in one */
START_TEST(test_sender_ends)
{
    static const uint64_t gfns[] = { 3 };
    size_t ends[3];

    begin(COLO_STREAM_HVM);
    ends[0] = s.out.len - 8;
    ends[1] = s.out.len;
    make_container(0);
    put_epoch(gfns, 1);
    ends[2] = s.out.len - 8;
    stream_end(&s);
    for (int i = 0; i < 3; i++) {
        struct writer w;
        struct colo_stock_rx *rx = start(&w, 0);

        feed(&w, ends[i]);
        pthread_join(w.thread, NULL);
        shutdown(w.fd, SHUT_WR);
        ck_assert_int_eq(seed(rx), i ? 0 : COLO_E_PEER);
        ck_assert_int_eq(next_epoch(rx, 1, MS), i ? COLO_E_PEER :
                         COLO_E_STATE);
        colo__stock_rx_close(rx);
        close(w.fd);
    }
}
END_TEST

START_TEST(test_limits)
{
    static const uint64_t gfns[] = { 1, 2, 3, 4 };
    struct colo_epoch small = { 0 };
    struct colo_stock_rx *rx;
    struct writer w;

    begin(COLO_STREAM_HVM);
    make_container(0);
    put_epoch(gfns, 4);
    stream_end(&s);
    ck_assert_int_eq(colo__epoch_init(&small, 3, &err), 0);
    rx = start(&w, 0);
    feed(&w, s.len);
    ck_assert_int_eq(seed(rx), 0);
    ck_assert_int_eq(colo__stock_rx_epoch(rx, &small, MS, &err),
                     COLO_E_LIMIT);
    ck_assert_uint_eq(small.count, 3);
    colo__epoch_fini(&small);
    finish(&w, rx);
    /* a frame that this guest cannot have */
    rx = start(&w, 0xfee00 - 1);
    feed(&w, s.len);
    ck_assert_int_eq(seed(rx), COLO_E_PROTO);
    finish(&w, rx);
}
END_TEST

START_TEST(test_nonsense)
{
    static const uint64_t gfns[] = { 1 };
    struct colo_stock_rx *rx;
    struct writer w;
    size_t at;

    /* a machine that is none: the stand-in of the seed */
    begin(COLO_STREAM_HVM);
    stream_round(&s, COLO_STREAM_HVM, COLO_STREAM_REMUS, true, false);
    stream_end(&s);
    rx = start(&w, 0);
    feed(&w, s.len);
    ck_assert_int_eq(seed(rx), 0);
    ck_assert_int_eq(next_epoch(rx, 1, MS), COLO_E_CORRUPT);
    finish(&w, rx);
    /* a record of nobody's */
    begin(COLO_STREAM_HVM);
    at = s.out.len;
    make_container(0);
    put_epoch(gfns, 1);
    stream_end(&s);
    s.bytes[at] = 0x66;
    rx = start(&w, 0);
    feed(&w, s.len);
    ck_assert_int_eq(seed(rx), 0);
    ck_assert_int_eq(next_epoch(rx, 1, MS), COLO_E_UNSUPPORTED);
    ck_assert_int_eq(next_epoch(rx, 1, MS), COLO_E_STATE);
    finish(&w, rx);
    /* whoever takes the seed says no */
    rx = start(&w, 0);
    feed(&w, s.len);
    sink.rc = COLO_E_HV;
    ck_assert_int_eq(colo__stock_rx_seed(rx, take, &sink, MS, &err),
                     COLO_E_HV);
    finish(&w, rx);
}
END_TEST

START_TEST(test_pv)
{
    struct colo_stock_rx *rx;
    struct writer w;

    begin(COLO_STREAM_PV);
    stream_end(&s);
    rx = start(&w, 0);
    feed(&w, s.len);
    ck_assert_int_eq(seed(rx), 0);
    ck_assert_mem_eq(sink.bytes, plain.bytes, plain.len);
    ck_assert_int_eq(next_epoch(rx, 1, MS), COLO_E_UNSUPPORTED);
    finish(&w, rx);
}
END_TEST

static int greet_with(size_t at, uint8_t value, char **ret)
{
    uint8_t bytes[COLO_XL_HEADER + 4 + sizeof(CONFIG)];
    struct colo_stock_rx *rx;
    char banner[COLO_XL_BANNER_LEN];
    struct writer w;
    int rc;

    ck_assert_int_eq(colo__xl_put_header(bytes, sizeof(CONFIG), NULL), 0);
    memcpy(bytes + COLO_XL_HEADER + 4, CONFIG, sizeof(CONFIG));
    if (at < sizeof(bytes))
        bytes[at] = value;
    rx = start(&w, 0);
    ck_assert_int_eq(write(w.fd, bytes, sizeof(bytes)),
                     (ssize_t)sizeof(bytes));
    rc = colo__stock_rx_greet(rx, ret, MS, &err);
    ck_assert_int_eq(recv(w.fd, banner, sizeof(banner), MSG_WAITALL),
                     (ssize_t)sizeof(banner));
    ck_assert_mem_eq(banner, COLO_XL_BANNER, sizeof(banner));
    colo__stock_rx_close(rx);
    close(w.fd);
    return rc;
}

START_TEST(test_greet)
{
    char *config = NULL;

    ck_assert_int_eq(greet_with(1000, 0, &config), 0);
    ck_assert_str_eq(config, CONFIG);
    free(config);
    config = NULL;
    ck_assert_int_eq(greet_with(0, 'Y', &config), COLO_E_PROTO);
    ck_assert_int_eq(greet_with(36, 1, &config), COLO_E_UNSUPPORTED);
    ck_assert_int_eq(greet_with(48, 200, &config), COLO_E_PROTO);
    ck_assert_ptr_null(config);
}
END_TEST

/* ---- our sender and our receiver ------------------------------------------ */

static int read_plain(void *user, uint8_t *buf, size_t cap,
                      struct colo_error *e)
{
    size_t *pos = user, n = plain.len - *pos;

    (void)e;
    n = n < cap ? n : cap;
    memcpy(buf, plain.bytes + *pos, n);
    *pos += n;
    return (int)n;
}

#define PAGES 1500u

static void *send_run(void *arg)
{
    struct colo_stock *stock = arg;
    static uint8_t pages[PAGES * COLO_PAGE_SIZE];
    static uint64_t gfns[PAGES];
    struct colo_error e = { 0 };
    size_t pos = 0;
    int rc;

    for (uint32_t i = 0; i < PAGES; i++) {
        gfns[i] = 2 * i;
        memset(pages + (size_t)i * COLO_PAGE_SIZE, (int)i, COLO_PAGE_SIZE);
    }
    rc = colo__stock_greet(stock, CONFIG, sizeof(CONFIG) - 1, MS, &e);
    if (!rc)
        rc = colo__stock_seed(stock, COLO_STREAM_PLAIN, read_plain, &pos, MS, &e);
    for (int i = 0; i < 3 && !rc; i++) {
        rc = colo__stock_pages(stock, gfns, pages, PAGES, MS, &e);
        if (!rc)
            rc = colo__stock_commit(stock, container, container_len, NULL, 0,
                                    MS, &e);
    }
    return rc ? stock : NULL; /* anything but NULL */
}

START_TEST(test_both)
{
    struct colo_stock_rx *rx = NULL;
    struct colo_stock *stock = NULL;
    char *config = NULL;
    pthread_t thread;
    void *failed;
    int fd[2];

    begin(COLO_STREAM_HVM);
    make_container(100);
    tcp_pair(fd);
    ck_assert_int_eq(colo__stock_open(fd[1], &stock, &err), 0);
    ck_assert_int_eq(colo__stock_rx_open(fd[0], 0, &rx, &err), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, send_run, stock), 0);
    ck_assert_msg(!colo__stock_rx_greet(rx, &config, MS, &err), "%s",
                  err.text);
    ck_assert_str_eq(config, CONFIG);
    ck_assert_msg(!seed(rx), "%s", err.text);
    ck_assert_mem_eq(sink.bytes, plain.bytes, plain.len);
    for (uint64_t n = 1; n <= 3; n++) {
        ck_assert_msg(!next_epoch(rx, n, MS), "%s", err.text);
        ck_assert_uint_eq(epoch.count, PAGES);
        for (uint32_t i = 0; i < PAGES; i++) {
            ck_assert_uint_eq(epoch.gfns[i], 2 * i);
            ck_assert_uint_eq(colo__epoch_page(&epoch, i)[i], i & 0xff);
        }
        check_machine(100);
    }
    ck_assert_int_eq(pthread_join(thread, &failed), 0);
    ck_assert_ptr_null(failed);
    free(config);
    colo__stock_close(stock);
    colo__stock_rx_close(rx);
}
END_TEST

static void setup(void)
{
    ck_assert_int_eq(colo__epoch_init(&epoch, 4096, &err), 0);
}

static void teardown(void)
{
    colo__epoch_fini(&epoch);
}

int main(void)
{
    const TTest *const tests[] = {
        test_epochs, test_silence, test_sender_ends, test_limits,
        test_nonsense, test_pv, test_greet, test_both,
    };
    Suite *suite = suite_create("stream-receive");
    TCase *tcase = tcase_create("stream-receive");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    for (size_t i = 0; i < COLO_ARRAY_LEN(tests); i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
