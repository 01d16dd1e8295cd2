/* subcommand.h - a row of the table of subcommands, which is in main.c. */
#ifndef SNAG_SUBCOMMAND_H
#define SNAG_SUBCOMMAND_H

#include <getopt.h>
#include <stdbool.h>

struct subcommand {
    const char *name;
    const char *help; /* in a few words */
    int (*run)(int argc, char **argv);
    const struct option *options;                      /* as for getopt_long(3) */
    const char *letters;                               /* its short options, as for getopt(3) */
    bool (*takes)(const char *subcommand, int option); /* whether it has that one of `options`; NULL: it has all */
};

#endif
