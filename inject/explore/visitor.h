/*
 * visitor.h - the clients of a case: each makes one connection and waits, and its fate is written down.
 *
 * Unlike a probe (run/probe.h), which tries until it is served, a visitor comes once: that a connection was lost is what
 * a case wants to know.  With --client, a visitor is one run of the command.
 */
#ifndef SNAG_VISITOR_H
#define SNAG_VISITOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "run/endpoint.h"
#include "run/options.h"

enum { VISITORS_MAX = 4096 };

enum fate {
    FATE_WAITING, /* connected, or on its way */
    FATE_SERVED,  /* accepted, and answered where an answer is expected */
    FATE_CLOSED,  /* ended by the other side before that */
    FATE_REFUSED, /* nobody listens there */
    FATE_LEFT,    /* it went by itself */
};

struct event_base;
struct visitors;

/* What is known of one. */
struct visit {
    enum fate fate;
    bool accepted;               /* the server has it */
    bool consumed;               /* snag took it out of the queue: its end is none of the server's doing */
    bool stays;                  /* it stays when it is served, and holds its descriptor in the server */
    bool failed_answer;          /* an answer came, and it was a refusal (HTTP 500 and above) */
    uint64_t began_ns, ended_ns; /* when it began; when its fate was decided, 0: not yet */
    uint64_t accepted_ns;        /* when the server took it; 0: it did not, or nobody knows when */
};

/* Returns a group of clients of ENDPOINT, who ask as OPTIONS say.  NULL with errno.  BASE and OPTIONS must outlive it. */
struct visitors *visitors_new(struct event_base *base, const struct options *options, const struct endpoint *endpoint);

/* Ends all connections.  NULL is fine. */
void visitors_free(struct visitors *visitors);

/*
 * A client comes: returns its number, or -1 with errno.  One that STAYS keeps its connection when it is served.
 */
int visitors_start(struct visitors *visitors, bool stays);

/* The first client that stayed goes.  Returns whether there was one. */
bool visitors_dismiss(struct visitors *visitors);

/* Those that stayed go, and those that were to stay will not. */
void visitors_release(struct visitors *visitors);

/* Every client that is still there goes. */
void visitors_leave(struct visitors *visitors);

/*
 * The server has accepted a connection whose peer is at PEER (LENGTH bytes; 0: not known), at T_NS; or, CONSUMED, snag
 * ended it in the server's stead.
 */
void visitors_accepted(struct visitors *visitors, const void *peer, size_t length, uint64_t t_ns, bool consumed);

/*
 * Records were lost, and an accept may be among them: looks which connections the kernel calls accepted, and takes an
 * answer for one.
 */
void visitors_recheck(struct visitors *visitors);

/* Whether the child PID that ended with STATUS was one of the clients'. */
bool visitors_reaped(struct visitors *visitors, pid_t pid, int status);

/* Whose connection is accepted and then closed at once is served all the same: the server says nothing, and that is it. */
void visitors_short(struct visitors *visitors);

/* How many there were, and what is known of number I. */
size_t visitors_count(const struct visitors *visitors);
const struct visit *visitors_get(const struct visitors *visitors, size_t i);

/* How many of number FROM and above have that fate. */
size_t visitors_with(const struct visitors *visitors, size_t from, enum fate fate);

#endif
