#include "module.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>

#include "loader.h"
#include "memory.h"
#include "raw.h"
#include "session.h"

#define DELETED " (deleted)"

enum {
    MAPPED_MAX = 1024,
    HEADERS_MAX = 32, /* program headers of a file; more than any linker makes */
    NOTE_PART = 256,  /* bytes of a note segment that are looked through */
    BUILD_ID_MAX = 20,
};

struct mapped {
    uintptr_t start, end; /* start 0: free */
    const struct link_map *map;
    uintptr_t bias;
    uint32_t key;
    uint16_t module; /* on the board */
    bool left_out;
};

static struct mapped mapped[MAPPED_MAX];
static size_t mapped_count;
static int (*find_object)(void *address, struct dl_find_object *out);
static char own_program[PATH_MAX];

bool module_begin(void)
{
    void *function = loader_find(RTLD_DEFAULT, "_dl_find_object");
    if (!function)
        return false;
    memcpy(&find_object, &function, sizeof function);
    long length = snag_raw(SYS_readlinkat, AT_FDCWD, raw_pointer("/proc/self/exe"), raw_pointer(own_program),
                           sizeof own_program - 1, 0, 0);
    own_program[length > 0 ? length : 0] = 0;
    char *deleted = strstr(own_program, DELETED); /* said of a program that was replaced: it keeps its call sites */
    if (deleted && deleted[sizeof DELETED - 1] == 0)
        *deleted = 0;
    return true;
}

bool module_find(uintptr_t address, struct dl_find_object *out)
{
    return find_object((void *)address, out) == 0;
}

/* Looks for the build id in a note segment. */
static size_t find_build_id(const unsigned char *notes, size_t size, unsigned char out[BUILD_ID_MAX])
{
    ElfW(Nhdr) note;
    while (size >= sizeof note) {
        memcpy(&note, notes, sizeof note);
        size_t name = (note.n_namesz + 3) & ~(size_t)3, text = (note.n_descsz + 3) & ~(size_t)3;
        if (name > size - sizeof note || text > size - sizeof note - name)
            return 0;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && memcmp(notes + sizeof note, "GNU", 4) == 0) {
            size_t length = note.n_descsz < BUILD_ID_MAX ? note.n_descsz : BUILD_ID_MAX;
            memcpy(out, notes + sizeof note + name, length);
            return length;
        }
        notes += sizeof note + name + text;
        size -= sizeof note + name + text;
    }
    return 0;
}

/* Whether MAP is the program's: the loader has no name for that. */
static bool is_program(const struct link_map *map)
{
    return !map->l_name || !*map->l_name;
}

/*
 * Copies the program headers of what is mapped as OBJECT; returns how many there are, 0 if they can't be found.  Those of
 * the program are where the kernel says: there may be holes between its segments, and then each is an object of its own.
 */
static size_t copy_headers(const struct dl_find_object *object, ElfW(Phdr) headers[HEADERS_MAX])
{
    ElfW(Ehdr) file;
    uintptr_t at = getauxval(AT_PHDR);
    size_t count = getauxval(AT_PHNUM);
    if (!is_program(object->dlfo_link_map)) {
        uintptr_t start = (uintptr_t)object->dlfo_map_start;
        if (!memory_copy(&file, (void *)start, sizeof file) || memcmp(file.e_ident, ELFMAG, SELFMAG) != 0)
            return 0;
        at = start + file.e_phoff;
        count = file.e_phnum;
    }
    return count <= HEADERS_MAX && memory_copy(headers, (void *)at, count * sizeof headers[0]) ? count : 0;
}

/* Reads the build id of the file that is mapped as OBJECT; returns its length, 0 if there is none. */
static size_t read_build_id(const struct dl_find_object *object, unsigned char out[BUILD_ID_MAX])
{
    ElfW(Phdr) headers[HEADERS_MAX];
    unsigned char notes[NOTE_PART];
    size_t length = 0, count = copy_headers(object, headers);
    for (size_t i = 0; i < count && length == 0; i++) {
        size_t size = headers[i].p_memsz < sizeof notes ? headers[i].p_memsz : sizeof notes;
        uintptr_t at = object->dlfo_link_map->l_addr + headers[i].p_vaddr;
        if (headers[i].p_type == PT_NOTE && memory_copy(notes, (void *)at, size))
            length = find_build_id(notes, size, out);
    }
    return length;
}

