/*
 * wrap_fd.c - fcntl, ioctl, close and the dup family, and what else frees descriptors.
 *
 * What is freed matters to rules that inject EMFILE or ENFILE (room for one more call) and to those that count by
 * descriptor, and until the server is ready to know what listens.  Nobody else pays for it.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fds.h"
#include "hook.h"
#include "raw.h"
#include "real.h"
#include "show.h"

/* Descriptors FIRST to LAST are about to be closed: nothing that was noted of them holds for who gets them next. */
static void forget(unsigned want, unsigned first, unsigned last)
{
    if (want & WANT_READY)
        fds_forget(first, last);
    if (want & WANT_FREES)
        session_forget_fds(first, last);
}

static void count_freed(unsigned want, bool replaced)
{
    if (!(want & WANT_FREES))
        return;
    /* Not session_process(): a forked child that does no more than close is not worth a system call, or its sandbox. */
    if (replaced)
        atomic_fetch_add_explicit(&snag_process->replaced, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&snag_process->frees, 1, memory_order_relaxed);
}

static unsigned wants_frees(void)
{
    return snag_wanted[WANTED_FREES];
}

WRAPPER int close(int fd)
{
    struct hook hook;
    if (!hook_enter(&hook, CALL_close, fd))
        return REAL(close)(fd);
    if (show_wanted(&hook))
        show_words(&hook, fd, 0, 0);
    if (!hook.replaced && fd >= 0)
        forget(hook.want, (unsigned)fd, (unsigned)fd);
    int ret = hook.replaced ? hook.ret : REAL(close)(fd);
    if (ret == 0 && !hook.replaced)
        count_freed(hook.want, false);
    return hook_leave(&hook, ret);
}

WRAPPER int __close(int fd)
{
    return close(fd);
}

/* The third argument is handed on as it came, a pointer's width, whatever the command makes of it. */
static int hooked_fcntl(int fd, int command, void *argument)
{
    struct hook hook;
    if (!hook_enter(&hook, CALL_fcntl, fd))
        return REAL(fcntl)(fd, command, argument);
    if (show_wanted(&hook))
        show_fcntl(&hook, fd, command, argument);
    int ret = hook.replaced ? hook.ret : REAL(fcntl)(fd, command, argument);
    if (ret >= 0 && !hook.replaced && (hook.want & WANT_READY) && (command == F_DUPFD || command == F_DUPFD_CLOEXEC))
        fds_copy(fd, ret);
    if (show_wanted(&hook))
        show_fcntl_after(&hook, command, argument);
    return hook_leave(&hook, ret);
}

/* One body for the three names under which programs import fcntl. */
#define FCNTL(name) \
    WRAPPER int name(int fd, int command, ...) \
    { \
        va_list arguments; \
        va_start(arguments, command); \
        void *argument = va_arg(arguments, void *); \
        va_end(arguments); \
        return hooked_fcntl(fd, command, argument); \
    }
FCNTL(fcntl)
FCNTL(fcntl64)
FCNTL(__fcntl)

/* The third argument is handed on as that of fcntl is. */
static int hooked_ioctl(int fd, unsigned long request, void *argument)
{
    struct hook hook;
    if (!hook_enter(&hook, CALL_ioctl, fd))
        return REAL(ioctl)(fd, request, argument);
    if (show_wanted(&hook))
        show_ioctl(&hook, fd, request, argument);
    int ret = hook.replaced ? hook.ret : REAL(ioctl)(fd, request, argument);
    if (show_wanted(&hook))
        show_ioctl_after(&hook, ret, request, argument);
    return hook_leave(&hook, ret);
}

WRAPPER int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return hooked_ioctl(fd, request, argument);
}

/* For programs that make the system call where libc has no function for it (before glibc 2.34). */
static int raw_close_range(unsigned first, unsigned last, int flags)
{
    long ret = raw3(SYS_close_range, (long)first, (long)last, flags);
    if (ret == 0)
        return 0;
    errno = (int)-ret;
    return -1;
}

WRAPPER int close_range(unsigned first, unsigned last, int flags)
{
    unsigned want = wants_frees();
    bool closes = !(flags & (int)CLOSE_RANGE_CLOEXEC) && first <= last;
    if (want && closes)
        forget(want, first, last);
    int ret = REAL(close_range) ? REAL(close_range)(first, last, flags) : raw_close_range(first, last, flags);
    if (want && closes && ret == 0)
        count_freed(want, false);
    return ret;
}

