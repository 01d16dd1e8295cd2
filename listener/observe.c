/*
 * What an observer is told beyond what is at hand where a step is taken, and the observer of listeners to come.
 */
#include "observe.h"

static _Atomic(const struct evconnlistener_observer *) default_observer;

void evconnlistener_set_default_observer(const struct evconnlistener_observer *observer)
{
    atomic_store(&default_observer, observer);
}

const struct evconnlistener_observer *observe_default(void)
{
    return atomic_load(&default_observer);
}

/* Only our own listeners can have an observer: the cast holds. */
static void take_snapshot(struct evconnlistener *l, struct evconnlistener_event *event)
{
    const struct event_listener *e = (const struct event_listener *)l;
    listener_lock(l);
    event->refcount = observe_refcount(l);
    event->enabled = l->enabled;
    event->has_cb = l->cb != NULL;
    event->in_loop = e->in_loop;
    event->pause_ms = e->paused ? e->delay_ms : 0;
    listener_unlock(l);
}

void observe_told(struct evconnlistener *l, const struct evconnlistener_observer *observer,
                  const struct evconnlistener_event *event)
{
    int kept = errno;
    struct evconnlistener_event full = *event;
    if (l)
        take_snapshot(l, &full);
    observer->told(l, &full, observer->arg);
    errno = kept;
}

void observe_birth(enum evconnlistener_step step, evutil_socket_t fd, int error, const char *call, const char *file,
                   int line, const char *function)
{
    const struct evconnlistener_observer *observer = observe_default();
    if (observer == NULL)
        return;
    struct evconnlistener_event event = {
        .step = step, .fd = fd, .error = error, .call = call, .file = file, .line = line, .function = function};
    observe_told(NULL, observer, &event);
}
