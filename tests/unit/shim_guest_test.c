/*
 * shim_guest_test.c - targets that libsnag.so must not harm: in a sandbox of their own, in the middle of a vfork, with
 * pointers to nowhere, with handlers that look at the stack.
 */
#include "shim_case.h"

#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static void not_injected(struct session_board *session)
{
    assert_int_equal(board_tally(session->board, 0)->injected, 0);
}

static void injected_once(struct session_board *session)
{
    assert_int_equal(board_tally(session->board, 0)->injected, 1);
}

/* --- A sandbox ---------------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t forbidden; /* the last system call that the sandbox caught */

static void caught(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    forbidden = info->si_syscall;
}

/* As libc's function, or as libseccomp does. */
static bool jail_by_syscall;

/* From here on, what the shim might ask the kernel for itself is caught; ERROR is what it gets. */
static void jail(unsigned short error)
{
    static const int numbers[] = {SYS_getsockname, SYS_getsockopt, SYS_getpid,    SYS_getppid,         SYS_gettid,
                                  SYS_prctl,       SYS_readlinkat, SYS_prlimit64, SYS_process_vm_readv};
    enum { COUNT = sizeof numbers / sizeof numbers[0] };
    struct sock_filter filter[COUNT + 3] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    };
    for (size_t i = 0; i < COUNT; i++)
        filter[i + 1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)numbers[i],
                                                     (unsigned char)(COUNT - i), 0);
    filter[COUNT + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    filter[COUNT + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
    if (error)
        filter[COUNT + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error);
    struct sock_fprog program = {COUNT + 3, filter};
    struct sigaction action = {.sa_sigaction = caught, .sa_flags = SA_SIGINFO};
    assert_int_equal(sigaction(SIGSYS, &action, NULL), 0);
    assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    if (jail_by_syscall)
        assert_int_equal(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program), 0);
    else
        assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void wait_in_jail(int listener, bool by_epoll)
{
    struct pollfd entry = {.fd = listener, .events = POLLIN};
    struct epoll_event event = {.events = EPOLLIN};
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    jail(0);
    if (by_epoll) {
        epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
        epoll_wait(epoll, &event, 1, 0);
    } else {
        poll(&entry, 1, 0);
    }
    _exit(forbidden ? 1 : atomic_load(&shim_board()->ready_ns) ? 0 : 2);
}

/* The process is one that has been looked at before it locks itself in: its listen() was. */
SHIM_TEST(first_poll_in_a_sandbox, .rules = RULES("bind:error=EACCES:when=5"), .check = not_injected)
{
    shim_board(); /* which asks for the environment's board: not in the jail */
    wait_in_jail(shim_listener(SOCK_NONBLOCK), false);
}

SHIM_TEST(first_epoll_wait_in_a_sandbox, .rules = RULES("bind:error=EACCES:when=5"), .check = not_injected)
{
    shim_board();
    wait_in_jail(shim_listener(SOCK_NONBLOCK), true);
}

/* sshd's way: a child that is not worth a word closes what it has inherited. */
SHIM_TEST(sandboxed_child_may_close, .rules = RULES("accept4:error=EMFILE"), .check = not_injected)
{
    int spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        jail(0);
        close(spare);
        _exit(forbidden != 0);
    }
    shim_reap(pid, 0);
    assert_int_equal(close(spare), 0);
}

/* In a sandbox that kills for it, the kernel is not asked whether the address can be written. */
static void tamper_in_jail(bool by_syscall)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    int listener = shim_listener(0), client = shim_client(listener);
    jail_by_syscall = by_syscall;
    jail(0);
    int fd = accept4(listener, (struct sockaddr *)&peer, &length, 0);
    _exit(fd >= 0 && client >= 0 && length == 0 && forbidden == 0 ? 0 : 1);
}

SHIM_TEST(tampering_in_a_sandbox, .rules = RULES("accept4:socklen=0"), .check = injected_once)
{
    tamper_in_jail(false);
}

SHIM_TEST(tampering_in_a_sandbox_of_libseccomp, .rules = RULES("accept4:socklen=0"), .check = injected_once)
{
    tamper_in_jail(true);
}

/* Whatever keeps the shim from asking whether a pointer is good, the connection is not to suffer from it. */
SHIM_TEST(tampering_where_the_kernel_does_not_answer, .rules = RULES("accept4:socklen=0"), .check = injected_once)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    int listener = shim_listener(0), client = shim_client(listener);
    jail(EACCES);
    int fd = accept4(listener, (struct sockaddr *)&peer, &length, 0);
    _exit(fd >= 0 && length == 0 && write(client, "x", 1) == 1 && read(fd, &peer, 1) == 1 ? 0 : 1);
}

