/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See qmp.h.  Called by dm-qmp.c.
 */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "qmp.h"

#define READ_STEP 4096u
#define GRACE_US 1000000
#define BEAT_MS 10 /* finer than any heartbeat */
#define FLOOD 64 /* messages that are taken in also after the deadline */

struct colo_qmp {
    int fd;
    bool broken;      /* a command went out in part, or nonsense came in */
    uint64_t last_id;
    colo_qmp_event *event;
    void *user;
    void (*beat)(void *user);
    void *beat_user;
    char *buf;        /* what has come and was not taken */
    size_t len, cap;
    size_t looked;    /* no newline before this */
};

static int breaks(struct colo_qmp *qmp, int rc)
{
    qmp->broken = true;
    return rc;
}

static int gone(struct colo_qmp *qmp, int sys_errno, struct colo_error *err)
{
    return breaks(qmp, colo__fail(err, COLO_E_HV, sys_errno, "qmp",
                                  "QEMU has closed its monitor"));
}

/* until the socket is ready for it */
static int wait_for(struct colo_qmp *qmp, short events, uint64_t deadline_us,
                    struct colo_error *err)
{
    struct pollfd pfd = { qmp->fd, events, 0 };

    for (;;) {
        uint64_t now = colo__now_us(&colo__clock_monotonic);
        uint64_t ms = deadline_us > now ? (deadline_us - now + 999) / 1000 : 0;
        uint64_t slice = qmp->beat ? BEAT_MS : 3600000;
        int r = poll(&pfd, 1, (int)(ms < slice ? ms : slice));

        if (r > 0)
            return 0;
        if (r < 0 && errno != EINTR)
            return breaks(qmp, colo__fail(err, COLO_E_SYS, errno, "qmp",
                                          "cannot poll"));
        if (r == 0 && ms <= slice)
            return colo__fail(err, COLO_E_TIMEOUT, 0, "qmp",
                              "QEMU does not answer");
        if (qmp->beat)
            qmp->beat(qmp->beat_user);
    }
}

static int make_room(struct colo_qmp *qmp, struct colo_error *err)
{
    size_t cap = qmp->cap ? qmp->cap * 2 : READ_STEP;
    char *buf;

    if (qmp->len < qmp->cap)
        return 0;
    if (qmp->len > COLO_QMP_LINE_MAX)
        return breaks(qmp, colo__fail(err, COLO_E_PROTO, 0, "qmp",
                                      "QEMU sent a line that is too long"));
    buf = realloc(qmp->buf, cap);
    if (!buf)
        return breaks(qmp, colo__fail(err, COLO_E_NOMEM, 0, "qmp",
                                      "no memory"));
    qmp->buf = buf;
    qmp->cap = cap;
    return 0;
}

/* *ret_len: a whole line at the start of the buffer, its newline included */
static int read_line(struct colo_qmp *qmp, uint64_t deadline_us,
                     size_t *ret_len, struct colo_error *err)
{
    for (;;) {
        char *end = NULL;
        ssize_t r;
        int rc;

        if (qmp->len > qmp->looked)
            end = memchr(qmp->buf + qmp->looked, '\n',
                         qmp->len - qmp->looked);
        if (end) {
            *ret_len = (size_t)(end - qmp->buf) + 1;
            return 0;
        }
        qmp->looked = qmp->len;
        rc = make_room(qmp, err);
        if (rc)
            return rc;
        rc = wait_for(qmp, POLLIN, deadline_us, err);
        if (rc)
            return rc;
        r = recv(qmp->fd, qmp->buf + qmp->len, qmp->cap - qmp->len,
                 MSG_DONTWAIT);
        if (r == 0 || (r < 0 && errno != EAGAIN && errno != EINTR))
            return gone(qmp, r ? errno : 0, err);
        if (r > 0)
            qmp->len += (size_t)r;
    }
}

static int read_msg(struct colo_qmp *qmp, uint64_t deadline_us,
                    struct colo_qmp_msg *ret, struct colo_error *err)
{
    size_t len = 0;
    int rc = read_line(qmp, deadline_us, &len, err);

    if (rc)
        return rc;
    rc = colo__qmp_parse(qmp->buf, len - 1, ret, err);
    memmove(qmp->buf, qmp->buf + len, qmp->len - len);
    qmp->len -= len;
    qmp->looked = 0;
    return rc ? breaks(qmp, rc) : 0;
}

