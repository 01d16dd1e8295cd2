/* shim_site_test.c - call sites: who made a call, as the shim finds out in a process that it must not disturb. */
#include <alloca.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <link.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "shim_case.h"

enum { FAR_TOO_LONG = 60 }; /* seconds, after which a process of these tests ends itself */

/* --- The first process. */

/* The calls that are recorded get their sites. */
static void with_sites(struct session_board *session)
{
    session->board->sites = 1;
    for (enum call call = 0; call < CALL_COUNT; call++)
        if (session->board->wanted[call] & (WANT_RECORD | WANT_RULE))
            session->board->wanted[call] |= WANT_SITE;
}

#define SITE_TEST(name, ...) SHIM_TEST(name, .record = RECORD(accept), .arrange = with_sites, __VA_ARGS__)

/* The site of the record number I of accept. */
static uint64_t site(size_t i)
{
    return shim_find(EVENT_CALL, CALL_accept, i)->event.site;
}

static struct stack *stack_of(struct session_board *session, uint64_t id)
{
    for (uint32_t i = 0; i < STACK_MAX; i++)
        if (id != 0 && board_stack(session->board, i)->id == id)
            return board_stack(session->board, i);
    fail_msg("no stack %016" PRIx64, id);
    return NULL;
}

/* The base name of the file that frame I of the stack ID is in. */
static const char *module_of(struct session_board *session, uint64_t id, int i)
{
    uint16_t module = frame_module(stack_of(session, id)->frames[i]);
    if (module == MODULE_NONE)
        return "";
    const char *path = board_module(session->board, module)->path;
    return strrchr(path, '/') + 1;
}

/* How many calls there are with a site, and how many without. */
static size_t count_sites(bool known)
{
    size_t count = 0;
    for (size_t i = 0; i < shim_event_count; i++)
        count += shim_events[i].event.kind == EVENT_CALL && (shim_events[i].event.site != 0) == known;
    return count;
}

/* All calls have the same site. */
static void check_one_site(struct session_board *session)
{
    assert_true(shim_count(EVENT_CALL, CALL_accept) > 1);
    assert_int_not_equal(site(0), 0);
    for (size_t i = 1; i < shim_count(EVENT_CALL, CALL_accept); i++)
        assert_int_equal(site(i), site(0));
    assert_int_equal(session->board->unwalked, 0);
}

/* --- Bodies' helpers. */

#define APART __attribute__((noinline, noipa))

/* Calls accept DEPTH functions further in: another call site for each DEPTH. */
APART static int accept_at(int depth)
{
    static int (*volatile further_in)(int) = accept_at;
    int ret = depth ? further_in(depth - 1) : accept(-1, NULL, NULL);
    __asm__ volatile("" ::: "memory");
    return ret;
}

static int accept_by(unsigned way);

APART static int turn_left(unsigned way)
{
    int ret = accept_by(way);
    __asm__ volatile("" ::: "memory");
    return ret;
}

APART static int turn_right(unsigned way)
{
    int ret = accept_by(way);
    __asm__ volatile("" ::: "memory");
    return ret;
}

/* Calls accept at another call site for each WAY from 1 on. */
APART static int accept_by(unsigned way)
{
    static int (*const volatile turns[])(unsigned) = {turn_left, turn_right};
    int ret = way <= 1 ? accept(-1, NULL, NULL) : turns[way & 1](way >> 1);
    __asm__ volatile("" ::: "memory");
    return ret;
}

/* accept_at(), from one place for all who use it. */
APART static int accept_here(int depth)
{
    int ret = accept_at(depth);
    __asm__ volatile("" ::: "memory");
    return ret;
}

/* --- What a site is. */

static void check_depths(struct session_board *session)
{
    assert_int_equal(shim_count(EVENT_CALL, CALL_accept), 4);
    assert_int_not_equal(site(0), 0);
    assert_int_equal(site(0), site(1));
    assert_int_equal(site(1), site(2));
    assert_int_not_equal(site(2), site(3));
    assert_int_equal(session->board->unwalked, 0);
    assert_int_equal(session->board->no_unwinder, 0);
    assert_int_equal(stack_of(session, site(0))->call, CALL_accept);
    assert_int_equal(stack_of(session, site(0))->count + 1, stack_of(session, site(3))->count);
    assert_string_equal(module_of(session, site(0), 0), "shim_site_test");
    for (int i = 0; i < stack_of(session, site(0))->count; i++) {
        assert_null(strstr(module_of(session, site(0), i), "libc.so"));
        assert_null(strstr(module_of(session, site(0), i), "libsnag"));
    }
}

