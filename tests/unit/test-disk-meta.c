/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The metadata of a disk copy: bits, states, and above all that a crash at any
 * moment, also in the middle of a write, loses no mark and no state.
 *
 * pwrite and fdatasync are wrapped by the linker: a crash is a copy of the
 * file in which the synced writes are whole and of the others any part may be
 * missing.
 */
#include <endian.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "pure-common.h"

#include "../../disk-proxy/meta-format.h"

#define MIB (UINT64_C(1) << 20)
#define AS COLO_META_ALONE  /* the state of a new file */
#define CHUNK ((uint64_t)COLO_META_CHUNK)
#define DISK (64 * MIB + 4096)  /* 17 extents, the last with one chunk */

ssize_t __real_pwrite(int fd, const void *buf, size_t len, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *buf, size_t len, off_t offset);
int __wrap_fdatasync(int fd);

/* What the disk under the file would hold after a crash. */
static struct {
    uint8_t durable[64 * 1024];
    uint8_t before[4096];     /* what the last write covered */
    size_t len;
    off_t last_at;
    size_t last_len;
    unsigned int syncs, writes;
    bool fail_sync;
} disk;

ssize_t __wrap_pwrite(int fd, const void *buf, size_t len, off_t offset)
{
    disk.writes++;
    disk.last_at = offset;
    disk.last_len = len;
    return __real_pwrite(fd, buf, len, offset);
}

int __wrap_fdatasync(int fd)
{
    struct stat st;

    disk.syncs++;
    if (disk.fail_sync) {
        errno = EIO;
        return -1;
    }
    ck_assert_int_eq(fstat(fd, &st), 0);
    ck_assert_int_le(st.st_size, (off_t)sizeof(disk.durable));
    disk.len = (size_t)st.st_size;
    ck_assert_int_eq(pread(fd, disk.durable, disk.len, 0), st.st_size);
    return 0;
}

static char folder[] = "/tmp/colo-meta-XXXXXX";
static char path[64], crashed[64];

static void make_folder(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/a.meta", folder);
    snprintf(crashed, sizeof(crashed), "%s/b.meta", folder);
}

static void remove_folder(void)
{
    unlink(path);
    unlink(crashed);
    rmdir(folder);
}

static struct colo_meta *must_open(const char *name)
{
    struct colo_meta *meta = NULL;
    struct colo_error err;

    if (colo__meta_open(name, DISK, AS, &meta, &err))
        ck_abort_msg("%s", err.text);
    return meta;
}

static void must_mark(struct colo_meta *meta, uint64_t offset, uint64_t len)
{
    ck_assert_int_eq(colo__meta_mark(meta, offset, len, NULL), 0);
}

static bool is_marked(const struct colo_meta *meta, uint64_t offset)
{
    uint64_t at = offset / CHUNK * CHUNK, len;

    return colo__meta_next(meta, &at, &len) && at <= offset;
}

static uint64_t count_marked(const struct colo_meta *meta)
{
    uint64_t at = 0, len, sum = 0;

    while (colo__meta_next(meta, &at, &len)) {
        sum += len;
        at += (len + CHUNK - 1) / CHUNK * CHUNK;
    }
    return sum;
}

/* Only what was synced, and of the last write since its first `torn` bytes. */
static struct colo_meta *open_after_crash(size_t torn)
{
    int fd = open(crashed, O_RDWR | O_CREAT | O_TRUNC, 0600);
    int live = open(path, O_RDONLY);
    uint8_t part[4096];

    ck_assert_int_eq(write(fd, disk.durable, disk.len), (ssize_t)disk.len);
    if (torn) {
        ck_assert_uint_le(torn, sizeof(part));
        ck_assert_int_eq(pread(live, part, torn, disk.last_at),
                         (ssize_t)torn);
        ck_assert_int_eq(__real_pwrite(fd, part, torn, disk.last_at),
                         (ssize_t)torn);
    }
    close(fd);
    close(live);
    return must_open(crashed);
}

