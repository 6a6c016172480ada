/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The way out to the twin: several threads put messages of all sizes into a
 * socket that takes little at a time.  Everything arrives whole, once, in the
 * order of each thread and with the epoch of the last barrier.
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pure-common.h"

#include "../../disk-proxy/sendq.h"

#define DISK (UINT64_C(1) << 40)
#define WRITERS 3
#define EACH 400
#define BARRIERS 50

struct writer {
    struct colo_sendq *q;
    uint64_t id;
    bool patient; /* what it puts finds nothing before it, mostly */
};

/* told by the stopped queue only */
static void on_lost(void *user, const struct colo_error *err)
{
    (void)user;
    (void)err;
}

static uint32_t size_of(uint64_t *seed)
{
    uint32_t most = pure_random(seed) % 2 ? COLO_DWIRE_MAX_BODY : 8192;

    return 1 + (uint32_t)(pure_random(seed) % most);
}

static void *write_all(void *user)
{
    struct writer *w = user;
    uint8_t *body = malloc(COLO_DWIRE_MAX_BODY);
    uint64_t seed = w->id + 1;

    for (uint64_t i = 0; i < EACH; i++) {
        struct colo_dmsg msg = {
            .type = COLO_DMSG_WRITE, .offset = w->id << 32 | i << 12,
            .len = size_of(&seed), .body = body,
        };

        memset(body, (int)(w->id * 64 + i % 64), msg.len);
        ck_assert_int_eq(colo__sendq_put(w->q, &msg, NULL), 0);
        if (w->patient)
            colo__sendq_drain(w->q, 1000);
    }
    free(body);
    return NULL;
}

static void *mark_all(void *user)
{
    struct writer *w = user;

    for (uint64_t i = 1; i <= BARRIERS; i++) {
        struct colo_dmsg msg = { .type = COLO_DMSG_BARRIER, .value = i };

        ck_assert_int_eq(colo__sendq_put(w->q, &msg, NULL), 0);
        usleep(2000);
    }
    return NULL;
}

struct seen {
    uint64_t next[WRITERS], seed[WRITERS], epoch, bytes;
};

static void check_message(struct seen *s, const struct colo_dmsg *m)
{
    uint64_t id = m->offset >> 32, i = m->offset >> 12 & 0xfffff;

    ck_assert_uint_eq(m->epoch, s->epoch);
    if (m->type == COLO_DMSG_BARRIER) {
        ck_assert_uint_eq(m->value, ++s->epoch);
        return;
    }
    ck_assert_uint_lt(id, WRITERS);
    ck_assert_uint_eq(i, s->next[id]++);
    ck_assert_uint_eq(m->len, size_of(&s->seed[id]));
    ck_assert_uint_eq(m->body[0], id * 64 + i % 64);
    ck_assert_int_eq(memcmp(m->body, m->body + 1, m->len - 1), 0);
}

/* returns when all is here; ragged: what is read at a time */
static void read_all(struct seen *s, int fd, size_t ragged)
{
    size_t cap = 4 * COLO_DWIRE_MAX_BODY, have = 0;
    uint64_t left = WRITERS * EACH + BARRIERS;
    uint8_t *buf = malloc(cap);

    while (left) {
        struct colo_error err;
        struct colo_dmsg m;
        int64_t used;
        size_t pos = 0;
        ssize_t n = recv(fd, buf + have,
                         ragged < cap - have ? ragged : cap - have, 0);

        ck_assert_int_gt(n, 0);
        have += (size_t)n;
        s->bytes += (size_t)n;
        while ((used = colo__dwire_parse(buf + pos, have - pos, DISK, &m,
                                         &err)) > 0) {
            check_message(s, &m);
            pos += (size_t)used;
            left--;
        }
        ck_assert_msg(used == 0, "%s", err.text);
        have -= pos;
        memmove(buf, buf + pos, have);
    }
    free(buf);
}

static void run(int sndbuf, size_t ragged, bool patient)
{
    struct writer w[WRITERS + 1];
    pthread_t t[WRITERS + 1];
    struct colo_sendq *q;
    struct colo_error err;
    struct seen s = { .epoch = 0 };
    int fds[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds),
                     0);
    ck_assert_int_eq(colo__sendq_open(fds[0], 2 << 20, 20000, on_lost, NULL,
                                      &q, &err), 0);
    ck_assert_int_eq(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &sndbuf,
                                sizeof(sndbuf)), 0);
    for (uint64_t i = 0; i <= WRITERS; i++) {
        w[i] = (struct writer){ .q = q, .id = i, .patient = patient };
        if (i < WRITERS)
            s.seed[i] = i + 1;
        ck_assert_int_eq(pthread_create(&t[i], NULL, i < WRITERS ? write_all :
                                        mark_all, &w[i]), 0);
    }
    read_all(&s, fds[1], ragged);
    for (int i = 0; i <= WRITERS; i++)
        pthread_join(t[i], NULL);
    colo__sendq_drain(q, 5000);
    ck_assert_uint_eq(colo__sendq_sent(q), s.bytes);
    colo__sendq_close(q);
    close(fds[0]);
    close(fds[1]);
}

START_TEST(test_whole)
{
    run(4 << 20, SIZE_MAX, false); /* most goes straight to the socket */
}
END_TEST

START_TEST(test_pieces)
{
    run(16384, 30000, true); /* a part of it does */
    run(16384, 30000, false); /* most does not */
}
END_TEST

PURE_MAIN("disk-sendq", test_whole, test_pieces)
