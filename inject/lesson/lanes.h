/*
 * lanes.h - a lesson in the terminal: its words, its steps in lanes, and what it showed.
 */
#ifndef SNAG_LANES_H
#define SNAG_LANES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct lanes {
    FILE *out;
    const json_t *words;
    unsigned width; /* of the terminal, columns */
    bool stepwise;  /* waits for Enter before each step */
    bool colors;
};

/* The terminal that OUT is: its width (100 if it is none), and whether to paint. */
struct lanes lanes_on(FILE *out, const json_t *words);

/* What the lesson asks, and what it is about. */
void lanes_introduce(const struct lanes *lanes, const json_t *lesson);

/* What a student's server is to do. */
void lanes_task(const struct lanes *lanes, const json_t *lesson);

/* The steps.  Returns false if the reader has had enough (the end of the input with --step). */
bool lanes_show(const struct lanes *lanes, const json_t *steps);

/* The claims, each with what the run says of it (RESULTS, of grade.h), what to remember, and where to read on. */
void lanes_conclude(const struct lanes *lanes, const json_t *lesson, const json_t *results);

/* Prints TEXT in lines of at most WIDTH columns, each behind INDENT blanks. */
void lanes_paragraph(const struct lanes *lanes, const char *text, unsigned indent);

#endif
