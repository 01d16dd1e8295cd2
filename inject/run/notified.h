/*
 * notified.h - a system call of the server that waits for our word (seccomp_unotify(2)).  For the files of the seccomp
 * backend alone:
 *
 *     supervisor.c  takes the calls, and parks those that have to wait; the threads
 *     notified.c    one call: decide, act, answer, record
 *     outside.c     what decide() may ask about it
 *     takeover.c    an accept made in the server's stead
 *     evidence.c    what its record shows of its arguments
 *     readiness.c   a wait on a listening socket, seen in /proc
 *     callsite.c    where it was made
 *
 * A call ends in one of three ways: it is answered; it is parked, with the time or the connection that it waits for; or a
 * signal has taken it from us (ENOENT), and then what was decided is kept for the thread, which usually makes the same
 * call again at once.  WAIT_KILLABLE_RECV would spare that, but a blocking accept must be interruptible.
 *
 * One lock, supervisor.lock, is held wherever one of these is looked at.
 */
#ifndef SNAG_NOTIFIED_H
#define SNAG_NOTIFIED_H

#include <linux/seccomp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "run/recorder.h"
#include "run/target.h"

enum { IN_FLIGHT_MAX = 1024 };

/* What the warden must know if we are gone: shared memory. */
struct in_flight {
    _Atomic uint64_t last;               /* the id of the last notification that was taken */
    _Atomic uint64_t ids[IN_FLIGHT_MAX]; /* those that are parked; 0: none */
};

/* A connection that we accepted and that a signal kept from its server: for the next accept on the same socket. */
struct kept {
    uint64_t socket; /* the listening socket's inode */
    int fd;
    struct sockaddr_storage peer;
    socklen_t peer_length;
    struct kept *next;
};

/* A connection of our own that wakes a server for a kept one; it is dropped when it is accepted. */
struct knock {
    uint64_t socket;
    int fd;
    struct sockaddr_storage own;
    socklen_t own_length;
    struct knock *next;
};

struct supervisor {
    struct board *board;
    struct recorder *recorder;
    struct targets *targets;
    struct callsites *callsites; /* NULL: the session has none */
    int listener;                /* of the notifications; -1: not there yet */
    pthread_mutex_t lock;
    struct in_flight *in_flight;
    struct notified *parked;
    struct kept *kept;
    struct knock *knocks;
    int epoll, timer; /* of the thread for what is parked */
    int stop;         /* an eventfd: it is to end */
    int warden;       /* a socket to it; -1: none */
    pthread_t taker, waiter;
    bool running;
    _Atomic bool stopping;
    uint64_t swept_ns;
    bool joins;    /* ADDFD can answer in the same step (Linux 5.14) */
    bool executed; /* what was started executes its program: what it did before that was ours */
    bool said_foreign, said_gains;
    _Atomic uint32_t listens; /* sockets that were seen to listen, ... */
    uint32_t listens_looked;  /* ... and how many at the last look */
    uint64_t look_ns, look_every_ns;
};

enum stage {
    STAGE_SITE,    /* not decided: its call site is not known, or snag has not looked for functions there */
    STAGE_ENTER,   /* decided; a delay before it may run */
    STAGE_CALL,    /* an accept waits for a connection */
    STAGE_EXIT,    /* it is done, and a delay behind it runs */
    STAGE_CONFIRM, /* a listen was let through: does the socket listen? */
};

struct notified {
    struct scene scene; /* first: the scene's questions find the rest through it */
    struct supervisor *supervisor;
    struct seccomp_notif notif;
    struct thread *thread;
    struct process *process;
    enum call call;
    unsigned want;
    struct decision decision;
    enum stage stage;
    struct stack *stack; /* its call site; NULL: not known */
    uint64_t sp;         /* where its stack ends, if that was asked; 0: not known */
    uint64_t resolve_ns; /* in STAGE_SITE: until then */
    bool acts, replaced, consume, missed, signalled, unobserved;
    bool taken;            /* by a signal: it may come again */
    int ret, error;        /* what it is answered with */
    uint64_t begin;        /* stamp */
    uint64_t due_ns;       /* parked: until then, or until its connection comes; 0: for ever */
    uint64_t times_out_ns; /* SO_RCVTIMEO; 0: none */
    unsigned tries;
    uint32_t arg;
    int epoll;       /* watches the listening socket, without holding it open; -1: none */
    int connection;  /* accepted, and not handed over yet; -1: none */
    uint64_t socket; /* the inode of the listening socket */
    struct sockaddr_storage peer;
    socklen_t peer_length;
    bool has_payload;
    struct event_arguments given;
    unsigned char bytes[EVENT_PAYLOAD_MAX - sizeof(struct event_arguments)];
    struct notified *next; /* in supervisor.parked */
};

/* What run_notified() found. */
enum outcome {
    ANSWERED,
    PARK,  /* it has to wait: `stage`, `due_ns`, `epoll` say for what */
    TAKEN, /* a signal has taken it from us */
    AGAIN, /* we have: nothing was done, and it comes again as a new one */
};

/* notified.c: begins with a new call, or goes on with one. */
enum outcome notified_run(struct notified *call);

/* Answers CALL: with its `ret` or `error`, or by letting it through.  TAKEN if it is not ours any more. */
enum outcome notified_answer(struct notified *call);
enum outcome notified_let_through(struct notified *call);

/* Writes the record of CALL.  ADDRESS: LENGTH bytes of the peer's, or of bind's. */
void notified_record(struct notified *call, const void *address, size_t length);

/* Ends a call whose fault could not be delivered. */
void notified_miss(struct notified *call);

/* What a result that is known ends with: delay_exit, the answer, the record. */
enum outcome notified_finish(struct notified *call);

/* Whether the notification is still there: to be asked before what was read of the thread is believed, and before its
 * memory is written. */
bool notified_is_valid(const struct notified *call);

/* Reports that descriptor FD of CALL's process listens, if DUPLICATE of it does.  Returns whether. */
bool notified_listening(struct notified *call, int fd, int duplicate);

/* takeover.c */
bool takeover_wanted(struct notified *call);
enum outcome takeover_run(struct notified *call);
void takeover_keep(struct notified *call); /* its connection goes to the next accept on the socket, which is woken */
void takeover_free(struct supervisor *supervisor);
int takeover_prepare_thread(void); /* the calling thread is one that accepts; -1 with errno */

/* outside.c, evidence.c */
extern const struct scene_ops outside_scene_ops;
void evidence_take(struct notified *call);

#endif
