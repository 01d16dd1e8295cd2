/*
 * Faults beside the kernel's own: each real error is provoked while the board is paused, the injected one follows, and
 * the two must look the same.  Then what rules do to accepts that succeed.
 */
#include "shim_case.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { FILLER = 0x5a };

/* --- accept4 beside the kernel's */

/* All that a caller can see of an accept4. */
struct outcome {
    int ret, error;
    bool untouched; /* address and length */
};

static struct outcome try_accept(int fd)
{
    unsigned char address[128];
    socklen_t length = sizeof address;
    struct outcome outcome;
    memset(address, FILLER, sizeof address);
    errno = 0;
    outcome.ret = accept4(fd, (struct sockaddr *)address, &length, 0);
    outcome.error = errno;
    outcome.untouched = length == sizeof address;
    for (size_t i = 0; i < sizeof address; i++)
        outcome.untouched &= address[i] == FILLER;
    return outcome;
}

static void assert_same(const struct outcome *real, const struct outcome *injected, int error)
{
    assert_int_equal(real->ret, -1);
    assert_int_equal(real->error, error);
    assert_int_equal(injected->ret, real->ret);
    assert_int_equal(injected->error, real->error);
    assert_int_equal(injected->untouched, real->untouched);
}

static void limit_fds(rlim_t most)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = most;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* Returns the lowest number that is free. */
static int lowest_free(void)
{
    int fd = dup(0);
    assert_int_equal(close(fd), 0);
    return fd;
}

/* The next accept on LISTENER gets CLIENT. */
static void assert_next_is(int listener, int client)
{
    struct sockaddr_in peer, own;
    socklen_t length = sizeof peer;
    int fd = accept4(listener, (struct sockaddr *)&peer, &length, 0);
    assert_true(fd >= 0);
    length = sizeof own;
    assert_int_equal(getsockname(client, (struct sockaddr *)&own, &length), 0);
    assert_int_equal(peer.sin_port, own.sin_port);
    shim_assert_pair(client, fd);
}

SHIM_TEST(emfile_is_as_rlimit_makes_it, .rules = RULES("accept4:error=EMFILE:when=1"))
{
    for (int blocking = 0; blocking < 2; blocking++) {
        int listener = shim_listener(blocking ? 0 : SOCK_NONBLOCK), client = shim_client(listener);
        shim_pause(true);
        assert_true(shim_readable(listener, 5000));
        limit_fds((rlim_t)lowest_free());
        struct outcome real = try_accept(listener);
        limit_fds(1024);
        assert_true(shim_readable(listener, 0));
        assert_next_is(listener, client);

        client = shim_client(listener);
        shim_pause(false);
        atomic_store(&board_tally(shim_board(), 0)->matched, 0);
        struct outcome injected = try_accept(listener);
        assert_same(&real, &injected, EMFILE);
        assert_true(injected.untouched);
        assert_true(shim_readable(listener, 0));
        assert_next_is(listener, client);
        assert_int_equal(close(listener), 0);
    }
}

/* EMFILE comes even when nobody waits, in the kernel as here. */
SHIM_TEST(emfile_comes_on_an_empty_queue, .rules = RULES("accept4:error=EMFILE"))
{
    int listener = shim_listener(SOCK_NONBLOCK);
    shim_pause(true);
    limit_fds((rlim_t)lowest_free());
    struct outcome real = try_accept(listener);
    limit_fds(1024);
    shim_pause(false);
    struct outcome injected = try_accept(listener);
    assert_same(&real, &injected, EMFILE);
    assert_int_equal(close(listener), 0);
}

/* Errors that a bad descriptor makes: the real one on such a descriptor, the injected one on a good listener. */
static void compare_bad_fd(int bad, int error)
{
    int listener = shim_listener(SOCK_NONBLOCK), client = shim_client(listener);
    shim_pause(true);
    struct outcome real = try_accept(bad);
    shim_pause(false);
    shim_set_error(0, CALL_accept4, error);
    struct outcome injected = try_accept(listener);
    assert_same(&real, &injected, error);
    shim_pause(true);
    assert_next_is(listener, client);
    assert_int_equal(close(listener), 0);
}

