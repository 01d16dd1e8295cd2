/*
 * shim_case.h - tests of libsnag.so: a body that runs in a process with the shim, and a look at the board afterwards.
 *
 *     SHIM_TEST(first_accept_fails, .rules = RULES("accept4:error=EMFILE:when=1"), .check = injected_once)
 *     {
 *         int listener = shim_listener(0);
 *         ...
 *     }
 *     SHIM_MAIN(TEST(first_accept_fails))
 *
 * The program starts itself again with LD_PRELOAD and SNAG_BOARD set, and the body runs there, as a cmocka test: its
 * assertions work in its main thread and in the children that it forks.  The body's process must end with `.status`;
 * then its records are drained into shim_events and the check runs in the first process, which never has the shim.
 */
#ifndef SNAG_TESTS_SHIM_CASE_H
#define SNAG_TESTS_SHIM_CASE_H

#include <stdbool.h>
#include <sys/socket.h>

#include "harness.h"
#include "session_board.h"

struct shim_case {
    const char *name;
    const char *const *rules; /* plan text, ends with NULL; NULL: none */
    void (*body)(void);
    void (*arrange)(struct session_board *session); /* before the body starts */
    void (*check)(struct session_board *session);   /* when it has ended */
    uint64_t record;                                /* calls that are recorded: RECORD(accept4) | ... */
    uint32_t rings;                                 /* that are ready; 0: 16 */
    const char *preload_before, *preload_after;     /* libraries beside the test program, before and after the shim */
    int status;                                     /* the wait status that the body must end with */
    bool no_session;                                /* the shim without SNAG_BOARD */
};

#define RULES(...) \
    (const char *const[]) \
    { \
        __VA_ARGS__, NULL \
    }
#define RECORD(call) (UINT64_C(1) << CALL_##call)

#define SHIM_TEST(test_name, ...) \
    static void test_name##_body(void); \
    static const struct shim_case test_name##_case = {.name = #test_name, .body = test_name##_body, __VA_ARGS__}; \
    static void test_name(void **state) \
    { \
        (void)state; \
        shim_run(&test_name##_case); \
    } \
    static void test_name##_body(void)

/* As TEST_MAIN. */
#define SHIM_MAIN(...) \
    int main(int argc, char **argv) \
    { \
        static const struct test tests[] = {__VA_ARGS__}; \
        return shim_main(argc, argv, tests, sizeof tests / sizeof tests[0]); \
    }

int shim_main(int argc, char **argv, const struct test *tests, size_t count);

/* Runs CASE: in the first process all of it, in the body's process the body. */
void shim_run(const struct shim_case *shim_case);

/* Writes the path of FILE to PATH: libsnag.so, or a library that the Makefile puts beside the test program. */
void shim_path(const char *file, char *path, size_t size);

/* --- For checks: what the body's processes recorded, oldest first within each thread. */
struct shim_event {
    struct event event;
    _Alignas(8) unsigned char payload[EVENT_PAYLOAD_MAX];
};
extern struct shim_event *shim_events;
extern size_t shim_event_count;
extern char shim_stderr[4096]; /* what the body's process wrote there, up to that many bytes */

/* Returns how many records of KIND there are, and with CALL not CALL_NONE, for that call. */
size_t shim_count(enum event_kind kind, enum call call);

/* Returns record number I, from 0, of KIND and CALL as above; fails the test if there is none. */
const struct shim_event *shim_find(enum event_kind kind, enum call call, size_t i);

/* Checks the counts of rule INDEX. */
void assert_tally(struct board *board, uint32_t index, uint64_t matched, uint64_t injected);
void assert_missed(struct board *board, uint32_t index, uint64_t missed);

/* --- For bodies. */
/* The body's own view of the board, to pause it, look at its counts, or change its rules. */
struct board *shim_board(void);
void shim_pause(bool paused);

/* Sets the rule INDEX, on a board that has it, to fail CALL with ERROR, and makes the shim look at that call. */
struct rule *shim_set_error(uint32_t index, enum call call, int error);

/* Returns a listening socket on a free port of 127.0.0.1; TYPE_FLAGS as in socket(2), SOCK_NONBLOCK for instance. */
int shim_listener(int type_flags);
int shim_listener6(int type_flags);
int shim_port(int fd);

/* Returns a connected client of LISTENER (any family), which has it in its queue then. */
int shim_client(int listener);

/* Waits for POLLIN, at most MS (0: only looks). */
bool shim_readable(int fd, int ms);

/* Asserts that RET is -1 and errno ERROR, and sets errno to 0. */
#define assert_fails(ret, error) \
    do { \
        long fails_ret = (ret); \
        int fails_errno = errno; \
        errno = 0; \
        assert_int_equal(fails_ret, -1); \
        assert_int_equal(fails_errno, error); \
    } while (0)

/* Asserts that EXPRESSION is a descriptor, and closes it. */
#define assert_closes(expression) \
    do { \
        int closes_fd = (expression); \
        assert_true(closes_fd >= 0); \
        assert_int_equal(close(closes_fd), 0); \
    } while (0)

/* Asserts that the client, which is closed then, was reset, or that CLIENT is connected to ACCEPTED; closes both. */
void shim_assert_reset(int client);
void shim_assert_pair(int client, int accepted);

/* Returns how many descriptors below 256 are open. */
int shim_open_fds(void);

/* Waits for the child PID, and asserts that it ended with exit status STATUS. */
void shim_reap(pid_t pid, int status);

/* Returns the path of this program. */
const char *shim_self(void);

#endif
