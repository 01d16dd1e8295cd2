/*
 * plan_rules.h - the inside of a plan, for plan_file.c, which fills it line by line, and describe.c, which reads it.
 */
#ifndef SNAG_PLAN_RULES_H
#define SNAG_PLAN_RULES_H

#include "plan/parse.h"
#include "plan/plan.h"

/* Where a plan stood, to go back to. */
struct plan_mark {
    size_t count;
    uint64_t traced[CALL_WORDS];
    uint64_t seed;
    unsigned seed_origin;
};

struct plan_mark plan_mark(const struct plan *plan);
void plan_back_to(struct plan *plan, const struct plan_mark *mark);

/* Adds the expression SOURCE, a part of DIAG->text.  Returns 0; -1 with errno EINVAL and DIAG filled, or ENOMEM. */
int plan_take(struct plan *plan, struct slice source, struct diag *diag);

/* Takes what follows `set`.  As above. */
int plan_take_setting(struct plan *plan, struct slice source, struct diag *diag);

/* Returns rule I.  Lives as long as the plan, and until a rule is added. */
const struct plan_rule *plan_rule(const struct plan *plan, size_t i);

/* Returns TEXT without blanks at its ends. */
static inline struct slice slice_trim(struct slice text)
{
    while (text.length > 0 && (*text.at == ' ' || *text.at == '\t'))
        text = (struct slice){text.at + 1, text.length - 1};
    while (text.length > 0 && (text.at[text.length - 1] == ' ' || text.at[text.length - 1] == '\t'))
        text.length--;
    return text;
}

#endif
