/*
 * Steps: told to the observer and marked by a static probe (sys/sdt.h, where the build has it: a nop and a note in the
 * file).  With neither, a step costs a branch.  Counters: relaxed, one writer at a time.
 */
#ifndef LISTENER_OBSERVE_H
#define LISTENER_OBSERVE_H

#include "listener.h"

#include <errno.h>

#if defined(__has_include)
#if __has_include(<sys/sdt.h>) && !defined(WITHOUT_SDT)
#include <sys/sdt.h>
#define OBSERVE_PROBE(name, l, fd, error, refcount) DTRACE_PROBE4(evconnlistener, name, l, fd, error, refcount)
#endif
#endif
#ifndef OBSERVE_PROBE
#define OBSERVE_PROBE(name, l, fd, error, refcount) ((void)0)
#endif

static inline int observe_refcount(struct evconnlistener *l)
{
    return atomic_load_explicit(&l->refcnt, memory_order_relaxed);
}

/* Where a step is taken.  Constants, which nobody loads unless there is an observer. */
#define OBSERVE_HERE __FILE__, __LINE__, __func__

/* observe.c: the slow way, with an observer. */
void observe_told(struct evconnlistener *l, const struct evconnlistener_observer *observer,
                  const struct evconnlistener_event *event);

__attribute__((always_inline)) static inline void observe_tell(struct evconnlistener *l, enum evconnlistener_step step,
                                                               evutil_socket_t fd, int error,
                                                               enum evconnlistener_class error_class, const char *call,
                                                               const char *file, int line, const char *function)
{
    const struct evconnlistener_observer *observer = atomic_load_explicit(&l->observer, memory_order_acquire);
    if (__builtin_expect(observer != NULL, 0)) {
        struct evconnlistener_event event = {.step = step,
                                             .fd = fd,
                                             .error = error,
                                             .error_class = error_class,
                                             .call = call,
                                             .file = file,
                                             .line = line,
                                             .function = function};
        observe_told(l, observer, &event);
    }
}

/* `step` is a constant wherever this is called, so that one probe is left of the switch. */
__attribute__((always_inline)) static inline void observe_at(struct evconnlistener *l, enum evconnlistener_step step,
                                                             evutil_socket_t fd, int error, const char *call,
                                                             const char *file, int line, const char *function)
{
    switch (step) {
#define STEP(CONSTANT, name) \
    case EVCONNLISTENER_STEP_##CONSTANT: \
        OBSERVE_PROBE(name, l, fd, error, observe_refcount(l)); \
        break;
        EVCONNLISTENER_STEPS(STEP)
#undef STEP
    default:
        break;
    }
    observe_tell(l, step, fd, error, EVCONNLISTENER_CLASS_DRAINED, call, file, line, function);
}

#define observe(l, step, fd, error) observe_at(l, step, fd, error, NULL, OBSERVE_HERE)

/* A system call is on the next line: that is the place which is told. */
#define observe_call(l, name, fd) observe_at(l, EVCONNLISTENER_STEP_CALL, fd, 0, name, __FILE__, __LINE__ + 1, __func__)

/* The same two while there is no listener, for the default observer. */
void observe_birth(enum evconnlistener_step step, evutil_socket_t fd, int error, const char *call, const char *file,
                   int line, const char *function);
#define observe_birth_call(name, fd) \
    observe_birth(EVCONNLISTENER_STEP_CALL, fd, 0, name, __FILE__, __LINE__ + 1, __func__)
#define observe_failure(error) observe_birth(EVCONNLISTENER_STEP_FAILED, -1, error, NULL, OBSERVE_HERE)
const struct evconnlistener_observer *observe_default(void);

#define COUNTER(name) (offsetof(struct evconnlistener_counters, name) / sizeof(uint64_t))

static inline void count_add(struct event_listener *e, size_t counter, uint64_t amount)
{
    uint64_t now = atomic_load_explicit(&e->counts[counter], memory_order_relaxed);
    atomic_store_explicit(&e->counts[counter], now + amount, memory_order_relaxed);
}

#endif
