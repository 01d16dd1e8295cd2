/*
 * Tests that must fail, one in each way that the harness knows, and one that must pass: what harness_test.c runs to
 * see that the harness notices.  No part of `make check` by itself.
 */
#include "harness.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void passes(void **state)
{
    (void)state;
    assert_int_equal(1, 1);
}

static void fails(void **state)
{
    (void)state;
    printf("a line of the failing test\n");
    assert_int_equal(1, 2);
}

static void crashes(void **state)
{
    (void)state;
    signal(SIGABRT, SIG_DFL); /* cmocka turns some signals into failures; this one is to reach the harness */
    abort();
}

static void ends_early(void **state)
{
    (void)state;
    exit(0);
}

static void hangs(void **state)
{
    (void)state;
    for (;;)
        pause();
}

static void leaks_descriptor(void **state)
{
    (void)state;
    assert_int_not_equal(open("/dev/null", O_RDONLY | O_CLOEXEC), -1);
}

static void closes_descriptor(void **state)
{
    (void)state;
    assert_int_equal(close(STDIN_FILENO), 0);
}

static void leaves_child(void **state)
{
    (void)state;
    pid_t pid = fork();
    assert_int_not_equal(pid, -1);
    if (pid == 0)
        for (;;)
            pause();
    printf("child %d\n", (int)pid);
}

TEST_MAIN(TEST(passes), TEST(fails), TEST(crashes), TEST(ends_early), TEST(hangs, .seconds = 1), TEST(leaks_descriptor),
          TEST(closes_descriptor), TEST(leaves_child))
