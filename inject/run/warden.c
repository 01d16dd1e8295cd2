#include "run/warden.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    NEAR = 256,       /* ids on both sides of the last one that snag noted: it may have been between two steps */
    END_MS = 2000,    /* for the warden to go */
    STRANGE_MS = 100, /* between two looks where poll says what it should not */
};

int pass_fd(int socket, int fd)
{
    char byte = 0;
    struct iovec data = {&byte, 1};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.bytes = {0}};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    ssize_t sent;
    do
        sent = sendmsg(socket, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent == 1 ? 0 : -1;
}

int take_fd(int socket)
{
    char byte;
    int fd = -1;
    struct iovec data = {&byte, 1};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    ssize_t length;
    do
        length = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    while (length < 0 && errno == EINTR);
    struct cmsghdr *header = length == 1 ? CMSG_FIRSTHDR(&message) : NULL;
    if (header != NULL && header->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(header), sizeof fd);
    else if (length >= 0)
        errno = ECONNRESET;
    return fd;
}

static void let_through(int listener, uint64_t id)
{
    struct seccomp_notif_resp response = {.id = id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    if (id != 0)
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

/* What snag had taken and not answered; of a call that it took and could not even note, the id is near the last one. */
static void let_held_through(int listener, struct in_flight *in_flight)
{
    uint64_t last = atomic_load(&in_flight->last);
    for (size_t i = 0; i < IN_FLIGHT_MAX; i++)
        let_through(listener, atomic_load(&in_flight->ids[i]));
    for (uint64_t id = last > NEAR ? last - NEAR : 1; last != 0 && id <= last + NEAR; id++)
        let_through(listener, id);
}

/* Until no process is under the filter. */
static void let_all_through(int listener)
{
    struct pollfd entry = {.fd = listener, .events = POLLIN};
    for (;;) {
        int ready = poll(&entry, 1, -1);
        if (ready > 0 && (entry.revents & (POLLHUP | POLLERR | POLLNVAL)))
            return;
        if (ready <= 0 || !(entry.revents & POLLIN))
            continue;
        struct seccomp_notif notif;
        memset(&notif, 0, sizeof notif);
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &notif) == 0)
            let_through(listener, notif.id);
        else if (errno != EINTR && errno != ENOENT)
            poll(NULL, 0, STRANGE_MS);
    }
}

/* No descriptor of snag's may stay: not its output, which somebody reads to its end, and nothing of the server's. */
static void close_all_but(int fd)
{
    if (fd > 0)
        syscall(SYS_close_range, 0, fd - 1, 0);
    syscall(SYS_close_range, fd + 1, ~0U, 0);
}

static _Noreturn void run(int snag, struct board *board, struct in_flight *in_flight)
{
    char byte;
    ssize_t length;
    sigset_t all;
    sigfillset(&all); /* what is meant for snag's group is not meant for us */
    sigprocmask(SIG_SETMASK, &all, NULL);
    setsid();
    munmap(board, board->size); /* who has it mapped is killed as a leftover by the next session */
    close_all_but(snag);
    int listener = take_fd(snag);
    do
        length = read(snag, &byte, 1);
    while (length > 0 || (length < 0 && errno == EINTR));
    if (listener >= 0) {
        let_held_through(listener, in_flight);
        let_all_through(listener);
    }
    _exit(0);
}

int warden_start(struct board *board, struct in_flight *in_flight)
{
    int pair[2], status;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        if (fork() == 0) {
            close(pair[0]);
            run(pair[1], board, in_flight);
        }
        _exit(0);
    }
    close(pair[1]);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (pid > 0)
        return pair[0];
    close(pair[0]);
    return -1;
}

int warden_give(int warden, int listener)
{
    return pass_fd(warden, listener);
}

/* It reads our end, and ends at once if the server is gone: then its own end is closed. */
void warden_end(int warden)
{
    struct pollfd entry = {.fd = warden, .events = POLLIN};
    if (warden < 0)
        return;
    shutdown(warden, SHUT_WR);
    poll(&entry, 1, END_MS);
    close(warden);
}
