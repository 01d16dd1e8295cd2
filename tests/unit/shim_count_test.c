/* Which calls a rule counts, in threads and processes, and which it does not: scopes, limits, filters, the lease. */
#include "shim_case.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/decide.h"

/* A call that fails with EBADF unless a rule fires, and takes nothing. */
static int try_call(void)
{
    return accept4(-1, NULL, NULL, 0) == -1 ? errno : 0;
}

static int count_faults(int calls)
{
    int faults = 0;
    for (int i = 0; i < calls; i++)
        faults += try_call() == EMFILE;
    return faults;
}

/* --- Threads */

enum { THREADS_MAX = 8 };

static struct {
    pthread_barrier_t start;
    int calls;
} crowd;

static void *call_in_thread(void *data)
{
    int *faults = data;
    pthread_barrier_wait(&crowd.start);
    *faults = count_faults(crowd.calls);
    return NULL;
}

/* Has THREADS threads make CALLS calls each, at the same time.  FAULTS[i] is how many of thread i's failed by a rule. */
static int run_threads(int threads, int calls, int faults[THREADS_MAX])
{
    pthread_t ids[THREADS_MAX];
    int sum = 0;
    crowd.calls = calls;
    assert_int_equal(pthread_barrier_init(&crowd.start, NULL, (unsigned)threads), 0);
    for (int i = 0; i < threads; i++)
        assert_int_equal(pthread_create(&ids[i], NULL, call_in_thread, &faults[i]), 0);
    for (int i = 0; i < threads; i++) {
        assert_int_equal(pthread_join(ids[i], NULL), 0);
        sum += faults[i];
    }
    pthread_barrier_destroy(&crowd.start);
    return sum;
}

static void matched_40_fired_once(struct session_board *session)
{
    assert_tally(session->board, 0, 40, 1);
}

SHIM_TEST(when_1_fires_once_for_four_threads, .rules = RULES("accept4:error=EMFILE:when=1"),
          .check = matched_40_fired_once)
{
    int faults[THREADS_MAX];
    assert_int_equal(run_threads(4, 10, faults), 1);
}

static void matched_40_fired_4_times(struct session_board *session)
{
    assert_tally(session->board, 0, 40, 4);
}

