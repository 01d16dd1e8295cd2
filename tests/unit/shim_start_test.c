/* How the shim joins a session, and how it does not: boards that are no boards, and programs that call it too early. */
#include "shim_case.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- No session */

/* Every rule of these tests would fail this call with ENOMEM. */
#define RULE .rules = RULES("accept4:error=ENOMEM")

static void assert_no_faults(void)
{
    assert_fails(accept4(-1, NULL, NULL, 0), EBADF);
    assert_fails(syscall(SYS_accept4, -1, NULL, NULL, 0), EBADF);
    int listener = shim_listener(0), client = shim_client(listener);
    shim_assert_pair(client, accept4(listener, NULL, NULL, 0));
    assert_int_equal(close(listener), 0);
}

static void nothing_was_said(struct session_board *session)
{
    assert_null(strstr(shim_stderr, "snag: "));
    assert_int_equal(session->board->attached, 0);
    assert_int_equal(shim_event_count, 0);
}

SHIM_TEST(without_a_session_nothing_is_done, RULE, .no_session = true, .check = nothing_was_said)
{
    assert_no_faults();
}

static void remove_board(struct session_board *session)
{
    assert_int_equal(unlink(session->path), 0);
}

SHIM_TEST(missing_board_is_silent, RULE, .arrange = remove_board, .check = nothing_was_said)
{
    assert_no_faults();
}

/* Exactly one line, with WHY in it, and nobody attached. */
static void assert_said(const struct session_board *session, const char *why)
{
    const char *said = strstr(shim_stderr, "libsnag: ");
    assert_non_null(said);
    assert_null(strstr(said + 1, "libsnag: "));
    const char *end = strchr(said, '\n'), *found = strstr(said, why);
    assert_non_null(end);
    if (!found || found > end || !strstr(said, session->path))
        fail_msg("\"%s\" is not in: %s", why, said);
}

/* A board that is damaged by the statement DAMAGE, and what is said of it. */
#define DAMAGED_TEST(test_name, why, damage) \
    static void test_name##_arrange(struct session_board *session) \
    { \
        struct board *board = session->board; \
        (void)board; \
        damage; \
    } \
    static void test_name##_check(struct session_board *session) \
    { \
        assert_said(session, why); \
        assert_int_equal(shim_event_count, 0); \
    } \
    SHIM_TEST(test_name, RULE, .arrange = test_name##_arrange, .check = test_name##_check) \
    { \
        assert_no_faults(); \
    }

DAMAGED_TEST(other_magic_is_no_board, "not a board", board->magic++)
DAMAGED_TEST(other_format_is_refused, "another version", board->format++)
DAMAGED_TEST(other_header_size_is_refused, "another version", board->header_size += 64)
DAMAGED_TEST(offset_out_of_the_board_is_refused, "damaged", board->rules_at = UINT64_C(1) << 40)
DAMAGED_TEST(too_many_rules_are_refused, "damaged", board->rule_counts[0] = RULE_MAX + 1)
DAMAGED_TEST(lease_out_of_the_board_is_refused, "damaged", board->lease_at = UINT64_C(1) << 40)
DAMAGED_TEST(string_out_of_the_board_is_refused, "damaged", board_rules(board, 0)[0].comm = 1 << 20)
DAMAGED_TEST(tally_out_of_the_board_is_refused, "damaged", board_rules(board, 0)[0].tally = TALLY_MAX)
DAMAGED_TEST(path_without_end_is_refused, "damaged", memset(board->shim_path, 'x', sizeof board->shim_path))

static void truncated_check(struct session_board *session)
{
    assert_said(session, "truncated");
}

/* The harness reads the rings afterwards, so it is a copy that is short. */
static void replace_by(const struct session_board *session, size_t size, int fill)
{
    static unsigned char bytes[1 << 20];
    assert_true(size <= sizeof bytes);
    memcpy(bytes, session->board, size);
    if (fill >= 0)
        memset(bytes, fill, size);
    assert_int_equal(unlink(session->path), 0);
    int fd = open(session->path, O_RDWR | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    assert_int_equal(close(fd), 0);
}

static void half_a_board(struct session_board *session)
{
    replace_by(session, 1 << 20, -1);
}

static void half_a_header(struct session_board *session)
{
    replace_by(session, 100, -1);
}

static void empty_file(struct session_board *session)
{
    replace_by(session, 0, -1);
}

static void zeroes(struct session_board *session)
{
    replace_by(session, 1 << 20, 0);
}

static void noise(struct session_board *session)
{
    replace_by(session, 1 << 20, 0xa5);
}

static void no_board_check(struct session_board *session)
{
    assert_said(session, "not a board");
}

SHIM_TEST(half_a_board_is_refused, RULE, .arrange = half_a_board, .check = truncated_check)
{
    assert_no_faults();
}

SHIM_TEST(half_a_header_is_refused, RULE, .arrange = half_a_header, .check = truncated_check)
{
    assert_no_faults();
}

SHIM_TEST(empty_file_is_refused, RULE, .arrange = empty_file, .check = truncated_check)
{
    assert_no_faults();
}

SHIM_TEST(zeroes_are_refused, RULE, .arrange = zeroes, .check = no_board_check)
{
    assert_no_faults();
}

SHIM_TEST(noise_is_refused, RULE, .arrange = noise, .check = no_board_check)
{
    assert_no_faults();
}

static void folder(struct session_board *session)
{
    assert_int_equal(unlink(session->path), 0);
    assert_int_equal(mkdir(session->path, 0700), 0);
}

static void folder_check(struct session_board *session)
{
    assert_int_equal(rmdir(session->path), 0);
    assert_said(session, "can't be opened");
}

SHIM_TEST(folder_is_refused, RULE, .arrange = folder, .check = folder_check)
{
    assert_no_faults();
}

/* Root may open anything, so the program is started as somebody else by a body that has no session itself. */
static void unreadable(struct session_board *session)
{
    char command[600], copy[] = "/tmp/libsnag.XXXXXX", path[512];
    int fd = mkstemp(copy);
    assert_true(fd >= 0 && close(fd) == 0);
    shim_path("libsnag.so", path, sizeof path);
    snprintf(command, sizeof command, "cp '%s' %s", path, copy);
    assert_int_equal(system(command), 0);
    assert_int_equal(chmod(copy, 0755), 0);
    assert_int_equal(chmod(session->path, 0), 0);
    setenv("TEST_BOARD", session->path, 1);
    setenv("TEST_SHIM", copy, 1); /* the build may be in a folder that is ours alone */
}

static void unreadable_check(struct session_board *session)
{
    assert_int_equal(unlink(getenv("TEST_SHIM")), 0);
    unsetenv("TEST_BOARD");
    unsetenv("TEST_SHIM");
    assert_said(session, "no permission");
}

SHIM_TEST(unreadable_board_is_said, RULE, .no_session = true, .arrange = unreadable, .check = unreadable_check)
{
    pid_t pid = fork();
    if (pid == 0) {
        setenv("SNAG_BOARD", getenv("TEST_BOARD"), 1);
        setenv("LD_PRELOAD", getenv("TEST_SHIM"), 1);
        if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)
            _exit(1);
        execl("/bin/sh", "sh", "-c", "exit 7", (char *)NULL);
        _exit(2);
    }
    shim_reap(pid, 7);
}

/* --- What it leaves alone */

/* Returns the number behind NAME in /proc/self/status, in BASE. */
static unsigned long status_number(const char *name, int base)
{
    char line[256];
    unsigned long number = ~0ul;
    FILE *file = fopen("/proc/self/status", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file))
        if (strncmp(line, name, strlen(name)) == 0)
            number = strtoul(line + strlen(name), NULL, base);
    assert_int_equal(fclose(file), 0);
    return number;
}

