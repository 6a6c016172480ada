/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A stock backup for a session.  What the session sends is gathered whole
 * (engine/receive.h) and then sent on; RECEIVED and LOADED are said when it is
 * committed as far as that can be known (../acked.h).
 *
 * The main thread has the control link; one worker reads the bulk link, another
 * writes to xl.  Only the seed keeps both busy at once: it goes through.
 *
 * However it ends, this host is alive and the guest goes on here, or has ended
 * here; so the replica must not start.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../stock-send.h"
#include "../stream.h"
#include "pure/seed-header.h"
#include "engine/receive.h"
#include "engine/seed-pipe.h"
#include "engine/worker.h"
#include "pure/hvmctx.h"
#include "gate.h"
#include "hv-gate.h"
#include "talk.h"

#define WHERE "gate"
/* the session's pages of one record of stock Xen after another */
#define PAGES_AT_ONCE (UINT64_C(1) << 20)

enum step { STEP_HELLO, STEP_BANNER, STEP_SEED, STEP_READY, STEP_RECEIVE,
            STEP_SEND };
enum end { END_NOT, END_ASKED, END_SESSION, END_FAILED, END_HOST };

struct backup {
    const struct gate *gate;
    struct talk talk;
    struct colo_receive rx;
    struct colo_worker *in, *out;
    struct colo_stock *stock;
    int seed_fd;            /* what in has read of the seed, for out */
    enum step step;
    bool seed_in, seed_out; /* both jobs of the seed are over */
    struct colo_error in_err; /* in could not hand the seed on: why is out's
                                 to say */
    uint64_t epoch;         /* last committed */
    enum end end;
    struct colo_error why;  /* of it */
};

static void end_by(struct backup *b, enum end end,
                   const struct colo_error *err)
{
    if (b->end != END_NOT)
        return;
    b->end = end;
    b->why = *err;
    atomic_store(&b->rx.abort, true);
    colo__log(b->gate->log, COLO_LOG_NOTICE, -1, WHERE, "ends: %s",
              err->text);
}

/* ---- to xl: jobs of out ----------------------------------------------- */

static int read_seed(void *user, uint8_t *buf, size_t cap,
                     struct colo_error *err)
{
    const struct backup *b = user;
    ssize_t n;

