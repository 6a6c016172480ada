/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The xenstore parts on a real xenstored, without a session around them.
 *
 *   store-xs-probe check     every call of the store, and what must fail
 *   store-xs-probe session   publish as a session named "probe", ask the
 *                            proxies that join, answer control requests
 *                            until one is stop
 *   store-xs-probe round N   N checkpoints with a proxy in another process,
 *                            by xenstore and by its socket, timed
 *
 * Run as root in dom0.  It uses and removes /libcolo/probe-PID only.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <xenstore.h>

#include "../../libcolo/replication/replication.h"
#include "../../xenstore/proxy.h"
#include "../../xenstore/publish.h"

#define MUST(cond)                                                        \
    do {                                                                  \
        if (!(cond)) {                                                    \
            fprintf(stderr, "FAILED line %d: %s (%s)\n", __LINE__, #cond, \
                    err.text);                                            \
            exit(1);                                                      \
        }                                                                 \
    } while (0)

static struct colo_error err;
static char uuid[COLO_XS_UUID_MAX];

static uint64_t now_us(void)
{
    return colo__now_us(&colo__clock_monotonic);
}

/* The next token within a second; false: none came. */
static bool wait_token(struct colo_store *s, char *token, size_t cap)
{
    struct pollfd pfd = { colo__store_ops(s)->fd(s), POLLIN, 0 };
    uint64_t end = now_us() + 1000000;
    int r;

    while ((r = colo__store_ops(s)->next(s, token, cap, &err)) == 0 &&
           now_us() < end)
        poll(&pfd, 1, 100);
    MUST(r >= 0);
    return r == 1;
}

static int count_name(void *user, const char *name)
{
    if (strcmp(name, "a") == 0 || strcmp(name, "b") == 0)
        ++*(unsigned int *)user;
    return 0;
}

static void check_values(struct colo_store *s, const char *dir)
{
    const struct colo_store_ops *ops = colo__store_ops(s);
    struct xs_handle *raw = xs_open(0);
    char path[128], buf[64], big[5000];
    unsigned int count = 0;

    snprintf(path, sizeof(path), "%s/a", dir);
    MUST(ops->read(s, path, buf, sizeof(buf), &err) == COLO_E_NOTFOUND);
    MUST(ops->list(s, dir, count_name, &count, &err) == COLO_E_NOTFOUND);
    MUST(ops->remove(s, path, &err) == 0);
    MUST(ops->write(s, path, "one", &err) == 0);
    MUST(ops->read(s, path, buf, sizeof(buf), &err) == 0);
    MUST(strcmp(buf, "one") == 0);
    MUST(ops->read(s, path, buf, 3, &err) == COLO_E_LIMIT);
    MUST(ops->write(s, path, "", &err) == 0);
    MUST(ops->read(s, path, buf, sizeof(buf), &err) == 0 && !buf[0]);
    MUST(raw && xs_write(raw, XBT_NULL, path, "x\0y", 3));
    MUST(ops->read(s, path, buf, sizeof(buf), &err) == COLO_E_LIMIT);
    memset(big, 'x', sizeof(big));
    big[4999] = '\0';
    MUST(ops->write(s, path, big, &err) == COLO_E_LIMIT);
    big[2000] = '\0'; /* xenstored has a quota of 2048 bytes a node */
    MUST(ops->write(s, path, big, &err) == 0);
    MUST(ops->write(s, "/libcolo/not allowed", "x", &err) == COLO_E_STORE);
    snprintf(path, sizeof(path), "%s/b", dir);
    MUST(ops->claim(s, path, "me", NULL, &err) == 0);
    MUST(ops->claim(s, path, "you", NULL, &err) == COLO_E_EXISTS);
    MUST(ops->claim(s, path, "you", "m", &err) == COLO_E_EXISTS);
    MUST(ops->claim(s, path, "you", "me", &err) == 0);
    MUST(ops->read(s, path, buf, sizeof(buf), &err) == 0);
    MUST(strcmp(buf, "you") == 0);
    MUST(ops->list(s, dir, count_name, &count, &err) == 0 && count == 2);
    MUST(ops->remove(s, dir, &err) == 0);
    MUST(ops->read(s, path, buf, sizeof(buf), &err) == COLO_E_NOTFOUND);
    xs_close(raw);
}

