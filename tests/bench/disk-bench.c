/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What the disk proxy costs: a libnbd client writes through unix sockets to
 * plain nbdkit (its file plugin), to the proxy alone, and to a pair of proxies
 * with a checkpoint each 50 ms; and to the raw file.  In turns, medians.
 *
 * BENCH_DIR (default /dev/shm) holds the disks: in memory, so that the figure
 * is the programs' cost and not the disk's.
 *
 * All run on this one machine, the secondary too, which in real life has a
 * host of its own.  Its work is as much again as all of plain nbdkit's, so
 * where it takes its processor time from the others, no ratio can be near 1:
 * that is measured, and so is (names ending in _apart) the client and the
 * server that it talks to, whichever it is, on one half of the processors,
 * and the secondary on the other half.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <libnbd.h>

#define DISK_BYTES (UINT64_C(256) << 20)
#define REPS 5
#define RUN_MS 400
#define MAX_DEPTH 32
#define CHECKPOINT_MS 50
#define MAX_BARRIERS 4096

#define SECONDARY 2 /* of the four processes */

enum { RAW, PLAIN, ALONE, PROTECTED, NR_KINDS };
enum { TOGETHER, APART, NR_PLACES };
enum { IOPS1, IOPS32, BANDWIDTH, NR_LOADS };

static const struct {
    const char *name;
    uint32_t len;
    unsigned depth;
    bool sequential;
} loads[NR_LOADS] = {
    { "iops_depth1", 4096, 1, false },
    { "iops_depth32", 4096, 32, false },
    { "bandwidth", 256 * 1024, 8, true },
};

static const char *const places[NR_PLACES] = { "", "_apart" };
static const char *const kinds[NR_KINDS] = {
    "raw", "nbdkit", "alone", "protected",
};

struct bench {
    char dir[64];
    pid_t pids[4];
    int cpus[CPU_SETSIZE], nr_cpus, nr_places;
    struct nbd_handle *nbd[NR_KINDS];
    int raw, control[2];
    uint64_t seq, epoch, next_ms;
    double barriers[MAX_BARRIERS];
    unsigned nr_barriers;
    uint64_t written, sent; /* bytes, protected */
    uint64_t cpu[4][NR_LOADS], done[4][NR_LOADS]; /* ns, requests; by pid */
    double result[NR_PLACES][NR_KINDS][NR_LOADS][REPS];
    uint8_t *data;
};

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void end_all(struct bench *b)
{
    char cmd[128];

    for (int i = 0; i < 4; i++) {
        if (b->pids[i] > 0) {
            kill(b->pids[i], SIGKILL);
            waitpid(b->pids[i], NULL, 0);
        }
    }
    snprintf(cmd, sizeof(cmd), "rm -rf '%s'", b->dir);
    if (system(cmd))
        fprintf(stderr, "disk-bench: %s stays\n", b->dir);
}

__attribute__((noreturn, format(printf, 2, 3)))
static void die(struct bench *b, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    end_all(b);
    exit(1);
}

static void make_disk(struct bench *b, const char *name)
{
    char path[128];
    uint8_t *chunk = malloc(1 << 20);
    int fd;

    snprintf(path, sizeof(path), "%s/%s.img", b->dir, name);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    memset(chunk, 0x5a, 1 << 20);
    for (uint64_t o = 0; o < DISK_BYTES; o += 1 << 20) {
        if (pwrite(fd, chunk, 1 << 20, (off_t)o) != 1 << 20)
            die(b, "%s: %s", path, strerror(errno));
    }
    free(chunk);
    close(fd);
}

