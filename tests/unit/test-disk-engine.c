/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A primary and a secondary in one process over a socket pair: first copy,
 * epochs, failover, stop and a second copy by bitmap, and what is refused.
 */
#include "disk-pair.h"

START_TEST(test_failover)
{
    struct end p, s;

    end_make(&p, COLO_DISK_PRIMARY);
    end_make(&s, COLO_DISK_SECONDARY);
    put(&p, 65536, 1);
    start(&p, &s, 1);
    put(&p, 0, 2);
    put(&p, 65536, 3);
    checkpoint(&p, &s, 1, true);
    put(&p, 65536, 4);
    checkpoint(&p, &s, 2, false);
    put(&p, 0, 5);
    ask(&s, 50, COLO_PROXY_FAILOVER, 0);
    ck_assert_str_eq(wait_answer(&s, 50), "");
    ck_assert_uint_eq(get(&s, 0), 2);
    ck_assert_uint_eq(get(&s, 65536), 3);
    put(&s, 65536, 6);
    ck_assert_uint_eq(get(&s, 65536), 6);
    ck_assert_int_eq(colo__disk_flush(s.disk), 0);
    ck_assert_int_eq(colo__meta_peek(s.meta, NULL, NULL), COLO_META_ALONE);
    ask(&p, 51, COLO_PROXY_FAILOVER, 0);
    ck_assert_str_eq(wait_answer(&p, 51), "");
    ck_assert_int_eq(colo__disk_zero(p.disk, 4096, 0, false, false), EIO);
    ck_assert_int_eq(colo__meta_peek(p.meta, NULL, NULL),
                     COLO_META_OUTDATED);
    end_free(&p);
    end_free(&s);
}
END_TEST

static void read_file(const struct end *e, uint8_t *ret)
{
    int fd = open(e->file.path, O_RDONLY | O_CLOEXEC);

    ck_assert_int_eq(pread(fd, ret, SIZE, 0), SIZE);
    close(fd);
}

/* p would overwrite what was the guest's disk at s. */
static void must_refuse(struct end *p, struct end *s, uint64_t seq)
{
    uint8_t *before = malloc(SIZE), *after = malloc(SIZE);
    uint8_t was[16], is[16];
    char text[256];

    read_file(s, before);
    ck_assert_int_eq(colo__meta_peek(s->meta, was, NULL), COLO_META_ALONE);
    begin_mode(p, s, seq, COLO_MODE_REMUS);
    /* whole, although each side adds to it */
    ck_assert_ptr_nonnull(strstr(wait_answer(p, seq),
                                 "the twin says: this copy may"));
    ck_assert_ptr_nonnull(strstr(p->answer, "colo-disk discard TARGET"));
    ck_assert_ptr_nonnull(strstr(wait_answer(s, seq), "discard TARGET"));
    ck_assert_ptr_nonnull(strstr(wait_event(p, "error ", text),
                                 "discard TARGET"));
    put(p, 0, get(p, 0)); /* the guest goes on */
    ask(p, seq + 1, COLO_PROXY_STOP, 0);
    ask(s, seq + 1, COLO_PROXY_STOP, 0);
    ck_assert_str_eq(wait_answer(p, seq + 1), "");
    ck_assert_str_eq(wait_answer(s, seq + 1), "");
    ck_assert_int_eq(colo__meta_peek(p->meta, NULL, NULL), COLO_META_ALONE);
    ck_assert_int_eq(colo__meta_peek(s->meta, is, NULL), COLO_META_ALONE);
    ck_assert_mem_eq(is, was, sizeof(is));
    read_file(s, after);
    ck_assert_mem_eq(after, before, SIZE);
    free(before);
    free(after);
}

static void discard(struct end *e)
{
    struct colo_error err;
    int state;

    colo__disk_close(e->disk);
    ck_assert_int_eq(colo__meta_discard(e->meta, &state, &err), 0);
    ck_assert_int_eq(state, COLO_META_ALONE);
    e->answered = 0;
    end_open(e, COLO_DISK_SECONDARY);
}

/* The side that took over meets the one from which it did: what either wrote
 * since is compared, and no more. */
static void resync_after_takeover(bool told, bool untracked)
{
    struct end p, s;
    char text[256];

    end_make(&p, COLO_DISK_PRIMARY);
    end_make(&s, COLO_DISK_SECONDARY);
    for (uint64_t o = 0; o < SIZE; o += 65536)
        put(&p, o, (uint8_t)(o / 65536 + 1));
    start(&p, &s, 1);
    put(&p, 0, 90);
    checkpoint(&p, &s, 1, true);
    put(&p, 65536 * 5, 91); /* never committed */
    ask(&s, 50, COLO_PROXY_FAILOVER, 0);
    ck_assert_str_eq(wait_answer(&s, 50), "");
    if (told) {
        ask(&p, 51, COLO_PROXY_FAILOVER, 0);
        ck_assert_str_eq(wait_answer(&p, 51), "");
    } else {
        put(&p, 65536 * 6, 92); /* it does not know yet */
    }
    put(&s, 65536 * 7, 93);
    if (untracked)
        ck_assert_int_eq(colo__meta_untracked(p.meta, NULL), 0);
    end_again(&p, COLO_DISK_SECONDARY);
    end_again(&s, COLO_DISK_PRIMARY);
    if (!told) { /* both ran */
        must_refuse(&s, &p, 10);
        discard(&p);
    }
    start(&s, &p, 2);
    if (untracked)
        ck_assert_uint_eq(s.total, SIZE);
    else
        ck_assert_uint_le(s.total, 65536 * 4);
    ask(&s, 3, COLO_DISK_VERIFY, 0);
    ck_assert_str_eq(wait_answer(&s, 3), "");
    ck_assert_str_eq(wait_event(&s, "verified", text), "verified 64 0");
    ck_assert_uint_eq(get(&s, 0), 90);
    ck_assert_uint_eq(get(&s, 65536 * 5), 6);
    ck_assert_uint_eq(get(&s, 65536 * 6), 7);
    ck_assert_uint_eq(get(&s, 65536 * 7), 93);
    end_free(&p);
    end_free(&s);
}

