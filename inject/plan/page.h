/*
 * page.h - the output of a subcommand that prints once: collected in memory, then written as a whole.
 *
 * So a reader gets all of it or an exit status that says otherwise, and a full disk is noticed.
 */
#ifndef SNAG_PAGE_H
#define SNAG_PAGE_H

#include <stddef.h>
#include <stdio.h>

enum {
    PAGE_WIDTH = 100,   /* columns */
    STATUS_FAILED = 125 /* snag's own failure, as in env, timeout and docker */
};

struct page {
    FILE *out; /* where to print to */
    char *text;
    size_t size;
};

/* Starts a page.  Returns 0; -1 with errno ENOMEM, and said so. */
int page_begin(struct page *page);

/* Writes the page to stdout and frees it.  Returns the exit status: 0, or STATUS_FAILED, and said why. */
int page_end(struct page *page);

/* Writes TEXT to stdout.  Returns the exit status, as page_end(). */
int page_print(const char *text);

/*
 * Prints TEXT to OUT, broken at blanks to PAGE_WIDTH, a newline at the end.  The first line is taken to start at column
 * COLUMN, from 0, and the others are indented to it.
 */
void page_wrap(FILE *out, const char *text, size_t column);

#endif
