/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What is remembered when a proxy leaves a guest's disk and the metadata takes
 * no mark, as on a file system that has become read-only.  Without devices: the
 * kernel's part is stood for by what is here.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pure-common.h"

#include "../../disk-proxy/colo-disk.h"

#define SIZE (8u << 20)

/* ---- what a host has --------------------------------------------------------- */

int __real_colo__meta_untracked(const char *path, struct colo_error *err);
int __wrap_colo__meta_untracked(const char *path, struct colo_error *err);
static int failures; /* of the next marks */

int __wrap_colo__meta_untracked(const char *path, struct colo_error *err)
{
    if (failures-- > 0)
        return colo__fail(err, COLO_E_SYS, EROFS, "test", "read-only");
    return __real_colo__meta_untracked(path, err);
}

int colo__dm_info(const char *name, struct colo_dm_info *ret_info,
                  struct colo_error *err)
{
    (void)name, (void)err;
    memset(ret_info, 0, sizeof(*ret_info));
    return 0;
}

int colo__dm_swap(const char *name, uint64_t sectors, dev_t under,
                  unsigned int timeout_s, struct colo_error *err)
{
    (void)name, (void)sectors, (void)under, (void)timeout_s, (void)err;
    return 0;
}

int colo__dm_clear(const char *name, struct colo_error *err)
{
    (void)name, (void)err;
    return 0;
}

int colo__nbd_reconfigure(int index, int sock, const char *identifier,
                          struct colo_error *err)
{
    (void)index, (void)sock, (void)identifier, (void)err;
    return 0;
}

int colo__nbd_disconnect(int index, const char *identifier,
                         struct colo_error *err)
{
    (void)index, (void)identifier, (void)err;
    return 0;
}

bool colo__nbd_connected(int index)
{
    (void)index;
    return false;
}

bool colo__nbd_is(int index, const char *identifier)
{
    (void)index, (void)identifier;
    return true;
}

int colo__nbd_find(const char *identifier)
{
    (void)identifier;
    return -1;
}

int colo__nbd_number(int index, dev_t *ret_dev, struct colo_error *err)
{
    (void)index, (void)err;
    *ret_dev = 0;
    return 0;
}

int disk_kit_relay(struct disk_kit *ret_kit, const struct disk_backing *backing,
                   struct colo_error *err)
{
    (void)ret_kit, (void)backing, (void)err;
    return 0;
}

bool disk_kit_end(struct disk_kit *kit, int wait_ms)
{
    (void)kit, (void)wait_ms;
    return true;
}

bool disk_process_end(const struct disk_process *process, int wait_ms)
{
    (void)process, (void)wait_ms;
    return true;
}

bool disk_process_alive(const struct disk_process *process)
{
    (void)process;
    return false;
}

int disk_record_write(const char *file, const struct disk_record *record,
                      struct colo_error *err)
{
    (void)file, (void)record, (void)err;
    return 0;
}

int disk_record_read(const char *file, struct disk_record *ret_record,
                     struct colo_error *err)
{
    (void)file, (void)ret_record, (void)err;
    return 0;
}

int disk_backing_open(struct disk_backing *ret_backing, const char *target,
                      struct colo_error *err)
{
    (void)ret_backing, (void)target, (void)err;
    return 0;
}

void disk_backing_close(struct disk_backing *backing)
{
    (void)backing;
}

int disk_track_begin(const struct disk_names *names,
                     const struct disk_backing *backing, dev_t *ret_dev,
                     struct colo_error *err)
{
    (void)names, (void)backing, (void)ret_dev;
    return colo__fail(err, COLO_E_UNSUPPORTED, 0, "test", "no dm-era");
}

bool disk_track_is(const struct disk_names *names, dev_t dev)
{
    (void)names, (void)dev;
    return false;
}

void disk_track_drop(const struct disk_names *names)
{
    (void)names;
}

void disk_say(const char *fmt, ...)
{
    (void)fmt;
}

int disk_report(const struct colo_error *err)
{
    (void)err;
    return 1;
}

/* ---- tests ------------------------------------------------------------------- */

static char folder[64], flag[PATH_MAX];
static struct disk_names names;
static struct disk_record record;
static struct disk_kit kit;
static const struct disk_backing backing = { .fd = -1, .size = SIZE };

