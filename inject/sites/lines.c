#include "sites/lines.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "sites/demangle.h"

enum {
    STRING_APART = 4, /* bytes that a string has at least which is not kept where it is used */
    DEPTH_MAX = 200,  /* blocks and functions in each other; more is no program's */
};

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

/* NULL where it is that of the source, as in C. */
static const char *linkage_name(Dwarf_Die *die)
{
    Dwarf_Attribute attribute;
    if (dwarf_attr_integrate(die, DW_AT_linkage_name, &attribute) == NULL &&
        dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &attribute) == NULL)
        return NULL;
    return dwarf_formstring(&attribute);
}

/* A function's name as people write it; the linkage name knows the namespaces. */
static const char *function_name(Dwarf_Die *die, struct texts *texts)
{
    char shown[NAME_MAX_BYTES];
    const char *linkage = linkage_name(die);
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

/* Namespaces hold functions, and do not say where. */
static bool has_no_addresses(Dwarf_Die *die)
{
    int tag = dwarf_tag(die);
    return tag == DW_TAG_namespace || tag == DW_TAG_module;
}

/* Whether code can be in DIE; functions that are told once for all the places that they were inlined at have none. */
static bool can_hold_code(Dwarf_Die *die)
{
    switch (dwarf_tag(die)) {
    case DW_TAG_subprogram:
        return dwarf_hasattr(die, DW_AT_low_pc) || dwarf_hasattr(die, DW_AT_ranges);
    case DW_TAG_inlined_subroutine:
    case DW_TAG_lexical_block:
    case DW_TAG_try_block:
    case DW_TAG_catch_block:
        return true;
    default:
        return has_no_addresses(die);
    }
}

/*
 * The innermost function or block in PARENT that holds PC.  dwarf_getscopes() would not look into a namespace, which says of
 * no address that it holds it, and in which rustc and clang put functions.
 */
static bool find_innermost(Dwarf_Die *parent, Dwarf_Addr pc, unsigned depth, Dwarf_Die *out)
{
    Dwarf_Die die;
    if (depth > DEPTH_MAX || dwarf_child(parent, &die) != 0)
        return false;
    do {
        if (!can_hold_code(&die))
            continue;
        bool holds = dwarf_haspc(&die, pc) > 0;
        if ((holds || has_no_addresses(&die)) && find_innermost(&die, pc, depth + 1, out))
            return true;
        if (holds) {
            *out = die;
            return true;
        }
    } while (dwarf_siblingof(&die, &die) == 0);
    return false;
}

size_t lines_places(Dwfl_Module *module, struct texts *texts, uint64_t address, struct place out[PLACES_MAX])
{
    struct spot spot;
    Dwarf_Die innermost, *chain = NULL;
    if (!find_unit(module, address, &spot))
        return 0;
    int chain_count = find_innermost(&spot.unit, spot.pc, 0, &innermost) ? dwarf_getscopes_die(&innermost, &chain) : 0;
    size_t count = walk_scopes(&spot, chain, chain_count > 0 ? chain_count : 0, texts, out);
    free(chain);
    return count;
}

/* --- Where functions were inlined -------------------------------------------------------------------------------- */

struct search {
    symbols_filter *meant;
    const void *pattern;
    symbols_sink *sink;
    void *context;
    Dwarf_Addr bias;
    int found;
    bool over; /* the sink has had enough */
};

/* DWARF without a word of a name: strings of more than three bytes are in a section of their own. */
static bool has_string(Dwarf *dwarf, const char *needle)
{
    const char *text;
    size_t length;
    for (Dwarf_Off at = 0; (text = dwarf_getstring(dwarf, at, &length)) != NULL; at += length + 1)
        if (strstr(text, needle) != NULL)
            return true;
    return false;
}

static bool may_have(Dwfl_Module *module, const char *needle)
{
    Dwarf_Addr bias;
    Dwarf *dwarf = dwfl_module_getdwarf(module, &bias);
    if (dwarf == NULL || needle == NULL || strlen(needle) < STRING_APART)
        return dwarf != NULL;
    Dwarf *shared = dwarf_getalt(dwarf);
    return has_string(dwarf, needle) || (shared != NULL && has_string(shared, needle));
}

static bool is_meant(const struct search *search, Dwarf_Die *die)
{
    const char *name = linkage_name(die);
    if (name == NULL)
        name = dwarf_diename(die);
    return name != NULL && search->meant(search->pattern, name);
}

static void give_ranges(struct search *search, Dwarf_Die *die)
{
    Dwarf_Addr base, from, to;
    ptrdiff_t at = 0;
    while (!search->over && (at = dwarf_ranges(die, at, &base, &from, &to)) > 0) {
        search->over = search->sink(search->context, from + search->bias, to + search->bias) != 0;
        search->found++;
    }
}

static void search_children(struct search *search, Dwarf_Die *parent, unsigned depth)
{
    Dwarf_Die die;
    if (depth > DEPTH_MAX || dwarf_child(parent, &die) != 0)
        return;
    do {
        if (!can_hold_code(&die))
            continue;
        if (dwarf_tag(&die) == DW_TAG_inlined_subroutine && is_meant(search, &die))
            give_ranges(search, &die);
        search_children(search, &die, depth + 1);
    } while (!search->over && dwarf_siblingof(&die, &die) == 0);
}

int lines_inlined(Dwfl_Module *module, const char *needle, symbols_filter *meant, const void *pattern,
                  symbols_sink *sink, void *context)
{
    struct search search = {.meant = meant, .pattern = pattern, .sink = sink, .context = context};
    Dwarf_Die *unit = NULL;
    if (!may_have(module, needle))
        return 0;
    while (!search.over && (unit = dwfl_module_nextcu(module, unit, &search.bias)) != NULL)
        search_children(&search, unit, 0);
    return search.over ? -1 : search.found;
}
