/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The record that colo-net leaves of what it has changed; see net.h.  Its lock
 * says whether the process lives: the kernel lets go of it whatever kills it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "net.h"

#define TEXT_MAX 8192

static int path_of(const char *vif, char *path, size_t cap,
                   struct colo_error *err)
{
    if (!*vif || strlen(vif) >= COLO_IFNAME || strchr(vif, '/') || *vif == '.')
        return colo__fail(err, COLO_E_INVAL, 0, NET_WHERE,
                          "%.40s is not an interface's name", vif);
    snprintf(path, cap, NET_RUN_DIR "/%s", vif);
    return 0;
}

int net_record_lock(const char *vif, int *ret_fd, struct colo_error *err)
{
    char path[96];
    int r = -1, fd, rc = path_of(vif, path, sizeof(path), err);

    if (rc) return rc;
    (void)mkdir("/run/libcolo", 0755);
    (void)mkdir(NET_RUN_DIR, 0700);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return colo__fail(err, COLO_E_SYS, errno, NET_WHERE, "%s", path);
    /* somebody may be looking whether it is locked */
    for (int i = 0; i < 10 && (r = flock(fd, LOCK_EX | LOCK_NB)) < 0; i++) {
        struct timespec ts = { .tv_nsec = 2000000 };

        nanosleep(&ts, NULL);
    }
    if (r < 0) {
        rc = colo__fail(err, errno == EWOULDBLOCK ? COLO_E_EXISTS : COLO_E_SYS,
                        errno == EWOULDBLOCK ? 0 : errno, NET_WHERE,
                        "another colo-net serves %s: after a takeover until "
                        "the connections from before are closed", vif);
        close(fd);
        return rc;
    }
    *ret_fd = fd;
    return 0;
}

static size_t build(const struct net_record *r, char *text, size_t cap)
{
    size_t n = (size_t)snprintf(text, cap, "vif %s\nbridge %s\ntap %s\n"
                                "secondary %d\narp %d\nipv6 %d\nvlans %d\n",
                                r->vif, r->bridge, r->tap, r->secondary,
                                r->had_arp, r->had_ipv6, r->has_vlans);

    for (unsigned i = 0; i < r->nr_settings && n < cap; i++)
        n += (size_t)snprintf(text + n, cap - n, "set %s %" PRIu32 "\n",
                              r->setting[i].name, r->setting[i].value);
    for (unsigned i = 0; i < r->nr_vlans && n < cap; i++)
        n += (size_t)snprintf(text + n, cap - n, "vlan %u %u\n",
                              r->vlan[i].vid, r->vlan[i].flags);
    return n;
}

int net_record_write(int fd, const struct net_record *r,
                     struct colo_error *err)
{
    char text[TEXT_MAX];
    size_t n = build(r, text, sizeof(text));

    if (n >= sizeof(text))
        return colo__fail(err, COLO_E_LIMIT, 0, NET_WHERE,
                          "%s has too many settings", r->vif);
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, n, 0) != (ssize_t)n)
        return colo__fail(err, COLO_E_SYS, errno, NET_WHERE,
                          "the record of %s", r->vif);
    return 0;
}

static bool parse_number(struct net_record *r, const char *line)
{
    unsigned a, b;
    int v;

    if (sscanf(line, "secondary %d", &v) == 1)
        r->secondary = v;
    else if (sscanf(line, "arp %d", &v) == 1)
        r->had_arp = v;
    else if (sscanf(line, "ipv6 %d", &v) == 1)
        r->had_ipv6 = v;
    else if (sscanf(line, "vlans %d", &v) == 1)
        r->has_vlans = v;
    else if (sscanf(line, "vlan %u %u", &a, &b) == 2 && a < 4096 &&
             b <= UINT16_MAX && r->nr_vlans < NET_VLANS) {
        r->vlan[r->nr_vlans].vid = (uint16_t)a;
        r->vlan[r->nr_vlans++].flags = (uint16_t)b;
    } else
        return false;
    return true;
}

static bool parse_line(struct net_record *r, const char *line)
{
    char name[32];
    uint32_t value;

    if (sscanf(line, "vif %15s", r->vif) == 1 ||
        sscanf(line, "tap %15s", r->tap) == 1 ||
        sscanf(line, "bridge %15s", r->bridge) == 1)
        return true;
    if (sscanf(line, "set %31[a-z0-9_] %" SCNu32, name, &value) == 2 &&
        r->nr_settings < NET_SETTINGS) {
        strcpy(r->setting[r->nr_settings].name, name);
        r->setting[r->nr_settings++].value = value;
        return true;
    }
    return parse_number(r, line);
}

int net_record_parse(const char *text, size_t len, struct net_record *ret)
{
    char line[96];

    memset(ret, 0, sizeof(*ret));
    while (len) {
        const char *nl = memchr(text, '\n', len);
        size_t n = nl ? (size_t)(nl - text) : 0;

        if (!nl || n >= sizeof(line) || memchr(text, 0, n))
            return -1; /* cut short, or not ours */
        memcpy(line, text, n);
        line[n] = 0;
        if (!parse_line(ret, line))
            return -1;
        text += n + 1;
        len -= n + 1;
    }
    return ret->vif[0] && ret->bridge[0] && ret->tap[0] &&
        !strchr(ret->vif, '/') && !strchr(ret->bridge, '/') ? 0 : -1;
}

int net_record_read(int fd, struct net_record *ret, struct colo_error *err)
{
    char text[TEXT_MAX];
    ssize_t n = pread(fd, text, sizeof(text), 0);

    if (n < 0)
        return colo__fail(err, COLO_E_SYS, errno, NET_WHERE, "a record");
    if (n == 0)
        return COLO_E_NOTFOUND;
    if (n == sizeof(text) || net_record_parse(text, (size_t)n, ret))
        return colo__fail(err, COLO_E_PROTO, 0, NET_WHERE,
                          "a record in " NET_RUN_DIR " is damaged");
    return 0;
}

void net_record_clear(int fd)
{
    if (ftruncate(fd, 0) < 0)
        return; /* cleaned up twice is fine */
}

int net_record_each(void (*fn)(void *user, const char *vif), void *user,
                    struct colo_error *err)
{
    DIR *dir = opendir(NET_RUN_DIR);
    const struct dirent *d;

    if (!dir && errno == ENOENT)
        return 0;
    if (!dir)
        return colo__fail(err, COLO_E_SYS, errno, NET_WHERE, NET_RUN_DIR);
    while ((d = readdir(dir)) != NULL) {
        if (d->d_name[0] != '.' && strlen(d->d_name) < COLO_IFNAME)
            fn(user, d->d_name);
    }
    closedir(dir);
    return 0;
}