static void check_watches(struct colo_store *s, const char *dir)
{
    const struct colo_store_ops *ops = colo__store_ops(s);
    struct pollfd pfd = { ops->fd(s), POLLIN, 0 };
    char path[128], token[COLO_STORE_TOKEN_MAX], want[256];
    struct colo_store *other = NULL;

    MUST(colo__store_xs_open(&other, &err) == 0);
    snprintf(path, sizeof(path), "%s/x/y", dir);
    MUST(ops->watch(s, dir, "plain", &err) == 0);
    MUST(wait_token(s, token, sizeof(token)) && !strcmp(token, "plain"));
    MUST(ops->next(s, token, sizeof(token), &err) == 0);
    MUST(poll(&pfd, 1, 50) == 0);
    MUST(ops->watch(s, dir, "path@", &err) == 0);
    MUST(wait_token(s, token, sizeof(token)));
    snprintf(want, sizeof(want), "path@%s", dir);
    MUST(strcmp(token, want) == 0);
    MUST(ops->watch(s, dir, "path@", &err) == COLO_E_EXISTS);
    /* another's change wakes the descriptor, both watches fire */
    MUST(colo__store_ops(other)->write(other, path, "1", &err) == 0);
    MUST(poll(&pfd, 1, 1000) == 1);
    snprintf(want, sizeof(want), "path@%s", path);
    for (int i = 0; i < 2; i++) {
        MUST(wait_token(s, token, sizeof(token)));
        MUST(!strcmp(token, "plain") || !strcmp(token, want));
    }
    /* the removal of a directory fires for a node watched in it */
    MUST(ops->unwatch(s, dir, "plain", &err) == 0);
    MUST(ops->unwatch(s, dir, "path@", &err) == 0);
    MUST(ops->unwatch(s, dir, "path@", &err) == 0);
    MUST(ops->watch(s, path, "node", &err) == 0);
    MUST(wait_token(s, token, sizeof(token)) && !strcmp(token, "node"));
    MUST(colo__store_ops(other)->remove(other, dir, &err) == 0);
    MUST(wait_token(s, token, sizeof(token)) && !strcmp(token, "node"));
    /* a token that does not fit is cut, not lost */
    MUST(ops->watch(s, dir, "path@", &err) == 0);
    MUST(poll(&pfd, 1, 1000) == 1);
    MUST(ops->next(s, token, 7, &err) == 1 && !strcmp(token, "path@/"));
    colo__store_ops(other)->close(other);
}

/* Four processes claim the same node over and over: one wins each time. */
static void check_claims(struct colo_store *s, const char *dir)
{
    const struct colo_store_ops *ops = colo__store_ops(s);
    char path[128], value[32];
    unsigned int wins = 0;
    int pipes[2], status;

    snprintf(path, sizeof(path), "%s/claim", dir);
    MUST(pipe(pipes) == 0);
    for (int i = 0; i < 4; i++) {
        if (fork() == 0) {
            struct colo_store *mine = NULL;
            int won = 0;

            MUST(colo__store_xs_open(&mine, &err) == 0);
            for (int n = 0; n < 25; n++) {
                int rc;

                snprintf(path, sizeof(path), "%s/claim%d", dir, n);
                snprintf(value, sizeof(value), "%d", i);
                rc = colo__store_ops(mine)->claim(mine, path, value, NULL,
                                                  &err);
                MUST(rc == 0 || rc == COLO_E_EXISTS);
                won += rc == 0;
            }
            MUST(write(pipes[1], &won, sizeof(won)) == sizeof(won));
            _exit(0);
        }
    }
    for (int i = 0; i < 4; i++) {
        int won;

        MUST(read(pipes[0], &won, sizeof(won)) == sizeof(won));
        MUST(wait(&status) > 0 && status == 0);
        wins += (unsigned int)won;
    }
    MUST(wins == 25);
    MUST(ops->remove(s, dir, &err) == 0);
}

static int check(void)
{
    struct colo_store *s = NULL;
    char dir[64];

    MUST(colo__store_xs_open(&s, &err) == 0);
    snprintf(dir, sizeof(dir), "/libcolo/%s", uuid);
    MUST(colo__store_ops(s)->fd(s) >= 0);
    check_values(s, dir);
    check_watches(s, dir);
    check_claims(s, dir);
    colo__store_ops(s)->close(s);
    printf("check=ok\n");
    return 0;
}

/* ---- a session --------------------------------------------------------- */

struct session {
    struct colo_store *store;
    struct colo_publish *pub;
    struct colo_replication *rep;
    struct colo_status status;
};