START_TEST(test_takeover_resync)
{
    resync_after_takeover(true, false);
    resync_after_takeover(false, false);
    resync_after_takeover(false, true);
}
END_TEST

/* An operator takes the other one of two copies that both ran. */
START_TEST(test_both_ran)
{
    struct end p, s;

    end_make(&p, COLO_DISK_PRIMARY);
    end_make(&s, COLO_DISK_SECONDARY);
    start(&p, &s, 1);
    put(&p, 0, 1);
    checkpoint(&p, &s, 1, true);
    ask(&s, 50, COLO_PROXY_FAILOVER, 0);
    ck_assert_str_eq(wait_answer(&s, 50), "");
    put(&s, 65536, 2);
    put(&p, 65536, 3);
    ask(&p, 51, COLO_PROXY_STOP, 0);
    ck_assert_str_eq(wait_answer(&p, 51), "");
    end_again(&s, COLO_DISK_SECONDARY);
    must_refuse(&p, &s, 60);
    discard(&s);
    start(&p, &s, 70);
    checkpoint(&p, &s, 2, true);
    ask(&s, 80, COLO_PROXY_FAILOVER, 0);
    ck_assert_str_eq(wait_answer(&s, 80), "");
    ck_assert_uint_eq(get(&s, 65536), 3);
    end_free(&p);
    end_free(&s);
}
END_TEST

/* Its host lost its power: it says primary, and who took over may have it. */
START_TEST(test_lost_power)
{
    struct end p, s;
    char keep[200];

    end_make(&p, COLO_DISK_PRIMARY);
    end_make(&s, COLO_DISK_SECONDARY);
    start(&p, &s, 1);
    checkpoint(&p, &s, 1, true);
    ask(&s, 50, COLO_PROXY_FAILOVER, 0);
    ck_assert_str_eq(wait_answer(&s, 50), "");
    /* as it was before its orderly end */
    snprintf(keep, sizeof(keep), "cp %s %s.kept", p.meta, p.meta);
    ck_assert_int_eq(system(keep), 0);
    colo__disk_close(p.disk);
    snprintf(keep, sizeof(keep), "%s.kept", p.meta);
    ck_assert_int_eq(rename(keep, p.meta), 0);
    p.answered = 0;
    end_open(&p, COLO_DISK_SECONDARY);
    ck_assert_int_eq(colo__meta_peek(p.meta, NULL, NULL), COLO_META_PRIMARY);
    end_again(&s, COLO_DISK_PRIMARY);
    start(&s, &p, 2);
    ck_assert_uint_lt(s.total, SIZE);
    end_free(&p);
    end_free(&s);
}
END_TEST

START_TEST(test_resync)
{
    struct end p, s;
    char text[256];
    uint64_t seq = 60;

    end_make(&p, COLO_DISK_PRIMARY);
    end_make(&s, COLO_DISK_SECONDARY);
    for (uint64_t o = 0; o < SIZE; o += 65536)
        put(&p, o, (uint8_t)(o / 65536 + 1));
    start(&p, &s, 1);
    ck_assert_uint_eq(p.total, SIZE);
    for (uint64_t n = 1; n < 8; n++) { /* the bits of epochs before go */
        put(&p, 65536 * n, 99);
        checkpoint(&p, &s, n, true);
    }
    ask(&p, seq, COLO_PROXY_STOP, 0);
    ask(&s, seq, COLO_PROXY_STOP, 0);
    ck_assert_str_eq(wait_answer(&p, seq), "");
    ck_assert_str_eq(wait_answer(&s, seq), "");
    ck_assert_int_eq(colo__disk_zero(s.disk, 4096, 0, false, false), EROFS);
    ck_assert_int_eq(colo__meta_peek(s.meta, NULL, NULL),
                     COLO_META_SECONDARY);
    put(&p, 65536 * 20, 98);

    start(&p, &s, 2);
    ck_assert_uint_ge(p.total, 65536);
    ck_assert_uint_le(p.total, 65536 * 8); /* not everything again */
    ask(&p, 3, COLO_DISK_VERIFY, 0);
    ck_assert_str_eq(wait_answer(&p, 3), "");
    ck_assert_str_eq(wait_event(&p, "verified", text), "verified 64 0");
    checkpoint(&p, &s, 20, true);
    ask(&s, 4, COLO_PROXY_FAILOVER, 0);
    ck_assert_str_eq(wait_answer(&s, 4), "");
    ck_assert_uint_eq(get(&s, 65536 * 20), 98);
    ck_assert_uint_eq(get(&s, 65536 * 5), 99);
    ck_assert_uint_eq(get(&s, 65536 * 9), 10);
    end_free(&p);
    end_free(&s);
}
END_TEST

