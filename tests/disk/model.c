/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * model [RUNS] [SEED] - random guests, checkpoints, crashes, failovers and
 * resyncs over two real nbdkits with the real plugin, against a reference
 * that knows which epoch may be seen.  Prints name=value lines; a run that
 * fails prints its seed, and "model 1 SEED" does it again (all but timing).
 * -v says what happens.  MODEL_DIR: where the disks are (default /var/tmp).
 */
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model.h"

#include "../../disk-proxy/meta.h"

const char *const fault_names[NR_FAULTS] = {
    "stop", "session_gone", "secondary_killed", "primary_killed", "failover",
    "both_killed", "survivor_killed", "primary_back",
    "secondary_killed_in_sync", "primary_killed_in_sync", "survivor_refused",
};

#define SINCE_TAKEOVER "since the takeover"

static struct shared *shared;
static volatile sig_atomic_t stopped;

uint64_t rnd(struct model *m, uint64_t n)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return (m->random * 0x2545f4914f6cdd1dULL >> 11) % n;
}

static void clean(struct model *m, bool keep)
{
    char cmd[160];

    for (int i = 0; i < 2; i++) {
        if (m->side[i].pid) {
            kill(m->side[i].pid, SIGKILL);
            waitpid(m->side[i].pid, NULL, 0);
        }
    }
    snprintf(cmd, sizeof(cmd), "rm -rf '%s'", m->dir);
    if (!keep && system(cmd))
        fprintf(stderr, "model: %s stays\n", m->dir);
}

void lost(struct model *m, const char *fmt, ...)
{
    va_list ap;

    fflush(stdout);
    fprintf(stderr, "model: seed %llu: ", (unsigned long long)m->seed);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, " (files in %s)\n", m->dir);
    clean(m, true);
    _exit(1);
}

void note(struct model *m, const char *fmt, ...)
{
    va_list ap;

    if (!m->verbose)
        return;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

int other(struct model *m)
{
    return !m->primary;
}

/* it was given an epoch in mode colo: it writes too */
bool replica_runs(struct model *m)
{
    return m->colo && m->committed;
}

/* a disk of garbage and holes */
static void make_disk(struct model *m, int i, const struct image *like)
{
    uint8_t *p = calloc(1, m->size);
    char path[128];
    int fd;

    if (like)
        memcpy(p, like->bytes, m->size);
    for (uint64_t o = 0; o < m->size; o += 65536) {
        uint64_t n = m->size - o < 65536 ? m->size - o : 65536;

        if (rnd(m, like ? 8 : 2) == 0)
            memset(p + o, (int)(1 + rnd(m, 255)), n);
    }
    side_path(m, i, "img", path);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)m->size) < 0)
        lost(m, "cannot make %s", path);
    for (uint64_t o = 0; o < m->size; o += 65536) {
        uint64_t n = m->size - o < 65536 ? m->size - o : 65536;

        if ((p[o] || memcmp(p + o, p + o + 1, n - 1)) &&
            pwrite(fd, p + o, n, (off_t)o) != (ssize_t)n)
            lost(m, "cannot write %s", path);
    }
    close(fd);
    if (i == m->primary)
        memcpy(m->now.bytes, p, m->size);
    free(p);
}

static void ready(struct model *m)
{
    int p = m->primary, s = other(m);

    if (!m->side[s].pid)
        side_start(m, s, true);
    if (!m->side[p].pid)
        side_start(m, p, false);
    for (int i = 0; i < 2; i++) {
        if (m->side[i].control < 0)
            side_connect(m, i);
    }
    side_nbd(m, p);
}

/* a killed side marks all that was hot, which on these disks is nearly all */
static void taken_by_bitmap(struct model *m)
{
    m->shared->by_bitmap++;
    m->shared->partly += m->side[m->primary].progress_total < m->size;
}

/* The other side's copy was the guest's, too, and was not told that this one
 * took over: it is overwritten only when an operator has said so. */
static void refused(struct model *m)
{
    int p = m->primary, s = other(m), state = 0;
    struct image theirs;
    uint64_t qp, qs;
    char meta[128], why[256];

    side_path(m, s, "meta", meta);
    if (m->side[s].pid || colo__meta_peek(meta, NULL, NULL) != COLO_META_ALONE)
        return;
    image_init(m, &theirs);
    image_read(m, s, &theirs);
    ready(m);
    qp = side_send(m, p, "start", 1);
    qs = side_send(m, s, "start", 1);
    guest_ops(m, (unsigned)rnd(m, 12));
    if (side_answer(m, p, qp, 20000, why) != 0 || !strstr(why, "discard"))
        lost(m, "a copy that was the guest's is overwritten: %s", why);
    if (side_answer(m, s, qs, 20000, why) != 0)
        lost(m, "the refusing side says: %s", why);
    side_must(m, p, "stop", 0);
    check_guest(m, p, &m->now, "after the refusal");
    side_kill(m, s, SIGTERM);
    check_file(m, s, &theirs, "the copy that was not to be overwritten");
    image_free(&theirs);
    /* as colo-disk discard does */
    if (colo__meta_discard(meta, &state, NULL) || state != COLO_META_ALONE)
        lost(m, "discard, in state %d", state);
    m->shared->refused++;
}