SHIM_TEST(errors_of_bad_descriptors_are_as_the_kernels, .rules = RULES("accept4:error=EMFILE"))
{
    int bare = socket(AF_INET, SOCK_STREAM, 0), datagram = socket(AF_INET, SOCK_DGRAM, 0);
    int file = open("/dev/null", O_RDONLY), empty = shim_listener(SOCK_NONBLOCK);
    compare_bad_fd(-1, EBADF);
    compare_bad_fd(900, EBADF);
    compare_bad_fd(file, ENOTSOCK);
    compare_bad_fd(bare, EINVAL);
    compare_bad_fd(datagram, EOPNOTSUPP);
    compare_bad_fd(empty, EAGAIN);
    const int fds[] = {bare, datagram, file, empty};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(close(fds[i]), 0);
}

static volatile sig_atomic_t alarms;

static void count_alarm(int number)
{
    (void)number;
    alarms++;
}

/* The alarm comes again and again, so that one comes while accept4 waits. */
static void set_alarms(bool on)
{
    struct sigaction action = {.sa_handler = count_alarm};
    struct itimerval often = {.it_interval.tv_usec = on ? 5000 : 0, .it_value.tv_usec = on ? 5000 : 0};
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
}

SHIM_TEST(eintr_is_as_a_signal_makes_it, .rules = RULES("accept4:error=EINTR:when=1"))
{
    int listener = shim_listener(0);
    shim_pause(true);
    set_alarms(true);
    struct outcome real = try_accept(listener);
    set_alarms(false);
    assert_true(alarms > 0);
    shim_pause(false);
    int client = shim_client(listener);
    struct outcome injected = try_accept(listener);
    assert_same(&real, &injected, EINTR);
    assert_next_is(listener, client);
    assert_int_equal(close(listener), 0);
}

/* --- Errors of the caller's pointers, while a rule wants the address changed: the kernel's, and no crash. */

/* By number, for a sanitizer's accept4() reads the length itself. */
static struct outcome try_pointers(int listener, void *address, socklen_t *length)
{
    struct outcome outcome = {.untouched = true};
    int client = shim_client(listener);
    assert_true(shim_readable(listener, 5000));
    errno = 0;
    outcome.ret = (int)syscall(SYS_accept4, listener, address, length, 0);
    outcome.error = errno;
    assert_false(shim_readable(listener, 0)); /* consumed */
    assert_int_equal(close(client), 0);
    return outcome;
}

static void compare_pointers(int listener, void *address, socklen_t *length, int error)
{
    int open_before = shim_open_fds();
    shim_pause(true);
    struct outcome real = try_pointers(listener, address, length);
    shim_pause(false);
    struct outcome tampered = try_pointers(listener, address, length);
    assert_same(&real, &tampered, error);
    assert_int_equal(shim_open_fds(), open_before);
}

static void compare_all_pointers(void)
{
    int listener = shim_listener(SOCK_NONBLOCK);
    struct sockaddr_storage address;
    socklen_t length = sizeof address, negative = (socklen_t)-1;
    compare_pointers(listener, (void *)8, &length, EFAULT);
    compare_pointers(listener, &address, NULL, EFAULT);
    compare_pointers(listener, &address, (socklen_t *)8, EFAULT);
    compare_pointers(listener, &address, &negative, EINVAL);
    assert_int_equal(close(listener), 0);
}

/* The client of an accept that fails with EFAULT sees its connection closed, not reset. */
SHIM_TEST(efault_closes_the_connection, .rules = RULES("accept4:error=EFAULT"))
{
    int listener = shim_listener(SOCK_NONBLOCK);
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    for (int i = 0; i < 2; i++) {
        int client = shim_client(listener);
        char byte;
        shim_pause(i == 0);
        assert_fails(syscall(SYS_accept4, listener, i == 0 ? (void *)8 : (void *)&address, &length, 0), EFAULT);
        assert_false(shim_readable(listener, 0));
        assert_true(shim_readable(client, 5000));
        assert_int_equal(read(client, &byte, 1), 0);
        assert_int_equal(close(client), 0);
    }
    assert_int_equal(close(listener), 0);
}

