/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See check-report.h.  The peer's JSON is read by libyajl; anything in it may
 * be wrong.
 */
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_tree.h>

#include "check-report.h"

static const char *const result_names[] = { "ok", "warning", "refused" };

bool check_report_begin(struct check_report *report, bool json,
                        const char *domain, const char *host)
{
    if (!json)
        return true;
    report->gen = cli_json_new();
    if (!report->gen)
        return false;
    yajl_gen_config(report->gen, yajl_gen_beautify, 1);
    yajl_gen_map_open(report->gen);
    cli_json_text(report->gen, "libcolo", COLO_VERSION);
    if (domain)
        cli_json_text(report->gen, "domain", domain);
    if (host)
        cli_json_text(report->gen, "host", host);
    cli_json_key(report->gen, "items");
    yajl_gen_array_open(report->gen);
    return true;
}

bool check_quote(char *buf, size_t cap, const char *option, const char *word)
{
    size_t start = strlen(buf), n = start, len = strlen(option);

    if (n + len + 4 > cap)
        return false;
    n += (size_t)snprintf(buf + n, cap - n, " %s '", option);
    for (; *word; word++) {
        const char *piece = *word == '\'' ? "'\\''" : NULL;

        len = piece ? 4 : 1;
        if (n + len + 2 > cap) {
            buf[start] = 0;
            return false;
        }
        memcpy(buf + n, piece ? piece : word, len);
        n += len;
    }
    buf[n++] = '\'';
    buf[n] = 0;
    return true;
}

/* From "BYTES bytes are needed at PATH". */
static bool note_disk(struct check_report *report, const char *text)
{
    static const char words[] = " bytes are needed at ";
    size_t digits = strspn(text, "0123456789");
    const char *path = text + digits + sizeof(words) - 1;
    char word[700];

    return !strncmp(text + digits, words, sizeof(words) - 1) &&
           snprintf(word, sizeof(word), "%s:%.*s", path, (int)digits, text) <
               (int)sizeof(word) &&
           check_quote(report->more, sizeof(report->more), "--disk", word);
}

/* What a text begins with. */
static bool note_word(struct check_report *report, const char *option,
                      const char *text)
{
    char word[200];
    size_t n = strcspn(text, " ");

    if (n >= sizeof(word))
        return false;
    memcpy(word, text, n);
    word[n] = 0;
    return check_quote(report->needs, sizeof(report->needs), option, word);
}

/* What the guest needs at the peer, as options for the check there. */
static void note_need(struct check_report *report,
                      const struct colo_check_item *item)
{
    bool must = report->toolstack == COLO_TOOLSTACK_LIBVIRT, fits = true;
    size_t room = sizeof(report->more) - strlen(report->more);
    char *end = report->more + strlen(report->more);

    if (!strcmp(item->id, "memory-needed"))
        report->need_pages = strtoull(item->text, NULL, 10);
    else if (!strcmp(item->id, "bridge-needed"))
        fits = note_word(report, "--bridge", item->text);
    else if (!strcmp(item->id, "file-needed"))
        fits = note_word(report, "--file", item->text);
    else if (!strcmp(item->id, "disk-needed"))
        fits = note_disk(report, item->text);
    else if (!strcmp(item->id, "net-compared"))
        fits = snprintf(end, room, " --nets") < (int)room;
    else if (!strcmp(item->id, "libvirt") &&
             report->toolstack != COLO_TOOLSTACK_XL)
        fits = snprintf(end, room, " --toolstack %s",
                        must ? "libvirt" : "auto") < (int)room;
    report->needs_cut |= !fits;
}

/* What is known of the guest, and of no use as an option as it is. */
static void note_guest(struct check_report *report,
                       const struct colo_check_item *item)
{
    static const char name[] = "its name is ";

    report->pv |= !strcmp(item->id, "type-pv");
    report->disks += !strcmp(item->id, "disk");
    if (!strcmp(item->id, "name") &&
        !strncmp(item->text, name, sizeof(name) - 1))
        snprintf(report->name, sizeof(report->name), "%s",
                 item->text + sizeof(name) - 1);
}

static void note_xen(struct check_report *report,
                     const struct colo_check_item *item)
{
    unsigned *xen = report->xen[report->xen[0][0] != 0];

    if (strcmp(item->id, "xen-version") || xen[0])
        return;
    if (sscanf(item->text, "Xen is %3u.%3u", &xen[0], &xen[1]) != 2)
        xen[0] = 0;
}

