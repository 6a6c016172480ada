/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The link over TLS 1.3 with a pre-shared key (GnuTLS), ECDHE for forward
 * secrecy, AES-128-GCM: a raw external PSK is bound to SHA-256, so the
 * SHA-384 suites cannot be used with it.  No tickets, no renegotiation but
 * GnuTLS's own key update after 2^24 records.
 * Threads: one sender, one receiver; shutdown from any.  The descriptor is
 * non-blocking and every GnuTLS call is made under the lock, because a key
 * update that one direction receives is answered by the other; waiting is
 * done without it.
 */
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif
#include <gnutls/gnutls.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "link-internal.h"

#define WHERE "link-tls"
#define KEY_BYTES 32
#define IDENTITY_MAX 32
#define RECORD_MAX 16384u
#define AHEAD (4 * (RECORD_MAX + 256u)) /* so many records, encrypted */
#define PRIORITY "NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+ECDHE-PSK:" \
                 "-CIPHER-ALL:"
#define AES_FIRST PRIORITY "+AES-128-GCM:+CHACHA20-POLY1305"
#define CHACHA_FIRST PRIORITY "+CHACHA20-POLY1305:+AES-128-GCM"

struct link_tls {
    struct colo_link_base base;
    gnutls_session_t session;
    pthread_mutex_t lock;   /* session and the fields down to here: */
    bool more;              /* the sender has more to come: fill segments */
    uint64_t pushed;        /* bytes the kernel took: progress */
    int push_errno, pull_errno;
    bool ended;             /* the last pull met the end of the stream */
    bool ahead;             /* the receiver has room for whole records */
    size_t in_at, in_len;   /* what is in: read ahead, not yet pulled */
    struct handshake *handshake; /* NULL: it is over */
    uint8_t stage[RECORD_MAX]; /* the sender's: small pieces of a record */
    uint8_t in[AHEAD];      /* under the lock, too */
};

/* The client's order counts: AES where the processor has it, else the cipher
 * that is several times faster without. */
static const char *priority(void)
{
#if defined(__x86_64__) || defined(__i386__)
    unsigned a, b, c, d;

    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_AES) ||
        !(c & bit_PCLMUL))
        return CHACHA_FIRST;
#endif
    return AES_FIRST;
}

/* What the handshake needs and nobody afterwards. */
struct handshake {
    const uint8_t *key;
    const char *identity;
    bool is_server;
    bool known;             /* server: the client named our identity */
    gnutls_psk_client_credentials_t client; /* these hold the key */
    gnutls_psk_server_credentials_t server;
};

/* ---- GnuTLS calls us for input and output ------------------------------ */

static ssize_t push(gnutls_transport_ptr_t ptr, const void *data, size_t len)
{
    struct link_tls *l = ptr;
    ssize_t r = send(l->base.fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT |
                     (l->more ? MSG_MORE : 0));

    if (r >= 0) {
        l->pushed += (uint64_t)r;
        return r;
    }
    l->push_errno = errno;
    gnutls_transport_set_errno(l->session, errno);
    return -1;
}

static size_t take_ahead(struct link_tls *l, void *data, size_t len)
{
    size_t n = len < l->in_len ? len : l->in_len;

    memcpy(data, l->in + l->in_at, n);
    l->in_at += n;
    l->in_len -= n;
    return n;
}

/* GnuTLS asks for the head of a record and then for its body.  Where much
 * comes, what is behind them is read by the same call. */
static ssize_t pull(gnutls_transport_ptr_t ptr, void *data, size_t len)
{
    struct link_tls *l = ptr;
    struct iovec iov[] = { { data, len }, { l->in, AHEAD } };
    struct msghdr msg = { .msg_iov = iov, .msg_iovlen = l->ahead ? 2 : 1 };
    ssize_t r;

    l->ended = false;
    if (l->in_len)
        return (ssize_t)take_ahead(l, data, len);
    r = recvmsg(l->base.fd, &msg, MSG_DONTWAIT);
    l->ended = r == 0;
    if (r > (ssize_t)len) {
        l->in_at = 0;
        l->in_len = (size_t)r - len;
        return (ssize_t)len;
    }
    if (r >= 0)
        return r;
    l->pull_errno = errno;
    gnutls_transport_set_errno(l->session, errno);
    return -1;
}

