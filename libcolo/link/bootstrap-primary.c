/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The side that starts: runs ssh, hands a one-time key through it, makes
 * the two links.  Runs on the bootstrap's thread.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bootstrap-internal.h"

#define WHERE "bootstrap"
#define MAX_WORDS 64
#define MAX_NOISE 200    /* lines of login scripts before the answer */
#define EXIT_MS 500u     /* from the end of its stream to its exit */
#define GRACE_MS 500u

/* ---- running ssh ------------------------------------------------------- */

/* ssh_command on blanks, the host, the command: one word, as ssh would make
 * one of several. */
static int build_argv(char *words, const char *peer, char *remote,
                      char **ret_argv, struct colo_error *err)
{
    int n = 0;

    for (char *p = strtok_r(words, " \t", &words); p;
         p = strtok_r(NULL, " \t", &words)) {
        if (n == MAX_WORDS)
            return colo__fail(err, COLO_E_INVAL, 0, WHERE,
                              "the ssh command has too many words");
        ret_argv[n++] = p;
    }
    if (n == 0)
        return colo__fail(err, COLO_E_INVAL, 0, WHERE,
                          "the ssh command is empty");
    ret_argv[n++] = (char *)(uintptr_t)peer;
    ret_argv[n++] = remote;
    ret_argv[n] = NULL;
    return 0;
}

static int start_ssh(struct colo_bootstrap *boot, bool attach,
                     struct colo_child *ret_child, struct colo_error *err)
{
    char *argv[MAX_WORDS + 3], *words = NULL, *remote = NULL;
    int rc;

    words = strdup(boot->ssh_command);
    if (!words || asprintf(&remote, "%s%s%s", boot->remote_command,
                           attach ? " --attach " : "",
                           attach ? boot->identity : "") < 0) {
        remote = NULL;
        rc = colo__fail(err, COLO_E_NOMEM, 0, WHERE,
                        "no memory for a command");
        goto out;
    }
    rc = build_argv(words, boot->peer, remote, argv, err);
    if (rc) goto out;
    rc = colo__child_start(argv, ret_child, err);
out:
    free(words);
    free(remote);
    return rc;
}

/* ld.so, too, ends with 127, and says so in English: then the command is there,
 * and the host no stock Xen. */
static bool cannot_load(const struct colo_child *child)
{
    char line[512];

    colo__child_said(child, line, sizeof(line));
    return strstr(line, "shared librar") ||
           strstr(line, "symbol lookup error");
}

/* The stream has ended without an answer: why?  noise: what came instead. */
static int explain_end(struct colo_bootstrap *boot, struct colo_child *child,
                       const char *noise, struct colo_error *err)
{
    char said[120];
    bool ended = colo__child_wait(child, colo__deadline_us(EXIT_MS));
    int status = child->status;

    colo__child_said(child, said, sizeof(said));
    if (!said[0])
        snprintf(said, sizeof(said), "%s", noise);
    if (!ended || status == -1)
        return colo__fail(err, COLO_E_PEER, 0, WHERE,
                          "%s closed the connection: %s", boot->peer, said);
    if (WIFSIGNALED(status))
        return colo__fail(err, COLO_E_PEER, 0, WHERE,
                          "ssh to %s was killed by signal %d: %s",
                          boot->peer, WTERMSIG(status), said);
    if (WEXITSTATUS(status) == 127 && cannot_load(child))
        return colo__fail(err, COLO_E_PEER, 0, WHERE,
                          "%.60s has libcolo and cannot load it: install one "
                          "that is built for its Xen: %s", boot->peer, said);
    boot->absent = WEXITSTATUS(status) == 127;
    if (boot->absent)
        return colo__fail(err, COLO_E_PEER, 0, WHERE,
                          "\"%.40s\" cannot be run on %s: is libcolo "
                          "installed there? %s", boot->remote_command,
                          boot->peer, said);
    return colo__fail(err, COLO_E_PEER, 0, WHERE,
                      "ssh to %s ended with status %d: %s", boot->peer,
                      WEXITSTATUS(status), said);
}

