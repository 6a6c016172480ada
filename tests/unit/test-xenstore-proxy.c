/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Proxies and the session's replication seam over a store in memory; each
 * case runs by xenstore alone and by the socket.
 */
#include <poll.h>

#include "../../libcolo/replication/replication.h"
#include "../../xenstore/fast.h"
#include "../../xenstore/proxy.h"
#include "../../xenstore/publish.h"
#include "xenstore-common.h"

#define DIR "/libcolo/u1"
#define NET DIR "/proxy/net/vif0"
#define DISK DIR "/proxy/disk/xvda"

static struct fake_tree *tree;
static struct colo_store *store;
static struct colo_publish *pub;
static struct colo_replication *rep;
static const struct colo_replication_ops *ops;
static struct colo_proxy *net, *disk;
static struct colo_error err;
static bool diverged;
static char log_text[512];

static void on_log(void *user, int level, int sys_errno, const char *context,
                   const char *text)
{
    (void)user, (void)level, (void)sys_errno, (void)context;
    snprintf(log_text, sizeof(log_text), "%s", text);
}

static void setup(void)
{
    struct colo_log log = { on_log, NULL, COLO_LOG_DEBUG };
    struct colo_status s = { .size = sizeof(s), .role = COLO_ROLE_PRIMARY };

    strcpy(s.name, "web");
    tree = fake_tree_new();
    store = fake_store_open(tree);
    net = disk = NULL;
    ck_assert_int_eq(colo__publish_open(store, "u1", COLO_ROLE_PRIMARY, &pub,
                                        NULL), 0);
    ck_assert_int_eq(colo__publish_status(pub, &s, NULL), 0);
    ck_assert_int_eq(colo__replication_xenstore_new(store, "u1", &log, &rep,
                                                    NULL), 0);
    ops = colo__replication_ops(rep);
}

static void teardown(void)
{
    colo_proxy_close(net);
    colo_proxy_close(disk);
    ops->close(rep);
    colo__publish_close(pub);
    colo__store_ops(store)->close(store);
    fake_tree_free(tree);
}

/* ---- both sides, driven by hand ---------------------------------------- */

static struct colo_proxy *join(const char *class_name, const char *id,
                               int fast)
{
    struct colo_proxy *p = NULL;

    ck_assert_int_eq(colo__proxy_new(fake_store_open(tree), "web", class_name,
                                     id, fast ? 0 : COLO_PROXY_NO_FAST, &p,
                                     &err), 0);
    return p;
}

/* The session takes in its watches. */
static void session(void)
{
    char token[COLO_STORE_TOKEN_MAX];

    while (colo__store_ops(store)->next(store, token, sizeof(token),
                                        NULL) == 1)
        ck_assert_int_ge(colo__replication_xenstore_watch(rep, token, &err),
                         0);
}

static int pending(void)
{
    int rc;

    session();
    rc = ops->pending(rep, &diverged, &err);
    return rc;
}

/* As a session does it. */
static int told_to_stop(void)
{
    int rc = ops->stop(rep, &err);

    return rc ? rc : ops->release(rep, &err);
}

static int told_to_take_over(void)
{
    int rc = ops->failover(rep, &err);

    return rc ? rc : ops->speak(rep, &err);
}

/* The next request of p; verb 0: none. */
static struct colo_proxy_request next(struct colo_proxy *p)
{
    struct colo_proxy_request r = { .size = sizeof(r) };
    int rc = colo_proxy_next(p, &r, &err);

    ck_assert_int_ge(rc, 0);
    if (rc == 0)
        r.verb = 0;
    return r;
}

static void answer(struct colo_proxy *p, int verb, uint64_t arg,
                   const char *error)
{
    struct colo_proxy_request r = next(p);

    ck_assert_int_eq(r.verb, verb);
    ck_assert_uint_eq(r.arg, arg);
    ck_assert_int_eq(colo_proxy_reply(p, r.seq, error, &err), 0);
}

/* net joins, and replication starts. */
static void started(int fast)
{
    net = join("net", "vif0", fast);
    session();
    ck_assert_int_eq(ops->prepare(rep, COLO_MODE_REMUS, &err), 0);
    ck_assert_int_eq(pending(), 1);
    answer(net, COLO_PROXY_START, COLO_MODE_REMUS, NULL);
    ck_assert_int_eq(pending(), 0);
}

static bool readable(int fd)
{
    struct pollfd pfd = { fd, POLLIN, 0 };

    return poll(&pfd, 1, 0) == 1;
}

/* ---- tests ------------------------------------------------------------- */

