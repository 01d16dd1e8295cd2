/*
 * The functions of ours, and the defaults that the environment sets.
 */
#include "observe.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    OPTIONS =
        (int)(EVCONNLISTENER_OPT_PAUSE_WITHOUT_CB | EVCONNLISTENER_OPT_PAUSE_BACKLOG | EVCONNLISTENER_OPT_ADAPTIVE)
};

static _Atomic(const struct policy *) default_policy;

/* --- The environment -------------------------------------------------------------------------------------------- */

/* Once for each variable: who has two of them wrong should not have to look twice. */
static void warn_once(const char *name, const char *value)
{
    static const char *const names[] = {"POLICY",           "ADAPTIVE",   "PAUSE_BACKLOG",
                                        "PAUSE_WITHOUT_CB", "ACCEPT_CAP", "REPORT"};
    static atomic_bool warned[sizeof names / sizeof names[0]];
    size_t i = 0;
    while (i < sizeof names / sizeof names[0] - 1 && strcmp(name + sizeof "EVCONNLISTENER_" - 1, names[i]) != 0)
        i++;
    if (!atomic_exchange(&warned[i], true))
        dprintf(STDERR_FILENO, "evconnlistener: %s=%s is not understood and left alone\n", name, value);
}

unsigned option_number(const char *name, unsigned least, unsigned most, unsigned otherwise)
{
    const char *value = secure_getenv(name);
    if (value == NULL || *value == '\0')
        return otherwise;
    char *end;
    errno = 0;
    unsigned long number = strtoul(value, &end, 10);
    if (*value >= '0' && *value <= '9' && *end == '\0' && errno == 0 && number >= least && number <= most)
        return (unsigned)number;
    warn_once(name, value);
    return otherwise;
}

const struct policy *option_default_policy(void)
{
    const char *value = secure_getenv("EVCONNLISTENER_POLICY");
    if (value && *value) {
        const struct policy *policy = policy_by_name(value);
        if (policy)
            return policy;
        warn_once("EVCONNLISTENER_POLICY", value);
    }
    const struct policy *policy = atomic_load(&default_policy);
    return policy ? policy : policy_get(EVCONNLISTENER_POLICY_BACKOFF);
}

static void default_option(struct event_listener *e, const char *name, unsigned option)
{
    bool on = option_number(name, 0, 1, (e->base.flags & option) != 0);
    e->base.flags = on ? e->base.flags | option : e->base.flags & ~option;
}

void option_set_defaults(struct event_listener *e)
{
    int error = errno;
    default_option(e, "EVCONNLISTENER_ADAPTIVE", EVCONNLISTENER_OPT_ADAPTIVE);
    default_option(e, "EVCONNLISTENER_PAUSE_BACKLOG", EVCONNLISTENER_OPT_PAUSE_BACKLOG);
    default_option(e, "EVCONNLISTENER_PAUSE_WITHOUT_CB", EVCONNLISTENER_OPT_PAUSE_WITHOUT_CB);
    e->cap = option_number("EVCONNLISTENER_ACCEPT_CAP", 0, UINT_MAX, 0);
    e->policy = option_default_policy();
    atomic_store(&e->base.observer, observe_default());
    if (e->policy->spare)
        e->spare = shed_open_spare(); /* without it: backoff, until one can be opened */
    errno = error;
}

/* --- Setters and getters ------------------------------------------------------------------------------------------ */

int evconnlistener_set_default_policy(enum evconnlistener_policy number)
{
    const struct policy *policy = policy_get(number);
    if (policy == NULL)
        return -1;
    atomic_store(&default_policy, policy);
    return 0;
}

enum evconnlistener_policy evconnlistener_get_policy(struct evconnlistener *l)
{
    struct event_listener *e = loop_cast(l);
    if (e == NULL)
        return policy_number(option_default_policy());
    loop_lock(e);
    enum evconnlistener_policy number = policy_number(e->policy);
    loop_unlock(e);
    return number;
}

int evconnlistener_set_policy(struct evconnlistener *l, enum evconnlistener_policy number)
{
    struct event_listener *e = loop_cast(l);
    const struct policy *policy = policy_get(number);
    if (e == NULL || policy == NULL)
        return -1;
    int spare = policy->spare ? shed_open_spare() : -1;
    if (policy->spare && spare < 0)
        return -1;
    loop_lock(e);
    int unused = e->spare;
    e->policy = policy;
    e->spare = spare;
    int result = policy->exact && e->paused ? loop_end_pause(e) : 0;
    loop_unlock(e);
    if (unused >= 0)
        close(unused);
    return result;
}

