/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) the libcolo developers
 *
 * pulse-core.c - the workload of pulse-core.h.
 *
 * Everything rests on two facts.  A sweep touches its pages round robin, so
 * how often and when a page was touched by step S is plain arithmetic (turns,
 * below).  And touch number i of a page rewrites the lines of group i mod 8,
 * so which touch wrote a line last follows from the number of touches.
 */
#include "pulse-core.h"

#include <string.h>

#define WORDS (PULSE_PAGE / 8)  /* in a page */
#define LINE 8                  /* words in a line (64 bytes) */
#define LINES (WORDS / LINE)    /* in a page; line 0 is the header */
#define GROUPS 8                /* line l belongs to group l mod GROUPS */
#define ENTRIES (WORDS - LINE)  /* in an index page */

#define MAGIC 0x70756c7365303031ull /* "pulse001" */

/* Words of the header line. */
enum {
    H_MAGIC,   /* tells the kind of page too */
    H_PAGE,
    H_STEP,    /* last step that touched it */
    H_TOUCHES, /* how often it was touched; index page: not used */
    H_SEED,
    H_DIGEST,  /* root only */
    H_ENTRIES, /* index page: sum of its entries, mixed */
    H_CHECK,   /* of the seven others */
};

enum page_kind { ROOT, INDEX, DATA };

/* ---- small arithmetic ----------------------------------------------------- */

static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9ull;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

static uint64_t hash3(uint64_t a, uint64_t b, uint64_t c)
{
    return mix(mix(mix(a + 0x9e3779b97f4a7c15ull) + b) + c);
}

