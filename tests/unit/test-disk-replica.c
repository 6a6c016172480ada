/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A replica that runs and writes (mode colo): its own writes over what is
 * committed, gone at a commit, kept at a takeover, and what happens when they
 * cannot be kept.
 */
#include "disk-pair.h"

static void pair_make(struct end *p, struct end *s, uint64_t memory,
                      uint64_t spill)
{
    end_make(p, COLO_DISK_PRIMARY);
    end_make(s, COLO_DISK_SECONDARY);
    if (memory) {
        s->memory = memory;
        s->spill = spill;
        snprintf(s->usage, sizeof(s->usage), "%s.use", s->file.path);
        end_again(s, COLO_DISK_SECONDARY);
    }
    for (uint64_t o = 0; o < SIZE; o += 65536)
        put(p, o, (uint8_t)(o / 65536 + 1));
    start_mode(p, s, 1, COLO_MODE_COLO);
}

static void pair_free(struct end *p, struct end *s)
{
    end_free(p);
    end_free(s);
}

static void must(struct end *e, uint64_t seq, int verb, uint64_t arg)
{
    ask(e, seq, verb, arg);
    ck_assert_str_eq(wait_answer(e, seq), "");
}

static void all_is(struct end *e, uint64_t offset, size_t len, uint8_t value)
{
    uint8_t buf[16384];

    ck_assert_uint_le(len, sizeof(buf));
    ck_assert_int_eq(colo__disk_read(e->disk, buf, len, offset), 0);
    for (size_t i = 0; i < len; i++) { /* an assertion each would be slow */
        if (buf[i] != value)
            ck_abort_msg("%zu: %u, not %u", i, buf[i], value);
    }
}

START_TEST(test_own_writes)
{
    uint8_t odd[5000];
    struct end p, s;

    pair_make(&p, &s, 0, 0);
    /* it has not been given anything yet */
    ck_assert_int_eq(colo__disk_write(s.disk, odd, 512, 0, false), EROFS);
    put(&p, 65536, 50);
    checkpoint(&p, &s, 1, true);
    ck_assert_uint_eq(get(&s, 65536), 50);

    put(&p, 65536, 51); /* of epoch 2, which is not committed */
    put(&p, 4 * 65536, 52);
    put(&s, 0, 60);
    memset(odd, 61, sizeof(odd));
    ck_assert_int_eq(colo__disk_write(s.disk, odd, sizeof(odd), 65536 + 1001,
                                      true), 0);
    ck_assert_int_eq(colo__disk_zero(s.disk, 3000, 2 * 65536 + 500, false,
                                     false), 0);
    ck_assert_int_eq(colo__disk_zero(s.disk, 4096, 3 * 65536, true, false),
                     0);
    ck_assert_int_eq(colo__disk_flush(s.disk), 0);
    checkpoint(&p, &s, 2, false); /* whole, and not committed either */
    all_is(&s, 0, 4096, 60);
    all_is(&s, 65536, 1001, 50);
    all_is(&s, 65536 + 1001, 5000, 61);
    all_is(&s, 65536 + 6001, 4096, 0);
    all_is(&s, 2 * 65536, 500, 3);
    all_is(&s, 2 * 65536 + 500, 3000, 0);
    all_is(&s, 2 * 65536 + 3500, 4096 - 3500, 3);
    all_is(&s, 3 * 65536, 4096, 0);
    all_is(&s, 4 * 65536, 4096, 5);
    ck_assert_uint_eq(get(&p, 0), 1);

    must(&s, 70, COLO_PROXY_COMMIT, 2);
    all_is(&s, 0, 4096, 1);
    all_is(&s, 65536, 4096, 51);
    all_is(&s, 65536 + 4096, 4096, 0);
    all_is(&s, 2 * 65536, 4096, 3);
    all_is(&s, 3 * 65536, 4096, 4);
    all_is(&s, 4 * 65536, 4096, 52);
    must(&p, 71, COLO_PROXY_COMMIT, 2);
    pair_free(&p, &s);
}
END_TEST

