/*
 * trial.h - tries one case: starts the server, makes the fault, looks, ends it again.
 */
#ifndef SNAG_TRIAL_H
#define SNAG_TRIAL_H

#include "explore/case.h"
#include "explore/measures.h"
#include "run/options.h"
#include "run/verdict.h"

/* How long things take, ns, and what a case may use. */
struct trial_limits {
    uint64_t hold_ns;     /* a held fault */
    uint64_t burst_ns;    /* a burst, at most */
    uint64_t grace_ns;    /* for a server to serve again by itself */
    uint64_t patience_ns; /* for a server to serve again at all */
    uint64_t start_ns;    /* for a server to be ready, where --ready-timeout is longer; 0: that */
    uint64_t output_max;  /* bytes of the server's output that are kept */
    uint32_t processes_max;
};

/* A record whole calls are looked for in: what is to be found out. */
enum trial_aim {
    TRIAL_CASE,     /* what the server does under the fault of the case */
    TRIAL_CRASH,    /* the same, and where it crashes */
    TRIAL_BASELINE, /* which calls it makes, and where it listens */
};

/*
 * Whether a case with that verdict, and what a sanitizer said in it, is to be tried as TRIAL_CRASH the next time.  Who runs
 * under a sanitizer has a stack already, and LeakSanitizer can't be traced.
 */
bool trial_is_fatal(enum verdict verdict, const char *sanitizer);

/*
 * Tries ITEM on the server of OPTIONS, whose plan holds ITEM's rule, and fills OUT.  The server's output goes to this
 * process's stdout and stderr, and what snag says where say_to() sends it.  To be called in a process of its own.
 */
void trial_run(const struct options *options, const struct fault_case *item, const struct trial_limits *limits,
               enum trial_aim aim, struct measures *out);

#endif
