/*
 * parse.c - the shape of an expression: CALLS:KEY[=VALUE][:KEY[=VALUE]]...
 *
 * Slices point into the user's text all the way, so that a mistake found late still knows its place.
 */
#include "plan/parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/call.h"
#include "engine/decide.h"
#include "plan/names.h"
#include "plan/parser.h"

static const char example[] = "accept4:error=EMFILE";

/* The classes of calls, as in strace; ours are few, for snag knows few calls. */
static const struct class_name {
    const char *name;
    enum call_class class;
    bool all;
} classes[] = {{"%accept", OF_ACCEPT, false}, {"%setup", OF_SETUP, false}, {"%all", OF_OTHER, true}};

/* strace's words for what an expression does. */
static const char *const strace_words[] = {"inject", "fault", "trace"};

/* strace's words that snag has not, and what to do instead. */
static const struct {
    const char *name, *instead;
} strace_keys[] = {
    {"syscall", "snag makes no other call in the place of one; retval= returns a value without calling"},
    {"poke_enter",
     "snag writes no arguments; socklen=, family= and backlog= change what these calls are given or report"},
    {"poke_exit", "snag writes no memory of the target; socklen= and family= change the address that accept reports"},
};

static bool slice_is(struct slice slice, const char *name)
{
    return slice.length == strlen(name) && memcmp(slice.at, name, slice.length) == 0;
}

static struct slice slice_between(const char *from, const char *to)
{
    return (struct slice){from, (size_t)(to - from)};
}

size_t calls_count(const uint64_t calls[CALL_WORDS])
{
    size_t count = 0;
    for (enum call call = 0; call < CALL_COUNT; call++)
        count += calls_have(calls, call);
    return count;
}

void plan_rule_clear(struct plan_rule *rule)
{
    free(rule->text);
    free(rule->label);
    free(rule->path);
    free(rule->comm);
    free(rule->thread);
    free(rule->caller);
    free(rule->stack);
    *rule = (struct plan_rule){.text = NULL};
}

static int class_add(struct diag *diag, struct slice name, uint64_t calls[CALL_WORDS])
{
    struct nearest nearest = nearest_to(name.at, name.length);
    char quoted[DIAG_QUOTE_MAX];
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        nearest_offer(&nearest, classes[i].name);
        if (!slice_is(name, classes[i].name))
            continue;
        for (enum call call = 0; call < CALL_COUNT; call++)
            if (classes[i].all || call_info(call)->class == classes[i].class)
                calls_add(calls, call);
        return 0;
    }
    diag_fail(diag, name, "unknown class '%s'", diag_quote(name, quoted));
    diag_add_nearest(diag, nearest.best, "the classes are %accept, %setup and %all");
    return -1;
}

static int glob_add(struct diag *diag, struct slice glob, uint64_t calls[CALL_WORDS])
{
    bool found = false;
    char quoted[DIAG_QUOTE_MAX], *pattern = strndup(glob.at, glob.length);
    if (pattern == NULL)
        return -1;
    for (enum call call = 0; call < CALL_COUNT; call++) {
        if (glob_match(pattern, call_info(call)->name)) {
            calls_add(calls, call);
            found = true;
        }
    }
    free(pattern);
    if (!found)
        return diag_fail(diag, glob, "no call matches '%s'; `snag faults` lists the calls", diag_quote(glob, quoted));
    return 0;
}

static int name_add(struct diag *diag, struct slice name, uint64_t calls[CALL_WORDS])
{
    struct nearest nearest = nearest_to(name.at, name.length);
    enum call known = call_by_name(name.at, name.length);
    char quoted[DIAG_QUOTE_MAX];
    if (known != CALL_NONE) {
        calls_add(calls, known);
        return 0;
    }
    for (enum call call = 0; call < CALL_COUNT; call++)
        nearest_offer(&nearest, call_info(call)->name);
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
        nearest_offer(&nearest, classes[i].name);
    diag_fail(diag, name, "unknown call '%s'", diag_quote(name, quoted));
    diag_add_nearest(diag, nearest.best, "`snag faults` lists the calls");
    return -1;
}

/* One element of CALLS.  Exact names go into NAMED, what a pattern stands for into MEANT. */
static int call_add(struct diag *diag, struct slice call, uint64_t named[CALL_WORDS], uint64_t meant[CALL_WORDS])
{
    if (call.length == 0)
        return diag_fail(diag, call, "the name of a call is missing here");
    if (*call.at == '!')
        return diag_fail(diag, call,
                         "strace's !CALLS is not part of snag; name the calls that are meant, or use a glob");
    if (*call.at == '/')
        return diag_fail(diag, call, "strace's /REGEX is not part of snag; use a glob, as in accept*");
    if (*call.at == '%')
        return class_add(diag, call, meant);
    if (memchr(call.at, '*', call.length) || memchr(call.at, '?', call.length) || memchr(call.at, '[', call.length))
        return glob_add(diag, call, meant);
    return name_add(diag, call, named);
}

