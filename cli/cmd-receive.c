/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * colo receive: the secondary's session.  `colo protect` starts it through
 * ssh; stdin and stdout are the bootstrap.  A child does the work and lives on
 * when ssh has gone; the parent is what ssh sees.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <string.h>
#include <unistd.h>

#include "process.h"

struct receive {
    struct colo_config config;
    struct cli_child child;
    struct colo_session *session;
    bool detached;
    int verbose;
};

/* The name of the guest comes from the peer with its first messages. */
static void detach(struct receive *receive)
{
    struct colo_status status;
    struct colo_error err;

    if (receive->detached)
        return;
    memset(&status, 0, sizeof(status));
    status.size = sizeof(status);
    if (colo_query_status(receive->session, &status, &err) || !status.name[0])
        return; /* with the next event */
    receive->detached = true;
    cli_detach(status.name);
    cli_say("%s: receiving from %s", status.name, status.peer);
    cli_child_report(&receive->child);
}

static void on_event(void *user, const struct colo_event *event)
{
    struct receive *receive = user;

    if (event->type == COLO_EVENT_CHECKPOINT ||
        event->type == COLO_EVENT_PROGRESS ||
        (event->type == COLO_EVENT_STATE &&
         event->state > COLO_STATE_CONNECTING))
        detach(receive);
    cli_say_event(event, receive->verbose);
}

/* The session gets copies of stdin and stdout of its own; whatever children
 * print must not get into the bootstrap. */
static bool take_pipes(struct colo_config *config)
{
    int null_fd;

    config->boot_in_fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    config->boot_out_fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (config->boot_in_fd < 0 || config->boot_out_fd < 0 || null_fd < 0) {
        cli_say("receive: %s", strerror(errno));
        return false;
    }
    dup2(null_fd, STDIN_FILENO);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    close(null_fd);
    return true;
}

static void keep_quiet(void)
{
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

    if (fd >= 0) {
        dup2(fd, STDOUT_FILENO);
        close(fd);
    }
}

static int receive_guest(struct receive *receive, int signal_fd)
{
    struct colo_error err;
    int rc;

    if (!take_pipes(&receive->config))
        return CLI_FAILED;
    rc = colo_session_open(&receive->config, &receive->session, &err);
    if (rc)
        return cli_fail(&err, "receive");
    rc = cli_session_loop(receive->session, signal_fd, false, &err);
    colo_session_close(receive->session);
    if (rc < 0)
        return cli_fail(&err, "receive");
    cli_say("receive: done");
    return CLI_OK;
}

/* The second ssh of --transport ssh: hand its pipes to the receive that
 * waits for them.  A program of its own, because it speaks to the inside of
 * the library. */
static int attach(const char *session)
{
    execl(COLO_LIBEXECDIR "/colo-attach", "colo-attach", session,
          (char *)NULL);
    cli_say("%s/colo-attach: %s", COLO_LIBEXECDIR, strerror(errno));
    return CLI_FAILED;
}

static bool limit(const char *option, uint32_t max, uint32_t *ret)
{
    uint64_t value;

    if (!cli_number(option, optarg, 1, max, &value))
        return false;
    *ret = (uint32_t)value;
    return true;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {
        { "attach", required_argument, NULL, 'a' },
        { "disk-memory", required_argument, NULL, 'm' },
        { "disk-spill", required_argument, NULL, 's' },
        { "disk-spill-dir", required_argument, NULL, 'd' },
        { "disk-track", no_argument, NULL, 'k' },
        { "toolstack", required_argument, NULL, 't' },
        { "verbose", no_argument, NULL, 'v' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 }
    };
    struct receive receive;
    int c, signal_fd, code;

    memset(&receive, 0, sizeof(receive));
    if (colo_config_init(&receive.config, sizeof(receive.config))) {
        cli_say("receive: the installed libcolo is older than this program");
        return CLI_FAILED;
    }
    while ((c = getopt_long(argc, argv, "a:vh", options, NULL)) != -1) {
        switch (c) {
        case 'a':
            return attach(optarg);
        case 'm':
            if (!limit("--disk-memory", 65536,
                       &receive.config.disk_memory_mib))
                return CLI_USAGE;
            break;
        case 's':
            if (!limit("--disk-spill", 16777216,
                       &receive.config.disk_spill_mib))
                return CLI_USAGE;
            break;
        case 'd':
            receive.config.disk_spill_dir = optarg;
            break;
        case 'k':
            receive.config.disk_track = 1;
            break;
        case 't':
            receive.config.toolstack = cli_toolstack(optarg);
            if (receive.config.toolstack < 0)
                return CLI_USAGE;
            break;
        case 'v':
            receive.verbose++;
            break;
        default:
            return cli_option(&cli_cmd_receive, c);
        }
    }
    if (!cli_operands(&cli_cmd_receive, argc, 0, 0))
        return CLI_USAGE;
    if (isatty(STDIN_FILENO)) {
        cli_say("receive: `colo protect` on the other host starts this "
                "through ssh; there is nothing to do by hand");
        return CLI_USAGE;
    }
    receive.config.role = COLO_ROLE_SECONDARY;
    receive.config.event_fn = on_event;
    receive.config.event_user = &receive;
    receive.config.log = cli_log(receive.verbose);
    cli_recover();
    if (!cli_signals_open(&signal_fd))
        return CLI_FAILED;
    if (!cli_fork(&receive.child))
        return CLI_FAILED;
    if (receive.child.pid) {
        keep_quiet(); /* only the child speaks */
        code = cli_parent_wait(&receive.child, signal_fd, STDIN_FILENO);
    } else {
        code = receive_guest(&receive, signal_fd);
    }
    close(signal_fd);
    return code;
}

const struct cli_command cli_cmd_receive = {
    "receive", "[--attach SESSION]",
    "Hold the replica of a guest (started by protect through ssh)",
    "      --attach SESSION  hand stdin and stdout to that session\n"
    "      --disk-memory MIB, --disk-spill MIB, --disk-spill-dir DIR,\n"
    "      --disk-track, --toolstack auto|xl|libvirt\n"
    "                        as of protect, which passes them on\n"
    "  -v, --verbose         a line a checkpoint; twice: everything\n",
    run, CLI_NO_RECOVER /* --attach must not wait for it */
};
