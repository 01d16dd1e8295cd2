/* parse_trigger.c - what each trigger of a rule takes: when it acts, and on whose calls. */
#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "plan/parser.h"

enum {
    COMM_MAX = 15,    /* bytes of a process's or thread's name: TASK_COMM_LEN without the terminator */
    LABEL_MAX = 64,   /* bytes of name= */
    ADDRESS_MAX = 64, /* bytes of local=, more than the longest address with a port */
    PROB_DIGITS = 32, /* characters of prob= */
};

/* Reads one number of when= from the start of REST, and moves REST behind it. */
static int parse_ordinal(struct parser *parser, struct slice *rest, const char *zero, uint32_t *out)
{
    struct digits digits = parse_digits(*rest);
    struct slice number = {rest->at, digits.length};
    if (number.length == 0)
        return diag_fail(parser->diag, *rest, "expected FIRST, FIRST..LAST, FIRST+, FIRST+STEP or FIRST..LAST+STEP");
    if (digits.value == 0)
        return diag_fail(parser->diag, number, "%s", zero);
    if (digits.value > UINT32_MAX)
        return diag_fail(parser->diag, number, "too large; when= goes up to %" PRIu32, UINT32_MAX);
    *out = (uint32_t)digits.value;
    *rest = (struct slice){rest->at + number.length, rest->length - number.length};
    return 0;
}

/* The range of when=: FIRST or FIRST..LAST. */
static int parse_range(struct parser *parser, struct slice *rest, bool *open)
{
    static const char zero[] = "calls are counted from 1";
    struct rule *rule = &parser->out->rule;
    if (parse_ordinal(parser, rest, zero, &rule->first) < 0)
        return -1;
    *open = rest->length < 2 || rest->at[0] != '.' || rest->at[1] != '.';
    if (*open)
        return 0;
    *rest = (struct slice){rest->at + 2, rest->length - 2};
    struct slice last = *rest;
    if (parse_ordinal(parser, rest, zero, &rule->last) < 0)
        return -1;
    last.length -= rest->length;
    if (rule->last < rule->first)
        return diag_fail(parser->diag, last, "the range ends before it begins, at %" PRIu32, rule->first);
    return 0;
}

static int parse_when(struct parser *parser, struct slice value)
{
    struct rule *rule = &parser->out->rule;
    struct slice rest = value;
    bool open;
    if (parse_range(parser, &rest, &open) < 0)
        return -1;
    if (rest.length == 0 && open) {
        rule->last = rule->first;
        rule->step = 0;
        return 0;
    }
    if (rest.length == 0)
        return 0;
    if (*rest.at != '+')
        return diag_fail(parser->diag, rest, "expected '+', '..' or the end of when= here");
    rest = (struct slice){rest.at + 1, rest.length - 1};
    if (rest.length > 0 && parse_ordinal(parser, &rest, "a step is 1 or more", &rule->step) < 0)
        return -1;
    return rest.length == 0 ? 0 : diag_fail(parser->diag, rest, "expected the end of when= here");
}

/* A share between 0 and 1 as the 64-bit number that a draw must stay below. */
static uint64_t threshold(double share)
{
    if (share >= 1)
        return UINT64_MAX;
    double scaled = share * 18446744073709551616.0; /* 2 to 64: exact */
    return share > 0 && scaled < 1 ? 1 : (uint64_t)scaled;
}

static int parse_prob(struct parser *parser, struct slice value)
{
    char text[PROB_DIGITS + 1] = {0}, *end = text;
    double share = -1;
    /* The characters are checked first: strtod also takes inf, nan and hexadecimal. */
    bool plain = value.length <= PROB_DIGITS;
    for (size_t i = 0; i < value.length && plain; i++)
        plain = value.at[i] != '\0' && strchr("0123456789.eE+-", value.at[i]) != NULL;
    if (plain) {
        memcpy(text, value.at, value.length);
        share = strtod(text, &end);
    }
    if (end == text || *end != '\0')
        return diag_fail(parser->diag, value, "not a probability; expected a number from 0 (never) to 1 (always)");
    if (!(share >= 0 && share <= 1))
        return diag_fail(parser->diag, value, "out of range; a probability is from 0 (never) to 1 (always)");
    parser->out->rule.probability = threshold(share);
    return 0;
}

static int parse_times(struct parser *parser, struct slice value)
{
    return parse_number(parser->diag, value, "the number of injections", 1, INT64_MAX, &parser->out->rule.times);
}

