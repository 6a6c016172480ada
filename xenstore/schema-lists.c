/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The KEY=NUMBER values of the xenstore contract: stats, progress,
 * checkpoint.  One table each; adding a field means adding a line here and
 * in libcolo-xenstore(7).  Pure, any thread.
 */
#include <stdio.h>
#include <string.h>

#include "schema.h"

struct field {
    const char *key;
    uint16_t offset;
    uint16_t width; /* 8: uint64_t, 4: int32_t */
};

#define STATUS(key, member) \
    { key, offsetof(struct colo_status, member), \
      sizeof(((struct colo_status *)NULL)->member) }
#define CHECKPOINT(key, member) \
    { key, offsetof(struct colo_committed, member), \
      sizeof(((struct colo_committed *)NULL)->member) }

static const struct field stats_fields[] = {
    STATUS("failed", replication_error),
    STATUS("committed-at-ms", last_commit_ms),
    STATUS("checkpoints", checkpoints),
    STATUS("pause-median-us", pause_median_us),
    STATUS("pause-p95-us", pause_p95_us),
    STATUS("dirty-pages-median", dirty_pages_median),
    STATUS("bytes-per-second", bytes_per_second),
    STATUS("audit-pages", audit_pages),
    STATUS("audit-mismatches", audit_mismatches),
    STATUS("audit-known", audit_known),
    STATUS("audit-off", audit_off),
    STATUS("full-resyncs", full_resyncs),
    STATUS("own-dirty-pages", lockstep.own_dirty_pages),
    STATUS("peer-dirty-pages", lockstep.peer_dirty_pages),
    STATUS("equal-pages", lockstep.equal_pages),
    STATUS("sent-pages", lockstep.sent_pages),
    STATUS("list-bytes", lockstep.list_bytes),
    STATUS("total-equal-pages", lockstep.total_equal_pages),
    STATUS("total-sent-pages", lockstep.total_sent_pages),
    STATUS("total-bytes", lockstep.total_bytes),
};

static const struct field progress_fields[] = {
    STATUS("done", seed_done),
    STATUS("total", seed_total),
    STATUS("bytes-per-second", seed_bytes_per_second),
};

static const struct field followers_fields[] = {
    STATUS("disks", disks),
    STATUS("disk-done", disk_done),
    STATUS("disk-total", disk_total),
    STATUS("interfaces", interfaces),
    STATUS("held-bytes", held_bytes),
    STATUS("held-max", held_max),
    STATUS("output-lost", output_lost),
    STATUS("commit", commit),
};

static const struct field checkpoint_fields[] = {
    CHECKPOINT("epoch", info.epoch),
    CHECKPOINT("dirty-pages", info.dirty_pages),
    CHECKPOINT("final-pages", info.final_pages),
    CHECKPOINT("zero-pages", info.zero_pages),
    CHECKPOINT("delta-pages", info.delta_pages),
    CHECKPOINT("wire-bytes", info.wire_bytes),
    CHECKPOINT("pause-us", info.pause_us),
    CHECKPOINT("stop-us", info.stop_us),
    CHECKPOINT("copy-us", info.copy_us),
    CHECKPOINT("state-us", info.state_us),
    CHECKPOINT("resume-us", info.resume_us),
    CHECKPOINT("commit-us", info.commit_us),
    CHECKPOINT("committed-at-ms", at_ms),
};

static uint64_t get_field(const struct field *f, const void *from)
{
    const char *at = (const char *)from + f->offset;
    uint64_t n;
    int32_t n32;

    if (f->width == sizeof(n32)) {
        memcpy(&n32, at, sizeof(n32));
        return n32 > 0 ? (uint64_t)n32 : 0;
    }
    memcpy(&n, at, sizeof(n));
    return n;
}

static void set_field(const struct field *f, void *to, uint64_t n)
{
    char *at = (char *)to + f->offset;
    int32_t n32;

    if (f->width == sizeof(n32)) {
        n32 = n > INT32_MAX ? INT32_MAX : (int32_t)n;
        memcpy(at, &n32, sizeof(n32));
    } else {
        memcpy(at, &n, sizeof(n));
    }
}

