/* What the shim writes down and what it costs: every record is there or counted as lost, nothing waits, and calls that
 * nobody names make no system call of ours. */
#include "shim_case.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t lost_records(struct session_board *session)
{
    uint64_t lost = 0;
    for (uint32_t i = 0; i < session->board->ring_count; i++)
        lost += board_ring(session->board, i)->lost;
    return lost;
}

static void make_calls(int calls)
{
    for (int i = 0; i < calls; i++)
        accept4(-1, NULL, NULL, 0);
}

/* --- Rings */

enum { THREADS = 2000, CALLS_EACH = 7, AT_ONCE = 8 };

static void all_there_or_lost(struct session_board *session)
{
    uint64_t there = shim_count(EVENT_CALL, CALL_accept4), lost = lost_records(session);
    assert_int_equal(there + lost, THREADS * CALLS_EACH);
    assert_true(there >= RING_SLOTS - RING_SLACK); /* the shared ring was filled before anything was lost */
    assert_true(lost > 0);
    for (size_t i = 0; i < shim_event_count; i++)
        if (shim_events[i].event.kind == EVENT_CALL) {
            assert_int_equal(shim_events[i].event.ret, -1);
            assert_int_equal(shim_events[i].event.err, EBADF);
            assert_true(shim_events[i].event.tid > 0);
        }
}

static void *call_some(void *data)
{
    make_calls(CALLS_EACH);
    return data;
}

/* Threads that come and go: the few rings go to the first, the others share one until it is full.  Nobody reads. */
SHIM_TEST(threads_by_the_thousand_lose_nothing_uncounted, .record = RECORD(accept4), .rings = 4,
          .check = all_there_or_lost)
{
    for (int i = 0; i < THREADS; i += AT_ONCE) {
        pthread_t threads[AT_ONCE];
        for (int k = 0; k < AT_ONCE; k++)
            assert_int_equal(pthread_create(&threads[k], NULL, call_some, NULL), 0);
        for (int k = 0; k < AT_ONCE; k++)
            assert_int_equal(pthread_join(threads[k], NULL), 0);
    }
}

static void owner_told(struct session_board *session)
{
    uint32_t pid = (uint32_t)shim_find(EVENT_CALL, CALL_accept4, 0)->event.pid;
    uint32_t owned = 0;
    for (uint32_t i = RING_SHARED + 1; i < session->board->ring_count; i++)
        if (atomic_load(&board_ring(session->board, i)->owner) != 0) {
            owned++;
            assert_int_equal(atomic_load(&board_ring(session->board, i)->owner_pid), pid);
        }
    assert_int_equal(owned, 1);
}

SHIM_TEST(ring_names_its_process, .record = RECORD(accept4), .check = owner_told)
{
    make_calls(1);
}

static void move_session(struct session_board *session)
{
    memcpy(session->board->pid_namespace, "pid:[1]", sizeof "pid:[1]" - 1);
}

/* Two processes, each with a ring that the reader may not take from it whatever it thinks of their pids. */
static void owners_kept(struct session_board *session)
{
    uint32_t owned = 0;
    for (uint32_t i = RING_SHARED + 1; i < session->board->ring_count; i++) {
        assert_int_equal(atomic_load(&board_ring(session->board, i)->owner_pid), 0);
        owned += atomic_load(&board_ring(session->board, i)->owner) != 0;
    }
    assert_int_equal(owned, 2);
    assert_int_equal(shim_count(EVENT_CALL, CALL_accept4), 2);
}

SHIM_TEST(ring_of_another_pid_namespace_is_not_taken_away, .record = RECORD(accept4), .arrange = move_session,
          .check = owners_kept)
{
    make_calls(1);
    pid_t child = fork();
    if (child == 0) {
        make_calls(1);
        _exit(0);
    }
    shim_reap(child, 0);
}

