/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See check-host.h.  What a disk's metadata says is colo-disk's to know, and
 * whether libvirt answers colo-toolstack-libvirt's: both are asked as programs.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/fs.h>

#include "check-host.h"
#include "process.h"

#define DISK_MS 20000
#define LIBVIRT_MS 20000 /* it gives up itself after 10 s */

static void add(struct check_report *report, int result, const char *id,
                const char *text, const char *advice)
{
    struct colo_check_item item = { result, id, text, advice };

    check_report_item(report, &item);
}

/* ---- names, bridges, files ---------------------------------------------- */

/* A replica needs its name: a domain that has it, or has what is left of an
 * earlier attempt, is in the way. */
static void check_name(struct check_report *report,
                       const struct check_needs *needs, const char *name,
                       const char *advice)
{
    struct colo_error err;
    char text[160];
    int rc;

    rc = colo_check_domain(name, needs->mode, NULL, NULL, &err);
    snprintf(text, sizeof(text), "a domain called %s is there already", name);
    if (rc == COLO_E_NOTFOUND)
        return;
    if (rc < 0)
        add(report, COLO_CHECK_REFUSED, "name-unknown", err.text, "");
    else
        add(report, COLO_CHECK_REFUSED, "name-taken", text, advice);
}

static void check_names(struct check_report *report,
                        const struct check_needs *needs)
{
    char incoming[160];

    check_name(report, needs, needs->name, "if it is the same guest, both "
               "hosts may run it: do not destroy either before you know whose "
               "data counts (colo(1), WHEN BOTH RUN); else rename it, or "
               "choose another host");
    snprintf(incoming, sizeof(incoming), "%s--incoming", needs->name);
    check_name(report, needs, incoming, "it is a replica, or has been one: "
               "look at `colo status` and `xl list` there; if it has no "
               "session and is paused, `xl destroy` it");
}

/* The guest's network is made on this bridge when it takes over. */
static void check_bridge(struct check_report *report, const char *bridge)
{
    char path[128], text[160];

    snprintf(text, sizeof(text), "there is no bridge %s", bridge);
    if (strchr(bridge, '/') ||
        snprintf(path, sizeof(path), "/sys/class/net/%s/bridge", bridge) >=
        (int)sizeof(path) || access(path, F_OK))
        add(report, COLO_CHECK_REFUSED, "bridge-missing", text,
            "make it, in the network that the guest is in");
}

static void check_file(struct check_report *report, const char *file)
{
    char text[240];

    snprintf(text, sizeof(text), "there is no file %s", file);
    if (access(file, R_OK))
        add(report, COLO_CHECK_WARNING, "file-missing", text,
            "copy it to this host: without it the guest cannot boot again "
            "here after a takeover");
}

/* ---- disks -------------------------------------------------------------- */

bool check_disk_parse(char *text, struct check_disk *ret_disk)
{
    char *colon = strrchr(text, ':');

    if (text[0] != '/' || !colon) {
        cli_say("--disk %s: give PATH:BYTES", text);
        return false;
    }
    *colon = '\0';
    ret_disk->target = text;
    return cli_number("--disk PATH:BYTES", colon + 1, 0, UINT64_MAX,
                      &ret_disk->bytes);
}

/* False: errno says why there is no such disk. */
static bool look_at_disk(const char *target, uint64_t *ret_size,
                         bool *ret_is_file)
{
    int fd = open(target, O_RDONLY | O_NONBLOCK | O_CLOEXEC), saved;
    uint64_t size = 0;
    struct stat st;
    int r;

    if (fd < 0)
        return false;
    r = fstat(fd, &st);
    *ret_is_file = !r && S_ISREG(st.st_mode);
    if (*ret_is_file)
        size = (uint64_t)st.st_size;
    else if (!r)
        r = ioctl(fd, BLKGETSIZE64, &size);
    saved = errno;
    close(fd);
    errno = saved;
    *ret_size = size / 512 * 512; /* as a proxy has it */
    return r == 0;
}

static void check_size(struct check_report *report,
                       const struct check_disk *disk, uint64_t size)
{
    char text[700];

    if (!disk->bytes || disk->bytes == size)
        return;
    snprintf(text, sizeof(text), "%s has %" PRIu64 " bytes, the guest's disk "
             "%" PRIu64, disk->target, size, disk->bytes);
    add(report, COLO_CHECK_REFUSED, "disk-size", text,
        "make both equally large");
}