/* what is committed twice would take away what came since */
START_TEST(test_commit_again)
{
    struct end p, s;

    pair_make(&p, &s, 0, 0);
    checkpoint(&p, &s, 1, true);
    put(&s, 0, 60);
    ask(&s, 70, COLO_PROXY_COMMIT, 1);
    ck_assert_str_ne(wait_answer(&s, 70), "");
    ask(&s, 71, COLO_PROXY_COMMIT, 2); /* it has not come */
    ck_assert_str_ne(wait_answer(&s, 71), "");
    ck_assert_uint_eq(get(&s, 0), 60);
    pair_free(&p, &s);
}
END_TEST

START_TEST(test_takeover)
{
    struct end p, s;
    char text[256];

    pair_make(&p, &s, 0, 0);
    put(&p, 0, 40);
    put(&p, 5 * 65536, 41);
    checkpoint(&p, &s, 1, true);
    put(&s, 0, 60);                 /* both wrote here */
    put(&s, 7 * 65536 + 8192, 61);  /* only the replica */
    put(&s, 11 * 65536, 63);
    put(&p, 0, 42);
    put(&p, 9 * 65536, 43);         /* only the primary */
    checkpoint(&p, &s, 2, false);
    must(&s, 50, COLO_PROXY_FAILOVER, 0);
    put(&s, 7 * 65536 + 12288, 62);
    ck_assert_int_eq(colo__disk_write(s.disk, "x", 1, 7 * 65536 + 8200,
                                      false), 0);
    for (int flushed = 0; flushed < 2; flushed++) {
        all_is(&s, 0, 4096, 60);
        all_is(&s, 5 * 65536, 4096, 41);
        all_is(&s, 7 * 65536 + 8192, 8, 61);
        all_is(&s, 7 * 65536 + 8200, 1, 'x');
        all_is(&s, 7 * 65536 + 8201, 4096 - 9, 61);
        all_is(&s, 7 * 65536 + 12288, 4096, 62);
        all_is(&s, 9 * 65536, 4096, 10);
        all_is(&s, 11 * 65536, 4096, 63);
        ck_assert_int_eq(colo__disk_flush(s.disk), 0);
    }
    ck_assert_int_eq(colo__meta_peek(s.meta, NULL, NULL), COLO_META_ALONE);
    must(&p, 51, COLO_PROXY_FAILOVER, 0);
    end_again(&p, COLO_DISK_SECONDARY);
    end_again(&s, COLO_DISK_PRIMARY);
    start_mode(&s, &p, 2, COLO_MODE_COLO);
    ck_assert_uint_le(s.total, 65536 * 5); /* the bits know of its writes */
    must(&s, 3, COLO_DISK_VERIFY, 0);
    ck_assert_str_eq(wait_event(&s, "verified", text), "verified 64 0");
    all_is(&s, 7 * 65536 + 8201, 4096 - 9, 61);
    pair_free(&p, &s);
}
END_TEST

START_TEST(test_stop)
{
    struct end p, s;

    pair_make(&p, &s, 0, 0);
    checkpoint(&p, &s, 1, true);
    put(&s, 0, 60);
    must(&s, 50, COLO_PROXY_STOP, 0);
    must(&p, 50, COLO_PROXY_STOP, 0);
    ck_assert_int_eq(colo__disk_zero(s.disk, 4096, 0, false, false), EROFS);
    ck_assert_uint_eq(get(&s, 0), 1);
    start_mode(&p, &s, 2, COLO_MODE_COLO);
    ck_assert_int_eq(colo__disk_zero(s.disk, 4096, 0, false, false), EROFS);
    checkpoint(&p, &s, 1, true);
    ck_assert_uint_eq(get(&s, 0), 1);
    pair_free(&p, &s);
}
END_TEST

