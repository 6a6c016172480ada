/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * libxl-colo.so, loaded before libxl by colo-xl: takes over two of libxl's
 * calls, as `xl remus` and `xl migrate-receive -r` make them.  Every other way
 * of calling them goes on to stock libxl: asynchronous, a plain restore, a
 * peer with only stock Xen, an option that libcolo has nothing like.
 *
 * Needs no library but libc: it is loaded into every process that xl starts.
 * What it has to say goes to the log that xl gave to libxl.
 *
 * Source of the calls and of what xl does after them: Xen 4.17.7,
 * tools/libs/light/libxl_remus.c, libxl_create.c, tools/xl/xl_migrate.c.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* what this header declares is what the map lets out */
#pragma GCC visibility push(default)
#include <libxl.h>
#pragma GCC visibility pop

#include "errors.h"
#include "helper.h"
#include "options.h"
#include "peer.h"

#define HELLO_S 40u      /* for a peer that may not know that it is asked: its
                            xl may free memory first, in three tries of 10 s */
#define LOCK_FDS 256     /* xl opens its lock early: its number is small */
#define SENDER_MS 60000u /* for a sender, from its xl's header to its stream */
#define EAGER_MS 2000u   /* a stock sender of mode COLO does not wait so long */

typedef int remus_start_fn(libxl_ctx *ctx, libxl_domain_remus_info *info,
                           uint32_t domid, int send_fd, int recv_fd,
                           const libxl_asyncop_how *ao_how);
typedef int create_restore_fn(libxl_ctx *ctx, libxl_domain_config *d_config,
                              uint32_t *domid, int restore_fd,
                              int send_back_fd,
                              const libxl_domain_restore_params *params,
                              const libxl_asyncop_how *ao_how,
                              const libxl_asyncprogress_how *aop_console_how);

/* ---- xl's log ----------------------------------------------------------- */

static void say(libxl_ctx *ctx, int level, const char *fmt, ...)
    COLO_PRINTF(3, 4);
static void log_message(xentoollog_logger *lg, xentoollog_level level,
                        const char *fmt, ...) COLO_PRINTF(3, 4);

static void log_message(xentoollog_logger *lg, xentoollog_level level,
                        const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    lg->vmessage(lg, level, -1, "libxl-colo", fmt, ap);
    va_end(ap);
}

/* libxl tells nobody which log it was given.  But it has been the first thing
 * in its context from Xen 4.1 to 4.22. */
static void say(libxl_ctx *ctx, int level, const char *fmt, ...)
{
    /* xl shows warnings and errors, and with -v the rest */
    static const xentoollog_level levels[] = {
        [COLO_LOG_DEBUG] = XTL_DEBUG, [COLO_LOG_INFO] = XTL_VERBOSE,
        [COLO_LOG_NOTICE] = XTL_DETAIL, [COLO_LOG_WARNING] = XTL_WARN,
        [COLO_LOG_ERROR] = XTL_ERROR,
    };
    xentoollog_logger *lg = *(xentoollog_logger **)ctx;
    char text[XL_LINE_MAX];
    va_list ap;

    if (!lg)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    log_message(lg, levels[level], "%s", text);
}

static void on_say(void *user, int level, const char *text)
{
    say(user, level, "%s", text);
}

/* xl migrate-receive's end: rc of libcolo becomes libxl's, the reason is
 * logged */
static int fail(libxl_ctx *ctx, int rc, const struct colo_error *err)
{
    say(ctx, COLO_LOG_ERROR, "%s", err->text);
    return xl_error_from(rc);
}

/* ---- xl remus ----------------------------------------------------------- */

/* xl makes libxl resume the guest, whatever we say, unless we say that it has
 * not suspended.  But it runs, or whoever has it suspended this instant resumes
 * it: another session, the watchdog of one that was killed, an xl save that has
 * begun when protection was over.  A resume beside theirs costs the guest wide
 * registers, or lets it run while it is copied.  So xl is to leave it alone,
 * always; what has happened is in the log. */
static int remus_end(libxl_ctx *ctx, int rc, const struct colo_error *err)
{
    if (rc < 0)
        say(ctx, COLO_LOG_ERROR, "%s", err->text);
    else
        say(ctx, COLO_LOG_WARNING,
            "protection has ended as asked; the guest runs");
    return ERROR_GUEST_TIMEDOUT;
}

/* The next one of this name, which is stock libxl's. */
static int stock_remus_start(libxl_ctx *ctx, libxl_domain_remus_info *info,
                             uint32_t domid, int send_fd, int recv_fd,
                             const libxl_asyncop_how *ao_how)
{
    remus_start_fn *next =
        (remus_start_fn *)dlsym(RTLD_NEXT, "libxl_domain_remus_start");

    return next ? next(ctx, info, domid, send_fd, recv_fd, ao_how) : ERROR_NI;
}

static uint32_t hello_ms(void)
{
    const char *text = getenv("COLO_XL_HELLO");
    unsigned long s = text ? strtoul(text, NULL, 10) : HELLO_S;

    return (uint32_t)(s && s <= 600 ? s : HELLO_S) * 1000u;
}

