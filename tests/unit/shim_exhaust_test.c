/*
 * EMFILE gives way when the process frees a descriptor, as the kernel's does.  What "as the kernel's" means is not written
 * here: the same steps are made under a real RLIMIT_NOFILE and under the rule, and must end the same.
 */
#include "shim_case.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CLIENTS = 40, TAKEN = 64, SCRIPT = 40, SCRIPTS = 120, SKIPPED = -1 };

/* The descriptors of a process whose table is full.  Everything below the limit is open. */
struct world {
    int listener, empty; /* one with CLIENTS waiting, one with none */
    int spare[2];        /* -1: closed */
    FILE *file;
    DIR *folder;
    FILE *child;
    int taken[TAKEN]; /* accepted */
    int count;
};

static struct world world;

static void limit_fds(rlim_t most)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = most;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void world_make(void)
{
    closefrom(3); /* what the body's process was given by whoever started the tests would be a gap */
    world.listener = shim_listener(SOCK_NONBLOCK);
    world.empty = shim_listener(SOCK_NONBLOCK);
    for (int i = 0; i < 2; i++)
        world.spare[i] = open("/dev/null", O_RDONLY);
    world.file = fopen("/dev/null", "r");
    world.folder = opendir("/");
    world.child = popen("true", "r");
    assert_true(world.file && world.folder && world.child);
    for (int i = 0; i < CLIENTS; i++)
        shim_client(world.listener);
}

/* Fills the queue again: with clients that have gone, which are accepted all the same and take no descriptor here. */
static void world_refill(void)
{
    shim_pause(true);
    for (int fd; (fd = accept4(world.listener, NULL, NULL, 0)) >= 0;)
        close(fd);
    for (int i = 0; i < CLIENTS; i++)
        assert_closes(shim_client(world.listener));
}

/* A full table: by a limit just above the highest descriptor, with no gap below; or by the rule. */
static void world_fill(bool real)
{
    int lowest = dup(0);
    assert_true(lowest >= 0);
    assert_int_equal(close(lowest), 0);
    if (real)
        limit_fds((rlim_t)lowest);
    shim_pause(real);
}

/* --- Steps.  Each returns 0 or an errno, or SKIPPED where it has nothing to do. */

static int take(int fd)
{
    if (fd < 0)
        return errno;
    world.taken[world.count++] = fd;
    return 0;
}

static int step_accept(void)
{
    return take(accept4(world.listener, NULL, NULL, SOCK_CLOEXEC));
}

static int step_eventfd(void)
{
    return take(eventfd(0, EFD_CLOEXEC));
}

static int step_dup(void)
{
    return take(dup(1));
}

/* The pairs need room for two. */
static int take_pair(int ret, const int pair[2])
{
    return ret < 0 ? errno : take(pair[0]) + take(pair[1]);
}

static int step_pipe(void)
{
    int pair[2];
    return take_pair(pipe(pair), pair);
}

static int step_pipe2(void)
{
    int pair[2];
    return take_pair(pipe2(pair, O_CLOEXEC), pair);
}

static int step_socketpair(void)
{
    int pair[2];
    return take_pair(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), pair);
}

static int step_accept_empty(void)
{
    return accept4(world.empty, NULL, NULL, 0) < 0 ? errno : 0;
}

static int step_close_taken(void)
{
    if (world.count == 0)
        return SKIPPED;
    return close(world.taken[--world.count]) == 0 ? 0 : errno;
}

static int free_spare(int i, int (*closes)(int))
{
    if (world.spare[i] < 0)
        return SKIPPED;
    int error = closes(world.spare[i]) == 0 ? 0 : errno;
    world.spare[i] = -1;
    return error;
}

static int range_of_one(int fd)
{
    return close_range((unsigned)fd, (unsigned)fd, 0);
}

static int by_number(int fd)
{
    return (int)syscall(SYS_close, fd);
}

static int step_close_spare(void)
{
    return free_spare(0, close);
}

static int step_close_range(void)
{
    return free_spare(1, range_of_one);
}

static int range_by_number(int fd)
{
    return (int)syscall(SYS_close_range, fd, fd, 0);
}

static int step_range_by_number(void)
{
    return free_spare(1, range_by_number);
}

static int step_close_by_number(void)
{
    return free_spare(1, by_number);
}

