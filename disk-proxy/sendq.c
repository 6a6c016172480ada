/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The way out to the twin; see sendq.h.  A place in the ring is reserved under
 * the lock, which fixes the order; copying and hashing happen outside of it,
 * by as many threads as there are, and the sender takes what is finished.  A
 * large message that has nothing before it is given to the socket by put
 * itself, from the caller's memory: the sender stands still meanwhile, because
 * the first message is not ready.  Only what the socket does not take is
 * copied.
 */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "sendq.h"

#define WHERE "disk stream"
#define NR_ENTRIES 65536u          /* messages in the ring, power of two */
#define RESERVED (64u * 1024u)     /* bytes for BARRIERs */
#define BATCH_BYTES (1024u * 1024u)
#define BATCH_IOV 64
/* The twin needs what was written only when the epoch ends, so small writes
 * are collected: fewer wake-ups on both sides. */
#define COLLECT_NS 500000
#define COLLECT_BYTES (128u * 1024u)
#define DIRECT_BYTES (64u * 1024u)

struct entry {
    uint32_t len;
    uint32_t ready;
    uint64_t pos;  /* in the ring, ever growing; modulo size */
};

struct colo_sendq {
    int fd;
    unsigned silent_ms;
    colo_sendq_lost_fn *lost;
    void *user;
    uint8_t *ring;
    uint64_t size;
    pthread_mutex_t lock; /* all below */
    pthread_cond_t work, room;
    struct entry *entries;
    uint64_t first, last; /* entries [first, last) are in the ring */
    uint64_t tail, head;  /* bytes [tail, head) are taken */
    uint64_t epoch, sent;
    unsigned room_waiters;
    bool sender_waits;    /* for the first message */
    bool sender_collects; /* for more, or for somebody in a hurry */
    bool hurry;
    atomic_bool stopped;
    bool closing, told;
    bool running;
    pthread_t thread;
};

static uint64_t ms_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void stop_locked(struct colo_sendq *q)
{
    q->stopped = true;
    pthread_cond_broadcast(&q->room);
    pthread_cond_broadcast(&q->work);
}

static void lose(struct colo_sendq *q, int sys_errno, const char *what)
{
    struct colo_error err;
    bool tell;

    colo__fail(&err, COLO_E_PEER, sys_errno, WHERE, "%s", what);
    pthread_mutex_lock(&q->lock);
    tell = !q->told && !q->stopped;
    q->told = true;
    stop_locked(q);
    pthread_mutex_unlock(&q->lock);
    if (tell)
        q->lost(q->user, &err);
}

/* ready messages at the front, as few pieces of memory */
static int gather(struct colo_sendq *q, struct iovec *iov, uint64_t *ret_n)
{
    uint64_t i = q->first;
    size_t bytes = 0;
    int n = 0;

    for (; i < q->last && bytes < BATCH_BYTES; i++) {
        struct entry *e = &q->entries[i % NR_ENTRIES];
        uint8_t *p = q->ring + e->pos % q->size;

        if (!e->ready)
            break;
        if (n && (uint8_t *)iov[n - 1].iov_base + iov[n - 1].iov_len == p) {
            iov[n - 1].iov_len += e->len;
        } else {
            if (n == BATCH_IOV)
                break;
            iov[n].iov_base = p;
            iov[n++].iov_len = e->len;
        }
        bytes += e->len;
    }
    *ret_n = i - q->first;
    return n;
}

/* 0, or the errno; ETIMEDOUT: nothing was taken for silent_ms */
static int send_all(struct colo_sendq *q, struct iovec *iov, int n)
{
    uint64_t since = ms_now();

    while (n) {
        struct msghdr mh = { .msg_iov = iov, .msg_iovlen = (size_t)n };
        ssize_t r = sendmsg(q->fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (r < 0 && errno == EAGAIN) {
            struct pollfd pfd = { .fd = q->fd, .events = POLLOUT };

            if (atomic_load(&q->stopped)) /* without the lock */
                return ECANCELED;
            if (ms_now() - since > q->silent_ms)
                return ETIMEDOUT;
            (void)poll(&pfd, 1, 100);
            continue;
        }
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return errno;
        since = ms_now();
        while (n && (size_t)r >= iov->iov_len) {
            r -= (ssize_t)iov->iov_len;
            iov++;
            n--;
        }
        if (n) {
            iov->iov_base = (uint8_t *)iov->iov_base + r;
            iov->iov_len -= (size_t)r;
        }
    }
    return 0;
}

/* the first n messages are out */
static void retire(struct colo_sendq *q, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        struct entry *e = &q->entries[q->first++ % NR_ENTRIES];

        e->ready = 0;
        q->sent += e->len;
        q->tail = e->pos + e->len;
    }
    if (q->first == q->last) {
        /* from the beginning: that memory is in the cache still */
        q->head += (q->size - q->head % q->size) % q->size;
        q->tail = q->head;
        q->hurry = false;
    }
    if (q->room_waiters)
        pthread_cond_broadcast(&q->room);
}

