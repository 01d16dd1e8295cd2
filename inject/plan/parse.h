/*
 * parse.h - one expression of a plan: text in, a checked rule or the first mistake out.
 *
 * No state; a rule that was parsed owns its strings.
 */
#ifndef SNAG_PARSE_H
#define SNAG_PARSE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/rule.h"
#include "plan/diag.h"

/* A rule before it is compiled: its strings are here, the offsets in RULE are not set. */
struct plan_rule {
    struct rule rule;
    char *text;                    /* as the user wrote it */
    char *label;                   /* name=, or NULL */
    char *path, *comm, *thread;    /* globs, or NULL */
    char *caller, *stack;          /* as the user wrote them, or NULL */
    uint64_t left_out[CALL_WORDS]; /* calls that a glob or class stands for, but that this can't be done to */
    bool scope_given;              /* per= */
};

struct expression {
    bool traces; /* trace=CALLS: CALLS in TRACED, and no rule */
    uint64_t traced[CALL_WORDS];
    struct plan_rule rule;
};

/*
 * Parses SOURCE, a part of DIAG->text.  Returns 0 with OUT filled, its rule owned by the caller (plan_rule_clear());
 * -1 with OUT empty and errno EINVAL and DIAG filled, or errno ENOMEM.
 */
int parse_expression(struct slice source, struct expression *out, struct diag *diag);

/* Parses `set NAME=VALUE`, SOURCE without the `set` and blanks around.  As above; the one setting is the seed. */
int parse_setting(struct slice source, uint64_t *seed, struct diag *diag);

/* Parses VALUE as a whole number from MIN to MAX, decimal or 0x; WHAT it is goes into the message. */
int parse_number(struct diag *diag, struct slice value, const char *what, uint64_t min, uint64_t max, uint64_t *out);

/* Frees what RULE owns and empties it. */
void plan_rule_clear(struct plan_rule *rule);

/* Returns how many calls of calls.def are in CALLS. */
size_t calls_count(const uint64_t calls[CALL_WORDS]);

#endif
