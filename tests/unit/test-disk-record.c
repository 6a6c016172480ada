/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Where things of a disk are, and the record that a supervisor leaves.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pure-common.h"

#include "../../disk-proxy/colo-disk.h"

/* By the target or by its device: the same disk. */
START_TEST(test_names)
{
    static const char *const same[] = {
        "/dev/vg/web", "/dev/mapper/colo-dev-vg-web",
    };
    struct disk_names names;
    struct colo_error err;

    for (size_t i = 0; i < COLO_ARRAY_LEN(same); i++) {
        ck_assert_int_eq(disk_names(&names, same[i], "/m", &err), 0);
        ck_assert_str_eq(names.target, "/dev/vg/web");
        ck_assert_str_eq(names.name, "colo-dev-vg-web");
        ck_assert_str_eq(names.meta, "/m/colo-dev-vg-web.meta");
    }
    /* LVM's */
    ck_assert_int_eq(disk_names(&names, "/dev/mapper/colo-web", "/m", &err),
                     0);
    ck_assert_str_eq(names.target, "/dev/mapper/colo-web");
    ck_assert_int_eq(disk_names(&names, "/dev/mapper/colo-a-b=0A", "/m", &err),
                     COLO_E_INVAL);
    ck_assert_int_eq(disk_names(&names, "/dev/mapper/colo-a==0123456789abcdef",
                                "/m", &err), COLO_E_INVAL);
    ck_text(err, "give the target itself");
}
END_TEST

static char path[] = "/tmp/colo-record-XXXXXX";

START_TEST(test_record)
{
    struct disk_record record = {
        .supervisor = { 12, 345 }, .kit = { 13, 346 }, .nbd = 3,
        .timeout_s = 30, .secondary = 1, .target = "/srv/a b",
        .meta = "/var/m", .identifier = "colo-12-345",
    }, again;
    char file[64];
    struct colo_error err;

    ck_assert_ptr_nonnull(mkdtemp(path));
    snprintf(file, sizeof(file), "%s/colo-x", path);
    ck_assert_int_eq(disk_record_read(file, &again, &err), 0);
    ck_assert_int_eq(disk_record_write(file, &record, &err), 0);
    ck_assert_int_eq(disk_record_read(file, &again, &err), 1);
    ck_assert_int_eq(again.supervisor.pid, 12);
    ck_assert_uint_eq(again.kit.start, 346);
    ck_assert_int_eq(again.nbd, 3);
    ck_assert_uint_eq(again.timeout_s, 30);
    ck_assert_int_eq(again.secondary, 1);
    ck_assert_str_eq(again.target, "/srv/a b");
    ck_assert_str_eq(again.meta, "/var/m");
    ck_assert_str_eq(again.identifier, "colo-12-345");
    unlink(file);
    ck_assert_int_eq(rmdir(path), 0);
}
END_TEST

START_TEST(test_bad_records)
{
    static const char *const bad[] = {
        "", "rubbish\n", "target /a\n", "supervisor 1 2\nmeta /m\n",
        "supervisor 1 2\ntarget /a\nmeta /m",        /* cut short */
        "supervisor 1\ntarget /a\nmeta /m\n",
        "supervisor -1 2\ntarget /a\nmeta /m\n",
        "supervisor 1 2\ntarget a\nmeta /m\n",
        "supervisor 1 2\ntarget /a\nmeta /m\nnbd x\n",
        "supervisor 1 2\ntarget /a\nmeta /m\nnbd -2\n",
        "supervisor 1 2\ntarget \nmeta /m\n",
    };
    struct disk_record record;

    for (size_t i = 0; i < COLO_ARRAY_LEN(bad); i++) {
        if (disk_record_parse(bad[i], &record))
            ck_abort_msg("taken: %s", bad[i]);
    }
    ck_assert(disk_record_parse("supervisor 1 2\ntarget /a\nmeta /m\n"
                                "later thing\n", &record));
    ck_assert_int_eq(record.nbd, -1);
}
END_TEST

START_TEST(test_process)
{
    struct disk_process self = disk_process_of(getpid()), other;
    pid_t pid;

    ck_assert_uint_ne(self.start, 0);
    ck_assert(disk_process_alive(&self));
    self.start++;
    ck_assert(!disk_process_alive(&self));
    other = (struct disk_process){ 0 };
    ck_assert(!disk_process_alive(&other));
    pid = fork();
    if (!pid)
        _exit(0);
    other = disk_process_of(pid);
    waitpid(pid, NULL, 0);
    ck_assert(!disk_process_alive(&other));
}
END_TEST

static void *hold_on(void *arg)
{
    pause();
    return arg;
}

/* A server that was killed while it writes: its first thread is a zombie, and
 * what it writes may still come to the disk. */
START_TEST(test_half_dead)
{
    struct disk_process process;
    pthread_t thread;
    siginfo_t info;
    char file[64], text[256] = "";
    pid_t pid = fork();

    if (!pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        pthread_create(&thread, NULL, hold_on, NULL);
        pthread_exit(NULL);
    }
    process = disk_process_of(pid);
    snprintf(file, sizeof(file), "/proc/%d/stat", (int)pid);
    for (int i = 0; i < 1000 && !strstr(text, ") Z "); i++) {
        FILE *f = fopen(file, "r");

        ck_assert_ptr_nonnull(fgets(text, sizeof(text), f));
        fclose(f);
        usleep(10000);
    }
    ck_assert_ptr_nonnull(strstr(text, ") Z "));
    ck_assert(disk_process_alive(&process));
    kill(pid, SIGKILL);
    /* dead as a whole, and not collected */
    ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    ck_assert(!disk_process_alive(&process));
    waitpid(pid, NULL, 0);
}
END_TEST

PURE_MAIN("disk-record", test_names, test_record, test_bad_records, test_process,
          test_half_dead)
