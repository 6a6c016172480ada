/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The device model's seam over two real stock QEMUs: what one saves, the other
 * loads, again and again, whatever goes wrong in between.
 */
#include "pure-common.h"

#include "dm-qemu.h"

#define CAP (1u << 20)
#define TIMEOUT_MS 20000

static struct dm_qemu a, b;
static uint8_t *one, *two;
static uint32_t one_len, two_len;

static struct colo_dm *open_dm(struct dm_qemu *q, uint32_t ms)
{
    struct colo_error err = { 0 };
    struct colo_dm *dm = NULL;

    ck_assert_msg(!colo__dm_qmp_open(q->monitor, ms, NULL, &dm, &err), "%s",
                  err.text);
    return dm;
}

static uint32_t save(struct colo_dm *dm, uint8_t *buf)
{
    struct colo_error err = { 0 };
    uint32_t len = 0;

    ck_assert_msg(!colo__dm_ops(dm)->stop(dm, &err), "%s", err.text);
    ck_assert_msg(!colo__dm_ops(dm)->save(dm, buf, CAP, &len, &err), "%s",
                  err.text);
    ck_assert_uint_gt(len, 1000);
    return len;
}

static void load(struct colo_dm *dm, const uint8_t *buf, uint32_t len)
{
    struct colo_error err = { 0 };

    ck_assert_msg(!colo__dm_ops(dm)->load(dm, buf, len, &err), "%s",
                  err.text);
}

static void cont(struct colo_dm *dm)
{
    struct colo_error err = { 0 };

    ck_assert_msg(!colo__dm_ops(dm)->cont(dm, &err), "%s", err.text);
}

/* two QEMUs and two states of the first */
static void setup(void)
{
    struct colo_dm *dm;

    one = calloc(1, CAP);
    two = calloc(1, CAP);
    ck_assert(one && two);
    dm_qemu_start(&a, "rtl8139");
    dm_qemu_start(&b, "rtl8139");
    dm = open_dm(&a, TIMEOUT_MS);
    dm_qemu_set(&a, 0x11);
    one_len = save(dm, one);
    cont(dm);
    dm_qemu_set(&a, 0x22);
    two_len = save(dm, two);
    cont(dm);
    colo__dm_ops(dm)->close(dm);
    ck_assert_uint_eq(one_len, two_len);
    ck_assert_int_ne(memcmp(one, two, one_len), 0);
}

static void teardown(void)
{
    dm_qemu_end(&a);
    dm_qemu_end(&b);
    free(one);
    free(two);
}

/* things of ours that QEMU still has: block nodes, jobs, fdsets.  It frees the
 * last only while it runs. */
static size_t leftovers(struct dm_qemu *q)
{
    static const char *const queries[] = {
        "query-named-block-nodes", "query-jobs", "query-fdsets",
    };
    struct colo_error err = { 0 };
    struct colo_qmp *qmp = NULL;
    size_t n = 0;

    ck_assert_msg(!colo__qmp_open(q->monitor, COLO_NEVER, NULL, NULL, &qmp,
                                  &err), "%s", err.text);
    for (size_t i = 0; i < COLO_ARRAY_LEN(queries); i++) {
        struct colo_qmp_msg msg = { 0 };

        ck_assert_msg(!colo__qmp_run(qmp, queries[i], -1, NULL, COLO_NEVER,
                                     &msg, &err), "%s", err.text);
        ck_assert(YAJL_IS_ARRAY(msg.body));
        n += msg.body->u.array.len;
        colo__qmp_msg_fini(&msg);
    }
    colo__qmp_close(qmp);
    return n;
}

START_TEST(test_states_alternate)
{
    struct colo_dm *dm = open_dm(&b, TIMEOUT_MS);
    struct colo_error err = { 0 };

    ck_assert_int_eq(colo__dm_ops(dm)->stop(dm, &err), 0);
    for (int i = 0; i < 30; i++) {
        load(dm, i & 1 ? two : one, one_len);
        ck_assert_uint_eq(dm_qemu_get(&b), i & 1 ? 0x22 : 0x11);
    }
    cont(dm);
    ck_assert_int_eq(colo__dm_ops(dm)->stop(dm, &err), 0);
    load(dm, one, one_len);
    ck_assert_uint_eq(dm_qemu_get(&b), 0x11);
    cont(dm);
    colo__dm_ops(dm)->close(dm);
    ck_assert_uint_eq(leftovers(&b), 0);
    ck_assert_uint_eq(leftovers(&a), 0);
}
END_TEST