static void open_session(struct session *s)
{
    memset(s, 0, sizeof(*s));
    MUST(colo__store_xs_open(&s->store, &err) == 0);
    MUST(colo__publish_open(s->store, uuid, COLO_ROLE_PRIMARY, &s->pub,
                            &err) == 0);
    MUST(colo__replication_xenstore_new(s->store, uuid, NULL, &s->rep,
                                        &err) == 0);
    s->status.size = sizeof(s->status);
    s->status.role = COLO_ROLE_PRIMARY;
    s->status.state = COLO_STATE_WAITING;
    s->status.mode = COLO_MODE_REMUS;
    s->status.domid = 4242;
    s->status.interval_ms = 100;
    strcpy(s->status.name, "probe");
    strcpy(s->status.peer, "nobody");
    MUST(colo__publish_status(s->pub, &s->status, &err) == 0);
}

static void close_session(struct session *s)
{
    colo__replication_ops(s->rep)->close(s->rep);
    colo__publish_close(s->pub);
    colo__store_ops(s->store)->close(s->store);
}

/* One wait for anything; 1: a control request. */
static int serve(struct session *s, int wait_ms, struct colo_control *control)
{
    struct pollfd pfd[2] = {
        { colo__store_ops(s->store)->fd(s->store), POLLIN, 0 },
        { colo__replication_ops(s->rep)->fd(s->rep), POLLIN, 0 },
    };
    char token[COLO_STORE_TOKEN_MAX];
    int r, got = 0;

    poll(pfd, 2, wait_ms);
    while ((r = colo__store_ops(s->store)->next(s->store, token,
                                                sizeof(token), &err)) == 1) {
        MUST(colo__replication_xenstore_watch(s->rep, token, &err) >= 0);
        r = colo__publish_control(s->pub, token, control, &err);
        MUST(r >= 0);
        got |= r;
    }
    MUST(r == 0);
    return got;
}

/* Until all have answered; 0 or what one of them said. */
static int all_answered(struct session *s)
{
    const struct colo_replication_ops *ops = colo__replication_ops(s->rep);
    struct colo_control control;
    bool diverged;
    int rc;

    while ((rc = ops->pending(s->rep, &diverged, &err)) == 1)
        (void)serve(s, 1000, &control);
    return rc;
}

/* Asks the proxies too. */
static int checkpoint(struct session *s, struct colo_checkpoint_info *info)
{
    const struct colo_replication_ops *ops = colo__replication_ops(s->rep);
    int rc;

    info->epoch++;
    rc = ops->checkpoint(s->rep, info->epoch, &err);
    if (!rc)
        rc = all_answered(s);
    if (!rc)
        rc = ops->commit(s->rep, info->epoch, &err);
    if (!rc)
        rc = all_answered(s);
    if (rc)
        return rc;
    s->status.epoch = info->epoch;
    s->status.last_commit_ms = 1;
    MUST(colo__publish_checkpoint(s->pub, info, &err) == 0);
    MUST(colo__publish_status(s->pub, &s->status, &err) == 0);
    return 0;
}

static int session(void)
{
    struct colo_checkpoint_info info = { .pause_us = 6500 };
    struct colo_control control;
    struct session s;
    bool end = false, diverged;
    int rc;

    open_session(&s);
    MUST(colo__replication_ops(s.rep)->start(s.rep, COLO_MODE_REMUS,
                                             &err) == 0);
    printf("session=%s\n", uuid);
    fflush(stdout);
    while (!end) {
        rc = serve(&s, 10000, &control);
        if (colo__replication_ops(s.rep)->pending(s.rep, &diverged,
                                                  &err) < 0) {
            printf("proxies=%s\n", err.text);
            break;
        }
        if (diverged)
            printf("diverged=1\n");
        if (!rc)
            continue;
        rc = 0;
        printf("control=%d arg=%u\n", control.verb, control.arg);
        fflush(stdout);
        if (control.verb == COLO_CONTROL_CHECKPOINT)
            rc = checkpoint(&s, &info);
        if (control.verb == COLO_CONTROL_DELAY)
            s.status.interval_ms = control.arg;
        MUST(colo__publish_reply(s.pub, control.seq,
                                 control.verb == COLO_CONTROL_FAILOVER ?
                                 "this is only a probe" :
                                 rc ? err.text : NULL, NULL) == 0);
        end = control.verb == COLO_CONTROL_STOP;
    }
    MUST(colo__replication_ops(s.rep)->stop(s.rep, &err) == 0);
    MUST(all_answered(&s) == 0);
    s.status.state = COLO_STATE_ENDED;
    s.status.reason = COLO_REASON_REQUEST;
    MUST(colo__publish_status(s.pub, &s.status, &err) == 0);
    close_session(&s);
    return 0;
}

/* ---- round trips ------------------------------------------------------- */