static int open_spare(int i)
{
    if (world.spare[i] >= 0)
        return SKIPPED;
    world.spare[i] = open("/dev/null", O_RDONLY);
    return world.spare[i] >= 0 ? 0 : errno;
}

static int step_open_first(void)
{
    return open_spare(0);
}

static int step_open_second(void)
{
    return open_spare(1);
}

/* Over an open descriptor: it frees one and takes it again. */
static int step_dup2(void)
{
    return world.spare[0] < 0 ? SKIPPED : dup2(1, world.spare[0]) < 0 ? errno : 0;
}

static int step_dup3(void)
{
    return world.spare[1] < 0 ? SKIPPED : dup3(1, world.spare[1], O_CLOEXEC) < 0 ? errno : 0;
}

static int step_fclose(void)
{
    if (!world.file)
        return SKIPPED;
    int error = fclose(world.file) == 0 ? 0 : errno;
    world.file = NULL;
    return error;
}

static int step_fopen(void)
{
    if (world.file)
        return SKIPPED;
    world.file = fopen("/dev/null", "r");
    return world.file ? 0 : errno;
}

static int step_freopen(void)
{
    if (!world.file)
        return SKIPPED;
    world.file = freopen("/dev/zero", "r", world.file);
    return world.file ? 0 : errno;
}

static int step_closedir(void)
{
    if (!world.folder)
        return SKIPPED;
    int error = closedir(world.folder) == 0 ? 0 : errno;
    world.folder = NULL;
    return error;
}

static int step_opendir(void)
{
    if (world.folder)
        return SKIPPED;
    world.folder = opendir("/");
    return world.folder ? 0 : errno;
}

static int step_pclose(void)
{
    if (!world.child)
        return SKIPPED;
    int status = pclose(world.child);
    world.child = NULL;
    return status < 0 ? errno : 0;
}

static int step_close_bad(void)
{
    return close(-1) < 0 ? errno : 0;
}

/* `opens`: it takes a descriptor by a call that no rule is about, so a full table does not stop it under the rule. */
static const struct step {
    int (*run)(void);
    bool opens;
} steps[] = {
    {step_accept, false},       {step_accept, false},      {step_accept, false},
    {step_accept_empty, false}, {step_close_taken, false}, {step_close_taken, false},
    {step_close_spare, false},  {step_close_range, false}, {step_open_first, true},
    {step_open_second, true},   {step_dup2, false},        {step_dup3, false},
    {step_fclose, false},       {step_fopen, true},        {step_freopen, true},
    {step_closedir, false},     {step_opendir, true},      {step_close_by_number, false},
    {step_pclose, false},       {step_close_bad, false},   {step_range_by_number, false},
    {step_eventfd, false},      {step_dup, false},         {step_pipe, false},
    {step_pipe2, false},        {step_socketpair, false},
};

enum { STEPS = sizeof steps / sizeof steps[0] };

/* The script of a number: the first step fills the table's last word, the others are drawn. */
static unsigned draw(unsigned *state)
{
    *state = *state * 1103515245 + 12345;
    return *state >> 16;
}

static void script_make(unsigned seed, unsigned char script[SCRIPT])
{
    script[0] = 0;
    for (int i = 1; i < SCRIPT; i++)
        script[i] = (unsigned char)(draw(&seed) % STEPS);
}

/* Runs SCRIPT in a child, whose counters are fresh.  What REAL says could not be opened is not tried under the rule. */
static void script_run(const unsigned char script[SCRIPT], bool real, const int *of_real, int outcome[SCRIPT])
{
    world_refill();
    pid_t pid = fork();
    if (pid == 0) {
        world_fill(real);
        for (int i = 0; i < SCRIPT; i++) {
            const struct step *step = &steps[script[i]];
            bool fails = !real && step->opens && of_real[i] > 0;
            outcome[i] = fails ? of_real[i] : step->run();
            if (fails && step->run == step_freopen)
                step_fclose(); /* what a freopen that fails leaves */
        }
        _exit(0);
    }
    shim_reap(pid, 0);
}

/* The child of the pipe is not the scripts' own: they can't wait for it. */
static int (*shared_outcomes(void))[SCRIPT]
{
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    return memory;
}

static void gave_way_and_fired(struct session_board *session)
{
    struct tally *tally = board_tally(session->board, 0);
    assert_true(tally->injected > SCRIPTS);
    assert_true(tally->yielded > SCRIPTS);
    assert_int_equal(tally->matched, tally->injected + tally->yielded);
    assert_int_equal(tally->missed, 0);
}

