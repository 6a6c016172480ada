/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What the bootstrap tests run in place of ssh: themselves, as
 * "TEST fake-ssh MODE HOST COMMAND".
 */
#ifndef FAKE_SSH_H
#define FAKE_SSH_H

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "link-pair.h"

/* The other end of n links: sends back what comes, in capitals, until one is
 * closed. */
static inline void echo_upper(struct colo_link **l, unsigned n)
{
    for (;;) {
        struct pollfd p[2 + COLO_MAX_STREAMS];

        for (unsigned i = 0; i < n; i++) {
            p[i].fd = colo__link_ops(l[i])->fd(l[i]);
            p[i].events = POLLIN;
        }
        if (poll(p, n, 10000 * (int)SLOW) <= 0)
            return;
        for (unsigned i = 0; i < n; i++) {
            char buf[64];
            size_t len = 0;

            if (link_recv(l[i], buf, sizeof(buf), 0, &len, NULL))
                return;
            for (size_t k = 0; k < len; k++)
                buf[k] = (char)(buf[k] & ~0x20);
            if (len && link_send(l[i], buf, len, 1000, NULL))
                return;
        }
    }
}

static inline int fake_receive(void)
{
    struct colo_bootstrap_config config = {
        .in_fd = 0, .out_fd = 1, .timeout_ms = 5000 * SLOW,
    };
    struct colo_bootstrap_result result = { 0 };
    struct colo_bootstrap *boot = NULL;
    struct colo_error err = { 0 };
    struct colo_link *l[2 + COLO_MAX_STREAMS];
    unsigned n = 2;
    struct pollfd p = { .events = POLLIN };

    if (colo__bootstrap_start(&config, false, NULL, &boot, &err))
        return 1;
    p.fd = colo__bootstrap_fd(boot);
    poll(&p, 1, 10000 * (int)SLOW);
    close(0);
    close(1);
    close(2);
    if (!colo__bootstrap_finish(boot, &result, &err)) {
        l[0] = result.control;
        l[1] = result.bulk;
        while (n - 2 < result.streams) {
            l[n] = result.stream[n - 2];
            n++;
        }
        echo_upper(l, n);
        while (n)
            link_close(l[--n]);
    }
    colo__bootstrap_end(boot);
    return 0;
}

/* ssh ends when it is told to, and the command it ran does not: it is on
 * another host. */
static inline int fake_remote(const char *command)
{
    const char *attach = strstr(command, " --attach ");
    pid_t pid;

    setenv("SSH_CONNECTION", "127.0.0.1 40000 127.0.0.1 22", 1);
    pid = fork();
    if (pid == 0) {
        alarm(15 * SLOW);
        setsid();
        if (attach)
            _exit(colo__bootstrap_attach(attach + 10, 0, 1, NULL) != 0);
        _exit(fake_receive());
    }
    close(0);
    close(1);
    waitpid(pid, NULL, 0);
    return 0;
}

static inline void say(const char *text)
{
    if (write(1, text, strlen(text)) < 0) /* no test runs here to fail */
        _exit(99);
}

/* Whoever comes to this port meets another key. */
static inline int fake_impostor(void)
{
    static const uint8_t key[32] = { 9 };
    struct sockaddr_in sin = { .sin_family = AF_INET,
                               .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof(sin);
    struct colo_link *l = NULL;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (bind(fd, (struct sockaddr *)&sin, len) || listen(fd, 4) ||
        getsockname(fd, (struct sockaddr *)&sin, &len))
        return 1;
    printf("colo-bootstrap 1 ok port=%u address=127.0.0.1\n",
           (unsigned)ntohs(sin.sin_port));
    fflush(stdout);
    (void)colo__link_tls_new(accept(fd, NULL, NULL), true, key,
                             "00000000000000000000000000000000", 3000, &l,
                             NULL);
    pause();
    return 0;
}

static inline int fake_ssh_main(char **argv)
{
    const char *mode = argv[2], *command = argv[4];

    /* Never left behind by a test that failed. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(15 * SLOW);
    if (!strcmp(mode, "good"))
        return fake_remote(command);
    if (!strcmp(mode, "noisy")) {
        say("Welcome to this host.\n\n   Today: tea\n");
        fprintf(stderr, "warning: something\n");
        return fake_remote(command);
    }
    if (!strcmp(mode, "denied")) {
        fprintf(stderr, "a banner\nroot@far: Permission denied "
                "(publickey).\r\n");
        return 255;
    }
    if (!strcmp(mode, "missing")) {
        fprintf(stderr, "sh: 1: colo: not found\n");
        return 127;
    }
    if (!strcmp(mode, "unloadable")) {
        fprintf(stderr, "/usr/local/bin/colo: error while loading shared "
                "libraries: libxenctrl.so.4.17: cannot open shared object "
                "file: No such file or directory\n");
        return 127;
    }
    if (!strcmp(mode, "says")) {
        say("This account is currently not available.\n");
        return 1;
    }
    if (!strcmp(mode, "killed"))
        raise(SIGKILL);
    if (!strcmp(mode, "stubborn"))
        signal(SIGTERM, SIG_IGN);
    if (!strcmp(mode, "line"))
        say("colo-bootstrap 1 hello there\n");
    if (!strcmp(mode, "noport"))
        say("colo-bootstrap 1 ok\n");
    if (!strcmp(mode, "version"))
        say("colo-bootstrap 7 ok port=1\n");
    if (!strcmp(mode, "error"))
        say("colo-bootstrap 1 error no room for this guest\n");
    if (!strcmp(mode, "refused"))
        say("colo-bootstrap 1 ok port=1 address=127.0.0.1\n");
    if (!strcmp(mode, "impostor"))
        return fake_impostor();
    if (!strcmp(mode, "long")) {
        for (int i = 0; i < 2000; i++)
            say("x");
    }
    if (!strcmp(mode, "chatter")) {
        for (int i = 0; i < 300; i++)
            say("blah\n");
    }
    if (!strcmp(mode, "flood-stderr")) {
        for (int i = 0; i < 20000; i++)
            fprintf(stderr, "line %d\n", i);
        return fake_remote(command);
    }
    pause();
    return 0;
}

/* "THIS-TEST fake-ssh MODE" */
static inline const char *fake_ssh(const char *mode)
{
    static char command[600];
    char self[512];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

    ck_assert_int_gt(n, 0);
    self[n] = '\0';
    snprintf(command, sizeof(command), "%s fake-ssh %s", self, mode);
    return command;
}

#endif
