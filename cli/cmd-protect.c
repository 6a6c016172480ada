/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * colo protect: its command line.  Runs the primary's session of one guest, in
 * the foreground or as a daemon.
 */
#include <getopt.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "check-peer.h"
#include "protect.h"

/* milliseconds; the library's defaults */
#define INTERVAL_REMUS 100
#define INTERVAL_COLO 20000

enum {
    OPT_ADDRESS = 256, OPT_AUDIT, OPT_COMPRESS, OPT_DEAD, OPT_DISK_MEMORY,
    OPT_DISK_SPILL, OPT_DISK_SPILL_DIR, OPT_DISK_TRACK, OPT_HEARTBEAT,
    OPT_HOLD, OPT_LIVE_ROUND, OPT_MODE, OPT_NO_AUDIT, OPT_NO_CHECK,
    OPT_NO_DISKS, OPT_NO_NETWORK_BUFFER, OPT_PEER, OPT_POLICY, OPT_REMOTE,
    OPT_SSH, OPT_TOOLSTACK, OPT_TRANSPORT
};

static const struct option options[] = {
    { "address", required_argument, NULL, OPT_ADDRESS },
    { "audit", required_argument, NULL, OPT_AUDIT },
    { "compress", required_argument, NULL, OPT_COMPRESS },
    { "daemon", no_argument, NULL, 'd' },
    { "dead", required_argument, NULL, OPT_DEAD },
    { "disk-memory", required_argument, NULL, OPT_DISK_MEMORY },
    { "disk-spill", required_argument, NULL, OPT_DISK_SPILL },
    { "disk-spill-dir", required_argument, NULL, OPT_DISK_SPILL_DIR },
    { "disk-track", no_argument, NULL, OPT_DISK_TRACK },
    { "heartbeat", required_argument, NULL, OPT_HEARTBEAT },
    { "help", no_argument, NULL, 'h' },
    { "hold", required_argument, NULL, OPT_HOLD },
    { "interval", required_argument, NULL, 'i' },
    { "live-round", required_argument, NULL, OPT_LIVE_ROUND },
    { "mode", required_argument, NULL, OPT_MODE },
    { "no-audit", no_argument, NULL, OPT_NO_AUDIT },
    { "no-check", no_argument, NULL, OPT_NO_CHECK },
    { "no-disks", no_argument, NULL, OPT_NO_DISKS },
    { "no-network-buffer", no_argument, NULL, OPT_NO_NETWORK_BUFFER },
    { "peer", required_argument, NULL, OPT_PEER },
    { "policy", required_argument, NULL, OPT_POLICY },
    { "remote", required_argument, NULL, OPT_REMOTE },
    { "ssh", required_argument, NULL, OPT_SSH },
    { "toolstack", required_argument, NULL, OPT_TOOLSTACK },
    { "transport", required_argument, NULL, OPT_TRANSPORT },
    { "verbose", no_argument, NULL, 'v' },
    { NULL, 0, NULL, 0 }
};

static bool number(const char *what, uint64_t min, uint64_t max,
                   uint32_t *ret_number)
{
    uint64_t value;

    if (!cli_number(what, optarg, min, max, &value))
        return false;
    *ret_number = (uint32_t)value;
    return true;
}

/* auto, never, always: -1, 0, 1 */
static bool adaptive(const char *what, int32_t *ret_setting)
{
    static const char *const words[] = { "auto", "never", "always", NULL };
    int i = cli_choice(what, optarg, words);

    *ret_setting = i - 1;
    return i >= 0;
}

/* It becomes a word of a command line that a shell on the peer reads. */
static bool spill_dir(struct protect *protect, const char *dir)
{
    if (dir[0] != '/' || strpbrk(dir, " '\"\\$`;&|<>()*?[]~#\t\n")) {
        cli_say("--disk-spill-dir %s: must be an absolute path without "
                "spaces or quotes", dir);
        return false;
    }
    protect->config.disk_spill_dir = dir;
    return true;
}

/* The session says the same of it, but as of a setting. */
static bool add_policy(struct protect *protect, const char *text)
{
    static const char *const classes[] = {
        "link", "tcp", "udp", "dns", "quic", "icmp", "other", NULL
    };
    static const char *const policies[] = { "compare", "pass", "drop", NULL };
    const char *value = strchr(text, '=');
    size_t n = strlen(protect->policy), room = sizeof(protect->policy) - n;
    char name[16];

    if (!value) {
        cli_say("--policy %s: give CLASS=POLICY, e.g. dns=pass", text);
        return false;
    }
    snprintf(name, sizeof(name), "%.*s", (int)(value - text), text);
    if (cli_choice("--policy", name, classes) < 0 ||
        cli_choice("--policy", value + 1, policies) < 0)
        return false;
    if (snprintf(protect->policy + n, room, "%s%s", n ? " " : "", text) >=
        (int)room) {
        cli_say("--policy %s: once for each class is enough", text);
        return false;
    }
    protect->config.net_policy = protect->policy;
    return true;
}

