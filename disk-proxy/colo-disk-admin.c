/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * colo-disk recover, status, force and discard: for operators and for what
 * starts a host.  See colo-disk.h.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "colo-disk.h"

/* Calls fn for every record; returns how often it failed. */
static int each_record(int (*fn)(const struct disk_record *record))
{
    DIR *dir = opendir(DISK_RUN_DIR);
    struct dirent *entry;
    int failed = 0;

    if (!dir && errno != ENOENT) {
        disk_say("cannot read %s: %s", DISK_RUN_DIR, strerror(errno));
        return 1;
    }
    while (dir && (entry = readdir(dir))) {
        struct disk_record record;
        struct colo_error err;
        char path[PATH_MAX];
        int rc;

        /* beside records there are lock-colo-* and new-colo-* */
        if (strncmp(entry->d_name, "colo-", 5))
            continue;
        snprintf(path, sizeof(path), DISK_RUN_DIR "/%s", entry->d_name);
        rc = disk_record_read(path, &record, &err);
        if (rc < 0)
            disk_report(&err);
        failed += rc < 0 || (rc == 1 && fn(&record));
    }
    if (dir)
        closedir(dir);
    return failed;
}

static int recover_record(const struct disk_record *record)
{
    struct disk_names names;
    struct colo_error err;
    int lock = -1, rc;

    rc = disk_names(&names, record->target, NULL, &err);
    if (!rc)
        disk_wait_abandoned(&names);
    if (!rc)
        rc = disk_lock(&names, &lock, &err);
    if (!rc)
        rc = disk_recover_one(&names, &err);
    if (lock >= 0)
        close(lock);
    if (rc < 0)
        return disk_report(&err);
    if (rc)
        printf("%s: cleaned up\n", record->target);
    return 0;
}

int disk_cmd_recover(const struct disk_options *options)
{
    (void)options;
    return each_record(recover_record) ? 1 : 0;
}

static void print_meta(const char *path)
{
    uint8_t generation[COLO_META_GENERATION];
    struct colo_error err;
    int state = colo__meta_peek(path, generation, &err);

    if (state < 0)
        printf(" metadata unreadable");
    else if (state)
        printf(" %s %02x%02x%02x%02x", colo__meta_state_name(state),
               generation[0], generation[1], generation[2], generation[3]);
    else
        printf(" no-metadata");
}

static void print_device(const char *name)
{
    struct colo_dm_info info;

    if (colo__dm_info(name, &info, NULL))
        printf(" device unknown");
    else if (!info.exists)
        printf(" no-device");
    else if (info.under == COLO_DM_ERROR)
        printf(" on error, open %u", info.open_count);
    else
        printf(" on %u:%u, open %u%s", major(info.under), minor(info.under),
               info.open_count, info.suspended ? ", suspended" : "");
}

/* What a secondary's proxy says that it holds; nothing if there is none. */
static void print_usage(const char *name)
{
    char path[PATH_MAX], line[128], *p;
    FILE *f;

    snprintf(path, sizeof(path), DISK_RUN_DIR "/use-%s", name);
    f = fopen(path, "re");
    if (!f)
        return;
    if (fgets(line, sizeof(line), f)) {
        for (p = line + strlen(line); p > line && p[-1] <= ' '; p--)
            p[-1] = '\0';
        printf(", %s", line);
    }
    fclose(f);
}

static int status_record(const struct disk_record *record)
{
    char name[COLO_DM_NAME_MAX];

    if (colo__dm_name(record->target, name, NULL))
        return 1;
    printf("%s %s", record->target,
           record->secondary ? "secondary" : "primary");
    if (disk_process_alive(&record->supervisor))
        printf(" served by %d", (int)record->supervisor.pid);
    else
        printf(" abandoned (colo-disk recover)");
    printf(" nbd%d%s", record->nbd,
           disk_process_alive(&record->kit) ? "" : " (server gone)");
    print_device(name);
    print_meta(record->meta);
    if (disk_process_alive(&record->kit))
        print_usage(name);
    printf("\n");
    return 0;
}

int disk_cmd_status(const struct disk_options *options)
{
    struct disk_names names;
    struct disk_record record;
    struct colo_error err;
    int rc;

    if (!options->target)
        return each_record(status_record) ? 1 : 0;
    rc = disk_names(&names, options->target, options->meta_dir, &err);
    if (!rc)
        rc = disk_record_read(names.record, &record, &err);
    if (rc < 0)
        return disk_report(&err);
    if (rc)
        return status_record(&record);
    printf("%s not served", names.target);
    print_device(names.name);
    print_meta(names.meta);
    printf("\n");
    return 0;
}

int disk_cmd_force(const struct disk_options *options)
{
    struct disk_backing backing = { .fd = -1 };
    struct disk_names names;
    struct colo_error err;
    int lock, rc;

    rc = disk_take(&names, options, &lock, &err);
    if (!rc)
        rc = disk_backing_open(&backing, names.target, &err);
    if (!rc)
        rc = colo__meta_force(names.meta, backing.size,
                              options->inconsistent, &err);
    disk_backing_close(&backing);
    if (lock >= 0)
        close(lock);
    return rc ? disk_report(&err) : 0;
}

/* A copy that a guest writes is not thrown away beneath it. */
static int check_unused(const struct disk_names *names, struct colo_error *err)
{
    struct colo_dm_info info;
    int rc = colo__dm_info(names->name, &info, err);

    if (!rc && info.exists && info.open_count)
        rc = colo__fail(err, COLO_E_EXISTS, 0, DISK_WHERE,
                        "%s is in use by a guest or another program",
                        names->target);
    return rc;
}

int disk_cmd_discard(const struct disk_options *options)
{
    struct disk_names names;
    struct colo_error err;
    int lock, state = 0, rc;

    rc = disk_take(&names, options, &lock, &err);
    if (!rc)
        rc = check_unused(&names, &err);
    if (!rc)
        rc = colo__meta_discard(names.meta, &state, &err);
    if (lock >= 0)
        close(lock);
    if (rc)
        return disk_report(&err);
    if (state != COLO_META_ALONE && state != COLO_META_PRIMARY &&
        state != COLO_META_SECONDARY)
        printf("%s is %s: nothing to do, a primary may overwrite it\n",
               names.target, colo__meta_state_name(state));
    return 0;
}
