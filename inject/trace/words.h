/*
 * words.h - the arguments of a call as text, one string each, put together piece by piece.
 *
 * Numbers with names are written as strace writes them: the name; the names of flags with | between them; what has no name
 * as a number with a comment.  What does not fit is cut off.  No I/O, no memory.
 */
#ifndef SNAG_WORDS_H
#define SNAG_WORDS_H

#include <stddef.h>
#include <stdint.h>

enum {
    WORDS_SIZE = 4096, /* bytes for all of a call's arguments, terminators included */
    WORDS_MAX = 8,     /* arguments */
};

struct words {
    char bytes[WORDS_SIZE];
    size_t length; /* used, the last terminator not counted */
    size_t starts[WORDS_MAX];
    size_t count;
};

/* A number and its name; a table of them ends with a NULL name. */
struct constant {
    int64_t value;
    const char *name;
};

/* Empties WORDS. */
void words_clear(struct words *words);

/* Starts the next argument. */
void words_next(struct words *words);

/* Adds to the argument that was started last. */
void words_add(struct words *words, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Returns argument I, below words->count. */
const char *words_get(const struct words *words, size_t i);

/* Adds VALUE by its name in TABLE, or as number with UNKNOWN in a comment. */
void words_constant(struct words *words, int64_t value, const struct constant *table, const char *unknown);

/* Adds the flags of VALUE by name, "0" if there are none. */
void words_flags(struct words *words, uint64_t value, const struct constant *table, const char *unknown);

/* Adds LENGTH bytes as a quoted string with C's escapes. */
void words_quoted(struct words *words, const void *bytes, size_t length);

/* Adds a pointer: "NULL" or its number. */
void words_pointer(struct words *words, int64_t pointer);

#endif