SHIM_TEST(when_1_fires_once_in_each_thread_by_thread, .rules = RULES("accept4:error=EMFILE:when=1:per=thread"),
          .check = matched_40_fired_4_times)
{
    int faults[THREADS_MAX];
    assert_int_equal(run_threads(4, 10, faults), 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(faults[i], 1);
}

/* A thread that gets the stack and the storage of one that ended starts from 1 all the same. */
SHIM_TEST(new_thread_counts_from_1, .rules = RULES("accept4:error=EMFILE:when=2:per=thread:sticky"))
{
    int faults[THREADS_MAX];
    for (int i = 0; i < 20; i++)
        assert_int_equal(run_threads(1, 3, faults), 1);
}

static void fired_1000_times(struct session_board *session)
{
    assert_tally(session->board, 0, 16000, 1000);
}

SHIM_TEST(times_is_exact_under_eight_threads, .rules = RULES("accept4:error=EMFILE:times=1000:sticky"),
          .check = fired_1000_times)
{
    int faults[THREADS_MAX];
    assert_int_equal(run_threads(8, 2000, faults), 1000);
}

static void fired_5000_times(struct session_board *session)
{
    assert_tally(session->board, 0, 16000, 5000);
}

SHIM_TEST(when_is_exact_under_eight_threads, .rules = RULES("accept4:error=EMFILE:when=1001..11000+2:sticky"),
          .check = fired_5000_times)
{
    int faults[THREADS_MAX];
    assert_int_equal(run_threads(8, 2000, faults), 5000);
}

/* --- Processes */

/* Runs count_faults(CALLS) in a child, made by CLONE or fork(), and returns what it returned. */
static int faults_of_child(int calls, bool clone)
{
    int status = 0;
    pid_t pid = clone ? (pid_t)syscall(SYS_clone, (unsigned long)SIGCHLD, NULL, NULL, NULL, NULL) : fork();
    if (pid == 0)
        _exit(count_faults(calls));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void matched_30_fired_3_times(struct session_board *session)
{
    assert_tally(session->board, 0, 30, 3);
}

SHIM_TEST(by_process_each_fork_counts_from_1, .rules = RULES("accept4:error=EMFILE:when=2:per=process"),
          .check = matched_30_fired_3_times)
{
    assert_int_equal(count_faults(10), 1);
    assert_int_equal(faults_of_child(10, false), 1);
    assert_int_equal(faults_of_child(10, true), 1);
}

static void matched_30_fired_once(struct session_board *session)
{
    assert_tally(session->board, 0, 30, 1);
}

SHIM_TEST(by_tree_forks_count_together, .rules = RULES("accept4:error=EMFILE:when=25"), .check = matched_30_fired_once)
{
    assert_int_equal(count_faults(10), 0);
    assert_int_equal(faults_of_child(10, false), 0);
    assert_int_equal(faults_of_child(10, true), 1);
}

SHIM_TEST(by_thread_a_fork_counts_from_1, .rules = RULES("accept4:error=EMFILE:when=2:per=thread"))
{
    assert_int_equal(count_faults(3), 1);
    assert_int_equal(faults_of_child(3, false), 1);
    assert_int_equal(faults_of_child(3, true), 1);
    assert_int_equal(count_faults(3), 0);
}

/* --- Descriptors */

static int call_on(int fd)
{
    return accept4(fd, NULL, NULL, 0) == -1 ? errno : 0;
}

SHIM_TEST(by_fd_each_descriptor_counts_apart, .rules = RULES("accept4:error=ENOMEM:when=2:per=fd"))
{
    int first = dup(0), second = dup(0);
    for (int i = 1; i <= 4; i++) {
        assert_int_equal(call_on(first), i == 2 ? ENOMEM : ENOTSOCK);
        assert_int_equal(call_on(second), i == 2 ? ENOMEM : ENOTSOCK);
    }
    assert_int_equal(close(first), 0);
    assert_int_equal(dup(0), first); /* the number again, but another descriptor */
    assert_int_equal(call_on(first), ENOTSOCK);
    assert_int_equal(call_on(first), ENOMEM);
    assert_int_equal(dup2(0, second), second);
    assert_int_equal(call_on(second), ENOTSOCK);
    assert_int_equal(call_on(second), ENOMEM);
    assert_int_equal(close(first), 0);
    assert_int_equal(close(second), 0);
}

/* A descriptor that can't be counted matches nothing, and is no crash. */
SHIM_TEST(by_fd_impossible_numbers_are_let_through, .rules = RULES("accept4:error=ENOMEM:per=fd"))
{
    assert_int_equal(call_on(-1), EBADF);
    assert_int_equal(call_on(1 << 20), EBADF);
    assert_int_equal(call_on(0x7fffffff), EBADF);
}

/* --- prob, several rules, fallback */

SHIM_TEST(prob_draws_the_known_sequence, .rules = RULES("accept4:error=EMFILE:prob=0.3:sticky"))
{
    uint64_t probability = board_rules(shim_board(), 0)[0].probability, seed = shim_board()->seed;
    int fired = 0;
    for (uint32_t nth = 1; nth <= 600; nth++) {
        bool due = rule_draw(seed, 0, nth) < probability;
        assert_int_equal(try_call(), due ? EMFILE : EBADF);
        fired += due;
    }
    assert_in_range(fired, 120, 240);
}

SHIM_TEST(prob_gives_each_thread_the_same_sequence, .rules = RULES("accept4:error=EMFILE:prob=0.5:per=thread:sticky"))
{
    int faults[THREADS_MAX];
    run_threads(4, 300, faults);
    for (int i = 1; i < 4; i++)
        assert_int_equal(faults[i], faults[0]);
    assert_in_range(faults[0], 100, 200);
}

static void all_counted(struct session_board *session)
{
    assert_tally(session->board, 0, 6, 2);
    assert_tally(session->board, 1, 6, 2);
    assert_tally(session->board, 2, 6, 1);
}

SHIM_TEST(first_rule_that_triggers_acts_and_all_count,
          .rules = RULES("accept4:error=EMFILE:when=2..3:sticky", "accept4:error=ENFILE:when=3..5:sticky",
                         "%accept:error=ENOMEM:when=5..6"),
          .check = all_counted)
{
    const int expected[] = {EBADF, EMFILE, EMFILE, ENFILE, ENFILE, ENOMEM};
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(try_call(), expected[i]);
}

static int plain_call(void)
{
    return accept(-1, NULL, NULL) == -1 ? errno : 0;
}

static void einval_was_one_call(struct session_board *session)
{
    assert_tally(session->board, 0, 3, 1);
    const struct event *first = &shim_find(EVENT_CALL, CALL_accept4, 0)->event;
    const struct event *again = &shim_find(EVENT_CALL, CALL_accept, 0)->event;
    assert_int_equal(first->nth, 1);
    assert_int_equal(again->nth, 1);
    assert_int_equal(again->flags & EVENT_REPEATED, EVENT_REPEATED);
    assert_int_equal(again->err, EINVAL);
}

SHIM_TEST(einval_is_said_again_to_the_fallback, .rules = RULES("%accept:error=EINVAL:when=1"),
          .check = einval_was_one_call)
{
    assert_int_equal(try_call(), EINVAL);
    assert_int_equal(plain_call(), EINVAL);
    assert_int_equal(plain_call(), EBADF); /* only the one that follows at once */
    assert_int_equal(try_call(), EBADF);
}

static void enosys_was_one_call(struct session_board *session)
{
    assert_tally(session->board, 0, 3, 2); /* accept did not count */
}

SHIM_TEST(enosys_lets_the_fallback_through, .rules = RULES("%accept:error=ENOSYS:when=1..2:force"),
          .check = enosys_was_one_call)
{
    int listener = shim_listener(0), client = shim_client(listener);
    assert_fails(accept4(listener, NULL, NULL, 0), ENOSYS);
    int fd = accept(listener, NULL, NULL);
    shim_assert_pair(client, fd);
    assert_int_equal(try_call(), ENOSYS);
    assert_int_equal(plain_call(), EBADF);
    assert_int_equal(try_call(), EBADF);
    assert_int_equal(close(listener), 0);
}

/* accept4 with flags that the kernel does not know: its own EINVAL, and the accept that follows is the same call. */
SHIM_TEST(kernels_own_einval_makes_a_fallback, .rules = RULES("%accept:error=ENOMEM:when=2"))
{
    int listener = shim_listener(0), clients[3];
    for (int i = 0; i < 3; i++)
        clients[i] = shim_client(listener);
    assert_fails(accept4(listener, NULL, NULL, 1 << 30), EINVAL);
    assert_closes(accept(listener, NULL, NULL));
    assert_fails(accept(listener, NULL, NULL), ENOMEM);
    assert_closes(accept(listener, NULL, NULL));
    for (int i = 0; i < 3; i++)
        assert_int_equal(close(clients[i]), 0);
    assert_int_equal(close(listener), 0);
}

/* On another descriptor, or in another thread, it is a call of its own. */
SHIM_TEST(fallback_is_for_the_same_descriptor, .rules = RULES("%accept:error=EINVAL:when=1"))
{
    int other = dup(0);
    assert_int_equal(try_call(), EINVAL);
    assert_fails(accept(other, NULL, NULL), ENOTSOCK);
    assert_int_equal(close(other), 0);
}

/* --- Filters */

SHIM_TEST(fd_filter, .rules = RULES("accept4:error=ENOMEM:fd=0"))
{
    int other = dup(0);
    assert_int_equal(call_on(other), ENOTSOCK);
    assert_int_equal(call_on(0), ENOMEM);
    assert_int_equal(call_on(-1), EBADF);
    assert_int_equal(close(other), 0);
}

/* The listeners of the filters on addresses. */
enum { INET, INET6, UNIX, ABSTRACT, LISTENERS };

static int unix_listener(const char *name)
{
    struct sockaddr_un own = {.sun_family = AF_UNIX};
    size_t length = strlen(name);
    memcpy(own.sun_path, name, length);
    if (name[0] == '@')
        own.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&own, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)),
                     0);
    assert_int_equal(listen(fd, 5), 0);
    return fd;
}