    do {
        n = read(b->seed_fd, buf, cap < INT32_MAX ? cap : INT32_MAX);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? colo__fail(err, COLO_E_SYS, errno, WHERE, "the seed")
                 : (int)n;
}

static int read_fully(struct backup *b, uint8_t *buf, size_t len,
                      struct colo_error *err)
{
    while (len) {
        int n = read_seed(b, buf, len, err);

        if (n <= 0)
            return n ? n : colo__fail(err, COLO_E_PEER, 0, WHERE,
                                      "the seed ends before its end");
        buf += n;
        len -= (size_t)n;
    }
    return 0;
}

/* What colo-toolstack puts before libxl's stream is what xl wants first. */
static int greet(struct backup *b, struct colo_error *err)
{
    uint8_t header[SEED_HEADER];
    char *config = NULL;
    uint32_t len = 0;
    int rc = read_fully(b, header, sizeof(header), err);

    if (rc)
        return rc;
    if (seed_header_parse(header, sizeof(header), &len) != (int)SEED_HEADER)
        return colo__fail(err, COLO_E_VERSION, 0, WHERE,
                          "the seed does not begin as this build's does");
    config = calloc((size_t)len + 1, 1);
    if (!config)
        return colo__fail(err, COLO_E_NOMEM, ENOMEM, WHERE, "configuration");
    rc = read_fully(b, (uint8_t *)config, len, err);
    if (!rc)
        /* what may stand behind a NUL is for another toolstack */
        rc = colo__stock_greet(b->stock, config, (uint32_t)strlen(config),
                               b->gate->greet_ms, err);
    free(config);
    return rc;
}

static int banner_job(void *arg, struct colo_error *err)
{
    struct backup *b = arg;

    return colo__stock_wait(b->stock, b->gate->greet_ms, err);
}

/* The reader of the pipe goes when it does not need more, or the session's
 * bytes would wait for it. */
static int seed_job(void *arg, struct colo_error *err)
{
    struct backup *b = arg;
    int rc = greet(b, err);

    if (!rc)
        rc = b->gate->armed(b->gate->user, b->talk.peer.name,
                            colo__stock_fd(b->stock), err);
    if (!rc)
        rc = colo__stock_seed(b->stock, b->rx.streamed ? COLO_STREAM_REMUS :
                              COLO_STREAM_PLAIN, read_seed, b,
                              b->gate->greet_ms, err);
    close(b->seed_fd);
    b->seed_fd = -1;
    return rc;
}

/* Which Xen the other host has is not known: the oldest takes this form, and a
 * newer one fills it up.  What is wrong with a context is for commit to say. */
static void shorten(struct colo_epoch *e)
{
    struct colo_hvmctx ctx;
    struct colo_error ignored;

    if (!colo__hvmctx_parse(e->state, e->state_len, &ctx, &ignored))
        e->state_len = colo__hvmctx_shorten(e->state, e->state_len);
}

static int epoch_job(void *arg, struct colo_error *err)
{
    struct backup *b = arg;
    struct colo_epoch *e = &b->rx.epoch;
    uint32_t ms = b->gate->send_ms;
    uint64_t n;
    int rc = 0;

    if (b->rx.streamed)
        return colo__stock_piece(b->stock, e->state, e->state_len, ms, err);
    shorten(e);
    for (uint64_t i = 0; !rc && i < e->gone_count; i += n) {
        n = e->gone_count - i;
        if (n > PAGES_AT_ONCE)
            n = PAGES_AT_ONCE;
        rc = colo__stock_gone(b->stock, e->gone + i, (uint32_t)n, ms, err);
    }
    for (uint64_t i = 0; !rc && i < e->count; i += n) {
        n = e->count - i;
        if (n > PAGES_AT_ONCE)
            n = PAGES_AT_ONCE;
        rc = colo__stock_pages(b->stock, e->gfns + i, colo__epoch_page(e, i),
                               (uint32_t)n, ms, err);
    }
    return rc ? rc : colo__stock_commit(b->stock, e->state, e->state_len,
                                        NULL, 0, ms, err);
}

/* ---- what the session says -------------------------------------------- */

/* HELLO is not answered before xl is there: until then the session is patient,
 * and says that it is connecting. */
static int begin_banner(struct backup *b, struct colo_error *err)
{
    if (b->talk.peer.mode != COLO_MODE_REMUS)
        return colo__fail(err, COLO_E_UNSUPPORTED, 0, WHERE, "a backup of "
                          "stock Xen knows mode remus only");
    b->rx.streamed = b->talk.peer.features & COLO_FEATURE_STREAM;
    b->rx.hv = hv_gate(b->rx.streamed);
    b->step = STEP_BANNER;
    return colo__worker_submit(b->out, banner_job, b, err);
}

static int begin_seed(struct backup *b, struct colo_error *err)
{
    int fds[2] = { -1, -1 }, rc = talk_hello(&b->talk, &b->talk.peer, err);

    if (!rc)
        rc = colo__seed_pipe(true, fds, err);
    if (rc)
        return rc;
    b->seed_fd = fds[0];
    b->rx.seed_fd = fds[1];
    b->step = STEP_SEED;
    rc = colo__worker_submit(b->out, seed_job, b, err);
    if (rc)
        return rc;
    return colo__worker_submit(b->in, colo__receive_seed_job, &b->rx, err);
}

static int take_request(struct backup *b, const struct colo_msg *msg,
                        struct colo_error *err)
{
    int rc;

