/*
 * The accept round: what happens when the loop says that the listening descriptor is readable.
 *
 *     begin -> step, step, ... -> end          a step: accept -> deliver, or -> failed -> what the policy says
 *
 * No lock is held across a step.  After every callback the state is looked at again, because the callback, or another
 * thread meanwhile, may have freed or disabled the listener, or set other callbacks.  `busy` (listener.h) keeps the
 * descriptor open and the memory there until the end.
 */
#include "observe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

enum { ADAPTIVE_LOOK_EVERY = 16, ADAPTIVE_CALM = 2 };

/* --- accept ----------------------------------------------------------------------------------------------------- */

static int accept_plain(struct event_listener *e, evutil_socket_t fd, struct sockaddr *address, socklen_t *length)
{
    int flags = e->base.accept4_flags;
    observe_call(&e->base, "accept", fd);
    int s = accept(fd, address, length);
    if (s < 0)
        return -1;
    if ((flags & SOCK_CLOEXEC && fcntl(s, F_SETFD, FD_CLOEXEC) != 0) ||
        (flags & SOCK_NONBLOCK && fcntl(s, F_SETFL, O_NONBLOCK) != 0)) {
        int error = errno;
        close(s);
        errno = error;
        return -1;
    }
    return s;
}

/* ENOSYS means that there is no accept4, EINVAL may mean that it does not know the flags: accept knows.  A listener that
   was shut down gives EINVAL too, from both, which says nothing about accept4. */
static int round_accept(struct event_listener *e, evutil_socket_t fd, struct sockaddr *address, socklen_t *length)
{
    socklen_t room = *length;
    if (!e->no_accept4) {
        observe_call(&e->base, "accept4", fd);
        int s = accept4(fd, address, length, e->base.accept4_flags);
        if (s >= 0 || (errno != ENOSYS && errno != EINVAL))
            return s;
        e->no_accept4 = errno == ENOSYS;
    }
    *length = room;
    int s = accept_plain(e, fd, address, length);
    if (s >= 0)
        e->no_accept4 = true;
    return s;
}

/* --- A connection ------------------------------------------------------------------------------------------------- */

static bool round_goes_on(struct event_listener *e)
{
    loop_lock(e);
    bool on = e->in_loop;
    loop_unlock(e);
    return on;
}

static bool round_refuse(struct event_listener *e, enum evconnlistener_step step, size_t counter, int s)
{
    if (step == EVCONNLISTENER_STEP_ZERO_LENGTH)
        observe(&e->base, EVCONNLISTENER_STEP_ZERO_LENGTH, s, 0);
    else
        observe(&e->base, EVCONNLISTENER_STEP_NO_CALLBACK, s, 0);
    count_add(e, counter, 1);
    observe_call(&e->base, "close", s);
    close(s);
    return step == EVCONNLISTENER_STEP_ZERO_LENGTH;
}

/* Who is to be called is found out as late as possible: set_cb holds from the next connection on. */
static bool round_deliver(struct event_listener *e, int s, struct sockaddr_storage *address, socklen_t length)
{
    loop_lock(e);
    evconnlistener_cb cb = e->base.cb;
    void *arg = e->base.user_data;
    e->delay_ms = 0;
    bool lacks_spare = e->policy->spare && e->spare < 0;
    loop_unlock(e);
    if (lacks_spare) /* accept had a descriptor: there may be another */
        shed_keep_spare(e);
    if (cb == NULL)
        return round_refuse(e, EVCONNLISTENER_STEP_NO_CALLBACK, COUNTER(no_callback), s);
    observe(&e->base, EVCONNLISTENER_STEP_CB_ENTER, s, 0);
    cb(&e->base, s, (struct sockaddr *)address, (int)length, arg);
    observe(&e->base, EVCONNLISTENER_STEP_CB_LEAVE, s, 0);
    return round_goes_on(e);
}

