/*
 * address.h - socket addresses as text.  No state; safe from any thread.
 */
#ifndef SNAG_ADDRESS_H
#define SNAG_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

enum { ADDRESS_TEXT_MAX = 128 }; /* bytes that any text of an address needs: a unix path has up to 108 */

/*
 * Whether the LENGTH bytes at ADDRESS are a whole address that a client could connect to: IPv4, IPv6, or a unix path or
 * abstract name.
 */
bool address_is_usable(const void *address, size_t length);

/* Writes "127.0.0.1:80", "[::1]:80", "/path" or "@name" to OUT, and returns it; "" for an address that is not usable. */
const char *address_text(const void *address, size_t length, char out[ADDRESS_TEXT_MAX]);

/* Writes the host alone ("127.0.0.1", "::1") to OUT, and returns it; "" for what is neither IPv4 nor IPv6. */
const char *address_host(const struct sockaddr_storage *address, char out[ADDRESS_TEXT_MAX]);

#endif
