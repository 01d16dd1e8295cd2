/* lines.h - the DWARF half of symbols.h. */
#ifndef SNAG_LINES_H
#define SNAG_LINES_H

#include <elfutils/libdwfl.h>

#include "sites/symbols.h"
#include "sites/texts.h"

/*
 * Writes the places of the instruction at ADDRESS of MODULE to OUT, the innermost first, and returns how many; 0 without
 * DWARF for it.  The last one is not inlined, unless there were too many.  Text is kept in TEXTS, or lives with MODULE.
 */
size_t lines_places(Dwfl_Module *module, struct texts *texts, uint64_t address, struct place out[PLACES_MAX]);

/*
 * Tells SINK where in MODULE functions were inlined whose linkage name, or name, MEANT accepts.  NEEDLE is a word that each
 * such name has in it (NULL: not known): modules without it are not searched, for that takes a microsecond or so for each
 * piece of the program.  Returns how many ranges there were; -1 as soon as SINK does.
 */
int lines_inlined(Dwfl_Module *module, const char *needle, symbols_filter *meant, const void *pattern,
                  symbols_sink *sink, void *context);

#endif
