/* run.h - the subcommands `snag run`, `snag trace` and `snag session`. */
#ifndef SNAG_RUN_H
#define SNAG_RUN_H

/* Exit statuses of snag itself, as those of env(1) and timeout(1). */
enum {
    EXIT_CLIENT_TIMEOUT = 124,
    EXIT_SNAG = 125, /* snag could not do its work */
    EXIT_CANT_EXECUTE = 126,
    EXIT_NOT_FOUND = 127,
    EXIT_SIGNAL = 128, /* and the number of the signal that ended it */
};

/* Runs a server under a plan; ARGV[0] is "run".  Returns the exit status. */
int cmd_run(int argc, char **argv);

/* Runs a server and shows its calls; ARGV[0] is "trace".  Returns the exit status. */
int cmd_trace(int argc, char **argv);

/* Begins a session without a server, or ends one; ARGV[0] is "session".  Returns the exit status. */
int cmd_session(int argc, char **argv);

#endif
