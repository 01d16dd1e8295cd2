/*
 * caller - makes each call that snag wraps, on its own sockets of 127.0.0.1, and ends: what `snag trace` prints of it is
 * compared with what strace prints.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
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
    waits(fd);
    selects(fd);
    return close(fd);
}
