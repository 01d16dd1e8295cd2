/*
 * caller - makes each call that snag wraps, on its own sockets of 127.0.0.1, and ends: what `snag trace` prints of it is
 * compared with what strace prints.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static int client_of(int listener)
{
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    int client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, IPPROTO_TCP);
    getsockname(listener, (struct sockaddr *)&address, &length);
    connect(client, (struct sockaddr *)&address, sizeof address);
    return client;
}

static int listener(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct linger linger = {.l_onoff = 1, .l_linger = 5};
    struct timeval time = {.tv_sec = 2, .tv_usec = 500000};
    int one = 1, size = 65536;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &one, 2);
    setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
    setsockopt(fd, SOL_SOCKET, 9999, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, NULL, sizeof one);
    bind(fd, (struct sockaddr *)&address, sizeof address);
    listen(fd, 16);
    return fd;
}

static void families(void)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_un path = {.sun_family = AF_UNIX, .sun_path = "/nowhere/at\tall \"q\""};
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0snag-caller"};
    struct sockaddr nothing = {.sa_family = AF_UNSPEC};
    struct sockaddr_un out;
    socklen_t length = sizeof out;
    int fd = socket(AF_INET6, SOCK_DGRAM, IPPROTO_UDP);
    int one = 1;
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    bind(fd, (struct sockaddr *)&six, sizeof six);
    listen(fd, -1);
    close(fd);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bind(fd, (struct sockaddr *)&path, sizeof path);
    bind(fd, (struct sockaddr *)&name, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 12));
    getsockname(fd, (struct sockaddr *)&out, &length);
    close(fd);
    socket(99, SOCK_STREAM, 0);
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    bind(fd, &nothing, sizeof nothing);
    bind(fd, NULL, 16);
    close(fd);
    close(-1);
}

static void accepts(int fd)
{
    struct sockaddr_storage peer;
    struct sockaddr_in exact;
    socklen_t length = sizeof peer;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    accept4(fd, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    int clients[] = {client_of(fd), client_of(fd), client_of(fd)};
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    while (poll(&entry, 1, 5000) < 0) {
    }
    close(accept4(fd, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
    length = sizeof exact;
    close(accept(fd, (struct sockaddr *)&exact, &length));
    close(accept4(fd, NULL, NULL, 0));
    accept(-1, NULL, NULL);
    for (size_t i = 0; i < sizeof clients / sizeof clients[0]; i++)
        close(clients[i]);
}

static void descriptors(int fd)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 1, .l_len = 2};
    int copy = fcntl(fd, F_DUPFD, 50);
    fcntl(copy, F_SETFD, FD_CLOEXEC);
    fcntl(copy, F_GETFD);
    close(copy);
    close(fcntl(fd, F_DUPFD_CLOEXEC, 60));
    fcntl(fd, F_SETOWN, 1);
    fcntl(-1, F_SETLK, &lock);
    fcntl(fd, 9999, 5);
}

static void copies(int fd)
{
    close(dup(fd));
    dup(-1);
    close(dup2(fd, 70));
    dup2(fd, fd);
    dup2(fd, 1 << 30);
    close(dup3(fd, 71, O_CLOEXEC));
    dup3(fd, fd, 0);
}

static void pairs(void)
{
    int pair[2];
    void *volatile nowhere = (void *)8;
    syscall(SYS_pipe2, pair, O_NONBLOCK | O_CLOEXEC);
    close(pair[0]);
    close(pair[1]);
    pipe2(pair, 0x40000000);
    pipe2(nowhere, 0);
    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
    close(pair[0]);
    close(pair[1]);
    socketpair(AF_INET, SOCK_STREAM, IPPROTO_TCP, pair);
    close(eventfd(3, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE));
    eventfd(0, 0x1234);
}

/* What strace has no decoder for, SO_RCVTIMEO again, is left out. */
static void options(int fd)
{
    int number, pair[2];
    char text[300];
    struct linger linger;
    struct ucred peer;
    socklen_t length = sizeof number;
    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &number, &length);
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &length);
    length = 2;
    getsockopt(fd, SOL_SOCKET, SO_TYPE, &number, &length);
    length = 0;
    getsockopt(fd, SOL_SOCKET, SO_TYPE, &number, &length);
    length = (socklen_t)-1;
    getsockopt(fd, SOL_SOCKET, SO_TYPE, &number, &length);
    length = sizeof linger;
    getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &length);
    length = sizeof text;
    getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, text, &length);
    length = sizeof text;
    getsockopt(fd, IPPROTO_TCP, TCP_INFO, text, &length);
    length = sizeof text;
    getsockopt(fd, SOL_SOCKET, 9999, text, &length);
    getsockopt(fd, 999, 9999, text, &length);
    getsockopt(fd, SOL_SOCKET, SO_TYPE, NULL, NULL);
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    length = sizeof peer;
    getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &peer, &length);
    close(pair[0]);
    close(pair[1]);
}