/* What the other side runs: the disks' settings are its business, too. */
static bool build_remote(struct protect *protect)
{
    struct colo_config *config = &protect->config;
    static const char *const toolstacks[] = {
        "", " --toolstack xl", " --toolstack libvirt"
    };
    char memory[40] = "", spill[40] = "";

    if (config->disk_memory_mib)
        snprintf(memory, sizeof(memory), " --disk-memory %" PRIu32,
                 config->disk_memory_mib);
    if (config->disk_spill_mib)
        snprintf(spill, sizeof(spill), " --disk-spill %" PRIu32,
                 config->disk_spill_mib);
    if (snprintf(protect->remote, sizeof(protect->remote),
                 "%s receive%s%s%s%s%s%s", protect->colo, memory, spill,
                 toolstacks[config->toolstack],
                 config->disk_track ? " --disk-track" : "",
                 config->disk_spill_dir ? " --disk-spill-dir " : "",
                 config->disk_spill_dir ? config->disk_spill_dir : "") >=
        (int)sizeof(protect->remote)) {
        cli_say("protect: --remote and --disk-spill-dir are too long");
        return false;
    }
    config->remote_command = protect->remote;
    return true;
}

static bool set_option(struct protect *protect, int c)
{
    static const char *const transports[] = { "tls", "ssh", NULL };
    static const char *const modes[] = { "remus", "colo", NULL };
    struct colo_config *config = &protect->config;

    switch (c) {
    case 'd':
        protect->daemon = true;
        return true;
    case 'v':
        protect->verbose++;
        return true;
    case 'i':
        return number("--interval", 1, 600000, &config->interval_ms);
    case OPT_MODE:
        config->mode = cli_choice("--mode", optarg, modes) + COLO_MODE_REMUS;
        return config->mode >= COLO_MODE_REMUS;
    case OPT_HEARTBEAT:
        return number("--heartbeat", 10, 60000, &config->heartbeat_ms);
    case OPT_HOLD:
        return number("--hold", 100, 60000, &config->hold_ms);
    case OPT_DEAD:
        return number("--dead", 50, 600000, &config->dead_ms);
    case OPT_AUDIT:
        return number("--audit", 1, 1000000, &config->audit_checkpoints);
    case OPT_DISK_MEMORY:
        return number("--disk-memory", 4, 65536, &config->disk_memory_mib);
    case OPT_DISK_SPILL:
        return number("--disk-spill", 1, 16777216, &config->disk_spill_mib);
    case OPT_DISK_SPILL_DIR:
        return spill_dir(protect, optarg);
    case OPT_DISK_TRACK:
        config->disk_track = 1;
        return true;
    case OPT_NO_AUDIT:
        config->audit_checkpoints = UINT32_MAX;
        return true;
    case OPT_NO_CHECK:
        protect->check = false;
        return true;
    case OPT_NO_DISKS:
        protect->config.disks = 0;
        return true;
    case OPT_NO_NETWORK_BUFFER:
        protect->config.network_buffer = 0;
        return true;
    case OPT_LIVE_ROUND:
        return adaptive("--live-round", &config->live_round);
    case OPT_COMPRESS:
        return adaptive("--compress", &config->compress);
    case OPT_TRANSPORT:
        config->transport = cli_choice("--transport", optarg, transports);
        return config->transport >= 0;
    case OPT_PEER:
        config->peer_kind = cli_peer(optarg);
        return config->peer_kind >= 0;
    case OPT_POLICY:
        return add_policy(protect, optarg);
    case OPT_TOOLSTACK:
        config->toolstack = cli_toolstack(optarg);
        return config->toolstack >= 0;
    case OPT_ADDRESS:
        config->address = optarg;
        return true;
    case OPT_SSH:
        config->ssh_command = optarg;
        return true;
    case OPT_REMOTE:
        protect->colo = optarg;
        return true;
    }
    return false;
}

/* What each option for itself allows, but not these together. */
static bool agree(const struct colo_config *config)
{
    if (config->peer[0] == '-' || !config->peer[0]) {
        cli_say("protect: '%s' is no host", config->peer);
        return false;
    }
    if (config->dead_ms < 2 * config->heartbeat_ms) {
        cli_say("--dead %" PRIu32 ": must be at least twice --heartbeat "
                "(%" PRIu32 ")", config->dead_ms, config->heartbeat_ms);
        return false;
    }
    if (config->mode == COLO_MODE_COLO && !config->network_buffer) {
        cli_say("--no-network-buffer: not with --mode colo, where both copies "
                "run, and only their compared output may leave");
        return false;
    }
    if (config->mode == COLO_MODE_COLO && !config->disks) {
        cli_say("--no-disks: not with --mode colo, where both copies run, and "
                "both would write the disk that is left alone");
        return false;
    }
    return true;
}

