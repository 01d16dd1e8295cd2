/*
 * evconnlistener: a drop-in for libevent's listener that neither deadlocks nor spins.
 *
 * The nine functions of <event2/listener.h> have the meaning that libevent gives them, and programs that know nothing of
 * this header need not be changed.  Put the library before libevent when you link, or start the program with it in
 * LD_PRELOAD.  What is declared here comes on top.
 *
 *     cc server.c -levconnlistener -levent            LD_PRELOAD=libevconnlistener.so ./server
 *
 * A program that has listeners through evhttp only names none of these functions, and a linker that is run with --as-needed
 * (Debian's gcc does that) then drops the shared library: -Wl,--no-as-needed before -levconnlistener keeps it.
 * The static library needs nothing of the kind.
 *
 * Where ours differs from libevent 2.1.12 when nothing is set:
 *   - An error of accept never spins: see the policies.
 *   - The error callback is not called for errors of class connection.  libevent keeps only ECONNABORTED from it; ours keeps
 *     EPROTO, ENETDOWN, ETIMEDOUT and the like from it too: they concern one client, and the trouble callback is told.
 *   - evconnlistener_new() fails when the event can't be added to the loop, for what is no open descriptor (EBADF), and
 *     without an event base (EINVAL; NULL is well after event_init()).
 *   - evconnlistener_new_bind() refuses a unix socket with LEV_OPT_REUSEABLE (EOPNOTSUPP), as libevent 2.2 does.
 *   - free, enable, disable and set_cb never wait for a callback that runs on another thread.
 *   - LEV_OPT_THREADSAFE gives a lock whether or not evthread was set up.  The event base itself is thread-safe only if
 *     evthread_use_pthreads() was called before event_base_new(): without that keep to the loop's thread.
 *
 * What people get wrong, with libevent's listener too:
 *   - Who closes: LEV_OPT_CLOSE_ON_FREE gives the descriptor to the listener.  But evconnlistener_new() that fails never
 *     closes it; evconnlistener_new_bind() that fails has closed its own.
 *   - Backlog 0 means "it already listens"; -1 means 128.
 *   - LEV_OPT_REUSEABLE lets a new server take a port whose old connections are in TIME_WAIT.
 *     LEV_OPT_REUSEABLE_PORT lets several servers share the port at the same time.
 *   - The descriptor that you give to evconnlistener_new() should be non-blocking.  (A blocking one, such as systemd
 *     passes, is taken with care: one accept a wakeup.  Another process may still take the connection first.)
 *   - EMFILE leaves the client in the kernel's queue: the socket stays readable, and the next accept fails again.
 *   - An error callback that calls event_base_loopexit(), as in most tutorials, ends the server at its first EMFILE.
 *   - Free the listener before its event base.  The other way round is undefined for a listener with LEV_OPT_THREADSAFE that
 *     is disabled; the others happen to survive it, as in libevent.
 *
 * THREADS.  "Any thread" below means: with LEV_OPT_THREADSAFE and a thread-safe base; else the loop's thread only.  No
 * function waits for a callback.  Callbacks run on the loop's thread, without any lock of ours and with a reference held:
 * they may call everything, evconnlistener_free() too.
 * So, after evconnlistener_free() on another thread than the loop's, a callback that was chosen before may still run, with
 * its arg: don't free that yet.  A function that is given to event_base_once() (EV_TIMEOUT, no time) after the free runs on
 * the loop's thread when the last callback is over: free it there.  Or join the loop's thread.
 * ERRORS.  Functions that return int give 0, or -1 with errno set.  ENOTSUP: not a listener of this library.
 *
 * ENVIRONMENT.  Defaults for each new listener, for programs that are started with this library in LD_PRELOAD; ignored in
 * set-user-id programs; a value that is not understood is named in one warning for each variable.
 *   EVCONNLISTENER_POLICY=libevent|backoff|shed     EVCONNLISTENER_ACCEPT_CAP=N      EVCONNLISTENER_ADAPTIVE=0|1
 *   EVCONNLISTENER_PAUSE_BACKLOG=0|1                EVCONNLISTENER_PAUSE_WITHOUT_CB=0|1
 *   EVCONNLISTENER_REPORT=1    one line on stderr when a listener is freed, and one at exit for each that was not: its counters
 */
