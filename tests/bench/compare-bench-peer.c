/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The two comparators, each in a process of its own.  Ours reads the same two
 * streams and writes the third, and does nothing else that QEMU does not.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../net-proxy/compare/compare.h"
#include "bench.h"
#include "compare-bench.h"

#define BUF (1u << 18)
#define QEMU "qemu-system-x86_64"

/* ---- ours --------------------------------------------------------------- */

struct stream {
    int fd;
    size_t len;
    uint8_t buf[BUF];
};

struct ours {
    struct colo_compare *compare;
    struct shared *shared;
    struct stream in[2];
    int out;
    size_t out_len;
    uint8_t out_buf[BUF];
    bool asked;
    uint64_t epoch;
};

static uint64_t now_us(void)
{
    return now_ns() / 1000;
}

static void write_out(struct ours *o)
{
    for (size_t at = 0; at < o->out_len;) {
        ssize_t n = write(o->out, o->out_buf + at, o->out_len - at);

        if (n <= 0 && errno != EINTR)
            _exit(0);
        at += n > 0 ? (size_t)n : 0;
    }
    o->out_len = 0;
}

static void on_release(void *user, const uint8_t *frame, size_t len)
{
    struct ours *o = user;
    uint32_t be = htobe32((uint32_t)len);

    if (o->out_len + 4 + len > BUF)
        write_out(o);
    memcpy(o->out_buf + o->out_len, &be, 4);
    memcpy(o->out_buf + o->out_len + 4, frame, len);
    o->out_len += 4 + len;
}

static void on_note(void *user, const uint8_t note[COLO_NOTE_BYTES])
{
    (void)user;
    (void)note; /* connections have no beginning here */
}

static void on_diverged(void *user, const char *reason)
{
    struct ours *o = user;

    (void)reason;
    o->asked = true;
    o->shared->divergences++;
}

static void take(struct ours *o, int side, uint8_t *frame, size_t len)
{
    uint64_t now = now_us();

    if (side == 0)
        (void)colo__compare_primary(o->compare, now, frame, len);
    else
        colo__compare_secondary(o->compare, now, o->epoch, frame, len);
    if (o->asked)
        colo__compare_commit(o->compare, now, ++o->epoch);
    o->asked = false;
}

static void take_all(struct ours *o, int side)
{
    struct stream *s = &o->in[side];
    ssize_t r = read(s->fd, s->buf + s->len, BUF - s->len);
    size_t at = 0;

    if (r <= 0)
        _exit(0); /* the end */
    s->len += (size_t)r;
    while (s->len - at >= 4) {
        uint32_t be;

        memcpy(&be, s->buf + at, 4);
        if (be32toh(be) > s->len - at - 4)
            break;
        take(o, side, s->buf + at + 4, be32toh(be));
        at += 4 + be32toh(be);
    }
    memmove(s->buf, s->buf + at, s->len - at);
    s->len -= at;
}

static void serve(struct ours *o)
{
    static const struct colo_compare_ops ops = {
        .release = on_release, .note = on_note, .diverged = on_diverged,
    };
    struct colo_compare_settings set;

    colo__compare_defaults(&set);
    set.vnet = 0;
    if (colo__compare_new(&set, &ops, o, &o->compare, NULL))
        _exit(1);
    for (;;) {
        struct pollfd p[2] = { { o->in[0].fd, POLLIN, 0 },
                               { o->in[1].fd, POLLIN, 0 } };

        if (poll(p, 2, 500) < 0)
            _exit(1);
        for (int side = 0; side < 2; side++)
            if (p[side].revents)
                take_all(o, side);
        (void)colo__compare_tick(o->compare, now_us());
        if (o->asked)
            colo__compare_commit(o->compare, now_us(), ++o->epoch);
        o->asked = false;
        write_out(o);
    }
}

void peer_ours(struct peer *p)
{
    int pair[3][2];

    memset(p, 0, sizeof(*p));
    p->notify = -1;
    p->shared = mmap(NULL, sizeof(*p->shared), PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p->shared == MAP_FAILED)
        die("mmap", NULL);
    for (int i = 0; i < 3; i++)
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair[i]) < 0)
            die("socketpair", NULL);
    p->pid = fork();
    if (p->pid < 0)
        die("fork", NULL);
    if (p->pid == 0) {
        struct ours *o = need(calloc(1, sizeof(*o)));

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (int i = 0; i < 3; i++)
            close(pair[i][0]);
        o->shared = p->shared;
        o->in[0].fd = pair[0][1];
        o->in[1].fd = pair[1][1];
        o->out = pair[2][1];
        serve(o);
    }
    for (int i = 0; i < 3; i++)
        close(pair[i][1]);
    p->pri = pair[0][0];
    p->sec = pair[1][0];
    p->out = pair[2][0];
}