SITE_TEST(a_site_is_a_stack, .check = check_depths)
{
    static const volatile int depths[] = {4, 4, 4, 5};
    for (int i = 0; i < 4; i++)
        accept_at(depths[i]);
}

static void check_32_frames(struct session_board *session)
{
    check_one_site(session);
    assert_int_equal(stack_of(session, site(0))->count, STACK_FRAMES);
    assert_int_equal(session->board->stacks_lost, 0);
}

SITE_TEST(only_32_frames_are_kept, .check = check_32_frames)
{
    for (int depth = 40; depth < 2000; depth += 40)
        accept_at(depth);
}

enum { IMAGE = 128 }; /* words of a stack */

static uint64_t image[IMAGE];

/* Copies words that are none of the copier's business. */
__attribute__((no_sanitize_address, no_sanitize_undefined)) static void copy_words(volatile uint64_t *to,
                                                                                   const volatile uint64_t *from)
{
    for (int i = 0; i < IMAGE; i++)
        to[i] = from[i]; /* NOLINT(clang-analyzer-core.uninitialized.Assign): leftovers are what this is about */
}

/*
 * A function whose frame has another size for each SIZE.  A small one keeps what lies from its array on outward, frames of
 * its callers included; a large one has just that in its array: leftovers, as they are in every uninitialized array.
 */
APART static int accept_behind_array(size_t size)
{
    uint64_t *array = alloca(size);
    bool small = size < sizeof image;
    copy_words(small ? image : array, small ? array : image);
    int ret = accept_at(1);
    __asm__ volatile("" ::"r"(array) : "memory");
    return ret;
}

SITE_TEST(arrays_on_the_stack_make_no_other_site, .check = check_one_site)
{
    for (volatile size_t i = 0; i < 300; i++)
        accept_behind_array(16 + i * 37 % 5000);
}

/* Behind a filter, as the shim takes what is tried here for one, no stack is walked: those that have a site are known. */
SITE_TEST(a_place_with_thousands_of_stacks_knows_them_all, .check = check_one_site)
{
    for (volatile size_t round = 0; round < 2; round++) {
        for (volatile size_t i = 0; i < 3000; i++)
            accept_behind_array(2048 + i * 16);
        assert_int_equal(prctl(PR_SET_SECCOMP, -1), -1);
    }
}

APART static int accept_elsewhere(size_t size)
{
    int ret = accept_behind_array(size);
    __asm__ volatile("" ::: "memory");
    return ret;
}

static void check_two_sites(struct session_board *session)
{
    assert_int_equal(shim_count(EVENT_CALL, CALL_accept), 2);
    assert_int_not_equal(site(0), site(1));
    assert_int_equal(count_sites(true), 2);
    assert_int_equal(stack_of(session, site(1))->count, stack_of(session, site(0))->count + 1);
}

/* In a thread, whose whole stack is in the image. */
static void *leave_leftovers(void *data)
{
    assert_fails(accept_behind_array(16), EBADF);
    assert_fails(accept_elsewhere(2 * sizeof image), EBADF); /* one function further in, as the check knows */
    return data;
}

SITE_TEST(leftovers_of_another_stack_are_not_taken_for_it, .check = check_two_sites)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, leave_leftovers, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void check_ways(struct session_board *session)
{
    enum { WAYS = 500 };
    assert_int_equal(shim_count(EVENT_CALL, CALL_accept), 2 * WAYS);
    for (size_t i = 0; i < WAYS; i++) {
        assert_int_equal(site(i), site(i + WAYS));
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(site(i), site(j));
    }
    assert_int_equal(session->board->unwalked, 0);
}

SITE_TEST(each_way_is_another_site, .check = check_ways)
{
    for (volatile unsigned i = 0; i < 1000; i++)
        accept_by(1 + i % 500);
}

/* --- Equal in each run. */

static void spawn(const char *program, char *const environment[])
{
    char path[4096];
    pid_t pid;
    shim_path(program, path, sizeof path);
    assert_int_equal(posix_spawn(&pid, path, NULL, NULL, (char *[]){path, NULL}, environment), 0);
    shim_reap(pid, 0);
}