#ifndef EVCONNLISTENER_H
#define EVCONNLISTENER_H

#include <event2/listener.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An IPv6 listener that takes IPv4 clients too, whatever net.ipv6.bindv6only says (new_bind only; libevent 2.2 has it). */
#ifndef LEV_OPT_BIND_IPV4_AND_IPV6
#define LEV_OPT_BIND_IPV4_AND_IPV6 (1u << 9)
#endif

/* --- Options of ours: in the flags of evconnlistener_new() and _new_bind(), or later by evconnlistener_set_option() --- */

/* evconnlistener_set_cb(NULL) takes the listener out of the loop until a callback is set.  Without this option pending
   clients are accepted and closed, one a wakeup, as in libevent. */
#define EVCONNLISTENER_OPT_PAUSE_WITHOUT_CB (1u << 28)
/* listen(fd, 0) while the listener is paused by an error: new clients get no place in the queue, those in it keep theirs.
   The backlog comes back with the listener (128 for a socket that was taken over with backlog 0). */
#define EVCONNLISTENER_OPT_PAUSE_BACKLOG (1u << 29)
/* Don't pay the last accept of a round, which only says EAGAIN, while connections come one by one: every 16th round looks
   whether more are waiting, and as long as there are, rounds go on until EAGAIN. */
#define EVCONNLISTENER_OPT_ADAPTIVE (1u << 30)

/* --- Errors of accept ------------------------------------------------------------------------------------------ */

enum evconnlistener_class {
    EVCONNLISTENER_CLASS_DRAINED,    /* nothing to accept now: EAGAIN, EINTR */
    EVCONNLISTENER_CLASS_CONNECTION, /* this client is lost, the next may be well: ECONNABORTED, EPROTO, ETIMEDOUT, ... */
    EVCONNLISTENER_CLASS_RESOURCE, /* the client stays in the queue: EMFILE, ENFILE, ENOMEM, ENOBUFS, and what is not known */
    EVCONNLISTENER_CLASS_PERMISSION, /* the client stays in the queue: EPERM, EACCES */
    EVCONNLISTENER_CLASS_FATAL,      /* the descriptor will never accept: EBADF, EINVAL, ENOTSOCK, EOPNOTSUPP, EFAULT */
};

enum evconnlistener_action {
    EVCONNLISTENER_ACTION_RETURN,  /* the round ended; the next wakeup tries again */
    EVCONNLISTENER_ACTION_NEXT,    /* on with the next connection: in this round, unless it has had its accepts */
    EVCONNLISTENER_ACTION_PAUSE,   /* out of the loop until the delay has passed */
    EVCONNLISTENER_ACTION_SHED,    /* waiting clients were accepted with the spare descriptor and closed */
    EVCONNLISTENER_ACTION_DISABLE, /* the listener disables itself when the callback is back */
};

/* The class of an errno of accept: any thread, async-signal-safe.  (For EOPNOTSUPP, which is fatal here, a listener also
   looks at SO_ACCEPTCONN: if the socket does listen, the error was the connection's.) */
enum evconnlistener_class evconnlistener_error_class(int error);

/* "drained", "connection", ...; "return", "next", ...  "?" for a value that is none.  Any thread. */
const char *evconnlistener_class_name(enum evconnlistener_class error_class);
const char *evconnlistener_action_name(enum evconnlistener_action action);

struct evconnlistener_error {
    int error; /* errno; it is in errno too when the callback starts */
    enum evconnlistener_class error_class;
    enum evconnlistener_action action;
    unsigned delay_ms; /* milliseconds until the listener tries again, with ACTION_PAUSE; else 0 */
};

/* Told of every error but CLASS_DRAINED (that one only when a hundred wakeups within a second found nothing), before the
   plain error callback, which is called as well unless the class is CLASS_CONNECTION or CLASS_DRAINED: libevent never tells
   it ECONNABORTED and EAGAIN, and many stop the loop.  (POLICY_LIBEVENT tells both callbacks the same: what 2.1.12 tells.)
   With either of them set nothing is logged; with neither one line, except for ACTION_NEXT.
   The pause has begun and the clients are shed when it is called; it may undo that by evconnlistener_retry_now(). */
