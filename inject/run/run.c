/*
 * run.c - the subcommand `snag run`.
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