int evconnlistener_retry_now(struct evconnlistener *l)
{
    struct event_listener *e = loop_cast(l);
    if (e == NULL)
        return -1;
    loop_lock(e);
    bool paused = e->paused;
    int result = paused ? loop_end_pause(e) : 0;
    loop_unlock(e);
    if (paused)
        observe(l, EVCONNLISTENER_STEP_RESUMED, -1, 0);
    return result;
}

/* Without a callback: out of the loop when asked for that, and back in when no longer.  A listener that is out for another
   reason, one that was made without a callback for instance, stays out. */
static int option_settle(struct evconnlistener *l, bool pauses)
{
    const struct event_listener *e = (const struct event_listener *)l;
    if (!pauses && l->set_aside) {
        int result = l->ops->enable(l);
        l->set_aside = result != 0;
        return result;
    }
    if (!pauses || l->cb || !l->enabled || !e->wanted)
        return 0;
    l->set_aside = true;
    return l->ops->disable(l);
}

int evconnlistener_set_option(struct evconnlistener *l, unsigned options, int on)
{
    struct event_listener *e = loop_cast(l);
    if (e == NULL)
        return -1;
    if (options & ~(unsigned)OPTIONS) {
        errno = EINVAL;
        return -1;
    }
    loop_lock(e);
    l->flags = on ? l->flags | options : l->flags & ~options;
    int result = option_settle(l, l->flags & EVCONNLISTENER_OPT_PAUSE_WITHOUT_CB);
    loop_unlock(e);
    observe(l, EVCONNLISTENER_STEP_OPTION_SET, -1, 0);
    return result;
}

int evconnlistener_set_accept_cap(struct evconnlistener *l, unsigned cap)
{
    struct event_listener *e = loop_cast(l);
    if (e == NULL)
        return -1;
    loop_lock(e);
    e->cap = cap;
    loop_unlock(e);
    return 0;
}

int evconnlistener_set_trouble_cb(struct evconnlistener *l, evconnlistener_trouble_cb cb, void *arg)
{
    struct event_listener *e = loop_cast(l);
    if (e == NULL)
        return -1;
    loop_lock(e);
    e->trouble = cb;
    e->trouble_arg = arg;
    loop_unlock(e);
    return 0;
}

int evconnlistener_set_observer(struct evconnlistener *l, const struct evconnlistener_observer *observer)
{
    if (loop_cast(l) == NULL)
        return -1;
    atomic_store(&l->observer, observer);
    return 0;
}

int evconnlistener_get_counters(struct evconnlistener *l, struct evconnlistener_counters *out, size_t size)
{
    struct event_listener *e = loop_cast(l);
    uint64_t counts[COUNTERS];
    if (e == NULL)
        return -1;
    loop_lock(e);
    for (size_t i = 0; i < COUNTERS; i++)
        counts[i] = atomic_load_explicit(&e->counts[i], memory_order_relaxed);
    if (e->paused)
        counts[COUNTER(paused_ns)] += loop_now_ns() - e->paused_at_ns;
    loop_unlock(e);
    memset(out, 0, size);
    memcpy(out, counts, size < sizeof counts ? size : sizeof counts);
    return 0;
}

/* --- Names ---------------------------------------------------------------------------------------------------------- */

static const char *name_of(const char *const *names, size_t count, unsigned i)
{
    return i < count ? names[i] : "?";
}

const char *evconnlistener_class_name(enum evconnlistener_class error_class)
{
    static const char *const names[] = {"drained", "connection", "resource", "permission", "fatal"};
    return name_of(names, sizeof names / sizeof names[0], error_class);
}

const char *evconnlistener_action_name(enum evconnlistener_action action)
{
    static const char *const names[] = {"return", "next", "pause", "shed", "disable"};
    return name_of(names, sizeof names / sizeof names[0], action);
}

const char *evconnlistener_step_name(enum evconnlistener_step step)
{
#define STEP(CONSTANT, name) #name,
    static const char *const names[] = {EVCONNLISTENER_STEPS(STEP)};
#undef STEP
    return name_of(names, sizeof names / sizeof names[0], step);
}
