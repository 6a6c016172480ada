/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * Which kernel modules does dom0 lack that followers of checkpoints need?
 * Loaded, built in, or to be found by modprobe: any will do.  Any thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "check.h"

static const char *const net_modules[] = {
    "sch_plug", "ifb", "cls_matchall", "act_mirred", "sch_ingress", NULL,
};
/* colo-net: its place in the bridge, and keeping this host off the vif */
static const char *const colo_net_modules[] = {
    "tun", "sch_ingress", "cls_bpf", NULL,
};
static const char *const disk_modules[] = { "nbd", "dm_mod", "loop", NULL };

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

void colo__check_module_facts(struct colo_host_facts *facts)
{
    missing(net_modules, facts->no_net, sizeof(facts->no_net));
    missing(colo_net_modules, facts->no_colo_net,
            sizeof(facts->no_colo_net));
    missing(disk_modules, facts->no_disk, sizeof(facts->no_disk));
}
