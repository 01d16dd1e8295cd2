/*
 * server.h - the control socket of a session: takes requests, on our own evconnlistener.
 *
 * Requests are served from the event loop of the session, one after the other.  A client that says nothing, or anything but
 * a request, is told so and let go after SERVER_PATIENCE; it holds up nobody.
 */
#ifndef SNAG_SERVER_H
#define SNAG_SERVER_H

#include <jansson.h>

struct event_base;
struct server;

enum {
    SERVER_CLIENTS = 64,   /* at a time; what comes beyond them waits in the queue */
    SERVER_PATIENCE_S = 5, /* for a request to come, and for its answer to be taken */
};

/* Returns the answer to REQUEST, an object, which stays the caller's; NULL without memory. */
typedef json_t *server_answer(void *context, const json_t *request);

/*
 * Opens the control socket in FOLDER, an open folder of ours, which gets a folder of mode 0700 for it; NAME, or NULL, is what
 * the session is called.  Only processes of this user and of root are listened to.  NULL with errno; nothing is left then.
 */
struct server *server_open(struct event_base *base, int folder, const char *name, server_answer *answer, void *context);

/* Ends it, and removes what it made.  Of answers that were not taken yet what fits into the socket goes out.  NULL is fine. */
void server_close(struct server *server);

#endif
