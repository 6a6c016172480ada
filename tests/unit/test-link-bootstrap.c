/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The primary's side of the bootstrap, against something that answers like
 * ssh: both transports, and every way in which it can go wrong.
 */
#include <dirent.h>
#include <sys/resource.h>

#include "fake-ssh.h"

static struct colo_bootstrap_config config_of(const char *mode)
{
    struct colo_bootstrap_config config = {
        .peer = "root@far",
        .ssh_command = fake_ssh(mode),
        .in_fd = -1,
        .out_fd = -1,
        .timeout_ms = 5000 * SLOW,
    };

    return config;
}

static int count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;

    ck_assert_ptr_nonnull(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

/* Until it is over; the error or the result. */
static int run(const struct colo_bootstrap_config *config,
               struct colo_bootstrap **ret_boot,
               struct colo_bootstrap_result *ret_result,
               struct colo_error *err)
{
    struct colo_bootstrap *boot = NULL;
    struct pollfd p = { .events = POLLIN };
    int rc;

    rc = colo__bootstrap_start(config, true, NULL, &boot, err);
    if (rc)
        return rc;
    p.fd = colo__bootstrap_fd(boot);
    ck_assert_int_eq(poll(&p, 1, 10000 * (int)SLOW), 1);
    rc = colo__bootstrap_finish(boot, ret_result, err);
    *ret_boot = boot;
    return rc;
}

static void expect_echo(struct colo_link *link, const char *word)
{
    struct colo_error err;
    uint8_t back[64];
    size_t len = strlen(word);

    ck_assert_int_eq(link_send(link, word, len, 1000, &err), 0);
    ck_assert_int_eq(link_recv_all(link, back, len, 3000 * SLOW, &err), 0);
    for (size_t i = 0; i < len; i++)
        ck_assert_int_eq(back[i], word[i] & ~0x20);
}

static void expect_streams(const char *mode, int transport, uint32_t streams)
{
    struct colo_bootstrap_config config = config_of(mode);
    struct colo_bootstrap_result r = { 0 };
    struct colo_bootstrap *boot = NULL;
    struct colo_error err = { 0 };
    int fds = count_fds(), rc;

    config.transport = transport;
    config.streams = streams;
    rc = run(&config, &boot, &r, &err);
    ck_assert_msg(rc == 0, "%d %s", rc, err.text);
    ck_assert_str_eq(r.peer, "root@far");
    ck_assert_int_eq(r.helper_pid != 0, transport == COLO_TRANSPORT_SSH);
    expect_echo(r.control, "control");
    expect_echo(r.bulk, "bulk");
    expect_echo(r.control, "again");
    ck_assert_uint_eq(r.streams, streams);
    for (uint32_t i = streams; i-- > 0;)
        expect_echo(r.stream[i], "stream");
    ck_assert_int_eq(colo__bootstrap_finish(boot, &(struct
                     colo_bootstrap_result){ 0 }, &err), COLO_E_STATE);
    for (uint32_t i = 0; i < streams; i++)
        link_close(r.stream[i]);
    link_close(r.control);
    link_close(r.bulk);
    colo__bootstrap_end(boot);
    ck_assert_int_eq(count_fds(), fds);
    /* no child is left */
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
}

static void expect_links(const char *mode, int transport)
{
    expect_streams(mode, transport, 0);
}

/* Links for disks, beside the two that each session has. */
START_TEST(test_streams)
{
    expect_streams("good", COLO_TRANSPORT_TLS, 1);
    expect_streams("good", COLO_TRANSPORT_TLS, COLO_MAX_STREAMS);
    expect_streams("good", COLO_TRANSPORT_SSH, 2);
}
END_TEST

START_TEST(test_tls)
{
    expect_links("good", COLO_TRANSPORT_TLS);
}
END_TEST

START_TEST(test_ssh)
{
    expect_links("good", COLO_TRANSPORT_SSH);
}
END_TEST

START_TEST(test_login_scripts_that_print)
{
    expect_links("noisy", COLO_TRANSPORT_TLS);
    expect_links("noisy", COLO_TRANSPORT_SSH);
    expect_links("flood-stderr", COLO_TRANSPORT_TLS);
}
END_TEST

/* The name is looked up, not only an address. */
START_TEST(test_address_by_name)
{
    struct colo_bootstrap_config config = config_of("good");
    struct colo_bootstrap_result r = { 0 };
    struct colo_bootstrap *boot = NULL;
    struct colo_error err = { 0 };
    int rc;

    config.address = "localhost";
    rc = run(&config, &boot, &r, &err);
    ck_assert_msg(rc == 0, "%d %s", rc, err.text);
    expect_echo(r.bulk, "bulk");
    /* links that nobody took are closed by end */
    link_close(r.control);
    link_close(r.bulk);
    colo__bootstrap_end(boot);
}
END_TEST

static const struct {
    const char *mode;
    int transport, code;
    const char *text; /* a part of it */
} bad[] = {
    { "denied", 0, COLO_E_PEER, "ssh to root@far ended with status 255: "
      "root@far: Permission denied (publickey)." },
    { "missing", 0, COLO_E_PEER, "is libcolo installed there? sh: 1: colo" },
    { "unloadable", 0, COLO_E_PEER, "root@far has libcolo and cannot load it" },
    { "says", 0, COLO_E_PEER, "This account is currently not available." },
    { "killed", 0, COLO_E_PEER, "killed by signal 9" },
    { "line", 0, COLO_E_PROTO, "a line that makes no sense" },
    { "noport", 0, COLO_E_PROTO, "named no port" },
    { "long", 0, COLO_E_PROTO, "too long" },
    { "chatter", 0, COLO_E_PROTO, "none of them is from libcolo: blah" },
    { "version", 0, COLO_E_VERSION, "speaks bootstrap version 7" },
    { "error", 0, COLO_E_PEER_SAID, "root@far: no room for this guest" },
    { "error", COLO_TRANSPORT_SSH, COLO_E_PEER_SAID, "no room" },
    { "denied", COLO_TRANSPORT_SSH, COLO_E_PEER, "Permission denied" },
    { "refused", 0, COLO_E_PEER, "cannot connect to 127.0.0.1 port 1 (try "
      "--address or --transport ssh): Connection refused" },
    { "impostor", 0, COLO_E_AUTH, "127.0.0.1 port" },
};

START_TEST(test_answers_that_are_wrong)
{
    struct colo_bootstrap_config config = config_of(bad[_i].mode);
    struct colo_bootstrap_result r = { 0 };
    struct colo_bootstrap *boot = NULL;
    struct colo_error err = { 0 };
    uint64_t before = now_ms();
    int fds = count_fds(), rc;

    config.transport = bad[_i].transport;
    rc = run(&config, &boot, &r, &err);
    ck_assert_msg(rc == bad[_i].code, "%s: %d %s", bad[_i].mode, rc,
                  err.text);
    ck_assert_int_eq(err.code, rc);
    ck_assert_msg(strstr(err.text, bad[_i].text) != NULL, "%s: %s",
                  bad[_i].mode, err.text);
    ck_assert_ptr_null(r.control);
    /* stock Xen is tried only where there is no libcolo at all */
    ck_assert_int_eq(colo__bootstrap_absent(boot),
                     !strcmp(bad[_i].mode, "missing"));
    /* the same again, and nothing left behind */
    ck_assert_int_eq(colo__bootstrap_finish(boot, &r, &err), rc);
    colo__bootstrap_end(boot);
    ck_assert_uint_lt(now_ms() - before, 3000 * SLOW);
    ck_assert_int_eq(count_fds(), fds);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
}
END_TEST

START_TEST(test_no_ssh)
{
    struct colo_bootstrap_config config = config_of("good");
    struct colo_bootstrap_result r = { 0 };
    struct colo_bootstrap *boot = NULL;
    struct colo_error err = { 0 };

    config.ssh_command = "/nonexistent/ssh -x";
    if (!under_valgrind()) { /* there the child finds out */
        ck_assert_int_eq(run(&config, &boot, &r, &err), COLO_E_NOTFOUND);
        ck_assert_ptr_nonnull(strstr(err.text, "/nonexistent/ssh"));
        ck_assert_int_eq(err.sys_errno, ENOENT);
        colo__bootstrap_end(boot);
    }
    config.ssh_command = "  ";
    ck_assert_int_eq(run(&config, &boot, &r, &err), COLO_E_INVAL);
    colo__bootstrap_end(boot);
}
END_TEST

START_TEST(test_timeout)
{
    struct colo_bootstrap_config config = config_of("stubborn");
    struct colo_bootstrap_result r = { 0 };
    struct colo_bootstrap *boot = NULL;
    struct colo_error err = { 0 };
    uint64_t before = now_ms();

    config.timeout_ms = 150;
    ck_assert_int_eq(run(&config, &boot, &r, &err), COLO_E_TIMEOUT);
    ck_assert_ptr_nonnull(strstr(err.text, "did not answer within 150 ms"));
    colo__bootstrap_end(boot);
    ck_assert_uint_ge(now_ms() - before, 149);
    ck_assert_uint_lt(now_ms() - before, 1500 * SLOW);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
}
END_TEST

START_TEST(test_cancel)
{
    struct colo_bootstrap_config config = config_of("silent");
    struct colo_bootstrap_result r = { 0 };
    struct colo_bootstrap *boot = NULL;
    struct colo_error err = { 0 };
    uint64_t before;

    config.timeout_ms = 60000;
    ck_assert_int_eq(colo__bootstrap_start(&config, true, NULL, &boot, &err),
                     0);
    sleep_ms(50);
    ck_assert_int_eq(colo__bootstrap_finish(boot, &r, &err), COLO_E_STATE);
    before = now_ms();
    colo__bootstrap_end(boot);
    ck_assert_uint_lt(now_ms() - before, 400 * SLOW);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
}
END_TEST

/* Ended before its result was asked for: the links are closed. */
START_TEST(test_end_without_finish)
{
    struct colo_bootstrap_config config = config_of("good");
    struct colo_bootstrap *boot = NULL;
    struct pollfd p = { .events = POLLIN };
    struct colo_error err = { 0 };
    int fds = count_fds();

    ck_assert_int_eq(colo__bootstrap_start(&config, true, NULL, &boot, &err),
                     0);
    p.fd = colo__bootstrap_fd(boot);
    ck_assert_int_eq(poll(&p, 1, 10000 * (int)SLOW), 1);
    colo__bootstrap_end(boot);
    ck_assert_int_eq(count_fds(), fds);
    colo__bootstrap_end(NULL);
}
END_TEST

START_TEST(test_settings)
{
    static const char *const hosts[] = {
        NULL, "", "-oProxyCommand=touch", "two words", "line\nbreak",
    };
    struct colo_bootstrap_config config = config_of("good");
    struct colo_bootstrap *boot = NULL;
    struct colo_error err = { 0 };

    for (size_t i = 0; i < COLO_ARRAY_LEN(hosts); i++) {
        config.peer = hosts[i];
        ck_assert_int_eq(colo__bootstrap_start(&config, true, NULL, &boot,
                                               &err), COLO_E_INVAL);
    }
    config.peer = "far";
    config.address = "-x";
    ck_assert_int_eq(colo__bootstrap_start(&config, true, NULL, &boot, &err),
                     COLO_E_INVAL);
    config.address = NULL;
    config.transport = COLO_TRANSPORT_FD;
    ck_assert_int_eq(colo__bootstrap_start(&config, true, NULL, &boot, &err),
                     COLO_E_INVAL);
    ck_assert_ptr_null(boot);
}
END_TEST

/* Few descriptors: every place where one is made fails once.  The end must
 * be an error that says so, or two links. */
START_TEST(test_out_of_descriptors)
{
    struct colo_bootstrap_config config = config_of("good");
    struct rlimit full, few;
    int fds = count_fds(), failed = 0;

    if (under_valgrind()) /* it keeps some for itself */
        return;
    config.timeout_ms = 2000;
    getrlimit(RLIMIT_NOFILE, &full);
    for (int i = 0; i < 10; i++) {
        struct colo_bootstrap_result r = { 0 };
        struct colo_bootstrap *boot = NULL;
        struct colo_error err = { 0 };
        int rc;

        few = full;
        few.rlim_cur = (rlim_t)(fds - 3 + i);
        setrlimit(RLIMIT_NOFILE, &few);
        rc = run(&config, &boot, &r, &err);
        setrlimit(RLIMIT_NOFILE, &full);
        if (rc) {
            failed++;
            ck_assert_str_ne(err.text, "");
            ck_assert_int_eq(err.code, rc);
        } else {
            link_close(r.control);
            link_close(r.bulk);
        }
        colo__bootstrap_end(boot);
        ck_assert_int_eq(count_fds(), fds);
    }
    ck_assert_int_gt(failed, 2);
}
END_TEST

int main(int argc, char **argv)
{
    const TTest *const tests[] = {
        test_streams, test_tls, test_ssh, test_login_scripts_that_print,
        test_address_by_name, test_no_ssh, test_timeout, test_cancel,
        test_end_without_finish, test_settings, test_out_of_descriptors, NULL,
    };
    Suite *suite;
    TCase *tcase;
    SRunner *runner;
    int failed;

    if (argc > 4 && !strcmp(argv[1], "fake-ssh"))
        return fake_ssh_main(argv);
    suite = suite_create("link-bootstrap");
    tcase = tcase_create("primary");
    for (const TTest *const *t = tests; *t; t++)
        tcase_add_test(tcase, *t);
    tcase_add_loop_test(tcase, test_answers_that_are_wrong, 0,
                        (int)COLO_ARRAY_LEN(bad));
    tcase_set_timeout(tcase, 20.0 * SLOW);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
