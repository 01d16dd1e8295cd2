/* Processes, exec, and ways out of a call that leave no return: what breaks preloaded libraries. */
#include "shim_case.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct event_process *process_of(size_t i)
{
    return (const void *)shim_find(EVENT_PROCESS, CALL_NONE, i)->payload;
}

static pid_t pid_of(enum event_kind kind, enum call call, size_t i)
{
    return shim_find(kind, call, i)->event.pid;
}

/* --- fork, vfork, clone */

static void child_has_its_own_pid(struct session_board *session)
{
    pid_t parent = pid_of(EVENT_PROCESS, CALL_NONE, 0), child = pid_of(EVENT_PROCESS, CALL_NONE, 1);
    assert_int_equal(session->board->attached, 1);
    assert_int_equal(shim_count(EVENT_PROCESS, CALL_NONE), 2);
    assert_true(child != parent);
    assert_int_equal(process_of(0)->forked, 0);
    assert_int_equal(process_of(1)->forked, 1);
    assert_int_equal(process_of(1)->ppid, parent);
    assert_int_equal(shim_count(EVENT_CALL, CALL_accept4), 3);
    size_t of_child = 0;
    for (size_t i = 0; i < 3; i++) {
        const struct event *event = &shim_find(EVENT_CALL, CALL_accept4, i)->event;
        of_child += event->pid == child;
        assert_true(event->pid == child || event->pid == parent);
        assert_int_equal(event->tid, event->pid);
    }
    assert_int_equal(of_child, 1);
}

static void call_around(pid_t (*start)(void))
{
    assert_fails(accept4(-1, NULL, NULL, 0), EBADF);
    pid_t pid = start();
    if (pid == 0)
        _exit(accept4(-1, NULL, NULL, 0) == -1 && errno == EBADF ? 5 : 6);
    shim_reap(pid, 5);
    assert_fails(accept4(-1, NULL, NULL, 0), EBADF);
}

SHIM_TEST(forked_child_is_a_process_of_its_own, .record = RECORD(accept4), .check = child_has_its_own_pid)
{
    call_around(fork);
}

static pid_t raw_clone(void)
{
    return (pid_t)syscall(SYS_clone, (unsigned long)SIGCHLD, NULL, NULL, NULL, NULL);
}

SHIM_TEST(raw_clone_is_a_process_of_its_own, .record = RECORD(accept4), .check = child_has_its_own_pid)
{
    call_around(raw_clone);
}

static pid_t clone3_without_libc(void)
{
    struct clone_args arguments = {.exit_signal = SIGCHLD};
    return (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
}

SHIM_TEST(clone3_is_a_process_of_its_own, .record = RECORD(accept4), .check = child_has_its_own_pid)
{
    call_around(clone3_without_libc);
}

/* --- What a daemon does to itself before it forks its workers: the board is mapped, and needs neither path nor user. */

SHIM_TEST(chroot_leaves_it_in_the_session, .record = RECORD(accept4), .check = child_has_its_own_pid)
{
    char folder[] = "/tmp/snag-chroot.XXXXXX";
    int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(rmdir(folder), 0);
    if (chroot(".") != 0)
        assert_int_equal(errno, EPERM);
    call_around(fork);
    /* LeakSanitizer needs /proc when the process ends. */
    assert_int_equal(fchdir(root), 0);
    if (chroot(".") != 0)
        assert_int_equal(errno, EPERM);
    close(root);
}

SHIM_TEST(dropped_privileges_leave_it_in_the_session, .record = RECORD(accept4), .check = child_has_its_own_pid)
{
    enum { NOBODY = 65534 };
    if (setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 || setresuid(NOBODY, NOBODY, NOBODY) != 0)
        assert_int_equal(errno, EPERM);
    call_around(fork);
}

static void child_shows_its_parents_pid(struct session_board *session)
{
    pid_t parent = pid_of(EVENT_PROCESS, CALL_NONE, 0);
    (void)session;
    assert_int_equal(shim_count(EVENT_PROCESS, CALL_NONE), 1);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pid_of(EVENT_CALL, CALL_accept4, i), parent);
}

