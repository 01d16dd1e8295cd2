/*
 * wrap_syscall.c - where arch.S sends syscall() for the numbers of calls.def, while there is a session.
 *
 * They go through the same wrappers as libc's own names.  ppoll and pselect6 can't: the kernel's forms write the time
 * that is left, and take the size of the mask, which libc's do not.  io_uring_setup has no name in libc.
 */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fds.h"
#include "hook.h"
#include "memory.h"
#include "raw.h"
#include "real.h"
#include "show.h"

/* Called from arch.S. */
long snag_syscall_hook(long number, long a, long b, long c, long d, long e, long f);
long snag_syscall_error(long result);

long snag_syscall_error(long result)
{
    errno = (int)-result;
    return -1;
}

static void *pointer(long value)
{
    return (void *)(intptr_t)value;
}

/* The kernel's forms: pselect6's last argument leads to the mask, and is left out. */
static void show_raw_wait(struct hook *hook, long a, long b, long c, long d, long e)
{
    if (hook->call == CALL_ppoll)
        show_poll(hook, pointer(a), (nfds_t)b, 0, pointer(c), pointer(d));
    else
        show_select(hook, (int)a, (const fd_set *const[]){pointer(b), pointer(c), pointer(d)}, pointer(e), NULL);
}

static void show_raw_wait_after(struct hook *hook, long ret, long a, long b, long c, long d)
{
    if (hook->call == CALL_ppoll)
        show_poll_after(hook, pointer(a), (nfds_t)b);
    else
        show_select_after(hook, (int)ret, (int)a, (const fd_set *const[]){pointer(b), pointer(c), pointer(d)});
}

static long raw_wait(enum call call, long number, long a, long b, long c, long d, long e, long f)
{
    struct hook hook;
    bool hooked = hook_enter(&hook, call, -1);
    bool see = hooked && (hook.want & WANT_READY) && fds_may_show_ready();
    if (see && call == CALL_ppoll && REAL(poll)(pointer(a), (nfds_t)b, 0) >= 0)
        fds_ready_poll(pointer(a), (unsigned long)b);
    if (see && call == CALL_pselect && b)
        fds_ready_select(pointer(b), (int)a);
    if (hooked && show_wanted(&hook))
        show_raw_wait(&hook, a, b, c, d, e);
    long ret = hooked && hook.replaced ? hook.ret : snag_raw(number, a, b, c, d, e, f);
    if (ret < 0 && !(hooked && hook.replaced))
        ret = snag_syscall_error(ret);
    if (hooked && show_wanted(&hook))
        show_raw_wait_after(&hook, ret, a, b, c, d);
    return hooked ? hook_leave(&hook, (int)ret) : ret;
}

static long io_uring_setup(long number, long entries, long parameters)
{
    struct hook hook;
    bool hooked = hook_enter(&hook, CALL_io_uring_setup, -1);
    if (hooked && show_wanted(&hook))
        show_io_uring_setup(&hook, (unsigned)entries, pointer(parameters));
    long ret = hooked && hook.replaced ? hook.ret : raw2(number, entries, parameters);
    if (ret < 0 && !(hooked && hook.replaced))
        ret = snag_syscall_error(ret);
    if (hooked && show_wanted(&hook))
        show_io_uring_setup_after(&hook, (int)ret, pointer(parameters));
    return hooked ? hook_leave(&hook, (int)ret) : ret;
}

/* What is wrapped for its own sake. */
static long other_syscall(enum other_syscall other, long a, long b, long c, long d, long e)
{
    long ret = 0;
    switch (other) {
    case OTHER_CLOSE_RANGE:
        return close_range((unsigned)a, (unsigned)b, (int)c);
    case OTHER_EVENTFD: /* the older form, without flags */
        return eventfd((unsigned)a, 0);
    case OTHER_EXECVE:
        return execve(pointer(a), pointer(b), pointer(c));
    case OTHER_EXECVEAT:
        return execveat((int)a, pointer(b), pointer(c), pointer(d), (int)e);
    case OTHER_SECCOMP: /* has no name in libc; libseccomp makes it so */
        snag_filtered = true;
        ret = raw3(SYS_seccomp, a, b, c);
        return ret < 0 ? snag_syscall_error(ret) : ret;
    }
    return snag_syscall_error(-ENOSYS);
}

long snag_syscall_hook(long number, long a, long b, long c, long d, long e, long f)
{
    if (snag_syscalls[number] > CALL_COUNT)
        return other_syscall((enum other_syscall)snag_syscalls[number], a, b, c, d, e);
    enum call call = (enum call)(snag_syscalls[number] - 1);
    switch (call) {
    case CALL_socket:
        return socket((int)a, (int)b, (int)c);
    case CALL_socketpair:
        return socketpair((int)a, (int)b, (int)c, pointer(d));
    case CALL_setsockopt:
        return setsockopt((int)a, (int)b, (int)c, pointer(d), (socklen_t)e);
    case CALL_getsockopt:
        return getsockopt((int)a, (int)b, (int)c, pointer(d), pointer(e));
    case CALL_bind:
        return bind((int)a, pointer(b), (socklen_t)c);
    case CALL_listen:
        return listen((int)a, (int)b);
    case CALL_accept:
        return accept((int)a, pointer(b), pointer(c));
    case CALL_accept4:
        return accept4((int)a, pointer(b), pointer(c), (int)d);
    case CALL_getsockname:
        return getsockname((int)a, pointer(b), pointer(c));
    case CALL_getpeername:
        return getpeername((int)a, pointer(b), pointer(c));
    case CALL_shutdown:
        return shutdown((int)a, (int)b);
    case CALL_fcntl:
        return fcntl((int)a, (int)b, pointer(c));
    case CALL_ioctl:
        return ioctl((int)a, (unsigned long)b, pointer(c));
    case CALL_close:
        return close((int)a);
    case CALL_dup:
        return dup((int)a);
    case CALL_dup2:
        return dup2((int)a, (int)b);
    case CALL_dup3:
        return dup3((int)a, (int)b, (int)c);
    case CALL_pipe:
        return pipe(pointer(a));
    case CALL_pipe2:
        return pipe2(pointer(a), (int)b);
    case CALL_eventfd:
        return eventfd((unsigned)a, (int)b);
    case CALL_poll:
        return poll(pointer(a), (nfds_t)b, (int)c);
    case CALL_select:
        return select((int)a, pointer(b), pointer(c), pointer(d), pointer(e));
    case CALL_epoll_create:
        return epoll_create((int)a);
    case CALL_epoll_create1:
        return epoll_create1((int)a);
    case CALL_epoll_ctl:
        return epoll_ctl((int)a, (int)b, (int)c, pointer(d));
    case CALL_epoll_wait:
        return epoll_wait((int)a, pointer(b), (int)c, (int)d);
    case CALL_epoll_pwait:
        return epoll_pwait((int)a, pointer(b), (int)c, (int)d, pointer(e));
    case CALL_epoll_pwait2:
        return epoll_pwait2((int)a, pointer(b), (int)c, pointer(d), pointer(e));
    case CALL_io_uring_setup:
        return io_uring_setup(number, a, b);
    case CALL_ppoll:
    case CALL_pselect:
    case CALL_COUNT:
        break;
    }
    return raw_wait(call, number, a, b, c, d, e, f);
}