/* --- vfork -------------------------------------------------------------------------------------------------------- */

/* What a launcher does in the child (Python's subprocess does): its descriptors are its own, its memory is ours. */
static void vfork_and_close(void)
{
    static char *const arguments[] = {"true", NULL};
    pid_t pid = vfork();
    if (pid == 0) {
        for (int fd = 3; fd < 64; fd++)
            close(fd);
        execv("/bin/true", arguments);
        _exit(1);
    }
    shim_reap(pid, 0);
}

SHIM_TEST(vfork_childs_closes_hide_no_listener)
{
    int listener = shim_listener(SOCK_NONBLOCK);
    struct pollfd entry = {.fd = listener, .events = POLLIN};
    vfork_and_close();
    assert_int_equal(poll(&entry, 1, 0), 0);
    assert_true(atomic_load(&shim_board()->ready_ns) != 0);
    assert_int_equal(close(listener), 0);
}

SHIM_TEST(vfork_childs_closes_count_for_nobody, .rules = RULES("accept4:error=ENFILE:when=1:per=fd:sticky"),
          .check = injected_once)
{
    int listener = shim_listener(SOCK_NONBLOCK);
    assert_fails(accept4(listener, NULL, NULL, 0), ENFILE);
    vfork_and_close();
    assert_fails(accept4(listener, NULL, NULL, 0), EAGAIN);
    assert_int_equal(close(listener), 0);
}

/* --- exec with odd arguments -------------------------------------------------------------------------------------- */

/* Through a pointer, for compilers and sanitizers know what execve wants, and must not know what it gets. */
static int (*volatile exec)(const char *, char *const[], char *const[]) = execve;

SHIM_TEST(exec_with_bad_pointers_is_refused)
{
    static char *const arguments[] = {"true", NULL};
    char *bad[] = {(char *)(uintptr_t)16, NULL};
    assert_fails(exec(NULL, arguments, environ), EFAULT);
    assert_fails(exec((const char *)(uintptr_t)16, arguments, environ), EFAULT);
    assert_fails(exec("/bin/true", arguments, (char *const *)(uintptr_t)16), EFAULT);
    assert_fails(exec("/bin/true", arguments, bad), EFAULT);
    assert_fails(syscall(SYS_execve, "/bin/true", arguments, bad), EFAULT);
}

enum { MANY = 12000, SMALL_STACK = 64 * 1024 };

static char *many[MANY + 1];

static void *start_with_many(void *status)
{
    static char *const arguments[] = {"sh", "-c", "test \"$LAST\" = yes && test -n \"$SNAG_BOARD\"", NULL};
    pid_t pid = vfork();
    if (pid == 0) {
        execve("/bin/sh", arguments, many);
        _exit(126);
    }
    waitpid(pid, status, 0);
    return NULL;
}

SHIM_TEST(large_environment_on_a_small_stack)
{
    pthread_attr_t attributes;
    pthread_t thread;
    int status = -1;
    for (int i = 0; i < MANY; i++)
        many[i] = i == MANY - 1 ? "LAST=yes" : "X=y";
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, SMALL_STACK);
    assert_int_equal(pthread_create(&thread, &attributes, start_with_many, &status), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    assert_int_equal(status, 0);
}

/* --- Handlers that look at the stack ------------------------------------------------------------------------------ */

enum { FRAMES = 64 };

static void *frames[FRAMES];
static volatile sig_atomic_t frame_count;

static void look_back(int signal)
{
    (void)signal;
    /* Safe here, once it has been called before: what the handler interrupts is our own nap. */
    frame_count = backtrace(frames, FRAMES); /* NOLINT(bugprone-signal-handler) */
}

/* Returns where it returns to, which a handler that runs inside must be able to see. */
__attribute__((noinline)) static void *accept_slowly(int listener)
{
    assert_fails(accept4(listener, NULL, NULL, 0), EAGAIN);
    return __builtin_return_address(0);
}

static bool is_on_stack(const void *address)
{
    for (int i = 0; i < frame_count; i++)
        if (frames[i] == address)
            return true;
    return false;
}

/* Exceptions that a handler throws, and cancellation, go the same way as a backtrace. */
SHIM_TEST(handler_in_a_delay_sees_the_whole_stack, .rules = RULES("accept4:delay_enter=300ms"), .check = injected_once)
{
    struct itimerval soon = {.it_value = {.tv_usec = 30000}};
    int listener = shim_listener(SOCK_NONBLOCK);
    backtrace(frames, 1); /* loads what it needs */
    signal(SIGALRM, look_back);
    assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
    void *caller = accept_slowly(listener);
    assert_true(frame_count > 0);
    assert_true(is_on_stack(caller));
    assert_int_equal(close(listener), 0);
}

