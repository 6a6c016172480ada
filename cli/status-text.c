/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * A status as text: one screen for one guest, one line in a list.
 */
#include <inttypes.h>

#include "cli.h"

#define ROW "%-14s"

static void put_commit(const struct colo_status *status, FILE *out)
{
    char age[CLI_FORMAT_MAX];

    if (!status->checkpoints) {
        fprintf(out, ROW "none yet: the guest is NOT protected\n",
                "last commit");
        return;
    }
    fprintf(out, ROW "epoch %" PRIu64 ", %s ago (%" PRIu64 " in all)\n",
            "last commit", status->epoch,
            cli_format_age(status->last_commit_ms, age), status->checkpoints);
    if (status->commit != COLO_COMMIT_ACKNOWLEDGED)
        fprintf(out, ROW "%s (stock Xen: %s)\n", "commit:",
                colo_commit_name(status->commit),
                status->commit == COLO_COMMIT_WRITTEN
                    ? "this host's ssh has it, no more is known"
                    : "the kernel of its host has it");
}

/* What went over the link in place of all that either copy had written. */
static void put_lockstep(const struct colo_lockstep_info *info, FILE *out)
{
    uint64_t pages = info->total_equal_pages + info->total_sent_pages;

    fprintf(out, ROW "%" PRIu64 " pages written here, %" PRIu64 " there: "
            "%" PRIu64 " equal, %" PRIu64 " sent\n", "last compare",
            info->own_dirty_pages, info->peer_dirty_pages,
            info->equal_pages, info->sent_pages);
    if (pages)
        fprintf(out, ROW "%.1f %% of the written pages, since the start\n",
                "sent", 100.0 * (double)info->total_sent_pages /
                (double)pages);
}

static void put_figures(const struct colo_status *status, FILE *out)
{
    char a[CLI_FORMAT_MAX], b[CLI_FORMAT_MAX];

    if (status->role == COLO_ROLE_PRIMARY) {
        fprintf(out, ROW "every %" PRIu32 " ms\n", "checkpoint",
                status->interval_ms);
        fprintf(out, ROW "median %s, 95th percentile %s\n", "pause",
                cli_format_us(status->pause_median_us, a),
                cli_format_us(status->pause_p95_us, b));
    }
    fprintf(out, ROW "%" PRIu64 " a checkpoint (median)\n", "dirty pages",
            status->dirty_pages_median);
    if (status->bytes_per_second) /* the secondary does not count */
        fprintf(out, ROW "%s/s\n", "link",
                cli_format_bytes(status->bytes_per_second, a));
    if (status->mode == COLO_MODE_COLO &&
        status->role == COLO_ROLE_PRIMARY)
        put_lockstep(&status->lockstep, out);
    if (status->audit_off)
        fprintf(out, ROW "none: the replica's pages are not compared\n",
                "audit");
    else
        fprintf(out, ROW "%" PRIu64 " pages compared, %" PRIu64
                " wrong (repaired), %" PRIu64 " different for a known "
                "reason\n", "audit", status->audit_pages,
                status->audit_mismatches, status->audit_known);
    if (status->full_resyncs)
        fprintf(out, ROW "%" PRIu64 "\n", "full resyncs",
                status->full_resyncs);
}

static void put_followers(const struct colo_status *status, FILE *out)
{
    char a[CLI_FORMAT_MAX], b[CLI_FORMAT_MAX];

    if (status->disks)
        fprintf(out, ROW "%" PRIu64 "%s\n", "disks", status->disks,
                status->state == COLO_STATE_SEEDING ? "" : ", in step");
    if (status->disks && status->state == COLO_STATE_SEEDING)
        fprintf(out, ROW "%s of %s compared\n", "disks' copy",
                cli_format_bytes(status->disk_done, a),
                cli_format_bytes(status->disk_total, b));
    if (status->role != COLO_ROLE_PRIMARY ||
        status->state == COLO_STATE_SEEDING)
        return;
    if (status->mode == COLO_MODE_COLO) {
        fprintf(out, ROW "%s\n", "output", "compared with the replica's");
        return;
    }
    if (!status->interfaces) {
        fprintf(out, ROW "%s\n", "output", "leaves at once (nothing is "
                "held)");
        return;
    }
    fprintf(out, ROW "held at %" PRIu64 " interface%s: %s now, %s at most",
            "output", status->interfaces, status->interfaces == 1 ? "" : "s",
            cli_format_bytes(status->held_bytes, a),
            cli_format_bytes(status->held_max, b));
    if (status->output_lost)
        fprintf(out, ", %" PRIu64 " frames LOST (buffer full)",
                status->output_lost);
    fputc('\n', out);
}

void cli_status_text(const struct colo_status *status, FILE *out)
{
    char a[CLI_FORMAT_MAX], b[CLI_FORMAT_MAX];

    fprintf(out, ROW "%s (domain %" PRIu32 ", %s)\n", "guest", status->name,
            status->domid, status->uuid);
    fprintf(out, ROW "%s, %s\n", "role", colo_role_name(status->role),
            colo_mode_name(status->mode));
    fprintf(out, ROW "%s\n", "state", colo_state_name(status->state));
    fprintf(out, ROW "%s\n", "peer", status->peer);
    if (status->state == COLO_STATE_SEEDING && status->seed_total)
        fprintf(out, ROW "%s of %s (%" PRIu64 " %%), %s/s\n", "first copy",
                cli_format_bytes(status->seed_done * 4096, a),
                cli_format_bytes(status->seed_total * 4096, b),
                status->seed_done * 100 / status->seed_total,
                cli_format_bytes(status->seed_bytes_per_second,
                                 (char[CLI_FORMAT_MAX]){ 0 }));
    put_commit(status, out);
    put_followers(status, out);
    if (status->checkpoints)
        put_figures(status, out);
    if (status->reason != COLO_REASON_NONE)
        fprintf(out, ROW "%s\n", "ended by", colo_reason_name(status->reason));
    if (status->error[0])
        fprintf(out, ROW "%s\n", "last error", status->error);
}

void cli_status_line_header(FILE *out)
{
    fprintf(out, "%-20s %-9s %-10s %-20s %10s %s\n", "GUEST", "ROLE", "STATE",
            "PEER", "EPOCH", "COMMITTED");
}

void cli_status_line(const struct colo_status *status, FILE *out)
{
    char age[CLI_FORMAT_MAX];

    fprintf(out, "%-20s %-9s %-10s %-20s %10" PRIu64 " %s%s\n", status->name,
            colo_role_name(status->role), colo_state_name(status->state),
            status->peer[0] ? status->peer : "-", status->epoch,
            status->checkpoints ? cli_format_age(status->last_commit_ms, age)
                                : "never",
            status->checkpoints ? " ago" : "");
}