START_TEST(test_bad_state)
{
    struct colo_dm *dm = open_dm(&b, TIMEOUT_MS);
    struct colo_error err = { 0 };
    uint8_t *bad = calloc(1, CAP);
    uint32_t len = 0;

    ck_assert_ptr_nonnull(bad);
    memcpy(bad, one, one_len);
    memset(bad + one_len / 2, 0xee, one_len / 4);
    ck_assert_int_eq(colo__dm_ops(dm)->stop(dm, &err), 0);
    load(dm, one, one_len);
    ck_assert_int_eq(colo__dm_ops(dm)->load(dm, bad, one_len, &err),
                     COLO_E_HV);
    ck_assert_ptr_nonnull(strstr(err.text, "while loading VM state"));
    ck_assert_int_eq(colo__dm_ops(dm)->cont(dm, &err), COLO_E_HV);
    load(dm, two, two_len);
    ck_assert_uint_eq(dm_qemu_get(&b), 0x22);
    cont(dm);
    ck_assert_int_eq(colo__dm_ops(dm)->stop(dm, &err), 0);
    ck_assert_int_eq(colo__dm_ops(dm)->save(dm, bad, 100, &len, &err),
                     COLO_E_LIMIT);
    ck_assert_uint_gt(len, 1000);
    colo__dm_ops(dm)->close(dm);
    free(bad);
}
END_TEST

/* A state that outgrows the area: the image is made anew. */
START_TEST(test_larger_state)
{
    struct colo_dm *dm = open_dm(&b, TIMEOUT_MS);
    struct colo_error err = { 0 };
    uint8_t *large = calloc(1, CAP);

    ck_assert_ptr_nonnull(large);
    memcpy(large, two, two_len); /* QEMU stops reading at its end mark */
    ck_assert_int_eq(colo__dm_ops(dm)->stop(dm, &err), 0);
    load(dm, one, one_len);
    load(dm, large, CAP);
    ck_assert_uint_eq(dm_qemu_get(&b), 0x22);
    load(dm, one, one_len);
    ck_assert_uint_eq(dm_qemu_get(&b), 0x11);
    cont(dm);
    colo__dm_ops(dm)->close(dm);
    free(large);
    ck_assert_uint_eq(leftovers(&b), 0);
}
END_TEST

