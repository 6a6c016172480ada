/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The way out: what is beneath a disk is the backing again, or `error` when
 * this copy must not be written, and nothing of the proxy is left.  Used by a
 * supervisor at its end and by who cleans up after one.  See colo-disk.h.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "colo-disk.h"

#define SWAP_SECONDS 30     /* besides the time of a request */
#define SWAP_TRIES 4        /* servers that replace one another */
#define REPLUG_MS 10000
#define GONE_SECONDS 3600
#define LOST_SECONDS 30     /* where a request has no limit, the kernel looks so
                             * often whether it must be sent again */
#define KIT_END_MS 10000

static void pause_ms(long ms)
{
    struct timespec t = { .tv_sec = ms / 1000,
                          .tv_nsec = ms % 1000 * 1000000L };

    nanosleep(&t, NULL);
}

bool disk_may_write(const struct disk_names *names, bool secondary)
{
    int state = colo__meta_peek(names->meta, NULL, NULL);

    /* unreadable: whoever has a guest running goes on */
    if (state < 0)
        return !secondary;
    return state == 0 || state == COLO_META_ALONE ||
           state == COLO_META_PRIMARY;
}

void disk_flag(const struct disk_names *names, char ret_path[PATH_MAX])
{
    const char *slash = strrchr(names->record, '/');

    snprintf(ret_path, PATH_MAX, "%.*s/unmarked-%s",
             slash ? (int)(slash - names->record) : 0, names->record,
             names->name);
}

/* Before the guest writes past the bitmap.  A metadata file that takes no mark
 * is no reason to stop a guest; but the next protection must know of it. */
static int mark_untracked(const struct disk_names *names,
                          struct colo_error *err)
{
    char path[PATH_MAX];
    struct colo_error why;
    int rc = colo__meta_untracked(names->meta, err);

    disk_flag(names, path);
    if (rc && colo__meta_flag(path, &why))
        disk_report(&why);
    return rc;
}

int disk_replug(const struct disk_names *names,
                const struct disk_backing *backing, struct disk_record *record,
                struct disk_kit *kit, struct colo_error *err)
{
    int rc;

    rc = disk_kit_relay(kit, backing, err);
    if (rc)
        return rc;
    /* before its first write; what cannot be marked is no reason to stop a
     * guest, and disk_leave tries again */
    (void)mark_untracked(names, NULL);
    for (int waited = 0; ; waited += 20) {
        rc = colo__nbd_reconfigure(record->nbd, kit->sock, record->identifier,
                                   err);
        if (rc != COLO_E_STATE || waited >= REPLUG_MS)
            break;
        pause_ms(20);
    }
    if (rc) {
        disk_kit_end(kit, 0);
        return rc;
    }
    /* if we die now, the relay is what recover finds; what it writes nobody
     * notes */
    record->kit = kit->process;
    record->track = 0;
    return disk_record_write(names->record, record, err);
}

static bool end_server(struct disk_record *record, struct disk_kit *kit,
                       int wait_ms)
{
    /* a kit is what the record says, but not always the other way around */
    return disk_kit_end(kit, wait_ms) &&
        disk_process_end(&record->kit, wait_ms);
}

/* A server that does not answer is replaced; its process must be gone first,
 * so that no old write of it comes after a new one. */
static int swap_to_backing(const struct disk_names *names,
                           const struct disk_backing *backing,
                           struct disk_record *record, struct disk_kit *kit,
                           uint64_t sectors, dev_t under,
                           struct colo_error *err)
{
    unsigned int limit = SWAP_SECONDS +
        (record->timeout_s ? record->timeout_s : LOST_SECONDS);

    for (int i = 0; ; i++) {
        /* a relay has taken over from a dead server, whose requests wait */
        int rc = colo__dm_swap(names->name, sectors, under,
                               kit->relay ? limit : SWAP_SECONDS, err);

        if (rc != COLO_E_TIMEOUT || i == SWAP_TRIES)
            return rc;
        disk_say("%s: the proxy does not answer, it is replaced",
                 names->target);
        if (!end_server(record, kit, 0) && !disk_wait_gone(&record->kit))
            return rc;
        rc = disk_replug(names, backing, record, kit, err);
        if (rc)
            return rc;
    }
}

/* What goes beneath the disk.  Noting what is written makes sense only if
 * all was up to now: not if the plugin has not yet taken what was noted
 * before it came (pending), and not past a server that marks nothing. */
static dev_t choose_under(const struct disk_names *names,
                          const struct disk_backing *backing,
                          struct disk_record *record, bool pending)
{
    struct colo_error err;
    dev_t dev;

    record->track = record->track && !pending &&
        colo__meta_peek(names->meta, NULL, NULL) > 0;
    if (!record->track)
        return backing->dev;
    if (!disk_track_begin(names, backing, &dev, &err))
        return dev;
    disk_say("%s: what the guest writes without a proxy is not noted: %s",
             names->target, err.text);
    record->track = 0;
    return backing->dev;
}

static int swap_out(const struct disk_names *names,
                    const struct disk_backing *backing,
                    struct disk_record *record, struct disk_kit *kit,
                    bool may_write, bool pending, struct colo_error *err)
{
    struct colo_dm_info info;
    dev_t nbd, under;
    int rc;

    rc = colo__dm_info(names->name, &info, err);
    if (rc || !info.exists || record->nbd < 0 ||
        colo__nbd_number(record->nbd, &nbd, NULL) || info.under != nbd)
        return rc;
    if (may_write) {
        under = choose_under(names, backing, record, pending);
        rc = swap_to_backing(names, backing, record, kit, info.sectors, under,
                             err);
        if (rc && under != backing->dev)
            disk_track_drop(names);
        return rc;
    }
    disk_say("%s: this copy must not be written: I/O of a guest fails from "
             "now on", names->target);
    /* first, so that I/O under way fails and does not hold up the swap */
    rc = colo__nbd_disconnect(record->nbd, record->identifier, err);
    if (rc)
        return rc;
    return colo__dm_swap(names->name, info.sectors, COLO_DM_ERROR,
                         SWAP_SECONDS, err);
}

