#include "call.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

/* Machines newer than x86-64 have no numbers for the oldest forms: there libc makes them from the newer ones.  Older
 * headers lack the newest. */
#ifdef SYS_dup2
#define NR_DUP2 SYS_dup2
#else
#define NR_DUP2 NR_NONE
#endif
#ifdef SYS_pipe
#define NR_PIPE SYS_pipe
#else
#define NR_PIPE NR_NONE
#endif
#ifdef SYS_poll
#define NR_POLL SYS_poll
#else
#define NR_POLL NR_NONE
#endif
#ifdef SYS_select
#define NR_SELECT SYS_select
#else
#define NR_SELECT NR_NONE
#endif
#ifdef SYS_epoll_create
#define NR_EPOLL_CREATE SYS_epoll_create
#else
#define NR_EPOLL_CREATE NR_NONE
#endif
#ifdef SYS_epoll_wait
#define NR_EPOLL_WAIT SYS_epoll_wait
#else
#define NR_EPOLL_WAIT NR_NONE
#endif
#ifdef SYS_epoll_pwait2
#define NR_EPOLL_PWAIT2 SYS_epoll_pwait2
#else
#define NR_EPOLL_PWAIT2 NR_NONE
#endif
#ifdef SYS_io_uring_setup
#define NR_IO_URING_SETUP SYS_io_uring_setup
#else
#define NR_IO_URING_SETUP NR_NONE
#endif

/* Where each call's errnos start in the table below; the second constant of a call takes the first one back. */
enum errno_index {
#define SYSCALL(name, number, class, actions) ERRNOS_OF_##name, ERRNOS_BEFORE_##name = ERRNOS_OF_##name - 1,
#define CALL(name, type, parameters, number, class, actions) SYSCALL(name, number, class, actions)
#define ERRNO(name, number, effect, modes, cause) ERRNO_##name##_##number,
#include "calls.def"
};

static const struct call_errno errnos[] = {
#define ERRNO(name, number, effect, modes, cause) {CALL_##name, number, #number, effect, modes, cause},
#include "calls.def"
};

static const struct call_info calls[CALL_COUNT] = {
#define SYSCALL(name, number, class, actions) {#name, number, class, actions, &errnos[ERRNOS_OF_##name]},
#define CALL(name, type, parameters, number, class, actions) SYSCALL(name, number, class, actions)
#include "calls.def"
};

const struct call_info *call_info(enum call call)
{
    return &calls[call];
}

enum call call_by_name(const char *name, size_t length)
{
    for (enum call call = 0; call < CALL_COUNT; call++)
        if (strlen(calls[call].name) == length && memcmp(calls[call].name, name, length) == 0)
            return call;
    return CALL_NONE;
}

enum call call_by_number(long number)
{
    for (enum call call = 0; call < CALL_COUNT; call++)
        if (calls[call].number == number && number != NR_NONE)
            return call;
    return CALL_NONE;
}

size_t call_errno_count(enum call call)
{
    const struct call_errno *end =
        call + 1 < CALL_COUNT ? calls[call + 1].errnos : errnos + sizeof errnos / sizeof errnos[0];
    return (size_t)(end - calls[call].errnos);
}

const struct call_errno *call_errno(enum call call, int number)
{
    size_t count = call_errno_count(call);
    for (size_t i = 0; i < count; i++)
        if (calls[call].errnos[i].number == number)
            return &calls[call].errnos[i];
    return NULL;
}
