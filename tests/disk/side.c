/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The two nbdkits with the real plugin, and the session's part of the talk.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "model.h"

#define START_MS 10000

void side_path(const struct model *m, int i, const char *name, char *ret)
{
    snprintf(ret, 128, "%s/%c.%s", m->dir, 'a' + i, name);
}

static void nap(void)
{
    struct timespec ts = { .tv_nsec = 1000000 };

    nanosleep(&ts, NULL);
}

static void run_nbdkit(struct model *m, int i, bool secondary)
{
    char sock[128], backing[160], meta[160], control[160], stream[128];
    char memory[64], spill[128], log[128];
    const char *plugin = getenv("MODEL_PLUGIN");
    int fd;

    side_path(m, i, "sock", sock);
    side_path(m, i, "log", log);
    snprintf(backing, sizeof(backing), "backing=%s/%c.img", m->dir, 'a' + i);
    snprintf(meta, sizeof(meta), "meta=%s/%c.meta", m->dir, 'a' + i);
    snprintf(control, sizeof(control), "control=%s/%c.ctl", m->dir, 'a' + i);
    snprintf(stream, sizeof(stream), "stream=%s/stream", m->dir);
    snprintf(memory, sizeof(memory), "memory-limit=%llu",
             (unsigned long long)m->memory_limit);
    snprintf(spill, sizeof(spill), "spill=%s", m->spill ? m->dir : "/tmp");
    fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd >= 0)
        dup2(fd, 2);
    signal(SIGTERM, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execlp("nbdkit", "nbdkit", "-f", "-U", sock, plugin ? plugin : PLUGIN,
           backing, meta, control, stream, memory, spill,
           secondary ? "role=secondary" : "role=primary", (char *)NULL);
    _exit(127);
}

void side_start(struct model *m, int i, bool secondary)
{
    struct side *s = &m->side[i];
    char sock[128], ctl[128];

    side_path(m, i, "sock", sock);
    side_path(m, i, "ctl", ctl);
    unlink(sock);
    unlink(ctl);
    s->secondary = secondary;
    s->control = -1;
    s->event_error[0] = '\0';
    s->pid = fork();
    if (s->pid == 0)
        run_nbdkit(m, i, secondary);
    for (int ms = 0; ms < START_MS; ms++) {
        if (waitpid(s->pid, NULL, WNOHANG) == s->pid) {
            s->pid = 0;
            lost(m, "nbdkit %c does not start", 'a' + i);
        }
        if (access(sock, F_OK) == 0 && access(ctl, F_OK) == 0) {
            note(m, "%c started", 'a' + i);
            return;
        }
        nap();
    }
    lost(m, "nbdkit %c is not ready", 'a' + i);
}

void side_kill(struct model *m, int i, int sig)
{
    struct side *s = &m->side[i];
    int status;

    if (!s->pid)
        return;
    if (s->nbd) {
        if (sig == SIGKILL)
            kill(s->pid, sig); /* before the connection ends */
        nbd_close(s->nbd);
        s->nbd = NULL;
    }
    kill(s->pid, sig);
    for (int ms = 0; ms < 30000; ms++) {
        if (waitpid(s->pid, &status, WNOHANG) == s->pid) {
            s->pid = 0;
            break;
        }
        nap();
    }
    if (s->pid) {
        kill(s->pid, SIGABRT);
        waitpid(s->pid, &status, 0);
        s->pid = 0;
        lost(m, "nbdkit %c does not end", 'a' + i);
    }
    note(m, "%c ended", 'a' + i);
    if (WIFSIGNALED(status) && WTERMSIG(status) != sig)
        lost(m, "nbdkit %c died of signal %d", 'a' + i, WTERMSIG(status));
    if (s->control >= 0)
        close(s->control);
    s->control = -1;
}

void side_connect(struct model *m, int i)
{
    struct side *s = &m->side[i];
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    char path[128];

    side_path(m, i, "ctl", path);
    memcpy(un.sun_path, path, strlen(path) + 1);
    s->event_error[0] = '\0';
    s->control = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (connect(s->control, (struct sockaddr *)&un, sizeof(un)) < 0)
        lost(m, "control of %c: %s", 'a' + i, strerror(errno));
}

