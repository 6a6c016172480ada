/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * TLS handshakes that must not succeed: wrong key, wrong identity, garbage,
 * silence, a peer that goes away.
 */
#include "link-pair.h"

static const uint8_t key[32] = { 1, 2, 3 };
static const uint8_t other_key[32] = { 1, 2, 4 };
#define IDENTITY "00112233445566778899aabbccddeeff"
#define OTHER_ID "00112233445566778899aabbccddeefe"

struct end {
    int fd, rc;
    bool server;
    const uint8_t *key;
    const char *identity;
    struct colo_link *link;
    struct colo_error err;
    pthread_t thread;
};

static void *end_main(void *arg)
{
    struct end *e = arg;

    e->rc = colo__link_tls_new(e->fd, e->server, e->key, e->identity,
                               2000 * SLOW, &e->link, &e->err);
    return NULL;
}

static void both_refuse(const uint8_t *client_key, const char *client_id)
{
    struct end s = { .server = true, .key = key, .identity = IDENTITY };
    struct end c = { .key = client_key, .identity = client_id };
    uint64_t before = now_ms();
    int fd[2];

    tcp_pair(fd);
    c.fd = fd[0];
    s.fd = fd[1];
    pthread_create(&s.thread, NULL, end_main, &s);
    end_main(&c);
    pthread_join(s.thread, NULL);
    ck_assert_int_eq(s.rc, COLO_E_AUTH);
    ck_assert_int_eq(c.rc, COLO_E_AUTH);
    ck_assert_int_eq(s.err.code, COLO_E_AUTH);
    ck_assert_ptr_null(s.link);
    ck_assert_ptr_null(c.link);
    ck_assert_uint_lt(now_ms() - before, 1000 * SLOW);
}

START_TEST(test_wrong_key)
{
    both_refuse(other_key, IDENTITY);
}
END_TEST

START_TEST(test_wrong_identity)
{
    both_refuse(key, OTHER_ID);
    both_refuse(key, "00112233");
}
END_TEST

START_TEST(test_impossible_identity)
{
    struct end c = { .key = key };
    int fd[2];

    tcp_pair(fd);
    c.fd = fd[0];
    c.identity = IDENTITY "0";
    end_main(&c);
    ck_assert_int_eq(c.rc, COLO_E_INVAL);
    c.fd = dup(fd[1]);
    c.identity = "";
    end_main(&c);
    ck_assert_int_eq(c.rc, COLO_E_INVAL);
    close(fd[1]);
}
END_TEST

/* The end under test against bytes written by hand. */
static int against(bool server, const void *bytes, size_t len, bool hang_up,
                   uint32_t timeout_ms)
{
    struct colo_link *l = NULL;
    struct colo_error err = { 0 };
    int fd[2], rc;

    tcp_pair(fd);
    ck_assert_int_eq(send(fd[1], bytes, len, 0), (ssize_t)len);
    if (hang_up)
        shutdown(fd[1], SHUT_WR);
    rc = colo__link_tls_new(fd[0], server, key, IDENTITY, timeout_ms, &l,
                            &err);
    ck_assert_int_eq(err.code, rc);
    ck_assert_ptr_null(l);
    close(fd[1]);
    return rc;
}

START_TEST(test_garbage)
{
    static const char http[] = "GET / HTTP/1.0\r\n\r\n";
    uint8_t noise[600];

    ck_assert_int_eq(against(true, http, sizeof(http), false, 1000),
                     COLO_E_AUTH);
    ck_assert_int_eq(against(false, http, sizeof(http), false, 1000),
                     COLO_E_AUTH);
    for (uint32_t seed = 0; seed < 20; seed++) {
        int rc;

        fill_pattern(noise, sizeof(noise), seed);
        noise[0] = 0x16; /* looks like a handshake */
        noise[1] = noise[2] = 3;
        rc = against(seed & 1, noise, sizeof(noise), true, 1000);
        ck_assert(rc == COLO_E_AUTH || rc == COLO_E_PEER);
    }
}
END_TEST

/* Alerts of level warning, one after the other. */
START_TEST(test_endless_warnings)
{
    uint8_t warnings[7 * 100];

    for (size_t i = 0; i < sizeof(warnings); i += 7)
        memcpy(warnings + i, "\x15\x03\x03\0\x02\x01\x5a", 7);
    ck_assert_int_ne(against(true, warnings, sizeof(warnings), false, 100),
                     0);
}
END_TEST

START_TEST(test_silence)
{
    uint64_t before = now_ms();

    ck_assert_int_eq(against(true, "", 0, false, 80), COLO_E_PEER);
    ck_assert_int_eq(against(false, "", 0, false, 80), COLO_E_PEER);
    ck_assert_int_eq(against(true, "\x16\x03\x03", 3, false, 80),
                     COLO_E_PEER);
    ck_assert_uint_ge(now_ms() - before, 3 * 79);
    ck_assert_uint_lt(now_ms() - before, 1000 * SLOW);
}
END_TEST

START_TEST(test_peer_goes_away)
{
    ck_assert_int_eq(against(true, "", 0, true, 1000), COLO_E_PEER);
    ck_assert_int_eq(against(false, "\x16\x03\x03", 3, true, 1000),
                     COLO_E_PEER);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_wrong_key, test_wrong_identity, test_impossible_identity,
        test_garbage, test_endless_warnings, test_silence,
        test_peer_goes_away, NULL,
    };

    return run_suite("link-tls-refused", tests);
}
