#include "sites/symbols.h"

#include <elfutils/libdwfl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sites/demangle.h"
#include "sites/gotable.h"
#include "sites/lines.h"
#include "sites/texts.h"

enum {
    NESTED_MAX = 64,     /* functions that start inside another one and end before an address in it */
    RANK_UNSIZED = 1000, /* from here on: functions without a size of their own */
};

struct symbols {
    Dwfl *dwfl;
    Dwfl_Module *module;
    struct texts texts;
    struct function *functions;
    size_t count;
    bool read;
};

/*
 * libdw would ask the servers that $DEBUGINFOD_URLS names.  It has no other switch, and the server under test is to get
 * the environment as it was.
 */
static int find_debuginfo(Dwfl_Module *module, void **user, const char *name, Dwarf_Addr base, const char *file,
                          const char *debuglink, GElf_Word crc, char **found)
{
    static const char variable[] = "DEBUGINFOD_URLS";
    const char *value = getenv(variable);
    char *urls = value != NULL ? strdup(value) : NULL;
    if (value != NULL)
        unsetenv(variable);
    int fd = dwfl_standard_find_debuginfo(module, user, name, base, file, debuglink, crc, found);
    if (urls != NULL)
        setenv(variable, urls, 1);
    free(urls);
    if (fd >= 0)
        fcntl(fd, F_SETFD, FD_CLOEXEC); /* clients are started while it is open */
    return fd;
}

/* The file is given, so there is nothing to find. */
static int find_elf(Dwfl_Module *module, void **user, const char *name, Dwarf_Addr base, char **file, Elf **elf)
{
    (void)module;
    (void)user;
    (void)name;
    (void)base;
    (void)file;
    (void)elf;
    return -1;
}

static const Dwfl_Callbacks callbacks = {
    .find_elf = find_elf, .find_debuginfo = find_debuginfo, .section_address = dwfl_offline_section_address};

static int report(struct symbols *symbols, int fd, const char *path)
{
    symbols->dwfl = dwfl_begin(&callbacks);
    if (symbols->dwfl == NULL) {
        errno = ENOMEM;
        return -1;
    }
    dwfl_report_begin(symbols->dwfl);
    symbols->module = dwfl_report_elf(symbols->dwfl, path, path, fd, 0, true);
    dwfl_report_end(symbols->dwfl, NULL, NULL);
    if (symbols->module != NULL)
        return 0;
    errno = ENOEXEC;
    return -1;
}

struct symbols *symbols_open(int fd, const char *path)
{
    struct symbols *symbols = calloc(1, sizeof *symbols);
    if (symbols != NULL && report(symbols, fd, path) == 0)
        return symbols;
    int saved = errno;
    if (symbols == NULL || symbols->module == NULL)
        close(fd);
    symbols_free(symbols);
    errno = saved;
    return NULL;
}

void symbols_free(struct symbols *symbols)
{
    if (symbols == NULL)
        return;
    if (symbols->dwfl != NULL)
        dwfl_end(symbols->dwfl);
    texts_free(&symbols->texts);
    free(symbols->functions);
    free(symbols);
}

size_t symbols_build_id(struct symbols *symbols, const uint8_t **id)
{
    GElf_Addr address, bias;
    if (dwfl_module_getelf(symbols->module, &bias) == NULL)
        return 0;
    int length = dwfl_module_build_id(symbols->module, id, &address);
    return length > 0 ? (size_t)length : 0;
}

/* --- The symbol table -------------------------------------------------------------------------------------------- */

/* Labels in assembler code have no type; those that the linker can see are taken for functions. */
static bool is_function(const GElf_Sym *symbol, GElf_Word section)
{
    int type = GELF_ST_TYPE(symbol->st_info);
    if (section == SHN_UNDEF || section == SHN_ABS)
        return false;
    return type == STT_FUNC || type == STT_GNU_IFUNC ||
           (type == STT_NOTYPE && GELF_ST_BIND(symbol->st_info) == STB_GLOBAL);
}