/* somebody has written past the secondary */
START_TEST(test_verify_finds)
{
    struct end p, s;
    char text[256];
    uint8_t byte = 0x55;
    int fd;

    end_make(&p, COLO_DISK_PRIMARY);
    end_make(&s, COLO_DISK_SECONDARY);
    put(&p, 0, 1);
    start(&p, &s, 1);
    fd = open(s.file.path, O_WRONLY | O_CLOEXEC);
    ck_assert_int_eq(pwrite(fd, &byte, 1, 3 * 65536 + 17), 1);
    ck_assert_int_eq(fsync(fd), 0);
    close(fd);
    ask(&p, 2, COLO_DISK_VERIFY, 0);
    ck_assert_str_eq(wait_answer(&p, 2), "");
    ck_assert_str_eq(wait_event(&p, "verified", text), "verified 64 1");
    end_free(&p);
    end_free(&s);
}
END_TEST

START_TEST(test_lost_twin)
{
    struct end p, s;
    char text[256];

    end_make(&p, COLO_DISK_PRIMARY);
    end_make(&s, COLO_DISK_SECONDARY);
    start(&p, &s, 1);
    colo__disk_close(s.disk); /* gone */
    ck_assert_msg(!strncmp(wait_event(&p, "error ", text), "error ", 6), "%s",
                  text);
    put(&p, 0, 9); /* the guest goes on */
    ask(&p, 2, COLO_PROXY_CHECKPOINT, 1);
    ck_assert_str_ne(wait_answer(&p, 2), "");
    ask(&p, 3, COLO_PROXY_STOP, 0);
    ck_assert_str_eq(wait_answer(&p, 3), "");
    ck_assert_uint_eq(get(&p, 0), 9);
    end_open(&s, COLO_DISK_SECONDARY);
    start(&p, &s, 4);
    end_free(&p);
    end_free(&s);
}
END_TEST

START_TEST(test_full_log)
{
    struct end p, s;
    char text[256];

    end_make(&p, COLO_DISK_PRIMARY);
    end_make(&s, COLO_DISK_SECONDARY); /* 4 MiB, no spill file */
    start(&p, &s, 1);
    for (int i = 0; i < 3; i++) {
        for (uint64_t o = 0; o < SIZE; o += 4096)
            put(&p, o, (uint8_t)i);
    }
    ck_assert_msg(strstr(wait_event(&s, "error ", text),
                         "larger than memory"), "%s", text);
    put(&p, 0, 7);
    ck_assert_uint_eq(get(&p, 0), 7);
    end_free(&p);
    end_free(&s);
}
END_TEST

/* The linker puts this before the real one: the first read of a chunk that
 * the first copy makes gives the guest a moment to write there. */
int __real_colo__backing_read(struct colo_backing *b, void *buf, size_t len,
                              uint64_t offset);
int __wrap_colo__backing_read(struct colo_backing *b, void *buf, size_t len,
                              uint64_t offset);
static _Atomic(struct end *) racer;
static _Atomic int reads, raced;
static _Atomic(struct end *) still; /* its disk answers no read */
static _Atomic int standing;

static void *race(void *user)
{
    put(user, 3 * 65536, 0x77);
    raced = 1;
    return NULL;
}

int __wrap_colo__backing_read(struct colo_backing *b, void *buf, size_t len,
                              uint64_t offset)
{
    struct timespec ts = { .tv_nsec = 1000000 };
    struct end *e;
    pthread_t t;
    int r;

    for (standing++; (e = still) && e->disk->backing == b; )
        nanosleep(&ts, NULL);
    standing--;
    r = __real_colo__backing_read(b, buf, len, offset);
    e = racer;

    /* of the primary: the first read is hashed, the second is sent */
    if (e && e->disk->backing == b && offset == 3 * 65536 &&
        len == 65536 && ++reads == 2) {
        pthread_create(&t, NULL, race, e);
        pthread_detach(t);
        for (int ms = 0; ms < 200 && !raced; ms++)
            nanosleep(&ts, NULL);
    }
    return r;
}

START_TEST(test_write_in_copy)
{
    struct end p, s;
    char text[256];

    end_make(&p, COLO_DISK_PRIMARY);
    end_make(&s, COLO_DISK_SECONDARY);
    put(&p, 3 * 65536, 1);
    racer = &p;
    start(&p, &s, 1);
    racer = NULL;
    ck_assert_int_eq(reads, 2);
    for (int ms = 0; ms < 5000 && !raced; ms++) {
        struct timespec ts = { .tv_nsec = 1000000 };

        nanosleep(&ts, NULL);
    }
    ck_assert_int_eq(raced, 1);
    checkpoint(&p, &s, 1, true);
    ask(&p, 2, COLO_DISK_VERIFY, 0);
    ck_assert_str_eq(wait_answer(&p, 2), "");
    ck_assert_str_eq(wait_event(&p, "verified", text), "verified 64 0");
    end_free(&p);
    end_free(&s);
}
END_TEST

/* The twin's session must not hear of a lost twin before it is told that it
 * takes over. */
START_TEST(test_yield)
{
    struct timespec ts = { .tv_nsec = 200000000 };
    struct end p, s;

    end_make(&p, COLO_DISK_PRIMARY);
    end_make(&s, COLO_DISK_SECONDARY);
    start(&p, &s, 1);
    checkpoint(&p, &s, 1, true);
    s.event[0] = 0;
    ask(&p, 50, COLO_PROXY_FAILOVER, 0);
    ck_assert_str_eq(wait_answer(&p, 50), "");
    nanosleep(&ts, NULL);
    ck_assert_str_eq(s.event, "");
    end_free(&p);
    end_free(&s);
}
END_TEST