static void full_ring_dropped(struct session_board *session)
{
    uint64_t there = shim_count(EVENT_CALL, CALL_accept4);
    assert_in_range(there, RING_SLOTS - RING_SLACK - 16, RING_SLOTS);
    assert_int_equal(there + lost_records(session), 20000);
    for (uint64_t i = 1; i < there; i++) /* the first ones stay, in their order */
        assert_true(shim_find(EVENT_CALL, CALL_accept4, 1)->event.t_ns >=
                    shim_find(EVENT_CALL, CALL_accept4, 0)->event.t_ns);
    assert_tally(session->board, 0, 20000, 20000); /* faults do not depend on the ring */
}

SHIM_TEST(full_ring_drops_and_counts, .rules = RULES("accept4:error=ENOMEM"), .check = full_ring_dropped)
{
    make_calls(20000);
}

static void no_rings(struct session_board *session)
{
    atomic_store(&session->board->rings_ready, 0);
}

static void nothing_recorded(struct session_board *session)
{
    assert_int_equal(shim_event_count, 0);
    assert_tally(session->board, 0, 10, 10);
}

SHIM_TEST(rings_that_are_not_ready_are_not_touched, .rules = RULES("accept4:error=ENOMEM"), .record = RECORD(accept4),
          .arrange = no_rings, .check = nothing_recorded)
{
    make_calls(10);
}

/* A ring that is read goes on, round and round. */
static void went_round(struct session_board *session)
{
    uint64_t head = 0;
    for (uint32_t i = 0; i < session->board->ring_count; i++)
        head += board_ring(session->board, i)->head;
    assert_true(head > 30000);
    assert_int_equal(lost_records(session), 0);
}

static void read_all_rings(struct board *board)
{
    for (uint32_t i = 0; i < board->ring_count; i++)
        atomic_store(&board_ring(board, i)->tail, atomic_load(&board_ring(board, i)->head));
}

SHIM_TEST(ring_that_is_read_never_fills, .record = RECORD(accept4), .check = went_round)
{
    for (int i = 0; i < 10; i++) {
        make_calls(3000);
        read_all_rings(shim_board());
    }
}

/* --- A handler that records in the middle of a record */

static volatile sig_atomic_t handled;

static void call_in_handler(int number)
{
    int error = errno;
    (void)number;
    accept(-1, NULL, NULL);
    handled++;
    errno = error;
}

static void both_kinds_are_whole(struct session_board *session)
{
    uint64_t from_handler = shim_count(EVENT_CALL, CALL_accept), plain = shim_count(EVENT_CALL, CALL_accept4);
    assert_int_equal(lost_records(session), 0);
    assert_int_equal(plain + from_handler + shim_count(EVENT_PROCESS, CALL_NONE), shim_event_count);
    assert_true(from_handler >= 20);
    assert_true(plain >= 100);
}

SHIM_TEST(handler_may_record_in_the_middle_of_a_record, .record = RECORD(accept4) | RECORD(accept),
          .check = both_kinds_are_whole)
{
    struct sigaction action = {.sa_handler = call_in_handler};
    struct itimerval often = {.it_interval.tv_usec = 100, .it_value.tv_usec = 100}, never = {.it_value.tv_usec = 0};
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    for (int i = 0; i < 100 || (handled < 20 && i < 7000); i++) {
        errno = 7;
        assert_int_equal(accept4(-1, NULL, NULL, 0), -1);
        assert_int_equal(errno, EBADF);
        if (i >= 99)
            usleep(50);
    }
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
}

/* --- Ready */

static void ready_once_on(struct session_board *session)
{
    assert_true(session->board->ready_ns > 0);
    assert_int_equal(shim_count(EVENT_READY, CALL_NONE), 1);
    assert_int_equal(shim_count(EVENT_LISTENING, CALL_NONE), 1);
    const struct shim_event *ready = shim_find(EVENT_READY, CALL_NONE, 0);
    const struct shim_event *listening = shim_find(EVENT_LISTENING, CALL_NONE, 0);
    assert_int_equal(ready->event.fd, listening->event.fd);
    assert_int_equal(listening->event.payload, 16);
    assert_int_equal(listening->payload[4], 127);
    assert_int_equal(ready->event.payload, 0); /* no need to ask again, and a sandbox might end it for asking */
    assert_true(ready->event.t_ns >= listening->event.t_ns);
}

static bool is_ready(void)
{
    return atomic_load(&shim_board()->ready_ns) != 0;
}