static void proxy_process(unsigned int flags)
{
    struct colo_store *store = NULL;
    struct colo_proxy *proxy = NULL;
    int rc;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    MUST(colo__store_xs_open(&store, &err) == 0);
    MUST(colo__proxy_new(store, uuid, "net", "vif0", flags, &proxy,
                         &err) == 0);
    for (;;) {
        struct colo_proxy_request r = { .size = sizeof(r) };
        struct pollfd pfd = { colo_proxy_get_fd(proxy), POLLIN, 0 };

        rc = colo_proxy_next(proxy, &r, &err);
        if (rc < 0)
            break;
        if (rc == 0)
            poll(&pfd, 1, -1);
        else
            MUST(colo_proxy_reply(proxy, r.seq, NULL, &err) == 0);
        if (rc == 1 && r.verb == COLO_PROXY_STOP)
            break;
    }
    colo_proxy_close(proxy);
    _exit(0);
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void print_times(const char *how, const char *what, uint64_t *us,
                        unsigned int n)
{
    qsort(us, n, sizeof(*us), by_number);
    printf("%s_%s_us min=%llu median=%llu p95=%llu max=%llu\n", how, what,
           (unsigned long long)us[0], (unsigned long long)us[n / 2],
           (unsigned long long)us[n * 95 / 100],
           (unsigned long long)us[n - 1]);
}

static void rounds(const char *how, unsigned int flags, unsigned int n)
{
    uint64_t *asked = calloc(n, sizeof(*asked));
    uint64_t *took = calloc(n, sizeof(*took));
    const struct colo_replication_ops *ops;
    char path[COLO_XS_PATH_MAX], buf[64];
    struct colo_control control;
    struct session s;
    uint64_t t;
    pid_t child;

    open_session(&s);
    ops = colo__replication_ops(s.rep);
    child = fork();
    if (child == 0)
        proxy_process(flags);
    /* it has joined when its last node is there */
    colo__xs_proxy_path(path, sizeof(path), uuid, "net", "vif0",
                        flags ? COLO_XS_OWNER : COLO_XS_FAST, &err);
    while (colo__store_ops(s.store)->read(s.store, path, buf, sizeof(buf),
                                          &err))
        (void)serve(&s, 50, &control);
    (void)serve(&s, 50, &control);
    MUST(ops->start(s.rep, COLO_MODE_REMUS, &err) == 0);
    MUST(all_answered(&s) == 0);
    for (unsigned int i = 0; i < n; i++) {
        t = now_us();
        MUST(ops->checkpoint(s.rep, i + 1, &err) == 0);
        asked[i] = now_us() - t;
        MUST(all_answered(&s) == 0);
        took[i] = now_us() - t;
    }
    MUST(ops->stop(s.rep, &err) == 0);
    MUST(all_answered(&s) == 0);
    waitpid(child, NULL, 0);
    print_times(how, "ask", asked, n);
    print_times(how, "round", took, n);
    close_session(&s);
    free(asked);
    free(took);
}

/* What noticing a killed proxy takes. */
static void death(void)
{
    const struct colo_replication_ops *ops;
    struct colo_control control;
    struct session s;
    uint64_t t;
    bool diverged;
    pid_t child;
    int rc;

    open_session(&s);
    ops = colo__replication_ops(s.rep);
    child = fork();
    if (child == 0)
        proxy_process(0);
    MUST(ops->start(s.rep, COLO_MODE_REMUS, &err) == 0);
    t = now_us();
    while (now_us() - t < 500000) { /* it joins and starts */
        (void)serve(&s, 50, &control);
        MUST(ops->pending(s.rep, &diverged, &err) >= 0);
    }
    t = now_us();
    kill(child, SIGKILL);
    while ((rc = ops->pending(s.rep, &diverged, &err)) >= 0 &&
           now_us() - t < 2000000)
        (void)serve(&s, 1000, &control);
    MUST(rc == COLO_E_NOTFOUND);
    printf("death_us=%llu\n", (unsigned long long)(now_us() - t));
    printf("death_text=%s\n", err.text);
    waitpid(child, NULL, 0);
    close_session(&s);
}

int main(int argc, char **argv)
{
    snprintf(uuid, sizeof(uuid), "probe-%d", (int)getpid());
    if (argc == 2 && strcmp(argv[1], "check") == 0)
        return check();
    if (argc == 2 && strcmp(argv[1], "session") == 0)
        return session();
    if (argc == 3 && strcmp(argv[1], "round") == 0 && atoi(argv[2]) > 0) {
        rounds("xenstore", COLO_PROXY_NO_FAST, (unsigned int)atoi(argv[2]));
        rounds("socket", 0, (unsigned int)atoi(argv[2]));
        death();
        return 0;
    }
    fprintf(stderr, "usage: %s check | session | round N\n", argv[0]);
    return 2;
}
