/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * JSON out of our structs, through libyajl.  Errors of the generator are
 * impossible calls or no memory: the text then ends early, and
 * cli_json_end says so.
 */
#include <inttypes.h>
#include <string.h>

#include "json.h"

yajl_gen cli_json_new(void)
{
    yajl_gen gen = yajl_gen_alloc(NULL);

    if (!gen) {
        cli_say("out of memory");
        return NULL;
    }
    yajl_gen_config(gen, yajl_gen_validate_utf8, 1);
    return gen;
}

void cli_json_end(yajl_gen gen, FILE *out)
{
    const unsigned char *text = NULL;
    size_t len = 0;

    if (!gen)
        return;
    yajl_gen_get_buf(gen, &text, &len);
    if (text) {
        fwrite(text, 1, len, out);
        if (len && text[len - 1] != '\n')
            fputc('\n', out);
        fflush(out);
    }
    yajl_gen_free(gen);
}

static void put_text(yajl_gen gen, const char *text)
{
    size_t len = strlen(text);
    char clean[512];

    if (yajl_gen_string(gen, (const unsigned char *)text, len) !=
        yajl_gen_invalid_string)
        return;
    if (len >= sizeof(clean))
        len = sizeof(clean) - 1;
    for (size_t i = 0; i < len; i++)
        clean[i] = (unsigned char)text[i] < 0x80 ? text[i] : '?';
    yajl_gen_string(gen, (const unsigned char *)clean, len);
}

void cli_json_key(yajl_gen gen, const char *key)
{
    if (key)
        yajl_gen_string(gen, (const unsigned char *)key, strlen(key));
}

void cli_json_text(yajl_gen gen, const char *key, const char *text)
{
    cli_json_key(gen, key);
    put_text(gen, text);
}

void cli_json_number(yajl_gen gen, const char *key, uint64_t number)
{
    char buf[24];
    int n = snprintf(buf, sizeof(buf), "%" PRIu64, number);

    cli_json_key(gen, key);
    yajl_gen_number(gen, buf, (size_t)n); /* _integer has a sign */
}

void cli_json_bool(yajl_gen gen, const char *key, bool yes)
{
    cli_json_key(gen, key);
    yajl_gen_bool(gen, yes);
}

void cli_json_checkpoint(yajl_gen gen, const char *key,
                         const struct colo_checkpoint_info *info)
{
    cli_json_key(gen, key);
    yajl_gen_map_open(gen);
    cli_json_number(gen, "epoch", info->epoch);
    cli_json_number(gen, "dirty_pages", info->dirty_pages);
    cli_json_number(gen, "final_pages", info->final_pages);
    cli_json_number(gen, "zero_pages", info->zero_pages);
    cli_json_number(gen, "delta_pages", info->delta_pages);
    cli_json_number(gen, "wire_bytes", info->wire_bytes);
    cli_json_number(gen, "pause_us", info->pause_us);
    cli_json_number(gen, "stop_us", info->stop_us);
    cli_json_number(gen, "copy_us", info->copy_us);
    cli_json_number(gen, "state_us", info->state_us);
    cli_json_number(gen, "resume_us", info->resume_us);
    cli_json_number(gen, "commit_us", info->commit_us);
    yajl_gen_map_close(gen);
}

static void put_lockstep(yajl_gen gen, const struct colo_lockstep_info *info)
{
    cli_json_key(gen, "lockstep");
    yajl_gen_map_open(gen);
    cli_json_number(gen, "own_dirty_pages", info->own_dirty_pages);
    cli_json_number(gen, "peer_dirty_pages", info->peer_dirty_pages);
    cli_json_number(gen, "equal_pages", info->equal_pages);
    cli_json_number(gen, "sent_pages", info->sent_pages);
    cli_json_number(gen, "list_bytes", info->list_bytes);
    cli_json_number(gen, "total_equal_pages", info->total_equal_pages);
    cli_json_number(gen, "total_sent_pages", info->total_sent_pages);
    cli_json_number(gen, "total_bytes", info->total_bytes);
    yajl_gen_map_close(gen);
}

void cli_json_status(yajl_gen gen, const struct colo_status *status)
{
    yajl_gen_map_open(gen);
    cli_json_text(gen, "name", status->name);
    cli_json_text(gen, "uuid", status->uuid);
    cli_json_number(gen, "domid", status->domid);
    cli_json_text(gen, "role", colo_role_name(status->role));
    cli_json_text(gen, "state", colo_state_name(status->state));
    cli_json_text(gen, "mode", colo_mode_name(status->mode));
    cli_json_text(gen, "last_mode", colo_mode_name(status->last_mode));
    cli_json_text(gen, "reason", colo_reason_name(status->reason));
    cli_json_bool(gen, "replication_error", status->replication_error != 0);
    cli_json_text(gen, "error", status->error);
    cli_json_text(gen, "peer", status->peer);
    cli_json_number(gen, "interval_ms", status->interval_ms);
    cli_json_number(gen, "epoch", status->epoch);
    cli_json_number(gen, "last_commit_ms", status->last_commit_ms);
    cli_json_number(gen, "checkpoints", status->checkpoints);
    cli_json_number(gen, "pause_median_us", status->pause_median_us);
    cli_json_number(gen, "pause_p95_us", status->pause_p95_us);
    cli_json_number(gen, "dirty_pages_median", status->dirty_pages_median);
    cli_json_number(gen, "bytes_per_second", status->bytes_per_second);
    cli_json_number(gen, "seed_done", status->seed_done);
    cli_json_number(gen, "seed_total", status->seed_total);
    cli_json_number(gen, "seed_bytes_per_second",
                    status->seed_bytes_per_second);
    cli_json_number(gen, "audit_pages", status->audit_pages);
    cli_json_number(gen, "audit_mismatches", status->audit_mismatches);
    cli_json_number(gen, "audit_known", status->audit_known);
    cli_json_number(gen, "full_resyncs", status->full_resyncs);
    cli_json_number(gen, "disks", status->disks);
    cli_json_number(gen, "disk_done", status->disk_done);
    cli_json_number(gen, "disk_total", status->disk_total);
    cli_json_number(gen, "interfaces", status->interfaces);
    cli_json_number(gen, "held_bytes", status->held_bytes);
    cli_json_number(gen, "held_max", status->held_max);
    cli_json_number(gen, "output_lost", status->output_lost);
    cli_json_number(gen, "audit_off", (uint64_t)status->audit_off);
    cli_json_text(gen, "commit", colo_commit_name(status->commit));
    cli_json_checkpoint(gen, "last", &status->last);
    if (status->mode == COLO_MODE_COLO)
        put_lockstep(gen, &status->lockstep);
    yajl_gen_map_close(gen);
}