/* too much of its own: asked for in time, then it can take over no more */
START_TEST(test_full)
{
    uint8_t page[4096] = { 1 };
    struct end p, s;
    char text[256];
    uint64_t o = 0;
    int r = 0;

    pair_make(&p, &s, 1 << 20, 0);
    checkpoint(&p, &s, 1, true);
    for (; o < 1 << 19; o += 4096)
        put(&s, o, 60);
    ck_assert_str_eq(wait_event(&s, "diverged", text),
                     "diverged the replica's writes are large");
    checkpoint(&p, &s, 2, true); /* and that is how it ends */
    ck_assert_uint_eq(get(&s, 0), 1);
    for (o = 0; o < SIZE && !r; o += 4096)
        r = colo__disk_write(s.disk, page, sizeof(page), o, false);
    ck_assert_int_eq(r, ENOSPC);
    ck_assert_uint_eq(o, (1 << 20) + 4096);
    ck_assert_msg(strstr(wait_event(&s, "error ", text), "cannot be kept"),
                  "%s", text);
    ck_assert_msg(strstr(wait_event(&p, "error ", text), "cannot be kept"),
                  "%s", text);
    ck_assert_int_eq(colo__disk_write(s.disk, page, sizeof(page), 0, false),
                     EIO);
    ask(&s, 60, COLO_PROXY_FAILOVER, 0);
    ck_assert_str_ne(wait_answer(&s, 60), "");
    put(&p, 0, 9); /* the guest goes on */
    ck_assert_uint_eq(get(&p, 0), 9);
    pair_free(&p, &s);
}
END_TEST

/* What is cached of the guest's device may be old.  A plain file stands for
 * one that cannot be made to forget. */
static void stubborn_device(int mode, const char *device, bool ok)
{
    struct end p, s;

    end_make(&p, COLO_DISK_PRIMARY);
    end_make(&s, COLO_DISK_SECONDARY);
    s.device = device ? device : s.file.path;
    end_again(&s, COLO_DISK_SECONDARY);
    start_mode(&p, &s, 1, (uint64_t)mode);
    checkpoint(&p, &s, 1, mode == COLO_MODE_REMUS);
    if (mode == COLO_MODE_COLO) {
        ask(&s, 40, COLO_PROXY_COMMIT, 1);
        ck_assert_int_eq(!*wait_answer(&s, 40), ok);
    }
    for (uint64_t seq = 50; mode == COLO_MODE_REMUS && seq < 52; seq++) {
        ask(&s, seq, COLO_PROXY_FAILOVER, 0);
        ck_assert_int_eq(!*wait_answer(&s, seq), ok);
    }
    pair_free(&p, &s);
}

START_TEST(test_page_cache)
{
    stubborn_device(COLO_MODE_REMUS, NULL, false);
    stubborn_device(COLO_MODE_COLO, NULL, false);
    /* none is made yet: nobody has read anything */
    stubborn_device(COLO_MODE_REMUS, "/dev/mapper/colo-none", true);
    stubborn_device(COLO_MODE_COLO, "/dev/mapper/colo-none", true);
}
END_TEST

START_TEST(test_spill)
{
    struct end p, s;
    char text[256], line[200] = "";
    FILE *f;

    pair_make(&p, &s, 1 << 20, 8 << 20);
    checkpoint(&p, &s, 1, true);
    for (uint64_t o = 0; o < 3 << 20; o += 4096)
        put(&s, o, (uint8_t)(o >> 12 | 1));
    colo__disk_tell_usage(s.disk);
    ck_assert_str_eq(wait_event(&s, "spilled", text),
                     "spilled 2 MiB of at most 8");
    f = fopen(s.usage, "re");
    ck_assert_ptr_nonnull(f);
    ck_assert_ptr_nonnull(fgets(line, sizeof(line), f));
    fclose(f);
    ck_assert_msg(strstr(line, "spilled 2 MiB (most 2, limit 8)"), "%s",
                  line);
    for (uint64_t o = 0; o < 3 << 20; o += 4096)
        all_is(&s, o, 4096, (uint8_t)(o >> 12 | 1));
    must(&s, 50, COLO_PROXY_FAILOVER, 0);
    ck_assert_int_eq(colo__disk_flush(s.disk), 0);
    for (uint64_t o = 0; o < 3 << 20; o += 4096)
        all_is(&s, o, 4096, (uint8_t)(o >> 12 | 1));
    pair_free(&p, &s);
    ck_assert_int_ne(access(s.usage, F_OK), 0);
}
END_TEST

PURE_MAIN("disk-replica", test_own_writes, test_commit_again, test_takeover,
          test_stop, test_full, test_spill, test_page_cache)