static void wait_poll(int fd)
{
    struct pollfd entries[40];
    for (int i = 0; i < 40; i++)
        entries[i] = (struct pollfd){.fd = i == 39 ? fd : -1, .events = POLLIN};
    poll(entries, 40, 0);
}

static void wait_ppoll(int fd)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    struct timespec at_once = {0, 0};
    ppoll(&entry, 1, &at_once, NULL);
}

static void wait_select(int fd)
{
    struct timeval at_once = {0, 0};
    fd_set in;
    FD_ZERO(&in);
    FD_SET(fd, &in);
    select(fd + 1, &in, NULL, NULL, &at_once);
}

static void wait_pselect(int fd)
{
    struct timespec at_once = {0, 0};
    fd_set in;
    FD_ZERO(&in);
    FD_SET(fd, &in);
    pselect(fd + 1, &in, NULL, NULL, &at_once, NULL);
}

static void wait_epoll(int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    int epoll = epoll_create1(0);
    assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), 0);
    assert_int_equal(epoll_wait(epoll, &event, 1, 0), 0);
    assert_int_equal(close(epoll), 0);
}

static void wait_epoll_pwait(int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    int inner = epoll_create1(0), outer = epoll_create1(0);
    assert_int_equal(epoll_ctl(inner, EPOLL_CTL_ADD, fd, &event), 0);
    assert_int_equal(epoll_ctl(outer, EPOLL_CTL_ADD, inner, &event), 0); /* epoll in epoll */
    assert_int_equal(epoll_pwait(outer, &event, 1, 0, NULL), 0);
    assert_int_equal(close(inner), 0);
    assert_int_equal(close(outer), 0);
}

static void wait_accept(int fd)
{
    assert_fails(accept(fd, NULL, NULL), EAGAIN);
}

static void wait_accept4(int fd)
{
    assert_fails(accept4(fd, NULL, NULL, 0), EAGAIN);
}

static void wait_by_number(int fd)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    struct timespec at_once = {0, 0};
    syscall(SYS_ppoll, &entry, 1L, &at_once, NULL, 8L);
}

static void wait_by_copy(int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 100);
    wait_ppoll(copy);
    assert_int_equal(close(copy), 0);
}

static void wait_by_dup(int fd)
{
    int copy = dup(fd);
    wait_epoll(copy);
    assert_int_equal(close(copy), 0);
}

static void wait_by_dup2(int fd)
{
    assert_int_equal(dup2(fd, 101), 101);
    wait_poll(101);
    assert_int_equal(close(101), 0);
}

static void wait_by_dup3(int fd)
{
    assert_int_equal(dup3(fd, 102, O_CLOEXEC), 102);
    wait_poll(102);
    assert_int_equal(close(102), 0);
}

static void wait_for_normal_data(int fd)
{
    struct pollfd entry = {.fd = fd, .events = POLLRDNORM};
    poll(&entry, 1, 0);
}

/* By number, for a sanitizer's poll() looks at the entries itself. */
static void wait_on_no_memory(void)
{
    struct timespec at_once = {0, 0};
    assert_fails(syscall(SYS_ppoll, 8L, 1L, &at_once, NULL, 8L), EFAULT);
    assert_fails(syscall(SYS_pselect6, 64, 8L, NULL, NULL, &at_once, NULL), EFAULT);
}

/* Waiting on other things is not being ready; the first wait on the listener is; later ones change nothing. */
static void become_ready(void (*wait_on)(int fd))
{
    int ends[2], listener = shim_listener(SOCK_NONBLOCK);
    assert_int_equal(pipe(ends), 0);
    wait_poll(ends[0]);
    wait_ppoll(ends[0]);
    wait_select(ends[0]);
    wait_pselect(ends[0]);
    wait_epoll(ends[0]);
    wait_on_no_memory();
    assert_false(is_ready());
    errno = 7;
    wait_on(listener);
    assert_true(is_ready());
    uint64_t ready = shim_board()->ready_ns;
    wait_select(listener);
    wait_accept(listener);
    assert_int_equal(shim_board()->ready_ns, ready);
    assert_int_equal(close(listener), 0);
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(close(ends[1]), 0);
}