START_TEST(test_refused)
{
    struct end p, s;

    end_make(&p, COLO_DISK_PRIMARY);
    end_make(&s, COLO_DISK_SECONDARY);
    ck_assert_int_eq(colo__meta_peek(p.meta, NULL, NULL), COLO_META_ALONE);
    ck_assert_int_eq(colo__meta_peek(s.meta, NULL, NULL),
                     COLO_META_SECONDARY);
    ask(&s, 1, COLO_PROXY_FAILOVER, 0); /* never in step */
    ck_assert_str_ne(wait_answer(&s, 1), "");
    ask(&p, 1, COLO_PROXY_CHECKPOINT, 1);
    ck_assert_str_ne(wait_answer(&p, 1), "");
    ask(&p, 2, COLO_PROXY_START, 1); /* without a stream */
    ck_assert_str_ne(wait_answer(&p, 2), "");
    ask(&p, 3, 77, 1);
    ck_assert_str_ne(wait_answer(&p, 3), "");
    end_free(&p);
    end_free(&s);
}
END_TEST

/* what a peer of this or an older version says of its disk */
static struct colo_dhello told(uint8_t role, uint32_t block, uint32_t len)
{
    uint8_t buf[COLO_DWIRE_HEADER + COLO_DHELLO_BODY];
    struct colo_dhello hello = { .size = SIZE, .role = role, .block = block,
                                 .state = COLO_META_ALONE, .parent = { 7 } };
    struct colo_dmsg msg = { .type = COLO_DMSG_HELLO, .len = len,
                             .value = SIZE, .body = buf + COLO_DWIRE_HEADER };
    struct colo_error err;

    colo__dhello_build(&hello, buf + COLO_DWIRE_HEADER);
    colo__dwire_build(&msg, buf);
    ck_assert_int_eq(colo__dwire_parse(buf, sizeof(buf), 0, &msg, &err),
                     COLO_DWIRE_HEADER + len);
    ck_assert_int_eq(colo__dhello_parse(&msg, &hello, &err), 0);
    ck_assert_int_eq(hello.parent[0], len < COLO_DHELLO_PARENT ? 0 : 7);
    return hello;
}

/* A guest whose disk has small blocks cannot go on where they are large. */
START_TEST(test_blocks)
{
    static const struct {
        uint32_t primary, secondary;
        int rc;
    } cases[] = {
        { 512, 512, 0 }, { 4096, 4096, 0 }, { 4096, 512, 0 },
        { 512, 4096, COLO_E_INVAL }, { 0, 4096, 0 }, { 512, 0, 0 },
    };
    struct colo_dhello p, s;
    struct colo_error err;

    for (size_t i = 0; i < COLO_ARRAY_LEN(cases); i++) {
        p = told(COLO_DISK_PRIMARY, cases[i].primary, COLO_DHELLO_BODY);
        s = told(COLO_DISK_SECONDARY, cases[i].secondary, COLO_DHELLO_BODY);
        ck_assert_uint_eq(p.block, cases[i].primary);
        ck_assert_int_eq(colo__dhello_match(&p, &s, &err), cases[i].rc);
        ck_assert_int_eq(colo__dhello_match(&s, &p, &err), cases[i].rc);
        if (cases[i].rc)
            ck_assert_ptr_nonnull(strstr(err.text, "at most 512"));
        /* an older peer tells nothing of it */
        s = told(COLO_DISK_SECONDARY, 4096, COLO_DHELLO_PARENT);
        ck_assert_uint_eq(s.block, 0);
        ck_assert_int_eq(colo__dhello_match(&p, &s, &err), 0);
        s = told(COLO_DISK_SECONDARY, 4096, COLO_DHELLO_LEAST);
        ck_assert_uint_eq(s.block, 0);
        ck_assert_int_eq(colo__dhello_match(&p, &s, &err), 0);
    }
    s.size++;
    ck_assert_int_eq(colo__dhello_match(&p, &s, &err), COLO_E_INVAL);
    ck_assert_int_eq(colo__dhello_match(&p, &p, &err), COLO_E_PROTO);
}
END_TEST

/* ---- a log that is slow to apply ------------------------------------------- */

int __real_colo__backing_writev(struct colo_backing *b,
                                const struct iovec *parts, int n,
                                void *buffer, uint64_t offset, bool fua);
int __wrap_colo__backing_writev(struct colo_backing *b,
                                const struct iovec *parts, int n,
                                void *buffer, uint64_t offset, bool fua);
bool __real_colo__backing_is_hole(struct colo_backing *b, uint64_t offset,
                                  uint64_t len);
bool __wrap_colo__backing_is_hole(struct colo_backing *b, uint64_t offset,
                                  uint64_t len);
static _Atomic(struct end *) stalled; /* its log is not applied */

static void pause_ms(long ms)
{
    struct timespec ts = { .tv_sec = ms / 1000,
                           .tv_nsec = ms % 1000 * 1000000 };

    nanosleep(&ts, NULL);
}

int __wrap_colo__backing_writev(struct colo_backing *b,
                                const struct iovec *parts, int n,
                                void *buffer, uint64_t offset, bool fua)
{
    struct end *e;

    while ((e = stalled) && e->disk->backing == b)
        pause_ms(1);
    return __real_colo__backing_writev(b, parts, n, buffer, offset, fua);
}

/* All of the log is applied just after a hole was seen. */
bool __wrap_colo__backing_is_hole(struct colo_backing *b, uint64_t offset,
                                  uint64_t len)
{
    bool hole = __real_colo__backing_is_hole(b, offset, len);
    struct colo_elog_stats stats = { .records = 1 };
    struct end *e = stalled;

    if (!e || e->disk->backing != b || !hole || offset != 65536 * 9)
        return hole;
    stalled = NULL;
    for (int ms = 0; ms < 5000 && stats.records; ms++) {
        pause_ms(1);
        colo__elog_stats(e->disk->log, &stats);
    }
    return hole;
}

