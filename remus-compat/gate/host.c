/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See host.h.
 */
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"
#include "hv/watchdog.h"
#include "link/link.h"
#include "link/tcp.h"
#include "run.h"

#define WHERE "host"
#define EXIT_MS 1000u       /* from the end of ssh's stream to its exit */
#define DESTROY_MS 20000u
#define XL_NO_DOMAIN "invalid domain identifier" /* as xl says it */
/* a day: soon at first, since a link that has broken often comes back */
#define GUARD_TRIES 1500
#define GUARD_SOON 60
#define GUARD_SOON_MS 10000
#define GUARD_LATER_MS 60000
#define SSH_FAILED 255      /* ssh's own errors */
#define RUN_DIR "/run/libcolo"
#define LOOK_UP_MS 5000u

void host_init(struct host *host, const char *const *ssh, const char *name,
               const char *command, const struct colo_log *log)
{
    memset(host, 0, sizeof(*host));
    host->ssh = ssh;
    host->name = name;
    host->command = command;
    host->log = log;
    host->child = (struct colo_child)COLO_CHILD_INIT;
    host->guard_fd = -1;
    host->run_dir = RUN_DIR;
}

/* ---- ssh -------------------------------------------------------------- */

/* ssh's words, the host and a command, and NULL behind them. */
static int put_words(const struct host *host, const char *command,
                     char *argv[HOST_WORDS + 3], struct colo_error *err)
{
    size_t n = 0;

    for (; host->ssh[n]; n++) {
        if (n == HOST_WORDS)
            return colo__fail(err, COLO_E_INVAL, 0, WHERE,
                              "the ssh command has too many words");
        argv[n] = (char *)(uintptr_t)host->ssh[n];
    }
    if (!n)
        return colo__fail(err, COLO_E_INVAL, 0, WHERE,
                          "the ssh command is empty");
    argv[n++] = (char *)(uintptr_t)host->name;
    argv[n++] = (char *)(uintptr_t)command;
    argv[n] = NULL;
    return 0;
}

static int start(struct host *host, const char *command,
                 struct colo_child *ret_child, struct colo_error *err)
{
    char *argv[HOST_WORDS + 3];
    int rc = put_words(host, command, argv, err);

    return rc ? rc : colo__child_start(argv, ret_child, err);
}

static int connect_tcp(struct host *host, uint32_t timeout_ms, int *ret_fd,
                       struct colo_error *err)
{
    const char *colon = strrchr(host->tcp, ':');
    unsigned long port = 0;
    char name[256], *end;
    int rc;

    if (colon && colon != host->tcp && colon - host->tcp < (int)sizeof(name)) {
        snprintf(name, sizeof(name), "%.*s", (int)(colon - host->tcp),
                 host->tcp);
        port = strtoul(colon + 1, &end, 10);
        if (*end || colon[1] < '0' || colon[1] > '9')
            port = 0;
    }
    if (!port || port > UINT16_MAX)
        return colo__fail(err, COLO_E_INVAL, 0, WHERE,
                          "\"%s\" is not ADDRESS:PORT", host->tcp);
    rc = colo__tcp_connect(name, (uint16_t)port, -1,
                           colo__deadline_us(timeout_ms), "", ret_fd, err);
    /* to the session it is its peer that is not reached */
    if (rc == COLO_E_NOTFOUND)
        return colo__fail(err, COLO_E_PEER, 0, WHERE, "%s: no such address",
                          host->tcp);
    if (!rc)
        colo__link_tune(*ret_fd, timeout_ms);
    return rc;
}

int host_connect(struct host *host, uint32_t timeout_ms, int *ret_fd,
                 struct colo_error *err)
{
    int rc;

    if (host->tcp)
        return connect_tcp(host, timeout_ms, ret_fd, err);
    rc = start(host, host->command, &host->child, err);
    if (rc)
        return rc;
    *ret_fd = host->child.stdio;
    host->child.stdio = -1;
    return 0;
}

/* What xl's end says: an error is what a replica that cannot be loaded comes
 * to, and xl destroys it before it ends; a good end is that of a guest that was
 * started. */