static void make_listeners(int fds[LISTENERS])
{
    char path[64], abstract[64];
    snprintf(path, sizeof path, "/tmp/snag-filter-%d.sock", (int)getpid());
    snprintf(abstract, sizeof abstract, "@snag-filter-%d.abstract", (int)getpid());
    fds[INET] = shim_listener(SOCK_NONBLOCK);
    fds[INET6] = shim_listener6(SOCK_NONBLOCK);
    fds[UNIX] = unix_listener(path);
    fds[ABSTRACT] = unix_listener(abstract);
    assert_int_equal(unlink(path), 0);
}

/* The rule fires on the listeners of MASK, a bit each, and on nothing else. */
static void assert_fires_on(const int fds[LISTENERS], unsigned mask)
{
    for (int i = 0; i < LISTENERS; i++)
        if (call_on(fds[i]) != (mask >> i & 1 ? ENOMEM : EAGAIN))
            fail_msg("listener %d", i);
    assert_int_equal(call_on(0), ENOTSOCK);
    assert_int_equal(call_on(-1), EBADF);
}

static void close_listeners(const int fds[LISTENERS])
{
    for (int i = 0; i < LISTENERS; i++)
        assert_int_equal(close(fds[i]), 0);
}

#define FILTER_TEST(name, rule, mask) \
    SHIM_TEST(name, .rules = RULES("accept4:error=ENOMEM:" rule)) \
    { \
        int fds[LISTENERS]; \
        make_listeners(fds); \
        assert_fires_on(fds, mask); \
        close_listeners(fds); \
    }

