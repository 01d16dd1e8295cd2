/*
 * fds.h - what is known of this process's descriptors: which of them listen, and which are open.
 *
 * What listens matters only until the server is ready, so it is followed only while WANT_READY is set.  The notes are
 * a hint in plain memory, copied by fork.  Descriptors that come another way (SCM_RIGHTS, a number of FD_MAX or above)
 * are found only when they are accepted from, which most servers do when the first client is there.  Async-signal-safe,
 * thread-safe.
 */
#ifndef SNAG_FDS_H
#define SNAG_FDS_H

#include <stdbool.h>
#include <stdint.h>

struct pollfd;

enum { FD_MAX = 65536 }; /* numbers from here on are not followed */

/* Finds the listening sockets that this process was started with (systemd's way), and reports them. */
void fds_inherit(void);

/* FD listens now: notes it, and reports its address. */
void fds_listen(int fd);

/* FD was added to epoll descriptor EPFD. */
void fds_watch(int epfd, int fd);

/* TO is a duplicate of FROM. */
void fds_copy(int from, int to);

/* Descriptors FIRST to LAST are closed, or about to be. */
void fds_forget(unsigned first, unsigned last);

/* Whether a wait can show that the server is ready: it is not yet, and something of this process listens. */
bool fds_may_show_ready(void);

/*
 * Tell snag that the server is ready if the descriptor, set or epoll descriptor that it turns to listens.  FDS must be
 * readable; SET need not be.
 */
void fds_ready_accept(int fd);
void fds_ready_poll(const struct pollfd *fds, unsigned long count);
void fds_ready_select(const void *set, int count);
void fds_ready_epoll(int epfd);

/*
 * Returns how many of the descriptors below *HIGH are open.  With *HIGH 0, sets it to one more than the highest that
 * is open; the search ends at RLIMIT_NOFILE, at FD_MAX, or after a thousand closed ones in a row.
 */
uint32_t fds_count_open(uint32_t *high);

#endif
