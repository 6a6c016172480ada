/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What a peer may say that its copy wrote: a list that is right, and every way
 * in which one can be wrong, late or a lie.
 */
#include "pure-common.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <xxhash.h>

#include "../sim/hv-sim.h"
#include "engine/match.h"

#define EPOCH 5

struct fixture {
    struct sim_config config;
    struct sim_guest *guest;
    struct colo_hv *hv;
    struct colo_link *link;
    int peer;                  /* the other end */
    struct colo_capture capture;
    struct colo_delta_cache *cache;
    struct colo_match match;
    _Atomic bool abort;
    struct colo_error err;
    XXH3_state_t *digest;      /* of what the peer has sent */
    uint64_t said;
};

static void setup_of(struct fixture *f, uint64_t nr_gfns)
{
    struct colo_checkpoint_info info = { 0 };
    struct colo_error *err = &f->err;
    int fds[2];

    memset(f, 0, sizeof(*f));
    signal(SIGPIPE, SIG_IGN);
    sim_config_init(&f->config);
    f->config.vcpu = SIM_VCPU_NONE;
    f->config.nr_gfns = nr_gfns;
    ck_assert_int_eq(sim_guest_new(&f->config, &f->guest, err), 0);
    f->hv = sim_hv_primary(f->guest);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    ck_assert_int_eq(colo__link_fd_new(fds[0], &f->link, err), 0);
    f->peer = fds[1];
    f->digest = XXH3_createState();
    XXH3_64bits_reset(f->digest);
    f->cache = colo__delta_cache_new(1);
    ck_assert_int_eq(colo__capture_init(&f->capture, f->hv, NULL,
                                        &colo__clock_monotonic, 0,
                                        COLO_AUDIT_OFF, err), 0);
    ck_assert_int_eq(colo__match_init(&f->match, f->link, &f->capture,
                                      f->cache, &colo__clock_monotonic,
                                      &f->abort, 300, err), 0);
    /* frames 10 and 11 are in the epoch */
    ck_assert_int_eq(colo__hv_ops(f->hv)->track(f->hv, 1, err), 0);
    ck_assert_int_eq(colo__hv_ops(f->hv)->stop->request(f->hv, err), 0);
    sim_guest_mark(f->guest, 10);
    sim_guest_mark(f->guest, 11);
    ck_assert_int_eq(colo__capture_begin(&f->capture, EPOCH, err), 0);
    ck_assert_int_eq(colo__capture_final(&f->capture, &info, err), 0);
}

static void setup(struct fixture *f)
{
    setup_of(f, 1024);
}

static void teardown(struct fixture *f)
{
    colo__match_fini(&f->match);
    colo__capture_fini(&f->capture);
    colo__delta_cache_free(f->cache);
    XXH3_freeState(f->digest);
    colo__link_ops(f->link)->close(f->link);
    if (f->peer >= 0)
        close(f->peer);
    colo__hv_ops(f->hv)->close(f->hv);
    sim_guest_free(f->guest);
}

static void say(struct fixture *f, struct colo_msg *msg)
{
    uint8_t header[COLO_WIRE_HEADER], be[8];

    ck_assert_int_eq(colo__wire_build(msg, header, &f->err), 0);
    colo__put64(be, msg->checksum);
    if (msg->type == COLO_MSG_DIRTY)
        XXH3_64bits_update(f->digest, be, 8);
    ck_assert_int_eq(write(f->peer, header, sizeof(header)),
                     (ssize_t)sizeof(header));
    if (msg->len)
        ck_assert_int_eq(write(f->peer, msg->body, msg->len),
                         (ssize_t)msg->len);
}

/* kind: 0 the page as the guest has it, 1 another, 2 no memory */
static void say_frame(struct fixture *f, uint64_t gfn, int kind)
{
    struct colo_wire_dirty d = { .gfn = gfn };
    uint8_t body[COLO_WIRE_DIRTY_ENTRY];
    struct colo_msg msg = { .type = COLO_MSG_DIRTY, .epoch = EPOCH,
                            .value = 1, .len = sizeof(body), .body = body };

    if (kind != 2)
        colo__page_hash128(sim_guest_page(f->guest, gfn % 1024), &d.high,
                           &d.low);
    d.low ^= (uint64_t)(kind == 1);
    colo__dirty_entry_build(body, &d);
    say(f, &msg);
    f->said++;
}

