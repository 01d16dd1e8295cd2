/*
 * run.c - the subcommands `snag run` and `snag trace`.
 */
#include "run/run.h"

#include "run/options.h"
#include "run/session.h"

int cmd_run(int argc, char **argv)
{
    struct options options;
    int status = options_parse(&options, argc, argv);
    if (status == -1)
        status = session_run(&options);
    options_free(&options);
    return status;
}

/* The same, but that options_parse() finds another name in ARGV[0]. */
int cmd_trace(int argc, char **argv)
{
    return cmd_run(argc, argv);
}