static int build(char *buf, size_t cap, const struct field *fields,
                 size_t count, const void *from, struct colo_error *err)
{
    size_t used = 0;
    int r;

    for (size_t i = 0; i < count; i++) {
        r = snprintf(buf + used, cap - used, "%s%s=%llu", i ? " " : "",
                     fields[i].key,
                     (unsigned long long)get_field(&fields[i], from));
        if (r < 0 || (size_t)r >= cap - used)
            return colo__fail(err, COLO_E_LIMIT, 0, "schema",
                              "a value does not fit %zu bytes", cap);
        used += (size_t)r;
    }
    return 0;
}

static const struct field *find(const struct field *fields, size_t count,
                                const char *key, size_t len)
{
    for (size_t i = 0; i < count; i++) {
        if (strlen(fields[i].key) == len &&
            memcmp(fields[i].key, key, len) == 0)
            return &fields[i];
    }
    return NULL;
}

/* Two passes would be needed to leave *to untouched on failure; the callers
 * parse into a copy instead. */
static int parse(const char *text, const struct field *fields, size_t count,
                 void *to, struct colo_error *err)
{
    const char *p = text + strspn(text, " \n");

    while (*p) {
        size_t len = strcspn(p, " \n"), key = strcspn(p, "= \n");
        const struct field *f = find(fields, count, p, key);
        char number[24];
        uint64_t n;
        int rc;

        if (key == 0 || p[key] != '=')
            return colo__fail(err, COLO_E_PROTO, 0, "schema",
                              "'%.*s' is not KEY=NUMBER",
                              len > 40 ? 40 : (int)len, p);
        if (f) {
            size_t digits = len - key - 1;

            if (digits >= sizeof(number))
                return colo__fail(err, COLO_E_PROTO, 0, "schema",
                                  "%s: not a number", f->key);
            memcpy(number, p + key + 1, digits);
            number[digits] = '\0';
            rc = colo__xs_u64_parse(number, &n, err);
            if (rc)
                return rc;
            set_field(f, to, n);
        }
        p += len;
        p += strspn(p, " \n");
    }
    return 0;
}

int colo__xs_stats_build(char *buf, size_t cap,
                         const struct colo_status *status,
                         struct colo_error *err)
{
    return build(buf, cap, stats_fields, COLO_ARRAY_LEN(stats_fields), status,
                 err);
}

int colo__xs_stats_parse(const char *text, struct colo_status *status,
                         struct colo_error *err)
{
    struct colo_status copy = *status;
    int rc;

    rc = parse(text, stats_fields, COLO_ARRAY_LEN(stats_fields), &copy, err);
    if (!rc)
        *status = copy;
    return rc;
}

int colo__xs_progress_build(char *buf, size_t cap,
                            const struct colo_status *status,
                            struct colo_error *err)
{
    return build(buf, cap, progress_fields, COLO_ARRAY_LEN(progress_fields),
                 status, err);
}

int colo__xs_progress_parse(const char *text, struct colo_status *status,
                            struct colo_error *err)
{
    struct colo_status copy = *status;
    int rc;

    rc = parse(text, progress_fields, COLO_ARRAY_LEN(progress_fields), &copy,
               err);
    if (!rc)
        *status = copy;
    return rc;
}

int colo__xs_followers_build(char *buf, size_t cap,
                             const struct colo_status *status,
                             struct colo_error *err)
{
    return build(buf, cap, followers_fields, COLO_ARRAY_LEN(followers_fields),
                 status, err);
}

int colo__xs_followers_parse(const char *text, struct colo_status *status,
                             struct colo_error *err)
{
    struct colo_status copy = *status;
    int rc;

    rc = parse(text, followers_fields, COLO_ARRAY_LEN(followers_fields),
               &copy, err);
    if (!rc)
        *status = copy;
    return rc;
}

int colo__xs_checkpoint_build(char *buf, size_t cap,
                              const struct colo_committed *committed,
                              struct colo_error *err)
{
    return build(buf, cap, checkpoint_fields,
                 COLO_ARRAY_LEN(checkpoint_fields), committed, err);
}

int colo__xs_checkpoint_parse(const char *text,
                              struct colo_committed *committed,
                              struct colo_error *err)
{
    struct colo_committed copy = *committed;
    int rc;

    rc = parse(text, checkpoint_fields, COLO_ARRAY_LEN(checkpoint_fields),
               &copy, err);
    if (!rc)
        *committed = copy;
    return rc;
}
