/*
 * wrap_wait.c - the poll, select and epoll families.  Until the server is ready, a wait on a listening socket is what
 * shows that it is.
 */
#include <errno.h>

#include "fds.h"
#include "hook.h"
#include "raw.h"
#include "real.h"
#include "show.h"

enum { KERNEL_SIGSET = 8 }; /* bytes of a signal mask */

/*
 * The first wait on a listening socket must be seen before it begins, and the entries may be no memory at all, which only
 * the kernel may find out.  So it is asked first, without waiting: that adds no system call but poll itself, which a
 * server's own sandbox allows.
 */
static int poll_and_see(struct pollfd *fds, nfds_t count, int timeout)
{
    int ret = REAL(poll)(fds, count, 0);
    if (ret >= 0)
        fds_ready_poll(fds, count);
    return ret == 0 && timeout != 0 ? REAL(poll)(fds, count, timeout) : ret;
}

static int ppoll_and_see(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
    static const struct timespec at_once = {0, 0};
    int ret = REAL(ppoll)(fds, count, &at_once, mask);
    if (ret >= 0)
        fds_ready_poll(fds, count);
    return ret == 0 ? REAL(ppoll)(fds, count, timeout, mask) : ret;
}

/* Must this wait be looked at? */
static bool shows_ready(const struct hook *hook)
{
    return (hook->want & WANT_READY) && fds_may_show_ready();
}

WRAPPER int poll(struct pollfd *fds, nfds_t count, int timeout)
{
    struct hook hook;
    if (!hook_enter(&hook, CALL_poll, -1))
        return REAL(poll)(fds, count, timeout);
    if (show_wanted(&hook))
        show_poll(&hook, fds, count, timeout, NULL, NULL);
    int ret = hook.replaced        ? hook.ret
              : shows_ready(&hook) ? poll_and_see(fds, count, timeout)
                                   : REAL(poll)(fds, count, timeout);
    if (show_wanted(&hook))
        show_poll_after(&hook, fds, count);
    return hook_leave(&hook, ret);
}

WRAPPER int __poll(struct pollfd *fds, nfds_t count, int timeout)
{
    return poll(fds, count, timeout);
}

/* What -D_FORTIFY_SOURCE calls.  A table that is too small for COUNT ends in libc's own abort. */
WRAPPER int __poll_chk(struct pollfd *fds, nfds_t count, int timeout, size_t size)
{
    if (size / sizeof *fds < count)
        return REAL(__poll_chk)(fds, count, timeout, size);
    return poll(fds, count, timeout);
}

WRAPPER int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
    struct hook hook;
    if (!hook_enter(&hook, CALL_ppoll, -1))
        return REAL(ppoll)(fds, count, timeout, mask);
    if (show_wanted(&hook))
        show_poll(&hook, fds, count, 0, timeout, mask);
    int ret = hook.replaced        ? hook.ret
              : shows_ready(&hook) ? ppoll_and_see(fds, count, timeout, mask)
                                   : REAL(ppoll)(fds, count, timeout, mask);
    if (show_wanted(&hook))
        show_poll_after(&hook, fds, count);
    return hook_leave(&hook, ret);
}

WRAPPER int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask,
                        size_t size)
{
    if (size / sizeof *fds < count)
        return REAL(__ppoll_chk)(fds, count, timeout, mask, size);
    return ppoll(fds, count, timeout, mask);
}

WRAPPER int select(int count, fd_set *in, fd_set *out, fd_set *except, struct timeval *timeout)
{
    struct hook hook;
    if (!hook_enter(&hook, CALL_select, -1))
        return REAL(select)(count, in, out, except, timeout);
    if (in && shows_ready(&hook))
        fds_ready_select(in, count);
    if (show_wanted(&hook))
        show_select(&hook, count, (const fd_set *const[]){in, out, except}, timeout, NULL);
    int ret = hook.replaced ? hook.ret : REAL(select)(count, in, out, except, timeout);
    if (show_wanted(&hook))
        show_select_after(&hook, ret, count, (const fd_set *const[]){in, out, except});
    return hook_leave(&hook, ret);
}

WRAPPER int __select(int count, fd_set *in, fd_set *out, fd_set *except, struct timeval *timeout)
{
    return select(count, in, out, except, timeout);
}

WRAPPER int pselect(int count, fd_set *in, fd_set *out, fd_set *except, const struct timespec *timeout,
                    const sigset_t *mask)
{
    struct hook hook;
    if (!hook_enter(&hook, CALL_pselect, -1))
        return REAL(pselect)(count, in, out, except, timeout, mask);
    if (in && shows_ready(&hook))
        fds_ready_select(in, count);
    if (show_wanted(&hook))
        show_select(&hook, count, (const fd_set *const[]){in, out, except}, timeout, mask);
    int ret = hook.replaced ? hook.ret : REAL(pselect)(count, in, out, except, timeout, mask);
    if (show_wanted(&hook))
        show_select_after(&hook, ret, count, (const fd_set *const[]){in, out, except});
    return hook_leave(&hook, ret);
}

