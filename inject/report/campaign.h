/*
 * campaign.h - the reports on an exploration: what its cases came to, on the terminal and as files.
 *
 *     campaign.c   all of them together, and summary.json; also on folders that are there (snag report DIR...)
 *     matrix.c     which faults and which places: the order of all tables
 *     terminal.c   for a person at a terminal
 *     junit.c      for a CI system;  markdown.c  for a pull request;  html.c, html_style.c  for a browser
 */
#ifndef SNAG_CAMPAIGN_REPORT_H
#define SNAG_CAMPAIGN_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "explore/folder.h"

struct campaign_report {
    struct result *results;
    size_t count;
    const char *const *dirs; /* that the cases are in */
    size_t dir_count;
    char *const *server; /* NULL ends it */
    uint32_t fail_on;    /* bit VERDICT_x */
    bool incomplete;
    bool partial; /* there are other cases of this server: in other shards, or not asked for */
};

/* The verdicts of RESULT that fail, as bits. */
uint32_t result_failing(const struct campaign_report *report, const struct result *result);

/* Whether it fails: by a verdict, or because it could not be tried. */
bool result_fails(const struct campaign_report *report, const struct result *result);

/* Returns the word that stands for it in tables: a verdict's, or "failed". */
const char *result_word(const struct result *result);

/* Writes the command that tries RESULT again, as a shell takes it. */
void result_command(const struct campaign_report *report, const struct result *result, FILE *out);

/* Sorts COUNT results as tables show them: calls and errnos as calls.def has them, sites, modes. */
void results_sort(struct result *results, size_t count);

/* Writes WORD as a shell takes it. */
void shell_word(const char *word, FILE *out);

/*
 * Writes summary.json, report.html and junit.xml to folder DIR (NULL: none), prints the matrix to stdout and the grave ones
 * with their commands.  Returns the exit status of `snag explore`.
 */
int campaign_report_all(const struct campaign_report *report, const char *dir);

/*
 * `snag report DIR...`: the same on the folders that COUNT words at DIRS name, as text, or in FORMAT "json", "markdown",
 * "junit" or "html" alone.  Returns the exit status.
 */
int campaign_report_on(const char *const *dirs, size_t count, const char *format, uint32_t fail_on);

/* One format each; errors are OUT's. */
void report_terminal(const struct campaign_report *report, FILE *out);
void report_junit(const struct campaign_report *report, FILE *out);
void report_markdown(const struct campaign_report *report, FILE *out);
void report_html(const struct campaign_report *report, FILE *out);

/* --- Tables: rows are places (a call, its site, its listener, a mode), columns are faults. */

struct matrix {
    size_t row_count, column_count;
    size_t *rows;                /* index of the first result of each row */
    const char **columns;        /* faults */
    const struct result **cells; /* row_count * column_count; NULL: no such case */
};

/* Makes the table of those results for which WANTED (0: accept calls, 1: the others) is so.  Returns -1 with errno. */
int matrix_make(struct matrix *out, const struct campaign_report *report, int wanted);
void matrix_free(struct matrix *matrix);

/* Writes the name of row I: "accept4@serve once". */
void matrix_row_name(const struct matrix *matrix, const struct campaign_report *report, size_t i, char *out,
                     size_t size);

#endif