SHIM_TEST(vfork_child_shows_its_parents_pid, .record = RECORD(accept4), .check = child_shows_its_parents_pid)
{
    assert_fails(accept4(-1, NULL, NULL, 0), EBADF);
    pid_t pid = vfork();
    if (pid == 0)
        _exit(accept4(-1, NULL, NULL, 0) == -1 && errno == EBADF ? 5 : 6);
    shim_reap(pid, 5);
    assert_fails(accept4(-1, NULL, NULL, 0), EBADF);
}

enum { SHARERS = 3, SHARED_CALLS = 2000, SHARED_FAULTS = 1000, SHARER_STACK = 256 << 10 };

static void sharers_are_one_process(struct session_board *session)
{
    assert_tally(session->board, 0, (SHARERS + 1) * SHARED_CALLS, SHARED_FAULTS);
    assert_int_equal(session->board->attached, 1);
    assert_int_equal(shim_count(EVENT_PROCESS, CALL_NONE), 1);
}

static int call_beside_others(void *unused)
{
    int failed = 0;
    (void)unused;
    for (int i = 0; i < SHARED_CALLS; i++)
        failed += accept4(-1, NULL, NULL, 0) == -1;
    return failed == SHARED_CALLS ? 5 : 6;
}

/* As a vfork child, but nobody waits: all run at once, with the thread-local storage of the thread that made them. */
SHIM_TEST(processes_in_the_same_memory_count_together, .rules = RULES("accept4:error=ENOMEM:times=1000"),
          .check = sharers_are_one_process)
{
    static char stacks[SHARERS][SHARER_STACK] __attribute__((aligned(64)));
    pid_t pids[SHARERS];
    for (int i = 0; i < SHARERS; i++) {
        pids[i] = clone(call_beside_others, stacks[i] + SHARER_STACK, CLONE_VM | SIGCHLD, NULL);
        assert_true(pids[i] > 0);
    }
    assert_int_equal(call_beside_others(NULL), 5);
    for (int i = 0; i < SHARERS; i++)
        shim_reap(pids[i], 5);
}

/* --- exec: what a program is started with, by each function, from an environment that lacks ours */

enum { OUTPUT = 8192 };

/* The ways to start env(1), which prints its environment.  Each is run in a child and does not return. */
static char *const no_environment[] = {NULL};
static char *const env_argv[] = {"env", NULL};
#define ENV "/usr/bin/env"

static void by_execve(void)
{
    execve(ENV, env_argv, no_environment);
}

static void by_execve_number(void)
{
    syscall(SYS_execve, ENV, env_argv, no_environment);
}

static void by_execve_null(void)
{
    execve(ENV, env_argv, NULL);
}

static void by_execv(void)
{
    clearenv();
    execv(ENV, env_argv);
}

static void by_execvp(void)
{
    clearenv();
    setenv("PATH", "/usr/bin:/bin", 1);
    execvp("env", env_argv);
}

static void by_execvpe(void)
{
    execvpe("env", env_argv, no_environment);
}

static void by_execl(void)
{
    clearenv();
    execl(ENV, "env", "A=1", "B=2", (char *)NULL);
}

static void by_execlp(void)
{
    clearenv();
    setenv("PATH", "/usr/bin:/bin", 1);
    execlp("env", "env", "A=1", (char *)NULL);
}

static void by_execle(void)
{
    char *const environment[] = {"PATH=/usr/bin:/bin", "GIVEN=by-execle", NULL};
    execle("/bin/sh", "sh", "-c", "test \"$1.$2.$GIVEN\" = a.b.by-execle && exec env", "0", "a", "b", (char *)NULL,
           environment);
}

