/*
 * check.h - is what a text claims what the run showed?  A small language over the list of steps:
 *
 *     count PATTERN [RANGE] OP NUMBER             how many steps match
 *     none PATTERN [RANGE]                        the same as count PATTERN = 0
 *     order PATTERN < PATTERN < ...               each comes after the one before it
 *     at [every|last|N] PATTERN: KEY OP VALUE, ...    the first (each, the last, the Nth) that matches is so
 *
 * RANGE is  after PATTERN  and  before PATTERN, one of them or both: the steps behind the first match of the one, before
 * the next match of the other.  PATTERN is the name of a step, * and ? are globs, and {KEY OP VALUE, ...} what it must be.
 * OP is = != < <= > >= or ~ (contains).  KEYs are those of a step (step.h); one that a step does not have only matches !=; yes and no
 * are the values of what is true or not.  A value with , } or blanks stands in "quotes".
 */
#ifndef SNAG_CHECK_H
#define SNAG_CHECK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum check_result { CHECK_HOLDS, CHECK_FAILS, CHECK_MISTAKE };

/*
 * Whether CHECK is true of STEPS, a list.  What was found instead, or the mistake in CHECK and its place, goes to WHY (SIZE
 * bytes).
 */
enum check_result check_steps(const char *check, const json_t *steps, char *why, size_t size);

/* Returns how many of STEPS match PATTERN; -1 if it has a mistake, which goes to WHY. */
int check_count(const char *pattern, const json_t *steps, char *why, size_t size);

#endif
