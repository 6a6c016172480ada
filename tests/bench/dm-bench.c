/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What the device model adds to a pause: two stock QEMUs, what one saves the
 * other loads.  Prints name=value.
 */
#include "../unit/dm-qemu.h"

#define CAP (1u << 20)
#define TIMEOUT_MS 20000
#define ROUNDS_MAX 10000

static void die(const char *what, const struct colo_error *err)
{
    fprintf(stderr, "dm-bench: %s: %s\n", what, err->text);
    exit(1);
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static void print(const char *name, uint32_t *us, int n)
{
    qsort(us, (size_t)n, sizeof(*us), by_value);
    printf("%s_us_p50=%u\n%s_us_p95=%u\n", name, us[n / 2], name,
           us[n * 95 / 100]);
}

static uint32_t since(uint64_t begin)
{
    return (uint32_t)(colo__now_us(&colo__clock_monotonic) - begin);
}

static uint64_t rss_kib(pid_t pid)
{
    char path[40], line[200];
    unsigned long pages = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/statm", pid);
    f = fopen(path, "re");
    if (f && fgets(line, sizeof(line), f))
        sscanf(line, "%*u %lu", &pages);
    if (f)
        fclose(f);
    return pages * 4;
}

int main(int argc, char **argv)
{
    static uint32_t stop[ROUNDS_MAX], save[ROUNDS_MAX], load[ROUNDS_MAX],
                    cont[ROUNDS_MAX];
    int rounds = argc > 1 ? atoi(argv[1]) : 500;
    struct dm_qemu a, b;
    struct colo_dm *from = NULL, *to = NULL;
    struct colo_error err = { 0 };
    uint8_t *buf = malloc(CAP);
    uint64_t rss = 0;
    uint32_t len = 0;

    if (access(DM_QEMU, X_OK)) {
        puts("skipped=" DM_QEMU " is missing");
        return 77;
    }
    if (!buf || rounds < 1 || rounds > ROUNDS_MAX)
        return 2;
    dm_qemu_start(&a, "rtl8139");
    dm_qemu_start(&b, "rtl8139");
    if (colo__dm_qmp_open(a.monitor, TIMEOUT_MS, NULL, &from, &err) ||
        colo__dm_qmp_open(b.monitor, TIMEOUT_MS, NULL, &to, &err) ||
        colo__dm_ops(to)->stop(to, &err))
        die("open", &err);
    for (int i = 0; i < rounds; i++) {
        uint64_t t = colo__now_us(&colo__clock_monotonic);

        if (colo__dm_ops(from)->stop(from, &err))
            die("stop", &err);
        stop[i] = since(t);
        t = colo__now_us(&colo__clock_monotonic);
        if (colo__dm_ops(from)->save(from, buf, CAP, &len, &err))
            die("save", &err);
        save[i] = since(t);
        t = colo__now_us(&colo__clock_monotonic);
        if (colo__dm_ops(from)->cont(from, &err))
            die("cont", &err);
        cont[i] = since(t);
        t = colo__now_us(&colo__clock_monotonic);
        if (colo__dm_ops(to)->load(to, buf, len, &err))
            die("load", &err);
        load[i] = since(t);
        if (i == rounds / 10)
            rss = rss_kib(b.pid);
    }
    printf("dm_rounds=%d\ndm_state_bytes=%u\n", rounds, len);
    print("dm_stop", stop, rounds);
    print("dm_save", save, rounds);
    print("dm_cont", cont, rounds);
    print("dm_load", load, rounds);
    printf("dm_rss_grown_kib=%lld\n",
           (long long)rss_kib(b.pid) - (long long)rss);
    colo__dm_ops(from)->close(from);
    colo__dm_ops(to)->close(to);
    dm_qemu_end(&a);
    dm_qemu_end(&b);
    free(buf);
    return 0;
}
