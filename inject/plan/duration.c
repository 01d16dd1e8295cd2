#include "plan/duration.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
    EXPONENT_MAX = 400, /* what is further from 0 is too long, or nothing, whatever the digits */
};

static const struct unit {
    const char *name;
    int exponent; /* nanoseconds are 10 to this power of it */
} units[] = {{"s", 9}, {"ms", 6}, {"us", 3}, {"ns", 0}};

static int fault_set(struct duration_fault *fault, int error, size_t at, size_t length, const char *message)
{
    if (fault)
        *fault = (struct duration_fault){.at = at, .length = length, .message = message};
    errno = error;
    return -1;
}

/* A decimal number: MANTISSA times 10 to EXPONENT.  Digits beyond what a nanosecond can need only move the exponent. */
struct decimal {
    uint64_t mantissa;
    int exponent;
};

static void decimal_push(struct decimal *number, char digit, bool fraction)
{
    if (number->mantissa < UINT64_MAX / 10 - 1) {
        number->mantissa = number->mantissa * 10 + (uint64_t)(digit - '0');
        number->exponent -= fraction;
    } else if (!fraction && number->exponent < EXPONENT_MAX) {
        number->exponent++;
    }
}

/* Reads digits, a point and digits; returns how many bytes that are, 0 if there is no digit. */
static size_t decimal_digits(const char *text, size_t length, struct decimal *number)
{
    size_t at = 0, digits = 0;
    bool fraction = false;
    for (; at < length; at++) {
        if (text[at] == '.' && !fraction) {
            fraction = true;
        } else if (isdigit((unsigned char)text[at])) {
            decimal_push(number, text[at], fraction);
            digits++;
        } else {
            break;
        }
    }
    return digits ? at : 0;
}

/* Reads e+NN if it is there whole; returns its length. */
static size_t decimal_exponent(const char *text, size_t length, struct decimal *number)
{
    size_t at = 1;
    bool negative = false;
    int exponent = 0;
    if (length < 2 || (text[0] != 'e' && text[0] != 'E'))
        return 0;
    if (text[at] == '+' || text[at] == '-')
        negative = text[at++] == '-';
    if (at == length || !isdigit((unsigned char)text[at]))
        return 0;
    for (; at < length && isdigit((unsigned char)text[at]); at++)
        if (exponent < EXPONENT_MAX)
            exponent = exponent * 10 + (text[at] - '0');
    number->exponent += negative ? -exponent : exponent;
    return at;
}

static int decimal_value(struct decimal number, uint64_t *value)
{
    for (; number.exponent < 0 && number.mantissa > 0; number.exponent++)
        number.mantissa /= 10;
    for (; number.exponent > 0 && number.mantissa > 0; number.exponent--) {
        if (number.mantissa > INT64_MAX / 10)
            return -1;
        number.mantissa *= 10;
    }
    *value = number.mantissa;
    return number.mantissa > INT64_MAX ? -1 : 0;
}

static const struct unit *unit_find(const char *text, size_t length)
{
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strlen(units[i].name) == length && memcmp(units[i].name, text, length) == 0)
            return &units[i];
    return NULL;
}

int duration_parse(const char *text, size_t length, enum duration_bare bare, uint64_t *nanoseconds,
                   struct duration_fault *fault)
{
    struct decimal number = {0, 0};
    size_t at = decimal_digits(text, length, &number);
    if (at == 0)
        return fault_set(fault, EINVAL, 0, length, "not a time; expected a number and a unit, as in 10ms or 1.5s");
    at += decimal_exponent(text + at, length - at, &number);
    if (at == length && bare == DURATION_BARE_REFUSED)
        return fault_set(fault, EINVAL, at, 0, "a time needs a unit here: s, ms, us or ns");
    const struct unit *unit = at == length ? unit_find("us", 2) : unit_find(text + at, length - at);
    if (unit == NULL)
        return fault_set(fault, EINVAL, at, length - at, "unknown unit of time; expected s, ms, us or ns");
    number.exponent += unit->exponent;
    if (decimal_value(number, nanoseconds) < 0)
        return fault_set(fault, ERANGE, 0, length, "the time is too long (292 years is the limit)");
    return 0;
}

const char *duration_text(uint64_t nanoseconds, char out[DURATION_TEXT_MAX])
{
    const struct unit *unit = units;
    uint64_t scale = UINT64_C(1000000000);
    while (scale > 1 && nanoseconds < scale) {
        scale /= 1000;
        unit++;
    }
    if (nanoseconds == 0)
        unit = units;
    int end = snprintf(out, DURATION_TEXT_MAX, "%" PRIu64, nanoseconds / scale);
    if (nanoseconds % scale) {
        end += snprintf(out + end, DURATION_TEXT_MAX - (size_t)end, ".%0*" PRIu64, unit->exponent, nanoseconds % scale);
        while (out[end - 1] == '0')
            end--;
    }
    snprintf(out + end, DURATION_TEXT_MAX - (size_t)end, "%s", unit->name);
    return out;
}
