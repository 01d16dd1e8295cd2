/*
 * Errno to class, and the warning for who has set no error callback.
 */
#include "observe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum evconnlistener_class evconnlistener_error_class(int error)
{
    switch (error) {
    case EAGAIN:
    case EINTR:
        return EVCONNLISTENER_CLASS_DRAINED;
    /* Linux passes errors of the new connection through accept. */
    case ECONNABORTED:
    case ECONNRESET:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENETDOWN:
    case ENETUNREACH:
    case ENONET:
    case ENOPROTOOPT:
    case ENOSR:
    case EPROTO:
    case EPROTONOSUPPORT:
    case ESOCKTNOSUPPORT:
    case ETIMEDOUT:
        return EVCONNLISTENER_CLASS_CONNECTION;
    case EACCES:
    case EPERM:
        return EVCONNLISTENER_CLASS_PERMISSION;
    case EBADF:
    case EFAULT:
    case EINVAL:
    case ENOTSOCK:
    case EOPNOTSUPP:
        return EVCONNLISTENER_CLASS_FATAL;
    default: /* EMFILE, ENFILE, ENOMEM, ENOBUFS, and what we don't know: waiting does no harm */
        return EVCONNLISTENER_CLASS_RESOURCE;
    }
}

enum evconnlistener_class error_class_on(evutil_socket_t fd, int error)
{
    int listens = 0;
    socklen_t size = sizeof listens;
    if (error == EOPNOTSUPP && getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens)
        return EVCONNLISTENER_CLASS_CONNECTION;
    return evconnlistener_error_class(error);
}

/* --- The warning --------------------------------------------------------------------------------------------------- */

void error_warn(const char *text)
{
    if (event_warnx)
        event_warnx("%s", text);
    else
        dprintf(STDERR_FILENO, "[warn] %s\n", text);
}

/* The line of this errno, or the oldest one, which it takes over. */
static struct log_line *log_find(struct event_listener *e, int error)
{
    struct log_line *oldest = &e->log[0];
    for (size_t i = 0; i < LOG_ERRORS; i++) {
        if (e->log[i].error == error)
            return &e->log[i];
        if (e->log[i].at_ns < oldest->at_ns)
            oldest = &e->log[i];
    }
    *oldest = (struct log_line){.error = error};
    return oldest;
}

void error_log(struct event_listener *e, int error, unsigned delay_ms)
{
    char text[256], reason[80], pause[40] = "", more[40] = "";
    struct log_line *line = log_find(e, error);
    uint64_t now = loop_now_ns();
    loop_lock(e);
    bool unlimited = e->policy->exact;
    loop_unlock(e);
    if (!unlimited && line->at_ns && now - line->at_ns < 1000000000u) {
        line->left_out++;
        count_add(e, COUNTER(left_out), 1);
        return;
    }
    if (delay_ms)
        snprintf(pause, sizeof pause, "; again in %u ms", delay_ms);
    if (line->left_out)
        snprintf(more, sizeof more, "; %u more like this", line->left_out);
    snprintf(text, sizeof text, "Error from accept() call: %s%s%s", strerror_r(error, reason, sizeof reason), pause,
             more);
    line->at_ns = now;
    line->left_out = 0;
    error_warn(text);
}