static int ssh_ended(struct host *host, struct colo_error *err)
{
    bool over = colo__child_wait(&host->child, colo__deadline_us(EXIT_MS));
    int status = host->child.status;
    char said[120];

    colo__child_said(&host->child, said, sizeof(said));
    if (!over || status == -1 || !WIFEXITED(status) ||
        WEXITSTATUS(status) == SSH_FAILED)
        return colo__fail(err, COLO_E_PEER, 0, WHERE,
                          "the connection to %s is lost%s%s", host->name,
                          said[0] ? ": " : "", said);
    if (WEXITSTATUS(status) == 0)
        return colo__fail(err, COLO_E_PEER, 0, WHERE,
                          "xl at %s has STARTED the guest: it runs on both "
                          "hosts", host->name);
    return colo__fail(err, COLO_E_PEER_SAID, 0, WHERE,
                      "\"%.40s\" at %s has ended with status %d: %s",
                      host->command, host->name, WEXITSTATUS(status), said);
}

int host_ended(void *user, bool revoked, struct colo_error *err)
{
    struct host *host = user;

    if (!host->tcp)
        return ssh_ended(host, err);
    /* no status comes this way, but nobody ends a connection in order that
     * still waits for more of a checkpoint */
    return revoked ? colo__fail(err, COLO_E_PEER_SAID, 0, WHERE,
                                "xl at %s has given up", host->tcp)
                   : colo__fail(err, COLO_E_PEER, 0, WHERE,
                                "the connection to %s is lost", host->tcp);
}

/* ---- another way to end the replica ----------------------------------- */

/* For the other host's shell; false: the name cannot be quoted. */
static bool put_destroy(char *buf, size_t cap, const char *xl, int xl_len,
                        const char *name)
{
    for (const char *p = name; *p; p++) {
        if ((unsigned char)*p < ' ' || *p == '\'')
            return false;
    }
    return snprintf(buf, cap, "%.*s destroy '%s--incoming'", xl_len, xl,
                    name) < (int)cap;
}

int host_destroy(void *user, const char *name, struct colo_error *err)
{
    struct host *host = user;
    struct colo_child child = COLO_CHILD_INIT;
    char command[400], said[120];
    bool over;
    int status, rc;

    /* with the program that received it: "/usr/sbin/xl", ... */
    if (!put_destroy(command, sizeof(command), host->command,
                     (int)strcspn(host->command, " "), name))
        return colo__fail(err, COLO_E_INVAL, 0, WHERE,
                          "%s may start the guest: destroy its replica there",
                          host->name);
    rc = start(host, command, &child, err);
    if (rc)
        return rc;
    over = colo__child_wait(&child, colo__deadline_us(DESTROY_MS));
    status = child.status;
    colo__child_said(&child, said, sizeof(said));
    colo__child_end(&child, 0);
    if (over && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        colo__log(host->log, COLO_LOG_NOTICE, -1, WHERE, "\"%s\" at %s: done",
                  command, host->name);
        return 0;
    }
    /* any other reason may pass: it is tried again */
    if (over && WIFEXITED(status) && WEXITSTATUS(status) != SSH_FAILED &&
        strstr(said, XL_NO_DOMAIN))
        return colo__fail(err, COLO_E_NOTFOUND, 0, WHERE, "has %s STARTED THE "
                          "GUEST, which runs here?  \"%.60s\" there: %s",
                          host->name, command, said);
    return colo__fail(err, COLO_E_PEER, 0, WHERE, "%s MAY START THE GUEST, "
                      "which runs here: \"%.60s\" there did not work: %s",
                      host->name, command, said);
}

/* ---- the guard -------------------------------------------------------- */

/* Its words are ours, with the name of the guest. */
int host_armed(void *user, const char *name, int fd, struct colo_error *err)
{
    struct host *host = user;
    char *argv[3 + HOST_WORDS + 3] = {
        (char *)(uintptr_t)host->guard, (char *)(uintptr_t)"guard",
        (char *)(uintptr_t)name,
    };
    int pair[2] = { -1, -1 }, e, rc;
    pid_t pid = 0;

    if (!host->guard)
        return 0;
    rc = put_words(host, host->command, argv + 3, err);
    if (rc)
        return rc;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return colo__fail(err, COLO_E_SYS, errno, WHERE, "socketpair");
    e = colo__run_tool(argv, pair[0], &pid);
    close(pair[0]);
    if (e) {
        close(pair[1]);
        return colo__fail(err, COLO_E_SYS, e, WHERE, "%s", host->guard);
    }
    rc = colo__watchdog_lend(pair[1], fd, NULL, err);
    host->guard_fd = pair[1];
    host->guard_pid = pid;
    return rc;
}

