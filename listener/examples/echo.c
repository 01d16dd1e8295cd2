/*
 * listener-echo: a server on evconnlistener that sends back what it gets, and says at its end which way the listener took.
 */
#include "evconnlistener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

struct options {
    const char *address, *path, *stats_file, *policy;
    unsigned port;
    unsigned flags;
    unsigned cap;
    bool errorcb, stats;
    int backlog;
    int fd; /* -1: none */
};

/* What the listener did, from its observer.  An error of accept goes one of three ways: past in silence, to the error
   callback, or to the log.  (EAGAIN at the end of a round that has seen something is no news and is not counted.) */
struct echo {
    struct event_base *base;
    struct evconnlistener *listener;
    const struct options *options;
    struct client *clients; /* the open ones */
    uint64_t silent;
    uint64_t errorcb;
    uint64_t warned;
    uint64_t closed; /* connections without an address: closed, and on with the next one */
    uint64_t disabled;
    uint64_t seen;   /* by the present round: clients, and errors that were not EAGAIN */
    bool is_pending; /* an error whose way is not known yet */
};

/* --- A connection --------------------------------------------------------------------------------------------- */

struct client {
    struct bufferevent *stream;
    struct client *next, **place; /* in the list of the open ones; place is what points to this one */
};

static void client_close(struct client *client)
{
    *client->place = client->next;
    if (client->next)
        client->next->place = client->place;
    bufferevent_free(client->stream);
    free(client);
}

static void client_echo(struct bufferevent *stream, void *client)
{
    if (bufferevent_write_buffer(stream, bufferevent_get_input(stream)) != 0)
        client_close(client);
}

static void client_is_answered(struct bufferevent *stream, void *client)
{
    (void)stream;
    client_close(client);
}

/* The client may have shut down its writing side only: what is on its way back to it is sent first. */
static void client_end(struct bufferevent *stream, short what, void *client)
{
    if (what & BEV_EVENT_EOF && evbuffer_get_length(bufferevent_get_output(stream)) > 0) {
        bufferevent_disable(stream, EV_READ);
        bufferevent_setcb(stream, NULL, client_is_answered, client_end, client);
    } else {
        client_close(client);
    }
}

static void client_link(struct client *client, struct client **list)
{
    client->next = *list;
    client->place = list;
    if (client->next)
        client->next->place = &client->next;
    *list = client;
}

static void echo_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *address, int length, void *arg)
{
    struct echo *echo = arg;
    (void)address, (void)length;
    struct client *client = calloc(1, sizeof *client);
    struct bufferevent *stream =
        client ? bufferevent_socket_new(evconnlistener_get_base(l), fd, BEV_OPT_CLOSE_ON_FREE) : NULL;
    if (stream == NULL) {
        free(client);
        close(fd);
        return;
    }
    client->stream = stream;
    client_link(client, &echo->clients);
    bufferevent_setcb(stream, client_echo, NULL, client_end, client);
    if (bufferevent_enable(stream, EV_READ | EV_WRITE) != 0)
        client_close(client);
}

/* --- The ways of the listener ------------------------------------------------------------------------------------ */

static void echo_on_error(struct evconnlistener *l, void *arg)
{
    (void)l, (void)arg;
    fprintf(stderr, "listener-echo: accept: %s\n", strerror(errno));
}

static void echo_count_way(struct echo *echo, uint64_t *way)
{
    if (echo->is_pending)
        ++*way;
    echo->is_pending = false;
}

static void echo_observe(struct evconnlistener *l, const struct evconnlistener_event *event, void *arg)
{
    struct echo *echo = arg;
    (void)l;
    switch (event->step) {
    case EVCONNLISTENER_STEP_READABLE:
        echo->seen = 0;
        break;
    case EVCONNLISTENER_STEP_ACCEPTED:
        echo_count_way(echo, &echo->silent);
        echo->seen++;
        break;
    case EVCONNLISTENER_STEP_ERROR:
        echo_count_way(echo, &echo->silent);
        echo->is_pending = event->error != EAGAIN || echo->seen == 0;
        echo->seen++;
        break;
    case EVCONNLISTENER_STEP_ERRORCB_ENTER:
        echo_count_way(echo, &echo->errorcb);
        break;
    case EVCONNLISTENER_STEP_WARNED:
        echo_count_way(echo, &echo->warned);
        break;
    case EVCONNLISTENER_STEP_ROUND_END:
        echo_count_way(echo, &echo->silent);
        break;
    case EVCONNLISTENER_STEP_ZERO_LENGTH:
        echo->closed++;
        break;
    case EVCONNLISTENER_STEP_DISABLED:
        echo->disabled++;
        break;
    default:
        break;
    }
}

/* --- Figures ------------------------------------------------------------------------------------------------------ */

