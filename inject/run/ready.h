/*
 * ready.h - when the server is ready, and where: from the calls that the shim saw.
 */
#ifndef SNAG_READY_H
#define SNAG_READY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/event.h"
#include "run/endpoint.h"

/* A socket that was seen to listen. */
struct listening {
    uint64_t t_ns; /* 0: none */
    pid_t pid;
    struct endpoint endpoint;
};

struct ready {
    struct listening first_tcp, first_unix; /* that listened */
    struct listening waited;                /* the one whose first wait or accept made the server ready */
    bool seen;                              /* the record that says so was read */
};

/* Takes note of EVENT_LISTENING and EVENT_READY; lets others pass. */
void ready_event(struct ready *ready, const struct event *event, const void *payload);

/*
 * Writes the address that clients are to use to OUT: of the TCP socket that listened first, else of the unix socket, else
 * of the one that was waited on.  Returns false if no address is known.
 */
bool ready_endpoint(const struct ready *ready, struct endpoint *out);

#endif