static int run_protect(struct protect *protect)
{
    int signal_fd = -1, code;

    if (!cli_signals_open(&signal_fd))
        return CLI_FAILED;
    if (protect->daemon) {
        if (!cli_fork(&protect->child)) {
            close(signal_fd);
            return CLI_FAILED;
        }
        if (protect->child.pid) {
            code = cli_parent_wait(&protect->child, signal_fd, -1);
            close(signal_fd);
            return code;
        }
    }
    code = protect_guest(protect, signal_fd);
    close(signal_fd);
    return code;
}

static int run(int argc, char **argv)
{
    struct protect protect;
    int c;

    memset(&protect, 0, sizeof(protect));
    protect.child.report_fd = -1;
    protect.check = true;
    protect.colo = CHECK_REMOTE;
    if (colo_config_init(&protect.config, sizeof(protect.config))) {
        cli_say("protect: the installed libcolo is older than this program");
        return CLI_FAILED;
    }
    protect.config.peer_kind = COLO_PEER_AUTO;
    while ((c = getopt_long(argc, argv, "di:vh", options, NULL)) != -1) {
        if (c == 'h' || c == '?')
            return cli_option(&cli_cmd_protect, c);
        if (!set_option(&protect, c))
            return CLI_USAGE;
    }
    if (!cli_operands(&cli_cmd_protect, argc, 2, 2))
        return CLI_USAGE;
    protect.config.role = COLO_ROLE_PRIMARY;
    protect.config.domain = argv[optind];
    protect.config.peer = argv[optind + 1];
    if (!protect.config.interval_ms)
        protect.config.interval_ms =
            protect.config.mode == COLO_MODE_COLO ? INTERVAL_COLO
                                                  : INTERVAL_REMUS;
    if (!agree(&protect.config) || !build_remote(&protect))
        return CLI_USAGE;
    if (protect.config.mode == COLO_MODE_COLO)
        cli_say("warning: mode colo is new, and has run on two emulated hosts "
                "only: try it with a guest that you can lose");
    protect.config.event_fn = protect_event;
    protect.config.event_user = &protect;
    protect.config.log = cli_log(protect.verbose);
    cli_progress_init(&protect.progress);
    return run_protect(&protect);
}

const struct cli_command cli_cmd_protect = {
    "protect", "DOMAIN HOST [OPTION...]",
    "Protect a guest: checkpoint it to HOST until told to stop",
    "      --mode remus|colo    colo: the replica runs, too, and answers are "
    "compared\n"
    "                           (remus)\n"
    "  -i, --interval MS        time between checkpoints (100; colo: 20000)\n"
    "  -d, --daemon             come back once the guest is protected\n"
    "      --peer auto|libcolo|stock  what HOST has: libcolo, or only stock "
    "Xen (auto)\n"
    "      --toolstack auto|xl|libvirt  whose the replica is (auto)\n"
    "      --transport tls|ssh  TLS after a start over ssh, or all through "
    "ssh (tls)\n"
    "      --address A          TLS: connect to this address of HOST\n"
    "      --ssh CMD            instead of 'ssh -o BatchMode=yes'\n"
    "      --remote CMD         the colo command on HOST (colo)\n"
    "      --heartbeat MS       time between signs of life (100)\n"
    "      --dead MS            silence that means dead (1000)\n"
    "      --hold MS            colo: what one copy sent waits so long for\n"
    "                           the other's (3000)\n"
    "      --policy CLASS=compare|pass|drop  colo: of link, tcp, udp, dns, "
    "quic, icmp,\n"
    "                           other; again for each (compare; link: pass)\n"
    "      --audit N            compare every page within N checkpoints "
    "(256)\n"
    "      --no-audit           do not compare\n"
    "      --live-round auto|never|always  copy before the stop, too (auto)\n"
    "      --compress auto|never|always    compress pages (auto)\n"
    "      --disk-memory MIB    of each disk's proxy, on each side (64)\n"
    "      --disk-spill MIB     what more of a disk the peer may keep in a "
    "file (1024)\n"
    "      --disk-spill-dir DIR where on the peer (/var/lib/libcolo/disk)\n"
    "      --disk-track         note what is written after protection, for "
    "the next\n"
    "      --no-check           leave out the check of both hosts\n"
    "      --no-disks           leave writable disks alone: not safe\n"
    "      --no-network-buffer  let output leave at once: not safe\n"
    "  -v, --verbose            a line a checkpoint; twice: everything\n",
    run, 0
};
