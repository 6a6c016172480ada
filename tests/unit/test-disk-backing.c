/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A backing takes requests of any alignment, and what is beside them stays;
 * a range lock keeps overlapping writers in their order.
 */
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#include "disk-common.h"

#include "../../disk-proxy/range-lock.h"

#define SIZE (1024u * 1024u)

/* A device that wants page aligned memory, whatever was said before. */
static int strict, refused;

/* declared by sys/uio.h; what the code under test calls */
ssize_t pwritev2(int fd, const struct iovec *iov, int n, off_t offset,
                 int flags)
{
    for (int i = 0; strict && i < n; i++) {
        if ((uintptr_t)iov[i].iov_base % 4096) {
            refused++;
            errno = EINVAL;
            return -1;
        }
    }
    return syscall(SYS_pwritev2, fd, iov, n, offset, (long)0, flags);
}

static void run_random(uint64_t size)
{
    static uint8_t want[SIZE + 4096], got[SIZE + 4096], buf[SIZE];
    uint64_t state = 42;
    struct disk_file file;

    disk_file_open(&file, size);
    memset(want, 0, sizeof(want));
    for (int i = 0; i < 400; i++) {
        uint64_t offset = pure_random(&state) % size;
        uint64_t len = 1 + pure_random(&state) % (i % 8 ? 5000 : 400000);
        unsigned what = pure_random(&state) % 4;

        if (len > size - offset)
            len = size - offset;
        if (what == 0) {
            ck_assert_int_eq(colo__backing_zero(file.b, len, offset, i & 1,
                                                false), 0);
            memset(want + offset, 0, len);
        } else if (what == 1) {
            ck_assert_int_eq(colo__backing_read(file.b, got, len, offset),
                             0);
            ck_assert_mem_eq(got, want + offset, len);
        } else {
            pure_random_fill(&state, buf, len);
            ck_assert_int_eq(colo__backing_write(file.b, buf, len, offset,
                                                 i % 16 == 0), 0);
            memcpy(want + offset, buf, len);
        }
    }
    ck_assert_int_eq(colo__backing_flush(file.b), 0);
    ck_assert_int_eq(colo__backing_read(file.b, got, size, 0), 0);
    ck_assert_mem_eq(got, want, size);
    disk_file_close(&file);
}

START_TEST(test_unaligned)
{
    run_random(SIZE);
}
END_TEST

START_TEST(test_odd_size)
{
    run_random(SIZE - 777);
}
END_TEST

START_TEST(test_extents)
{
    uint8_t page[4096] = { 1 };
    struct disk_file file;
    uint64_t len;

    disk_file_open(&file, SIZE);
    ck_assert(colo__backing_extent(file.b, 0, SIZE, &len));
    ck_assert_uint_eq(len, SIZE);
    ck_assert_int_eq(colo__backing_write(file.b, page, 4096, 65536, false),
                     0);
    ck_assert(colo__backing_extent(file.b, 0, SIZE, &len));
    ck_assert_uint_eq(len, 65536);
    ck_assert(!colo__backing_extent(file.b, 65536, SIZE - 65536, &len));
    ck_assert_uint_lt(len, SIZE - 65536);
    ck_assert(colo__backing_is_hole(file.b, 0, 65536));
    ck_assert(!colo__backing_is_hole(file.b, 0, 65537));
    ck_assert(!colo__backing_is_hole(file.b, 65536, 65536));
    ck_assert(colo__backing_is_hole(file.b, 131072, SIZE - 131072));
    disk_file_close(&file);
}
END_TEST

/* parts that lie anywhere become one write; and so when the disk has moved to
 * a device that refuses them */
static void run_parts(struct colo_backing *b, uint8_t *data)
{
    static uint8_t got[SIZE];
    uint8_t *buffer = colo__backing_buffer(b);
    struct iovec parts[COLO_BACKING_PARTS + 1];
    uint64_t offset = 65536, len = 0;

    for (int i = 0; i < COLO_BACKING_PARTS + 1; i++)
        parts[i] = (struct iovec){ data + i * 8192 + 48, 4096 };
    ck_assert_int_eq(colo__backing_writev(b, parts, COLO_BACKING_PARTS + 1,
                                          buffer, 0, false), EINVAL);
    for (int n = 1; n <= COLO_BACKING_PARTS; n += 21) {
        ck_assert_int_eq(colo__backing_writev(b, parts, n, buffer, offset,
                                              n == 1), 0);
        ck_assert_int_eq(colo__backing_read(b, got, (size_t)n * 4096,
                                            offset), 0);
        for (int i = 0; i < n; i++)
            ck_assert_mem_eq(got + i * 4096, parts[i].iov_base, 4096);
    }
    /* odd lengths too */
    for (int i = 0; i < 3; i++) {
        parts[i].iov_len = 1000 + (size_t)i;
        len += parts[i].iov_len;
    }
    ck_assert_int_eq(colo__backing_writev(b, parts, 3, buffer, 777, false),
                     0);
    ck_assert_int_eq(colo__backing_read(b, got, len, 777), 0);
    ck_assert_mem_eq(got + 2001, parts[2].iov_base, 1002);
    colo__backing_release(b, buffer);
}