START_TEST(nobody)
{
    ck_assert_int_eq(ops->prepare(rep, COLO_MODE_REMUS, &err), 0);
    ck_assert_int_eq(pending(), 0);
    ck_assert_int_eq(ops->checkpoint(rep, 1, &err), 0);
    ck_assert_int_eq(ops->commit(rep, 1, &err), 0);
    ck_assert_int_eq(pending(), 0);
    ck_assert_int_eq(told_to_stop(), 0);
    ck_assert_int_eq(pending(), 0);
}
END_TEST

START_TEST(one_round)
{
    started(_i);
    for (uint64_t n = 1; n < 4; n++) {
        unsigned int before = fake_store_calls(store, FAKE_WRITE);

        ck_assert_int_eq(ops->checkpoint(rep, n, &err), 0);
        ck_assert_int_eq(pending(), 1);
        ck_assert(readable(colo_proxy_get_fd(net)));
        answer(net, COLO_PROXY_CHECKPOINT, n, NULL);
        ck_assert_int_eq(next(net).verb, 0);
        ck_assert_int_eq(pending(), 0);
        ck_assert_int_eq(ops->commit(rep, n, &err), 0);
        answer(net, COLO_PROXY_COMMIT, n, NULL);
        ck_assert_int_eq(pending(), 0);
        /* by the socket xenstore is not touched */
        ck_assert_uint_eq(fake_store_calls(store, FAKE_WRITE) - before,
                          _i ? 0 : 2);
    }
    ck_assert_int_eq(told_to_stop(), 0);
    ck_assert_int_eq(pending(), 1);
    answer(net, COLO_PROXY_STOP, 0, NULL);
    ck_assert_int_eq(pending(), 0);
    colo_proxy_close(net);
    net = NULL;
    ck_assert_int_eq(pending(), 0);
    ck_assert_uint_eq(fake_tree_count(tree, NET), 0);
}
END_TEST

START_TEST(several_wait_for_all)
{
    net = join("net", "vif0", _i);
    disk = join("disk", "xvda", !_i);
    session();
    ck_assert_int_eq(ops->prepare(rep, COLO_MODE_REMUS, &err), 0);
    answer(net, COLO_PROXY_START, COLO_MODE_REMUS, NULL);
    ck_assert_int_eq(pending(), 1);
    answer(disk, COLO_PROXY_START, COLO_MODE_REMUS, NULL);
    ck_assert_int_eq(pending(), 0);
    ck_assert_int_eq(ops->checkpoint(rep, 1, &err), 0);
    answer(disk, COLO_PROXY_CHECKPOINT, 1, NULL);
    ck_assert_int_eq(pending(), 1);
    answer(net, COLO_PROXY_CHECKPOINT, 1, "buffer is full");
    ck_assert_int_eq(pending(), COLO_E_PEER_SAID);
    ck_assert_str_eq(err.text, "proxy net/vif0 refused a checkpoint: buffer "
                               "is full");
    /* stays so until stop */
    ck_assert_int_eq(pending(), COLO_E_PEER_SAID);
    ck_assert_int_eq(ops->checkpoint(rep, 2, &err), COLO_E_PEER_SAID);
    ck_assert_int_eq(ops->commit(rep, 1, &err), COLO_E_PEER_SAID);
    ck_assert_int_eq(told_to_stop(), 0);
    answer(net, COLO_PROXY_STOP, 0, NULL);
    answer(disk, COLO_PROXY_STOP, 0, NULL);
    ck_assert_int_eq(pending(), 0);
}
END_TEST

/* A backup's disk has lost its twin while what was acknowledged was loaded: it
 * is told of it all the same.  A primary commits nothing more, and neither does
 * anybody beside a follower that has gone. */
START_TEST(a_lost_twin_is_no_lost_commit)
{
    started(_i & 1);
    if (_i & 2)
        colo__replication_xenstore_gives(rep);
    ck_assert_int_eq(ops->checkpoint(rep, 1, &err), 0);
    answer(net, COLO_PROXY_CHECKPOINT, 1, NULL);
    ck_assert_int_eq(pending(), 0);
    ck_assert_int_eq(colo_proxy_event(net, "error twin lost", &err), 0);
    ck_assert_int_eq(pending(), COLO_E_PEER_SAID);
    if (_i & 2) {
        ck_assert_int_eq(ops->commit(rep, 1, &err), COLO_E_PEER_SAID);
    } else {
        ck_assert_int_eq(ops->commit(rep, 1, &err), 0);
        answer(net, COLO_PROXY_COMMIT, 1, NULL);
        ck_assert_int_eq(pending(), COLO_E_PEER_SAID);
    }
    colo_proxy_close(net);
    net = NULL;
    ck_assert_int_eq(pending(), COLO_E_PEER_SAID);
    ck_assert_int_eq(ops->commit(rep, 1, &err), COLO_E_PEER_SAID);
}
END_TEST