/* A client that is killed leaves a node, a job and a file behind. */
START_TEST(test_client_killed)
{
    struct colo_error err = { 0 };
    struct colo_dm *dm;
    pid_t pid = fork();
    int status;

    ck_assert_int_ge(pid, 0);
    if (!pid) {
        dm = open_dm(&b, TIMEOUT_MS);
        load(dm, one, one_len);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ck_assert_uint_gt(leftovers(&b), 1);
    dm = open_dm(&b, TIMEOUT_MS);
    ck_assert_int_eq(colo__dm_ops(dm)->stop(dm, &err), 0);
    load(dm, two, two_len);
    ck_assert_uint_eq(dm_qemu_get(&b), 0x22);
    cont(dm);
    colo__dm_ops(dm)->close(dm);
    ck_assert_uint_eq(leftovers(&b), 0);
}
END_TEST

/* on stays on over a client that ends without a word; off twice is harmless */
START_TEST(test_dirty_log)
{
    struct colo_dm *dm = open_dm(&a, TIMEOUT_MS);
    struct colo_error err = { 0 };

    ck_assert_int_eq(colo__dm_ops(dm)->dirty_log(dm, 0, &err), 0);
    ck_assert_int_eq(colo__dm_ops(dm)->dirty_log(dm, 1, &err), 0);
    ck_assert_int_eq(colo__dm_ops(dm)->dirty_log(dm, 1, &err), 0);
    colo__dm_ops(dm)->close(dm);
    dm = open_dm(&a, TIMEOUT_MS);
    ck_assert_int_eq(colo__dm_ops(dm)->dirty_log(dm, 1, &err), 0);
    ck_assert_int_eq(colo__dm_ops(dm)->dirty_log(dm, 0, &err), 0);
    ck_assert_int_eq(colo__dm_ops(dm)->dirty_log(dm, 0, &err), 0);
    one_len = save(dm, one);
    cont(dm);
    colo__dm_ops(dm)->close(dm);
}
END_TEST

/* libxl switches it off behind our back at the end of a save of its own; QEMU
 * aborts when it is switched off twice. */
START_TEST(test_dirty_log_off_meanwhile)
{
    struct colo_error err = { 0 };
    struct colo_qmp *other = NULL;
    struct colo_dm *dm = open_dm(&a, TIMEOUT_MS);

    ck_assert_int_eq(colo__dm_ops(dm)->dirty_log(dm, 1, &err), 0);
    ck_assert_msg(!colo__qmp_open(a.monitor2, COLO_NEVER, NULL, NULL, &other,
                                  &err), "%s", err.text);
    ck_assert_int_eq(colo__qmp_run(other, "xen-set-global-dirty-log", -1,
                                   "{\"enable\":false}", COLO_NEVER, NULL,
                                   &err), 0);
    colo__qmp_close(other);
    ck_assert_msg(!colo__dm_ops(dm)->dirty_log(dm, 0, &err), "%s", err.text);
    one_len = save(dm, one);
    colo__dm_ops(dm)->close(dm);
}
END_TEST

static uint64_t now_ms(void)
{
    return colo__now_us(&colo__clock_monotonic) / 1000;
}

/* QEMU hangs: each call ends by its deadline; QEMU goes on: so do we. */
START_TEST(test_hangs)
{
    struct colo_dm *dm = open_dm(&b, 1500), *other = NULL;
    struct colo_error err = { 0 };
    uint64_t began;

    ck_assert_int_eq(colo__dm_ops(dm)->stop(dm, &err), 0);
    ck_assert_int_eq(kill(b.pid, SIGSTOP), 0);
    began = now_ms();
    ck_assert_int_eq(colo__dm_ops(dm)->load(dm, one, one_len, &err),
                     COLO_E_TIMEOUT);
    ck_assert_int_eq(colo__dm_qmp_open(b.monitor, 1500, NULL, &other, &err),
                     COLO_E_TIMEOUT);
    ck_assert_uint_lt(now_ms() - began, 12000);
    ck_assert_uint_ge(now_ms() - began, 3000);
    ck_assert_int_eq(kill(b.pid, SIGCONT), 0);
    colo__dm_ops(dm)->close(dm);
    dm = open_dm(&b, TIMEOUT_MS);
    ck_assert_int_eq(colo__dm_ops(dm)->stop(dm, &err), 0);
    load(dm, two, two_len);
    ck_assert_uint_eq(dm_qemu_get(&b), 0x22);
    ck_assert_int_eq(kill(b.pid, SIGSTOP), 0);
    ck_assert_int_eq(kill(b.pid, SIGKILL), 0);
    began = now_ms();
    ck_assert_int_eq(colo__dm_ops(dm)->load(dm, one, one_len, &err),
                     COLO_E_HV);
    ck_assert_int_eq(colo__dm_ops(dm)->cont(dm, &err), COLO_E_HV);
    ck_assert_uint_lt(now_ms() - began, 5000);
    colo__dm_ops(dm)->close(dm);
}
END_TEST

static void count_beat(void *user)
{
    ++*(unsigned *)user;
}

/* What a guest's disks have not yet written is waited for, and longer than for
 * an answer: with signs of life. */
START_TEST(test_slow_stop)
{
    struct colo_dm *dm = open_dm(&b, 300);
    struct colo_error err = { 0 };
    unsigned beats = 0;
    uint64_t began;
    pid_t pid;

    colo__dm_ops(dm)->set_beat(dm, count_beat, &beats, TIMEOUT_MS);
    ck_assert_int_eq(kill(b.pid, SIGSTOP), 0);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (!pid) {
        poll(NULL, 0, 2500);
        _exit(kill(b.pid, SIGCONT));
    }
    ck_assert_msg(!colo__dm_ops(dm)->stop(dm, &err), "%s", err.text);
    ck_assert_uint_gt(beats, 20);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    /* of nothing else */
    ck_assert_int_eq(kill(b.pid, SIGSTOP), 0);
    began = now_ms();
    ck_assert_int_eq(colo__dm_ops(dm)->cont(dm, &err), COLO_E_TIMEOUT);
    ck_assert_uint_lt(now_ms() - began, TIMEOUT_MS / 2);
    ck_assert_int_eq(kill(b.pid, SIGCONT), 0);
    colo__dm_ops(dm)->close(dm);
}
END_TEST

/* Somebody takes a replica for a guest, and lets its devices go on. */
START_TEST(test_resumed_by_others)
{
    struct colo_dm *dm = open_dm(&b, TIMEOUT_MS);
    const struct colo_dm_ops *ops = colo__dm_ops(dm);
    struct colo_error err = { 0 };
    struct colo_qmp *other = NULL;

    ck_assert_int_eq(ops->stop(dm, &err), 0);
    load(dm, one, one_len);
    ck_assert(!ops->resumed(dm));
    ck_assert_msg(!colo__qmp_open(b.monitor2, COLO_NEVER, NULL, NULL, &other,
                                  &err), "%s", err.text);
    ck_assert_int_eq(colo__qmp_run(other, "cont", -1, NULL, COLO_NEVER, NULL,
                                   &err), 0);
    colo__qmp_close(other);
    for (int ms = 0; ms < 5000 && !ops->resumed(dm); ms += 5)
        poll(NULL, 0, 5);
    ck_assert(ops->resumed(dm));
    ck_assert_int_eq(ops->stop(dm, &err), 0);
    ck_assert(!ops->resumed(dm));
    cont(dm);
    poll(NULL, 0, 100);
    ck_assert(!ops->resumed(dm));
    ops->close(dm);
}
END_TEST

/* One that hangs, or says things on its own, is not gone. */
START_TEST(test_ends)
{
    struct colo_dm *dm = open_dm(&b, TIMEOUT_MS);
    const struct colo_dm_ops *ops = colo__dm_ops(dm);
    struct pollfd pfd = { ops->fd(dm), POLLRDHUP, 0 };
    struct colo_error err;

    ck_assert(!ops->gone(dm));
    ck_assert_int_eq(ops->stop(dm, &err), 0);
    cont(dm);
    ck_assert_int_eq(poll(&pfd, 1, 50), 0);
    ck_assert_int_eq(kill(b.pid, SIGSTOP), 0);
    ck_assert(!ops->gone(dm));
    ck_assert_int_eq(kill(b.pid, SIGCONT), 0);
    ck_assert(!ops->gone(dm));
    ck_assert_int_eq(kill(b.pid, SIGKILL), 0);
    ck_assert(ops->gone(dm)); /* at once, however long it takes to die */
    ck_assert_int_eq(poll(&pfd, 1, 0), 1);
    ops->close(dm);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("dm-qmp");
    Suite *s = suite_create("dm-qmp");
    SRunner *runner;
    int failed;

    if (access(DM_QEMU, X_OK)) {
        puts("skipped: " DM_QEMU " (package qemu-system-xen) is missing");
        return 77;
    }
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_states_alternate);
    tcase_add_test(tc, test_bad_state);
    tcase_add_test(tc, test_larger_state);
    tcase_add_test(tc, test_client_killed);
    tcase_add_test(tc, test_dirty_log);
    tcase_add_test(tc, test_dirty_log_off_meanwhile);
    tcase_add_test(tc, test_hangs);
    tcase_add_test(tc, test_slow_stop);
    tcase_add_test(tc, test_resumed_by_others);
    tcase_add_test(tc, test_ends);
    suite_add_tcase(s, tc);
    runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
