/* The harness is tested by tests that must fail: it runs harness_sample, beside this program, and reads what it says. */
#include "harness.h"

#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char report[65536];

/* Runs the sample with ARGUMENTS.  Its output is in `report`.  Returns its exit status. */
static int sample(const char *arguments)
{
    char self[PATH_MAX], command[PATH_MAX + 256];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(length > 0);
    self[length] = '\0';
    snprintf(command, sizeof command, "'%s/harness_sample' %s 2>&1", dirname(self), arguments);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t got = fread(report, 1, sizeof report - 1, pipe);
    report[got] = '\0';
    int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void assert_says(const char *text)
{
    if (!strstr(report, text))
        fail_msg("\"%s\" is not in:\n%s", text, report);
}

/* Runs the sample's test NAME, which must fail for the reason WHY, and be said to. */
static void assert_fails(const char *name, const char *why)
{
    char line[256];
    assert_int_equal(sample(name), 1);
    snprintf(line, sizeof line, "FAIL %s: %s", name, why);
    assert_says(line);
    snprintf(line, sizeof line, "harness_sample %s\n0 passed, 1 failed\n", name);
    assert_says(line);
}

static void passing_test_passes(void **state)
{
    (void)state;
    assert_int_equal(sample("passes"), 0);
    assert_says("ok   passes");
    assert_says("\n1 passed, 0 failed\n");
}

static void failing_test_fails_and_shows_its_output(void **state)
{
    (void)state;
    assert_fails("fails", "assertion");
    assert_says("| a line of the failing test\n");
    assert_says("0x1 != 0x2");
}

static void crash_fails(void **state)
{
    (void)state;
    assert_fails("crashes", "ended by signal 6");
}

static void early_end_fails(void **state)
{
    (void)state;
    assert_fails("ends_early", "exit status 0 before its end");
}

static void hang_fails(void **state)
{
    (void)state;
    assert_fails("hangs", "not done after 1 s");
}

static void left_descriptor_fails(void **state)
{
    (void)state;
    assert_fails("leaks_descriptor", "left something behind");
    assert_says("left open: /dev/null");
}

static void closed_descriptor_fails(void **state)
{
    (void)state;
    assert_fails("closes_descriptor", "left something behind");
    assert_says("descriptor 0 was closed");
}

static bool is_running(long pid)
{
    char path[64], status;
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool known = fscanf(file, "%*d %*s %c", &status) == 1;
    fclose(file);
    return known && status != 'Z';
}

static void left_child_fails_and_is_ended(void **state)
{
    (void)state;
    assert_fails("leaves_child", "left something behind");
    const char *line = strstr(report, "| child ");
    assert_non_null(line);
    /* Its process group was killed: soon it is gone, or a zombie that its new parent has not yet reaped. */
    for (int tries = 0; is_running(strtol(line + strlen("| child "), NULL, 10)); tries++) {
        assert_true(tries < 1000);
        poll(NULL, 0, 10);
    }
}

static void whole_run_is_summed_up(void **state)
{
    (void)state;
    assert_int_equal(sample(""), 1);
    assert_says("\n1 passed, 7 failed\n");
}

static void no_such_test_is_a_failure(void **state)
{
    (void)state;
    assert_int_equal(sample("nothing_of_this_name"), 1);
    assert_says("0 passed, 0 failed\n");
}

TEST_MAIN(TEST(passing_test_passes), TEST(failing_test_fails_and_shows_its_output), TEST(crash_fails),
          TEST(early_end_fails), TEST(hang_fails), TEST(left_descriptor_fails), TEST(closed_descriptor_fails),
          TEST(left_child_fails_and_is_ended), TEST(whole_run_is_summed_up), TEST(no_such_test_is_a_failure))