static void was_missed_four_times(struct session_board *session)
{
    assert_tally(session->board, 0, 4, 0);
    assert_missed(session->board, 0, 4);
}

SHIM_TEST(bad_pointers_are_efault_under_socklen, .rules = RULES("accept4:socklen=7"), .check = was_missed_four_times)
{
    compare_all_pointers();
}

SHIM_TEST(bad_pointers_are_efault_under_family, .rules = RULES("accept4:family=inet6"), .check = was_missed_four_times)
{
    compare_all_pointers();
}

/* Nothing is written when the length is bad, and a buffer that is too short for what is told is not overrun. */
SHIM_TEST(bad_length_leaves_the_buffer, .rules = RULES("accept4:socklen=7"))
{
    int listener = shim_listener(0), client = shim_client(listener);
    unsigned char address[16];
    memset(address, FILLER, sizeof address);
    assert_fails(syscall(SYS_accept4, listener, address, 8L, 0), EFAULT);
    for (size_t i = 0; i < sizeof address; i++)
        assert_int_equal(address[i], FILLER);
    assert_int_equal(close(client), 0);
    assert_int_equal(close(listener), 0);
}

/* --- bind, listen, socket beside the kernel's */

static void free_address(struct sockaddr_in *address)
{
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int bind_to(int fd, const struct sockaddr_in *address)
{
    return bind(fd, (const struct sockaddr *)address, sizeof *address);
}

SHIM_TEST(bind_eaddrinuse_leaves_the_socket_unbound, .rules = RULES("bind:error=EADDRINUSE"))
{
    struct sockaddr_in address, own;
    int fds[2];
    shim_pause(true);
    int first = shim_listener(0);
    free_address(&address);
    address.sin_port = htons((uint16_t)shim_port(first));
    for (int i = 0; i < 2; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
        shim_pause(i == 0);
        own = address;
        own.sin_port = i == 0 ? address.sin_port : 0; /* the injected one hits a bind that would succeed */
        assert_fails(bind_to(fds[i], &own), EADDRINUSE);
        assert_int_equal(shim_port(fds[i]), 0);
        shim_pause(true);
        own.sin_port = 0;
        assert_int_equal(bind_to(fds[i], &own), 0);
        assert_int_equal(close(fds[i]), 0);
    }
    assert_int_equal(close(first), 0);
}

static int reusing_socket(void)
{
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    return fd;
}

static bool listens(int fd)
{
    int on = 0;
    socklen_t length = sizeof on;
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &length), 0);
    return on;
}

/* Bind succeeds for both sockets, and the second listen fails; when the first is gone, the second may listen. */
SHIM_TEST(listen_eaddrinuse_is_as_two_reusing_sockets_make_it, .rules = RULES("listen:error=EADDRINUSE"))
{
    struct sockaddr_in address;
    int first = reusing_socket(), second = reusing_socket();
    shim_pause(true);
    free_address(&address);
    assert_int_equal(bind_to(first, &address), 0);
    address.sin_port = htons((uint16_t)shim_port(first));
    assert_int_equal(bind_to(second, &address), 0);
    assert_int_equal(listen(first, 5), 0);
    assert_fails(listen(second, 5), EADDRINUSE);
    assert_false(listens(second));
    assert_int_equal(close(first), 0);

    shim_pause(false);
    assert_fails(listen(second, 5), EADDRINUSE);
    assert_false(listens(second));
    assert_int_equal(shim_port(second), ntohs(address.sin_port));
    shim_pause(true);
    assert_int_equal(listen(second, 5), 0);
    assert_int_equal(close(second), 0);
}

/* Provokes one real error while the board is paused; its arguments are whatever it takes. */
#define COMPARE(call, error, real, injected) \
    do { \
        shim_pause(true); \
        shim_set_error(0, call, error); \
        assert_fails(real, error); \
        shim_pause(false); \
        assert_fails(injected, error); \
        shim_pause(true); \
    } while (0)

