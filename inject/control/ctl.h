/* ctl.h - the subcommand `snag ctl`. */
#ifndef SNAG_CTL_H
#define SNAG_CTL_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>

/* ARGV[0] is "ctl".  Returns the exit status. */
int cmd_ctl(int argc, char **argv);

/* `snag session stop SESSION`: ends a session that `snag session start` began, and waits.  Returns the exit status. */
int ctl_stop(const char *session);

/* Its long options. */
extern const struct option ctl_options[];

/* Returns the name of command I, NULL behind the last. */
const char *ctl_command(size_t i);

/* Whether NAME is a command of `snag ctl`. */
bool ctl_is_command(const char *name);

#endif
