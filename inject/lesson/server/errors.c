/*
 * errors.c - errors of accept: what servers do about them, and what they had better do.
 */
#include "server.h"

#include <errno.h>
#include <event2/bufferevent.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static int serve_with(evconnlistener_cb cb, enum evconnlistener_policy policy)
{
    listener = evconnlistener_new_bind(base, cb, NULL, USUAL, -1, LOOPBACK);
    did("made", fd_of(listener), 0);
    if (listener == NULL)
        return -1;
    tell_queue_of(evconnlistener_get_fd(listener));
    evconnlistener_set_policy(listener, policy);
    return 0;
}

/* --- emfile: libevent's own way, and nobody who listens to its complaints ----------------------------------------------- */

static int start_emfile(void)
{
    return serve_with(close_client, EVCONNLISTENER_POLICY_LIBEVENT);
}

/* --- emfile-loopexit: the error callback that most tutorials have ------------------------------------------------------- */

static void on_error_exit(struct evconnlistener *l, void *arg)
{
    (void)arg;
    tell_at("printed_failed", -1, errno, __FILE__, __LINE__, __func__);
    doing("loopexit", -1);
    event_base_loopexit(evconnlistener_get_base(l), NULL);
}

static int start_loopexit(void)
{
    int result = serve_with(close_client, EVCONNLISTENER_POLICY_LIBEVENT);
    if (result == 0)
        evconnlistener_set_error_cb(listener, on_error_exit);
    return result;
}

/* --- emfile-tutorial: three mistakes, on purpose ------------------------------------------------------------------------ */

static void on_end(struct bufferevent *stream, short what, void *arg)
{
    (void)what, (void)arg;
    doing("stream_free", bufferevent_getfd(stream));
    bufferevent_free(stream);
}

/* The first mistake: without BEV_OPT_CLOSE_ON_FREE nobody ever closes fd. */
static void on_client_leak(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *address, int length,
                           void *arg)
{
    (void)address, (void)length, (void)arg;
    doing("stream_new", fd);
    struct bufferevent *stream = bufferevent_socket_new(evconnlistener_get_base(l), fd, 0);
    if (stream == NULL)
        return;
    bufferevent_setcb(stream, NULL, NULL, on_end, NULL);
    bufferevent_enable(stream, EV_READ);
}

/* The second: isatty() has set errno before it is printed.  The third: nobody enables the listener again. */
static void on_error_late(struct evconnlistener *l, void *arg)
{
    (void)arg;
    bool colours = isatty(STDERR_FILENO);
    did(colours ? "printed" : "printed_failed", -1, errno);
    doing("disable", -1);
    evconnlistener_disable(l);
}

/* Leaves room for MORE descriptors. */
static int leave_room(unsigned more)
{
    int first = dup(STDIN_FILENO);
    if (first < 0)
        return -1;
    close(first);
    struct rlimit limit = {.rlim_cur = (rlim_t)first + more, .rlim_max = (rlim_t)first + more};
    return setrlimit(RLIMIT_NOFILE, &limit);
}

static int start_tutorial(void)
{
    if (serve_with(on_client_leak, EVCONNLISTENER_POLICY_LIBEVENT) != 0)
        return -1;
    evconnlistener_set_error_cb(listener, on_error_late);
    return leave_room(2);
}

/* --- emfile-backoff ----------------------------------------------------------------------------------------------------- */

/* Where the server knows of a descriptor that it can spare, it need not wait. */
static void on_trouble(struct evconnlistener *l, const struct evconnlistener_error *error, void *spare)
{
    int *fd = spare;
    did("told", -1, (int)error->delay_ms);
    if (error->delay_ms < 40 || *fd < 0)
        return;
    doing("close", *fd);
    close(*fd);
    *fd = -1;
    doing("retry_now", -1);
    evconnlistener_retry_now(l);
}

static int start_backoff(void)
{
    static int spare;
    int result = serve_with(close_client, EVCONNLISTENER_POLICY_BACKOFF);
    spare = dup(STDIN_FILENO);
    if (result == 0)
        evconnlistener_set_trouble_cb(listener, on_trouble, &spare);
    return result;
}

/* --- emfile-shed -------------------------------------------------------------------------------------------------------- */

static int start_shed(void)
{
    return serve_with(close_client, EVCONNLISTENER_POLICY_SHED);
}

/* --- fatal -------------------------------------------------------------------------------------------------------------- */

static int start_fatal(void)
{
    int result = serve_with(close_client, EVCONNLISTENER_POLICY_BACKOFF);
    if (result == 0)
        evconnlistener_set_error_cb(listener, tell_error);
    return result;
}

static void command_fatal(const char *word)
{
    if (strcmp(word, "shutdown") == 0) {
        doing("shutdown", evconnlistener_get_fd(listener));
        shutdown(evconnlistener_get_fd(listener), SHUT_RD);
    }
}

const struct server servers_errors[] = {
    {.name = "emfile", .start = start_emfile},
    {.name = "emfile-loopexit", .start = start_loopexit},
    {.name = "emfile-tutorial", .start = start_tutorial},
    {.name = "emfile-backoff", .start = start_backoff},
    {.name = "emfile-shed", .start = start_shed},
    {.name = "fatal", .start = start_fatal, .command = command_fatal},
    {.name = NULL},
};