START_TEST(queued)
{
    started(_i);
    ck_assert_int_eq(ops->checkpoint(rep, 1, &err), 0);
    ck_assert_int_eq(ops->commit(rep, 1, &err), 0);
    ck_assert_int_eq(ops->checkpoint(rep, 2, &err), 0);
    answer(net, COLO_PROXY_CHECKPOINT, 1, NULL);
    ck_assert_int_eq(pending(), 1);
    answer(net, COLO_PROXY_COMMIT, 1, NULL);
    ck_assert_int_eq(pending(), 1);
    answer(net, COLO_PROXY_CHECKPOINT, 2, NULL);
    ck_assert_int_eq(pending(), 0);
    /* one that never answers is named when its queue is full */
    for (uint64_t n = 3; n < 12; n++)
        ck_assert_int_eq(ops->checkpoint(rep, n, &err), 0);
    ck_assert_int_eq(ops->checkpoint(rep, 12, &err), COLO_E_LIMIT);
    ck_assert_ptr_nonnull(strstr(err.text, "net/vif0"));
}
END_TEST

START_TEST(failover_overtakes)
{
    started(_i);
    ck_assert_int_eq(ops->checkpoint(rep, 1, &err), 0);
    ck_assert_int_eq(ops->commit(rep, 1, &err), 0);
    ck_assert_int_eq(told_to_take_over(), 0);
    ck_assert_int_eq(pending(), 1);
    if (_i) /* the socket keeps what was sent before */
        answer(net, COLO_PROXY_CHECKPOINT, 1, NULL);
    ck_assert_int_eq(pending(), 1);
    answer(net, COLO_PROXY_FAILOVER, 0, NULL);
    ck_assert_int_eq(pending(), 0);
    ck_assert_int_eq(next(net).verb, 0);
}
END_TEST

/* A commit is never lost: what was committed is what a takeover needs. */
START_TEST(failover_after_commit)
{
    started(_i);
    ck_assert_int_eq(ops->checkpoint(rep, 1, &err), 0);
    answer(net, COLO_PROXY_CHECKPOINT, 1, NULL);
    ck_assert_int_eq(pending(), 0);
    ck_assert_int_eq(ops->commit(rep, 1, &err), 0);
    ck_assert_int_eq(ops->checkpoint(rep, 2, &err), 0); /* waits in line */
    ck_assert_int_eq(told_to_take_over(), 0);
    answer(net, COLO_PROXY_COMMIT, 1, NULL);
    ck_assert_int_eq(pending(), 1);
    answer(net, COLO_PROXY_FAILOVER, 0, NULL);
    ck_assert_int_eq(pending(), 0);
}
END_TEST

/* A secondary has a limit of its own for marks, and for nothing else. */
START_TEST(late_mark)
{
    colo__replication_xenstore_marks(rep, 50);
    started(_i);
    ck_assert_int_eq(ops->checkpoint(rep, 1, &err), 0);
    answer(net, COLO_PROXY_CHECKPOINT, 1, NULL);
    ck_assert_int_eq(pending(), 0);
    ck_assert_int_eq(ops->commit(rep, 1, &err), 0);
    poll(NULL, 0, 100);
    ck_assert_int_eq(pending(), 1);
    answer(net, COLO_PROXY_COMMIT, 1, NULL);
    ck_assert_int_eq(pending(), 0);
    ck_assert_int_eq(ops->checkpoint(rep, 2, &err), 0);
    poll(NULL, 0, 100);
    ck_assert_int_eq(pending(), COLO_E_TIMEOUT);
    ck_assert_ptr_nonnull(strstr(err.text, "a checkpoint"));
}
END_TEST

/* A primary that yields asks for failover, later for stop, and takes in no
 * answer: both arrive, whether its commit was answered meanwhile or not. */
START_TEST(yields_after_commit)
{
    int fast = _i & 1, answered = _i & 2;

    colo__replication_xenstore_gives(rep);
    started(fast);
    ck_assert_int_eq(ops->checkpoint(rep, 1, &err), 0);
    answer(net, COLO_PROXY_CHECKPOINT, 1, NULL);
    ck_assert_int_eq(pending(), 0);
    ck_assert_int_eq(ops->commit(rep, 1, &err), 0);
    ck_assert_int_eq(ops->failover(rep, &err), 0);
    if (answered)
        answer(net, COLO_PROXY_COMMIT, 1, NULL);
    ck_assert_int_eq(told_to_stop(), 0);
    if (!answered && fast) /* the socket keeps what was sent before */
        answer(net, COLO_PROXY_COMMIT, 1, NULL);
    answer(net, COLO_PROXY_FAILOVER, 0, NULL);
    if (!fast) /* the node has one at a time */
        ck_assert_int_eq(pending(), 1);
    answer(net, COLO_PROXY_STOP, 0, NULL);
    ck_assert_int_eq(pending(), 0);
    ck_assert_int_eq(next(net).verb, 0);
}
END_TEST