/* --- An error ------------------------------------------------------------------------------------------------------ */

static void count_class(struct event_listener *e, enum evconnlistener_class error_class)
{
    static const size_t counters[] = {
        [EVCONNLISTENER_CLASS_DRAINED] = COUNTER(drained),   [EVCONNLISTENER_CLASS_CONNECTION] = COUNTER(connection),
        [EVCONNLISTENER_CLASS_RESOURCE] = COUNTER(resource), [EVCONNLISTENER_CLASS_PERMISSION] = COUNTER(permission),
        [EVCONNLISTENER_CLASS_FATAL] = COUNTER(fatal),
    };
    count_add(e, counters[error_class], 1);
}

static bool report_to_trouble_cb(struct event_listener *e, const struct evconnlistener_error *error)
{
    loop_lock(e);
    evconnlistener_trouble_cb trouble = e->trouble;
    void *arg = e->trouble_arg;
    loop_unlock(e);
    if (trouble == NULL)
        return false;
    observe(&e->base, EVCONNLISTENER_STEP_ERRORCB_ENTER, -1, error->error);
    errno = error->error;
    trouble(&e->base, error, arg);
    observe(&e->base, EVCONNLISTENER_STEP_ERRORCB_LEAVE, -1, error->error);
    return true;
}

/* The first callback may have freed us: then there is no second one, for free clears it. */
static bool report_to_errorcb(struct event_listener *e, int error)
{
    loop_lock(e);
    evconnlistener_errorcb errorcb = e->base.errorcb;
    void *arg = e->base.user_data;
    loop_unlock(e);
    if (errorcb == NULL)
        return false;
    observe(&e->base, EVCONNLISTENER_STEP_ERRORCB_ENTER, -1, error);
    errno = error;
    errorcb(&e->base, arg);
    observe(&e->base, EVCONNLISTENER_STEP_ERRORCB_LEAVE, -1, error);
    return true;
}

static bool has_errorcb(struct event_listener *e)
{
    loop_lock(e);
    bool has = e->base.errorcb != NULL;
    loop_unlock(e);
    return has;
}

/* A lost client and an empty queue are news for the trouble callback alone: the plain one, which libevent never calls for
   ECONNABORTED and EAGAIN, often ends the server. */
static bool errorcb_is_concerned(const struct round *r, enum evconnlistener_class class)
{
    return r->policy->exact || (class != EVCONNLISTENER_CLASS_CONNECTION && class != EVCONNLISTENER_CLASS_DRAINED);
}

/* One lost client is not logged: that would tell of every port scan. */
static void round_report(struct event_listener *e, const struct round *r, const struct evconnlistener_error *error)
{
    bool concerned = errorcb_is_concerned(r, error->error_class);
    bool told = report_to_trouble_cb(e, error);
    if (concerned && report_to_errorcb(e, error->error))
        told = true;
    bool warns = !told && error->action != EVCONNLISTENER_ACTION_NEXT && (concerned || !has_errorcb(e));
    if (told || warns)
        count_add(e, COUNTER(reported), 1);
    if (!warns)
        return;
    observe(&e->base, EVCONNLISTENER_STEP_WARNED, -1, error->error);
    error_log(e, error->error, error->delay_ms);
}

/* Does what the policy has decided; says whether the round goes on. */
static bool round_act(struct event_listener *e, const struct round *r, struct evconnlistener_error *error)
{
    if (error->action == EVCONNLISTENER_ACTION_SHED) {
        unsigned shed = shed_clients(e, r);
        count_add(e, COUNTER(shed), shed);
        observe(&e->base, EVCONNLISTENER_STEP_SHED, -1, (int)shed);
        if (shed == 0)
            error->action = EVCONNLISTENER_ACTION_PAUSE;
    }
    if (error->action == EVCONNLISTENER_ACTION_PAUSE)
        error->delay_ms = loop_pause(e);
    if (error->action == EVCONNLISTENER_ACTION_PAUSE && error->delay_ms == 0)
        error->action = EVCONNLISTENER_ACTION_RETURN;
    round_report(e, r, error);
    if (error->action == EVCONNLISTENER_ACTION_DISABLE && round_goes_on(e))
        evconnlistener_disable(&e->base);
    return error->action == EVCONNLISTENER_ACTION_NEXT && round_goes_on(e);
}

