/*
 * The event-loop listener: one implementation of the table.  Taking it out of the loop, closing it and giving its memory
 * back are three moments:
 *
 *   out      at once, by event_del_noblock: the loop's thread may already have picked our event and be about to call us.
 *            So every entrance looks again, under the lock, whether we are still wanted (loop_enter).
 *   close    before evconnlistener_free() returns; but when the loop's thread is inside us (busy) and another one frees,
 *            the loop's thread does it on its way out, or its accept could hit a stranger's descriptor of the same number.
 *   memory   when nobody can come in any more.  The loop's own thread knows that at its way out.  For another thread
 *            event_finalize tells: its callback comes on the loop's thread, after whatever had been picked.
 */
#include "observe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { PAUSE_FIRST_MS = 10, PAUSE_LAST_MS = 1000, BACKLOG_DEFAULT = 128 };

static const struct evconnlistener_ops loop_ops;

struct event_listener *loop_cast(struct evconnlistener *l)
{
    if (l->ops == &loop_ops)
        return (struct event_listener *)l;
    errno = ENOTSUP;
    return NULL;
}

void loop_lock(struct event_listener *e)
{
    listener_lock(&e->base);
}

void loop_unlock(struct event_listener *e)
{
    listener_unlock(&e->base);
}

uint64_t loop_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* --- In and out ----------------------------------------------------------------------------------------------- */

/* Makes it so that the event is in the loop if and only if it should be. */
static int loop_settle(struct event_listener *e)
{
    bool in = e->wanted && !e->paused && !e->freed;
    if (in == e->in_loop)
        return 0;
    if (!in) {
        e->in_loop = false;
        return event_del_noblock(&e->readable);
    }
    errno = 0;
    if (event_add(&e->readable, NULL) != 0) {
        errno = errno ? errno : ENOMEM;
        return -1;
    }
    e->in_loop = true;
    return 0;
}

static int loop_enable(struct evconnlistener *l)
{
    struct event_listener *e = (struct event_listener *)l;
    e->wanted = true;
    return loop_settle(e);
}

static int loop_disable(struct evconnlistener *l)
{
    struct event_listener *e = (struct event_listener *)l;
    e->wanted = false;
    e->delay_ms = 0;
    return e->paused ? loop_end_pause(e) : loop_settle(e);
}

static evutil_socket_t loop_getfd(struct evconnlistener *l)
{
    return ((struct event_listener *)l)->fd;
}

static struct event_base *loop_getbase(struct evconnlistener *l)
{
    return ((struct event_listener *)l)->readable.ev_base;
}

/* --- The loop's thread comes in and goes out ------------------------------------------------------------------ */

bool loop_enter(struct event_listener *e, const bool *unless_false)
{
    loop_lock(e);
    bool in = *unless_false && !e->freed;
    if (in) {
        e->busy = true;
        e->busy_thread = pthread_self();
        atomic_store_explicit(&e->base.refcnt, observe_refcount(&e->base) + 1, memory_order_relaxed);
    }
    loop_unlock(e);
    if (in)
        observe(&e->base, EVCONNLISTENER_STEP_REFERENCED, -1, 0);
    return in;
}

static void loop_close(struct event_listener *e)
{
    if (e->fd >= 0 && e->base.flags & LEV_OPT_CLOSE_ON_FREE) {
        observe_call(&e->base, "close", e->fd);
        close(e->fd);
    }
    if (e->spare >= 0) {
        observe_call(&e->base, "close", e->spare);
        close(e->spare);
    }
    e->fd = e->spare = -1;
}

void loop_leave(struct event_listener *e)
{
    observe(&e->base, EVCONNLISTENER_STEP_RELEASED, -1, 0);
    loop_lock(e);
    if (e->freed)
        loop_close(e);
    else
        e->busy = false; /* when freed it stays set: the memory goes now, by this thread */
    listener_unref_and_unlock(&e->base);
}

/* --- The end -------------------------------------------------------------------------------------------------- */

/* event_base_free() before evconnlistener_free() is a mistake that libevent's listener happens to survive.  It has taken
   our events out; they must not be taken out again, of a base that is gone. */
static void loop_notice_lost_base(struct event_listener *e)
{
    short in = e->readable.ev_evcallback.evcb_flags, timer = e->resume.ev_evcallback.evcb_flags;
    bool lost_event = e->in_loop && !(in & EVLIST_INSERTED);
    bool lost_timer = e->paused && !e->base.lock && !(timer & (EVLIST_TIMEOUT | EVLIST_ACTIVE | EVLIST_ACTIVE_LATER));
    if (lost_event || lost_timer) {
        e->in_loop = e->paused = false;
        e->base_lost = true;
    }
}

static void loop_shutdown(struct evconnlistener *l)
{
    struct event_listener *e = (struct event_listener *)l;
    if (!e->busy)
        loop_notice_lost_base(e);
    e->freed = true;
    e->trouble = NULL;
    loop_disable(l);
    if (!e->busy || !l->lock || pthread_equal(e->busy_thread, pthread_self()))
        loop_close(e);
}

static void loop_release(struct event_listener *e)
{
    event_debug_unassign(&e->readable);
    event_debug_unassign(&e->resume);
    if (e->base.lock)
        pthread_mutex_destroy(e->base.lock);
    free(e);
}

static void loop_finalized(struct event *event, void *arg)
{
    struct event_listener *e = arg;
    (void)event;
    if (atomic_fetch_sub(&e->finalizers, 1) == 1)
        loop_release(e);
}

