/*
 * summary.h - what a run has to say at its end: in words on stderr, and as the JSON object that --summary and the last line
 * of a trace hold.
 */
#ifndef SNAG_SUMMARY_H
#define SNAG_SUMMARY_H

#include <jansson.h>

#include "run/attach.h"
#include "run/rulebook.h"
#include "run/unseen.h"
#include "run/verdict.h"
#include "sites/sites.h"

struct summary {
    const struct rulebook *rules;
    struct board *board; /* for what is missing of call sites */
    struct sites *sites; /* NULL: the session has no call sites */
    bool stacks;         /* they were shown: what a rule for one of them looks like is said */
    const bool *chosen;  /* by call: it is one of those that are shown */
    const struct facts *facts;
    enum verdict verdict;
    const char *evidence;
    const struct unreached *unreached;
    size_t unreached_count;
    const struct unseen_program *unseen;
    size_t unseen_count;
    uint64_t calls, lost;
    bool ready;
    uint64_t ready_ms;
    pid_t ready_pid;
    const char *address; /* that the server listens on; "" if not known */
    bool ended;          /* the server ran and ended, with: */
    int status;          /* as of waitpid(2) */
};

/* Says it. */
void summary_say(const struct summary *summary);

/* Returns the object, NULL without memory. */
json_t *summary_json(const struct summary *summary);

/*
 * Writes OBJECT to the file PATH, all or nothing: beside it, then renamed.  What is no regular file (a pipe, a device) is
 * written to directly.  Returns -1 with errno.
 */
int summary_write(const char *path, json_t *object);

/* Whether summary_write() could write PATH: 0, or -1 with errno.  Leaves nothing behind. */
int summary_check(const char *path);

#endif
