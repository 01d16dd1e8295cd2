/*
 * crash.h - where in the server a signal struck that ended one of its processes: the stack, looked at with ptrace(2).
 *
 * A process of its own, the watcher, traces the server and all that it starts.  It lets everything pass, and looks at the
 * stack of a thread that a signal is about to be delivered to, if that signal ends processes.  What is traced can't be
 * traced by another, and LeakSanitizer does not work in it; so only a case that has ended badly before is watched.
 */
#ifndef SNAG_CRASH_H
#define SNAG_CRASH_H

#include <stddef.h>

struct crash_watch;

/*
 * Starts the watcher, a child of this process.  It writes to TEXT, of SIZE bytes, which must be shared memory: of the first
 * process that ended so, the signal's name, and on the lines behind it the frames, the innermost first.  A line in
 * parentheses says why a stack is not known.  NULL with errno.
 */
struct crash_watch *crash_watch_start(char *text, size_t size);

/* In the server's process, before it executes its command: has it traced.  Async-signal-safe. */
void crash_watch_me(struct crash_watch *watch);

/*
 * No process of the server lives any more: waits, for seconds at most, until the text is complete, and frees WATCH.  NULL is
 * fine.
 */
void crash_watch_end(struct crash_watch *watch);

#endif