    b->rx.expect = msg->epoch;
    b->step = STEP_RECEIVE;
    rc = colo__worker_submit(b->in, colo__receive_epoch_job, &b->rx, err);
    return rc ? rc : talk_send(&b->talk, COLO_MSG_CHECKPOINT_REPLY,
                               msg->epoch, 0, NULL, err);
}

static int take_message(struct backup *b, const struct colo_msg *msg,
                        struct colo_error *err)
{
    switch (msg->type) {
    case COLO_MSG_CHECKPOINT_REQUEST:
        if (b->step == STEP_READY && msg->epoch == b->epoch + 1)
            return take_request(b, msg, err);
        break;
    case COLO_MSG_SEEDED:       /* the bulk link says so, too */
    case COLO_MSG_VMSTATE_SEND:
    case COLO_MSG_VMSTATE_SIZE:
    case COLO_MSG_ADDRESSES:    /* xl lets the guest say them itself */
        return 0;
    case COLO_MSG_DISKS:
    case COLO_MSG_NETS:
        return colo__fail(err, COLO_E_UNSUPPORTED, 0, WHERE,
                          "stock Xen keeps no disks in step");
    case COLO_MSG_STOP:
    case COLO_MSG_GUEST_END:
        colo__fail(err, COLO_E_STATE, 0, WHERE, "%s",
                   msg->type == COLO_MSG_STOP ? "the session was told to stop"
                                              : "the guest has ended");
        end_by(b, END_ASKED, err);
        return 0;
    }
    return colo__fail(err, COLO_E_PROTO, 0, WHERE, "%s of epoch %llu after "
                      "epoch %llu", colo__msg_name(msg->type),
                      (unsigned long long)msg->epoch,
                      (unsigned long long)b->epoch);
}

static void take_control(struct backup *b)
{
    struct colo_error err = { 0 };
    struct colo_msg msg;
    int rc = 0;

    while (b->end == END_NOT && (rc = talk_next(&b->talk, &msg, &err)) > 0) {
        rc = take_message(b, &msg, &err);
        if (rc) {
            end_by(b, END_FAILED, &err);
            return;
        }
    }
    if (b->end == END_NOT && !rc && b->talk.known && b->step == STEP_HELLO) {
        rc = begin_banner(b, &err);
        if (rc)
            end_by(b, END_FAILED, &err);
    } else if (rc < 0) {
        end_by(b, END_SESSION, &err);
    }
}

/* ---- what the workers have done --------------------------------------- */

static int seed_done(struct backup *b, struct colo_error *err)
{
    if (!b->seed_in || !b->seed_out)
        return 0;
    b->step = STEP_READY;
    return talk_send(&b->talk, COLO_MSG_CHECKPOINT_READY, 0, 0, NULL, err);
}

/* in has the seed, or an epoch */
static int in_done(struct backup *b, struct colo_error *err)
{
    if (b->step == STEP_SEED) {
        b->seed_in = true;
        return seed_done(b, err);
    }
    if (b->rx.again)
        return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                          "a difference, which was not agreed upon");
    b->step = STEP_SEND;
    return colo__worker_submit(b->out, epoch_job, b, err);
}

static int out_done(struct backup *b, struct colo_error *err)
{
    int rc;

    if (b->step == STEP_BANNER)
        return begin_seed(b, err);
    if (b->step == STEP_SEED) {
        b->seed_out = true;
        return seed_done(b, err);
    }
    b->epoch = b->rx.epoch.number;
    b->step = STEP_READY;
    rc = talk_send(&b->talk, COLO_MSG_VMSTATE_RECEIVED, b->epoch, 0, NULL,
                   err);
    return rc ? rc : talk_send(&b->talk, COLO_MSG_VMSTATE_LOADED, b->epoch, 0,
                               NULL, err);
}

/* The session closes its bulk link before it says why on the other; xl's end
 * makes the session's seed come to nothing, not the other way round. */
static void take_in(struct backup *b)
{
    struct colo_error err = { 0 };
    int rc = 0;

    if (!colo__worker_done(b->in, &rc, &err))
        return;
    if (rc == COLO_E_PEER)
        take_control(b);
    if (rc == COLO_E_SYS && colo__worker_busy(b->out)) {
        b->in_err = err;
        return;
    }
    if (!rc && b->end == END_NOT) {
        rc = in_done(b, &err);
        if (rc)
            end_by(b, END_SESSION, &err);
    } else if (rc) {
        end_by(b, rc == COLO_E_PEER ? END_SESSION : END_FAILED, &err);
    }
}

static void take_out(struct backup *b)
{
    struct colo_error err = { 0 };
    int rc = 0;

    if (!colo__worker_done(b->out, &rc, &err))
        return;
    if (!rc && b->in_err.code) {
        err = b->in_err;
        rc = err.code;
    }
    if (!rc && b->end == END_NOT) {
        rc = out_done(b, &err);
        if (rc)
            end_by(b, END_SESSION, &err);
    } else if (rc) {
        end_by(b, rc == COLO_E_PEER ? END_HOST : END_FAILED, &err);
    }
}

/* ---- the loop --------------------------------------------------------- */

static bool is_busy(const struct backup *b)
{
    return colo__worker_busy(b->in) || colo__worker_busy(b->out);
}

/* xl says nothing after its banner: what makes its connection readable is its
 * end. */
