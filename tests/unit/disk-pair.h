/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * For the tests of a protected disk: a primary and a secondary in one process
 * over a socket pair.
 */
#ifndef DISK_PAIR_H
#define DISK_PAIR_H

#include <pthread.h>
#include <sys/socket.h>
#include <time.h>

#include "disk-common.h"

#include "../../disk-proxy/disk-internal.h"

#define SIZE (4u * 1024u * 1024u)

struct end {
    struct disk_file file;
    char meta[80];
    struct colo_disk *disk;
    pthread_mutex_t lock;
    uint64_t answered; /* seq */
    char answer[256];  /* "" = ok */
    char event[256];   /* the last that is no progress */
    uint64_t total;    /* bytes of the last first copy */
    uint64_t memory;   /* limit, 0: 4 MiB */
    uint64_t spill;    /* limit, 0: no file */
    char usage[80];    /* file, or empty */
    const char *device; /* NULL: none */
    char flag[80];     /* file, or empty */
};

static inline void on_reply(void *user, uint64_t seq, const char *error)
{
    struct end *e = user;

    pthread_mutex_lock(&e->lock);
    e->answered = seq;
    snprintf(e->answer, sizeof(e->answer), "%s", error ? error : "");
    pthread_mutex_unlock(&e->lock);
}

static inline void on_event(void *user, const char *text)
{
    struct end *e = user;
    unsigned long long done, total;

    pthread_mutex_lock(&e->lock);
    if (sscanf(text, "progress %llu %llu", &done, &total) == 2)
        e->total = total;
    else
        snprintf(e->event, sizeof(e->event), "%s", text);
    pthread_mutex_unlock(&e->lock);
}

static inline void end_open(struct end *e, int role)
{
    struct colo_disk_config config = {
        .backing = e->file.path, .meta = e->meta, .role = role,
        .memory_limit = e->memory ? e->memory : 4 << 20, .silent_ms = 5000,
        .spill_dir = e->spill ? "/var/tmp" : NULL, .spill_limit = e->spill,
        .usage = e->usage[0] ? e->usage : NULL, .device = e->device,
        .flag = e->flag[0] ? e->flag : NULL,
        .reply = on_reply, .event = on_event, .user = e,
    };
    struct colo_error err;

    ck_assert_msg(colo__disk_open(&config, &e->disk, &err) == 0, "%s",
                  err.text);
}

static inline void end_make(struct end *e, int role)
{
    memset(e, 0, sizeof(*e));
    pthread_mutex_init(&e->lock, NULL);
    disk_file_make(&e->file, SIZE);
    snprintf(e->meta, sizeof(e->meta), "%s.meta", e->file.path);
    end_open(e, role);
}

static inline void end_free(struct end *e)
{
    colo__disk_close(e->disk);
    unlink(e->meta);
    disk_file_close(&e->file);
}

/* the answer to seq, "" = ok */
static inline const char *wait_answer(struct end *e, uint64_t seq)
{
    for (int ms = 0; ms < 20000; ms++) {
        struct timespec ts = { .tv_nsec = 1000000 };
        bool there;

        pthread_mutex_lock(&e->lock);
        there = e->answered == seq;
        pthread_mutex_unlock(&e->lock);
        if (there)
            return e->answer;
        nanosleep(&ts, NULL);
    }
    return "no answer";
}

/* the last event once there is one that begins so, or whatever is there */
static inline const char *wait_event(struct end *e, const char *begin,
                                     char *ret)
{
    for (int ms = 0; ms < 10000; ms++) {
        struct timespec ts = { .tv_nsec = 1000000 };

        pthread_mutex_lock(&e->lock);
        strcpy(ret, e->event);
        pthread_mutex_unlock(&e->lock);
        if (!strncmp(ret, begin, strlen(begin)))
            break;
        nanosleep(&ts, NULL);
    }
    return ret;
}

static inline void ask(struct end *e, uint64_t seq, int verb, uint64_t arg)
{
    colo__disk_request(e->disk, seq, verb, arg, -1);
}

static inline void begin_mode(struct end *p, struct end *s, uint64_t seq,
                              uint64_t mode)
{
    int fds[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds),
                     0);
    colo__disk_request(s->disk, seq, COLO_PROXY_START, mode, fds[1]);
    colo__disk_request(p->disk, seq, COLO_PROXY_START, mode, fds[0]);
}

static inline void start_mode(struct end *p, struct end *s, uint64_t seq,
                              uint64_t mode)
{
    begin_mode(p, s, seq, mode);
    ck_assert_str_eq(wait_answer(p, seq), "");
    ck_assert_str_eq(wait_answer(s, seq), "");
}

static inline void start(struct end *p, struct end *s, uint64_t seq)
{
    start_mode(p, s, seq, COLO_MODE_REMUS);
}

static inline void checkpoint(struct end *p, struct end *s, uint64_t n,
                              bool commit)
{
    uint64_t seq = 1000 + n * 2;

    ask(p, seq, COLO_PROXY_CHECKPOINT, n);
    ask(s, seq, COLO_PROXY_CHECKPOINT, n);
    ck_assert_str_eq(wait_answer(p, seq), "");
    ck_assert_str_eq(wait_answer(s, seq), "");
    if (!commit)
        return;
    ask(s, seq + 1, COLO_PROXY_COMMIT, n);
    ask(p, seq + 1, COLO_PROXY_COMMIT, n);
    ck_assert_str_eq(wait_answer(s, seq + 1), "");
    ck_assert_str_eq(wait_answer(p, seq + 1), "");
}

static inline void put(struct end *e, uint64_t offset, uint8_t value)
{
    uint8_t page[4096];

    memset(page, value, sizeof(page));
    ck_assert_int_eq(colo__disk_write(e->disk, page, sizeof(page), offset,
                                      false), 0);
}

static inline uint8_t get(struct end *e, uint64_t offset)
{
    uint8_t v = 0xee;

    ck_assert_int_eq(colo__disk_read(e->disk, &v, 1, offset), 0);
    return v;
}

static inline void end_again(struct end *e, int role)
{
    colo__disk_close(e->disk);
    e->answered = 0;
    end_open(e, role);
}

#endif
