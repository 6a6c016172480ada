/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * colo-disk: devices and proxies of protected disks.  Started by a session,
 * by the script block-colo, by libvirt's hook and by operators; see
 * colo-disk(8).  This file reads the command line.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "colo-disk.h"

#define EXIT_USAGE 2

void disk_say(const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    fprintf(stderr, "colo-disk: %s\n", text);
}

int disk_report(const struct colo_error *err)
{
    disk_say("%s", err->text);
    return 1;
}

static const char usage_text[] =
    "usage: colo-disk attach TARGET        make the device of a disk\n"
    "       colo-disk detach TARGET        take it away\n"
    "       colo-disk serve OPTION...      put a proxy beneath it\n"
    "         --role primary|secondary --domain UUID --vdev NAME\n"
    "         --target PATH [--spill-dir DIR] [--spill-limit BYTES]\n"
    "         [--memory-limit BYTES] [--timeout S] [--dead-time S] [--track]\n"
    "       colo-disk recover              after a proxy that was killed\n"
    "       colo-disk status [TARGET]\n"
    "       colo-disk force [--inconsistent] TARGET\n"
    "       colo-disk discard TARGET       the guest's disk is the other copy\n"
    "TARGET may also be the device, /dev/mapper/colo-..., where that tells.\n"
    "Every command but recover takes --meta-dir DIR.\n";

static const struct command {
    const char *name;
    int (*run)(const struct disk_options *options);
    int target;   /* 1 needed, 0 allowed, -1 none */
} commands[] = {
    { "attach", disk_cmd_attach, 1 },
    { "detach", disk_cmd_detach, 1 },
    { "serve", disk_cmd_serve, 1 },
    { "recover", disk_cmd_recover, -1 },
    { "status", disk_cmd_status, 0 },
    { "force", disk_cmd_force, 1 },
    { "discard", disk_cmd_discard, 1 },
};

static const struct option long_options[] = {
    { "role", required_argument, NULL, 'r' },
    { "domain", required_argument, NULL, 'd' },
    { "vdev", required_argument, NULL, 'v' },
    { "target", required_argument, NULL, 't' },
    { "meta-dir", required_argument, NULL, 'm' },
    { "spill-dir", required_argument, NULL, 's' },
    { "spill-limit", required_argument, NULL, 'L' },
    { "memory-limit", required_argument, NULL, 'M' },
    { "plugin", required_argument, NULL, 'p' },
    { "nbdkit", required_argument, NULL, 'n' },
    { "control", required_argument, NULL, 'c' },
    { "stream", required_argument, NULL, 'S' },
    { "timeout", required_argument, NULL, 'T' },
    { "dead-time", required_argument, NULL, 'D' },
    { "track", no_argument, NULL, 'k' },
    { "inconsistent", no_argument, NULL, 'i' },
    { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, 'V' },
    { NULL, 0, NULL, 0 },
};

static bool parse_seconds(const char *text, uint32_t *ret)
{
    char *end;
    unsigned long n;

    errno = 0;
    n = strtoul(text, &end, 10);
    if (errno || end == text || *end || *text == '-' || n > 86400)
        return false;
    *ret = (uint32_t)n;
    return true;
}

/* false: usage */
static bool take_option(struct disk_options *o, int c)
{
    switch (c) {
    case 'r': o->role = optarg; return true;
    case 'd': o->domain = optarg; return true;
    case 'v': o->vdev = optarg; return true;
    case 't': o->target = optarg; return true;
    case 'm': o->meta_dir = optarg; return true;
    case 's': o->spill_dir = optarg; return true;
    case 'L': o->spill_limit = optarg; return true;
    case 'M': o->memory_limit = optarg; return true;
    case 'p': o->plugin = optarg; return true;
    case 'n': o->nbdkit = optarg; return true;
    case 'c': o->control = optarg; return true;
    case 'S': o->stream = optarg; return true;
    case 'T': return parse_seconds(optarg, &o->timeout_s);
    case 'D': return parse_seconds(optarg, &o->dead_s);
    case 'k': o->track = true; return true;
    case 'i': o->inconsistent = true; return true;
    default: return false;
    }
}

static bool check_options(const struct disk_options *o,
                          const struct command *command)
{
    if (command->target == 1 && !o->target)
        return false;
    if (command->target == -1 && (o->target || o->meta_dir))
        return false;
    if (command->run != disk_cmd_serve)
        return !o->role && !o->domain && !o->vdev && !o->control &&
               !o->stream && !o->plugin && !o->nbdkit && !o->track;
    return o->role && o->domain && o->vdev &&
           (!strcmp(o->role, "primary") || !strcmp(o->role, "secondary"));
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; name && i < COLO_ARRAY_LEN(commands); i++) {
        if (!strcmp(commands[i].name, name))
            return &commands[i];
    }
    return NULL;
}

static int usage(void)
{
    fputs(usage_text, stderr);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    struct disk_options options = { .timeout_s = 30, .dead_s = 300 };
    const struct command *command;
    int c;

    /* what is opened later must not become one of the three */
    while ((c = open("/dev/null", O_RDWR)) >= 0 && c < 3)
        ;
    if (c >= 0)
        close(c);
    umask(077);
    while ((c = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
        if (c == 'h') {
            fputs(usage_text, stdout);
            return 0;
        }
        if (c == 'V') {
            puts("colo-disk " COLO_VERSION);
            return 0;
        }
        if (!take_option(&options, c))
            return usage();
    }
    command = find_command(argv[optind]);
    if (!command)
        return usage();
    if (optind + 1 < argc && !options.target)
        options.target = argv[++optind];
    if (optind + 1 != argc || !check_options(&options, command))
        return usage();
    return command->run(&options);
}
