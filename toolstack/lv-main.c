/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * colo-toolstack-libvirt: what colo-toolstack does for a guest of libvirt's,
 * through libvirtd, one command per process.  Only libcolo/toolstack/libvirt.c
 * starts it, and `colo check`, to know whether libvirt answers.  It may end at
 * any moment without harm to the guest: libvirtd may hang, so every command but
 * restore ends by SIGALRM at the latest; that is EXIT_ABSENT while a connection
 * is waited for.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libvirt/virterror.h>

#include "domid.h"
#include "lv.h"

#define URI "xen:///system"
#define CONNECT_S 10
#define COMMAND_S 60

static const char usage_text[] =
    "usage: colo-toolstack-libvirt xml DOMID | start DOMID | rearm DOMID |\n"
    "       destroy DOMID | restart DOMID | restore UUID | look here\n"
    "Started by colo-toolstack and colo; see libcolo(3).\n";

/* ---- libvirtd ---- */

static void keep_silent(void *user, virErrorPtr error)
{
    (void)user;
    (void)error;
}

void lv_error(const char *what)
{
    report("error", "libvirt: %s: %s", what, virGetLastErrorMessage());
}

/* One that takes the connection and says nothing is as good as none: nothing
 * was asked of it so far, and the caller goes on without it. */
static void is_absent(int number)
{
    (void)number;
    _exit(EXIT_ABSENT);
}

virConnectPtr lv_connect(void)
{
    virConnectPtr conn;
    unsigned left;

    virSetErrorFunc(NULL, keep_silent);
    signal(SIGALRM, is_absent);
    left = alarm(CONNECT_S);
    conn = virConnectOpen(URI);
    alarm(left);
    signal(SIGALRM, SIG_DFL);
    if (!conn)
        report("warning", "libvirt: %s", virGetLastErrorMessage());
    return conn;
}

int lv_open(uint32_t domid, virConnectPtr *ret_conn, virDomainPtr *ret_dom)
{
    *ret_dom = NULL;
    *ret_conn = lv_connect();
    if (!*ret_conn)
        return EXIT_ABSENT;
    *ret_dom = virDomainLookupByID(*ret_conn, (int)domid);
    return *ret_dom ? EXIT_OK : EXIT_ABSENT;
}

void lv_close(virConnectPtr conn, virDomainPtr dom)
{
    if (dom)
        virDomainFree(dom);
    if (conn)
        virConnectClose(conn);
}

char *lv_definition(virDomainPtr dom, unsigned flags)
{
    char *xml = virDomainGetXMLDesc(dom, VIR_DOMAIN_XML_SECURE | flags);

    if (!xml)
        lv_error("the guest's definition");
    return xml;
}

/* ---- xml ---- */

static int lv_xml(uint32_t domid)
{
    virConnectPtr conn;
    virDomainPtr dom;
    char *xml = NULL;
    int status = lv_open(domid, &conn, &dom);

    if (status)
        goto out;
    status = EXIT_FAILED;
    xml = lv_definition(dom, 0);
    if (xml && fputs(xml, stdout) >= 0 && !fflush(stdout))
        status = EXIT_OK;
out:
    free(xml);
    lv_close(conn, dom);
    return status;
}

/* ---- look ---- */

/* Is there a libvirt that has Xen?  Of interest to who will need it. */
static int lv_look(void)
{
    virConnectPtr conn = lv_connect();

    lv_close(conn, NULL);
    return conn ? EXIT_OK : EXIT_ABSENT;
}

/* ---- command line ---- */

static int usage(void)
{
    fputs(usage_text, stderr);
    return EXIT_USAGE;
}

static bool open_missing(void)
{
    for (int fd = 0; fd <= XML_FD; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            return false;
    }
    fcntl(REPORT_FD, F_SETFD, FD_CLOEXEC);
    fcntl(LIFE_FD, F_SETFD, FD_CLOEXEC);
    fcntl(XML_FD, F_SETFD, FD_CLOEXEC);
    return true;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(uint32_t domid);
    } commands[] = {
        { "xml", lv_xml },
        { "start", lv_start },
        { "rearm", lv_rearm },
        { "destroy", lv_destroy },
        { "restart", lv_restart },
    };
    uint32_t domid;

    if (!open_missing())
        return EXIT_FAILED;
    signal(SIGPIPE, SIG_IGN);
    if (argc != 3)
        return usage();
    if (!strcmp(argv[1], "restore"))
        return lv_restore(argv[2]);
    if (!strcmp(argv[1], "look"))
        return lv_look();
    domid = domid_of(argv[2]);
    for (size_t i = 0; domid && i < sizeof(commands) / sizeof(commands[0]);
         i++) {
        if (strcmp(argv[1], commands[i].name))
            continue;
        alarm(COMMAND_S);
        return commands[i].run(domid);
    }
    return usage();
}
