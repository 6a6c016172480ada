/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The primary's side of the stream: greeting the twin, its answers, stop.
 * start, verify and stop are called by the control thread; the rest is the
 * receiver's.  The first copy is in first-copy.c.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk-internal.h"

#define WHERE "disk primary"
#define RECV_BUFFER (256u * 1024u)

static int in_step(struct colo_disk *d, struct colo_error *err)
{
    int rc;

    /* without a parent from now on, because bits go */
    rc = colo__meta_set(d->meta, COLO_META_PRIMARY, d->next_generation, err);
    if (rc) return rc;
    colo__dirty_clear_rest(d);
    pthread_mutex_lock(&d->lock);
    d->in_step = true;
    d->phase = PHASE_PROTECTED;
    pthread_mutex_unlock(&d->lock);
    colo__disk_say(d, "in step with the twin");
    colo__disk_answer(d, &d->start_seq, NULL);
    return 0;
}

/* bits of a WANT or VERIFIED, counted and kept */
static int take_bits(struct colo_disk *d, const struct colo_dmsg *m,
                     struct colo_error *err)
{
    uint64_t first = m->offset / COLO_DWIRE_CHUNK;
    uint64_t n = (m->value + COLO_DWIRE_CHUNK - 1) / COLO_DWIRE_CHUNK;
    bool verify = m->type == COLO_DMSG_VERIFIED;
    int rc = 0;

    pthread_mutex_lock(&d->lock);
    if (!d->asked || verify != (d->phase == PHASE_PROTECTED)) {
        rc = colo__fail(err, COLO_E_PROTO, 0, WHERE,
                        "%s, and nothing was asked",
                        colo__dmsg_name(m->type));
        goto out;
    }
    d->asked--;
    d->compared += n;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t chunk = first + i, bit = UINT64_C(1) << (chunk % 64);

        if (!(m->body[i / 8] >> (i % 8) & 1))
            continue;
        d->differing++;
        if (!verify && !(d->want[chunk / 64] & bit)) {
            d->want[chunk / 64] |= bit;
            d->nr_want++;
        }
    }
    pthread_cond_broadcast(&d->cond);
out:
    pthread_mutex_unlock(&d->lock);
    return rc;
}

static int take_bitmap(struct colo_disk *d, const struct colo_dmsg *m,
                       struct colo_error *err)
{
    size_t at = m->offset / COLO_DWIRE_CHUNK / 8;
    uint8_t *bits = calloc(1, at + m->len);
    int rc;

    if (!bits)
        return colo__fail(err, COLO_E_NOMEM, 0, WHERE, "no memory");
    memcpy(bits + at, m->body, m->len);
    rc = colo__meta_merge(d->meta, bits, at + m->len, err);
    free(bits);
    return rc;
}

static int take(struct colo_disk *d, const struct colo_dmsg *m,
                struct colo_error *err)
{
    switch (m->type) {
    case COLO_DMSG_BITMAP:
        if (d->peer_bits_done)
            break;
        return take_bitmap(d, m, err);
    case COLO_DMSG_BITMAP_END:
        pthread_mutex_lock(&d->lock);
        d->peer_bits_done = true;
        pthread_cond_broadcast(&d->cond);
        pthread_mutex_unlock(&d->lock);
        return 0;
    case COLO_DMSG_WANT:
    case COLO_DMSG_VERIFIED:
        return take_bits(d, m, err);
    case COLO_DMSG_SYNC_DONE:
        if (d->in_step || memcmp(m->body, d->next_generation, 16))
            break;
        return in_step(d, err);
    case COLO_DMSG_APPLIED:
        if (!d->in_step || m->value > d->last_barrier)
            break;
        colo__dirty_applied(d, m->value);
        return 0;
    case COLO_DMSG_ERROR:
        return colo__fail(err, COLO_E_PEER_SAID, 0, WHERE,
                          "the twin says: %.*s", (int)m->len,
                          (const char *)m->body);
    }
    return colo__fail(err, COLO_E_PROTO, 0, WHERE, "%s does not belong here",
                      colo__dmsg_name(m->type));
}

static int receive(struct colo_disk *d, struct colo_error *err)
{
    uint8_t *buf = malloc(RECV_BUFFER);
    uint64_t size = colo__backing_size(d->backing);
    size_t have = 0, pos, n;
    int64_t used;
    int rc = 0;

    if (!buf)
        return colo__fail(err, COLO_E_NOMEM, 0, WHERE, "no memory");
    while (!rc) {
        struct colo_dmsg m;

        if (have == RECV_BUFFER) {
            rc = colo__fail(err, COLO_E_PROTO, 0, WHERE, "a long message");
            break;
        }
        rc = colo__disk_recv_some(d, buf + have, RECV_BUFFER - have, &n, err);
        if (rc)
            break;
        have += n;
        for (pos = 0; !rc; pos += (size_t)used) {
            used = colo__dwire_parse(buf + pos, have - pos, size, &m, err);
            if (used <= 0)
                break;
            rc = take(d, &m, err);
        }
        if (!rc && used < 0)
            rc = (int)used;
        memmove(buf, buf + pos, have - pos);
        have -= pos;
    }
    free(buf);
    return rc;
}

