/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * See stream-read.h: framing, and what may come when.  What is in a record:
 * stream-body.c.
 */
#include <string.h>

#include "stream-read.h"

/* In the order of a stream; a checkpointed one goes from MODEL back to DATA
 * (mode COLO: by STATE). */
enum phase {
    PHASE_LIBXL_HEADER,
    PHASE_HEAD,
    PHASE_LIBXC_HEADER,
    PHASE_STATIC,
    PHASE_DATA,
    PHASE_PAGES, /* the pages of a PAGE_DATA are coming */
    PHASE_MODEL,
    PHASE_STATE,
    PHASE_SKIP,  /* an optional record */
    PHASE_ENDED,
    PHASE_BROKEN,
};

static const struct {
    uint8_t where; /* COLO_AT_*; 0: no record begins here */
    uint8_t layer;
    const char *name;
} phases[] = {
    [PHASE_LIBXL_HEADER] = { 0, COLO_STREAM_LIBXL, "before the header" },
    [PHASE_HEAD] = { COLO_AT_HEAD, COLO_STREAM_LIBXL, "behind the header" },
    [PHASE_LIBXC_HEADER] = { 0, COLO_STREAM_LIBXC, "before libxc's header" },
    [PHASE_STATIC] = { COLO_AT_STATIC, COLO_STREAM_LIBXC,
                       "before STATIC_DATA_END" },
    [PHASE_DATA] = { COLO_AT_DATA, COLO_STREAM_LIBXC,
                     "among memory and CPUs" },
    [PHASE_PAGES] = { 0, COLO_STREAM_LIBXC, "among pages" },
    [PHASE_MODEL] = { COLO_AT_MODEL, COLO_STREAM_LIBXL,
                      "among the device model's records" },
    [PHASE_STATE] = { COLO_AT_STATE, COLO_STREAM_LIBXL,
                      "between two checkpoints" },
    [PHASE_SKIP] = { 0, 0, "in an optional record" },
    [PHASE_ENDED] = { 0, 0, "behind the end" },
    [PHASE_BROKEN] = { 0, 0, "behind an error" },
};

#define LIBXL_IDENT UINT64_C(0x4c6962786c466d74) /* "LibxlFmt" */
#define LIBXC_IDENT 0x58454e46u                  /* "XENF" */

static int refuse(struct colo_error *err, const char *what)
{
    return colo__fail(err, COLO_E_PROTO, 0, "stream", "%s", what);
}

void colo__stream_reader_init(struct colo_stream_reader *reader, uint8_t mode,
                              const struct colo_stream_limits *limits)
{
    memset(reader, 0, sizeof(*reader));
    reader->mode = mode;
    reader->phase = PHASE_LIBXL_HEADER;
    if (limits)
        reader->limits = *limits;
    if (!reader->limits.max_pfn ||
        reader->limits.max_pfn >= COLO_STREAM_PFN_LIMIT)
        reader->limits.max_pfn = COLO_STREAM_PFN_LIMIT - 1;
    if (!reader->limits.max_vcpus)
        reader->limits.max_vcpus = COLO_STREAM_MAX_VCPUS;
}

void colo__stream_reader_at_data(struct colo_stream_reader *reader,
                                 uint64_t max_pfn)
{
    const struct colo_stream_limits limits = {
        .guest = COLO_STREAM_PV, .max_pfn = max_pfn,
    };

    colo__stream_reader_init(reader, COLO_STREAM_REMUS, &limits);
    reader->phase = PHASE_DATA;
    reader->guest = COLO_STREAM_PV;
    reader->width = 8; /* what hv-xen takes */
    reader->last_pfn = reader->limits.max_pfn;
    reader->p2m = true;
}

/* ---- headers ----------------------------------------------------------- */

