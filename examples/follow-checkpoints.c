/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Follow the checkpoints of a protected guest: a proxy that does nothing.
 *
 * Try it on the primary, as root, while `colo protect web HOST` runs:
 *
 *     ./examples/follow-checkpoints web
 *
 * It joins as proxy "example/PID" and prints each request with the time since
 * the one before.  A real proxy holds output or writes back at CHECKPOINT, lets
 * it go at COMMIT, and answers only when it has done so: the session waits for
 * the answer.  End it with Ctrl-C and protection ends too: a proxy that has
 * joined is needed.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <colo.h>

static volatile sig_atomic_t end;

static void on_signal(int sig)
{
    (void)sig;
    end = 1;
}

static double now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static void show(const struct colo_proxy_request *r)
{
    static double last;
    double now = now_ms();

    printf("%8.1f ms  ", last > 0 ? now - last : 0.0);
    last = now;
    switch (r->verb) {
    case COLO_PROXY_START:
        printf("start %s\n", colo_mode_name((int)r->arg));
        break;
    case COLO_PROXY_CHECKPOINT:
        printf("checkpoint %llu\n", (unsigned long long)r->arg);
        break;
    case COLO_PROXY_COMMIT:
        printf("commit %llu\n", (unsigned long long)r->arg);
        break;
    case COLO_PROXY_FAILOVER:
        printf("failover: this side runs alone now\n");
        break;
    case COLO_PROXY_STOP:
        printf("stop\n");
        break;
    }
    fflush(stdout);
}

static int follow(struct colo_proxy *proxy, struct colo_error *err)
{
    struct pollfd pfd = { colo_proxy_get_fd(proxy), POLLIN, 0 };
    struct colo_proxy_request r;
    int rc;

    while (!end) {
        r.size = sizeof(r);
        rc = colo_proxy_next(proxy, &r, err);
        if (rc == 1) {
            show(&r);
            rc = colo_proxy_reply(proxy, r.seq, NULL, err);
        } else if (rc == 0 && poll(&pfd, 1, -1) < 0 && errno != EINTR) {
            perror("poll");
            return 1;
        }
        if (rc == COLO_E_NOTFOUND)
            return 0; /* the session has ended */
        if (rc < 0) {
            fprintf(stderr, "%s: %s\n", err->where, err->text);
            return 1;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct sigaction sa;
    struct colo_proxy *proxy = NULL;
    struct colo_error err;
    char id[32];
    int code;

    if (argc != 2) {
        fprintf(stderr, "usage: %s DOMAIN\n", argv[0]);
        return 2;
    }
    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = on_signal; /* no SA_RESTART: poll returns */
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    snprintf(id, sizeof(id), "%d", (int)getpid());
    if (colo_proxy_join(argv[1], "example", id, &proxy, &err)) {
        fprintf(stderr, "%s: %s\n", err.where, err.text);
        return 1;
    }
    code = follow(proxy, &err);
    colo_proxy_close(proxy);
    return code;
}
