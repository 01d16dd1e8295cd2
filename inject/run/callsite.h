/*
 * callsite.h - where a call was made that waits in a notification: its stack, as an entry on the board.
 *
 *     registers.c   the registers of a thread that waits
 *     stackwalk.c   its stack, by libunwind
 *     mapping.c     the files that a process has mapped
 *     callsite.c    which stacks are known already
 *
 * A stack that was walked is known by the words at the places of its return addresses and frame pointers, so a later call
 * that comes the same way costs two system calls: its stack pointer from /proc, and one look into its memory.  What a stack
 * is known by holds for one image: a program as it was executed, and what was forked from that.  In it a library may be
 * unloaded and another one come to its place, which is seen by the build id.
 */
#ifndef SNAG_CALLSITE_H
#define SNAG_CALLSITE_H

#include "run/notified.h"

struct callsites;

/* Makes one for BOARD, a board with call sites.  NULL with errno: ENOSYS, there is nothing that walks stacks; ENOMEM. */
struct callsites *callsites_new(struct board *board);
void callsites_free(struct callsites *callsites);

/* Says why a stack could not be walked, in words that live with CALLSITES; NULL: each could.  From any thread. */
const char *callsites_fault(struct callsites *callsites);

/* PROCESS is new, or executes another program: its files are told to snag, which looks for functions in them. */
void callsites_enter(struct callsites *callsites, struct process *process);

/* PROCESS is gone. */
void callsites_leave(struct process *process);

/*
 * Finds the call site of CALL, and sets its `stack`: NULL, it could not be found.  Returns false if the call was taken from
 * us for that: it comes again.
 */
bool callsite_find(struct notified *call);

/* Whether NOTIF, of a call as HELD by the same thread, is made from where that was, as far as one look tells. */
bool callsite_is_same(const struct notified *held, const struct seccomp_notif *notif);

/* Whether snag has looked for functions in all files that the stack of CALL goes through. */
bool callsite_is_resolved(const struct notified *call);

#endif