static int read_libxl_header(struct colo_stream_reader *reader,
                             const uint8_t *buf, struct colo_error *err)
{
    uint64_t version = colo__be(buf + 8, 4), options = colo__be(buf + 12, 4);

    if (colo__be(buf, 8) != LIBXL_IDENT)
        return refuse(err, "this is not a stream of libxl");
    if (version != 2)
        return colo__fail(err, COLO_E_VERSION, 0, "stream",
                          "libxl's stream has version %u, this build knows 2",
                          (unsigned)version);
    if (options & 3)
        return colo__fail(err, COLO_E_UNSUPPORTED, 0, "stream",
                          "the stream is %s", options & 1 ? "big endian" :
                          "one of Xen before 4.6, converted");
    if (options)
        return refuse(err, "libxl's header has options that nobody knows");
    reader->phase = PHASE_HEAD;
    return 0;
}

static int check_image_header(const uint8_t *buf, struct colo_error *err)
{
    uint64_t version = colo__be(buf + 12, 4), options = colo__be(buf + 16, 2);

    if (colo__be(buf, 8) != UINT64_MAX || colo__be(buf + 8, 4) != LIBXC_IDENT)
        return refuse(err, "libxc's part does not begin as it must");
    if (version != 3)
        return colo__fail(err, COLO_E_VERSION, 0, "stream",
                          "libxc's stream has version %u, this build knows 3",
                          (unsigned)version);
    if (options & 1)
        return colo__fail(err, COLO_E_UNSUPPORTED, 0, "stream",
                          "the stream is big endian");
    if (options || colo__be(buf + 18, 6))
        return refuse(err, "libxc's header has options that nobody knows");
    return 0;
}

static int read_libxc_header(struct colo_stream_reader *reader,
                             const uint8_t *buf,
                             struct colo_stream_item *item,
                             struct colo_error *err)
{
    const uint8_t *domain = buf + 24;
    uint32_t type = colo__le32(domain), major = colo__le32(domain + 8),
             minor = colo__le32(domain + 12);
    int rc = check_image_header(buf, err);

    if (rc)
        return rc;
    if (type != COLO_STREAM_PV && type != COLO_STREAM_HVM)
        return colo__fail(err, COLO_E_UNSUPPORTED, 0, "stream",
                          "a guest of type %u is unknown to this build", type);
    if (colo__le16(domain + 4) != COLO_PAGE_SHIFT || colo__le16(domain + 6) ||
        major > UINT16_MAX || minor > UINT16_MAX)
        return refuse(err, "libxc's domain header is not well formed");
    if (!major)
        return colo__fail(err, COLO_E_UNSUPPORTED, 0, "stream",
                          "the stream is one of Xen before 4.6, converted");
    if (reader->limits.guest && reader->limits.guest != type)
        return colo__fail(err, COLO_E_PROTO, 0, "stream",
                          "the stream is of a %s guest",
                          type == COLO_STREAM_PV ? "PV" : "HVM or PVH");
    reader->guest = (uint8_t)type; /* the same numbers */
    reader->phase = PHASE_STATIC;
    item->xen_major = (uint16_t)major;
    item->xen_minor = (uint16_t)minor;
    return 0;
}

static int read_header(struct colo_stream_reader *reader, const uint8_t *buf,
                       size_t len, struct colo_stream_item *item,
                       struct colo_error *err)
{
    bool libxl = reader->phase == PHASE_LIBXL_HEADER;
    uint32_t need = libxl ? COLO_LIBXL_HEADER : COLO_LIBXC_HEADER;
    int rc;

    if (len < need)
        return 0;
    rc = libxl ? read_libxl_header(reader, buf, err) :
                 read_libxc_header(reader, buf, item, err);
    if (rc)
        return rc;
    item->kind = COLO_ITEM_HEADER;
    item->layer = libxl ? COLO_STREAM_LIBXL : COLO_STREAM_LIBXC;
    item->body = buf;
    item->len = need;
    return (int)need;
}

/* ---- records: may this one come now? ----------------------------------- */