/* A backup whose takeover was called off says so with stop, and no more asks
 * for the failover that a commit has held up. */
START_TEST(undone)
{
    int fast = _i & 1, waits = _i & 2;

    started(fast);
    ck_assert_int_eq(ops->checkpoint(rep, 1, &err), 0);
    answer(net, COLO_PROXY_CHECKPOINT, 1, NULL);
    ck_assert_int_eq(pending(), 0);
    ck_assert_int_eq(ops->commit(rep, 1, &err), 0);
    if (!waits) {
        answer(net, COLO_PROXY_COMMIT, 1, NULL);
        ck_assert_int_eq(pending(), 0);
    }
    ck_assert_int_eq(told_to_take_over(), 0);
    if (!waits) {
        answer(net, COLO_PROXY_FAILOVER, 0, NULL);
        ck_assert_int_eq(pending(), 0);
    }
    ops->undone(rep);
    ck_assert_int_eq(told_to_stop(), 0);
    if (waits) {
        answer(net, COLO_PROXY_COMMIT, 1, NULL);
        ck_assert_int_eq(pending(), 1);
    }
    answer(net, COLO_PROXY_STOP, 1, NULL);
    ck_assert_int_eq(pending(), 0);
    ck_assert_int_eq(next(net).verb, 0);
    /* and only that one */
    ck_assert_int_eq(ops->prepare(rep, COLO_MODE_REMUS, &err), 0);
    answer(net, COLO_PROXY_START, COLO_MODE_REMUS, NULL);
    ck_assert_int_eq(told_to_stop(), 0);
    answer(net, COLO_PROXY_STOP, 0, NULL);
}
END_TEST

START_TEST(joins_later)
{
    started(_i);
    ck_assert_int_eq(ops->checkpoint(rep, 1, &err), 0);
    disk = join("disk", "xvda", _i);
    ck_assert_int_eq(pending(), 1);
    answer(net, COLO_PROXY_CHECKPOINT, 1, NULL);
    /* what it was not asked is not waited for */
    ck_assert_int_eq(pending(), 0);
    ck_assert_int_eq(ops->commit(rep, 1, &err), 0);
    answer(net, COLO_PROXY_COMMIT, 1, NULL);
    answer(disk, COLO_PROXY_START, COLO_MODE_REMUS, NULL);
    ck_assert_int_eq(pending(), 0);
    ck_assert_int_eq(next(disk).verb, 0);
    ck_assert_int_eq(ops->checkpoint(rep, 2, &err), 0);
    answer(net, COLO_PROXY_CHECKPOINT, 2, NULL);
    ck_assert_int_eq(pending(), 1);
    answer(disk, COLO_PROXY_CHECKPOINT, 2, NULL);
    ck_assert_int_eq(pending(), 0);
}
END_TEST

START_TEST(joins_later_and_refuses)
{
    started(_i);
    disk = join("disk", "xvda", _i);
    session();
    answer(disk, COLO_PROXY_START, COLO_MODE_REMUS, "no space");
    ck_assert_int_eq(pending(), 0);
    ck_assert_ptr_nonnull(strstr(log_text, "disk/xvda refused start: no "
                                           "space"));
    ck_assert_int_eq(ops->checkpoint(rep, 1, &err), 0);
    ck_assert_int_eq(next(disk).verb, 0);
    answer(net, COLO_PROXY_CHECKPOINT, 1, NULL);
    ck_assert_int_eq(pending(), 0);
}
END_TEST

START_TEST(leaves)
{
    started(_i);
    colo_proxy_close(net);
    net = NULL;
    ck_assert_int_eq(pending(), COLO_E_NOTFOUND);
    ck_assert_ptr_nonnull(strstr(err.text, "proxy net/vif0 has gone"));
}
END_TEST

START_TEST(class_removed)
{
    started(_i);
    fake_tree_rm(tree, DIR "/proxy");
    ck_assert_int_eq(pending(), COLO_E_NOTFOUND);
    ck_assert_int_eq(colo_proxy_next(net, &(struct colo_proxy_request) {
        .size = sizeof(struct colo_proxy_request) }, &err), COLO_E_NOTFOUND);
}
END_TEST

