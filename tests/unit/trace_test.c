/* How records become the lines of `snag trace`: each call from a record made by hand, and records that no shim writes. */
#include "harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>

#include "engine/rule.h"
#include "trace/strace.h"

static struct {
    struct event event;
    struct event_arguments arguments;
    unsigned char bytes[EVENT_PAYLOAD_MAX - sizeof(struct event_arguments)];
} record;
static unsigned actions;

/* Starts a record of CALL that returned RET, with errno ERROR, given the six words. */
static void make(enum call call, int ret, int error, const int64_t words[6])
{
    memset(&record, 0, sizeof record);
    actions = 0;
    record.event.kind = EVENT_CALL;
    record.event.call = (uint16_t)call;
    record.event.fd = -1;
    record.event.tid = 812;
    record.event.ret = ret;
    record.event.err = (uint16_t)error;
    record.event.flags = EVENT_ARGUMENTS;
    record.event.payload = sizeof record.arguments;
    memcpy(record.arguments.words, words, sizeof record.arguments.words);
}

#define MAKE(call, ret, error, ...) make(CALL_##call, ret, error, (const int64_t[6]){__VA_ARGS__})

static void add(const void *bytes, size_t length)
{
    memcpy((unsigned char *)&record.arguments + record.event.payload, bytes, length);
    record.event.payload = (uint16_t)(record.event.payload + length);
}

static void add_before(const void *bytes, size_t length)
{
    add(bytes, length);
    record.arguments.before = (uint16_t)(record.arguments.before + length);
}

static void add_after(const void *bytes, size_t length)
{
    add(bytes, length);
    record.arguments.after = (uint16_t)(record.arguments.after + length);
}

/* Asserts that the record's line is WANT; blanks before the = do not count. */
static void expect(const char *want)
{
    char line[STRACE_LINE_MAX], squeezed[STRACE_LINE_MAX];
    size_t length = strace_line(line, &record.event, &record.arguments, actions, false), to = 0;
    assert_int_equal(length, strlen(line));
    assert_int_equal(line[length - 1], '\n');
    line[length - 1] = '\0';
    for (size_t i = 0; line[i] != '\0'; i++)
        if (line[i] != ' ' || line[i + 1] != ' ')
            squeezed[to++] = line[i];
    squeezed[to] = '\0';
    assert_string_equal(squeezed, want);
}

