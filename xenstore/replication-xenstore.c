/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The replication seam through proxies that joined in xenstore: asks all and
 * collects their answers; who they are is replication-peers.c's.  Source:
 * replication.h, libcolo-xenstore(7).  One thread, the session's.
 *
 * A proxy that is there at prepare counts from then on; one that joins later
 * is asked to start and counts once it has answered, or from the beginning if
 * it is expected.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "fast.h"
#include "owner.h"
#include "publish.h"
#include "replication-internal.h"

#define TOKEN "proxy@"
#define ANSWER_MS 10000 /* a proxy that takes longer has failed */
#define START_MS 60000  /* its first copy: so long without a word of progress */
#define JOIN_MS 60000   /* so has one that is expected and does not come */

static struct replication_xenstore *to_rx(struct colo_replication *r)
{
    return (struct replication_xenstore *)r;
}

/* ---- what peers say ---------------------------------------------------- */

static const char *verb_name(int verb)
{
    switch (verb) {
    case COLO_PROXY_START:
        return "start";
    case COLO_PROXY_CHECKPOINT:
        return "a checkpoint";
    case COLO_PROXY_COMMIT:
        return "a commit";
    case COLO_PROXY_FAILOVER:
        return "failover";
    case COLO_PROXY_VERIFY:
        return "verify";
    default:
        return "stop";
    }
}

/* It cannot do what it was asked.  One that never counted is left out, as if
 * it had not joined; for the others protection ends. */
static void peer_failed(struct replication_xenstore *rx, struct colo_peer *p,
                        int code, const char *what, const char *why)
{
    char text[200];

    strcpy(text, code == COLO_E_TIMEOUT ? "did not answer " : "refused ");
    strcat(text, what);
    if (why) {
        strcat(text, ": ");
        colo__xs_clean(text + strlen(text), sizeof(text) - strlen(text), why);
    }
    p->busy = false;
    p->queued = 0;
    /* a mark that cannot come says nothing about what is committed */
    if (p->counts && code == COLO_E_PEER_SAID &&
        p->asked.verb != COLO_PROXY_CHECKPOINT)
        rx->unusable = true;
    if (p->counts)
        colo__rx_failed(rx, code, p, text);
    else
        p->refused = true;
    colo__log(&rx->log, COLO_LOG_WARNING, -1, "replication",
              "proxy %s/%s %s", p->class_name, p->id, text);
}

static int take_answer(struct replication_xenstore *rx, struct colo_peer *p,
                       const char *text, struct colo_error *err)
{
    struct colo_proxy_request request;
    struct colo_answer answer;
    int r;

    r = colo__peer_answered(&rx->place, p, text, &request, &answer, err);
    if (r <= 0)
        return r;
    if (!answer.ok && request.verb == COLO_PROXY_VERIFY)
        p->verify = COLO_E_PEER_SAID; /* and nothing worse */
    else if (!answer.ok)
        peer_failed(rx, p, COLO_E_PEER_SAID, verb_name(request.verb),
                    answer.text);
    else if (request.verb == COLO_PROXY_START)
        p->counts = true;
    return 0;
}

static void take_event(struct replication_xenstore *rx, struct colo_peer *p,
                       const char *text)
{
    const char *reason = colo__xs_event_diverged(text);
    char line[200];

    colo__xs_clean(line, sizeof(line), reason ? reason : text);
    if (reason) {
        rx->diverged = true;
        colo__log(&rx->log, COLO_LOG_DEBUG, -1, "replication",
                  "proxy %s/%s diverged: %s", p->class_name, p->id, line);
    } else if (colo__xs_event_progress(text, &p->done, &p->total)) {
        /* its first copy goes on: it has not forgotten us */
        if (p->busy && p->asked.verb == COLO_PROXY_START)
            p->asked_at_us = colo__now_us(&colo__clock_monotonic);
    } else if (colo__xs_event_verified(text, &p->compared, &p->differing)) {
        p->verify = 2;
    } else if (strncmp(text, "verify-failed", 13) == 0) {
        p->verify = COLO_E_PEER_SAID;
        colo__log(&rx->log, COLO_LOG_WARNING, -1, "replication",
                  "proxy %s/%s: %s", p->class_name, p->id, line);
    } else if (strncmp(text, "error", 5) == 0 && p->counts && rx->active) {
        rx->by_event = rx->failure.code == 0 || rx->by_event;
        colo__rx_failed(rx, COLO_E_PEER_SAID, p, line);
    } else {
        colo__log(&rx->log, COLO_LOG_INFO, -1, "replication",
                  "proxy %s/%s: %s", p->class_name, p->id, line);
    }
}