static void by_fexecve(void)
{
    fexecve(open(ENV, O_RDONLY | O_CLOEXEC), env_argv, no_environment);
}

static void by_execveat(void)
{
    execveat(open("/usr/bin", O_PATH | O_CLOEXEC), "env", env_argv, no_environment, 0);
}

static void by_vfork(void)
{
    pid_t pid = vfork();
    if (pid == 0) {
        execve(ENV, env_argv, no_environment);
        _exit(1);
    }
    int status;
    waitpid(pid, &status, 0);
    _exit(WEXITSTATUS(status));
}

static void spawn_with(int (*spawn)(pid_t *, const char *, const posix_spawn_file_actions_t *,
                                    const posix_spawnattr_t *, char *const[], char *const[]),
                       const char *program)
{
    pid_t pid = 0;
    int status;
    if (spawn(&pid, program, NULL, NULL, env_argv, no_environment) != 0 || waitpid(pid, &status, 0) != pid)
        _exit(1);
    _exit(WEXITSTATUS(status));
}

static void by_spawn(void)
{
    spawn_with(posix_spawn, ENV);
}

static void by_spawnp(void)
{
    spawn_with(posix_spawnp, "env");
}

/* Runs START in a child whose standard output goes to OUT. */
static void output_of(void (*start)(void), char out[OUTPUT])
{
    int ends[2];
    ssize_t got;
    size_t length = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        start();
        _exit(127);
    }
    close(ends[1]);
    while ((got = read(ends[0], out + length, OUTPUT - 1 - length)) > 0)
        length += (size_t)got;
    out[length] = '\0';
    close(ends[0]);
    shim_reap(pid, 0);
}

/* NAME=VALUE is a line of TEXT, and the only one of that name. */
static void assert_variable(const char *text, const char *name, const char *value)
{
    char line[1024], copy[OUTPUT];
    int count = 0;
    snprintf(line, sizeof line, "%s=%s", name, value);
    snprintf(copy, sizeof copy, "%s", text);
    for (char *next, *at = strtok_r(copy, "\n", &next); at; at = strtok_r(NULL, "\n", &next))
        if (strncmp(at, name, strlen(name)) == 0 && at[strlen(name)] == '=') {
            assert_string_equal(at, line);
            count++;
        }
    if (count != 1)
        fail_msg("%s is there %d times: %s", name, count, text);
}

static void assert_put_back(void (*start)(void), const char *preload)
{
    char text[OUTPUT], shim[512];
    const char *board = shim_board()->board_path;
    shim_path("libsnag.so", shim, sizeof shim);
    setenv("TEST_MARK", "of the caller", 1);
    output_of(start, text);
    assert_null(strstr(text, "TEST_MARK")); /* no way here passes the caller's own environment on */
    assert_variable(text, "LD_PRELOAD", preload ? preload : shim);
    assert_variable(text, "SNAG_BOARD", board);
}

/* Each exec'd program was announced, and then attached; T_NS is in that order. */
static void each_exec_attached(struct session_board *session)
{
    size_t execs = shim_count(EVENT_EXEC, CALL_NONE), attached = 0;
    assert_int_equal(execs, 1);
    const struct event *exec = &shim_find(EVENT_EXEC, CALL_NONE, 0)->event;
    for (size_t i = 0; i < shim_count(EVENT_PROCESS, CALL_NONE); i++) {
        const struct event *process = &shim_find(EVENT_PROCESS, CALL_NONE, i)->event;
        if (process->pid == exec->pid && !process_of(i)->forked && strstr(process_of(i)->exe, "/env")) {
            assert_true(process->t_ns >= exec->t_ns);
            attached++;
        }
    }
    assert_int_equal(attached, 1);
    assert_int_equal(session->board->attached, 2);
    assert_int_equal(shim_count(EVENT_EXEC_FAILED, CALL_NONE), 0);
}