static int no_answer(struct colo_bootstrap *boot, struct colo_child *child,
                     struct colo_error *err)
{
    char said[120];

    colo__child_said(child, said, sizeof(said));
    return colo__fail(err, COLO_E_TIMEOUT, 0, WHERE,
                      "%s did not answer within %u ms%s%s", boot->peer,
                      (unsigned)boot->timeout_ms, said[0] ? ": " : "", said);
}

/* A line that is one of ours. */
static int take_answer(struct colo_bootstrap *boot, const char *buf,
                       size_t len, struct colo_boot_line *ret_line,
                       struct colo_error *err)
{
    int rc = colo__boot_line_parse(buf, len, ret_line);

    if (rc == COLO_E_VERSION)
        return colo__fail(err, rc, 0, WHERE,
                          "%s speaks bootstrap version %u, this host %u",
                          boot->peer, (unsigned)ret_line->version,
                          (unsigned)COLO_BOOT_VERSION);
    if (!rc && ret_line->verb == COLO_BOOT_ERROR)
        return colo__fail(err, COLO_E_PEER_SAID, 0, WHERE, "%s: %s",
                          boot->peer, ret_line->text);
    if (rc || ret_line->verb != COLO_BOOT_OK)
        return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                          "%s sent a line that makes no sense", boot->peer);
    return 0;
}

/* The first line that is ours; login scripts may print before it. */
static int read_answer(struct colo_bootstrap *boot, struct colo_child *child,
                       struct colo_boot_line *ret_line,
                       struct colo_error *err)
{
    char buf[COLO_BOOT_LINE_MAX], noise[80] = "no answer";
    size_t len;

    for (int i = 0; i < MAX_NOISE; i++) {
        int rc = colo__boot_read_line(child->stdio, boot->cancel_fd,
                                      boot->deadline_us, buf, sizeof(buf),
                                      &len, err);

        if ((!rc || rc == COLO_E_PEER) && len && i == 0)
            snprintf(noise, sizeof(noise), "%.*s", (int)len, buf);
        if (rc == COLO_E_PEER)
            return explain_end(boot, child, noise, err);
        if (rc == COLO_E_TIMEOUT)
            return no_answer(boot, child, err);
        if (rc)
            return rc;
        if (colo__boot_line_is(buf, len))
            return take_answer(boot, buf, len, ret_line, err);
    }
    return colo__fail(err, COLO_E_PROTO, 0, WHERE,
                      "%s sends many lines and none of them is from libcolo: "
                      "%s", boot->peer, noise);
}

/* link: which one this ssh is for; the first opens, the others attach. */
static int exchange(struct colo_bootstrap *boot, unsigned link,
                    struct colo_boot_line *ret_line, struct colo_error *err)
{
    bool attach = link != COLO_BOOT_CONTROL;
    struct colo_child *child = &boot->child[link];
    struct colo_boot_line line = {
        .verb = attach ? COLO_BOOT_ATTACH : COLO_BOOT_OPEN,
        .transport = boot->transport,
        .streams = boot->result.streams,
        .link = link,
    };
    int rc;

    rc = start_ssh(boot, attach, child, err);
    if (rc)
        return rc;
    memcpy(line.session, boot->result.session, sizeof(line.session));
    memcpy(line.key, boot->key, sizeof(line.key));
    rc = colo__boot_write_line(child->stdio, boot->cancel_fd,
                               boot->deadline_us, &line, err);
    explicit_bzero(&line, sizeof(line));
    /* It may have gone already, and read_answer knows how to say why. */
    if (rc && rc != COLO_E_PEER)
        return rc;
    return read_answer(boot, child, ret_line, err);
}

/* ---- TLS ---------------------------------------------------------------- */

