/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) the libcolo developers
 *
 * pulse.c - the guest program: runs the workload of pulse-core.h for ever,
 * checks all of it again and again, and measures by TSC when it did not run.
 *
 * Arguments are KEY=VALUE (guest-init takes them from the kernel command line,
 * pulse.KEY=VALUE); README.md lists them.  One thread: between two looks at
 * the TSC lies at most one page of work, so a longer time is a gap, that is,
 * the vCPU did not run.  (CLOCK_MONOTONIC stands still while a guest is
 * suspended and cannot tell.)  Commands come from stdin, lines go to stdout.
 */
#include "pulse-core.h"
#include "samples.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define SLICE 8         /* pages verified between two steps' checks */
#define BAD_LINES 20    /* PULSE-BAD lines printed; more are counted only */
#define LINE_MAX_LEN 512

struct options {
    uint64_t seed;
    uint64_t pages, rate, hot, cold;
    uint64_t tick_us, gap_us, report_ms, udp_ms;
    uint64_t idle, verify, brief;
    const char *udp, *name;
};

struct pulse {
    struct options opt;
    void *mem;
    struct pulse_state st;
    uint64_t per_us;            /* TSC ticks */
    uint64_t last_tsc;          /* of the last look */
    uint64_t next_step, next_report, next_udp;
    uint64_t verified, passes, bad;
    uint64_t late;              /* steps more than a tick too late */
    uint32_t verify_at;
    uint32_t bad_lines;
    struct samples gaps, steps;
    int in, udp;
    char word[64];              /* command being typed */
    size_t word_len;
};

/* One line in one write. */
__attribute__((format(printf, 1, 2)))
static void say(const char *format, ...)
{
    char line[LINE_MAX_LEN];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(line, sizeof(line) - 1, format, args);
    va_end(args);
    if (n > (int)sizeof(line) - 2)
        n = sizeof(line) - 2;
    line[n++] = '\n';
    for (int done = 0; done < n;) {
        ssize_t w = write(1, line + done, n - done);

        if (w < 0 && errno != EINTR && errno != EAGAIN)
            return;
        done += w > 0 ? w : 0;
    }
}

/* ---- time ------------------------------------------------------------------ */

static uint64_t mono_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static uint64_t calibrate_tsc(void)
{
    uint64_t ns = mono_ns(), tsc = __rdtsc(), end;

    do
        end = mono_ns();
    while (end - ns < 500000000);
    return (__rdtsc() - tsc) * 1000 / (end - ns);
}

/* Look at the TSC; note a gap.  A TSC that went back (the guest woke on a
 * host whose TSC differs) is no gap. */
static uint64_t look(struct pulse *p)
{
    uint64_t now = __rdtsc();
    int64_t ticks = now - p->last_tsc;

    if (ticks > (int64_t)(p->opt.gap_us * p->per_us))
        samples_add(&p->gaps, ticks / p->per_us);
    p->last_tsc = now;
    return now;
}

/* What follows took time of our own: look away. */
static void look_away(struct pulse *p)
{
    p->last_tsc = __rdtsc();
}

/* ---- the work --------------------------------------------------------------- */

static void tell_bad(struct pulse *p, const struct pulse_report *rep)
{
    p->bad += rep->count;
    if (!rep->count || p->bad_lines++ >= BAD_LINES)
        return;
    say("PULSE-BAD step=%llu page=%u kind=%s page_step=%llu want_step=%llu "
        "word=%u want=%016llx have=%016llx count=%llu",
        (unsigned long long)rep->at_step, rep->page,
        pulse_kind_name(rep->kind), (unsigned long long)rep->page_step,
        (unsigned long long)rep->want_step, rep->word,
        (unsigned long long)rep->want, (unsigned long long)rep->have,
        (unsigned long long)rep->count);
}

static void touched(void *user, uint32_t page)
{
    (void)page;
    look(user);
}

static void step(struct pulse *p)
{
    struct pulse_report rep = { 0 };
    uint64_t start = look(p);

    pulse_step(p->mem, &p->st, touched, p, &rep);
    samples_add(&p->steps, (look(p) - start) / p->per_us);
    tell_bad(p, &rep);
}

static void verify_slice(struct pulse *p)
{
    for (int i = 0; i < SLICE; i++) {
        struct pulse_report rep = { 0 };

        pulse_verify(p->mem, &p->st, p->verify_at, 1, &rep);
        tell_bad(p, &rep);
        p->verified++;
        if (++p->verify_at == p->st.pages) {
            p->verify_at = 0;
            p->passes++;
        }
        look(p);
    }
}

/* ---- lines ------------------------------------------------------------------ */

static void report_brief(const struct pulse *p)
{
    say("PULSE name=%s step=%llu verified=%llu passes=%llu bad=%llu",
        p->opt.name, (unsigned long long)p->st.step,
        (unsigned long long)p->verified, (unsigned long long)p->passes,
        (unsigned long long)p->bad);
}