static void say_end(struct fixture *f, uint64_t count, uint64_t nr_gfns,
                    uint64_t wrong)
{
    uint8_t body[16];
    struct colo_msg msg = { .type = COLO_MSG_DIRTY_END, .epoch = EPOCH,
                            .value = count, .len = 16, .body = body };

    colo__put64(body, nr_gfns);
    colo__put64(body + 8, XXH3_64bits_digest(f->digest) ^ wrong);
    say(f, &msg);
}

START_TEST(sorts_them_out)
{
    static const uint8_t other[COLO_PAGE_SIZE] = { 1 };
    struct fixture f;
    struct colo_epoch *e;
    bool more;

    setup(&f);
    e = &f.capture.epoch;
    colo__delta_cache_put(f.cache, 10, other);
    colo__delta_cache_put(f.cache, 20, other);
    colo__delta_cache_put(f.cache, 30, other);
    say_frame(&f, 20, 0);   /* only the replica's, equal */
    say_frame(&f, 21, 1);   /* only the replica's, another */
    say_frame(&f, 22, 2);   /* it has no memory there */
    say_frame(&f, 10, 0);   /* both wrote it, equal */
    say_frame(&f, 1020, 2); /* neither has memory there */
    say_frame(&f, 1500, 1); /* beyond the guest */
    say_end(&f, f.said, 2000, 0);
    ck_assert_int_eq(colo__match_job(&f.match, &f.err), 0);
    ck_assert_int_eq(colo__match_rest(&f.match, &more, &f.err), 0);
    ck_assert(!more);
    ck_assert_uint_eq(f.match.listed, 6);
    ck_assert_uint_eq(f.match.equal, 3); /* 10, 20, 1020 */
    ck_assert_uint_eq(f.match.both, 1);
    ck_assert_uint_eq(f.match.added, 2); /* 21, 22 */
    ck_assert(colo__bitmap_test(&f.capture.equal, 10));
    ck_assert(!colo__bitmap_test(&f.capture.equal, 11));
    ck_assert_uint_eq(e->gfns[e->count - 2], 21);
    ck_assert_uint_eq(e->gfns[e->count - 1], 22);
    ck_assert(!memcmp(colo__epoch_page(e, e->count - 1),
                      sim_guest_page(f.guest, 22), COLO_PAGE_SIZE));
    ck_assert_uint_eq(e->gone_count, 1);
    ck_assert_uint_eq(e->gone[0], 1500);
    ck_assert_uint_eq(e->nr_gfns, 1501);
    /* no base for a difference any more, but where it wrote nothing */
    ck_assert_ptr_null(colo__delta_cache_get(f.cache, 10));
    ck_assert_ptr_null(colo__delta_cache_get(f.cache, 20));
    ck_assert_ptr_nonnull(colo__delta_cache_get(f.cache, 30));
    teardown(&f);
}
END_TEST

static void refused(struct fixture *f, int code, const char *text)
{
    ck_assert_int_eq(colo__match_job(&f->match, &f->err), code);
    ck_text(f->err, text);
    teardown(f);
}

START_TEST(wrong_lists)
{
    struct fixture f;
    struct colo_msg msg = { .type = COLO_MSG_EPOCH_BEGIN, .epoch = EPOCH,
                            .value = 1024 };

    setup(&f);
    say_frame(&f, 20, 0);
    say_frame(&f, 20, 0);
    refused(&f, COLO_E_PROTO, "twice");
    setup(&f);
    say_frame(&f, 20, 0);
    say_end(&f, 2, 1024, 0);
    refused(&f, COLO_E_CORRUPT, "1 of 2 frames");
    setup(&f);
    say_frame(&f, 20, 0);
    say_end(&f, 1, 1024, 1);
    refused(&f, COLO_E_CORRUPT, "not whole");
    setup(&f);
    say_end(&f, 0, UINT64_C(1) << 40, 0);
    refused(&f, COLO_E_PROTO, "replica of");
    setup(&f);
    say(&f, &msg);
    refused(&f, COLO_E_PROTO, "EPOCH_BEGIN");
    setup(&f);
    msg.type = COLO_MSG_DIRTY_END;
    msg.epoch = EPOCH + 1;
    say(&f, &msg);
    refused(&f, COLO_E_PROTO, "where DIRTY was due");
}
END_TEST

