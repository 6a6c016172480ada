/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * colo check: can this guest be protected on that host?  Every reason why
 * not, of both hosts, before anything is touched.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check-peer.h"

#define NEEDS_MAX 16 /* more bridges or files are not looked at */

struct check {
    struct check_report report;
    const char *ssh, *remote; /* the ssh command, colo on the other host */
    const char *name;         /* --host: a name that must be free */
    uint64_t pages;           /* --host: memory that must be free */
    const char *bridges[NEEDS_MAX], *files[NEEDS_MAX]; /* --host */
    int n_bridges, n_files;
    int32_t mode, peer;       /* COLO_MODE_*, COLO_PEER_* */
    bool host, json;
};

static void add(struct check_report *report, int result, const char *id,
                const char *text, const char *advice)
{
    struct colo_check_item item = { result, id, text, advice };

    check_report_item(report, &item);
}

/* ---- this host as a backup --------------------------------------------- */

/* A replica needs its name: a domain that has it, or has what is left of an
 * earlier attempt, is in the way. */
static void check_name(struct check *check, const char *name,
                       const char *advice)
{
    struct colo_error err;
    char text[160];
    int rc;

    rc = colo_check_domain(name, check->mode, NULL, NULL, &err);
    snprintf(text, sizeof(text), "a domain called %s is on this host", name);
    if (rc == COLO_E_NOTFOUND)
        return;
    if (rc < 0)
        add(&check->report, COLO_CHECK_REFUSED, "name-unknown", err.text, "");
    else
        add(&check->report, COLO_CHECK_REFUSED, "name-taken", text,
            advice);
}

/* The guest's network is made on this bridge when it takes over. */
static void check_bridge(struct check *check, const char *bridge)
{
    char path[128], text[160];

    snprintf(text, sizeof(text), "there is no bridge %s", bridge);
    if (strchr(bridge, '/') ||
        snprintf(path, sizeof(path), "/sys/class/net/%s/bridge", bridge) >=
        (int)sizeof(path) || access(path, F_OK))
        add(&check->report, COLO_CHECK_REFUSED, "bridge-missing", text,
            "make it, in the network that the guest is in");
}

static void check_file(struct check *check, const char *file)
{
    char text[240];

    snprintf(text, sizeof(text), "there is no file %s", file);
    if (access(file, R_OK))
        add(&check->report, COLO_CHECK_WARNING, "file-missing", text,
            "copy it to this host: without it the guest cannot boot again "
            "here after a takeover");
}

static int check_host(struct check *check)
{
    struct colo_error err;
    char incoming[160];
    int rc;

    if (!check_report_begin(&check->report, check->json, NULL, NULL))
        return CLI_FAILED;
    check->report.where = "this host";
    rc = colo_check_host(check->pages, check_report_item, &check->report,
                         &err);
    if (rc < 0)
        add(&check->report, COLO_CHECK_REFUSED, "cannot-look", err.text, "");
    if (rc >= 0 && check->name) {
        check_name(check, check->name, "if it is the same guest, both hosts "
                   "may run it: do not destroy either before you know whose "
                   "data counts (colo(1), WHEN BOTH RUN); else rename it, or "
                   "choose another host");
        snprintf(incoming, sizeof(incoming), "%s--incoming", check->name);
        check_name(check, incoming, "it is a replica, or has been one: look "
                   "at `colo status` and `xl list` here; if it has no session "
                   "and is paused, `xl destroy` it");
    }
    for (int i = 0; i < check->n_bridges; i++)
        check_bridge(check, check->bridges[i]);
    for (int i = 0; i < check->n_files; i++)
        check_file(check, check->files[i]);
    return check_report_end(&check->report,
                            "this host can hold a replica",
                            "this host cannot hold a replica");
}

/* ---- a guest of this host and the other host ---------------------------- */

/* As colo protect does with the same --peer. */
static void ask_peer(struct check *check, const char *domain,
                     const char *host)
{
    struct check_report *report = &check->report;

    report->stock_ok = check->peer == COLO_PEER_AUTO;
    if (check->peer != COLO_PEER_STOCK)
        check_peer(report, check->ssh, check->remote, host, domain, -1);
    if (check->peer == COLO_PEER_STOCK || report->absent)
        check_stock(report, host, check->mode);
}

static int check_domain(struct check *check, const char *domain,
                        const char *host)
{
    struct check_report *report = &check->report;
    char yes[200], no[200];
    struct colo_error err;
    int rc, code;

    if (!check_report_begin(report, check->json, domain, host))
        return CLI_FAILED;
    report->where = "this host";
    rc = colo_check_domain(domain, check->mode, check_report_item, report,
                           &err);
    if (rc == COLO_E_NOTFOUND) {
        if (report->gen)
            yajl_gen_free(report->gen);
        return cli_fail(&err, "%s", domain);
    }
    if (rc < 0)
        add(report, COLO_CHECK_REFUSED, "cannot-look", err.text, "");
    if (host)
        ask_peer(check, domain, host);
    snprintf(yes, sizeof(yes), "%s can be protected%s%s", domain,
             host ? " on " : "", host ? host : "");
    snprintf(no, sizeof(no), "%s cannot be protected%s%s", domain,
             host ? " on " : "", host ? host : "");
    code = check_report_end(report, yes, no);
    return code;
}

