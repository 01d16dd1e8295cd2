#include "run/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/clock.h"
#include "run/proc.h"

#define FIRST_PAUSE_NS (20 * NS_PER_MS) /* before the second attempt; doubled for each that follows, ... */
#define LAST_PAUSE_NS (250 * NS_PER_MS) /* ... up to this */
#define SEEN_WITHIN_NS NS_PER_S         /* how long after an answer the record of its accept may take to be read */

enum {
    PORTS_MAX = 64,       /* own ports that are remembered */
    ANSWER_MAX = 1 << 20, /* bytes of an answer that are kept for the search */
    HTTP_FAILED = 500,    /* a server that answers so did not serve */
};

struct probe {
    struct event_base *base;
    const struct options *options;
    enum ask ask;
    struct endpoint endpoint;
    probe_done *done;
    void *context;
    struct probe_result result;
    struct event *timer; /* the next attempt, or the end of the wait for the accept's record */
    uint64_t pause_ns;
    uint64_t started_ns; /* of the current attempt */
    uint16_t port;       /* our own, of the current attempt */
    uint16_t ports[PORTS_MAX];
    bool answered;     /* all that is missing is the record of the accept */
    bool accepted_now; /* the current attempt */
    struct bufferevent *connection;
    struct evhttp_connection *http;
    SSL_CTX *tls;
};

static void arm(struct probe *probe, uint64_t ns)
{
    struct timeval time = clock_timeval(ns);
    event_add(probe->timer, &time);
}

static void drop_connection(struct probe *probe)
{
    if (probe->connection != NULL)
        bufferevent_free(probe->connection);
    if (probe->http != NULL)
        evhttp_connection_free(probe->http);
    probe->connection = NULL;
    probe->http = NULL;
}

/* It has what it asked for.  The caller may be a callback of the connection, so that stays until later. */
static void finish(struct probe *probe)
{
    if (probe->result.done)
        return;
    probe->result.done = true;
    probe->result.accepted = probe->accepted_now;
    probe->result.done_ns = clock_ns();
    event_del(probe->timer);
    probe->done(probe->context);
}

static void answered(struct probe *probe)
{
    probe->answered = true;
    if (probe->accepted_now)
        finish(probe);
    else
        arm(probe, SEEN_WITHIN_NS);
}

/* This attempt came to nothing; another one follows.  The connection is dropped then, not here: see finish(). */
static void try_again(struct probe *probe)
{
    if (probe->answered || probe->result.done)
        return;
    arm(probe, probe->pause_ns);
    probe->pause_ns = 2 * probe->pause_ns < LAST_PAUSE_NS ? 2 * probe->pause_ns : LAST_PAUSE_NS;
}

/* Notes the port that connect(2) has given us. */
static void note_port(struct probe *probe, evutil_socket_t fd)
{
    struct sockaddr_storage address;
    struct endpoint own;
    socklen_t length = sizeof address;
    if (fd < 0 || getsockname(fd, (struct sockaddr *)&address, &length) != 0 || !endpoint_set(&own, &address, length))
        return;
    probe->port = endpoint_port(&own);
    probe->ports[probe->result.attempts % PORTS_MAX] = probe->port;
}

static void on_read(struct bufferevent *connection, void *context)
{
    struct probe *probe = context;
    struct evbuffer *input = bufferevent_get_input(connection);
    const struct bytes *expect = &probe->options->expect;
    struct evbuffer_ptr found = {.pos = -1};
    if (probe->ask == ASK_EXCHANGE)
        found = evbuffer_search(input, expect->data, expect->length, NULL);
    if (found.pos >= 0) {
        bufferevent_disable(connection, EV_READ | EV_WRITE);
        answered(probe);
    } else if (evbuffer_get_length(input) > ANSWER_MAX) {
        evbuffer_drain(input, evbuffer_get_length(input) - expect->length);
    }
}

static void on_event(struct bufferevent *connection, short what, void *context)
{
    struct probe *probe = context;
    (void)connection;
    if (what & BEV_EVENT_CONNECTED) {
        note_port(probe, bufferevent_getfd(connection));
        return;
    }
    if (EVUTIL_SOCKET_ERROR() == ECONNREFUSED && (what & BEV_EVENT_ERROR))
        probe->result.refused++;
    else
        probe->result.closed++;
    try_again(probe);
}

static void start_plain(struct probe *probe)
{
    const struct bytes *send = &probe->options->send;
    probe->connection = bufferevent_socket_new(probe->base, -1, BEV_OPT_CLOSE_ON_FREE);
    if (probe->connection == NULL) {
        try_again(probe);
        return;
    }
    bufferevent_setcb(probe->connection, on_read, NULL, on_event, probe);
    bufferevent_enable(probe->connection, EV_READ | EV_WRITE);
    if (probe->ask == ASK_EXCHANGE && send->data != NULL)
        bufferevent_write(probe->connection, send->data, send->length);
    /* A failure at once is reported to on_event as well, later. */
    if (bufferevent_socket_connect(probe->connection, (struct sockaddr *)&probe->endpoint.address,
                                   (int)probe->endpoint.length) == 0)
        note_port(probe, bufferevent_getfd(probe->connection));
}