static void sockets(void **state)
{
    (void)state;
    MAKE(socket, 3, 0, AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    expect("socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC|SOCK_NONBLOCK, IPPROTO_TCP) = 3");
    MAKE(socket, -1, EAFNOSUPPORT, 99, SOCK_DGRAM, 0);
    expect("socket(0x63 /* AF_??? */, SOCK_DGRAM, 0) = -1 EAFNOSUPPORT (Address family not supported by protocol)");
    MAKE(listen, 0, 0, 3, -1);
    expect("listen(3, -1) = 0");
}

static void options(void **state)
{
    (void)state;
    int one = 1;
    struct linger linger = {1, 5};
    struct timeval time = {2, 500000};
    MAKE(setsockopt, 0, 0, 3, SOL_SOCKET, SO_REUSEADDR, 0x1000, 4);
    add_before(&one, sizeof one);
    expect("setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0");
    MAKE(setsockopt, 0, 0, 3, SOL_SOCKET, SO_LINGER, 0x1000, 8);
    add_before(&linger, sizeof linger);
    expect("setsockopt(3, SOL_SOCKET, SO_LINGER, {l_onoff=1, l_linger=5}, 8) = 0");
    MAKE(setsockopt, 0, 0, 3, SOL_SOCKET, SO_RCVTIMEO, 0x1000, 16);
    add_before(&time, sizeof time);
    expect("setsockopt(3, SOL_SOCKET, SO_RCVTIMEO, {tv_sec=2, tv_usec=500000}, 16) = 0");
    MAKE(setsockopt, -1, EINVAL, 3, IPPROTO_TCP, 13, 0x1000, 3);
    add_before("\1\0007", 3);
    expect("setsockopt(3, SOL_TCP, TCP_CONGESTION, \"\\1\\0007\", 3) = -1 EINVAL (Invalid argument)");
    MAKE(setsockopt, -1, EFAULT, 3, IPPROTO_IPV6, 26, 0, 4);
    expect("setsockopt(3, SOL_IPV6, IPV6_V6ONLY, NULL, 4) = -1 EFAULT (Bad address)");
    MAKE(setsockopt, -1, EFAULT, 3, 777, 1, 0x10, 4);
    expect("setsockopt(3, 0x309 /* SOL_?? */, 1, 0x10, 4) = -1 EFAULT (Bad address)");
}

/* The value is what came back, and of the length what it was and what it became. */
static void options_read(void **state)
{
    (void)state;
    int one = 1;
    socklen_t length;
    struct ucred peer = {.pid = 7, .uid = 1, .gid = 2};
    MAKE(getsockopt, 0, 0, 3, SOL_SOCKET, SO_ACCEPTCONN, 0x1000, 0x2000);
    record.event.arg = record.arguments.length = length = 4;
    add_before(&length, sizeof length);
    add_after(&one, sizeof one);
    expect("getsockopt(3, SOL_SOCKET, SO_ACCEPTCONN, [1], [4]) = 0");
    record.arguments.length = 8;
    expect("getsockopt(3, SOL_SOCKET, SO_ACCEPTCONN, [1], [8 => 4]) = 0");
    MAKE(getsockopt, 0, 0, 3, SOL_SOCKET, SO_PEERCRED, 0x1000, 0x2000);
    record.event.arg = record.arguments.length = length = sizeof peer;
    add_before(&length, sizeof length);
    add_after(&peer, sizeof peer);
    expect("getsockopt(3, SOL_SOCKET, SO_PEERCRED, {pid=7, uid=1, gid=2}, [12]) = 0");
    MAKE(getsockopt, 0, 0, 3, IPPROTO_TCP, 11, 0x1000, 0x2000);
    record.arguments.length = length = 300;
    record.event.arg = 280;
    add_before(&length, sizeof length);
    add_after("12345678901234567890123456789012", 32);
    expect("getsockopt(3, SOL_TCP, TCP_INFO, \"12345678901234567890123456789012\"..., [300 => 280]) = 0");
    MAKE(getsockopt, -1, EINVAL, 3, SOL_SOCKET, SO_TYPE, 0x1000, 0x2000);
    record.arguments.length = length = (socklen_t)-1;
    add_before(&length, sizeof length);
    expect("getsockopt(3, SOL_SOCKET, SO_TYPE, 0x1000, [-1]) = -1 EINVAL (Invalid argument)");
}

static void pairs(void **state)
{
    (void)state;
    int pair[2] = {5, 6};
    MAKE(socketpair, 0, 0, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, 0x1000);
    add_after(pair, sizeof pair);
    expect("socketpair(AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC, 0, [5, 6]) = 0");
    MAKE(socketpair, -1, EOPNOTSUPP, AF_INET, SOCK_STREAM, IPPROTO_TCP, 0x1000);
    expect("socketpair(AF_INET, SOCK_STREAM, 6, 0x1000) = -1 EOPNOTSUPP (Operation not supported)");
    MAKE(pipe, 0, 0, 0x1000);
    add_after(pair, sizeof pair);
    expect("pipe([5, 6]) = 0");
    MAKE(pipe2, 0, 0, 0x1000, O_NONBLOCK | O_CLOEXEC);
    add_after(pair, sizeof pair);
    expect("pipe2([5, 6], O_NONBLOCK|O_CLOEXEC) = 0");
    MAKE(pipe2, -1, EMFILE, 0x1000, 0);
    expect("pipe2(0x1000, 0) = -1 EMFILE (Too many open files)");
    MAKE(eventfd, 5, 0, 2, EFD_SEMAPHORE | EFD_CLOEXEC | EFD_NONBLOCK);
    expect("eventfd(2, EFD_SEMAPHORE|EFD_CLOEXEC|EFD_NONBLOCK) = 5");
}

static void requests(void **state)
{
    (void)state;
    int one = 1;
    MAKE(ioctl, 0, 0, 3, FIONBIO, 0x1000);
    add_before(&one, sizeof one);
    expect("ioctl(3, FIONBIO, [1]) = 0");
    MAKE(ioctl, 0, 0, 3, FIONREAD, 0x1000);
    add_after(&one, sizeof one);
    expect("ioctl(3, FIONREAD, [1]) = 0");
    MAKE(ioctl, -1, EINVAL, 3, FIONREAD, 0x1000);
    expect("ioctl(3, FIONREAD, 0x1000) = -1 EINVAL (Invalid argument)");
    MAKE(ioctl, -1, EFAULT, 3, FIONBIO, 0);
    expect("ioctl(3, FIONBIO, NULL) = -1 EFAULT (Bad address)");
    MAKE(ioctl, 0, 0, 3, FIOCLEX, 0x77);
    expect("ioctl(3, FIOCLEX) = 0");
    MAKE(ioctl, -1, ENOTTY, 3, _IOWR('z', 200, char[40]), 0);
    expect("ioctl(3, _IOC(_IOC_READ|_IOC_WRITE, 0x7a, 0xc8, 0x28), 0) = -1 ENOTTY (Inappropriate ioctl for device)");
}

static void rings(void **state)
{
    (void)state;
    struct io_uring_params asked = {.flags = IORING_SETUP_CQSIZE, .cq_entries = 64}, made = asked;
    made.sq_entries = 4;
    made.features = IORING_FEAT_NODROP;
    MAKE(io_uring_setup, -1, ENOSYS, 4, 0x1000);
    add_before(&asked, sizeof asked);
    expect("io_uring_setup(4, {flags=IORING_SETUP_CQSIZE, sq_thread_cpu=0, sq_thread_idle=0}) = -1 ENOSYS "
           "(Function not implemented)");
    MAKE(io_uring_setup, 5, 0, 4, 0x1000);
    add_before(&asked, sizeof asked);
    add_after(&made, sizeof made);
    expect(
        "io_uring_setup(4, {flags=IORING_SETUP_CQSIZE, sq_thread_cpu=0, sq_thread_idle=0, sq_entries=4, "
        "cq_entries=64, features=IORING_FEAT_NODROP, sq_off={head=0, tail=0, ring_mask=0, ring_entries=0, flags=0, "
        "dropped=0, array=0}, cq_off={head=0, tail=0, ring_mask=0, ring_entries=0, overflow=0, cqes=0, flags=0}}) = 5");
}

static void addresses(void **state)
{
    (void)state;
    struct sockaddr_in inet = {.sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = htonl(0x7f000001)};
    struct sockaddr_in6 inet6 = {.sin6_family = AF_INET6, .sin6_port = htons(81), .sin6_scope_id = 2};
    struct sockaddr_un path = {.sun_family = AF_UNIX, .sun_path = "/tmp/a \"b\"\n"};
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0na\0me"};
    MAKE(bind, 0, 0, 3, 0x1000, 16);
    add(&inet, sizeof inet);
    expect("bind(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr(\"127.0.0.1\")}, 16) = 0");
    MAKE(bind, -1, EADDRINUSE, 3, 0x1000, 28);
    add(&inet6, sizeof inet6);
    expect("bind(3, {sa_family=AF_INET6, sin6_port=htons(81), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, \"::\", "
           "&sin6_addr), sin6_scope_id=2}, 28) = -1 EADDRINUSE (Address already in use)");
    MAKE(bind, 0, 0, 3, 0x1000, 110);
    add(&path, sizeof path);
    expect("bind(3, {sa_family=AF_UNIX, sun_path=\"/tmp/a \\\"b\\\"\\n\"}, 110) = 0");
    MAKE(bind, 0, 0, 3, 0x1000, 8);
    add(&name, 8);
    expect("bind(3, {sa_family=AF_UNIX, sun_path=@\"na\\0me\"}, 8) = 0");
    MAKE(bind, -1, EFAULT, 3, 0x1000, 16);
    expect("bind(3, 0x1000, 16) = -1 EFAULT (Bad address)");
}

static void accepts(void **state)
{
    (void)state;
    struct sockaddr_in inet = {.sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = htonl(0x7f000001)};
    MAKE(accept4, 7, 0, 3, 0x1000, 0x2000, SOCK_NONBLOCK | SOCK_CLOEXEC);
    record.arguments.length = 128;
    record.event.arg = 16;
    add_before(&record.arguments.length, 4);
    add(&inet, sizeof inet);
    expect("accept4(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr(\"127.0.0.1\")}, [128 => 16], "
           "SOCK_CLOEXEC|SOCK_NONBLOCK) = 7");
    record.arguments.length = 16;
    expect("accept4(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr(\"127.0.0.1\")}, [16], "
           "SOCK_CLOEXEC|SOCK_NONBLOCK) = 7");
    MAKE(accept, -1, EAGAIN, 3, 0x1000, 0x2000);
    record.arguments.length = 128;
    add_before(&record.arguments.length, 4);
    expect("accept(3, 0x1000, [128]) = -1 EAGAIN (Resource temporarily unavailable)");
    MAKE(accept, -1, EFAULT, 3, 0x1000, 0x2000);
    expect("accept(3, 0x1000, 0x2000) = -1 EFAULT (Bad address)");
    MAKE(accept, 7, 0, 3, 0, 0); /* the peer is known all the same */
    add(&inet, sizeof inet);
    expect("accept(3, NULL, NULL) = 7");
    MAKE(getsockname, 0, 0, 3, 0x1000, 0x2000);
    record.event.arg = record.arguments.length = 16;
    add_before(&record.arguments.length, 4);
    add(&inet, sizeof inet);
    expect("getsockname(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr(\"127.0.0.1\")}, [16]) = 0");
}

static void descriptors(void **state)
{
    (void)state;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_END, .l_start = 1, .l_len = 2};
    MAKE(close, -1, EBADF, -1);
    expect("close(-1) = -1 EBADF (Bad file descriptor)");
    MAKE(fcntl, 0, 0, 3, F_SETFL, O_RDWR | O_NONBLOCK);
    expect("fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0");
    MAKE(fcntl, O_RDWR | O_APPEND, 0, 3, F_GETFL, 0x1234);
    expect("fcntl(3, F_GETFL) = 0x402 (flags O_RDWR|O_APPEND)");
    MAKE(fcntl, 0, 0, 3, F_GETFD);
    expect("fcntl(3, F_GETFD) = 0");
    MAKE(fcntl, 50, 0, 3, F_DUPFD_CLOEXEC, 50);
    expect("fcntl(3, F_DUPFD_CLOEXEC, 50) = 50");
    MAKE(fcntl, 0, 0, 3, F_SETLK, 0x1000);
    add_before(&lock, sizeof lock);
    expect("fcntl(3, F_SETLK, {l_type=F_WRLCK, l_whence=SEEK_END, l_start=1, l_len=2}) = 0");
    MAKE(fcntl, -1, EINVAL, 3, 999, 5);
    expect("fcntl(3, 0x3e7 /* F_??? */, 0x5) = -1 EINVAL (Invalid argument)");
    MAKE(dup, 4, 0, 3);
    expect("dup(3) = 4");
    MAKE(dup2, 40, 0, 3, 40);
    expect("dup2(3, 40) = 40");
    MAKE(dup3, 41, 0, 3, 41, O_CLOEXEC);
    expect("dup3(3, 41, O_CLOEXEC) = 41");
    MAKE(shutdown, 0, 0, 3, SHUT_RDWR);
    expect("shutdown(3, SHUT_RDWR) = 0");
    MAKE(shutdown, -1, EINVAL, 3, 9);
    expect("shutdown(3, 0x9 /* SHUT_??? */) = -1 EINVAL (Invalid argument)");
}