START_TEST(test_hole_in_the_log)
{
    struct end p, s;
    char text[256];

    end_make(&p, COLO_DISK_PRIMARY);
    end_make(&s, COLO_DISK_SECONDARY);
    start(&p, &s, 1);
    stalled = &s;
    put(&p, 65536 * 9, 5);
    checkpoint(&p, &s, 1, true);
    ask(&p, 2, COLO_DISK_VERIFY, 0);
    ck_assert_str_eq(wait_answer(&p, 2), "");
    ck_assert_str_eq(wait_event(&p, "verified", text), "verified 64 0");
    stalled = NULL;
    end_free(&p);
    end_free(&s);
}
END_TEST

static int state_of(const struct end *e)
{
    return colo__meta_peek(e->meta, NULL, NULL);
}

/* A takeover that waits nevertheless ends some day. */
static void *move_on(void *user)
{
    (void)user;
    for (int ms = 0; ms < 8000 && still; ms++)
        pause_ms(1);
    still = NULL;
    return NULL;
}

/* A verify reads of a disk that stands still, and the takeover is answered
 * nevertheless, with the log as it is. */
START_TEST(test_takeover_in_verify)
{
    struct end p, s;
    pthread_t t;
    time_t began;

    end_make(&p, COLO_DISK_PRIMARY);
    end_make(&s, COLO_DISK_SECONDARY);
    for (uint64_t at = 0; at < SIZE; at += 65536)
        put(&p, at, 1);
    start(&p, &s, 1);
    stalled = &s;
    put(&p, 0, 2);
    checkpoint(&p, &s, 1, true);
    put(&p, 0, 3);
    checkpoint(&p, &s, 2, false);
    still = &s;
    ask(&p, 2, COLO_DISK_VERIFY, 0);
    for (int ms = 0; ms < 5000 && standing < 2; ms++)
        pause_ms(1);
    ck_assert_int_ge(standing, 2);
    ck_assert_int_eq(pthread_create(&t, NULL, move_on, NULL), 0);
    began = time(NULL);
    ask(&s, 3, COLO_PROXY_FAILOVER, 0);
    ck_assert_str_eq(wait_answer(&s, 3), "");
    ck_assert_int_le(time(NULL) - began, 5);
    still = NULL;
    pthread_join(t, NULL);
    ck_assert_uint_eq(get(&s, 0), 2);
    stalled = NULL;
    ck_assert_int_eq(colo__disk_flush(s.disk), 0);
    ck_assert_int_eq(state_of(&s), COLO_META_ALONE);
    ck_assert_uint_eq(get(&s, 0), 2);
    ck_assert_uint_eq(get(&s, 65536), 1);
    end_free(&p);
    end_free(&s);
}
END_TEST

/* The applier fails while a takeover has begun: whatever order, the copy does
 * not pass for a guest's. */
START_TEST(test_takeover_broken)
{
    struct end p, s;
    struct colo_error err;
    uint64_t left;

    end_make(&p, COLO_DISK_PRIMARY);
    end_make(&s, COLO_DISK_SECONDARY);
    start(&p, &s, 1);
    checkpoint(&p, &s, 1, true);
    colo__disk_set_phase(s.disk, PHASE_BROKEN);
    ck_assert_int_eq(colo__replica_take_over(s.disk, &left, &err),
                     COLO_E_SYS);
    ck_assert_int_eq(s.disk->phase, PHASE_BROKEN);
    ck_assert_int_eq(state_of(&s), COLO_META_SYNCING);
    end_free(&p);
    end_free(&s);
}
END_TEST

/* What a twin without holes has to write comes in pieces. */
START_TEST(test_large_zero)
{
    uint64_t size = UINT64_C(200) << 20;
    struct colo_elog_stats stats;
    struct end p, s;

    end_make(&p, COLO_DISK_PRIMARY);
    end_make(&s, COLO_DISK_SECONDARY);
    colo__disk_close(p.disk);
    colo__disk_close(s.disk);
    unlink(p.meta);
    unlink(s.meta);
    ck_assert_int_eq(truncate(p.file.path, (off_t)size), 0);
    ck_assert_int_eq(truncate(s.file.path, (off_t)size), 0);
    end_open(&p, COLO_DISK_PRIMARY);
    end_open(&s, COLO_DISK_SECONDARY);
    put(&p, size - 4096, 1);
    start(&p, &s, 1);
    ck_assert_uint_eq(get(&s, size - 4096), 1);
    ck_assert_int_eq(colo__disk_zero(p.disk, size, 0, true, true), 0);
    checkpoint(&p, &s, 1, false);
    colo__elog_stats(s.disk->log, &stats);
    ck_assert_uint_eq(stats.records, 5); /* one is the barrier */
    checkpoint(&p, &s, 2, true);
    ask(&s, 2, COLO_PROXY_FAILOVER, 0);
    ck_assert_str_eq(wait_answer(&s, 2), "");
    ck_assert_uint_eq(get(&s, size - 4096), 0);
    end_free(&p);
    end_free(&s);
}
END_TEST

/* ---- a disk that fails a flush ------------------------------------------ */

int __real_colo__backing_flush(struct colo_backing *b);
int __wrap_colo__backing_flush(struct colo_backing *b);
static _Atomic(struct end *) unflushed; /* its disk fails the next flush */

int __wrap_colo__backing_flush(struct colo_backing *b)
{
    struct end *e = unflushed;

    if (!e || e->disk->backing != b)
        return __real_colo__backing_flush(b);
    unflushed = NULL; /* the kernel says it once */
    return EIO;
}