static int parse_per(struct parser *parser, struct slice value)
{
    static const char *const words[] = {"tree", "process", "thread", "fd", "site"};
    static const enum rule_scope scopes[] = {PER_TREE, PER_PROCESS, PER_THREAD, PER_FD, PER_SITE};
    int word = parse_word(parser, value, "scope", words, 5);
    if (word < 0)
        return -1;
    parser->out->rule.scope = scopes[word];
    parser->out->scope_given = true;
    return 0;
}

/* after=T counts from ready, after=start+T from the start of the session. */
static int parse_after(struct parser *parser, struct slice value)
{
    static const char word[] = "start";
    size_t length = sizeof word - 1;
    struct rule *rule = &parser->out->rule;
    rule->filters |= IF_WINDOW;
    if (value.length >= length && memcmp(value.at, word, length) == 0) {
        rule->after_start = 1;
        value = (struct slice){value.at + length, value.length - length};
        if (value.length < 2 || *value.at != '+')
            return diag_fail(parser->diag, value, "expected +TIME after start, as in after=start+2s");
        value = (struct slice){value.at + 1, value.length - 1};
    }
    return parse_duration(parser, value, DURATION_BARE_REFUSED, &rule->after_ns);
}

static int parse_for(struct parser *parser, struct slice value)
{
    struct rule *rule = &parser->out->rule;
    rule->filters |= IF_WINDOW;
    if (parse_duration(parser, value, DURATION_BARE_REFUSED, &rule->for_ns) < 0)
        return -1;
    return rule->for_ns > 0 ? 0 : diag_fail(parser->diag, value, "a window of no time: the rule would never act");
}

static int parse_pending(struct parser *parser, struct slice value)
{
    (void)value;
    parser->out->rule.filters |= IF_PENDING;
    return 0;
}

static int parse_fd(struct parser *parser, struct slice value)
{
    uint64_t number = 0;
    if (parse_number(parser->diag, value, "a descriptor", 0, INT32_MAX, &number) < 0)
        return -1;
    parser->out->rule.fd = (int32_t)number;
    parser->out->rule.filters |= IF_FD;
    return 0;
}

static int parse_port(struct parser *parser, struct slice value)
{
    uint64_t number = 0;
    if (parse_number(parser->diag, value, "a port", 1, UINT16_MAX, &number) < 0)
        return -1;
    parser->out->rule.port = (uint16_t)number;
    parser->out->rule.filters |= IF_PORT;
    return 0;
}

/* Splits ADDRESS[:PORT] or [ADDRESS]:PORT in TEXT, in place; returns the port's text, NULL if there is none. */
static char *split_port(char **text)
{
    char *colon = strchr(*text, ':'), *bracket = strchr(*text, ']');
    if (**text == '[' && bracket && (bracket[1] == ':' || bracket[1] == '\0')) {
        char *port = bracket[1] == ':' ? bracket + 2 : NULL;
        *bracket = '\0';
        (*text)++;
        return port;
    }
    if (colon == NULL || strchr(colon + 1, ':'))
        return NULL;
    *colon = '\0';
    return colon + 1;
}

static int parse_local(struct parser *parser, struct slice value)
{
    struct rule_address *local = &parser->out->rule.local;
    char buffer[ADDRESS_MAX] = "", *address = buffer, *text = parse_text(value, false);
    uint64_t port = 0;
    if (text == NULL)
        return -1;
    if (strlen(text) < sizeof buffer)
        snprintf(buffer, sizeof buffer, "%s", text); /* one that is longer leaves it empty, which is no address */
    free(text);
    bool bracket = *address == '[';
    const char *digits = split_port(&address);
    if (!bracket && inet_pton(AF_INET, address, local->bytes) == 1)
        local->family = AF_INET;
    else if ((bracket || digits == NULL) && inet_pton(AF_INET6, address, local->bytes) == 1)
        local->family = AF_INET6;
    else
        return diag_fail(parser->diag, value,
                         "not an address; expected 127.0.0.1, \"127.0.0.1:80\", \"::1\" or "
                         "\"[::1]:80\" (quoted, or with \\: for each colon)");
    if (digits) {
        struct slice number = {digits, strlen(digits)};
        if (parse_number(parser->diag, number, "a port", 1, UINT16_MAX, &port) < 0) {
            parser->diag->where = value; /* not the copy that was parsed */
            return -1;
        }
    }
    local->port = (uint16_t)port;
    parser->out->rule.filters |= IF_LOCAL;
    return 0;
}

static int parse_path(struct parser *parser, struct slice value)
{
    parser->out->rule.filters |= IF_PATH;
    parser->out->path = parse_text(value, true);
    return parser->out->path ? 0 : -1;
}