/* what kind of first copy it will be */
static int choose(struct colo_disk *d, const struct colo_dhello *twin,
                  struct colo_error *err)
{
    const uint8_t *generation = colo__meta_generation(d->meta);
    int state = colo__meta_state(d->meta);

    if (state != COLO_META_ALONE && state != COLO_META_PRIMARY)
        return colo__fail(err, COLO_E_STATE, 0, WHERE,
                          "the copy here is not the newest");
    d->since_takeover = colo__disk_is_child(colo__meta_parent(d->meta),
                                            twin->generation, twin->state);
    d->full = !d->since_takeover && memcmp(generation, twin->generation, 16);
    if (!d->full) {
        memcpy(d->next_generation, generation, 16);
        return 0;
    }
    return colo__disk_random(d->next_generation, 16, err);
}

static void *receiver(void *user)
{
    struct colo_disk *d = user;
    struct colo_dhello twin;
    struct colo_error err;
    int rc, r;

    rc = colo__disk_hello(d, COLO_DISK_PRIMARY, &twin, &err);
    if (rc) goto out;
    rc = choose(d, &twin, &err);
    if (rc) goto out;
    colo__dirty_on(&d->dirty);
    rc = colo__disk_open_queue(d, d->config.memory_limit, &err);
    if (rc) goto out;
    colo__disk_say(d, "first copy: %s", d->full ? "everything is compared" :
                   d->since_takeover ? "what may differ since the takeover" :
                   "only what may differ");
    colo__disk_set_phase(d, PHASE_COPYING);
    r = pthread_create(&d->copier, NULL, colo__primary_copier, d);
    if (r) {
        rc = colo__fail(&err, COLO_E_SYS, r, WHERE, "a thread");
        goto out;
    }
    d->have_copier = true; /* read after the receiver was joined */
    rc = receive(d, &err);
out:
    if (rc)
        colo__disk_lose(d, &err);
    pthread_rwlock_rdlock(&d->queue_gate);
    if (d->queue)
        colo__sendq_stop(d->queue);
    pthread_rwlock_unlock(&d->queue_gate);
    return NULL;
}

void colo__primary_start(struct colo_disk *d, uint64_t seq, int stream)
{
    bool unmarked;
    int r;

    if (d->phase == PHASE_BROKEN || d->phase == PHASE_OUTDATED) {
        close(stream);
        d->config.reply(d->config.user, seq,
                        "the copy here is not the newest");
        return;
    }
    colo__primary_stop(d); /* what was before is over */
    /* under the lock: whoever passes unmarked from now on is lost after it */
    pthread_mutex_lock(&d->lock);
    d->lost = d->stopping = d->peer_bits_done = d->in_step = false;
    unmarked = d->unmarked;
    pthread_mutex_unlock(&d->lock);
    if (unmarked) {
        close(stream);
        d->config.reply(d->config.user, seq, "the metadata could not be "
                        "written: the proxy must leave first");
        return;
    }
    d->start_seq = seq;
    d->asked = 0;
    d->nr_want = d->compared = d->differing = d->last_barrier = 0;
    memset(d->want, 0, d->dirty.words * sizeof(*d->want));
    d->verify_asked = false;
    d->stream = stream;
    r = pthread_create(&d->receiver, NULL, receiver, d);
    if (r) {
        d->start_seq = 0;
        d->config.reply(d->config.user, seq, "cannot make a thread");
        return;
    }
    d->have_receiver = true;
}

void colo__primary_verify(struct colo_disk *d, uint64_t seq)
{
    int r;

    if (d->phase != PHASE_PROTECTED || d->verify_seq) {
        d->config.reply(d->config.user, seq, "not now");
        return;
    }
    if (d->have_copier)
        pthread_join(d->copier, NULL);
    d->have_copier = false;
    d->verify_seq = seq;
    d->verify_asked = true;
    r = pthread_create(&d->copier, NULL, colo__primary_copier, d);
    if (r)
        colo__disk_answer(d, &d->verify_seq, "cannot make a thread");
    else
        d->have_copier = true;
}

void colo__primary_stop(struct colo_disk *d)
{
    struct colo_error err;

    if (d->stream < 0)
        return;
    pthread_rwlock_rdlock(&d->queue_gate);
    if (d->queue)
        colo__disk_event(d, "sent %llu", (unsigned long long)
                         colo__sendq_sent(d->queue));
    pthread_rwlock_unlock(&d->queue_gate);
    colo__disk_disconnect(d, 0);
    colo__dirty_off(&d->dirty);
    colo__disk_answer(d, &d->start_seq, "replaced by another request");
    colo__disk_answer(d, &d->verify_seq, "replaced by another request");
    if (d->phase == PHASE_OUTDATED)
        return;
    /* The generation stays: the bits say what the twin lacks of it. */
    if (colo__meta_state(d->meta) == COLO_META_PRIMARY &&
        colo__meta_set(d->meta, COLO_META_ALONE, NULL, &err))
        colo__disk_say(d, "the metadata: %s", err.text);
    colo__disk_set_phase(d, PHASE_ALONE);
}
