/*
 * wrap_filter.c - prctl() and syscall(SYS_seccomp): a target that puts itself behind a seccomp filter, as sshd and vsftpd
 * do, may be killed for any system call that it does not make itself.  From then on the shim makes none of its own to see
 * whether a pointer is good (memory.h) or to walk a stack that it has not met (site.c), also for calls that are traced.
 *
 * It is noted before the call, whether or not that succeeds, and a forked child has the note with the filter.
 */
#include <stdarg.h>
#include <sys/prctl.h>

#include "hook.h"
#include "memory.h"
#include "real.h"

bool snag_filtered;

/* libc's prctl passes on as many arguments, given or not. */
WRAPPER int prctl(int option, ...)
{
    va_list list;
    va_start(list, option);
    unsigned long a = va_arg(list, unsigned long), b = va_arg(list, unsigned long);
    unsigned long c = va_arg(list, unsigned long), d = va_arg(list, unsigned long);
    va_end(list);
    if (option == PR_SET_SECCOMP)
        snag_filtered = true;
    return REAL(prctl)(option, a, b, c, d);
}