static int echo_write_stats(const struct echo *echo, FILE *out)
{
    struct evconnlistener_counters c;
    if (evconnlistener_get_counters(echo->listener, &c, sizeof c) != 0)
        return -1;
    fprintf(out,
            "accepted=%" PRIu64 " silent=%" PRIu64 " errorcb=%" PRIu64 " warned=%" PRIu64 " closed=%" PRIu64
            " disabled=%" PRIu64 " wakeups=%" PRIu64 " drained=%" PRIu64 " connection=%" PRIu64 " resource=%" PRIu64
            " permission=%" PRIu64 " fatal=%" PRIu64 " shed=%" PRIu64 " backoffs=%" PRIu64 " paused_ms=%" PRIu64 "\n",
            c.accepted, echo->silent, echo->errorcb, echo->warned, echo->closed, echo->disabled, c.wakeups, c.drained,
            c.connection, c.resource, c.permission, c.fatal, c.shed, c.backoffs, c.paused_ns / 1000000);
    return fflush(out) == 0 && !ferror(out) ? 0 : -1;
}

static int echo_save_stats(const struct echo *echo, const char *path)
{
    FILE *out = fopen(path, "we");
    int result = out ? echo_write_stats(echo, out) : -1;
    if (out && fclose(out) != 0)
        result = -1;
    if (result != 0)
        fprintf(stderr, "listener-echo: %s: %s\n", path, strerror(errno));
    return result;
}

/* --- Start and end ------------------------------------------------------------------------------------------------- */

static const char usage[] =
    "usage: listener-echo [OPTION]...\n"
    "  --port N            listen on this port (0, the default: any that is free; it is printed)\n"
    "  --address ADDRESS   numeric IPv4 or IPv6 address (127.0.0.1)\n"
    "  --unix PATH         listen on a unix socket instead; @NAME is an abstract one\n"
    "  --fd N              take over a listening descriptor\n"
    "  --backlog N         of listen(2) (-1: 128)\n"
    "  --policy NAME       libevent, backoff (default) or shed\n"
    "  --errorcb           set an error callback, which prints the error\n"
    "  --adaptive          see EVCONNLISTENER_OPT_ADAPTIVE\n"
    "  --cap N             at most N accepts a round\n"
    "  --stats             at the end, print what the listener did: NAME=VALUE...\n"
    "  --stats-file FILE   the same into FILE\n";

static int sockaddr_from_unix(const char *path, struct sockaddr_storage *storage)
{
    struct sockaddr_un *un = (struct sockaddr_un *)storage;
    size_t length = strlen(path);
    if (length >= sizeof un->sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, length);
    if (path[0] == '@') {
        un->sun_path[0] = '\0';
        return (int)(offsetof(struct sockaddr_un, sun_path) + length);
    }
    return sizeof *un;
}

static int sockaddr_from_inet(const struct options *options, struct sockaddr_storage *storage)
{
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)storage;
    struct sockaddr_in *in = (struct sockaddr_in *)storage;
    if (inet_pton(AF_INET6, options->address, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((uint16_t)options->port);
        return sizeof *in6;
    }
    memset(storage, 0, sizeof *storage);
    if (inet_pton(AF_INET, options->address, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t)options->port);
        return sizeof *in;
    }
    errno = EINVAL;
    return -1;
}

static struct evconnlistener *echo_listen(struct echo *echo)
{
    const struct options *options = echo->options;
    struct sockaddr_storage storage = {0};
    unsigned flags = options->flags | LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC;
    if (options->fd >= 0)
        return evconnlistener_new(echo->base, echo_accept, echo, flags, 0, options->fd);
    int length = options->path ? sockaddr_from_unix(options->path, &storage) : sockaddr_from_inet(options, &storage);
    if (length < 0)
        return NULL;
    if (options->path == NULL)
        flags |= LEV_OPT_REUSEABLE;
    return evconnlistener_new_bind(echo->base, echo_accept, echo, flags, options->backlog, (struct sockaddr *)&storage,
                                   length);
}

static void echo_say_where(const struct echo *echo)
{
    struct sockaddr_storage storage = {0};
    const struct sockaddr_in *in = (const struct sockaddr_in *)&storage;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&storage;
    socklen_t length = sizeof storage;
    char host[INET6_ADDRSTRLEN] = "?";
    if (getsockname(evconnlistener_get_fd(echo->listener), (struct sockaddr *)&storage, &length) != 0)
        perror("listener-echo: getsockname");
    else if (storage.ss_family == AF_INET)
        printf("listening on %s:%u\n", inet_ntop(AF_INET, &in->sin_addr, host, sizeof host), ntohs(in->sin_port));
    else if (storage.ss_family == AF_INET6)
        printf("listening on [%s]:%u\n", inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host),
               ntohs(in6->sin6_port));
    else
        printf("listening on %s\n", echo->options->path ? echo->options->path : "the descriptor");
    fflush(stdout);
}

static void echo_stop(evutil_socket_t signal_number, short what, void *base)
{
    (void)signal_number, (void)what;
    event_base_loopbreak(base);
}

