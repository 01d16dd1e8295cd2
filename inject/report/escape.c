#include "report/escape.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd"

/* The length of the UTF-8 character at TEXT, of which LEFT bytes are there; 0: it is none that XML may hold. */
static size_t character_length(const unsigned char *text, size_t left)
{
    size_t length = text[0] < 0x80 ? 1 : text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : text[0] >= 0xc2 ? 2 : 0;
    static const unsigned char first_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (length == 0 || length > left)
        return 0;
    uint32_t code = text[0] & first_bits[length];
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (text[i] & 0x3f);
    }
    bool control = code < 0x20 && code != '\n' && code != '\t';
    bool surrogate = code >= 0xd800 && code <= 0xdfff;
    bool none = control || surrogate || (code >= 0x7f && code <= 0x9f) || code == 0xfffe || code == 0xffff;
    return none || code > 0x10ffff || code < least[length] ? 0 : length;
}

static const char *markup(unsigned char character)
{
    switch (character) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

void escape_xml_bytes(const char *text, size_t length, FILE *out)
{
    for (size_t i = 0; i < length;) {
        const unsigned char *at = (const unsigned char *)text + i;
        size_t one = character_length(at, length - i);
        const char *written = one == 1 ? markup(*at) : NULL;
        if (one == 0)
            fputs(REPLACEMENT, out);
        else if (written != NULL)
            fputs(written, out);
        else
            fwrite(at, 1, one, out);
        i += one > 0 ? one : 1;
    }
}

void escape_xml(const char *text, FILE *out)
{
    escape_xml_bytes(text, strlen(text), out);
}

void escape_markdown(const char *text, FILE *out)
{
    for (; *text != '\0'; text++) {
        if (strchr("\\`*_{}[]<>|#", *text) != NULL)
            fputc('\\', out);
        fputc((unsigned char)*text < 0x20 ? ' ' : *text, out);
    }
}
