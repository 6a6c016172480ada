/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The secondary's side of the bootstrap, with the test as ssh and as the
 * primary: strangers on its port, wrong first lines, a primary that goes
 * away; and the attaching process.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>

#include "link-pair.h"
#include "link/bootstrap-line.h"

#define SESSION "000102030405060708090a0b0c0d0e0f"
#define KEY SESSION "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"
#define OPEN "colo-bootstrap 1 open session=" SESSION " key=" KEY " transport="

struct far {
    struct colo_bootstrap *boot;
    int to, from; /* its stdin and stdout */
    uint16_t port;
};

static uint8_t key[32];

/* Its stdio are two pipes, as some sshd give. */
static void far_start(struct far *f, uint32_t timeout_ms)
{
    struct colo_bootstrap_config config = { .timeout_ms = timeout_ms };
    struct colo_error err = { 0 };
    int in[2], out[2];

    ck_assert(colo__hex_decode(KEY, 64, key, 32));
    ck_assert_int_eq(pipe2(in, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
    config.in_fd = in[0];
    config.out_fd = out[1];
    f->to = in[1];
    f->from = out[0];
    ck_assert_int_eq(colo__bootstrap_start(&config, false, NULL, &f->boot,
                                           &err), 0);
}

static void far_tell(struct far *f, const char *text)
{
    ck_assert_int_eq(write(f->to, text, strlen(text)), (ssize_t)strlen(text));
}

static void far_answer(int fd, char *buf, size_t cap)
{
    size_t len = 0;

    while (len < cap - 1) {
        struct pollfd p = { fd, POLLIN, 0 };

        ck_assert_int_eq(poll(&p, 1, 3000), 1);
        ck_assert_int_eq(read(fd, buf + len, 1), 1);
        if (buf[len] == '\n')
            break;
        len++;
    }
    buf[len] = '\0';
}

static void far_open(struct far *f, uint32_t timeout_ms)
{
    char buf[1024];
    unsigned port = 0;

    far_start(f, timeout_ms);
    far_tell(f, OPEN "tls\n");
    far_answer(f->from, buf, sizeof(buf));
    ck_assert_int_eq(sscanf(buf, "colo-bootstrap 1 ok port=%u", &port), 1);
    f->port = (uint16_t)port;
}

static int far_finish(struct far *f, struct colo_bootstrap_result *r,
                      struct colo_error *err)
{
    struct pollfd p = { colo__bootstrap_fd(f->boot), POLLIN, 0 };

    ck_assert_int_eq(poll(&p, 1, 5000 * (int)SLOW), 1);
    return colo__bootstrap_finish(f->boot, r, err);
}

static void far_end(struct far *f)
{
    colo__bootstrap_end(f->boot);
    close(f->to);
    close(f->from);
}

static int dial(struct far *f)
{
    struct sockaddr_in sin = { .sin_family = AF_INET,
                               .sin_port = htons(f->port),
                               .sin_addr = { htonl(INADDR_LOOPBACK) } };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(connect(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
    return fd;
}

static struct colo_link *dial_tls(struct far *f, const char *tag)
{
    struct colo_link *l = NULL;
    struct colo_error err = { 0 };
    int rc = colo__link_tls_new(dial(f), false, key, SESSION, 2000 * SLOW,
                                &l, &err);

    ck_assert_msg(rc == 0, "%s", err.text);
    ck_assert_int_eq(link_send(l, tag, strlen(tag), 1000, &err), 0);
    return l;
}

static void expect_word(struct colo_link *from, struct colo_link *to,
                        const char *word)
{
    uint8_t back[32];

    ck_assert_int_eq(link_send(from, word, strlen(word), 1000, NULL), 0);
    ck_assert_int_eq(link_recv_all(to, back, strlen(word), 2000, NULL), 0);
    ck_assert_mem_eq(back, word, strlen(word));
}

START_TEST(test_tls)
{
    struct colo_bootstrap_result r = { 0 };
    struct colo_error err = { 0 };
    struct colo_link *control, *bulk;
    struct far f;

    far_open(&f, 3000 * SLOW);
    bulk = dial_tls(&f, "COLOBULK"); /* in any order */
    control = dial_tls(&f, "COLOCTRL");
    ck_assert_int_eq(far_finish(&f, &r, &err), 0);
    expect_word(control, r.control, "one");
    expect_word(r.bulk, bulk, "two");
    ck_assert_mem_eq(r.session, "\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17",
                     16);
    ck_assert_int_eq(r.helper_pid, 0);
    /* stdio is free: ssh may end */
    ck_assert_int_eq(read(f.from, &(char){ 0 }, 1), 0);
    link_close(control);
    link_close(bulk);
    link_close(r.control);
    link_close(r.bulk);
    far_end(&f);
}
END_TEST

/* More silent strangers than there are places, garbage, a wrong key, the
 * right key with a wrong or a second tag: none takes a place or much time. */
START_TEST(test_strangers)
{
    static const uint8_t wrong[32] = { 5 };
    struct colo_bootstrap_result r = { 0 };
    struct colo_error err = { 0 };
    struct colo_link *control, *again, *bulk, *odd, *none = NULL;
    uint64_t before = now_ms();
    struct far f;
    int silent[16], fd;

    far_open(&f, 4000 * SLOW);
    for (size_t i = 0; i < COLO_ARRAY_LEN(silent); i++)
        silent[i] = dial(&f);
    ck_assert_int_eq(poll(&(struct pollfd){ silent[0], POLLIN, 0 }, 1, 3000),
                     1); /* the first had to go for the last */
    fd = dial(&f);
    ck_assert_int_eq(send(fd, "GET / HTTP/1.0\r\n\r\n", 18, 0), 18);
    ck_assert_int_eq(colo__link_tls_new(dial(&f), false, wrong, SESSION,
                                        2000, &none, &err), COLO_E_AUTH);
    ck_assert_int_eq(colo__link_tls_new(dial(&f), false, key, "00", 2000,
                                        &none, &err), COLO_E_AUTH);
    odd = dial_tls(&f, "COLOWHAT");
    control = dial_tls(&f, "COLOCTRL");
    sleep_ms(30);
    again = dial_tls(&f, "COLOCTRL");
    ck_assert_int_eq(colo__link_tls_new(dial(&f), false, wrong, SESSION,
                                        2000, &none, &err), COLO_E_AUTH);
    bulk = dial_tls(&f, "COLOBULK");
    ck_assert_int_eq(far_finish(&f, &r, &err), 0);
    ck_assert_uint_lt(now_ms() - before, 2000 * SLOW);
    expect_word(control, r.control, "one");
    expect_word(bulk, r.bulk, "two");
    /* the others were told to go */
    ck_assert_int_eq(link_recv(odd, &(char){ 0 }, 1, 1000, &(size_t){ 0 },
                               &err), COLO_E_PEER);
    ck_assert_int_eq(link_recv(again, &(char){ 0 }, 1, 1000, &(size_t){ 0 },
                               &err), COLO_E_PEER);
    /* and the port is closed */
    link_close(odd);
    link_close(again);
    link_close(control);
    link_close(bulk);
    link_close(r.control);
    link_close(r.bulk);
    for (size_t i = 0; i < COLO_ARRAY_LEN(silent); i++)
        close(silent[i]);
    close(fd);
    far_end(&f);
}
END_TEST

START_TEST(test_nobody_comes)
{
    struct colo_bootstrap_result r = { 0 };
    struct colo_error err = { 0 };
    struct colo_link *control;
    uint64_t before = now_ms();
    struct far f;

    /* long enough for a handshake on a busy machine */
    far_open(&f, 800 * SLOW);
    control = dial_tls(&f, "COLOCTRL"); /* one is not enough */
    ck_assert_int_eq(far_finish(&f, &r, &err), COLO_E_TIMEOUT);
    ck_assert_uint_ge(now_ms() - before, 799);
    ck_assert_uint_lt(now_ms() - before, 6000 * SLOW);
    ck_assert_int_eq(link_recv(control, &(char){ 0 }, 1, 5000,
                               &(size_t){ 0 }, &err), COLO_E_PEER);
    link_close(control);
    far_end(&f);
}
END_TEST

START_TEST(test_primary_goes_away)
{
    struct colo_bootstrap_result r = { 0 };
    struct colo_error err = { 0 };
    struct far f;

    far_start(&f, 60000);
    close(f.to);
    f.to = -1;
    ck_assert_int_eq(far_finish(&f, &r, &err), COLO_E_PEER);
    far_end(&f);
    far_open(&f, 60000);
    close(f.to);
    f.to = -1;
    /* what is on its way still comes in, and then nobody */
    ck_assert_int_eq(far_finish(&f, &r, &err), COLO_E_PEER);
    ck_assert_ptr_nonnull(strstr(err.text, "went away"));
    far_end(&f);
}
END_TEST

START_TEST(test_cancel)
{
    uint64_t before;
    struct far f;

    far_start(&f, 60000);
    sleep_ms(20);
    before = now_ms();
    far_end(&f);
    ck_assert_uint_lt(now_ms() - before, 200 * SLOW);
    far_open(&f, 60000);
    before = now_ms();
    far_end(&f);
    ck_assert_uint_lt(now_ms() - before, 200 * SLOW);
}
END_TEST

static const struct {
    const char *line;
    int code;
    const char *answer;
} bad[] = {
    { "hello\n", COLO_E_PROTO,
      "colo-bootstrap 1 error what came on stdin is not from a libcolo "
      "primary" },
    { "colo-bootstrap 1 ok port=1\n", COLO_E_PROTO, "colo-bootstrap 1 error" },
    { "colo-bootstrap 1 attach session=" SESSION " key=" KEY "\n",
      COLO_E_PROTO, "colo-bootstrap 1 error" },
    { OPEN "carrier-pigeon\n", COLO_E_PROTO, "colo-bootstrap 1 error" },
    { "colo-bootstrap 9 open\n", COLO_E_VERSION,
      "colo-bootstrap 1 error the primary speaks bootstrap version 9, this "
      "host 1" },
};

START_TEST(test_wrong_first_line)
{
    struct colo_bootstrap_result r = { 0 };
    struct colo_error err = { 0 };
    char buf[2048];
    struct far f;

    for (size_t i = 0; i < COLO_ARRAY_LEN(bad); i++) {
        far_start(&f, 2000 * SLOW);
        far_tell(&f, bad[i].line);
        far_answer(f.from, buf, sizeof(buf));
        ck_assert_msg(!strncmp(buf, bad[i].answer, strlen(bad[i].answer)),
                      "%s", buf);
        ck_assert_int_eq(far_finish(&f, &r, &err), bad[i].code);
        far_end(&f);
    }
    far_start(&f, 2000 * SLOW);
    memset(buf, 'x', sizeof(buf) - 1);
    buf[sizeof(buf) - 1] = '\0';
    far_tell(&f, buf);
    ck_assert_int_eq(far_finish(&f, &r, &err), COLO_E_PROTO);
    far_end(&f);
    far_start(&f, 100);
    far_tell(&f, "colo-boot");
    ck_assert_int_eq(far_finish(&f, &r, &err), COLO_E_TIMEOUT);
    far_end(&f);
}
END_TEST

START_TEST(test_no_stream)
{
    struct colo_bootstrap_config config = { .in_fd = -1, .out_fd = 5 };
    struct colo_bootstrap *boot = NULL;
    struct colo_error err = { 0 };

    ck_assert_int_eq(colo__bootstrap_start(&config, false, NULL, &boot, &err),
                     COLO_E_INVAL);
    ck_assert_ptr_null(boot);
}
END_TEST

/* ---- through ssh -------------------------------------------------------- */

struct second {
    int fd, from; /* the test's ends of its stdin and stdout */
    int theirs[2];
    int rc;
    struct colo_error err;
    pthread_t thread;
};

static void *end_main(void *arg)
{
    colo__bootstrap_end(arg);
    return NULL;
}

static void *second_main(void *arg)
{
    struct second *s = arg;

    s->rc = colo__bootstrap_attach(SESSION, s->theirs[0], s->theirs[1],
                                   &s->err);
    return NULL;
}

static void second_start(struct second *s)
{
    int fd[2];

    unix_pair(fd);
    s->fd = fd[0];
    s->theirs[0] = fd[1];
    ck_assert_int_eq(pipe2(fd, O_CLOEXEC), 0);
    s->from = fd[0];
    s->theirs[1] = fd[1];
    pthread_create(&s->thread, NULL, second_main, s);
}

START_TEST(test_attach)
{
    static const char *const wrong =
        "colo-bootstrap 1 attach session=" SESSION " key=" SESSION SESSION
        "\n";
    static const char *const right =
        "colo-bootstrap 1 attach session=" SESSION " key=" KEY "\n";
    struct colo_bootstrap_result r = { 0 };
    struct colo_error err = { 0 };
    struct second s[2];
    static uint8_t words[100000];
    pthread_t ending;
    char buf[1024];
    struct far f;

    fill_pattern(words, sizeof(words), 9);
    far_start(&f, 3000 * SLOW);
    far_tell(&f, OPEN "ssh\n");
    far_answer(f.from, buf, sizeof(buf));
    ck_assert_str_eq(buf, "colo-bootstrap 1 ok");
    second_start(&s[0]);
    ck_assert_int_eq(write(s[0].fd, wrong, strlen(wrong)),
                     (ssize_t)strlen(wrong));
    ck_assert_int_eq(read(s[0].from, buf, 1), 0); /* thrown out */
    pthread_join(s[0].thread, NULL);
    ck_assert_int_eq(s[0].rc, 0);
    second_start(&s[1]);
    ck_assert_int_eq(write(s[1].fd, right, strlen(right)),
                     (ssize_t)strlen(right));
    far_answer(s[1].from, buf, sizeof(buf));
    ck_assert_str_eq(buf, "colo-bootstrap 1 ok");
    ck_assert_int_eq(far_finish(&f, &r, &err), 0);

    ck_assert_int_eq(link_send(r.bulk, "bulk\n", 5, 1000, &err), 0);
    far_answer(s[1].from, buf, sizeof(buf));
    ck_assert_str_eq(buf, "bulk");
    far_tell(&f, "go");
    ck_assert_int_eq(link_recv_all(r.control, (uint8_t *)buf, 2, 1000, &err),
                     0);
    /* last words before the end get through, though ssh is slow */
    ck_assert_int_eq(link_send(r.control, words, sizeof(words), 1000, &err),
                     0);
    link_close(r.control);
    link_close(r.bulk);
    pthread_create(&ending, NULL, end_main, f.boot);
    f.boot = NULL;
    sleep_ms(50);
    for (size_t at = 0; at < sizeof(words);) {
        ssize_t n = read(f.from, buf, sizeof(buf));

        ck_assert_int_gt(n, 0);
        ck_assert_mem_eq(buf, words + at, n);
        at += (size_t)n;
    }
    ck_assert_int_eq(read(f.from, buf, 1), 0);
    pthread_join(ending, NULL);
    pthread_join(s[1].thread, NULL);
    ck_assert_int_eq(s[1].rc, 0);
    for (int i = 0; i < 2; i++) {
        close(s[i].fd);
        close(s[i].from);
    }
    far_end(&f);
}
END_TEST

struct bulk_sender {
    struct colo_link *link;
    const uint8_t *data;
    size_t len;
    int rc;
};

static void *bulk_sender_main(void *arg)
{
    struct bulk_sender *s = arg;

    s->rc = link_send(s->link, s->data, s->len, 3000 * SLOW, NULL);
    return NULL;
}

/* More than any buffer on the way holds, to a reader that starts late. */
START_TEST(test_attach_carries_much)
{
    static const char *const right =
        "colo-bootstrap 1 attach session=" SESSION " key=" KEY "\n";
    enum { LEN = 3 << 20 };
    struct bulk_sender out = { .data = NULL, .len = LEN };
    struct colo_bootstrap_result r = { 0 };
    struct colo_error err = { 0 };
    uint8_t *data = malloc(LEN), *back = malloc(LEN);
    struct second s;
    pthread_t thread;
    char buf[1024];
    struct far f;

    ck_assert_ptr_nonnull(data);
    ck_assert_ptr_nonnull(back);
    fill_pattern(data, LEN, 7);
    far_start(&f, 3000 * SLOW);
    far_tell(&f, OPEN "ssh\n");
    far_answer(f.from, buf, sizeof(buf));
    second_start(&s);
    ck_assert_int_eq(write(s.fd, right, strlen(right)),
                     (ssize_t)strlen(right));
    far_answer(s.from, buf, sizeof(buf));
    ck_assert_int_eq(far_finish(&f, &r, &err), 0);
    out.link = r.bulk;
    out.data = data;
    pthread_create(&thread, NULL, bulk_sender_main, &out);
    sleep_ms(50);
    for (size_t at = 0; at < LEN;) {
        ssize_t n = read(s.from, back + at, LEN - at < 5000 ? LEN - at : 5000);

        ck_assert_int_gt(n, 0);
        at += (size_t)n;
    }
    pthread_join(thread, NULL);
    ck_assert_int_eq(out.rc, 0);
    ck_assert(memcmp(data, back, LEN) == 0);
    link_close(r.control);
    link_close(r.bulk);
    close(s.fd);
    close(s.from);
    pthread_join(s.thread, NULL);
    far_end(&f);
    free(data);
    free(back);
}
END_TEST

/* ssh ends: the link does. */
START_TEST(test_attach_and_ssh_ends)
{
    static const char *const right =
        "colo-bootstrap 1 attach session=" SESSION " key=" KEY "\n";
    struct colo_bootstrap_result r = { 0 };
    struct colo_error err = { 0 };
    struct second s;
    char buf[1024];
    struct far f;

    far_start(&f, 3000 * SLOW);
    far_tell(&f, OPEN "ssh\n");
    far_answer(f.from, buf, sizeof(buf));
    second_start(&s);
    ck_assert_int_eq(write(s.fd, right, strlen(right)),
                     (ssize_t)strlen(right));
    far_answer(s.from, buf, sizeof(buf));
    ck_assert_int_eq(far_finish(&f, &r, &err), 0);
    close(s.fd);
    close(s.from);
    close(f.to);
    f.to = -1;
    ck_assert_int_eq(link_recv(r.bulk, buf, 1, 1000, &(size_t){ 0 }, &err),
                     COLO_E_PEER);
    ck_assert_int_eq(link_recv(r.control, buf, 1, 1000, &(size_t){ 0 },
                               &err), COLO_E_PEER);
    link_close(r.control);
    link_close(r.bulk);
    pthread_join(s.thread, NULL);
    far_end(&f);
}
END_TEST

START_TEST(test_attach_to_nothing)
{
    struct colo_error err = { 0 };
    struct second s;
    char buf[1024];
    int fd[2];

    second_start(&s);
    far_answer(s.from, buf, sizeof(buf));
    ck_assert_str_eq(buf, "colo-bootstrap 1 error no session waits for this "
                     "connection: Connection refused");
    pthread_join(s.thread, NULL);
    ck_assert_int_eq(s.rc, COLO_E_NOTFOUND);
    close(s.fd);
    close(s.from);
    /* a reader that has gone raises no signal */
    ck_assert_int_eq(pipe(fd), 0);
    close(fd[0]);
    ck_assert_int_eq(colo__bootstrap_attach("../../x", open("/dev/null",
                                            O_RDONLY), fd[1], &err),
                     COLO_E_INVAL);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        test_tls, test_strangers, test_nobody_comes, test_primary_goes_away,
        test_cancel, test_wrong_first_line, test_no_stream, test_attach,
        test_attach_carries_much, test_attach_and_ssh_ends,
        test_attach_to_nothing, NULL,
    };

    return run_suite("link-bootstrap-secondary", tests);
}