SHIM_TEST(handler_of_an_injected_signal_sees_the_whole_stack, .rules = RULES("accept4:signal=USR1"),
          .check = injected_once)
{
    int listener = shim_listener(SOCK_NONBLOCK);
    backtrace(frames, 1);
    signal(SIGUSR1, look_back);
    void *caller = accept_slowly(listener);
    assert_true(is_on_stack(caller));
    assert_int_equal(close(listener), 0);
}

/* --- accept4, and the accept that it falls back to ---------------------------------------------------------------- */

/* The rule names accept4 alone, and still is about the whole logical call. */
SHIM_TEST(einval_is_repeated_though_accept_is_not_named, .rules = RULES("accept4:error=EINVAL:when=1"),
          .check = injected_once)
{
    int listener = shim_listener(SOCK_NONBLOCK);
    assert_fails(accept4(listener, NULL, NULL, 0), EINVAL);
    assert_fails(accept(listener, NULL, NULL), EINVAL);
    assert_fails(accept(listener, NULL, NULL), EAGAIN);
    assert_int_equal(close(listener), 0);
}

static void counted_twice(struct session_board *session)
{
    assert_tally(session->board, 0, 2, 1);
}

SHIM_TEST(fallback_ends_with_the_descriptor, .rules = RULES("%accept:error=EINVAL:when=1"), .check = counted_twice)
{
    int listener = shim_listener(SOCK_NONBLOCK);
    assert_fails(accept4(listener, NULL, NULL, 0), EINVAL);
    assert_int_equal(close(listener), 0);
    assert_int_equal(shim_listener(SOCK_NONBLOCK), listener); /* another socket under the same number */
    assert_fails(accept(listener, NULL, NULL), EAGAIN);
    assert_int_equal(close(listener), 0);
}

SHIM_TEST(fallback_ends_at_a_wait, .rules = RULES("%accept:error=EINVAL:when=1"), .check = counted_twice)
{
    int listener = shim_listener(SOCK_NONBLOCK);
    struct pollfd entry = {.fd = listener, .events = POLLIN};
    assert_fails(accept4(listener, NULL, NULL, 0), EINVAL);
    assert_int_equal(poll(&entry, 1, 0), 0);
    assert_fails(accept(listener, NULL, NULL), EAGAIN);
    assert_int_equal(close(listener), 0);
}

SHIM_TEST(fallback_ends_when_the_number_is_replaced, .rules = RULES("%accept:error=EINVAL:when=1"),
          .check = counted_twice)
{
    int listener = shim_listener(SOCK_NONBLOCK), other = shim_listener(SOCK_NONBLOCK);
    assert_fails(accept4(listener, NULL, NULL, 0), EINVAL);
    assert_int_equal(dup2(other, listener), listener);
    assert_fails(accept(listener, NULL, NULL), EAGAIN);
    assert_int_equal(close(listener), 0);
    assert_int_equal(close(other), 0);
}

/* An accept that no rule is about takes the short way through the shim, unless it is this that it has to end. */
SHIM_TEST(fallback_ends_at_another_descriptor, .rules = RULES("%accept:error=EINVAL:when=1"), .check = counted_twice)
{
    int listener = shim_listener(SOCK_NONBLOCK), other = shim_listener(SOCK_NONBLOCK);
    board_watch_ready(shim_board(), false);
    board_rules(shim_board(), 0)[0].filters |= IF_FD;
    board_rules(shim_board(), 0)[0].fd = listener;
    assert_fails(accept4(listener, NULL, NULL, 0), EINVAL);
    assert_fails(accept(other, NULL, NULL), EAGAIN);
    assert_fails(accept(listener, NULL, NULL), EAGAIN);
    assert_int_equal(close(listener), 0);
    assert_int_equal(close(other), 0);
}

SHIM_MAIN(TEST(first_poll_in_a_sandbox), TEST(first_epoll_wait_in_a_sandbox), TEST(sandboxed_child_may_close),
          TEST(tampering_in_a_sandbox_of_libseccomp), TEST(vfork_childs_closes_hide_no_listener),
          TEST(tampering_in_a_sandbox), TEST(tampering_where_the_kernel_does_not_answer),
          TEST(vfork_childs_closes_count_for_nobody), TEST(exec_with_bad_pointers_is_refused),
          TEST(large_environment_on_a_small_stack), TEST(handler_in_a_delay_sees_the_whole_stack),
          TEST(handler_of_an_injected_signal_sees_the_whole_stack), TEST(einval_is_repeated_though_accept_is_not_named),
          TEST(fallback_ends_with_the_descriptor), TEST(fallback_ends_at_a_wait),
          TEST(fallback_ends_when_the_number_is_replaced), TEST(fallback_ends_at_another_descriptor))