/* Each process made the same calls. */
static void check_runs(struct session_board *session)
{
    enum { CALLS = 4, RUNS = 6 };
    assert_int_equal(shim_count(EVENT_CALL, CALL_accept), CALLS * RUNS);
    for (size_t i = 0; i < CALLS * RUNS; i++) {
        size_t kind = i / (CALLS * RUNS / 2) * (CALLS * RUNS / 2); /* half of the runs are of another program */
        assert_int_not_equal(site(i), 0);
        assert_int_equal(site(i), site(kind + i % CALLS));
    }
    assert_int_not_equal(site(0), site(CALLS * RUNS / 2));
    assert_int_equal(session->board->unwalked, 0);
}

/* Loaded at other addresses each time, or always at its own. */
SITE_TEST(sites_are_equal_from_run_to_run, .check = check_runs)
{
    for (int i = 0; i < 3; i++)
        spawn("sites", environ);
    for (int i = 0; i < 3; i++)
        spawn("sites_exec", environ);
}

static void check_deleted(struct session_board *session)
{
    assert_int_equal(shim_count(EVENT_CALL, CALL_accept), 8);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(site(i), site(4 + i));
    assert_string_equal(module_of(session, site(0), 0), "sites");
}

/* Copies the file FROM to the program TO; returns a descriptor to run it by. */
static int copy_program(const char *from, const char *to)
{
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    assert_true(in >= 0 && out >= 0);
    while (sendfile(out, in, NULL, 1 << 20) > 0)
        ;
    close(in);
    close(out);
    return open(to, O_RDONLY | O_CLOEXEC);
}

/* As after an upgrade, with the old one still running. */
SITE_TEST(a_program_that_was_deleted_keeps_its_sites, .check = check_deleted)
{
    char path[4096], copy[] = "/tmp/snag-test-XXXXXX", program[64];
    char *const arguments[] = {program, NULL};
    assert_non_null(mkdtemp(copy));
    snprintf(program, sizeof program, "%s/sites", copy);
    shim_path("sites", path, sizeof path);
    for (volatile int deleted = 0; deleted < 2; deleted++) {
        pid_t pid = fork();
        if (pid == 0) {
            int fd = copy_program(path, program);
            if (deleted)
                unlink(program);
            fexecve(fd, arguments, environ);
            _exit(127);
        }
        shim_reap(pid, 0);
    }
    assert_int_equal(unlink(program), -1);
    assert_int_equal(rmdir(copy), 0);
}

SITE_TEST(sites_are_equal_in_forked_children, .check = check_one_site)
{
    /* A child before the way is known, one that inherits it, and their own children. */
    static volatile int round;
    for (round = 0; round < 3; round++) {
        volatile pid_t pid = round < 2 ? fork() : -1;
        if (pid == 0 && fork() > 0)
            wait(NULL);
        if (round != 1)
            accept_here(3);
        if (pid == 0)
            _exit(0);
        if (pid > 0)
            shim_reap(pid, 0);
    }
}

/* --- Rules. */

static void check_per_site(struct session_board *session)
{
    assert_tally(session->board, 0, 9, 3);
}

/* Each site's second call fails, whichever process makes it. */
SHIM_TEST(per_site_counts_each_site, .rules = RULES("accept:error=EMFILE:sticky:per=site:when=2"),
          .arrange = with_sites, .check = check_per_site)
{
    static const struct {
        int depth, error;
        bool in_child;
    } calls[] = {{1, EBADF, false}, {2, EBADF, false}, {2, EMFILE, false}, {3, EBADF, false}, {1, EMFILE, true},
                 {3, EMFILE, true}, {1, EBADF, true},  {3, EBADF, false},  {2, EBADF, false}};
    for (volatile size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        volatile pid_t pid = calls[i].in_child ? fork() : 0;
        if (pid == 0)
            assert_fails(accept_here(calls[i].depth), calls[i].error);
        if (pid == 0 && calls[i].in_child)
            _exit(0);
        if (pid > 0)
            shim_reap(pid, 0);
    }
}

/* The one call site that there is. */
static uint64_t only_site(struct board *board)
{
    uint64_t id = 0;
    for (uint32_t i = 0; i < STACK_MAX; i++) {
        uint64_t found = board_stack(board, i)->id;
        assert_true(id == 0 || found == 0);
        id = found ? found : id;
    }
    return id;
}