START_TEST(dies)
{
    pid_t child = make_owner(tree, DISK "/owner");

    net = join("net", "vif0", 1);
    session();
    ck_assert_int_eq(ops->prepare(rep, COLO_MODE_REMUS, &err), 0);
    answer(net, COLO_PROXY_START, COLO_MODE_REMUS, NULL);
    ck_assert_int_eq(pending(), 1);
    ck_assert(!readable(ops->fd(rep)));
    end_owner(child);
    ck_assert(readable(ops->fd(rep)));
    ck_assert_int_eq(pending(), COLO_E_NOTFOUND);
    ck_assert_str_eq(err.text, "proxy disk/xvda has gone: its process has "
                               "ended");
    /* its node is cleaned, its descriptor no longer wakes us */
    ck_assert_uint_eq(fake_tree_count(tree, DISK), 0);
    ck_assert(!readable(ops->fd(rep)));
    ck_assert_int_eq(told_to_stop(), 0);
    answer(net, COLO_PROXY_STOP, 0, NULL);
    ck_assert_int_eq(pending(), 0);
}
END_TEST

START_TEST(dead_before)
{
    pid_t child = make_owner(tree, DISK "/owner");

    end_owner(child);
    fake_tree_set(tree, DIR "/proxy/disk/xvdb/owner", "garbage");
    fake_tree_set(tree, DIR "/proxy/a b/x/owner", "1 1");
    ck_assert_int_eq(ops->prepare(rep, COLO_MODE_REMUS, &err), 0);
    ck_assert_int_eq(pending(), 0);
}
END_TEST

START_TEST(replaced)
{
    started(_i);
    fake_tree_set(tree, NET "/owner", "1 1");
    ck_assert_int_eq(pending(), COLO_E_NOTFOUND);
}
END_TEST

START_TEST(gone_after_stop_is_fine)
{
    pid_t child = make_owner(tree, DISK "/owner");

    ck_assert_int_eq(ops->prepare(rep, COLO_MODE_REMUS, &err), 0);
    ck_assert_int_eq(told_to_stop(), 0);
    ck_assert_int_eq(pending(), 1);
    end_owner(child);
    ck_assert_int_eq(pending(), 0);
}
END_TEST

START_TEST(event)
{
    started(_i);
    ck_assert_int_eq(pending(), 0);
    ck_assert(!diverged);
    for (int i = 0; i < 2; i++) { /* the same one twice is two */
        ck_assert_int_eq(colo_proxy_event(net, "diverged tcp\npayload", &err),
                         0);
        ck_assert_int_eq(pending(), 0);
        ck_assert(diverged);
        ck_assert_ptr_nonnull(strstr(log_text, "tcp?payload"));
        ck_assert_int_eq(pending(), 0);
        ck_assert(!diverged);
    }
    ck_assert_int_eq(colo_proxy_event(net, "something else", &err), 0);
    ck_assert_int_eq(pending(), 0);
    ck_assert(!diverged);
}
END_TEST

START_TEST(socket_breaks)
{
    struct colo_proxy_request r;
    char name[128];
    int fd;

    started(1);
    ck_assert_int_eq(ops->checkpoint(rep, 1, &err), 0);
    r = next(net);
    ck_assert_int_eq(r.verb, COLO_PROXY_CHECKPOINT);
    /* somebody else connects: the session's connection is closed */
    ck_assert(fake_tree_get(tree, NET "/fast", name, sizeof(name)));
    fd = colo__fast_connect(name, &err);
    ck_assert_int_ge(fd, 0);
    close(fd);
    ck_assert_int_eq(next(net).verb, 0);
    ck_assert_int_eq(next(net).verb, 0);
    /* the session asks again by xenstore; the request is done only once */
    ck_assert_int_eq(pending(), 1);
    ck_assert(fake_tree_get(tree, NET "/request", NULL, 0));
    ck_assert_int_eq(next(net).verb, 0);
    ck_assert_int_eq(colo_proxy_reply(net, r.seq, NULL, &err), 0);
    ck_assert_int_eq(pending(), 0);
    ck_assert_int_eq(ops->checkpoint(rep, 2, &err), 0);
    answer(net, COLO_PROXY_CHECKPOINT, 2, NULL);
    ck_assert_int_eq(pending(), 0);
}
END_TEST

START_TEST(socket_name_is_garbage)
{
    char name[200];

    started(0);
    memset(name, 'x', sizeof(name));
    name[199] = '\0';
    fake_tree_set(tree, NET "/fast", name);
    ck_assert_int_eq(pending(), 0);
    fake_tree_set(tree, NET "/fast", "nobody listens there");
    ck_assert_int_eq(pending(), 0);
    ck_assert_ptr_nonnull(strstr(log_text, "by xenstore"));
    ck_assert_int_eq(ops->checkpoint(rep, 1, &err), 0);
    answer(net, COLO_PROXY_CHECKPOINT, 1, NULL);
    ck_assert_int_eq(pending(), 0);
}
END_TEST

