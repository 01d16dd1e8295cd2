/* parse_value.c - what the values of keys have in common: numbers, words, times, quoting; and the keys by number. */
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "plan/duration.h"
#include "plan/names.h"
#include "plan/parser.h"

const struct key_info *key_info(enum key key)
{
    const struct key_info *rows = key < KEY_WHEN ? parse_action_keys : parse_trigger_keys;
    return &rows[key];
}

struct digits parse_digits(struct slice text)
{
    bool hex = text.length > 2 && text.at[0] == '0' && (text.at[1] == 'x' || text.at[1] == 'X');
    uint64_t base = hex ? 16 : 10;
    size_t start = hex ? 2 : 0, i = start;
    struct digits digits = {0};
    for (; i < text.length && (hex ? isxdigit : isdigit)((unsigned char)text.at[i]); i++) {
        int c = tolower((unsigned char)text.at[i]);
        uint64_t digit = (uint64_t)(c >= 'a' ? c - 'a' + 10 : c - '0');
        digits.too_large |= digits.value > (UINT64_MAX - digit) / base;
        digits.value = digits.too_large ? UINT64_MAX : digits.value * base + digit;
    }
    digits.length = i == start ? 0 : i;
    return digits;
}

int parse_number(struct diag *diag, struct slice value, const char *what, uint64_t min, uint64_t max, uint64_t *out)
{
    struct digits digits = parse_digits(value);
    char quoted[DIAG_QUOTE_MAX];
    if (digits.length == 0 || digits.length != value.length)
        return diag_fail(diag, value, "'%s' is not a number; %s is from %" PRIu64 " to %" PRIu64,
                         diag_quote(value, quoted), what, min, max);
    if (digits.too_large || digits.value < min || digits.value > max)
        return diag_fail(diag, value, "out of range; %s is from %" PRIu64 " to %" PRIu64, what, min, max);
    *out = digits.value;
    return 0;
}

char *parse_text(struct slice value, bool glob)
{
    char *text = malloc(value.length + 1), *end = text;
    if (text == NULL)
        return NULL;
    for (size_t i = 0; i < value.length; i++) {
        if (value.at[i] == '\\' && i + 1 < value.length) {
            i++;
            if (glob && value.at[i] != ':' && value.at[i] != '"')
                *end++ = '\\';
        }
        *end++ = value.at[i];
    }
    *end = '\0';
    return text;
}

int parse_duration(struct parser *parser, struct slice value, enum duration_bare bare, uint64_t *out)
{
    struct duration_fault fault;
    if (duration_parse(value.at, value.length, bare, out, &fault) == 0)
        return 0;
    return diag_fail(parser->diag, (struct slice){value.at + fault.at, fault.length}, "%s", fault.message);
}

int parse_word(struct parser *parser, struct slice value, const char *what, const char *const words[], int count)
{
    struct nearest nearest = nearest_to(value.at, value.length);
    char quoted[DIAG_QUOTE_MAX];
    for (int i = 0; i < count; i++) {
        nearest_offer(&nearest, words[i]);
        if (strlen(words[i]) == value.length && memcmp(words[i], value.at, value.length) == 0)
            return i;
    }
    diag_fail(parser->diag, value, "unknown %s '%s'", what, diag_quote(value, quoted));
    diag_add_nearest(parser->diag, nearest.best, "expected");
    for (int i = 0; i < count && nearest.best == NULL; i++)
        diag_add(parser->diag, "%s %s", i == 0 ? "" : i + 1 == count ? " or" : ",", words[i]);
    return -1;
}
