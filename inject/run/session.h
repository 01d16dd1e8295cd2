/*
 * session.h - one run from its start to its end.  For the files of run/, and for who plays runs to a script of his own
 * (explore/trial.c):
 *
 *     session.c   makes everything, runs the loop, takes everything down again, reports
 *     steps.c     what happens next: ready, client done, server gone, a signal, time is up
 *     events.c    what a record of the shim means to the run
 *     command.c   what `snag ctl` asks of it while it lasts
 *
 * One thread; everything happens in callbacks of one event loop.
 */
#ifndef SNAG_SESSION_H
#define SNAG_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "run/attach.h"
#include "run/backend.h"
#include "run/boardfile.h"
#include "run/client.h"
#include "run/endpoint.h"
#include "run/options.h"
#include "run/output.h"
#include "run/probe.h"
#include "run/ready.h"
#include "run/rulebook.h"
#include "run/spawn.h"
#include "run/tree.h"
#include "run/unseen.h"
#include "run/verdict.h"
#include "sites/sites.h"
#include "trace/drain.h"
#include "trace/jsonl.h"

/* How far a run has come.  It only goes forward. */
enum phase {
    PHASE_STARTING, /* until the server is ready, if anybody waits for that */
    PHASE_SERVING,  /* the client runs; or there is none, and the server does what it wants */
    PHASE_JUDGING,  /* the client failed, the faults are paused: does the server serve again? */
    PHASE_STOPPING, /* the server was asked to end */
    PHASE_KILLING,  /* it did not, in time */
    PHASE_OVER,
};

enum { SESSION_SIGNALS = 4 };

struct session;

/*
 * What takes the place of the client in a run: it is called at each turn, and ends the run with session_stop().  Nothing is
 * said or judged then but why a run failed; the trace is written all the same.
 */
struct script {
    void (*made)(struct session *session);  /* the board is there, the server not yet started */
    void (*born)(void *session);            /* in the server's process, before its command; NULL: nothing */
    void (*ready)(struct session *session); /* the server waits for clients, and `endpoint` is where */
    void (*seen)(struct session *session, const struct event *event, const void *payload); /* a record was read */
    void (*tick)(struct session *session, uint64_t now_ns);         /* the records so far are read */
    bool (*reaped)(struct session *session, pid_t pid, int status); /* a child ended; whether it was the script's own */
    void (*over)(struct session *session);                          /* everything is gone, all records are read */
    enum call const *calls; /* that are recorded, CALL_NONE ends them; NULL: those that the options ask for */
    uint64_t trace_max;     /* calls that the trace holds at most */
    void *context;
};

struct server;

/* What records of one call have come. */
struct seen_calls {
    uint64_t count, failed, injected;
};

struct session {
    const struct options *options;
    const struct script *script; /* NULL: the options say what is done */
    const struct backend *backend;
    struct outside *outside; /* of a backend that works from outside */
    struct spawn_gate gate;  /* through which it lets the server start */
    enum phase phase;
    uint64_t start_ns;

    struct event_base *base;
    struct event *tick;      /* reads the rings, and looks around */
    struct event *deadline;  /* of the phase */
    struct event *for_timer; /* --for */
    struct event *retry;     /* the next --ready command; while killing: the next round */
    struct event *child;     /* SIGCHLD */
    struct event *signals[SESSION_SIGNALS];
    uint64_t tick_ns, sweep_at, look_at; /* the current interval; when the rarer jobs are due */
    uint64_t kill_until, judging_since;

    struct boardfile *file;
    struct board *board;
    struct drain *drain;
    struct jsonl *trace;   /* NULL: none */
    struct sites *sites;   /* NULL: the session has no call sites */
    bool needs_sites;      /* a rule that the session began with asks for them */
    bool unwinder_said;    /* that libunwind is missing */
    struct output *output; /* NULL: there is no server whose output it could be */
    struct attach *attach;
    struct unseen *unseen;
    struct rulebook *rules;
    struct server *control; /* NULL: none, which was said */
    struct tree tree;
    struct ready ready;
    struct endpoint endpoint;
    bool ready_known; /* the server is ready, and `endpoint` is where */
    bool rings_full;  /* no room for more rings */
    uint64_t calls;   /* records of calls */
    uint64_t traced;  /* calls given to the trace */
    struct seen_calls seen[CALL_COUNT];
    bool chosen[CALL_COUNT]; /* by -e trace=; all, if it names none */
    int32_t only_tid;        /* live: the one thread that was seen; 0: none, -1: there are several */
    bool unwritable;         /* live: the trace can't be written any more, which was said */

    struct client ready_command, client;
    struct probe *probe; /* of the ask, or of the judging */
    bool client_done;    /* noticed, and not dealt with yet */
    bool client_timed_out;

    struct facts facts;
    int signal;        /* that interrupted the run; 0: none */
    bool failed;       /* snag could not do its work, and has said why */
    bool failed_start; /* the server ended before it was ready */
    bool never_ready;  /* it was not, in time */
    bool stop_ignored; /* it had to be killed */
    bool for_over;     /* --for ended it */
};

/* Runs a server as OPTIONS say, or a session without one.  Returns the exit status. */
int session_run(const struct options *options);

/*
 * Runs a server as OPTIONS say, and does with it what SCRIPT says.  Returns the exit status: 125 if snag could not do its
 * part, and has said why, 126 or 127 if there is no such server.
 */
int session_play(const struct options *options, const struct script *script);

/* Asks the server to end, and the run with it. */
void session_stop(struct session *session);

/* The plan has changed: sees to what the shim records, and how. */
void session_wants(struct session *session);

/* Reports a failure of snag's own and ends the run. */
void session_fail(struct session *session);

/* What the records mean: the sinks of the drain.  CONTEXT is the session. */
void event_seen(void *context, const struct event *event, const void *payload);
void event_ordered(void *context, const struct event *event, const void *payload);

/* Writes out what the records made, in a live trace.  If that fails, says so and ends the run. */
void events_flush(struct session *session);

/* The steps; each may end the loop. */
void step_start(struct session *session);              /* the server has been started */
void step_tick(struct session *session);               /* some time has passed */
void step_child(struct session *session);              /* a child has ended */
void step_signal(struct session *session, int signal); /* snag got a signal */
void step_deadline(struct session *session);           /* the phase took too long */
void step_for_over(struct session *session);           /* --for */
void step_retry(struct session *session);              /* the retry timer */

#endif