static int check_place(const struct colo_stream_reader *reader,
                       const struct colo_stream_rule *rule,
                       struct colo_error *err)
{
    if (!(rule->where & phases[reader->phase].where))
        return colo__fail(err, COLO_E_PROTO, 0, "stream",
                          "%s does not belong %s", rule->name,
                          phases[reader->phase].name);
    if (!(rule->modes & reader->mode))
        return colo__fail(err, COLO_E_PROTO, 0, "stream",
                          "%s in a stream %s checkpoints", rule->name,
                          reader->mode == COLO_STREAM_PLAIN ? "without" :
                          "with");
    if (reader->guest && !(rule->guests & reader->guest))
        return colo__fail(err, COLO_E_PROTO, 0, "stream",
                          "%s in the stream of a %s guest", rule->name,
                          reader->guest == COLO_STREAM_PV ? "PV" :
                          "HVM or PVH");
    return 0;
}

static bool has_seen(uint32_t bits, uint32_t type)
{
    return bits >> type & 1;
}

/* What a record needs before it, beyond its place. */
static int check_order(const struct colo_stream_reader *reader,
                       const struct colo_stream_rule *rule,
                       struct colo_error *err)
{
    bool pv = reader->guest == COLO_STREAM_PV;

    if (rule->where & COLO_AT_STATIC && has_seen(reader->statics, rule->type))
        return colo__fail(err, COLO_E_PROTO, 0, "stream",
                          "%s comes twice", rule->name);
    if (rule->layer == COLO_STREAM_LIBXL)
        return 0;
    switch (rule->type) {
    case COLO_LIBXC_STATIC_DATA_END:
        if (pv && !reader->width)
            return refuse(err, "no PV_INFO before STATIC_DATA_END");
        break;
    case COLO_LIBXC_PAGE_DATA:
        if (pv && !reader->p2m)
            return refuse(err, "no PV_P2M_FRAMES before PAGE_DATA");
        break;
    case COLO_LIBXC_END:
    case COLO_LIBXC_CHECKPOINT:
        if (pv && (!has_seen(reader->seen, COLO_LIBXC_PV_VCPU_BASIC) ||
                   !has_seen(reader->seen, COLO_LIBXC_SHARED_INFO)))
            return refuse(err, "no state of the first CPU, or no "
                          "SHARED_INFO, in this checkpoint");
        if (!pv && !has_seen(reader->seen, COLO_LIBXC_HVM_CONTEXT))
            return refuse(err, "no HVM_CONTEXT in this checkpoint");
        break;
    default:
        break;
    }
    return 0;
}

/* ---- records: what comes after this one -------------------------------- */

static void note_libxl(struct colo_stream_reader *reader, uint32_t type)
{
    switch (type) {
    case COLO_LIBXL_END:
        reader->phase = PHASE_ENDED;
        break;
    case COLO_LIBXL_LIBXC_CONTEXT:
        reader->phase = PHASE_LIBXC_HEADER;
        break;
    case COLO_LIBXL_CHECKPOINT_END:
        reader->checkpoints++;
        reader->seen = 0;
        reader->phase = reader->mode == COLO_STREAM_COLO ? PHASE_STATE :
                        PHASE_DATA;
        break;
    case COLO_LIBXL_CHECKPOINT_STATE:
        reader->phase = PHASE_DATA;
        break;
    default:
        break;
    }
}

static void note_libxc(struct colo_stream_reader *reader,
                       const struct colo_stream_rule *rule,
                       const uint8_t *body, uint32_t len)
{
    /* "the first CPU": the others need not be online */
    if (rule->type != COLO_LIBXC_PV_VCPU_BASIC ||
        (len > 8 && !colo__le32(body)))
        reader->seen |= 1u << rule->type;
    if (rule->where & COLO_AT_STATIC)
        reader->statics |= 1u << rule->type;
    if (rule->type == COLO_LIBXC_STATIC_DATA_END)
        reader->phase = PHASE_DATA;
    if (rule->type == COLO_LIBXC_END || rule->type == COLO_LIBXC_CHECKPOINT)
        reader->phase = PHASE_MODEL;
}

