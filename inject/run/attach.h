/*
 * attach.h - who of the server's processes the shim got into: the proof of reach.
 *
 * Each exec is announced by the shim of the old program and answered by the shim of the new one.  One that stays without an
 * answer did not take the shim (a static program), and so did a process that has not mapped the board.  A program needs a
 * moment to start, so it is judged when its file shows that it can't be reached, when it is gone, or after a second.
 */
#ifndef SNAG_ATTACH_H
#define SNAG_ATTACH_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/event.h"
#include "run/proc.h"

/* A process, or several of the same program, that the shim did not get into. */
struct unreached {
    pid_t pid; /* of the first */
    size_t count;
    char exe[PATH_MAX];
    char why[160];
    char listens[PATH_MAX]; /* an address that it listens on; "" if it was not seen to */
};

struct attach;

/* Returns an empty account; BOARD_PATH is copied.  NULL with errno ENOMEM. */
struct attach *attach_new(const char *board_path);
void attach_free(struct attach *attach);

/* snag itself has started PATH as process PID, at T_NS. */
void attach_started(struct attach *attach, pid_t pid, const char *path, uint64_t t_ns);

/* Takes note of a record of the shim: EVENT_PROCESS, EVENT_EXEC, EVENT_EXEC_FAILED; lets others pass. */
void attach_event(struct attach *attach, const struct event *event, const void *payload);

/* Looks at the COUNT living processes of the server at LIST; NOW_NS is the time (CLOCK_MONOTONIC). */
void attach_look(struct attach *attach, const struct proc *list, size_t count, uint64_t now_ns);

/* Forgets processes that are gone: instead of attach_look(), where snag has not started them and can't list them. */
void attach_prune(struct attach *attach);

/* All is over and all records are read: what has not attached by now never did. */
void attach_finish(struct attach *attach);

/* The name of process PID as it was when the shim came into it; "?" if that is not known.  Valid until the next call. */
const char *attach_name(const struct attach *attach, pid_t pid);

/* A process that the shim is in. */
struct attached {
    pid_t pid; /* as it sees itself */
    char comm[16];
};

/* Fills OUT with the living process at INDEX, of those that attached.  Returns false if there are not so many. */
bool attach_process(const struct attach *attach, size_t index, struct attached *out);

/* How many programs attached. */
size_t attach_reached(const struct attach *attach);

/* The programs that did not, COUNT of them.  Valid until the next call. */
const struct unreached *attach_unreached(const struct attach *attach, size_t *count);

#endif
