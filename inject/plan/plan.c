/* plan.c - the plan: a growing list of rules that are added whole or not at all, and its way onto a board. */
#include "plan/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "plan/parse.h"
#include "plan/plan_rules.h"

enum seed_origin { SEED_DEFAULT, SEED_FILE, SEED_CALLER };

struct plan {
    struct plan_rule *rules;
    size_t count, capacity;
    size_t strings;  /* bytes that the rules' strings take on a board */
    size_t patterns; /* caller= and stack= of the rules */
    uint64_t traced[CALL_WORDS];
    uint64_t seed;
    enum seed_origin seed_origin;
};

struct plan *plan_new(void)
{
    struct plan *plan = calloc(1, sizeof *plan);
    if (plan)
        plan->strings = 1; /* offset 0 is the empty string */
    return plan;
}

void plan_free(struct plan *plan)
{
    if (plan == NULL)
        return;
    for (size_t i = 0; i < plan->count; i++)
        plan_rule_clear(&plan->rules[i]);
    free(plan->rules);
    free(plan);
}

/* Returns what TEXT takes on a board; nothing and the empty string are at offset 0. */
static size_t string_size(const char *text)
{
    return text && *text ? strlen(text) + 1 : 0;
}

static size_t rule_strings(const struct plan_rule *rule)
{
    return string_size(rule->text) + string_size(rule->label) + string_size(rule->path) + string_size(rule->comm) +
           string_size(rule->thread) + string_size(rule->caller) + string_size(rule->stack);
}

static size_t rule_patterns(const struct plan_rule *rule)
{
    return (rule->caller ? 1u : 0) + (rule->stack ? 1u : 0);
}

static int plan_grow(struct plan *plan)
{
    if (plan->count < plan->capacity)
        return 0;
    size_t capacity = plan->capacity ? plan->capacity * 2 : 8;
    struct plan_rule *rules = realloc(plan->rules, capacity * sizeof *rules);
    if (rules == NULL)
        return -1;
    plan->rules = rules;
    plan->capacity = capacity;
    return 0;
}

/* Moves RULE into PLAN.  SOURCE is where it stands, for the message. */
static int plan_push(struct plan *plan, struct slice source, struct plan_rule *rule, struct diag *diag)
{
    size_t size = rule_strings(rule);
    if (plan->count == RULE_MAX)
        return diag_fail(diag, source, "too many rules: a plan holds %d", RULE_MAX);
    if (plan->strings + size > BOARD_STRINGS)
        return diag_fail(diag, source,
                         "too much text: the rules of a plan, with their names and globs, may take %d bytes",
                         BOARD_STRINGS);
    if (plan->patterns + rule_patterns(rule) > PATTERN_MAX)
        return diag_fail(diag, source, "too many functions: the rules of a plan may have %d caller= and stack= in all",
                         PATTERN_MAX);
    if (plan_grow(plan) < 0)
        return -1;
    plan->strings += size;
    plan->patterns += rule_patterns(rule);
    plan->rules[plan->count++] = *rule;
    return 0;
}

int plan_take(struct plan *plan, struct slice source, struct diag *diag)
{
    struct expression expression;
    if (parse_expression(source, &expression, diag) < 0)
        return -1;
    if (expression.traces) {
        for (int i = 0; i < CALL_WORDS; i++)
            plan->traced[i] |= expression.traced[i];
        return 0;
    }
    if (plan_push(plan, source, &expression.rule, diag) == 0)
        return 0;
    int error = errno;
    plan_rule_clear(&expression.rule);
    errno = error;
    return -1;
}

int plan_take_setting(struct plan *plan, struct slice source, struct diag *diag)
{
    uint64_t seed;
    if (parse_setting(source, &seed, diag) < 0)
        return -1;
    if (plan->seed_origin == SEED_FILE)
        return diag_fail(diag, source, "the seed is set twice in this plan");
    if (plan->seed_origin == SEED_DEFAULT) {
        plan->seed = seed;
        plan->seed_origin = SEED_FILE;
    }
    return 0;
}

struct plan_mark plan_mark(const struct plan *plan)
{
    struct plan_mark mark = {.count = plan->count, .seed = plan->seed, .seed_origin = plan->seed_origin};
    memcpy(mark.traced, plan->traced, sizeof mark.traced);
    return mark;
}

void plan_back_to(struct plan *plan, const struct plan_mark *mark)
{
    while (plan->count > mark->count) {
        struct plan_rule *last = &plan->rules[--plan->count];
        plan->strings -= rule_strings(last);
        plan->patterns -= rule_patterns(last);
        plan_rule_clear(last);
    }
    memcpy(plan->traced, mark->traced, sizeof plan->traced);
    plan->seed = mark->seed;
    plan->seed_origin = mark->seed_origin;
}