/* a disk whose copy is in step with another */
static void make_names(uint8_t *ret_generation)
{
    struct colo_meta *meta = NULL;

    strcpy(folder, "/tmp/colo-leave-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    memset(&names, 0, sizeof(names));
    strcpy(names.name, "colo-dev-vg-web");
    snprintf(names.record, sizeof(names.record), "%s/%s", folder, names.name);
    snprintf(names.meta, sizeof(names.meta), "%s/web.meta", folder);
    snprintf(names.tracked, sizeof(names.tracked), "%s/t", folder);
    snprintf(names.usage, sizeof(names.usage), "%s/u", folder);
    disk_flag(&names, flag);
    ck_assert_int_eq(colo__meta_open(names.meta, SIZE, COLO_META_ALONE, &meta,
                                     NULL), 0);
    ck_assert_int_eq(colo__meta_set(meta, COLO_META_PRIMARY, NULL, NULL), 0);
    colo__meta_close(meta);
    ck_assert_int_gt(colo__meta_peek(names.meta, ret_generation, NULL), 0);
    record = (struct disk_record){ .nbd = -1 };
    snprintf(record.meta, sizeof(record.meta), "%s", names.meta);
    kit = (struct disk_kit){ .sock = -1, .hold = -1 };
}

static void remove_names(void)
{
    unlink(names.meta);
    ck_assert_int_eq(rmdir(folder), 0); /* and nothing else is there */
}

/* The next protection compares everything. */
static void is_remembered(const uint8_t *before)
{
    uint8_t after[COLO_META_GENERATION];
    struct colo_error err;

    ck_assert_int_eq(access(flag, F_OK), 0);
    ck_assert_int_eq(colo__meta_take_flag(names.meta, flag, SIZE, &err), 0);
    ck_assert_int_ne(access(flag, F_OK), 0);
    ck_assert_int_eq(colo__meta_peek(names.meta, after, NULL),
                     COLO_META_ALONE);
    ck_assert_mem_ne(after, before, sizeof(after));
}

START_TEST(test_leave)
{
    uint8_t before[COLO_META_GENERATION], after[COLO_META_GENERATION];
    struct colo_error err;

    for (int fails = 0; fails <= 2; fails++) {
        make_names(before);
        failures = fails;
        ck_assert_int_eq(disk_leave(&names, &backing, &record, &kit, &err),
                         fails ? COLO_E_SYS : 0);
        if (fails) {
            is_remembered(before);
        } else {
            ck_assert_int_ne(access(flag, F_OK), 0);
            ck_assert_int_eq(colo__meta_peek(names.meta, after, NULL),
                             COLO_META_ALONE);
            ck_assert_mem_ne(after, before, sizeof(after));
        }
        remove_names();
    }
}
END_TEST

START_TEST(test_replug)
{
    uint8_t before[COLO_META_GENERATION];
    struct colo_error err;

    make_names(before);
    failures = 1;
    record.nbd = 3;
    ck_assert_int_eq(disk_replug(&names, &backing, &record, &kit, &err), 0);
    is_remembered(before);
    remove_names();
}
END_TEST

/* The flag stays until what it says is written down. */
START_TEST(test_flag_stays)
{
    uint8_t before[COLO_META_GENERATION];
    struct colo_meta *meta = NULL;
    struct colo_error err;

    make_names(before);
    ck_assert_int_eq(colo__meta_take_flag(names.meta, flag, SIZE, &err), 0);
    ck_assert_int_eq(colo__meta_flag(flag, &err), 0);
    ck_assert_int_eq(colo__meta_flag(flag, &err), 0);
    ck_assert_int_eq(colo__meta_open(names.meta, SIZE, 0, &meta, &err), 0);
    ck_assert_int_eq(colo__meta_take_flag(names.meta, flag, SIZE, &err),
                     COLO_E_EXISTS);
    ck_assert_int_eq(access(flag, F_OK), 0);
    colo__meta_close(meta);
    is_remembered(before);
    /* no metadata: whatever is made will have a generation of its own */
    unlink(names.meta);
    ck_assert_int_eq(colo__meta_flag(flag, &err), 0);
    ck_assert_int_eq(colo__meta_take_flag(names.meta, flag, SIZE, &err), 0);
    ck_assert_int_ne(access(flag, F_OK), 0);
    ck_assert_int_ne(access(names.meta, F_OK), 0);
    remove_names();
}
END_TEST

PURE_MAIN("disk-leave", test_leave, test_replug, test_flag_stays)
