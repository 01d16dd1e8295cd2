/*
 * wrap_pipe.c - pipe, pipe2, eventfd: what servers make to wake themselves up.
 */
#include <sys/eventfd.h>
#include <unistd.h>

#include "hook.h"
#include "real.h"
#include "show.h"

WRAPPER int pipe(int fds[2])
{
    struct hook hook;
    if (!hook_enter(&hook, CALL_pipe, -1))
        return REAL(pipe)(fds);
    if (show_wanted(&hook))
        show_pipe(&hook, fds, 0);
    int ret = hook.replaced ? hook.ret : REAL(pipe)(fds);
    if (show_wanted(&hook))
        show_pair_after(&hook, ret, fds);
    return hook_leave(&hook, ret);
}

WRAPPER int __pipe(int fds[2])
{
    return pipe(fds);
}

WRAPPER int pipe2(int fds[2], int flags)
{
    struct hook hook;
    if (!hook_enter(&hook, CALL_pipe2, -1))
        return REAL(pipe2)(fds, flags);
    if (show_wanted(&hook))
        show_pipe(&hook, fds, flags);
    int ret = hook.replaced ? hook.ret : REAL(pipe2)(fds, flags);
    if (show_wanted(&hook))
        show_pair_after(&hook, ret, fds);
    return hook_leave(&hook, ret);
}

WRAPPER int eventfd(unsigned count, int flags)
{
    struct hook hook;
    if (!hook_enter(&hook, CALL_eventfd, -1))
        return REAL(eventfd)(count, flags);
    if (show_wanted(&hook))
        show_words(&hook, (long)count, flags, 0);
    int ret = hook.replaced ? hook.ret : REAL(eventfd)(count, flags);
    return hook_leave(&hook, ret);
}
