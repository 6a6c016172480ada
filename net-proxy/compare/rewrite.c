/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The rewriter: the secondary's guest believes in its own sequence numbers and
 * timestamps, the world in the primary's; see compare.h.  What a connection's
 * differences are, it is told by notes.  A connection that is not in the table
 * has none.
 */
#include <stdlib.h>
#include <string.h>

#include "edit.h"

#define P_ICMP 1
#define P_TCP 6

struct rw_flow {
    struct rw_flow *chain, *newer, *older;
    struct colo_note note;
    uint64_t seen_us;
    bool guest_fin, peer_fin, guest_reset, peer_reset;
    bool acked;
    uint32_t ack; /* the last that the guest has sent */
    /* The last of the primary's timestamps that the world has shown: our
     * guest's clock may be a little behind, and a smaller one be refused. */
    bool echoed;
    uint32_t echo;
};

struct colo_rewrite {
    struct colo_rewrite_settings set;
    struct rw_flow **bucket;
    uint32_t buckets, count;
    struct rw_flow *oldest, *newest;
    bool alone;
};

/* ---- the table --------------------------------------------------------- */

void colo__rewrite_defaults(struct colo_rewrite_settings *s)
{
    memset(s, 0, sizeof(*s));
    s->vnet = 10;
    s->max_flows = 16384;
    /* Linux looks after a peer at rest after two hours, and gives it up within
     * 11 minutes: whoever does that keeps his connection. */
    s->idle_s = 3 * 3600;
    s->closed_s = 120;
}

int colo__rewrite_new(const struct colo_rewrite_settings *settings,
                      struct colo_rewrite **ret, struct colo_error *err)
{
    struct colo_rewrite *r;

    if ((settings->vnet != 0 && settings->vnet != 10) ||
        !settings->max_flows || settings->max_flows > 1u << 24)
        return colo__fail(err, COLO_E_INVAL, 0, "rewrite",
                          "settings that cannot be");
    r = calloc(1, sizeof(*r));
    if (r) {
        r->set = *settings;
        r->buckets = 64;
        while (r->buckets < settings->max_flows)
            r->buckets *= 2;
        r->bucket = calloc(r->buckets, sizeof(*r->bucket));
    }
    if (!r || !r->bucket) {
        free(r);
        return colo__fail(err, COLO_E_NOMEM, ENOMEM, "rewrite",
                          "table of connections");
    }
    *ret = r;
    return 0;
}

static struct rw_flow **place(struct colo_rewrite *r,
                              const struct colo_flow_key *key)
{
    struct rw_flow **at =
        &r->bucket[colo__flow_hash(key, r->set.seed) & (r->buckets - 1)];

    while (*at && memcmp(&(*at)->note.key, key, sizeof(*key)) != 0)
        at = &(*at)->chain;
    return at;
}

static void unlink_age(struct colo_rewrite *r, struct rw_flow *f)
{
    if (f->older)
        f->older->newer = f->newer;
    else
        r->oldest = f->newer;
    if (f->newer)
        f->newer->older = f->older;
    else
        r->newest = f->older;
}

static void link_age(struct colo_rewrite *r, struct rw_flow *f)
{
    f->newer = NULL;
    f->older = r->newest;
    if (r->newest)
        r->newest->newer = f;
    else
        r->oldest = f;
    r->newest = f;
}

static void forget(struct colo_rewrite *r, struct rw_flow *f)
{
    *place(r, &f->note.key) = f->chain;
    unlink_age(r, f);
    r->count--;
    free(f);
}

void colo__rewrite_loaded(struct colo_rewrite *r)
{
    while (r->oldest)
        forget(r, r->oldest);
}

void colo__rewrite_free(struct colo_rewrite *r)
{
    if (!r)
        return;
    colo__rewrite_loaded(r);
    free(r->bucket);
    free(r);
}

static bool is_closed(const struct rw_flow *f)
{
    return f->guest_reset || f->peer_reset || (f->guest_fin && f->peer_fin);
}

/* A guest that goes on has not taken the world's reset for its own. */
static void look_at_end(struct rw_flow *f, bool by_guest,
                        const struct colo_packet *p)
{
    bool fin = (p->flags & TCP_FIN) != 0, reset = (p->flags & TCP_RST) != 0;

    if (by_guest) {
        f->guest_fin |= fin;
        f->guest_reset = reset;
        f->peer_reset = false;
        if ((p->flags & TCP_ACK) && !reset) {
            f->acked = true;
            f->ack = p->ack;
        }
    } else {
        f->peer_fin |= fin;
        /* before its first word it has asked for it: a refusal, a probe */
        f->peer_reset = reset &&
                        (!f->acked || p->seq - f->ack < TCP_RESET_FITS);
    }
}

