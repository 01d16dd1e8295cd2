/*
 * endpoint.h - an address that a server listens on, and how clients get to it.
 */
#ifndef SNAG_ENDPOINT_H
#define SNAG_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "trace/address.h"

enum { ENDPOINT_VARIABLES = 4 };

struct endpoint {
    socklen_t length; /* 0: none */
    struct sockaddr_storage address;
};

/*
 * Makes OUT of the LENGTH bytes of a socket address at ADDRESS, as the kernel or the shim reports it.  Returns whether it
 * is one that a client could connect to: IPv4, IPv6, or a unix path or abstract name.
 */
bool endpoint_set(struct endpoint *out, const void *address, size_t length);

/*
 * Turns a listening address into one to connect to: a wildcard becomes loopback, and a relative unix path becomes
 * absolute, from the working folder of process PID.
 */
void endpoint_aim(struct endpoint *endpoint, pid_t pid);

/* Whether it is IPv4 or IPv6. */
bool endpoint_is_tcp(const struct endpoint *endpoint);

/* Returns the port, host order; 0 for a unix socket. */
uint16_t endpoint_port(const struct endpoint *endpoint);

/* Writes "127.0.0.1:80", "[::1]:80", "/path" or "@name" to OUT, and returns it; "" for none. */
const char *endpoint_text(const struct endpoint *endpoint, char out[ADDRESS_TEXT_MAX]);

/* Writes the host alone ("127.0.0.1", "::1") to OUT, and returns it; "" for a unix socket. */
const char *endpoint_host(const struct endpoint *endpoint, char out[ADDRESS_TEXT_MAX]);

/* Fills OUT with SNAG_HOST=, SNAG_PORT=, SNAG_ADDR= and SNAG_PATH=, each to be freed.  Returns -1 with errno ENOMEM. */
int endpoint_variables(const struct endpoint *endpoint, char *out[ENDPOINT_VARIABLES]);

#endif
