/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Does exactly what a guest sent in an epoch leave with its commit: nothing
 * earlier, nothing lost, nothing out of order?  Drives the real output buffer
 * over veth pairs that are named as a guest's interfaces:
 *
 *   g0 (guest) = vif9001.0 - bridge - out0 = o0 (the world)
 *
 * Needs root and a kernel with sch_plug; run by tests/net/vm-frames.
 */
#include <err.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../net-proxy/announce.h"
#include "../../net-proxy/netbuf.h"
#include "wire.h"

#define DOMID 9001
#define SMALL_LIMIT (1u << 20)

static int failures;
static int guest, guest_emu, world;
static uint32_t sent, seen; /* numbers of the last frame */
static struct colo_replication *net;
static uint64_t epoch;
static struct colo_learn learned;

#define CHECK(what, ...)                                                       \
    do {                                                                       \
        if (!(what)) {                                                         \
            failures++;                                                        \
            printf("    FAILED, line %d: %s: ", __LINE__, #what);              \
            printf(__VA_ARGS__);                                               \
            putchar('\n');                                                     \
        }                                                                      \
    } while (0)

static int sh(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static int sh(const char *fmt, ...)
{
    char line[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    return system(line);
}

static void must(const char *line)
{
    if (sh("%s", line))
        errx(1, "failed: %s", line);
}

/* Frames that one process sends from two CPUs may overtake each other on
 * their way to the interface; a guest's do not. */
static void stay_on(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof(set), &set); /* there may be only one */
}

static uint64_t now_us(void)
{
    return colo__now_us(&colo__clock_monotonic);
}

/* ---- the guest and the world ------------------------------------------------- */

static void make_port(const char *far, const char *name)
{
    if (sh("ip link add %s mtu 9000 type veth peer name %s mtu 9000 &&"
           "ip link set %s up && ip link set %s master nbr0 up",
           far, name, far, name))
        errx(1, "%s cannot be made", name);
}

static void make_net(void)
{
    sh("sysctl -qw net.ipv6.conf.default.disable_ipv6=1");
    must("ip link add nbr0 type bridge forward_delay 0 mcast_snooping 0");
    must("ip link set nbr0 up");
    make_port("g0", "vif9001.0");
    make_port("g1", "vif9001.0-emu");
    make_port("o0", "out0");
    sleep(1);
    guest = wire_open("g0", false);
    guest_emu = wire_open("g1", false);
    world = wire_open("out0", true);
}

static void say_some(int n)
{
    for (int i = 0; i < n; i++) {
        enum kind kind = (enum kind)(sent % KINDS);

        sent++;
        wire_send(sent & 1 ? guest : guest_emu, kind, sent);
    }
}

/* On one interface: order holds for each of them only.  What ksoftirqd has to
 * hand on may come to the buffer after the next checkpoint, and is then of that
 * epoch: wait for it. */
static void say(int n)
{
    for (int i = 0; i < n; i++) {
        sent++;
        wire_send(guest, (enum kind)(sent % KINDS), sent);
    }
    if (n)
        usleep(20000);
}

static void expect_silence(void)
{
    long seq = wire_next(world, 60);

    CHECK(seq == -1, "frame %ld got out", seq);
}

/* Everything up to number `last`, in order, and then nothing. */
static void expect_until(uint32_t last)
{
    while (seen < last) {
        long seq = wire_next(world, 1000);

        CHECK(seq == (long)seen + 1, "frame %ld instead of %u of %u", seq,
              seen + 1, last);
        if (seq < 0) {
            seen = last;
            return;
        }
        seen = (uint32_t)seq;
    }
    expect_silence();
}

static bool have(const char *line)
{
    return sh("%s >/dev/null 2>&1", line) == 0;
}

static void expect_clean(void)
{
    CHECK(!have("ip -o link | grep ci9001"), "an ifb is left");
    CHECK(!have("ip -o link | grep cie9001"), "an ifb is left");
    CHECK(!have("tc qdisc show dev vif9001.0 | grep clsact"),
          "clsact is left");
    CHECK(!have("tc filter show dev vif9001.0 ingress | grep matchall"),
          "the redirection is left");
}

/* ---- the buffer ---------------------------------------------------------------- */

static void print_log(void *user, int level, int sys_errno,
                      const char *context, const char *text)
{
    (void)user, (void)sys_errno;
    printf("    log %d: %s: %s\n", level, context, text);
}

static void begin_with(uint32_t limit)
{
    struct colo_log log = { print_log, NULL, COLO_LOG_WARNING };
    struct colo_netbuf_config config = { .limit = limit };
    struct colo_error error = { 0 };
    uint64_t at;

    if (colo__netbuf_new(DOMID, &config, &log, &net, &error))
        errx(1, "netbuf: %s", error.text);
    at = now_us();
    if (colo__replication_ops(net)->start(net, COLO_MODE_REMUS, &error))
        errx(1, "start: %s", error.text);
    printf("    start took %llu us\n", (unsigned long long)(now_us() - at));
    epoch = 0;
}

static void begin(void) { begin_with(0); }

static void checkpoint(void)
{
    struct colo_error error = { 0 };

    CHECK(!colo__replication_ops(net)->checkpoint(net, ++epoch, &error),
          "%s", error.text);
}

static void commit(void)
{
    struct colo_error error = { 0 };

    CHECK(!colo__replication_ops(net)->commit(net, epoch, &error), "%s",
          error.text);
}

/* Look until a tick of its timer has passed. */
static bool pending(void)
{
    struct colo_error error = { 0 };
    bool diverged = false, any = false;

    for (int i = 0; i < 3; i++) {
        struct pollfd p = { colo__replication_ops(net)->fd(net), POLLIN, 0 };

        CHECK(poll(&p, 1, 1000) == 1, "its descriptor never wakes");
        CHECK(!colo__replication_ops(net)->pending(net, &diverged, &error),
              "%s", error.text);
        any = any || diverged;
    }
    return any;
}

static void end(void)
{
    struct colo_error error = { 0 };

    CHECK(!colo__replication_ops(net)->release(net, &error), "%s", error.text);
    colo__replication_ops(net)->close(net);
    net = NULL;
}

static struct colo_netbuf_status status(void)
{
    struct colo_netbuf_status s;

    colo__netbuf_status(net, &s);
    return s;
}

/* ---- cases ------------------------------------------------------------------------ */

static void without(void)
{
    say(KINDS);
    expect_until(sent);
}

static void one_epoch(void)
{
    uint32_t first;

    begin();
    CHECK(status().ports == 2, "%u ports", status().ports);
    say(KINDS);
    expect_silence();
    checkpoint();
    expect_silence();
    first = sent;
    say(KINDS);
    expect_silence();
    commit();
    expect_until(first);
    checkpoint();
    expect_silence();
    commit();
    expect_until(sent);
    end();
    expect_clean();
}

/* An epoch that is closed while the one before it is not yet committed. */
static void many_epochs(void)
{
    uint32_t closed;

    begin();
    say(20);
    for (int i = 0; i < 100; i++) {
        checkpoint();
        closed = sent;
        say(i % 30);
        if (i % 10 == 0)
            expect_silence();
        commit();
        while (seen < closed) {
            long seq = wire_next(world, 1000);

            CHECK(seq == (long)seen + 1, "frame %ld instead of %u", seq,
                  seen + 1);
            if (seq < 0)
                break;
            seen = (uint32_t)seq;
        }
    }
    expect_silence();
    end();
    expect_until(sent);
}

static void late_commit(void)
{
    uint32_t first, second;

    begin();
    say(10);
    checkpoint();
    first = sent;
    say(10);
    checkpoint(); /* the first was not committed */
    second = sent;
    say(10);
    commit();
    /* never more than what was committed */
    while (wire_next(world, 100) != -1)
        seen++;
    CHECK(seen >= first && seen <= second, "%u frames, committed were %u",
          seen, second);
    checkpoint();
    commit();
    expect_until(sent);
    end();
}

static void two_ports(void)
{
    uint32_t n = 0, first;

    begin();
    say_some(40);
    first = sent;
    expect_silence();
    checkpoint();
    say_some(40);
    commit();
    for (long seq; (seq = wire_next(world, 100)) != -1; n++)
        CHECK(seq >= 0 && seq <= (long)first, "frame %ld got out", seq);
    CHECK(n == 40, "%u of 40 frames", n);
    end();
    for (n = 0; wire_next(world, 100) != -1;)
        n++;
    CHECK(n == 40, "%u of 40 frames", n);
    seen = sent;
}

static void timing(void)
{
    uint64_t at, close_us = 0, close_max = 0, open_us = 0;
    const int rounds = 300;

    begin();
    for (int i = 0; i < rounds; i++) {
        uint64_t took;

        at = now_us();
        checkpoint();
        took = now_us() - at;
        close_us += took;
        close_max = took > close_max ? took : close_max;
        at = now_us();
        commit();
        open_us += now_us() - at;
    }
    printf("    two interfaces: checkpoint %llu us mean, %llu max; "
           "commit %llu us mean\n", (unsigned long long)close_us / rounds,
           (unsigned long long)close_max,
           (unsigned long long)open_us / rounds);
    end();
}

static void overflow(void)
{
    struct colo_netbuf_status s;
    uint32_t begun = sent, n = 0;
    bool again;

    begin_with(SMALL_LIMIT);
    say(10);
    CHECK(!pending(), "asked for a checkpoint too early");
    while (sent - begun < 70)
        say(1); /* 12 of each six are large: 575 kB */
    CHECK(pending(), "half full, and no checkpoint was asked for");
    again = pending();
    CHECK(!again, "asked twice");
    s = status();
    CHECK(s.drops == 0 && s.held > SMALL_LIMIT / 2, "held %u, drops %llu",
          s.held, (unsigned long long)s.drops);
    while (sent - begun < 300)
        say(1);
    pending();
    s = status();
    CHECK(s.drops > 0 && s.held_max <= SMALL_LIMIT, "drops %llu, most %u",
          (unsigned long long)s.drops, s.held_max);
    expect_silence();
    checkpoint();
    commit();
    for (long last = seen, seq; (seq = wire_next(world, 200)) != -1; n++) {
        CHECK(seq > last, "frame %ld after %ld", seq, last);
        last = seq;
    }
    CHECK(n + s.drops == 300, "%u out and %llu lost of 300", n,
          (unsigned long long)s.drops);
    seen = sent;
    end();
}

/* Few bytes and much memory: a plug's own limit does not see that. */
static void small_frames(void)
{
    const uint32_t begun = sent;
    struct colo_netbuf_status s;
    uint32_t n = 0;

    begin_with(SMALL_LIMIT);
    for (int i = 0; i < 90; i++)
        wire_send(guest, IPV4, ++sent);
    CHECK(!pending(), "asked for a checkpoint too early");
    for (int i = 0; i < 160; i++)
        wire_send(guest, IPV4, ++sent);
    CHECK(pending(), "more than there may be, and no checkpoint asked for");
    s = status();
    CHECK(s.held < SMALL_LIMIT / 4 && !s.drops, "held %u, drops %llu", s.held,
          (unsigned long long)s.drops);
    for (int i = 0; i < 50; i++)
        wire_send(guest, IPV4, ++sent);
    pending();
    s = status();
    CHECK(s.drops == 50, "drops %llu of 50", (unsigned long long)s.drops);
    checkpoint();
    commit();
    while (wire_next(world, 200) != -1)
        n++;
    CHECK(n == 250, "%u out of %u", n, sent - begun);
    seen = sent;
    say(KINDS); /* as much as ever, after the commit */
    CHECK(!pending(), "asked for a checkpoint too early");
    checkpoint();
    commit();
    expect_until(sent);
    end();
}

static void hotplug(void)
{
    int late;

    begin();
    make_port("g2", "vif9001.1");
    pending();
    CHECK(status().ports == 3, "%u ports", status().ports);
    sleep(1); /* its port of the bridge begins to forward */
    late = wire_open("g2", false);
    wire_send(late, IPV4, ++sent);
    expect_silence();
    checkpoint();
    commit();
    expect_until(sent);
    wire_send(late, IPV4, sent + 1); /* is lost with its interface */
    must("ip link del g2");
    pending();
    CHECK(status().ports == 2, "%u ports", status().ports);
    CHECK(!have("ip -o link | grep ci9001.1"), "its ifb is left");
    say(KINDS);
    checkpoint();
    commit();
    expect_until(sent);
    close(late);
    end();
    expect_clean();
}

/* colo-net reads what the guest sends before a plug could hold it. */
static void served_by_colo_net(void)
{
    static const char *const taps[] = { "cn9001.0", "cne9001.0" };
    struct colo_netbuf_config config = { .limit = 0 };
    struct colo_error error;
    int rc;

    for (int i = 0; i < 2; i++) {
        if (sh("ip link add %s type ifb", taps[i])) /* no tun here */
            errx(1, "%s cannot be made", taps[i]);
        if (colo__netbuf_new(DOMID, &config, NULL, &net, &error))
            errx(1, "netbuf: %s", error.text);
        memset(&error, 0, sizeof(error));
        rc = colo__replication_ops(net)->start(net, COLO_MODE_REMUS, &error);
        CHECK(rc == COLO_E_EXISTS && error.code == rc, "%d", rc);
        CHECK(strstr(error.text, taps[i]) && strstr(error.text, "wait"),
              "it says \"%s\"", error.text);
        printf("    %s\n", error.text);
        colo__replication_ops(net)->close(net);
        expect_clean();
        sh("ip link del %s", taps[i]);
    }
    begin(); /* it has ended */
    end();
    expect_clean();
}

static void failover(void)
{
    struct colo_error error = { 0 };

    begin();
    say(KINDS);
    checkpoint();
    say(KINDS);
    CHECK(!colo__replication_ops(net)->failover(net, &error), "%s",
          error.text);
    expect_silence();
    say(KINDS);
    expect_silence();
    end();
    say(KINDS);
    expect_silence(); /* the guest is not here any more */
    CHECK(!have("ip -o link | grep ci9001"), "an ifb is left");
    CHECK(!colo__netbuf_cleanup(DOMID, true, &error), "%s", error.text);
    expect_clean();
    seen = sent;
    say(KINDS);
    expect_until(sent);
}

static void stop_in_order(void)
{
    begin();
    say(200);
    checkpoint();
    say(200);
    end();
    expect_clean();
    say(50);
    expect_until(sent);
}

/* The guest does not stand still while the buffers are taken away: what was
 * held leaves first, and nothing is lost. */
static void stop_while_sending(void)
{
    const uint32_t more = 3000;
    uint32_t held, n = 0;
    int r;
    pid_t pid;

    begin();
    say(400);
    held = sent;
    if ((pid = fork()) < 0)
        err(1, "fork");
    if (!pid)
        stay_on(1);
    for (uint32_t i = 1; !pid && i <= more; i++) {
        wire_send(guest, IPV4, sent + i);
        if (i == more)
            _exit(0);
    }
    usleep(2000);
    end();
    waitpid(pid, &r, 0);
    for (long seq; (seq = wire_next(world, 300)) != -1; n++)
        CHECK(n >= 400 || seq == (long)seen + n + 1, "frame %ld instead of %u",
              seq, seen + n + 1);
    CHECK(n == 400 + more, "%u frames of %u", n, 400 + more);
    CHECK(held == seen + 400, "counted wrong");
    sent += more;
    seen = sent;
    expect_clean();
}

static void close_only(void)
{
    begin();
    say(20);
    colo__replication_ops(net)->close(net);
    expect_silence();
    expect_clean();
    seen = sent;
    say(20);
    expect_until(sent);
}

static void killed(bool release)
{
    struct colo_error error = { 0 };
    int ready[2], r;
    char byte;
    pid_t pid;

    if (pipe(ready) || (pid = fork()) < 0)
        err(1, "fork");
    if (!pid) {
        begin();
        checkpoint();
        r = (int)write(ready[1], "", 1);
        for (;;)
            pause();
    }
    if (read(ready[0], &byte, 1) != 1)
        err(1, "the session to be killed");
    say(30);
    kill(pid, SIGKILL);
    waitpid(pid, &r, 0);
    say(30);
    expect_silence();
    CHECK(!colo__netbuf_cleanup(DOMID, release, &error), "%s", error.text);
    expect_clean();
    if (!release)
        seen = sent;
    say(10);
    expect_until(sent);
    CHECK(!colo__netbuf_cleanup(DOMID, release, &error), "%s", error.text);
    close(ready[0]);
    close(ready[1]);
}

static void killed_release(void) { killed(true); }
static void killed_drop(void) { killed(false); }

/* A start after a killed session takes over what it left. */
static void start_again(void)
{
    begin();
    say(10);
    net = NULL; /* as if killed: its sockets do no harm */
    begin();
    expect_until(sent); /* this side has gone on */
    say(10);
    expect_silence();
    end();
    expect_until(sent);
    expect_clean();
}

/* Somebody else's filter stays, and its hook. */
static void other_filters(void)
{
    must("tc qdisc add dev vif9001.0 clsact");
    must("tc filter add dev vif9001.0 ingress pref 7 protocol ip matchall "
         "action pass");
    begin();
    say(KINDS);
    expect_silence();
    end();
    expect_until(sent);
    CHECK(have("tc filter show dev vif9001.0 ingress | grep 'pref 7'"),
          "it has gone");
    must("tc qdisc del dev vif9001.0 clsact");
}

/* The guest's addresses come out of the frames that are held. */
static void learning(void)
{
    struct colo_netbuf_config config = { .learn = &learned };
    struct colo_error error = { 0 };
    bool four = false, tagged = false, six = false;

    if (colo__netbuf_new(DOMID, &config, NULL, &net, &error) ||
        colo__replication_ops(net)->start(net, COLO_MODE_REMUS, &error))
        errx(1, "start: %s", error.text);
    say(KINDS);
    pending();
    for (unsigned int i = 0; i < learned.count; i++) {
        const struct colo_learn_entry *e = &learned.entry[i];

        CHECK(e->card == 0 && e->mac[5] == 1, "entry %u", i);
        four = four || (e->family == 4 && !e->vlan && e->addr[0] == 10);
        tagged = tagged || (e->family == 4 && e->vlan == 5);
        six = six || (e->family == 6 && e->addr[0] == 0xfd);
    }
    CHECK(four && tagged && six, "%u entries", learned.count);
    /* then a sample only, and ARP always */
    for (int i = 0; i < 40; i++)
        wire_send(guest, ARP, ++sent);
    memset(&learned, 0, sizeof(learned));
    pending();
    CHECK(learned.count == 2, "%u entries from ARP", learned.count);
    end();
    expect_until(sent);
}

static const uint8_t guest_mac[6] = { 2, 0x16, 0x3e, 0, 0, 9 };

static int announce_all(const struct colo_learn *learn)
{
    struct colo_announce *a;
    struct colo_error error;
    int n = 0;

    if (colo__announce_new(DOMID, learn, NULL, NULL, &a, &error))
        errx(1, "announce: %s", error.text);
    while (colo__announce_deadline(a) != COLO_NEVER) {
        colo__announce_run(a);
        n += wire_count_from(world, guest_mac, 30);
    }
    colo__announce_close(a);
    CHECK(!have("ip -o link | grep -E 'cae?9001'"), "an ifb is left");
    return n;
}

static void announce(void)
{
    struct colo_learn learn = {
        .count = 4,
        .entry = {
            { .mac = { 2, 0x16, 0x3e, 0, 0, 9 } },
            { .mac = { 2, 0x16, 0x3e, 0, 0, 9 }, .family = 4,
              .addr = { 192, 0, 2, 1 } },
            { .mac = { 2, 0x16, 0x3e, 0, 0, 9 }, .family = 6,
              .addr = { 0xfe, 0x80, [15] = 1 } },
            /* of a card that is not there */
            { .mac = { 2, 0x16, 0x3e, 0, 0, 9 }, .card = 4 },
        },
    };
    int n = announce_all(&learn);

    CHECK(n == 18, "%d frames instead of 6 times 3", n);
    CHECK(have("bridge fdb show br nbr0 | grep '02:16:3e:00:00:09 dev "
               "vif9001.0 '"), "its bridge has not learned");
    must("ip link set g0 down");
    n = announce_all(&learn);
    CHECK(n == 18, "emulated: %d frames instead of 18", n);
    CHECK(have("bridge fdb show br nbr0 | grep '02:16:3e:00:00:09 dev "
               "vif9001.0-emu '"), "its bridge has not learned");
    must("ip link set g1 down");
    n = announce_all(&learn);
    CHECK(n == 18, "not connected: %d frames instead of 18", n);
    must("ip link set g0 up && ip link set g1 up");
    sleep(1);
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    { "without", without },
    { "one epoch", one_epoch },
    { "many epochs", many_epochs },
    { "late commit", late_commit },
    { "two interfaces", two_ports },
    { "timing", timing },
    { "overflow", overflow },
    { "small frames", small_frames },
    { "hot-plug", hotplug },
    { "served by colo-net", served_by_colo_net },
    { "failover", failover },
    { "stop in order", stop_in_order },
    { "stop while sending", stop_while_sending },
    { "close only", close_only },
    { "killed, released", killed_release },
    { "killed, dropped", killed_drop },
    { "start after a kill", start_again },
    { "other people's filters", other_filters },
    { "learning", learning },
    { "announce", announce },
};

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    stay_on(0);
    make_net();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int before = failures;

        if (argc > 1 && strcmp(argv[1], cases[i].name) != 0)
            continue;
        cases[i].run();
        printf("%s %s\n", failures == before ? "ok    " : "FAILED",
               cases[i].name);
        /* what a failed case has left must not spoil the next */
        while (wire_next(world, 50) != -1)
            ;
        seen = sent;
        colo__netbuf_cleanup(DOMID, false, NULL);
    }
    return failures != 0;
}
