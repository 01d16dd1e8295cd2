/*
 * completion.h - the subcommand `snag completion`: what the shells ask when Tab is pressed, and the scripts that ask it.
 *
 *     completion.c  which words can stand at a place of the command line
 *     values.c      which values an option can have, by its name
 *     rule.c        how a rule can go on
 *     snag.bash, _snag   the shells' side: they hand the words over, and show what comes back
 */
#ifndef SNAG_COMPLETION_H
#define SNAG_COMPLETION_H

#include <stddef.h>

#include "subcommand.h"

/*
 * `snag completion bash|zsh` prints the script; `snag completion words WORD...` prints what the last of the WORDs of a
 * command line, behind `snag`, can become: one a line; a line :files, :folders or :commands has the shell offer those too.
 * What ends in = : or , goes on.  TABLE has COUNT subcommands.  Returns the exit status.
 */
int completion_run(const struct subcommand *table, size_t count, int argc, char **argv);

/* Prints CANDIDATE behind the LENGTH bytes at BEFORE, and then END, if it begins as WORD does. */
void completion_offer(const char *before, size_t length, const char *word, const char *candidate, const char *end);

/* Offers what WORD, the value of option NAME of SUBCOMMAND, can become, behind BEFORE ("--name=", or ""). */
void completion_value(const char *subcommand, const char *name, const char *before, const char *word);

/* Offers how the rule WORD can go on, behind BEFORE. */
void completion_rule(const char *before, const char *word);

/* Offers the sessions of this user, by name where they have one. */
void completion_sessions(const char *word);

#endif
