/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (C) libcolo developers
 *
 * For the tests of libcolo/pure: a runner for a list of cases, numbers that
 * look random but are the same every time.
 */
#ifndef PURE_COMMON_H
#define PURE_COMMON_H

#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "internal.h"

/* xorshift64*; *state must not be 0 */
static inline uint64_t pure_random(uint64_t *state)
{
    uint64_t x = *state;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * UINT64_C(0x2545f4914f6cdd1d);
}

static inline void pure_random_fill(uint64_t *state, uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(pure_random(state) >> 56);
}

/* A copy of data that ends where unmapped memory begins: reading beyond it
 * kills the test also without a sanitizer.  len: at most 64 KiB; never
 * freed. */
static inline uint8_t *pure_guarded(const void *data, size_t len)
{
    size_t room = 64 * 1024;
    uint8_t *p = mmap(NULL, room + 4096, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(p, MAP_FAILED);
    ck_assert_uint_le(len, room);
    ck_assert_int_eq(mprotect(p + room, 4096, PROT_NONE), 0);
    memcpy(p + room - len, data, len);
    return p + room - len;
}

static inline int pure_run(const char *name, const TTest *const *tests,
                           size_t n)
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    SRunner *runner = srunner_create(suite);
    int failed;

    /* a limit for what hangs, not for what is slow on a busy machine */
    tcase_set_timeout(tcase, 180);
    for (size_t i = 0; i < n; i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* main for the cases given */
#define PURE_MAIN(name, ...)                                          \
    int main(void)                                                    \
    {                                                                 \
        const TTest *const tests[] = { __VA_ARGS__ };                 \
                                                                      \
        return pure_run(name, tests, COLO_ARRAY_LEN(tests));          \
    }

/* the error text names what is wrong */
#define ck_text(err, word) \
    ck_assert_msg(strstr((err).text, word), "text: %s", (err).text)

#endif