SHIM_TEST(site_is_one_call_site, .rules = RULES("accept:error=EMFILE:sticky:site=00000000000000ff"),
          .arrange = with_sites)
{
    for (volatile int i = 0; i < 6; i++) {
        assert_fails(accept_here(i % 2), i == 2 || i == 4 ? EMFILE : EBADF);
        if (i == 0)
            board_rules(shim_board(), 0)->site = only_site(shim_board());
    }
}

/* What snag does: looks into each module, and finds all that the pattern asks for in that of this program. */
static void resolve_module(struct board *board, uint16_t index)
{
    struct module *module = board_module(board, index);
    if (module->state != MODULE_NAMED || module->resolved)
        return;
    if (strstr(module->path, "shim_site_test")) {
        *board_range(board, 0) = (struct range){1, UINT64_C(1) << 47, index, 0, 0};
        board->range_count = 1;
        board->range_generation++;
    }
    module->resolved = board->pattern_count;
}

static _Atomic bool resolver_ends;
static pthread_t resolver;

static void *resolve(void *data)
{
    struct board *board = data;
    while (!resolver_ends) {
        for (uint32_t i = 0; i < board->module_count; i++)
            resolve_module(board, (uint16_t)i);
        usleep(1000);
    }
    return data;
}

static void with_resolver(struct session_board *session)
{
    with_sites(session);
    assert_int_equal(pthread_create(&resolver, NULL, resolve, session->board), 0);
}

static void check_resolved(struct session_board *session)
{
    resolver_ends = true;
    assert_int_equal(pthread_join(resolver, NULL), 0);
    assert_tally(session->board, 0, 1, 1);
    assert_int_equal(session->board->unresolved, 0);
}

/* The program does not begin before its modules are known. */
SHIM_TEST(a_rule_for_a_function_acts_on_the_first_call, .rules = RULES("accept:error=EMFILE:sticky:caller=accept_at"),
          .arrange = with_resolver, .check = check_resolved)
{
    assert_fails(accept_here(0), EMFILE);
}

static void without_snag(struct session_board *session)
{
    with_sites(session);
    *session->lease = 0;
}

/* Nobody looks into its modules: it is not held up. */
SHIM_TEST(a_program_does_not_wait_for_a_snag_that_is_gone, .rules = RULES("accept:error=EMFILE:stack=main"),
          .arrange = without_snag)
{
    assert_fails(accept_here(0), EBADF);
}

/* How long the wait is, at most, is no matter of this test: the rule does not act, and that is counted. */
static void check_unresolved(struct session_board *session)
{
    assert_tally(session->board, 0, 0, 0);
    assert_int_equal(session->board->unresolved, 2);
}

/* The lease comes back behind the constructor. */
SHIM_TEST(calls_before_a_module_is_resolved_are_counted, .rules = RULES("accept:error=EMFILE:stack=main"),
          .arrange = without_snag, .check = check_unresolved)
{
    *(_Atomic uint32_t *)(void *)shim_board()->lease_mutex = 1;
    for (volatile int i = 0; i < 2; i++)
        assert_fails(accept_here(0), EBADF);
}

/* --- What must not be disturbed. */

static void check_all_have_sites(struct session_board *session)
{
    assert_int_equal(count_sites(false), 0);
    assert_true(count_sites(true) > 0);
    assert_int_equal(session->board->unwalked, 0);
    assert_int_equal(session->board->stacks_lost, 0);
}

static bool is_pipe(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode);
}

/* What libunwind reads is not the clients' data, and what it writes does not go to them. */
SITE_TEST(a_daemon_that_reuses_all_descriptors_keeps_its_data, .check = check_all_have_sites)
{
    enum { PAIRS = 40 };
    int pairs[PAIRS][2];
    char data[8];
    for (int fd = 3; fd < 10; fd++)
        assert_false(is_pipe(fd)); /* libunwind's own */
    accept_at(1);
    assert_int_equal(close_range(3, ~0u, 0), 0);
    for (int i = 0; i < PAIRS; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pairs[i]), 0);
        assert_int_equal(write(pairs[i][0], "to 1", 4), 4);
        assert_int_equal(write(pairs[i][1], "to 0", 4), 4);
    }
    for (unsigned way = 1; way < 100; way++)
        accept_by(way);
    for (int i = 0; i < PAIRS; i++) {
        assert_int_equal(read(pairs[i][0], data, sizeof data), 4);
        assert_memory_equal(data, "to 0", 4);
        assert_int_equal(read(pairs[i][1], data, sizeof data), 4);
        assert_memory_equal(data, "to 1", 4);
    }
    assert_int_equal(dup(0), 3 + 2 * PAIRS);
}

