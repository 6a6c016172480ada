/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * link-tls over loopback TCP between two ends that know the same key.
 */
#include <gnutls/gnutls.h>
#include <poll.h>
#include <sys/ioctl.h>

#include "hv/watchdog.h"
#include "link-common-tests.h"

static const uint8_t key[32] = { 1, 2, 3 };
#define IDENTITY "00112233445566778899aabbccddeeff"

struct end {
    int fd, rc;
    bool server;
    struct colo_link *link;
    struct colo_error err;
    pthread_t thread;
};

static void *end_main(void *arg)
{
    struct end *e = arg;

    e->rc = colo__link_tls_new(e->fd, e->server, key, IDENTITY, 2000 * SLOW,
                               &e->link, &e->err);
    return NULL;
}

static void make_pair(struct colo_link **l)
{
    struct end server = { .server = true };
    struct colo_error err;
    int fd[2], rc;

    tcp_pair(fd);
    server.fd = fd[1];
    pthread_create(&server.thread, NULL, end_main, &server);
    rc = colo__link_tls_new(fd[0], false, key, IDENTITY, 2000 * SLOW, &l[0],
                            &err);
    pthread_join(server.thread, NULL);
    ck_assert_int_eq(rc, 0);
    ck_assert_int_eq(server.rc, 0);
    l[1] = server.link;
}

/* What does not fit the caller's buffer waits in memory: pending says so,
 * because the descriptor does not. */
START_TEST(test_pending)
{
    struct colo_link *l[2];
    struct colo_error err;
    uint8_t data[100] = { 0 };
    size_t len;

    make_pair(l);
    ck_assert_uint_eq(colo__link_ops(l[1])->pending(l[1]), 0);
    ck_assert_int_eq(link_send(l[0], data, sizeof(data), 100, &err), 0);
    ck_assert_int_eq(link_recv(l[1], data, 30, 1000, &len, &err), 0);
    ck_assert_uint_eq(len, 30);
    ck_assert_uint_eq(colo__link_ops(l[1])->pending(l[1]), 70);
    ck_assert_int_eq(link_recv(l[1], data, 100, 0, &len, &err), 0);
    ck_assert_uint_eq(len, 70);
    ck_assert_uint_eq(colo__link_ops(l[1])->pending(l[1]), 0);
    link_close(l[0]);
    link_close(l[1]);
}
END_TEST

/* ---- reading ahead ------------------------------------------------------ */

static int in_kernel(struct colo_link *link)
{
    int n = 0;

    ck_assert_int_eq(ioctl(colo__link_ops(link)->fd(link), FIONREAD, &n), 0);
    return n;
}

/* So many records of 1000 bytes have come to l[1], unread. */
static void three_records(struct colo_link **l, uint8_t *data)
{
    struct colo_error err;

    make_pair(l);
    fill_pattern(data, 3000, 5);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(link_send(l[0], data + 1000 * i, 1000, 100, &err),
                         0);
    for (int i = 0; i < 1000 && in_kernel(l[1]) < 3000; i++)
        sleep_ms(1);
    ck_assert_int_gt(in_kernel(l[1]), 3000);
}

/* One call of the kernel has all three; pending says what the descriptor
 * does not. */
START_TEST(test_read_ahead)
{
    static uint8_t data[3000], back[16384];
    struct colo_link *l[2];
    struct colo_error err;
    size_t len;

    three_records(l, data);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(link_recv(l[1], back, sizeof(back), 0, &len, &err),
                         0);
        ck_assert_uint_eq(len, 1000);
        ck_assert_mem_eq(back, data + 1000 * i, 1000);
        ck_assert_int_eq(in_kernel(l[1]), 0);
        ck_assert_int_eq(colo__link_ops(l[1])->pending(l[1]) > 0, i < 2);
    }
    ck_assert_int_eq(link_recv(l[1], back, sizeof(back), 0, &len, &err), 0);
    ck_assert_uint_eq(len, 0);
    link_close(l[0]);
    link_close(l[1]);
}
END_TEST

