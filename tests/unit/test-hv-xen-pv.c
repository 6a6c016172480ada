/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * PV guests over a fake Xen, with this program in the helper's place: seed,
 * pieces, takeover; a piece takes its time; a helper that dies, hangs or ends
 * leaves the guest running, and a replica that nobody asked for is not made.
 */
#include "pure-common.h"

#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake-xen.h"
#include "hv/hv-xen.h"

#define SEED "the seed"
#define PIECE "piece number %d"
#define DONE "done\n"
#define SLOW_MS 300 /* for a byte: longer in all than a helper may hang */

/* ---- the helper --------------------------------------------------------- */

static void say(const char *line)
{
    if (write(3, line, strlen(line)) < 0)
        _exit(9);
}

/* 0: the end of the words */
static int read_word(int *ret_fd)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    char word;
    struct iovec iov = { &word, 1 };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
                          .msg_control = &control,
                          .msg_controllen = sizeof(control) };
    struct cmsghdr *cmsg;

    if (recvmsg(0, &msg, 0) <= 0)
        return 0;
    cmsg = CMSG_FIRSTHDR(&msg);
    if (cmsg)
        memcpy(ret_fd, CMSG_DATA(cmsg), sizeof(int));
    return word == 't';
}

/* a byte at a time, as libxenguest writes: on from where the file stands;
 * false: nobody is there any more */
static bool write_slowly(int fd, const char *piece, int len, int ms)
{
    lseek(fd, 0, SEEK_SET);
    for (int i = 0; i < len; i++) {
        struct pollfd pfd = { 0, POLLIN, 0 };

        if (poll(&pfd, 1, ms) || write(fd, piece + i, 1) != 1)
            return false;
    }
    return true;
}

/* as colo-toolstack stream; mode: what goes wrong */
static int helper_stream(const char *mode)
{
    char piece[64], line[64];
    int fd = -1, len;

    if (write(1, SEED, sizeof(SEED) - 1) < 0)
        return 1;
    if (!strcmp(mode, "no-seed")) {
        say("error it is not possible\n");
        return 1;
    }
    say("progress 1 2\nsuspend\n");
    if (!read_word(&fd) || fd < 0)
        return 1;
    close(1);
    say("whole 0\n");
    for (int n = 1;; n++) {
        if (!strcmp(mode, "dies-after-seed")) {
            poll(NULL, 0, 1500); /* that it is one is seen first */
            return 1;
        }
        if (!read_word(&fd))
            break;
        if (n == 2 && !strcmp(mode, "dies"))
            return 1;
        if (n == 2 && !strcmp(mode, "hangs")) {
            /* until nobody is there to whom it could answer */
            poll(&(struct pollfd){ .fd = 0 }, 1, 60000);
            return 1;
        }
        len = snprintf(piece, sizeof(piece), PIECE, n);
        if (n == 2 && !strcmp(mode, "slow") &&
            !write_slowly(fd, piece, len, SLOW_MS))
            return 1;
        if (pwrite(fd, piece, (size_t)len, 0) != len)
            return 1;
        snprintf(line, sizeof(line), "whole %d\n",
                 !strcmp(mode, "lies") ? len + 5 : len);
        say(line);
    }
    say(DONE);
    return 0;
}

