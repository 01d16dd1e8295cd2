/*
 * harness.h - runs cmocka tests, each in a process of its own, and fails those that leave something behind.
 *
 *     static void adds(void **state) { assert_int_equal(1 + 1, 2); }
 *     TEST_MAIN(TEST(adds), TEST(waits, .seconds = 60))
 *
 * A test fails when an assertion does, when it crashes (a sanitizer's report counts), when it is not done in its time,
 * when it ends with other descriptors open than it began with, or when it leaves a child process.  What it wrote is
 * shown then, with the one command that runs it again.  The program takes names (or globs) of the tests to run,
 * or --list; its last line is "N passed, N failed", and its exit status 0 only if none failed and one passed.
 */
#ifndef SNAG_TESTS_HARNESS_H
#define SNAG_TESTS_HARNESS_H

/* The order that cmocka.h asks for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct test {
    const char *name;
    void (*run)(void **state);
    unsigned seconds; /* time allowed; 0: TEST_SECONDS */
};

enum {
    TEST_SECONDS = 30,
};

/* A row of TEST_MAIN: the function, then other members, as `.seconds = 60`. */
#define TEST(function, ...) \
    { \
        .name = #function, .run = (function), __VA_ARGS__ \
    }

#define TEST_MAIN(...) \
    int main(int argc, char **argv) \
    { \
        static const struct test tests[] = {__VA_ARGS__}; \
        return tests_main(argc, argv, tests, sizeof tests / sizeof tests[0]); \
    }

/* Runs those of TESTS (COUNT of them) that the command line names, all if it names none.  Returns main's result. */
int tests_main(int argc, char **argv, const struct test *tests, size_t count);

#endif