static int from_fast(struct replication_xenstore *rx, struct colo_peer *p,
                     struct colo_error *err)
{
    static const size_t n = sizeof(COLO_FAST_EVENT) - 1;
    char text[COLO_FAST_TEXT_MAX];
    int r;

    /* bounded: a proxy that talks without end does not hold us up */
    for (int i = 0; i < 64; i++) {
        r = colo__peer_recv(&rx->place, p, text, sizeof(text), err);
        if (r <= 0)
            return r;
        if (strncmp(text, COLO_FAST_EVENT, n) == 0) {
            take_event(rx, p, text + n);
            continue;
        }
        r = take_answer(rx, p, text, err);
        if (r)
            return r;
    }
    return 0;
}

/* ---- watches ----------------------------------------------------------- */

static int node_changed(struct replication_xenstore *rx, struct colo_peer *p,
                        const char *node, struct colo_error *err)
{
    char value[1024], path[COLO_XS_PATH_MAX];
    int r;

    if (strcmp(node, COLO_XS_FAST) == 0) {
        colo__peer_fast(&rx->place, p);
        return 0;
    }
    if (strcmp(node, COLO_XS_REPLY) != 0 && strcmp(node, COLO_XS_EVENT) != 0)
        return 0;
    r = colo__peer_read(&rx->place, p, node, value, sizeof(value), err);
    if (r <= 0)
        return r;
    if (strcmp(node, COLO_XS_REPLY) == 0)
        return take_answer(rx, p, value, err);
    /* taken: the same event may come again */
    r = colo__peer_path(&rx->place, p, node, path, sizeof(path), err);
    if (r == 0)
        r = colo__store_ops(rx->place.store)->remove(rx->place.store, path,
                                                     err);
    if (r)
        return r;
    take_event(rx, p, value);
    return 0;
}

int colo__replication_xenstore_watch(struct colo_replication *replication,
                                     const char *token,
                                     struct colo_error *err)
{
    struct replication_xenstore *rx = to_rx(replication);
    char class_name[COLO_XS_WORD_MAX], id[COLO_XS_WORD_MAX];
    char node[COLO_XS_WORD_MAX];
    struct colo_peer *p;
    int rc;

    if (strncmp(token, TOKEN, strlen(TOKEN)) != 0)
        return 0;
    if (colo__xs_proxy_split(token + strlen(TOKEN), rx->uuid, class_name, id,
                             node) == 1) {
        if (strcmp(node, COLO_XS_REQUEST) == 0)
            return 1; /* our own write */
        p = colo__rx_find(rx, class_name, id);
        if (p && node[0] && strcmp(node, COLO_XS_OWNER) != 0) {
            rc = node_changed(rx, p, node, err);
            return rc ? rc : 1;
        }
    }
    rc = colo__rx_scan(rx, err);
    return rc ? rc : 1;
}

/* ---- the seam ---------------------------------------------------------- */

static int rx_fd(struct colo_replication *r)
{
    return to_rx(r)->place.epfd;
}

static int give_failure(struct replication_xenstore *rx,
                        struct colo_error *err)
{
    if (err)
        *err = rx->failure;
    return rx->failure.code;
}

static int rx_prepare(struct colo_replication *r, int mode,
                    struct colo_error *err)
{
    struct replication_xenstore *rx = to_rx(r);
    int rc;

    memset(&rx->failure, 0, sizeof(rx->failure));
    rx->unusable = rx->by_event = false;
    rx->diverged = false;
    rx->undone = false;
    rx->active = false;
    rx->mode = mode;
    rx->prepared_us = colo__now_us(&colo__clock_monotonic);
    rc = colo__rx_scan(rx, err);
    if (rc)
        return rc;
    rx->active = true;
    for (struct colo_peer *p = rx->peers; p; p = p->next) {
        p->counts = true;
        p->refused = false;
        p->epoch = 0;
        p->queued = 0;
        p->busy = false;
        rc = colo__peer_ask(&rx->place, p, COLO_PROXY_START, (uint64_t)mode,
                            err);
        if (rc)
            return rc;
    }
    return 0;
}

