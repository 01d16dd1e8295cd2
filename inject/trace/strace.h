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

#include "sites/sites.h"
#include "trace/decode.h"

enum { STRACE_LINE_MAX = 2 * WORDS_SIZE + 512 }; /* bytes of a line, newline and terminator included */

/*
 * Writes the line for EVENT, an EVENT_CALL with PAYLOAD, to OUT, and returns its length.  ACTIONS are those of the rule that
 * acted (enum rule_action), 0 for none.  With PREFIX, the thread is named.
 */
size_t strace_line(char out[STRACE_LINE_MAX], const struct event *event, const void *payload, unsigned actions,
                   bool prefix);

/*
 * Prints the stack of SITE as strace -k does, a line a frame, to OUT.  A frame that functions were inlined into has a line for
 * each, and where the file and the line are known they follow.
 *
 *      > /usr/sbin/server(accept_one) [0x3b1f0] /src/server.c:57 (inlined)
 *      > /usr/sbin/server(main_loop+0x1a2) [0x3b1f0] /src/server.c:93
 *      > /usr/lib/libevent-2.1.so.7() [0x1d0a5]
 */
void strace_stack(const struct site *site, FILE *out);

#endif
