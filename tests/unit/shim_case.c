#include "shim_case.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define BODY "SNAG_TEST_BODY" /* set in the body's process: the name of the test */

struct shim_event *shim_events;
size_t shim_event_count;
char shim_stderr[4096];

static bool inside;

const char *shim_self(void)
{
    static char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(length > 0);
    self[length] = '\0';
    return self;
}

void shim_path(const char *file, char *path, size_t size)
{
    char self[PATH_MAX];
    snprintf(self, sizeof self, "%s", shim_self());
    char *folder = dirname(self);
    bool beside = strcmp(file, "libsnag.so") != 0;
    snprintf(path, size, "%s/%s", beside ? folder : dirname(folder), file);
    if (access(path, R_OK) != 0)
        fail_msg("not built: %s", path);
}

int shim_main(int argc, char **argv, const struct test *tests, size_t count)
{
    const char *name = getenv(BODY);
    if (!name)
        return tests_main(argc, argv, tests, count);
    inside = true;
    for (size_t i = 0; i < count; i++)
        if (strcmp(tests[i].name, name) == 0) {
            const struct CMUnitTest unit = {.name = name, .test_func = tests[i].run};
            unsetenv(BODY);
            return _cmocka_run_group_tests(name, &unit, 1, NULL, NULL) ? 1 : 0;
        }
    return 2;
}

/* --- The first process */

static void add_library(char *list, size_t size, const char *file)
{
    char path[PATH_MAX];
    if (!file)
        return;
    shim_path(file, path, sizeof path);
    size_t length = strlen(list);
    snprintf(list + length, size - length, "%s%s", length ? ":" : "", path);
}

static _Noreturn void start_body(const struct shim_case *shim_case, const char *board, int output)
{
    char preload[3 * PATH_MAX] = "";
    add_library(preload, sizeof preload, shim_case->preload_before);
    add_library(preload, sizeof preload, "libsnag.so");
    add_library(preload, sizeof preload, shim_case->preload_after);
    setenv("LD_PRELOAD", preload, 1);
    setenv(BODY, shim_case->name, 1);
    if (!shim_case->no_session)
        setenv("SNAG_BOARD", board, 1);
    dup2(output, STDERR_FILENO);
    close(output);
    execl(shim_self(), shim_self(), (char *)NULL);
    _exit(127);
}

static void add_event(const struct event *event, const void *payload, void *data)
{
    struct shim_event *seen = &shim_events[shim_event_count++];
    (void)data;
    memcpy(&seen->event, event, sizeof *event);
    memcpy(seen->payload, payload, sizeof seen->payload);
}

static void drain(struct session_board *session)
{
    size_t most = 0;
    for (uint32_t i = 0; i < session->board->ring_count; i++)
        most += board_ring(session->board, i)->head - board_ring(session->board, i)->tail;
    shim_events = calloc(most + 1, sizeof *shim_events);
    assert_non_null(shim_events);
    shim_event_count = 0;
    session_board_drain(session, add_event, NULL);
}

/* What the body said is kept for the check, and shown. */
static void read_output(int output)
{
    ssize_t length = pread(output, shim_stderr, sizeof shim_stderr - 1, 0);
    shim_stderr[length > 0 ? length : 0] = '\0';
    fputs(shim_stderr, stderr);
    close(output);
}