static struct {
    int inside[2], leave[2];
} loader;

static int stay_inside(struct dl_phdr_info *info, size_t size, void *data)
{
    char byte = 0;
    (void)info, (void)size, (void)data;
    if (write(loader.inside[1], "x", 1) != 1 || read(loader.leave[0], &byte, 1) != 1)
        abort();
    return 1;
}

static void *iterate(void *data)
{
    dl_iterate_phdr(stay_inside, NULL);
    return data;
}

/* The child finds the loader's lock taken by a thread that it has not. */
SITE_TEST(a_fork_during_dl_iterate_phdr_has_sites, .check = check_all_have_sites)
{
    pthread_t thread;
    char byte;
    assert_int_equal(pipe(loader.inside), 0);
    assert_int_equal(pipe(loader.leave), 0);
    assert_int_equal(pthread_create(&thread, NULL, iterate, NULL), 0);
    assert_int_equal(read(loader.inside[0], &byte, 1), 1);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(FAR_TOO_LONG);
        accept_at(7);
        _exit(0);
    }
    shim_reap(pid, 0);
    assert_int_equal(write(loader.leave[1], "x", 1), 1);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static _Atomic bool crowd_ends;

/* New stacks all the time, so that this thread is inside libunwind most of it. */
static void *walk_all_the_time(void *data)
{
    for (unsigned way = 1; !crowd_ends; way = way % 2000 + 1)
        accept_by(way);
    return data;
}

/* Only the children's calls are to be looked at: their parent made more than the rings hold. */
static void check_children(struct session_board *session)
{
    const struct event *parent = NULL;
    size_t calls = 0;
    for (size_t i = 0; i < shim_count(EVENT_PROCESS, CALL_NONE); i++) {
        const struct shim_event *process = shim_find(EVENT_PROCESS, CALL_NONE, i);
        if (!((const struct event_process *)(const void *)process->payload)->forked)
            parent = &process->event;
    }
    assert_non_null(parent);
    const int32_t pid = parent ? parent->pid : 0;
    for (size_t i = 0; i < shim_event_count; i++) {
        const struct event *event = &shim_events[i].event;
        if (event->kind != EVENT_CALL || event->pid == pid)
            continue;
        assert_int_not_equal(event->site, 0);
        calls++;
    }
    assert_int_equal(calls, 100);
    assert_int_equal(session->board->unwalked, 0);
}

SITE_TEST(a_fork_in_the_middle_of_a_walk_has_sites, .check = check_children, .rings = 64)
{
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, walk_all_the_time, NULL), 0);
    for (unsigned i = 0; i < 100; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            alarm(FAR_TOO_LONG);
            accept_by(3000 + i);
            _exit(0);
        }
        shim_reap(pid, 0);
    }
    crowd_ends = true;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void fork_once(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    shim_reap(pid, 0);
}

static void fork_in_handler(int signal)
{
    int error = errno;
    (void)signal;
    fork_once();
    errno = error;
}

static void *accept_at_new_sites(void *data)
{
    for (int depth = 1; depth <= 5; depth++)
        accept_at(depth);
    return data;
}

