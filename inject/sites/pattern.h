/*
 * pattern.h - what caller= and stack= name, and where in a module that is.
 *
 *     NAME              a function, in any module: its name as the linker knows it, or as people write it, in each of the
 *                       forms of demangle.h; * ? [] as in globs
 *     NAME@MODULE       in modules whose base name matches MODULE; whose path does, if MODULE has a /
 *     0xOFFSET@MODULE   the one instruction behind a call, as trace -k and JSON show it; for programs without names
 *
 * A NAME of stars alone is the whole module, with and without names.  With DWARF a NAME is also found where the compiler
 * inlined it; the function around it is found there as well.
 */
#ifndef SNAG_PATTERN_H
#define SNAG_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan/names.h"
#include "sites/symbols.h"

enum { PATTERN_TEXT_MAX = 4096 };

struct pattern {
    const char *text; /* as the user wrote it */
    char *name;       /* NULL: the whole module, or an offset */
    char *module;     /* NULL: every module */
    char *needle;     /* each form that matches has this in it; NULL: nothing is known */
    bool is_glob;     /* NAME is */
    bool is_offset;
    uint64_t offset;
};

/* Is told of each range: offsets as the shim compares them, those of instructions behind a call.  -1 ends it. */
typedef symbols_sink pattern_sink;

/* Reads TEXT, which must live as long as the pattern.  Returns -1 with errno ENOMEM. */
int pattern_read(struct pattern *out, const char *text);
void pattern_clear(struct pattern *pattern);

/* Whether PATTERN looks into the module at PATH. */
bool pattern_has_module(const struct pattern *pattern, const char *path);

/* Whether SYMBOL, a name of the symbol table, is one that PATTERN names. */
bool pattern_has_function(const struct pattern *pattern, const char *symbol);

/*
 * Tells SINK where PATTERN is in SYMBOLS, a module that it looks into (NULL: it can't be read): neighbours are one range.
 * Returns how many ranges there were; -1 as soon as SINK does.
 */
int pattern_ranges(const struct pattern *pattern, struct symbols *symbols, pattern_sink *sink, void *context);

/*
 * Offers the names of SYMBOLS's functions, as people write them, to NEAREST, which was started with the pattern's name.
 * The best of them is copied to BEST (SIZE bytes), which holds the best so far.
 */
void pattern_offer(const struct pattern *pattern, struct symbols *symbols, struct nearest *nearest, char *best,
                   size_t size);

#endif
