/*
 * original.c - for lesson-server-libevent: libevent's listener has no observer, no policies and no trouble callback.  The
 * lessons' servers call them all the same; here nothing comes of it.
 */
#include "server.h"

#include <errno.h>

void evconnlistener_set_default_observer(const struct evconnlistener_observer *observer)
{
    (void)observer;
}

static int has_none(void)
{
    errno = ENOTSUP;
    return -1;
}

int evconnlistener_set_policy(struct evconnlistener *l, enum evconnlistener_policy policy)
{
    (void)l, (void)policy;
    return has_none();
}

int evconnlistener_set_trouble_cb(struct evconnlistener *l, evconnlistener_trouble_cb cb, void *arg)
{
    (void)l, (void)cb, (void)arg;
    return has_none();
}

int evconnlistener_set_option(struct evconnlistener *l, unsigned options, int on)
{
    (void)l, (void)options, (void)on;
    return has_none();
}

int evconnlistener_retry_now(struct evconnlistener *l)
{
    (void)l;
    return has_none();
}

const char *evconnlistener_step_name(enum evconnlistener_step step)
{
    (void)step;
    return "?";
}

const char *evconnlistener_class_name(enum evconnlistener_class error_class)
{
    (void)error_class;
    return "?";
}