static bool differs(const struct rw_flow *f)
{
    return f->note.seq_delta || f->note.ts_delta;
}

/* One that nobody misses; there may be none. */
static bool make_room(struct colo_rewrite *r)
{
    for (struct rw_flow *f = r->oldest; f; f = f->newer) {
        if (is_closed(f) || !differs(f)) {
            forget(r, f);
            return true;
        }
    }
    return false;
}

static struct rw_flow *find(struct colo_rewrite *r, uint64_t now_us,
                            const struct colo_packet *p)
{
    struct rw_flow *f = *place(r, &p->key);

    if (!f)
        return NULL;
    f->seen_us = now_us;
    unlink_age(r, f);
    link_age(r, f);
    return f;
}

bool colo__rewrite_note(struct colo_rewrite *r, uint64_t now_us,
                        const uint8_t *note, size_t len, uint32_t *ret_number)
{
    struct colo_note n;
    struct rw_flow *f, **at;

    if (colo__note_parse(note, len, &n))
        return false;
    f = *place(r, &n.key);
    if (f)
        forget(r, f);
    if (r->count >= r->set.max_flows && !make_room(r))
        return false;
    f = calloc(1, sizeof(*f));
    if (!f)
        return false;
    f->note = n;
    f->seen_us = now_us;
    at = place(r, &n.key);
    *at = f;
    link_age(r, f);
    r->count++;
    *ret_number = n.number;
    return true;
}

/* ---- pieces ------------------------------------------------------------ */

/* Has a connection between the two to be changed? */
static bool one_differs(const struct colo_rewrite *r,
                        const struct colo_packet *p)
{
    for (const struct rw_flow *f = r->newest; f; f = f->older) {
        if (differs(f) && !is_closed(f) &&
            f->note.key.family == p->key.family &&
            memcmp(f->note.key.guest, p->key.guest, 16) == 0 &&
            memcmp(f->note.key.peer, p->key.peer, 16) == 0)
            return true;
    }
    return false;
}

/* A fragment.  The first one of a segment has, in all that is honest, its whole
 * header: it is read as a segment then, and changed as one, for what is added
 * to a checksum does not ask for the bytes elsewhere.  The others carry nothing
 * that changes.
 * Returns  false: the header is in more than one. */
static bool piece_can_be_read(const struct colo_rewrite *r,
                              const uint8_t *frame, bool out,
                              struct colo_packet *p)
{
    if (!p->fragment || p->frag_at || p->key.proto != P_TCP)
        return true;
    colo__packet_transport(frame, out, p);
    return p->cls == COLO_CLASS_TCP || !one_differs(r, p);
}

/* ---- errors about segments --------------------------------------------- */

static bool is_error(const uint8_t *icmp, uint8_t proto)
{
    if (proto == P_ICMP)
        return icmp[0] == 3 || icmp[0] == 11 || icmp[0] == 12;
    return icmp[0] >= 1 && icmp[0] <= 4;
}

/* The connection of the segment that the error quotes, and where its sequence
 * number is; 0: none that can be read. */
static size_t quoted(const uint8_t *frame, const struct colo_packet *p,
                     struct colo_flow_key *ret_key)
{
    const uint8_t *ip = frame + p->at + 8;
    size_t left = p->len - 8, n = p->key.proto == P_ICMP ? 20 : 40;

    memset(ret_key, 0, sizeof(*ret_key));
    memcpy(ret_key->tag, p->key.tag, sizeof(ret_key->tag));
    ret_key->proto = P_TCP;
    if (left < n)
        return 0;
    if (p->key.proto == P_ICMP) {
        n = (size_t)(ip[0] & 15) * 4;
        if (ip[0] >> 4 != 4 || n < 20 || ip[9] != P_TCP ||
            (get16(ip + 6) & 0x1fff))
            return 0;
        ret_key->family = 4;
        memcpy(ret_key->guest, ip + 12, 4);
        memcpy(ret_key->peer, ip + 16, 4);
    } else {
        if (ip[0] >> 4 != 6 || ip[6] != P_TCP)
            return 0;
        ret_key->family = 6;
        memcpy(ret_key->guest, ip + 8, 16);
        memcpy(ret_key->peer, ip + 24, 16);
    }
    if (left < n + 8)
        return 0;
    ret_key->guest_port = get16(ip + n);
    ret_key->peer_port = get16(ip + n + 2);
    return p->at + 8 + n + 4;
}

/* "Fragmentation needed" about a sequence number that the guest never used
 * would be ignored, and the path's MTU stay unknown. */
