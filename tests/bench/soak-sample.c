/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What each process of a long run uses, from /proc.  All memory is taken and
 * touched at the start: the watcher must not grow by watching.  Children of
 * known processes are added up by name, so that a zombie that nobody waits
 * for, or a second watchdog, shows as growth too.
 */
#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "soak.h"

#define MAX_SERIES 16
#define MIN_SAMPLES 9          /* fewer say nothing */
#define JUDGE_HOURS (5.0 / 60) /* shorter, memory is still warming up */
#define ALLOWED_PERCENT 5.0
#define ALLOWED_KIB 2048.0
#define ALLOWED_COUNT 3.0      /* descriptors, threads */

enum { RSS, ANON, FDS, THREADS, VALUES };

struct sample {
    double hours, value[VALUES];
};

struct series {
    char name[32];
    uint32_t n;
    struct sample *samples;
};

struct soak_samples {
    uint32_t capacity, count;
    double *scratch;
    struct series series[MAX_SERIES];
};

static const char *const known[SOAK_KNOWN] = {
    "driver", "primary", "secondary", "disk-writer", "disk-primary",
    "disk-secondary",
};

struct soak_samples *soak_samples_new(uint32_t capacity)
{
    struct soak_samples *s = calloc(1, sizeof(*s));
    size_t bytes = capacity * sizeof(struct sample);

    if (!s)
        return NULL;
    s->capacity = capacity;
    s->scratch = malloc(capacity * sizeof(double));
    if (!s->scratch)
        return NULL;
    memset(s->scratch, 1, capacity * sizeof(double));
    for (int i = 0; i < MAX_SERIES; i++) {
        s->series[i].samples = malloc(bytes);
        if (!s->series[i].samples)
            return NULL;
        memset(s->series[i].samples, 1, bytes);
    }
    return s;
}

/* ---- /proc ------------------------------------------------------------- */

static double descriptors(pid_t pid)
{
    char path[64];
    struct dirent *de;
    double n = 0;
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    dir = opendir(path);
    while (dir && (de = readdir(dir)))
        n += de->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return n;
}

static bool look(pid_t pid, double value[VALUES])
{
    static const char *const names[VALUES] = {
        [RSS] = "VmRSS:", [ANON] = "RssAnon:", [THREADS] = "Threads:",
    };
    char path[64], line[256];
    FILE *f;

    memset(value, 0, VALUES * sizeof(value[0]));
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    f = fopen(path, "re");
    if (!f)
        return false;
    while (fgets(line, sizeof(line), f))
        for (int i = 0; i < VALUES; i++)
            if (names[i] && !strncmp(line, names[i], strlen(names[i])))
                value[i] = strtod(line + strlen(names[i]), NULL);
    fclose(f);
    value[FDS] = descriptors(pid);
    return true;
}

/* Its parent and its name; false: it has gone. */
static bool parent_of(pid_t pid, pid_t *ret_parent, char name[32])
{
    char path[64], line[512], *end;
    size_t n;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    f = fopen(path, "re");
    if (!f)
        return false;
    n = fread(line, 1, sizeof(line) - 1, f);
    fclose(f);
    line[n] = '\0';
    end = strrchr(line, ')'); /* a name may have any byte in it */
    if (!end || !strchr(line, '('))
        return false;
    *end = '\0';
    snprintf(name, 32, "%.31s", strchr(line, '(') + 1);
    return sscanf(end + 1, " %*c %d", ret_parent) == 1;
}

/* ---- taking ------------------------------------------------------------ */

static void add(struct soak_samples *s, const char *name, double hours,
                const double value[VALUES])
{
    struct series *series = NULL;
    struct sample *last;

    for (uint32_t i = 0; i < s->count && !series; i++)
        if (!strcmp(s->series[i].name, name))
            series = &s->series[i];
    if (!series && s->count < MAX_SERIES) {
        series = &s->series[s->count++];
        snprintf(series->name, sizeof(series->name), "%s", name);
    }
    if (!series)
        return;
    last = series->n ? &series->samples[series->n - 1] : NULL;
    if (!last || last->hours < hours) {
        if (series->n == s->capacity)
            return;
        last = &series->samples[series->n++];
        memset(last, 0, sizeof(*last));
        last->hours = hours;
    }
    for (int i = 0; i < VALUES; i++)
        last->value[i] += value[i];
}

static bool is_known(const struct soak_shared *shared, pid_t pid)
{
    for (int i = 0; i < SOAK_KNOWN; i++)
        if (pid == atomic_load(&shared->pid[i]))
            return true;
    return false;
}