WRAPPER void closefrom(int first)
{
    unsigned want = wants_frees();
    if (want)
        forget(want, first < 0 ? 0 : (unsigned)first, ~0u);
    REAL(closefrom)(first);
    count_freed(want, false);
}

WRAPPER int dup(int from)
{
    struct hook hook;
    if (!hook_enter(&hook, CALL_dup, from))
        return REAL(dup)(from);
    if (show_wanted(&hook))
        show_words(&hook, from, 0, 0);
    int ret = hook.replaced ? hook.ret : REAL(dup)(from);
    if (ret >= 0 && !hook.replaced && (hook.want & WANT_READY))
        fds_copy(from, ret);
    return hook_leave(&hook, ret);
}

/* TO, if it was open, was closed and taken again in one step. */
static void replaced_fd(unsigned want, int from, int to)
{
    forget(want, (unsigned)to, (unsigned)to);
    count_freed(want, true);
    if (want & WANT_READY)
        fds_copy(from, to);
}

WRAPPER int dup2(int from, int to)
{
    struct hook hook;
    if (!hook_enter(&hook, CALL_dup2, from))
        return REAL(dup2)(from, to);
    if (show_wanted(&hook))
        show_words(&hook, from, to, 0);
    int ret = hook.replaced ? hook.ret : REAL(dup2)(from, to);
    if (ret >= 0 && !hook.replaced && from != to)
        replaced_fd(hook.want, from, to);
    return hook_leave(&hook, ret);
}

WRAPPER int __dup2(int from, int to)
{
    return dup2(from, to);
}

WRAPPER int dup3(int from, int to, int flags)
{
    struct hook hook;
    if (!hook_enter(&hook, CALL_dup3, from))
        return REAL(dup3)(from, to, flags);
    if (show_wanted(&hook))
        show_words(&hook, from, to, flags);
    int ret = hook.replaced ? hook.ret : REAL(dup3)(from, to, flags);
    if (ret >= 0 && !hook.replaced)
        replaced_fd(hook.want, from, to);
    return hook_leave(&hook, ret);
}

/* Streams and folders close their descriptor inside libc, where no wrapper sees it.  FD is -1 if it has none. */
static unsigned forget_stream(int fd)
{
    unsigned want = wants_frees();
    if (want && fd >= 0)
        forget(want, (unsigned)fd, (unsigned)fd);
    return want;
}

/* Without a session the stream is not even looked at. */
static int stream_fd(FILE *file)
{
    int error = errno;
    int fd = wants_frees() ? fileno(file) : -1;
    errno = error;
    return fd;
}

/* closedir(NULL) is EINVAL, though headers say that it may not be: behind a volatile they can't. */
static int folder_fd(DIR *folder)
{
    DIR *volatile given = folder;
    return given && wants_frees() ? dirfd(folder) : -1;
}

WRAPPER int fclose(FILE *file)
{
    unsigned want = forget_stream(stream_fd(file));
    int ret = REAL(fclose)(file);
    count_freed(want, false);
    return ret;
}

WRAPPER int _IO_fclose(FILE *file)
{
    return fclose(file);
}

WRAPPER int fcloseall(void)
{
    int ret = REAL(fcloseall)();
    count_freed(wants_frees(), false);
    return ret;
}

WRAPPER int pclose(FILE *file)
{
    unsigned want = forget_stream(stream_fd(file));
    int ret = REAL(pclose)(file);
    count_freed(want, false);
    return ret;
}

WRAPPER int closedir(DIR *folder)
{
    unsigned want = forget_stream(folder_fd(folder));
    int ret = REAL(closedir)(folder);
    count_freed(want, false);
    return ret;
}

/* The old descriptor goes, and the new file most often takes its number. */
WRAPPER FILE *freopen(const char *path, const char *mode, FILE *file)
{
    unsigned want = forget_stream(stream_fd(file));
    FILE *ret = REAL(freopen)(path, mode, file);
    count_freed(want, false);
    return ret;
}

WRAPPER FILE *freopen64(const char *path, const char *mode, FILE *file)
{
    unsigned want = forget_stream(stream_fd(file));
    FILE *ret = REAL(freopen64)(path, mode, file);
    count_freed(want, false);
    return ret;
}
