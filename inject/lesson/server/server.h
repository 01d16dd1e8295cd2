/*
 * server.h - lesson-server: the servers of the lessons, small programs on evconnlistener that a reader can follow.
 *
 *     main.c       takes the name of one, runs it in an event loop, takes it down at SIGTERM
 *     tell.c       tells snag what happens, as JSON Lines on stdout
 *     create.c     making a listener: backlog, failures, flags
 *     clients.c    a client's way; what a callback may do
 *     errors.c     errors of accept, and what can be done about them
 *     threads.c    a second thread
 *     original.c   in lesson-server-libevent only: what our listener has and libevent's has not
 */
#ifndef LESSON_SERVER_H
#define LESSON_SERVER_H

#include "evconnlistener.h"

#include <event2/event.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

/* One of the servers. */
struct server {
    const char *name;
    int (*start)(void);                /* makes its listeners; -1: it could not */
    void (*command)(const char *word); /* a word from the lesson's script, or NULL */
    void (*end)(void);                 /* at SIGTERM, before the listener is freed; or NULL */
    bool threads;                      /* needs a base that several threads may use */
    bool ends;                         /* without a loop: all of it happens in start() */
};

extern const struct server servers_create[], servers_clients[], servers_errors[], servers_threads[];

extern struct event_base *base;
extern struct evconnlistener *listener; /* freed at the end; NULL: none */

/* 127.0.0.1, any free port. */
extern struct sockaddr_in loopback_address;
#define LOOPBACK_ADDRESS ((const struct sockaddr *)&loopback_address)
#define LOOPBACK LOOPBACK_ADDRESS, sizeof loopback_address

/* What most servers ask for. */
#define USUAL (LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC)

/* The listening descriptor; -1 for NULL. */
evutil_socket_t fd_of(struct evconnlistener *);

/* The simplest callback: closes its client. */
void close_client(struct evconnlistener *, evutil_socket_t fd, struct sockaddr *, int length, void *arg);

/* An error callback that only tells; it disables the listener at the 20th error, for libevent's own would go on for ever. */
void tell_error(struct evconnlistener *, void *arg);

/* Tells that the statement on the next line is about to run, and that the one on the line before has run. */
#define doing(what, fd) tell_at(what, fd, 0, __FILE__, __LINE__ + 1, __func__)
#define did(what, fd, value) tell_at(what, fd, value, __FILE__, __LINE__ - 1, __func__)

/* A step of the callback's lane.  VALUE is an errno for what ends in "_failed".  Keeps errno. */
void tell_at(const char *what, int fd, int value, const char *file, int line, const char *function);

/* From now on the length of FD's queue is told, too; -1: of none. */
void tell_queue_of(int fd);

/* Sets up the observer of all listeners, and libevent's log. */
void tell_all(void);

#endif
