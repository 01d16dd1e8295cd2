/*
 * symbols.h - what a module's file says about its code: which functions it has, where, and which line an instruction is of.
 *
 * Functions come from the symbol table: the file's own, that of a debug file beside it or in the system's folder for them
 * (by build id or debug link), or the small one that some distributions leave in .gnu_debugdata; else the names that it
 * exports; and from Go's own table (gotable.h), which stripped programs keep.  Lines, and functions that the compiler
 * inlined, come from DWARF, where there is any.  Addresses are the file's own ("link-time"), as objdump shows them.
 *
 * It reads files and takes time: milliseconds for the first function of a module, as much again for its first line.  It
 * never asks a server for debug files: names must not depend on a network, and a process may be waiting for them.  One
 * thread only.
 */
#ifndef SNAG_SYMBOLS_H
#define SNAG_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct symbols;

/* A function's code, from FROM up to and without TO. */
struct function {
    uint64_t from, to;
    const char *name; /* as in the symbol table, without a version; mangled */
    unsigned rank;    /* among those at the same place: the lowest is the one to show */
};

enum { PLACES_MAX = 16 }; /* levels of inlining that are looked at */

/* Where in the source an instruction is.  With inlining there are several places for one: each is inside the next. */
struct place {
    const char *function; /* as people write it, NULL: not known */
    bool inlined;
    uint64_t into;    /* bytes from the start of a function that is not inlined */
    const char *file; /* NULL: not known */
    unsigned line;
};

/*
 * Reads the ELF file behind the descriptor FD, which is given away; PATH names it, for debug files beside it.  Returns
 * NULL with errno: ENOEXEC for what is no such file, ENOMEM, or why it can't be read.
 */
struct symbols *symbols_open(int fd, const char *path);

/* Frees SYMBOLS and all that came from it.  NULL is fine. */
void symbols_free(struct symbols *symbols);

/* Returns the length of the file's build id, and where it is in *ID; 0: it has none. */
size_t symbols_build_id(struct symbols *symbols, const uint8_t **id);

/* Returns how many functions there are, and in *FUNCTIONS where: sorted by FROM, then by rank.  They live with SYMBOLS. */
size_t symbols_functions(struct symbols *symbols, const struct function **functions);

/* Returns the function that ADDRESS is in, NULL if there is none. */
const struct function *symbols_function(struct symbols *symbols, uint64_t address);

/*
 * Writes the places of the instruction at ADDRESS to OUT, the innermost first, and returns how many: at least one, which
 * knows nothing if the file says nothing.  Text lives with SYMBOLS.
 */
size_t symbols_places(struct symbols *symbols, uint64_t address, struct place out[PLACES_MAX]);

/* Whether a function with the linkage name NAME is meant, by what CONTEXT says. */
typedef bool symbols_filter(const void *context, const char *name);

/* Takes the addresses from FROM up to and without TO.  -1 ends what gives them. */
typedef int symbols_sink(void *context, uint64_t from, uint64_t to);

/*
 * Tells SINK where functions that MEANT accepts were inlined, as far as DWARF says.  Each of their names has NEEDLE in it
 * (NULL: not known), which spares most files a search.  Returns how many there were, -1 as soon as SINK does.
 */
int symbols_inlined(struct symbols *symbols, const char *needle, symbols_filter *meant, const void *pattern,
                    symbols_sink *sink, void *context);

#endif