static int send_all(struct colo_qmp *qmp, const char *text, size_t len,
                    int fd, uint64_t deadline_us, struct colo_error *err)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    size_t done = 0;

    while (done < len) {
        struct iovec iov = { (char *)(uintptr_t)text + done, len - done };
        struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
        ssize_t r;
        int rc;

        if (fd >= 0 && !done) {
            msg.msg_control = &control;
            msg.msg_controllen = sizeof(control);
            control.header.cmsg_level = SOL_SOCKET;
            control.header.cmsg_type = SCM_RIGHTS;
            control.header.cmsg_len = CMSG_LEN(sizeof(int));
            memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
        }
        r = sendmsg(qmp->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (r > 0) {
            done += (size_t)r;
            continue;
        }
        if (errno != EAGAIN && errno != EINTR)
            return gone(qmp, errno, err);
        rc = wait_for(qmp, POLLOUT, deadline_us, err);
        if (rc)
            return done ? breaks(qmp, rc) : rc;
    }
    return 0;
}

static void hand_on(struct colo_qmp *qmp, const struct colo_qmp_msg *msg)
{
    if (qmp->event)
        qmp->event(qmp->user, msg->text, msg->body);
}

/* A QEMU that talks without end does not answer either. */
static int late(uint64_t deadline_us, struct colo_error *err)
{
    return colo__now_us(&colo__clock_monotonic) < deadline_us ? 0 :
           colo__fail(err, COLO_E_TIMEOUT, 0, "qmp",
                      "QEMU does not come to an answer");
}

/* Until the answer to our last command; older ones are answers that we did not
 * wait for. */
static int await_answer(struct colo_qmp *qmp, const char *command,
                        uint64_t deadline_us, struct colo_qmp_msg *ret,
                        struct colo_error *err)
{
    for (int i = 0;; i++) {
        struct colo_qmp_msg msg = { 0 };
        int rc = i > FLOOD ? late(deadline_us, err) : 0;

        if (!rc)
            rc = read_msg(qmp, deadline_us, &msg, err);
        if (rc)
            return rc;
        if (msg.kind == COLO_QMP_EVENT)
            hand_on(qmp, &msg);
        else if (msg.kind == COLO_QMP_GREETING || !msg.has_id ||
                 msg.id > qmp->last_id)
            rc = breaks(qmp, colo__fail(err, COLO_E_PROTO, 0, "qmp",
                                        "QEMU answered what was not asked"));
        else if (msg.id == qmp->last_id && msg.kind == COLO_QMP_ERROR)
            rc = colo__fail(err, COLO_E_HV, 0, "qmp", "%s: QEMU says: %s",
                            command, msg.text);
        else if (msg.id == qmp->last_id) {
            if (ret)
                *ret = msg;
            else
                colo__qmp_msg_fini(&msg);
            return 0;
        }
        colo__qmp_msg_fini(&msg);
        if (rc)
            return rc;
    }
}

int colo__qmp_run(struct colo_qmp *qmp, const char *command, int fd,
                  const char *args, uint64_t deadline_us,
                  struct colo_qmp_msg *ret, struct colo_error *err)
{
    char text[1024];
    int n, rc;

    if (qmp->broken)
        return colo__fail(err, COLO_E_HV, 0, "qmp",
                          "the monitor of QEMU is of no use any more");
    n = snprintf(text, sizeof(text),
                 "{\"execute\":\"%s\",\"id\":%" PRIu64 "%s%s}\n", command,
                 qmp->last_id + 1, args ? ",\"arguments\":" : "",
                 args ? args : "");
    if (n < 0 || (size_t)n >= sizeof(text))
        return colo__fail(err, COLO_E_LIMIT, 0, "qmp", "%s is too long",
                          command);
    qmp->last_id++;
    rc = send_all(qmp, text, (size_t)n, fd, deadline_us, err);
    if (rc)
        return rc;
    return await_answer(qmp, command, deadline_us, ret, err);
}

void colo__qmp_set_beat(struct colo_qmp *qmp, void (*beat)(void *user),
                        void *user)
{
    qmp->beat = beat;
    qmp->beat_user = user;
}

int colo__qmp_fd(const struct colo_qmp *qmp)
{
    return qmp->fd;
}

