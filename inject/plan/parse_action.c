/* parse_action.c - what each action of a rule takes, and what goes with error=. */
#include <ctype.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "engine/call.h"
#include "plan/names.h"
#include "plan/parser.h"

static int error_unknown(struct parser *parser, struct slice value)
{
    struct nearest nearest = nearest_to(value.at, value.length);
    char quoted[DIAG_QUOTE_MAX];
    /* What the calls can return goes first: of two names that are equally near it is the likelier. */
    for (enum call call = 0; call < CALL_COUNT; call++)
        for (size_t i = 0; i < call_errno_count(call) && rule_names(&parser->out->rule, call); i++)
            nearest_offer(&nearest, call_info(call)->errnos[i].name);
    for (int number = 1; number <= ERRNO_MAX; number++)
        nearest_offer(&nearest, errno_name(number));
    diag_fail(parser->diag, value, "unknown errno '%s'", diag_quote(value, quoted));
    diag_add_nearest(parser->diag, nearest.best, "expected a name such as EMFILE, or a number from 1 to 4095");
    return -1;
}

static int parse_error(struct parser *parser, struct slice value)
{
    uint64_t number = (uint64_t)errno_by_name(value.at, value.length);
    if (number == 0 && !isdigit((unsigned char)*value.at))
        return error_unknown(parser, value);
    if (number == 0 && parse_number(parser->diag, value, "an errno", 1, ERRNO_MAX, &number) < 0)
        return -1;
    parser->out->rule.error = (int32_t)number;
    parser->out->rule.actions |= ACT_FAIL;
    return 0;
}

static int parse_retval(struct parser *parser, struct slice value)
{
    uint64_t number = 0;
    if (parse_number(parser->diag, value, "a value to return", 0, INT32_MAX, &number) < 0)
        return -1;
    parser->out->rule.retval = (int32_t)number;
    parser->out->rule.actions |= ACT_RETURN;
    return 0;
}

static int parse_socklen(struct parser *parser, struct slice value)
{
    uint64_t number = 0;
    if (parse_number(parser->diag, value, "a length", 0, UINT32_MAX, &number) < 0)
        return -1;
    parser->out->rule.socklen = (uint32_t)number;
    parser->out->rule.actions |= ACT_SOCKLEN;
    return 0;
}

static int parse_family(struct parser *parser, struct slice value)
{
    int family = family_by_name(value.at, value.length);
    uint64_t number = (uint64_t)family;
    char quoted[DIAG_QUOTE_MAX];
    if (family < 0 && !isdigit((unsigned char)*value.at)) {
        struct nearest nearest = nearest_to(value.at, value.length);
        for (size_t i = 0; family_by_index(i); i++)
            nearest_offer(&nearest, family_by_index(i));
        diag_fail(parser->diag, value, "unknown address family '%s'", diag_quote(value, quoted));
        diag_add_nearest(parser->diag, nearest.best,
                         "expected inet, inet6, unix, netlink, packet, vsock, unspec or a number");
        return -1;
    }
    if (family < 0 && parse_number(parser->diag, value, "an address family", 0, UINT16_MAX, &number) < 0)
        return -1;
    parser->out->rule.family = (uint16_t)number;
    parser->out->rule.actions |= ACT_FAMILY;
    return 0;
}

static int parse_fdmin(struct parser *parser, struct slice value)
{
    uint64_t number = 0;
    if (parse_number(parser->diag, value, "the lowest descriptor", 1, INT32_MAX, &number) < 0)
        return -1;
    parser->out->rule.fdmin = (int32_t)number;
    parser->out->rule.actions |= ACT_FDMIN;
    return 0;
}

static int parse_backlog(struct parser *parser, struct slice value)
{
    bool negative = value.length > 1 && *value.at == '-';
    struct slice text = {value.at + negative, value.length - negative};
    struct digits digits = parse_digits(text);
    if (digits.length == 0 || digits.length != text.length || digits.value > INT32_MAX + (uint64_t)negative)
        return diag_fail(parser->diag, value, "not a backlog; expected a number from %d to %d", INT_MIN, INT_MAX);
    parser->out->rule.backlog = (int32_t)(negative ? -(int64_t)digits.value : (int64_t)digits.value);
    parser->out->rule.actions |= ACT_BACKLOG;
    return 0;
}

