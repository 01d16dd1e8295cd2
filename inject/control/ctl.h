/* ctl.h - the subcommand `snag ctl`. */
#ifndef SNAG_CTL_H
#define SNAG_CTL_H

#include <stdbool.h>

/* ARGV[0] is "ctl".  Returns the exit status. */
int cmd_ctl(int argc, char **argv);

/* `snag session stop SESSION`: ends a session that `snag session start` began, and waits.  Returns the exit status. */
int ctl_stop(const char *session);

/* Whether NAME is a command of `snag ctl`. */
bool ctl_is_command(const char *name);

#endif
