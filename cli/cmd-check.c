/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * colo check: can this guest be protected on that host?  Every reason why
 * not, of both hosts, before anything is touched.
 */
#include <getopt.h>
#include <string.h>

#include "check-host.h"
#include "check-peer.h"

struct check {
    struct check_report report;
    const char *ssh, *remote;  /* the ssh command, colo on the other host */
    int32_t peer;              /* COLO_PEER_* */
    struct check_needs needs;  /* --host; mode and toolstack of both */
    bool host, json;
};

static void add(struct check_report *report, int result, const char *id,
                const char *text, const char *advice)
{
    struct colo_check_item item = { result, id, text, advice };

    check_report_item(report, &item);
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
        check_stock(report, host, check->needs.mode);
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
    report->mode = check->needs.mode;
    if (check->needs.toolstack >= 0)
        report->toolstack = check->needs.toolstack;
    report->where = "this host";
    rc = colo_check_domain(domain, check->needs.mode, check_report_item, report,
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
    OPT_BRIDGE = 256, OPT_DISK, OPT_FILE, OPT_HOST, OPT_MODE, OPT_NAME,
    OPT_NETS, OPT_PAGES, OPT_PEER, OPT_REMOTE, OPT_SSH, OPT_TOOLSTACK
};

static const struct option options[] = {
    { "bridge", required_argument, NULL, OPT_BRIDGE },
    { "disk", required_argument, NULL, OPT_DISK },
    { "file", required_argument, NULL, OPT_FILE },
    { "help", no_argument, NULL, 'h' },
    { "host", no_argument, NULL, OPT_HOST },
    { "json", no_argument, NULL, 'j' },
    { "mode", required_argument, NULL, OPT_MODE },
    { "name", required_argument, NULL, OPT_NAME },
    { "nets", no_argument, NULL, OPT_NETS },
    { "pages", required_argument, NULL, OPT_PAGES },
    { "peer", required_argument, NULL, OPT_PEER },
    { "remote", required_argument, NULL, OPT_REMOTE },
    { "ssh", required_argument, NULL, OPT_SSH },
    { "toolstack", required_argument, NULL, OPT_TOOLSTACK },
    { "verbose", no_argument, NULL, 'v' },
    { NULL, 0, NULL, 0 }
};

static bool set_option(struct check *check, int c)
{
    static const char *const modes[] = { "remus", "colo", NULL };
    struct check_needs *needs = &check->needs;
    int i;

    switch (c) {
    case 'j':
        check->json = true;
        return true;
    case 'v':
        check->report.verbose = true;
        return true;
    case OPT_BRIDGE:
        if (needs->n_bridges < CHECK_NEEDS_MAX)
            needs->bridges[needs->n_bridges++] = optarg;
        return true;
    case OPT_DISK:
        if (needs->n_disks == CHECK_NEEDS_MAX) {
            cli_say("--disk: at most %d times", CHECK_NEEDS_MAX);
            return false;
        }
        return check_disk_parse(optarg, &needs->disks[needs->n_disks++]);
    case OPT_FILE:
        if (needs->n_files < CHECK_NEEDS_MAX)
            needs->files[needs->n_files++] = optarg;
        return true;
    case OPT_HOST:
        check->host = true;
        return true;
    case OPT_MODE:
        i = cli_choice("--mode", optarg, modes);
        needs->mode = i == 1 ? COLO_MODE_COLO : COLO_MODE_REMUS;
        return i >= 0;
    case OPT_NAME:
        needs->name = optarg;
        return true;
    case OPT_NETS:
        needs->nets = true;
        return true;
    case OPT_PAGES:
        needs->guest = true;
        return cli_number("--pages", optarg, 0, UINT64_C(1) << 40,
                          &needs->pages);
    case OPT_PEER:
        check->peer = cli_peer(optarg);
        return check->peer >= 0;
    case OPT_REMOTE:
        check->remote = optarg;
        return true;
    case OPT_SSH:
        check->ssh = optarg;
        return true;
    case OPT_TOOLSTACK:
        needs->toolstack = cli_toolstack(optarg);
        return needs->toolstack >= 0;
    }
    return false;
}

static int run(int argc, char **argv)
{
    struct check check;
    const char *host;
    int c;

    memset(&check, 0, sizeof(check));
    check.needs.mode = COLO_MODE_REMUS;
    check.needs.toolstack = -1;
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
        return check_host(&check.report, &check.needs, check.json);
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
    "      --toolstack auto|xl|libvirt  whose the replica would be (auto)\n"
    "  -j, --json         all findings as JSON\n"
    "  -v, --verbose      say also what is fine\n"
    "      --ssh CMD      instead of 'ssh -o BatchMode=yes'\n"
    "      --remote CMD   the colo command on HOST (colo)\n"
    "      --host         check this host as a backup instead\n"
    "      --pages N      --host: so much memory must be free (4 KiB each)\n"
    "      --name NAME    --host: this name must be free\n"
    "      --bridge NAME  --host: this bridge must be there\n"
    "      --file PATH    --host: this file should be there\n"
    "      --disk PATH:BYTES  --host: this disk must be there, so large\n"
    "      --nets         --host: network cards are to be compared\n",
    run, 0
};