static bool would_block(ssize_t r)
{
    return r == GNUTLS_E_AGAIN || r == GNUTLS_E_INTERRUPTED;
}

/* ---- the ops ----------------------------------------------------------- */

static struct link_tls *of(struct colo_link *link)
{
    return (struct link_tls *)link;
}

static int tls_dead(struct link_tls *l, int sys_errno, const char *what,
                    const char *why, struct colo_error *err)
{
    return colo__link_dead(&l->base, WHERE, sys_errno, what, why, err);
}

/* A GnuTLS result that ends an established link. */
static int tls_broken(struct link_tls *l, ssize_t r, int sys_errno,
                      const char *what, struct colo_error *err)
{
    switch (r) {
    case GNUTLS_E_PUSH_ERROR:
    case GNUTLS_E_PULL_ERROR:
        return tls_dead(l, sys_errno, what, NULL, err);
    case 0:
    case GNUTLS_E_PREMATURE_TERMINATION:
    case GNUTLS_E_SESSION_EOF:
    case GNUTLS_E_INVALID_SESSION:
        return tls_dead(l, 0, "the peer closed the link", NULL, err);
    case GNUTLS_E_MEMORY_ERROR:
        return colo__fail(err, COLO_E_NOMEM, 0, WHERE, "%s", what);
    case GNUTLS_E_UNEXPECTED_PACKET_LENGTH:
        /* GnuTLS calls it so, too, when the stream ends within a record: a
         * host that died while it sent, and no garbage */
        if (l->ended)
            return tls_dead(l, 0, "the peer closed the link within a record",
                            NULL, err);
        /* fallthrough */
    default:
        /* Bytes came, so there is a living peer, or somebody between; what
         * they say is not to be trusted.  That is no lost peer. */
        return colo__fail(err, COLO_E_CORRUPT, 0, WHERE, "%s: %s", what,
                          gnutls_strerror((int)r));
    }
}

static void forget_handshake(struct handshake *h)
{
    if (!h)
        return;
    if (h->client)
        gnutls_psk_free_client_credentials(h->client);
    if (h->server)
        gnutls_psk_free_server_credentials(h->server);
    free(h);
}

static void tls_close(struct colo_link *link)
{
    struct link_tls *l = of(link);

    if (!l)
        return;
    /* One try; a peer that does not read loses the goodbye only. */
    if (!l->handshake && !atomic_load(&l->base.down))
        (void)gnutls_bye(l->session, GNUTLS_SHUT_WR);
    if (l->session)
        gnutls_deinit(l->session);
    forget_handshake(l->handshake); /* after the session that points to it */
    close(l->base.fd);
    pthread_mutex_destroy(&l->lock);
    explicit_bzero(l->stage, sizeof(l->stage));
    free(l);
}

/* One record, at most RECORD_MAX bytes.  After "again" GnuTLS holds the
 * encrypted record, and a call with NULL goes on with it. */
static int send_record(struct link_tls *l, const void *data, size_t len,
                       bool more, uint32_t timeout_ms, struct colo_error *err)
{
    uint64_t deadline = 0, seen = 0;
    bool first = true;

    for (;;) {
        uint64_t pushed;
        ssize_t r;
        int e;

        pthread_mutex_lock(&l->lock);
        l->more = more;
        r = gnutls_record_send(l->session, first ? data : NULL,
                               first ? len : 0);
        pushed = l->pushed;
        e = l->push_errno;
        pthread_mutex_unlock(&l->lock);
        if (r > 0 && (size_t)r >= len)
            return 0;
        if (r > 0) { /* the peer asked for shorter records */
            data = (const uint8_t *)data + r;
            len -= (size_t)r;
            first = true;
            continue;
        }
        if (!would_block(r))
            return tls_broken(l, r, e, "cannot send to the peer", err);
        if (first || pushed != seen)
            deadline = colo__deadline_us(timeout_ms);
        seen = pushed;
        e = colo__fd_wait(l->base.fd, POLLOUT, -1, deadline);
        if (e)
            return tls_dead(l, e, "the peer takes no data", NULL, err);
        first = false;
    }
}