static void report(struct pulse *p)
{
    struct samples_summary g = samples_summarize(&p->gaps);
    struct samples_summary s = samples_summarize(&p->steps);

    say("PULSE name=%s step=%llu verified=%llu passes=%llu bad=%llu "
        "gaps=%llu gap_min_us=%u gap_p50_us=%u gap_p95_us=%u gap_max_us=%u "
        "step_p50_us=%u step_p95_us=%u step_max_us=%u late=%llu",
        p->opt.name, (unsigned long long)p->st.step,
        (unsigned long long)p->verified, (unsigned long long)p->passes,
        (unsigned long long)p->bad, (unsigned long long)p->gaps.count, g.min,
        g.p50, g.p95, g.max, s.p50, s.p95, s.max,
        (unsigned long long)p->late);
}

static void dump_gaps(struct pulse *p)
{
    uint64_t n = samples_kept(&p->gaps);

    for (uint64_t i = p->gaps.count - n; i < p->gaps.count; i += 16) {
        char line[256];
        int len = 0;

        for (uint64_t j = i; j < i + 16 && j < p->gaps.count; j++)
            len += snprintf(line + len, sizeof(line) - len, " %u",
                            p->gaps.us[j % SAMPLES_KEPT]);
        say("PULSE-GAPS from=%llu us%s", (unsigned long long)i, line);
    }
    say("PULSE-GAPS-END count=%llu", (unsigned long long)p->gaps.count);
}

