/*
 * worker.h - a process that tries one case, and the memory in which it leaves the figures.
 *
 * A process of its own has its own network, its own children and its own end: whatever a server does there, the campaign
 * goes on.
 */
#ifndef SNAG_WORKER_H
#define SNAG_WORKER_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "explore/case.h"
#include "explore/measures.h"
#include "explore/trial.h"

struct worker {
    pid_t pid;                 /* 0: none runs */
    struct measures *measures; /* shared */
    int words;                 /* what snag said in there: a file in memory; -1: none */
    uint64_t began_ns;
    char dir[64]; /* {dir}; "": none */
};

struct worker_order {
    const struct options *options;
    const struct fault_case *item;
    const struct trial_limits *limits;
    enum trial_aim aim;
    bool isolated;      /* in a network of its own */
    bool raise_limit;   /* descriptors above 1024 must be possible */
    const char *folder; /* where its files go: trace.jsonl and output, or with SUFFIX behind these names */
    const char *suffix;
    const sigset_t *mask; /* of signals, that the server is to be started with */
};

/* Gets the memory.  Returns 0, or -1 with errno. */
int worker_open(struct worker *worker);
void worker_close(struct worker *worker);

/* Starts ORDER.  Returns 0, or -1 with errno. */
int worker_start(struct worker *worker, const struct worker_order *order);

/*
 * The process ended with STATUS (waitpid(2)): what snag said in there is in measures->error, and if it did not come to its
 * end, that it did not.
 */
void worker_ended(struct worker *worker, int status);

#endif
