/*
 * rulebook.h - the rules of a session: those in force, and those that were deleted, each with its number and its counts.
 *
 * The plan that a session began with can be changed while it runs.  Here is who is who then: a rule has one number for the
 * whole session, which no other gets; a slot while it is in force; and a tally, which is given to another rule long after
 * it was deleted, its counts being noted here first.
 */
#ifndef SNAG_RULEBOOK_H
#define SNAG_RULEBOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "engine/board.h"
#include "plan/plan.h"

struct rulebook;

/* A rule as it is told of. */
struct rulebook_rule {
    uint32_t number;
    const char *text, *name; /* name NULL: it has none; both live as long as the rulebook */
    uint32_t actions;        /* of enum rule_action */
    bool deleted;
    int caller, stack; /* patterns of caller= and stack= by number; -1: none */
};

/* What rules that are added need of a session: call sites, ... */
struct rulebook_session {
    /* NULL, or why it has none. */
    const char *(*why_not)(void *context);
    /* As sites_pattern(). */
    int (*pattern)(void *context, const char *text);
    /* Whether a session that runs can't do RULE; says why in WORDS, without a newline.  NULL: it can do all. */
    bool (*refuses)(void *context, const struct rule *rule, FILE *words);
    void *context;
};

struct rulebook_counts {
    uint64_t matched, injected, missed, yielded;
};

/*
 * Returns the book of PLAN, which becomes the rulebook's to change but stays the caller's to free, last.  STRACE_COUNTS as
 * in plan_compile().  NULL with errno ENOMEM, or E2BIG: too many rules.
 */
struct rulebook *rulebook_new(struct plan *plan, bool strace_counts);
void rulebook_free(struct rulebook *book);

/* Writes the plan that the session begins with to OUT, for board_make(). */
void rulebook_begin(const struct rulebook *book, struct rule_set *out);

/* The board that was made of it, and its session: needed by what follows. */
void rulebook_set_board(struct rulebook *book, struct board *board, const struct rulebook_session *session);

/*
 * Adds COUNT rules, as -e takes them, behind those that are there: all of them at once, or none.  Their windows begin at
 * NOW_NS.  Their numbers go to NUMBERS, which may be NULL.  Returns -1 with errno, having written why to ERRORS.
 */
int rulebook_add(struct rulebook *book, const char *const *texts, size_t count, uint64_t now_ns, uint32_t *numbers,
                 FILE *errors);

/*
 * Deletes the rules that the COUNT words name (a number, a name, name=NAME), or makes them begin anew, with all counters
 * at zero and windows that begin at NOW_NS: all at once, or none.  COUNT 0 means every rule in force.  Their numbers go to
 * NUMBERS, of RULE_MAX entries; returns how many these are, or -1 with errno, having written why to ERRORS.
 */
ssize_t rulebook_delete(struct rulebook *book, const char *const *words, size_t count, uint32_t *numbers, FILE *errors);
ssize_t rulebook_reset(struct rulebook *book, const char *const *words, size_t count, uint64_t now_ns,
                       uint32_t *numbers, FILE *errors);

/* Returns how many rules there are, deleted ones included, and the rule at INDEX below that, in order of their numbers. */
size_t rulebook_count(const struct rulebook *book);
struct rulebook_rule rulebook_at(const struct rulebook *book, size_t index);

/* Finds the rule that a record means by RULE (struct event).  Returns false if there is none. */
bool rulebook_find(const struct rulebook *book, uint16_t rule, struct rulebook_rule *out);

/* What the rule at INDEX counted since the session began, or with SINCE_RESET since it was last reset. */
struct rulebook_counts rulebook_counts(const struct rulebook *book, size_t index, bool since_reset);

/* The sums of all rules, deleted ones included, since the session began. */
struct rulebook_counts rulebook_sums(const struct rulebook *book);

/* Returns how many rules in force, or deleted, never matched or never fired. */
size_t rulebook_idle(const struct rulebook *book);

/* Whether something fired, if only to find that the kernel left it nothing to do, or to give way. */
static inline bool rulebook_fired(const struct rulebook_counts *counts)
{
    return counts->injected + counts->missed + counts->yielded > 0;
}

#endif
