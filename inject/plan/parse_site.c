/* parse_site.c - what caller=, stack= and site= take: functions and offsets by glob, call sites by id. */
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "plan/parser.h"

enum { SITE_DIGITS = 16 };

#define FORMS "NAME, NAME@MODULE or 0xOFFSET@MODULE"
#define OFFSET_MAX UINT64_C(0xffffffffffff) /* struct stack has 48 bits for one */

/* The part behind the last '@', which is the module. */
static int check_module(struct parser *parser, struct slice module)
{
    if (module.length == 0)
        return diag_fail(parser->diag, module, "the module is missing behind the '@'; expected %s", FORMS);
    if (memchr(module.at, '/', module.length))
        return diag_fail(parser->diag, module, "a module is named without its folder, as in nginx or libevent*");
    return 0;
}

/* 0xOFFSET, as `snag trace -k` shows a place without a name. */
static int check_offset(struct parser *parser, struct slice offset, bool has_module)
{
    struct digits digits = parse_digits(offset);
    char quoted[DIAG_QUOTE_MAX];
    if (digits.length != offset.length)
        return diag_fail(parser->diag, offset, "'%s' is not an offset; expected %s", diag_quote(offset, quoted), FORMS);
    if (digits.too_large || digits.value == 0 || digits.value > OFFSET_MAX)
        return diag_fail(parser->diag, offset, "out of range; an offset is from 0x1 to 0x%" PRIx64, OFFSET_MAX);
    if (!has_module)
        return diag_fail(parser->diag, offset, "an offset needs its module, as in 0x3b1f0@nginx");
    return 0;
}

static int parse_function(struct parser *parser, struct slice value, char **out)
{
    const char *at = memrchr(value.at, '@', value.length);
    struct slice name = {value.at, at ? (size_t)(at - value.at) : value.length};
    if (name.length == 0)
        return diag_fail(parser->diag, value, "the function is missing; expected %s", FORMS);
    if (at && check_module(parser, (struct slice){at + 1, value.length - name.length - 1}) < 0)
        return -1;
    if (name.length >= 2 && memcmp(name.at, "0x", 2) == 0 && check_offset(parser, name, at != NULL) < 0)
        return -1;
    *out = parse_text(value, true);
    return *out ? 0 : -1;
}

int parse_caller(struct parser *parser, struct slice value)
{
    parser->out->rule.filters |= IF_CALLER;
    return parse_function(parser, value, &parser->out->caller);
}

int parse_stack(struct parser *parser, struct slice value)
{
    parser->out->rule.filters |= IF_STACK;
    return parse_function(parser, value, &parser->out->stack);
}

int parse_site(struct parser *parser, struct slice value)
{
    uint64_t id = 0;
    bool hexadecimal = value.length == SITE_DIGITS;
    for (size_t i = 0; i < value.length && hexadecimal; i++) {
        int c = tolower((unsigned char)value.at[i]);
        hexadecimal = isxdigit(c) != 0;
        id = id << 4 | (uint64_t)(isdigit(c) ? c - '0' : c - 'a' + 10);
    }
    if (!hexadecimal)
        return diag_fail(parser->diag, value,
                         "not a call site; expected its %d hexadecimal digits, as `snag trace -k` shows them",
                         SITE_DIGITS);
    if (id == 0)
        return diag_fail(parser->diag, value, "no call site has the number 0");
    parser->out->rule.site = id;
    parser->out->rule.filters |= IF_SITE;
    return 0;
}