void check_report_item(void *user, const struct colo_check_item *item)
{
    struct check_report *report = user;
    int result = item->result;

    if (result < COLO_CHECK_OK || result > COLO_CHECK_REFUSED)
        result = COLO_CHECK_REFUSED; /* unknown: be careful */
    report->refused += result == COLO_CHECK_REFUSED;
    report->warnings += result == COLO_CHECK_WARNING;
    note_guest(report, item);
    note_need(report, item);
    note_xen(report, item);
    if (report->show) {
        report->show(report->show_user, report->where, item);
        return;
    }
    if (report->gen) {
        yajl_gen_map_open(report->gen);
        cli_json_text(report->gen, "where", report->where);
        cli_json_text(report->gen, "id", item->id);
        cli_json_text(report->gen, "result", result_names[result]);
        cli_json_text(report->gen, "text", item->text);
        cli_json_text(report->gen, "advice", item->advice);
        yajl_gen_map_close(report->gen);
        return;
    }
    if (result == COLO_CHECK_OK && !report->verbose)
        return;
    printf("%-8s %s: %s (%s)\n", result_names[result], report->where,
           item->text, item->id);
    if (item->advice[0])
        printf("%-8s way out: %s\n", "", item->advice);
}

static const char *member(yajl_val object, const char *key)
{
    const char *path[] = { key, NULL };
    yajl_val value = yajl_tree_get(object, path, yajl_t_string);

    return value ? YAJL_GET_STRING(value) : "";
}

static void merge_item(struct check_report *report, yajl_val object)
{
    const char *result = member(object, "result");
    struct colo_check_item item = {
        COLO_CHECK_REFUSED, member(object, "id"), member(object, "text"),
        member(object, "advice")
    };

    for (int i = COLO_CHECK_OK; i <= COLO_CHECK_REFUSED; i++) {
        if (!strcmp(result, result_names[i]))
            item.result = i;
    }
    /* it does not know of what kind the guest is */
    if (report->pv && !strcmp(item.id, "no-hap"))
        return;
    check_report_item(report, &item);
}

bool check_report_merge(struct check_report *report, const char *text)
{
    const char *path[] = { "items", NULL };
    yajl_val tree, items;
    char error[128];

    tree = yajl_tree_parse(text, error, sizeof(error));
    if (!tree)
        return false;
    items = yajl_tree_get(tree, path, yajl_t_array);
    if (items) {
        for (size_t i = 0; i < YAJL_GET_ARRAY(items)->len; i++)
            merge_item(report, YAJL_GET_ARRAY(items)->values[i]);
    }
    yajl_tree_free(tree);
    return items != NULL;
}

void check_report_pair(struct check_report *report)
{
    const unsigned *here = report->xen[0], *there = report->xen[1];
    bool older = there[0] < here[0] ||
                 (there[0] == here[0] && there[1] < here[1]);
    char text[160];
    struct colo_check_item item = { COLO_CHECK_OK, "xen-pair", text, "" };

    if (!here[0] || !there[0])
        return;
    snprintf(text, sizeof(text), "Xen is %u.%u here and %u.%u there%s",
             here[0], here[1], there[0], there[1], older ? ": a guest that "
             "uses what only the newer one has is refused when its copy "
             "begins" : "");
    if (older) {
        item.result = COLO_CHECK_WARNING;
        item.advice = "nothing is needed if protection begins";
    }
    check_report_item(report, &item);
}

int check_report_end(struct check_report *report, const char *verdict_yes,
                     const char *verdict_no)
{
    if (report->gen) {
        yajl_gen_array_close(report->gen);
        cli_json_number(report->gen, "refused", report->refused);
        cli_json_number(report->gen, "warnings", report->warnings);
        cli_json_bool(report->gen, "protectable", !report->refused);
        yajl_gen_map_close(report->gen);
        cli_json_end(report->gen, stdout);
        report->gen = NULL;
    } else if (report->refused) {
        printf("%s (%u reason%s)\n", verdict_no, report->refused,
               report->refused == 1 ? "" : "s");
    } else {
        printf("%s (%u warning%s)\n", verdict_yes, report->warnings,
               report->warnings == 1 ? "" : "s");
    }
    return report->refused ? CLI_NOT_PROTECTABLE : CLI_OK;
}
