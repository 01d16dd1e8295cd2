/*
 * output.h - passes the server's output on, and remembers its last words.
 *
 * Where snag's own stdout or stderr is a terminal, the server gets it as it is: nothing would be added by standing in
 * between, and the words stay on the screen.  Else it gets a pipe, which snag reads at once and writes on when its own
 * output takes it, so that a slow reader of snag's output does not hold up the server (up to OUTPUT_HELD_MAX bytes).  If
 * stdout and stderr are the same file, they are one pipe, and the order of their lines is kept.
 */
#ifndef SNAG_OUTPUT_H
#define SNAG_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;

enum {
    OUTPUT_HELD_MAX = 64 << 20, /* bytes; with more, the server waits, as it would without snag */
    OUTPUT_WORDS_MAX = 8192,    /* bytes of last words that are kept */
    OUTPUT_WORDS_LINES = 10,    /* lines of them that are given */
};

struct output;

/* Returns the pipes for one server, NULL with errno.  BASE must outlive it. */
struct output *output_new(struct event_base *base);

/* Closes the pipes.  NULL is fine. */
void output_free(struct output *output);

/* The descriptors that the server gets as its stdout and stderr; -1: snag's own. */
int output_out(const struct output *output);
int output_err(const struct output *output);

/* Whether both pass through snag: if not, a terminal has the words. */
bool output_is_captured(const struct output *output);

/* The server has started: our copies of its ends are closed, and reading begins. */
void output_started(struct output *output);

/*
 * Adds LINE, LENGTH bytes with its newline, to what goes to snag's stderr: between two lines of the server's where its
 * stderr passes through here.  With OUTPUT_HELD_MAX bytes waiting, the line is dropped.  It is written by output_flush(),
 * which returns -1 with errno once nothing more can be written there.
 */
void output_line(struct output *output, const char *line, size_t length);
int output_flush(struct output *output);

/* Returns how many lines were dropped. */
uint64_t output_dropped(const struct output *output);

/* From now on, at most BYTES more are passed on; what is above is read and thrown away. */
void output_limit(struct output *output, uint64_t bytes);

/* Returns how many lines the server has ended so far, those that were thrown away included. */
uint64_t output_lines(const struct output *output);

/* Passes on what is left, and waits until it is taken: at the end, when the server is gone. */
void output_finish(struct output *output);

/* Copies the last lines that the server wrote to OUT, terminated, without the last newline.  "" if there are none. */
void output_last_words(struct output *output, char out[OUTPUT_WORDS_MAX + 1]);

#endif