static void loop_destroy(struct evconnlistener *l)
{
    struct event_listener *e = (struct event_listener *)l;
    bool nobody_comes = e->busy || e->base_lost || !l->lock;
    loop_close(e);
    loop_unlock(e);
    report_end(e);
    if (nobody_comes) {
        loop_release(e);
        return;
    }
    atomic_store(&e->finalizers, 2);
    event_finalize(0, &e->resume, loop_finalized);
    event_finalize(0, &e->readable, loop_finalized);
}

/* --- Pauses --------------------------------------------------------------------------------------------------- */

static int loop_start_timer(struct event_listener *e)
{
    unsigned doubled = e->delay_ms * 2 < PAUSE_LAST_MS ? e->delay_ms * 2 : PAUSE_LAST_MS;
    unsigned delay = e->delay_ms == 0 ? PAUSE_FIRST_MS : doubled;
    struct timeval tv = {.tv_sec = (time_t)(delay / 1000), .tv_usec = (suseconds_t)(delay % 1000 * 1000)};
    if (event_add(&e->resume, &tv) != 0)
        return -1;
    e->delay_ms = delay;
    return 0;
}

static bool loop_begin_pause(struct event_listener *e)
{
    /* The timer first: without it nothing would bring the listener back. */
    if (!e->in_loop || loop_start_timer(e) != 0)
        return false;
    e->paused = true;
    e->paused_at_ns = loop_now_ns();
    count_add(e, COUNTER(backoffs), 1);
    loop_settle(e);
    if (e->base.flags & EVCONNLISTENER_OPT_PAUSE_BACKLOG) {
        observe_call(&e->base, "listen", e->fd);
        e->queue_shut = listen(e->fd, 0) == 0;
    }
    return true;
}

unsigned loop_pause(struct event_listener *e)
{
    loop_lock(e);
    unsigned delay = loop_begin_pause(e) ? e->delay_ms : 0;
    loop_unlock(e);
    if (delay)
        observe(&e->base, EVCONNLISTENER_STEP_PAUSED, -1, (int)delay);
    return delay;
}

int loop_end_pause(struct event_listener *e)
{
    event_del_noblock(&e->resume);
    e->paused = false;
    count_add(e, COUNTER(paused_ns), loop_now_ns() - e->paused_at_ns);
    if (e->queue_shut) {
        observe_call(&e->base, "listen", e->fd);
        listen(e->fd, e->backlog);
    }
    e->queue_shut = false;
    if (loop_settle(e) == 0)
        return 0;
    int error = errno;
    if (loop_start_timer(e) == 0) { /* no room in the loop now: later */
        e->paused = true;
        e->paused_at_ns = loop_now_ns();
    }
    errno = error;
    return -1;
}

static void loop_on_resume(evutil_socket_t fd, short what, void *arg)
{
    struct event_listener *e = arg;
    (void)fd;
    (void)what;
    if (!loop_enter(e, &e->paused))
        return;
    loop_lock(e);
    int error = e->paused && loop_end_pause(e) != 0 ? errno : 0;
    loop_unlock(e);
    if (error)
        error_log(e, error, e->delay_ms);
    observe(&e->base, EVCONNLISTENER_STEP_RESUMED, -1, error);
    loop_leave(e);
}

/* --- The beginning -------------------------------------------------------------------------------------------- */

static const struct evconnlistener_ops loop_ops = {
    .enable = loop_enable,
    .disable = loop_disable,
    .destroy = loop_destroy,
    .shutdown = loop_shutdown,
    .getfd = loop_getfd,
    .getbase = loop_getbase,
};

static int loop_init(struct event_listener *e, struct event_base *base, evutil_socket_t fd, int backlog)
{
    observe_call(&e->base, "fcntl", fd);
    int status = fcntl(fd, F_GETFL);
    if (status < 0 && !e->policy->exact)
        return -1;
    e->blocking = status >= 0 && !(status & O_NONBLOCK);
    e->fd = fd;
    e->backlog = backlog > 0 ? backlog : BACKLOG_DEFAULT;
    if (backlog != 0) {
        observe_call(&e->base, "listen", fd);
        if (listen(fd, e->backlog) != 0)
            return -1;
    }
    errno = 0;
    if (event_assign(&e->readable, base, fd, EV_READ | EV_PERSIST, round_on_readable, e) != 0 ||
        event_assign(&e->resume, base, -1, 0, loop_on_resume, e) != 0) {
        errno = errno ? errno : EINVAL;
        return -1;
    }
    if (e->readable.ev_base == NULL) { /* none was given, and there is none of event_init() */
        errno = EINVAL;
        return -1;
    }
    return 0;
}

static struct event_listener *loop_new(evconnlistener_cb cb, void *arg, unsigned flags)
{
    struct event_listener *e = calloc(1, sizeof *e);
    if (e == NULL)
        return NULL;
    e->spare = -1;
    e->base.cb = cb;
    e->base.user_data = arg;
    if (listener_init(&e->base, &loop_ops, flags) == 0) {
        option_set_defaults(e);
        return e;
    }
    free(e);
    return NULL;
}

struct evconnlistener *evconnlistener_new(struct event_base *base, evconnlistener_cb cb, void *arg, unsigned flags,
                                          int backlog, evutil_socket_t fd)
{
    if (!LIBEVENT_IS_HERE) { /* a plug-in has it to itself, by dlopen: see libevent.h */
        errno = ENOSYS;
        return NULL;
    }
    struct event_listener *e = loop_new(cb, arg, flags);
    if (e == NULL)
        return NULL;
    if (loop_init(e, base, fd, backlog) == 0 && (flags & LEV_OPT_DISABLED || evconnlistener_enable(&e->base) == 0)) {
        report_begin(e);
        return &e->base;
    }
    int error = errno;
    observe_failure(error);
    if (e->spare >= 0)
        close(e->spare);
    loop_release(e);
    errno = error;
    return NULL;
}