static int parse_type(struct parser *parser, struct slice value)
{
    static const char *const words[] = {"inet", "inet6", "unix"};
    static const uint16_t families[] = {AF_INET, AF_INET6, AF_UNIX};
    int word = parse_word(parser, value, "type of socket", words, 3);
    if (word < 0)
        return -1;
    parser->out->rule.type = families[word];
    parser->out->rule.filters |= IF_TYPE;
    return 0;
}

/* Returns the length of the shortest text that GLOB matches. */
static size_t glob_least(const char *glob)
{
    size_t least = 0;
    for (; *glob; glob++) {
        if (*glob == '*')
            continue;
        if (*glob == '[' && glob[1] && strchr(glob + 2, ']'))
            glob = strchr(glob + 2, ']');
        else if (*glob == '\\' && glob[1])
            glob++;
        least++;
    }
    return least;
}

/* A glob for the name of a process or thread.  The kernel cuts names, so a longer glob would never match. */
static int parse_comm_glob(struct parser *parser, struct slice value, char **out)
{
    *out = parse_text(value, true);
    if (*out == NULL)
        return -1;
    if (value.length == 0)
        return diag_fail(parser->diag, value, "the name is empty; a process and a thread always have one");
    if (glob_least(*out) > COMM_MAX)
        return diag_fail(parser->diag, value, "can never match: the kernel cuts such a name to %d bytes", COMM_MAX);
    return 0;
}

static int parse_comm(struct parser *parser, struct slice value)
{
    parser->out->rule.filters |= IF_COMM;
    return parse_comm_glob(parser, value, &parser->out->comm);
}

static int parse_thread(struct parser *parser, struct slice value)
{
    parser->out->rule.filters |= IF_THREAD;
    return parse_comm_glob(parser, value, &parser->out->thread);
}

static int parse_name(struct parser *parser, struct slice value)
{
    char *label = parse_text(value, false);
    if (label == NULL)
        return -1;
    parser->out->label = label;
    if (*label == '\0' || strlen(label) > LABEL_MAX)
        return diag_fail(parser->diag, value, "a name has 1 to %d bytes", LABEL_MAX);
    for (; *label; label++)
        if (iscntrl((unsigned char)*label))
            return diag_fail(parser->diag, value, "a name can't hold control characters");
    return 0;
}

#define A_GLOB "a glob, as in worker*"
#define A_FUNCTION "a function, as in ngx_event_accept, worker_*@nginx or 0x3b1f0@nginx"

const struct key_info parse_trigger_keys[KEY_COUNT] = {
    [KEY_WHEN] = {.name = "when", .takes = "FIRST[..LAST][+[STEP]]", .parse = parse_when},
    [KEY_PROB] = {.name = "prob", .takes = "a number from 0 to 1", .parse = parse_prob},
    [KEY_TIMES] = {.name = "times", .takes = "a number, 1 or more", .parse = parse_times},
    [KEY_PER] = {.name = "per", .takes = "tree, process, thread, fd or site", .parse = parse_per},
    [KEY_AFTER] = {.name = "after", .takes = "a time, as in 2s or start+2s", .parse = parse_after},
    [KEY_FOR] = {.name = "for", .takes = "a time, as in 500ms", .parse = parse_for},
    [KEY_PENDING] = {.name = "pending", .parse = parse_pending, .traits = SOCKET},
    [KEY_FD] = {.name = "fd", .takes = "a descriptor, 0 or more", .parse = parse_fd, .traits = FD},
    [KEY_PORT] = {.name = "port", .takes = "a port from 1 to 65535", .parse = parse_port, .traits = SOCKET},
    [KEY_LOCAL] = {.name = "local",
                   .takes = "an address, as in 127.0.0.1, \"127.0.0.1:80\" or \"[::1]:80\"",
                   .parse = parse_local,
                   .traits = SOCKET,
                   .text = true},
    [KEY_PATH] =
        {.name = "path", .takes = "a glob, as in /run/*.sock", .parse = parse_path, .traits = SOCKET, .text = true},
    [KEY_TYPE] = {.name = "type", .takes = "inet, inet6 or unix", .parse = parse_type, .traits = SOCKET | DOMAIN},
    [KEY_COMM] = {.name = "comm", .takes = A_GLOB, .parse = parse_comm, .text = true},
    [KEY_THREAD] = {.name = "thread", .takes = A_GLOB, .parse = parse_thread, .text = true},
    [KEY_NAME] = {.name = "name", .takes = "a label for reports", .parse = parse_name, .text = true},
    [KEY_CALLER] = {.name = "caller", .takes = A_FUNCTION, .parse = parse_caller, .text = true},
    [KEY_STACK] = {.name = "stack", .takes = A_FUNCTION, .parse = parse_stack, .text = true},
    [KEY_SITE] = {.name = "site", .takes = "a call site's 16 hexadecimal digits", .parse = parse_site},
};
