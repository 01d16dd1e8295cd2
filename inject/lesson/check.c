#include "lesson/check.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORD_MAX_BYTES = 64, TERMS = 8 };

enum op { OP_EQUAL, OP_UNEQUAL, OP_LESS, OP_LESS_EQUAL, OP_GREATER, OP_GREATER_EQUAL, OP_CONTAINS };

/* Longer ones first: "<=" is not "<". */
static const struct {
    const char *text;
    enum op op;
} ops[] = {
    {"!=", OP_UNEQUAL}, {"<=", OP_LESS_EQUAL}, {">=", OP_GREATER_EQUAL}, {"=", OP_EQUAL},
    {"<", OP_LESS},     {">", OP_GREATER},     {"~", OP_CONTAINS},
};

struct term {
    char key[WORD_MAX_BYTES], value[WORD_MAX_BYTES];
    enum op op;
};

struct pattern {
    char name[WORD_MAX_BYTES];
    struct term terms[TERMS];
    size_t count;
};

struct check {
    const char *text, *at;
    const json_t *steps;
    char *why;
    size_t size;
    bool mistaken;
};

/* --- Reading ----------------------------------------------------------------------------------------------------------- */

static bool mistake(struct check *c, const char *expected)
{
    if (!c->mistaken)
        snprintf(c->why, c->size, "\"%s\", at character %d: expected %s", c->text, (int)(c->at - c->text) + 1,
                 expected);
    c->mistaken = true;
    return false;
}

static void skip_blanks(struct check *c)
{
    c->at += strspn(c->at, " ");
}

static bool take(struct check *c, const char *text)
{
    skip_blanks(c);
    if (strncmp(c->at, text, strlen(text)) != 0)
        return false;
    c->at += strlen(text);
    return true;
}

/* A whole word, so that "at lasting" is not "at last". */
static bool take_word(struct check *c, const char *word)
{
    skip_blanks(c);
    size_t length = strlen(word);
    if (strncmp(c->at, word, length) != 0 || (c->at[length] != ' ' && c->at[length] != '\0'))
        return false;
    c->at += length;
    return true;
}

static bool read_word(struct check *c, const char *ends, char out[WORD_MAX_BYTES], const char *what)
{
    skip_blanks(c);
    size_t length = strcspn(c->at, ends);
    while (length > 0 && c->at[length - 1] == ' ')
        length--;
    if (length == 0 || length >= WORD_MAX_BYTES)
        return mistake(c, what);
    memcpy(out, c->at, length);
    out[length] = '\0';
    c->at += length;
    return true;
}

static bool read_op(struct check *c, enum op *out)
{
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
        if (take(c, ops[i].text)) {
            *out = ops[i].op;
            return true;
        }
    return mistake(c, "one of = != < <= > >= ~");
}

/* A value that has one of ENDS in it stands in quotes. */
static bool read_value(struct check *c, const char *ends, char out[WORD_MAX_BYTES])
{
    if (!take(c, "\""))
        return read_word(c, ends, out, "a value");
    return read_word(c, "\"", out, "a value") && (take(c, "\"") || mistake(c, "\""));
}

static bool read_term(struct check *c, struct term *out, const char *ends)
{
    return read_word(c, " =!<>~", out->key, "a key") && read_op(c, &out->op) && read_value(c, ends, out->value);
}

static bool read_terms(struct check *c, struct pattern *out, const char *ends)
{
    out->count = 0;
    do {
        if (out->count == TERMS)
            return mistake(c, "fewer conditions");
        if (!read_term(c, &out->terms[out->count++], ends))
            return false;
    } while (take(c, ","));
    return true;
}

static bool read_pattern(struct check *c, struct pattern *out)
{
    out->count = 0;
    if (!read_word(c, " {<=!>:", out->name, "the name of a step"))
        return false;
    if (*c->at != '{')
        return true;
    c->at++;
    return read_terms(c, out, ",}") && (take(c, "}") || mistake(c, "}"));
}

static bool at_end(struct check *c)
{
    skip_blanks(c);
    return *c->at == '\0' || mistake(c, "the end");
}

/* --- Matching ---------------------------------------------------------------------------------------------------------- */

static bool compare(enum op op, int order)
{
    switch (op) {
    case OP_EQUAL:
        return order == 0;
    case OP_UNEQUAL:
        return order != 0;
    case OP_LESS:
        return order < 0;
    case OP_LESS_EQUAL:
        return order <= 0;
    case OP_GREATER:
        return order > 0;
    case OP_GREATER_EQUAL:
        return order >= 0;
    default:
        return false;
    }
}

static bool term_holds(const struct term *term, const json_t *step)
{
    const json_t *value = json_object_get(step, term->key);
    char text[32], *end;
    if (value == NULL)
        return term->op == OP_UNEQUAL;
    if (json_is_string(value)) {
        const char *is = json_string_value(value);
        return term->op == OP_CONTAINS ? strstr(is, term->value) != NULL : compare(term->op, strcmp(is, term->value));
    }
    long long is = json_is_true(value) ? 1 : json_integer_value(value), wanted = strtoll(term->value, &end, 10);
    if (*end == '\0')
        return compare(term->op, (is > wanted) - (is < wanted));
    snprintf(text, sizeof text, "%s", is ? "yes" : "no");
    return compare(term->op, strcmp(text, term->value));
}

static bool matches(const struct pattern *pattern, const json_t *step)
{
    const char *name = json_string_value(json_object_get(step, "what"));
    if (name == NULL || fnmatch(pattern->name, name, 0) != 0)
        return false;
    for (size_t i = 0; i < pattern->count; i++)
        if (!term_holds(&pattern->terms[i], step))
            return false;
    return true;
}

