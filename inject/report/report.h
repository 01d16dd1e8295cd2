/*
 * report.h - the subcommand `snag report`: what a trace comes to.
 *
 *     reader.c    the file -> lines that are what they should be
 *     figures.c   lines -> counts, call by call and rule by rule
 *     callsites.c lines -> counts, call site by call site
 *     life.c      lines -> the lives of sockets
 *     text.c      all of it for a person;  json.c  for a machine
 */
#ifndef SNAG_REPORT_H
#define SNAG_REPORT_H

#include <getopt.h>
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

#include "report/callsites.h"
#include "report/figures.h"
#include "report/life.h"

struct report {
    const char *path;
    json_t *session, *summary; /* those lines of the trace; summary NULL: it has none */
    uint64_t cut;              /* the line in whose middle the file ends; 0: it does not */
    json_t *changes;           /* lines "plan": the changes of the plan while it ran */
    struct figures figures;
    struct callsites callsites;
    struct lives *lives;
};

/* Writes REPORT to OUT, in lines of at most 100 columns.  Errors are OUT's. */
void report_text(const struct report *report, FILE *out);

/* Returns REPORT as an object; NULL without memory. */
json_t *report_json(const struct report *report);

/* Its long options. */
extern const struct option report_options[];

/* ARGV[0] is "report".  Returns the exit status. */
int cmd_report(int argc, char **argv);

#endif