int plan_add(struct plan *plan, const char *expression, FILE *errors)
{
    struct diag diag = {.text = {expression, strlen(expression)}};
    if (plan_take(plan, slice_trim(diag.text), &diag) == 0)
        return 0;
    int error = errno;
    if (error == ENOMEM)
        fprintf(errors, "snag: out of memory\n");
    else
        diag_print(&diag, errors);
    errno = error;
    return -1;
}

void plan_remove(struct plan *plan, size_t i)
{
    plan->strings -= rule_strings(&plan->rules[i]);
    plan->patterns -= rule_patterns(&plan->rules[i]);
    plan_rule_clear(&plan->rules[i]);
    plan->count--;
    memmove(&plan->rules[i], &plan->rules[i + 1], (plan->count - i) * sizeof plan->rules[0]);
}

void plan_set_seed(struct plan *plan, uint64_t seed)
{
    plan->seed = seed;
    plan->seed_origin = SEED_CALLER;
}

uint64_t plan_seed(const struct plan *plan)
{
    return plan->seed;
}

size_t plan_rule_count(const struct plan *plan)
{
    return plan->count;
}

const struct plan_rule *plan_rule(const struct plan *plan, size_t i)
{
    return &plan->rules[i];
}

const char *plan_rule_text(const struct plan *plan, size_t i)
{
    return plan->rules[i].text;
}

const char *plan_rule_name(const struct plan *plan, size_t i)
{
    return plan->rules[i].label;
}

bool plan_traces(const struct plan *plan, enum call call)
{
    return calls_have(plan->traced, call);
}

/* Whether --strace-counts changes what RULE counts. */
static bool rule_splits(const struct plan_rule *rule, bool strace_counts)
{
    return strace_counts && !rule->scope_given;
}

size_t plan_board_rules(const struct plan *plan, bool strace_counts)
{
    size_t count = 0;
    for (size_t i = 0; i < plan->count; i++)
        count += rule_splits(&plan->rules[i], strace_counts) ? calls_count(plan->rules[i].rule.calls) : 1;
    return count;
}

/* Copies TEXT to the strings of OUT, which have the room: plan_push() saw to that.  Returns its offset. */
static uint32_t compile_string(struct rule_set *out, const char *text)
{
    size_t size = string_size(text);
    uint32_t at = out->strings_size;
    if (size == 0)
        return STRING_NONE;
    memcpy(out->strings + at, text, size);
    out->strings_size += (uint32_t)size;
    return at;
}

/* Returns the number of the pattern TEXT, the same for equal ones; 0 for none.  plan_push() saw to the room. */
static uint16_t compile_pattern(struct rule_set *out, const char *text)
{
    uint32_t i = 0;
    if (text == NULL)
        return 0;
    while (i < out->pattern_count && strcmp(out->strings + out->patterns[i].text, text) != 0)
        i++;
    if (i == out->pattern_count)
        out->patterns[out->pattern_count++].text = compile_string(out, text);
    return (uint16_t)i;
}

static struct rule compile_rule(struct rule_set *out, const struct plan_rule *source, size_t tally)
{
    struct rule rule = source->rule;
    rule_set_effects(&rule);
    rule.tally = (uint32_t)tally;
    rule.text = compile_string(out, source->text);
    rule.label = compile_string(out, source->label);
    rule.path = compile_string(out, source->path);
    rule.comm = compile_string(out, source->comm);
    rule.thread = compile_string(out, source->thread);
    rule.caller_pattern = compile_pattern(out, source->caller);
    rule.stack_pattern = compile_pattern(out, source->stack);
    out->sites |= rule_needs_site(&rule);
    return rule;
}

/* One rule for each call of RULE, counted for each thread. */
static void compile_split(struct rule_set *out, struct rule rule)
{
    const struct rule whole = rule;
    rule.scope = PER_THREAD;
    for (enum call call = 0; call < CALL_COUNT; call++) {
        if (!rule_names(&whole, call))
            continue;
        memset(rule.calls, 0, sizeof rule.calls);
        calls_add(rule.calls, call);
        out->rules[out->count++] = rule;
    }
}

int plan_compile(const struct plan *plan, bool strace_counts, struct rule_set *out)
{
    memset(out, 0, sizeof *out);
    out->strings_size = 1;
    out->seed = plan->seed;
    if (plan_board_rules(plan, strace_counts) > RULE_MAX) {
        errno = E2BIG;
        return -1;
    }
    for (size_t i = 0; i < plan->count; i++) {
        struct rule rule = compile_rule(out, &plan->rules[i], i);
        if (rule_splits(&plan->rules[i], strace_counts))
            compile_split(out, rule);
        else
            out->rules[out->count++] = rule;
    }
    out->tallies = (uint32_t)plan->count;
    return 0;
}