SHIM_TEST(errors_at_start_are_as_the_kernels, .rules = RULES("bind:error=EADDRINUSE"))
{
    struct sockaddr_in address, other;
    shim_pause(true);
    int fd = socket(AF_INET, SOCK_STREAM, 0), datagram = socket(AF_INET, SOCK_DGRAM, 0);
    int unix_fd = socket(AF_UNIX, SOCK_STREAM, 0), bound = shim_listener(0), file = open("/dev/null", O_RDONLY);
    free_address(&address);
    other = address;
    other.sin_family = AF_UNSPEC + 77;
    COMPARE(CALL_bind, EAFNOSUPPORT, bind_to(fd, &other), bind_to(fd, &address));
    COMPARE(CALL_bind, EINVAL, bind_to(bound, &address), bind_to(fd, &address));
    COMPARE(CALL_bind, EBADF, bind_to(-1, &address), bind_to(fd, &address));
    COMPARE(CALL_bind, ENOTSOCK, bind_to(file, &address), bind_to(fd, &address));
    COMPARE(CALL_bind, EFAULT, syscall(SYS_bind, fd, 8L, sizeof address), bind_to(fd, &address));
    other = address;
    other.sin_addr.s_addr = htonl(0xc0000201); /* 192.0.2.1: for documentation, nobody's */
    COMPARE(CALL_bind, EADDRNOTAVAIL, bind_to(fd, &other), bind_to(fd, &address));
    COMPARE(CALL_listen, EOPNOTSUPP, listen(datagram, 5), listen(fd, 5));
    COMPARE(CALL_listen, EINVAL, listen(unix_fd, 5), listen(fd, 5));
    COMPARE(CALL_listen, EBADF, listen(-1, 5), listen(fd, 5));
    COMPARE(CALL_listen, ENOTSOCK, listen(file, 5), listen(fd, 5));
    COMPARE(CALL_socket, EAFNOSUPPORT, socket(200, SOCK_STREAM, 0), socket(AF_INET, SOCK_STREAM, 0));
    COMPARE(CALL_socket, EINVAL, socket(AF_INET, 77, 0), socket(AF_INET, SOCK_STREAM, 0));
    COMPARE(CALL_socket, EPROTONOSUPPORT, socket(AF_INET, SOCK_STREAM, 17), socket(AF_INET, SOCK_STREAM, 0));
    assert_int_equal(shim_port(fd), 0);
    assert_false(listens(fd));
    const int fds[] = {fd, datagram, unix_fd, bound, file};
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(close(fds[i]), 0);
}

/* A bad pointer to bind must not crash what records it. */
SHIM_TEST(bind_to_no_memory_is_efault, .record = RECORD(bind), .rules = RULES("bind:error=EADDRINUSE:port=1"))
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_fails(syscall(SYS_bind, fd, 8L, 16), EFAULT);
    assert_fails(syscall(SYS_bind, fd, NULL, 16), EFAULT);
    assert_fails(syscall(SYS_bind, fd, 8L, -1), EINVAL);
    assert_int_equal(close(fd), 0);
}

/* --- Consuming faults */

static void consumed_one(struct session_board *session)
{
    assert_tally(session->board, 0, 1, 1);
    const struct shim_event *call = shim_find(EVENT_CALL, CALL_accept4, 0);
    assert_int_equal(call->event.flags, EVENT_INJECTED | EVENT_CONSUMED);
    assert_int_equal(call->event.ret, -1);
    assert_int_equal(call->event.err, ECONNABORTED);
    assert_int_equal(call->event.rule, 1);
    assert_int_equal(call->event.nth, 1);
    assert_int_equal(call->event.payload, sizeof(struct sockaddr_in));
    assert_int_equal(((const struct sockaddr_in *)(const void *)call->payload)->sin_addr.s_addr,
                     htonl(INADDR_LOOPBACK));
}

SHIM_TEST(econnaborted_takes_one_and_resets_it, .rules = RULES("accept4:error=ECONNABORTED"), .check = consumed_one)
{
    int listener = shim_listener(SOCK_NONBLOCK), first = shim_client(listener), second = shim_client(listener);
    int open_before = shim_open_fds();
    struct outcome injected = try_accept(listener);
    assert_int_equal(injected.ret, -1);
    assert_int_equal(injected.error, ECONNABORTED);
    assert_true(injected.untouched);
    assert_int_equal(shim_open_fds(), open_before);
    shim_assert_reset(first);
    shim_pause(true);
    assert_next_is(listener, second);
    assert_int_equal(close(listener), 0);
}

