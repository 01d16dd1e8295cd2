/*
 * say.h - what snag itself says, on stderr, each line behind "snag: ".
 *
 * A line is written with one write(2), so that it never mixes with a server's lines half-way.  One thread only.
 */
#ifndef SNAG_SAY_H
#define SNAG_SAY_H

#include <stdbool.h>

enum say_when { SAY_AUTO, SAY_ALWAYS, SAY_NEVER };

/* How a word is painted, on a terminal. */
enum say_paint { PAINT_NONE, PAINT_GOOD, PAINT_BAD, PAINT_WARN, PAINT_BOLD };

/*
 * Sets how much is said.  QUIET leaves errors alone; VERBOSE adds say_detail().  COLOR: SAY_AUTO paints if stderr is a
 * terminal and NO_COLOR is not in the environment.
 */
void say_setup(bool quiet, bool verbose, enum say_when color);

/* From now on, what is said goes to descriptor FD. */
void say_to(int fd);

/* Says why something failed: always. */
void say_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Says what happened: unless quiet. */
void say_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Says what is happening: if verbose. */
void say_detail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Returns the escape sequence that starts PAINT, and the one that ends any: "" when nothing is painted. */
const char *say_paint(enum say_paint paint);
const char *say_plain(void);

#endif