/* What no other copy has is not overwritten, see colo-disk(8). */
static void check_copy(struct check_report *report, const char *target)
{
    char text[700], *answer = NULL, *says;
    int status;

    status = cli_capture(COLO_LIBEXECDIR "/colo-disk", "status", target,
                         DISK_MS, -1, &answer);
    says = answer ? answer : (char[]){ "" };
    if (!strncmp(says, target, strlen(target)))
        says += strlen(target);
    if (status != CLI_OK) {
        snprintf(text, sizeof(text), "`colo-disk status %s` fails", target);
        add(report, COLO_CHECK_REFUSED, "disk-unknown", text,
            "its message says why; install libcolo as a whole");
    } else if (strstr(says, " alone ")) {
        snprintf(text, sizeof(text), "the copy %s may have writes that no "
                 "other has", target);
        add(report, COLO_CHECK_REFUSED, "disk-alone", text, "protect the "
            "guest from this host, or give them up: `colo-disk discard` here "
            "(colo(1), WHEN BOTH RUN)");
    } else if (strstr(says, " metadata unreadable")) {
        snprintf(text, sizeof(text), "what is known of the copy %s cannot be "
                 "read", target);
        add(report, COLO_CHECK_REFUSED, "disk-unreadable", text, "if it may be "
            "overwritten: `colo-disk force --inconsistent`, then `colo-disk "
            "discard` here");
    }
    free(answer);
}

static void check_disk(struct check_report *report,
                       const struct check_disk *disk)
{
    bool is_file = false;
    uint64_t size = 0;
    char text[700];

    if (!look_at_disk(disk->target, &size, &is_file)) {
        snprintf(text, sizeof(text), "there is no disk %s: %s", disk->target,
                 strerror(errno));
        add(report, COLO_CHECK_REFUSED, "disk-missing", text, "make it here "
            "under the same path, as large as the guest's");
        return;
    }
    if (is_file && access("/dev/loop-control", F_OK))
        add(report, COLO_CHECK_REFUSED, "disk-modules", "a disk on a file "
            "needs loop devices, and there are none here", "modprobe loop");
    check_size(report, disk, size);
    check_copy(report, disk->target);
}

/* ---- libvirt ------------------------------------------------------------ */

static void check_libvirt(struct check_report *report, int32_t toolstack)
{
    bool must = toolstack == COLO_TOOLSTACK_LIBVIRT;
    char *answer = NULL;
    int status;

    if (!must && toolstack != COLO_TOOLSTACK_AUTO)
        return;
    status = cli_capture(COLO_LIBEXECDIR "/colo-toolstack-libvirt", "look",
                         "here", LIBVIRT_MS, -1, &answer);
    free(answer);
    if (status != CLI_OK)
        add(report, must ? COLO_CHECK_REFUSED : COLO_CHECK_WARNING,
            "no-libvirt", must ? "no libvirt that has Xen answers here" :
            "no libvirt that has Xen answers here: the replica will be xl's "
            "alone", "install libvirt's Xen driver and start it, or use "
            "--toolstack xl");
}

/* ---- all of it ---------------------------------------------------------- */

struct here {
    struct check_report *report;
    const struct check_needs *needs;
};

/* The library warns of what only some guests need. */
static void take_item(void *user, const struct colo_check_item *item)
{
    const struct here *here = user;
    bool disk = !strncmp(item->id, "disk-", 5);
    bool net = !strncmp(item->id, "net-", 4);
    struct colo_check_item mine = *item;

    if ((disk || net) && here->needs->guest) {
        if (!(disk ? here->needs->n_disks > 0 : here->needs->nets))
            return;
        mine.result = COLO_CHECK_REFUSED;
    }
    check_report_item(here->report, &mine);
}

int check_host(struct check_report *report, const struct check_needs *needs,
               bool json)
{
    struct here here = { report, needs };
    struct colo_error err;
    int rc;

    if (!check_report_begin(report, json, NULL, NULL))
        return CLI_FAILED;
    report->where = "this host";
    rc = colo_check_host(needs->pages, take_item, &here, &err);
    if (rc < 0)
        add(report, COLO_CHECK_REFUSED, "cannot-look", err.text, "");
    if (rc >= 0 && needs->name)
        check_names(report, needs);
    for (int i = 0; i < needs->n_bridges; i++)
        check_bridge(report, needs->bridges[i]);
    for (int i = 0; i < needs->n_files; i++)
        check_file(report, needs->files[i]);
    for (int i = 0; i < needs->n_disks; i++)
        check_disk(report, &needs->disks[i]);
    check_libvirt(report, needs->toolstack);
    return check_report_end(report, "this host can hold a replica",
                            "this host cannot hold a replica");
}