static void missed_one(struct session_board *session)
{
    assert_tally(session->board, 0, 1, 0);
    assert_missed(session->board, 0, 1);
}

SHIM_TEST(consuming_fault_on_an_empty_queue_is_eagain, .rules = RULES("accept4:error=ECONNABORTED"),
          .check = missed_one)
{
    int listener = shim_listener(SOCK_NONBLOCK);
    struct outcome injected = try_accept(listener);
    assert_int_equal(injected.ret, -1);
    assert_int_equal(injected.error, EAGAIN);
    assert_true(injected.untouched);
    assert_int_equal(close(listener), 0);
}

/* Waits until thread TID of this process sleeps in the kernel. */
static void wait_for_sleep(pid_t tid)
{
    char path[64], state = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)tid);
    for (int i = 0; i < 5000 && state != 'S'; i++) {
        FILE *file = fopen(path, "r");
        if (!file || fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
            state = 0;
        if (file)
            fclose(file);
        if (state != 'S')
            usleep(1000);
    }
}

struct late_client {
    int listener, client;
    pid_t waiter;
};

static void *connect_late(void *data)
{
    struct late_client *late = data;
    wait_for_sleep(late->waiter);
    late->client = shim_client(late->listener);
    return NULL;
}

SHIM_TEST(blocking_listener_waits_for_a_client_to_abort, .rules = RULES("accept4:error=ECONNABORTED"),
          .check = consumed_one)
{
    struct late_client late = {.listener = shim_listener(0), .waiter = (pid_t)syscall(SYS_gettid)};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, connect_late, &late), 0);
    struct outcome injected = try_accept(late.listener);
    assert_int_equal(injected.ret, -1);
    assert_int_equal(injected.error, ECONNABORTED);
    assert_int_equal(pthread_join(thread, NULL), 0);
    shim_assert_reset(late.client);
    assert_int_equal(close(late.listener), 0);
}

SHIM_TEST(queue_keep_keeps_what_would_be_consumed, .rules = RULES("accept4:error=ECONNABORTED:queue=keep:when=1"))
{
    int listener = shim_listener(SOCK_NONBLOCK), client = shim_client(listener);
    assert_int_equal(try_accept(listener).error, ECONNABORTED);
    assert_next_is(listener, client);
    assert_int_equal(close(listener), 0);
}

SHIM_TEST(queue_drop_drops_what_would_be_kept, .rules = RULES("accept4:error=ENOMEM:queue=drop:when=1"))
{
    int listener = shim_listener(SOCK_NONBLOCK), client = shim_client(listener);
    assert_int_equal(try_accept(listener).error, ENOMEM);
    assert_false(shim_readable(listener, 0));
    shim_assert_reset(client);
    assert_int_equal(close(listener), 0);
}

/* --- What rules do to an accept that succeeds */

/* Accepts a client with a buffer of ROOM bytes; its own address is then in *REAL, and 200 bytes of memory in SEEN. */
struct accepted {
    unsigned char real[200], seen[200];
    socklen_t real_length, length;
};

