/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The command line of colo-compare-pcap, colo-compare-pcap(1).
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay.h"

#define EXIT_DIVERGED 1
#define EXIT_USAGE 2
#define EXIT_FAILED 3

static const char usage_text[] =
    "usage: colo-compare-pcap [--guest MAC] [--align] [--go-on] [--hold MS]\n"
    "                [--ack MS] [--policy CLASS=compare|pass|drop]...\n"
    "                PRIMARY SECONDARY\n";

static const struct option long_options[] = {
    { "guest", required_argument, NULL, 'g' },
    { "align", no_argument, NULL, 'a' },
    { "go-on", no_argument, NULL, 'o' },
    { "hold", required_argument, NULL, 'H' },
    { "ack", required_argument, NULL, 'A' },
    { "policy", required_argument, NULL, 'P' },
    { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, 'V' },
    { NULL, 0, NULL, 0 },
};

/* All of these: false, it is not one. */
static bool take_mac(struct replay_options *o, const char *text)
{
    unsigned b[6];
    int n = -1;

    if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3],
               &b[4], &b[5], &n) != 6 || n < 0 || text[n])
        return false;
    for (int i = 0; i < 6; i++)
        o->guest[i] = (uint8_t)b[i];
    o->has_guest = true;
    return true;
}

static bool take_ms(uint32_t *ms, const char *text)
{
    char *end;
    unsigned long v = strtoul(text, &end, 10);

    *ms = (uint32_t)v;
    return *text != '-' && end != text && !*end && v >= 1 && v <= 60000;
}

static bool take_policy(struct replay_options *o, const char *text)
{
    uint8_t class_of, policy;

    if (!colo__compare_policy(text, &class_of, &policy))
        return false;
    o->compare.policy[class_of] = policy;
    return true;
}

static bool take_option(struct replay_options *o, int c)
{
    switch (c) {
    case 'g': return take_mac(o, optarg);
    case 'a': return o->align = true;
    case 'o': return o->go_on = true;
    case 'H': return take_ms(&o->compare.hold_ms, optarg);
    case 'A': return take_ms(&o->compare.ack_ms, optarg);
    case 'P': return take_policy(o, optarg);
    default: return false;
    }
}

static int compare(struct replay_options *o)
{
    struct replay r = { .options = o };
    struct colo_error err = { 0 };
    int rc = o->has_guest ? 0 : replay_guest(o, o->guest, &err);

    if (!rc)
        rc = replay_run(&r, &err);
    if (rc) {
        fprintf(stderr, "colo-compare-pcap: %s\n", err.text);
        return EXIT_FAILED;
    }
    if (fflush(stdout) || ferror(stdout))
        return EXIT_FAILED;
    return r.divergences ? EXIT_DIVERGED : 0;
}

int main(int argc, char **argv)
{
    struct replay_options o = { .has_guest = false };
    bool bad = false;
    int c;

    colo__compare_defaults(&o.compare);
    o.compare.vnet = 0;
    while ((c = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
        if (c == 'h') {
            fputs(usage_text, stdout);
            return 0;
        }
        if (c == 'V') {
            puts("colo-compare-pcap " COLO_VERSION);
            return 0;
        }
        bad |= !take_option(&o, c);
    }
    if (bad || argc - optind != 2) {
        fputs(usage_text, stderr);
        return EXIT_USAGE;
    }
    o.path[0] = argv[optind];
    o.path[1] = argv[optind + 1];
    return compare(&o);
}