SHIM_TEST(scripts_end_as_under_rlimit, .rules = RULES("accept4,dup,eventfd,pipe,pipe2,socketpair:error=EMFILE"),
          .check = gave_way_and_fired)
{
    int(*outcomes)[SCRIPT] = shared_outcomes();
    unsigned char script[SCRIPT];
    shim_pause(true);
    world_make();
    for (unsigned seed = 1; seed <= SCRIPTS; seed++) {
        script_make(seed, script);
        script_run(script, true, NULL, outcomes[0]);
        script_run(script, false, outcomes[0], outcomes[1]);
        assert_int_equal(outcomes[0][0], EMFILE);
        for (int i = 0; i < SCRIPT; i++)
            if (outcomes[0][i] != outcomes[1][i]) {
                for (int k = 0; k <= i; k++)
                    print_message("step %d: %d, real %d, injected %d\n", k, script[k], outcomes[0][k], outcomes[1][k]);
                fail_msg("script %u differs at step %d", seed, i);
            }
    }
    shim_pause(true);
    pclose(world.child);
}

/* --- Each way of freeing lets exactly one call through. */

static void find(const char *name, void *function)
{
    void *symbol = dlsym(RTLD_NEXT, name);
    assert_non_null(symbol);
    memcpy(function, &symbol, sizeof symbol);
}

static void free_close(void)
{
    close(world.spare[1]);
}

static void free_other_close(void)
{
    int (*other)(int);
    find("__close", &other);
    other(world.spare[1]);
}

static void free_by_number(void)
{
    syscall(SYS_close, world.spare[1]);
}

static void free_range(void)
{
    close_range((unsigned)world.spare[1], (unsigned)world.spare[1], 0);
}

static void free_from(void)
{
    /* The clients are last; the first of them stays, so that one number is free below. */
    closefrom(world.spare[1] + CLIENTS + 3);
}

static void free_file(void)
{
    fclose(world.file);
}

static void free_other_file(void)
{
    int (*other)(FILE *);
    find("_IO_fclose", &other);
    other(world.file);
}

static void free_child(void)
{
    pclose(world.child);
}

static void free_folder(void)
{
    closedir(world.folder);
}

static void free_by_freopen(void)
{
    if (freopen("/nonexistent", "r", world.file))
        _exit(99);
}

static void (*const ways[])(void) = {free_close, free_other_close, free_by_number, free_range,  free_from,
                                     free_file,  free_other_file,  free_child,     free_folder, free_by_freopen};

/* Returns how many accepts got through in three, after an EMFILE and FREE; 99 if that was not the first's. */
static int accepts_after(void (*free_one)(void), bool real)
{
    world_fill(real);
    if (step_accept() != EMFILE || step_accept() != EMFILE)
        return 99;
    free_one();
    int through = 0;
    for (int i = 0; i < 3; i++)
        through += step_accept() == 0;
    return through;
}

static int in_child(void (*free_one)(void), bool real)
{
    int status = 0;
    world_refill();
    pid_t pid = fork();
    if (pid == 0)
        _exit(accepts_after(free_one, real));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

SHIM_TEST(each_way_of_freeing_counts_as_in_the_kernel, .rules = RULES("accept4:error=EMFILE"))
{
    shim_pause(true);
    world_make();
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        int real = in_child(ways[i], true), injected = in_child(ways[i], false);
        if (real < 1 || real > 3 || real != injected)
            fail_msg("way %zu: %d accepts after it in the kernel, %d under the rule", i, real, injected);
    }
    pclose(world.child);
}

/* dup2 over an open descriptor frees a file, which ENFILE is about, but not a number, which EMFILE is about. */
static void dup_over(void)
{
    if (dup2(1, world.spare[0]) < 0)
        _exit(98);
}

static void dup_over_otherwise(void)
{
    int (*other)(int, int);
    find("__dup2", &other);
    if (other(1, world.spare[0]) < 0)
        _exit(98);
}

static void dup3_over(void)
{
    if (dup3(1, world.spare[0], O_CLOEXEC) < 0)
        _exit(98);
}

SHIM_TEST(dup2_over_one_frees_nothing_for_emfile, .rules = RULES("accept4:error=EMFILE"))
{
    shim_pause(true);
    world_make();
    assert_int_equal(in_child(dup_over, true), 0);
    assert_int_equal(in_child(dup_over, false), 0);
    pclose(world.child);
}

