/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * libxl-colo.so in a process that has a stand-in for libxl (fake-libxl.c), with
 * a stand-in for the session: what is taken over and what is not, what the
 * session is told, what xl's log gets, and that nothing else happens.
 *
 * The process starts itself anew with the object preloaded.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libxl.h>

#include "pure-common.h"

struct fake_calls {
    int remus_start, create_restore, suspend, unpause;
    uint32_t domid;
    int send_fd, recv_fd;
};

struct fake_calls *fake_libxl_calls(void);

#define PLUGIN "../../xl-plugin/.libs/libxl-colo.so"

static char dir[] = "/tmp/colo-xl-plugin.XXXXXX";
static libxl_defbool yes = { 1 }, no = { -1 };

/* ---- xl: its log, its pipes ---------------------------------------------- */

struct logger {
    xentoollog_logger vtable;
    char text[2048];
};

static void vmessage(xentoollog_logger *logger, xentoollog_level level,
                     int errnoval, const char *context, const char *format,
                     va_list al) __attribute__((format(printf, 5, 0)));

static void vmessage(xentoollog_logger *logger, xentoollog_level level,
                     int errnoval, const char *context, const char *format,
                     va_list al)
{
    struct logger *l = (struct logger *)logger;
    size_t n = strlen(l->text);

    (void)errnoval;
    n += (size_t)snprintf(l->text + n, sizeof(l->text) - n, "%d %s: ", level,
                          context);
    vsnprintf(l->text + n, sizeof(l->text) - n, format, al);
    strncat(l->text, "\n", sizeof(l->text) - strlen(l->text) - 1);
}

static struct logger logger;
/* the log is the first thing in libxl's context */
static struct {
    struct logger *lg;
    void *rest[64];
} context;
static libxl_ctx *ctx = (libxl_ctx *)&context;
static libxl_domain_remus_info info;
static int to_peer[2], from_peer[2], out_fd;