/* A list of calls, separated by commas.  MEANT gets them all, NAMED those that were named. */
static int parse_calls(struct diag *diag, struct slice list, uint64_t named[CALL_WORDS], uint64_t meant[CALL_WORDS])
{
    const char *at = list.at, *end = list.at + list.length;
    for (;;) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        if (call_add(diag, slice_between(at, comma ? comma : end), named, meant) < 0)
            return -1;
        if (comma == NULL)
            break;
        at = comma + 1;
    }
    for (int i = 0; i < CALL_WORDS; i++)
        meant[i] |= named[i];
    return 0;
}

/* Says what is wrong with CALLS that can't be calls at all: nothing there, or a key of the rule. */
static int calls_missing(struct parser *parser, struct slice calls)
{
    const char *equals = memchr(calls.at, '=', calls.length);
    if (calls.length == 0 && parser->at == parser->end)
        return diag_fail(parser->diag, calls, "the rule is empty; expected CALLS:ACTION, as in %s", example);
    if (equals == NULL)
        return diag_fail(parser->diag, calls, "the calls are missing; a rule starts with them, as in %s", example);
    struct slice word = slice_between(calls.at, equals);
    struct nearest nearest = nearest_to(word.at, word.length);
    char quoted[DIAG_QUOTE_MAX];
    for (size_t i = 0; i < sizeof strace_words / sizeof strace_words[0]; i++) {
        /* Where it may be, it was taken. */
        if (slice_is(word, strace_words[i]))
            return diag_fail(parser->diag, word, "'%s=' comes after another such word; one can start a rule",
                             strace_words[i]);
        nearest_offer(&nearest, strace_words[i]);
    }
    diag_fail(parser->diag, word, "'%s=' can't start a rule", diag_quote(word, quoted));
    diag_add_nearest(parser->diag, nearest.best,
                     "expected the calls, as in accept4:error=EMFILE, or inject=, fault=, trace=");
    return -1;
}

/* What was meant is perhaps a colon of the value before.  Returns whether that can hold one. */
static bool add_colon_hint(struct parser *parser)
{
    if (parser->last == KEY_COUNT || !key_info(parser->last)->text)
        return false;
    diag_add(parser->diag, "; a colon that belongs to the value of %s= is written \\:, or the value \"quoted\"",
             key_info(parser->last)->name);
    return true;
}

static int key_unknown(struct parser *parser, struct slice key)
{
    struct nearest nearest = nearest_to(key.at, key.length);
    struct diag *diag = parser->diag;
    char quoted[DIAG_QUOTE_MAX];
    for (size_t i = 0; i < sizeof strace_keys / sizeof strace_keys[0]; i++)
        if (slice_is(key, strace_keys[i].name))
            return diag_fail(diag, key, "strace's %s= is not part of snag: %s", strace_keys[i].name,
                             strace_keys[i].instead);
    for (enum key i = 0; i < KEY_COUNT; i++)
        nearest_offer(&nearest, key_info(i)->name);
    diag_fail(diag, key, "unknown key '%s'", diag_quote(key, quoted));
    if (nearest.best == NULL && add_colon_hint(parser))
        return -1;
    diag_add_nearest(diag, nearest.best, "expected one of");
    for (enum key i = 0; i < KEY_COUNT && nearest.best == NULL; i++)
        diag_add_word(diag, key_info(i)->name);
    return -1;
}

static enum key key_find(struct slice name)
{
    enum key key = 0;
    while (key < KEY_COUNT && !slice_is(name, key_info(key)->name))
        key++;
    return key;
}

/* Reads a value that is not quoted: up to the next colon that no backslash guards. */
static int value_plain(struct parser *parser, struct slice *value)
{
    const char *from = parser->at;
    for (; parser->at < parser->end && *parser->at != ':'; parser->at++) {
        if (*parser->at == '"')
            return diag_fail(parser->diag, slice_between(parser->at, parser->at + 1),
                             "a quote inside a value; quote the whole value, or write \\\"");
        if (*parser->at == '\\' && parser->at + 1 < parser->end)
            parser->at++;
    }
    *value = slice_between(from, parser->at);
    return 0;
}

/* Reads a quoted value; VALUE is what is between the quotes. */
static int value_quoted(struct parser *parser, struct slice *value)
{
    const char *quote = parser->at++, *from = parser->at;
    for (; parser->at < parser->end && *parser->at != '"'; parser->at++)
        if (*parser->at == '\\' && parser->at + 1 < parser->end)
            parser->at++;
    if (parser->at == parser->end)
        return diag_fail(parser->diag, slice_between(quote, quote + 1), "this quote is not closed");
    *value = slice_between(from, parser->at++);
    if (parser->at < parser->end && *parser->at != ':')
        return diag_fail(parser->diag, slice_between(parser->at, parser->at + 1),
                         "expected ':' or the end after the closing quote");
    return 0;
}