void soak_samples_take(struct soak_samples *s,
                       const struct soak_shared *shared, double hours)
{
    double value[VALUES];
    struct dirent *de;
    DIR *dir;

    for (int i = 0; i < SOAK_KNOWN; i++) {
        pid_t pid = atomic_load(&shared->pid[i]);

        if (pid && look(pid, value))
            add(s, known[i], hours, value);
    }
    dir = opendir("/proc");
    while (dir && (de = readdir(dir))) {
        pid_t pid = (pid_t)strtol(de->d_name, NULL, 10), parent;
        char name[32];

        if (!isdigit((unsigned char)de->d_name[0]) ||
            is_known(shared, pid) || !parent_of(pid, &parent, name) ||
            !is_known(shared, parent) || !look(pid, value))
            continue;
        add(s, name, hours, value);
    }
    if (dir)
        closedir(dir);
}

/* ---- what it comes to -------------------------------------------------- */

static double slope(const struct series *series, int what)
{
    double n = series->n, x = 0, y = 0, xx = 0, xy = 0, under;

    for (uint32_t i = 0; i < series->n; i++) {
        const struct sample *s = &series->samples[i];

        x += s->hours;
        y += s->value[what];
        xx += s->hours * s->hours;
        xy += s->hours * s->value[what];
    }
    under = n * xx - x * x;
    return under > 0 ? (n * xy - x * y) / under : 0;
}

static double most(const struct series *series, int what)
{
    double max = 0;

    for (uint32_t i = 0; i < series->n; i++)
        if (series->samples[i].value[what] > max)
            max = series->samples[i].value[what];
    return max;
}

static double mean(const struct series *series, int what, uint32_t from,
                   uint32_t n)
{
    double sum = 0;

    for (uint32_t i = from; i < from + n; i++)
        sum += series->samples[i].value[what];
    return sum / n;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(const struct soak_samples *s,
                     const struct series *series, int what, uint32_t from,
                     uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        s->scratch[i] = series->samples[from + i].value[what];
    qsort(s->scratch, n, sizeof(double), compare);
    return s->scratch[n / 2];
}

static void memory_growth(const struct series *series, int what,
                          double *percent, bool *bad)
{
    uint32_t n = series->n / 3;
    double first = mean(series, what, 0, n);
    double by = mean(series, what, series->n - n, n) - first;
    double p = first > 0 ? by * 100 / first : 0;

    if (p > *percent)
        *percent = p;
    if (p > ALLOWED_PERCENT && by > ALLOWED_KIB &&
        series->samples[series->n - 1].hours >= JUDGE_HOURS)
        *bad = true;
}

static void count_growth(const struct soak_samples *s,
                         const struct series *series, int what, double *most_by,
                         bool *bad)
{
    uint32_t n = series->n / 3;
    double by = median(s, series, what, series->n - n, n) -
                median(s, series, what, 0, n);

    if (by > *most_by)
        *most_by = by;
    if (by > ALLOWED_COUNT)
        *bad = true;
}

void soak_samples_print(const struct soak_samples *s,
                        struct soak_growth *ret_growth)
{
    memset(ret_growth, 0, sizeof(*ret_growth));
    printf("# of each process: first, last, most, and the slope in an hour; "
           "KiB\n");
    for (uint32_t i = 0; i < s->count; i++) {
        const struct series *series = &s->series[i];
        const double *first = series->samples[0].value;
        const double *last = series->samples[series->n - 1].value;

        printf("# %-15s rss %.0f %.0f %.0f %+.0f, anon %.0f %.0f %.0f %+.0f,"
               " fds %.0f %.0f %.0f, threads %.0f %.0f %.0f, %u samples\n",
               series->name, first[RSS], last[RSS], most(series, RSS),
               slope(series, RSS), first[ANON], last[ANON],
               most(series, ANON), slope(series, ANON), first[FDS],
               last[FDS], most(series, FDS), first[THREADS], last[THREADS],
               most(series, THREADS), series->n);
        if (series->n < MIN_SAMPLES)
            continue;
        memory_growth(series, RSS, &ret_growth->rss_percent,
                      &ret_growth->bad);
        memory_growth(series, ANON, &ret_growth->anon_percent,
                      &ret_growth->bad);
        count_growth(s, series, FDS, &ret_growth->fds, &ret_growth->bad);
        count_growth(s, series, THREADS, &ret_growth->threads,
                     &ret_growth->bad);
    }
}
