/*
 * strace.h - a call's record as the line that strace would print for it:
 *
 *     [pid  812] accept4(6, NULL, NULL, SOCK_NONBLOCK) = -1 EMFILE (Too many open files) (INJECTED)
 *
 * The mark is strace's: (INJECTED) for a result that a rule made, (INJECTED: args) where it changed what the call was given
 * or reported, (DELAYED) where it waited.  Two are ours: (MISSED), the rule fired and the kernel left it nothing to do, and
 * (YIELDED), EMFILE or ENFILE gave way to a descriptor that was closed.  No I/O, no memory.
 */
#ifndef SNAG_STRACE_H
#define SNAG_STRACE_H

#include <stdbool.h>

#include "trace/decode.h"

enum { STRACE_LINE_MAX = 2 * WORDS_SIZE + 512 }; /* bytes of a line, newline and terminator included */

/*
 * Writes the line for EVENT, an EVENT_CALL with PAYLOAD, to OUT, and returns its length.  ACTIONS are those of the rule that
 * acted (enum rule_action), 0 for none.  With PREFIX, the thread is named.
 */
size_t strace_line(char out[STRACE_LINE_MAX], const struct event *event, const void *payload, unsigned actions,
                   bool prefix);

#endif
