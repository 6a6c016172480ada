/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A stock primary for a session: one that gives its checkpoints to a session
 * of this host, which holds them as those of any primary: whole, verified,
 * and with a takeover that is one.
 *
 * One worker reads from xl, another writes to the bulk link (engine/transfer.h,
 * as a primary's does); the main thread has the control link.  An epoch is here
 * whole before the session hears of it.
 *
 * A stock primary says nothing but its checkpoints.  It counts as lost when the
 * connection ends, and when it is silent for long: then the links end without a
 * word, which is what the session takes for the loss of a host.  What is wrong
 * on this side, or cannot be read, is said, and is none.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../stock-receive.h"
#include "pure/seed-header.h"
#include "engine/seed-pipe.h"
#include "engine/transfer.h"
#include "engine/worker.h"
#include "gate.h"
#include "order.h"
#include "talk.h"

#define WHERE "gate"
#define HEARTBEAT_MS 100u
#define SLICE_MS 200u /* how soon the end is noticed */
#define LONGER 5u     /* than ever before: silence that means something */
#define MAX_SILENT_MS 600000u

enum step { STEP_HELLO, STEP_SEED, STEP_READ, STEP_REQUEST, STEP_SEND,
            STEP_COMMIT };
enum end { END_NOT, END_SESSION, END_FAILED, END_PRIMARY };

struct from {
    const struct gate_from *gate;
    struct talk talk;
    struct colo_worker *in, *out;  /* from xl; to the session */
    struct colo_stock_rx *rx;
    struct colo_capture capture;   /* only its epoch is used */
    struct colo_transfer transfer;
    int seed_fd;                   /* for in to write to */
    uint64_t whole_us, longest_us; /* in's: the last checkpoint was, between two
                                      of them at most; 0: not known yet */
    _Atomic bool abort;
    enum step step;
    bool seed_in, seed_out, ready; /* jobs over; the replica is there */
    bool sent, received, loaded;   /* the epoch under way */
    enum end end;
    struct colo_error why;
};

static void end_by(struct from *f, enum end end, const struct colo_error *err)
{
    if (f->end != END_NOT)
        return;
    f->end = end;
    f->why = *err;
    atomic_store(&f->abort, true);
    atomic_store(&f->transfer.abort, true);
    /* what in waits for does not matter any more */
    (void)shutdown(colo__stock_rx_fd(f->rx), SHUT_RDWR);
    colo__link_ops(f->gate->bulk)->shutdown(f->gate->bulk);
    colo__log(f->gate->log, COLO_LOG_NOTICE, -1, WHERE, "ends: %s",
              err->text);
}

/* ---- from xl: jobs of in ---------------------------------------------- */

static int write_seed(void *user, const uint8_t *bytes, size_t len,
                      struct colo_error *err)
{
    struct from *f = user;

    while (len) {
        struct pollfd pfd = { f->seed_fd, POLLOUT, 0 };
        ssize_t n;

        if (atomic_load(&f->abort))
            return colo__fail(err, COLO_E_STATE, 0, WHERE, "aborted");
        n = write(f->seed_fd, bytes, len);
        if (n < 0 && errno == EAGAIN)
            (void)poll(&pfd, 1, SLICE_MS);
        else if (n < 0 && errno != EINTR)
            return colo__fail(err, COLO_E_SYS, errno, WHERE, "the seed");
        bytes += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int put_config(struct from *f, const char *config,
                      struct colo_error *err)
{
    uint8_t header[SEED_HEADER];
    size_t len = strlen(config);
    int rc;

    if (!len || len > SEED_CONFIG_MAX)
        return colo__fail(err, COLO_E_LIMIT, 0, WHERE,
                          "a configuration of %zu bytes", len);
    seed_header_put(header, (uint32_t)len);
    rc = write_seed(f, header, sizeof(header), err);
    return rc ? rc : write_seed(f, (const uint8_t *)config, len, err);
}

/* Its interval is not said: so what was seen of it decides, and while nothing
 * was, the longest.  libxl says nothing either while it waits for the guest to
 * suspend, which silent_ms is longer than. */
static uint32_t silent_ms(const struct from *f)
{
    uint64_t longest_ms = f->longest_us / 1000;
    uint64_t ms = longest_ms ? longest_ms * LONGER : MAX_SILENT_MS;

    if (ms > MAX_SILENT_MS)
        ms = MAX_SILENT_MS;
    if (ms < longest_ms + f->gate->silent_ms)
        ms = longest_ms + f->gate->silent_ms;
    return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

static int seed_job(void *arg, struct colo_error *err)
{
    struct from *f = arg;
    char *config = NULL;
    int rc = 0;

    if (!f->gate->config)
        rc = colo__stock_rx_greet(f->rx, &config, f->gate->silent_ms, err);
    if (!rc)
        rc = put_config(f, config ? config : f->gate->config, err);
    if (!rc)
        rc = colo__stock_rx_seed(f->rx, write_seed, f, f->gate->silent_ms,
                                 err);
    free(config);
    close(f->seed_fd); /* its end for the other worker */
    f->seed_fd = -1;
    return rc;
}

static void note_checkpoint(struct from *f)
{
    uint64_t now = colo__now_us(&colo__clock_monotonic);

    if (f->whole_us && now - f->whole_us > f->longest_us)
        f->longest_us = now - f->whole_us;
    f->whole_us = now;
}

/* Between two checkpoints nothing comes; that this side is to end is noticed
 * meanwhile. */
static int wait_for_xl(struct from *f, struct colo_error *err)
{
    uint32_t limit = silent_ms(f);
    uint64_t end = colo__now_us(&colo__clock_monotonic) +
                   (uint64_t)limit * 1000;
    struct pollfd pfd = { colo__stock_rx_fd(f->rx), POLLIN, 0 };

    while (!colo__stock_rx_pending(f->rx)) {
        if (atomic_load(&f->abort))
            return colo__fail(err, COLO_E_STATE, 0, WHERE, "aborted");
        if (poll(&pfd, 1, SLICE_MS) > 0)
            break;
        if (colo__now_us(&colo__clock_monotonic) >= end)
            return colo__fail(err, COLO_E_PEER, 0, WHERE,
                              "the primary has been silent for %u ms",
                              limit);
    }
    return 0;
}

static int read_job(void *arg, struct colo_error *err)
{
    struct from *f = arg;
    struct colo_epoch *e = &f->capture.epoch;
    int rc = wait_for_xl(f, err);

    if (!rc)
        rc = colo__stock_rx_epoch(f->rx, e, silent_ms(f), err);
    if (rc == COLO_E_TIMEOUT) /* in the middle of it */
        rc = COLO_E_PEER;
    if (rc)
        return rc;
    note_checkpoint(f);
    return gate_order(e, err);
}

/* ---- the session ------------------------------------------------------ */

static int begin_seed(struct from *f, struct colo_error *err)
{
    int fds[2] = { -1, -1 }, rc = colo__seed_pipe(true, fds, err);

    if (rc)
        return rc;
    f->seed_fd = fds[1];
    f->transfer.seed_fd = fds[0];
    f->step = STEP_SEED;
    rc = colo__worker_submit(f->out, colo__transfer_seed_job, &f->transfer,
                             err);
    return rc ? rc : colo__worker_submit(f->in, seed_job, f, err);
}

static int begin_read(struct from *f, struct colo_error *err)
{
    struct colo_epoch *e = &f->capture.epoch;

    f->step = STEP_READ;
    f->sent = f->received = f->loaded = false;
    colo__epoch_reset(e, e->number + 1, e->count + 4096);
    return colo__worker_submit(f->in, read_job, f, err);
}

static int check_seeded(struct from *f, struct colo_error *err)
{
    return f->seed_in && f->seed_out && f->ready ? begin_read(f, err) : 0;
}

static int check_committed(struct from *f, struct colo_error *err)
{
    return f->sent && f->received && f->loaded ? begin_read(f, err) : 0;
}

static int take_message(struct from *f, const struct colo_msg *msg,
                        struct colo_error *err)
{
    uint64_t number = f->capture.epoch.number;
    bool sending = f->step == STEP_SEND || f->step == STEP_COMMIT;

    switch (msg->type) {
    case COLO_MSG_CHECKPOINT_READY:
        if (f->step == STEP_SEED && !f->ready) {
            f->ready = true;
            return check_seeded(f, err);
        }
        break;
    case COLO_MSG_CHECKPOINT_REPLY:
        if (f->step == STEP_REQUEST && msg->epoch == number) {
            f->step = STEP_SEND;
            return colo__worker_submit(f->out, colo__transfer_epoch_job,
                                       &f->transfer, err);
        }
        break;
    case COLO_MSG_VMSTATE_RECEIVED:
        if (sending && msg->epoch == number && !msg->value && !f->received) {
            f->received = true;
            return check_committed(f, err);
        }
        break;
    case COLO_MSG_VMSTATE_LOADED:
        if (sending && msg->epoch == number && f->received && !f->loaded) {
            f->loaded = true;
            return check_committed(f, err);
        }
        break;
    case COLO_MSG_STOP:
        if (msg->value == 1)
            return colo__fail(err, COLO_E_REFUSED, 0, WHERE, "the primary has "
                              "only stock Xen and cannot be told to end its "
                              "guest, which runs there; if it was not taken "
                              "over here, the replica is gone");
        return colo__fail(err, COLO_E_PEER_SAID, 0, WHERE,
                          "protection was ended here by request");
    }
    return colo__fail(err, COLO_E_PROTO, 0, WHERE, "%s of epoch %llu in epoch "
                      "%llu", colo__msg_name(msg->type),
                      (unsigned long long)msg->epoch,
                      (unsigned long long)number);
}

static void take_control(struct from *f)
{
    struct colo_error err = { 0 };
    struct colo_msg msg;
    int rc = 0;

    while (f->end == END_NOT && (rc = talk_next(&f->talk, &msg, &err)) > 0) {
        rc = take_message(f, &msg, &err);
        if (rc) {
            end_by(f, END_FAILED, &err);
            return;
        }
    }
    if (rc < 0) {
        end_by(f, END_SESSION, &err);
        return;
    }
    if (f->end == END_NOT && f->talk.known && f->step == STEP_HELLO &&
        begin_seed(f, &err))
        end_by(f, END_FAILED, &err);
}

/* ---- what the workers have done --------------------------------------- */

/* in has the seed, or an epoch */
static int in_done(struct from *f, struct colo_error *err)
{
    struct colo_epoch *e = &f->capture.epoch;

    if (f->step == STEP_SEED) {
        f->seed_in = true;
        return check_seeded(f, err);
    }
    f->step = STEP_REQUEST;
    return talk_send(&f->talk, COLO_MSG_CHECKPOINT_REQUEST, e->number, 0,
                     NULL, err);
}

static int out_done(struct from *f, struct colo_error *err)
{
    if (f->step == STEP_SEED) {
        f->seed_out = true;
        return check_seeded(f, err);
    }
    f->sent = true;
    f->step = STEP_COMMIT;
    return check_committed(f, err);
}

static void take_worker(struct from *f, struct colo_worker *worker,
                        int (*done)(struct from *, struct colo_error *),
                        enum end lost)
{
    struct colo_error err = { 0 };
    int rc = 0;

    if (!colo__worker_done(worker, &rc, &err))
        return;
    if (!rc && f->end == END_NOT)
        rc = done(f, &err);
    else if (rc == COLO_E_PEER)
        end_by(f, lost, &err);
    if (rc)
        end_by(f, END_FAILED, &err);
}

/* ---- the loop --------------------------------------------------------- */

static bool is_busy(const struct from *f)
{
    return colo__worker_busy(f->in) || colo__worker_busy(f->out);
}

static void wait_and_take(struct from *f)
{
    struct colo_error err = { 0 };
    struct pollfd pfds[3] = {
        { colo__worker_fd(f->in), POLLIN, 0 },
        { colo__worker_fd(f->out), POLLIN, 0 },
        { colo__link_ops(f->gate->control)->fd(f->gate->control), POLLIN, 0 },
    };

    if (f->end != END_NOT)
        pfds[2].fd = -1;
    if (poll(pfds, 3, talk_wait_ms(&f->talk)) < 0 && errno != EINTR)
        return;
    take_worker(f, f->in, in_done, END_PRIMARY);
    /* the session closes its bulk link before it says why on the other */
    if (f->end == END_NOT)
        take_control(f);
    take_worker(f, f->out, out_done, END_SESSION);
    if (f->end == END_NOT && talk_beat(&f->talk, &err))
        end_by(f, END_SESSION, &err);
}

static int set_up(struct from *f, struct colo_error *err)
{
    const struct gate_from *gate = f->gate;
    struct colo_hello hello = {
        .mode = COLO_MODE_REMUS, .heartbeat_ms = HEARTBEAT_MS,
        .dead_ms = gate->dead_ms,
    };
    int rc = colo__stock_rx_open(gate->fd, gate->max_pfn, &f->rx, err);

    if (rc)
        return rc;
    talk_init(&f->talk, gate->control, COLO_ROLE_PRIMARY, gate->session, 0,
              gate->log);
    memcpy(hello.uuid, gate->uuid, sizeof(hello.uuid));
    snprintf(hello.name, sizeof(hello.name), "%s", gate->name);
    rc = colo__worker_new(&f->in, err);
    if (!rc)
        rc = colo__worker_new(&f->out, err);
    if (!rc)
        rc = colo__epoch_init(&f->capture.epoch, gate->max_pfn + 1, err);
    if (!rc)
        rc = colo__transfer_init(&f->transfer, gate->bulk, &f->capture,
                                 &colo__clock_monotonic, gate->send_ms, 0, 0,
                                 err);
    memcpy(f->transfer.session, gate->session, sizeof(gate->session));
    return rc ? rc : talk_hello(&f->talk, &hello, err);
}

int gate_from_primary(const struct gate_from *gate, struct colo_error *err)
{
    struct from f = { .gate = gate, .seed_fd = -1 };
    struct colo_error ignored;
    int rc = set_up(&f, err);

    if (rc) goto out;
    while (f.end == END_NOT || is_busy(&f))
        wait_and_take(&f);
    if (f.end == END_FAILED)
        (void)talk_send(&f.talk, COLO_MSG_ERROR, 0,
                        (uint64_t)(int64_t)f.why.code, f.why.text, &ignored);
    if (err)
        *err = f.why;
    rc = f.end == END_PRIMARY ? 0 : f.why.code;
out:
    colo__worker_free(f.in);
    colo__worker_free(f.out);
    colo__transfer_fini(&f.transfer);
    colo__epoch_fini(&f.capture.epoch);
    if (f.seed_fd >= 0)
        close(f.seed_fd);
    colo__stock_rx_close(f.rx);
    return rc;
}
