/*
 * minimise.h - the least of a rule that still does what it did: fewer faults in a row, fewer conditions.  Pure text; who asks
 * says how a rule is tried.
 */
#ifndef SNAG_MINIMISE_H
#define SNAG_MINIMISE_H

#include <stdbool.h>
#include <stdint.h>

#include "explore/case.h"

/*
 * Tries RULE, which makes at most COUNT faults (0: as many as before).  Returns 1 if it still does what it did, 0 if not, -1
 * if it can't be tried.
 */
typedef int minimise_try(void *context, const char *rule, uint32_t count);

/*
 * Makes RULE, which does it, the least that still does, each step of it tried.  LIMIT: faults that it made at most, above
 * which no fewer are looked for.  First the count, where RULE makes more than one fault: when=1..N or no when= at all, the
 * least N by doubling and halving; then each condition is left out that is not needed.  Returns 0, or -1 if a rule can't be
 * tried: RULE is the least so far then.
 */
int minimise_rule(char rule[CASE_RULE_MAX], uint32_t limit, minimise_try *try, void *context);

#endif