static void polls(void **state)
{
    (void)state;
    struct pollfd entries[] = {{.fd = 3, .events = POLLIN | POLLPRI, .revents = POLLIN}, {.fd = -1}};
    struct timespec time = {1, 5};
    uint64_t mask = (UINT64_C(1) << (SIGUSR1 - 1)) | (UINT64_C(1) << (SIGTERM - 1)), most = ~mask;
    MAKE(poll, 1, 0, 0x1000, 2, -1);
    add_after(entries, sizeof entries);
    expect("poll([{fd=3, events=POLLIN|POLLPRI}, {fd=-1}], 2, -1) = 1 ([{fd=3, revents=POLLIN}])");
    MAKE(poll, 0, 0, 0, 0, 100);
    expect("poll(NULL, 0, 100) = 0 (Timeout)");
    MAKE(poll, -1, EINTR, 0x1000, 900, 5);
    add_after(entries, sizeof entries);
    expect("poll([{fd=3, events=POLLIN|POLLPRI}, {fd=-1}, ...], 900, 5) = -1 EINTR (Interrupted system call)");
    MAKE(ppoll, 0, 0, 0x1000, 1, 0x2000, 0x3000);
    add_before(&time, sizeof time);
    add_before(&mask, sizeof mask);
    add_after(entries, sizeof entries[0]);
    expect("ppoll([{fd=3, events=POLLIN|POLLPRI}], 1, {tv_sec=1, tv_nsec=5}, [USR1 TERM], 8) = 0 (Timeout)");
    MAKE(epoll_pwait, 0, 0, 4, 0x1000, 8, 5, 0x3000);
    add_before(&most, sizeof most);
    expect("epoll_pwait(4, [], 8, 5, ~[USR1 TERM], 8) = 0");
}