START_TEST(test_parts)
{
    static uint8_t data[SIZE], got[8192];
    struct disk_file disk, memory = { .path = "/dev/shm/colo-test.XXXXXX" };
    uint64_t state = 7;
    struct colo_error err;
    int fd = mkstemp(memory.path);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, SIZE), 0);
    close(fd);
    ck_assert_int_eq(colo__backing_open(memory.path, &memory.b, &err), 0);
    disk_file_open(&disk, SIZE);
    pure_random_fill(&state, data, sizeof(data));
    refused = 0;
    run_parts(disk.b, data);
    run_parts(memory.b, data);
    strict = 1;
    ck_assert_int_eq(colo__backing_write(memory.b, data + 16, 8192, 4096,
                                         false), 0);
    ck_assert_int_eq(refused, 1); /* it was tried, and not again */
    ck_assert_int_eq(colo__backing_read(memory.b, got, 8192, 4096), 0);
    ck_assert_mem_eq(got, data + 16, 8192);
    run_parts(memory.b, data);
    ck_assert_int_eq(refused, 1);
    strict = 0;
    disk_file_close(&disk);
    disk_file_close(&memory);
}
END_TEST

START_TEST(test_refused)
{
    struct colo_backing *b = NULL;
    struct colo_error err;

    ck_assert_int_eq(colo__backing_open("/nowhere", &b, &err), COLO_E_SYS);
    ck_text(err, "/nowhere");
    ck_assert_int_eq(colo__backing_open("/dev/null", &b, &err),
                     COLO_E_INVAL);
    ck_assert_ptr_null(b);
}
END_TEST

struct writer {
    struct colo_range_lock *lock;
    uint64_t offset, len;
    int *inside; /* how many hold a byte of the middle */
    int rounds;
};

static void *write_thread(void *user)
{
    struct writer *w = user;

    for (int i = 0; i < w->rounds; i++) {
        struct colo_range node;

        colo__range_take(w->lock, &node, w->offset, w->len);
        ck_assert_int_eq(__atomic_add_fetch(w->inside, 1, __ATOMIC_SEQ_CST),
                         1);
        __atomic_sub_fetch(w->inside, 1, __ATOMIC_SEQ_CST);
        colo__range_give(w->lock, &node);
    }
    return NULL;
}

START_TEST(test_range_lock)
{
    struct colo_range_lock lock;
    struct writer w[4];
    pthread_t threads[4];
    int inside = 0;

    colo__range_init(&lock);
    for (int i = 0; i < 4; i++) {
        w[i] = (struct writer){ &lock, (uint64_t)i * 100, 1000, &inside,
                                5000 };
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_thread,
                                        &w[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ck_assert_ptr_null(lock.first);
    ck_assert_ptr_null(lock.last);
    colo__range_fini(&lock);
}
END_TEST

static void *take_one(void *user)
{
    struct writer *w = user;
    struct colo_range node;

    colo__range_take(w->lock, &node, w->offset, w->len);
    __atomic_store_n(w->inside, 1, __ATOMIC_SEQ_CST);
    colo__range_give(w->lock, &node);
    return NULL;
}

/* who does not overlap does not wait; who asked for all goes first */
START_TEST(test_range_order)
{
    struct timespec ts = { .tv_nsec = 50000000 };
    struct colo_range_lock lock;
    struct colo_range mine, beside;
    int all_in = 0, later_in = 0;
    struct writer all = { &lock, 0, UINT64_MAX, &all_in, 0 };
    struct writer later = { &lock, 5000, 10, &later_in, 0 };
    pthread_t t1, t2;

    colo__range_init(&lock);
    colo__range_take(&lock, &mine, 0, 100);
    colo__range_take(&lock, &beside, 100, 100);
    colo__range_give(&lock, &beside);
    ck_assert_int_eq(pthread_create(&t1, NULL, take_one, &all), 0);
    nanosleep(&ts, NULL);
    ck_assert_int_eq(pthread_create(&t2, NULL, take_one, &later), 0);
    nanosleep(&ts, NULL);
    ck_assert_int_eq(__atomic_load_n(&all_in, __ATOMIC_SEQ_CST), 0);
    ck_assert_int_eq(__atomic_load_n(&later_in, __ATOMIC_SEQ_CST), 0);
    colo__range_give(&lock, &mine);
    pthread_join(t1, NULL);
    pthread_join(t2, NULL);
    ck_assert_int_eq(all_in + later_in, 2);
    colo__range_fini(&lock);
}
END_TEST

PURE_MAIN("disk-backing", test_unaligned, test_odd_size, test_extents,
          test_parts, test_refused, test_range_lock, test_range_order)