static void env_was_named(struct session_board *session)
{
    each_exec_attached(session);
    assert_non_null(strstr((const char *)shim_find(EVENT_EXEC, CALL_NONE, 0)->payload, "env"));
}

/* By way of a shell, which announces its own exec. */
static void shell_then_env(struct session_board *session)
{
    assert_int_equal(shim_count(EVENT_EXEC, CALL_NONE), 2);
    assert_int_equal(session->board->attached, 3);
}

#define EXEC_TEST(way, what) \
    SHIM_TEST(way##_puts_ours_back, .check = what) \
    { \
        assert_put_back(way, NULL); \
    }

EXEC_TEST(by_execve, env_was_named)
EXEC_TEST(by_execve_number, env_was_named)
EXEC_TEST(by_execve_null, env_was_named)
EXEC_TEST(by_execv, env_was_named)
EXEC_TEST(by_execvpe, env_was_named)
EXEC_TEST(by_execl, env_was_named)
EXEC_TEST(by_execle, shell_then_env)
EXEC_TEST(by_execveat, env_was_named)
EXEC_TEST(by_execvp, env_was_named)
EXEC_TEST(by_execlp, env_was_named)
EXEC_TEST(by_fexecve, each_exec_attached)
EXEC_TEST(by_vfork, env_was_named)
EXEC_TEST(by_spawn, env_was_named)
EXEC_TEST(by_spawnp, env_was_named)

static void with_other_preload(void)
{
    char other[512], variable[600];
    shim_path("preload_malloc.so", other, sizeof other);
    snprintf(variable, sizeof variable, "LD_PRELOAD=%s", other);
    char *const environment[] = {"X=1", variable, "SNAG_BOARD=/nonexistent", NULL};
    execve(ENV, env_argv, environment);
}

SHIM_TEST(exec_keeps_what_was_preloaded)
{
    char expected[1100], shim[512], other[512], text[OUTPUT];
    shim_path("libsnag.so", shim, sizeof shim);
    shim_path("preload_malloc.so", other, sizeof other);
    snprintf(expected, sizeof expected, "%s:%s", shim, other);
    assert_put_back(with_other_preload, expected);
    output_of(with_other_preload, text);
    assert_variable(text, "X", "1");
}

static void with_us_preloaded(void)
{
    char variable[1200];
    char shim[512], other[512];
    shim_path("libsnag.so", shim, sizeof shim);
    shim_path("preload_malloc.so", other, sizeof other);
    snprintf(variable, sizeof variable, "LD_PRELOAD=%s %s", other, shim);
    char *const environment[] = {variable, NULL};
    execve(ENV, env_argv, environment);
}

SHIM_TEST(exec_does_not_preload_us_twice)
{
    char expected[1100], shim[512], other[512];
    shim_path("libsnag.so", shim, sizeof shim);
    shim_path("preload_malloc.so", other, sizeof other);
    snprintf(expected, sizeof expected, "%s %s", other, shim);
    assert_put_back(with_us_preloaded, expected);
}

static void failures_were_told(struct session_board *session)
{
    static const int errors[] = {ENOENT, EACCES, ENOENT};
    (void)session;
    assert_int_equal(shim_count(EVENT_EXEC, CALL_NONE), 3);
    assert_int_equal(shim_count(EVENT_EXEC_FAILED, CALL_NONE), 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(shim_find(EVENT_EXEC_FAILED, CALL_NONE, i)->event.err, errors[i]);
    assert_string_equal(shim_find(EVENT_EXEC_FAILED, CALL_NONE, 0)->payload, "/nonexistent");
}

SHIM_TEST(exec_that_fails_is_told_and_keeps_errno, .check = failures_were_told)
{
    pid_t pid = 1;
    assert_fails(execve("/nonexistent", env_argv, no_environment), ENOENT);
    assert_fails(execl("/", "/", (char *)NULL), EACCES);
    assert_int_equal(setenv("PATH", "/bin:/usr/bin", 1), 0); /* a folder that may not be searched gives EACCES */
    assert_fails(execlp("no-such-program-anywhere", "x", (char *)NULL), ENOENT);
    assert_int_equal(posix_spawn(&pid, "/nonexistent", NULL, NULL, env_argv, no_environment), ENOENT);
    assert_int_equal(pid, 1);
}

/* execvp runs what has no #! by the shell. */
static char script[64];

static void by_execvp_script(void)
{
    char *const argv[] = {script, NULL};
    clearenv();
    execvp(script, argv);
}

SHIM_TEST(execvp_runs_a_plain_script)
{
    snprintf(script, sizeof script, "/tmp/snag-script-%d", (int)getpid());
    int fd = open(script, O_WRONLY | O_CREAT | O_EXCL, 0700);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, ENV "\n", sizeof ENV), sizeof ENV);
    assert_int_equal(close(fd), 0);
    assert_put_back(by_execvp_script, NULL);
    assert_int_equal(unlink(script), 0);
}

