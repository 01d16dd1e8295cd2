#include "sites/demangle.h"

#include <ctype.h>
#include <libiberty/demangle.h>
#include <string.h>

struct text {
    char *bytes;
    size_t length;
    bool cut;
};

static void text_add(struct text *text, const char *bytes, size_t length)
{
    size_t room = NAME_MAX_BYTES - 1 - text->length;
    if (length > room) {
        text->cut = true;
        length = room;
    }
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
    text->bytes[text->length] = '\0';
}

static void add_piece(const char *piece, size_t length, void *context)
{
    text_add(context, piece, length);
}

/* Whether the LENGTH bytes at WORD, between two dots, are what a compiler appends. */
static bool is_suffix(const char *word, size_t length)
{
    static const char *const suffixes[] = {"cold",       "part", "isra",   "constprop", "lto_priv",
                                           "localalias", "llvm", "__uniq", "clone"};
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++)
        if (strlen(suffixes[i]) == length && memcmp(suffixes[i], word, length) == 0)
            return true;
    return false;
}

static bool is_number(const char *word, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!isdigit((unsigned char)word[i]))
            return false;
    return length > 0;
}

/* The dot that starts the last word of the LENGTH bytes at SYMBOL; NULL: there is none, or nothing is before it. */
static const char *last_dot(const char *symbol, size_t length)
{
    const char *dot = memrchr(symbol, '.', length);
    return dot != symbol ? dot : NULL;
}

size_t name_base_length(const char *symbol)
{
    size_t length = strcspn(symbol, "@");
    for (;;) {
        const char *dot = last_dot(symbol, length);
        if (dot == NULL)
            return length;
        size_t end = length;
        if (is_number(dot + 1, (size_t)(symbol + length - dot) - 1)) {
            end = (size_t)(dot - symbol);
            dot = last_dot(symbol, end);
        }
        if (dot == NULL || !is_suffix(dot + 1, (size_t)(symbol + end - dot) - 1))
            return length;
        length = (size_t)(dot - symbol);
    }
}

bool name_is_mangled(const char *symbol)
{
    return symbol[0] == '_' && (symbol[1] == 'Z' || symbol[1] == 'R' || (symbol[1] == '_' && symbol[2] == 'Z'));
}

/* Takes BASE apart into OUT.  Returns false if it is not mangled, or too long. */
static bool take_apart(const char *base, int options, char out[NAME_MAX_BYTES])
{
    struct text text = {.bytes = out};
    out[0] = '\0';
    if (!name_is_mangled(base))
        return false;
    /* Rust first: its older names are C++ names too, with a hash for the last part. */
    bool done = rust_demangle_callback(base, options, add_piece, &text);
    if (!done) {
        text.length = 0;
        /* Its limit would refuse names of more than 1,024 bytes; ours are short enough for the stack. */
        done = cplus_demangle_v3_callback(base, options | DMGL_NO_RECURSE_LIMIT, add_piece, &text);
    }
    if (!done || text.cut)
        out[0] = '\0';
    return done && !text.cut;
}

static void copy_base(const char *symbol, char out[NAME_MAX_BYTES])
{
    struct text text = {.bytes = out};
    text_add(&text, symbol, name_base_length(symbol));
}

void name_forms(struct name_forms *out, const char *symbol)
{
    copy_base(symbol, out->base);
    out->full[0] = out->bare[0] = out->plain[0] = out->hashed[0] = '\0';
    if (!take_apart(out->base, DMGL_ANSI, out->bare))
        return;
    take_apart(out->base, DMGL_ANSI | DMGL_PARAMS | DMGL_RET_DROP, out->full);
    take_apart(out->base, DMGL_ANSI | DMGL_VERBOSE, out->hashed);
    name_plain(out->bare, out->plain);
}

const char *name_shown(const char *symbol, char out[NAME_MAX_BYTES])
{
    char base[NAME_MAX_BYTES];
    copy_base(symbol, base);
    if (!take_apart(base, DMGL_ANSI, out))
        memcpy(out, base, strlen(base) + 1);
    return out;
}

/* The length of an operator's name at NAME, "operator" and the signs behind it, if it is one that has < or > in it. */
static size_t operator_length(const char *name, const char *start)
{
    static const char word[] = "operator";
    static const char *const signs[] = {"<=>", "<<=", ">>=", "->*", "<<", ">>", "<=", ">=", "->", "<", ">"};
    size_t length = sizeof word - 1;
    bool begins = name == start || !(isalnum((unsigned char)name[-1]) || name[-1] == '_');
    if (!begins || strncmp(name, word, length) != 0)
        return 0;
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++)
        if (strncmp(name + length, signs[i], strlen(signs[i])) == 0)
            return length + strlen(signs[i]);
    return 0;
}

/* What is behind the > that closes the < at NAME; the end if none does. */
static const char *skip_arguments(const char *name)
{
    unsigned depth = 0;
    for (; *name != '\0'; name++) {
        if (name[0] == '-' && name[1] == '>')
            name++;
        else if (*name == '<')
            depth++;
        else if (*name == '>' && --depth == 0)
            return name + 1;
    }
    return name;
}

/* Adds the LENGTH bytes at NAME without what stands in < and >.  Rust has "::" before it as well. */
static void add_plain(struct text *text, const char *name, size_t length)
{
    const char *start = name, *end = name + length;
    while (name < end) {
        size_t whole = operator_length(name, start);
        if (whole > 0) {
            text_add(text, name, whole);
            name += whole;
        } else if (*name == '<') {
            name = skip_arguments(name);
            if (text->length >= 2 && memcmp(text->bytes + text->length - 2, "::", 2) == 0)
                text->bytes[text->length -= 2] = '\0';
        } else {
            text_add(text, name++, 1);
        }
    }
}

/* Where the type ends in Rust's <TYPE>::function and <TYPE as TRAIT>::function; NAME is behind the first <. */
static size_t type_length(const char *name)
{
    const char *at = name;
    while (*at != '\0' && *at != '>' && strncmp(at, " as ", 4) != 0)
        at = *at == '<' ? skip_arguments(at) : at + 1;
    return (size_t)(at - name);
}

/* Adds the LENGTH bytes at NAME; Rust's <TYPE>::function may begin with another such, for the type. */
static void add_name(struct text *text, const char *name, size_t length)
{
    const char *end = name + length;
    if (length > 0 && *name == '<') {
        add_name(text, name + 1, type_length(name + 1));
        name = skip_arguments(name);
    }
    if (name < end)
        add_plain(text, name, (size_t)(end - name));
}

const char *name_plain(const char *name, char out[NAME_MAX_BYTES])
{
    struct text text = {.bytes = out};
    out[0] = '\0';
    add_name(&text, name, strlen(name));
    return out;
}