static void error_to_guest(struct colo_rewrite *r, uint8_t *frame,
                           const struct colo_packet *p)
{
    struct colo_flow_key key;
    const struct rw_flow *f;
    size_t at;

    if (p->len < 8 || p->fragment || !is_error(frame + p->at, p->key.proto))
        return;
    at = quoted(frame, p, &key);
    f = at ? *place(r, &key) : NULL;
    if (f && f->note.seq_delta)
        colo__edit_add(frame, at, f->note.seq_delta, p->at, p->at + 2);
}

/* ---- to the guest ------------------------------------------------------ */

static void remember_echo(struct rw_flow *f, uint32_t echo)
{
    if (!f->echoed || seq_lt(f->echo, echo))
        f->echo = echo;
    f->echoed = true;
}

bool colo__rewrite_to_guest(struct colo_rewrite *r, uint64_t now_us,
                            uint8_t *frame, size_t len)
{
    struct colo_packet p;
    struct rw_flow *f;

    if (!r->count || !colo__packet_parse(frame, len, r->set.vnet, false, &p))
        return true;
    if (!piece_can_be_read(r, frame, false, &p))
        return false;
    if (p.cls == COLO_CLASS_ICMP)
        error_to_guest(r, frame, &p);
    if (p.cls != COLO_CLASS_TCP)
        return true;
    f = find(r, now_us, &p);
    if (!f)
        return true;
    /* Anybody can send one, and nothing in it has to be changed.  Whether it
     * ends this connection the guest decides: its SYN-ACK has another number
     * then, or a note comes; else it says that it goes on. */
    if ((p.flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
        return true;
    look_at_end(f, false, &p);
    if (!(p.flags & TCP_ACK))
        return true;
    colo__edit_tcp(frame, &p, p.at + 8, f->note.seq_delta);
    for (size_t i = 0; i + 4 <= p.sack_len; i += 4)
        colo__edit_tcp(frame, &p, p.sack_at + i, f->note.seq_delta);
    if (p.has_ts) {
        remember_echo(f, p.ts_echo);
        colo__edit_tcp(frame, &p, p.ts_at + 4, f->note.ts_delta);
    }
    return true;
}

/* ---- from the guest ---------------------------------------------------- */

static void change_output(struct rw_flow *f, uint8_t *frame,
                          const struct colo_packet *p)
{
    uint32_t ts = p->ts_val - f->note.ts_delta;

    /* a reset from a port that is closed carries no connection's number */
    if (!((p->flags & TCP_RST) && p->seq == 0))
        colo__edit_tcp(frame, p, p->at + 4, 0u - f->note.seq_delta);
    if (!p->has_ts)
        return;
    if (f->echoed && seq_lt(ts, f->echo))
        ts = f->echo;
    colo__edit_tcp(frame, p, p->ts_at, ts - p->ts_val);
}

bool colo__rewrite_from_guest(struct colo_rewrite *r, uint64_t now_us,
                              uint8_t *frame, size_t len)
{
    struct colo_packet p;
    struct rw_flow *f;

    if (!r->count || !colo__packet_parse(frame, len, r->set.vnet, true, &p))
        return true;
    if (!piece_can_be_read(r, frame, true, &p) && r->alone)
        return false;
    if (p.cls != COLO_CLASS_TCP)
        return true;
    f = find(r, now_us, &p);
    if (!f)
        return true;
    if ((p.flags & TCP_SYN) && r->alone &&
        p.seq - f->note.seq_delta != f->note.isn) {
        forget(r, f);
        return true;
    }
    look_at_end(f, true, &p);
    if (r->alone)
        change_output(f, frame, &p);
    return true;
}

void colo__rewrite_alone(struct colo_rewrite *r)
{
    r->alone = true;
}

/* ---- over time --------------------------------------------------------- */

size_t colo__rewrite_open(const struct colo_rewrite *r)
{
    size_t n = 0;

    for (const struct rw_flow *f = r->oldest; f; f = f->newer)
        n += differs(f);
    return n;
}

uint64_t colo__rewrite_tick(struct colo_rewrite *r, uint64_t now_us)
{
    struct rw_flow *newer;

    for (struct rw_flow *f = r->oldest; f; f = newer) {
        newer = f->newer;
        if (now_us - f->seen_us >= 1000000u * (uint64_t)(
                is_closed(f) ? r->set.closed_s : r->set.idle_s))
            forget(r, f);
    }
    return r->count ? now_us + 1000000u * (uint64_t)(r->set.closed_s / 2 + 1)
                    : COLO_NEVER;
}
