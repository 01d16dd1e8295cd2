#include "explore/visitor.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run/client.h"
#include "run/clock.h"
#include "run/probe.h"
#include "run/proc.h"

/* A connection that only has to be accepted is served once it was, and is open for so long. */
#define OPEN_FOR_NS (10 * NS_PER_MS)

enum {
    ANSWER_MAX = 1 << 20, /* bytes of an answer that are kept for the search */
    HTTP_FAILED = 500,    /* a server that answers so did not serve */
    HTTP_LINE = 16,       /* bytes of a status line that hold the status */
};

struct visitor {
    struct visitors *group;
    struct visit visit;
    bool answered;
    bool going;    /* it does not stay, after all */
    uint16_t port; /* our own; 0: not known */
    struct bufferevent *connection;
    struct event *timer; /* the end of OPEN_FOR_NS */
    struct client *command;
};

struct visitors {
    struct event_base *base;
    const struct options *options;
    struct endpoint endpoint;
    char *request; /* of HTTP */
    bool is_short;
    SSL_CTX *tls;
    size_t count;
    struct visitor *list[VISITORS_MAX];
};

/* --- Fates ------------------------------------------------------------------------------------------------------- */

static void decide(struct visitor *visitor, enum fate fate)
{
    if (visitor->visit.fate != FATE_WAITING)
        return;
    visitor->visit.fate = fate;
    visitor->visit.ended_ns = clock_ns();
}

/* The caller may be a callback of the connection: libevent puts off the end of one that is in use. */
static void disconnect(struct visitor *visitor)
{
    if (visitor->connection != NULL)
        bufferevent_free(visitor->connection);
    visitor->connection = NULL;
    if (visitor->timer != NULL)
        event_del(visitor->timer);
}

static void served(struct visitor *visitor)
{
    decide(visitor, FATE_SERVED);
    if (!visitor->visit.stays || visitor->going)
        disconnect(visitor);
}

static void closed(struct visitor *visitor, enum fate fate)
{
    const struct visitors *group = visitor->group;
    if (visitor->visit.accepted && group->options->ask == ASK_CONNECT && group->is_short && fate == FATE_CLOSED)
        fate = FATE_SERVED;
    decide(visitor, fate);
    disconnect(visitor);
}

static void on_open_long_enough(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    served(context);
}

/* One that stays says nothing: it is there for the descriptor that it takes. */
static bool only_connects(const struct visitor *visitor)
{
    return visitor->visit.stays || visitor->group->options->ask == ASK_CONNECT;
}

/* The record of its accept was read, or its answer: both are needed. */
static void look(struct visitor *visitor)
{
    struct timeval time = clock_timeval(OPEN_FOR_NS);
    if (!visitor->visit.accepted || visitor->visit.fate != FATE_WAITING)
        return;
    if (visitor->answered)
        served(visitor);
    else if (only_connects(visitor) && !evtimer_pending(visitor->timer, NULL))
        event_add(visitor->timer, &time);
}

/* --- Connections ------------------------------------------------------------------------------------------------- */

static bool is_http(const struct visitors *group)
{
    return group->options->ask == ASK_HTTP || group->options->ask == ASK_HTTPS;
}

/* Returns whether the answer is there; 1: it is, -1: it is a refusal. */
static int judge_answer(const struct visitors *group, struct evbuffer *input)
{
    char line[HTTP_LINE + 1] = "";
    const struct bytes *expect = &group->options->expect;
    if (!is_http(group)) {
        struct evbuffer_ptr found = evbuffer_search(input, expect->data, expect->length, NULL);
        return found.pos >= 0;
    }
    int status = 0;
    evbuffer_copyout(input, line, HTTP_LINE);
    if (evbuffer_get_length(input) < HTTP_LINE || sscanf(line, "HTTP/%*d.%*d %d", &status) != 1)
        return 0;
    return status < HTTP_FAILED ? 1 : -1;
}

static void on_read(struct bufferevent *connection, void *context)
{
    struct visitor *visitor = context;
    struct evbuffer *input = bufferevent_get_input(connection);
    if (visitor->answered || only_connects(visitor)) {
        evbuffer_drain(input, evbuffer_get_length(input));
        return;
    }
    int answer = judge_answer(visitor->group, input);
    if (answer < 0) {
        visitor->visit.failed_answer = true;
        closed(visitor, FATE_CLOSED);
    } else if (answer > 0) {
        visitor->answered = true;
        look(visitor);
    } else if (evbuffer_get_length(input) > ANSWER_MAX) {
        evbuffer_drain(input, evbuffer_get_length(input) - ANSWER_MAX / 2);
    }
}