static void serve(struct bench *b, int slot, const char *name,
                  const char *role)
{
    char sock[100], backing[110], meta[110], control[110], stream[110];
    const char *plugin = getenv("BENCH_PLUGIN");
    char as[32];

    make_disk(b, name);
    snprintf(sock, sizeof(sock), "%s/%s.sock", b->dir, name);
    snprintf(backing, sizeof(backing), role ? "backing=%s/%s.img" :
             "%s/%s.img", b->dir, name);
    snprintf(meta, sizeof(meta), "meta=%s/%s.meta", b->dir, name);
    snprintf(control, sizeof(control), "control=%s/%s.ctl", b->dir, name);
    snprintf(stream, sizeof(stream), "stream=%s/stream", b->dir);
    snprintf(as, sizeof(as), "role=%s", role ? role : "");
    b->pids[slot] = fork();
    if (b->pids[slot] == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (!role)
            execlp("nbdkit", "nbdkit", "-f", "-U", sock, "file", backing,
                   (char *)NULL);
        else
            execlp("nbdkit", "nbdkit", "-f", "-U", sock,
                   plugin ? plugin : PLUGIN, backing, meta, control, stream,
                   as, "memory-limit=256M", (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 5000 && access(sock, F_OK); i++)
        poll(NULL, 0, 1);
}

static struct nbd_handle *client(struct bench *b, const char *name)
{
    struct nbd_handle *h = nbd_create();
    char sock[100];

    snprintf(sock, sizeof(sock), "%s/%s.sock", b->dir, name);
    poll(NULL, 0, 100); /* it is bound, and may not listen yet */
    if (!h || nbd_connect_unix(h, sock) < 0)
        die(b, "%s: %s", sock, nbd_get_error());
    return h;
}

static int control(struct bench *b, const char *name)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    snprintf(un.sun_path, sizeof(un.sun_path), "%s/%s.ctl", b->dir, name);
    if (connect(fd, (struct sockaddr *)&un, sizeof(un)) < 0)
        die(b, "%s: %s", un.sun_path, strerror(errno));
    return fd;
}

static void say(struct bench *b, int side, uint64_t seq, const char *verb,
                uint64_t arg)
{
    char text[64];
    int n = snprintf(text, sizeof(text), "%llu %s %llu",
                     (unsigned long long)seq, verb, (unsigned long long)arg);

    if (send(b->control[side], text, (size_t)n, MSG_NOSIGNAL) != n)
        die(b, "control: %s", strerror(errno));
}

static void must(struct bench *b, int side, uint64_t seq)
{
    unsigned long long got, sent;
    char text[400];
    int at;

    for (;;) {
        struct pollfd pfd = { .fd = b->control[side], .events = POLLIN };
        ssize_t r;

        if (poll(&pfd, 1, 30000) <= 0)
            die(b, "control: no answer");
        r = recv(b->control[side], text, sizeof(text) - 1, 0);
        if (r <= 0)
            die(b, "control: closed");
        text[r] = '\0';
        if (sscanf(text, "event sent %llu", &sent) == 1)
            b->sent = sent;
        if (sscanf(text, "%llu %n", &got, &at) < 1 || got != seq)
            continue;
        if (strcmp(text + at, "ok"))
            die(b, "control: %s", text);
        return;
    }
}

static void both(struct bench *b, const char *verb, uint64_t arg)
{
    uint64_t seq = ++b->seq;

    say(b, 0, seq, verb, arg);
    say(b, 1, seq, verb, arg);
    must(b, 0, seq);
    must(b, 1, seq);
}

/* as a session does it, and how long the guest would have to wait */
static void checkpoint(struct bench *b)
{
    uint64_t seq = ++b->seq, begin = now_ns();

    say(b, 0, seq, "checkpoint", ++b->epoch);
    must(b, 0, seq);
    if (b->nr_barriers < MAX_BARRIERS)
        b->barriers[b->nr_barriers++] = (double)(now_ns() - begin) / 1000;
    say(b, 1, seq, "checkpoint", b->epoch);
    must(b, 1, seq);
    both(b, "commit", b->epoch);
}

static uint64_t place(unsigned load, uint64_t i)
{
    uint64_t n = DISK_BYTES / loads[load].len;

    if (loads[load].sequential)
        return i % n * loads[load].len;
    return i * 2654435761u % n * loads[load].len;
}

/* requests done */
static uint64_t run_nbd(struct bench *b, int kind, unsigned load,
                        uint64_t until)
{
    struct nbd_handle *h = b->nbd[kind];
    int64_t cookie[MAX_DEPTH];
    uint64_t i = 0, done = 0, t;
    unsigned depth = loads[load].depth;

    for (unsigned k = 0; k < depth; k++)
        cookie[k] = -1;
    for (;;) {
        unsigned busy = 0;

        t = now_ns();
        for (unsigned k = 0; k < depth; k++) {
            if (cookie[k] >= 0) {
                int r = nbd_aio_command_completed(h, (uint64_t)cookie[k]);

                if (r < 0)
                    die(b, "%s: %s", kinds[kind], nbd_get_error());
                if (r == 0) {
                    busy++;
                    continue;
                }
                done++;
                cookie[k] = -1;
            }
            if (t < until) {
                cookie[k] = nbd_aio_pwrite(h, b->data, loads[load].len,
                                           place(load, i++),
                                           NBD_NULL_COMPLETION, 0);
                if (cookie[k] < 0)
                    die(b, "%s: %s", kinds[kind], nbd_get_error());
                busy++;
            }
        }
        if (!busy)
            return done;
        if (kind == PROTECTED && t / 1000000 >= b->next_ms) {
            b->next_ms = t / 1000000 + CHECKPOINT_MS;
            checkpoint(b);
        }
        if (nbd_poll(h, 1000) < 0)
            die(b, "%s: %s", kinds[kind], nbd_get_error());
    }
}

struct raw {
    struct bench *b;
    unsigned load;
    uint64_t until;
    _Atomic uint64_t next;
    _Atomic int error;
};

static void *write_raw(void *user)
{
    struct raw *raw = user;
    struct bench *b = raw->b;

    while (!raw->error && now_ns() < raw->until) {
        if (pwrite(b->raw, b->data, loads[raw->load].len,
                   (off_t)place(raw->load, raw->next++)) < 0)
            raw->error = errno;
    }
    return NULL;
}

/* a thread for each request that the others have under way */
static uint64_t run_raw(struct bench *b, unsigned load, uint64_t until)
{
    struct raw raw = { .b = b, .load = load, .until = until };
    pthread_t threads[MAX_DEPTH];
    unsigned n = 0;

    while (n < loads[load].depth && !raw.error) {
        raw.error = pthread_create(&threads[n], NULL, write_raw, &raw);
        n += !raw.error;
    }
    while (n)
        pthread_join(threads[--n], NULL);
    if (raw.error)
        die(b, "raw: %s", strerror(raw.error));
    return raw.next;
}

/* what the threads of a process have run so far: on a busy machine this says
 * more than a clock */
static uint64_t cpu_ns(pid_t pid)
{
    unsigned long long n, total = 0;
    char path[300];
    struct dirent *de;
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    dir = opendir(path);
    while (dir && (de = readdir(dir))) {
        FILE *f;

        snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", (int)pid,
                 de->d_name);
        f = de->d_name[0] != '.' ? fopen(path, "re") : NULL;
        if (f && fscanf(f, "%llu", &n) == 1)
            total += n;
        if (f)
            fclose(f);
    }
    if (dir)
        closedir(dir);
    return total;
}

