/*
 * warden.h - a process that takes over the notifications when snag is gone, and lets every call through: a server that
 * outlives snag would get ENOSYS from them otherwise, for a filter stays for good.
 *
 * It is no child of snag's, holds no file of the server's, and ends with snag, or with the last process under the filter.
 */
#ifndef SNAG_WARDEN_H
#define SNAG_WARDEN_H

#include "run/notified.h"

/* Starts it.  IN_FLIGHT is memory that is shared with it; of BOARD it keeps nothing.  Returns a socket to it, -1 with errno.  To be called while snag has
 * one thread and no children. */
int warden_start(struct board *board, struct in_flight *in_flight);

/* Gives it the descriptor of the notifications.  -1 with errno. */
int warden_give(int warden, int listener);

/* Sends it away, and waits until it is gone. */
void warden_end(int warden);

/* Pass a descriptor over a socket; -1 with errno. */
int pass_fd(int socket, int fd);
int take_fd(int socket);

#endif