START_TEST(test_new_file)
{
    struct colo_meta *meta = must_open(path), *second = NULL;
    uint8_t generation[COLO_META_GENERATION], peeked[COLO_META_GENERATION];
    struct colo_error err;

    ck_assert_int_eq(colo__meta_state(meta), COLO_META_ALONE);
    ck_assert_uint_eq(count_marked(meta), 0);
    memcpy(generation, colo__meta_generation(meta), sizeof(generation));
    ck_assert_int_eq(colo__meta_open(path, DISK, AS, &second, &err),
                     COLO_E_EXISTS);
    ck_assert_int_eq(colo__meta_peek(path, peeked, NULL), COLO_META_ALONE);
    ck_assert_mem_eq(peeked, generation, sizeof(generation));
    colo__meta_close(meta);
    meta = must_open(path);
    ck_assert_mem_eq(colo__meta_generation(meta), generation,
                     sizeof(generation));
    colo__meta_close(meta);
    ck_assert_int_eq(truncate(path, 12288), 0);
    ck_assert_int_eq(colo__meta_open(path, DISK, AS, &meta, &err),
                     COLO_E_CORRUPT);
    ck_assert_int_eq(colo__meta_peek(crashed, NULL, NULL), 0);
}
END_TEST

/* What no guest has had is not the newest copy of anything. */
START_TEST(test_new_file_of_a_secondary)
{
    static const uint8_t none[COLO_META_GENERATION];
    struct colo_meta *meta = NULL;

    ck_assert_int_eq(colo__meta_open(path, DISK, COLO_META_SECONDARY, &meta,
                                     NULL), 0);
    ck_assert_int_eq(colo__meta_state(meta), COLO_META_SECONDARY);
    ck_assert_mem_ne(colo__meta_generation(meta), none, sizeof(none));
    ck_assert_uint_eq(count_marked(meta), 0);
    colo__meta_close(meta);
    /* what is there already is what it is */
    ck_assert_int_eq(colo__meta_open(path, DISK, AS, &meta, NULL), 0);
    ck_assert_int_eq(colo__meta_state(meta), COLO_META_SECONDARY);
    ck_assert_int_eq(colo__meta_set(meta, COLO_META_ALONE, NULL, NULL), 0);
    colo__meta_close(meta);
    ck_assert_int_eq(colo__meta_open(path, DISK, COLO_META_SECONDARY, &meta,
                                     NULL), 0);
    ck_assert_int_eq(colo__meta_state(meta), COLO_META_ALONE);
    colo__meta_close(meta);
}
END_TEST

START_TEST(test_bits)
{
    struct colo_meta *meta = must_open(path);
    uint64_t at = 0, len = 0;

    must_mark(meta, 3 * CHUNK + 1, CHUNK);          /* 3 and 4 */
    must_mark(meta, 62 * CHUNK, 4 * CHUNK);         /* over an extent's end */
    must_mark(meta, 5, 0);
    must_mark(meta, DISK - 1, 1);
    ck_assert(colo__meta_next(meta, &at, &len));
    ck_assert_uint_eq(at, 3 * CHUNK);
    ck_assert_uint_eq(len, 2 * CHUNK);
    at += len;
    ck_assert(colo__meta_next(meta, &at, &len));
    ck_assert_uint_eq(at, 62 * CHUNK);
    ck_assert_uint_eq(len, 4 * CHUNK);
    at += len;
    ck_assert(colo__meta_next(meta, &at, &len));
    ck_assert_uint_eq(at, 64 * MIB);
    ck_assert_uint_eq(len, 4096);
    at += CHUNK;
    ck_assert(!colo__meta_next(meta, &at, &len));

    ck_assert_int_eq(colo__meta_clear(meta, 63 * CHUNK, CHUNK + 1, NULL), 0);
    ck_assert(is_marked(meta, 62 * CHUNK));
    ck_assert(!is_marked(meta, 63 * CHUNK));
    ck_assert(!is_marked(meta, 64 * CHUNK));
    ck_assert(is_marked(meta, 65 * CHUNK));
    must_mark(meta, 0, DISK);
    at = 0;
    ck_assert(colo__meta_next(meta, &at, &len));
    ck_assert_uint_eq(len, DISK);
    ck_assert_int_eq(colo__meta_clear(meta, 0, DISK, NULL), 0);
    ck_assert_uint_eq(count_marked(meta), 0);
    ck_assert_int_eq(colo__meta_mark(meta, DISK, 1, NULL), COLO_E_INVAL);
    ck_assert_int_eq(colo__meta_mark(meta, UINT64_MAX, 2, NULL),
                     COLO_E_INVAL);
    colo__meta_close(meta);

    /* an orderly end keeps the true bits */
    meta = must_open(path);
    ck_assert_uint_eq(count_marked(meta), 0);
    must_mark(meta, 7 * CHUNK, 1);
    colo__meta_close(meta);
    meta = must_open(path);
    ck_assert_uint_eq(count_marked(meta), CHUNK);
    colo__meta_close(meta);
}
END_TEST

