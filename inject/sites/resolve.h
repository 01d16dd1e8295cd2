/*
 * resolve.h - tells the shim where in the modules of a board the functions are that caller= and stack= name.
 *
 * A module is looked into when it has appeared: a process that starts waits for that, and one that maps another file later
 * does not.  A pattern that comes later is looked for in all modules at once.  One thread only.
 */
#ifndef SNAG_RESOLVE_H
#define SNAG_RESOLVE_H

#include <stddef.h>
#include <stdio.h>

#include "sites/modules.h"

struct resolver;

/*
 * Returns a resolver of the COUNT patterns TEXTS for the modules of BOARD; NULL with errno ENOMEM.  TEXTS, MODULES and
 * BOARD must outlive it.
 */
struct resolver *resolver_new(struct board *board, struct modules *modules, const char *const *texts, size_t count);
void resolver_free(struct resolver *resolver);

/*
 * Adds the pattern TEXT, which must outlive RESOLVER, and looks for it in all modules: it is the shim's to use when this
 * returns.  Returns 0; -1 with errno, and nothing done: E2BIG, there are PATTERN_MAX; ENOSPC, more ranges than a board
 * holds; ENOMEM.
 */
int resolver_add(struct resolver *resolver, const char *text);

/*
 * Looks into the modules that are new.  Returns 0; -1 with errno ENOSPC if there are more ranges than a board holds: the
 * pattern that was one too many is in *PATTERN then.  Without patterns there is nothing to do.
 */
int resolver_serve(struct resolver *resolver, size_t *pattern);

/* Returns whether PATTERN was found in some module. */
bool resolver_found(const struct resolver *resolver, size_t pattern);

/* Prints why PATTERN was not found to OUT, one line without its end: where it was looked for, and what may be meant. */
void resolver_explain(struct resolver *resolver, size_t pattern, FILE *out);

#endif