static int make_tls(struct colo_bootstrap *boot, const char *address,
                    uint16_t port, unsigned number, struct colo_error *err)
{
    char name[COLO_BOOT_TAG];
    struct iovec tag = { name, sizeof(name) };
    struct colo_link *link = NULL;
    struct colo_error why = { 0 };
    int fd = -1, rc;

    colo__boot_tag(number, name);
    rc = colo__boot_connect(boot, address, port, &fd, err);
    if (rc)
        return rc;
    colo__boot_tune(boot, fd, number != COLO_BOOT_CONTROL);
    rc = colo__link_tls_open(fd, false, boot->key, boot->identity,
                             boot->deadline_us, boot->cancel_fd, &link,
                             &why);
    if (rc)
        return colo__fail(err, rc, why.sys_errno, WHERE,
                          "%s port %u: %s (try --address or --transport ssh)",
                          address, (unsigned)port, why.text);
    rc = colo__link_ops(link)->send(link, &tag, 1, boot->timeout_ms, err);
    if (rc) {
        colo__link_ops(link)->close(link);
        return rc;
    }
    *colo__boot_place(boot, number) = link;
    return 0;
}

/* What ssh calls the host, when that is all there is: the far end did not
 * know, or its address means nothing here. */
static const char *host_of(const char *peer)
{
    const char *at = strrchr(peer, '@');

    return at ? at + 1 : peer;
}

static const char *where_to(const struct colo_bootstrap *boot,
                            const struct colo_boot_line *answer)
{
    if (boot->address)
        return boot->address;
    if (!answer->address[0] || strncasecmp(answer->address, "fe80:", 5) == 0)
        return host_of(boot->peer);
    return answer->address;
}

static int open_tls(struct colo_bootstrap *boot, struct colo_error *err)
{
    struct colo_boot_line answer;
    const char *address;
    int rc;

    rc = exchange(boot, COLO_BOOT_CONTROL, &answer, err);
    if (rc)
        return rc;
    if (!answer.port)
        return colo__fail(err, COLO_E_PROTO, 0, WHERE, "%s named no port",
                          boot->peer);
    address = where_to(boot, &answer);
    colo__log(&boot->log, COLO_LOG_DEBUG, -1, WHERE, "connecting to %s port "
              "%u", address, (unsigned)answer.port);
    for (unsigned i = 0; colo__boot_place(boot, i); i++) {
        rc = make_tls(boot, address, answer.port, i, err);
        if (rc)
            return rc;
    }
    /* From here on the links speak for the peer. */
    colo__child_end(&boot->child[0], GRACE_MS);
    return 0;
}

/* ---- everything through ssh -------------------------------------------- */

static int link_to(struct colo_child *child, struct colo_link **ret_link,
                   struct colo_error *err)
{
    int fd = child->stdio;

    child->stdio = -1;
    return colo__link_fd_new(fd, ret_link, err);
}

static int open_ssh(struct colo_bootstrap *boot, struct colo_error *err)
{
    struct colo_boot_line answer;
    struct colo_link **place;
    int rc;

    for (unsigned i = 0; colo__boot_place(boot, i); i++) {
        rc = exchange(boot, i, &answer, err);
        if (rc)
            return rc;
    }
    boot->result.helper_pid = boot->child[0].pid;
    for (unsigned i = 0; (place = colo__boot_place(boot, i)); i++) {
        rc = link_to(&boot->child[i], place, err);
        if (rc)
            return rc;
    }
    return 0;
}

static int new_secrets(struct colo_bootstrap *boot, struct colo_error *err)
{
    if (getrandom(boot->key, sizeof(boot->key), 0) !=
        (ssize_t)sizeof(boot->key) ||
        getrandom(boot->result.session, sizeof(boot->result.session), 0) !=
        (ssize_t)sizeof(boot->result.session))
        return colo__fail(err, COLO_E_SYS, errno, WHERE,
                          "no random numbers for a key");
    colo__hex_encode(boot->result.session, sizeof(boot->result.session),
                     boot->identity);
    return 0;
}

int colo__boot_primary(struct colo_bootstrap *boot, struct colo_error *err)
{
    int rc;

    snprintf(boot->result.peer, sizeof(boot->result.peer), "%s", boot->peer);
    rc = new_secrets(boot, err);
    if (rc)
        return rc;
    return boot->transport == COLO_TRANSPORT_SSH ? open_ssh(boot, err)
                                                 : open_tls(boot, err);
}
