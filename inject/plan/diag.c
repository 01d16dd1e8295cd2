#include "plan/diag.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

enum {
    LIST_WIDTH = 90,     /* columns of a list in a message */
    SHOWN_BEFORE = 80,   /* bytes of a long text that are shown before the place */
    SHOWN_AFTER = 80,    /* and from there on */
    CHARACTER_BYTES = 4, /* of UTF-8, at most */
};

/* One character as it is shown. */
struct glyph {
    size_t bytes; /* that it takes in the text */
    int columns;  /* that it takes on the terminal; a tab counts as one and is repeated under itself */
    char shown[8];
};

/* Returns how many bytes the UTF-8 character at TEXT has, 0 if it is broken, overlong or out of range. */
static size_t utf8_length(const unsigned char *text, size_t length)
{
    size_t bytes = text[0] < 0x80 ? 1 : text[0] < 0xc2 ? 0 : text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;
    if (bytes == 0 || bytes > length || text[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < bytes; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xf0 && text[1] < 0x90);
    bool outside = (text[0] == 0xed && text[1] > 0x9f) || (text[0] == 0xf4 && text[1] > 0x8f);
    return overlong || outside ? 0 : bytes;
}

static bool is_control(const unsigned char *text, size_t bytes)
{
    return (bytes == 1 && (text[0] < 0x20 || text[0] == 0x7f)) || (bytes == 2 && text[0] == 0xc2 && text[1] < 0xa0);
}

static struct glyph glyph_at(const char *text, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)text;
    struct glyph glyph = {.bytes = utf8_length(bytes, length), .columns = 1, .shown = {0}};
    if (*text == '\n') {
        glyph.columns = snprintf(glyph.shown, sizeof glyph.shown, "\\n");
    } else if (*text != '\t' && (glyph.bytes == 0 || is_control(bytes, glyph.bytes))) {
        glyph.columns = snprintf(glyph.shown, sizeof glyph.shown, "\\x%02x", bytes[0]);
        glyph.bytes = 1;
    } else {
        memcpy(glyph.shown, text, glyph.bytes);
    }
    return glyph;
}

int diag_fail(struct diag *diag, struct slice where, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(diag->message, sizeof diag->message, format, arguments);
    va_end(arguments);
    diag->where = where;
    errno = EINVAL;
    return -1;
}

void diag_add(struct diag *diag, const char *format, ...)
{
    size_t end = strlen(diag->message);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(diag->message + end, sizeof diag->message - end, format, arguments);
    va_end(arguments);
}

void diag_add_word(struct diag *diag, const char *word)
{
    const char *line = strrchr(diag->message, '\n');
    bool first = line == NULL || strlen(line) + strlen(word) > LIST_WIDTH;
    diag_add(diag, "%s%s", first ? "\n  " : " ", word);
}

void diag_add_nearest(struct diag *diag, const char *name, const char *alternative)
{
    if (name)
        diag_add(diag, "; did you mean %s?", name);
    else
        diag_add(diag, "; %s", alternative);
}

const char *diag_quote(struct slice text, char out[DIAG_QUOTE_MAX])
{
    size_t end = 0;
    for (size_t i = 0; i < text.length;) {
        struct glyph glyph = glyph_at(text.at + i, text.length - i);
        if (glyph.shown[0] == '\t')
            snprintf(glyph.shown, sizeof glyph.shown, "\\t");
        size_t shown = strlen(glyph.shown);
        if (end + shown + sizeof "..." > DIAG_QUOTE_MAX) {
            memcpy(out + end, "...", 3);
            end += 3;
            break;
        }
        memcpy(out + end, glyph.shown, shown);
        end += shown;
        i += glyph.bytes;
    }
    out[end] = '\0';
    return out;
}

void diag_print_text(struct slice text, FILE *out)
{
    for (size_t i = 0; i < text.length;) {
        struct glyph glyph = glyph_at(text.at + i, text.length - i);
        fputs(glyph.shown, out);
        i += glyph.bytes;
    }
}

/* Prints FILL for every column of TEXT, and a tab for a tab, so that what follows is aligned. */
static void print_columns(struct slice text, char fill, FILE *out)
{
    for (size_t i = 0; i < text.length;) {
        struct glyph glyph = glyph_at(text.at + i, text.length - i);
        for (int column = 0; column < glyph.columns; column++)
            fputc(glyph.shown[0] == '\t' ? '\t' : fill, out);
        i += glyph.bytes;
    }
}

/* Moves AT back to where its character starts: a character is shown whole, or not at all. */
static size_t character_start(struct slice text, size_t at)
{
    size_t back = 0;
    while (back < at && back + 1 < CHARACTER_BYTES && ((unsigned char)text.at[at - back] & 0xc0) == 0x80)
        back++;
    return at - back;
}

/* Prints the text (of a long one, the part around the place) behind PREFIX, and the caret below it behind MARGIN. */
static void print_caret(const struct diag *diag, const char *prefix, const char *margin, FILE *out)
{
    const struct slice text = diag->text;
    size_t at = (size_t)(diag->where.at - text.at), from = 0, to = text.length;
    if (at > SHOWN_BEFORE + 8)
        from = character_start(text, at - SHOWN_BEFORE);
    if (to - at > SHOWN_AFTER + 8)
        to = character_start(text, at + SHOWN_AFTER);
    struct slice before = {text.at + from, at - from}, marked = diag->where;
    if (marked.length > to - at)
        marked.length = to - at;

    fprintf(out, "%s%s", prefix, from > 0 ? "..." : "");
    diag_print_text((struct slice){text.at + from, to - from}, out);
    fprintf(out, "%s\n%s%s", to < text.length ? "..." : "", margin, from > 0 ? "   " : "");
    print_columns(before, ' ', out);
    fputc('^', out);
    if (marked.length > 0) {
        struct glyph glyph = glyph_at(marked.at, marked.length);
        for (int column = 1; column < glyph.columns; column++)
            fputc('~', out);
        print_columns((struct slice){marked.at + glyph.bytes, marked.length - glyph.bytes}, '~', out);
    }
    fputc('\n', out);
}

/* Prints the message; FIRST goes before its first line, REST before each other one. */
static void print_message(const struct diag *diag, const char *first, const char *rest, FILE *out)
{
    const char *prefix = first;
    for (const char *line = diag->message; line; prefix = rest) {
        size_t length = strcspn(line, "\n");
        fprintf(out, "%s%.*s\n", prefix, (int)length, line);
        line = line[length] ? line + length + 1 : NULL;
    }
}

void diag_print(const struct diag *diag, FILE *out)
{
    print_caret(diag, "snag: ", "      ", out);
    print_message(diag, "snag: ", "snag: ", out);
}

void diag_print_line(const struct diag *diag, const char *path, size_t line, FILE *out)
{
    size_t column = 1, at = (size_t)(diag->where.at - diag->text.at);
    for (size_t i = 0; i < at; column++)
        i += glyph_at(diag->text.at + i, diag->text.length - i).bytes;
    diag_print_text((struct slice){path, strlen(path)}, out);
    fprintf(out, ":%zu:%zu: ", line, column);
    print_message(diag, "", "    ", out);
    print_caret(diag, "    ", "    ", out);
}
