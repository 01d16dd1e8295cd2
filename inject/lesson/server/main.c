/*
 * lesson-server NAME: runs one of the lessons' servers.  Words for it come on stdin, a line each; SIGTERM ends it.
 */
#include "server.h"

#include <event2/thread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct event_base *base;
struct evconnlistener *listener;
struct sockaddr_in loopback_address = {.sin_family = AF_INET};

static const struct server *server;

evutil_socket_t fd_of(struct evconnlistener *l)
{
    return l ? evconnlistener_get_fd(l) : -1;
}

void close_client(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *address, int length, void *arg)
{
    (void)l, (void)address, (void)length, (void)arg;
    doing("close", fd);
    close(fd);
}

void tell_error(struct evconnlistener *l, void *arg)
{
    static int errors;
    (void)arg;
    did("errorcb", -1, ++errors);
    if (errors < 20)
        return;
    doing("disable", -1);
    evconnlistener_disable(l);
}

static void on_word(evutil_socket_t fd, short what, void *event)
{
    char word[64];
    (void)what;
    ssize_t length = read(fd, word, sizeof word - 1);
    if (length <= 0) {
        event_del(event);
        return;
    }
    word[length] = '\0';
    word[strcspn(word, "\n")] = '\0';
    if (server->command)
        server->command(word);
}

static void on_stop(evutil_socket_t signal, short what, void *arg)
{
    (void)signal, (void)what, (void)arg;
    if (server->end)
        server->end();
    event_base_loopbreak(base);
}

static void free_listener(void)
{
    tell_queue_of(-1);
    doing("free", -1);
    evconnlistener_free(listener);
}

static int run_loop(void)
{
    doing("dispatch", -1);
    return event_base_dispatch(base) >= 0 ? 0 : 1;
}

static int serve(void)
{
    struct event *stop = evsignal_new(base, SIGTERM, on_stop, NULL);
    struct event *words = event_new(base, STDIN_FILENO, EV_READ | EV_PERSIST, on_word, event_self_cbarg());
    int status = 1;
    if (stop && words && event_add(stop, NULL) == 0 && event_add(words, NULL) == 0 && server->start() == 0)
        status = server->ends ? 0 : run_loop();
    if (listener)
        free_listener();
    if (words)
        event_free(words);
    if (stop)
        event_free(stop);
    return status;
}

static const struct server *server_named(const char *name)
{
    const struct server *const groups[] = {servers_create, servers_clients, servers_errors, servers_threads};
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++)
        for (const struct server *s = groups[i]; s->name; s++)
            if (strcmp(s->name, name) == 0)
                return s;
    return NULL;
}

int main(int argc, char **argv)
{
    server = argc == 2 ? server_named(argv[1]) : NULL;
    if (server == NULL) {
        fprintf(stderr, "usage: lesson-server LESSON (snag lesson starts it)\n");
        return 2;
    }
    loopback_address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    signal(SIGPIPE, SIG_IGN);
    if (server->threads && evthread_use_pthreads() != 0)
        return 1;
    base = event_base_new();
    if (base == NULL)
        return 1;
    tell_all();
    int status = serve();
    event_base_free(base);
    return status;
}