/* a little while, unless there is much or somebody waits; lock is held */
static void collect(struct colo_sendq *q)
{
    struct timespec until;
    int r = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += COLLECT_NS;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    q->sender_collects = true;
    while (!q->hurry && !q->stopped && !q->room_waiters &&
           q->head - q->tail < COLLECT_BYTES && !r)
        r = pthread_cond_timedwait(&q->work, &q->lock, &until);
    q->sender_collects = false;
}

static void *sender(void *user)
{
    struct colo_sendq *q = user;
    struct iovec iov[BATCH_IOV];
    uint64_t n;
    int nr, r;

    pthread_mutex_lock(&q->lock);
    for (;;) {
        nr = gather(q, iov, &n);
        if (q->stopped || (!nr && q->closing))
            break;
        if (!nr) {
            q->sender_waits = true;
            pthread_cond_wait(&q->work, &q->lock);
            q->sender_waits = false;
            if (!q->stopped)
                collect(q);
            continue;
        }
        pthread_mutex_unlock(&q->lock);
        r = send_all(q, iov, nr);
        if (r == ETIMEDOUT)
            lose(q, 0, "the twin takes nothing any more");
        else if (r)
            lose(q, r, "cannot send to the twin");
        pthread_mutex_lock(&q->lock);
        if (!r)
            retire(q, n);
    }
    pthread_mutex_unlock(&q->lock);
    return NULL;
}

int colo__sendq_open(int fd, size_t bytes, unsigned silent_ms,
                     colo_sendq_lost_fn *lost, void *user,
                     struct colo_sendq **ret_q, struct colo_error *err)
{
    struct colo_sendq *q = calloc(1, sizeof(*q));
    pthread_condattr_t clock;
    int r;

    if (!q)
        return colo__fail(err, COLO_E_NOMEM, 0, WHERE, "no memory");
    q->fd = fd;
    q->silent_ms = silent_ms;
    q->lost = lost;
    q->user = user;
    q->size = bytes;
    pthread_mutex_init(&q->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&q->work, &clock);
    pthread_condattr_destroy(&clock);
    pthread_cond_init(&q->room, NULL);
    /* whole batches at a time; the least of this and the system's limit */
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &(int){ 4 << 20 },
                     sizeof(int));
    q->entries = calloc(NR_ENTRIES, sizeof(*q->entries));
    q->ring = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!q->entries || q->ring == MAP_FAILED) {
        colo__sendq_close(q);
        return colo__fail(err, COLO_E_NOMEM, 0, WHERE, "no memory");
    }
    r = pthread_create(&q->thread, NULL, sender, q);
    if (r) {
        colo__sendq_close(q);
        return colo__fail(err, COLO_E_SYS, r, WHERE, "a thread");
    }
    q->running = true;
    *ret_q = q;
    return 0;
}

static bool is_urgent(unsigned type)
{
    return type != COLO_DMSG_WRITE && type != COLO_DMSG_ZERO &&
        type != COLO_DMSG_FLUSH && type != COLO_DMSG_APPLIED;
}

/* called with the lock held when a message is ready, or has gone */
static void wake_sender(struct colo_sendq *q, bool urgent)
{
    q->hurry |= urgent;
    if (q->sender_waits && q->first != q->last &&
        q->entries[q->first % NR_ENTRIES].ready)
        pthread_cond_signal(&q->work);
    else if (q->sender_collects &&
             (q->hurry || q->head - q->tail >= COLLECT_BYTES))
        pthread_cond_signal(&q->work);
}

/* e is in the ring but for its first bytes, which are gone; lock is held */
static void finish(struct colo_sendq *q, struct entry *e, size_t gone)
{
    if (gone == e->len) {
        retire(q, 1); /* it was the first */
        return;
    }
    e->pos += gone;
    e->len -= (uint32_t)gone;
    e->ready = 1;
    q->sent += gone;
}

/* where total bytes go, or UINT64_MAX if they do not now */
static uint64_t place(const struct colo_sendq *q, uint64_t total,
                      bool barrier)
{
    uint64_t pos = q->head, limit = q->size - (barrier ? 0 : RESERVED);
    uint64_t most = NR_ENTRIES - (barrier ? 0 : 64);

    if (pos % q->size + total > q->size) /* never around the end */
        pos += q->size - pos % q->size;
    if (pos + total - q->tail > limit || q->last - q->first >= most)
        return UINT64_MAX;
    return pos;
}