/* ---- records ----------------------------------------------------------- */

/* The number of entries is believed once the whole length fits it. */
static int read_pages(struct colo_stream_reader *reader, const uint8_t *buf,
                      size_t len, uint32_t body_len,
                      struct colo_stream_item *item, struct colo_error *err)
{
    const uint8_t *body = buf + COLO_STREAM_HEAD;
    uint32_t count, head, data = 0;

    if (len < COLO_STREAM_HEAD + 8)
        return 0;
    count = colo__le32(body);
    if (!count || colo__le32(body + 4))
        return refuse(err, "PAGE_DATA is not well formed");
    if (count > COLO_STREAM_MAX_PFNS)
        return colo__fail(err, COLO_E_LIMIT, 0, "stream",
                          "PAGE_DATA of %u frames, this build takes %u",
                          count, COLO_STREAM_MAX_PFNS);
    head = 8 + 8 * count;
    if (head > body_len)
        return refuse(err, "PAGE_DATA is shorter than its list of frames");
    if (len < COLO_STREAM_HEAD + head)
        return 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t entry = colo__le64(body + 8 + 8 * i);
        int rc = colo__stream_check_entry(reader, entry, err);

        if (rc)
            return rc;
        reader->entries[i] = entry;
        data += colo__stream_has_data(colo__stream_page_type(entry));
    }
    if (body_len != head + data * COLO_PAGE_SIZE)
        return colo__fail(err, COLO_E_PROTO, 0, "stream",
                          "PAGE_DATA has %u bytes for %u pages",
                          body_len - head, data);
    reader->count = count;
    reader->next = 0;
    reader->phase = data ? PHASE_PAGES : PHASE_DATA;
    item->body = body;
    item->len = head;
    item->entries = reader->entries;
    item->count = count;
    return (int)(COLO_STREAM_HEAD + head);
}

static int read_whole(struct colo_stream_reader *reader,
                      const struct colo_stream_rule *rule, const uint8_t *buf,
                      size_t len, uint32_t body_len,
                      struct colo_stream_item *item, struct colo_error *err)
{
    const uint8_t *body = buf + COLO_STREAM_HEAD;
    uint32_t pad = colo__stream_pad(body_len);
    int rc;

    if (len < (size_t)COLO_STREAM_HEAD + body_len + pad)
        return 0;
    for (uint32_t i = 0; i < pad; i++) {
        if (body[body_len + i])
            return colo__fail(err, COLO_E_PROTO, 0, "stream",
                              "the bytes behind %s are not zero", rule->name);
    }
    rc = colo__stream_check_body(reader, rule, body, body_len, err);
    if (rc)
        return rc;
    if (rule->layer == COLO_STREAM_LIBXL)
        note_libxl(reader, rule->type);
    else
        note_libxc(reader, rule, body, body_len);
    item->body = body;
    item->len = body_len;
    return (int)(COLO_STREAM_HEAD + body_len + pad);
}

static int begin_skip(struct colo_stream_reader *reader, uint32_t body_len,
                      struct colo_stream_item *item)
{
    reader->skip = body_len + colo__stream_pad(body_len);
    if (reader->skip) {
        reader->after = reader->phase;
        reader->phase = PHASE_SKIP;
    }
    item->kind = COLO_ITEM_SKIPPED;
    return (int)COLO_STREAM_HEAD;
}

static int read_record(struct colo_stream_reader *reader, const uint8_t *buf,
                       size_t len, struct colo_stream_item *item,
                       struct colo_error *err)
{
    const struct colo_stream_rule *rule;
    uint32_t body_len;
    int rc;