typedef void (*evconnlistener_trouble_cb)(struct evconnlistener *, const struct evconnlistener_error *, void *arg);

/* Any thread.  NULL takes it away. */
int evconnlistener_set_trouble_cb(struct evconnlistener *, evconnlistener_trouble_cb, void *arg);

/* --- Policies: what is done about an error ----------------------------------------------------------------------- */

enum evconnlistener_policy {
    /* 2.1.12 to the letter.  EAGAIN, EINTR, ECONNABORTED: silence.  All others: the error callback or a warning, and again
       at once: it spins while EMFILE lasts.  No log limit.  new_bind sets SO_KEEPALIVE without times, on every family. */
    EVCONNLISTENER_POLICY_LIBEVENT,
    /* The default.  Drained: the round ends.  Connection: the next one, but after 64 errors in a round or in a row a pause.
       Resource, permission: a pause, which is out of the loop for 10 ms, doubling to 1 s, 10 ms again after a success.
       Fatal: told, then disabled.  A hundred wakeups in a second that find nothing: a pause. */
    EVCONNLISTENER_POLICY_BACKOFF,
    /* As backoff, but at EMFILE and ENFILE a spare descriptor is closed, waiting clients are accepted and closed (at most
       64 a round, one on a blocking descriptor), and the spare is opened again: clients learn at once that they are not
       served.  As long as there is no spare (it could not be opened for a new listener whose default this is, or another
       thread took its place): as backoff, and each connection that is accepted tries to open one. */
    EVCONNLISTENER_POLICY_SHED,
};

/* Any thread.  EINVAL: no such policy.  EMFILE, ENFILE, ENOMEM: no spare descriptor for POLICY_SHED; nothing is changed. */
int evconnlistener_set_policy(struct evconnlistener *, enum evconnlistener_policy);
/* Any thread.  The default policy for what is not a listener of this library. */
enum evconnlistener_policy evconnlistener_get_policy(struct evconnlistener *);

/* For listeners made from now on; EVCONNLISTENER_POLICY wins over it.  Any thread.  EINVAL: no such policy. */
int evconnlistener_set_default_policy(enum evconnlistener_policy);

/* Ends a pause now: for who has just closed a descriptor.  Any thread.  Not paused: nothing happens, 0. */
int evconnlistener_retry_now(struct evconnlistener *);

/* Sets (on != 0) or clears one or several EVCONNLISTENER_OPT_*.  Any thread; holds from the next round or pause on, but
   OPT_PAUSE_WITHOUT_CB at once: a listener whose callback was taken away leaves the loop, or comes back.
   EINVAL: another flag is among them.  ENOMEM or what event_add says: it can't come back; clear the option again later. */
int evconnlistener_set_option(struct evconnlistener *, unsigned options, int on);

/* At most so many clients a round, lost ones too, so that other events get their turn; 0, the default: until EAGAIN, as
   libevent.  Any thread. */
int evconnlistener_set_accept_cap(struct evconnlistener *, unsigned cap);

/* --- What happened ------------------------------------------------------------------------------------------------ */

struct evconnlistener_counters {
    uint64_t wakeups; /* rounds: times that the loop said "readable" */
    uint64_t
        accepted; /* connections that accept gave, those of zero length and without callback among them, shed ones not */
    uint64_t drained; /* errors, by class */
    uint64_t connection;
    uint64_t resource;
    uint64_t permission;
    uint64_t fatal;
    uint64_t zero_length; /* closed because accept reported an address of no length */
    uint64_t no_callback; /* closed because no callback was set */
    uint64_t shed;        /* accepted with the spare descriptor and closed */
    uint64_t backoffs;    /* pauses */
    uint64_t paused_ns;   /* nanoseconds spent paused, the present pause included */
    uint64_t reported;    /* times that a callback was told of an error or, without one, a warning was due */
    uint64_t left_out;    /* warnings that the limit of one line a second for the same errno kept back */
};

/* Copies the counters; `size` is sizeof(struct evconnlistener_counters) as the caller knows it.  Any thread. */
int evconnlistener_get_counters(struct evconnlistener *, struct evconnlistener_counters *, size_t size);