static int parse_delay_enter(struct parser *parser, struct slice value)
{
    parser->out->rule.actions |= ACT_DELAY_ENTER;
    return parse_duration(parser, value, DURATION_BARE_MICROSECONDS, &parser->out->rule.delay_enter_ns);
}

static int parse_delay_exit(struct parser *parser, struct slice value)
{
    parser->out->rule.actions |= ACT_DELAY_EXIT;
    return parse_duration(parser, value, DURATION_BARE_MICROSECONDS, &parser->out->rule.delay_exit_ns);
}

static int parse_signal(struct parser *parser, struct slice value)
{
    uint64_t number = (uint64_t)signal_by_name(value.at, value.length);
    char quoted[DIAG_QUOTE_MAX];
    if (number == 0 && !isdigit((unsigned char)*value.at)) {
        struct nearest nearest = nearest_to(value.at, value.length);
        for (size_t i = 0; signal_by_index(i); i++)
            nearest_offer(&nearest, signal_by_index(i));
        for (size_t i = 0; signal_by_index(i); i++)
            nearest_offer(&nearest, signal_by_index(i) + strlen("SIG"));
        diag_fail(parser->diag, value, "unknown signal '%s'", diag_quote(value, quoted));
        diag_add_nearest(parser->diag, nearest.best,
                         "expected a name such as SIGUSR1, SIGRTMIN+1, or a number from 1 to 64");
        return -1;
    }
    if (number == 0 && parse_number(parser->diag, value, "a signal", 1, SIGNAL_MAX, &number) < 0)
        return -1;
    parser->out->rule.signal = (int32_t)number;
    parser->out->rule.actions |= ACT_SIGNAL;
    return 0;
}

static int parse_queue(struct parser *parser, struct slice value)
{
    static const char *const words[] = {"keep", "drop"};
    int word = parse_word(parser, value, "effect on the queue", words, 2);
    if (word >= 0)
        parser->out->rule.queue = word == 0 ? QUEUE_KEEP : QUEUE_DROP;
    return word < 0 ? -1 : 0;
}

static int parse_sticky(struct parser *parser, struct slice value)
{
    (void)value;
    parser->out->rule.sticky = 1;
    return 0;
}

/* force: that it is there is all that parse_check() asks. */
static int parse_force(struct parser *parser, struct slice value)
{
    (void)parser;
    (void)value;
    return 0;
}

const struct key_info parse_action_keys[KEY_WHEN] = {
    [KEY_ERROR] = {.name = "error", .takes = "an errno, as in EMFILE or 24", .parse = parse_error, .acts = true},
    [KEY_RETVAL] = {.name = "retval", .takes = "the value to return, 0 or more", .parse = parse_retval, .acts = true},
    [KEY_SOCKLEN] = {.name = "socklen",
                     .takes = "the address length to report",
                     .parse = parse_socklen,
                     .traits = ADDRESS,
                     .acts = true},
    [KEY_FAMILY] = {.name = "family",
                    .takes = "an address family, as in inet6",
                    .parse = parse_family,
                    .traits = ADDRESS,
                    .acts = true},
    [KEY_FDMIN] = {.name = "fdmin",
                   .takes = "the lowest descriptor, as in 1024",
                   .parse = parse_fdmin,
                   .traits = NEWFD,
                   .acts = true},
    [KEY_BACKLOG] = {.name = "backlog", .takes = "a number", .parse = parse_backlog, .traits = BACKLOG, .acts = true},
    [KEY_DELAY_ENTER] = {.name = "delay_enter",
                         .takes = "a time, as in 10ms",
                         .parse = parse_delay_enter,
                         .acts = true},
    [KEY_DELAY_EXIT] = {.name = "delay_exit", .takes = "a time, as in 10ms", .parse = parse_delay_exit, .acts = true},
    [KEY_SIGNAL] = {.name = "signal", .takes = "a signal, as in SIGUSR1 or 10", .parse = parse_signal, .acts = true},
    /* The calls that make a descriptor of a connection are those that have a queue. */
    [KEY_QUEUE] = {.name = "queue", .takes = "keep or drop", .parse = parse_queue, .traits = NEWFD},
    [KEY_STICKY] = {.name = "sticky", .parse = parse_sticky},
    [KEY_FORCE] = {.name = "force", .parse = parse_force},
};
