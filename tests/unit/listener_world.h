/* What the listener's tests share: an event base, a listener, clients, and what its callbacks were told. */
#ifndef SNAG_TESTS_LISTENER_WORLD_H
#define SNAG_TESTS_LISTENER_WORLD_H

#include "harness.h"
#include "listener/listener.h"
#include "listener_faults.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/un.h>

enum { WORLD_MANY = 256 };

struct world {
    struct event_base *base;
    struct evconnlistener *l;
    struct sockaddr_storage address;
    socklen_t length;
    int clients[WORLD_MANY], accepted[WORLD_MANY];
    int client_count, accepted_count;
    int errors, last_error; /* as errorcb was told */
    int troubles;
    struct evconnlistener_error trouble;
    void (*in_cb)(struct world *);      /* done inside the callback */
    void (*in_errorcb)(struct world *); /* done inside the error callback */
    struct sockaddr_storage peer;
    int peer_length;
};

/* A base and a listener with the world's callback on a free loopback port, CLOSE_ON_FREE added to FLAGS. */
void world_open(struct world *, unsigned flags);
void world_open_unix(struct world *, unsigned flags);              /* on an abstract name of its own */
void world_open_base(struct world *);                              /* no listener */
struct evconnlistener *world_bind(struct world *, unsigned flags); /* another one on a free port; not kept */
void world_close(struct world *);

void world_on_accept(struct evconnlistener *, evutil_socket_t, struct sockaddr *, int, void *world);
void world_on_error(struct evconnlistener *, void *world);
void world_on_trouble(struct evconnlistener *, const struct evconnlistener_error *, void *world);

int world_connect(struct world *); /* one more client, waiting in the queue */
void world_connect_many(struct world *, int n);
void world_turn(struct world *);                /* the loop, once, without waiting */
void world_run_ms(struct world *, unsigned ms); /* the loop, so long */
/* The loop, until *COUNT has reached GOAL, at most ten seconds. */
void world_run_until(struct world *, const int *count, int goal);
bool world_is_waiting(const struct world *); /* somebody waits in the listener's queue */
bool world_is_closed(int client);            /* the server has closed this client's connection: waits for it */
void world_forget_accepted(struct world *);  /* closes what the callback got */

struct evconnlistener_counters world_counters(const struct world *);
int world_bind_again(const struct world *); /* binds and listens at the listener's address: 0 or errno */
bool world_fd_is_open(int fd);

int file_limit_hold(void); /* RLIMIT_NOFILE down to what is open: gives what to hand to _end */
void file_limit_end(int before);

#endif
