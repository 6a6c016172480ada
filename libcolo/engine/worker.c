/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The session's worker thread.  The lock guards state, fn, arg and the result;
 * the job itself runs without it.
 */
#include "worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { IDLE, QUEUED, RUNNING, OVER, QUIT };

struct colo_worker {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int state;
    bool quit;
    int event_fd;
    colo_job_fn *fn;
    void *arg;
    int rc;
    struct colo_error err;
};

static void *worker_main(void *arg)
{
    struct colo_worker *w = arg;
    uint64_t one = 1;

    pthread_mutex_lock(&w->lock);
    for (;;) {
        struct colo_error err = { 0 };
        int rc;

        while (w->state != QUEUED && !w->quit)
            pthread_cond_wait(&w->wake, &w->lock);
        if (w->quit)
            break;
        w->state = RUNNING;
        pthread_mutex_unlock(&w->lock);
        rc = w->fn(w->arg, &err);
        pthread_mutex_lock(&w->lock);
        w->rc = rc;
        w->err = err;
        w->state = OVER;
        /* an eventfd that is never near its maximum takes this at once */
        (void)!write(w->event_fd, &one, sizeof(one));
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

int colo__worker_new(struct colo_worker **ret_worker, struct colo_error *err)
{
    struct colo_worker *w;
    sigset_t all, old;
    int rc, r;

    w = calloc(1, sizeof(*w));
    if (!w)
        return colo__fail(err, COLO_E_NOMEM, ENOMEM, "worker", "worker");
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wake, NULL);
    w->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->event_fd < 0) {
        rc = colo__fail(err, COLO_E_SYS, errno, "worker", "eventfd");
        goto fail;
    }
    /* the caller's signals are the caller's */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    r = pthread_create(&w->thread, NULL, worker_main, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r) {
        rc = colo__fail(err, COLO_E_SYS, r, "worker", "cannot make a thread");
        goto fail;
    }
    *ret_worker = w;
    return 0;

fail:
    if (w->event_fd >= 0)
        close(w->event_fd);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    free(w);
    return rc;
}

void colo__worker_free(struct colo_worker *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->quit = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    close(w->event_fd);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

int colo__worker_fd(struct colo_worker *w)
{
    return w->event_fd;
}

int colo__worker_submit(struct colo_worker *w, colo_job_fn *fn, void *arg,
                        struct colo_error *err)
{
    int rc = 0;

    pthread_mutex_lock(&w->lock);
    if (w->state != IDLE) {
        rc = colo__fail(err, COLO_E_STATE, 0, "worker", "busy");
    } else {
        w->fn = fn;
        w->arg = arg;
        w->state = QUEUED;
        pthread_cond_signal(&w->wake);
    }
    pthread_mutex_unlock(&w->lock);
    return rc;
}

bool colo__worker_busy(struct colo_worker *w)
{
    bool busy;

    pthread_mutex_lock(&w->lock);
    busy = w->state != IDLE;
    pthread_mutex_unlock(&w->lock);
    return busy;
}

int colo__worker_done(struct colo_worker *w, int *ret_rc,
                      struct colo_error *err)
{
    uint64_t count;
    int over;

    pthread_mutex_lock(&w->lock);
    over = w->state == OVER;
    if (over) {
        (void)!read(w->event_fd, &count, sizeof(count));
        *ret_rc = w->rc;
        if (err)
            *err = w->err;
        w->state = IDLE;
    }
    pthread_mutex_unlock(&w->lock);
    return over;
}