START_TEST(test_hot_is_cheap)
{
    struct colo_meta *meta = must_open(path);
    unsigned int syncs, writes;

    must_mark(meta, 20 * MIB, 4096);
    syncs = disk.syncs;
    writes = disk.writes;
    for (uint64_t i = 0; i < 64; i++)
        must_mark(meta, 20 * MIB + i * CHUNK, CHUNK);
    ck_assert_uint_eq(disk.syncs, syncs);
    ck_assert_uint_eq(disk.writes, writes);
    must_mark(meta, 32 * MIB, 4096);
    ck_assert_uint_eq(disk.syncs, syncs + 1);
    colo__meta_close(meta);
}
END_TEST

START_TEST(test_merge)
{
    struct colo_meta *meta = must_open(path);
    uint8_t bits[200];

    must_mark(meta, 0, 1);
    memset(bits, 0, sizeof(bits));
    bits[1] = 0x82;
    bits[128] = 0xff;             /* one of them is on the disk */
    bits[129] = 0xff;             /* none */
    ck_assert_int_eq(colo__meta_merge(meta, bits, sizeof(bits), NULL), 0);
    ck_assert(is_marked(meta, 0));
    ck_assert(is_marked(meta, 9 * CHUNK));
    ck_assert(is_marked(meta, 15 * CHUNK));
    ck_assert(is_marked(meta, DISK - 1));
    ck_assert_uint_eq(count_marked(meta), 3 * CHUNK + 4096);
    colo__meta_close(meta);
    meta = open_after_crash(0);
    ck_assert(is_marked(meta, 15 * CHUNK));
    colo__meta_close(meta);
}
END_TEST

/* More hot extents than there are slots, cleared and marked at random; after
 * each step the machine could crash. */
START_TEST(test_no_mark_is_lost)
{
    struct colo_meta *meta = must_open(path), *after;
    bool marked[1025] = { false };
    uint64_t seed = 11;

    for (int step = 0; step < 400; step++) {
        uint64_t c = pure_random(&seed) % 1025;

        if (pure_random(&seed) % 3) {
            must_mark(meta, c * CHUNK, 1);
            marked[c] = true;
        } else {
            ck_assert_int_eq(colo__meta_clear(meta, c * CHUNK, 1, NULL), 0);
            marked[c] = false;
        }
        if (step % 100 == 99) {
            static const int to[] = { COLO_META_PRIMARY, COLO_META_ALONE };

            ck_assert_int_eq(colo__meta_set(meta, to[step / 100 % 2], NULL,
                                            NULL), 0);
        }
        after = open_after_crash(step % 2 ? disk.last_len / 2 / 8 * 8 : 0);
        for (c = 0; c < 1025; c++) {
            if (marked[c] && !is_marked(after, c * CHUNK))
                ck_abort_msg("step %d: mark %d was lost", step, (int)c);
            if (marked[c] != is_marked(meta, c * CHUNK))
                ck_abort_msg("step %d: bit %d is wrong", step, (int)c);
        }
        colo__meta_close(after);
    }
    colo__meta_close(meta);
}
END_TEST

/* 5000 extents go through 1024 slots. */
START_TEST(test_cooling)
{
    uint64_t size = 5000 * UINT64_C(4194304), seed = 5, at = 0, len;
    struct colo_meta *meta = NULL, *after = NULL;
    uint64_t runs = 0;

    ck_assert_int_eq(colo__meta_open(path, size, AS, &meta, NULL), 0);
    for (int i = 0; i < 4000; i++)
        must_mark(meta, pure_random(&seed) % 2500 * 2 * 4194304, 1);
    while (colo__meta_next(meta, &at, &len)) {
        ck_assert_uint_eq(len, CHUNK);
        at += len;
        runs++;
    }
    ck_assert_uint_gt(runs, 1500);
    after = NULL;
    {
        int fd = open(crashed, O_RDWR | O_CREAT | O_TRUNC, 0600);

        ck_assert_int_eq(write(fd, disk.durable, disk.len),
                         (ssize_t)disk.len);
        close(fd);
    }
    ck_assert_int_eq(colo__meta_open(crashed, size, AS, &after, NULL), 0);
    at = 0;
    len = 0;
    while (colo__meta_next(meta, &at, &len)) {
        ck_assert(is_marked(after, at));
        at += len;
    }
    /* no more than what can be hot is compared for nothing */
    at = 0;
    runs = 0;
    while (colo__meta_next(after, &at, &len)) {
        runs += len / CHUNK;
        at += len;
    }
    ck_assert_uint_le(runs, 1024 * 64 + 2500);
    colo__meta_close(after);
    colo__meta_close(meta);
}
END_TEST