/* The path of MAP, absolute: the loader keeps what it was asked for. */
static void copy_path(char *out, size_t size, const struct link_map *map)
{
    const char *name = is_program(map) ? own_program : map->l_name;
    size_t length = 0;
    if (*name != '/') {
        long got = raw2(SYS_getcwd, raw_pointer(out), (long)size);
        length = got > 0 ? (size_t)got - 1 : 0;
        if (length + 1 < size)
            out[length++] = '/';
    }
    while (*name && length + 1 < size)
        out[length++] = *name++;
    out[length] = 0;
}

static bool is_left_out(const char *path, const struct dl_find_object *object)
{
    uintptr_t here = (uintptr_t)is_left_out;
    bool ours = (uintptr_t)object->dlfo_map_start <= here && here < (uintptr_t)object->dlfo_map_end;
    return ours || module_is_left_out(path);
}

static bool is_mapped_as(const struct mapped *entry, const struct dl_find_object *object)
{
    return entry->start == (uintptr_t)object->dlfo_map_start && entry->end == (uintptr_t)object->dlfo_map_end &&
           entry->map == object->dlfo_link_map;
}

static struct mapped *free_entry(void)
{
    for (size_t i = 0; i < mapped_count; i++)
        if (mapped[i].start == 0)
            return &mapped[i];
    return mapped_count < MAPPED_MAX ? &mapped[mapped_count++] : NULL;
}

static void fill(struct mapped *entry, const struct dl_find_object *object)
{
    char path[sizeof((struct module *)NULL)->path];
    unsigned char build_id[BUILD_ID_MAX];
    copy_path(path, sizeof path, object->dlfo_link_map);
    entry->start = (uintptr_t)object->dlfo_map_start;
    entry->end = (uintptr_t)object->dlfo_map_end;
    entry->map = object->dlfo_link_map;
    entry->bias = object->dlfo_link_map->l_addr;
    entry->key = module_key(path);
    entry->left_out = is_left_out(path, object);
    entry->module = MODULE_NONE;
    if (entry->left_out)
        return;
    size_t size = read_build_id(object, build_id);
    entry->module = module_put(snag_board, path, build_id, size, (int32_t)raw2(SYS_getpid, 0, 0));
}

static const struct mapped *entry_of(const struct dl_find_object *object)
{
    for (size_t i = 0; i < mapped_count; i++)
        if (is_mapped_as(&mapped[i], object))
            return &mapped[i];
    struct mapped *entry = free_entry();
    if (entry)
        fill(entry, object);
    return entry;
}

struct place module_place(uintptr_t address)
{
    struct place place = {.module = MODULE_NONE};
    struct dl_find_object object;
    const struct mapped *entry = module_find(address, &object) ? entry_of(&object) : NULL;
    if (!entry)
        return place;
    place.left_out = entry->left_out;
    place.module = entry->module;
    place.key = entry->key;
    place.offset = address - entry->bias;
    return place;
}

static int register_one(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size;
    (void)data;
    for (unsigned i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD) {
            module_place(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
            break;
        }
    return 0;
}

void module_register_all(void)
{
    dl_iterate_phdr(register_one, NULL);
}

void module_sweep(void (*see)(uintptr_t start, uintptr_t end))
{
    struct dl_find_object object;
    for (size_t i = 0; i < mapped_count; i++) {
        struct mapped *entry = &mapped[i];
        if (entry->start == 0 || (module_find(entry->start, &object) && is_mapped_as(entry, &object)))
            continue;
        see(entry->start, entry->end);
        entry->start = 0;
    }
}

bool module_all_resolved(void)
{
    uint32_t patterns = atomic_load_explicit(&snag_board->pattern_count, memory_order_acquire);
    for (size_t i = 0; i < mapped_count; i++)
        if (mapped[i].start != 0 && mapped[i].module != MODULE_NONE &&
            atomic_load_explicit(&board_module(snag_board, mapped[i].module)->resolved, memory_order_acquire) <
                patterns)
            return false;
    return true;
}