static int protect(libxl_ctx *ctx, const struct xl_request *request,
                   uint32_t domid, const char *host, int send_fd, int recv_fd,
                   struct colo_error *err)
{
    char id[16], interval[16];

    snprintf(id, sizeof(id), "%u", domid);
    snprintf(interval, sizeof(interval), "%u", request->interval_ms);
    return xl_helper_run((const char *const[]){
        request->nowhere ? "nowhere" : "primary", id, host,
        request->mode == COLO_MODE_COLO ? "colo" : "remus", interval,
        request->network_buffer ? "buffer" : "no-buffer",
        request->disks ? "disks" : "no-disks",
        request->compress ? "compress" : "no-compress", NULL
    }, send_fd, recv_fd, -1, on_say, ctx, err);
}

int libxl_domain_remus_start(libxl_ctx *ctx, libxl_domain_remus_info *info,
                             uint32_t domid, int send_fd, int recv_fd,
                             const libxl_asyncop_how *ao_how)
{
    char host[XL_NAME_MAX] = "";
    struct xl_request request;
    struct colo_error err;
    int rc;

    if (ao_how)
        return stock_remus_start(ctx, info, domid, send_fd, recv_fd, ao_how);
    rc = xl_request_from(info, &request, &err);
    if (rc)
        return remus_end(ctx, rc, &err);
    if (request.nowhere) { /* xl has no peer either, and one descriptor */
        rc = protect(ctx, &request, domid, "nowhere", send_fd, send_fd, &err);
        return remus_end(ctx, rc, &err);
    }
    rc = xl_peer_wait_hello(recv_fd, hello_ms(), host, &err);
    if (rc)
        return remus_end(ctx, rc, &err);
    if (!*host) {
        say(ctx, COLO_LOG_WARNING, "the peer has only stock Xen: so this is "
            "stock Remus, with what it can do");
        return stock_remus_start(ctx, info, domid, send_fd, recv_fd, ao_how);
    }
    rc = protect(ctx, &request, domid, host, send_fd, recv_fd, &err);
    return remus_end(ctx, rc, &err);
}

/* ---- xl migrate-receive -r, --colo --------------------------------------- */

static int stock_create_restore(libxl_ctx *ctx, libxl_domain_config *d_config,
                                uint32_t *domid, int restore_fd,
                                int send_back_fd,
                                const libxl_domain_restore_params *params,
                                const libxl_asyncop_how *ao_how,
                                const libxl_asyncprogress_how *console_how)
{
    create_restore_fn *next =
        (create_restore_fn *)dlsym(RTLD_NEXT, "libxl_domain_create_restore");

    return next ? next(ctx, d_config, domid, restore_fd, send_back_fd, params,
                       ao_how, console_how) : ERROR_NI;
}

static bool wants_checkpoints(const libxl_domain_restore_params *params,
                              int send_back_fd)
{
    return params && send_back_fd >= 0 &&
           params->checkpointed_stream != LIBXL_CHECKPOINTED_STREAM_NONE;
}

/* xl has nothing to do afterwards: the replica has its name, and, when it took
 * over, runs and is watched.  So this never says 0, after which xl would rename
 * it, start it and watch it, too; and without a domid xl destroys nothing. */
static int receive_end(libxl_ctx *ctx, int rc, const struct colo_error *err)
{
    if (rc < 0)
        return fail(ctx, rc, err);
    say(ctx, COLO_LOG_NOTICE, "%s", rc == XL_TAKEN_OVER ?
        "the guest runs on this host now, and xl has no more to do" :
        "protection has ended as asked");
    return ERROR_ABORTED;
}

/* xl takes a lock of this host's before it makes room for a domain and creates
 * it, and gives it up when we return, which is when protection ends: every
 * other xl that creates, receives or restarts a guest would wait for that.  Nor
 * is it held until the replica has its memory: a second receiver would wait for
 * all of the first copy, and its sender take it for one of stock Xen.  What was
 * made room for may so be given to another guest: then one of both is refused,
 * and says why.  xl's own release later does nothing. */
static void give_up_lock(void)
{
    static const struct flock none = { .l_type = F_UNLCK,
                                       .l_whence = SEEK_SET };

    for (int fd = STDERR_FILENO + 1; fd < LOCK_FDS; fd++) {
        char link[32], path[256];
        ssize_t n;

        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        n = readlink(link, path, sizeof(path) - 1);
        path[n > 0 ? n : 0] = '\0';
        if (n >= 3 && !strcmp(path + n - 3, "/xl"))
            (void)fcntl(fd, F_SETLK, &none);
    }
}

static int receive(libxl_ctx *ctx, int restore_fd, int send_back_fd)
{
    struct colo_error err;
    int rc;

    give_up_lock();
    rc = xl_helper_run((const char *const[]){ "secondary", NULL },
                       send_back_fd, restore_fd, -1, on_say, ctx, &err);
    return receive_end(ctx, rc, &err);
}

/* ---- a sender with only stock Xen --------------------------------------- */

#define INCOMING "--incoming"