/* what of the message the socket takes now, bytes */
static size_t send_direct(struct colo_sendq *q, struct colo_dmsg *msg)
{
    uint8_t header[COLO_DWIRE_HEADER];
    struct iovec iov[2] = {
        { header, sizeof(header) },
        { (void *)(uintptr_t)msg->body, msg->len },
    };
    struct msghdr mh = { .msg_iov = iov, .msg_iovlen = 2 };
    ssize_t r;

    colo__dwire_build(msg, header);
    r = sendmsg(q->fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
    return r > 0 ? (size_t)r : 0; /* an error is the sender's to find */
}

/* bytes of the message from skip on, to its place in the ring */
static void copy_rest(uint8_t *p, const struct colo_dmsg *msg, size_t skip)
{
    struct colo_dmsg copy = *msg;

    if (skip >= COLO_DWIRE_HEADER) {
        memcpy(p + skip, msg->body + (skip - COLO_DWIRE_HEADER),
               msg->len - (skip - COLO_DWIRE_HEADER));
        return;
    }
    if (msg->len)
        memcpy(p + COLO_DWIRE_HEADER, msg->body, msg->len);
    copy.body = p + COLO_DWIRE_HEADER;
    colo__dwire_build(&copy, p);
}

int colo__sendq_put(struct colo_sendq *q, const struct colo_dmsg *msg,
                    uint64_t *ret_epoch)
{
    uint64_t total = COLO_DWIRE_HEADER + (uint64_t)msg->len, pos;
    struct colo_dmsg copy = *msg;
    struct entry *e;
    size_t gone = 0;
    bool direct;

    pthread_mutex_lock(&q->lock);
    for (;;) {
        if (q->stopped) {
            pthread_mutex_unlock(&q->lock);
            return COLO_E_PEER;
        }
        pos = place(q, total, msg->type == COLO_DMSG_BARRIER);
        if (pos != UINT64_MAX)
            break;
        /* ends by the sender: it goes on, or is lost after silent_ms */
        q->room_waiters++;
        if (q->sender_collects)
            pthread_cond_signal(&q->work);
        pthread_cond_wait(&q->room, &q->lock);
        q->room_waiters--;
    }
    direct = q->first == q->last && msg->len >= DIRECT_BYTES;
    e = &q->entries[q->last++ % NR_ENTRIES];
    e->pos = pos;
    e->len = (uint32_t)total;
    e->ready = 0;
    q->head = pos + total;
    copy.epoch = q->epoch;
    if (msg->type == COLO_DMSG_BARRIER)
        q->epoch = msg->value;
    pthread_mutex_unlock(&q->lock);

    if (direct)
        gone = send_direct(q, &copy);
    if (gone < total)
        copy_rest(q->ring + pos % q->size, &copy, gone);

    pthread_mutex_lock(&q->lock);
    finish(q, e, gone);
    wake_sender(q, is_urgent(msg->type));
    pthread_mutex_unlock(&q->lock);
    if (ret_epoch)
        *ret_epoch = copy.epoch;
    return 0;
}

void colo__sendq_stop(struct colo_sendq *q)
{
    pthread_mutex_lock(&q->lock);
    stop_locked(q);
    pthread_mutex_unlock(&q->lock);
}

void colo__sendq_drain(struct colo_sendq *q, unsigned ms)
{
    uint64_t until = ms_now() + ms;
    bool busy = true;

    while (busy && ms_now() < until) {
        struct timespec ts = { .tv_nsec = 1000000 };

        pthread_mutex_lock(&q->lock);
        busy = !q->stopped && q->first != q->last;
        pthread_mutex_unlock(&q->lock);
        if (busy)
            nanosleep(&ts, NULL);
    }
}

uint64_t colo__sendq_sent(struct colo_sendq *q)
{
    uint64_t n;

    pthread_mutex_lock(&q->lock);
    n = q->sent;
    pthread_mutex_unlock(&q->lock);
    return n;
}

void colo__sendq_close(struct colo_sendq *q)
{
    if (!q)
        return;
    if (q->running) {
        colo__sendq_stop(q);
        pthread_join(q->thread, NULL);
    }
    if (q->ring && q->ring != MAP_FAILED)
        munmap(q->ring, q->size);
    free(q->entries);
    pthread_cond_destroy(&q->work);
    pthread_cond_destroy(&q->room);
    pthread_mutex_destroy(&q->lock);
    free(q);
}
