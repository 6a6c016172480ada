/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Helper processes: what they inherit, what they report, how they are given
 * up.  The helper is a shell script in a temporary libexecdir; Xen is not
 * needed, since a restore that fails touches no domain.
 */
#include "pure-common.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hv/hv-xen.h"
#include "hv/spawn.h"
#include "hv/watchdog.h"

struct setup {
    char dir[64];
    struct colo_hv_xen hv;
    struct colo_error err;
    uint32_t events;
    uint64_t done, total;
};

static void put_script(const char *dir, const char *name, const char *text)
{
    char path[128];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    f = fopen(path, "we");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fprintf(f, "#!/bin/sh\n%s\n", text), 0);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_eq(chmod(path, 0700), 0);
}

static void begin(struct setup *t, const char *script)
{
    memset(t, 0, sizeof(*t));
    snprintf(t->dir, sizeof(t->dir), "/tmp/colo-life.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(t->dir));
    put_script(t->dir, "colo-toolstack", script);
    t->hv.libexecdir = t->dir;
    t->hv.is_secondary = true;
    t->hv.stop.lock_fd = -1;
    t->hv.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    t->hv.child.pidfd = t->hv.child.report_fd = t->hv.child.life_fd = -1;
}

static void end(struct setup *t)
{
    char command[128];

    colo__hv_xen_life_close(&t->hv);
    close(t->hv.epoll_fd);
    snprintf(command, sizeof(command), "rm -r %s", t->dir);
    ck_assert_int_eq(system(command), 0);
}

/* poll until an error or an event, a second at most */
static int run(struct setup *t, uint32_t until)
{
    for (int i = 0; i < 100; i++) {
        struct pollfd pfd = { t->hv.epoll_fd, POLLIN, 0 };
        struct colo_hv_event event = { 0 };
        int rc;

        poll(&pfd, 1, 10);
        rc = colo__hv_xen_life_poll(&t->hv, &event, &t->err);
        t->events |= event.events;
        if (event.events & COLO_HV_EV_PROGRESS) {
            t->done = event.seed_done;
            t->total = event.seed_total;
        }
        if (rc || (event.events & until))
            return rc;
    }
    return 0;
}

static int seed_in(struct setup *t, int fd)
{
    return colo__hv_xen_life_ops.seed_in((struct colo_hv *)&t->hv, fd,
                                         &t->err);
}

START_TEST(test_reports)
{
    struct setup t;

    begin(&t, "[ \"$1\" = restore ] || exit 9\n"
          "echo progress 5 100 >&3; echo nonsense >&3; echo >&3\n"
          "echo 'progress 1 x' >&3; echo 'warning w' >&3\n"
          "echo 'error first' >&3; echo 'error second' >&3; exit 1");
    ck_assert_int_eq(seed_in(&t, open("/dev/null", O_RDONLY)), 0);
    ck_assert_int_eq(run(&t, 0), COLO_E_HV);
    ck_text(t.err, "restore failed: first");
    ck_assert_uint_eq(t.events, COLO_HV_EV_PROGRESS);
    ck_assert_uint_eq(t.done, 5);
    ck_assert_uint_eq(t.total, 100);
    ck_assert_int_eq(t.hv.child.pid, 0);
    /* and another one may begin */
    ck_assert_int_eq(seed_in(&t, open("/dev/null", O_RDONLY)), 0);
    ck_assert_int_eq(run(&t, 0), COLO_E_HV);
    end(&t);
}
END_TEST

START_TEST(test_dies_without_a_word)
{
    struct setup t;

    begin(&t, "kill -9 $$");
    ck_assert_int_eq(seed_in(&t, open("/dev/null", O_RDONLY)), 0);
    ck_assert_int_eq(run(&t, 0), COLO_E_HV);
    ck_text(t.err, "the helper has died");
    end(&t);
}
END_TEST

/* exit 0 alone is no success, nor is "done" with another status */
START_TEST(test_half_a_success)
{
    struct setup t;

    begin(&t, "exit 0");
    ck_assert_int_eq(seed_in(&t, open("/dev/null", O_RDONLY)), 0);
    ck_assert_int_eq(run(&t, 0), COLO_E_HV);
    put_script(t.dir, "colo-toolstack", "echo done >&3; exit 1");
    ck_assert_int_eq(seed_in(&t, open("/dev/null", O_RDONLY)), 0);
    ck_assert_int_eq(run(&t, 0), COLO_E_HV);
    end(&t);
}
END_TEST

START_TEST(test_long_lines)
{
    struct setup t;

    begin(&t, "i=0; l=; while [ $i -lt 500 ]; do l=xxxxxxxxxx$l; "
          "i=$((i+1)); done; echo \"error $l\" >&3; printf 'error no nl' >&3");
    ck_assert_int_eq(seed_in(&t, open("/dev/null", O_RDONLY)), 0);
    ck_assert_int_eq(run(&t, 0), COLO_E_HV);
    ck_text(t.err, "restore failed: xxxxxxxx");
    end(&t);
}
END_TEST

/* The stream is its stdin, and belongs to it. */
START_TEST(test_stream)
{
    struct setup t;
    int p[2];

    begin(&t, "read line; echo \"error $line\" >&3; exit 1");
    ck_assert_int_eq(pipe2(p, 0), 0);
    ck_assert_int_eq(write(p[1], "hello\n", 6), 6);
    ck_assert_int_eq(seed_in(&t, p[0]), 0);
    /* it owns p[0] now */
    ck_assert_int_eq(fcntl(p[0], F_GETFD), -1);
    ck_assert_int_eq(run(&t, 0), COLO_E_HV);
    ck_text(t.err, "restore failed: hello");
    close(p[1]);
    end(&t);
}
END_TEST

/* Nothing of ours is open in it but what was meant for it. */
START_TEST(test_fds)
{
    const char *const argv[] = {
        "/bin/sh", "-c", "i=0; while [ $i -lt 100 ]; do "
        "[ -e /proc/$$/fd/$i ] && printf '%s ' $i; i=$((i+1)); done", NULL
    };
    int report = -1, life = -1, pidfd = -1, out[2];
    struct colo_error err;
    char text[64] = "";
    size_t len = 0;
    ssize_t n;
    pid_t pid;

    /* not close-on-exec, as in a careless caller */
    ck_assert_int_ge(dup2(open("/dev/null", O_RDONLY), 60), 0);
    ck_assert_int_eq(pipe2(out, 0), 0);
    ck_assert_int_eq(colo__spawn(argv, -1, out[1], &report, &life, &pid,
                                 &pidfd, &err), 0);
    close(out[1]);
    while ((n = read(out[0], text + len, sizeof(text) - 1 - len)) > 0)
        len += (size_t)n;
    ck_assert_str_eq(text, "0 1 2 3 4 ");
    ck_assert_int_eq(colo__spawn_wait(pid, pidfd, 5000), 0);
    close(out[0]);
    close(report);
    close(life);
    close(pidfd);
    close(60);
}
END_TEST

START_TEST(test_given_up)
{
    struct setup t;
    uint64_t start;

    begin(&t, "read x <&4; echo \"error gone\" >&3; exit 1");
    ck_assert_int_eq(seed_in(&t, open("/dev/null", O_RDONLY)), 0);
    ck_assert_int_eq(seed_in(&t, open("/dev/null", O_RDONLY)), COLO_E_STATE);
    start = colo__now_us(&colo__clock_monotonic);
    ck_assert_int_eq(colo__hv_xen_life_ops.destroy((struct colo_hv *)&t.hv,
                                                   &t.err), 0);
    ck_assert_uint_lt(colo__now_us(&colo__clock_monotonic) - start, 2000000);
    ck_assert_int_eq(t.hv.child.pid, 0);
    end(&t);
}
END_TEST

START_TEST(test_no_helper)
{
    struct setup t;
    int fd;

    begin(&t, "exit 0");
    t.hv.libexecdir = (char *)"/nonexistent";
    fd = open("/dev/null", O_RDONLY);
    ck_assert_int_eq(seed_in(&t, fd), COLO_E_SYS);
    ck_text(t.err, "/nonexistent/colo-toolstack");
    ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
    end(&t);
}
END_TEST

/* It reads a word and says which through its exit status. */
START_TEST(test_watchdog_start)
{
    struct setup t;
    pid_t pid = 0;
    int fd = -1;

    begin(&t, "exit 0");
    put_script(t.dir, "colo-watchdog",
               "[ \"$1 $2\" = '7 some-uuid' ] || exit 1\n"
               "x=$(head -c 1); echo \"$x\" >\"${0%/*}/word\"");
    ck_assert_int_eq(colo__watchdog_start(7, "some-uuid", t.dir, &fd, &pid,
                                          &t.err), 0);
    ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
    colo__watchdog_disarm(fd, pid);
    ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
    {
        char path[128], word[4] = "";
        FILE *f;

        snprintf(path, sizeof(path), "%s/word", t.dir);
        f = fopen(path, "re");
        ck_assert_ptr_nonnull(f);
        ck_assert_ptr_nonnull(fgets(word, sizeof(word), f));
        ck_assert_str_eq(word, "q\n");
        fclose(f);
    }
    colo__watchdog_disarm(-1, 0);
    end(&t);
}
END_TEST

/* What a session has said before it died. */
START_TEST(test_watchdog_words)
{
    static const struct {
        const char *words;
        enum colo_watchdog_end end;
    } rows[] = {
        { "", COLO_WATCHDOG_DIED },
        { "f", COLO_WATCHDOG_DIED },
        { "q", COLO_WATCHDOG_DISARMED },
        { "y", COLO_WATCHDOG_YIELDED },
        { "yk", COLO_WATCHDOG_DIED },
        { "yq", COLO_WATCHDOG_DISARMED },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t len = strlen(rows[i].words);
        int pair[2], control;

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        ck_assert_int_eq(send(pair[0], rows[i].words, len, 0), (ssize_t)len);
        close(pair[0]);
        ck_assert_int_eq(colo__watchdog_wait(pair[1], &control), rows[i].end);
        ck_assert_int_eq(control, -1);
        close(pair[1]);
    }
}
END_TEST

/* Whose the replica shall be is an argument, where it is not left open. */
START_TEST(test_toolstack)
{
    static const struct {
        int toolstack;
        const char *args;
    } rows[] = {
        { COLO_TOOLSTACK_AUTO, "restore" },
        { COLO_TOOLSTACK_XL, "restore xl" },
        { COLO_TOOLSTACK_LIBVIRT, "restore libvirt" },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct setup t;

        begin(&t, "echo \"error ($*)\" >&3; exit 1");
        colo__hv_xen_set_toolstack((struct colo_hv *)&t.hv,
                                   rows[i].toolstack);
        ck_assert_int_eq(seed_in(&t, open("/dev/null", O_RDONLY)), 0);
        ck_assert_int_eq(run(&t, 0), COLO_E_HV);
        ck_text(t.err, rows[i].args);
        end(&t);
    }
}
END_TEST

PURE_MAIN("hv-xen-life", test_reports, test_dies_without_a_word,
          test_half_a_success, test_long_lines, test_stream, test_fds,
          test_given_up, test_no_helper, test_watchdog_start,
          test_watchdog_words, test_toolstack)
