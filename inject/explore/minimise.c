#include "explore/minimise.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARTS_MAX = 16 };

/* A rule in its parts: CALLS, the fault, and then what is a condition. */
struct parts {
    char text[CASE_RULE_MAX];
    char *list[PARTS_MAX];
    size_t count;
};

/* A colon ends a part, but not one behind a backslash nor in quotes. */
static bool split(const char *rule, struct parts *out)
{
    bool quoted = false;
    snprintf(out->text, sizeof out->text, "%s", rule);
    out->list[0] = out->text;
    out->count = 1;
    for (char *at = out->text; *at != '\0'; at++) {
        if (*at == '\\' && at[1] != '\0') {
            at++;
        } else if (*at == '"') {
            quoted = !quoted;
        } else if (*at == ':' && !quoted) {
            if (out->count == PARTS_MAX)
                return false;
            *at = '\0';
            out->list[out->count++] = at + 1;
        }
    }
    return true;
}

/* The rule without part SKIP (0: with all), and with WHEN behind the fault ("": none). */
static void join(const struct parts *parts, size_t skip, const char *when, char out[CASE_RULE_MAX])
{
    size_t length = 0;
    for (size_t i = 0; i < parts->count && length < CASE_RULE_MAX; i++) {
        if (i > 0 && i == skip)
            continue;
        length += (size_t)snprintf(out + length, CASE_RULE_MAX - length, "%s%s%s", i > 0 ? ":" : "", parts->list[i],
                                   i == 1 ? when : "");
    }
}

static bool counts(const char *part)
{
    return strncmp(part, "when=", 5) == 0 || strncmp(part, "times=", 6) == 0;
}

static size_t find_when(const struct parts *parts)
{
    for (size_t i = 2; i < parts->count; i++)
        if (counts(parts->list[i]))
            return i;
    return 0;
}

struct counted {
    const struct parts *parts;
    size_t when;
    minimise_try *try;
    void *context;
    char rule[CASE_RULE_MAX];
};

/* In the words that the rule has already: when= or times=. */
static void write_count(const struct counted *counted, uint32_t count, char out[32])
{
    if (counted->when != 0 && counted->parts->list[counted->when][0] == 't')
        snprintf(out, 32, ":times=%" PRIu32, count);
    else if (count == 1)
        snprintf(out, 32, ":when=1");
    else
        snprintf(out, 32, ":when=1..%" PRIu32, count);
}

static int try_count(struct counted *counted, uint32_t count)
{
    char when[32];
    write_count(counted, count, when);
    join(counted->parts, counted->when, when, counted->rule);
    return counted->try(counted->context, counted->rule, count);
}

/* Returns the least count between 1 and LIMIT, LIMIT included only if no less does it; 0: not to be had, -1: can't be tried. */
static int64_t least_count(struct counted *counted, uint32_t limit)
{
    uint32_t low = 0, high = 1;
    int does;
    while ((does = try_count(counted, high)) == 0) {
        low = high;
        if (high >= limit)
            return 0;
        high = high > limit / 2 ? limit : 2 * high;
    }
    while (does >= 0 && high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        does = try_count(counted, middle);
        *(does == 1 ? &high : &low) = middle;
    }
    return does < 0 ? -1 : (int64_t)high;
}

static int minimise_count(char rule[CASE_RULE_MAX], uint32_t limit, minimise_try *try, void *context)
{
    struct parts parts;
    if (!split(rule, &parts) || parts.count < 2)
        return 0;
    struct counted counted = {.parts = &parts, .when = find_when(&parts), .try = try, .context = context};
    if (counted.when != 0) {
        const char *part = parts.list[counted.when];
        size_t prefix = part[0] == 't' ? strlen("times=") : strlen("when=1..");
        if (strncmp(part, part[0] == 't' ? "times=" : "when=1..", prefix) != 0)
            return 0;
        uint32_t given = (uint32_t)strtoul(part + prefix, NULL, 10);
        limit = given < limit || limit == 0 ? given : limit;
    }
    int64_t least = limit > 0 ? least_count(&counted, limit) : 0;
    if (least <= 0)
        return (int)least;
    char when[32];
    write_count(&counted, (uint32_t)least, when);
    join(&parts, counted.when, when, rule);
    return 0;
}

static int minimise_conditions(char rule[CASE_RULE_MAX], minimise_try *try, void *context)
{
    struct parts parts;
    char fewer[CASE_RULE_MAX];
    if (!split(rule, &parts))
        return 0;
    for (size_t i = parts.count; i-- > 2;) {
        if (counts(parts.list[i]))
            continue;
        join(&parts, i, "", fewer);
        int does = try(context, fewer, 0);
        if (does < 0)
            return -1;
        if (does == 0)
            continue;
        snprintf(rule, CASE_RULE_MAX, "%s", fewer);
        memmove(&parts.list[i], &parts.list[i + 1], (--parts.count - i) * sizeof parts.list[0]);
    }
    return 0;
}

int minimise_rule(char rule[CASE_RULE_MAX], uint32_t limit, minimise_try *try, void *context)
{
    if (minimise_count(rule, limit, try, context) != 0)
        return -1;
    return minimise_conditions(rule, try, context);
}