#define READY_TEST(way) \
    SHIM_TEST(ready_at_##way, .check = ready_once_on) \
    { \
        become_ready(way); \
    }
READY_TEST(wait_poll)
READY_TEST(wait_ppoll)
READY_TEST(wait_select)
READY_TEST(wait_pselect)
READY_TEST(wait_epoll)
READY_TEST(wait_epoll_pwait)
READY_TEST(wait_accept)
READY_TEST(wait_accept4)
READY_TEST(wait_by_number)
READY_TEST(wait_for_normal_data)

static void ready_somewhere(struct session_board *session)
{
    (void)session;
    assert_int_equal(shim_count(EVENT_READY, CALL_NONE), 1);
}

SHIM_TEST(ready_at_wait_by_copy, .check = ready_somewhere)
{
    become_ready(wait_by_copy);
}

SHIM_TEST(ready_at_wait_by_dup, .check = ready_somewhere)
{
    become_ready(wait_by_dup);
}

SHIM_TEST(ready_at_wait_by_dup2, .check = ready_somewhere)
{
    become_ready(wait_by_dup2);
}

SHIM_TEST(ready_at_wait_by_dup3, .check = ready_somewhere)
{
    become_ready(wait_by_dup3);
}

/*
 * Threads that come to wait together: one of them makes the server ready.  Done again and again, for it is a race; a
 * thread that waits for the next start spins, so that two are on their way at once.
 */
enum { RACES = 2000, SPINS = 2000 };

static struct {
    _Atomic int race, arrived;
    int listener;
} races;

static void spin_until(_Atomic int *word, int value)
{
    for (int i = 1; atomic_load_explicit(word, memory_order_relaxed) < value; i++)
        if (i % SPINS == 0)
            sched_yield();
}

static void *race_to_wait(void *data)
{
    for (int i = 1; i <= RACES; i++) {
        spin_until(&races.race, i);
        wait_ppoll(races.listener);
        atomic_store(&races.arrived, i);
    }
    return data;
}

static void ready_once_each(struct session_board *session)
{
    (void)session;
    assert_int_equal(shim_count(EVENT_READY, CALL_NONE), RACES);
}

SHIM_TEST(ready_once_when_threads_race, .check = ready_once_each)
{
    pthread_t thread;
    races.listener = shim_listener(SOCK_NONBLOCK);
    assert_int_equal(pthread_create(&thread, NULL, race_to_wait, NULL), 0);
    for (int i = 1; i <= RACES; i++) {
        atomic_store(&shim_board()->ready_ns, 0);
        atomic_store(&races.race, i);
        wait_ppoll(races.listener);
        spin_until(&races.arrived, i);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(close(races.listener), 0);
}

/* A number that listened and was closed, by whatever means, is not a listener when something else gets it. */
SHIM_TEST(closed_listener_is_forgotten)
{
    int ends[2], listener = shim_listener(SOCK_NONBLOCK);
    assert_int_equal(close_range((unsigned)listener, (unsigned)listener, 0), 0);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(ends[0], listener);
    wait_poll(ends[0]);
    assert_false(is_ready());
    int second = shim_listener(SOCK_NONBLOCK);
    assert_int_equal(dup2(ends[0], second), second);
    wait_poll(second);
    assert_false(is_ready());
    const int fds[] = {ends[0], ends[1], second};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(close(fds[i]), 0);
}

/* A socket that systemd or a parent handed on. */
static int handed_on;

static void hand_on(struct session_board *session)
{
    (void)session;
    handed_on = shim_listener(SOCK_NONBLOCK);
    char number[16];
    snprintf(number, sizeof number, "%d", handed_on);
    setenv("TEST_LISTENER", number, 1);
}

static void handed_on_check(struct session_board *session)
{
    unsetenv("TEST_LISTENER");
    int fd = handed_on;
    assert_int_equal(close(fd), 0);
    ready_once_on(session);
    assert_int_equal(shim_find(EVENT_LISTENING, CALL_NONE, 0)->event.fd, fd);
}

SHIM_TEST(inherited_listener_is_seen, .arrange = hand_on, .check = handed_on_check)
{
    assert_false(is_ready());
    wait_poll(atoi(getenv("TEST_LISTENER")));
    assert_true(is_ready());
}

/* --- Records say what happened */

static void records_are_right(struct session_board *session)
{
    (void)session;
    const struct event *listening = &shim_find(EVENT_CALL, CALL_listen, 0)->event;
    assert_int_equal(listening->arg, 64);
    assert_int_equal(listening->ret, 0);
    assert_int_equal(listening->err, 0);
    const struct shim_event *bound = shim_find(EVENT_CALL, CALL_bind, 0);
    assert_int_equal(bound->event.payload, 16);
    const struct shim_event *accepted = shim_find(EVENT_CALL, CALL_accept4, 0);
    assert_true(accepted->event.ret > 0);
    assert_int_equal(accepted->event.fd, listening->fd);
    assert_int_equal(accepted->event.payload, 16);
    assert_int_equal(accepted->event.arg, 0);
    assert_int_equal(accepted->event.flags, 0);
    assert_int_equal(accepted->event.rule, 0);
    assert_true(accepted->event.t_ns >= listening->t_ns + listening->dur_ns);
    const struct event *with_address = &shim_find(EVENT_CALL, CALL_accept4, 1)->event;
    assert_int_equal(with_address->arg, 16);
    const struct event *empty = &shim_find(EVENT_CALL, CALL_accept4, 2)->event;
    assert_int_equal(empty->ret, -1);
    assert_int_equal(empty->err, EAGAIN);
}

SHIM_TEST(records_tell_what_the_caller_saw, .record = RECORD(bind) | RECORD(listen) | RECORD(accept4),
          .check = records_are_right)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    int listener = shim_listener(SOCK_NONBLOCK), first = shim_client(listener), second = shim_client(listener);
    shim_assert_pair(first, accept4(listener, NULL, NULL, 0));
    shim_assert_pair(second, accept4(listener, (struct sockaddr *)&peer, &length, 0));
    assert_int_equal(length, 16);
    assert_fails(accept4(listener, NULL, NULL, 0), EAGAIN);
    assert_int_equal(close(listener), 0);
}

/* --- System calls: the same with the shim and without, once the server is ready and no rule names the calls. */

enum { TRACE_MAX = 512, TRACE_BEGIN = 0x5eed1, TRACE_END = 0x5eed2 }; /* the marks are process ids of nobody */

struct trace {
    int count;
    long numbers[TRACE_MAX];
};

static void mark(long what)
{
    syscall(SYS_getpgid, what);
}

/* What a server does, between two marks. */
static void serve(int listener, int client)
{
    struct pollfd entry = {.fd = listener, .events = POLLIN};
    struct epoll_event event = {.events = EPOLLIN};
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    int on = 1, epoll = epoll_create1(0);
    mark(TRACE_BEGIN);
    for (int i = 0; i < 3; i++) {
        poll(&entry, 1, 0);
        epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
        epoll_wait(epoll, &event, 1, 0);
        int fd = accept4(listener, (struct sockaddr *)&address, &length, 0);
        accept(listener, NULL, NULL);
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
        getsockname(fd, (struct sockaddr *)&address, &length);
        fcntl(fd, F_GETFL);
        dup2(fd, client);
        close_range((unsigned)client, (unsigned)client, 0);
        syscall(SYS_accept4, listener, NULL, NULL, 0);
        close(fd);
        listen(listener, 5);
    }
    mark(TRACE_END);
    _exit(0);
}

static void trace_call(pid_t pid, struct trace *trace, bool *on)
{
    struct __ptrace_syscall_info info;
    if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) <= 0 || info.op != PTRACE_SYSCALL_INFO_ENTRY)
        return;
    long number = (long)info.entry.nr;
    if (number == SYS_getpgid && info.entry.args[0] == TRACE_BEGIN)
        *on = true;
    else if (number == SYS_getpgid && info.entry.args[0] == TRACE_END)
        *on = false;
    else if (*on && trace->count < TRACE_MAX)
        trace->numbers[trace->count++] = number;
}

