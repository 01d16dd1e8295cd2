/*
 * step.h - what happened in a run, step by step, as JSON objects.
 *
 *     what        the step: an observer's ("cb_enter"), a call's name ("accept4"), a callback's, a client's ("connect")
 *     lane        round, callback, kernel (a call of nobody that we know) or client
 *     n, t_ns     its number from 1, and when, from the start of the run
 *     thread      1 for the first thread
 *     fd, value   what the step says of itself;  errno, class  of errors;  text, result  of calls, as strace writes them
 *     call        true: a system call; then ret, injected, asked (the kernel was), rule, and
 *                 since_ms: since the same call was made before
 *     file, line, function    where in the source;  source   that line
 *     enabled, refcount, callback, in_loop, pause_ms, queue   the state that the step left; not known: not there
 *     client      whose step; "client" lane
 *
 * A system call that the listener or the callback says it is about to make and the shim's record of it are one step: the
 * place is the former's, the outcome the latter's.
 */
#ifndef SNAG_STEP_H
#define SNAG_STEP_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "plan/plan.h"
#include "run/endpoint.h"

struct steps {
    json_t *list; /* as they come in */
    uint64_t start_ns;
    const struct plan *plan;
    struct endpoint endpoint; /* of the socket that listened last */
    bool lost;                /* a line of the server's could not be read */
    char part[4096];          /* of a line that is not complete yet */
    size_t part_length;
};

/* A sink of the drain: CONTEXT is a struct steps. */
void steps_event(void *context, const struct event *event, const void *payload);

/* Takes in LENGTH bytes of what the server tells. */
void steps_told(struct steps *steps, const char *bytes, size_t length);

/*
 * A step of client K (0: of none): WHAT happened at T_NS (CLOCK_MONOTONIC; 0: now); TEXT may be NULL.  With QUEUE, how many
 * wait to be accepted is part of it.
 */
void steps_client(struct steps *steps, uint64_t t_ns, const char *what, unsigned client, const char *text, bool queue);

/* At the end: puts the steps in order, and calls together with who made them.  Returns the list; it is the caller's. */
json_t *steps_finish(struct steps *steps);

#endif