START_TEST(test_failed_sync_is_repeated)
{
    struct colo_meta *meta = must_open(path), *after;
    unsigned int writes;

    disk.fail_sync = true;
    ck_assert_int_eq(colo__meta_mark(meta, 8 * MIB, 1, NULL), COLO_E_SYS);
    disk.fail_sync = false;
    writes = disk.writes;
    must_mark(meta, 8 * MIB, 1);
    ck_assert_uint_gt(disk.writes, writes);
    after = open_after_crash(0);
    ck_assert(is_marked(after, 8 * MIB));
    colo__meta_close(after);
    disk.fail_sync = true;
    ck_assert_int_eq(colo__meta_set(meta, COLO_META_PRIMARY, NULL, NULL),
                     COLO_E_SYS);
    ck_assert_int_eq(colo__meta_state(meta), COLO_META_ALONE);
    colo__meta_close(meta);
}
END_TEST

/* So are the words that a change of state and a merge write. */
START_TEST(test_failed_sync_of_all)
{
    struct colo_meta *meta = must_open(path), *after;
    uint8_t bits[200] = { 0 };
    unsigned int writes;

    bits[1] = 0x82;
    disk.fail_sync = true;
    ck_assert_int_eq(colo__meta_merge(meta, bits, sizeof(bits), NULL),
                     COLO_E_SYS);
    ck_assert_int_eq(colo__meta_set(meta, COLO_META_PRIMARY, NULL, NULL),
                     COLO_E_SYS);
    disk.fail_sync = false;
    for (int i = 0; i < 2; i++) {
        writes = disk.writes;
        ck_assert_int_eq(colo__meta_set(meta, COLO_META_PRIMARY, NULL, NULL),
                         0);
        /* the header, and only once the word */
        ck_assert_uint_eq(disk.writes, writes + 2 - (unsigned int)i);
    }
    after = open_after_crash(0);
    ck_assert(is_marked(after, 9 * CHUNK));
    ck_assert(is_marked(after, 15 * CHUNK));
    colo__meta_close(after);
    colo__meta_close(meta);
}
END_TEST

/* A state is the old or the new one, wherever its header was cut. */
START_TEST(test_torn_header)
{
    struct colo_meta *meta = must_open(path), *after;
    uint8_t generation[COLO_META_GENERATION];

    for (int state = COLO_META_ALONE; state <= COLO_META_LAST; state++) {
        int before = colo__meta_state(meta);
        static uint8_t durable[sizeof(disk.durable)];
        size_t len;

        memset(generation, state, sizeof(generation));
        must_mark(meta, 12 * MIB, 1);
        memcpy(durable, disk.durable, sizeof(durable));
        len = disk.len;
        ck_assert_int_eq((state % 2 ? colo__meta_set : colo__meta_derive)
                         (meta, state, generation, NULL), 0);
        ck_assert_uint_eq(disk.last_len, COLO_META_HEADER_LEN);
        for (size_t torn = 0; torn <= COLO_META_HEADER_LEN; torn++) {
            static uint8_t now[sizeof(disk.durable)];

            memcpy(now, disk.durable, sizeof(now));
            memcpy(disk.durable, durable, sizeof(durable));
            disk.len = len;
            after = open_after_crash(torn);
            memcpy(disk.durable, now, sizeof(now));
            ck_assert_int_eq(colo__meta_state(after),
                             torn == COLO_META_HEADER_LEN ? state : before);
            ck_assert(is_marked(after, 12 * MIB));
            colo__meta_close(after);
        }
    }
    ck_assert_int_eq(colo__meta_set(meta, 0, NULL, NULL), COLO_E_INVAL);
    ck_assert_int_eq(colo__meta_set(meta, COLO_META_LAST + 1, NULL, NULL),
                     COLO_E_INVAL);
    colo__meta_close(meta);
}
END_TEST