    if (len < COLO_STREAM_HEAD)
        return 0;
    item->kind = COLO_ITEM_RECORD;
    item->layer = phases[reader->phase].layer;
    item->type = colo__le32(buf);
    body_len = colo__le32(buf + 4);
    if (body_len > COLO_STREAM_MAX_RECORD)
        return colo__fail(err, COLO_E_PROTO, 0, "stream",
                          "record %#x has %u bytes", item->type, body_len);
    if (item->type & COLO_STREAM_OPTIONAL)
        return begin_skip(reader, body_len, item);
    rule = colo__stream_rule(item->layer, item->type);
    if (!rule)
        return colo__fail(err, COLO_E_UNSUPPORTED, 0, "stream",
                          "record %#x of %s is unknown to this build",
                          item->type, item->layer == COLO_STREAM_LIBXL ?
                          "libxl" : "libxc");
    item->rule = rule;
    rc = check_place(reader, rule, err);
    if (!rc)
        rc = colo__stream_check_len(rule, body_len, err);
    if (!rc)
        rc = check_order(reader, rule, err);
    if (rc)
        return rc;
    if (rule->layer == COLO_STREAM_LIBXC &&
        rule->type == COLO_LIBXC_PAGE_DATA)
        return read_pages(reader, buf, len, body_len, item, err);
    return read_whole(reader, rule, buf, len, body_len, item, err);
}

static int read_page(struct colo_stream_reader *reader, const uint8_t *buf,
                     size_t len, struct colo_stream_item *item)
{
    uint32_t next = reader->next;

    if (len < COLO_PAGE_SIZE)
        return 0;
    /* there is one: read_pages() has counted */
    while (!colo__stream_has_data(
               colo__stream_page_type(reader->entries[next])))
        next++;
    item->kind = COLO_ITEM_PAGE;
    item->layer = COLO_STREAM_LIBXC;
    item->type = COLO_LIBXC_PAGE_DATA;
    item->entry = reader->entries[next++];
    item->body = buf;
    item->len = COLO_PAGE_SIZE;
    while (next < reader->count &&
           !colo__stream_has_data(
               colo__stream_page_type(reader->entries[next])))
        next++;
    reader->next = next;
    if (next == reader->count)
        reader->phase = PHASE_DATA;
    return (int)COLO_PAGE_SIZE;
}

static int skip(struct colo_stream_reader *reader, size_t len,
                struct colo_stream_item *item)
{
    uint32_t used = len < reader->skip ? (uint32_t)len : reader->skip;

    reader->skip -= used;
    if (!reader->skip)
        reader->phase = reader->after;
    item->kind = COLO_ITEM_SKIPPED;
    return (int)used;
}

int colo__stream_read(struct colo_stream_reader *reader, const uint8_t *buf,
                      size_t len, struct colo_stream_item *ret,
                      struct colo_error *err)
{
    struct colo_stream_item item = { 0 };
    int used;

    switch (reader->phase) {
    case PHASE_LIBXL_HEADER:
    case PHASE_LIBXC_HEADER:
        used = read_header(reader, buf, len, &item, err);
        break;
    case PHASE_PAGES:
        used = read_page(reader, buf, len, &item);
        break;
    case PHASE_SKIP:
        used = skip(reader, len, &item);
        break;
    case PHASE_ENDED:
        used = len ? refuse(err, "bytes behind the end of the stream") : 0;
        break;
    case PHASE_BROKEN:
        return colo__fail(err, COLO_E_STATE, 0, "stream",
                          "the stream was broken before");
    default:
        used = read_record(reader, buf, len, &item, err);
        break;
    }
    if (used < 0)
        reader->phase = PHASE_BROKEN;
    if (used > 0)
        *ret = item;
    return used;
}

int colo__stream_ended(const struct colo_stream_reader *reader,
                       struct colo_error *err)
{
    if (reader->mode == COLO_STREAM_PLAIN ? reader->phase == PHASE_ENDED :
        reader->checkpoints > 0)
        return 0;
    return colo__fail(err, COLO_E_PEER, 0, "stream",
                      "the stream ended %s", phases[reader->phase].name);
}