void disk_wait_applied(const struct disk_record *record)
{
    for (int i = 0; i < COLO_META_APPLY_SECONDS * 10; i++) {
        if (colo__meta_peek(record->meta, NULL, NULL) != COLO_META_APPLYING ||
            !disk_process_alive(&record->kit))
            return;
        pause_ms(100);
    }
}

bool disk_is_draining(const struct disk_names *names,
                      struct disk_record *ret_record)
{
    return disk_record_read(names->record, ret_record, NULL) == 1 &&
        !disk_process_alive(&ret_record->supervisor) &&
        disk_process_alive(&ret_record->kit) &&
        colo__meta_peek(ret_record->meta, NULL, NULL) == COLO_META_APPLYING;
}

void disk_wait_abandoned(const struct disk_names *names)
{
    struct disk_record record;

    if (disk_is_draining(names, &record))
        disk_wait_applied(&record);
}

bool disk_wait_gone(const struct disk_process *process)
{
    for (int i = 0; i < GONE_SECONDS * 10 && disk_process_alive(process); i++)
        pause_ms(100);
    return !disk_process_alive(process);
}

/* A copy that was in step goes on alone from here: a new generation, or if
 * what is written from now on is noted, the same. */
static int settle(const struct disk_names *names, uint64_t size, bool noted,
                  struct colo_error *err)
{
    struct colo_meta *meta = NULL;
    int rc;

    if (!colo__meta_peek(names->meta, NULL, NULL))
        return 0;
    if (noted)
        rc = colo__meta_open_pending(names->meta, size, COLO_META_ALONE, &meta,
                                     err);
    else
        rc = colo__meta_open(names->meta, size, COLO_META_ALONE, &meta, err);
    if (!rc && colo__meta_state(meta) == COLO_META_PRIMARY)
        rc = colo__meta_set(meta, COLO_META_ALONE, NULL, err);
    colo__meta_close(meta);
    return rc;
}

static bool is_noted(const struct disk_names *names)
{
    struct colo_dm_info info;

    return !colo__dm_info(names->name, &info, NULL) && info.exists &&
        disk_track_is(names, info.under);
}

int disk_leave(const struct disk_names *names,
               const struct disk_backing *backing, struct disk_record *record,
               struct disk_kit *kit, struct colo_error *err)
{
    bool may_write, pending;
    int rc, rc2;

    disk_wait_applied(record); /* of a takeover that has begun since */
    may_write = disk_may_write(names, record->secondary);
    pending = colo__meta_is_pending(names->meta);
    rc = may_write ? mark_untracked(names, err) : 0;
    /* a mark that could not be made is no reason to stop a guest */
    rc2 = swap_out(names, backing, record, kit, may_write, pending,
                   rc ? NULL : err);
    if (rc2) {
        /* the device is still on the nbd device: leave it working */
        return rc ? rc : rc2;
    }
    /* of one that died before its table was in force */
    rc2 = colo__dm_clear(names->name, rc ? NULL : err);
    rc = rc ? rc : rc2;
    if (record->nbd >= 0) {
        rc2 = colo__nbd_disconnect(record->nbd, record->identifier,
                                   rc ? NULL : err);
        rc = rc ? rc : rc2;
    }
    (void)end_server(record, kit, KIT_END_MS);
    if (may_write) {
        /* Again: the plugin clears the mark when it has taken what was noted
         * before it came, and may have been about to when we made it. */
        rc2 = mark_untracked(names, rc ? NULL : err);
        rc = rc ? rc : rc2;
        /* also if it never left that device: then no proxy had a write */
        rc2 = settle(names, backing->size,
                     !rc && record->track && is_noted(names),
                     rc ? NULL : err);
        rc = rc ? rc : rc2;
    }
    if (!is_noted(names))
        disk_track_drop(names); /* of a proxy that died on its way in */
    unlink(names->tracked);
    unlink(names->usage); /* of a proxy that was killed */
    unlink(names->record);
    return rc;
}

int disk_recover_one(const struct disk_names *names, struct colo_error *err)
{
    struct disk_backing backing = { .fd = -1 };
    struct disk_kit kit = { .sock = -1, .hold = -1 };
    struct disk_names own = *names;
    struct disk_record record;
    int rc;

    rc = disk_record_read(names->record, &record, err);
    if (rc <= 0 || disk_process_alive(&record.supervisor))
        return rc > 0 ? 0 : rc;
    snprintf(own.meta, sizeof(own.meta), "%s", record.meta);
    rc = disk_backing_open(&backing, record.target, err);
    if (rc)
        return rc;
    if (record.nbd < 0)
        record.nbd = colo__nbd_find(record.identifier);
    else if (!colo__nbd_is(record.nbd, record.identifier))
        record.nbd = -1; /* ours has gone, and the number is another's */
    if (!disk_process_alive(&record.kit) && record.nbd >= 0 &&
        colo__nbd_connected(record.nbd) &&
        disk_may_write(&own, record.secondary)) {
        rc = disk_replug(&own, &backing, &record, &kit, err);
        if (rc)
            disk_say("%s: %s; I/O under way fails", record.target,
                     err ? err->text : "no relay");
    }
    rc = disk_leave(&own, &backing, &record, &kit, err);
    disk_backing_close(&backing);
    return rc ? rc : 1;
}