/* The parent lives as long as every bit since does. */
START_TEST(test_parent)
{
    static const uint8_t none[COLO_META_GENERATION];
    uint8_t first[COLO_META_GENERATION], second[COLO_META_GENERATION];
    struct colo_meta *meta = must_open(path);

    ck_assert_mem_eq(colo__meta_parent(meta), none, sizeof(none));
    ck_assert(!colo__meta_is_child(none, none));
    memcpy(first, colo__meta_generation(meta), sizeof(first));
    memset(second, 2, sizeof(second));
    ck_assert_int_eq(colo__meta_derive(meta, COLO_META_APPLYING, second,
                                       NULL), 0);
    ck_assert_int_eq(colo__meta_set(meta, COLO_META_ALONE, NULL, NULL), 0);
    colo__meta_close(meta);
    meta = must_open(path);
    ck_assert_mem_eq(colo__meta_generation(meta), second, sizeof(second));
    ck_assert_mem_eq(colo__meta_parent(meta), first, sizeof(first));
    ck_assert(colo__meta_is_child(colo__meta_parent(meta), first));
    ck_assert(!colo__meta_is_child(colo__meta_parent(meta), second));
    /* the same one again: bits go from now on */
    ck_assert_int_eq(colo__meta_set(meta, COLO_META_PRIMARY, second, NULL),
                     0);
    ck_assert_mem_eq(colo__meta_parent(meta), none, sizeof(none));

    /* writes past the bitmap, and an operator's word, end it as well */
    ck_assert_int_eq(colo__meta_derive(meta, COLO_META_ALONE, first, NULL),
                     0);
    ck_assert_int_eq(colo__meta_untracked(path, NULL), 0);
    colo__meta_close(meta);
    meta = must_open(path);
    ck_assert_mem_eq(colo__meta_parent(meta), none, sizeof(none));
    ck_assert_int_eq(colo__meta_derive(meta, COLO_META_ALONE, first, NULL),
                     0);
    colo__meta_close(meta);
    ck_assert_int_eq(colo__meta_force(path, DISK, false, NULL), 0);
    meta = must_open(path);
    ck_assert_mem_eq(colo__meta_parent(meta), none, sizeof(none));
    colo__meta_close(meta);
}
END_TEST

/* A header as the first version wrote it. */
START_TEST(test_old_header)
{
    static const uint8_t none[COLO_META_GENERATION];
    struct colo_meta_header header = {
        .serial = 9, .size = DISK, .state = COLO_META_PRIMARY,
        .generation = { 1, 2, 3 }, .parent = { 4 },
    };
    uint8_t buf[2 * COLO_META_BLOCK] = { 0 };
    uint64_t sum;

    colo__meta_header_build(&header, buf);
    buf[8] = 1;
    sum = htole64(XXH3_64bits(buf, 56));
    memcpy(buf + 56, &sum, 8);
    /* what follows is no part of it */
    ck_assert_int_eq(colo__meta_header_parse(buf, sizeof(buf), &header), 0);
    ck_assert_uint_eq(header.serial, 9);
    ck_assert_int_eq(header.state, COLO_META_PRIMARY);
    ck_assert_uint_eq(header.generation[2], 3);
    ck_assert_mem_eq(header.parent, none, sizeof(none));
    ck_assert_int_eq(colo__meta_header_parse(buf, 64, &header), 0);
    ck_assert_int_eq(colo__meta_header_parse(buf, 63, &header),
                     COLO_E_CORRUPT);
    buf[8] = 3;
    sum = htole64(XXH3_64bits(buf, 56));
    memcpy(buf + 56, &sum, 8);
    ck_assert_int_eq(colo__meta_header_parse(buf, sizeof(buf), &header),
                     COLO_E_VERSION);
}
END_TEST

