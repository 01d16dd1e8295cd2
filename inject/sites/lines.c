#include "sites/lines.h"

#include <dwarf.h>
#include <stdlib.h>

#include "sites/demangle.h"

/* An instruction, and the unit of the program that it is in. */
struct spot {
    Dwarf_Die unit;
    Dwarf_Addr pc; /* as DWARF counts */
};

/*
 * The unit that holds ADDRESS.  GCC leaves a table of them (.debug_aranges); clang and rustc leave none, or one that knows
 * the units of others alone, and libdw does not look further.
 */
static bool find_unit(Dwfl_Module *module, uint64_t address, struct spot *out)
{
    Dwarf_Addr bias;
    Dwarf_Die *unit = dwfl_module_addrdie(module, address, &bias);
    if (unit == NULL)
        while ((unit = dwfl_module_nextcu(module, unit, &bias)) != NULL && dwarf_haspc(unit, address - bias) <= 0) {
        }
    if (unit == NULL)
        return false;
    out->unit = *unit;
    out->pc = address - bias;
    return true;
}

/* A function's name as people write it; the linkage name knows the namespaces. */
static const char *function_name(Dwarf_Die *die, struct texts *texts)
{
    Dwarf_Attribute attribute;
    char shown[NAME_MAX_BYTES];
    const char *linkage = NULL;
    if (dwarf_attr_integrate(die, DW_AT_linkage_name, &attribute) != NULL ||
        dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &attribute) != NULL)
        linkage = dwarf_formstring(&attribute);
    if (linkage == NULL)
        return dwarf_diename(die);
    return texts_add(texts, name_shown(linkage, shown), SIZE_MAX);
}

/* Where an inlined function was called from. */
static void call_place(Dwarf_Die *unit, Dwarf_Die *die, struct place *out)
{
    Dwarf_Attribute attribute;
    Dwarf_Word file = 0, line = 0;
    Dwarf_Files *files;
    size_t count;
    out->file = NULL;
    out->line = 0;
    if (dwarf_formudata(dwarf_attr(die, DW_AT_call_file, &attribute), &file) == 0 &&
        dwarf_getsrcfiles(unit, &files, &count) == 0 && file < count)
        out->file = dwarf_filesrc(files, file, NULL, NULL);
    if (dwarf_formudata(dwarf_attr(die, DW_AT_call_line, &attribute), &line) == 0)
        out->line = (unsigned)line;
}

static void line_place(const struct spot *spot, struct place *out)
{
    Dwarf_Die unit = spot->unit;
    Dwarf_Line *line = dwarf_getsrc_die(&unit, spot->pc);
    int number = 0;
    out->file = line != NULL ? dwarf_linesrc(line, NULL, NULL) : NULL;
    if (line != NULL && dwarf_lineno(line, &number) == 0 && number > 0)
        out->line = (unsigned)number;
}

/* Goes outward through SCOPES, from the innermost: each function, and the place in the next from which it was inlined. */
static size_t walk_scopes(struct spot *spot, Dwarf_Die *scopes, int scope_count, struct texts *texts,
                          struct place out[PLACES_MAX])
{
    size_t count = 0;
    struct place place = {.function = NULL};
    line_place(spot, &place);
    for (int i = 0; i < scope_count && count < PLACES_MAX; i++) {
        int tag = dwarf_tag(&scopes[i]);
        if (tag != DW_TAG_subprogram && tag != DW_TAG_inlined_subroutine)
            continue;
        place.function = function_name(&scopes[i], texts);
        place.inlined = tag == DW_TAG_inlined_subroutine;
        out[count++] = place;
        if (!place.inlined)
            return count;
        call_place(&spot->unit, &scopes[i], &place);
    }
    if (count == 0)
        out[count++] = place; /* assembler code: lines, and no functions */
    return count;
}

size_t lines_places(Dwfl_Module *module, struct texts *texts, uint64_t address, struct place out[PLACES_MAX])
{
    struct spot spot;
    Dwarf_Die *scopes = NULL, *chain = NULL;
    size_t count;
    if (!find_unit(module, address, &spot))
        return 0;
    /* The scopes of an address leave the real tree where a function was inlined; those of the innermost entry do not. */
    int scope_count = dwarf_getscopes(&spot.unit, spot.pc, &scopes);
    int chain_count = scope_count > 0 ? dwarf_getscopes_die(&scopes[0], &chain) : 0;
    count = walk_scopes(&spot, chain, chain_count > 0 ? chain_count : 0, texts, out);
    free(scopes);
    free(chain);
    return count;
}
