#include "listener_faults.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

struct fault {
    int error;
    unsigned first, last, calls;
    bool armed;
};

static struct fault faults[FAULT_CALL_COUNT];
static struct fault zero_length;
static unsigned sweep_left;
static int sweep_error;
static bool sweep_fired;
_Thread_local bool fault_ignored;
void (*fault_before_lock)(void);

void fault_set(enum fault_call call, int error, unsigned first, unsigned last)
{
    faults[call] = (struct fault){error, first, last, 0, true};
}

void fault_set_zero_length(unsigned first, unsigned last)
{
    zero_length = (struct fault){0, first, last, 0, true};
}

void fault_clear(void)
{
    memset(faults, 0, sizeof faults);
    memset(&zero_length, 0, sizeof zero_length);
    sweep_left = 0;
    sweep_fired = false;
}

unsigned fault_calls(enum fault_call call)
{
    return faults[call].calls;
}

void fault_sweep(unsigned nth, int error)
{
    fault_clear();
    sweep_left = nth;
    sweep_error = error;
}

bool fault_fired(void)
{
    return sweep_fired;
}

static bool fault_acts(struct fault *fault)
{
    fault->calls++;
    return fault->armed && fault->calls >= fault->first && (fault->last == 0 || fault->calls <= fault->last);
}

/* Says whether this call is to fail, with errno set. */
static bool fails(enum fault_call call)
{
    if (fault_ignored)
        return false;
    bool acts = fault_acts(&faults[call]);
    if (acts)
        errno = faults[call].error;
    if (sweep_left && --sweep_left == 0) {
        sweep_fired = acts = true;
        errno = sweep_error;
    }
    return acts;
}

int __real_socket(int family, int type, int protocol);
int __wrap_socket(int family, int type, int protocol);
int __real_setsockopt(int fd, int level, int name, const void *value, socklen_t size);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t size);
int __real_bind(int fd, const struct sockaddr *sa, socklen_t length);
int __wrap_bind(int fd, const struct sockaddr *sa, socklen_t length);
int __real_listen(int fd, int backlog);
int __wrap_listen(int fd, int backlog);
int __real_accept(int fd, struct sockaddr *sa, socklen_t *length);
int __wrap_accept(int fd, struct sockaddr *sa, socklen_t *length);
int __real_accept4(int fd, struct sockaddr *sa, socklen_t *length, int flags);
int __wrap_accept4(int fd, struct sockaddr *sa, socklen_t *length, int flags);
int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __real_eventfd(unsigned value, int flags);
int __wrap_eventfd(unsigned value, int flags);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
int __real_event_add(struct event *event, const struct timeval *tv);
int __wrap_event_add(struct event *event, const struct timeval *tv);
int __real_event_assign(struct event *, struct event_base *, evutil_socket_t, short, event_callback_fn, void *);
int __wrap_event_assign(struct event *, struct event_base *, evutil_socket_t, short, event_callback_fn, void *);
int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);

int __wrap_socket(int family, int type, int protocol)
{
    return fails(FAULT_SOCKET) ? -1 : __real_socket(family, type, protocol);
}

int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    return fails(FAULT_SETSOCKOPT) ? -1 : __real_setsockopt(fd, level, name, value, size);
}

int __wrap_bind(int fd, const struct sockaddr *sa, socklen_t length)
{
    return fails(FAULT_BIND) ? -1 : __real_bind(fd, sa, length);
}

int __wrap_listen(int fd, int backlog)
{
    return fails(FAULT_LISTEN) ? -1 : __real_listen(fd, backlog);
}

static int report_length(int s, socklen_t *length)
{
    if (s >= 0 && length && fault_acts(&zero_length))
        *length = 0;
    return s;
}

int __wrap_accept(int fd, struct sockaddr *sa, socklen_t *length)
{
    return fails(FAULT_ACCEPT) ? -1 : report_length(__real_accept(fd, sa, length), length);
}

int __wrap_accept4(int fd, struct sockaddr *sa, socklen_t *length, int flags)
{
    return fails(FAULT_ACCEPT4) ? -1 : report_length(__real_accept4(fd, sa, length, flags), length);
}

int __wrap_fcntl(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    int argument = va_arg(arguments, int);
    va_end(arguments);
    return fails(FAULT_FCNTL) ? -1 : __real_fcntl(fd, command, argument);
}

int __wrap_eventfd(unsigned value, int flags)
{
    return fails(FAULT_EVENTFD) ? -1 : __real_eventfd(value, flags);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails(FAULT_CALLOC) ? NULL : __real_calloc(count, size);
}

int __wrap_event_add(struct event *event, const struct timeval *tv)
{
    return fails(FAULT_EVENT_ADD) ? -1 : __real_event_add(event, tv);
}

int __wrap_event_assign(struct event *event, struct event_base *base, evutil_socket_t fd, short what,
                        event_callback_fn callback, void *arg)
{
    return fails(FAULT_EVENT_ASSIGN) ? -1 : __real_event_assign(event, base, fd, what, callback, arg);
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    if (fault_before_lock)
        fault_before_lock();
    return __real_pthread_mutex_lock(mutex);
}