/* Where SECTION of ELF ends, if it holds code; else 0. */
static uint64_t code_end(Elf *elf, GElf_Word section, GElf_Addr bias)
{
    GElf_Shdr header;
    Elf_Scn *scn = elf_getscn(elf, section);
    if (scn == NULL || gelf_getshdr(scn, &header) == NULL || !(header.sh_flags & SHF_EXECINSTR))
        return 0;
    return header.sh_addr + header.sh_size + bias;
}

/* A function of the linker's choosing comes before its aliases: global, with a size, and without underscores. */
static unsigned rank_of(const GElf_Sym *symbol, const char *name)
{
    unsigned bind = GELF_ST_BIND(symbol->st_info);
    unsigned rank = bind == STB_GLOBAL ? 0 : bind == STB_WEAK ? 1 : 2;
    unsigned underscores = name_is_mangled(name) ? 0 : (unsigned)strspn(name, "_");
    return (symbol->st_size == 0 ? RANK_UNSIZED : 0) + 100 * (underscores < 9 ? underscores : 9) + rank;
}

static int compare_functions(const void *left, const void *right)
{
    const struct function *a = left, *b = right;
    if (a->from != b->from)
        return a->from < b->from ? -1 : 1;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    return strcmp(a->name, b->name);
}

/* Takes symbol INDEX of the table, if it is a function: one without a size ends, for now, with its section. */
static int take_symbol(struct symbols *symbols, int index)
{
    GElf_Sym symbol;
    GElf_Addr address, bias;
    GElf_Word section;
    Elf *elf;
    const char *name = dwfl_module_getsym_info(symbols->module, index, &symbol, &address, &section, &elf, &bias);
    if (name == NULL || name[0] == '\0' || !is_function(&symbol, section))
        return 0;
    uint64_t end = code_end(elf, section, bias);
    if (end <= address)
        return 0;
    if (name[strcspn(name, "@")] == '@' && (name = texts_add(&symbols->texts, name, strcspn(name, "@"))) == NULL)
        return -1;
    symbols->functions[symbols->count++] = (struct function){
        .from = address,
        .to = symbol.st_size > 0 ? address + symbol.st_size : end,
        .name = name,
        .rank = rank_of(&symbol, name),
    };
    return 0;
}

/* What has no size ends where the next begins. */
static void end_functions(struct symbols *symbols)
{
    uint64_t next = UINT64_MAX;
    for (size_t i = symbols->count; i-- > 0;) {
        struct function *function = &symbols->functions[i];
        if (i + 1 < symbols->count && symbols->functions[i + 1].from > function->from)
            next = symbols->functions[i + 1].from;
        if (function->rank >= RANK_UNSIZED && function->to > next)
            function->to = next;
    }
}

/* --- Go's own table ---------------------------------------------------------------------------------------------- */

static Elf_Scn *find_section(Elf *elf, const char *wanted, GElf_Shdr *header)
{
    size_t names;
    Elf_Scn *section = NULL;
    if (elf == NULL || elf_getshdrstrndx(elf, &names) != 0)
        return NULL;
    while ((section = elf_nextscn(elf, section)) != NULL) {
        const char *name = gelf_getshdr(section, header) != NULL ? elf_strptr(elf, names, header->sh_name) : NULL;
        if (name != NULL && strcmp(name, wanted) == 0)
            return section;
    }
    return NULL;
}

/* A program that can be loaded anywhere says only when it runs where its functions begin: as a rule, all code does there. */
static bool open_go(struct symbols *symbols, struct gotable *out, GElf_Addr *bias)
{
    GElf_Shdr header;
    Elf *elf = dwfl_module_getelf(symbols->module, bias);
    Elf_Scn *section = find_section(elf, ".gopclntab", &header);
    if (section == NULL)
        section = find_section(elf, ".data.rel.ro.gopclntab", &header);
    Elf_Data *data = section != NULL ? elf_rawdata(section, NULL) : NULL;
    if (data == NULL || !gotable_open(out, data->d_buf, data->d_size))
        return false;
    if (out->text == 0 && find_section(elf, ".text", &header) != NULL)
        out->text = header.sh_addr;
    return true;
}

