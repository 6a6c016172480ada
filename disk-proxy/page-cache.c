/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See page-cache.h.  BLKFLSBUF writes what is dirty and then forgets what is
 * clean, for all who have the device open.  A page that is being read just
 * then stays, with what was there before: hence the second time, when that
 * read has ended.  The call cannot be given a deadline, so a thread makes it;
 * one that hangs stays behind, and its end is its own affair.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "page-cache.h"

#define WHERE "page cache"
#define STACK_BYTES (64u * 1024u) /* it is locked memory */

struct drop {
    atomic_int owners; /* the thread and who waits for it */
    sem_t done;
    int error;         /* 0 or errno */
    unsigned ms;
    char path[];
};

static void leave(struct drop *p)
{
    if (atomic_fetch_sub(&p->owners, 1) == 1) {
        sem_destroy(&p->done);
        free(p);
    }
}

static void pause_ms(unsigned ms)
{
    struct timespec ts = { .tv_nsec = ms * 1000000L };

    nanosleep(&ts, NULL);
}

/* EAGAIN: the device is suspended, for an instant */
static int flush_once(int fd, unsigned limit_ms)
{
    for (unsigned ms = 0; ioctl(fd, BLKFLSBUF, 0) < 0; ms += 10) {
        if ((errno != EAGAIN && errno != EINTR) || ms >= limit_ms)
            return errno;
        pause_ms(10);
    }
    return 0;
}

static int flush_buffers(const struct drop *p)
{
    int fd = open(p->path, O_RDONLY | O_CLOEXEC), e;

    if (fd < 0)
        return errno == ENOENT || errno == ENXIO ? 0 : errno;
    e = flush_once(fd, p->ms);
    if (!e) {
        pause_ms(1);
        e = flush_once(fd, p->ms);
    }
    close(fd);
    return e;
}

static void *drop(void *user)
{
    struct drop *p = user;

    p->error = flush_buffers(p);
    sem_post(&p->done);
    leave(p);
    return NULL;
}

static int start(struct drop *p)
{
    pthread_attr_t attr;
    pthread_t thread;
    int r;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    r = pthread_create(&thread, &attr, drop, p);
    pthread_attr_destroy(&attr);
    return r;
}

static int wait_done(struct drop *p, unsigned ms)
{
    struct timespec until;
    int r;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ms / 1000;
    do {
        r = sem_timedwait(&p->done, &until);
    } while (r < 0 && errno == EINTR);
    return r < 0 ? ETIMEDOUT : p->error;
}

int colo__page_cache_drop(const char *device, unsigned ms,
                          struct colo_error *err)
{
    size_t len = strlen(device) + 1;
    struct drop *p = calloc(1, sizeof(*p) + len);
    int r;

    if (!p)
        return colo__fail(err, COLO_E_NOMEM, 0, WHERE, "no memory");
    memcpy(p->path, device, len);
    p->ms = ms;
    p->owners = 2;
    sem_init(&p->done, 0, 0);
    r = start(p);
    if (r)
        leave(p); /* the thread's share */
    else
        r = wait_done(p, ms);
    leave(p);
    if (r)
        return colo__fail(err, r == ETIMEDOUT ? COLO_E_TIMEOUT : COLO_E_SYS,
                          r, WHERE, "what is cached of %s cannot be dropped",
                          device);
    return 0;
}