/* one file in the folder of the stand-in */
static const char *in_dir(const char *name)
{
    static char path[128];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

/* What the stand-in does: notes its words and what is open, then the rest. */
static void make_session(const char *rest)
{
    FILE *f = fopen(in_dir("colo-xl-session"), "we");

    ck_assert_ptr_nonnull(f);
    fprintf(f, "#!/bin/sh\nexec 9>%s/words\necho \"$@\" >&9\n"
            "echo \"preload=$LD_PRELOAD\" >&9\nls /proc/self/fd >&9\n%s\n",
            dir, rest);
    fclose(f);
    ck_assert_int_eq(chmod(in_dir("colo-xl-session"), 0755), 0);
}

static const char *session_said(void)
{
    static char text[1024];
    int fd = open(in_dir("words"), O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, text, sizeof(text) - 1);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_ge(n, 0);
    text[n] = '\0';
    close(fd);
    return text;
}

static void setup(void)
{
    ck_assert_ptr_nonnull(mkdtemp(dir));
    setenv("COLO_XL_LIBEXECDIR", dir, 1);
    logger.vtable.vmessage = vmessage;
    context.lg = &logger;
    info.interval = 200;
    info.blackhole = info.colo = info.userspace_colo_proxy = no;
    ck_assert_int_eq(pipe2(to_peer, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(from_peer, O_CLOEXEC), 0);
    /* whatever is printed goes to this file */
    fflush(stdout);
    out_fd = open(in_dir("out"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(out_fd, 0);
    dup2(out_fd, STDOUT_FILENO);
    dup2(out_fd, STDERR_FILENO);
}

static void teardown(void)
{
    static const char *const names[] = { "colo-xl-session", "words", "out",
                                         "mark" };
    struct stat st = { 0 };

    fflush(stdout);
    fstat(out_fd, &st);
    for (size_t i = 0; i < COLO_ARRAY_LEN(names); i++)
        unlink(in_dir(names[i]));
    rmdir(dir);
    ck_assert_msg(!st.st_size, "something was printed");
}

static void peer_says(const char *bytes)
{
    ck_assert_int_eq(write(from_peer[1], bytes, strlen(bytes)),
                     (ssize_t)strlen(bytes));
}

static int remus(void)
{
    return libxl_domain_remus_start(ctx, &info, 7, to_peer[1], from_peer[0],
                                    NULL);
}

/* However it ends: at anything else xl would resume the guest. */
static void check_left_alone(int rc)
{
    ck_assert_int_eq(rc, ERROR_GUEST_TIMEDOUT);
    ck_assert_int_eq(fake_libxl_calls()->remus_start, 0);
}

/* Once, and as a warning: less is not shown without -v. */
static void check_as_asked(void)
{
    char want[96];
    const char *at;

    snprintf(want, sizeof(want), "%d libxl-colo: protection has ended as "
             "asked; the guest runs\n", XTL_WARN);
    at = strstr(logger.text, want);
    ck_assert_msg(at && !strstr(at + 1, want), "%s", logger.text);
}

/* ---- what is taken over -------------------------------------------------- */

START_TEST(test_symbols)
{
    char line[256], all[512] = "";
    FILE *f = popen("nm -D --defined-only " PLUGIN, "re");

    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof(line), f))
        strncat(all, strrchr(line, ' '), sizeof(all) - strlen(all) - 1);
    ck_assert_int_eq(pclose(f), 0);
    ck_assert_str_eq(all, " libxl_domain_create_restore\n"
                          " libxl_domain_remus_start\n");
    /* and it needs nothing but libc */
    f = popen("readelf -d " PLUGIN " | grep -c NEEDED", "re");
    ck_assert_ptr_nonnull(fgets(line, sizeof(line), f));
    pclose(f);
    ck_assert_str_eq(line, "1\n");
}
END_TEST

START_TEST(test_others_left_alone)
{
    struct fake_calls *calls = fake_libxl_calls();

    ck_assert_int_eq(libxl_domain_suspend(ctx, 7, 1, 0, NULL), -1003);
    ck_assert_int_eq(libxl_domain_unpause(ctx, 7, NULL), -1004);
    ck_assert_int_eq(calls->suspend, 1);
    ck_assert_int_eq(calls->unpause, 1);
    ck_assert_int_eq(calls->remus_start + calls->create_restore, 0);
}
END_TEST

START_TEST(test_protect)
{
    make_session("echo 'log 3 a warning'; echo 'log 1 quiet';\n"
                 "echo 'end 0'");
    peer_says("libcolo-xl 1 backup\n");
    check_left_alone(remus());
    check_as_asked();
    /* its words; no preload; 0 to 4, 9 is its own, and what ls opens */
    ck_assert_str_eq(session_said(), "primary 7 backup remus 200 buffer disks "
                     "compress\npreload=\n0\n1\n2\n3\n4\n5\n9\n");
    ck_assert_ptr_nonnull(strstr(logger.text, "libxl-colo: a warning\n"));
    ck_assert_ptr_nonnull(strstr(logger.text, "libxl-colo: quiet\n"));
}
END_TEST

START_TEST(test_protect_options)
{
    make_session("echo 'end 0'");
    peer_says("libcolo-xl 1 b\n");
    info.interval = 50;
    info.allow_unsafe = yes;
    info.netbuf = info.diskbuf = info.compression = no;
    check_left_alone(remus());
    ck_assert_int_eq(strncmp(session_said(), "primary 7 b remus 50 no-buffer "
                             "no-disks no-compress\n", 52), 0);
}
END_TEST

/* its pipes are those of xl, the right way round */
START_TEST(test_pipes)
{
    char text[32] = "";

    make_session("read word <&4; echo \"got $word\" >&3; echo 'end 0'");
    peer_says("libcolo-xl 1 b\nquestion\n");
    check_left_alone(remus());
    ck_assert_int_eq(read(to_peer[0], text, sizeof(text)), 13);
    ck_assert_str_eq(text, "got question\n");
}
END_TEST

START_TEST(test_how_it_ends)
{
    static const struct {
        const char *session, *text;
    } cases[] = {
        { "echo 'end -5 the peer is gone'", "the peer is gone" },
        { "echo 'end -11 no answer'", "no answer" },
        { "echo 'end -12 no'", "no" },
        /* it stands for another session now, perhaps */
        { "echo 'end -17 has a session'", "has a session" },
        { "kill -9 $$", "killed by signal 9" },
        { "exit 0", "without a word" },
        { "echo 'end'; echo 'end x'; echo 'end -5x y'; echo 'end 77 z'",
          "without a word" },
        { "head -c 5000 /dev/zero | tr '\\0' a; echo; echo 'end -1 x'", "x" },
    };

    for (size_t i = 0; i < COLO_ARRAY_LEN(cases); i++) {
        make_session(cases[i].session);
        peer_says("libcolo-xl 1 b\n");
        logger.text[0] = '\0';
        check_left_alone(remus());
        ck_assert_msg(strstr(logger.text, cases[i].text), "%zu: %s", i,
                      logger.text);
        ck_assert_ptr_null(strstr(logger.text, "as asked"));
    }
    unlink(in_dir("colo-xl-session"));
    peer_says("libcolo-xl 1 b\n");
    check_left_alone(remus());
    ck_assert_ptr_nonnull(strstr(logger.text, "colo-xl-session: No such"));
}
END_TEST

/* what answers is no plug-in of this version: the guest is not xl's to resume
 * all the same */
START_TEST(test_bad_hello)
{
    static const char *const words[] = {
        "libcolo-xl 2 b\n", "what is this?\n",
    };

    make_session("echo 'end 0'");
    for (size_t i = 0; i < COLO_ARRAY_LEN(words); i++) {
        peer_says(words[i]);
        check_left_alone(remus());
        ck_assert_ptr_null(strstr(logger.text, "as asked"));
    }
    ck_assert_int_ne(access(in_dir("words"), F_OK), 0);
}
END_TEST

/* xl has no peer then, and nothing to hear */
START_TEST(test_blackhole)
{
    make_session("echo 'end 0'");
    info.allow_unsafe = info.blackhole = yes;
    check_left_alone(libxl_domain_remus_start(ctx, &info, 7, to_peer[1], -1,
                                              NULL));
    check_as_asked();
    ck_assert_int_eq(strncmp(session_said(), "nowhere 7 nowhere remus 200 "
                             "buffer disks compress\n", 50), 0);
}
END_TEST

/* ---- what goes on to stock libxl ----------------------------------------- */

START_TEST(test_stock_receiver)
{
    struct fake_calls *calls = fake_libxl_calls();

    setenv("COLO_XL_HELLO", "2", 1);
    ck_assert_int_eq(remus(), -1001);
    unsetenv("COLO_XL_HELLO");
    ck_assert_int_eq(calls->remus_start, 1);
    ck_assert_uint_eq(calls->domid, 7);
    ck_assert_int_eq(calls->send_fd, to_peer[1]);
    ck_assert_int_eq(calls->recv_fd, from_peer[0]);
    ck_assert_ptr_nonnull(strstr(logger.text, "only stock Xen"));
}
END_TEST

START_TEST(test_asynchronous)
{
    static const libxl_asyncop_how how;
    libxl_domain_restore_params params = {
        .checkpointed_stream = LIBXL_CHECKPOINTED_STREAM_REMUS,
    };
    libxl_domain_config config;
    uint32_t domid = 0;

    /* also where the peer would have it */
    make_session("echo 'end 0'");
    peer_says("libcolo-xl 1 b\n");
    ck_assert_int_eq(libxl_domain_remus_start(ctx, &info, 7, to_peer[1],
                                              from_peer[0], &how), -1001);
    ck_assert_int_eq(libxl_domain_create_restore(ctx, &config, &domid,
                                                 from_peer[0], to_peer[1],
                                                 &params, &how, NULL), -1002);
}
END_TEST

START_TEST(test_refused)
{
    info.netbuf = no;
    check_left_alone(remus());
    ck_assert_ptr_nonnull(strstr(logger.text, "-F"));
}
END_TEST

START_TEST(test_peer_gone)
{
    close(from_peer[1]);
    check_left_alone(remus());
    ck_assert_ptr_nonnull(strstr(logger.text, "closed the connection"));
}
END_TEST

/* ---- the receiver -------------------------------------------------------- */

static libxl_domain_config config;
static uint32_t domid = 99;

static int receive(int stream)
{
    libxl_domain_restore_params params = {
        .checkpointed_stream = stream, .stream_version = 2,
    };

    return libxl_domain_create_restore(ctx, &config, &domid, from_peer[0],
                                       to_peer[1], &params, NULL, NULL);
}

static void check_greeted(bool greeted)
{
    char text[128] = "";
    ssize_t n;

    ck_assert_int_eq(fcntl(to_peer[0], F_SETFL, O_NONBLOCK), 0);
    n = read(to_peer[0], text, sizeof(text) - 1);
    ck_assert_int_eq(n > 0, greeted);
    if (greeted) {
        ck_assert_int_eq(strncmp(text, "libcolo-xl 1 ", 13), 0);
        ck_assert_int_eq(text[n - 1], '\n');
    }
}

/* xl finds no domid to destroy, rename or start */
START_TEST(test_receive)
{
    make_session("read word <&4; echo \"$word\" >&9; echo 'end 1'");
    peer_says("COLO-ours\n");
    ck_assert_int_eq(receive(LIBXL_CHECKPOINTED_STREAM_REMUS), ERROR_ABORTED);
    ck_assert_uint_eq(domid, 99);
    ck_assert_ptr_nonnull(strstr(session_said(), "secondary\n"));
    /* not a byte of the sender's was taken */
    ck_assert_ptr_nonnull(strstr(session_said(), "COLO-ours\n"));
    ck_assert_ptr_nonnull(strstr(logger.text, "runs on this host now"));
    check_greeted(true);
    make_session("echo 'end -5 lost'");
    peer_says("COLO-ours\n");
    ck_assert_int_eq(receive(LIBXL_CHECKPOINTED_STREAM_COLO), ERROR_FAIL);
    ck_assert_uint_eq(domid, 99);
}
END_TEST

/* Others create guests meanwhile: xl's lock is theirs. */
START_TEST(test_receive_gives_up_the_lock)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int fd = open(in_dir("xl"), O_RDWR | O_CREAT | O_CLOEXEC, 0600), status;
    pid_t pid;

    ck_assert_int_eq(fcntl(fd, F_SETLK, &lock), 0);
    make_session("echo 'end 1'");
    peer_says("COLO-ours\n");
    ck_assert_int_eq(receive(LIBXL_CHECKPOINTED_STREAM_REMUS), ERROR_ABORTED);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (!pid)
        _exit(fcntl(fd, F_SETLK, &lock) ? 1 : 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    close(fd);
    unlink(in_dir("xl"));
}
END_TEST

START_TEST(test_receive_from_stock)
{
    char text[16] = "";

    peer_says("LibxlFmt");
    ck_assert_int_eq(receive(LIBXL_CHECKPOINTED_STREAM_REMUS), -1002);
    ck_assert_uint_eq(domid, 4711);
    ck_assert_int_eq(read(from_peer[0], text, sizeof(text)), 8);
    ck_assert_str_eq(text, "LibxlFmt");
    ck_assert_ptr_nonnull(strstr(logger.text, "only stock Xen"));
    check_greeted(true);
}
END_TEST

/* of which libcolo can hold the checkpoints: xl's name of it is not its own */
START_TEST(test_receive_from_stock_held)
{
    char name[] = "guest--incoming";

    config.c_info.name = name;
    config.c_info.type = LIBXL_DOMAIN_TYPE_PVH;
    for (uint8_t i = 0; i < 16; i++)
        config.c_info.uuid.uuid[i] = i;
    make_session("read word <&4; echo \"$word\" >&9\n"
                 "cat /proc/self/fd/5 >&9; echo 'end 1'");
    peer_says("LibxlFmt...\n");
    ck_assert_int_eq(receive(LIBXL_CHECKPOINTED_STREAM_REMUS), ERROR_ABORTED);
    ck_assert_uint_eq(domid, 99);
    ck_assert_int_eq(fake_libxl_calls()->create_restore, 0);
    ck_assert_ptr_nonnull(strstr(session_said(), "stock-secondary guest "
                                 "000102030405060708090a0b0c0d0e0f\n"));
    /* where nobody sees it */
    ck_assert_ptr_nonnull(strstr(session_said(), "{\"name\":\"guest\"}"));
    /* not a byte of the sender's was taken */
    ck_assert_ptr_nonnull(strstr(session_said(), "LibxlFmt...\n"));
    ck_assert_ptr_nonnull(strstr(logger.text, "runs on this host now"));
    ck_assert_str_eq(config.c_info.name, "guest--incoming");
    /* what only libxl can restore is left to it */
    config.c_info.type = LIBXL_DOMAIN_TYPE_PV;
    peer_says("LibxlFmt");
    ck_assert_int_eq(receive(LIBXL_CHECKPOINTED_STREAM_REMUS), -1002);
}
END_TEST

/* a stock sender of mode COLO listens: it hears nothing */
START_TEST(test_receive_colo_from_stock)
{
    peer_says("LibxlFmt");
    ck_assert_int_eq(receive(LIBXL_CHECKPOINTED_STREAM_COLO), -1002);
    check_greeted(false);
}
END_TEST

/* xl restore, xl migrate, libvirt */
START_TEST(test_plain_restore)
{
    ck_assert_int_eq(receive(LIBXL_CHECKPOINTED_STREAM_NONE), -1002);
    ck_assert_int_eq(libxl_domain_create_restore(ctx, &config, &domid,
                                                 from_peer[0], -1, NULL, NULL,
                                                 NULL), -1002);
    ck_assert_int_eq(fake_libxl_calls()->create_restore, 2);
    ck_assert_str_eq(logger.text, "");
    check_greeted(false);
}
END_TEST

/* ---- two xls --------------------------------------------------------------- */

/* Both ends are plug-ins, each in a process of its own: they find each other,
 * and their sessions talk through the pipes. */
static void check_two(int stream)
{
    int status = -1;
    pid_t pid;

    make_session("if [ $1 = primary ]; then\n"
                 "echo \"for $3\" >&3; read w <&4; echo \"end 0 $w\"\n"
                 "[ \"$w\" = 'got it' ] || echo 'end -7'\n"
                 "else read w <&4; echo 'got it' >&3; echo 'end 1'; fi");
    info.interval = 0;
    info.colo = stream == LIBXL_CHECKPOINTED_STREAM_COLO ? yes : no;
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (!pid) {
        libxl_domain_restore_params params = {
            .checkpointed_stream = stream, .stream_version = 2,
        };

        _exit(libxl_domain_create_restore(ctx, &config, &domid, to_peer[0],
                                          from_peer[1], &params, NULL, NULL)
              == ERROR_ABORTED && domid == 99 ? 0 : 1);
    }
    logger.text[0] = '\0';
    check_left_alone(remus());
    check_as_asked();
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && !WEXITSTATUS(status));
}

START_TEST(test_two)
{
    check_two(LIBXL_CHECKPOINTED_STREAM_REMUS);
    check_two(LIBXL_CHECKPOINTED_STREAM_COLO);
}
END_TEST

/* ---- xl is killed --------------------------------------------------------- */

START_TEST(test_xl_killed)
{
    pid_t pid;

    make_session("read none; echo clean >&9");
    peer_says("libcolo-xl 1 b\n");
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (!pid) {
        (void)remus();
        _exit(0);
    }
    for (int i = 0; i < 500 && access(in_dir("words"), F_OK); i++)
        usleep(10000);
    usleep(100000);
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    for (int i = 0; i < 500 && !strstr(session_said(), "clean"); i++)
        usleep(10000);
    ck_assert_ptr_nonnull(strstr(session_said(), "clean"));
}
END_TEST

int main(int argc, char **argv)
{
    const TTest *const tests[] = {
        test_symbols, test_others_left_alone, test_protect,
        test_protect_options, test_pipes, test_how_it_ends, test_bad_hello,
        test_stock_receiver, test_blackhole, test_asynchronous, test_refused,
        test_peer_gone, test_receive, test_receive_gives_up_the_lock,
        test_receive_from_stock,
        test_receive_from_stock_held, test_receive_colo_from_stock,
        test_plain_restore, test_two, test_xl_killed,
    };
    Suite *suite = suite_create("xl-plugin");
    TCase *tcase = tcase_create("xl-plugin");
    SRunner *runner;
    int failed;

    (void)argc;
    if (!getenv("COLO_TEST_PRELOADED")) {
        setenv("COLO_TEST_PRELOADED", "1", 1);
        setenv("LD_PRELOAD", PLUGIN, 1);
        execv("/proc/self/exe", argv);
        perror("execv");
        return 1;
    }
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    for (size_t i = 0; i < COLO_ARRAY_LEN(tests); i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
