/*
 * What is done about an error of accept.  A policy looks and says; the round (round.c) does it.
 */
#include "listener.h"

#include <errno.h>
#include <string.h>

enum { LOST_CLIENTS = 64, IDLE_WAKEUPS_A_SECOND = 100 };

/* libevent 2.1.12: three errors end the round in silence, all others are told, and the next wakeup tries again.  The
   socket is still readable when the client is still in the queue, so that the next wakeup is now. */
static int libevent_decide(struct event_listener *e, const struct round *r, int error, enum evconnlistener_class class)
{
    (void)e, (void)r, (void)class;
    bool silent = error == EAGAIN || error == EINTR || error == ECONNABORTED;
    return silent ? ACTION_SILENT : EVCONNLISTENER_ACTION_RETURN;
}

/* Readable, and nothing there, again and again: a unix listener after shutdown(SHUT_RD) is so for ever. */
static bool idle_too_often(struct event_listener *e)
{
    uint64_t now = loop_now_ns(), second = 1000000000u;
    if (e->idle == 0 || now > e->idle_since_ns + second) {
        e->idle = 0;
        e->idle_since_ns = now;
    }
    if (++e->idle < IDLE_WAKEUPS_A_SECOND)
        return false;
    /* Still so after the pause that follows: then the next wakeup is one too many. */
    e->idle--;
    e->idle_since_ns = now + second;
    return true;
}

/* A round that is short by an accept cap must not make an error that never ends spin: so rounds are added up. */
static bool lost_too_many(struct event_listener *e, const struct round *r)
{
    if (r->failed < LOST_CLIENTS && ++e->lost < LOST_CLIENTS)
        return false;
    e->lost = 0;
    return true;
}

static int drained_decide(struct event_listener *e, const struct round *r)
{
    e->lost = 0;
    return r->taken + r->failed == 0 && idle_too_often(e) ? (int)EVCONNLISTENER_ACTION_PAUSE : ACTION_SILENT;
}

static int backoff_decide(struct event_listener *e, const struct round *r, int error, enum evconnlistener_class class)
{
    (void)error;
    switch (class) {
    case EVCONNLISTENER_CLASS_DRAINED:
        return drained_decide(e, r);
    case EVCONNLISTENER_CLASS_CONNECTION:
        return lost_too_many(e, r) ? EVCONNLISTENER_ACTION_PAUSE : EVCONNLISTENER_ACTION_NEXT;
    case EVCONNLISTENER_CLASS_FATAL:
        return EVCONNLISTENER_ACTION_DISABLE;
    default:
        return EVCONNLISTENER_ACTION_PAUSE;
    }
}

static int shed_decide(struct event_listener *e, const struct round *r, int error, enum evconnlistener_class class)
{
    return error == EMFILE || error == ENFILE ? (int)EVCONNLISTENER_ACTION_SHED : backoff_decide(e, r, error, class);
}

static const struct policy policies[] = {
    [EVCONNLISTENER_POLICY_LIBEVENT] = {.name = "libevent", .decide = libevent_decide, .exact = true},
    [EVCONNLISTENER_POLICY_BACKOFF] = {.name = "backoff", .decide = backoff_decide},
    [EVCONNLISTENER_POLICY_SHED] = {.name = "shed", .decide = shed_decide, .spare = true},
};

enum { POLICIES = sizeof policies / sizeof policies[0] };

const struct policy *policy_get(enum evconnlistener_policy number)
{
    if ((unsigned)number < POLICIES)
        return &policies[number];
    errno = EINVAL;
    return NULL;
}

const struct policy *policy_by_name(const char *name)
{
    for (size_t i = 0; i < POLICIES; i++)
        if (strcmp(policies[i].name, name) == 0)
            return &policies[i];
    return NULL;
}

enum evconnlistener_policy policy_number(const struct policy *policy)
{
    return (enum evconnlistener_policy)(policy - policies);
}