static void look_at_host(struct backup *b)
{
    struct colo_error err;

    colo__fail(&err, COLO_E_PEER, 0, WHERE, "the connection has ended");
    end_by(b, END_HOST, &err);
}

static void wait_and_take(struct backup *b)
{
    struct colo_error err = { 0 };
    struct pollfd pfds[4] = {
        { colo__link_ops(b->gate->control)->fd(b->gate->control), POLLIN, 0 },
        { colo__worker_fd(b->in), POLLIN, 0 },
        { colo__worker_fd(b->out), POLLIN, 0 },
        { b->seed_out ? colo__stock_fd(b->stock) : -1, POLLIN, 0 },
    };

    if (b->end != END_NOT)
        pfds[0].fd = pfds[3].fd = -1;
    if (poll(pfds, 4, talk_wait_ms(&b->talk)) < 0 && errno != EINTR)
        return;
    take_out(b);
    take_in(b);
    /* what the handshake of the link has read makes no descriptor readable */
    if (b->end == END_NOT)
        take_control(b);
    if (pfds[3].revents && b->end == END_NOT)
        look_at_host(b);
    if (b->end == END_NOT && talk_beat(&b->talk, &err))
        end_by(b, END_SESSION, &err);
}

/* ---- the end ---------------------------------------------------------- */

/* 0: no replica can start any more. */
static int undo(struct backup *b, struct colo_error *err)
{
    const struct gate *gate = b->gate;
    struct colo_error why = { 0 };
    int rc;

    rc = b->end == END_HOST ? 0 : colo__stock_revoke(b->stock, gate->end_ms,
                                                     &why);
    if (!rc)
        rc = gate->ended(gate->user, b->end != END_HOST, &why);
    if (b->end == END_HOST && why.code)
        b->why = why;
    if (rc == COLO_E_PEER_SAID || !colo__stock_armed(b->stock)) {
        /* over there all is known, so it is no lost host */
        if (b->end == END_HOST)
            b->end = END_FAILED;
        return 0;
    }
    colo__log(gate->log, COLO_LOG_WARNING, -1, WHERE, "%s", why.text);
    return gate->destroy(gate->user, b->talk.peer.name, err);
}

/* The loss of a host is shown, not told: then the session asks its arbiter. */
static void say_end(struct backup *b, int rc, const struct colo_error *err)
{
    struct colo_error ignored;
    char text[404];

    if (b->end == END_SESSION || (b->end == END_HOST && rc))
        return;
    if (b->end == END_ASKED && !rc) {
        (void)talk_send(&b->talk, COLO_MSG_STOP, b->epoch, 0, NULL, &ignored);
        return;
    }
    snprintf(text, sizeof(text), "%s%s%s", b->why.text, rc ? "; " : "",
             rc ? err->text : "");
    (void)talk_send(&b->talk, COLO_MSG_ERROR, b->epoch,
                    (uint64_t)(int64_t)b->why.code, text, &ignored);
}

static int set_up(struct backup *b, struct colo_error *err)
{
    const struct gate *gate = b->gate;
    uint64_t features = COLO_FEATURE_UNACKED | COLO_FEATURE_STREAM;
    int rc = colo__stock_open(gate->fd, &b->stock, err);

    if (rc)
        return rc;
    if (strcmp(colo__stock_word(b->stock), "unacknowledged"))
        features |= COLO_FEATURE_WRITTEN;
    talk_init(&b->talk, gate->control, COLO_ROLE_SECONDARY, gate->session,
              features, gate->log);
    rc = colo__worker_new(&b->in, err);
    if (!rc)
        rc = colo__worker_new(&b->out, err);
    if (!rc)
        rc = colo__receive_init(&b->rx, gate->bulk, hv_gate(false),
                                &colo__clock_monotonic, err);
    memcpy(b->rx.session, gate->session, sizeof(b->rx.session));
    return rc;
}

int gate_to_backup(const struct gate *gate, struct colo_error *err)
{
    struct backup b = { .gate = gate, .seed_fd = -1 };
    int rc = set_up(&b, err);

    if (rc) goto out;
    while (b.end == END_NOT || is_busy(&b))
        wait_and_take(&b);
    rc = undo(&b, err);
    say_end(&b, rc, err);
out:
    colo__worker_free(b.in);
    colo__worker_free(b.out);
    colo__receive_fini(&b.rx);
    if (b.seed_fd >= 0)
        close(b.seed_fd);
    colo__stock_close(b.stock);
    return rc;
}