WRAPPER int epoll_create(int size)
{
    struct hook hook;
    if (!hook_enter(&hook, CALL_epoll_create, -1))
        return REAL(epoll_create)(size);
    if (show_wanted(&hook))
        show_words(&hook, size, 0, 0);
    int ret = hook.replaced ? hook.ret : REAL(epoll_create)(size);
    return hook_leave(&hook, ret);
}

WRAPPER int epoll_create1(int flags)
{
    struct hook hook;
    if (!hook_enter(&hook, CALL_epoll_create1, -1))
        return REAL(epoll_create1)(flags);
    if (show_wanted(&hook))
        show_words(&hook, flags, 0, 0);
    int ret = hook.replaced ? hook.ret : REAL(epoll_create1)(flags);
    return hook_leave(&hook, ret);
}

WRAPPER int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
    struct hook hook;
    if (!hook_enter(&hook, CALL_epoll_ctl, fd))
        return REAL(epoll_ctl)(epfd, op, fd, event);
    if (show_wanted(&hook))
        show_epoll_ctl(&hook, epfd, op, fd, event);
    int ret = hook.replaced ? hook.ret : REAL(epoll_ctl)(epfd, op, fd, event);
    if (ret == 0 && op == EPOLL_CTL_ADD && !hook.replaced && (hook.want & WANT_READY))
        fds_watch(epfd, fd);
    return hook_leave(&hook, ret);
}

WRAPPER int epoll_wait(int epfd, struct epoll_event *events, int count, int timeout)
{
    struct hook hook;
    if (!hook_enter(&hook, CALL_epoll_wait, epfd))
        return REAL(epoll_wait)(epfd, events, count, timeout);
    if (shows_ready(&hook))
        fds_ready_epoll(epfd);
    if (show_wanted(&hook))
        show_epoll_wait(&hook, epfd, events, count, timeout, NULL, NULL);
    int ret = hook.replaced ? hook.ret : REAL(epoll_wait)(epfd, events, count, timeout);
    if (show_wanted(&hook))
        show_epoll_wait_after(&hook, ret, events);
    return hook_leave(&hook, ret);
}

WRAPPER int epoll_pwait(int epfd, struct epoll_event *events, int count, int timeout, const sigset_t *mask)
{
    struct hook hook;
    if (!hook_enter(&hook, CALL_epoll_pwait, epfd))
        return REAL(epoll_pwait)(epfd, events, count, timeout, mask);
    if (shows_ready(&hook))
        fds_ready_epoll(epfd);
    if (show_wanted(&hook))
        show_epoll_wait(&hook, epfd, events, count, timeout, NULL, mask);
    int ret = hook.replaced ? hook.ret : REAL(epoll_pwait)(epfd, events, count, timeout, mask);
    if (show_wanted(&hook))
        show_epoll_wait_after(&hook, ret, events);
    return hook_leave(&hook, ret);
}

/* libc has a function for it since glibc 2.35, and musl has none; programs make the system call. */
static int really_epoll_pwait2(int epfd, struct epoll_event *events, int count, const struct timespec *timeout,
                               const sigset_t *mask)
{
    if (REAL(epoll_pwait2))
        return REAL(epoll_pwait2)(epfd, events, count, timeout, mask);
    long ret = snag_raw(SYS_epoll_pwait2, epfd, raw_pointer(events), count, raw_pointer(timeout), raw_pointer(mask),
                        KERNEL_SIGSET);
    if (ret >= 0)
        return (int)ret;
    errno = (int)-ret;
    return -1;
}

WRAPPER int epoll_pwait2(int epfd, struct epoll_event *events, int count, const struct timespec *timeout,
                         const sigset_t *mask)
{
    struct hook hook;
    if (!hook_enter(&hook, CALL_epoll_pwait2, epfd))
        return really_epoll_pwait2(epfd, events, count, timeout, mask);
    if (shows_ready(&hook))
        fds_ready_epoll(epfd);
    if (show_wanted(&hook))
        show_epoll_wait(&hook, epfd, events, count, 0, timeout, mask);
    int ret = hook.replaced ? hook.ret : really_epoll_pwait2(epfd, events, count, timeout, mask);
    if (show_wanted(&hook))
        show_epoll_wait_after(&hook, ret, events);
    return hook_leave(&hook, ret);
}
