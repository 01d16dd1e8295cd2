/*
 * measures.h - the figures of one case: what was done to the server, and what it did.
 *
 * Plain data of a fixed size: the process that tries a case writes them to memory that it shares with the one that judges
 * (oracle.h), and a case folder keeps them.  Times are 0 where nothing of the kind happened.
 */
#ifndef SNAG_MEASURES_H
#define SNAG_MEASURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/call.h"
#include "explore/case.h"
#include "trace/address.h"

enum {
    MEASURES_WORDS = 2048,   /* bytes of last words */
    MEASURES_LINE = 300,     /* bytes of one line */
    MEASURES_CRASH = 3000,   /* bytes of a stack */
    MEASURES_ERROR = 900,    /* bytes of what snag had to say */
    MEASURES_SAMPLES = 240,  /* points of the time line */
    MEASURES_LISTENERS = 16, /* addresses */
    MEASURES_SITES = 256,    /* call sites */
};

/* A moment of the time line, counted from the start of the session. */
struct sample {
    uint32_t ms;
    uint64_t cpu_us;   /* processor time of the server so far */
    uint64_t failed;   /* calls that failed by the fault, so far */
    uint32_t accepted; /* connections, so far */
    uint32_t waiting;  /* clients that wait */
};

/* A place that a call is made from, as a baseline sees it. */
struct site_seen {
    enum call call;
    uint64_t site;            /* 0: not known */
    char name[CASE_SITE_MAX]; /* of the function; "": not known */
    uint32_t count;           /* calls */
    uint64_t makes;           /* bit n - 1: its nth call is F_DUPFD, or EPOLL_CTL_ADD */
    uint64_t locks;           /* likewise: sets or asks for a lock */
    uint32_t listener;        /* index of the listener that was accepted from; of no meaning for other calls */
};

struct measures {
    bool done;                  /* the process got to its end, and the others mean something */
    int status;                 /* what session_play() returned */
    char error[MEASURES_ERROR]; /* what snag said; "": nothing */

    /* The start. */
    bool ready, never_ready;
    bool has_ring;                  /* it uses io_uring, through which nothing is seen */
    uint64_t start_ns, ready_ns;    /* CLOCK_MONOTONIC; when the session began, and from then until it was ready */
    char address[ADDRESS_TEXT_MAX]; /* that clients went to */
    bool blocking;                  /* the listener that was accepted from blocks */

    /* The fault. */
    bool armed;
    uint64_t armed_ms, released_ms;                    /* from the start of the session */
    uint64_t matched, injected, missed, yielded, real; /* calls; REAL: failed so without us */
    uint64_t round_injected[2];
    uint64_t lost;                         /* records */
    uint64_t window_ns;                    /* how long it lasted */
    uint64_t cpu_ns, log_lines, log_bytes; /* in the window; the first as crowd_cpu() has it */
    uint32_t window_clients;               /* that came in the window */
    char log_last[MEASURES_LINE];
    char note[MEASURES_LINE];        /* what could not be looked at, for there is too much of it; "": nothing */
    char limit_error[MEASURES_LINE]; /* why the limit could not be pulled down; "": it could, or was not to be */

    /* Clients. */
    uint32_t clients, served_under, served_after, refused, closed_under_pressure, closed_without, consumed;
    bool waited;       /* a client was waiting when the fault ended, ... */
    uint64_t alone_ms; /* ... and was served, the server left alone, after so long */
    bool alone_served;
    bool newcomer_served;   /* so was one that came after the fault */
    uint64_t recovered_ms;  /* from the end of the fault to the first client that was served */
    bool recovered, woken;  /* WOKEN: the one that waited was served only when another one came */
    uint32_t left_accepted; /* of those that were left waiting, those that the server had accepted */
    uint32_t left_waiting;  /* clients from the time of the fault that were never served nor closed */
    bool is_short;          /* the server closes connections that it accepts, and says nothing */
    uint64_t patience_ms;   /* how long was waited in vain */

    /* Descriptors: the growth over each round, and what there was before. */
    uint32_t descriptors;
    int32_t growth[2];
    uint64_t room[2]; /* before each round: descriptors that the process with the least of them could still get */
    uint32_t rounds;

    /* The end. */
    bool ended, ended_before_ready, ended_after_fault; /* by itself */
    int end_status;                                    /* as of waitpid(2) */
    bool stop_ignored;
    int stopped_badly;                   /* the signal that ended it when it was asked to stop */
    uint32_t starters_ended;             /* processes that were there before it was ready, and ended */
    uint32_t starters_met;               /* ... of which these met the fault */
    uint32_t workers_ended, workers_new; /* processes that met the fault and ended; that are new since */
    int worker_status;                   /* of one that ended; -1: not known */
    bool crowded;                        /* it made too many processes, and was ended for that */
    char sanitizer[MEASURES_LINE];       /* the line of its report; "": none */
    char words[MEASURES_WORDS];          /* the last ones */
    char crash[MEASURES_CRASH];          /* where a signal struck, if that was looked at (crash.h); "": nowhere */

    /* What a baseline finds. */
    uint32_t listener_count;
    char listeners[MEASURES_LISTENERS][ADDRESS_TEXT_MAX]; /* as clients reach them */
    char bound[MEASURES_LISTENERS][ADDRESS_TEXT_MAX];     /* as they were bound: "0.0.0.0:80" */
    bool listener_served[MEASURES_LISTENERS];             /* the exchange works there */
    uint32_t site_count;
    struct site_seen sites[MEASURES_SITES];

    uint32_t sample_count;
    struct sample samples[MEASURES_SAMPLES];
};

#endif