/* Whoever takes little at a time may poll in between. */
START_TEST(test_no_read_ahead)
{
    static uint8_t data[3000], back[1000];
    struct colo_link *l[2];
    struct colo_error err;
    size_t len;

    three_records(l, data);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(in_kernel(l[1]) > 0, 1);
        ck_assert_int_eq(link_recv(l[1], back, sizeof(back), 0, &len, &err),
                         0);
        ck_assert_uint_eq(len, 1000);
        ck_assert_uint_eq(colo__link_ops(l[1])->pending(l[1]), 0);
    }
    link_close(l[0]);
    link_close(l[1]);
}
END_TEST

/* The records come again, cut off everywhere; the rest comes, or nothing. */
START_TEST(test_part_of_a_record_ahead)
{
    static uint8_t data[3000], wire[4000], back[16384];

    for (size_t cut = 1; cut < 3066; cut += cut % 1000 < 24 ? 1 : 211) {
        bool rest = cut & 1;
        struct colo_link *l[2];
        struct colo_error err;
        size_t len, n = 0;
        ssize_t all;
        int rc, out;

        three_records(l, data);
        out = colo__link_ops(l[0])->fd(l[0]);
        all = recv(colo__link_ops(l[1])->fd(l[1]), wire, sizeof(wire), 0);
        ck_assert_int_eq(all, 3066);
        ck_assert_int_eq(send(out, wire, cut, 0), (ssize_t)cut);
        for (int i = 0; i < 1000 && in_kernel(l[1]) < (int)cut; i++)
            sleep_ms(1);
        do {
            ck_assert_int_eq(link_recv(l[1], back + n, sizeof(back), 0, &len,
                                       &err), 0);
            n += len;
        } while (len);
        ck_assert_uint_eq(n, cut / 1022 * 1000);
        if (rest)
            ck_assert_int_eq(send(out, wire + cut, 3066 - cut, 0),
                             (ssize_t)(3066 - cut));
        else
            colo__link_ops(l[0])->shutdown(l[0]);
        rc = link_recv_all(l[1], back + n, 3000 - n, 1000, &err);
        ck_assert_msg(rc == (rest || n == 3000 ? 0 : COLO_E_PEER),
                      "%zu: %d %s", cut, rc, err.text);
        if (!rc)
            ck_assert_mem_eq(back, data, 3000);
        link_close(l[0]);
        link_close(l[1]);
    }
}
END_TEST

static gnutls_session_t make_client(struct end *server,
                                    gnutls_psk_client_credentials_t *cred)
{
    gnutls_datum_t k = { (unsigned char *)(uintptr_t)key, sizeof(key) };
    gnutls_session_t s;
    int fd[2];

    tcp_pair(fd);
    server->fd = fd[1];
    pthread_create(&server->thread, NULL, end_main, server);
    ck_assert_int_eq(gnutls_init(&s, GNUTLS_CLIENT), 0);
    ck_assert_int_eq(gnutls_priority_set_direct(
                         s, "NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:"
                         "+ECDHE-PSK", NULL), 0);
    ck_assert_int_eq(gnutls_psk_allocate_client_credentials(cred), 0);
    ck_assert_int_eq(gnutls_psk_set_client_credentials(
                         *cred, IDENTITY, &k, GNUTLS_PSK_KEY_RAW), 0);
    ck_assert_int_eq(gnutls_credentials_set(s, GNUTLS_CRD_PSK, *cred), 0);
    gnutls_transport_set_int(s, fd[0]);
    ck_assert_int_eq(gnutls_handshake(s), 0);
    pthread_join(server->thread, NULL);
    ck_assert_int_eq(server->rc, 0);
    return s;
}

/* A record that has no data for us, and then one that is read already: it
 * must not be waited for. */