/* A list of arguments that is long comes through whole. */
static void by_many_arguments(void)
{
    execl("/bin/sh", "sh", "-c", "echo \"$#:$1:$9:${12}\"; exit 0", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9",
          "10", "11", "12", (char *)NULL);
}

SHIM_TEST(execl_passes_all_arguments)
{
    char text[OUTPUT];
    output_of(by_many_arguments, text);
    assert_string_equal(text, "12:1:9:12\n");
}

static void shells_attached(struct session_board *session)
{
    assert_true(session->board->attached >= 3);
}

SHIM_TEST(system_and_popen_work, .check = shells_attached, .rules = RULES("close:error=EIO:when=100000"))
{
    char word[16] = "";
    assert_int_equal(system("exit 3"), 3 << 8);
    FILE *pipe = popen("echo hello", "r");
    assert_non_null(pipe);
    assert_non_null(fgets(word, sizeof word, pipe));
    assert_string_equal(word, "hello\n");
    assert_int_equal(pclose(pipe), 0);
}

/* --- Ways out of a call */

static sigjmp_buf out;
static volatile sig_atomic_t wakes;

static void jump(int number)
{
    (void)number;
    siglongjmp(out, 1);
}

static void set_timer(void (*handler)(int), int us)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    struct itimerval often = {.it_interval.tv_usec = us, .it_value.tv_usec = us};
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
}

static void jumped_out(struct session_board *session)
{
    assert_tally(session->board, 0, 22, 21);
}

/* The rule consumes, so the shim has work to do after the real call, which never comes back. */
SHIM_TEST(siglongjmp_leaves_a_blocking_accept, .rules = RULES("accept4:error=ECONNABORTED:times=21"),
          .check = jumped_out)
{
    volatile int round = 0;
    int listener = shim_listener(0);
    if (sigsetjmp(out, 1))
        round++;
    if (round < 20) {
        set_timer(jump, 2000);
        accept4(listener, NULL, NULL, 0);
        fail();
    }
    set_timer(SIG_IGN, 0);
    int first = shim_client(listener), second = shim_client(listener);
    assert_fails(accept4(listener, NULL, NULL, 0), ECONNABORTED);
    shim_assert_pair(second, accept4(listener, NULL, NULL, 0));
    shim_assert_reset(first);
    assert_int_equal(close(listener), 0);
}

static struct {
    int listener, other;
    int errors[8];
    volatile sig_atomic_t count;
} nested;

static void accept_in_handler(int number)
{
    int error = errno;
    (void)number;
    if (nested.count < 4)
        nested.errors[nested.count] = accept4(nested.other, NULL, NULL, 0) == -1 ? errno : 0;
    nested.count++;
    errno = error;
    if (nested.count == 6) {
        struct sockaddr_storage own;
        socklen_t length = sizeof own;
        int client = socket(AF_INET, SOCK_STREAM, 0);
        getsockname(nested.listener, (struct sockaddr *)&own, &length);
        connect(client, (struct sockaddr *)&own, length);
        nested.other = client; /* closed by the test */
    }
}

