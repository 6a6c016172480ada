/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * restore UUID: libvirtd makes the replica, paused, and thinks that it restores
 * a guest that was saved in a file: the file is a FIFO, into which a child
 * writes libvirt's header, the XML from fd 5, and the stream from stdin.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <xenstore.h>

#include "lv.h"
#include "pure/seed-header.h"
#include "save-image.h"

#define CHUNK (1u << 20)

/* Whatever ends it: the name goes first, or libvirtd could still open it, and
 * wait for somebody who writes. */
static void pump(int fifo, const char *path, const char *xml, size_t len)
{
    uint8_t header[SAVE_IMAGE_HEADER];
    ssize_t n = -1;

    save_image_header(header, (uint32_t)len);
    if (write_all(fifo, header, sizeof(header)) && write_all(fifo, xml, len)) {
        do {
            n = splice(STDIN_FILENO, NULL, fifo, NULL, CHUNK, SPLICE_F_MOVE);
        } while (n > 0 || (n < 0 && errno == EINTR));
    }
    unlink(path);
    _exit(n ? EXIT_FAILED : EXIT_OK);
}

/* -1, or the child; it alone has the FIFO open for writing, so its end is the
 * end of what libvirtd reads. */
static pid_t start_pump(const char *path, const char *xml, size_t len)
{
    pid_t parent = getpid(), pid = -1;
    int fifo = -1;

    (void)mkdir(LIBVIRT_FIFO_DIR, 0700);
    (void)unlink(path);
    if (mkfifo(path, 0600) < 0) {
        report("error", "%s: %s", path, strerror(errno));
        return -1;
    }
    /* for reading, too: opening waits for nobody */
    fifo = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fifo >= 0)
        pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(EXIT_FAILED);
        pump(fifo, path, xml, len);
    }
    if (pid < 0)
        report("error", "%s: %s", path, strerror(errno));
    if (fifo >= 0)
        close(fifo);
    return pid;
}

/* Under its own name and paused, it looks like a guest that somebody has
 * paused.  While this node is there, it is a copy (hv-xen-replica.c). */
static bool mark(uint32_t domid)
{
    struct xs_handle *xs = xs_open(0);
    bool marked = false;
    char path[64];

    snprintf(path, sizeof(path), "/local/domain/%u/libcolo-copy", domid);
    if (xs)
        marked = xs_write(xs, XBT_NULL, path, "1", 1);
    xs_close(xs);
    if (!marked)
        report("error", "cannot mark domain %u as a copy", domid);
    return marked;
}

static int report_domain(virConnectPtr conn, const char *uuid)
{
    virDomainPtr dom = virDomainLookupByUUIDString(conn, uuid);
    unsigned id = dom ? virDomainGetID(dom) : 0;

    if (dom)
        virDomainFree(dom);
    if (!id || id >= 0x7ff0) {
        lv_error("the restored guest");
        return EXIT_FAILED;
    }
    if (!mark(id))
        return EXIT_FAILED;
    report("domid", "%u", id);
    return EXIT_OK;
}

int lv_restore(const char *uuid)
{
    virConnectPtr conn = lv_connect();
    int status = EXIT_FAILED, r = -1;
    char path[64], *xml = NULL;
    pid_t pid;

    if (!conn)
        return EXIT_ABSENT;
    snprintf(path, sizeof(path), LIBVIRT_FIFO, (int)getpid());
    xml = read_text(XML_FD, -1); /* a file */
    if (!xml) {
        report("error", "the guest's definition cannot be read");
        goto out;
    }
    pid = start_pump(path, xml, strlen(xml) + 1);
    if (pid > 0)
        r = virDomainRestoreFlags(conn, path, NULL, VIR_DOMAIN_SAVE_PAUSED);
    if (pid > 0 && r < 0)
        lv_error("restore");
    unlink(path);
    if (pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    if (r == 0)
        status = report_domain(conn, uuid);
out:
    free(xml);
    lv_close(conn, NULL);
    return status;
}