START_TEST(test_may_start)
{
    static const struct {
        int state;
        int no;
        const char *says;
    } rules[] = {
        { COLO_META_ALONE, 0, NULL },
        { COLO_META_PRIMARY, 1, "may have taken over" },
        { COLO_META_SECONDARY, 1, "may be behind it" },
        { COLO_META_SYNCING, 1, "--inconsistent TARGET" },
        { COLO_META_OUTDATED, 1, "went on at the other" },
        { COLO_META_APPLYING, 1, "--inconsistent TARGET" },
    };
    char why[400];
    int fd;

    ck_assert_int_eq(colo__meta_may_start(path, why, sizeof(why)), 0);
    for (size_t i = 0; i < COLO_ARRAY_LEN(rules); i++) {
        struct colo_meta *meta = must_open(path);

        ck_assert_int_eq(colo__meta_set(meta, rules[i].state, NULL, NULL), 0);
        /* also while it is open */
        ck_assert_int_eq(colo__meta_may_start(path, why, sizeof(why)),
                         rules[i].no);
        colo__meta_close(meta);
        ck_assert_int_eq(colo__meta_may_start(path, why, sizeof(why)),
                         rules[i].no);
        if (rules[i].says) {
            ck_assert_ptr_nonnull(strstr(why, rules[i].says));
            ck_assert_ptr_nonnull(strstr(why, "colo-disk force"));
        }
    }
    fd = open(path, O_RDWR | O_TRUNC);
    ck_assert_int_eq(write(fd, "rubbish", 7), 7);
    close(fd);
    ck_assert_int_eq(colo__meta_may_start(path, why, sizeof(why)), 1);
    ck_assert_ptr_nonnull(strstr(why, "--inconsistent"));
}
END_TEST

START_TEST(test_untracked)
{
    static const struct { int before, after; } cases[] = {
        { COLO_META_ALONE, COLO_META_ALONE },
        { COLO_META_PRIMARY, COLO_META_ALONE },
        { COLO_META_SECONDARY, COLO_META_SECONDARY },
        { COLO_META_SYNCING, COLO_META_SYNCING },
        { COLO_META_OUTDATED, COLO_META_OUTDATED },
    };

    /* no file: nothing to do, nothing made */
    ck_assert_int_eq(colo__meta_untracked(path, NULL), 0);
    ck_assert_int_ne(access(path, F_OK), 0);
    for (size_t i = 0; i < COLO_ARRAY_LEN(cases); i++) {
        uint8_t old[COLO_META_GENERATION], new[COLO_META_GENERATION];
        struct colo_meta *meta = must_open(path);

        ck_assert_int_eq(colo__meta_set(meta, cases[i].before, NULL, NULL), 0);
        memcpy(old, colo__meta_generation(meta), sizeof(old));
        /* the plugin may still have it open, and write */
        ck_assert_int_eq(colo__meta_untracked(path, NULL), 0);
        must_mark(meta, 0, 1);
        colo__meta_close(meta);
        meta = must_open(path);
        ck_assert_int_eq(colo__meta_state(meta), cases[i].after);
        memcpy(new, colo__meta_generation(meta), sizeof(new));
        ck_assert_mem_ne(new, old, sizeof(old));
        colo__meta_close(meta);
        meta = must_open(path);
        ck_assert_mem_eq(colo__meta_generation(meta), new, sizeof(new));
        colo__meta_close(meta);
    }
}
END_TEST

/* A guest wrote past the bitmap, and the kernel noted where. */
START_TEST(test_noted)
{
    uint8_t old[COLO_META_GENERATION], noted[DISK / COLO_META_CHUNK / 8 + 1];
    struct colo_meta *meta = must_open(path);
    uint64_t offset = 0, len;

    ck_assert(!colo__meta_is_pending(path));
    ck_assert_int_eq(colo__meta_set(meta, COLO_META_PRIMARY, NULL, NULL), 0);
    memcpy(old, colo__meta_generation(meta), sizeof(old));
    ck_assert_int_eq(colo__meta_untracked(path, NULL), 0);
    colo__meta_close(meta);
    /* whoever only looks leaves it as it is */
    for (int i = 0; i < 2; i++) {
        ck_assert(colo__meta_is_pending(path));
        ck_assert_int_eq(colo__meta_open_pending(path, DISK, AS, &meta, NULL), 0);
        ck_assert_mem_eq(colo__meta_generation(meta), old, sizeof(old));
        if (i == 0)
            colo__meta_close(meta);
    }
    memset(noted, 0, sizeof(noted));
    noted[0] = 1 << 5;
    ck_assert_int_eq(colo__meta_settle(meta, noted, sizeof(noted), NULL), 0);
    ck_assert(!colo__meta_is_pending(path));
    colo__meta_close(meta);
    meta = must_open(path);
    ck_assert_mem_eq(colo__meta_generation(meta), old, sizeof(old));
    ck_assert_int_eq(colo__meta_state(meta), COLO_META_ALONE);
    ck_assert(colo__meta_next(meta, &offset, &len));
    ck_assert_uint_eq(offset, 5 * COLO_META_CHUNK);
    ck_assert_uint_eq(len, COLO_META_CHUNK);
    /* nothing is pending: no bits are taken */
    noted[0] = 0xff;
    ck_assert_int_eq(colo__meta_settle(meta, noted, sizeof(noted), NULL), 0);
    offset = 0;
    ck_assert(colo__meta_next(meta, &offset, &len));
    ck_assert_uint_eq(offset, 5 * COLO_META_CHUNK);
    colo__meta_close(meta);
    ck_assert(colo__meta_is_pending("/nowhere"));
}
END_TEST

