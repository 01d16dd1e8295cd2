#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    FDS_MAX = 1024, /* descriptors that the leak check looks at */
    PASSED = 42,    /* exit statuses of a test's process; 0 is what a test that calls exit() itself would give */
    FAILED = 43,
    LEAKED = 44,
    OUTPUT_MAX = 16384, /* bytes of a failed test's output that are shown, the last ones */
};

static void die(const char *what)
{
    perror(what);
    exit(125);
}

/* Marks in OPEN which descriptors this process has open. */
static void fds_open(bool open_fds[FDS_MAX])
{
    for (int fd = 0; fd < FDS_MAX; fd++)
        open_fds[fd] = fcntl(fd, F_GETFD) != -1;
}

static void fd_describe(int fd, char *text, size_t size)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, text, size - 1);
    text[length < 0 ? 0 : length] = '\0';
}

/* Says on stdout which descriptors differ.  Returns how many. */
static int fds_compare(const bool before[FDS_MAX])
{
    bool after[FDS_MAX];
    int differ = 0;
    fds_open(after);
    for (int fd = 0; fd < FDS_MAX; fd++) {
        if (before[fd] == after[fd])
            continue;
        char text[256] = "";
        if (after[fd])
            fd_describe(fd, text, sizeof text);
        printf("descriptor %d was %s %s\n", fd, after[fd] ? "left open:" : "closed, though the test did not open it",
               text);
        differ++;
    }
    return differ;
}

/* Whether the test left a child process, running or not waited for. */
static bool child_left(void)
{
    int status;
    pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid == -1)
        return false;
    if (pid == 0)
        printf("a child process was left running\n");
    else
        printf("child process %d was not waited for\n", (int)pid);
    return true;
}

/* The life of a test's process.  Ends by exit(3), so that sanitizers look for leaks. */
static _Noreturn void test_child(const struct test *test)
{
    bool before[FDS_MAX];
    const struct CMUnitTest unit = {.name = test->name, .test_func = test->run};
    fds_open(before);
    int failed = _cmocka_run_group_tests(test->name, &unit, 1, NULL, NULL);
    int leaked = fds_compare(before);
    leaked += child_left();
    exit(failed ? FAILED : leaked ? LEAKED : PASSED);
}

/*
 * Starts TEST as leader of a process group, with what it writes going to OUTPUT: an unnamed file, for a pipe would
 * have to be read, and a process that it left could keep that one open.
 */
static pid_t test_start(const struct test *test, FILE *output)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == -1)
        die("fork");
    if (pid == 0) {
        setpgid(0, 0);
        int null = open("/dev/null", O_RDWR);
        if (null == -1 || dup2(null, STDIN_FILENO) == -1 || dup2(fileno(output), STDOUT_FILENO) == -1 ||
            dup2(fileno(output), STDERR_FILENO) == -1)
            die("test's input and output");
        close(null);
        fclose(output);
        test_child(test);
    }
    setpgid(pid, pid); /* both do it, so that neither has to wait for the other */
    return pid;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Waits for PID at most SECONDS.  Returns whether it ended, and how in *STATUS; it is not reaped then. */
static bool wait_limited(pid_t pid, unsigned seconds, siginfo_t *info)
{
    double end = now() + seconds;
    for (;;) {
        *info = (siginfo_t){0};
        if (waitid(P_PID, (id_t)pid, info, WEXITED | WNOHANG | WNOWAIT) == -1)
            die("waitid");
        if (info->si_pid == pid)
            return true;
        if (now() >= end)
            return false;
        poll(NULL, 0, 2);
    }
}

/* Waits for the end of a test and of its process group.  Returns NULL if it passed, else why it did not. */
static const char *test_finish(pid_t pid, unsigned seconds)
{
    static char why[64];
    siginfo_t info;
    bool ended = wait_limited(pid, seconds, &info);
    kill(-pid, SIGKILL); /* not reaped yet, so the number is still its own */
    if (waitpid(pid, NULL, 0) == -1)
        die("waitpid");
    if (!ended)
        snprintf(why, sizeof why, "not done after %u s", seconds);
    else if (info.si_code != CLD_EXITED)
        snprintf(why, sizeof why, "ended by signal %d, %s", info.si_status, strsignal(info.si_status));
    else if (info.si_status == FAILED)
        snprintf(why, sizeof why, "assertion");
    else if (info.si_status == LEAKED)
        snprintf(why, sizeof why, "left something behind");
    else if (info.si_status != PASSED)
        snprintf(why, sizeof why, "exit status %d before its end", info.si_status);
    else
        return NULL;
    return why;
}

static void output_show(FILE *output)
{
    char line[1024];
    fseek(output, 0, SEEK_END);
    if (ftell(output) <= OUTPUT_MAX || fseek(output, -OUTPUT_MAX, SEEK_END) == -1)
        rewind(output);
    while (fgets(line, sizeof line, output))
        printf("    | %s%s", line, strchr(line, '\n') ? "" : "\n");
}

static bool test_run(const char *program, const struct test *test)
{
    FILE *output = tmpfile();
    if (!output)
        die("tmpfile");
    double start = now();
    pid_t pid = test_start(test, output);
    const char *why = test_finish(pid, test->seconds ? test->seconds : TEST_SECONDS);
    if (why) {
        printf("FAIL %s: %s\n", test->name, why);
        output_show(output);
        printf("    again: %s %s\n", program, test->name);
    } else {
        printf("ok   %s (%.0f ms)\n", test->name, (now() - start) * 1000);
    }
    fclose(output);
    return !why;
}

static bool test_wanted(const struct test *test, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (fnmatch(argv[i], test->name, 0) == 0)
            return true;
    return argc < 2;
}

int tests_main(int argc, char **argv, const struct test *tests, size_t count)
{
    int passed = 0, failed = 0;
    bool list = argc == 2 && strcmp(argv[1], "--list") == 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < count; i++) {
        if (list)
            puts(tests[i].name);
        else if (!test_wanted(&tests[i], argc, argv))
            continue;
        else if (test_run(argv[0], &tests[i]))
            passed++;
        else
            failed++;
    }
    if (list)
        return 0;
    printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 && passed > 0 ? 0 : 1;
}
