/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The epoch log: what is kept apart, spilled, read through, applied and
 * dropped; and the ends of its memory.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

#include "disk-common.h"

#include "../../disk-proxy/epoch-log.h"
#include "../../disk-proxy/wire.h"

#define MIB (1024u * 1024u)

static struct colo_elog *open_patient(uint64_t memory, uint64_t spill,
                                      unsigned wait_ms)
{
    struct colo_elog_config config = {
        .memory_limit = memory, .spill_dir = spill ? "/tmp" : NULL,
        .spill_limit = spill, .wait_ms = wait_ms,
    };
    struct colo_elog *log = NULL;
    struct colo_error err;

    ck_assert_int_eq(colo__elog_open(&config, &log, &err), 0);
    return log;
}

static struct colo_elog *open_log(uint64_t memory, uint64_t spill)
{
    return open_patient(memory, spill, 200);
}

/* as if a WRITE of len bytes had come */
static int put_write(struct colo_elog *log, uint64_t offset, uint32_t len,
                     uint8_t value)
{
    size_t need = COLO_DWIRE_HEADER + len, cap;
    struct colo_error err;
    const uint8_t *p;
    uint8_t *space;
    int rc = colo__elog_space(log, need, &space, &cap, &err);

    if (rc)
        return rc;
    ck_assert_uint_ge(cap, need);
    memset(space, value, need);
    colo__elog_filled(log, need);
    p = colo__elog_unparsed(log, &cap);
    ck_assert_uint_eq(cap, need);
    rc = colo__elog_add(log, COLO_REC_WRITE, offset, len,
                        p + COLO_DWIRE_HEADER, false, false, &err);
    colo__elog_parsed(log, need);
    return rc;
}

static void put_barrier(struct colo_elog *log, uint64_t epoch)
{
    struct colo_error err;
    uint8_t *space;
    size_t cap;

    ck_assert_int_eq(colo__elog_space(log, COLO_DWIRE_HEADER, &space, &cap,
                                      &err), 0);
    ck_assert_int_eq(colo__elog_add(log, COLO_REC_BARRIER, epoch, 0, NULL,
                                    false, false, &err), 0);
}

/* applies what is committed; how many runs that were */
static unsigned apply(struct colo_elog *log, struct colo_backing *b)
{
    static uint8_t buf[COLO_BACKING_PIECE];
    struct colo_elog_run run;
    unsigned n = 0;

    while (colo__elog_next(log, &run, 0)) {
        size_t pos = 0;

        for (uint32_t i = 0; run.type == COLO_REC_WRITE && i < run.n; i++) {
            const uint8_t *p = colo__elog_data(log, &run, i);

            ck_assert_ptr_nonnull(p);
            memcpy(buf + pos, p, run.part[i].len);
            pos += run.part[i].len;
        }
        if (run.type == COLO_REC_WRITE)
            ck_assert_int_eq(colo__backing_write(b, buf, pos, run.offset,
                                                 false), 0);
        colo__elog_retire(log, &run);
        n++;
    }
    return n;
}

static uint8_t byte_at(struct colo_elog *log, struct colo_backing *b,
                       uint64_t offset)
{
    uint8_t v = 0xee;

    if (log)
        ck_assert_int_eq(colo__elog_read(log, b, &v, 1, offset), 0);
    else
        ck_assert_int_eq(colo__backing_read(b, &v, 1, offset), 0);
    return v;
}

START_TEST(test_commit_and_drop)
{
    struct disk_file file;
    struct colo_elog *log = open_log(8 * MIB, 0);
    struct colo_error err;

    disk_file_open(&file, 4 * MIB);
    ck_assert_int_eq(put_write(log, 0, 4096, 1), 0);
    ck_assert_int_eq(put_write(log, 4096, 4096, 2), 0);
    put_barrier(log, 7);
    ck_assert_int_eq(put_write(log, 0, 512, 3), 0);

    ck_assert_uint_eq(apply(log, file.b), 0); /* nothing is committed */
    ck_assert_uint_eq(byte_at(log, file.b, 0), 3);
    ck_assert_uint_eq(byte_at(log, file.b, 512), 1);
    ck_assert_uint_eq(byte_at(NULL, file.b, 0), 0);

    ck_assert_int_eq(colo__elog_commit(log, 8, &err), COLO_E_STATE);
    ck_assert_int_eq(colo__elog_commit(log, 7, &err), 0);
    ck_assert_uint_eq(colo__elog_drop(log), 3);
    ck_assert_uint_eq(byte_at(log, file.b, 0), 1); /* 3 is gone */
    ck_assert_int_eq(colo__elog_wait_clear(log, 4096, 1, 0), ETIMEDOUT);
    ck_assert_int_eq(colo__elog_wait_clear(log, 8192, 1, 0), 0);
    ck_assert_uint_eq(apply(log, file.b), 2); /* both writes as one */
    ck_assert_uint_eq(byte_at(NULL, file.b, 0), 1);
    ck_assert_uint_eq(byte_at(NULL, file.b, 4096), 2);
    ck_assert_int_eq(colo__elog_wait_clear(log, 4096, 1, 0), 0);
    colo__elog_close(log);
    disk_file_close(&file);
}
END_TEST