START_TEST(test_force)
{
    struct colo_meta *meta;
    struct colo_error err;
    int fd;

    ck_assert_int_eq(colo__meta_force(path, DISK, true, &err),
                     COLO_E_NOTFOUND);
    for (int state = COLO_META_ALONE; state <= COLO_META_LAST; state++) {
        bool bad = state == COLO_META_SYNCING || state == COLO_META_APPLYING;

        meta = must_open(path);
        ck_assert_int_eq(colo__meta_set(meta, state, NULL, NULL), 0);
        ck_assert_int_eq(colo__meta_force(path, DISK, true, &err),
                         COLO_E_EXISTS);
        colo__meta_close(meta);
        ck_assert_int_eq(colo__meta_force(path, DISK, false, &err),
                         bad ? COLO_E_REFUSED : 0);
        if (bad)
            ck_assert_int_eq(colo__meta_force(path, DISK, true, &err), 0);
        meta = must_open(path);
        ck_assert_int_eq(colo__meta_state(meta), COLO_META_ALONE);
        ck_assert_uint_eq(count_marked(meta), DISK);
        colo__meta_close(meta);
    }
    fd = open(path, O_RDWR);
    ck_assert_int_eq(ftruncate(fd, 10), 0);
    close(fd);
    ck_assert_int_eq(colo__meta_force(path, DISK, false, &err),
                     COLO_E_CORRUPT);
    ck_assert_int_eq(colo__meta_force(path, DISK, true, &err), 0);
    ck_assert_int_eq(colo__meta_peek(path, NULL, &err), COLO_META_ALONE);
}
END_TEST

/* A disk that was grown, or made smaller: each state under each role. */
START_TEST(test_resized)
{
    static const uint64_t sizes[] = { DISK + 3 * CHUNK, DISK / 2, DISK };
    static const int roles[] = { COLO_META_ALONE, COLO_META_SECONDARY };
    uint8_t old[COLO_META_GENERATION];
    struct colo_meta *meta = must_open(path), *second = NULL;
    struct colo_error err;
    uint64_t size = DISK;

    for (int state = COLO_META_ALONE; state <= COLO_META_LAST; state++) {
        for (size_t i = 0; i < 2 * COLO_ARRAY_LEN(sizes); i++) {
            int role = roles[i % 2];
            bool taken = (state == COLO_META_ALONE) ==
                (role == COLO_META_ALONE);

            memset(old, 3, sizeof(old));
            ck_assert_int_eq(colo__meta_set(meta, state, old, NULL), 0);
            ck_assert_int_eq(colo__meta_clear(meta, 0, size, NULL), 0);
            ck_assert_int_eq(colo__meta_open(path, size + CHUNK, role, &second,
                                             &err), COLO_E_EXISTS);
            colo__meta_close(meta);
            size = sizes[i / 2];
            if (i % 2 == 0)
                size += 4096;
            ck_assert_int_eq(colo__meta_open(path, size, role, &meta, &err),
                             taken ? 0 : COLO_E_INVAL);
            if (!taken) {
                ck_assert_ptr_nonnull(strstr(err.text, "colo-disk "));
                ck_assert_int_eq(colo__meta_force(path, size, true, &err), 0);
                ck_assert_int_eq(colo__meta_open(path, size, 0, &meta, &err),
                                 0);
            }
            ck_assert_int_eq(colo__meta_state(meta), taken ? state :
                             COLO_META_ALONE);
            ck_assert_mem_ne(colo__meta_generation(meta), old, sizeof(old));
            ck_assert_uint_eq(count_marked(meta), size);
            /* the new one is as locked as the old one was */
            ck_assert_int_eq(colo__meta_open(path, size, role, &second, &err),
                             COLO_E_EXISTS);
        }
    }
    colo__meta_close(meta);
}
END_TEST