/* No thread, no signal handler, no signal blocked, no descriptor of the board. */
SHIM_TEST(leaves_no_trace_in_the_process, RULE)
{
    char path[64], target[256];
    assert_int_equal(status_number("Threads:", 10), 1);
    assert_int_equal(status_number("SigBlk:", 16), 0);
    unsigned long caught = status_number("SigCgt:", 16);
    const int of_cmocka[] = {SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGSYS}; /* and some of these are a sanitizer's */
    for (size_t i = 0; i < sizeof of_cmocka / sizeof of_cmocka[0]; i++)
        caught &= ~(1ul << (of_cmocka[i] - 1));
    assert_int_equal(caught, 0);
    for (int fd = 0; fd < 256; fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(path, target, sizeof target - 1);
        target[length > 0 ? length : 0] = '\0';
        assert_null(strstr(target, "snag-test"));
    }
}

static void went_on(struct session_board *session)
{
    assert_tally(session->board, 0, 3, 3);
    assert_int_equal(shim_count(EVENT_CALL, CALL_accept4), 3);
}

/* A daemon that closes all it has, standard output included, and takes the numbers for other things. */
SHIM_TEST(closing_all_descriptors_changes_nothing, RULE, .check = went_on)
{
    pid_t pid = fork();
    if (pid == 0) {
        bool right = accept4(-1, NULL, NULL, 0) == -1 && errno == ENOMEM;
        closefrom(0);
        right &= accept4(-1, NULL, NULL, 0) == -1 && errno == ENOMEM;
        for (int i = 0; i < 40; i++)
            right &= open("/dev/null", O_RDWR) == i;
        right &= accept4(-1, NULL, NULL, 0) == -1 && errno == ENOMEM;
        _exit(right ? 0 : 1);
    }
    shim_reap(pid, 0);
}

/* --- Calls before the shim's constructor */

static void assert_attached_once(struct session_board *session, uint64_t injected)
{
    assert_null(strstr(shim_stderr, "snag: "));
    assert_int_equal(session->board->attached, 1);
    assert_int_equal(board_tally(session->board, 0)->injected, injected);
    const struct shim_event *process = shim_find(EVENT_PROCESS, CALL_NONE, 0);
    const struct event_process *payload = (const void *)process->payload;
    assert_int_equal(payload->forked, 0);
    assert_string_equal(payload->exe, shim_self());
}