/* until in step; may kill one of them on the way and come again */
static void protect(struct model *m)
{
    unsigned before = side_said(m, m->primary, SINCE_TAKEOVER);
    uint64_t qp, qs;
    char why[256];

    refused(m);
    m->colo = rnd(m, 2);
    for (;;) {
        int p = m->primary, s = other(m), victim = -1;

        ready(m);
        qp = side_send(m, p, "start", m->colo ? 2 : 1); /* COLO_MODE_* */
        qs = side_send(m, s, "start", m->colo ? 2 : 1);
        if (rnd(m, 8) == 0)
            victim = rnd(m, 2) ? s : p;
        guest_ops(m, (unsigned)rnd(m, rnd(m, 3) ? 12 : 150));
        if (victim < 0)
            break;
        m->shared->faults[victim == s ? SYNC_SECONDARY_KILLED :
                       SYNC_PRIMARY_KILLED]++;
        note(m, "kill %c in the first copy", 'a' + victim);
        side_kill(m, victim, SIGKILL);
        if (victim == s) {
            check_guest(m, p, &m->now, "after a kill in the first copy");
            side_must(m, p, "stop", 0);
            continue;
        }
        side_must(m, s, "stop", 0);
        ready(m);
        check_guest(m, p, &m->now, "primary killed in the first copy");
    }
    if (side_answer(m, m->primary, qp, 20000, why) != 1)
        lost(m, "start of the primary: %s", why);
    if (side_answer(m, other(m), qs, 20000, why) != 1)
        lost(m, "start of the secondary: %s", why);
    m->shared->resyncs++;
    if (side_said(m, m->primary, SINCE_TAKEOVER) > before)
        taken_by_bitmap(m);
    else if (m->took_over)
        lost(m, "everything was compared after a takeover");
    m->took_over = false;
    m->epoch = m->committed = 0;
}

static void verify(struct model *m)
{
    struct side *p = &m->side[m->primary];

    p->compared = 0;
    side_must(m, m->primary, "verify", 0);
    if (p->differing)
        lost(m, "verify: %llu chunks differ",
             (unsigned long long)p->differing);
    if (p->compared != (m->size + 65535) / 65536)
        lost(m, "verify: %llu chunks", (unsigned long long)p->compared);
    m->shared->verified++;
}

static void checkpoint(struct model *m)
{
    struct flight f[MAX_FLIGHT];
    unsigned n = 0;
    uint64_t qp, qs;
    char why[256];

    if (rnd(m, 2))
        n = guest_launch(m, m->primary, f, 1 + (unsigned)rnd(m, 6));
    image_copy(m, &m->held, &m->now);
    for (unsigned i = 0; i < n; i++) {
        m->held.maybe[i] = f[i];
        m->held.maybe[i].data = malloc(f[i].len);
        memcpy(m->held.maybe[i].data, f[i].data, f[i].len);
    }
    m->held.nr_maybe = n;
    m->epoch++;
    if (rnd(m, 2)) {
        qs = side_send(m, other(m), "checkpoint", m->epoch);
        qp = side_send(m, m->primary, "checkpoint", m->epoch);
    } else {
        qp = side_send(m, m->primary, "checkpoint", m->epoch);
        qs = side_send(m, other(m), "checkpoint", m->epoch);
    }
    if (side_answer(m, m->primary, qp, 20000, why) != 1)
        lost(m, "checkpoint of the primary: %s", why);
    guest_land(m, m->primary, &m->now, f, n, false);
    if (rnd(m, 2))
        guest_ops(m, (unsigned)rnd(m, 8)); /* of the next epoch */
    if (side_answer(m, other(m), qs, 20000, why) != 1)
        lost(m, "checkpoint of the secondary: %s", why);
}

static void commit(struct model *m, bool primary_too)
{
    side_must(m, other(m), "commit", m->epoch);
    m->committed = m->epoch;
    image_copy(m, &m->safe, &m->held);
    m->shared->epochs++;
    if (m->colo) { /* the epoch is all that it sees */
        check_guest(m, other(m), &m->safe, "the replica, after a commit");
        image_copy(m, &m->own, &m->safe);
        m->shared->colo_epochs++;
    }
    if (primary_too)
        side_must(m, m->primary, "commit", m->epoch);
}

/* the guest's copies run, together or, as here, in turn */
static void both_run(struct model *m, unsigned n)
{
    guest_ops(m, (unsigned)rnd(m, n));
    if (!replica_runs(m))
        return;
    replica_ops(m, (unsigned)rnd(m, n));
    guest_ops(m, (unsigned)rnd(m, 4));
    replica_ops(m, (unsigned)rnd(m, 4));
}