START_TEST(answers_that_do_not_fit)
{
    static const char *const odd[] = {
        "", "garbage", "1 ok", "999999999999 ok", "-1 error", "ok",
    };

    started(0);
    ck_assert_int_eq(ops->checkpoint(rep, 1, &err), 0);
    for (size_t i = 0; i < COLO_ARRAY_LEN(odd); i++) {
        fake_tree_set(tree, NET "/reply", odd[i]);
        ck_assert_int_eq(pending(), 1);
    }
    fake_tree_set_bytes(tree, NET "/reply", "1\0", 2);
    ck_assert_int_eq(pending(), 1);
    fake_tree_set(tree, NET "/sub/node", "x");
    fake_tree_set(tree, NET "/other", "x");
    ck_assert_int_eq(pending(), 1);
    answer(net, COLO_PROXY_CHECKPOINT, 1, NULL);
    ck_assert_int_eq(pending(), 0);
}
END_TEST

START_TEST(requests_that_do_not_fit)
{
    char text[300];

    net = join("net", "vif0", 0);
    ck_assert_int_eq(next(net).verb, 0);
    fake_tree_set(tree, NET "/request", "garbage");
    ck_assert_int_eq(next(net).verb, 0);
    ck_assert(!fake_tree_get(tree, NET "/reply", NULL, 0));
    fake_tree_set(tree, NET "/request", "5 dance");
    ck_assert_int_eq(next(net).verb, 0);
    ck_assert(fake_tree_get(tree, NET "/reply", text, sizeof(text)));
    ck_assert_int_eq(strncmp(text, "5 error ", 8), 0);
    fake_tree_set_bytes(tree, NET "/request", "6 st\0p", 6);
    ck_assert_int_eq(next(net).verb, 0);
    memset(text, '1', sizeof(text));
    fake_tree_set_bytes(tree, NET "/request", text, sizeof(text));
    ck_assert_int_eq(next(net).verb, 0);
    fake_tree_set(tree, NET "/request", "7 stop");
    answer(net, COLO_PROXY_STOP, 0, NULL);
    /* once handed out, not again */
    fake_tree_set(tree, NET "/request", "7 stop");
    ck_assert_int_eq(next(net).verb, 0);
}
END_TEST

START_TEST(join_errors)
{
    struct colo_proxy *p = NULL;

    ck_assert_int_eq(colo__proxy_new(fake_store_open(tree), "mail", "net",
                                     "vif0", 0, &p, &err), COLO_E_NOTFOUND);
    ck_assert_int_eq(colo__proxy_new(fake_store_open(tree), "web", "n/t",
                                     "vif0", 0, &p, &err), COLO_E_INVAL);
    ck_assert_int_eq(colo__proxy_new(fake_store_open(tree), "web", "", "x", 0,
                                     &p, &err), COLO_E_INVAL);
    net = join("net", "vif0", 1);
    ck_assert_int_eq(colo__proxy_new(fake_store_open(tree), "web", "net",
                                     "vif0", 0, &p, &err), COLO_E_EXISTS);
    ck_assert_ptr_null(p);
    ck_assert(fake_tree_get(tree, NET "/owner", NULL, 0));
    ck_assert_int_eq(colo_proxy_next(net, &(struct colo_proxy_request) {
        .size = 4 }, &err), COLO_E_INVAL);
}
END_TEST

START_TEST(join_after_a_dead_one)
{
    pid_t child = make_owner(tree, NET "/owner");

    fake_tree_set(tree, NET "/request", "99999999999999 commit 7");
    fake_tree_set(tree, NET "/reply", "4 ok");
    end_owner(child);
    net = join("net", "vif0", _i);
    ck_assert_int_eq(next(net).verb, 0);
    ck_assert(!fake_tree_get(tree, NET "/reply", NULL, 0));
    session();
    ck_assert_int_eq(ops->prepare(rep, COLO_MODE_REMUS, &err), 0);
    answer(net, COLO_PROXY_START, COLO_MODE_REMUS, NULL);
    ck_assert_int_eq(pending(), 0);
}
END_TEST

START_TEST(session_ends)
{
    struct colo_proxy_request r = { .size = sizeof(r) };

    started(_i);
    told_to_stop();
    r = next(net);
    ck_assert_int_eq(r.verb, COLO_PROXY_STOP);
    colo__publish_close(pub);
    pub = NULL;
    ck_assert(readable(colo_proxy_get_fd(net)));
    ck_assert_int_eq(colo_proxy_next(net, &r, &err), COLO_E_NOTFOUND);
    /* and nothing is written into the empty place */
    if (!_i)
        ck_assert_int_eq(colo_proxy_reply(net, r.seq, NULL, &err),
                         COLO_E_NOTFOUND);
    ck_assert_int_eq(colo_proxy_next(net, &r, &err), COLO_E_NOTFOUND);
    ck_assert_uint_eq(fake_tree_count(tree, DIR), 0);
}
END_TEST