static void send_udp(struct pulse *p)
{
    char line[128];
    int n = snprintf(line, sizeof(line), "PULSE name=%s step=%llu bad=%llu\n",
                     p->opt.name, (unsigned long long)p->st.step,
                     (unsigned long long)p->bad);

    /* Lost is lost: the network may be held or gone. */
    if (send(p->udp, line, n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        return;
}

static int open_udp(const char *dest)
{
    struct sockaddr_in to = { .sin_family = AF_INET };
    const char *colon = strchr(dest, ':');
    char ip[64];
    int fd;

    if (!colon || colon - dest >= (int)sizeof(ip))
        return -1;
    memcpy(ip, dest, colon - dest);
    ip[colon - dest] = 0;
    to.sin_port = htons(atoi(colon + 1));
    if (inet_pton(AF_INET, ip, &to.sin_addr) != 1)
        return -1;
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* ---- commands --------------------------------------------------------------- */

static void verify_now(struct pulse *p)
{
    struct pulse_report rep = { 0 };
    uint32_t bad = pulse_verify(p->mem, &p->st, 0, p->st.pages, &rep);

    tell_bad(p, &rep);
    say("PULSE-VERIFY step=%llu pages=%u bad=%u",
        (unsigned long long)p->st.step, p->st.pages, bad);
}

static void crash(void)
{
    int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);

    if (fd < 0 || write(fd, "c", 1) != 1)
        say("PULSE-ERROR cannot crash: %s", strerror(errno));
}

static void command(struct pulse *p, const char *word)
{
    if (!strcmp(word, "stats")) {
        report(p);
    } else if (!strcmp(word, "gaps")) {
        dump_gaps(p);
    } else if (!strcmp(word, "verify")) {
        verify_now(p);
    } else if (!strcmp(word, "reset-gaps")) {
        samples_reset(&p->gaps);
        samples_reset(&p->steps);
        say("PULSE-RESET step=%llu", (unsigned long long)p->st.step);
    } else if (!strcmp(word, "spoil")) {
        /* Prove that the test sees errors: one bit of the last page. */
        ((uint8_t *)p->mem)[(uint64_t)p->st.pages * PULSE_PAGE - 1] ^= 1;
        say("PULSE-SPOILT page=%u", p->st.pages - 1);
    } else if (!strcmp(word, "poweroff")) {
        reboot(RB_POWER_OFF);
    } else if (!strcmp(word, "reboot")) {
        reboot(RB_AUTOBOOT);
    } else if (!strcmp(word, "crash")) {
        crash();
    } else if (*word) {
        say("PULSE-ERROR unknown command: %.40s", word);
    }
    look_away(p);
}

static void read_commands(struct pulse *p)
{
    char buf[64];
    ssize_t n = read(p->in, buf, sizeof(buf));

    for (ssize_t i = 0; i < n; i++) {
        if (buf[i] != '\n' && buf[i] != '\r') {
            if (p->word_len < sizeof(p->word) - 1)
                p->word[p->word_len++] = buf[i];
            continue;
        }
        p->word[p->word_len] = 0;
        p->word_len = 0;
        command(p, p->word);
    }
}

/* ---- start and main loop ------------------------------------------------------ */

static void parse(struct options *opt, int argc, char **argv)
{
    const struct {
        const char *key;
        uint64_t *to;
    } numbers[] = {
        { "pages", &opt->pages },     { "rate", &opt->rate },
        { "hot", &opt->hot },         { "cold", &opt->cold },
        { "seed", &opt->seed },       { "tick_us", &opt->tick_us },
        { "gap_us", &opt->gap_us },   { "report_ms", &opt->report_ms },
        { "udp_ms", &opt->udp_ms },   { "idle", &opt->idle },
        { "verify", &opt->verify },   { "brief", &opt->brief },
    };

    for (int i = 1; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        bool known = false;

        if (value)
            *value++ = 0;
        for (size_t k = 0; value && k < sizeof(numbers) / sizeof(*numbers);
             k++)
            if (!strcmp(argv[i], numbers[k].key)) {
                *numbers[k].to = strtoull(value, NULL, 0);
                known = true;
            }
        if (value && !strcmp(argv[i], "udp"))
            opt->udp = value, known = true;
        if (value && !strcmp(argv[i], "name"))
            opt->name = value, known = true;
        if (!known)
            say("PULSE-ERROR unknown argument: %.40s", argv[i]);
    }
}

static int start(struct pulse *p)
{
    struct pulse_params params = {
        .seed = p->opt.seed,
        .pages = pulse_area_pages(p->opt.pages),
        .per_step = p->opt.rate,
        .hot = p->opt.hot,
        .cold_per_step = p->opt.cold,
    };
    size_t size = (size_t)params.pages * PULSE_PAGE;

    p->mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    /* Small pages, as the hypervisor tracks them. */
    if (p->mem == MAP_FAILED || mlock(p->mem, size)) {
        say("PULSE-ERROR no memory for %u pages: %s", params.pages,
            strerror(errno));
        return -1;
    }
    if (pulse_init(p->mem, &p->st, &params, NULL, NULL)) {
        say("PULSE-ERROR impossible: pages=%llu rate=%llu hot=%llu cold=%llu",
            (unsigned long long)p->opt.pages, (unsigned long long)p->opt.rate,
            (unsigned long long)p->opt.hot, (unsigned long long)p->opt.cold);
        return -1;
    }
    p->udp = p->opt.udp ? open_udp(p->opt.udp) : -1;
    if (p->opt.udp && p->udp < 0)
        say("PULSE-ERROR cannot send to %.60s", p->opt.udp);
    /* An open file of its own: stdout must keep blocking. */
    p->in = open("/proc/self/fd/0", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    p->per_us = calibrate_tsc();
    say("PULSE-START name=%s pages=%u rate=%llu tick_us=%llu tsc_mhz=%llu",
        p->opt.name, p->st.pages, (unsigned long long)p->opt.rate,
        (unsigned long long)p->opt.tick_us, (unsigned long long)p->per_us);
    return 0;
}

/* Is it time?  Then set the next one; what was missed is not made up for. */
static bool due(uint64_t now, uint64_t *next, uint64_t period)
{
    if ((int64_t)(now - *next) < 0)
        return false;
    *next += period;
    if ((int64_t)(now - *next) >= 0 || *next - now > period)
        *next = now + period;
    return true;
}

static void nap(struct pulse *p, uint64_t now)
{
    uint64_t us = (p->next_step - now) / p->per_us;
    struct timespec ts = { .tv_nsec = us * 1000 % 1000000000,
                           .tv_sec = us / 1000000 };

    nanosleep(&ts, NULL);
    look(p);
}

static void loop(struct pulse *p)
{
    uint64_t now, tick = p->opt.tick_us * p->per_us;
    bool late;

    look_away(p);
    p->next_step = p->next_report = p->next_udp = p->last_tsc;
    for (;;) {
        now = look(p);
        /* The TSC of another host may be far behind: start anew. */
        if ((int64_t)(p->next_step - now) > (int64_t)(2 * tick))
            p->next_step = p->next_report = p->next_udp = now;
        late = (int64_t)(now - p->next_step) > (int64_t)tick;
        if (due(now, &p->next_step, tick)) {
            p->late += late;
            step(p);
            if (p->udp >= 0 &&
                due(now, &p->next_udp, p->opt.udp_ms * 1000 * p->per_us))
                send_udp(p);
            read_commands(p);
            if (due(now, &p->next_report,
                    p->opt.report_ms * 1000 * p->per_us))
                p->opt.brief ? report_brief(p) : report(p);
            if (p->opt.verify)
                verify_slice(p);
        } else if (p->opt.idle) {
            nap(p, now);
        } else if (p->opt.verify) {
            verify_slice(p);
        }
    }
}

int main(int argc, char **argv)
{
    static struct pulse p = {
        .opt = { .seed = 1, .pages = 800, .rate = 80, .tick_us = 10000,
                 .gap_us = 15000, .report_ms = 1000, .udp_ms = 1000,
                 .verify = 1, .name = "pulse" },
    };

    signal(SIGPIPE, SIG_IGN);
    parse(&p.opt, argc, argv);
    if (start(&p))
        return 1;
    loop(&p);
}
