/*
 * duration.h - times as the user writes them: 10ms, 1.5s, 200us, 50ns.
 *
 * No state; safe from any thread.
 */
#ifndef SNAG_DURATION_H
#define SNAG_DURATION_H

#include <stddef.h>
#include <stdint.h>

/* What a number without a unit is: a mistake, or microseconds as in strace. */
enum duration_bare { DURATION_BARE_REFUSED, DURATION_BARE_MICROSECONDS };

enum {
    DURATION_TEXT_MAX = 32, /* bytes that duration_text() needs */
};

/* Where in the text it went wrong, and the message: static storage, no full stop. */
struct duration_fault {
    size_t at, length; /* bytes; LENGTH 0: something is missing there */
    const char *message;
};

/*
 * Parses the LENGTH bytes at TEXT, all of them: a decimal number (1, 1.5, .5, 2e3) and a unit: s, ms, us or ns.
 * Returns 0 and sets *NANOSECONDS, at most INT64_MAX, a part of a nanosecond cut off; -1 with errno EINVAL, or
 * ERANGE if it is too long, and FAULT, unless NULL, filled.
 */
int duration_parse(const char *text, size_t length, enum duration_bare bare, uint64_t *nanoseconds,
                   struct duration_fault *fault);

/* Writes NANOSECONDS into OUT, in the largest unit of which it has at least one; it parses back.  Returns OUT. */
const char *duration_text(uint64_t nanoseconds, char out[DURATION_TEXT_MAX]);

#endif