/* Runs serve() in a child under ptrace, and lists its system calls. */
static void trace_server(struct trace *trace)
{
    int listener = shim_listener(SOCK_NONBLOCK), client = shim_client(listener), status;
    bool on = false;
    wait_poll(listener);
    pid_t pid = fork();
    if (pid == 0) {
        accept4(-1, NULL, NULL, 0); /* the shim gets to know this process here, if it will at all */
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0 || raise(SIGSTOP) != 0)
            _exit(9);
        serve(listener, client);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSTOPPED(status));
    assert_int_equal(ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD), 0);
    while (WIFSTOPPED(status)) {
        trace_call(pid, trace, &on);
        assert_int_equal(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
    }
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(close(listener), 0);
    assert_int_equal(close(client), 0);
}

/* The list, made where there is no shim, goes to the body through its environment. */
static void trace_plainly(struct session_board *session)
{
    struct trace trace = {.count = 0};
    char text[TRACE_MAX * 8] = "";
    size_t length = 0;
    (void)session;
    trace_server(&trace);
    for (int i = 0; i < trace.count; i++)
        length += (size_t)snprintf(text + length, sizeof text - length, "%ld ", trace.numbers[i]);
    setenv("TEST_TRACE", text, 1);
}

static void forget_trace(struct session_board *session)
{
    (void)session;
    unsetenv("TEST_TRACE");
}

