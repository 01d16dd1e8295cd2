/* parse_check.c - what fits together in a rule: its keys with each other, and each with the calls. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "engine/call.h"
#include "plan/names.h"
#include "plan/parser.h"

enum {
    ERRNO_TEXT_MAX = 16, /* bytes of an errno in digits */
};

/* Two keys that can't be in one rule. */
static const struct conflict {
    enum key one, other;
    const char *why;
} conflicts[] = {
    {KEY_ERROR, KEY_RETVAL, "a call can't fail and succeed"},
    {KEY_ERROR, KEY_SOCKLEN, "a call that fails reports no address"},
    {KEY_ERROR, KEY_FAMILY, "a call that fails reports no address"},
    {KEY_ERROR, KEY_FDMIN, "a call that fails makes no descriptor"},
    {KEY_ERROR, KEY_BACKLOG, "a call that fails is not made"},
    {KEY_RETVAL, KEY_SOCKLEN, "retval= does not make the call, so there is no address"},
    {KEY_RETVAL, KEY_FAMILY, "retval= does not make the call, so there is no address"},
    {KEY_RETVAL, KEY_FDMIN, "retval= does not make the call, so there is no descriptor"},
    {KEY_RETVAL, KEY_BACKLOG, "retval= does not make the call"},
    {KEY_PATH, KEY_PORT, "a unix socket has no port"},
    {KEY_PATH, KEY_LOCAL, "a unix socket has a path and no such address"},
};

/* Says that KEY has no place here, with the caret under it. */
static int refuse(struct parser *parser, enum key key, const char *why)
{
    return diag_fail(parser->diag, parser->keys[key], "'%s' has no place here: %s", key_info(key)->name, why);
}

/* What the user wrote for KEY: fault= says error= without the word. */
static const char *written_as(const struct parser *parser, enum key key)
{
    return key == KEY_ERROR && parser->values[KEY_ERROR].at == NULL ? "fault=" : key_info(key)->name;
}

static int check_conflicts(struct parser *parser)
{
    for (size_t i = 0; i < sizeof conflicts / sizeof conflicts[0]; i++) {
        enum key one = conflicts[i].one, other = conflicts[i].other;
        if (!parser_has(parser, one) || !parser_has(parser, other))
            continue;
        enum key later = parser->keys[one].at > parser->keys[other].at ? one : other;
        return diag_fail(parser->diag, parser->keys[later], "'%s' and '%s' exclude each other: %s",
                         written_as(parser, later == one ? other : one), written_as(parser, later), conflicts[i].why);
    }
    return 0;
}

/* Keys that say something about error=, without it. */
static int check_error_keys(struct parser *parser)
{
    static const enum key keys[] = {KEY_QUEUE, KEY_STICKY, KEY_FORCE};
    int error = parser->out->rule.error;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (parser_has(parser, keys[i]) && !parser_has(parser, KEY_ERROR))
            return refuse(parser, keys[i], "it goes with error=");
    if (parser_has(parser, KEY_STICKY) && error != EMFILE && error != ENFILE)
        return refuse(parser, KEY_STICKY, "it goes with EMFILE and ENFILE, which end when a descriptor is closed");
    return 0;
}

static int check_action(struct parser *parser)
{
    for (enum key key = 0; key < KEY_COUNT; key++)
        if (key_info(key)->acts && parser_has(parser, key))
            return 0;
    diag_fail(parser->diag, (struct slice){parser->end, 0},
              "the rule does nothing (trace=CALLS watches); it needs one of these actions:");
    for (enum key key = 0; key < KEY_COUNT; key++)
        if (key_info(key)->acts)
            diag_add_word(parser->diag, key_info(key)->name);
    return -1;
}

/* Addresses that no socket has: two filters that exclude each other by what they ask for. */
static int check_address(struct parser *parser)
{
    const struct rule *rule = &parser->out->rule;
    if (parser_has(parser, KEY_TYPE) && rule->type != AF_UNIX && parser_has(parser, KEY_PATH))
        return refuse(parser, KEY_PATH, "only sockets of type=unix have a path");
    if (parser_has(parser, KEY_TYPE) && rule->type == AF_UNIX && parser_has(parser, KEY_PORT))
        return refuse(parser, KEY_PORT, "a unix socket has no port");
    if (parser_has(parser, KEY_TYPE) && parser_has(parser, KEY_LOCAL) && rule->type != rule->local.family)
        return refuse(parser, KEY_LOCAL, "the address is of another type than type=");
    if (parser_has(parser, KEY_PORT) && rule->local.port != 0 && rule->local.port != rule->port)
        return refuse(parser, KEY_PORT, "local= names another port");
    return 0;
}

