/*
 * The walk over calls.def: every symbol is there and no other, and every errno of every call is delivered, by libc's name
 * and by syscall(), with the effect that its row promises.  To add a call is to add a case to invoke(): it has no
 * default, so the compiler says which is missing.
 */
#include "shim_case.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "engine/call.h"
#include <netinet/in.h>

/* --- Symbols */

static const char *const exports[] = {
#define CALL(name, type, parameters, number, class, actions) #name,
#define ALIAS(exported, name) #exported,
#define FREES(name) #name,
#define EXPORT(name) #name,
#include "../../shim/exports.def"
#include "engine/calls.def"
#undef EXPORT
};

enum { EXPORT_COUNT = sizeof exports / sizeof exports[0] };

static size_t index_of(const char *name)
{
    size_t i = 0;
    while (i < EXPORT_COUNT && strcmp(exports[i], name) != 0)
        i++;
    return i;
}

static void exports_are_the_wrapped_names_alone(void **state)
{
    char path[512], command[600], name[256], kind;
    bool seen[EXPORT_COUNT] = {false};
    (void)state;
    shim_path("libsnag.so", path, sizeof path);
    snprintf(command, sizeof command, "nm -D --defined-only '%s'", path);
    FILE *nm = popen(command, "r");
    assert_non_null(nm);
    while (fscanf(nm, "%*x %c %255s", &kind, name) == 2) {
        if (index_of(name) == EXPORT_COUNT)
            fail_msg("exported, but not wrapped: %s", name);
        assert_int_equal(kind, 'T');
        seen[index_of(name)] = true;
    }
    assert_int_equal(pclose(nm), 0);
    for (size_t i = 0; i < EXPORT_COUNT; i++)
        if (!seen[i])
            fail_msg("not exported: %s", exports[i]);
}

static void it_needs_libc_alone(void **state)
{
    char path[512], command[600], name[256];
    int count = 0;
    (void)state;
    shim_path("libsnag.so", path, sizeof path);
    snprintf(command, sizeof command, "readelf -d '%s' | sed -n 's/.*(NEEDED).*\\[\\(.*\\)\\]/\\1/p'", path);
    FILE *readelf = popen(command, "r");
    assert_non_null(readelf);
    while (fscanf(readelf, "%255s", name) == 1) {
        if (strcmp(name, "libc.so.6") != 0 && strcmp(name, "libdl.so.2") != 0) /* shim/loader.h says why the second */
            fail_msg("it needs %s", name);
        count++;
    }
    assert_int_equal(pclose(readelf), 0);
    assert_int_equal(count, 2);
}

/* Every name that the program resolves now is the shim's. */
SHIM_TEST(each_name_resolves_to_the_shim)
{
    for (size_t i = 0; i < EXPORT_COUNT; i++) {
        Dl_info info;
        char path[512];
        /* From the next library on, for a sanitizer puts functions of such names into the program. */
        void *symbol = dlsym(RTLD_NEXT, exports[i]);
        shim_path("libsnag.so", path, sizeof path);
        assert_non_null(symbol);
        assert_true(dladdr(symbol, &info) != 0);
        if (!strstr(info.dli_fname, "libsnag.so"))
            fail_msg("%s is %s's", exports[i], info.dli_fname);
    }
}

/* --- Errnos */

/* What the calls are made on.  All would succeed if they were made, but for the descriptors that accept returns. */
struct stage {
    int listener, client; /* a connection waits */
    int bare;             /* a socket, not bound */
    int bound;            /* a socket, bound, not listening */
    int victim;           /* to be closed */
    int pipe[2];
    int epoll;       /* watches the readable pipe */
    int other_epoll; /* watches nothing */
};

static void stage_set(struct stage *stage)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN};
    stage->listener = shim_listener(SOCK_NONBLOCK);
    stage->client = shim_client(stage->listener);
    stage->bare = socket(AF_INET, SOCK_STREAM, 0);
    stage->bound = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(stage->bound, (struct sockaddr *)&any, sizeof any), 0);
    stage->victim = dup(stage->bare);
    assert_int_equal(pipe(stage->pipe), 0);
    assert_int_equal(write(stage->pipe[1], "x", 1), 1);
    stage->epoll = epoll_create1(0);
    stage->other_epoll = epoll_create1(0);
    assert_int_equal(epoll_ctl(stage->epoll, EPOLL_CTL_ADD, stage->pipe[0], &event), 0);
    assert_true(shim_readable(stage->listener, 5000));
}