/* In the pause: one send() or one xenstore write for each. */
static int rx_checkpoint(struct colo_replication *r, uint64_t epoch,
                         struct colo_error *err)
{
    struct replication_xenstore *rx = to_rx(r);
    int rc;

    if (rx->failure.code)
        return give_failure(rx, err);
    for (struct colo_peer *p = rx->peers; p; p = p->next) {
        if (!p->counts)
            continue;
        rc = colo__peer_ask(&rx->place, p, COLO_PROXY_CHECKPOINT, epoch, err);
        if (rc)
            return rc;
        p->epoch = epoch;
    }
    return 0;
}

static int rx_commit(struct colo_replication *r, uint64_t epoch,
                     struct colo_error *err)
{
    struct replication_xenstore *rx = to_rx(r);
    int rc;

    /* A backup's follower that has only lost its twin is told of what was
     * acknowledged: the primary may be dead, and this the only guest. */
    if (rx->failure.code && (rx->gives || rx->unusable || !rx->by_event))
        return give_failure(rx, err);
    for (struct colo_peer *p = rx->peers; p; p = p->next) {
        if (!p->counts || p->epoch != epoch)
            continue; /* it was not there for the checkpoint */
        rc = colo__peer_ask(&rx->place, p, COLO_PROXY_COMMIT, epoch, err);
        if (rc)
            return rc;
    }
    return 0;
}

/* Takes in what the sockets and pidfds have; at most once round. */
static int service(struct replication_xenstore *rx, struct colo_error *err)
{
    struct epoll_event events[2 * COLO_RX_MAX_PEERS];
    struct colo_peer *p, *next;
    int n, rc;

    n = epoll_wait(rx->place.epfd, events, 2 * COLO_RX_MAX_PEERS, 0);
    if (n <= 0)
        return 0;
    for (p = rx->peers; p; p = p->next)
        p->seen = false;
    for (int i = 0; i < n; i++)
        ((struct colo_peer *)events[i].data.ptr)->seen = true;
    for (p = rx->peers; p; p = next) {
        next = p->next;
        if (!p->seen)
            continue;
        /* what it said last counts, also if it has ended since */
        rc = from_fast(rx, p, err);
        if (rc)
            return rc;
        if (!colo__owner_ended(p->pidfd))
            continue;
        colo__rx_ended(rx, p);
    }
    return 0;
}

static bool is_queued(const struct colo_peer *p, int verb)
{
    for (unsigned int i = 0; i < p->queued; i++) {
        if (p->queue[i].verb == verb)
            return true;
    }
    return false;
}

static int end_one(struct replication_xenstore *rx, struct colo_peer *p,
                   int verb, struct colo_error *err)
{
    uint64_t arg = verb == COLO_PROXY_STOP && rx->undone;
    int rc;

    /* A primary that yields asks for both, and for no answer: who would hear
     * of stop alone takes its copy for the newest.  A backup that stops does
     * not take over any more. */
    if (verb == COLO_PROXY_STOP && rx->gives &&
        is_queued(p, COLO_PROXY_FAILOVER)) {
        rc = colo__peer_ask_now(&rx->place, p, COLO_PROXY_FAILOVER, 0, err);
        if (rc)
            return rc;
    }
    /* must not be lost: a node would be overwritten */
    if (p->busy && (p->asked.verb == COLO_PROXY_COMMIT ||
                    (p->asked.verb == COLO_PROXY_FAILOVER && p->fast < 0))) {
        p->queued = 0;
        return colo__peer_ask(&rx->place, p, verb, arg, err);
    }
    return colo__peer_ask_now(&rx->place, p, verb, arg, err);
}

/* Those that compare the guest's output, and hold it until then. */
static bool holds_output(const struct colo_peer *p)
{
    return !strcmp(p->class_name, COLO_XS_CLASS_NET);
}

enum whom { ALL, HOLDERS, OTHERS };

/* All of them are asked, even if one cannot be: the first error is the one
 * told. */
static int end_all(struct replication_xenstore *rx, int verb, enum whom whom,
                   struct colo_error *err)
{
    struct colo_error why;
    int rc = 0;

