/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See proxy-process.h.
 */
#include "proxy-process.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../xenstore/local-socket.h"
#include "../xenstore/publish.h"
#include "hv/spawn.h"
#include "run.h"
#include "session-internal.h"

void colo__proxy_process_init(struct colo_proxy_process *p, const char *where,
                              const char *what, const char *id,
                              struct colo_link **stream)
{
    *p = (struct colo_proxy_process){
        .where = where, .link = *stream,
        .listener = -1, .life_fd = -1, .pidfd = -1,
    };
    snprintf(p->what, sizeof(p->what), "%s %s", what, id);
    *stream = NULL;
}

void colo__proxy_process_path(const struct colo_session *s, const char *name,
                              char *buf, size_t cap)
{
    snprintf(buf, cap, "%s/%s", s->config.libexecdir ? s->config.libexecdir
                                                     : COLO_LIBEXECDIR, name);
}

static int run(struct colo_session *s, struct colo_proxy_process *p,
               const char *const *argv, struct colo_error *err)
{
    int pair[2], e;
    pid_t pid = 0;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return colo__fail(err, COLO_E_SYS, errno, p->where, "socketpair");
    e = colo__run_tool((char *const *)(uintptr_t)argv, pair[0], &pid);
    close(pair[0]);
    if (e) {
        close(pair[1]);
        return colo__fail(err, COLO_E_SYS, e, p->where, "cannot run %.100s",
                          argv[0]);
    }
    p->life_fd = pair[1];
    p->pid = pid;
    p->pidfd = colo__run_pidfd(pid);
    return colo__session_watch_fd(s, p->pidfd, COLO_FD_PROXY, err);
}

int colo__proxy_process_start(struct colo_session *s,
                              struct colo_proxy_process *p, const char *cls,
                              const char *id, const char *const *argv,
                              struct colo_error *err)
{
    char name[COLO_LOCAL_NAME_MAX];
    int rc;

    p->listener = colo__local_listen(SOCK_STREAM, cls, id, name, err);
    if (p->listener < 0)
        return p->listener;
    rc = colo__session_watch_fd(s, p->listener, COLO_FD_PROXY, err);
    if (!rc)
        rc = colo__publish_stream(s->publish, cls, id, name, err);
    if (!rc)
        rc = colo__replication_xenstore_expect(s->proxies, cls, id, err);
    return rc ? rc : run(s, p, argv, err);
}

/* It has come: from now on its link is the relay's. */
static void accept_proxy(struct colo_session *s, struct colo_proxy_process *p)
{
    struct colo_error err = { 0 };
    int fd;

    if (p->listener < 0 || !p->link)
        return;
    fd = colo__local_accept(p->listener, &err);
    if (fd == COLO_E_NOTFOUND || fd == COLO_E_AUTH)
        return;
    if (fd >= 0) {
        colo__session_unwatch_fd(s, p->listener);
        close(p->listener);
        p->listener = -1;
        fd = colo__relay_start(p->link, fd, 0, &p->relay, &err);
        p->link = NULL;
    }
    if (fd < 0)
        colo__session_error(s, &err);
}

static void look_after(struct colo_session *s, struct colo_proxy_process *p)
{
    struct colo_error err;
    int status = 0;

    if (!p->pid || waitpid(p->pid, &status, WNOHANG) == 0)
        return; /* none, or it is still there */
    colo__session_unwatch_fd(s, p->pidfd);
    p->pid = 0;
    if (s->state >= COLO_STATE_TAKEOVER)
        return;
    colo__fail(&err, COLO_E_SYS, 0, p->where, "%s has ended (%s %d): its last "
               "message says why", p->what,
               WIFSIGNALED(status) ? "signal" : "status",
               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    colo__session_error(s, &err);
}

void colo__proxy_process_poll(struct colo_session *s,
                              struct colo_proxy_process *p)
{
    accept_proxy(s, p);
    look_after(s, p);
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void colo__proxy_process_cut(struct colo_proxy_process *p)
{
    colo__relay_end(p->relay);
    p->relay = NULL;
}

void colo__proxy_process_stop(struct colo_proxy_process *p)
{
    colo__proxy_process_cut(p);
    close_fd(&p->life_fd);
}

void colo__proxy_process_free(struct colo_proxy_process *p, uint64_t until_us)
{
    uint64_t now;

    colo__proxy_process_stop(p);
    if (p->link)
        colo__link_ops(p->link)->close(p->link);
    p->link = NULL;
    close_fd(&p->listener);
    /* a caller that lives for months must not collect what has ended */
    now = colo__now_us(&colo__clock_monotonic);
    if (p->pid)
        (void)colo__spawn_wait(p->pid, p->pidfd, until_us <= now ? 0 :
                               (int)((until_us - now) / 1000));
    p->pid = 0;
    close_fd(&p->pidfd);
}