void host_end(struct host *host, bool certain)
{
    if (host->guard_fd >= 0 && certain)
        colo__watchdog_disarm(host->guard_fd, host->guard_pid);
    else if (host->guard_fd >= 0)
        close(host->guard_fd); /* it goes on when we are gone, and so does
                                  ssh */
    if (certain || host->guard_fd < 0)
        colo__child_end(&host->child, 0);
    host->guard_fd = -1;
}

/* Where the newest guard of a guest has left its pid, once for each name that
 * its host has: as it was given, and every address.  One that is not ours any
 * more is enough: hosts may be given by any of their names.  (An alias that
 * only ssh knows is a host of its own.) */
struct marks {
    char path[1 + COLO_TCP_ADDRESSES][PATH_MAX];
    int n;
};

/* Under another name first: nobody reads half a number. */
static void leave_pid(const char *path)
{
    char tmp[PATH_MAX];
    FILE *f;

    if (snprintf(tmp, sizeof(tmp), "%s.%d", path, (int)getpid()) >=
        (int)sizeof(tmp))
        return;
    f = fopen(tmp, "we");
    if (!f)
        return;
    fprintf(f, "%d\n", (int)getpid());
    if (fclose(f) || rename(tmp, path))
        (void)unlink(tmp);
}

/* Not where the names are too long or odd for a file's. */
static void leave_mark(struct marks *marks, const struct host *host,
                       const char *name, const char *where)
{
    char *path = marks->path[marks->n];

    if (strchr(name, '/') || strchr(where, '/') ||
        snprintf(path, PATH_MAX, "%s/guard-%s@%s", host->run_dir, name,
                 where) >= PATH_MAX)
        return;
    leave_pid(path);
    marks->n++;
}

static void leave_marks(struct marks *marks, const struct host *host,
                        const char *name)
{
    const char *at = strrchr(host->name, '@'); /* of ssh: USER@HOST */
    char address[COLO_TCP_ADDRESSES][COLO_TCP_TEXT];
    int n = 0;

    marks->n = 0;
    (void)mkdir(host->run_dir, 0755);
    leave_mark(marks, host, name, host->name);
    if (colo__tcp_look_up(at ? at + 1 : host->name, -1,
                          colo__deadline_us(LOOK_UP_MS), address, &n, NULL))
        return;
    for (int i = 0; i < n; i++)
        leave_mark(marks, host, name, address[i]);
}

/* What cannot be told: then it is one guard too many, not too few. */
static bool is_ours(const char *path)
{
    FILE *f = fopen(path, "re");
    int pid = 0;

    if (!f)
        return true;
    if (fscanf(f, "%d", &pid) != 1)
        pid = 0;
    fclose(f);
    return pid <= 0 || pid == (int)getpid();
}

static bool is_newest(const struct marks *marks)
{
    for (int i = 0; i < marks->n; i++) {
        if (!is_ours(marks->path[i]))
            return false;
    }
    return true;
}

static int destroy_at_last(struct host *host, const char *name,
                           const struct marks *marks, struct colo_error *err)
{
    int rc = 0;

    for (int i = 0; i < GUARD_TRIES && is_newest(marks); i++) {
        rc = host_destroy(host, name, err);
        if (rc != COLO_E_PEER)
            break; /* done, or there is nothing to be done */
        (void)poll(NULL, 0, i < GUARD_SOON ? GUARD_SOON_MS : GUARD_LATER_MS);
    }
    return is_newest(marks) ? rc : 0;
}

int host_guard(struct host *host, const char *name, int fd,
               struct colo_error *err)
{
    struct marks marks;
    int held = -1, rc = 0;

    leave_marks(&marks, host, name);
    if (colo__watchdog_wait(fd, &held) != COLO_WATCHDOG_DISARMED)
        rc = destroy_at_last(host, name, &marks, err);
    for (int i = 0; i < marks.n; i++) {
        if (is_ours(marks.path[i]))
            (void)unlink(marks.path[i]);
    }
    if (held >= 0)
        close(held);
    return rc;
}