/* Each step, as an observer is told it and as a static probe of the same name (provider "evconnlistener", arguments: the
   listener, fd, error, refcount) marks it.  STEP(CONSTANT, name, what `fd` and `error` are). */
#define EVCONNLISTENER_STEPS(STEP) \
    STEP(READABLE, readable)           /* a round begins; fd: the listening descriptor */ \
    STEP(ACCEPTED, accepted)           /* fd: the new connection */ \
    STEP(ZERO_LENGTH, zero_length)     /* fd: the connection, about to be closed */ \
    STEP(NO_CALLBACK, no_callback)     /* fd: the connection, about to be closed */ \
    STEP(CB_ENTER, cb_enter)           /* fd: the connection; the callback is chosen */ \
    STEP(CB_LEAVE, cb_leave)           /* fd: the connection's number, it may be closed by now */ \
    STEP(ERROR, error)                 /* accept failed; error: errno */ \
    STEP(ERRORCB_ENTER, errorcb_enter) /* one of the two error callbacks is chosen */ \
    STEP(ERRORCB_LEAVE, errorcb_leave) \
    STEP(WARNED, warned) /* there is none: a line for the log, if its limit allows */ \
    STEP(SHED, shed)     /* error: how many clients were accepted and closed */ \
    STEP(PAUSED, paused) /* error: milliseconds */ \
    STEP(RESUMED, resumed) \
    STEP(REFERENCED, referenced) /* the reference count has risen */ \
    STEP(RELEASED, released)     /* is about to fall; at 1 the listener ends */ \
    STEP(ENABLED, enabled) \
    STEP(DISABLED, disabled) \
    STEP(ROUND_END, round_end)   /* error: how many connections the round took */ \
    STEP(FREED, freed)           /* evconnlistener_free(), before it gives its reference back */ \
    STEP(CB_SET, cb_set)         /* evconnlistener_set_cb() */ \
    STEP(OPTION_SET, option_set) /* evconnlistener_set_option() */ \
    STEP(CALL, call)     /* a system call of ours is next: `call`, on fd; the lock may be held: call nothing here */ \
    STEP(FAILED, failed) /* _new() or _new_bind() gives NULL; error: errno */

enum evconnlistener_step {
#define EVCONNLISTENER_STEP_(CONSTANT, name) EVCONNLISTENER_STEP_##CONSTANT,
    EVCONNLISTENER_STEPS(EVCONNLISTENER_STEP_)
#undef EVCONNLISTENER_STEP_
        EVCONNLISTENER_STEP_COUNT
};

struct evconnlistener_event {
    enum evconnlistener_step step;
    evutil_socket_t fd;                    /* -1 where the step has none */
    int error;                             /* 0 where the step has none */
    int refcount;                          /* a snapshot, as is all that follows the place; 0 without a listener */
    enum evconnlistener_class error_class; /* with STEP_ERROR */
    const char *call;                      /* with STEP_CALL, its name; else NULL */
    const char *file, *function;           /* the place in this library's source that took the step */
    int line;
    int enabled;       /* by the owner */
    int has_cb;        /* a callback is set */
    int in_loop;       /* the loop watches the descriptor */
    unsigned pause_ms; /* of the pause that the listener is in; 0: it is in none */
};

struct evconnlistener_observer {
    /* Called at each step by the thread that takes it.  Without a lock, so that it may call everything, but for STEP_CALL.
       errno is kept.  The listener is NULL while there is none yet: in _new_bind(), and with STEP_FAILED. */
    void (*told)(struct evconnlistener *, const struct evconnlistener_event *, void *arg);
    void *arg;
};

/* The observer must live as long as it is set.  NULL takes it away; a step that has begun may still be told.  Any thread.
   One that only reads costs what it does; none costs a branch. */
int evconnlistener_set_observer(struct evconnlistener *, const struct evconnlistener_observer *);

/* The observer of listeners made from now on: it is told how they are made, too.  NULL: none.  Any thread. */
void evconnlistener_set_default_observer(const struct evconnlistener_observer *);

/* "readable", "accepted", ...; "?" for a value that is none.  Any thread. */
const char *evconnlistener_step_name(enum evconnlistener_step step);

#ifdef __cplusplus
}
#endif

#endif