START_TEST(test_spill)
{
    struct disk_file file;
    struct colo_elog *log = open_log(4 * MIB, 64 * MIB);
    struct colo_elog_stats stats;
    struct colo_error err;

    disk_file_open(&file, 64 * MIB);
    for (unsigned i = 0; i < 32; i++) {
        for (unsigned k = 0; k < 4; k++)
            ck_assert_int_eq(put_write(log, i * MIB + k * 128 * 1024,
                                       128 * 1024, (uint8_t)(i + k)), 0);
    }
    put_barrier(log, 1);
    colo__elog_stats(log, &stats);
    ck_assert_uint_le(stats.memory, 4 * COLO_ELOG_SEGMENT);
    ck_assert_uint_ge(stats.spilled, 8 * MIB);
    ck_assert_uint_eq(stats.records, 129);
    for (unsigned i = 0; i < 32; i++)
        ck_assert_uint_eq(byte_at(log, file.b, i * MIB + 128 * 1024), i + 1);
    ck_assert_int_eq(colo__elog_commit(log, 1, &err), 0);
    ck_assert_uint_gt(apply(log, file.b), 32);
    for (unsigned i = 0; i < 32; i++)
        ck_assert_uint_eq(byte_at(NULL, file.b, i * MIB + 256 * 1024), i + 2);
    colo__elog_stats(log, &stats);
    ck_assert_uint_eq(stats.spilled, 0);
    ck_assert_uint_eq(stats.records, 0);
    ck_assert_uint_eq(stats.applied, 1);
    colo__elog_close(log);
    disk_file_close(&file);
}
END_TEST

/* A spill file that cannot be written ends protection; what was committed
 * before is applied nevertheless. */
START_TEST(test_spill_fails)
{
    struct rlimit before, none;
    struct disk_file file;
    struct colo_elog *log = open_log(4 * MIB, 64 * MIB);
    struct colo_elog_stats stats;
    struct colo_error err;
    int rc = 0;

    disk_file_open(&file, 8 * MIB);
    for (unsigned i = 0; i < 14; i++) /* the 4th segment is half full */
        ck_assert_int_eq(put_write(log, i * 262144, 262144,
                                   (uint8_t)(i + 1)), 0);
    put_barrier(log, 1);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
    for (unsigned i = 0; i < 10 && !rc; i++)
        rc = put_write(log, 4 * MIB + i * 262144, 262144, 99);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    ck_assert_int_eq(rc, COLO_E_SYS);
    ck_assert_int_eq(colo__elog_commit(log, 1, &err), 0);
    ck_assert_uint_eq(colo__elog_drop(log), 15);
    ck_assert_uint_gt(apply(log, file.b), 0);
    colo__elog_stats(log, &stats);
    ck_assert_uint_eq(stats.records, 0);
    ck_assert_uint_eq(byte_at(NULL, file.b, 13 * 262144), 14);
    colo__elog_close(log);
    disk_file_close(&file);
}
END_TEST