static void on_response(struct evhttp_request *request, void *context)
{
    struct probe *probe = context;
    int status = request != NULL ? evhttp_request_get_response_code(request) : 0;
    if (status != 0)
        probe->result.http_status = status;
    if (status != 0 && status < HTTP_FAILED) {
        answered(probe);
        return;
    }
    probe->result.closed += status == 0;
    try_again(probe);
}

/* Any certificate will do: what is tested is the server, not who it is. */
struct bufferevent *probe_tls(struct event_base *base, SSL_CTX **context)
{
    if (*context == NULL)
        *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = *context != NULL ? SSL_new(*context) : NULL;
    if (ssl == NULL)
        return NULL;
    struct bufferevent *connection = bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_CONNECTING,
                                                                    BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
    if (connection == NULL)
        SSL_free(ssl);
    else
        bufferevent_openssl_set_allow_dirty_shutdown(connection, 1);
    return connection;
}

/* Returns whether the request is on its way; on_response is called in any case then. */
static bool send_request(struct probe *probe, struct bufferevent *connection)
{
    char host[ADDRESS_TEXT_MAX], text[ADDRESS_TEXT_MAX];
    probe->http = evhttp_connection_base_bufferevent_new(
        probe->base, NULL, connection, endpoint_host(&probe->endpoint, host), endpoint_port(&probe->endpoint));
    if (probe->http == NULL) {
        bufferevent_free(connection);
        return false;
    }
    /* The time is the caller's; evhttp's own would cut a connection that only waits. */
    evhttp_connection_set_timeout(probe->http, 24 * 60 * 60);
    evhttp_connection_set_retries(probe->http, 0);
    struct evhttp_request *request = evhttp_request_new(on_response, probe);
    if (request == NULL)
        return false;
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
    evhttp_add_header(headers, "Host", endpoint_text(&probe->endpoint, text));
    evhttp_add_header(headers, "Connection", "close");
    evhttp_add_header(headers, "User-Agent", "snag");
    return evhttp_make_request(probe->http, request, EVHTTP_REQ_GET, probe->options->http_path) == 0;
}

static void start_http(struct probe *probe)
{
    struct bufferevent *connection = probe->ask == ASK_HTTPS
                                         ? probe_tls(probe->base, &probe->tls)
                                         : bufferevent_socket_new(probe->base, -1, BEV_OPT_CLOSE_ON_FREE);
    if (connection == NULL || !send_request(probe, connection)) {
        try_again(probe);
        return;
    }
    note_port(probe, bufferevent_getfd(evhttp_connection_get_bufferevent(probe->http)));
}

static void start_attempt(struct probe *probe)
{
    drop_connection(probe);
    probe->accepted_now = false;
    probe->port = 0;
    probe->started_ns = clock_ns();
    if (probe->ask == ASK_HTTP || probe->ask == ASK_HTTPS)
        start_http(probe);
    else
        start_plain(probe);
    probe->result.attempts++;
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    struct probe *probe = context;
    (void)fd;
    (void)what;
    if (probe->answered)
        finish(probe); /* an answer without a record of its accept; the result says so */
    else
        start_attempt(probe);
}

struct probe *probe_start(struct event_base *base, const struct options *options, enum ask ask,
                          const struct endpoint *endpoint, probe_done *done, void *context)
{
    struct probe *probe = calloc(1, sizeof *probe);
    if (probe == NULL)
        return NULL;
    *probe = (struct probe){.base = base,
                            .options = options,
                            .ask = ask,
                            .endpoint = *endpoint,
                            .done = done,
                            .context = context,
                            .pause_ns = FIRST_PAUSE_NS};
    probe->timer = evtimer_new(base, on_timer, probe);
    if (probe->timer == NULL) {
        free(probe);
        return NULL;
    }
    start_attempt(probe);
    return probe;
}

static bool is_earlier_port(const struct probe *probe, uint16_t port)
{
    for (size_t i = 0; i < PORTS_MAX; i++)
        if (probe->ports[i] == port)
            return true;
    return false;
}

void probe_accepted(struct probe *probe, const void *peer, size_t length, uint64_t t_ns)
{
    struct endpoint from;
    uint16_t port = endpoint_set(&from, peer, length) ? endpoint_port(&from) : 0;
    if (endpoint_is_tcp(&probe->endpoint)) {
        if (port == 0 || !is_earlier_port(probe, port))
            return;
        /* An earlier connection of ours shows that the server accepts; an answer has to be the current one's. */
        if (port != probe->port && probe->ask != ASK_CONNECT)
            return;
    } else if (t_ns < probe->started_ns) {
        return; /* unix clients have no name: the time has to do */
    }
    probe->accepted_now = true;
    if (probe->answered || probe->ask == ASK_CONNECT)
        finish(probe);
}

void probe_look(struct probe *probe)
{
    bool tcp = endpoint_is_tcp(&probe->endpoint);
    if (probe->ask == ASK_CONNECT && (!tcp || proc_has_accepted(endpoint_port(&probe->endpoint), probe->port)))
        finish(probe);
}

void probe_stop(struct probe *probe)
{
    event_del(probe->timer);
    drop_connection(probe);
}

const struct probe_result *probe_result(const struct probe *probe)
{
    return &probe->result;
}

void probe_free(struct probe *probe)
{
    if (probe == NULL)
        return;
    drop_connection(probe);
    event_free(probe->timer);
    SSL_CTX_free(probe->tls);
    free(probe);
}