static void epochs(struct model *m, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        both_run(m, 40);
        if (rnd(m, 6) == 0)
            verify(m);
        checkpoint(m);
        if (replica_runs(m) && rnd(m, 3) == 0)
            check_guest(m, other(m), &m->own, "the replica, before a commit");
        commit(m, true);
    }
    both_run(m, 20); /* never committed */
    if (rnd(m, 3) == 0) {
        checkpoint(m);
        if (rnd(m, 2)) {
            commit(m, false);
            if (replica_runs(m))
                replica_ops(m, (unsigned)rnd(m, 20));
        }
    }
}

static void run(struct model *m)
{
    unsigned rounds = 1 + (unsigned)rnd(m, 4);

    m->size = (2 + rnd(m, 7)) * 1048576 + rnd(m, 128) * SECTOR;
    m->memory_limit = (4 + rnd(m, 12)) << 20;
    m->spill = true;
    image_init(m, &m->now);
    image_init(m, &m->held);
    image_init(m, &m->safe);
    image_init(m, &m->own);
    m->side[0].control = m->side[1].control = -1;
    m->side[1].index = 1;
    make_disk(m, 0, NULL);
    make_disk(m, 1, rnd(m, 2) ? &m->now : NULL);
    for (unsigned i = 0; i < rounds; i++) {
        protect(m);
        epochs(m, (unsigned)rnd(m, 6));
        end_of_round(m);
    }
    /* a last look, without any process */
    side_kill(m, m->primary, SIGTERM);
    check_file(m, m->primary, &m->now, "the last look");
    clean(m, false);
}

static bool one(uint64_t seed, bool verbose)
{
    struct model m = { .seed = seed, .random = seed * 2654435761u + 1,
                       .verbose = verbose, .shared = shared };
    const char *dir = getenv("MODEL_DIR");
    int status;
    pid_t pid;

    for (int i = 0; i < 8; i++)
        (void)rnd(&m, 2);
    snprintf(m.dir, sizeof(m.dir), "%.30s/colo-disk.XXXXXX",
             dir ? dir : "/var/tmp");
    if (!mkdtemp(m.dir)) {
        perror(m.dir);
        exit(2);
    }
    pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        signal(SIGTERM, SIG_DFL);
        alarm(120);
        run(&m);
        _exit(0);
    }
    waitpid(pid, &status, 0);
    (void)kill(-pid, SIGKILL); /* whatever it left */
    if (WIFSIGNALED(status))
        fprintf(stderr, "model: seed %llu: signal %d (files in %s)\n",
                (unsigned long long)seed, WTERMSIG(status), m.dir);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void on_term(int sig)
{
    (void)sig;
    stopped = 1;
}

int main(int argc, char **argv)
{
    uint64_t runs = 40, seed = 0, losses = 0;
    bool verbose = argc > 1 && !strcmp(argv[1], "-v");

    /* nbdkit itself is not: it cannot load what is */
    if (SANITIZED[0]) {
        printf("skipped: a plugin with sanitizers; test-disk-engine has "
               "them\n");
        return 77;
    }
    argc -= verbose;
    argv += verbose;
    if (argc > 1)
        runs = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        seed = strtoull(argv[2], NULL, 10);
    else if (getrandom(&seed, 4, 0) != 4)
        seed = 1;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, on_term); /* ends after this run, and tells */
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 2;
    printf("disk_seed=%llu\n", (unsigned long long)seed);
    fflush(stdout);
    for (uint64_t i = 0; i < runs; i++) {
        losses += !one(seed + i, verbose);
        if (stopped)
            runs = i + 1;
    }
    printf("disk_runs=%llu\ndisk_epochs=%llu\ndisk_first_copies=%llu\n"
           "disk_failovers=%llu\ndisk_verified=%llu\n"
           "disk_resyncs_by_bitmap=%llu\ndisk_resyncs_partly=%llu\n"
           "disk_colo_epochs=%llu\ndisk_colo_failovers=%llu\n"
           "disk_refused=%llu\n",
           (unsigned long long)runs, (unsigned long long)shared->epochs,
           (unsigned long long)shared->resyncs,
           (unsigned long long)shared->failovers,
           (unsigned long long)shared->verified,
           (unsigned long long)shared->by_bitmap,
           (unsigned long long)shared->partly,
           (unsigned long long)shared->colo_epochs,
           (unsigned long long)shared->colo_failovers,
           (unsigned long long)shared->refused);
    for (int i = 0; i < NR_FAULTS; i++)
        printf("disk_fault_%s=%llu\n", fault_names[i],
               (unsigned long long)shared->faults[i]);
    printf("disk_losses=%llu\n", (unsigned long long)losses);
    return losses != 0;
}