static void requests(int fd)
{
    int on = 1;
    int client = client_of(fd);
    ioctl(client, FIONBIO, &on);
    ioctl(client, FIOASYNC, &on);
    ioctl(client, FIONREAD, &on);
    ioctl(fd, FIONREAD, &on);
    ioctl(fd, FIOCLEX);
    ioctl(fd, TIOCGWINSZ, &on);
    ioctl(fd, FIONBIO, NULL);
    ioctl(-1, FIONBIO, &on);
    ioctl(fd, _IOR('q', 3, int), &on);
    ioctl(fd, _IO('q', 3), 0);
    close(client);
    close(accept(fd, NULL, NULL));
}

/* A peer that is there, none, and ends of a connection that are shut. */
static void peers(int fd)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    int client = client_of(fd);
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    while (poll(&entry, 1, 5000) < 0) {
    }
    getpeername(client, (struct sockaddr *)&peer, &length);
    getpeername(fd, (struct sockaddr *)&peer, &length);
    getpeername(-1, (struct sockaddr *)&peer, &length);
    getpeername(client, NULL, NULL);
    shutdown(client, SHUT_RD);
    shutdown(client, SHUT_WR);
    shutdown(client, SHUT_RDWR);
    shutdown(client, 9);
    shutdown(-1, SHUT_RDWR);
    close(client);
    close(accept(fd, NULL, NULL));
}

/* Where the kernel has no io_uring, or does not let us have it, all three are refused alike. */
static void rings(void)
{
    struct io_uring_params parameters = {.flags = IORING_SETUP_CQSIZE, .cq_entries = 64};
    long ring = syscall(SYS_io_uring_setup, 4, &parameters);
    if (ring >= 0)
        close((int)ring);
    syscall(SYS_io_uring_setup, 0, &parameters);
    syscall(SYS_io_uring_setup, 4, NULL);
}

static void waits(int fd)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = 77}, events[8];
    struct timespec little = {.tv_nsec = 1000};
    sigset_t mask;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int client = client_of(fd);
    struct pollfd entries[] = {{.fd = fd, .events = POLLIN | POLLPRI}, {.fd = -1}};
    poll(entries, 2, 5000);
    poll(NULL, 0, 0);
    poll(entries + 1, 1, 1);
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    epoll_wait(epoll, events, 8, -1);
    epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
    epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event);
    epoll_wait(epoll, events, 8, 0);
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    sigaddset(&mask, SIGTERM);
    epoll_pwait(epoll, events, 8, 0, &mask);
    epoll_pwait2(epoll, events, 8, &little, NULL);
    ppoll(entries, 1, &little, &mask);
    close(client);
    close(epoll);
    close(epoll_create(5));
}

/* Pointers that lead nowhere are the kernel's to refuse. */
static void bad_pointers(int fd)
{
    void *volatile nowhere = (void *)8; /* behind a volatile, or the compiler refuses it */
    void *bad = nowhere;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, bad, sizeof(int));
    bind(fd, bad, 16);
    accept4(fd, bad, bad, 0);
    getsockname(fd, bad, bad);
    poll(bad, 1, 0);
    epoll_ctl(fd, EPOLL_CTL_ADD, fd, bad);
    epoll_wait(fd, bad, 3, 0);
    fcntl(fd, F_SETLK, bad);
}

static void selects(int fd)
{
    fd_set in, out;
    struct timeval little = {.tv_usec = 1};
    struct timespec none = {0};
    int client = client_of(fd);
    FD_ZERO(&in);
    FD_SET(fd, &in);
    FD_ZERO(&out);
    select(fd + 1, &in, NULL, NULL, NULL);
    FD_SET(fd, &in);
    select(fd + 1, &in, &out, NULL, &little);
    close(accept(fd, NULL, NULL));
    close(accept(fd, NULL, NULL));
    close(client);
    little = (struct timeval){.tv_usec = 1};
    FD_SET(fd, &in);
    select(fd + 1, &in, NULL, NULL, &little);
    FD_SET(fd, &in);
    pselect(fd + 1, &in, NULL, NULL, &none, NULL);
}

int main(void)
{
    int fd = listener();
    families();
    accepts(fd);
    bad_pointers(fd);
    descriptors(fd);
    copies(fd);
    pairs();
    options(fd);
    requests(fd);
    peers(fd);
    rings();
    waits(fd);
    selects(fd);
    return close(fd);
}
