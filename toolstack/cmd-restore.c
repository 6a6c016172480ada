/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * restore: the seed stream from stdin; a paused domain NAME--incoming, or, made
 * by libvirt, NAME.  On any failure there is no domain.
 * restore-stream: the same of a stream with checkpoints, which goes on until
 * the session closes it; the domain is what the last whole one has made.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "disk-script.h"
#include "libvirt.h"
#include "pure/seed-header.h"

#define SUFFIX "--incoming"

/* shared with the child: whose domain to take away if it dies */
struct restore_state {
    libxl_uuid uuid;
    bool may_destroy; /* there was none with this uuid before */
    bool streamed;
    int toolstack;
    pid_t helper; /* of libvirt's restore */
};

static int read_all(void *data, size_t len)
{
    uint8_t *p = data;

    while (len) {
        ssize_t n = read(STDIN_FILENO, p, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            report("error", "the seed's stream ended early: %s",
                   n ? strerror(errno) : "end of file");
            return -1;
        }
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

/* JSON, a NUL, and perhaps XML. */
static char *read_config(size_t *ret_len)
{
    uint8_t header[SEED_HEADER];
    uint32_t len = 0;
    char *json;
    int r;

    if (read_all(header, sizeof(header)))
        return NULL;
    r = seed_header_parse(header, sizeof(header), &len);
    if (r != (int)SEED_HEADER) {
        report("error", r == -2 ? "the seed has another version" :
               "this is not a seed stream");
        return NULL;
    }
    json = malloc((size_t)len + 1);
    if (!json || read_all(json, len)) {
        free(json);
        return NULL;
    }
    json[len] = 0;
    *ret_len = len;
    return json;
}

/* The domain of this uuid, or 0. */
static uint32_t find_uuid(libxl_ctx *ctx, const libxl_uuid *uuid)
{
    libxl_dominfo *list;
    uint32_t found = 0;
    int n = 0;

    list = libxl_list_domain(ctx, &n);
    for (int i = 0; list && i < n; i++) {
        if (list[i].domid && !list[i].dying &&
            !libxl_uuid_compare(&list[i].uuid, uuid))
            found = list[i].domid;
    }
    if (list)
        libxl_dominfo_list_free(list, n);
    return found;
}

static int set_name(libxl_domain_config *config)
{
    char *name = NULL;

    if (!config->c_info.name || !config->c_info.name[0] ||
        strchr(config->c_info.name, '/') ||
        asprintf(&name, "%s" SUFFIX, config->c_info.name) < 0) {
        report("error", "the configuration has no usable name");
        return -1;
    }
    free(config->c_info.name);
    config->c_info.name = name;
    return 0;
}

static int load_config(libxl_ctx *ctx, libxl_domain_config *config,
                       const char *json, struct restore_state *state)
{
    uint32_t old, domid = 0;

    if (libxl_domain_config_from_json(ctx, config, json)) {
        report("error", "the configuration cannot be read");
        return -1;
    }
    if (set_name(config))
        return -1;
    old = find_uuid(ctx, &config->c_info.uuid);
    if (old || !libxl_name_to_domid(ctx, config->c_info.name, &domid)) {
        report("error", "this host has the guest already, as domain %u",
               old ? old : domid);
        return -1;
    }
    state->uuid = config->c_info.uuid;
    state->may_destroy = true;
    return 0;
}

static int restore_by_libxl(libxl_ctx *ctx, libxl_domain_config *config,
                            bool streamed)
{
    libxl_domain_restore_params params;
    uint32_t domid = INVALID_DOMID;
    int status = EXIT_FAILED;

    if (disk_script_use(config)) {
        report("error", "no memory");
        return EXIT_FAILED;
    }
    libxl_domain_restore_params_init(&params);
    params.checkpointed_stream = streamed ? LIBXL_CHECKPOINTED_STREAM_REMUS
                                          : LIBXL_CHECKPOINTED_STREAM_NONE;
    params.stream_version = 2;
    if (!libxl_domain_create_restore(ctx, config, &domid, STDIN_FILENO, -1,
                                     &params, NULL, NULL)) {
        report("domid", "%u", domid);
        status = EXIT_OK;
    } /* else: reported by libxl */
    libxl_domain_restore_params_dispose(&params);
    return status;
}

/* By libvirt if the guest was libvirt's over there, and here is one. */
static int restore(libxl_ctx *ctx, libxl_domain_config *config,
                   const char *xml, struct restore_state *state)
{
    int toolstack = state->toolstack;
    char uuid[LIBXL_UUID_FMTLEN + 1];
    int status = EXIT_ABSENT;

    if (toolstack == TOOLSTACK_LIBVIRT && !xml) {
        report("error", "the guest is not libvirt's on the other host");
        return EXIT_FAILED;
    }
    if (toolstack == TOOLSTACK_XL || !xml)
        return restore_by_libxl(ctx, config, state->streamed);
    snprintf(uuid, sizeof(uuid), LIBXL_UUID_FMT,
             LIBXL_UUID_BYTES(config->c_info.uuid));
    status = libvirt_restore(xml, uuid, &state->helper);
    if (status != EXIT_ABSENT)
        return status;
    if (toolstack == TOOLSTACK_LIBVIRT) {
        report("error", "there is no libvirt here that has Xen");
        return EXIT_FAILED;
    }
    report("warning", "there is no libvirt here that has Xen: the replica is "
           "libxl's alone");
    return restore_by_libxl(ctx, config, false);
}

static int restore_work(void *arg)
{
    struct restore_state *state = arg;
    libxl_domain_config config;
    int status = EXIT_FAILED;
    libxl_ctx *ctx = NULL;
    size_t len = 0;
    char *json;

    libxl_domain_config_init(&config);
    json = read_config(&len);
    if (json)
        ctx = report_ctx();
    if (!ctx || load_config(ctx, &config, json, state))
        goto out;
    status = restore(ctx, &config, seed_config_xml(json, len), state);
    if (status == EXIT_OK)
        report("done", "%s", "");
out:
    free(json);
    libxl_domain_config_dispose(&config);
    libxl_ctx_free(ctx);
    return status;
}

static void restore_undo(void *arg, bool killed)
{
    struct restore_state *state = arg;
    libxl_ctx *ctx;
    uint32_t domid;

    (void)killed;
    libvirt_restore_undo(state->helper);
    if (!state->may_destroy)
        return;
    ctx = report_ctx();
    if (!ctx)
        return;
    domid = find_uuid(ctx, &state->uuid);
    if (domid && libxl_domain_destroy(ctx, domid, NULL))
        report("error", "domain %u is left over", domid);
    libxl_ctx_free(ctx);
}

int cmd_restore(bool streamed, int toolstack)
{
    struct restore_state *state;

    state = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (state == MAP_FAILED) {
        report("error", "no memory");
        return EXIT_FAILED;
    }
    state->streamed = streamed;
    state->toolstack = toolstack;
    return supervise(restore_work, restore_undo, state);
}