FILTER_TEST(type_inet_filter, "type=inet", 1 << INET)
FILTER_TEST(type_inet6_filter, "type=inet6", 1 << INET6)
FILTER_TEST(type_unix_filter, "type=unix", 1 << UNIX | 1 << ABSTRACT)
FILTER_TEST(path_filter, "path=/tmp/snag-filter-*.sock", 1 << UNIX)
FILTER_TEST(abstract_path_filter, "path=@snag-filter-*", 1 << ABSTRACT)
FILTER_TEST(any_path_filter, "path=*", 1 << UNIX | 1 << ABSTRACT)
FILTER_TEST(local_inet_filter, "local=127.0.0.1", 1 << INET)
FILTER_TEST(other_local_inet_filter, "local=127.0.0.2", 0)
FILTER_TEST(local_inet6_filter, "local=\"::1\"", 1 << INET6)

/* Ports are not known before: the rule gets the listener's on the board. */
SHIM_TEST(port_filter, .rules = RULES("accept4:error=ENOMEM:port=1"))
{
    int fds[LISTENERS];
    make_listeners(fds);
    assert_fires_on(fds, 0);
    board_rules(shim_board(), 0)[0].port = (uint16_t)shim_port(fds[INET]);
    assert_fires_on(fds, 1 << INET);
    board_rules(shim_board(), 0)[0].port = (uint16_t)shim_port(fds[INET6]);
    assert_fires_on(fds, 1 << INET6);
    close_listeners(fds);
}

SHIM_TEST(bind_is_filtered_by_the_address_asked_for, .rules = RULES("bind:error=EACCES:port=1"))
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_port = htons(1);
    assert_fails(bind(fd, (struct sockaddr *)&address, sizeof address), EACCES);
    address.sin_port = 0;
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(close(fd), 0);
}

SHIM_TEST(socket_is_filtered_by_its_family, .rules = RULES("socket:error=EAFNOSUPPORT:type=inet6"))
{
    assert_fails(socket(AF_INET6, SOCK_STREAM, 0), EAFNOSUPPORT);
    assert_closes(socket(AF_INET, SOCK_STREAM, 0));
    assert_closes(socket(AF_UNIX, SOCK_STREAM, 0));
}

static void *call_as_worker(void *data)
{
    int *error = data;
    assert_int_equal(prctl(PR_SET_NAME, "worker-1"), 0);
    *error = try_call();
    return NULL;
}