/* A lock that was left behind would be waited for by each of the thread's calls, in vain. */
SITE_TEST(a_fork_in_the_middle_of_a_fork_leaves_no_lock, .check = check_all_have_sites)
{
    struct sigaction action = {.sa_handler = fork_in_handler, .sa_flags = SA_RESTART};
    pthread_t thread;
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    for (int i = 0; i < 400; i++) {
        struct itimerval soon = {.it_value.tv_usec = 1 + i * 7 % 200};
        assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
        fork_once();
    }
    assert_true(signal(SIGALRM, SIG_IGN) != SIG_ERR);
    assert_int_equal(pthread_create(&thread, NULL, accept_at_new_sites, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void check_nothing_hung(struct session_board *session)
{
    (void)session;
}

/* No handler of fork() runs here: the child may be without sites, but goes on. */
SITE_TEST(a_raw_clone_in_the_middle_of_a_walk_goes_on, .check = check_nothing_hung, .rings = 64)
{
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, walk_all_the_time, NULL), 0);
    for (unsigned i = 0; i < 100; i++) {
        pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
        if (pid == 0) {
            alarm(FAR_TOO_LONG);
            accept_by(3000 + i);
            _exit(0);
        }
        shim_reap(pid, 0);
    }
    crowd_ends = true;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void *accept_once(void *data)
{
    accept_at(2);
    return data;
}

static void check_thousands(struct session_board *session)
{
    assert_int_equal(shim_count(EVENT_CALL, CALL_accept), 4000);
    check_one_site(session);
}

SITE_TEST(threads_by_the_thousand_have_sites, .check = check_thousands, .rings = 64)
{
    pthread_t threads[20];
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < 20; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, accept_once, NULL), 0);
        for (int i = 0; i < 20; i++)
            assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
}

/* A thread that is cancelled where it waits; its call has not returned, and is not recorded. */
static void *accept_for_ever(void *data)
{
    int *listener = data;
    accept_at(1);
    accept(*listener, NULL, NULL);
    return NULL;
}

static void cancel(pthread_t thread)
{
    void *result;
    assert_int_equal(pthread_cancel(thread), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, PTHREAD_CANCELED);
}

SITE_TEST(threads_are_cancelled_inside_accept, .check = check_all_have_sites, .rings = 64)
{
    int listener = shim_listener(0);
    pthread_t thread;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(pthread_create(&thread, NULL, accept_for_ever, &listener), 0);
        sched_yield();
        cancel(thread);
        accept_by(5000 + (unsigned)i);
    }
}

/* One that can be cancelled at any moment, inside libunwind too. */
static void *walk_asynchronously(void *data)
{
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    return walk_all_the_time(data);
}

static void check_walked(struct session_board *session)
{
    assert_true(board_tally(session->board, 0)->matched >= 200);
    assert_int_equal(session->board->unwalked, 0);
}

/* No records, for one that is half written is left behind. */
SHIM_TEST(a_walk_is_not_cancelled, .rules = RULES("accept:error=EMFILE:per=site:prob=0"), .arrange = with_sites,
          .check = check_walked)
{
    pthread_t thread;
    for (int i = 0; i < 200; i++) {
        assert_int_equal(pthread_create(&thread, NULL, walk_asynchronously, NULL), 0);
        sched_yield();
        cancel(thread);
        accept_by(5000 + (unsigned)i); /* who was cancelled has no lock */
    }
}

static volatile sig_atomic_t handled;

static void accept_in_handler(int signal)
{
    int error = errno;
    (void)signal;
    accept_at(handled % 3);
    handled++;
    errno = error;
}

SITE_TEST(signal_handlers_in_the_middle_of_a_walk, .check = check_all_have_sites, .rings = 64)
{
    struct sigaction action = {.sa_handler = accept_in_handler, .sa_flags = SA_RESTART};
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    const struct itimerspec often = {{0, 50000}, {0, 50000}};
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    assert_int_equal(timer_settime(timer, 0, &often, NULL), 0);
    for (unsigned way = 1; handled < 200; way = way % 3000 + 1)
        assert_fails(accept_by(way), EBADF);
    assert_int_equal(timer_delete(timer), 0);
}

extern const char trap_return[]; /* where a trap of the function below goes on */

APART static void trap(void)
{
#if defined(__x86_64__)
    __asm__ volatile("int3\n\t"
                     ".globl trap_return\n"
                     "trap_return:\n\t"
                     "nop" ::
                         : "memory");
#endif
}

static void accept_at_once(int signal)
{
    (void)signal;
    accept(-1, NULL, NULL);
}

static bool has_offset(const struct stack *stack, uint64_t offset)
{
    for (int i = 0; i < stack->count; i++)
        if (frame_offset(stack->frames[i]) == offset)
            return true;
    return false;
}

/* One more than where it goes on, for functions are looked up one byte before: the next one could begin there. */
SITE_TEST(an_interrupted_function_is_shown_where_it_was, .check = check_all_have_sites)
{
    struct sigaction action = {.sa_handler = accept_at_once};
    struct dl_find_object here;
    struct board *board = shim_board();
    int found = 0;
    assert_int_equal(sigaction(SIGTRAP, &action, NULL), 0);
    trap();
    assert_int_equal(_dl_find_object((void *)(uintptr_t)trap_return, &here), 0);
    for (uint32_t i = 0; i < STACK_MAX; i++)
        found += has_offset(board_stack(board, i), (uintptr_t)trap_return - here.dlfo_link_map->l_addr + 1);
    assert_int_equal(found, 1);
}

