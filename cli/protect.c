/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See protect.h.
 */
#include "protect.h"

#include <inttypes.h>
#include <poll.h>
#include <string.h>

#include "check-peer.h"
#include "check-waived.h"

/* ---- events ------------------------------------------------------------- */

/* The first whole epoch is at the other side: from now on the guest is
 * protected. */
static void on_protected(struct protect *protect,
                         const struct colo_checkpoint_info *info)
{
    char pause[CLI_FORMAT_MAX];

    protect->committed = true;
    printf("protected: %s on %s, epoch %" PRIu64 ", pause %s, "
           "%s every %" PRIu32 " ms\n", protect->name,
           protect->config.peer, info->epoch,
           cli_format_us(info->pause_us, pause),
           protect->config.mode == COLO_MODE_COLO
               ? "both run, a checkpoint at the latest"
               : "a checkpoint",
           protect->config.interval_ms);
    fflush(stdout);
    if (!protect->daemon)
        return;
    cli_detach(protect->name);
    cli_say("protected: %s on %s, epoch %" PRIu64, protect->name,
            protect->config.peer, info->epoch);
    cli_child_report(&protect->child);
}

static void on_checkpoint(struct protect *protect,
                          const struct colo_checkpoint_info *info)
{
    char pause[CLI_FORMAT_MAX], bytes[CLI_FORMAT_MAX];

    if (!info)
        return;
    if (!protect->committed)
        on_protected(protect, info);
    else if (protect->verbose > 0)
        cli_say("%s: epoch %" PRIu64 ": pause %s, %" PRIu64 " pages, %s",
                protect->name, info->epoch,
                cli_format_us(info->pause_us, pause), info->dirty_pages,
                cli_format_bytes(info->wire_bytes, bytes));
}

void protect_event(void *user, const struct colo_event *event)
{
    struct protect *protect = user;

    if (event->type == COLO_EVENT_PROGRESS) {
        cli_progress_show(&protect->progress, protect->name, event);
        return;
    }
    cli_progress_end(&protect->progress);
    switch (event->type) {
    case COLO_EVENT_STATE:
        if (protect->verbose > 1 || (!protect->committed &&
                                     event->state <= COLO_STATE_SEEDING))
            cli_say("%s: %s", protect->name, colo_state_name(event->state));
        break;
    case COLO_EVENT_CHECKPOINT:
        on_checkpoint(protect, event->checkpoint);
        break;
    case COLO_EVENT_WARNING:
        cli_say("%s: warning: %s", protect->name,
                event->text ? event->text : "");
        break;
    }
}

/* ---- how it ended ------------------------------------------------------- */

/* Whether a domain of this name is on this host.  The session's own word is
 * not asked: what counts now is where the guest is. */
static bool is_here(const char *name)
{
    struct colo_error err;

    return colo_check_domain(name, COLO_MODE_REMUS, NULL, NULL, &err) !=
           COLO_E_NOTFOUND;
}

/* 4 is for a guest that is not here, and ends colo@.service for good.  What
 * else was not found, a peer's name, a follower, may be there next time; and
 * so may a guest that was here a moment ago: it reboots. */
static int exit_of_start(const struct protect *protect, int code)
{
    int exit_code = cli_exit_of(code);

    if (exit_code == CLI_NOT_FOUND && !is_here(protect->name))
        return protect->found ? CLI_GUEST_ENDED : CLI_NOT_FOUND;
    return exit_code == CLI_TIMEOUT || exit_code == CLI_NOT_FOUND ?
           CLI_FAILED : exit_code;
}

static int say_gone(const struct protect *protect, int rc,
                    const struct colo_error *err)
{
    const char *name = protect->name, *peer = protect->config.peer;

    if (rc < 0 && rc != COLO_E_GUEST) {
        cli_say("%s: protection has ended: %s. The guest is no longer on this "
                "host: look at %s, and do not start it here before you know",
                name, err->text, peer);
        return CLI_MOVED;
    }
    cli_say("%s: protection has ended, and the guest is no longer on this "
            "host: it has ended by itself, or runs on %s now (`xl list` "
            "there)", name, peer);
    return CLI_GUEST_ENDED;
}

/* A peer that does not answer is not known to be dead: after a broken link it
 * has taken over, and to protect this guest would overwrite what it wrote. */
static int say_lost(const struct protect *protect, int rc)
{
    const char *name = protect->name, *peer = protect->config.peer;

    if (rc != COLO_E_PEER) {
        cli_say("%s runs on here WITHOUT protection; when what is said above "
                "is put right: colo protect %s %s", name, name, peer);
        return CLI_UNPROTECTED;
    }
    cli_say("%s runs on here WITHOUT protection. %s did not answer: if it "
            "lives, it may have taken %s over. Look there first (`xl list`); "
            "only if %s does not run there: colo protect %s %s", name, peer,
            name, name, name, peer);
    return CLI_UNPROTECTED;
}

