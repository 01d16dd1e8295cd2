/*
 * reader.h - reads a trace (JSON Lines, as jsonl.h writes it) a line at a time, and sees that each line is what it says.
 *
 * It takes as much memory as the longest line.  What is wrong is said on stderr as FILE:LINE and what was expected; after
 * READER_ERRORS_MAX bad lines the others are counted.
 */
#ifndef SNAG_READER_H
#define SNAG_READER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    READER_FORMAT = 1,
    READER_LINE_MAX = 1 << 20, /* bytes; a longer line is an error, and the end */
    READER_ERRORS_MAX = 20,
};

struct reader;

/* Opens the trace PATH, "-" for stdin.  NULL with errno. */
struct reader *reader_open(const char *path);
void reader_close(struct reader *reader);

/*
 * Returns the next line that is right, to be given back with json_decref(); NULL at the end.  Lines that are not right are
 * said and left out.
 */
json_t *reader_next(struct reader *reader);

/* Returns how many lines were wrong; a file that could not be read to its end counts as one. */
uint64_t reader_errors(const struct reader *reader);

/* The number of the last line, if the file ends in the middle of it; 0 if it does not. */
uint64_t reader_cut(const struct reader *reader);

#endif