static void assert_same_calls(void)
{
    struct trace trace = {.count = 0};
    char *at = getenv("TEST_TRACE");
    trace_server(&trace);
    assert_true(trace.count >= 30);
    for (int i = 0; i < trace.count; i++) {
        long expected = strtol(at, &at, 10);
        if (trace.numbers[i] != expected)
            fail_msg("system call %d is %ld and not %ld", i, trace.numbers[i], expected);
    }
    assert_string_equal(at, " ");
}

/* Ready, with a rule for another call: as `snag run` leaves it. */
SHIM_TEST(calls_that_nobody_names_add_no_system_call, .rules = RULES("socket:error=EMFILE:when=1000"),
          .arrange = trace_plainly, .check = forget_trace)
{
    board_watch_ready(shim_board(), false);
    shim_board()->wanted[CALL_close] = shim_board()->wanted[WANTED_FREES] = 0;
    assert_same_calls();
}

/* A rule that does not fire and needs nothing but its ordinal costs no system call either. */
SHIM_TEST(rule_that_does_not_fire_adds_no_system_call, .rules = RULES("accept4,accept,close:error=EBADF:when=1000000"),
          .arrange = trace_plainly, .check = forget_trace)
{
    board_watch_ready(shim_board(), false);
    assert_same_calls();
}

SHIM_TEST(without_a_session_no_system_call_is_added, .no_session = true, .arrange = trace_plainly,
          .check = forget_trace)
{
    assert_same_calls();
}

SHIM_MAIN(TEST(threads_by_the_thousand_lose_nothing_uncounted), TEST(ring_names_its_process),
          TEST(ring_of_another_pid_namespace_is_not_taken_away), TEST(full_ring_drops_and_counts),
          TEST(rings_that_are_not_ready_are_not_touched), TEST(ring_that_is_read_never_fills),
          TEST(handler_may_record_in_the_middle_of_a_record), TEST(ready_at_wait_poll), TEST(ready_at_wait_ppoll),
          TEST(ready_at_wait_select), TEST(ready_at_wait_pselect), TEST(ready_at_wait_epoll),
          TEST(ready_at_wait_epoll_pwait), TEST(ready_at_wait_accept), TEST(ready_at_wait_accept4),
          TEST(ready_at_wait_by_number), TEST(ready_at_wait_for_normal_data), TEST(ready_at_wait_by_copy),
          TEST(ready_at_wait_by_dup), TEST(ready_at_wait_by_dup2), TEST(ready_at_wait_by_dup3),
          TEST(ready_once_when_threads_race), TEST(closed_listener_is_forgotten), TEST(inherited_listener_is_seen),
          TEST(records_tell_what_the_caller_saw), TEST(calls_that_nobody_names_add_no_system_call),
          TEST(rule_that_does_not_fire_adds_no_system_call), TEST(without_a_session_no_system_call_is_added))
