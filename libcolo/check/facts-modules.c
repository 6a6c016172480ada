/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * What does dom0 lack that followers of checkpoints need?  Kernel modules:
 * loaded, built in, or to be found by modprobe, any will do; and what serves
 * disks.  And how large a disk is.  Any thread.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <linux/fs.h>

#include "check.h"

static const char *const net_modules[] = {
    "sch_plug", "ifb", "cls_matchall", "act_mirred", "sch_ingress", NULL,
};
/* colo-net: its place in the bridge, and keeping this host off the vif */
static const char *const colo_net_modules[] = {
    "tun", "sch_ingress", "cls_bpf", NULL,
};
/* not loop: only a disk on a file needs that, and a guest's has it already */
static const char *const disk_modules[] = { "nbd", "dm_mod", NULL };
static const char plugin[] = COLO_LIBEXECDIR "/nbdkit-colo-plugin.so";

/* "sch_plug" and "sch-plug" are the same module. */
static bool same_name(const char *file, size_t len, const char *name)
{
    for (size_t i = 0; i < len; i++) {
        char a = file[i] == '-' ? '_' : file[i];

        if (!name[i] || a != name[i])
            return false;
    }
    return name[len] == '\0';
}

/* A line of modules.dep or modules.builtin: PATH/NAME.ko[.xz][: ...] */
static bool line_has(const char *line, const char *name)
{
    size_t path = strcspn(line, ":\n");
    const char *file = line;

    for (size_t i = 0; i < path; i++)
        if (line[i] == '/')
            file = line + i + 1;
    return same_name(file, strcspn(file, ".:\n"), name);
}

static bool list_has(const char *list, const char *name)
{
    struct utsname kernel;
    char path[256], *line = NULL;
    bool found = false;
    size_t cap = 0;
    FILE *f;

    if (uname(&kernel))
        return false;
    snprintf(path, sizeof(path), "/lib/modules/%.100s/%s", kernel.release,
             list);
    f = fopen(path, "re");
    if (!f)
        return false;
    while (!found && getline(&line, &cap, f) > 0)
        found = line_has(line, name);
    free(line);
    fclose(f);
    return found;
}

static bool there(const char *name)
{
    char path[80];

    snprintf(path, sizeof(path), "/sys/module/%s", name);
    return access(path, F_OK) == 0 || list_has("modules.dep", name) ||
           list_has("modules.builtin", name);
}

static void missing(const char *const *names, char *buf, size_t cap)
{
    buf[0] = '\0';
    for (; *names; names++) {
        size_t n = strlen(buf);

        if (!there(*names))
            snprintf(buf + n, cap - n, "%s%s", n ? " " : "", *names);
    }
}

/* As execvp would look for it. */
static bool in_path(const char *program)
{
    const char *dir = getenv("PATH");
    size_t n;

    for (dir = dir ? dir : "/bin:/usr/bin"; *dir; dir += n + (dir[n] == ':')) {
        char path[PATH_MAX];

        n = strcspn(dir, ":");
        if (snprintf(path, sizeof(path), "%.*s/%s", (int)n, dir, program) <
            (int)sizeof(path) && access(path, X_OK) == 0)
            return true;
    }
    return false;
}

uint64_t colo__check_disk_size(const char *target)
{
    int fd = open(target, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    uint64_t size = 0;
    struct stat st;

    if (fd < 0)
        return 0;
    if (fstat(fd, &st))
        size = 0;
    else if (S_ISREG(st.st_mode))
        size = (uint64_t)st.st_size;
    else if (!S_ISBLK(st.st_mode) || ioctl(fd, BLKGETSIZE64, &size))
        size = 0;
    close(fd);
    return size / 512 * 512;
}

void colo__check_module_facts(struct colo_host_facts *facts)
{
    missing(net_modules, facts->no_net, sizeof(facts->no_net));
    missing(colo_net_modules, facts->no_colo_net,
            sizeof(facts->no_colo_net));
    missing(disk_modules, facts->no_disk, sizeof(facts->no_disk));
    facts->no_nbdkit = !in_path("nbdkit") ? "nbdkit" :
                       access(plugin, R_OK) ? plugin : NULL;
}