static bool round_failed(struct event_listener *e, struct round *r, int number)
{
    struct evconnlistener_error error = {.error = number, .error_class = error_class_on(r->fd, number)};
    count_class(e, error.error_class);
    if (error.error_class == EVCONNLISTENER_CLASS_CONNECTION)
        r->failed++;
    OBSERVE_PROBE(error, &e->base, r->fd, number, observe_refcount(&e->base));
    observe_tell(&e->base, EVCONNLISTENER_STEP_ERROR, r->fd, number, error.error_class, NULL, OBSERVE_HERE);
    int action = r->policy->decide(e, r, number, error.error_class);
    if (action == ACTION_SILENT)
        return false;
    error.action = (enum evconnlistener_action)action;
    return round_act(e, r, &error);
}

/* --- The round ----------------------------------------------------------------------------------------------------- */

/* Adaptive: while connections come one by one, take one and leave; every so often look for a second one. */
static unsigned adaptive_budget(struct event_listener *e)
{
    if (e->burst)
        return UINT_MAX;
    if (++e->calm < ADAPTIVE_LOOK_EVERY)
        return 1;
    e->calm = 0;
    return 2;
}

static void adaptive_learn(struct event_listener *e, const struct round *r)
{
    if (r->taken > 1) {
        e->burst = true;
        e->calm = 0;
    } else if (e->burst && ++e->calm >= ADAPTIVE_CALM) {
        e->burst = false;
        e->calm = 0;
    }
}

static bool round_begin(struct event_listener *e, struct round *r)
{
    if (!loop_enter(e, &e->in_loop))
        return false;
    count_add(e, COUNTER(wakeups), 1);
    observe(&e->base, EVCONNLISTENER_STEP_READABLE, e->fd, 0);
    loop_lock(e);
    *r = (struct round){.fd = e->fd, .policy = e->policy, .budget = UINT_MAX, .goes_on = e->in_loop};
    if (e->base.flags & EVCONNLISTENER_OPT_ADAPTIVE)
        r->budget = adaptive_budget(e);
    if (e->blocking && !e->policy->exact)
        r->budget = 1;
    if (e->cap && e->cap < r->budget)
        r->budget = e->cap;
    loop_unlock(e);
    return true;
}

static bool round_step(struct event_listener *e, struct round *r)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;
    int s = round_accept(e, r->fd, (struct sockaddr *)&address, &length);
    if (s < 0)
        return round_failed(e, r, errno) && r->taken + r->failed < r->budget;
    r->taken++;
    e->idle = e->lost = 0;
    count_add(e, COUNTER(accepted), 1);
    observe(&e->base, EVCONNLISTENER_STEP_ACCEPTED, s, 0);
    /* Some kernels give a connection without an address when the client has already reset it. */
    bool on = length == 0 ? round_refuse(e, EVCONNLISTENER_STEP_ZERO_LENGTH, COUNTER(zero_length), s)
                          : round_deliver(e, s, &address, length);
    return on && r->taken + r->failed < r->budget;
}

void round_on_readable(evutil_socket_t fd, short what, void *listener)
{
    struct event_listener *e = listener;
    struct round r;
    (void)fd;
    (void)what;
    if (!round_begin(e, &r))
        return;
    while (r.goes_on)
        r.goes_on = round_step(e, &r);
    adaptive_learn(e, &r);
    observe(&e->base, EVCONNLISTENER_STEP_ROUND_END, -1, (int)r.taken);
    loop_leave(e);
}