static bool is_marked(struct end *e, uint64_t offset)
{
    uint64_t at = offset, len;

    return colo__meta_next(e->disk->meta, &at, &len) && at == offset;
}

/* epochs after which every bit of a disk that works is gone */
static void pass_epochs(struct end *p, struct end *s, uint64_t first)
{
    for (uint64_t n = first; n < first + 12; n++) {
        checkpoint(p, s, n, true);
        pause_ms(10); /* for APPLIED */
    }
}

/* What did not become durable keeps its bit until the next first copy, and the
 * guest is told of it once.  own: the flush was the guest's. */
static void failed_flush(bool own, bool fua)
{
    uint8_t page[4096] = { 1 };
    struct end p, s;

    end_make(&p, COLO_DISK_PRIMARY);
    end_make(&s, COLO_DISK_SECONDARY);
    start(&p, &s, 1);
    put(&p, 65536 * 3, 1);
    pass_epochs(&p, &s, 1);
    ck_assert(!is_marked(&p, 65536 * 3));
    put(&p, 65536 * 5, 1);
    unflushed = &p;
    if (own)
        ck_assert_int_eq(colo__disk_flush(p.disk), EIO);
    pass_epochs(&p, &s, 20);
    ck_assert_ptr_null(unflushed);
    ck_assert(is_marked(&p, 65536 * 5));
    if (!own && fua)
        ck_assert_int_eq(colo__disk_write(p.disk, page, sizeof(page), 0, true),
                         EIO);
    else if (!own)
        ck_assert_int_eq(colo__disk_flush(p.disk), EIO);
    ck_assert_int_eq(colo__disk_flush(p.disk), 0);
    ck_assert_int_eq(colo__disk_write(p.disk, page, sizeof(page), 0, true), 0);
    ask(&p, 90, COLO_PROXY_STOP, 0);
    ask(&s, 90, COLO_PROXY_STOP, 0);
    ck_assert_str_eq(wait_answer(&p, 90), "");
    ck_assert_str_eq(wait_answer(&s, 90), "");
    start(&p, &s, 2);
    pass_epochs(&p, &s, 40);
    ck_assert(!is_marked(&p, 65536 * 5));
    end_free(&p);
    end_free(&s);
}

START_TEST(test_failed_flush)
{
    failed_flush(false, false);
    failed_flush(false, true);
    failed_flush(true, false);
}
END_TEST

/* ---- a takeover that is called off -------------------------------------- */

/* 0, or why not */
static int try_put(struct end *e, uint64_t offset, uint8_t value)
{
    uint8_t page[4096];

    memset(page, value, sizeof(page));
    return colo__disk_write(e->disk, page, sizeof(page), offset, false);
}

/* Both were grown between two protections: nothing else is needed. */
START_TEST(test_grown)
{
    struct end p, s;
    char text[256];

    end_make(&p, COLO_DISK_PRIMARY);
    end_make(&s, COLO_DISK_SECONDARY);
    start(&p, &s, 1);
    put(&p, 65536, 1);
    checkpoint(&p, &s, 1, true);
    ask(&p, 2, COLO_PROXY_STOP, 0);
    ask(&s, 2, COLO_PROXY_STOP, 0);
    ck_assert_str_eq(wait_answer(&p, 2), "");
    ck_assert_str_eq(wait_answer(&s, 2), "");
    ck_assert_int_eq(truncate(p.file.path, 2 * SIZE), 0);
    ck_assert_int_eq(truncate(s.file.path, 2 * SIZE), 0);
    end_again(&p, COLO_DISK_PRIMARY);
    end_again(&s, COLO_DISK_SECONDARY);
    ck_assert_int_eq(state_of(&s), COLO_META_SECONDARY);
    put(&p, SIZE + 65536, 2);
    start(&p, &s, 3);
    ck_assert_uint_eq(s.total, 2 * SIZE);
    ask(&p, 4, COLO_DISK_VERIFY, 0);
    ck_assert_str_eq(wait_answer(&p, 4), "");
    ck_assert_str_eq(wait_event(&p, "verified", text), "verified 128 0");
    end_free(&p);
    end_free(&s);
}
END_TEST

/* A takeover that is called off, with the log on the disk or not: the copy must
 * not start a guest any more, nor keep a primary out. */
static void takeover_undone(bool draining)
{
    struct end p, s;
    char text[256];

    end_make(&p, COLO_DISK_PRIMARY);
    end_make(&s, COLO_DISK_SECONDARY);
    put(&p, 65536, 1);
    start(&p, &s, 1);
    put(&p, 0, 2);
    stalled = draining ? &s : NULL;
    checkpoint(&p, &s, 1, true);
    put(&p, 65536 * 3, 3); /* never committed */
    ask(&s, 50, COLO_PROXY_FAILOVER, 0);
    ck_assert_str_eq(wait_answer(&s, 50), "");
    if (!draining)
        ck_assert_int_eq(colo__disk_flush(s.disk), 0);
    ck_assert_int_eq(state_of(&s), draining ? COLO_META_APPLYING :
                     COLO_META_ALONE);
    ask(&s, 51, COLO_PROXY_STOP, 1);
    ck_assert_str_eq(wait_answer(&s, 51), "");
    if (draining) {
        /* whoever starts on it is behind the primary */
        ck_assert_int_eq(colo__disk_read(s.disk, text, 1, 0), EIO);
        ck_assert_int_eq(try_put(&s, 65536 * 9, 9), EIO);
        ck_assert_int_eq(colo__disk_zero(s.disk, 4096, 65536 * 9, false,
                                         false), EIO);
        ck_assert_int_eq(colo__disk_flush(s.disk), EIO);
        /* a crash here leaves what may be overwritten, too */
        ck_assert_int_eq(state_of(&s), COLO_META_APPLYING);
        stalled = NULL;
        for (int ms = 0; ms < 20000 && state_of(&s) == COLO_META_APPLYING;
             ms++)
            pause_ms(1);
    }
    ck_assert_int_eq(state_of(&s), COLO_META_OUTDATED);
    ck_assert_int_eq(colo__meta_may_start(s.meta, text, sizeof(text)), 1);
    ask(&p, 51, COLO_PROXY_STOP, 0);
    ck_assert_str_eq(wait_answer(&p, 51), "");
    colo__disk_gone(s.disk);
    end_again(&s, COLO_DISK_SECONDARY);
    ck_assert_int_eq(state_of(&s), COLO_META_OUTDATED);
    start(&p, &s, 2);
    ck_assert_uint_eq(s.total, SIZE);
    ask(&p, 3, COLO_DISK_VERIFY, 0);
    ck_assert_str_eq(wait_answer(&p, 3), "");
    ck_assert_str_eq(wait_event(&p, "verified", text), "verified 64 0");
    end_free(&p);
    end_free(&s);
}