static void accept_into(int listener, socklen_t room, struct accepted *got)
{
    int client = shim_client(listener);
    memset(got->seen, FILLER, sizeof got->seen);
    memset(got->real, FILLER, sizeof got->real);
    got->length = room;
    got->real_length = sizeof got->real;
    errno = 7;
    int fd = accept4(listener, (struct sockaddr *)got->seen, &got->length, SOCK_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(errno, 7);
    assert_int_equal(getpeername(fd, (struct sockaddr *)got->real, &got->real_length), 0);
    shim_assert_pair(client, fd);
}

/* The first COUNT bytes are the real ones, and no other was written. */
static void assert_written(const struct accepted *got, size_t count)
{
    assert_memory_equal(got->seen, got->real, count);
    for (size_t i = count; i < sizeof got->seen; i++)
        assert_int_equal(got->seen[i], FILLER);
}

SHIM_TEST(socklen_zero_touches_no_byte, .rules = RULES("accept4:socklen=0"))
{
    struct accepted got;
    int listener = shim_listener(0);
    accept_into(listener, 128, &got);
    assert_int_equal(got.length, 0);
    assert_written(&got, 0);
    assert_int_equal(close(listener), 0);
}

SHIM_TEST(socklen_writes_as_many_bytes_as_it_says, .rules = RULES("accept4:socklen=5"))
{
    struct accepted got;
    int listener = shim_listener(0);
    accept_into(listener, 128, &got);
    assert_int_equal(got.length, 5);
    assert_written(&got, 5);
    accept_into(listener, 3, &got);
    assert_int_equal(got.length, 5);
    assert_written(&got, 3);
    assert_int_equal(close(listener), 0);
}

SHIM_TEST(socklen_above_the_buffer_does_not_overrun_it, .rules = RULES("accept4:socklen=200"))
{
    struct accepted got;
    int listener = shim_listener(0);
    accept_into(listener, 16, &got);
    assert_int_equal(got.length, 200);
    assert_written(&got, 16);
    accept_into(listener, 128, &got); /* no more bytes than the real address has */
    assert_int_equal(got.length, 200);
    assert_written(&got, 16);
    accept_into(listener, 0, &got);
    assert_int_equal(got.length, 200);
    assert_written(&got, 0);
    assert_int_equal(close(listener), 0);
}

/* A short buffer without a rule, side by side: the kernel's truncation is what `family` must keep. */
SHIM_TEST(family_changes_the_family_alone, .rules = RULES("accept4:family=unix"))
{
    struct accepted got;
    int listener = shim_listener(0);
    for (socklen_t room = 0; room <= 32; room += 8) {
        accept_into(listener, room, &got);
        assert_int_equal(got.length, sizeof(struct sockaddr_in));
        if (room >= 2) {
            assert_int_equal(((struct sockaddr *)got.seen)->sa_family, AF_UNIX);
            memcpy(got.seen, got.real, sizeof(sa_family_t));
        }
        assert_written(&got, room < 16 ? room : 16);
    }
    assert_int_equal(close(listener), 0);
}

/* A unix client whose path fills sun_path to its end: the kernel reports 111 bytes, one more than the structure has. */
static int unix_listener(struct sockaddr_un *client_address)
{
    struct sockaddr_un own = {.sun_family = AF_UNIX};
    snprintf(own.sun_path + 1, sizeof own.sun_path - 1, "snag-test-%d", (int)getpid());
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof own), 0);
    assert_int_equal(listen(fd, 5), 0);
    client_address->sun_family = AF_UNIX;
    memset(client_address->sun_path, '/', sizeof client_address->sun_path);
    char name[64];
    int length = snprintf(name, sizeof name, "tmp/snag-test-%d-XXXXXXXXXXXXXXXXXX", (int)getpid());
    memcpy(client_address->sun_path + sizeof client_address->sun_path - length, name, (size_t)length);
    return fd;
}

static int unix_client(int listener, const struct sockaddr_un *address)
{
    struct sockaddr_un own;
    socklen_t length = sizeof own;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)address, sizeof *address), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&own, &length), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&own, length), 0);
    char path[sizeof address->sun_path + 1] = "";
    memcpy(path, address->sun_path, sizeof address->sun_path);
    assert_int_equal(unlink(path), 0);
    return fd;
}

SHIM_TEST(unix_address_of_111_bytes_is_reported_whole, .rules = RULES("accept4:family=inet:type=unix"),
          .record = RECORD(accept4))
{
    struct sockaddr_un address;
    unsigned char seen[2][128];
    int listener = unix_listener(&address);
    for (int i = 0; i < 2; i++) {
        socklen_t length = sizeof seen[i];
        shim_pause(i == 0);
        int client = unix_client(listener, &address);
        memset(seen[i], FILLER, sizeof seen[i]);
        int fd = accept4(listener, (struct sockaddr *)seen[i], &length, 0);
        assert_int_equal(length, 111);
        shim_assert_pair(client, fd);
    }
    assert_int_equal(((struct sockaddr *)seen[1])->sa_family, AF_INET);
    assert_memory_equal(seen[0] + 2, seen[1] + 2, sizeof seen[0] - 2);
    assert_int_equal(close(listener), 0);
}