/* A card and a disk in mode colo; only the disk has marked epoch 1. */
static struct colo_proxy *marked(int fast)
{
    struct colo_proxy *xvda = join("disk", "xvda", fast);

    net = join("net", "vif0", fast);
    session();
    ck_assert_int_eq(ops->prepare(rep, COLO_MODE_COLO, &err), 0);
    answer(xvda, COLO_PROXY_START, COLO_MODE_COLO, NULL);
    answer(net, COLO_PROXY_START, COLO_MODE_COLO, NULL);
    ck_assert_int_eq(pending(), 0);
    ck_assert_int_eq(ops->checkpoint(rep, 1, &err), 0);
    answer(xvda, COLO_PROXY_CHECKPOINT, 1, NULL);
    return xvda;
}

/* What holds output keeps it until the disks go on alone. */
START_TEST(output_is_let_out_last)
{
    struct colo_proxy *other = marked(_i);

    ck_assert_int_eq(ops->stop(rep, &err), 0);
    /* one that is silent is not waited for here */
    ck_assert_int_eq(next(net).verb, COLO_PROXY_CHECKPOINT);
    ck_assert_int_eq(next(net).verb, 0);
    ck_assert_int_eq(pending(), 1);
    answer(other, COLO_PROXY_STOP, 0, NULL);
    ck_assert_int_eq(pending(), 0);
    ck_assert_int_eq(next(net).verb, 0);
    ck_assert_int_eq(ops->release(rep, &err), 0);
    ck_assert_int_eq(pending(), 1);
    answer(net, COLO_PROXY_STOP, 0, NULL);
    ck_assert_int_eq(pending(), 0);
    colo_proxy_close(other);
}
END_TEST

/* Nobody hears a backup that may yet find that the primary lives. */
START_TEST(a_takeover_is_heard_last)
{
    int fast = _i & 1, called_off = _i & 2;
    struct colo_proxy *other = marked(fast);

    ck_assert_int_eq(ops->failover(rep, &err), 0);
    /* a mark that it has not answered keeps nobody */
    ck_assert_int_eq(next(net).verb, COLO_PROXY_CHECKPOINT);
    ck_assert_int_eq(pending(), 1);
    ck_assert_int_eq(next(net).verb, 0);
    answer(other, COLO_PROXY_FAILOVER, 0, NULL);
    ck_assert_int_eq(pending(), 0);
    ck_assert_int_eq(next(net).verb, 0);
    if (called_off) {
        ops->undone(rep);
        ck_assert_int_eq(told_to_stop(), 0);
        answer(net, COLO_PROXY_STOP, 1, NULL);
        answer(other, COLO_PROXY_STOP, 1, NULL);
    } else {
        ck_assert_int_eq(ops->speak(rep, &err), 0);
        ck_assert_int_eq(pending(), 1);
        answer(net, COLO_PROXY_FAILOVER, 0, NULL);
        ck_assert_int_eq(next(other).verb, 0);
    }
    ck_assert_int_eq(pending(), 0);
    colo_proxy_close(other);
}
END_TEST

/* Nor is there one without a network card that has gone. */
START_TEST(who_was_to_be_heard_has_gone)
{
    started(_i);
    ck_assert_int_eq(ops->failover(rep, &err), 0);
    ck_assert_int_eq(pending(), 0);
    colo_proxy_close(net);
    net = NULL;
    ck_assert_int_eq(pending(), COLO_E_NOTFOUND);
    ck_assert_int_eq(ops->speak(rep, &err), COLO_E_NOTFOUND);
    ck_assert_ptr_nonnull(strstr(err.text, "net/vif0"));
}
END_TEST

START_TEST(session_dies)
{
    struct colo_proxy_request r = { .size = sizeof(r) };
    pid_t child = make_owner(tree, DIR "/owner");

    net = join("net", "vif0", _i);
    ck_assert_int_eq(next(net).verb, 0);
    end_owner(child);
    ck_assert(readable(colo_proxy_get_fd(net)));
    ck_assert_int_eq(colo_proxy_next(net, &r, &err), COLO_E_NOTFOUND);
}
END_TEST