static ucontext_t coroutine, its_caller;

static void accept_in_coroutine(void)
{
    for (int depth = 0;; depth++) {
        accept_at(depth);
        swapcontext(&coroutine, &its_caller);
    }
}

static void begin_coroutine(void *stack, size_t size)
{
    assert_int_equal(getcontext(&coroutine), 0);
    coroutine.uc_stack = (stack_t){.ss_sp = stack, .ss_size = size};
    coroutine.uc_link = NULL;
#if defined(__x86_64__)
    coroutine.uc_mcontext.gregs[REG_RBP] = 8; /* leads a walk on, to where nothing is */
#endif
    makecontext(&coroutine, accept_in_coroutine, 0);
}

/* Beyond its first function there is nothing to walk to, but what some registers seem to say. */
SITE_TEST(a_coroutine_has_sites, .check = check_all_have_sites)
{
    size_t size = 256 << 10;
    void *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(stack, MAP_FAILED);
    begin_coroutine(stack, size);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(swapcontext(&its_caller, &coroutine), 0);
        accept_at(i);
    }
    assert_int_equal(munmap(stack, size), 0);
}

/* --- Where no stack is walked. */

static void accept_on_alternate(int signal)
{
    (void)signal;
    accept_at(1);
}

/* Raises a signal whose handler runs on SIZE bytes. */
static void raise_on(size_t size)
{
    struct sigaction action = {.sa_handler = accept_on_alternate, .sa_flags = SA_ONSTACK};
    stack_t alternate = {.ss_sp = malloc(size), .ss_size = size};
    assert_non_null(alternate.ss_sp);
    assert_int_equal(sigaltstack(&alternate, NULL), 0);
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    assert_int_equal(raise(SIGUSR1), 0);
    assert_int_equal(sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL), 0);
    free(alternate.ss_sp);
}

/* One of two calls has a site: the one from many functions. */
static void check_one_of_two(struct session_board *session)
{
    assert_int_equal(shim_count(EVENT_CALL, CALL_accept), 2);
    assert_int_equal(session->board->unwalked, 1);
    assert_int_equal(count_sites(true), 1);
    assert_true(stack_of(session, site(0) | site(1))->count > 6); /* through the signal handler, and so on */
}

SITE_TEST(a_small_alternate_stack_is_not_walked, .check = check_one_of_two)
{
    raise_on(16 << 10);
    raise_on(256 << 10);
}

SITE_TEST(a_small_thread_is_not_walked, .check = check_one_of_two)
{
    pthread_attr_t attributes;
    pthread_t thread;
    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstacksize(&attributes, 16 << 10), 0);
    assert_int_equal(pthread_create(&thread, &attributes, accept_once, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    accept_at(10);
}

static void check_vfork(struct session_board *session)
{
    assert_int_equal(shim_count(EVENT_CALL, CALL_accept), 4);
    assert_int_not_equal(site(0), 0);
    assert_int_equal(site(1), site(0)); /* this way was known */
    assert_int_equal(site(2), 0);
    assert_int_not_equal(site(3), 0);
    assert_int_equal(session->board->unwalked, 1);
}

/* The first round is in this process, the second in a vfork child. */
SITE_TEST(a_vfork_child_walks_no_new_stack, .check = check_vfork)
{
    static volatile int round;
    for (round = 0; round < 2; round++) {
        pid_t pid = round == 0 ? 0 : vfork();
        if (pid == 0)
            accept_at(1);
        if (pid == 0 && round == 1) {
            accept_at(2);
            _exit(0);
        }
        if (pid > 0)
            shim_reap(pid, 0);
    }
    accept_at(3);
}

static void check_no_unwinder(struct session_board *session)
{
    assert_int_equal(shim_count(EVENT_CALL, CALL_accept), 3);
    assert_int_equal(session->board->no_unwinder, 1);
    assert_int_equal(session->board->unwalked, 3);
    assert_int_equal(count_sites(true), 0);
}

SITE_TEST(without_libunwind_calls_have_no_sites, .check = check_no_unwinder, .preload_before = "preload_no_unwind.so")
{
    for (int i = 0; i < 3; i++)
        assert_fails(accept_at(i), EBADF);
}

/* A filter that answers as a system that looks at what is to be done with a signal mask before it looks at the mask. */
static void with_hasty_masks(struct session_board *session)
{
    enum { HOW = offsetof(struct seccomp_data, args[0]) };
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigprocmask, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, HOW),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)-1, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
    with_sites(session);
    assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