START_TEST(test_takeover_undone)
{
    takeover_undone(false);
    takeover_undone(true);
}
END_TEST

/* ---- a takeover that cannot be finished --------------------------------- */

int __real_colo__meta_set(struct colo_meta *meta, int state,
                          const uint8_t *generation, struct colo_error *err);
int __wrap_colo__meta_set(struct colo_meta *meta, int state,
                          const uint8_t *generation, struct colo_error *err);
static _Atomic(struct end *) unset; /* its metadata takes no state */

int __wrap_colo__meta_set(struct colo_meta *meta, int state,
                          const uint8_t *generation, struct colo_error *err)
{
    struct end *e = unset;

    if (e && e->disk->meta == meta)
        return colo__fail(err, COLO_E_SYS, EROFS, "test", "read-only");
    return __real_colo__meta_set(meta, state, generation, err);
}

static bool becomes(const struct end *e, int state)
{
    for (int ms = 0; ms < 10000 && state_of(e) != state; ms++)
        pause_ms(1);
    return state_of(e) == state;
}

/* All is on the disk, but the metadata cannot say so: the guest has its disk,
 * and the state comes when it can. */
START_TEST(test_takeover_unwritten)
{
    struct end p, s;

    end_make(&p, COLO_DISK_PRIMARY);
    end_make(&s, COLO_DISK_SECONDARY);
    start(&p, &s, 1);
    stalled = &s;
    put(&p, 0, 2);
    checkpoint(&p, &s, 1, true);
    ask(&s, 50, COLO_PROXY_FAILOVER, 0);
    ck_assert_str_eq(wait_answer(&s, 50), "");
    unset = &s;
    stalled = NULL;
    ck_assert_int_eq(colo__disk_flush(s.disk), 0);
    ck_assert_int_eq(state_of(&s), COLO_META_APPLYING);
    put(&s, 65536, 3);
    ck_assert_int_eq(colo__disk_flush(s.disk), 0);
    ck_assert_uint_eq(get(&s, 0), 2);
    ck_assert_uint_eq(get(&s, 65536), 3);
    unset = NULL;
    ck_assert(becomes(&s, COLO_META_ALONE));
    ck_assert_uint_eq(get(&s, 65536), 3);
    end_free(&p);
    end_free(&s);
}
END_TEST

/* A process that has to go does not wait for that. */
START_TEST(test_takeover_unwritten_end)
{
    struct end p, s;
    time_t began;

    end_make(&p, COLO_DISK_PRIMARY);
    end_make(&s, COLO_DISK_SECONDARY);
    start(&p, &s, 1);
    checkpoint(&p, &s, 1, true);
    unset = &s;
    ask(&s, 50, COLO_PROXY_FAILOVER, 0);
    ck_assert_str_eq(wait_answer(&s, 50), "");
    ck_assert_int_eq(colo__disk_flush(s.disk), 0);
    began = time(NULL);
    ck_assert(colo__disk_close(s.disk));
    ck_assert_int_le(time(NULL) - began, 20);
    unset = NULL;
    end_open(&s, COLO_DISK_SECONDARY);
    end_free(&p);
    end_free(&s);
}
END_TEST

/* A disk that fails at the end of a takeover: nobody waits for the rest. */
START_TEST(test_takeover_unflushed)
{
    struct end p, s;

    end_make(&p, COLO_DISK_PRIMARY);
    end_make(&s, COLO_DISK_SECONDARY);
    start(&p, &s, 1);
    put(&p, 0, 2);
    checkpoint(&p, &s, 1, true);
    pause_ms(1000); /* all of the log is applied */
    unflushed = &s;
    ask(&s, 50, COLO_PROXY_FAILOVER, 0);
    ck_assert_str_eq(wait_answer(&s, 50), "");
    ck_assert(becomes(&s, COLO_META_SYNCING));
    ck_assert_int_eq(colo__disk_flush(s.disk), EIO);
    ck_assert_int_eq(try_put(&s, 0, 1), EIO);
    end_free(&p);
    end_free(&s);
}
END_TEST