/* Returns the index of the first match from FROM on; the number of steps if there is none. */
static size_t find(const json_t *steps, const struct pattern *pattern, size_t from)
{
    size_t i = from;
    while (i < json_array_size(steps) && !matches(pattern, json_array_get(steps, i)))
        i++;
    return i;
}

/* --- The four kinds ---------------------------------------------------------------------------------------------------- */

static enum check_result result(struct check *c, bool holds, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum check_result result(struct check *c, bool holds, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(c->why, c->size, format, arguments);
    va_end(arguments);
    return holds ? CHECK_HOLDS : CHECK_FAILS;
}

/* [after PATTERN] [before PATTERN] */
static bool read_range(struct check *c, size_t *from, size_t *to)
{
    struct pattern pattern;
    *from = 0;
    *to = json_array_size(c->steps);
    if (take_word(c, "after")) {
        if (!read_pattern(c, &pattern))
            return false;
        *from = find(c->steps, &pattern, 0) + 1;
    }
    if (take_word(c, "before")) {
        if (!read_pattern(c, &pattern))
            return false;
        *to = find(c->steps, &pattern, *from);
    }
    return true;
}

static int count_between(const struct check *c, const struct pattern *pattern, size_t from, size_t to)
{
    int count = 0;
    for (size_t i = from; i < to && i < json_array_size(c->steps); i++)
        count += matches(pattern, json_array_get(c->steps, i));
    return count;
}

static enum check_result check_counted(struct check *c, bool none)
{
    struct pattern pattern;
    char number[WORD_MAX_BYTES] = "0";
    enum op op = OP_EQUAL;
    size_t from, to;
    if (!read_pattern(c, &pattern) || !read_range(c, &from, &to) ||
        (!none && (!read_op(c, &op) || !read_word(c, " ", number, "a number"))) || !at_end(c))
        return CHECK_MISTAKE;
    size_t all = json_array_size(c->steps);
    if (from > all)
        return result(c, false, "what it is to come after did not happen");
    int count = count_between(c, &pattern, from, to);
    int wanted = (int)strtol(number, NULL, 10);
    return result(c, compare(op, (count > wanted) - (count < wanted)), "%s: %d times", pattern.name, count);
}

static enum check_result check_order(struct check *c)
{
    struct pattern pattern;
    size_t at = 0;
    bool holds = true;
    char missed[WORD_MAX_BYTES] = "";
    do {
        if (!read_pattern(c, &pattern))
            return CHECK_MISTAKE;
        at = holds ? find(c->steps, &pattern, at) : at;
        if (holds && at >= json_array_size(c->steps)) {
            holds = false;
            memcpy(missed, pattern.name, sizeof missed);
        }
        at++;
    } while (take(c, "<"));
    if (!at_end(c))
        return CHECK_MISTAKE;
    return result(c, holds, holds ? "in that order%s" : "%s does not come there", missed);
}

static enum check_result check_state_of(struct check *c, const struct pattern *state, size_t at)
{
    const json_t *step = json_array_get(c->steps, at);
    for (size_t i = 0; i < state->count; i++) {
        const struct term *term = &state->terms[i];
        if (term_holds(term, step))
            continue;
        char *is = json_dumps(json_object_get(step, term->key), JSON_ENCODE_ANY);
        enum check_result failed = result(c, false, "step %zu: %s is %s", at + 1, term->key, is ? is : "not known");
        free(is);
        return failed;
    }
    return result(c, true, "step %zu", at + 1);
}

static enum check_result check_at(struct check *c)
{
    struct pattern pattern, state = {.count = 0};
    bool every = take_word(c, "every"), last = !every && take_word(c, "last");
    char *end;
    skip_blanks(c);
    unsigned long nth = isdigit((unsigned char)*c->at) ? strtoul(c->at, &end, 10) : 0;
    if (nth > 0)
        c->at = end;
    if (!read_pattern(c, &pattern) || (!take(c, ":") && !mistake(c, ":")) || !read_terms(c, &state, ",") || !at_end(c))
        return CHECK_MISTAKE;
    size_t all = json_array_size(c->steps), found = 0;
    enum check_result answer = result(c, false, "%s: %zu times", pattern.name, found);
    for (size_t i = find(c->steps, &pattern, 0); i < all; i = find(c->steps, &pattern, i + 1)) {
        found++;
        if (nth > found)
            continue;
        answer = check_state_of(c, &state, i);
        if (!last && (!every || answer != CHECK_HOLDS))
            break;
    }
    return answer;
}

enum check_result check_steps(const char *check, const json_t *steps, char *why, size_t size)
{
    struct check c = {.text = check, .at = check, .steps = steps, .why = why, .size = size};
    if (take_word(&c, "count"))
        return check_counted(&c, false);
    if (take_word(&c, "none"))
        return check_counted(&c, true);
    if (take_word(&c, "order"))
        return check_order(&c);
    if (take_word(&c, "at"))
        return check_at(&c);
    mistake(&c, "count, none, order or at");
    return CHECK_MISTAKE;
}

int check_count(const char *pattern, const json_t *steps, char *why, size_t size)
{
    struct check c = {.text = pattern, .at = pattern, .steps = steps, .why = why, .size = size};
    struct pattern parsed;
    if (!read_pattern(&c, &parsed) || !at_end(&c))
        return -1;
    return count_between(&c, &parsed, 0, json_array_size(steps));
}