START_TEST(test_key_update_ahead)
{
    struct end server = { .server = true };
    gnutls_psk_client_credentials_t cred;
    gnutls_session_t s = make_client(&server, &cred);
    static uint8_t back[16384];
    struct colo_error err;
    size_t len;

    ck_assert_int_eq(gnutls_record_send(s, "before", 6), 6);
    ck_assert_int_eq(gnutls_session_key_update(s, 0), 0);
    ck_assert_int_eq(gnutls_record_send(s, "after", 5), 5);
    for (int i = 0; i < 1000 && in_kernel(server.link) < 82; i++)
        sleep_ms(1);
    ck_assert_int_eq(link_recv(server.link, back, sizeof(back), 1000, &len,
                               &err), 0);
    ck_assert_mem_eq(back, "before", 6);
    ck_assert_int_eq(in_kernel(server.link), 0);
    ck_assert_int_eq(link_recv(server.link, back, sizeof(back), 1000, &len,
                               &err), 0);
    ck_assert_uint_eq(len, 5);
    ck_assert_mem_eq(back, "after", 5);
    link_close(server.link);
    close(gnutls_transport_get_int(s));
    gnutls_deinit(s);
    gnutls_psk_free_client_credentials(cred);
}
END_TEST

/* ---- an end that is none ------------------------------------------------ */

/* A connection that is cut without the TLS goodbye. */
START_TEST(test_truncated)
{
    struct colo_link *l[2];
    struct colo_error err;
    uint8_t b[8];
    size_t len;

    make_pair(l);
    colo__link_ops(l[0])->shutdown(l[0]);
    ck_assert_int_eq(link_recv(l[1], b, sizeof(b), 1000, &len, &err),
                     COLO_E_PEER);
    link_close(l[0]);
    link_close(l[1]);
}
END_TEST

/* A host that dies may have sent any part of a record: that is a lost peer,
 * who is taken over from, and no garbage, after which nobody is. */
START_TEST(test_cut_within_record)
{
    static const uint8_t record[37] = { 0x17, 3, 3, 0, 32 };

    for (size_t sent = 1; sent < sizeof(record); sent++) {
        struct colo_link *l[2];
        struct colo_error err;
        uint8_t b[8];
        size_t len;
        int rc;

        make_pair(l);
        ck_assert_int_eq(send(colo__link_ops(l[0])->fd(l[0]), record, sent,
                              0), sent);
        colo__link_ops(l[0])->shutdown(l[0]);
        rc = link_recv(l[1], b, sizeof(b), 1000, &len, &err);
        ck_assert_msg(rc == COLO_E_PEER, "%zu bytes: %d %s", sent, rc,
                      err.text);
        link_close(l[0]);
        link_close(l[1]);
    }
}
END_TEST

/* What the watchdog of a killed session sends is not taken for a lost peer,
 * wherever in a record the session was and though the stream ends then. */
START_TEST(test_last_words)
{
    static const uint8_t record[37] = { 0x17, 3, 3, 0, 32 };

    for (size_t sent = 0; sent < sizeof(record); sent++) {
        static uint8_t words[20480];
        struct colo_link *l[2];
        struct colo_error err;
        uint8_t b[8];
        size_t len;
        int rc;

        memset(words, 0xff, sizeof(words));
        make_pair(l);
        ck_assert_int_eq(send(colo__link_ops(l[0])->fd(l[0]), record, sent,
                              0), sent);
        ck_assert_int_eq(send(colo__link_ops(l[0])->fd(l[0]), words,
                              sizeof(words), 0), sizeof(words));
        colo__link_ops(l[0])->shutdown(l[0]);
        rc = link_recv(l[1], b, sizeof(b), 1000, &len, &err);
        ck_assert_msg(rc == COLO_E_CORRUPT, "%zu bytes: %d %s", sent, rc,
                      err.text);
        link_close(l[0]);
        link_close(l[1]);
    }
}
END_TEST

/* What the watchdog of link makes of a session that dies now. */
static enum colo_watchdog_end watch(struct colo_link *link,
                                    const uint8_t *secret)
{
    enum colo_watchdog_end end;
    struct colo_error err;
    int pair[2], control;

    unix_pair(pair);
    ck_assert_int_eq(colo__watchdog_lend(pair[0],
                                         colo__link_ops(link)->fd(link),
                                         secret, &err), 0);
    close(pair[0]);
    end = colo__watchdog_wait(pair[1], &control);
    ck_assert_int_ge(control, 0);
    close(control);
    close(pair[1]);
    return end;
}