/* A flag that says that a guest wrote past it does not wait for an operator. */
START_TEST(test_resized_flag)
{
    uint8_t before[COLO_META_GENERATION], after[COLO_META_GENERATION];
    struct colo_error err;

    colo__meta_close(must_open(path));
    ck_assert_int_eq(colo__meta_peek(path, before, NULL), COLO_META_ALONE);
    ck_assert_int_eq(colo__meta_flag(crashed, &err), 0);
    ck_assert_int_eq(colo__meta_take_flag(path, crashed, 2 * DISK, &err), 0);
    ck_assert_int_ne(access(crashed, F_OK), 0);
    ck_assert_int_eq(colo__meta_peek(path, after, NULL), COLO_META_ALONE);
    ck_assert_mem_ne(before, after, sizeof(after));
}
END_TEST

/* What a resync by bitmap needs stays. */
START_TEST(test_discard)
{
    static const int after[] = {
        [COLO_META_ALONE] = COLO_META_OUTDATED,
        [COLO_META_PRIMARY] = COLO_META_OUTDATED,
        [COLO_META_SECONDARY] = COLO_META_OUTDATED,
        [COLO_META_SYNCING] = COLO_META_SYNCING,
        [COLO_META_OUTDATED] = COLO_META_OUTDATED,
        [COLO_META_APPLYING] = COLO_META_APPLYING,
    };
    uint8_t first[COLO_META_GENERATION], second[COLO_META_GENERATION];
    struct colo_meta *meta;
    struct colo_error err;
    int state = 0, fd;

    ck_assert_int_eq(colo__meta_discard(path, &state, &err),
                     COLO_E_NOTFOUND);
    ck_assert_int_ne(access(path, F_OK), 0);
    memset(second, 2, sizeof(second));
    for (int before = COLO_META_ALONE; before <= COLO_META_LAST; before++) {
        meta = must_open(path);
        memset(first, before + 10, sizeof(first));
        ck_assert_int_eq(colo__meta_set(meta, before, first, NULL), 0);
        ck_assert_int_eq(colo__meta_derive(meta, before, second, NULL), 0);
        must_mark(meta, 12 * MIB, 1);
        ck_assert_int_eq(colo__meta_discard(path, &state, &err),
                         COLO_E_EXISTS);
        ck_assert_int_eq(colo__meta_state(meta), before);
        colo__meta_close(meta);
        for (int i = 0; i < 2; i++) { /* as good as once */
            ck_assert_int_eq(colo__meta_discard(path, &state, &err), 0);
            ck_assert_int_eq(state, i ? after[before] : before);
        }
        meta = must_open(path);
        ck_assert_int_eq(colo__meta_state(meta), after[before]);
        ck_assert_mem_eq(colo__meta_generation(meta), second, sizeof(second));
        ck_assert_mem_eq(colo__meta_parent(meta), first, sizeof(first));
        ck_assert_uint_eq(count_marked(meta), CHUNK);
        colo__meta_close(meta);
    }
    /* that a guest wrote past the bitmap is not forgotten */
    ck_assert_int_eq(colo__meta_force(path, DISK, true, &err), 0);
    ck_assert_int_eq(colo__meta_untracked(path, NULL), 0);
    ck_assert_int_eq(colo__meta_discard(path, &state, &err), 0);
    ck_assert(colo__meta_is_pending(path));
    meta = must_open(path);
    ck_assert_int_eq(colo__meta_state(meta), COLO_META_OUTDATED);
    colo__meta_close(meta);
    fd = open(path, O_RDWR);
    ck_assert_int_eq(ftruncate(fd, 10), 0);
    close(fd);
    ck_assert_int_eq(colo__meta_discard(path, &state, &err), COLO_E_CORRUPT);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_new_file, test_new_file_of_a_secondary, test_bits,
        test_hot_is_cheap, test_merge,
        test_no_mark_is_lost, test_cooling, test_failed_sync_is_repeated,
        test_failed_sync_of_all, test_torn_header, test_parent, test_old_header,
        test_may_start, test_untracked, test_noted, test_force,
        test_resized, test_resized_flag, test_discard,
    };
    Suite *suite = suite_create("disk-meta");
    TCase *tcase = tcase_create("disk-meta");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tcase, make_folder, remove_folder);
    for (size_t i = 0; i < COLO_ARRAY_LEN(tests); i++)
        tcase_add_test(tcase, tests[i]);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