static void never_matched(struct session_board *session)
{
    assert_tally(session->board, 0, 0, 0);
    assert_missed(session->board, 0, 0);
}

SHIM_TEST(call_without_address_is_no_match, .rules = RULES("accept,accept4:socklen=0"), .check = never_matched)
{
    int listener = shim_listener(0), client = shim_client(listener);
    shim_assert_pair(client, accept4(listener, NULL, NULL, 0));
    client = shim_client(listener);
    shim_assert_pair(client, accept(listener, NULL, NULL));
    assert_int_equal(close(listener), 0);
}

static void assert_flags(int fd, bool cloexec, bool nonblock)
{
    assert_int_equal((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0, cloexec);
    assert_int_equal((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0, nonblock);
}

/* Each combination of accept4's flags, and accept, which has none, with RULE's tampering. */
static void accept_with_all_flags(int fdmin)
{
    struct sockaddr_storage address;
    int listener = shim_listener(0);
    for (int i = 0; i < 5; i++) {
        socklen_t length = sizeof address;
        struct sockaddr *out = (struct sockaddr *)&address;
        bool cloexec = i & 1, nonblock = i & 2;
        int client = shim_client(listener), lowest = lowest_free();
        int fd = i == 4
                     ? accept(listener, out, &length)
                     : accept4(listener, out, &length, (cloexec ? SOCK_CLOEXEC : 0) | (nonblock ? SOCK_NONBLOCK : 0));
        assert_true(fd >= fdmin);
        assert_flags(fd, i < 4 && cloexec, i < 4 && nonblock);
        assert_true(fdmin == 0 || lowest_free() == lowest); /* the number that the kernel gave is free again */
        shim_assert_pair(client, fd);
    }
    assert_int_equal(close(listener), 0);
}

SHIM_TEST(flags_hold_under_socklen, .rules = RULES("%accept:socklen=0"))
{
    accept_with_all_flags(0);
}

SHIM_TEST(flags_hold_under_fdmin, .rules = RULES("%accept:fdmin=700"))
{
    accept_with_all_flags(700);
}

SHIM_TEST(flags_hold_under_all_of_it, .rules = RULES("%accept:fdmin=600:socklen=4:family=unix:delay_enter=1ms"))
{
    accept_with_all_flags(600);
}

SHIM_TEST(fdmin_that_can_not_be_had_is_missed, .rules = RULES("accept4:fdmin=900"), .check = missed_one)
{
    limit_fds(500);
    int listener = shim_listener(0), client = shim_client(listener);
    errno = 7;
    int fd = accept4(listener, NULL, NULL, 0);
    assert_int_equal(errno, 7);
    assert_true(fd < 500);
    shim_assert_pair(client, fd);
    assert_int_equal(close(listener), 0);
}

SHIM_TEST(retval_leaves_the_connection, .rules = RULES("accept4:retval=900:when=1"))
{
    int listener = shim_listener(0), client = shim_client(listener);
    assert_int_equal(accept4(listener, NULL, NULL, 0), 900);
    assert_next_is(listener, client);
    assert_int_equal(close(listener), 0);
}

/* --- backlog, delays, signals, close */

/* A listening socket's backlog is in TCP_INFO, under a name that means something else elsewhere. */
static unsigned backlog_of(int fd)
{
    struct tcp_info info;
    socklen_t length = sizeof info;
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length), 0);
    return info.tcpi_sacked;
}

SHIM_TEST(backlog_replaces_the_callers, .rules = RULES("listen:backlog=3:when=2"))
{
    int first = shim_listener(0), second = shim_listener(0);
    assert_int_equal(backlog_of(first), 64);
    assert_int_equal(backlog_of(second), 3);
    assert_int_equal(close(first), 0);
    assert_int_equal(close(second), 0);
}

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* The lower bound only; signals that come meanwhile do not cut it short. */
static double timed_accept(int listener)
{
    double begin = now_ms();
    errno = 7;
    assert_closes(accept4(listener, NULL, NULL, 0));
    assert_int_equal(errno, 7);
    return now_ms() - begin;
}

