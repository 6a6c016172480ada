/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Heartbeats on a clock of the test, and the figures over checkpoints.
 */
#include "pure-common.h"

#include "engine/heartbeat.h"
#include "engine/stats.h"

#define MS 1000u

START_TEST(says_and_hears)
{
    struct colo_heartbeat hb;
    uint64_t now = 5000 * MS;

    colo__heartbeat_init(&hb, 100, 1000);
    ck_assert(!colo__heartbeat_due(&hb, now));
    ck_assert(!colo__heartbeat_dead(&hb, now + 3600000 * MS));
    ck_assert_uint_eq(colo__heartbeat_deadline(&hb), UINT64_MAX);

    colo__heartbeat_start(&hb, now);
    ck_assert(colo__heartbeat_due(&hb, now));
    ck_assert(!colo__heartbeat_due(&hb, now + 99 * MS));
    ck_assert(colo__heartbeat_due(&hb, now + 100 * MS));

    /* looked at all the time, heard never: dead just after a second */
    for (uint64_t t = now; t <= now + 1000 * MS; t += 10 * MS)
        ck_assert(!colo__heartbeat_dead(&hb, t));
    ck_assert(colo__heartbeat_dead(&hb, now + 1001 * MS));
    colo__heartbeat_heard(&hb, now + 1001 * MS);
    ck_assert(!colo__heartbeat_dead(&hb, now + 1002 * MS));
    /* an older word does not make it younger */
    colo__heartbeat_heard(&hb, now);
    ck_assert(!colo__heartbeat_dead(&hb, now + 1003 * MS));
}
END_TEST

/* Our own process was held up: the peer gets its time again. */
START_TEST(own_stall_is_no_silence)
{
    struct colo_heartbeat hb;
    uint64_t now = 5000 * MS;

    colo__heartbeat_init(&hb, 100, 1000);
    colo__heartbeat_start(&hb, now);
    ck_assert(!colo__heartbeat_dead(&hb, now + 10 * MS));
    now += 10000 * MS;
    ck_assert(!colo__heartbeat_dead(&hb, now));
    for (uint64_t t = now; t <= now + 900 * MS; t += 10 * MS)
        ck_assert(!colo__heartbeat_dead(&hb, t));
    for (uint64_t t = now + 900 * MS; t < now + 1300 * MS; t += 10 * MS) {
        if (colo__heartbeat_dead(&hb, t))
            return;
    }
    ck_abort_msg("a peer that stays silent is never dead");
}
END_TEST

START_TEST(figures)
{
    struct colo_stats stats = { 0 };
    struct colo_status st = { 0 };

    colo__stats_fill(&stats, 0, &st);
    ck_assert_uint_eq(st.checkpoints, 0);
    ck_assert_uint_eq(st.last_commit_ms, 0);
    for (uint64_t i = 1; i <= 300; i++) {
        struct colo_checkpoint_info info = {
            .epoch = i, .pause_us = i, .dirty_pages = 2 * i,
            .wire_bytes = 1000,
        };

        colo__stats_add(&stats, i * 10 * MS, &info);
    }
    colo__stats_fill(&stats, 3005 * MS, &st);
    ck_assert_uint_eq(st.checkpoints, 300);
    ck_assert_uint_eq(st.epoch, 300);
    ck_assert_uint_eq(st.last_commit_ms, 5);
    /* of the last 128: 173 .. 300 */
    ck_assert_uint_eq(st.pause_median_us, 173 + 64);
    ck_assert_uint_eq(st.pause_p95_us, 173 + 121);
    ck_assert_uint_eq(st.dirty_pages_median, 2 * (173 + 64));
    ck_assert_uint_eq(st.bytes_per_second, 100000);
    ck_assert_uint_eq(st.last.epoch, 300);
}
END_TEST

PURE_MAIN("heartbeat", says_and_hears, own_stall_is_no_silence, figures)