bool colo__qmp_closed(struct colo_qmp *qmp, uint64_t deadline_us)
{
    for (;;) {
        struct pollfd pfd = { qmp->fd, POLLRDHUP, 0 };
        uint64_t now = colo__now_us(&colo__clock_monotonic);
        int ms = deadline_us > now ? (int)((deadline_us - now) / 1000) + 1 : 0;

        if (poll(&pfd, 1, ms) > 0)
            return (pfd.revents & (POLLRDHUP | POLLHUP)) != 0;
        if (!ms)
            return false;
    }
}

int colo__qmp_wait(struct colo_qmp *qmp, uint64_t deadline_us,
                   struct colo_error *err)
{
    for (int i = 0;; i++) {
        struct colo_qmp_msg msg = { 0 };
        bool is_event;
        int rc;

        /* who waits for one event among others comes again and again */
        if (late(deadline_us + (i > FLOOD ? 0 : GRACE_US), err))
            return COLO_E_TIMEOUT;
        if (qmp->broken)
            return colo__fail(err, COLO_E_HV, 0, "qmp",
                              "the monitor of QEMU is of no use any more");
        rc = read_msg(qmp, deadline_us, &msg, err);
        if (rc)
            return rc;
        is_event = msg.kind == COLO_QMP_EVENT;
        if (is_event)
            hand_on(qmp, &msg);
        colo__qmp_msg_fini(&msg);
        if (is_event)
            return 0;
    }
}

static int connect_to(struct colo_qmp *qmp, const char *path,
                      uint64_t deadline_us, struct colo_error *err)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };

    if (strlen(path) >= sizeof(addr.sun_path))
        return colo__fail(err, COLO_E_INVAL, 0, "qmp",
                          "the path of the monitor is too long");
    strcpy(addr.sun_path, path);
    qmp->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (qmp->fd < 0)
        return colo__fail(err, COLO_E_SYS, errno, "qmp", "no socket");
    /* a full backlog answers EAGAIN at once, it is not to be waited for by
     * poll */
    while (connect(qmp->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        if (errno == EAGAIN &&
            colo__now_us(&colo__clock_monotonic) < deadline_us) {
            poll(NULL, 0, 5);
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno == EAGAIN)
            return colo__fail(err, COLO_E_TIMEOUT, 0, "qmp",
                              "QEMU's monitor %.100s is taken", path);
        return colo__fail(err, errno == ENOENT || errno == ECONNREFUSED
                          ? COLO_E_NOTFOUND : COLO_E_SYS, errno, "qmp",
                          "cannot connect to %.100s", path);
    }
    return 0;
}

static int greet(struct colo_qmp *qmp, uint64_t deadline_us,
                 struct colo_error *err)
{
    struct colo_qmp_msg msg = { 0 };
    int rc = read_msg(qmp, deadline_us, &msg, err);

    if (rc == COLO_E_TIMEOUT)
        return colo__fail(err, rc, 0, "qmp", "QEMU's monitor gives no "
                          "greeting: taken by another client, or QEMU hangs");
    if (rc)
        return rc;
    if (msg.kind != COLO_QMP_GREETING)
        rc = colo__fail(err, COLO_E_PROTO, 0, "qmp",
                        "this is no monitor of QEMU");
    colo__qmp_msg_fini(&msg);
    if (rc)
        return rc;
    return colo__qmp_run(qmp, "qmp_capabilities", -1, NULL, deadline_us, NULL,
                         err);
}

int colo__qmp_open(const char *socket, uint64_t deadline_us,
                   colo_qmp_event *event, void *user, struct colo_qmp **ret,
                   struct colo_error *err)
{
    struct colo_qmp *qmp = calloc(1, sizeof(*qmp));
    int rc;

    if (!qmp)
        return colo__fail(err, COLO_E_NOMEM, 0, "qmp", "no memory");
    qmp->fd = -1;
    qmp->event = event;
    qmp->user = user;
    rc = connect_to(qmp, socket, deadline_us, err);
    if (!rc)
        rc = greet(qmp, deadline_us, err);
    if (rc) {
        colo__qmp_close(qmp);
        return rc;
    }
    *ret = qmp;
    return 0;
}

void colo__qmp_close(struct colo_qmp *qmp)
{
    if (!qmp)
        return;
    if (qmp->fd >= 0)
        close(qmp->fd);
    free(qmp->buf);
    free(qmp);
}
