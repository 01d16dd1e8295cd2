/*
 * clients.c - a client's way to the callback, and what a callback may do there.
 */
#include "server.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <string.h>
#include <unistd.h>

static int serve_with(evconnlistener_cb cb)
{
    listener = evconnlistener_new_bind(base, cb, NULL, USUAL, -1, LOOPBACK);
    did("made", fd_of(listener), 0);
    if (listener == NULL)
        return -1;
    tell_queue_of(evconnlistener_get_fd(listener));
    return 0;
}

static int start_closing(void)
{
    return serve_with(close_client);
}

/* --- bufferevent: a connection that outlives the callback ------------------------------------------------------------ */

static void on_bytes(struct bufferevent *stream, void *arg)
{
    (void)arg;
    doing("echo", bufferevent_getfd(stream));
    bufferevent_write_buffer(stream, bufferevent_get_input(stream));
}

static void on_end(struct bufferevent *stream, short what, void *arg)
{
    (void)what, (void)arg;
    doing("stream_free", bufferevent_getfd(stream));
    bufferevent_free(stream);
}

static void on_long_client(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *address, int length,
                           void *arg)
{
    (void)address, (void)length, (void)arg;
    doing("stream_new", fd);
    struct bufferevent *stream = bufferevent_socket_new(evconnlistener_get_base(l), fd, BEV_OPT_CLOSE_ON_FREE);
    if (stream == NULL) {
        close(fd);
        return;
    }
    bufferevent_setcb(stream, on_bytes, NULL, on_end, NULL);
    bufferevent_enable(stream, EV_READ | EV_WRITE);
}

static int start_bufferevent(void)
{
    return serve_with(on_long_client);
}

/* --- free-in-callback --------------------------------------------------------------------------------------------------- */

static void on_last_client(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *address, int length,
                           void *arg)
{
    (void)address, (void)length, (void)arg;
    listener = NULL;
    tell_queue_of(-1);
    doing("free", -1);
    evconnlistener_free(l);
    doing("send", fd);
    send(fd, "bye\n", 4, MSG_NOSIGNAL);
    doing("close", fd);
    close(fd);
}

static int start_free(void)
{
    return serve_with(on_last_client);
}

/* --- disable-in-callback ------------------------------------------------------------------------------------------------ */

static void on_first_client(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *address, int length,
                            void *arg)
{
    static bool disabled;
    if (!disabled) {
        doing("disable", -1);
        evconnlistener_disable(l);
    }
    disabled = true;
    close_client(l, fd, address, length, arg);
}

static int start_disable(void)
{
    return serve_with(on_first_client);
}

static void command_disable(const char *word)
{
    if (strcmp(word, "enable") == 0) {
        doing("enable", -1);
        evconnlistener_enable(listener);
    }
}

/* --- null-callback ------------------------------------------------------------------------------------------------------- */

static int start_null(void)
{
    return serve_with(NULL);
}

static void command_null(const char *word)
{
    if (strcmp(word, "set") == 0) {
        doing("set_cb", -1);
        evconnlistener_set_cb(listener, close_client, NULL);
    } else if (strcmp(word, "clear") == 0) {
        doing("clear_cb", -1);
        evconnlistener_set_cb(listener, NULL, NULL);
    } else if (strcmp(word, "pause") == 0) {
        doing("set_option", -1);
        evconnlistener_set_option(listener, EVCONNLISTENER_OPT_PAUSE_WITHOUT_CB, 1);
    }
}

/* --- retriable ------------------------------------------------------------------------------------------------------------ */

static int start_retriable(void)
{
    int result = serve_with(close_client);
    if (result == 0)
        evconnlistener_set_error_cb(listener, tell_error);
    return result;
}

const struct server servers_clients[] = {
    {.name = "connection", .start = start_closing},
    {.name = "several", .start = start_closing},
    {.name = "zero-length", .start = start_closing},
    {.name = "bufferevent", .start = start_bufferevent},
    {.name = "free-in-callback", .start = start_free},
    {.name = "disable-in-callback", .start = start_disable, .command = command_disable},
    {.name = "null-callback", .start = start_null, .command = command_null},
    {.name = "retriable", .start = start_retriable},
    {.name = NULL},
};