START_TEST(session_store_failures)
{
    struct colo_proxy_request r = { .size = sizeof(r) };

    unsigned int fds = count_fds();

    for (unsigned int n = 1; n < 12; n++) {
        int rc;

        net = join("net", "vif0", _i);
        fake_store_fail(store, FAKE_ANY & ~FAKE_NEXT, n, COLO_E_STORE);
        rc = ops->prepare(rep, COLO_MODE_REMUS, &err);
        ck_assert(rc == 0 || rc == COLO_E_STORE);
        fake_store_fail(store, FAKE_ANY, 0, 0);
        if (!rc) {
            session();
            ck_assert_int_eq(colo_proxy_next(net, &r, &err), 1);
        }
        ck_assert_int_eq(told_to_stop(), 0);
        colo_proxy_close(net);
        net = NULL;
        session();
        ck_assert_int_eq(pending(), 0);
    }
    ck_assert_uint_eq(count_fds(), fds);
}
END_TEST

START_TEST(proxy_store_failures)
{
    unsigned int fds = count_fds();

    for (unsigned int n = 1; n < 40; n++) {
        struct colo_store *mine = fake_store_open(tree);
        struct colo_proxy_request r = { .size = sizeof(r) };
        int rc;

        fake_store_fail_from(mine, FAKE_ANY, n, COLO_E_STORE);
        rc = colo__proxy_new(mine, "web", "net", "vif0",
                             _i ? 0 : COLO_PROXY_NO_FAST, &net, &err);
        if (rc) {
            ck_assert_int_eq(rc, COLO_E_STORE);
            fake_tree_rm(tree, NET);
            continue;
        }
        rc = colo_proxy_next(net, &r, &err);
        ck_assert(rc == 0 || rc == COLO_E_STORE);
        fake_store_fail(mine, FAKE_ANY, 0, 0);
        colo_proxy_close(net);
        net = NULL;
        ck_assert_uint_eq(fake_tree_count(tree, NET), 0);
    }
    ck_assert_uint_eq(count_fds(), fds);
}
END_TEST

START_TEST(token_of_others)
{
    ck_assert_int_eq(colo__replication_xenstore_watch(rep, "control", &err),
                     0);
    ck_assert_int_eq(colo__replication_xenstore_watch(rep, "proxy", &err), 0);
    /* one that was cut: a look at all */
    ck_assert_int_eq(colo__replication_xenstore_watch(rep, "proxy@/libc",
                                                      &err), 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("xenstore-proxy");
    TCase *tc = tcase_create("all");
    SRunner *sr;
    int failed;

    if (!have_pidfd())
        return 77;
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, nobody);
    tcase_add_loop_test(tc, one_round, 0, 2);
    tcase_add_loop_test(tc, several_wait_for_all, 0, 2);
    tcase_add_loop_test(tc, a_lost_twin_is_no_lost_commit, 0, 4);
    tcase_add_loop_test(tc, queued, 0, 2);
    tcase_add_loop_test(tc, failover_overtakes, 0, 2);
    tcase_add_loop_test(tc, failover_after_commit, 0, 2);
    tcase_add_loop_test(tc, late_mark, 0, 2);
    tcase_add_loop_test(tc, yields_after_commit, 0, 4);
    tcase_add_loop_test(tc, undone, 0, 4);
    tcase_add_loop_test(tc, joins_later, 0, 2);
    tcase_add_loop_test(tc, joins_later_and_refuses, 0, 2);
    tcase_add_loop_test(tc, leaves, 0, 2);
    tcase_add_loop_test(tc, class_removed, 0, 2);
    tcase_add_test(tc, dies);
    tcase_add_test(tc, dead_before);
    tcase_add_loop_test(tc, replaced, 0, 2);
    tcase_add_test(tc, gone_after_stop_is_fine);
    tcase_add_loop_test(tc, event, 0, 2);
    tcase_add_test(tc, socket_breaks);
    tcase_add_test(tc, socket_name_is_garbage);
    tcase_add_test(tc, answers_that_do_not_fit);
    tcase_add_test(tc, requests_that_do_not_fit);
    tcase_add_test(tc, join_errors);
    tcase_add_loop_test(tc, join_after_a_dead_one, 0, 2);
    tcase_add_loop_test(tc, session_ends, 0, 2);
    tcase_add_loop_test(tc, output_is_let_out_last, 0, 2);
    tcase_add_loop_test(tc, a_takeover_is_heard_last, 0, 4);
    tcase_add_loop_test(tc, who_was_to_be_heard_has_gone, 0, 2);
    tcase_add_loop_test(tc, session_dies, 0, 2);
    tcase_add_loop_test(tc, session_store_failures, 0, 2);
    tcase_add_loop_test(tc, proxy_store_failures, 0, 2);
    tcase_add_test(tc, token_of_others);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
