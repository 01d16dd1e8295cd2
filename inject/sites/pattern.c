#include "sites/pattern.h"

#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sites/demangle.h"

enum { NEEDLE_MIN = 3 }; /* a shorter one is in too many names to be of use */

/*
 * What stands in a name that was taken apart and need not stand in the symbol: mangling has abbreviations for some, and
 * words of its own for others.
 */
static const char unwritten[] =
    "std allocator basic_string basic_istream basic_ostream basic_iostream string istream ostream iostream char_traits "
    "operator new delete anonymous namespace lambda closure clone const volatile unsigned signed void bool wchar_t "
    "char8_t "
    "char16_t char32_t short int long float double __int128 __float128 auto decltype nullptr_t vtable typeinfo true "
    "false "
    "shim mut str usize isize u128 i128 for unsafe extern dyn restrict complex imaginary and guard variable thunk "
    "virtual non throw impl i16 i32 i64 u16 u32 u64 f32 f64 noexcept sizeof alignof co_await template parameter object "
    "default arg unnamed type";

static bool is_word(char byte)
{
    return isalnum((unsigned char)byte) || byte == '_';
}

/* Whether the LENGTH bytes at WORD may be part of what mangling does not write. */
static bool is_unwritten(const char *word, size_t length)
{
    return memmem(unwritten, sizeof unwritten - 1, word, length) != NULL;
}

/* What [ begins in a glob: past its ], or past the [ if nothing closes it. */
static const char *skip_bracket(const char *at)
{
    const char *end = strchr(at + 1 + (at[1] == '!' || at[1] == '^'), ']');
    if (end != NULL && end[-1] == '[')
        end = strchr(end + 1, ']');
    return end != NULL ? end + 1 : at + 1;
}

/* Finds the longest word of NAME that each symbol must have which matches it. */
static int find_needle(struct pattern *pattern)
{
    const char *best = NULL;
    size_t best_length = NEEDLE_MIN - 1;
    for (const char *at = pattern->name; *at != '\0';) {
        size_t length = 0;
        while (is_word(at[length]))
            length++;
        if (length > best_length && !isdigit((unsigned char)*at) && !is_unwritten(at, length)) {
            best = at;
            best_length = length;
        }
        if (length > 0)
            at += length;
        else if (*at == '\\' && at[1] != '\0')
            at += 2;
        else
            at = *at == '[' ? skip_bracket(at) : at + 1;
    }
    pattern->needle = best != NULL ? strndup(best, best_length) : NULL;
    return best == NULL || pattern->needle != NULL ? 0 : -1;
}

/* Reads 0xOFFSET.  Returns false if the LENGTH bytes at TEXT are something else. */
static bool read_offset(const char *text, size_t length, uint64_t *out)
{
    *out = 0;
    if (length < 3 || length > 18 || text[0] != '0' || (text[1] != 'x' && text[1] != 'X'))
        return false;
    for (size_t i = 2; i < length; i++) {
        if (!isxdigit((unsigned char)text[i]))
            return false;
        unsigned char digit = (unsigned char)tolower((unsigned char)text[i]);
        *out = *out * 16 + (uint64_t)(isdigit(digit) ? digit - '0' : digit - 'a' + 10);
    }
    return true;
}

int pattern_read(struct pattern *out, const char *text)
{
    const char *at = strrchr(text, '@');
    size_t length = at != NULL ? (size_t)(at - text) : strlen(text);
    *out = (struct pattern){.text = text};
    if (at != NULL && (out->module = strdup(at + 1)) == NULL)
        return -1;
    if (at != NULL && read_offset(text, length, &out->offset)) {
        out->is_offset = true;
        return 0;
    }
    if (strspn(text, "*") >= length)
        return 0;
    out->name = strndup(text, length);
    if (out->name == NULL || find_needle(out) != 0) {
        pattern_clear(out);
        errno = ENOMEM;
        return -1;
    }
    out->is_glob = strpbrk(out->name, "*?[\\") != NULL;
    return 0;
}

void pattern_clear(struct pattern *pattern)
{
    free(pattern->name);
    free(pattern->module);
    free(pattern->needle);
    *pattern = (struct pattern){.text = NULL};
}

bool pattern_has_module(const struct pattern *pattern, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (pattern->module == NULL)
        return true;
    if (slash != NULL && strchr(pattern->module, '/') == NULL)
        path = slash + 1;
    return strcmp(pattern->module, path) == 0 || fnmatch(pattern->module, path, 0) == 0;
}

