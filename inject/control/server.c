#include "control/server.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/frame.h"
#include "evconnlistener.h"

enum { BACKLOG = 128 };

struct client {
    struct server *server;
    struct client *next, **link;
    struct bufferevent *stream;
    bool answered;
};

struct server {
    int parent, folder; /* -1: not made */
    bool bound, named;
    struct evconnlistener *listener;
    struct client *clients;
    unsigned count;
    server_answer *answer;
    void *context;
};

/* --- A client ----------------------------------------------------------------------------------------------------- */

static void client_free(struct client *client)
{
    struct server *server = client->server;
    *client->link = client->next;
    if (client->next != NULL)
        client->next->link = client->link;
    bufferevent_free(client->stream);
    free(client);
    if (server->count-- == SERVER_CLIENTS)
        evconnlistener_enable(server->listener);
}

static json_t *refusal(const char *why)
{
    return json_pack("{s:b, s:s}", "ok", false, "error", why);
}

/* Sends ANSWER, which is given back; the connection ends when it is taken. */
static void send_answer(struct client *client, json_t *answer)
{
    char *text = answer != NULL ? json_dumps(answer, JSON_COMPACT) : NULL;
    json_decref(answer);
    client->answered = true;
    bufferevent_disable(client->stream, EV_READ);
    if (text == NULL || bufferevent_write(client->stream, text, strlen(text)) != 0 ||
        bufferevent_write(client->stream, "\n", 1) != 0)
        client_free(client);
    free(text);
}

/* Whether who asked has gone.  It takes it that nothing was done, and so nothing is: we may have been stopped meanwhile. */
static bool has_gone(const struct client *client)
{
    struct pollfd peer = {.fd = bufferevent_getfd(client->stream)};
    return poll(&peer, 1, 0) == 1 && (peer.revents & POLLHUP);
}

static void answer_line(struct client *client, const char *line, size_t length)
{
    if (has_gone(client)) {
        client_free(client);
        return;
    }
    json_error_t error;
    json_t *request = json_loadb(line, length, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(request))
        send_answer(client, refusal("snag: not a request: expected a JSON object in one line\n"));
    else
        send_answer(client, client->server->answer(client->server->context, request));
    json_decref(request);
}

static void on_read(struct bufferevent *stream, void *context)
{
    struct client *client = context;
    struct evbuffer *input = bufferevent_get_input(stream);
    size_t length;
    if (client->answered)
        return;
    char *line = evbuffer_readln(input, &length, EVBUFFER_EOL_LF);
    if (line != NULL && length < FRAME_REQUEST_MAX)
        answer_line(client, line, length);
    else if (line != NULL || evbuffer_get_length(input) >= FRAME_REQUEST_MAX)
        send_answer(client, refusal("snag: the request is too long: 65536 bytes are the most\n"));
    free(line);
}

static void on_written(struct bufferevent *stream, void *context)
{
    struct client *client = context;
    (void)stream;
    if (client->answered)
        client_free(client);
}

/* It went away, or took too long. */
static void on_end(struct bufferevent *stream, short what, void *context)
{
    (void)stream;
    (void)what;
    client_free(context);
}

/* --- The socket --------------------------------------------------------------------------------------------------- */

static bool is_ours(int fd)
{
    struct ucred peer;
    socklen_t length = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && (peer.uid == geteuid() || peer.uid == 0);
}

static struct client *client_new(struct server *server, struct event_base *base, int fd)
{
    struct timeval patience = {.tv_sec = SERVER_PATIENCE_S};
    struct client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return NULL;
    client->stream = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (client->stream == NULL) {
        free(client);
        return NULL;
    }
    client->server = server;
    client->next = server->clients;
    client->link = &server->clients;
    if (client->next != NULL)
        client->next->link = &client->next;
    server->clients = client;
    bufferevent_setcb(client->stream, on_read, on_written, on_end, client);
    bufferevent_setwatermark(client->stream, EV_READ, 0, FRAME_REQUEST_MAX + 1);
    bufferevent_set_timeouts(client->stream, &patience, &patience);
    return client;
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int length,
                      void *context)
{
    struct server *server = context;
    (void)address;
    (void)length;
    struct client *client = is_ours(fd) && server->count < SERVER_CLIENTS
                                ? client_new(server, evconnlistener_get_base(listener), fd)
                                : NULL;
    if (client == NULL) {
        close(fd);
        return;
    }
    if (++server->count == SERVER_CLIENTS)
        evconnlistener_disable(listener);
    bufferevent_enable(client->stream, EV_READ | EV_WRITE);
}

/* By way of the descriptor, so that the folder's path may be longer than a socket's address. */
static int bind_socket(struct server *server)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/" FRAME_SOCKET, server->folder);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0) {
        server->bound = true;
        if (fchmodat(server->folder, FRAME_SOCKET, 0600, 0) == 0)
            return fd;
    }
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static int write_name(struct server *server, const char *name)
{
    int fd = openat(server->folder, FRAME_NAME, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    server->named = true;
    ssize_t written = write(fd, name, strlen(name));
    if (close(fd) == 0 && written == (ssize_t)strlen(name))
        return 0;
    if (errno == 0)
        errno = EIO;
    return -1;
}

static int open_folder(struct server *server)
{
    if (mkdirat(server->parent, FRAME_FOLDER, 0700) != 0)
        return -1;
    server->folder = openat(server->parent, FRAME_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (server->folder < 0) {
        int error = errno;
        unlinkat(server->parent, FRAME_FOLDER, AT_REMOVEDIR);
        errno = error;
        return -1;
    }
    return fchmod(server->folder, 0700); /* whatever umask says */
}

/* The name is there before the socket is: who finds the one finds the other. */
static int listen_here(struct server *server, struct event_base *base, const char *name)
{
    if (open_folder(server) != 0 || (name != NULL && write_name(server, name) != 0))
        return -1;
    int fd = bind_socket(server);
    if (fd < 0)
        return -1;
    server->listener =
        evconnlistener_new(base, on_accept, server, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, BACKLOG, fd);
    if (server->listener != NULL)
        return 0;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

struct server *server_open(struct event_base *base, int folder, const char *name, server_answer *answer, void *context)
{
    struct server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return NULL;
    *server = (struct server){.folder = -1, .answer = answer, .context = context};
    server->parent = fcntl(folder, F_DUPFD_CLOEXEC, 0);
    if (server->parent >= 0 && listen_here(server, base, name) == 0)
        return server;
    int error = errno;
    server_close(server);
    errno = error;
    return NULL;
}

void server_close(struct server *server)
{
    if (server == NULL)
        return;
    for (struct client *client = server->clients, *next; client != NULL; client = next) {
        struct evbuffer *output = bufferevent_get_output(client->stream);
        next = client->next;
        evbuffer_unfreeze(output, 1); /* bufferevents keep that end to themselves */
        evbuffer_write(output, bufferevent_getfd(client->stream));
        client_free(client);
    }
    if (server->listener != NULL)
        evconnlistener_free(server->listener);
    if (server->bound)
        unlinkat(server->folder, FRAME_SOCKET, 0);
    if (server->named)
        unlinkat(server->folder, FRAME_NAME, 0);
    if (server->folder >= 0) {
        close(server->folder);
        unlinkat(server->parent, FRAME_FOLDER, AT_REMOVEDIR);
    }
    if (server->parent >= 0)
        close(server->parent);
    free(server);
}