SHIM_TEST(dup2_over_one_frees_one_for_enfile, .rules = RULES("accept4:error=ENFILE"))
{
    void (*const over[])(void) = {dup_over, dup_over_otherwise, dup3_over};
    shim_pause(true);
    world_make();
    for (int i = 0; i < 3; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            shim_pause(false);
            if (step_accept() != ENFILE || step_accept() != ENFILE)
                _exit(1);
            over[i]();
            _exit(step_accept() == 0 && step_accept() == ENFILE && step_accept() == ENFILE ? 0 : 2);
        }
        shim_reap(pid, 0);
        shim_pause(true);
    }
    pclose(world.child);
}

static void never_gave_way(struct session_board *session)
{
    assert_tally(session->board, 0, 4, 4);
    assert_int_equal(board_tally(session->board, 0)->yielded, 0);
}

SHIM_TEST(sticky_never_gives_way, .rules = RULES("accept4:error=EMFILE:sticky"), .check = never_gave_way)
{
    int listener = shim_listener(SOCK_NONBLOCK), client = shim_client(listener);
    for (int i = 0; i < 4; i++) {
        int spare = dup(0);
        assert_fails(accept4(listener, NULL, NULL, 0), EMFILE);
        assert_int_equal(close(spare), 0);
    }
    assert_int_equal(close(listener), 0);
    assert_int_equal(close(client), 0);
}

/* The spare descriptor of libuv, Redis and others: close it, accept and close all that wait, open it again. */
static void gave_way_each_time(struct session_board *session)
{
    assert_tally(session->board, 0, 18, 12);
    assert_int_equal(board_tally(session->board, 0)->yielded, 6);
    size_t yielded = 0;
    for (size_t i = 0; i < shim_event_count; i++)
        yielded += shim_events[i].event.kind == EVENT_CALL && (shim_events[i].event.flags & EVENT_YIELDED) != 0;
    assert_int_equal(yielded, 6);
}

SHIM_TEST(spare_descriptor_sheds_those_who_wait, .rules = RULES("accept4:error=EMFILE"), .check = gave_way_each_time)
{
    int listener = shim_listener(SOCK_NONBLOCK), spare = open("/dev/null", O_RDONLY), clients[6];
    for (int i = 0; i < 6; i++)
        clients[i] = shim_client(listener);
    for (int i = 0; i < 6; i++) {
        assert_fails(accept4(listener, NULL, NULL, 0), EMFILE);
        assert_int_equal(close(spare), 0);
        int fd = accept4(listener, NULL, NULL, 0);
        assert_true(fd >= 0);
        assert_fails(accept4(listener, NULL, NULL, 0), EMFILE);
        assert_int_equal(close(fd), 0);
        spare = open("/dev/null", O_RDONLY);
        assert_true(spare >= 0);
    }
    for (int i = 0; i < 6; i++)
        assert_int_equal(close(clients[i]), 0);
    assert_int_equal(close(listener), 0);
    assert_int_equal(close(spare), 0);
}

/*
 * When the rule does not fire the shortage is over: the next time it strikes anew, with what is open then.  A descriptor
 * that was closed in between is not room.
 */
SHIM_TEST(next_burst_does_not_remember_the_first, .rules = RULES("accept4:error=EMFILE:when=1..4+3"))
{
    int listener = shim_listener(SOCK_NONBLOCK), spare = dup(0);
    assert_fails(accept4(listener, NULL, NULL, 0), EMFILE);
    assert_int_equal(close(spare), 0);
    assert_fails(accept4(listener, NULL, NULL, 0), EAGAIN);
    assert_fails(accept4(listener, NULL, NULL, 0), EAGAIN);
    assert_fails(accept4(listener, NULL, NULL, 0), EMFILE);
    assert_fails(accept4(listener, NULL, NULL, 0), EAGAIN);
    assert_int_equal(close(listener), 0);
}

SHIM_MAIN(TEST(scripts_end_as_under_rlimit), TEST(each_way_of_freeing_counts_as_in_the_kernel),
          TEST(dup2_over_one_frees_nothing_for_emfile), TEST(dup2_over_one_frees_one_for_enfile),
          TEST(sticky_never_gives_way), TEST(spare_descriptor_sheds_those_who_wait),
          TEST(next_burst_does_not_remember_the_first))
