/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See libvirt.h: starts colo-toolstack-libvirt and waits for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libvirt.h"
#include "pure/seed-header.h"

#define HELPER COLO_LIBEXECDIR "/colo-toolstack-libvirt"
#define USERDATA "libvirt-xml"
#define XML_MS 20000

int toolstack_word(const char *word)
{
    if (!strcmp(word, "auto"))
        return TOOLSTACK_AUTO;
    if (!strcmp(word, "xl"))
        return TOOLSTACK_XL;
    return strcmp(word, "libvirt") ? -1 : TOOLSTACK_LIBVIRT;
}

bool libvirt_has(libxl_ctx *ctx, uint32_t domid)
{
    uint8_t *data = NULL;
    int len = 0;
    bool has;

    has = !libxl_userdata_retrieve(ctx, domid, USERDATA, &data, &len) &&
          len > 0;
    free(data);
    return has;
}

/* In the child.  fd 3 and 4 are this process's.  Once this process has ended,
 * the helper must not go on for nobody: it dies, or undoes what it has begun,
 * see supervise.c. */
static void become_helper(pid_t parent, const char *const *argv, int out_fd,
                          int xml_fd)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || dup2(out_fd, STDOUT_FILENO) < 0 ||
        (xml_fd >= 0 && dup2(xml_fd, XML_FD) < 0))
        _exit(EXIT_FAILED);
    fcntl(XML_FD, F_SETFD, xml_fd < 0 ? FD_CLOEXEC : 0);
    fcntl(REPORT_FD, F_SETFD, 0);
    fcntl(LIFE_FD, F_SETFD, 0);
    execv(HELPER, (char *const *)(uintptr_t)argv);
    _exit(EXIT_ABSENT);
}

static pid_t start_helper(const char *command, const char *arg, int out_fd,
                          int xml_fd)
{
    const char *const argv[] = { HELPER, command, arg, NULL };
    pid_t parent = getpid(), pid = fork();

    if (pid == 0)
        become_helper(parent, argv, out_fd, xml_fd);
    if (pid < 0)
        report("error", "cannot fork");
    return pid;
}

/* It has deadlines of its own. */
static int wait_helper(pid_t pid)
{
    int status = 0;

    if (pid < 0)
        return EXIT_FAILED;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return EXIT_FAILED;
    }
    if (!WIFEXITED(status))
        return EXIT_FAILED;
    /* 127: a library of libvirt's is missing */
    return WEXITSTATUS(status) == 127 ? EXIT_ABSENT : WEXITSTATUS(status);
}

int libvirt_do(const char *command, uint32_t domid)
{
    char number[16];

    snprintf(number, sizeof(number), "%u", domid);
    return wait_helper(start_helper(command, number, STDERR_FILENO, -1));
}

char *libvirt_xml(uint32_t domid)
{
    char number[16], *text = NULL;
    int fds[2];
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return NULL;
    snprintf(number, sizeof(number), "%u", domid);
    pid = start_helper("xml", number, fds[1], -1);
    close(fds[1]);
    if (pid > 0)
        text = read_text(fds[0], XML_MS);
    close(fds[0]); /* one that still writes ends */
    if (wait_helper(pid) != EXIT_OK) {
        free(text);
        text = NULL;
    }
    return text;
}

int libvirt_restore(const char *xml, const char *uuid, pid_t *ret_helper)
{
    int status = EXIT_FAILED, fd;
    size_t len = strlen(xml);

    fd = memfd_create("libvirt-xml", MFD_CLOEXEC);
    if (fd < 0 || !write_all(fd, xml, len) || lseek(fd, 0, SEEK_SET)) {
        report("error", "no memory");
    } else {
        *ret_helper = start_helper("restore", uuid, STDERR_FILENO, fd);
        status = wait_helper(*ret_helper);
    }
    if (fd >= 0)
        close(fd);
    return status;
}

/* A reader that waits for somebody to write is released by one that comes,
 * finds the end, and gives up; who opens it in between finds that, too. */
void libvirt_restore_undo(pid_t helper)
{
    char path[64];
    int fd;

    if (helper <= 0)
        return;
    snprintf(path, sizeof(path), LIBVIRT_FIFO, (int)helper);
    fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    (void)unlink(path);
    if (fd >= 0)
        close(fd);
}