static void selects(void **state)
{
    (void)state;
    uint64_t in[2] = {UINT64_C(1) << 3 | UINT64_C(1) << 7, 2}, found[2] = {UINT64_C(1) << 7, 0};
    struct timeval time = {1, 2};
    MAKE(select, 1, 0, 66, 0x1000, 0, 0, 0x2000);
    add_before(in, sizeof in);
    add_before(&time, sizeof time);
    add_after(found, sizeof found);
    expect("select(66, [3 7 65], NULL, NULL, {tv_sec=1, tv_usec=2}) = 1 (in [7])");
    MAKE(pselect, 0, 0, 4, 0x1000, 0x2000, 0, 0, 0);
    add_before(in, 8);
    add_before(found, 8);
    expect("pselect(4, [3], [], NULL, NULL, NULL) = 0 (Timeout)");
}

static void epolls(void **state)
{
    (void)state;
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = 7};
    struct timespec time = {0, 9};
    MAKE(epoll_create, 4, 0, 5);
    expect("epoll_create(5) = 4");
    MAKE(epoll_create1, 4, 0, EPOLL_CLOEXEC);
    expect("epoll_create1(EPOLL_CLOEXEC) = 4");
    MAKE(epoll_ctl, 0, 0, 4, EPOLL_CTL_ADD, 3, 0x1000);
    add_before(&event, sizeof event);
    expect("epoll_ctl(4, EPOLL_CTL_ADD, 3, {events=EPOLLIN|EPOLLET, data={u32=7, u64=7}}) = 0");
    MAKE(epoll_ctl, 0, 0, 4, EPOLL_CTL_DEL, 3, 0);
    expect("epoll_ctl(4, EPOLL_CTL_DEL, 3, NULL) = 0");
    MAKE(epoll_wait, 2, 0, 4, 0x1000, 8, -1);
    add_after(&event, sizeof event);
    expect("epoll_wait(4, [{events=EPOLLIN|EPOLLET, data={u32=7, u64=7}}, ...], 8, -1) = 2");
    MAKE(epoll_pwait2, -1, EINTR, 4, 0x1000, 8, 0x2000, 0);
    add_before(&time, sizeof time);
    expect("epoll_pwait2(4, 0x1000, 8, {tv_sec=0, tv_nsec=9}, NULL, 8) = -1 EINTR (Interrupted system call)");
}

