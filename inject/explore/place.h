/*
 * place.h - where a server of a case runs: a network of its own where that is permitted, so that several at once can have
 * the same port, and nobody else answers in its stead; and the words {port} and {dir} of its command line.
 */
#ifndef SNAG_PLACE_H
#define SNAG_PLACE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Gives this process, and all that it starts, a network with a loopback of its own; in a user namespace, where it has not
 * the right otherwise.  Returns 0, or -1 with errno.  For a process with one thread.
 */
int place_isolate(void);

/* Returns 0 if place_isolate() would succeed, else its errno. */
int place_isolation_error(void);

/* Whether TEXT holds {port} or {dir}. */
bool place_has_words(const char *text);

/* Returns a copy of TEXT with {port} and {dir} replaced, to be freed; NULL with errno ENOMEM. */
char *place_fill(const char *text, uint16_t port, const char *dir);

/* Returns a TCP port that is free on loopback right now, 0 with errno. */
uint16_t place_free_port(void);

/* Removes folder PATH with all that is in it, as far as it can be removed. */
void place_remove(const char *path);

#endif