/* every thread of pid to processors [from, to) */
static void place_process(struct bench *b, pid_t pid, int from, int to)
{
    char path[64];
    struct dirent *de;
    cpu_set_t set;
    DIR *dir;

    CPU_ZERO(&set);
    for (int i = from; i < to; i++)
        CPU_SET((size_t)b->cpus[i], &set);
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    dir = opendir(path);
    while (dir && (de = readdir(dir))) {
        if (de->d_name[0] != '.' &&
            sched_setaffinity(atoi(de->d_name), sizeof(set), &set))
            die(b, "affinity: %s", strerror(errno));
    }
    if (dir)
        closedir(dir);
}

static void place_all(struct bench *b, int where)
{
    int half = (b->nr_cpus + 1) / 2;

    for (int i = 0; i < 4; i++) {
        int from = where == APART && i == SECONDARY ? half : 0;
        int to = where == APART && i != SECONDARY ? half : b->nr_cpus;

        place_process(b, b->pids[i], from, to);
    }
    place_process(b, getpid(), 0, where == APART ? half : b->nr_cpus);
}

static void find_cpus(struct bench *b)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set))
        die(b, "affinity: %s", strerror(errno));
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET((size_t)i, &set))
            b->cpus[b->nr_cpus++] = i;
    }
    b->nr_places = b->nr_cpus > 1 ? NR_PLACES : 1;
}

static void measure(struct bench *b, int where, int kind, unsigned load,
                    int rep)
{
    uint64_t begin = now_ns(), until = begin + RUN_MS * UINT64_C(1000000);
    uint64_t n, before[4];

    for (int i = 0; i < 4; i++)
        before[i] = cpu_ns(b->pids[i]);
    n = kind == RAW ? run_raw(b, load, until) :
        run_nbd(b, kind, load, until);
    b->result[where][kind][load][rep] = (double)n * 1e9 / (double)(now_ns() - begin);
    if (kind == PROTECTED) {
        b->written += n * loads[load].len;
        checkpoint(b); /* what is behind is of this measurement */
    }
    for (int i = 0; i < 4; i++) {
        if (kind != (i < 2 ? PLAIN + i : PROTECTED))
            continue;
        b->cpu[i][load] += cpu_ns(b->pids[i]) - before[i];
        b->done[i][load] += n;
    }
}