/* What the helper is told of the guest.  xl has given it another name than it
 * has; the restore does so, too. */
struct guest {
    char *json;
    char name[128];
    char uuid[2 * 16 + 1];
};

static bool cut_name(struct guest *guest, const char *name)
{
    size_t len = name ? strlen(name) : 0, tail = strlen(INCOMING);

    if (len > tail && !strcmp(name + len - tail, INCOMING))
        len -= tail;
    if (!len || len >= sizeof(guest->name))
        return false;
    memcpy(guest->name, name, len);
    guest->name[len] = '\0';
    return true;
}

/* libxl's own text of it; false: it cannot be had, or passed on */
static bool describe(libxl_ctx *ctx, libxl_domain_config *config,
                     struct guest *guest)
{
    char *(*to_json)(libxl_ctx *, libxl_domain_config *) =
        (char *(*)(libxl_ctx *, libxl_domain_config *))
        dlsym(RTLD_NEXT, "libxl_domain_config_to_json");
    char *name = config->c_info.name;

    if (!to_json || config->c_info.type == LIBXL_DOMAIN_TYPE_PV ||
        !cut_name(guest, name))
        return false;
    for (size_t i = 0; i < 16; i++)
        snprintf(guest->uuid + 2 * i, 3, "%02x",
                 config->c_info.uuid.uuid[i]);
    config->c_info.name = guest->name;
    guest->json = to_json(ctx, config);
    config->c_info.name = name;
    return guest->json != NULL;
}

/* or -errno */
static int config_file(const char *json)
{
    size_t len = strlen(json);
    int fd = memfd_create("libcolo-config", MFD_CLOEXEC);
    ssize_t n;
    int e;

    if (fd < 0)
        return -errno;
    n = write(fd, json, len);
    if (n == (ssize_t)len)
        return fd;
    e = n < 0 ? errno : ENOSPC;
    close(fd);
    return -e;
}

/* The stream goes on to a session, if it is one that libcolo can follow. */
static int receive_stock(libxl_ctx *ctx, const struct guest *guest,
                         int restore_fd, int send_back_fd)
{
    int rc, config_fd = config_file(guest->json);
    struct colo_error err;

    if (config_fd < 0) {
        rc = colo__fail(&err, COLO_E_SYS, -config_fd, "xl",
                        "a file in memory");
        return fail(ctx, rc, &err);
    }
    give_up_lock();
    say(ctx, COLO_LOG_NOTICE, "the sender has only stock Xen: its checkpoints "
        "are held by libcolo");
    rc = xl_helper_run((const char *const[]){
        "stock-secondary", guest->name, guest->uuid, NULL
    }, send_back_fd, restore_fd, config_fd, on_say, ctx, &err);
    close(config_fd);
    return receive_end(ctx, rc, &err);
}

/* In mode Remus a stock sender does not mind what it is told.  In mode COLO it
 * listens, so nothing is said before it is known not to be one: it begins by
 * itself, and ours does not. */
static int find_sender(int restore_fd, int send_back_fd, bool colo,
                       bool *ret_stock, struct colo_error *err)
{
    char name[256] = "";
    int rc;

    if (colo) {
        rc = xl_peer_is_stock(restore_fd, EAGER_MS, ret_stock, err);
        if (rc != COLO_E_TIMEOUT)
            return rc;
    }
    /* without it there is still a line */
    if (gethostname(name, sizeof(name) - 1))
        name[0] = '\0';
    rc = xl_peer_say_hello(send_back_fd, name, err);
    return rc ? rc : xl_peer_is_stock(restore_fd, SENDER_MS, ret_stock, err);
}

int libxl_domain_create_restore(libxl_ctx *ctx, libxl_domain_config *d_config,
                                uint32_t *domid, int restore_fd,
                                int send_back_fd,
                                const libxl_domain_restore_params *params,
                                const libxl_asyncop_how *ao_how,
                                const libxl_asyncprogress_how *aop_console_how)
{
    struct colo_error err;
    struct guest guest = { 0 };
    bool stock = true;
    int rc;

    if (ao_how || !wants_checkpoints(params, send_back_fd))
        return stock_create_restore(ctx, d_config, domid, restore_fd,
                                    send_back_fd, params, ao_how,
                                    aop_console_how);
    rc = find_sender(restore_fd, send_back_fd, params->checkpointed_stream ==
                     LIBXL_CHECKPOINTED_STREAM_COLO, &stock, &err);
    if (rc)
        return fail(ctx, rc, &err);
    if (!stock)
        return receive(ctx, restore_fd, send_back_fd);
    if (params->checkpointed_stream == LIBXL_CHECKPOINTED_STREAM_REMUS &&
        describe(ctx, d_config, &guest))
        rc = receive_stock(ctx, &guest, restore_fd, send_back_fd);
    free(guest.json);
    if (rc)
        return rc;
    say(ctx, COLO_LOG_WARNING, "the sender has only stock Xen: so this is "
        "stock Remus, with what it can do");
    return stock_create_restore(ctx, d_config, domid, restore_fd,
                                send_back_fd, params, ao_how,
                                aop_console_how);
}