static void attached_once(struct session_board *session)
{
    assert_attached_once(session, 2);
}

/* The destructor's call is the third. */
static void attached_to_the_end(struct session_board *session)
{
    assert_attached_once(session, 3);
}

static void assert_faults(void)
{
    assert_fails(accept4(-1, NULL, NULL, 0), ENOMEM);
    assert_fails(syscall(SYS_accept4, -1, NULL, NULL, 0), ENOMEM);
}

SHIM_TEST(attaches_and_injects, RULE, .check = attached_once)
{
    assert_faults();
}

/* The loader runs the constructor of the library that it loaded last first: that library's calls find no session. */
SHIM_TEST(library_behind_it_may_call_early_and_late, RULE, .preload_after = "preload_early.so",
          .check = attached_to_the_end)
{
    assert_string_equal(getenv("PRELOAD_EARLY"), "ran");
    assert_faults();
}

/* An allocator that calls syscall() while the loader is at work.  (With a sanitizer the program has one of its own.) */
static void assert_allocator_ran(void)
{
    void *symbol = dlsym(RTLD_DEFAULT, "preload_malloc_calls");
    assert_non_null(symbol);
#ifndef __SANITIZE_ADDRESS__
    assert_true(*(unsigned long *)symbol > 0);
#endif
}

SHIM_TEST(allocator_behind_it_may_use_syscall, RULE, .preload_after = "preload_malloc.so", .check = attached_once)
{
    assert_allocator_ran();
    assert_faults();
}

SHIM_TEST(allocator_before_it_may_use_syscall, RULE, .preload_before = "preload_malloc.so", .check = attached_once)
{
    assert_allocator_ran();
    assert_faults();
}

/* A library that makes accept() out of syscall(), which the shim makes accept() of: its own, or they would never end. */
SHIM_TEST(library_may_make_accept_of_syscall, .rules = RULES("accept:error=ENOMEM:when=2"),
          .preload_before = "preload_accept.so")
{
    int (*others)(int, struct sockaddr *, socklen_t *);
    void *symbol = dlsym(RTLD_NEXT, "accept");
    memcpy(&others, &symbol, sizeof symbol);
    assert_fails(others(-1, NULL, NULL), EBADF);
    assert_fails(others(-1, NULL, NULL), ENOMEM);
}

/* --- syscall() for numbers that are not ours */

static void use_syscall(void)
{
    char *page = (char *)syscall(SYS_mmap, NULL, 8192L, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1L, 0L);
    assert_true(page != MAP_FAILED);
    page[8191] = 1;
    assert_int_equal(syscall(SYS_munmap, page, 8192L), 0);
    int file = memfd_create("six", MFD_CLOEXEC);
    assert_int_equal(ftruncate(file, 3 * 4096), 0);
    assert_int_equal(pwrite(file, "third", 5, 2 * 4096), 5);
    page = (char *)syscall(SYS_mmap, NULL, 4096L, PROT_READ, MAP_SHARED, (long)file, 2 * 4096L); /* the sixth counts */
    assert_true(page != MAP_FAILED);
    assert_memory_equal(page, "third", 5);
    assert_int_equal(syscall(SYS_munmap, page, 4096L), 0);
    assert_int_equal(close(file), 0);
    assert_fails(syscall(SYS_read, -1, NULL, 0L), EBADF);
    assert_fails(syscall(100000L), ENOSYS);
    assert_fails(syscall(-1L), ENOSYS);
    errno = 7;
    assert_int_equal(syscall(SYS_getpid), getpid());
    assert_int_equal(errno, 7);
}

SHIM_TEST(syscall_passes_other_numbers_on, RULE)
{
    use_syscall();
}

SHIM_TEST(syscall_works_without_a_session, .no_session = true)
{
    use_syscall();
}

SHIM_MAIN(TEST(without_a_session_nothing_is_done), TEST(missing_board_is_silent), TEST(other_magic_is_no_board),
          TEST(other_format_is_refused), TEST(other_header_size_is_refused), TEST(offset_out_of_the_board_is_refused),
          TEST(too_many_rules_are_refused), TEST(lease_out_of_the_board_is_refused),
          TEST(string_out_of_the_board_is_refused), TEST(tally_out_of_the_board_is_refused),
          TEST(path_without_end_is_refused), TEST(half_a_board_is_refused), TEST(half_a_header_is_refused),
          TEST(empty_file_is_refused), TEST(zeroes_are_refused), TEST(noise_is_refused), TEST(folder_is_refused),
          TEST(unreadable_board_is_said), TEST(leaves_no_trace_in_the_process),
          TEST(closing_all_descriptors_changes_nothing), TEST(attaches_and_injects),
          TEST(library_behind_it_may_call_early_and_late), TEST(allocator_behind_it_may_use_syscall),
          TEST(allocator_before_it_may_use_syscall), TEST(library_may_make_accept_of_syscall),
          TEST(syscall_passes_other_numbers_on), TEST(syscall_works_without_a_session))