START_TEST(a_frame_that_cannot_be)
{
    uint8_t body[COLO_WIRE_DIRTY_ENTRY] = { 0 };
    struct colo_msg msg = { .type = COLO_MSG_DIRTY, .epoch = EPOCH,
                            .value = 1, .len = sizeof(body), .body = body };
    struct fixture f;

    setup(&f);
    colo__put64(body, UINT64_C(1) << 31);
    say(&f, &msg);
    refused(&f, COLO_E_PROTO, "names frame");
}
END_TEST

START_TEST(it_does_not_come)
{
    struct fixture f;
    struct colo_msg half = { .type = COLO_MSG_DIRTY, .epoch = EPOCH,
                             .value = 1, .len = COLO_WIRE_DIRTY_ENTRY };
    uint8_t header[COLO_WIRE_HEADER], body[COLO_WIRE_DIRTY_ENTRY] = { 0 };

    setup(&f);
    refused(&f, COLO_E_TIMEOUT, "within 300 ms");
    setup(&f);
    half.body = body;
    ck_assert_int_eq(colo__wire_build(&half, header, &f.err), 0);
    ck_assert_int_eq(write(f.peer, header, sizeof(header)), sizeof(header));
    refused(&f, COLO_E_TIMEOUT, "within 300 ms");
    setup(&f);
    atomic_store(&f.abort, true);
    refused(&f, COLO_E_STATE, "aborted");
    setup(&f);
    close(f.peer);
    f.peer = -1;
    ck_assert_int_eq(colo__match_job(&f.match, &f.err), COLO_E_PEER);
    teardown(&f);
}
END_TEST

/* Our own record was lost: all is asked for, and once. */
START_TEST(all_is_asked_for)
{
    struct fixture f;
    uint8_t header[COLO_WIRE_HEADER];
    struct colo_msg msg;
    bool more;

    setup(&f);
    f.capture.lost = true;
    say_frame(&f, 20, 1); /* does not count any more */
    say_end(&f, 1, 1024, 0);
    XXH3_64bits_reset(f.digest);
    say_frame(&f, 20, 0);
    say_frame(&f, 11, 0);
    say_end(&f, 2, 1024, 0);
    ck_assert_int_eq(colo__match_job(&f.match, &f.err), 0);
    ck_assert_uint_eq(f.match.listed, 2);
    ck_assert_uint_eq(f.match.both, 1);
    ck_assert_int_eq(colo__match_rest(&f.match, &more, &f.err), 0);
    ck_assert(!more);
    ck_assert_uint_eq(f.match.added, 0);
    ck_assert_int_eq(read(f.peer, header, sizeof(header)), sizeof(header));
    ck_assert_int_gt(colo__wire_parse(header, sizeof(header), 4096, &msg,
                                      &f.err), 0);
    ck_assert_uint_eq(msg.type, COLO_MSG_DIRTY_ALL);
    ck_assert_uint_eq(msg.epoch, EPOCH);
    teardown(&f);
}
END_TEST

/* Many frames that only the replica wrote: in parts, and none is forgotten. */
START_TEST(a_long_rest)
{
    struct fixture f;
    uint64_t calls = 0;
    bool more = true;

    setup_of(&f, 40000);
    /* as if they had been listed */
    ck_assert_int_eq(colo__bitmap_resize(&f.match.open, 40000), 0);
    f.match.slot = calloc(40000, sizeof(*f.match.slot));
    f.match.entries = calloc(1, sizeof(*f.match.entries));
    f.match.own_gfns = 40000;
    f.capture.rest_at = f.capture.epoch.count;
    for (uint64_t gfn = 1000; gfn < 39000; gfn++)
        colo__bitmap_set(&f.match.open, gfn);
    while (more) {
        ck_assert_int_eq(colo__match_rest(&f.match, &more, &f.err), 0);
        calls++;
    }
    ck_assert_uint_eq(calls, 3);
    ck_assert_uint_eq(f.match.added, 38000);
    ck_assert_uint_eq(f.capture.epoch.gfns[f.capture.epoch.count - 1], 38999);
    teardown(&f);
}
END_TEST

PURE_MAIN("match", sorts_them_out, wrong_lists, a_frame_that_cannot_be,
          it_does_not_come, a_long_rest, all_is_asked_for)
