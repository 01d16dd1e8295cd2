/*
 * show.h - copies the arguments of a call, and what they point to, into its record, for `snag trace`.
 *
 *     if (show_wanted(&hook))
 *         show_bind(&hook, fd, address, length);
 *
 * Each show_CALL() comes after hook_enter() and before the call; the show_*_after() come when it has returned, before
 * hook_leave().  Pointers may lead anywhere: they are followed as the kernel would, and what can't be read is left out.
 * errno is kept.  Only calls that WANT_ARGUMENTS names pay more than a test of a bit.
 */
#ifndef SNAG_SHOW_H
#define SNAG_SHOW_H

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>

#include "hook.h"

static inline bool show_wanted(const struct hook *hook)
{
    return __builtin_expect((hook->want & WANT_ARGUMENTS) != 0, 0);
}

/* The arguments alone: for calls without pointers that matter. */
void show_words(struct hook *hook, long a, long b, long c);

void show_setsockopt(struct hook *hook, int fd, int level, int name, const void *value, socklen_t length);
void show_bind(struct hook *hook, int fd, const struct sockaddr *address, socklen_t length);

void show_getsockopt(struct hook *hook, int fd, int level, int name, const void *value, const socklen_t *length);
void show_getsockopt_after(struct hook *hook, int ret, const void *value, const socklen_t *length);

/* The calls that make two descriptors, at FDS. */
void show_socketpair(struct hook *hook, int domain, int type, int protocol, const int fds[2]);
void show_pipe(struct hook *hook, const int fds[2], int flags);
void show_pair_after(struct hook *hook, int ret, const int fds[2]);

/* accept, accept4, getsockname, getpeername: LENGTH is where the caller wants the address's length; FLAGS is accept4's. */
void show_name(struct hook *hook, int fd, const struct sockaddr *address, const socklen_t *length, int flags);

void show_fcntl(struct hook *hook, int fd, int command, const void *argument);
void show_fcntl_after(struct hook *hook, int command, const void *argument);

void show_ioctl(struct hook *hook, int fd, unsigned long request, const void *argument);
void show_ioctl_after(struct hook *hook, int ret, unsigned long request, const void *argument);

/* PARAMETERS is a struct io_uring_params. */
void show_io_uring_setup(struct hook *hook, unsigned entries, const void *parameters);
void show_io_uring_setup_after(struct hook *hook, int ret, const void *parameters);

/* TIME is any of the timeouts that are a struct, SIZE its bytes; NULL where the call has a number, TIMEOUT. */
void show_poll(struct hook *hook, const struct pollfd *fds, nfds_t count, long timeout, const struct timespec *time,
               const sigset_t *mask);
void show_poll_after(struct hook *hook, const struct pollfd *fds, nfds_t count);

/* TIME points to a struct timeval or timespec, which are of one size. */
void show_select(struct hook *hook, int count, const fd_set *const sets[3], const void *time, const sigset_t *mask);
void show_select_after(struct hook *hook, int ret, int count, const fd_set *const sets[3]);

void show_epoll_ctl(struct hook *hook, int epfd, int op, int fd, const struct epoll_event *event);
void show_epoll_wait(struct hook *hook, int epfd, const struct epoll_event *events, int count, long timeout,
                     const struct timespec *time, const sigset_t *mask);
void show_epoll_wait_after(struct hook *hook, int ret, const struct epoll_event *events);

/*
 * For hook.c: the payload of the record, with the *SIZE bytes of ADDRESS behind what is shown.  Returns it, and its size in
 * *SIZE.
 */
const void *show_payload(struct hook *hook, const void *address, size_t *size);

#endif