static void expect_mark(unsigned flags, unsigned rule_actions, const char *mark)
{
    char want[200];
    MAKE(close, 0, 0, 3);
    record.event.flags |= (uint16_t)flags;
    actions = rule_actions;
    snprintf(want, sizeof want, "close(3) = 0%s", mark);
    expect(want);
}

static void marks(void **state)
{
    (void)state;
    expect_mark(EVENT_INJECTED, ACT_FAIL, " (INJECTED)");
    expect_mark(EVENT_INJECTED, ACT_DELAY_EXIT, " (DELAYED)");
    expect_mark(EVENT_INJECTED, ACT_FAIL | ACT_DELAY_ENTER, " (INJECTED) (DELAYED)");
    expect_mark(EVENT_INJECTED, ACT_BACKLOG, " (INJECTED: args)");
    expect_mark(EVENT_INJECTED, ACT_SOCKLEN | ACT_FDMIN, " (INJECTED: args, retval)");
    expect_mark(EVENT_MISSED, ACT_FAIL, " (MISSED)");
    expect_mark(EVENT_YIELDED, ACT_FAIL, " (YIELDED)");
    expect_mark(0, ACT_FAIL, "");
}

/* strace's columns: the = is in the 41st where there is room, whatever the prefix. */
static void columns(void **state)
{
    (void)state;
    char line[STRACE_LINE_MAX];
    MAKE(close, 0, 0, 3);
    strace_line(line, &record.event, &record.arguments, 0, false);
    assert_string_equal(line, "close(3)                                = 0\n");
    strace_line(line, &record.event, &record.arguments, 0, true);
    assert_string_equal(line, "[pid   812] close(3)                    = 0\n");
    MAKE(close, -1, 4000, 3);
    expect("close(3) = -1 ERRNO_4000 (Unknown error 4000)");
}

