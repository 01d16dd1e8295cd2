/*
 * where.h - what a run has to say at its end about call sites: where each rule was injected, which functions of the plan were
 * not found, and what is missing.
 */
#ifndef SNAG_WHERE_H
#define SNAG_WHERE_H

#include <jansson.h>
#include <stdio.h>

#include "run/summary.h"

/* Prints where RULE was injected: ", at ngx_event_accept", or nothing, to OUT. */
void where_print_rule(const struct summary *summary, const struct rulebook_rule *rule, FILE *out);

/* Says why the functions of caller= and stack= in RULE were not found, of those that were not. */
void where_say_missing(const struct summary *summary, const struct rulebook_rule *rule);

/* Says which calls have no call site, and why. */
void where_say_lost(const struct summary *summary);

/* Says what the sites were, each with a rule for it alone. */
void where_say_sites(const struct summary *summary);

/* Return where RULE was injected, and all sites, as lists; NULL without memory. */
json_t *where_rule_json(const struct summary *summary, const struct rulebook_rule *rule);
json_t *where_sites_json(const struct summary *summary);

#endif
