/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The command line of colo-net, colo-net(8).
 */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "serve.h"

#define EXIT_USAGE 2

static const char usage_text[] =
    "usage: colo-net serve --role primary|secondary --domain DOMAIN --vif VIF\n"
    "                [--id ID] [--bridge BRIDGE] [--hold MS] [--linger S]\n"
    "                [--policy CLASS=compare|pass|drop]...\n"
    "       colo-net cleanup [--take-over] VIF|--all\n";

static const struct option long_options[] = {
    { "role", required_argument, NULL, 'r' },
    { "domain", required_argument, NULL, 'd' },
    { "vif", required_argument, NULL, 'v' },
    { "id", required_argument, NULL, 'i' },
    { "bridge", required_argument, NULL, 'b' },
    { "hold", required_argument, NULL, 'H' },
    { "linger", required_argument, NULL, 'l' },
    { "policy", required_argument, NULL, 'P' },
    { "control", required_argument, NULL, 'c' },
    { "stream", required_argument, NULL, 'S' },
    { "take-over", no_argument, NULL, 't' },
    { "all", no_argument, NULL, 'a' },
    { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, 'V' },
    { NULL, 0, NULL, 0 },
};

struct arguments {
    struct net_options net;
    bool has_role, bad, take_over, all;
};

static void take_role(struct arguments *a, const char *text)
{
    a->has_role = true;
    a->net.secondary = strcmp(text, "secondary") == 0;
    a->bad |= !a->net.secondary && strcmp(text, "primary") != 0;
}

static uint32_t number(struct arguments *a, const char *text,
                       unsigned long max)
{
    char *end;
    unsigned long v = strtoul(text, &end, 10);

    a->bad |= *text == '-' || end == text || *end || v < 1 || v > max;
    return (uint32_t)v;
}

static void take_policy(struct arguments *a, const char *text)
{
    uint8_t class_of, policy;

    if (colo__compare_policy(text, &class_of, &policy))
        a->net.policy[class_of] = (uint8_t)(policy + 1);
    else
        a->bad = true;
}

static void take_option(struct arguments *a, int c)
{
    switch (c) {
    case 'r': take_role(a, optarg); break;
    case 'd': a->net.domain = optarg; break;
    case 'v': a->net.vif = optarg; break;
    case 'i': a->net.id = optarg; break;
    case 'b': a->net.bridge = optarg; break;
    case 'H': a->net.hold_ms = number(a, optarg, 60000); break;
    case 'l': a->net.linger_s = number(a, optarg, 3600); break;
    case 'P': take_policy(a, optarg); break;
    case 'c': a->net.control = optarg; break;
    case 'S': a->net.stream = optarg; break;
    case 't': a->take_over = true; break;
    case 'a': a->all = true; break;
    default: a->bad = true;
    }
}

struct sweep {
    bool take_over, all;
    int failed;
};

static void clean_one(void *user, const char *vif)
{
    struct sweep *s = user;
    struct colo_error err;
    int rc = net_cleanup(vif, s->take_over, &err);

    /* of all, those that live are not meant */
    if (!rc || (rc == COLO_E_EXISTS && s->all))
        return;
    net_say("%s", err.text);
    s->failed = 1;
}

static int cleanup(const struct arguments *a, const char *vif)
{
    struct sweep s = { .take_over = a->take_over, .all = a->all };
    struct colo_error err;

    if (!a->all) {
        clean_one(&s, vif);
    } else if (net_record_each(clean_one, &s, &err)) {
        net_say("%s", err.text);
        return 1;
    }
    return s.failed;
}

static int usage(void)
{
    fputs(usage_text, stderr);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    struct arguments a = { .net = { .hold_ms = 0 } };
    const char *command;
    int c;

    /* what is opened later must not become one of the three */
    while ((c = open("/dev/null", O_RDWR)) >= 0 && c < 3)
        ;
    if (c >= 0)
        close(c);
    umask(077);
    signal(SIGPIPE, SIG_IGN); /* also if nobody reads stderr any more */
    while ((c = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
        if (c == 'h') {
            fputs(usage_text, stdout);
            return 0;
        }
        if (c == 'V') {
            puts("colo-net " COLO_VERSION);
            return 0;
        }
        take_option(&a, c);
    }
    command = argv[optind];
    argc -= optind + 1;
    if (a.bad || !command)
        return usage();
    if (strcmp(command, "serve") == 0 && argc == 0 && a.has_role &&
        a.net.vif && (a.net.domain || a.net.control))
        return net_serve(&a.net);
    if (strcmp(command, "cleanup") == 0 && argc == !a.all)
        return cleanup(&a, argv[optind + 1]);
    return usage();
}