static void stage_clear(const struct stage *stage)
{
    const int fds[] = {stage->listener, stage->client,  stage->bare,  stage->bound,
                       stage->pipe[0],  stage->pipe[1], stage->epoll, stage->other_epoll};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        assert_int_equal(close(fds[i]), 0);
    if (fcntl(stage->victim, F_GETFD) >= 0)
        assert_int_equal(close(stage->victim), 0);
}

/* Makes CALL on STAGE, by libc's function or by syscall(), and leaves errno as it finds it.  *DONE: its work was done. */
#define BY(name, ...) (by_number ? syscall(call_info(call)->number, __VA_ARGS__) : (name)(__VA_ARGS__))

static long invoke_setup(enum call call, const struct stage *stage, bool by_number, bool *done)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1, error;
    socklen_t length = sizeof on;
    long ret;
    switch (call) {
    case CALL_setsockopt:
        ret = BY(setsockopt, stage->bare, SOL_SOCKET, SO_KEEPALIVE, &on, (socklen_t)sizeof on);
        error = errno;
        on = 0;
        assert_int_equal(getsockopt(stage->bare, SOL_SOCKET, SO_KEEPALIVE, &on, &length), 0);
        *done = on;
        break;
    case CALL_bind:
        ret = BY(bind, stage->bare, (struct sockaddr *)&address, (socklen_t)sizeof address);
        error = errno;
        *done = shim_port(stage->bare) != 0;
        break;
    default:
        ret = BY(listen, stage->bound, 5);
        error = errno;
        assert_int_equal(getsockopt(stage->bound, SOL_SOCKET, SO_ACCEPTCONN, &on, &length), 0);
        *done = on;
    }
    errno = error;
    return ret;
}

static long invoke_getsockopt(enum call call, const struct stage *stage, bool by_number, bool *done)
{
    int listens = 7;
    socklen_t length = sizeof listens;
    long ret = BY(getsockopt, stage->listener, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length);
    *done = listens == 1;
    return ret;
}

/* The client is not readable before, and at its end after. */
static long invoke_shutdown(enum call call, const struct stage *stage, bool by_number, bool *done)
{
    char byte;
    long ret = BY(shutdown, stage->client, SHUT_RD);
    int error = errno;
    *done = recv(stage->client, &byte, 1, MSG_DONTWAIT) == 0;
    errno = error;
    return ret;
}

/* FIONBIO turns the bare socket's O_NONBLOCK on. */
static long invoke_ioctl(enum call call, const struct stage *stage, bool by_number, bool *done)
{
    int on = 1;
    long ret = BY(ioctl, stage->bare, (unsigned long)FIONBIO, &on);
    int error = errno;
    *done = fcntl(stage->bare, F_GETFL) & O_NONBLOCK;
    errno = error;
    return ret;
}