/* A rule may act on a call whose arguments nobody asked for. */
static void without_arguments(void **state)
{
    (void)state;
    MAKE(accept4, -1, EMFILE, 0);
    record.event.flags = EVENT_INJECTED;
    record.event.payload = 0;
    record.event.fd = 6;
    actions = ACT_FAIL;
    expect("accept4(6, ...) = -1 EMFILE (Too many open files) (INJECTED)");
}

static void each_call_is_decoded(void **state)
{
    (void)state;
    char line[STRACE_LINE_MAX];
    for (enum call call = 0; call < CALL_COUNT; call++) {
        make(call, 0, 0, (const int64_t[6]){0});
        strace_line(line, &record.event, &record.arguments, 0, false);
        assert_null(strstr(line, "..."));
    }
}

/* What a target wrote over its ring: any bytes give a line that ends, and ASan sees that nothing else is read. */
static void nonsense_gives_a_line(void **state)
{
    (void)state;
    static char line[STRACE_LINE_MAX];
    srand(1);
    for (int round = 0; round < 20000; round++) {
        unsigned char *payload = malloc(EVENT_PAYLOAD_MAX);
        size_t length = (size_t)rand() % (EVENT_PAYLOAD_MAX + 1);
        for (size_t i = 0; i < length; i++)
            payload[i] = (unsigned char)(rand() % 3 ? rand() : 0);
        struct event event = {.kind = EVENT_CALL, .flags = (uint16_t)(rand() | EVENT_ARGUMENTS)};
        event.call = (uint16_t)(rand() % (CALL_COUNT + 2));
        event.ret = rand() % 5 ? rand() % 9 - 1 : -rand();
        event.err = (uint16_t)rand();
        event.payload = (uint16_t)length;
        if (length >= sizeof(struct event_arguments) && rand() % 2) { /* lengths that could be */
            struct event_arguments arguments;
            memcpy(&arguments, payload, sizeof arguments);
            arguments.before = (uint16_t)((size_t)rand() % (length - sizeof arguments + 1));
            arguments.after = (uint16_t)((size_t)rand() % (length - sizeof arguments - arguments.before + 1));
            memcpy(payload, &arguments, sizeof arguments);
        }
        unsigned char *tight = realloc(payload, length ? length : 1); /* ends where the payload ends */
        assert_non_null(tight);
        size_t size = strace_line(line, &event, tight, (unsigned)rand(), rand() % 2);
        assert_true(size > 0 && size < STRACE_LINE_MAX);
        assert_int_equal(strlen(line), size);
        assert_ptr_equal(strchr(line, '\n'), line + size - 1);
        free(tight);
    }
}

TEST_MAIN(TEST(sockets), TEST(options), TEST(options_read), TEST(pairs), TEST(requests), TEST(rings), TEST(addresses),
          TEST(accepts), TEST(descriptors), TEST(polls), TEST(selects), TEST(epolls), TEST(marks), TEST(columns),
          TEST(without_arguments), TEST(each_call_is_decoded), TEST(nonsense_gives_a_line))