/* Reads =VALUE, or nothing where the key takes none. */
static int parse_value(struct parser *parser, enum key key)
{
    const struct key_info *info = key_info(key);
    bool given = parser->at < parser->end && *parser->at == '=', quoted = false;
    struct slice value = {parser->at, 0};
    if (given) {
        parser->at++;
        quoted = parser->at < parser->end && *parser->at == '"';
        if ((quoted ? value_quoted : value_plain)(parser, &value) < 0)
            return -1;
    }
    if (given && info->takes == NULL)
        return diag_fail(parser->diag, value, "'%s' takes no value", info->name);
    if (info->takes && value.length == 0 && !quoted)
        return diag_fail(parser->diag, value, "%s= needs a value: %s", info->name, info->takes);
    parser->values[key] = value;
    return info->parse(parser, value);
}

/* Reads one KEY or KEY=VALUE. */
static int parse_part(struct parser *parser)
{
    const char *from = parser->at;
    char quoted[DIAG_QUOTE_MAX];
    while (parser->at < parser->end && *parser->at != ':' && *parser->at != '=')
        parser->at++;
    struct slice name = slice_between(from, parser->at);
    enum key key = key_find(name);
    if (name.length == 0) {
        diag_fail(parser->diag, name, "an action or a trigger is missing here");
        add_colon_hint(parser);
        return -1;
    }
    if (key == KEY_COUNT)
        return key_unknown(parser, name);
    if (parser_has(parser, key))
        return diag_fail(parser->diag, name, "'%s' is given twice", diag_quote(name, quoted));
    parser->keys[key] = name;
    if (parse_value(parser, key) < 0)
        return -1;
    parser->last = key;
    return 0;
}

/* A rule without its strace word. */
static int parse_rule(struct parser *parser)
{
    const char *from = parser->at, *colon = memchr(from, ':', (size_t)(parser->end - from));
    struct rule *rule = &parser->out->rule;
    *rule = (struct rule){.first = 1,
                          .last = UINT32_MAX,
                          .step = 1,
                          .probability = UINT64_MAX,
                          .times = UINT64_MAX,
                          .for_ns = UINT64_MAX};
    parser->at = colon ? colon : parser->end;
    parser->calls = slice_between(from, parser->at);
    if (parser->calls.length == 0 || memchr(from, '=', parser->calls.length))
        return calls_missing(parser, parser->calls);
    if (parse_calls(parser->diag, parser->calls, parser->named, rule->calls) < 0)
        return -1;
    while (parser->at < parser->end) {
        parser->at++;
        if (parse_part(parser) < 0)
            return -1;
    }
    return parse_check(parser);
}

/* Takes WORD= off the start of the source, if it is there. */
static bool parser_word(struct parser *parser, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(parser->end - parser->at) <= length || memcmp(parser->at, word, length) != 0 ||
        parser->at[length] != '=')
        return false;
    parser->calls = (struct slice){parser->at, length};
    parser->at += length + 1;
    return true;
}

int parse_expression(struct slice source, struct expression *out, struct diag *diag)
{
    struct parser parser = {
        .at = source.at, .end = source.at + source.length, .diag = diag, .out = &out->rule, .last = KEY_COUNT};
    *out = (struct expression){.traces = parser_word(&parser, "trace")};
    if (out->traces) {
        struct slice list = slice_between(parser.at, parser.end);
        return parse_calls(diag, list, parser.named, out->traced);
    }
    if (!parser_word(&parser, "inject"))
        parser.fault = parser_word(&parser, "fault");
    out->rule.text = strndup(source.at, source.length);
    if (out->rule.text == NULL || parse_rule(&parser) < 0) {
        int error = errno;
        plan_rule_clear(&out->rule);
        errno = error;
        return -1;
    }
    return 0;
}

int parse_setting(struct slice source, uint64_t *seed, struct diag *diag)
{
    const char *end = source.at + source.length, *equals = memchr(source.at, '=', source.length);
    struct slice name = slice_between(source.at, equals ? equals : end);
    struct nearest nearest = nearest_to(name.at, name.length);
    char quoted[DIAG_QUOTE_MAX];
    if (!slice_is(name, "seed")) {
        nearest_offer(&nearest, "seed");
        diag_fail(diag, name, "unknown setting '%s'", diag_quote(name, quoted));
        diag_add_nearest(diag, nearest.best, "expected `set seed=NUMBER`");
        return -1;
    }
    if (equals == NULL)
        return diag_fail(diag, (struct slice){end, 0}, "expected =NUMBER here, as in `set seed=42`");
    return parse_number(diag, slice_between(equals + 1, end), "the seed", 0, UINT64_MAX, seed);
}