/* They come behind those that the symbol table has, which strip takes away. */
static void take_go_functions(struct symbols *symbols, const struct gotable *table, GElf_Addr bias)
{
    struct gofunction function;
    for (uint64_t i = 0; i < table->count; i++)
        if (gotable_function(table, i, &function) && function.to > function.from && function.name[0] != '\0')
            symbols->functions[symbols->count++] = (struct function){.from = function.from + bias,
                                                                     .to = function.to + bias,
                                                                     .name = function.name,
                                                                     .rank = RANK_UNSIZED - 1};
}

/* Without memory there are no functions, and the next call tries again. */
static void read_functions(struct symbols *symbols)
{
    struct gotable go;
    GElf_Addr bias = 0;
    int table = dwfl_module_getsymtab(symbols->module), count = table > 0 ? table : 0;
    bool has_go = open_go(symbols, &go, &bias);
    size_t room = (size_t)count + (has_go ? (size_t)go.count : 0);
    symbols->read = true;
    symbols->functions = room > 0 ? calloc(room, sizeof *symbols->functions) : NULL;
    if (symbols->functions == NULL)
        return;
    for (int i = 1; i < count; i++)
        if (take_symbol(symbols, i) != 0) {
            free(symbols->functions);
            symbols->functions = NULL;
            symbols->count = 0;
            symbols->read = false;
            return;
        }
    if (has_go)
        take_go_functions(symbols, &go, bias);
    qsort(symbols->functions, symbols->count, sizeof *symbols->functions, compare_functions);
    end_functions(symbols);
}

size_t symbols_functions(struct symbols *symbols, const struct function **functions)
{
    if (!symbols->read)
        read_functions(symbols);
    *functions = symbols->functions;
    return symbols->functions != NULL ? symbols->count : 0;
}

/* How many functions of LIST (COUNT) start at ADDRESS or before. */
static size_t count_before(const struct function *list, size_t count, uint64_t address)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (list[middle].from <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* A label in the middle of a function has no size; the function around it has one, and is what is meant. */
const struct function *symbols_function(struct symbols *symbols, uint64_t address)
{
    const struct function *list, *found = NULL;
    size_t count = symbols_functions(symbols, &list), at = count > 0 ? count_before(list, count, address) : 0;
    for (size_t steps = 0; at-- > 0 && steps < NESTED_MAX; steps++) {
        bool sized = list[at].rank < RANK_UNSIZED;
        if (found != NULL && found->rank < RANK_UNSIZED && list[at].from != found->from)
            break;
        if (list[at].to > address && (sized || found == NULL || list[at].from == found->from))
            found = &list[at];
    }
    return found;
}

/* --- Places ------------------------------------------------------------------------------------------------------ */

size_t symbols_places(struct symbols *symbols, uint64_t address, struct place out[PLACES_MAX])
{
    const struct function *function = symbols_function(symbols, address);
    size_t count = lines_places(symbols->module, &symbols->texts, address, out);
    if (count == 0) {
        out[0] = (struct place){.function = NULL};
        count = 1;
    }
    struct place *last = &out[count - 1];
    if (function != NULL && !last->inlined) {
        char shown[NAME_MAX_BYTES];
        const char *name = texts_add(&symbols->texts, name_shown(function->name, shown), SIZE_MAX);
        if (name != NULL)
            last->function = name;
        last->into = address - function->from;
    }
    return count;
}

int symbols_inlined(struct symbols *symbols, const char *needle, symbols_filter *meant, const void *pattern,
                    symbols_sink *sink, void *context)
{
    return lines_inlined(symbols->module, needle, meant, pattern, sink, context);
}