static int say_end(const struct protect *protect, int rc,
                   const struct colo_error *err)
{
    const char *name = protect->name;

    if (rc == COLO_E_GUEST) {
        cli_say("%s: protection has ended: %s", name, err->text);
        return CLI_GUEST_ENDED;
    }
    if (!is_here(name))
        return say_gone(protect, rc, err);
    if (rc == 0) {
        cli_say("%s: protection has ended as asked; the guest runs on here, "
                "without protection", name);
        return CLI_OK;
    }
    if (!protect->committed) {
        cli_say("%s: NOT protected: %s. The guest runs on here as before",
                name, err->text);
        return exit_of_start(protect, rc);
    }
    cli_say("%s: PROTECTION IS LOST: %s", name, err->text);
    return say_lost(protect, rc);
}

/* ---- the way through ---------------------------------------------------- */

static void show_finding(void *user, const char *where,
                         const struct colo_check_item *item)
{
    const struct protect *protect = user;

    if (item->result == COLO_CHECK_OK)
        return;
    cli_say("%s: %s by %s: %s (%s)%s%s", protect->config.domain,
            item->result == COLO_CHECK_WARNING ? "warning" : "refused",
            where, item->text, item->id, item->advice[0] ? ": " : "",
            item->advice);
}

static bool signal_came(int signal_fd)
{
    struct pollfd pfd = { signal_fd, POLLIN, 0 };

    return poll(&pfd, 1, 0) > 0;
}

struct own_check {
    const struct protect *protect;
    struct check_report *report;
};

/* What somebody said he can do without is told and refuses nothing. */
static void take_item(void *user, const struct colo_check_item *item)
{
    const struct own_check *own = user;
    struct colo_check_item mine = *item;

    if (!own->protect->config.disks &&
        (!strcmp(item->id, "disk") || !strcmp(item->id, "disk-needed")))
        return; /* nor is it */
    if (check_waived(&own->protect->config, item)) {
        mine.result = COLO_CHECK_WARNING;
        mine.advice = "";
    }
    check_report_item(own->report, &mine);
}

/* Every reason at once, of both hosts, before anything is started. */
static int check(struct protect *protect, int signal_fd)
{
    const struct colo_config *config = &protect->config;
    struct check_report report;
    struct own_check own = { protect, &report };
    struct colo_error err;
    bool asked;
    int rc;

    memset(&report, 0, sizeof(report));
    report.show = show_finding;
    report.show_user = protect;
    report.where = "this host";
    report.mode = config->mode;
    report.toolstack = config->toolstack;
    rc = colo_check_domain(config->domain, config->mode, take_item, &own,
                           &err);
    if (rc < 0)
        return cli_fail(&err, "%s", config->domain);
    protect->found = true;
    report.stock_ok = config->peer_kind == COLO_PEER_AUTO;
    asked = config->peer_kind == COLO_PEER_STOCK ||
            check_peer(&report, config->ssh_command ? config->ssh_command
                                                    : CHECK_SSH,
                       protect->colo, config->peer, config->domain,
                       signal_fd);
    if (report.absent) {
        protect->config.peer_kind = COLO_PEER_STOCK;
        asked = true;
    }
    if (config->peer_kind == COLO_PEER_STOCK)
        check_stock(&report, config->peer, config->mode);
    if (signal_came(signal_fd)) {
        cli_say("%s: NOT protected: told to end. The guest runs on here as "
                "before", config->domain);
        return CLI_FAILED;
    }
    if (!report.refused)
        return CLI_OK;
    cli_say("%s: NOT protected on %s (%u reason%s above). The guest runs on "
            "here as before", config->domain, config->peer,
            report.refused, report.refused == 1 ? "" : "s");
    return asked || report.refused > 1 ? CLI_NOT_PROTECTABLE : CLI_FAILED;
}

int protect_guest(struct protect *protect, int signal_fd)
{
    struct colo_session *session = NULL;
    struct colo_status status;
    struct colo_error err;
    int rc, code;

    if (protect->check) {
        code = check(protect, signal_fd);
        if (code)
            return code;
    }
    snprintf(protect->name, sizeof(protect->name), "%s",
             protect->config.domain);
    rc = colo_session_open(&protect->config, &session, &err);
    if (rc) {
        cli_fail(&err, "%s: NOT protected", protect->config.domain);
        return exit_of_start(protect, rc);
    }
    memset(&status, 0, sizeof(status));
    status.size = sizeof(status);
    if (!colo_query_status(session, &status, NULL) && status.name[0])
        memcpy(protect->name, status.name, sizeof(protect->name));
    rc = cli_session_loop(session, signal_fd, !protect->daemon, &err);
    cli_progress_end(&protect->progress);
    colo_session_close(session);
    return say_end(protect, rc, &err);
}