static int error_of_worker(void)
{
    pthread_t thread;
    int error = 0;
    assert_int_equal(pthread_create(&thread, NULL, call_as_worker, &error), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    return error;
}

SHIM_TEST(comm_filter_is_the_process_name, .rules = RULES("accept4:error=ENOMEM:comm=snag-pro*"))
{
    assert_int_equal(try_call(), EBADF);
    assert_int_equal(prctl(PR_SET_NAME, "snag-process"), 0);
    assert_int_equal(try_call(), ENOMEM);
    assert_int_equal(error_of_worker(), ENOMEM);
}

SHIM_TEST(thread_filter_is_the_thread_name, .rules = RULES("accept4:error=ENOMEM:thread=worker-?"))
{
    assert_int_equal(try_call(), EBADF);
    assert_int_equal(error_of_worker(), ENOMEM);
    assert_int_equal(try_call(), EBADF);
}

static void matched_once(struct session_board *session)
{
    assert_tally(session->board, 0, 1, 1);
}

SHIM_TEST(pending_filter_needs_a_client, .rules = RULES("accept4:error=ENOMEM:pending"), .check = matched_once)
{
    int listener = shim_listener(SOCK_NONBLOCK);
    assert_int_equal(call_on(listener), EAGAIN);
    int client = shim_client(listener);
    assert_true(shim_readable(listener, 5000));
    assert_int_equal(call_on(listener), ENOMEM);
    assert_closes(accept(listener, NULL, NULL));
    assert_int_equal(call_on(listener), EAGAIN);
    assert_int_equal(close(client), 0);
    assert_int_equal(close(listener), 0);
}

/* --- Windows: the times are set on the board, so that nothing here waits. */

static void set_since(_Atomic uint64_t *at, double hours)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t now_ns = (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
    *at = now_ns - (uint64_t)(hours * 3600e9); /* may lie before the machine's start: it wraps */
}

SHIM_TEST(window_counts_from_ready, .rules = RULES("accept4:error=ENOMEM:after=7200s:for=3600s"))
{
    _Atomic uint64_t *ready = &shim_board()->ready_ns;
    assert_int_equal(*ready, 0);
    assert_int_equal(try_call(), EBADF);
    set_since(ready, 1.9);
    assert_int_equal(try_call(), EBADF);
    set_since(ready, 2.1);
    assert_int_equal(try_call(), ENOMEM);
    set_since(ready, 2.9);
    assert_int_equal(try_call(), ENOMEM);
    set_since(ready, 3.1);
    assert_int_equal(try_call(), EBADF);
}

SHIM_TEST(window_counts_from_start, .rules = RULES("accept4:error=ENOMEM:after=start+7200s"))
{
    assert_int_equal(try_call(), EBADF);
    set_since((_Atomic uint64_t *)&shim_board()->start_ns, 2.1);
    assert_int_equal(try_call(), ENOMEM);
}

/* --- No faults when snag does not want any, or is gone. */

static void fired_twice(struct session_board *session)
{
    assert_tally(session->board, 0, 2, 2);
}

SHIM_TEST(paused_board_neither_fires_nor_counts, .rules = RULES("accept4:error=ENOMEM"), .check = fired_twice)
{
    assert_int_equal(try_call(), ENOMEM);
    shim_pause(true);
    assert_int_equal(try_call(), EBADF);
    shim_pause(false);
    assert_int_equal(try_call(), ENOMEM);
}

SHIM_TEST(lost_lease_ends_all_faults, .rules = RULES("accept4:error=ENOMEM"), .check = fired_twice)
{
    struct board *board = shim_board();
    _Atomic uint32_t *lease = (_Atomic uint32_t *)(void *)((char *)board + board->lease_at);
    assert_int_equal(try_call(), ENOMEM);
    *lease = 0; /* unlocked */
    assert_int_equal(try_call(), EBADF);
    *lease = LEASE_OWNER_DIED;
    assert_int_equal(try_call(), EBADF);
    *lease = LEASE_OWNER_DIED | 1;
    assert_int_equal(try_call(), EBADF);
    *lease = UINT32_C(0x80000000) | 1; /* held, and somebody waits for it */
    assert_int_equal(try_call(), ENOMEM);
}

SHIM_MAIN(TEST(when_1_fires_once_for_four_threads), TEST(when_1_fires_once_in_each_thread_by_thread),
          TEST(new_thread_counts_from_1), TEST(times_is_exact_under_eight_threads),
          TEST(when_is_exact_under_eight_threads), TEST(by_process_each_fork_counts_from_1),
          TEST(by_tree_forks_count_together), TEST(by_thread_a_fork_counts_from_1),
          TEST(by_fd_each_descriptor_counts_apart), TEST(by_fd_impossible_numbers_are_let_through),
          TEST(prob_draws_the_known_sequence), TEST(prob_gives_each_thread_the_same_sequence),
          TEST(first_rule_that_triggers_acts_and_all_count), TEST(einval_is_said_again_to_the_fallback),
          TEST(enosys_lets_the_fallback_through), TEST(kernels_own_einval_makes_a_fallback),
          TEST(fallback_is_for_the_same_descriptor), TEST(fd_filter), TEST(type_inet_filter), TEST(type_inet6_filter),
          TEST(type_unix_filter), TEST(path_filter), TEST(abstract_path_filter), TEST(any_path_filter),
          TEST(local_inet_filter), TEST(other_local_inet_filter), TEST(local_inet6_filter), TEST(port_filter),
          TEST(bind_is_filtered_by_the_address_asked_for), TEST(socket_is_filtered_by_its_family),
          TEST(comm_filter_is_the_process_name), TEST(thread_filter_is_the_thread_name),
          TEST(pending_filter_needs_a_client), TEST(window_counts_from_ready), TEST(window_counts_from_start),
          TEST(paused_board_neither_fires_nor_counts), TEST(lost_lease_ends_all_faults))
