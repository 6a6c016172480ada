/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * The command line of a card's colo-net.  Nothing is started.
 */
#include "pure-common.h"

#include "../../libcolo/nets.c"
#include "../fake-store.h"

static char said[600];

int colo__proxy_process_start(struct colo_session *s,
                              struct colo_proxy_process *p, const char *cls,
                              const char *id, const char *const *argv,
                              struct colo_error *err)
{
    (void)s, (void)p, (void)cls, (void)id, (void)err;
    said[0] = '\0';
    for (; *argv; argv++) {
        strcat(said, *argv);
        strcat(said, " ");
    }
    return 0;
}

void colo__proxy_process_path(const struct colo_session *s, const char *name,
                              char *buf, size_t cap)
{
    (void)s;
    snprintf(buf, cap, "%s", name);
}

void colo__proxy_process_init(struct colo_proxy_process *p, const char *where,
                              const char *what, const char *id,
                              struct colo_link **stream)
{
    (void)p, (void)where, (void)what, (void)id, (void)stream;
}

void colo__proxy_process_poll(struct colo_session *s,
                              struct colo_proxy_process *p)
{
    (void)s, (void)p;
}

void colo__proxy_process_cut(struct colo_proxy_process *p)
{
    (void)p;
}

void colo__proxy_process_stop(struct colo_proxy_process *p)
{
    (void)p;
}

void colo__proxy_process_free(struct colo_proxy_process *p, uint64_t until_us)
{
    (void)p, (void)until_us;
}

static void start(uint32_t hold_ms, const char *policy)
{
    static char any;
    struct fake_tree *tree = fake_tree_new();
    struct colo_session *s = calloc(1, sizeof(*s));
    struct colo_error err;

    ck_assert_ptr_nonnull(s);
    s->role = COLO_ROLE_PRIMARY;
    s->info.domid = 7;
    s->parts.store = fake_store_open(tree);
    s->publish = (struct colo_publish *)&any;
    s->proxies = (struct colo_replication *)&any;
    s->nets.count = s->streams = 1;
    id_of(&s->nets.net[0]);
    s->config.hold_ms = hold_ms;
    s->config.net_policy = policy;
    ck_assert_msg(!colo__nets_start(s, &err), "%s", err.text);
    colo__store_ops(s->parts.store)->close(s->parts.store);
    fake_tree_free(tree);
    free(s);
}

#define WORDS "colo-net serve --role primary --domain " \
    "00000000-0000-0000-0000-000000000000 --vif vif7.0 --id 0 "

START_TEST(each_setting_is_handed_on)
{
    start(0, NULL);
    ck_assert_str_eq(said, WORDS);
    start(500, NULL);
    ck_assert_str_eq(said, WORDS "--hold 500 ");
    start(0, " dns=pass  icmp=drop");
    ck_assert_str_eq(said, WORDS "--policy dns=pass --policy icmp=drop ");
    start(500, "tcp=compare tcp=compare tcp=compare tcp=compare tcp=compare "
          "tcp=compare tcp=compare tcp=compare tcp=compare tcp=compare "
          "tcp=compare tcp=compare tcp=compare tcp=compare tcp=compare "
          "link=pass");
    ck_assert_ptr_nonnull(strstr(said, " --policy link=pass --hold 500 "));
}
END_TEST

PURE_MAIN("nets-start", each_setting_is_handed_on)