SHIM_TEST(where_memory_can_not_be_asked_for_no_stack_is_walked, .record = RECORD(accept), .arrange = with_hasty_masks,
          .check = check_no_unwinder)
{
    for (int i = 0; i < 3; i++)
        assert_fails(accept_at(i), EBADF);
}

/* --- Code that comes and goes. */

static void check_plugins(struct session_board *session)
{
    assert_int_equal(shim_count(EVENT_CALL, CALL_accept), 5);
    assert_string_equal(module_of(session, site(0), 0), "site_plugin_one.so");
    assert_int_equal(site(1), site(0));
    assert_string_equal(module_of(session, site(2), 0), "site_plugin_two.so");
    assert_int_equal(site(3), site(2));
    assert_int_equal(site(4), site(0));
    assert_int_equal(session->board->unwalked, 0);
}

/* Loads PLUGIN, lets it call CALLS times, unloads it; returns where it was. */
APART static void *use_plugin(const char *plugin, int calls)
{
    char path[4096];
    int (*accept_in_plugin)(int fd);
    shim_path(plugin, path, sizeof path);
    void *library = dlopen(path, RTLD_NOW);
    assert_non_null(library);
    void *function = dlsym(library, "accept_in_plugin");
    assert_non_null(function);
    memcpy(&accept_in_plugin, &function, sizeof function);
    for (int i = 0; i < calls; i++)
        accept_in_plugin(-1);
    assert_int_equal(dlclose(library), 0);
    return function;
}

SITE_TEST(plugins_that_take_each_others_place, .check = check_plugins)
{
    static const char *const plugins[] = {"site_plugin_one.so", "site_plugin_two.so", "site_plugin_one.so"};
    void *places[3];
    volatile int uses = 3;
    for (int i = 0; i < uses; i++)
        places[i] = use_plugin(plugins[i], i < 2 ? 2 : 1);
    assert_ptr_equal(places[0], places[1]); /* else this tests nothing */
    assert_ptr_equal(places[1], places[2]);
}

SHIM_MAIN(TEST(a_site_is_a_stack), TEST(only_32_frames_are_kept), TEST(arrays_on_the_stack_make_no_other_site),
          TEST(a_place_with_thousands_of_stacks_knows_them_all), TEST(leftovers_of_another_stack_are_not_taken_for_it),
          TEST(each_way_is_another_site), TEST(sites_are_equal_from_run_to_run),
          TEST(sites_are_equal_in_forked_children), TEST(a_program_that_was_deleted_keeps_its_sites),
          TEST(per_site_counts_each_site), TEST(site_is_one_call_site),
          TEST(a_rule_for_a_function_acts_on_the_first_call), TEST(a_program_does_not_wait_for_a_snag_that_is_gone),
          TEST(calls_before_a_module_is_resolved_are_counted),
          TEST(a_daemon_that_reuses_all_descriptors_keeps_its_data), TEST(a_fork_during_dl_iterate_phdr_has_sites),
          TEST(a_fork_in_the_middle_of_a_walk_has_sites), TEST(a_fork_in_the_middle_of_a_fork_leaves_no_lock),
          TEST(a_raw_clone_in_the_middle_of_a_walk_goes_on), TEST(threads_by_the_thousand_have_sites),
          TEST(threads_are_cancelled_inside_accept), TEST(a_walk_is_not_cancelled),
          TEST(signal_handlers_in_the_middle_of_a_walk), TEST(an_interrupted_function_is_shown_where_it_was),
          TEST(a_coroutine_has_sites), TEST(a_small_alternate_stack_is_not_walked), TEST(a_small_thread_is_not_walked),
          TEST(a_vfork_child_walks_no_new_stack), TEST(without_libunwind_calls_have_no_sites),
          TEST(where_memory_can_not_be_asked_for_no_stack_is_walked), TEST(plugins_that_take_each_others_place))
