/*
 * run.c - the subcommands `snag run`, `snag trace` and `snag session`.
 */
#include "run/run.h"

#include <stdio.h>
#include <string.h>

#include "control/ctl.h"
#include "run/options.h"
#include "run/say.h"
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

int cmd_session(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "start") == 0)
        return cmd_run(argc - 1, argv + 1);
    if (argc >= 2 && strcmp(argv[1], "stop") == 0 && argc <= 3 && (argc == 2 || argv[2][0] != '-'))
        return ctl_stop(argc == 3 ? argv[2] : NULL);
    if (argc >= 2 && (strcmp(argv[argc - 1], "--help") == 0 || strcmp(argv[argc - 1], "--version") == 0)) {
        char *asked[] = {"start", argv[argc - 1], NULL};
        return cmd_run(2, asked);
    }
    say_error("expected snag session start, or snag session stop [SESSION]; see snag session --help");
    return EXIT_SNAG;
}