/* A handler that accepts while the main program is inside accept4: the calls know nothing of each other. */
SHIM_TEST(handler_accepts_in_the_middle_of_accept,
          .rules = RULES("accept4:error=ENOMEM:when=2..3", "accept4:socklen=0:when=1"), .record = RECORD(accept4))
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    int idle = nested.other = shim_listener(SOCK_NONBLOCK);
    nested.listener = shim_listener(0);
    set_timer(accept_in_handler, 3000);
    int fd = accept4(nested.listener, (struct sockaddr *)&peer, &length, 0);
    set_timer(SIG_IGN, 0);
    assert_true(fd >= 0);
    assert_int_equal(length, 0); /* the first call's rule, after all that came between */
    assert_int_equal(nested.errors[0], ENOMEM);
    assert_int_equal(nested.errors[1], ENOMEM);
    assert_int_equal(nested.errors[2], EAGAIN);
    assert_int_equal(nested.errors[3], EAGAIN);
    shim_assert_pair(nested.other, fd);
    assert_int_equal(close(idle), 0);
    assert_int_equal(close(nested.listener), 0);
}

static void *accept_forever(void *data)
{
    const int *listener = data;
    accept4(*listener, NULL, NULL, 0);
    return NULL;
}

SHIM_TEST(cancelled_accept_leaves_nothing_behind, .rules = RULES("accept4:error=ECONNABORTED:when=1..20"),
          .record = RECORD(accept4))
{
    int listener = shim_listener(0), open_before = shim_open_fds();
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        void *result = NULL;
        assert_int_equal(pthread_create(&thread, NULL, accept_forever, &listener), 0);
        if (i % 2) /* some are cancelled before they get there */
            usleep(500);
        assert_int_equal(pthread_cancel(thread), 0);
        assert_int_equal(pthread_join(thread, &result), 0);
        assert_ptr_equal(result, PTHREAD_CANCELED);
    }
    assert_int_equal(shim_open_fds(), open_before);
    atomic_store(&board_tally(shim_board(), 0)->matched, 1000);
    int client = shim_client(listener);
    shim_assert_pair(client, accept4(listener, NULL, NULL, 0));
    assert_int_equal(close(listener), 0);
}

SHIM_MAIN(TEST(forked_child_is_a_process_of_its_own), TEST(raw_clone_is_a_process_of_its_own),
          TEST(clone3_is_a_process_of_its_own), TEST(chroot_leaves_it_in_the_session),
          TEST(dropped_privileges_leave_it_in_the_session), TEST(vfork_child_shows_its_parents_pid),
          TEST(processes_in_the_same_memory_count_together), TEST(by_execve_puts_ours_back),
          TEST(by_execve_number_puts_ours_back), TEST(by_execve_null_puts_ours_back), TEST(by_execv_puts_ours_back),
          TEST(by_execvpe_puts_ours_back), TEST(by_execl_puts_ours_back), TEST(by_execle_puts_ours_back),
          TEST(by_execveat_puts_ours_back), TEST(by_execvp_puts_ours_back), TEST(by_execlp_puts_ours_back),
          TEST(by_fexecve_puts_ours_back), TEST(by_vfork_puts_ours_back), TEST(by_spawn_puts_ours_back),
          TEST(by_spawnp_puts_ours_back), TEST(exec_keeps_what_was_preloaded), TEST(exec_does_not_preload_us_twice),
          TEST(exec_that_fails_is_told_and_keeps_errno), TEST(execvp_runs_a_plain_script),
          TEST(execl_passes_all_arguments), TEST(system_and_popen_work), TEST(siglongjmp_leaves_a_blocking_accept),
          TEST(handler_accepts_in_the_middle_of_accept), TEST(cancelled_accept_leaves_nothing_behind))
