/* rule.c - how a rule can go on: from the tables of calls and of keys that the parser has. */
#include <stdio.h>
#include <string.h>

#include "completion/completion.h"
#include "engine/rule.h"
#include "plan/names.h"
#include "plan/parse.h"
#include "plan/parser.h"

static const char *const prefixes[] = {"inject=", "fault=", "trace=", NULL};
static const char *const classes[] = {"%accept", "%setup", "%all", NULL};

/* The values of keys that have few; the parser's own words. */
static const struct {
    enum key key;
    const char *words[8];
} choices[] = {
    {KEY_PER, {"tree", "process", "thread", "fd", "site"}},
    {KEY_QUEUE, {"keep", "drop"}},
    {KEY_TYPE, {"inet", "inet6", "unix"}},
};

/* What is being completed: BEFORE, of LENGTH bytes, stays as it is; WORD follows it. */
struct place {
    const char *before;
    size_t length;
    const char *word;
};

static void offer(const struct place *place, const char *candidate, const char *end)
{
    completion_offer(place->before, place->length, place->word, candidate, end);
}

static void offer_calls(const struct place *place, bool traces)
{
    const char *end = traces ? "" : ":";
    for (enum call call = 0; call < CALL_COUNT; call++)
        offer(place, call_info(call)->name, end);
    for (size_t i = 0; classes[i] != NULL; i++)
        offer(place, classes[i], end);
}

/* The calls that the part of a rule before its first colon names; what is none is let pass. */
static void take_calls(const char *text, size_t length, uint64_t calls[CALL_WORDS])
{
    char rule[256];
    struct expression expression;
    struct diag diag;
    snprintf(rule, sizeof rule, "trace=%.*s", (int)(length < 200 ? length : 200), text);
    diag = (struct diag){.text = {rule, strlen(rule)}};
    memset(calls, 0, CALL_WORDS * sizeof calls[0]);
    if (parse_expression(diag.text, &expression, &diag) == 0)
        memcpy(calls, expression.traced, sizeof expression.traced);
}

static bool is_given(const char *rule, const char *key)
{
    size_t length = strlen(key);
    for (const char *at = strchr(rule, ':'); at != NULL; at = strchr(at + 1, ':'))
        if (strncmp(at + 1, key, length) == 0 && (at[1 + length] == '=' || at[1 + length] == ':'))
            return true;
    return false;
}

/* Whether a rule on these CALLS can have the key INFO: one of them must be able to. */
static bool fits(const struct key_info *info, const uint64_t calls[CALL_WORDS])
{
    for (enum call call = 0; call < CALL_COUNT; call++)
        if (calls_have(calls, call) && (info->traits == 0 || (info->traits & call_info(call)->traits)))
            return true;
    return false;
}

static void offer_keys(const struct place *place, const char *rule, const uint64_t calls[CALL_WORDS])
{
    for (enum key key = 0; key < KEY_COUNT; key++) {
        const struct key_info *info = key_info(key);
        if (fits(info, calls) && !is_given(rule, info->name))
            offer(place, info->name, info->takes != NULL ? "=" : "");
    }
}

static void offer_errnos(const struct place *place, const uint64_t calls[CALL_WORDS])
{
    for (int number = 1; number < ERRNO_MAX; number++)
        for (enum call call = 0; call < CALL_COUNT; call++)
            if (calls_have(calls, call) && call_errno(call, number) != NULL) {
                offer(place, call_errno(call, number)->name, "");
                break;
            }
}

static void offer_values(const struct place *place, const char *key, size_t length, const uint64_t calls[CALL_WORDS])
{
    if (length == strlen("error") && strncmp(key, "error", length) == 0)
        offer_errnos(place, calls);
    for (size_t i = 0; length == strlen("signal") && strncmp(key, "signal", length) == 0 && signal_by_index(i); i++)
        offer(place, signal_by_index(i), "");
    for (size_t i = 0; length == strlen("family") && strncmp(key, "family", length) == 0 && family_by_index(i); i++)
        offer(place, family_by_index(i), "");
    for (size_t i = 0; i < sizeof choices / sizeof choices[0]; i++) {
        const char *name = key_info(choices[i].key)->name;
        for (size_t j = 0; strlen(name) == length && strncmp(key, name, length) == 0 && choices[i].words[j]; j++)
            offer(place, choices[i].words[j], "");
    }
}

void completion_rule(const char *before, const char *word)
{
    char whole[1024];
    uint64_t calls[CALL_WORDS];
    bool traces = false;
    size_t start = strlen(before);
    if ((size_t)snprintf(whole, sizeof whole, "%s%s", before, word) >= sizeof whole)
        return;
    for (size_t i = 0; prefixes[i] != NULL; i++) {
        if (strncmp(whole + start, prefixes[i], strlen(prefixes[i])) != 0) {
            completion_offer(before, start, word, prefixes[i], "");
            continue;
        }
        traces = i == 2;
        start += strlen(prefixes[i]);
        break;
    }
    const char *rule = whole + start, *colon = strrchr(rule, ':'), *comma = strrchr(rule, ',');
    if (colon == NULL) {
        const char *from = comma != NULL ? comma + 1 : rule;
        offer_calls(&(struct place){whole, (size_t)(from - whole), from}, traces);
        return;
    }
    take_calls(rule, strcspn(rule, ":"), calls);
    const char *key = colon + 1, *equals = strchr(key, '=');
    if (equals == NULL)
        offer_keys(&(struct place){whole, (size_t)(key - whole), key}, rule, calls);
    else
        offer_values(&(struct place){whole, (size_t)(equals + 1 - whole), equals + 1}, key, (size_t)(equals - key),
                     calls);
}