/* What a rule asks of a call: the traits that KEY needs; per=fd asks too. */
static unsigned key_traits(const struct parser *parser, enum key key)
{
    return key == KEY_PER && parser->out->rule.scope == PER_FD ? FD : key_info(key)->traits;
}

static void leave_out(struct parser *parser, enum call call)
{
    calls_drop(parser->out->rule.calls, call);
    calls_add(parser->out->left_out, call);
}

static int traits_refuse(struct parser *parser, enum key key, const char *call, unsigned traits)
{
    diag_fail(parser->diag, parser->keys[key], "%s can't have '%s%s'; these calls can:", call, key_info(key)->name,
              key == KEY_PER ? "=fd" : "");
    for (enum call i = 0; i < CALL_COUNT; i++)
        if (call_info(i)->traits & traits)
            diag_add_word(parser->diag, call_info(i)->name);
    return -1;
}

static int check_traits(struct parser *parser, enum key key)
{
    unsigned traits = key_traits(parser, key);
    if (!parser_has(parser, key) || traits == 0)
        return 0;
    for (enum call call = 0; call < CALL_COUNT; call++) {
        if (!rule_names(&parser->out->rule, call) || (call_info(call)->traits & traits))
            continue;
        if (calls_have(parser->named, call))
            return traits_refuse(parser, key, call_info(call)->name, traits);
        leave_out(parser, call);
    }
    return calls_count(parser->out->rule.calls) ? 0 : traits_refuse(parser, key, "what is left of these calls", traits);
}

/* Says that CALL can't fail so, and how it can. */
static int errno_refuse(struct parser *parser, enum call call, const char *error)
{
    diag_fail(parser->diag, parser->values[KEY_ERROR],
              "%s can't fail with %s on Linux (`force` does it all the same); it can with", call_info(call)->name,
              error);
    for (size_t i = 0; i < call_errno_count(call); i++)
        diag_add_word(parser->diag, call_info(call)->errnos[i].name);
    return -1;
}

/* Says that none of the calls that a pattern stands for can fail so, and which calls can. */
static int errno_refuse_all(struct parser *parser, const char *error)
{
    int number = parser->out->rule.error;
    bool any = false;
    diag_fail(parser->diag, parser->values[KEY_ERROR], "none of these calls can fail with %s on Linux", error);
    for (enum call call = 0; call < CALL_COUNT; call++) {
        if (call_errno(call, number) == NULL)
            continue;
        if (!any)
            diag_add(parser->diag, "; these can:");
        any = true;
        diag_add_word(parser->diag, call_info(call)->name);
    }
    return -1;
}

static int check_errno(struct parser *parser)
{
    int error = parser->out->rule.error;
    char digits[ERRNO_TEXT_MAX];
    const char *name = errno_name(error);
    if (!parser_has(parser, KEY_ERROR) || parser_has(parser, KEY_FORCE))
        return 0;
    snprintf(digits, sizeof digits, "%d", error);
    for (enum call call = 0; call < CALL_COUNT; call++) {
        if (!rule_names(&parser->out->rule, call) || call_errno(call, error))
            continue;
        if (calls_have(parser->named, call))
            return errno_refuse(parser, call, name ? name : digits);
        leave_out(parser, call);
    }
    return calls_count(parser->out->rule.calls) ? 0 : errno_refuse_all(parser, name ? name : digits);
}

/* fault= without error= means ENOSYS on whatever call, as in strace: it is not asked whether the call can do that. */
static void imply_error(struct parser *parser)
{
    if (!parser->fault || parser_has(parser, KEY_ERROR))
        return;
    parser->out->rule.actions |= ACT_FAIL;
    parser->out->rule.error = ENOSYS;
    parser->keys[KEY_ERROR] = parser->calls;
    if (!parser_has(parser, KEY_FORCE))
        parser->keys[KEY_FORCE] = parser->calls;
}

int parse_check(struct parser *parser)
{
    imply_error(parser);
    if (check_conflicts(parser) < 0 || check_error_keys(parser) < 0 || check_action(parser) < 0)
        return -1;
    if (check_address(parser) < 0)
        return -1;
    for (enum key key = 0; key < KEY_COUNT; key++)
        if (check_traits(parser, key) < 0)
            return -1;
    return check_errno(parser);
}