/* A guest that was started keeps its copy, whoever stops and whoever goes. */
START_TEST(test_takeover_stays)
{
    struct end p, s;

    end_make(&p, COLO_DISK_PRIMARY);
    end_make(&s, COLO_DISK_SECONDARY);
    start(&p, &s, 1);
    ask(&s, 49, COLO_PROXY_STOP, 1); /* and it never took over */
    ck_assert_str_eq(wait_answer(&s, 49), "");
    ck_assert_int_eq(state_of(&s), COLO_META_SECONDARY);
    start(&p, &s, 2);
    checkpoint(&p, &s, 1, true);
    ask(&s, 50, COLO_PROXY_FAILOVER, 0);
    ck_assert_str_eq(wait_answer(&s, 50), "");
    put(&s, 0, 7);
    ask(&s, 51, COLO_PROXY_STOP, 0);
    ck_assert_str_eq(wait_answer(&s, 51), "");
    colo__disk_gone(s.disk);
    ck_assert_int_eq(colo__disk_flush(s.disk), 0);
    ck_assert_int_eq(state_of(&s), COLO_META_ALONE);
    end_free(&p);
    end_free(&s);
}
END_TEST

/* ---- metadata that takes no mark --------------------------------------------- */

int __real_colo__meta_mark(struct colo_meta *meta, uint64_t offset,
                           uint64_t len, struct colo_error *err);
int __wrap_colo__meta_mark(struct colo_meta *meta, uint64_t offset,
                           uint64_t len, struct colo_error *err);
static _Atomic(struct end *) read_only;

int __wrap_colo__meta_mark(struct colo_meta *meta, uint64_t offset,
                           uint64_t len, struct colo_error *err)
{
    struct end *e = read_only;

    if (e && e->disk->meta == meta)
        return colo__fail(err, COLO_E_SYS, EROFS, "test", "read-only");
    return __real_colo__meta_mark(meta, offset, len, err);
}

/* The guest goes on, protection does not, and the next one compares all. */
START_TEST(test_no_marks)
{
    struct end p, s;
    struct colo_error err;
    char text[256];
    time_t began;

    end_make(&p, COLO_DISK_PRIMARY);
    end_make(&s, COLO_DISK_SECONDARY);
    read_only = &p;
    ck_assert_int_eq(try_put(&p, 0, 1), EIO); /* nobody would remember */
    read_only = NULL;
    snprintf(p.flag, sizeof(p.flag), "%s.flag", p.file.path);
    end_again(&p, COLO_DISK_PRIMARY);
    start(&p, &s, 1);
    checkpoint(&p, &s, 1, true);
    read_only = &p;
    /* it waits until nobody takes the bits for all, but not for ever */
    began = time(NULL);
    put(&p, 65536 * 9, 5);
    ck_assert_int_ge(time(NULL) - began, 2);
    ck_assert_int_eq(access(p.flag, F_OK), 0);
    ck_assert_ptr_nonnull(strstr(wait_event(&p, "error ", text),
                                 "not noted any more: read-only"));
    put(&p, 65536 * 11, 6);
    ck_assert_int_eq(colo__disk_flush(p.disk), 0);
    ask(&p, 2, COLO_PROXY_CHECKPOINT, 2);
    ck_assert_str_ne(wait_answer(&p, 2), "");
    ask(&p, 3, COLO_PROXY_STOP, 0);
    ask(&s, 3, COLO_PROXY_STOP, 0);
    ck_assert_str_eq(wait_answer(&p, 3), "");
    ck_assert_str_eq(wait_answer(&s, 3), "");
    read_only = NULL;
    /* this process cannot: its bits are not all */
    begin_mode(&p, &s, 4, COLO_MODE_REMUS);
    ck_assert_ptr_nonnull(strstr(wait_answer(&p, 4), "could not be written"));
    colo__disk_close(p.disk);
    ck_assert_int_eq(colo__meta_take_flag(p.meta, p.flag, SIZE, &err), 0);
    p.answered = 0;
    end_open(&p, COLO_DISK_PRIMARY);
    start(&p, &s, 5);
    ck_assert_uint_eq(s.total, SIZE);
    ask(&p, 6, COLO_DISK_VERIFY, 0);
    ck_assert_str_eq(wait_answer(&p, 6), "");
    ck_assert_str_eq(wait_event(&p, "verified", text), "verified 64 0");
    /* after a takeover its log has to be written down there, too */
    checkpoint(&p, &s, 1, false);
    snprintf(s.flag, sizeof(s.flag), "%s.flag", s.file.path);
    s.disk->config.flag = s.flag;
    stalled = &s;
    put(&p, 65536 * 3, 7);
    checkpoint(&p, &s, 2, true);
    ask(&s, 7, COLO_PROXY_FAILOVER, 0);
    ck_assert_str_eq(wait_answer(&s, 7), "");
    read_only = &s;
    ck_assert_int_eq(try_put(&s, 65536 * 3, 8), EIO);
    ck_assert_int_ne(access(s.flag, F_OK), 0);
    stalled = NULL;
    ck_assert_int_eq(colo__disk_flush(s.disk), 0);
    put(&s, 65536 * 3, 9);
    ck_assert_int_eq(access(s.flag, F_OK), 0);
    read_only = NULL;
    end_free(&p);
    end_free(&s);
    unlink(s.flag);
}
END_TEST

PURE_MAIN("disk-engine", test_failover, test_takeover_resync, test_both_ran,
          test_lost_power, test_resync, test_verify_finds, test_lost_twin,
          test_full_log, test_write_in_copy, test_yield, test_refused,
          test_hole_in_the_log, test_grown, test_failed_flush,
          test_takeover_undone, test_blocks,
          test_takeover_unwritten, test_takeover_unwritten_end,
          test_takeover_unflushed, test_takeover_stays,
          test_takeover_in_verify, test_takeover_broken, test_large_zero,
          test_no_marks)
