/*
 * lesson.h - the subcommand `snag lesson`.
 */
#ifndef SNAG_LESSON_H
#define SNAG_LESSON_H

#include <getopt.h>

/* Its long options. */
extern const struct option lesson_options[];

/* Returns the exit status.  ARGV[0] is the subcommand's name. */
int cmd_lesson(int argc, char **argv);

#endif
