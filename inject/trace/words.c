#include "trace/words.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

void words_clear(struct words *words)
{
    words->length = words->count = 0;
    words->bytes[0] = '\0';
}

void words_next(struct words *words)
{
    if (words->count == WORDS_MAX)
        return;
    if (words->count > 0 && words->length < WORDS_SIZE - 1)
        words->length++;
    words->starts[words->count++] = words->length;
    words->bytes[words->length] = '\0';
}

void words_add(struct words *words, const char *format, ...)
{
    size_t room = WORDS_SIZE - words->length;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(words->bytes + words->length, room, format, arguments);
    va_end(arguments);
    if (length > 0)
        words->length += (size_t)length < room ? (size_t)length : room - 1;
}

const char *words_get(const struct words *words, size_t i)
{
    return words->bytes + words->starts[i];
}

void words_constant(struct words *words, int64_t value, const struct constant *table, const char *unknown)
{
    for (; table->name != NULL; table++)
        if (table->value == value) {
            words_add(words, "%s", table->name);
            return;
        }
    words_add(words, "%#x /* %s */", (unsigned)value, unknown);
}

void words_flags(struct words *words, uint64_t value, const struct constant *table, const char *unknown)
{
    const char *between = "";
    if (value == 0)
        words_add(words, "0");
    for (; table->name != NULL; table++)
        if (table->value != 0 && (value & (uint64_t)table->value) == (uint64_t)table->value) {
            words_add(words, "%s%s", between, table->name);
            value &= ~(uint64_t)table->value;
            between = "|";
        }
    if (value != 0 && between[0] != '\0')
        words_add(words, "|%#" PRIx64, value);
    else if (value != 0)
        words_add(words, "%#" PRIx64 " /* %s */", value, unknown);
}

/* Octal takes three digits where another digit follows. */
static void add_octal(struct words *words, unsigned char byte, unsigned char next)
{
    words_add(words, next >= '0' && next <= '7' ? "\\%03o" : "\\%o", byte);
}

void words_quoted(struct words *words, const void *bytes, size_t length)
{
    static const char escapes[] = {['\t'] = 't', ['\n'] = 'n', ['\v'] = 'v', ['\f'] = 'f', ['\r'] = 'r'};
    const unsigned char *text = bytes;
    words_add(words, "\"");
    for (size_t i = 0; i < length; i++) {
        if (text[i] < sizeof escapes && escapes[text[i]] != '\0')
            words_add(words, "\\%c", escapes[text[i]]);
        else if (text[i] == '"' || text[i] == '\\')
            words_add(words, "\\%c", text[i]);
        else if (text[i] >= ' ' && text[i] < 0x7f)
            words_add(words, "%c", text[i]);
        else
            add_octal(words, text[i], i + 1 < length ? text[i + 1] : 0);
    }
    words_add(words, "\"");
}

void words_pointer(struct words *words, int64_t pointer)
{
    if (pointer == 0)
        words_add(words, "NULL");
    else
        words_add(words, "%#" PRIx64, (uint64_t)pointer);
}