SHIM_TEST(delays_last_their_time_whatever_signals_come,
          .rules = RULES("accept4:delay_enter=30ms:when=1", "accept4:delay_exit=30000:when=2"))
{
    int listener = shim_listener(0), first = shim_client(listener), second = shim_client(listener);
    set_alarms(true);
    double enter = timed_accept(listener), leave = timed_accept(listener);
    set_alarms(false);
    assert_true(enter >= 30);
    assert_true(leave >= 30);
    const int fds[] = {listener, first, second};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(close(fds[i]), 0);
}

static struct {
    int listener;
    volatile sig_atomic_t count, waits;
    pid_t tid;
} signalled;

static void note_signal(int number)
{
    (void)number;
    signalled.tid = (pid_t)syscall(SYS_gettid);
    signalled.waits = shim_readable(signalled.listener, 0);
    signalled.count++;
}

static void *accept_in_thread(void *data)
{
    pid_t *tid = data;
    *tid = (pid_t)syscall(SYS_gettid);
    assert_closes(accept4(signalled.listener, NULL, NULL, 0));
    return NULL;
}

SHIM_TEST(signal_comes_to_the_calling_thread_before_the_call, .rules = RULES("accept4:signal=SIGUSR1:when=1"))
{
    struct sigaction action = {.sa_handler = note_signal, .sa_flags = SA_RESTART};
    pthread_t thread;
    pid_t tid = 0;
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    signalled.listener = shim_listener(0);
    int client = shim_client(signalled.listener);
    assert_int_equal(pthread_create(&thread, NULL, accept_in_thread, &tid), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(signalled.count, 1);
    assert_int_equal(signalled.tid, tid);
    assert_true(signalled.waits);
    assert_int_equal(close(client), 0);
    assert_int_equal(close(signalled.listener), 0);
}

SHIM_TEST(close_with_eio_closes, .rules = RULES("close:error=EIO:when=1", "close:error=EBADF:when=2"))
{
    int fd = dup(0);
    assert_fails(close(fd), EIO);
    assert_int_equal(dup(0), fd);
    assert_fails(close(fd), EBADF); /* this one does nothing */
    assert_int_equal(close(fd), 0);
}

SHIM_MAIN(TEST(emfile_is_as_rlimit_makes_it), TEST(emfile_comes_on_an_empty_queue),
          TEST(errors_of_bad_descriptors_are_as_the_kernels), TEST(eintr_is_as_a_signal_makes_it),
          TEST(bad_pointers_are_efault_under_socklen), TEST(bad_pointers_are_efault_under_family),
          TEST(efault_closes_the_connection), TEST(bad_length_leaves_the_buffer),
          TEST(bind_eaddrinuse_leaves_the_socket_unbound), TEST(listen_eaddrinuse_is_as_two_reusing_sockets_make_it),
          TEST(errors_at_start_are_as_the_kernels), TEST(bind_to_no_memory_is_efault),
          TEST(econnaborted_takes_one_and_resets_it), TEST(consuming_fault_on_an_empty_queue_is_eagain),
          TEST(blocking_listener_waits_for_a_client_to_abort), TEST(queue_keep_keeps_what_would_be_consumed),
          TEST(queue_drop_drops_what_would_be_kept), TEST(socklen_zero_touches_no_byte),
          TEST(socklen_writes_as_many_bytes_as_it_says), TEST(socklen_above_the_buffer_does_not_overrun_it),
          TEST(family_changes_the_family_alone), TEST(unix_address_of_111_bytes_is_reported_whole),
          TEST(call_without_address_is_no_match), TEST(flags_hold_under_socklen), TEST(flags_hold_under_fdmin),
          TEST(flags_hold_under_all_of_it), TEST(fdmin_that_can_not_be_had_is_missed),
          TEST(retval_leaves_the_connection), TEST(backlog_replaces_the_callers),
          TEST(delays_last_their_time_whatever_signals_come), TEST(signal_comes_to_the_calling_thread_before_the_call),
          TEST(close_with_eio_closes))
