/*
 * diag.h - a mistake in a plan: where it is in the user's text, and what is wrong, printed with a caret.
 *
 * Text is bytes from anywhere: it is printed such that control characters and broken UTF-8 are shown as \xNN, and that
 * the caret stands under the place whatever comes before it.
 */
#ifndef SNAG_DIAG_H
#define SNAG_DIAG_H

#include <stddef.h>
#include <stdio.h>

enum {
    DIAG_MESSAGE_MAX = 2048, /* bytes; more is cut */
    DIAG_QUOTE_MAX = 128,    /* bytes that diag_quote() needs */
};

/* A part of a text.  Not terminated. */
struct slice {
    const char *at;
    size_t length;
};

/* The first mistake in TEXT.  Begin with {.text = ...}. */
struct diag {
    struct slice text;  /* what the user wrote: one rule, one line */
    struct slice where; /* in TEXT; length 0: what is missing there */
    char message[DIAG_MESSAGE_MAX];
};

/* Sets the mistake of DIAG.  Returns -1 with errno EINVAL, for the caller to return. */
int diag_fail(struct diag *diag, struct slice where, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Adds to the message. */
void diag_add(struct diag *diag, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Adds WORD to a list that ends the message; the list starts on a line of its own and is broken at blanks. */
void diag_add_word(struct diag *diag, const char *word);

/* Adds "; did you mean NAME?", or ALTERNATIVE where NAME is NULL. */
void diag_add_nearest(struct diag *diag, const char *name, const char *alternative);

/* Writes TEXT into OUT for a message: escaped, and cut if long.  Returns OUT. */
const char *diag_quote(struct slice text, char out[DIAG_QUOTE_MAX]);

/* Prints DIAG for a command line: the text, the caret, the message, each line behind "snag: ". */
void diag_print(const struct diag *diag, FILE *out);

/* Prints DIAG, whose text is line LINE of file PATH, as PATH:LINE:COLUMN: message, the text and the caret. */
void diag_print_line(const struct diag *diag, const char *path, size_t line, FILE *out);

/* Prints TEXT with control characters and broken UTF-8 escaped. */
void diag_print_text(struct slice text, FILE *out);

#endif