/* as colo-toolstack restore-stream: file "got" is the guest that it makes */
static int helper_restore(const char *dir, const char *mode)
{
    char path[200], all[4096];
    size_t len = 0;
    int fd;

    if (!strcmp(mode, "dies"))
        return 1;
    for (;;) {
        struct pollfd pfd[2] = { { 0, POLLIN, 0 }, { 4, POLLIN, 0 } };
        ssize_t n;

        poll(pfd, 2, -1);
        if (pfd[1].revents)
            return 1; /* the session is gone: no guest */
        if (!strcmp(mode, "stuck"))
            continue;
        n = read(0, all + len, sizeof(all) - len);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    snprintf(path, sizeof(path), "%s/got", dir);
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    if (fd < 0 || write(fd, all, len) != (ssize_t)len)
        return 1;
    say("domid 7\n" DONE);
    return 0;
}

static int helper_main(char **argv)
{
    char dir[128], path[160], mode[32] = "";
    FILE *f;

    snprintf(dir, sizeof(dir), "%s", argv[0]);
    dirname(dir);
    snprintf(path, sizeof(path), "%s/mode", dir);
    f = fopen(path, "r");
    if (!f || !fgets(mode, sizeof(mode), f))
        return 9;
    fclose(f);
    return !strcmp(argv[1], "stream") ? helper_stream(mode) :
           !strcmp(argv[1], "restore-stream") ? helper_restore(dir, mode) : 0;
}

/* ---- set-up ------------------------------------------------------------- */

struct setup {
    char dir[64];
    struct colo_hv *hv;
    const struct colo_hv_ops *ops;
    struct colo_error err;
    int seed; /* our end of it */
};

static void begin(struct setup *t, bool primary, const char *mode)
{
    char path[128], self[256];
    struct colo_hv_xen *hv;
    ssize_t n;
    FILE *f;

    memset(t, 0, sizeof(*t));
    snprintf(t->dir, sizeof(t->dir), "/tmp/colo-pv.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(t->dir));
    n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    ck_assert_int_gt(n, 0);
    self[n] = 0;
    snprintf(path, sizeof(path), "%s/colo-toolstack", t->dir);
    ck_assert_int_eq(symlink(self, path), 0);
    snprintf(path, sizeof(path), "%s/mode", t->dir);
    f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fprintf(f, "%s", *mode ? mode : "fine");
    ck_assert_int_eq(fclose(f), 0);
    t->hv = fake_xen_start_pv(primary ? "guest" : NULL);
    hv = colo__hv_xen(t->hv);
    free(hv->libexecdir);
    hv->libexecdir = strdup(t->dir);
    colo__hv_xen_set_quiet(t->hv, 100);
    t->ops = colo__hv_ops(t->hv);
}

static void end(struct setup *t)
{
    char command[128];

    t->ops->close(t->hv);
    ck_assert(!fake.shutdown);
    ck_assert_uint_eq(fake.subscribed, 0);
    snprintf(command, sizeof(command), "rm -r %s", t->dir);
    ck_assert_int_eq(system(command), 0);
}

/* poll until these events came, an error, or ms; the events, and *ret_rc */
static uint32_t wait_for(struct setup *t, uint32_t want, int ms, int *ret_rc)
{
    uint32_t events = 0;

    *ret_rc = 0;
    for (int i = 0; i < ms && !*ret_rc && !(want && events & want); i++) {
        struct pollfd pfd = { t->ops->fd(t->hv), POLLIN, 0 };
        struct colo_hv_event event = { 0 };

        if (poll(&pfd, 1, 1) <= 0)
            continue;
        *ret_rc = t->ops->poll(t->hv, &event, &t->err);
        events |= event.events;
    }
    return events;
}

static void seed_out(struct setup *t)
{
    int fds[2];

    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    t->seed = fds[0];
    ck_assert_int_eq(t->ops->life->seed_out(t->hv, fds[1], &t->err), 0);
}

static void seed(struct setup *t)
{
    char buf[64];
    int rc;

    seed_out(t);
    for (int i = 0; i < 2000 && !fake.control[0]; i++)
        wait_for(t, 0, 1, &rc);
    ck_assert_str_eq(fake.control, "suspend");
    fake_xen_suspend();
    /* what the guest does for the seed is not told */
    ck_assert_uint_eq(wait_for(t, COLO_HV_EV_SEEDED, 10000, &rc) &
                      (COLO_HV_EV_SEEDED | COLO_HV_EV_STOPPED),
                      COLO_HV_EV_SEEDED);
    ck_assert_int_eq(read(t->seed, buf, sizeof(buf)), sizeof(SEED) - 1);
    ck_assert_int_eq(read(t->seed, buf, sizeof(buf)), 0);
    close(t->seed);
    ck_assert_int_eq(t->ops->stop->resume(t->hv, &t->err), 0);
    ck_assert(!fake.shutdown);
    ck_assert_uint_eq(fake.rax, 1);
}

static void stop(struct setup *t)
{
    int rc;

    ck_assert_int_eq(t->ops->stop->request(t->hv, &t->err), 0);
    fake_xen_suspend();
    ck_assert_uint_eq(wait_for(t, COLO_HV_EV_STOPPED, 10000, &rc),
                      COLO_HV_EV_STOPPED);
}

static int get(struct setup *t, char *buf, uint32_t cap)
{
    uint32_t len = 0;
    int rc = t->ops->machine->get(t->hv, (uint8_t *)buf, cap, &len, &t->err);

    buf[rc ? 0 : len] = 0;
    return rc;
}

static void resume(struct setup *t)
{
    ck_assert_int_eq(t->ops->stop->resume(t->hv, &t->err), 0);
    ck_assert(!fake.shutdown);
}

/* ---- the primary -------------------------------------------------------- */

START_TEST(test_pieces)
{
    struct colo_hv_info info;
    struct setup t;
    char buf[64], want[64];
    int rc;

    begin(&t, true, "");
    ck_assert_int_eq(t.ops->info(t.hv, &info, &t.err), 0);
    ck_assert(info.streamed);
    ck_assert_ptr_null(t.ops->life->run);
    seed(&t);
    for (int n = 1; n <= 3; n++) {
        stop(&t);
        /* too little room is no loss */
        ck_assert_int_eq(get(&t, buf, 3), COLO_E_LIMIT);
        ck_assert_int_eq(get(&t, buf, sizeof(buf) - 1), 0);
        snprintf(want, sizeof(want), PIECE, n);
        ck_assert_str_eq(buf, want);
        resume(&t);
    }
    /* the helper ends in order, and that is no event */
    ck_assert_int_eq(t.ops->track(t.hv, 0, &t.err), 0);
    ck_assert_int_eq(t.ops->life->abandon(t.hv, &t.err), COLO_E_HV);
    wait_for(&t, 0, 20, &rc);
    ck_assert_int_eq(rc, 0);
    end(&t);
}
END_TEST

static void count_beat(void *user)
{
    (*(int *)user)++;
}

/* A large piece is not a helper that hangs, and no peer takes it for a death.
 */
START_TEST(test_takes_its_time)
{
    struct setup t;
    char buf[64], want[64];
    int beats = 0;

    begin(&t, true, "slow");
    t.ops->machine->set_beat(t.hv, count_beat, &beats, 60000);
    seed(&t);
    for (int n = 1; n <= 3; n++) {
        stop(&t);
        ck_assert_msg(!get(&t, buf, sizeof(buf) - 1), "%s", t.err.text);
        snprintf(want, sizeof(want), PIECE, n);
        ck_assert_str_eq(buf, want);
        resume(&t);
        if (n == 2)
            ck_assert_int_ge(beats, 20);
    }
    end(&t);
}
END_TEST

/* but no guest stands still for longer than an epoch may take */
START_TEST(test_takes_too_long)
{
    struct setup t;
    char buf[64];

    begin(&t, true, "slow");
    t.ops->machine->set_beat(t.hv, NULL, NULL, 1000);
    seed(&t);
    stop(&t);
    ck_assert_int_eq(get(&t, buf, sizeof(buf) - 1), 0);
    resume(&t);
    stop(&t);
    ck_assert_int_eq(get(&t, buf, sizeof(buf) - 1), COLO_E_TIMEOUT);
    ck_text(t.err, "not copied in 1000 ms");
    resume(&t);
    end(&t);
}
END_TEST

/* in the pause: an error, the guest goes on, and nothing comes afterwards */
static void bad_piece(const char *mode, int want)
{
    struct setup t;
    char buf[64];

    begin(&t, true, mode);
    seed(&t);
    stop(&t);
    ck_assert_int_eq(get(&t, buf, sizeof(buf) - 1),
                     !strcmp(mode, "lies") ? want : 0);
    resume(&t);
    stop(&t);
    ck_assert_int_eq(get(&t, buf, sizeof(buf) - 1),
                     !strcmp(mode, "lies") ? COLO_E_STATE : want);
    resume(&t);
    stop(&t);
    ck_assert_int_lt(get(&t, buf, sizeof(buf) - 1), 0);
    resume(&t);
    end(&t);
}

START_TEST(test_dies) { bad_piece("dies", COLO_E_HV); }
END_TEST

START_TEST(test_hangs) { bad_piece("hangs", COLO_E_TIMEOUT); }
END_TEST

START_TEST(test_lies) { bad_piece("lies", COLO_E_HV); }
END_TEST

START_TEST(test_resumed_by_others)
{
    struct setup t;
    char buf[64];

    begin(&t, true, "");
    seed(&t);
    stop(&t);
    fake.shutdown = false;
    ck_assert_int_eq(get(&t, buf, sizeof(buf) - 1), COLO_E_GUEST);
    end(&t);
}
END_TEST

START_TEST(test_dies_between)
{
    struct setup t;
    int rc;

    begin(&t, true, "dies-after-seed");
    seed(&t);
    wait_for(&t, 0, 10000, &rc);
    ck_assert_int_eq(rc, COLO_E_HV);
    ck_text(t.err, "the helper has died");
    /* what it had switched on */
    ck_assert_int_eq(fake.offs, 0);
    ck_assert_int_eq(t.ops->track(t.hv, 0, &t.err), 0);
    ck_assert_int_eq(fake.offs, 1);
    end(&t);
}
END_TEST

START_TEST(test_no_seed)
{
    struct setup t;
    int rc;

    begin(&t, true, "no-seed");
    seed_out(&t);
    wait_for(&t, 0, 10000, &rc);
    ck_assert_int_eq(rc, COLO_E_HV);
    ck_text(t.err, "it is not possible");
    close(t.seed);
    end(&t);
}
END_TEST

/* given up between the suspend and the end of the seed */
START_TEST(test_given_up)
{
    struct setup t;
    int rc;

    begin(&t, true, "");
    seed_out(&t);
    for (int i = 0; i < 2000 && !fake.control[0]; i++)
        wait_for(&t, 0, 1, &rc);
    fake_xen_suspend();
    ck_assert(fake.shutdown);
    close(t.seed);
    end(&t); /* it runs */
}
END_TEST

START_TEST(test_refused)
{
    struct setup t;
    int fds[2];

    begin(&t, true, "");
    fake.no_shadow = true;
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    ck_assert_int_eq(t.ops->life->seed_out(t.hv, fds[1], &t.err),
                     COLO_E_UNSUPPORTED);
    ck_text(t.err, "without shadow paging");
    ck_assert_int_lt(fcntl(fds[1], F_GETFD), 0);
    close(fds[0]);
    fake.pv_width = 4;
    ck_assert_int_eq(colo__hv_xen_adopt(colo__hv_xen(t.hv), 7, &t.err),
                     COLO_E_UNSUPPORTED);
    end(&t);
}
END_TEST

/* ---- the backup --------------------------------------------------------- */

static void seed_in(struct setup *t, const char *mode)
{
    int fds[2];

    begin(t, false, mode);
    ck_assert_int_eq(t->ops->life->expect_stream(t->hv, &t->err), 0);
    t->ops = colo__hv_ops(t->hv);
    ck_assert_ptr_nonnull(t->ops->machine->load);
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    /* before anybody may have gone who reads it */
    ck_assert_int_eq(write(fds[1], SEED, sizeof(SEED) - 1), sizeof(SEED) - 1);
    ck_assert_int_eq(t->ops->life->seed_in(t->hv, fds[0], &t->err), 0);
    close(fds[1]);
}

static bool has_made(const struct setup *t, char *buf, size_t cap)
{
    char path[128];
    size_t n = 0;
    FILE *f;

    snprintf(path, sizeof(path), "%s/got", t->dir);
    f = fopen(path, "r");
    if (f) {
        n = fread(buf, 1, cap - 1, f);
        fclose(f);
    }
    buf[n] = 0;
    return f != NULL;
}

static int load(struct setup *t, const char *piece)
{
    return t->ops->machine->load(t->hv, (const uint8_t *)piece,
                                 piece ? (uint32_t)strlen(piece) : 0,
                                 &t->err);
}

START_TEST(test_takeover)
{
    struct setup t;
    char buf[64];

    seed_in(&t, "");
    ck_assert_int_eq(load(&t, NULL), 0);
    ck_assert_int_eq(load(&t, "-one"), 0);
    ck_assert_int_eq(load(&t, "-two"), 0);
    ck_assert(!has_made(&t, buf, sizeof(buf)));
    fake.incoming = fake.paused = true;
    ck_assert_int_eq(t.ops->machine->set(t.hv, NULL, 0, &t.err), 0);
    ck_assert(has_made(&t, buf, sizeof(buf)));
    ck_assert_str_eq(buf, SEED "-one-two");
    ck_assert_int_eq(fake.unpauses, 0);
    ck_assert_int_eq(t.ops->life->start(t.hv, &t.err), 0);
    ck_assert_int_eq(fake.unpauses, 1);
    end(&t);
}
END_TEST

/* whoever ends without a takeover must not make a guest */
START_TEST(test_no_guest)
{
    struct setup t;
    char buf[64];

    seed_in(&t, "");
    ck_assert_int_eq(load(&t, "-one"), 0);
    ck_assert_int_eq(t.ops->life->destroy(t.hv, &t.err), 0);
    ck_assert(!has_made(&t, buf, sizeof(buf)));
    ck_assert_int_eq(t.ops->machine->set(t.hv, NULL, 0, &t.err),
                     COLO_E_STATE);
    t.ops->close(t.hv);
    ck_assert(!has_made(&t, buf, sizeof(buf)));
}
END_TEST

START_TEST(test_restore_dies)
{
    struct setup t;

    signal(SIGPIPE, SIG_IGN); /* as on a session's worker */
    seed_in(&t, "dies");
    poll(NULL, 0, 200);
    ck_assert_int_eq(load(&t, NULL), COLO_E_HV);
    ck_assert_int_eq(load(&t, "-one"), COLO_E_HV);
    ck_assert_int_lt(t.ops->machine->set(t.hv, NULL, 0, &t.err), 0);
    end(&t);
}
END_TEST

int main(int argc, char **argv)
{
    const TTest *const tests[] = {
        test_pieces, test_takes_its_time, test_takes_too_long, test_dies,
        test_hangs, test_lies, test_resumed_by_others, test_dies_between,
        test_no_seed, test_given_up, test_refused,
        test_takeover, test_no_guest, test_restore_dies,
    };

    /* at once, on a busy machine: no look for leaks */
    if (argc > 1 && strstr(argv[0], "colo-toolstack"))
        _exit(helper_main(argv));
    return pure_run("hv-xen-pv", tests, COLO_ARRAY_LEN(tests));
}