static int echo_loop(struct echo *echo)
{
    const struct evconnlistener_observer observer = {echo_observe, echo};
    struct event *term = evsignal_new(echo->base, SIGTERM, echo_stop, echo->base);
    struct event *interrupt = evsignal_new(echo->base, SIGINT, echo_stop, echo->base);
    int result = -1;
    if (term == NULL || interrupt == NULL || event_add(term, NULL) != 0 || event_add(interrupt, NULL) != 0) {
        perror("listener-echo: signals");
    } else {
        evconnlistener_set_observer(echo->listener, &observer);
        if (echo->options->errorcb)
            evconnlistener_set_error_cb(echo->listener, echo_on_error);
        if (echo->options->cap)
            evconnlistener_set_accept_cap(echo->listener, echo->options->cap);
        echo_say_where(echo);
        result = event_base_dispatch(echo->base);
        if (echo->options->stats && echo_write_stats(echo, stdout) != 0)
            result = -1;
        if (echo->options->stats_file && echo_save_stats(echo, echo->options->stats_file) != 0)
            result = -1;
        evconnlistener_set_observer(echo->listener, NULL);
    }
    if (term)
        event_free(term);
    if (interrupt)
        event_free(interrupt);
    return result;
}

static int echo_run(const struct options *options)
{
    struct echo echo = {.options = options, .base = event_base_new()};
    int result = -1;
    if (echo.base == NULL) {
        perror("listener-echo: event_base_new");
        return -1;
    }
    echo.listener = echo_listen(&echo);
    if (echo.listener) {
        result = echo_loop(&echo);
        evconnlistener_free(echo.listener);
    } else {
        fprintf(stderr, "listener-echo: can't listen: %s\n", strerror(errno));
    }
    for (struct client *client = echo.clients, *next; client; client = next) {
        next = client->next;
        client_close(client);
    }
    event_base_free(echo.base);
    return result;
}

/* --- The command line ---------------------------------------------------------------------------------------------- */

static int parse_number(const char *text, long least, long most, long *number)
{
    char *end;
    errno = 0;
    *number = strtol(text, &end, 10);
    if (errno == 0 && end != text && *end == '\0' && *number >= least && *number <= most)
        return 0;
    fprintf(stderr, "listener-echo: %s: a number from %ld to %ld is expected\n", text, least, most);
    return -1;
}

static int parse_policy(const char *name)
{
    static const char *const names[] = {
        [EVCONNLISTENER_POLICY_LIBEVENT] = "libevent",
        [EVCONNLISTENER_POLICY_BACKOFF] = "backoff",
        [EVCONNLISTENER_POLICY_SHED] = "shed",
    };
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], name) == 0)
            return evconnlistener_set_default_policy((enum evconnlistener_policy)i);
    fprintf(stderr, "listener-echo: %s: no such policy; there are libevent, backoff and shed\n", name);
    return -1;
}

static int parse_option(struct options *options, int option)
{
    long number = 0;
    switch (option) {
    case 'p':
        if (parse_number(optarg, 0, 65535, &number) != 0)
            return -1;
        options->port = (unsigned)number;
        return 0;
    case 'a':
        options->address = optarg;
        return 0;
    case 'u':
        options->path = optarg;
        return 0;
    case 'f':
        if (parse_number(optarg, 0, 1 << 20, &number) != 0)
            return -1;
        options->fd = (int)number;
        return 0;
    case 'b':
        if (parse_number(optarg, -1, 65535, &number) != 0)
            return -1;
        options->backlog = (int)number;
        return 0;
    case 'c':
        if (parse_number(optarg, 1, 1 << 20, &number) != 0)
            return -1;
        options->cap = (unsigned)number;
        return 0;
    case 'P':
        return parse_policy(optarg);
    case 'e':
        options->errorcb = true;
        return 0;
    case 'A':
        options->flags |= EVCONNLISTENER_OPT_ADAPTIVE;
        return 0;
    case 's':
        options->stats = true;
        return 0;
    case 'S':
        options->stats_file = optarg;
        return 0;
    case 'h':
        fputs(usage, stdout);
        exit(0);
    default:
        return -1;
    }
}

static int parse_arguments(struct options *options, int argc, char **argv)
{
    static const struct option longs[] = {
        {"port", required_argument, NULL, 'p'},
        {"address", required_argument, NULL, 'a'},
        {"unix", required_argument, NULL, 'u'},
        {"fd", required_argument, NULL, 'f'},
        {"backlog", required_argument, NULL, 'b'},
        {"cap", required_argument, NULL, 'c'},
        {"policy", required_argument, NULL, 'P'},
        {"errorcb", no_argument, NULL, 'e'},
        {"adaptive", no_argument, NULL, 'A'},
        {"stats", no_argument, NULL, 's'},
        {"stats-file", required_argument, NULL, 'S'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1)
        if (parse_option(options, option) != 0)
            return -1;
    return optind == argc ? 0 : -1;
}

int main(int argc, char **argv)
{
    struct options options = {.address = "127.0.0.1", .backlog = -1, .fd = -1};
    if (parse_arguments(&options, argc, argv) != 0) {
        fputs(usage, stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    return echo_run(&options) == 0 ? 0 : 1;
}