/* A backup has taken over from a primary that was held up and is killed before
 * it reads of it: only the peer can say so.  read: it was not killed. */
START_TEST(test_taken_over)
{
    uint8_t ours[COLO_LINK_SECRET], theirs[COLO_LINK_SECRET], b[8];
    static uint8_t noise[40000];
    const struct colo_link_ops *ops;
    struct colo_link *l[2];
    struct colo_error err;
    size_t len;

    for (int read = 0; read < 2; read++) {
        make_pair(l);
        ops = colo__link_ops(l[0]);
        ck_assert_int_eq(ops->secret(l[0], ours, &err), 0);
        ck_assert_int_eq(ops->secret(l[1], theirs, &err), 0);
        ck_assert_mem_eq(ours, theirs, sizeof(ours));
        ck_assert_int_eq(watch(l[0], ours), COLO_WATCHDOG_DIED);
        ck_assert_int_eq(link_send(l[1], "stop", 4, 1000, &err), 0);
        ops->part(l[1], theirs, sizeof(theirs));
        ck_assert_int_ne(link_send(l[1], "more", 4, 1000, &err), 0);
        sleep_ms(200 * SLOW); /* nobody waits for what comes late */
        if (read) {
            ck_assert_int_eq(link_recv(l[0], b, sizeof(b), 1000, &len, &err),
                             0);
            ck_assert_uint_eq(len, 4);
            ck_assert_int_eq(link_recv(l[0], b, sizeof(b), 1000, &len, &err),
                             COLO_E_PEER);
        } else {
            ck_assert_int_eq(watch(l[0], ours), COLO_WATCHDOG_YIELDED);
        }
        link_close(l[0]);
        link_close(l[1]);
    }
    /* of another connection, or none at all; behind much else */
    make_pair(l);
    ops->part(l[1], theirs, sizeof(theirs));
    sleep_ms(200 * SLOW);
    ck_assert_int_eq(ops->secret(l[0], ours, &err), 0);
    ck_assert_int_eq(watch(l[0], ours), COLO_WATCHDOG_DIED);
    ck_assert_int_eq(watch(l[0], NULL), COLO_WATCHDOG_DIED);
    ck_assert_int_eq(send(ops->fd(l[1]), noise, sizeof(noise), 0),
                     sizeof(noise));
    ck_assert_int_eq(send(ops->fd(l[1]), ours, sizeof(ours), 0),
                     sizeof(ours));
    sleep_ms(200 * SLOW);
    ck_assert_int_eq(watch(l[0], ours), COLO_WATCHDOG_YIELDED);
    link_close(l[0]);
    link_close(l[1]);
}
END_TEST

/* Somebody writes into the connection. */
START_TEST(test_forged_record)
{
    static const uint8_t forged[] = { 0x17, 3, 3, 0, 32, 1, 2, 3, 4, 5, 6, 7,
        8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,
        26, 27, 28, 29, 30, 31, 32 };
    struct colo_link *l[2];
    struct colo_error err;
    uint8_t b[8];
    size_t len;

    make_pair(l);
    ck_assert_int_eq(send(colo__link_ops(l[0])->fd(l[0]), forged,
                          sizeof(forged), 0), sizeof(forged));
    ck_assert_int_eq(link_recv(l[1], b, sizeof(b), 1000, &len, &err),
                     COLO_E_CORRUPT);
    ck_assert_int_eq(link_recv(l[1], b, sizeof(b), 1000, &len, &err),
                     COLO_E_PEER);
    link_close(l[0]);
    link_close(l[1]);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        COMMON_TESTS, test_pending, test_read_ahead, test_no_read_ahead,
        test_part_of_a_record_ahead, test_key_update_ahead, test_truncated,
        test_cut_within_record, test_last_words, test_taken_over,
        test_forged_record, NULL,
    };

    return run_suite("link-tls", tests);
}