/* Whole records of a big piece go out from where they are; what is smaller
 * is gathered, so that a header never costs a record of its own. */
static int tls_send(struct colo_link *link, const struct iovec *iov, int n,
                    uint32_t timeout_ms, struct colo_error *err)
{
    struct link_tls *l = of(link);
    size_t total = 0, staged = 0;
    int rc;

    for (int i = 0; i < n; i++)
        total += iov[i].iov_len;
    for (int i = 0; i < n; i++) {
        const uint8_t *data = iov[i].iov_base;
        size_t len = iov[i].iov_len;

        while (len) {
            const uint8_t *record = l->stage;
            size_t take = RECORD_MAX - staged;

            if (staged == 0 && len >= RECORD_MAX) {
                record = data;
            } else {
                take = take < len ? take : len;
                memcpy(l->stage + staged, data, take);
            }
            data += take;
            len -= take;
            staged += take;
            total -= take;
            if (staged < RECORD_MAX && total)
                continue;
            rc = send_record(l, record, staged, total > 0, timeout_ms, err);
            if (rc)
                return rc;
            staged = 0;
        }
    }
    return 0;
}

static int tls_recv(struct colo_link *link, void *buf, size_t cap,
                    uint32_t timeout_ms, size_t *ret_len,
                    struct colo_error *err)
{
    struct link_tls *l = of(link);
    uint64_t deadline = timeout_ms ? colo__deadline_us(timeout_ms) : 0;

    if (cap == 0)
        return colo__fail(err, COLO_E_INVAL, 0, WHERE, "no room to receive");
    for (;;) {
        bool more;
        ssize_t r;
        int e, rc;

        pthread_mutex_lock(&l->lock);
        l->ahead = cap >= RECORD_MAX;
        r = gnutls_record_recv(l->session, buf, cap);
        e = l->pull_errno;
        more = l->in_len > 0;
        pthread_mutex_unlock(&l->lock);
        if (r > 0) {
            *ret_len = (size_t)r;
            return 0;
        }
        if (!would_block(r))
            return tls_broken(l, r, e, "cannot receive from the peer", err);
        if (more) /* a record without data: the next ones are here */
            continue;
        if (timeout_ms == 0) {
            *ret_len = 0;
            return 0;
        }
        rc = colo__link_wait_data(&l->base, WHERE, deadline, timeout_ms, err);
        if (rc)
            return rc;
    }
}

static size_t tls_pending(struct colo_link *link)
{
    struct link_tls *l = of(link);
    size_t n;

    pthread_mutex_lock(&l->lock);
    n = gnutls_record_check_pending(l->session) + l->in_len;
    pthread_mutex_unlock(&l->lock);
    return n;
}

/* TLS's own way to make one: it says nothing of the keys. */
static int tls_secret(struct colo_link *link, uint8_t *ret,
                      struct colo_error *err)
{
    static const char label[] = "EXPORTER-libcolo-taken-over";
    struct link_tls *l = of(link);
    int r;

    pthread_mutex_lock(&l->lock);
    r = gnutls_prf_rfc5705(l->session, sizeof(label) - 1, label, 0, NULL,
                           COLO_LINK_SECRET, (char *)ret);
    pthread_mutex_unlock(&l->lock);
    if (r < 0)
        return colo__fail(err, COLO_E_SYS, 0, WHERE, "no secret: %s",
                          gnutls_strerror(r));
    return 0;
}