/* ---- command line ------------------------------------------------------- */

enum {
    OPT_BRIDGE = 256, OPT_FILE, OPT_HOST, OPT_MODE, OPT_NAME, OPT_PAGES,
    OPT_PEER, OPT_REMOTE, OPT_SSH
};

static const struct option options[] = {
    { "bridge", required_argument, NULL, OPT_BRIDGE },
    { "file", required_argument, NULL, OPT_FILE },
    { "help", no_argument, NULL, 'h' },
    { "host", no_argument, NULL, OPT_HOST },
    { "json", no_argument, NULL, 'j' },
    { "mode", required_argument, NULL, OPT_MODE },
    { "name", required_argument, NULL, OPT_NAME },
    { "pages", required_argument, NULL, OPT_PAGES },
    { "peer", required_argument, NULL, OPT_PEER },
    { "remote", required_argument, NULL, OPT_REMOTE },
    { "ssh", required_argument, NULL, OPT_SSH },
    { "verbose", no_argument, NULL, 'v' },
    { NULL, 0, NULL, 0 }
};

static bool set_option(struct check *check, int c)
{
    static const char *const modes[] = { "remus", "colo", NULL };
    int i;

    switch (c) {
    case 'j':
        check->json = true;
        return true;
    case 'v':
        check->report.verbose = true;
        return true;
    case OPT_BRIDGE:
        if (check->n_bridges < NEEDS_MAX)
            check->bridges[check->n_bridges++] = optarg;
        return true;
    case OPT_FILE:
        if (check->n_files < NEEDS_MAX)
            check->files[check->n_files++] = optarg;
        return true;
    case OPT_HOST:
        check->host = true;
        return true;
    case OPT_MODE:
        i = cli_choice("--mode", optarg, modes);
        check->mode = i == 1 ? COLO_MODE_COLO : COLO_MODE_REMUS;
        return i >= 0;
    case OPT_NAME:
        check->name = optarg;
        return true;
    case OPT_PAGES:
        return cli_number("--pages", optarg, 0, UINT64_C(1) << 40,
                          &check->pages);
    case OPT_PEER:
        check->peer = cli_peer(optarg);
        return check->peer >= 0;
    case OPT_REMOTE:
        check->remote = optarg;
        return true;
    case OPT_SSH:
        check->ssh = optarg;
        return true;
    }
    return false;
}

static int run(int argc, char **argv)
{
    struct check check;
    const char *host;
    int c;

    memset(&check, 0, sizeof(check));
    check.mode = COLO_MODE_REMUS;
    check.peer = COLO_PEER_AUTO;
    check.ssh = CHECK_SSH;
    check.remote = CHECK_REMOTE;
    while ((c = getopt_long(argc, argv, "jvh", options, NULL)) != -1) {
        if (c == 'h' || c == '?')
            return cli_option(&cli_cmd_check, c);
        if (!set_option(&check, c))
            return CLI_USAGE;
    }
    if (check.host) {
        if (!cli_operands(&cli_cmd_check, argc, 0, 0))
            return CLI_USAGE;
        return check_host(&check);
    }
    if (!cli_operands(&cli_cmd_check, argc, 1, 2))
        return CLI_USAGE;
    host = optind + 1 < argc ? argv[optind + 1] : NULL;
    if (host && (host[0] == '-' || !host[0])) {
        cli_say("check: '%s' is no host", host);
        return CLI_USAGE;
    }
    return check_domain(&check, argv[optind], host);
}

const struct cli_command cli_cmd_check = {
    "check", "DOMAIN [HOST] [OPTION...] | --host [OPTION...]",
    "Say whether a guest can be protected, and why not",
    "      --mode remus|colo  the protection that is meant (remus)\n"
    "      --peer auto|libcolo|stock  what HOST has (auto)\n"
    "  -j, --json         all findings as JSON\n"
    "  -v, --verbose      say also what is fine\n"
    "      --ssh CMD      instead of 'ssh -o BatchMode=yes'\n"
    "      --remote CMD   the colo command on HOST (colo)\n"
    "      --host         check this host as a backup instead\n"
    "      --pages N      --host: so much memory must be free (4 KiB each)\n"
    "      --name NAME    --host: this name must be free\n"
    "      --bridge NAME  --host: this bridge must be there\n"
    "      --file PATH    --host: this file should be there\n",
    run, 0
};
