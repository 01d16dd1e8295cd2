/* squeeze.h - the subcommand `snag squeeze`. */
#ifndef SNAG_SQUEEZE_H
#define SNAG_SQUEEZE_H

#include <getopt.h>

/* Its long options. */
extern const struct option squeeze_options[];

/* Takes a running server's free descriptors away for a while; ARGV[0] is "squeeze".  Returns the exit status. */
int cmd_squeeze(int argc, char **argv);

#endif