static void tls_part(struct colo_link *link, const void *data, size_t len)
{
    struct link_tls *l = of(link);

    pthread_mutex_lock(&l->lock);
    if (gnutls_bye(l->session, GNUTLS_SHUT_WR) >= 0)
        (void)!send(l->base.fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    pthread_mutex_unlock(&l->lock);
}

static const struct colo_link_ops tls_ops = {
    .close = tls_close,
    .fd = colo__link_get_fd,
    .send = tls_send,
    .recv = tls_recv,
    .pending = tls_pending,
    .shutdown = colo__link_shutdown,
    .secret = tls_secret,
    .part = tls_part,
};

/* ---- the handshake ----------------------------------------------------- */

static int find_key(gnutls_session_t session, const gnutls_datum_t *username,
                    gnutls_datum_t *ret_key)
{
    struct handshake *h = gnutls_session_get_ptr(session);
    size_t len = strlen(h->identity);

    if (username->size != len ||
        memcmp(username->data, h->identity, len) != 0)
        return -1;
    ret_key->data = gnutls_malloc(KEY_BYTES);
    if (!ret_key->data)
        return -1;
    memcpy(ret_key->data, h->key, KEY_BYTES);
    ret_key->size = KEY_BYTES;
    h->known = true;
    return 0;
}

static int set_credentials(struct link_tls *l, struct handshake *h)
{
    gnutls_datum_t key = { (unsigned char *)(uintptr_t)h->key, KEY_BYTES };
    int r;

    if (h->is_server) {
        r = gnutls_psk_allocate_server_credentials(&h->server);
        if (r < 0)
            return r;
        gnutls_psk_set_server_credentials_function2(h->server, find_key);
        return gnutls_credentials_set(l->session, GNUTLS_CRD_PSK, h->server);
    }
    r = gnutls_psk_allocate_client_credentials(&h->client);
    if (r < 0)
        return r;
    r = gnutls_psk_set_client_credentials(h->client, h->identity, &key,
                                          GNUTLS_PSK_KEY_RAW);
    if (r < 0)
        return r;
    return gnutls_credentials_set(l->session, GNUTLS_CRD_PSK, h->client);
}

static int prepare(struct link_tls *l, struct handshake *h)
{
    unsigned flags = GNUTLS_NONBLOCK | GNUTLS_NO_TICKETS | GNUTLS_NO_SIGNAL;
    int r;

    r = gnutls_init(&l->session, flags |
                    (h->is_server ? GNUTLS_SERVER : GNUTLS_CLIENT));
    if (r < 0)
        return r;
    r = gnutls_priority_set_direct(l->session, priority(), NULL);
    if (r < 0)
        return r;
    gnutls_session_set_ptr(l->session, h);
    gnutls_transport_set_ptr(l->session, l);
    gnutls_transport_set_push_function(l->session, push);
    gnutls_transport_set_pull_function(l->session, pull);
    /* The deadline is ours: GnuTLS would ask a pull-timeout function. */
    gnutls_handshake_set_timeout(l->session, 0);
    return set_credentials(l, h);
}

/* Everything but a broken connection means: not who we expect. */
static int refused(struct link_tls *l, int r, struct colo_error *err)
{
    const struct handshake *h = l->handshake;

    switch (r) {
    case GNUTLS_E_PUSH_ERROR:
        return tls_dead(l, l->push_errno, "the TLS handshake failed", NULL,
                        err);
    case GNUTLS_E_PULL_ERROR:
        return tls_dead(l, l->pull_errno, "the TLS handshake failed", NULL,
                        err);
    case GNUTLS_E_PREMATURE_TERMINATION:
        return tls_dead(l, 0, "the peer closed the link", NULL, err);
    case GNUTLS_E_MEMORY_ERROR:
        return colo__fail(err, COLO_E_NOMEM, 0, WHERE,
                          "no memory for the TLS handshake");
    case GNUTLS_E_FATAL_ALERT_RECEIVED:
        return colo__fail(err, COLO_E_AUTH, 0, WHERE,
                          "the peer refused the TLS handshake (%s)",
                          gnutls_alert_get_name(
                              gnutls_alert_get(l->session)));
    default:
        return colo__fail(err, COLO_E_AUTH, 0, WHERE,
                          "the peer did not prove its %s: %s",
                          h->is_server && !h->known ? "identity" : "key",
                          gnutls_strerror(r));
    }
}

int colo__link_tls_step(struct colo_link *link, short *ret_events,
                        struct colo_error *err)
{
    struct link_tls *l = of(link);
    int r = gnutls_handshake(l->session);

    if (r < 0 && gnutls_error_is_fatal(r)) {
        (void)gnutls_alert_send_appropriate(l->session, r);
        return refused(l, r, err);
    }
    if (r < 0) { /* would block, or a warning */
        *ret_events = gnutls_record_get_direction(l->session) ? POLLOUT
                                                              : POLLIN;
        return 0;
    }
    gnutls_session_set_ptr(l->session, NULL);
    gnutls_credentials_clear(l->session);
    forget_handshake(l->handshake);
    l->handshake = NULL;
    *ret_events = 0;
    return 0;
}

static struct link_tls *new_link(int fd)
{
    struct link_tls *l = calloc(1, sizeof(*l));

    if (!l)
        return NULL;
    l->handshake = calloc(1, sizeof(*l->handshake));
    if (!l->handshake) {
        free(l);
        return NULL;
    }
    l->base.ops = &tls_ops;
    l->base.fd = fd;
    pthread_mutex_init(&l->lock, NULL);
    return l;
}

int colo__link_tls_begin(int fd, bool server, const uint8_t *key,
                         const char *identity, struct colo_link **ret_link,
                         struct colo_error *err)
{
    struct link_tls *l = NULL;
    int r, rc;

    if (!identity[0] || strlen(identity) > IDENTITY_MAX) {
        rc = colo__fail(err, COLO_E_INVAL, 0, WHERE, "no such identity");
        goto out;
    }
    r = colo__fd_nonblock(fd);
    if (r) {
        rc = colo__fail(err, COLO_E_SYS, r, WHERE,
                        "cannot make descriptor %d non-blocking", fd);
        goto out;
    }
    l = new_link(fd);
    if (!l) {
        rc = colo__fail(err, COLO_E_NOMEM, 0, WHERE, "no memory for a link");
        goto out;
    }
    fd = -1;
    l->handshake->key = key;
    l->handshake->identity = identity;
    l->handshake->is_server = server;
    r = prepare(l, l->handshake);
    if (r < 0) {
        rc = colo__fail(err, r == GNUTLS_E_MEMORY_ERROR ? COLO_E_NOMEM :
                        COLO_E_SYS, 0, WHERE, "cannot set up TLS: %s",
                        gnutls_strerror(r));
        goto out;
    }
    *ret_link = (struct colo_link *)l;
    l = NULL;
    rc = 0;
out:
    if (fd >= 0)
        close(fd);
    tls_close((struct colo_link *)l);
    return rc;
}

int colo__link_tls_open(int fd, bool server, const uint8_t *key,
                        const char *identity, uint64_t deadline_us,
                        int cancel_fd, struct colo_link **ret_link,
                        struct colo_error *err)
{
    struct colo_link *link = NULL;
    short events = 0;
    int e, rc;

    rc = colo__link_tls_begin(fd, server, key, identity, &link, err);
    if (rc) goto out;
    for (;;) {
        rc = colo__link_tls_step(link, &events, err);
        if (rc) goto out;
        if (!events)
            break;
        e = colo__fd_wait(fd, events, cancel_fd, deadline_us);
        /* Also a peer that sends warnings forever meets the deadline. */
        if (!e && deadline_us <= colo__now_us(&colo__clock_monotonic))
            e = ETIMEDOUT;
        if (e == ECANCELED)
            rc = colo__fail(err, COLO_E_STATE, 0, WHERE,
                            "the TLS handshake was called off");
        else if (e)
            rc = colo__fail(err, COLO_E_PEER, e, WHERE,
                            "the peer did not finish the TLS handshake");
        if (rc) goto out;
    }
    *ret_link = link;
    link = NULL;
out:
    tls_close(link);
    return rc;
}

int colo__link_tls_new(int fd, bool server, const uint8_t *key,
                       const char *identity, uint32_t timeout_ms,
                       struct colo_link **ret_link, struct colo_error *err)
{
    return colo__link_tls_open(fd, server, key, identity,
                               colo__deadline_us(timeout_ms), -1, ret_link,
                               err);
}