    rx->active = false;
    /* who has answered meanwhile can be asked at once */
    (void)service(rx, NULL);
    /* A refused mark, taken in before or now, says nothing; who has gone or
     * refused a commit is no copy to take over. */
    if (verb == COLO_PROXY_STOP || !rx->unusable)
        memset(&rx->failure, 0, sizeof(rx->failure));
    for (struct colo_peer *p = rx->peers; p; p = p->next) {
        int one;

        if (p->refused || (whom == HOLDERS && !holds_output(p)))
            continue;
        p->counts = whom != OTHERS || !holds_output(p);
        if (!p->counts)
            continue;
        one = end_one(rx, p, verb, &why);
        if (one && !rc) {
            rc = one;
            if (err)
                *err = why;
        }
    }
    return rc;
}

/* They are asked in speak, when the others have answered.  Of what they were
 * asked before, only a commit is waited for. */
static void put_off_holders(struct replication_xenstore *rx)
{
    for (struct colo_peer *p = rx->peers; p; p = p->next) {
        if (p->refused || !holds_output(p))
            continue;
        p->counts = true;
        p->queued = 0;
        if (p->asked.verb != COLO_PROXY_COMMIT)
            p->busy = false;
    }
}

/* Who is missing by now, or has said no, does not have the last epoch: that is
 * an error, and stays one until all have answered.  Who only lost its twin, or
 * waited for a mark that did not come, is asked. */
static int rx_failover(struct colo_replication *r, struct colo_error *err)
{
    struct replication_xenstore *rx = to_rx(r);
    int rc;

    if (rx->failure.code && rx->unusable && !rx->gives)
        return give_failure(rx, err);
    rx->failing_over = true;
    rc = end_all(rx, COLO_PROXY_FAILOVER, rx->gives ? ALL : OTHERS, err);
    if (!rx->gives)
        put_off_holders(rx);
    return rc;
}

static int rx_speak(struct colo_replication *r, struct colo_error *err)
{
    struct replication_xenstore *rx = to_rx(r);

    if (rx->failure.code && rx->unusable)
        return give_failure(rx, err);
    return end_all(rx, COLO_PROXY_FAILOVER, HOLDERS, err);
}

void colo__replication_xenstore_gives(struct colo_replication *replication)
{
    to_rx(replication)->gives = true;
}

void colo__replication_xenstore_marks(struct colo_replication *replication,
                                      uint64_t ms)
{
    to_rx(replication)->mark_ms = ms;
}

static void rx_undone(struct colo_replication *r)
{
    to_rx(r)->undone = true;
}

static int rx_stop(struct colo_replication *r, struct colo_error *err)
{
    to_rx(r)->failing_over = false;
    return end_all(to_rx(r), COLO_PROXY_STOP, OTHERS, err);
}

static int rx_release(struct colo_replication *r, struct colo_error *err)
{
    return end_all(to_rx(r), COLO_PROXY_STOP, HOLDERS, err);
}

/* Has somebody not come yet? */
static bool await_expected(struct replication_xenstore *rx, uint64_t now)
{
    for (unsigned int i = 0; i < rx->expected_count; i++) {
        const struct colo_rx_expected *e = &rx->expected[i];
        /* a replica's cards are known long after its first copy began */
        uint64_t since_us = e->since_us > rx->prepared_us ? e->since_us
                                                          : rx->prepared_us;

        if (colo__rx_find(rx, e->class_name, e->id))
            continue;
        if (now - since_us > JOIN_MS * UINT64_C(1000) &&
            rx->failure.code == 0)
            colo__fail(&rx->failure, COLO_E_TIMEOUT, 0, "replication",
                       "proxy %s/%s did not join within %d s", e->class_name,
                       e->id, JOIN_MS / 1000);
        return true;
    }
    return false;
}

int colo__replication_xenstore_expect(struct colo_replication *replication,
                                      const char *class_name, const char *id,
                                      struct colo_error *err)
{
    struct replication_xenstore *rx = to_rx(replication);
    struct colo_rx_expected *e;

    if (!colo__xs_word_ok(class_name, COLO_XS_WORD_MAX) ||
        !colo__xs_word_ok(id, COLO_XS_WORD_MAX))
        return colo__fail(err, COLO_E_INVAL, 0, "replication",
                          "'%.32s/%.32s' names no proxy", class_name, id);
    if (rx->expected_count == COLO_ARRAY_LEN(rx->expected))
        return colo__fail(err, COLO_E_LIMIT, 0, "replication",
                          "more than %zu proxies are expected",
                          COLO_ARRAY_LEN(rx->expected));
    e = &rx->expected[rx->expected_count++];
    strcpy(e->class_name, class_name);
    strcpy(e->id, id);
    e->since_us = colo__now_us(&colo__clock_monotonic);
    return 0;
}