static void run_outside(const struct shim_case *shim_case)
{
    static const char *const no_rules[] = {NULL};
    struct session_board session;
    char shim[PATH_MAX];
    int status = -1;
    shim_path("libsnag.so", shim, sizeof shim);
    session_board_begin(&session, shim_case->rules ? shim_case->rules : no_rules, shim_case->record,
                        shim_case->rings ? shim_case->rings : 16, shim);
    if (shim_case->arrange)
        shim_case->arrange(&session);
    int output = memfd_create("stderr", 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        start_body(shim_case, session.path, output);
    waitpid(pid, &status, 0);
    unlink(session.path);
    read_output(output);
    if (status != shim_case->status)
        fail_msg("the body ended with wait status 0x%x", status);
    drain(&session);
    if (shim_case->check)
        shim_case->check(&session);
    free(shim_events);
    session_board_end(&session);
}

void shim_run(const struct shim_case *shim_case)
{
    if (inside)
        shim_case->body();
    else
        run_outside(shim_case);
}

static bool is_of(const struct event *event, enum event_kind kind, enum call call)
{
    return event->kind == kind && (call == CALL_NONE || event->call == call);
}

size_t shim_count(enum event_kind kind, enum call call)
{
    size_t count = 0;
    for (size_t i = 0; i < shim_event_count; i++)
        count += is_of(&shim_events[i].event, kind, call);
    return count;
}

const struct shim_event *shim_find(enum event_kind kind, enum call call, size_t number)
{
    for (size_t i = 0; i < shim_event_count; i++)
        if (is_of(&shim_events[i].event, kind, call) && number-- == 0)
            return &shim_events[i];
    fail_msg("no such record: kind %d call %d", (int)kind, (int)call);
    return NULL;
}

void assert_tally(struct board *board, uint32_t index, uint64_t matched, uint64_t injected)
{
    assert_int_equal(board_tally(board, index)->matched, matched);
    assert_int_equal(board_tally(board, index)->injected, injected);
}

void assert_missed(struct board *board, uint32_t index, uint64_t missed)
{
    assert_int_equal(board_tally(board, index)->missed, missed);
}

/* --- The body's process */

struct board *shim_board(void)
{
    static struct board *board;
    if (!board) {
        int fd = open(getenv("SNAG_BOARD"), O_RDWR | O_CLOEXEC);
        assert_true(fd >= 0);
        void *memory = mmap(NULL, board_size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        assert_true(memory != MAP_FAILED);
        assert_int_equal(close(fd), 0);
        board = memory;
    }
    return board;
}

void shim_pause(bool paused)
{
    atomic_store(&shim_board()->paused, paused);
}

struct rule *shim_set_error(uint32_t index, enum call call, int error)
{
    struct rule *rule = &board_rules(shim_board(), 0)[index];
    memset(rule->calls, 0, sizeof rule->calls);
    rule->calls[call / 64] = UINT64_C(1) << call % 64;
    rule->actions = ACT_FAIL;
    rule->error = error;
    rule_set_effects(rule);
    shim_board()->wanted[call] |= WANT_RULE;
    return rule;
}

static int listen_on(const struct sockaddr *address, socklen_t length, int type_flags)
{
    int fd = socket(address->sa_family, SOCK_STREAM | type_flags, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, address, length), 0);
    assert_int_equal(listen(fd, 64), 0);
    return fd;
}

int shim_listener(int type_flags)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return listen_on((struct sockaddr *)&address, sizeof address, type_flags);
}

int shim_listener6(int type_flags)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    return listen_on((struct sockaddr *)&address, sizeof address, type_flags);
}

int shim_port(int fd)
{
    struct sockaddr_storage own;
    socklen_t length = sizeof own;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&own, &length), 0);
    /* The port is at the same place in both. */
    return ntohs(((struct sockaddr_in *)&own)->sin_port);
}

int shim_client(int listener)
{
    struct sockaddr_storage own;
    socklen_t length = sizeof own;
    assert_int_equal(getsockname(listener, (struct sockaddr *)&own, &length), 0);
    int fd = socket(own.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&own, length), 0);
    return fd;
}

bool shim_readable(int fd, int ms)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    return poll(&entry, 1, ms) == 1 && (entry.revents & POLLIN);
}

void shim_assert_reset(int client)
{
    char byte;
    assert_true(shim_readable(client, 5000));
    assert_fails(read(client, &byte, 1), ECONNRESET);
    assert_int_equal(close(client), 0);
}

void shim_assert_pair(int client, int accepted)
{
    char byte = 0;
    assert_true(accepted >= 0);
    assert_int_equal(write(client, "x", 1), 1);
    assert_true(shim_readable(accepted, 5000));
    assert_int_equal(recv(accepted, &byte, 1, 0), 1);
    assert_int_equal(byte, 'x');
    assert_int_equal(close(client), 0);
    assert_int_equal(close(accepted), 0);
}

int shim_open_fds(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++) {
        char path[32];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        count += access(path, F_OK) == 0;
    }
    return count;
}

void shim_reap(pid_t pid, int status)
{
    int how = 0;
    assert_int_equal(waitpid(pid, &how, 0), pid);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), status);
}