void side_leave(struct model *m, int i)
{
    struct side *s = &m->side[i];

    (void)m;
    if (s->control >= 0)
        close(s->control);
    s->control = -1;
    if (s->nbd)
        nbd_close(s->nbd);
    s->nbd = NULL;
}

void side_nbd(struct model *m, int i)
{
    struct side *s = &m->side[i];
    char path[128];

    if (s->nbd)
        return;
    side_path(m, i, "sock", path);
    for (int ms = 0; ms < 1000; ms++) { /* bound, and not yet listening */
        s->nbd = nbd_create();
        if (!s->nbd || nbd_connect_unix(s->nbd, path) == 0)
            return;
        nbd_close(s->nbd);
        s->nbd = NULL;
        nap();
    }
    lost(m, "nbd of %c: %s", 'a' + i, nbd_get_error());
}

unsigned side_said(const struct model *m, int i, const char *what)
{
    char path[128], line[512];
    unsigned n = 0;
    FILE *f;

    side_path(m, i, "log", path);
    f = fopen(path, "re");
    while (f && fgets(line, sizeof(line), f))
        n += strstr(line, what) != NULL;
    if (f)
        fclose(f);
    return n;
}

uint64_t side_send(struct model *m, int i, const char *verb, uint64_t arg)
{
    struct side *s = &m->side[i];
    char text[64];
    int n;

    n = snprintf(text, sizeof(text), "%llu %s %llu",
                 (unsigned long long)++s->seq, verb, (unsigned long long)arg);
    if (send(s->control, text, (size_t)n, MSG_NOSIGNAL) != n)
        note(m, "%c: %s: %s", 'a' + i, verb, strerror(errno));
    return s->seq;
}

static void take_event(struct side *s, const char *text)
{
    unsigned long long a, b;

    if (!strncmp(text, "error ", 6))
        snprintf(s->event_error, sizeof(s->event_error), "%.200s", text + 6);
    else if (sscanf(text, "verified %llu %llu", &a, &b) == 2) {
        s->compared = a;
        s->differing = b;
    } else if (sscanf(text, "progress %llu %llu", &a, &b) == 2) {
        s->progress_total = b;
    }
}

/* Returns -1, for it to be passed on. */
static int no_answer(char *ret, const char *why)
{
    if (ret)
        snprintf(ret, 256, "%s", why);
    return -1;
}

int side_answer(struct model *m, int i, uint64_t seq, int ms, char *ret)
{
    struct side *s = &m->side[i];
    char text[512];
    struct timespec ts;
    int64_t until, now;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    until = (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000 + ms;
    for (;;) {
        struct pollfd pfd = { .fd = s->control, .events = POLLIN };
        unsigned long long got;
        ssize_t r;
        int at;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        now = (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
        if (now > until)
            return no_answer(ret, "no answer in time");
        if (poll(&pfd, 1, (int)(until - now)) < 0)
            return no_answer(ret, strerror(errno));
        r = recv(s->control, text, sizeof(text) - 1, MSG_DONTWAIT);
        if (r < 0 && errno == EAGAIN)
            continue;
        if (r <= 0)
            return no_answer(ret, r < 0 ? strerror(errno) : "it has gone");
        text[r] = '\0';
        if (!strncmp(text, "event ", 6)) {
            take_event(s, text + 6);
            continue;
        }
        if (sscanf(text, "%llu %n", &got, &at) < 1 || got != seq)
            continue;
        note(m, "%c: %s", 'a' + i, text);
        if (ret)
            snprintf(ret, 256, "%.250s", text + at);
        return !strcmp(text + at, "ok");
    }
}

void side_must(struct model *m, int i, const char *verb, uint64_t arg)
{
    char why[256];

    if (side_answer(m, i, side_send(m, i, verb, arg), 60000, why) != 1)
        lost(m, "%c: %s: %s", 'a' + i, verb, why);
}
