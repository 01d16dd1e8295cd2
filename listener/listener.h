/*
 * The listener inside: the table of operations, the object, and what its files share.
 *
 *     listener.c   libevent's functions: lock, reference count, and calls through the table
 *     bind.c       evconnlistener_new_bind
 *     loop.c       the event-loop listener, one implementation of the table: in, out, paused, closed, memory
 *     round.c      the accept round
 *     policy.c     what is done about an error, behind a table; shed.c: the spare descriptor
 *     error.c      errno to class; warnings and their limit
 *     option.c     the functions of ours, and the environment; report.c: EVCONNLISTENER_REPORT
 *     observe.[ch] steps: observer, static probes, counters
 *
 * LOCKING.  `lock` guards every field that is not marked otherwise.  Order: ours, then the event base's own lock (inside
 * event_add and event_del_noblock, neither of which waits for a callback).  It is never held across accept, a callback,
 * an observer, or anything else that may wait: that is why nobody can deadlock on it.  NULL without LEV_OPT_THREADSAFE.
 */
#ifndef LISTENER_H
#define LISTENER_H

#pragma GCC visibility push(default) /* what the public header declares is exported, the rest is hidden */
#include "evconnlistener.h"
#pragma GCC visibility pop

#include "libevent.h"

#include <event2/event_struct.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>

/* The virtual table.  All are called with the lock held. */
struct evconnlistener_ops {
    int (*enable)(struct evconnlistener *);   /* into the event loop */
    int (*disable)(struct evconnlistener *);  /* out of it */
    void (*destroy)(struct evconnlistener *); /* out, close, and the memory: gives the lock back first; the last call */
    void (*shutdown)(
        struct evconnlistener *); /* evconnlistener_free() was called; there may be references left.  Or NULL */
    evutil_socket_t (*getfd)(struct evconnlistener *);
    struct event_base *(*getbase)(struct evconnlistener *);
};

struct evconnlistener {
    const struct evconnlistener_ops *ops;
    pthread_mutex_t *lock; /* recursive; &mutex or NULL */
    evconnlistener_cb cb;
    evconnlistener_errorcb errorcb;
    void *user_data;
    unsigned flags;    /* LEV_OPT_* and EVCONNLISTENER_OPT_* */
    atomic_int refcnt; /* the owner's until evconnlistener_free(), and one while the loop's thread is inside */
    int accept4_flags;
    bool enabled;   /* what the owner wants */
    bool set_aside; /* but out of the loop all the same, by EVCONNLISTENER_OPT_PAUSE_WITHOUT_CB */
    pthread_mutex_t mutex;
    _Atomic(const struct evconnlistener_observer *) observer; /* no lock */
};

enum { COUNTERS = sizeof(struct evconnlistener_counters) / sizeof(uint64_t), LOG_ERRORS = 4 };

/* One errno that was logged a short while ago; the loop's thread only. */
struct log_line {
    int error;
    uint64_t at_ns;
    unsigned left_out;
};

struct event_listener {
    struct evconnlistener base; /* first, so that a pointer to one is a pointer to the other */
    struct event readable;
    struct event resume; /* the timer that ends a pause */
    evutil_socket_t fd;  /* -1 once closed */
    int backlog;         /* to come back to after EVCONNLISTENER_OPT_PAUSE_BACKLOG */
    const struct policy *policy;
    unsigned cap;
    evconnlistener_trouble_cb trouble;
    void *trouble_arg;

    /* The event is in the loop if and only if wanted, not paused and not freed: loop_settle() makes it so. */
    bool wanted, paused, freed;
    bool in_loop;
    bool base_lost;  /* the event base was freed before us */
    bool queue_shut; /* by listen(fd, 0) */
    bool busy; /* the loop's thread, busy_thread, is inside us and may use fd: whoever frees leaves the close to it */
    pthread_t busy_thread;
    unsigned delay_ms; /* of the present or last pause; 0 after a success */
    uint64_t paused_at_ns;
    int spare; /* the shed policy's descriptor, or -1 */

    /* The loop's thread only. */
    bool no_accept4; /* the kernel has none: remembered */
    bool blocking;   /* an inherited descriptor: a second accept could wait */
    bool burst;      /* adaptive: connections come in groups */
    unsigned calm;   /* adaptive: rounds since the last group, or since the last look for one */
    unsigned lost;   /* errors of class connection in a row, over all rounds */
    unsigned idle;   /* wakeups in a row that found nothing */
    uint64_t idle_since_ns;
    struct log_line log[LOG_ERRORS];

    _Atomic uint64_t counts[COUNTERS]; /* one writer at a time: the loop's thread, or who holds the lock */
    atomic_int finalizers;             /* events that libevent still has to let go of */
    struct report *report;             /* report.c's, or NULL */
};

/* listener.c */
int listener_init(struct evconnlistener *, const struct evconnlistener_ops *, unsigned flags);
void listener_lock(struct evconnlistener *);
void listener_unlock(struct evconnlistener *);
void listener_unref_and_unlock(struct evconnlistener *);

/* loop.c.  The functions marked (L) need the lock. */
struct event_listener *loop_cast(struct evconnlistener *); /* NULL, ENOTSUP when it is another implementation */
void loop_lock(struct event_listener *);
void loop_unlock(struct event_listener *);
bool loop_enter(struct event_listener *, const bool *unless_false); /* the loop's thread comes in, with a reference */
void loop_leave(struct event_listener *);
unsigned loop_pause(struct event_listener *); /* milliseconds; 0 when it can't or was disabled meanwhile */
int loop_end_pause(struct event_listener *);  /* (L) */
uint64_t loop_now_ns(void);

/* round.c: the callback of `readable` */
void round_on_readable(evutil_socket_t fd, short what, void *listener);

/* The state of one accept round; it lives on the stack. */
struct round {
    evutil_socket_t fd;
    const struct policy *policy;
    unsigned budget; /* clients, lost ones among them, that this round may take from the queue */
    unsigned taken;  /* connections */
    unsigned failed; /* errors of class connection */
    bool goes_on;
};

/* policy.c.  A policy looks at an error and says what is to be done; the round does it. */
enum { ACTION_SILENT = -1 }; /* beside enum evconnlistener_action: the round ends and nobody is told */

struct policy {
    const char *name;
    int (*decide)(struct event_listener *, const struct round *, int error, enum evconnlistener_class);
    bool exact; /* 2.1.12 to the letter in the small things too: keepalive, AF_UNIX, log, blocking descriptors */
    bool spare; /* wants a spare descriptor */
};

const struct policy *policy_get(enum evconnlistener_policy); /* NULL, EINVAL */
const struct policy *policy_by_name(const char *name);       /* NULL */
enum evconnlistener_policy policy_number(const struct policy *);

/* shed.c */
int shed_open_spare(void);
void shed_keep_spare(struct event_listener *); /* opens one if the policy wants it and there is none */
unsigned shed_clients(struct event_listener *, const struct round *);

/* error.c */
enum evconnlistener_class error_class_on(evutil_socket_t fd, int error);
void error_warn(const char *text); /* a line in libevent's log */
void error_log(struct event_listener *, int error, unsigned delay_ms);

/* option.c */
const struct policy *option_default_policy(void);
void option_set_defaults(struct event_listener *); /* from the environment */
unsigned option_number(const char *name, unsigned least, unsigned most, unsigned otherwise);

/* report.c */
void report_begin(struct event_listener *);
void report_end(struct event_listener *); /* without the lock */

#endif