/* Notes the port that connect(2) has given us. */
static void note_port(struct visitor *visitor)
{
    struct sockaddr_storage address;
    struct endpoint own;
    socklen_t length = sizeof address;
    evutil_socket_t fd = visitor->connection != NULL ? bufferevent_getfd(visitor->connection) : -1;
    if (fd >= 0 && getsockname(fd, (struct sockaddr *)&address, &length) == 0 && endpoint_set(&own, &address, length))
        visitor->port = endpoint_port(&own);
}

static void on_event(struct bufferevent *connection, short what, void *context)
{
    struct visitor *visitor = context;
    int error = EVUTIL_SOCKET_ERROR();
    (void)connection;
    if (what & BEV_EVENT_CONNECTED) {
        if (visitor->port == 0)
            note_port(visitor);
        return;
    }
    if (visitor->answered && visitor->visit.fate == FATE_WAITING) {
        disconnect(visitor); /* it has what it came for; the record of its accept is still to be read */
        return;
    }
    bool refused = (what & BEV_EVENT_ERROR) && (error == ECONNREFUSED || error == ENOENT) && !visitor->visit.accepted;
    closed(visitor, refused ? FATE_REFUSED : FATE_CLOSED);
}

static void ask(struct visitor *visitor)
{
    const struct visitors *group = visitor->group;
    const struct bytes *send = &group->options->send;
    if (visitor->visit.stays)
        return;
    if (is_http(group))
        bufferevent_write(visitor->connection, group->request, strlen(group->request));
    else if (group->options->ask == ASK_EXCHANGE && send->data != NULL)
        bufferevent_write(visitor->connection, send->data, send->length);
}

static int connect_visitor(struct visitor *visitor)
{
    struct visitors *group = visitor->group;
    visitor->timer = evtimer_new(group->base, on_open_long_enough, visitor);
    visitor->connection = group->options->ask == ASK_HTTPS && !visitor->visit.stays
                              ? probe_tls(group->base, &group->tls)
                              : bufferevent_socket_new(group->base, -1, BEV_OPT_CLOSE_ON_FREE);
    if (visitor->timer == NULL || visitor->connection == NULL) {
        errno = ENOMEM;
        return -1;
    }
    bufferevent_setcb(visitor->connection, on_read, NULL, on_event, visitor);
    bufferevent_enable(visitor->connection, EV_READ | EV_WRITE);
    ask(visitor);
    /* A failure at once is reported to on_event as well, later. */
    if (bufferevent_socket_connect(visitor->connection, (struct sockaddr *)&group->endpoint.address,
                                   (int)group->endpoint.length) == 0)
        note_port(visitor);
    return 0;
}

static int run_command(struct visitor *visitor)
{
    struct visitors *group = visitor->group;
    visitor->command = calloc(1, sizeof *visitor->command);
    if (visitor->command == NULL)
        return -1;
    return client_start(visitor->command, group->base, group->options->client, &group->endpoint,
                        group->options->client_timeout_ns, false);
}

/* --- The group --------------------------------------------------------------------------------------------------- */

struct visitors *visitors_new(struct event_base *base, const struct options *options, const struct endpoint *endpoint)
{
    char text[ADDRESS_TEXT_MAX];
    struct visitors *group = calloc(1, sizeof *group);
    if (group == NULL)
        return NULL;
    group->base = base;
    group->options = options;
    group->endpoint = *endpoint;
    const char *host = endpoint_is_tcp(endpoint) ? endpoint_text(endpoint, text) : "localhost";
    if (is_http(group) &&
        asprintf(&group->request, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: snag\r\nConnection: close\r\n\r\n",
                 options->http_path, host) < 0) {
        free(group);
        errno = ENOMEM;
        return NULL;
    }
    return group;
}

static void visitor_free(struct visitor *visitor)
{
    disconnect(visitor);
    if (visitor->timer != NULL)
        event_free(visitor->timer);
    if (visitor->command != NULL) {
        client_signal(visitor->command, SIGKILL);
        client_free(visitor->command);
        free(visitor->command);
    }
    free(visitor);
}

void visitors_free(struct visitors *visitors)
{
    if (visitors == NULL)
        return;
    for (size_t i = 0; i < visitors->count; i++)
        visitor_free(visitors->list[i]);
    SSL_CTX_free(visitors->tls);
    free(visitors->request);
    free(visitors);
}

