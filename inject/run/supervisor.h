/*
 * supervisor.h - takes the calls of a server that its seccomp filter makes wait for us, has the engine decide about them, and
 * answers.  It has two threads: one takes the calls, one looks after those that wait for a time or a connection.  The records
 * go to the board, as the shim's would.
 */
#ifndef SNAG_SUPERVISOR_H
#define SNAG_SUPERVISOR_H

#include <stdint.h>

#include "engine/board.h"
#include "run/proc.h"

struct supervisor;

/* Makes one for BOARD, which has ready rings.  To be called while snag has one thread and no children.  NULL with errno. */
struct supervisor *supervisor_new(struct board *board);

/* Takes the calls that LISTENER gives, from now on; it is the supervisor's then.  -1 with errno. */
int supervisor_start(struct supervisor *supervisor, int listener);

/* Until the server is ready: whether one of the COUNT processes at LIST is (board->ready_ns).  Looks rarely enough by itself. */
void supervisor_look(struct supervisor *supervisor, const struct proc *list, size_t count);
bool supervisor_look_is_due(struct supervisor *supervisor, uint64_t now_ns);

/* Says in words why calls have no call sites, in a session that has some; NULL: they have. */
const char *supervisor_siteless(struct supervisor *supervisor);

/* Ends it: no process of the server lives any more.  NULL is fine. */
void supervisor_free(struct supervisor *supervisor);

#endif