static bool same_file(int one, int other)
{
    struct stat first, second;
    return fstat(one, &first) == 0 && fstat(other, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

/* The victim becomes a second descriptor of the pipe. */
static long invoke_dup2(enum call call, const struct stage *stage, bool by_number, bool *done)
{
    long ret = call == CALL_dup2 ? BY(dup2, stage->pipe[0], stage->victim)
                                 : BY(dup3, stage->pipe[0], stage->victim, O_CLOEXEC);
    *done = same_file(stage->pipe[0], stage->victim);
    return ret;
}

/* The new descriptors are closed here, for the caller is only told of one. */
static long invoke_pair(enum call call, bool by_number, bool *done)
{
    int fds[2] = {-1, -1};
    long ret;
    if (call == CALL_pipe)
        ret = BY(pipe, fds);
    else if (call == CALL_pipe2)
        ret = BY(pipe2, fds, O_CLOEXEC);
    else
        ret = BY(socketpair, AF_UNIX, SOCK_STREAM, 0, fds);
    int error = errno;
    *done = fds[0] >= 0 && fds[1] >= 0 && close(fds[0]) == 0 && close(fds[1]) == 0;
    errno = error;
    return ret;
}

/* There is no other way than by number; where the kernel has none or allows none, it says why. */
static long invoke_io_uring_setup(bool *done)
{
    struct io_uring_params parameters = {.flags = 0};
    long ret = syscall(SYS_io_uring_setup, 1, &parameters);
    *done = parameters.sq_entries != 0;
    return ret;
}

static long invoke_address(enum call call, const struct stage *stage, bool by_number, bool *done)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address, before = length;
    long ret;
    memset(&address, 0x5a, sizeof address);
    struct sockaddr_storage untouched = address;
    struct sockaddr *out = (struct sockaddr *)&address;
    if (call == CALL_accept)
        ret = BY(accept, stage->listener, out, &length);
    else if (call == CALL_accept4)
        ret = BY(accept4, stage->listener, out, &length, SOCK_CLOEXEC);
    else if (call == CALL_getsockname)
        ret = BY(getsockname, stage->bound, out, &length);
    else
        ret = BY(getpeername, stage->client, out, &length);
    *done = memcmp(&address, &untouched, sizeof address) != 0 || length != before;
    return ret;
}

static long invoke_poll(enum call call, const struct stage *stage, bool by_number, bool *done)
{
    struct timespec at_once = {0, 0};
    struct pollfd entry = {.fd = stage->pipe[0], .events = POLLIN};
    long ret = 0;
    if (call == CALL_poll)
        ret = BY(poll, &entry, (nfds_t)1, 0);
    else if (by_number)
        ret = syscall(SYS_ppoll, &entry, (nfds_t)1, &at_once, NULL, (size_t)8);
    else
        ret = ppoll(&entry, 1, &at_once, NULL);
    *done = entry.revents != 0;
    return ret;
}

static long invoke_select(enum call call, const struct stage *stage, bool by_number, bool *done)
{
    struct timespec at_once = {0, 0};
    struct timeval now = {0, 0};
    fd_set in;
    long ret;
    /* What is not ready is taken out of the set: the listener's own client is not readable. */
    FD_ZERO(&in);
    FD_SET(stage->client, &in);
    if (call == CALL_select)
        ret = BY(select, stage->client + 1, &in, NULL, NULL, &now);
    else if (by_number)
        ret = syscall(SYS_pselect6, stage->client + 1, &in, NULL, NULL, &at_once, NULL);
    else
        ret = pselect(stage->client + 1, &in, NULL, NULL, &at_once, NULL);
    *done = !FD_ISSET(stage->client, &in);
    return ret;
}

static long invoke_epoll_wait(enum call call, const struct stage *stage, bool by_number, bool *done)
{
    struct timespec at_once = {0, 0};
    struct epoll_event got = {.events = 0};
    long ret;
    if (call == CALL_epoll_wait)
        ret = BY(epoll_wait, stage->epoll, &got, 1, 0);
    else if (call == CALL_epoll_pwait && by_number)
        ret = syscall(SYS_epoll_pwait, stage->epoll, &got, 1, 0, NULL, (size_t)8);
    else if (call == CALL_epoll_pwait)
        ret = epoll_pwait(stage->epoll, &got, 1, 0, NULL);
    else if (by_number)
        ret = syscall(call_info(call)->number, stage->epoll, &got, 1, &at_once, NULL, (size_t)8);
    else
        ret = epoll_pwait2(stage->epoll, &got, 1, &at_once, NULL);
    *done = got.events != 0;
    return ret;
}

static long invoke_epoll_ctl(enum call call, const struct stage *stage, bool by_number, bool *done)
{
    struct epoll_event event = {.events = EPOLLIN}, got;
    long ret = BY(epoll_ctl, stage->other_epoll, EPOLL_CTL_ADD, stage->pipe[0], &event);
    int error = errno;
    *done = epoll_wait(stage->other_epoll, &got, 1, 0) == 1;
    errno = error;
    return ret;
}

static long invoke(enum call call, const struct stage *stage, bool by_number, bool *done)
{
    long ret = 0;
    *done = false; /* of those that make descriptors, the caller counts them */
    switch (call) {
    case CALL_socket:
        return BY(socket, AF_INET, SOCK_STREAM, 0);
    case CALL_socketpair:
    case CALL_pipe:
    case CALL_pipe2:
        return invoke_pair(call, by_number, done);
    case CALL_getsockopt:
        return invoke_getsockopt(call, stage, by_number, done);
    case CALL_shutdown:
        return invoke_shutdown(call, stage, by_number, done);
    case CALL_ioctl:
        return invoke_ioctl(call, stage, by_number, done);
    case CALL_dup:
        return BY(dup, stage->bare);
    case CALL_dup2:
    case CALL_dup3:
        return invoke_dup2(call, stage, by_number, done);
    case CALL_eventfd:
        return BY(eventfd, 0u, 0);
    case CALL_io_uring_setup:
        return invoke_io_uring_setup(done);
    case CALL_setsockopt:
    case CALL_bind:
    case CALL_listen:
        return invoke_setup(call, stage, by_number, done);
    case CALL_accept:
    case CALL_accept4:
    case CALL_getsockname:
    case CALL_getpeername:
        return invoke_address(call, stage, by_number, done);
    case CALL_fcntl:
        return BY(fcntl, stage->bare, F_DUPFD, 0);
    case CALL_close:
        return BY(close, stage->victim);
    case CALL_poll:
    case CALL_ppoll:
        return invoke_poll(call, stage, by_number, done);
    case CALL_select:
    case CALL_pselect:
        return invoke_select(call, stage, by_number, done);
    case CALL_epoll_create:
        return BY(epoll_create, 1);
    case CALL_epoll_create1:
        return BY(epoll_create1, 0);
    case CALL_epoll_ctl:
        return invoke_epoll_ctl(call, stage, by_number, done);
    case CALL_epoll_wait:
    case CALL_epoll_pwait:
    case CALL_epoll_pwait2:
        return invoke_epoll_wait(call, stage, by_number, done);
    case CALL_COUNT:
        break;
    }
    fail_msg("no such call: %d", (int)call);
    return ret;
}

/* One errno of one call: it arrives, and the call does what its row says and no more. */
static void deliver(const struct call_errno *row, bool by_number)
{
    struct stage stage;
    bool done;
    stage_set(&stage);
    uint64_t before = board_tally(shim_board(), 0)->injected;
    int open_before = shim_open_fds();
    shim_set_error(0, row->call, row->number)->sticky = true;
    errno = 0;
    long ret = invoke(row->call, &stage, by_number, &done);
    int error = errno;
    shim_pause(true);
    if (ret != -1 || error != row->number)
        fail_msg("%s: %s: returned %ld, errno %d", call_info(row->call)->name, row->name, ret, error);
    if (board_tally(shim_board(), 0)->injected != before + 1)
        fail_msg("%s: %s: not counted as injected", call_info(row->call)->name, row->name);
    if (done)
        fail_msg("%s: %s: the call was made", call_info(row->call)->name, row->name);
    bool waits = shim_readable(stage.listener, 0);
    if (waits != (row->effect != CONSUMES))
        fail_msg("%s: %s: a connection %s", call_info(row->call)->name, row->name, waits ? "waits" : "was taken");
    if (shim_open_fds() != open_before - (row->effect == ACTS))
        fail_msg("%s: %s: descriptors before %d, after %d", call_info(row->call)->name, row->name, open_before,
                 shim_open_fds());
    stage_clear(&stage);
    shim_pause(false);
    shim_board()->wanted[row->call] &= (unsigned char)~WANT_RULE;
}

static void deliver_all(bool by_number)
{
    for (enum call call = 0; call < CALL_COUNT; call++)
        for (size_t i = 0; i < call_errno_count(call); i++)
            if (!by_number || call_info(call)->number != NR_NONE)
                deliver(&call_info(call)->errnos[i], by_number);
}

SHIM_TEST(each_errno_is_delivered, .rules = RULES("accept4:error=EMFILE"))
{
    deliver_all(false);
}

SHIM_TEST(each_errno_is_delivered_by_syscall, .rules = RULES("accept4:error=EMFILE"))
{
    deliver_all(true);
}

/* Without a fault each of these calls does its work: else the tests above would prove nothing. */
static void make_call(enum call call, bool by_number)
{
    struct stage stage;
    bool done;
    stage_set(&stage);
    int open_before = shim_open_fds();
    errno = 7;
    long ret = invoke(call, &stage, by_number, &done);
    int error = errno;
    if (call == CALL_io_uring_setup && ret < 0 && (error == ENOSYS || error == EPERM))
        print_message("%s: this kernel says %s\n", call_info(call)->name, strerror(error));
    else if (ret < 0 || error != 7)
        fail_msg("%s: returned %ld, errno %d", call_info(call)->name, ret, error);
    else if (!done && shim_open_fds() == open_before)
        fail_msg("%s: did nothing", call_info(call)->name);
    if (shim_open_fds() > open_before)
        assert_int_equal(close((int)ret), 0);
    stage_clear(&stage);
}

/* Recorded, so that each goes the long way; and errno is left alone. */
SHIM_TEST(each_call_works_while_it_is_recorded, .record = (UINT64_C(1) << CALL_COUNT) - 1)
{
    for (enum call call = 0; call < CALL_COUNT; call++) {
        make_call(call, false);
        if (call_info(call)->number != NR_NONE)
            make_call(call, true);
    }
}

static bool each_call_is_there(const enum call *calls, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (shim_count(EVENT_CALL, calls[i]) == 0)
            return false;
    return true;
}

static void each_call_was_recorded(struct session_board *session)
{
    (void)session;
    for (enum call call = 0; call < CALL_COUNT; call++)
        if (!each_call_is_there(&call, 1))
            fail_msg("not recorded: %s", call_info(call)->name);
}

SHIM_TEST(each_call_is_recorded, .record = (UINT64_C(1) << CALL_COUNT) - 1, .check = each_call_was_recorded)
{
    for (enum call call = 0; call < CALL_COUNT; call++)
        make_call(call, false);
}

/* --- Other names of the same calls */

/* Looks up NAME behind the program, where a sanitizer may have put one of its own. */
static void find(const char *name, void *function)
{
    void *symbol = dlsym(RTLD_NEXT, name);
    assert_non_null(symbol);
    memcpy(function, &symbol, sizeof symbol);
}

SHIM_TEST(each_alias_is_hooked,
          .rules = RULES("close:error=EIO", "fcntl:error=ENOLCK", "poll,ppoll,select:error=EINTR", "dup2:error=EBUSY",
                         "pipe:error=ENFILE:sticky", "eventfd:error=EMFILE:sticky"))
{
    int (*aliased_dup2)(int, int), (*aliased_pipe)(int[2]), pair[2];
    int (*aliased_close)(int), (*aliased_fcntl)(int, int, ...), (*aliased_poll)(struct pollfd *, nfds_t, int);
    int (*aliased_select)(int, fd_set *, fd_set *, fd_set *, struct timeval *);
    int (*poll_chk)(struct pollfd *, nfds_t, int, size_t);
    int (*ppoll_chk)(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *, size_t);
    struct pollfd entry = {.fd = -1};
    struct timeval now = {0, 0};
    struct timespec at_once = {0, 0};
    find("__close", &aliased_close);
    assert_fails(aliased_close(dup(0)), EIO);
    find("__dup2", &aliased_dup2);
    assert_fails(aliased_dup2(0, 1), EBUSY);
    find("__pipe", &aliased_pipe);
    assert_fails(aliased_pipe(pair), ENFILE);
#ifdef SYS_eventfd
    assert_fails(syscall(SYS_eventfd, 0), EMFILE);
#endif
    find("__fcntl", &aliased_fcntl);
    assert_fails(aliased_fcntl(0, F_GETFD), ENOLCK);
    find("fcntl64", &aliased_fcntl);
    assert_fails(aliased_fcntl(0, F_GETFD), ENOLCK);
    find("__poll", &aliased_poll);
    assert_fails(aliased_poll(&entry, 1, 0), EINTR);
    find("__poll_chk", &poll_chk);
    assert_fails(poll_chk(&entry, 1, 0, sizeof entry), EINTR);
    find("__ppoll_chk", &ppoll_chk);
    assert_fails(ppoll_chk(&entry, 1, &at_once, NULL, sizeof entry), EINTR);
    find("__select", &aliased_select);
    assert_fails(aliased_select(0, NULL, NULL, NULL, &now), EINTR);
}

/* A rule for each call works although the classes of EMFILE and close's own effect differ; and retval replaces. */
SHIM_TEST(retval_replaces_the_call, .rules = RULES("listen:retval=0", "socket:retval=77", "close:retval=0:fd=0"))
{
    int socket_fd = dup(0), on = 1;
    socklen_t length = sizeof on;
    errno = 7;
    assert_int_equal(socket(AF_INET, SOCK_STREAM, 0), 77);
    assert_int_equal(listen(socket_fd, 5), 0); /* not even a socket */
    assert_int_equal(errno, 7);
    assert_int_equal(getsockopt(socket_fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &length), -1);
    errno = 7;
    assert_int_equal(close(0), 0);
    assert_int_equal(errno, 7);
    assert_true(fcntl(0, F_GETFD) >= 0);
    assert_int_equal(close(socket_fd), 0);
}

/* What a filter asks of the calls that are not about listening, and that other sockets and files are left alone. */
SHIM_TEST(filters_choose_among_sockets_and_files,
          .rules = RULES("socketpair:error=ENOMEM:type=inet", "getsockopt,getpeername,shutdown:error=EACCES:type=unix",
                         "ioctl:error=EIO:type=inet", "dup:error=ENOMEM:fd=1", "dup2,dup3:error=EBUSY:per=fd:when=2"))
{
    int pair[2], inet = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_storage peer;
    socklen_t length = sizeof on;
    assert_fails(socketpair(AF_INET, SOCK_STREAM, 0, pair), ENOMEM);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_fails(getsockopt(pair[0], SOL_SOCKET, SO_TYPE, &on, &length), EACCES);
    assert_int_equal(getsockopt(inet, SOL_SOCKET, SO_TYPE, &on, &length), 0);
    length = sizeof peer;
    assert_fails(getpeername(pair[0], (struct sockaddr *)&peer, &length), EACCES);
    assert_fails(getpeername(inet, (struct sockaddr *)&peer, &length), ENOTCONN);
    assert_fails(shutdown(pair[0], SHUT_WR), EACCES);
    assert_fails(shutdown(inet, SHUT_WR), ENOTCONN);
    assert_fails(ioctl(inet, FIONBIO, &on), EIO);
    assert_int_equal(ioctl(pair[0], FIONBIO, &on), 0);
    assert_fails(dup(1), ENOMEM);
    assert_closes(dup(0));
    assert_int_equal(dup2(0, 90), 90);
    assert_int_equal(dup2(1, 90), 90);
    assert_fails(dup3(0, 91, 0), EBUSY);
    assert_int_equal(close(90), 0);
}

/* A request that passes keeps its argument, be it a pointer, a number or nothing, and so does one by number. */
SHIM_TEST(ioctl_hands_its_argument_on, .record = RECORD(ioctl))
{
    int pair[2], waiting = 0;
    assert_int_equal(pipe(pair), 0);
    assert_int_equal(write(pair[1], "four", 4), 4);
    assert_int_equal(ioctl(pair[0], FIONREAD, &waiting), 0);
    assert_int_equal(waiting, 4);
    assert_int_equal(ioctl(pair[0], FIOCLEX), 0);
    assert_int_equal(fcntl(pair[0], F_GETFD), FD_CLOEXEC);
    waiting = 0;
    assert_int_equal(syscall(SYS_ioctl, pair[0], FIONREAD, &waiting), 0);
    assert_int_equal(waiting, 4);
    int terminal = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    if (terminal >= 0) { /* TCFLSH takes a number: of a bad one it says EINVAL */
        assert_int_equal(ioctl(terminal, TCFLSH, TCIOFLUSH), 0);
        assert_fails(ioctl(terminal, TCFLSH, 77), EINVAL);
        assert_int_equal(close(terminal), 0);
    }
}

SHIM_MAIN(TEST(exports_are_the_wrapped_names_alone), TEST(it_needs_libc_alone), TEST(each_name_resolves_to_the_shim),
          TEST(each_errno_is_delivered), TEST(each_errno_is_delivered_by_syscall),
          TEST(each_call_works_while_it_is_recorded), TEST(each_call_is_recorded), TEST(each_alias_is_hooked),
          TEST(retval_replaces_the_call), TEST(filters_choose_among_sockets_and_files),
          TEST(ioctl_hands_its_argument_on))
