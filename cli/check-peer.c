/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Asking the other host, see check-peer.h.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "check-peer.h"
#include "process.h"

#define PEER_MS 60000

static void refuse(struct check_report *report, const char *id,
                   const char *text, const char *advice)
{
    struct colo_check_item item = { COLO_CHECK_REFUSED, id, text, advice };

    check_report_item(report, &item);
}

/* What became of the command, when it was no answer. */
static void say_status(int status, char *buf, size_t cap)
{
    if (status == CLI_SILENT)
        snprintf(buf, cap, "no answer within %d s", PEER_MS / 1000);
    else if (status < 0)
        snprintf(buf, cap, "it could not be run to its end");
    else
        snprintf(buf, cap, "exit status %d%s", status,
                 status == CLI_OK || status == CLI_NOT_PROTECTABLE ?
                 ", and no findings that are understood here" : "");
}

/* 127 says that there is no such command, or that ld.so lacks a library of it,
 * as after an upgrade of Xen.  Asked apart: any shell has a word for it.  Which
 * of several words is the command's name is not known here. */
static int look_for(const char *ssh, const char *remote, const char *host,
                    int cancel_fd)
{
    char command[600], *answer = NULL;
    int status;

    if (strchr(remote, ' '))
        return CLI_FAILED;
    snprintf(command, sizeof(command), "command -v %s", remote);
    status = cli_capture(ssh, host, command, PEER_MS, cancel_fd, &answer);
    free(answer);
    return status;
}

/* What is asked; all: also what an older libcolo does not know.  False: it has
 * no room, and what is not asked for is not known to be there. */
static bool build_command(struct check_report *report, const char *remote,
                          const char *domain, bool all, char *buf, size_t cap)
{
    /* a number is this host's: there it would be somebody else */
    const char *name = domain[strspn(domain, "0123456789")] ? domain :
                       report->name;
    int n;

    n = snprintf(buf, cap, "%s check --host --json --pages %" PRIu64 "%s%s%s",
                 remote, report->need_pages,
                 report->mode == COLO_MODE_COLO ? " --mode colo" : "",
                 report->needs, all ? report->more : "");
    if (n < (int)cap && !report->needs_cut &&
        (!name[0] || check_quote(buf, cap, "--name", name)))
        return true;
    refuse(report, "needs-too-long", "the names of all that it needs there "
           "are too long to be asked for", "give it shorter ones");
    return false;
}

static int ask(struct check_report *report, const char *ssh, const char *host,
               const char *command, int cancel_fd, bool *ret_asked)
{
    char *answer = NULL;
    int status;

    status = cli_capture(ssh, host, command, PEER_MS, cancel_fd, &answer);
    *ret_asked = answer &&
                 (status == CLI_OK || status == CLI_NOT_PROTECTABLE) &&
                 check_report_merge(report, answer);
    free(answer);
    return status;
}

/* The same with the words of an older libcolo. */
static int ask_older(struct check_report *report, const char *ssh,
                     const char *host, const char *command, int cancel_fd,
                     bool *ret_asked)
{
    struct colo_check_item item = {
        COLO_CHECK_WARNING, "peer-older", "its libcolo is older, so its disks, "
        "network and libvirt could not be looked at", "install the same "
        "version of libcolo on both hosts"
    };
    int status = ask(report, ssh, host, command, cancel_fd, ret_asked);

    if (*ret_asked)
        check_report_item(report, &item);
    return status;
}

bool check_peer(struct check_report *report, const char *ssh,
                const char *remote, const char *host, const char *domain,
                int cancel_fd)
{
    char command[8192], text[700], became[80];
    bool asked, broken = false;
    int status;

    report->where = host;
    if (!build_command(report, remote, domain, true, command,
                       sizeof(command)))
        return true;
    status = ask(report, ssh, host, command, cancel_fd, &asked);
    if (status == CLI_USAGE && report->more[0] &&
        build_command(report, remote, domain, false, command,
                      sizeof(command)))
        status = ask_older(report, ssh, host, command, cancel_fd, &asked);
    if (asked)
        check_report_pair(report);
    if (status == 127) {
        int there = look_for(ssh, remote, host, cancel_fd);

        broken = there == CLI_OK;
        if (there < 0)
            status = there;
    }
    if (asked || status == CLI_CANCELLED)
        return asked;
    if (status == 127 && !broken && report->stock_ok) {
        report->absent = true;
        return false;
    }
    say_status(status, became, sizeof(became));
    /* without what this guest needs, which may be long */
    snprintf(text, sizeof(text), "`%s %s %s check --host --json ...`: %s", ssh,
             host, remote, became);
    refuse(report, "peer-unreachable", text,
           broken ? "it is there and cannot be started: install a libcolo that "
           "is built for the Xen there" :
           status == 127 ? "install libcolo there, or give --remote" :
           "ssh as root must work without a password, and libcolo of the "
           "same version must be installed there");
    return false;
}

void check_stock(struct check_report *report, const char *host, int mode)
{
    struct colo_check_item item = {
        COLO_CHECK_WARNING, "peer-stock", "it is taken for a host with stock "
        "Xen: what is committed there is not acknowledged, its sshd must be "
        "set to notice that this host is dead, and its xl creates and "
        "restarts no other guest meanwhile unless autoballoon is off there",
        "see A BACKUP WITH STOCK XEN in colo(1), or install libcolo there"
    };

    report->where = host;
    check_report_item(report, &item);
    if (mode == COLO_MODE_COLO)
        refuse(report, "peer-stock", "stock Xen knows mode remus only",
               "install libcolo there, or use --mode remus");
    if (report->disks)
        refuse(report, "peer-stock", "stock Xen keeps no disks in step",
               "install libcolo there, or put them where both hosts reach "
               "them and protect with --no-disks");
}
