/*
 * probe.h - the built-in clients: connect, exchange a few bytes, or one HTTP request.
 *
 * A connection waits as long as it takes; when it is refused, reset or closed without the answer, another one is made.
 * "Accepted" is what the server did, not what connect(2) says (the kernel completes connections that nobody accepts): the
 * probe is told of the server's accepts and looks for its own port among the peers.
 */
#ifndef SNAG_PROBE_H
#define SNAG_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "run/endpoint.h"
#include "run/options.h"

struct bufferevent;
struct event_base;
struct probe;
struct ssl_ctx_st;

/* What came of a probe, so far. */
struct probe_result {
    unsigned attempts; /* connections that were begun */
    bool done;         /* it got what it asked for */
    bool accepted; /* the server accepted the connection that got it (or any, if a connection is all it asked for) */
    unsigned refused, closed; /* attempts that ended so */
    uint64_t done_ns;         /* CLOCK_MONOTONIC */
    int http_status;          /* of the last response; 0: none */
};

/* Called once, when the probe is done. */
typedef void probe_done(void *context);

/*
 * Starts probing ENDPOINT as ASK says, with what OPTIONS say for it.  Returns NULL with errno.  BASE and OPTIONS must
 * outlive it.
 */
struct probe *probe_start(struct event_base *base, const struct options *options, enum ask ask,
                          const struct endpoint *endpoint, probe_done *done, void *context);

/* The server accepted a connection at T_NS whose peer is at PEER (LENGTH bytes; 0: not known). */
void probe_accepted(struct probe *probe, const void *peer, size_t length, uint64_t t_ns);

/*
 * The server accepts where no backend sees it: if a connection is all that is asked for, looks whether the kernel's table says
 * that ours was accepted, and is done then.  (Of a unix socket it does not say whose a connection is; any will do.)
 */
void probe_look(struct probe *probe);

/* Ends the connection.  Nothing is called back any more. */
void probe_stop(struct probe *probe);

const struct probe_result *probe_result(const struct probe *probe);

/*
 * Returns a connection to be made that speaks TLS and takes any certificate, NULL without memory.  *CONTEXT is made if it
 * is NULL, and is the caller's to free.
 */
struct bufferevent *probe_tls(struct event_base *base, struct ssl_ctx_st **context);

/* NULL is fine. */
void probe_free(struct probe *probe);

#endif
