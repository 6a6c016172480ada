/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * stream DOMID: a PV guest's seed to stdout and, from then on, at each word on
 * stdin what has changed since the last one, into the memory file that came
 * with the first word.  It is one call of libxenguest's xc_domain_save() all
 * along, which asks us when it wants the guest suspended: the session sees to
 * that (libcolo/hv/hv-xen-pv.c, where the words are, too).  It ends when stdin
 * does.  On a failure the guest is made to run.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <xenctrl.h>
#include <xenguest.h>

#include "../remus-compat/stream-write.h"
#include "hv/watchdog.h"
#include "libvirt.h"
#include "monitor-lock.h"

#define SUSPEND_MS 60000 /* as long as libxl gives a guest */
#define LATE_SUSPEND_MS 10000

struct stream {
    uint32_t domid;
    xc_interface *xch;
    int out;       /* what libxenguest writes to: the seed, then the pieces */
    int piece;     /* the memory file; -1: still the seed */
    bool seeded;   /* the seed is whole: */
    bool ended;    /* stdin has: in order */
};

/* ---- words -------------------------------------------------------------- */

/* 1 a word, 0 the end, -1 nothing for that long or nonsense */
static int read_word(int timeout_ms, int *ret_fd)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    char word = 0;
    struct iovec iov = { .iov_base = &word, .iov_len = 1 };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1,
        .msg_control = &control, .msg_controllen = sizeof(control),
    };
    struct pollfd pfd = { STDIN_FILENO, POLLIN, 0 };
    struct cmsghdr *cmsg;
    ssize_t n;

    do {
        n = poll(&pfd, 1, timeout_ms);
    } while (n < 0 && errno == EINTR);
    if (n <= 0)
        return -1;
    do {
        n = recvmsg(STDIN_FILENO, &msg, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n <= 0)
        return 0;
    cmsg = CMSG_FIRSTHDR(&msg);
    if (cmsg && cmsg->cmsg_type == SCM_RIGHTS)
        memcpy(ret_fd, CMSG_DATA(cmsg), sizeof(int));
    return word == 't' ? 1 : -1;
}

/* ---- what xc_domain_save() asks ------------------------------------------ */

/* The seed: all but its last part is written.  A piece: the session has said
 * that the guest stands still. */
static int on_suspend(void *data)
{
    struct stream *s = data;

    if (s->seeded) {
        /* Xen answers with an empty record where somebody has switched it off,
         * and says so nowhere else. */
        if (!xc_shadow_control(s->xch, s->domid,
                               XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY, NULL,
                               0) || errno != EINVAL) {
            report("error", "another tool has switched off the record of "
                   "written pages of domain %u", s->domid);
            return 0;
        }
        return 1;
    }
    report("suspend", "%s", "");
    if (read_word(SUSPEND_MS, &s->piece) == 1 && s->piece >= 0)
        return 1;
    report("error", "domain %u did not suspend", s->domid);
    return 0;
}

static int write_end(struct stream *s)
{
    uint8_t buf[COLO_STREAM_HEAD];
    struct colo_stream_out out;

    colo__stream_out_init(&out, buf, sizeof(buf));
    colo__stream_out_record(&out, COLO_STREAM_LIBXL,
                            COLO_LIBXL_CHECKPOINT_END, NULL, 0);
    return write_all(s->out, buf, sizeof(buf)) ? 0 : -1;
}

/* All of a checkpoint is written.  After the first, what comes next goes to the
 * memory file, whose pages are kept from one time to the next. */
static int on_postcopy(void *data)
{
    struct stream *s = data;
    off_t at = 0;

    if (write_end(s)) {
        report("error", "the stream is broken: %s", strerror(errno));
        return 0;
    }
    if (s->seeded)
        at = lseek(s->out, 0, SEEK_CUR);
    else if (dup3(s->piece, s->out, O_CLOEXEC) < 0)
        at = -1;
    if (at < 0 || lseek(s->out, 0, SEEK_SET) < 0) {
        report("error", "there is no memory file: %s", strerror(errno));
        return 0;
    }
    s->seeded = true;
    report("whole", "%lld", (long long)at);
    return 1;
}

/* The session lets the guest go on; until its next word. */
static int on_checkpoint(void *data)
{
    struct stream *s = data;
    int fd = -1, r = read_word(-1, &fd);

    if (fd >= 0)
        close(fd);
    if (r < 0)
        report("error", "the session says nonsense");
    s->ended = r == 0;
    return r == 1;
}

static int on_logdirty(uint32_t domid, unsigned enable, void *data)
{
    (void)domid;
    (void)enable;
    (void)data;
    return 0; /* a PV guest has no device model that writes its memory */
}

/* ---- the command --------------------------------------------------------- */

static int write_heads(int fd)
{
    uint8_t buf[COLO_LIBXL_HEADER + COLO_STREAM_HEAD];
    struct colo_stream_out out;
    size_t len = 0;

    colo__stream_out_init(&out, buf, sizeof(buf));
    colo__stream_out_libxl_header(&out);
    colo__stream_out_record(&out, COLO_STREAM_LIBXL, COLO_LIBXL_LIBXC_CONTEXT,
                            NULL, 0);
    if (colo__stream_out_end(&out, &len, NULL) || !write_all(fd, buf, len)) {
        report("error", "the seed's stream is broken: %s", strerror(errno));
        return -1;
    }
    return 0;
}

static int save(struct stream *s)
{
    struct save_callbacks callbacks = {
        .suspend = on_suspend,
        .postcopy = on_postcopy,
        .checkpoint = on_checkpoint,
        .switch_qemu_logdirty = on_logdirty,
        .data = s,
    };
    int r;

    s->xch = xc_interface_open(report_logger(), report_logger(), 0);
    if (!s->xch) {
        report("error", "cannot talk to Xen");
        return -1;
    }
    r = xc_domain_save(s->xch, s->out, s->domid, XCFLAGS_LIVE, &callbacks,
                       XC_STREAM_REMUS, -1);
    xc_interface_close(s->xch);
    return r;
}

struct command {
    uint32_t domid;
    pid_t session; /* its process */
};

static int stream_work(void *arg)
{
    const struct command *c = arg;
    struct stream s = { .domid = c->domid, .piece = -1 };
    libxl_ctx *ctx;
    int r;

    /* nothing that libxl's scripts print may get into the stream */
    s.out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10);
    if (s.out < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
        report("error", "descriptors");
        return EXIT_FAILED;
    }
    ctx = report_ctx();
    r = ctx ? write_config(ctx, s.domid, TOOLSTACK_XL, s.out) : -1;
    libxl_ctx_free(ctx);
    if (r || write_heads(s.out))
        return EXIT_FAILED;
    (void)save(&s);
    /* what it returns when it is told to end differs between releases */
    if (!s.ended)
        return EXIT_FAILED;
    report("done", "%s", "");
    return EXIT_OK;
}

static void stream_undo(void *arg, bool killed)
{
    const struct command *c = arg;
    struct colo_error err = { 0 };

    if (colo__hv_xen_recover(c->domid, c->session,
                             killed ? LATE_SUSPEND_MS : 0, NULL, &err))
        report("error", "%s", err.text);
}

int cmd_stream(uint32_t domid)
{
    struct command c = { domid, getppid() };

    monitor_stop(domid);
    return supervise(stream_work, stream_undo, &c);
}
