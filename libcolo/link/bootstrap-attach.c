/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The second ssh of the ssh transport, at the secondary: a process that only
 * copies its stdio to the receiving process, and the local socket on which
 * that one waits for it.  The socket has an abstract name: nothing is left
 * behind, and both ends check that the other is the same user.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "bootstrap-internal.h"

#define WHERE "bootstrap"
#define BACKLOG 4
#define LINE_MS 5000u
#define MAX_REFUSED 100

static socklen_t name_of(const char *session_hex, struct sockaddr_un *ret_sa)
{
    int n;

    memset(ret_sa, 0, sizeof(*ret_sa));
    ret_sa->sun_family = AF_UNIX;
    n = snprintf(ret_sa->sun_path + 1, sizeof(ret_sa->sun_path) - 1,
                 "libcolo/attach/%s", session_hex);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
                       (size_t)n);
}

/* Also root, so that a daemon can serve a user's session. */
static bool same_user(int fd)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
        return false;
    return cred.uid == geteuid() || cred.uid == 0;
}

/* ---- the receiving process --------------------------------------------- */

int colo__boot_attach_listen(struct colo_bootstrap *boot, int *ret_fd,
                             struct colo_error *err)
{
    struct sockaddr_un sa;
    socklen_t len = name_of(boot->identity, &sa);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&sa, len) < 0 ||
        listen(fd, BACKLOG) < 0) {
        int e = errno;

        if (fd >= 0)
            close(fd);
        return colo__fail(err, COLO_E_SYS, e, WHERE,
                          "cannot listen on a local socket");
    }
    *ret_fd = fd;
    return 0;
}

/* The key travelled through the first ssh only: whoever sends it here is
 * the same primary.  Compared without a hint at where it differs. */
static bool is_same_primary(const struct colo_bootstrap *boot,
                            const struct colo_boot_line *line)
{
    unsigned char differs = 0;

    for (size_t i = 0; i < sizeof(line->key); i++)
        differs |= (unsigned char)(line->key[i] ^ boot->key[i]);
    return line->verb == COLO_BOOT_ATTACH && differs == 0 &&
           memcmp(line->session, boot->result.session,
                  sizeof(line->session)) == 0;
}

static bool is_missing(struct colo_bootstrap *boot, unsigned link)
{
    struct colo_link **place = colo__boot_place(boot, link);

    return link != COLO_BOOT_CONTROL && place && !*place;
}

/* rc 0 and *ret_link: this one is that link.  rc: nobody can be. */
static int try_one(struct colo_bootstrap *boot, int fd, unsigned *ret_link,
                   struct colo_error *err)
{
    uint64_t deadline = colo__deadline_us(LINE_MS);
    struct colo_boot_line line = { 0 }, ok = { .verb = COLO_BOOT_OK };
    char buf[COLO_BOOT_LINE_MAX];
    size_t len;
    int rc;

    *ret_link = 0;
    if (!same_user(fd))
        return 0;
    if (deadline > boot->deadline_us)
        deadline = boot->deadline_us;
    rc = colo__boot_read_line(fd, boot->cancel_fd, deadline, buf, sizeof(buf),
                              &len, err);
    if (!rc && !colo__boot_line_parse(buf, len, &line) &&
        is_same_primary(boot, &line) && is_missing(boot, line.link)) {
        rc = colo__boot_write_line(fd, boot->cancel_fd, deadline, &ok, err);
        if (!rc)
            *ret_link = line.link;
    }
    explicit_bzero(buf, sizeof(buf));
    explicit_bzero(&line, sizeof(line));
    return rc == COLO_E_STATE ? rc : 0;
}

/* One more link than there was. */
static int accept_one(struct colo_bootstrap *boot, int listener,
                      struct colo_error *err)
{
    for (unsigned refused = 0; refused < MAX_REFUSED; refused++) {
        unsigned link = 0;
        int fd, rc;

        rc = colo__boot_wait(listener, POLLIN, boot->cancel_fd,
                             boot->deadline_us,
                             "a further ssh did not come", err);
        if (rc)
            return rc;
        fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        rc = try_one(boot, fd, &link, err);
        if (!rc && link)
            return colo__link_fd_new(fd, colo__boot_place(boot, link), err);
        close(fd);
        if (rc)
            return rc;
        colo__log(&boot->log, COLO_LOG_NOTICE, -1, WHERE,
                  "dropped a local connection that did not prove the key");
    }
    return colo__fail(err, COLO_E_AUTH, 0, WHERE,
                      "too many local connections did not prove the key");
}

int colo__boot_attach_accept(struct colo_bootstrap *boot, int listener,
                             struct colo_error *err)
{
    for (unsigned i = COLO_BOOT_BULK; colo__boot_place(boot, i); i++) {
        int rc = accept_one(boot, listener, err);

        if (rc)
            return rc;
    }
    return 0;
}

/* ---- the attaching process --------------------------------------------- */

static int connect_to(const char *session_hex, int *ret_fd,
                      struct colo_error *err)
{
    uint8_t session[COLO_BOOT_SESSION];
    struct sockaddr_un sa;
    socklen_t len;
    int fd = -1, rc;

    if (!colo__hex_decode(session_hex, strlen(session_hex), session,
                          sizeof(session)))
        return colo__fail(err, COLO_E_INVAL, 0, WHERE,
                          "a session has 32 hexadecimal digits");
    len = name_of(session_hex, &sa);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return colo__fail(err, COLO_E_SYS, errno, WHERE,
                          "cannot make a socket");
    if (connect(fd, (struct sockaddr *)&sa, len) < 0) {
        rc = colo__fail(err, COLO_E_NOTFOUND, errno, WHERE,
                        "no session waits for this connection");
        goto out;
    }
    if (!same_user(fd)) {
        rc = colo__fail(err, COLO_E_AUTH, 0, WHERE,
                        "the session belongs to another user");
        goto out;
    }
    *ret_fd = fd;
    fd = -1;
    rc = 0;
out:
    if (fd >= 0)
        close(fd);
    return rc;
}

static void say_why(int out_fd, const struct colo_error *why)
{
    struct colo_boot_line line = { .verb = COLO_BOOT_ERROR };

    snprintf(line.text, sizeof(line.text), "%s", why->text);
    (void)colo__boot_write_line(out_fd, -1, colo__deadline_us(LINE_MS), &line,
                                NULL);
}

static int attach(const char *session_hex, int in_fd, int out_fd,
                  struct colo_error *err)
{
    struct colo_error why;
    int sock = -1, rc;

    rc = connect_to(session_hex, &sock, &why);
    if (!rc) {
        colo__link_copy(in_fd, out_fd, sock, -1);
        return 0;
    }
    say_why(out_fd, &why);
    close(in_fd);
    if (out_fd != in_fd)
        close(out_fd);
    if (err)
        *err = why;
    return rc;
}

/* A write to an ssh that has gone must not end the caller's process, and
 * must leave no signal behind. */
int colo__bootstrap_attach(const char *session_hex, int in_fd, int out_fd,
                           struct colo_error *err)
{
    static const struct timespec now = { 0, 0 };
    sigset_t pipe_set, before, pending;
    bool was_pending;
    int rc;

    sigemptyset(&pipe_set);
    sigaddset(&pipe_set, SIGPIPE);
    sigpending(&pending);
    was_pending = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_set, &before);
    rc = attach(session_hex, in_fd, out_fd, err);
    if (!was_pending) {
        while (sigtimedwait(&pipe_set, NULL, &now) < 0 && errno == EINTR)
            ;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}