/* ---- QEMU's -------------------------------------------------------------- */

static int connect_to(const struct peer *p, const char *name)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/%s", p->dir, name);
    for (int i = 0; fd >= 0 && i < 500; i++) {
        if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
            return fd;
        if (waitpid(p->pid, NULL, WNOHANG) == p->pid)
            break;
        usleep(10000);
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

static void run_qemu(const char *dir)
{
    static const char *const names[] = { "pri", "sec", "out", "notify" };
    static char chardev[4][160];
    const char *argv[24] = { QEMU, "-machine", "none", "-nodefaults",
                             "-display", "none", "-no-user-config", "-object",
                             "iothread,id=io" };
    int n = 9, nowhere = open("/dev/null", O_WRONLY);

    for (int i = 0; i < 4; i++) {
        snprintf(chardev[i], sizeof(chardev[i]), "socket,id=%s,path=%s/%s,"
                 "server=on,wait=off", names[i], dir, names[i]);
        argv[n++] = "-chardev";
        argv[n++] = chardev[i];
    }
    argv[n++] = "-object";
    argv[n++] = "colo-compare,id=c,primary_in=pri,secondary_in=sec,outdev=out,"
                "notify_dev=notify,iothread=io";
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(nowhere, 2); /* a line for each frame that it loses */
    execvp(QEMU, (char *const *)(uintptr_t)argv);
    _exit(127);
}

/* QEMU loses what it lets go before it has accepted our connection: ask with
 * frames that it does not compare until one comes back. */
static bool answers(const struct peer *p)
{
    static const uint8_t arp[46] = { 0, 0, 0, 42, [16] = 8, 6 };
    uint8_t buf[4096];
    size_t sent = 0, come = 0;

    for (int i = 0; i < 100; i++) {
        struct pollfd out = { p->out, POLLIN, 0 };
        ssize_t n;

        if (!come && send(p->pri, arp, sizeof(arp), MSG_NOSIGNAL) > 0)
            sent += sizeof(arp);
        if (poll(&out, 1, 50) <= 0 && come)
            return true; /* what is lost is lost */
        n = recv(p->out, buf, sizeof(buf), MSG_DONTWAIT);
        come += n > 0 ? (size_t)n : 0;
        if (n == 0)
            return false;
        if (come == sent)
            return true;
    }
    return false;
}

bool peer_qemu(struct peer *p)
{
    memset(p, 0, sizeof(*p));
    strcpy(p->dir, "/tmp/colo-compare-XXXXXX");
    if (!mkdtemp(p->dir))
        die("mkdtemp", NULL);
    p->pid = fork();
    if (p->pid < 0)
        die("fork", NULL);
    if (p->pid == 0)
        run_qemu(p->dir);
    p->notify = connect_to(p, "notify");
    p->out = p->notify < 0 ? -1 : connect_to(p, "out");
    p->pri = p->out < 0 ? -1 : connect_to(p, "pri");
    p->sec = p->pri < 0 ? -1 : connect_to(p, "sec");
    if (p->sec >= 0 && answers(p))
        return true;
    peer_end(p);
    return false;
}

void peer_notified(struct peer *p)
{
    static const char done[] = "\0\0\0\017COLO_CHECKPOINT";
    static const char ask[] = "DO_CHECKPOINT";
    char buf[4096];
    ssize_t n = recv(p->notify, buf, sizeof(buf), MSG_DONTWAIT);
    uint64_t found = 0;

    for (ssize_t i = 0; i + (ssize_t)strlen(ask) <= n; i++)
        found += memcmp(buf + i, ask, strlen(ask)) == 0;
    if (!found)
        return;
    p->asked += found;
    if (send(p->notify, done, sizeof(done) - 1, MSG_NOSIGNAL) < 0)
        die("QEMU does not listen", NULL);
}

void peer_end(struct peer *p)
{
    static const char *const names[] = { "pri", "sec", "out", "notify" };

    kill(p->pid, SIGKILL);
    (void)waitpid(p->pid, NULL, 0);
    close(p->pri);
    close(p->sec);
    close(p->out);
    if (p->notify >= 0)
        close(p->notify);
    if (p->shared)
        munmap(p->shared, sizeof(*p->shared));
    for (int i = 0; p->dir[0] && i < 4; i++) {
        char path[64];

        snprintf(path, sizeof(path), "%s/%s", p->dir, names[i]);
        unlink(path);
    }
    if (p->dir[0])
        rmdir(p->dir);
}