static uint32_t gcd(uint32_t a, uint32_t b)
{
    while (b) {
        uint32_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

/* The inverse of a modulo n; gcd(a, n) == 1. */
static uint32_t inverse(uint32_t a, uint32_t n)
{
    int64_t r0 = n, r1 = a % n, x0 = 0, x1 = 1;

    if (n == 1)
        return 0;
    while (r1) {
        int64_t q = r0 / r1, t;

        t = r0 - q * r1, r0 = r1, r1 = t;
        t = x0 - q * x1, x0 = x1, x1 = t;
    }
    return (uint32_t)(x0 < 0 ? x0 + n : x0);
}

/* ---- sweeps: which page when ---------------------------------------------- */

static void sweep_init(struct pulse_sweep *sw, uint32_t base, uint32_t n,
                       uint32_t k)
{
    uint32_t mul = (uint32_t)((uint64_t)n * 618 / 1000);

    memset(sw, 0, sizeof(*sw));
    sw->base = base;
    sw->n = n;
    sw->k = k;
    if (!n)
        return;
    if (!mul)
        mul = 1;
    while (gcd(mul, n) != 1)
        mul++;
    sw->mul = mul;
    sw->inv = inverse(mul, n);
}

static uint32_t sweep_page(const struct pulse_sweep *sw, uint64_t turn)
{
    return sw->base + (uint32_t)(turn % sw->n * sw->mul % sw->n);
}

/* How often a page of the sweep was touched by the end of `step`, and by
 * which step last. */
static uint64_t sweep_touches(const struct pulse_sweep *sw, uint64_t step,
                              uint32_t page, uint64_t *ret_last)
{
    uint64_t place = (uint64_t)(page - sw->base) * sw->inv % sw->n;
    uint64_t turns = step * sw->k, touches;

    *ret_last = 0;
    if (turns <= place)
        return 0;
    touches = (turns - place - 1) / sw->n + 1;
    *ret_last = (place + (touches - 1) * sw->n) / sw->k + 1;
    return touches;
}

/* ---- layout --------------------------------------------------------------- */

static enum page_kind kind_of(const struct pulse_state *st, uint32_t page)
{
    if (page == 0)
        return ROOT;
    return page < st->first_data ? INDEX : DATA;
}

static uint32_t index_page(const struct pulse_state *st, uint32_t page)
{
    return 1 + (page - st->first_data) / ENTRIES;
}

static uint32_t index_word(const struct pulse_state *st, uint32_t page)
{
    return LINE + (page - st->first_data) % ENTRIES;
}

/* The data pages of an index page: from *ret_first, that many. */
static uint32_t index_range(const struct pulse_state *st, uint32_t page,
                            uint32_t *ret_first)
{
    uint32_t first = st->first_data + (page - 1) * ENTRIES;
    uint32_t n = st->pages - first;

    *ret_first = first;
    return n < ENTRIES ? n : ENTRIES;
}

static uint64_t data_touches(const struct pulse_state *st, uint32_t page,
                             uint64_t *ret_last)
{
    const struct pulse_sweep *sw =
        page < st->cold.base ? &st->hot : &st->cold;

    return sweep_touches(sw, st->step, page, ret_last);
}

uint64_t pulse_last_step(const struct pulse_state *st, uint32_t page)
{
    uint64_t last = 0, newest = 0;
    uint32_t first, n;

    switch (kind_of(st, page)) {
    case ROOT:
        return st->step;
    case DATA:
        data_touches(st, page, &last);
        return last;
    case INDEX:
        n = index_range(st, page, &first);
        for (uint32_t i = 0; i < n; i++) {
            data_touches(st, first + i, &last);
            if (last > newest)
                newest = last;
        }
        break;
    }
    return newest;
}

uint32_t pulse_touches(const struct pulse_state *st)
{
    return st->hot.k + st->cold.k;
}

uint32_t pulse_touched_by(const struct pulse_state *st, uint64_t step,
                          uint32_t i)
{
    const struct pulse_sweep *sw = &st->hot;

    if (i >= sw->k) {
        i -= sw->k;
        sw = &st->cold;
    }
    return sweep_page(sw, (step - 1) * sw->k + i);
}

/* ---- content of pages ------------------------------------------------------ */

static uint64_t page_hash(const struct pulse_state *st, uint32_t page,
                          uint64_t last)
{
    return hash3(st->seed, page, last);
}

/* An index entry's part in the sum of its page. */
static uint64_t entry_hash(uint32_t page, uint64_t last)
{
    return mix(last * 0x9e3779b97f4a7c15ull + page);
}

static void header_set(const struct pulse_state *st, uint64_t *w,
                       uint32_t page, uint64_t last, uint64_t touches,
                       uint64_t entries)
{
    enum page_kind kind = kind_of(st, page);
    uint64_t check = 0;

    w[H_MAGIC] = MAGIC + ((uint64_t)kind << 56);
    w[H_PAGE] = page;
    w[H_STEP] = last;
    w[H_TOUCHES] = touches;
    w[H_SEED] = st->seed;
    w[H_DIGEST] = kind == ROOT ? st->digest : 0;
    w[H_ENTRIES] = entries;
    for (int i = 0; i < H_CHECK; i++)
        check = mix(check + w[i]);
    w[H_CHECK] = check;
}

/* The lines of one group as written by the given touch. */
static void group_set(const struct pulse_state *st, uint64_t *w, uint32_t page,
                      uint32_t group, uint64_t touch)
{
    uint64_t base = hash3(st->seed, page, touch);

    for (uint32_t l = group ? group : GROUPS; l < LINES; l += GROUPS)
        for (uint32_t i = l * LINE; i < (l + 1) * LINE; i++) {
            uint64_t x = (base + i) * 0xd1342543de82ef95ull;

            w[i] = x ^ x >> 29;
        }
}

/* Which touch wrote a group last, if the page was touched that often. */
static uint64_t group_touch(uint32_t group, uint64_t touches)
{
    uint64_t back = (touches - group) % GROUPS;

    return touches < back ? 0 : touches - back;
}

static void body_set(const struct pulse_state *st, uint64_t *w, uint32_t page,
                     uint64_t touches)
{
    for (uint32_t g = 0; g < GROUPS; g++)
        group_set(st, w, page, g, group_touch(g, touches));
}

static void expect_index(const struct pulse_state *st, uint64_t *w,
                         uint32_t page)
{
    uint64_t newest = 0, sum = 0;
    uint32_t first, n = index_range(st, page, &first);

    memset(w, 0, PULSE_PAGE);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t *last = &w[LINE + i];

        data_touches(st, first + i, last);
        sum += entry_hash(first + i, *last);
        if (*last > newest)
            newest = *last;
    }
    header_set(st, w, page, newest, 0, sum);
}

void pulse_expect(const struct pulse_state *st, uint32_t page, void *ret_page)
{
    uint64_t *w = ret_page, last, touches;

    switch (kind_of(st, page)) {
    case ROOT: /* touched once a step */
        header_set(st, w, page, st->step, st->step, 0);
        body_set(st, w, page, st->step);
        break;
    case INDEX:
        expect_index(st, w, page);
        break;
    case DATA:
        touches = data_touches(st, page, &last);
        header_set(st, w, page, last, touches, 0);
        body_set(st, w, page, touches);
        break;
    }
}

/* ---- finding errors --------------------------------------------------------- */

/* Compare words [from, from + n) of a page; 1 if they differ. */
static uint32_t compare(const struct pulse_state *st, const uint64_t *have,
                        const uint64_t *want, uint32_t page, uint32_t from,
                        uint32_t n, struct pulse_report *rep)
{
    uint32_t i = from;

    if (!memcmp(have + from, want + from, n * sizeof(*have)))
        return 0;
    if (rep->count++)
        return 1;
    while (have[i] == want[i])
        i++;
    rep->page = page;
    rep->word = i;
    rep->at_step = st->step;
    rep->page_step = have[H_STEP];
    rep->want_step = want[H_STEP];
    rep->want = want[i];
    rep->have = have[i];
    if (have[H_MAGIC] != want[H_MAGIC] || have[H_PAGE] != page)
        rep->kind = PULSE_BAD_MAGIC;
    else if (have[H_STEP] < want[H_STEP])
        rep->kind = PULSE_BAD_STALE;
    else if (have[H_STEP] > want[H_STEP])
        rep->kind = PULSE_BAD_AHEAD;
    else
        rep->kind = PULSE_BAD_TORN;
    return 1;
}

uint32_t pulse_verify(const void *mem, const struct pulse_state *st,
                      uint32_t from, uint32_t n, struct pulse_report *report)
{
    uint64_t want[WORDS];
    uint32_t bad = 0;

    for (uint32_t p = from; p < st->pages && p - from < n; p++) {
        pulse_expect(st, p, want);
        bad += compare(st, (const uint64_t *)mem + (uint64_t)p * WORDS, want,
                       p, 0, WORDS, report);
    }
    return bad;
}

const char *pulse_kind_name(uint32_t kind)
{
    static const char *const names[] = { "ok", "magic", "stale", "ahead",
                                         "torn" };

    return kind < sizeof(names) / sizeof(*names) ? names[kind] : "unknown";
}

/* ---- going forward ---------------------------------------------------------- */

/* One area on its way from the end of step `st->step - 1` to `st->step`. */
struct walk {
    uint64_t *mem;
    struct pulse_state *st;
    struct pulse_state before; /* the registers one step ago */
    pulse_touch_fn *touched;
    void *user;
    struct pulse_report *report;
    uint32_t bad;
};

static uint64_t *open_page(struct walk *wk, uint32_t page)
{
    if (wk->touched)
        wk->touched(wk->user, page);
    return wk->mem + (uint64_t)page * WORDS;
}

/* Rewrite header and one group; check first what they were. */
static void touch_body(struct walk *wk, uint32_t page, uint64_t old_last,
                       uint64_t touches)
{
    uint32_t group = touches % GROUPS;
    uint64_t want[WORDS], *w = open_page(wk, page);
    uint32_t bad;

    header_set(&wk->before, want, page, old_last, touches - 1, 0);
    group_set(wk->st, want, page, group, group_touch(group, touches - 1));
    bad = compare(&wk->before, w, want, page, 0, LINE, wk->report);
    for (uint32_t l = group ? group : GROUPS; l < LINES; l += GROUPS)
        if (!bad)
            bad = compare(&wk->before, w, want, page, l * LINE, LINE,
                          wk->report);
    wk->bad += bad;
    header_set(wk->st, w, page, wk->st->step, touches, 0);
    group_set(wk->st, w, page, group, touches);
}

/* A data page's entry in the table.  The sum is carried on, not made anew, so
 * that a wrong entry or sum stays wrong until it is seen; of the old header,
 * all that is not carried on is checked here. */
static void touch_index(struct walk *wk, uint32_t page, uint64_t old_last)
{
    uint32_t ip = index_page(wk->st, page), word = index_word(wk->st, page);
    uint64_t want[WORDS], *w = open_page(wk, ip);

    header_set(wk->st, want, ip, w[H_STEP], 0, w[H_ENTRIES]);
    want[word] = old_last;
    if (compare(&wk->before, w, want, ip, 0, LINE, wk->report) ||
        compare(&wk->before, w, want, ip, word, 1, wk->report))
        wk->bad++;
    header_set(wk->st, w, ip, wk->st->step, 0,
               w[H_ENTRIES] - entry_hash(page, old_last) +
                   entry_hash(page, wk->st->step));
    w[word] = wk->st->step;
}

static void touch_data(struct walk *wk, uint32_t page)
{
    uint64_t last, touches = data_touches(&wk->before, page, &last);

    touch_body(wk, page, last, touches + 1);
    touch_index(wk, page, last);
    wk->st->digest += page_hash(wk->st, page, wk->st->step) -
                      page_hash(wk->st, page, last);
}

uint32_t pulse_step(void *mem, struct pulse_state *st,
                    pulse_touch_fn *touched, void *user,
                    struct pulse_report *report)
{
    struct walk wk = { .mem = mem, .st = st, .before = *st,
                       .touched = touched, .user = user, .report = report };
    uint32_t n = pulse_touches(st);

    st->step++;
    for (uint32_t i = 0; i < n; i++)
        touch_data(&wk, pulse_touched_by(st, st->step, i));
    touch_body(&wk, 0, wk.before.step, st->step);
    return wk.bad;
}

void pulse_seek(const struct pulse_state *st, uint64_t step,
                struct pulse_state *ret_st)
{
    struct pulse_state to = *st;
    uint64_t last;

    to.step = step;
    to.digest = 0;
    for (uint32_t p = to.first_data; p < to.pages; p++) {
        data_touches(&to, p, &last);
        to.digest += page_hash(&to, p, last);
    }
    *ret_st = to;
}

uint32_t pulse_area_pages(uint32_t data_pages)
{
    return 1 + (data_pages + ENTRIES - 1) / ENTRIES + data_pages;
}

int pulse_init(void *mem, struct pulse_state *st,
               const struct pulse_params *params, pulse_touch_fn *touched,
               void *user)
{
    uint32_t index, data, hot;

    if (params->pages < 4 || (uintptr_t)mem % 8)
        return -1;
    index = (params->pages - 1 + ENTRIES) / (ENTRIES + 1);
    data = params->pages - 1 - index;
    hot = params->hot ? params->hot : data;
    if (hot > data || params->per_step > hot ||
        params->cold_per_step > data - hot)
        return -1;

    memset(st, 0, sizeof(*st));
    st->seed = params->seed;
    st->pages = params->pages;
    st->first_data = 1 + index;
    sweep_init(&st->hot, st->first_data, hot, params->per_step);
    sweep_init(&st->cold, st->first_data + hot, data - hot,
               params->cold_per_step);
    pulse_seek(st, 0, st);
    for (uint32_t p = 0; p < st->pages; p++) {
        if (touched)
            touched(user, p);
        pulse_expect(st, p, (uint64_t *)mem + (uint64_t)p * WORDS);
    }
    return 0;
}
