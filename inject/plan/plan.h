/*
 * plan.h - a plan: the rules that a user wrote, checked, ready to be compiled for a board.
 *
 * The command line parses; a target never does.  A plan holds only what passed every check, so that nothing runs with
 * half of a mistaken plan: each function below adds all of what it was given or nothing.
 *
 * Two rules of the language are decided here and nowhere else:
 *
 *   Calls that are named are meant.  `accept4,bind:error=EADDRINUSE` is refused, for accept4 can't fail so.  A glob or
 *   a class stands for those of its calls that the rule can be done to: `%all:error=EMFILE` leaves out the calls
 *   that can't fail with EMFILE, plan_describe() says which, and a pattern of which nothing remains is refused.
 *
 *   --strace-counts is a default.  It makes a rule without per= count as strace does, each call and each thread apart;
 *   a rule that says per= says what it counts, and is left alone.
 *
 * Not thread-safe, not for signal handlers.  Where a function returns -1 it has said why on ERRORS, and errno is EINVAL
 * for a mistake of the user's, ENOMEM, or the reason why a file could not be read.
 */
#ifndef SNAG_PLAN_H
#define SNAG_PLAN_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "engine/board.h"
#include "engine/call.h"

enum {
    PLAN_FILE_MAX = 1 << 20, /* bytes of a plan file */
    PLAN_ERRORS_MAX = 20,    /* bad lines of a file that are shown; the others are counted */
};

struct plan;

/* Returns an empty plan, seed 0, that the caller frees with plan_free(); NULL with errno ENOMEM. */
struct plan *plan_new(void);

/* Frees PLAN and all that came from it.  NULL is let pass. */
void plan_free(struct plan *plan);

/*
 * Adds one -e argument: a rule as it stands, inject=RULE, fault=RULE (which means error=ENOSYS where it names no other
 * error, on any call) or trace=CALLS.  Returns 0; -1 with the plan unchanged, and the message, with a caret, on ERRORS.
 */
int plan_add(struct plan *plan, const char *expression, FILE *errors);

/*
 * Adds the plan file PATH: what plan_add() takes, one a line, and `set seed=N`; `#` starts a comment at the start of a
 * line or after a blank.  Returns 0; -1 with the plan unchanged, and every bad line (the first PLAN_ERRORS_MAX) as
 * FILE:LINE:COLUMN on ERRORS; columns count characters from 1.
 */
int plan_add_file(struct plan *plan, const char *path, FILE *errors);

/* Takes rule I out, I below plan_rule_count(); those behind it move up. */
void plan_remove(struct plan *plan, size_t i);

/* Sets the seed of prob=.  It wins over each `set seed=`, earlier or later. */
void plan_set_seed(struct plan *plan, uint64_t seed);

/* Returns the seed: plan_set_seed()'s, else a plan file's, else 0. */
uint64_t plan_seed(const struct plan *plan);

/* Returns the number of rules, as the user counts them; at most RULE_MAX. */
size_t plan_rule_count(const struct plan *plan);

/* Returns rule I as the user wrote it, I below plan_rule_count().  Lives as long as the plan. */
const char *plan_rule_text(const struct plan *plan, size_t i);

/* Returns rule I's name=, NULL if it has none.  Lives as long as the plan. */
const char *plan_rule_name(const struct plan *plan, size_t i);

/* Returns whether a trace= names CALL. */
bool plan_traces(const struct plan *plan, enum call call);

/*
 * Returns how many rules of a board the plan takes: plan_rule_count(), or more with STRACE_COUNTS, which splits a rule
 * of several calls into one for each.  Above RULE_MAX, plan_compile() refuses.
 */
size_t plan_board_rules(const struct plan *plan, bool strace_counts);

/*
 * Compiles PLAN into OUT, overwriting all of it.  Rules come in the order of the plan; the tally of a rule is the index
 * of the plan's rule that it came from.  Returns 0.  Without STRACE_COUNTS it can't fail.  With it, returns -1 with
 * errno E2BIG and OUT without rules if plan_board_rules() is above RULE_MAX; nothing is printed.
 */
int plan_compile(const struct plan *plan, bool strace_counts, struct rule_set *out);

/* Prints what rule I will do to OUT: plain sentences on one line, and a newline. */
void plan_describe(const struct plan *plan, size_t i, FILE *out);

/* Their long options. */
extern const struct option check_options[], faults_options[];

/* The subcommands `snag check` and `snag faults`; argv[0] is the subcommand's name.  Return the exit status. */
int cmd_check(int argc, char **argv);
int cmd_faults(int argc, char **argv);

#endif