static int compare(const void *a, const void *c)
{
    double x = *(const double *)a, y = *(const double *)c;

    return (x > y) - (x < y);
}

static double median(double *v, unsigned n)
{
    qsort(v, n, sizeof(*v), compare);
    return n ? v[n / 2] : 0;
}

static void report_place(struct bench *b, int where)
{
    const char *name = places[where];
    double m[NR_KINDS][NR_LOADS];

    for (int l = 0; l < NR_LOADS; l++) {
        for (int k = 0; k < NR_KINDS; k++) {
            m[k][l] = median(b->result[where][k][l], REPS);
            if (l == BANDWIDTH)
                printf("disk_%s_mib_%s%s=%.0f\n", loads[l].name, kinds[k],
                       name, m[k][l] * loads[l].len / 1048576);
            else
                printf("disk_%s_%s%s=%.0f\n", loads[l].name, kinds[k], name,
                       m[k][l]);
        }
    }
    printf("disk_alone_iops_vs_nbdkit%s=%.2f\n", name,
           m[ALONE][IOPS32] / m[PLAIN][IOPS32]);
    printf("disk_alone_bandwidth_vs_nbdkit%s=%.2f\n", name,
           m[ALONE][BANDWIDTH] / m[PLAIN][BANDWIDTH]);
    printf("disk_iops1_vs_nbdkit%s=%.2f\n", name,
           m[PROTECTED][IOPS1] / m[PLAIN][IOPS1]);
    printf("disk_iops_vs_nbdkit%s=%.2f\n", name,
           m[PROTECTED][IOPS32] / m[PLAIN][IOPS32]);
    printf("disk_bandwidth_vs_nbdkit%s=%.2f\n", name,
           m[PROTECTED][BANDWIDTH] / m[PLAIN][BANDWIDTH]);
}

static void report(struct bench *b)
{
    static const char *const who[] = { "nbdkit", "alone", "secondary",
                                       "primary" };

    for (int where = 0; where < b->nr_places; where++)
        report_place(b, where);
    for (int l = 0; l < NR_LOADS; l++) {
        double cpu[4];

        for (int i = 0; i < 4; i++) {
            cpu[i] = (double)b->cpu[i][l] / (double)b->done[i][l] / 1000;
            printf("disk_%s_cpu_us_%s=%.1f\n", loads[l].name, who[i],
                   cpu[i]);
        }
        printf("disk_%s_cpu_nbdkit_vs_primary=%.2f\n", loads[l].name,
               cpu[0] / cpu[3]);
    }
    printf("link_bytes_per_written=%.4f\n",
           (double)b->sent / (double)b->written);
    printf("barrier_us=%.0f\n", median(b->barriers, b->nr_barriers));
}

int main(void)
{
    static struct bench b;
    const char *dir = getenv("BENCH_DIR");
    char path[100];

    signal(SIGPIPE, SIG_IGN);
    snprintf(b.dir, sizeof(b.dir), "%.40s/colo-bench.XXXXXX",
             dir ? dir : "/dev/shm");
    if (!mkdtemp(b.dir)) {
        perror(b.dir);
        return 1;
    }
    if (posix_memalign((void **)&b.data, 4096, 1 << 20))
        return 1;
    for (size_t i = 0; i < 1 << 20; i++)
        b.data[i] = (uint8_t)(i * 2654435761u >> 24);
    find_cpus(&b);
    make_disk(&b, "raw");
    snprintf(path, sizeof(path), "%s/raw.img", b.dir);
    b.raw = open(path, O_RDWR | O_CLOEXEC | O_DIRECT);
    serve(&b, 0, "plain", NULL);
    serve(&b, 1, "alone", "alone");
    serve(&b, SECONDARY, "b", "secondary");
    serve(&b, 3, "a", "primary");
    b.nbd[PLAIN] = client(&b, "plain");
    b.nbd[ALONE] = client(&b, "alone");
    b.nbd[PROTECTED] = client(&b, "a");
    b.control[0] = control(&b, "a");
    b.control[1] = control(&b, "b");
    both(&b, "start", 1);
    for (int turn = 0; turn < REPS * b.nr_places; turn++) {
        int where = turn % b.nr_places, rep = turn / b.nr_places;

        place_all(&b, where);
        for (unsigned l = 0; l < NR_LOADS; l++) {
            for (int k = 0; k < NR_KINDS; k++)
                measure(&b, where, k, l, rep);
        }
    }
    both(&b, "stop", 0);
    report(&b);
    end_all(&b);
    return 0;
}
