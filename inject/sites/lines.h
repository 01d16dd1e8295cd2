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

#endif