void colo__replication_xenstore_progress(
    const struct colo_replication *replication, uint64_t *ret_done,
    uint64_t *ret_total)
{
    const struct replication_xenstore *rx =
        (const struct replication_xenstore *)replication;

    *ret_done = *ret_total = 0;
    for (const struct colo_peer *p = rx->peers; p; p = p->next) {
        *ret_done += p->done;
        *ret_total += p->total;
    }
}

static uint64_t limit_of(const struct replication_xenstore *rx, int verb)
{
    switch (verb) {
    case COLO_PROXY_START:
        return START_MS;
    case COLO_PROXY_CHECKPOINT:
        return rx->mark_ms;
    default:
        return ANSWER_MS;
    }
}

static int rx_pending(struct colo_replication *r, bool *ret_diverged,
                      struct colo_error *err)
{
    struct replication_xenstore *rx = to_rx(r);
    int rc, waiting = 0;
    uint64_t now;

    rc = service(rx, err);
    if (rc)
        return rc;
    /* after service(), which may have sent requests */
    now = colo__now_us(&colo__clock_monotonic);
    for (struct colo_peer *p = rx->peers; p; p = p->next) {
        if (p->busy &&
            now - p->asked_at_us > limit_of(rx, p->asked.verb) * 1000)
            peer_failed(rx, p, COLO_E_TIMEOUT, verb_name(p->asked.verb),
                        NULL);
        if (p->counts && (p->busy || p->queued))
            waiting = 1;
    }
    if (rx->active && await_expected(rx, now))
        waiting = 1;
    *ret_diverged = rx->diverged;
    rx->diverged = false;
    return rx->failure.code ? give_failure(rx, err) : waiting;
}

static void rx_close(struct colo_replication *r)
{
    struct replication_xenstore *rx = to_rx(r);
    char path[COLO_XS_PATH_MAX];

    if (!rx)
        return;
    if (rx->watching &&
        colo__xs_path(path, sizeof(path), rx->uuid, COLO_XS_PROXY, NULL) == 0)
        colo__store_ops(rx->place.store)->unwatch(rx->place.store, path,
                                                  TOKEN, NULL);
    while (rx->peers)
        colo__rx_forget(rx, rx->peers);
    if (rx->place.epfd >= 0)
        close(rx->place.epfd);
    free(rx);
}

static const struct colo_replication_ops rx_ops = {
    .close = rx_close,
    .fd = rx_fd,
    .prepare = rx_prepare,
    .checkpoint = rx_checkpoint,
    .commit = rx_commit,
    .failover = rx_failover,
    .speak = rx_speak,
    .undone = rx_undone,
    .stop = rx_stop,
    .release = rx_release,
    .pending = rx_pending,
};

int colo__replication_xenstore_new(struct colo_store *store, const char *uuid,
                                   const struct colo_log *log,
                                   struct colo_replication **ret_replication,
                                   struct colo_error *err)
{
    struct replication_xenstore *rx;
    char path[COLO_XS_PATH_MAX];
    int rc;

    rc = colo__xs_path(path, sizeof(path), uuid, COLO_XS_PROXY, err);
    if (rc)
        return rc;
    rx = calloc(1, sizeof(*rx));
    if (!rx)
        return colo__fail(err, COLO_E_NOMEM, 0, "replication", "no memory");
    rx->ops = &rx_ops;
    rx->mark_ms = ANSWER_MS;
    if (log)
        rx->log = *log;
    strcpy(rx->uuid, uuid);
    rx->place.store = store;
    rx->place.uuid = rx->uuid;
    rx->place.log = &rx->log;
    rx->place.seq = &rx->seq;
    /* a proxy may have seen the requests of an earlier one of this process */
    rx->seq = colo__now_us(&colo__clock_monotonic) / 1000;
    rx->place.epfd = epoll_create1(EPOLL_CLOEXEC);
    if (rx->place.epfd < 0) {
        rc = colo__fail(err, COLO_E_SYS, errno, "replication",
                        "epoll_create1");
        goto out;
    }
    rc = colo__store_ops(store)->watch(store, path, TOKEN, err);
    if (rc)
        goto out;
    rx->watching = true;
    *ret_replication = (struct colo_replication *)rx;
    rx = NULL;

out:
    rx_close((struct colo_replication *)rx);
    return rc;
}