/* The exact name first: names in C++ and Rust have brackets and stars in them. */
static bool matches(const struct pattern *pattern, const char *form)
{
    return form[0] != '\0' &&
           (strcmp(pattern->name, form) == 0 || (pattern->is_glob && fnmatch(pattern->name, form, 0) == 0));
}

bool pattern_has_function(const struct pattern *pattern, const char *symbol)
{
    struct name_forms forms;
    if (pattern->needle != NULL && strstr(symbol, pattern->needle) == NULL)
        return false;
    if (matches(pattern, symbol))
        return true;
    if (!name_is_mangled(symbol) && strpbrk(symbol, ".@") == NULL)
        return false;
    name_forms(&forms, symbol);
    return matches(pattern, forms.base) || matches(pattern, forms.bare) || matches(pattern, forms.full) ||
           matches(pattern, forms.plain) || matches(pattern, forms.hashed);
}

/* The functions that start where LIST[I] does, up to *END: whether any of them is meant, and where the longest ends. */
static bool take_group(const struct pattern *pattern, const struct function *list, size_t count, size_t i, size_t *end,
                       uint64_t *to)
{
    bool meant = false;
    *to = 0;
    for (*end = i; *end < count && list[*end].from == list[i].from; ++*end) {
        if (list[*end].to > *to)
            *to = list[*end].to;
        meant = meant || pattern_has_function(pattern, list[*end].name);
    }
    return meant;
}

/*
 * Functions that follow each other and are all meant become one range, with the padding in between.  The instruction
 * behind a function's last call may be the first behind the function, and that behind the call before it is inside: so all
 * is moved up by one byte.
 */
static int function_ranges(const struct pattern *pattern, struct symbols *symbols, pattern_sink *sink, void *context)
{
    const struct function *list;
    size_t count = symbols_functions(symbols, &list), next;
    uint64_t from = 0, to = 0, end;
    int ranges = 0;
    for (size_t i = 0; i < count; i = next) {
        if (take_group(pattern, list, count, i, &next, &end)) {
            if (to == 0)
                from = list[i].from;
            if (end > to)
                to = end;
        } else if (to != 0) {
            if (sink(context, from + 1, to + 1) != 0)
                return -1;
            ranges++;
            to = 0;
        }
    }
    if (to == 0)
        return ranges;
    return sink(context, from + 1, to + 1) == 0 ? ranges + 1 : -1;
}

static bool is_meant(const void *context, const char *name)
{
    return pattern_has_function(context, name);
}

struct moved {
    pattern_sink *sink;
    void *context;
};

static int move_up(void *context, uint64_t from, uint64_t to)
{
    const struct moved *moved = context;
    return moved->sink(moved->context, from + 1, to + 1);
}

/* What the compiler took into another function has no entry in the symbol table. */
static int inlined_ranges(const struct pattern *pattern, struct symbols *symbols, pattern_sink *sink, void *context)
{
    struct moved moved = {sink, context};
    return symbols_inlined(symbols, pattern->needle, is_meant, pattern, move_up, &moved);
}

int pattern_ranges(const struct pattern *pattern, struct symbols *symbols, pattern_sink *sink, void *context)
{
    if (pattern->is_offset)
        return sink(context, pattern->offset, pattern->offset + 1) == 0 ? 1 : -1;
    if (pattern->name == NULL)
        return sink(context, 0, UINT64_MAX) == 0 ? 1 : -1;
    if (symbols == NULL)
        return 0;
    int ranges = function_ranges(pattern, symbols, sink, context);
    int inlined = ranges >= 0 ? inlined_ranges(pattern, symbols, sink, context) : -1;
    return inlined >= 0 ? ranges + inlined : -1;
}

void pattern_offer(const struct pattern *pattern, struct symbols *symbols, struct nearest *nearest, char *best,
                   size_t size)
{
    const struct function *list;
    struct name_forms forms;
    size_t count = pattern->name != NULL ? symbols_functions(symbols, &list) : 0;
    for (size_t i = 0; i < count; i++) {
        name_forms(&forms, list[i].name);
        const char *shown = forms.plain[0] != '\0' ? forms.plain : forms.base;
        nearest_offer(nearest, shown);
        if (nearest->best == shown) {
            snprintf(best, size, "%s", shown);
            nearest->best = best;
        }
    }
}