int visitors_start(struct visitors *visitors, bool stays)
{
    if (visitors->count == VISITORS_MAX) {
        errno = ENOSPC;
        return -1;
    }
    struct visitor *visitor = calloc(1, sizeof *visitor);
    if (visitor == NULL)
        return -1;
    visitor->group = visitors;
    visitor->visit = (struct visit){.stays = stays, .began_ns = clock_ns()};
    int result = visitors->options->ask == ASK_CLIENT && !stays ? run_command(visitor) : connect_visitor(visitor);
    if (result != 0) {
        int saved = errno;
        visitor_free(visitor);
        errno = saved;
        return -1;
    }
    visitors->list[visitors->count] = visitor;
    return (int)visitors->count++;
}

bool visitors_dismiss(struct visitors *visitors)
{
    for (size_t i = 0; i < visitors->count; i++) {
        struct visitor *visitor = visitors->list[i];
        if (visitor->visit.fate != FATE_SERVED || visitor->connection == NULL)
            continue;
        disconnect(visitor);
        return true;
    }
    return false;
}

void visitors_release(struct visitors *visitors)
{
    while (visitors_dismiss(visitors)) {
    }
    for (size_t i = 0; i < visitors->count; i++)
        visitors->list[i]->going = true;
}

void visitors_leave(struct visitors *visitors)
{
    for (size_t i = 0; i < visitors->count; i++) {
        struct visitor *visitor = visitors->list[i];
        decide(visitor, FATE_LEFT);
        disconnect(visitor);
        if (visitor->command != NULL)
            client_expire(visitor->command);
    }
}

static bool is_meant(const struct visitor *visitor, uint16_t port, uint64_t t_ns)
{
    const struct visit *visit = &visitor->visit;
    if (visitor->command != NULL)
        return visit->fate == FATE_WAITING && visit->began_ns <= t_ns;
    if (port != 0)
        return visitor->port == port;
    /* A client without a name (a unix socket's, or one whose address was falsified): the queue is first in, first out. */
    return visit->fate != FATE_LEFT && !visit->accepted && !visit->consumed && visit->began_ns <= t_ns;
}

void visitors_accepted(struct visitors *visitors, const void *peer, size_t length, uint64_t t_ns, bool consumed)
{
    struct endpoint from;
    uint16_t port = endpoint_set(&from, peer, length) ? endpoint_port(&from) : 0;
    for (size_t i = 0; i < visitors->count; i++) {
        struct visitor *visitor = visitors->list[i];
        if (!is_meant(visitor, port, t_ns))
            continue;
        visitor->visit.consumed = visitor->visit.consumed || consumed;
        visitor->visit.accepted = visitor->visit.accepted || !consumed;
        visitor->visit.accepted_ns = consumed ? 0 : t_ns;
        /* One that was closed before its accept was known: see closed(). */
        if (visitor->visit.fate == FATE_CLOSED && visitors->is_short && visitors->options->ask == ASK_CONNECT &&
            !consumed)
            visitor->visit.fate = FATE_SERVED;
        look(visitor);
        return;
    }
}

void visitors_recheck(struct visitors *visitors)
{
    uint16_t server = endpoint_port(&visitors->endpoint);
    for (size_t i = 0; i < visitors->count; i++) {
        struct visitor *visitor = visitors->list[i];
        if (visitor->visit.fate != FATE_WAITING || visitor->visit.accepted || visitor->command != NULL)
            continue;
        if (visitor->answered || (visitor->port != 0 && proc_has_accepted(server, visitor->port))) {
            visitor->visit.accepted = true;
            look(visitor);
        }
    }
}

bool visitors_reaped(struct visitors *visitors, pid_t pid, int status)
{
    for (size_t i = 0; i < visitors->count; i++) {
        struct visitor *visitor = visitors->list[i];
        if (visitor->command == NULL || !client_reaped(visitor->command, pid, status))
            continue;
        bool done = status == 0 && !visitor->command->timed_out;
        decide(visitor, done ? FATE_SERVED : FATE_CLOSED);
        return true;
    }
    return false;
}

void visitors_short(struct visitors *visitors)
{
    visitors->is_short = true;
    for (size_t i = 0; i < visitors->count; i++) {
        struct visit *visit = &visitors->list[i]->visit;
        if (visit->fate == FATE_CLOSED && visit->accepted && visitors->options->ask == ASK_CONNECT)
            visit->fate = FATE_SERVED;
    }
}

size_t visitors_count(const struct visitors *visitors)
{
    return visitors->count;
}

const struct visit *visitors_get(const struct visitors *visitors, size_t i)
{
    return &visitors->list[i]->visit;
}

size_t visitors_with(const struct visitors *visitors, size_t from, enum fate fate)
{
    size_t count = 0;
    for (size_t i = from; i < visitors->count; i++)
        count += visitors->list[i]->visit.fate == fate;
    return count;
}