/* what comes back from the spill file takes memory that is there */
START_TEST(test_spill_again)
{
    struct disk_file file;
    struct colo_elog *log = open_log(4 * MIB, 64 * MIB);
    struct colo_elog_stats stats;
    struct colo_error err;

    disk_file_open(&file, 8 * MIB);
    for (unsigned epoch = 1; epoch <= 10; epoch++) {
        for (unsigned i = 0; i < 64; i++)
            ck_assert_int_eq(put_write(log, i * 128 * 1024, 128 * 1024,
                                       (uint8_t)(epoch + i)), 0);
        put_barrier(log, epoch);
        colo__elog_stats(log, &stats);
        ck_assert_uint_ge(stats.spilled, 2 * MIB);
        ck_assert_int_eq(colo__elog_commit(log, epoch, &err), 0);
        ck_assert_uint_gt(apply(log, file.b), 0);
        ck_assert_uint_eq(byte_at(NULL, file.b, 0), epoch);
        colo__elog_stats(log, &stats);
        ck_assert_uint_eq(stats.spilled, 0);
        ck_assert_uint_le(stats.memory + stats.kept,
                          5 * COLO_ELOG_SEGMENT);
    }
    colo__elog_close(log);
    disk_file_close(&file);
}
END_TEST

/* full: an error, and what was there before is there still */
static int fill(struct colo_elog *log)
{
    for (unsigned i = 0; i < 1000; i++) {
        int rc = put_write(log, i * 65536, 65536, 9);

        if (rc)
            return rc;
    }
    return 0;
}

START_TEST(test_limits)
{
    struct colo_elog *log = open_log(4 * MIB, 0);
    struct colo_elog_stats stats;

    ck_assert_int_eq(fill(log), COLO_E_LIMIT);
    colo__elog_stats(log, &stats);
    ck_assert_uint_eq(stats.memory, 4 * COLO_ELOG_SEGMENT);
    colo__elog_reset(log);
    ck_assert_int_eq(put_write(log, 0, 4096, 1), 0);
    colo__elog_close(log);

    log = open_log(4 * MIB, 8 * MIB);
    ck_assert_int_eq(fill(log), COLO_E_LIMIT);
    colo__elog_stats(log, &stats);
    ck_assert_uint_eq(stats.spilled, 7 * COLO_ELOG_SEGMENT);
    colo__elog_close(log);
}
END_TEST

static void *interrupt(void *user)
{
    struct timespec ts = { .tv_nsec = 100000000 };

    nanosleep(&ts, NULL);
    colo__elog_interrupt(user);
    return NULL;
}

/* Nobody applies what is committed, and a takeover does not wait for it. */
START_TEST(test_interrupt)
{
    struct colo_elog *log = open_patient(4 * MIB, 0, 10000);
    struct timespec begin, end;
    struct colo_error err;
    const uint8_t *p;
    pthread_t t;
    size_t len;

    colo__elog_at_once(log, true);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    ck_assert_int_eq(pthread_create(&t, NULL, interrupt, log), 0);
    ck_assert_int_eq(fill(log), COLO_E_PEER);
    clock_gettime(CLOCK_MONOTONIC, &end);
    ck_assert_int_lt(end.tv_sec - begin.tv_sec, 6);
    pthread_join(t, NULL);
    p = colo__elog_unparsed(log, &len);
    ck_assert_int_eq(colo__elog_add(log, COLO_REC_WRITE, 0, 0, p, false,
                                    false, &err), COLO_E_PEER);
    colo__elog_reset(log);
    ck_assert_int_eq(put_write(log, 0, 4096, 1), 0);
    colo__elog_close(log);
}
END_TEST

START_TEST(test_at_once)
{
    struct disk_file file;
    struct colo_elog *log = open_log(4 * MIB, 0);

    disk_file_open(&file, 64 * MIB);
    colo__elog_at_once(log, true);
    for (unsigned i = 0; i < 200; i++) { /* more than it can hold */
        ck_assert_int_eq(put_write(log, i * 65536, 65536, (uint8_t)i), 0);
        if (i % 16 == 15)
            ck_assert_uint_gt(apply(log, file.b), 0);
    }
    ck_assert_uint_gt(apply(log, file.b), 0);
    ck_assert_uint_eq(byte_at(NULL, file.b, 199 * 65536 + 5), 199);
    colo__elog_at_once(log, false);
    ck_assert_int_eq(put_write(log, 0, 512, 77), 0);
    ck_assert_uint_eq(apply(log, file.b), 0);
    ck_assert_uint_eq(colo__elog_drop(log), 0);
    colo__elog_close(log);
    disk_file_close(&file);
}
END_TEST

PURE_MAIN("disk-epoch-log", test_commit_and_drop, test_spill,
          test_spill_again, test_spill_fails, test_limits,
          test_interrupt, test_at_once)
