/*
 * libevent's functions: the lock, the reference count, and calls through the table of operations (listener.h).
 * What a call means for an event loop is in loop.c; this file knows no event.
 */
#include "observe.h"

#include <errno.h>
#include <stdlib.h>

static int lock_init(struct evconnlistener *l)
{
    pthread_mutexattr_t recursive;
    int error = pthread_mutexattr_init(&recursive);
    if (error == 0) {
        pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
        error = pthread_mutex_init(&l->mutex, &recursive);
        pthread_mutexattr_destroy(&recursive);
    }
    if (error != 0) {
        errno = error;
        return -1;
    }
    l->lock = &l->mutex;
    return 0;
}

int listener_init(struct evconnlistener *l, const struct evconnlistener_ops *ops, unsigned flags)
{
    l->ops = ops;
    l->flags = flags;
    atomic_store_explicit(&l->refcnt, 1, memory_order_relaxed);
    l->accept4_flags = (flags & LEV_OPT_LEAVE_SOCKETS_BLOCKING ? 0 : SOCK_NONBLOCK) |
                       (flags & LEV_OPT_CLOSE_ON_EXEC ? SOCK_CLOEXEC : 0);
    return flags & LEV_OPT_THREADSAFE ? lock_init(l) : 0;
}

void listener_lock(struct evconnlistener *l)
{
    if (l->lock)
        pthread_mutex_lock(l->lock);
}

void listener_unlock(struct evconnlistener *l)
{
    if (l->lock)
        pthread_mutex_unlock(l->lock);
}

void listener_unref_and_unlock(struct evconnlistener *l)
{
    int left = observe_refcount(l) - 1;
    atomic_store_explicit(&l->refcnt, left, memory_order_relaxed);
    if (left == 0)
        l->ops->destroy(l); /* unlocks */
    else
        listener_unlock(l);
}

void evconnlistener_free(struct evconnlistener *l)
{
    observe(l, EVCONNLISTENER_STEP_FREED, -1, 0);
    observe(l, EVCONNLISTENER_STEP_RELEASED, -1, 0);
    listener_lock(l);
    l->cb = NULL;
    l->errorcb = NULL;
    if (l->ops->shutdown)
        l->ops->shutdown(l);
    listener_unref_and_unlock(l);
}

int evconnlistener_enable(struct evconnlistener *l)
{
    listener_lock(l);
    l->enabled = true;
    int result = l->cb ? l->ops->enable(l) : 0;
    listener_unlock(l);
    observe(l, EVCONNLISTENER_STEP_ENABLED, -1, 0);
    return result;
}

int evconnlistener_disable(struct evconnlistener *l)
{
    listener_lock(l);
    l->enabled = l->set_aside = false;
    int result = l->ops->disable(l);
    listener_unlock(l);
    observe(l, EVCONNLISTENER_STEP_DISABLED, -1, 0);
    return result;
}

evutil_socket_t evconnlistener_get_fd(struct evconnlistener *l)
{
    listener_lock(l);
    evutil_socket_t fd = l->ops->getfd(l);
    listener_unlock(l);
    return fd;
}

struct event_base *evconnlistener_get_base(struct evconnlistener *l)
{
    listener_lock(l);
    struct event_base *base = l->ops->getbase(l);
    listener_unlock(l);
    return base;
}

/* A listener that is enabled without a callback is not in the loop; the first callback puts it in.  The other way round it
   stays in and closes its clients, unless the owner asked for a real pause. */
void evconnlistener_set_cb(struct evconnlistener *l, evconnlistener_cb cb, void *arg)
{
    listener_lock(l);
    bool starts = l->enabled && l->cb == NULL && cb != NULL;
    bool pauses = cb == NULL && l->flags & EVCONNLISTENER_OPT_PAUSE_WITHOUT_CB;
    l->set_aside = pauses && l->enabled && (l->cb != NULL || l->set_aside);
    l->cb = cb;
    l->user_data = arg;
    if (starts)
        l->ops->enable(l);
    else if (pauses)
        l->ops->disable(l);
    listener_unlock(l);
    observe(l, EVCONNLISTENER_STEP_CB_SET, -1, 0);
}

void evconnlistener_set_error_cb(struct evconnlistener *l, evconnlistener_errorcb errorcb)
{
    listener_lock(l);
    l->errorcb = errorcb;
    listener_unlock(l);
}
