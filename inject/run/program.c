#include "run/program.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run/target.h"

enum {
    FRAMES_MAX = 64 << 20, /* bytes of .eh_frame that are read */
    GO_MAX = 256 << 20,
};

/* A function of a C library's that makes a system call. */
struct wrapper {
    uint64_t from, to;
    enum call call; /* CALL_NONE: any */
    bool begins;    /* it is no such function: a program or a thread begins there */
};

static struct program *programs;

/* --- Functions around a system call ------------------------------------------------------------------------------- */

/* What is around every call, in glibc and in musl. */
static const char *const any_call[] = {
    "syscall",    "__syscall_cp",     "__syscall_cp_c",        "__syscall_cp_asm",          "sccp",
    "__cp_begin", "__syscall_cancel", "__syscall_cancel_arch", "__internal_syscall_cancel", "__syscall",
};

/* Where programs and threads begin, in musl, which has no unwind tables for that. */
static const char *const beginnings[] = {
    "_start", "_start_c", "__libc_start_main", "libc_start_main_stage2", "start", "start_c11", "__clone", "clone",
};

/* Whether the C function NAME is one to know of: what it is goes to OUT. */
static bool is_known(const char *name, struct wrapper *out)
{
    out->call = CALL_NONE;
    for (size_t i = 0; i < sizeof beginnings / sizeof beginnings[0]; i++)
        out->begins |= strcmp(name, beginnings[i]) == 0;
    for (size_t i = 0; i < sizeof any_call / sizeof any_call[0]; i++)
        if (strcmp(name, any_call[i]) == 0)
            return true;
    if (strncmp(name, "__libc_", 7) == 0)
        name += 7;
    else if (strncmp(name, "__", 2) == 0)
        name += 2;
    for (enum call call = 0; call < CALL_COUNT; call++)
        if (strcmp(name, call_info(call)->name) == 0)
            out->call = call;
    return out->begins || out->call != CALL_NONE;
}

static int add_wrapper(struct program *program, const struct wrapper *wrapper)
{
    struct wrapper *more = realloc(program->wrappers, (program->wrapper_count + 1) * sizeof *more);
    if (more == NULL)
        return -1;
    program->wrappers = more;
    more[program->wrapper_count++] = *wrapper;
    return 0;
}

static void read_symbols(struct program *program, Elf *elf, Elf_Scn *section, const GElf_Shdr *header)
{
    GElf_Sym symbol;
    Elf_Data *data = elf_getdata(section, NULL);
    size_t count = header->sh_entsize > 0 ? (size_t)(header->sh_size / header->sh_entsize) : 0;
    for (int i = 0; data != NULL && (size_t)i < count; i++) {
        if (gelf_getsym(data, i, &symbol) == NULL || GELF_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_size == 0)
            continue;
        const char *name = elf_strptr(elf, header->sh_link, symbol.st_name);
        struct wrapper wrapper = {.from = symbol.st_value, .to = symbol.st_value + symbol.st_size};
        if (name != NULL && is_known(name, &wrapper) && add_wrapper(program, &wrapper) != 0)
            return;
    }
}

/* Go's own library for system calls. */
static bool is_gos(const char *function)
{
    static const char *const packages[] = {"syscall.", "runtime/internal/syscall.", "internal/runtime/syscall."};
    for (size_t i = 0; i < sizeof packages / sizeof packages[0]; i++)
        if (strncmp(function, packages[i], strlen(packages[i])) == 0)
            return true;
    return false;
}

static const struct wrapper *find_wrapper(const struct program *program, enum call call, uint64_t address)
{
    for (size_t i = 0; i < program->wrapper_count; i++) {
        const struct wrapper *wrapper = &program->wrappers[i];
        bool fits = wrapper->call == CALL_NONE || wrapper->call == call;
        if (!wrapper->begins && fits && wrapper->from <= address && address < wrapper->to)
            return wrapper;
    }
    return NULL;
}

bool program_wrapper(const struct program *program, enum call call, uint64_t address, uint64_t *from)
{
    const struct wrapper *wrapper = find_wrapper(program, call, address);
    *from = wrapper != NULL ? wrapper->from : 0;
    return wrapper != NULL;
}

bool program_starts(const struct program *program, uint64_t address)
{
    for (size_t i = 0; i < program->wrapper_count; i++) {
        const struct wrapper *wrapper = &program->wrappers[i];
        if (wrapper->begins && wrapper->from <= address && address < wrapper->to)
            return true;
    }
    return false;
}

bool program_wraps(const struct program *program, enum call call, uint64_t address)
{
    struct gofunction function;
    if (find_wrapper(program, call, address) != NULL)
        return true;
    return program->go.count > 0 && gotable_find(&program->go, address, &function) && is_gos(function.name);
}

/* --- The file ----------------------------------------------------------------------------------------------------- */

static void read_go(struct program *program, int fd, const GElf_Shdr *header)
{
    unsigned char *bytes = header->sh_size <= GO_MAX ? malloc((size_t)header->sh_size + 1) : NULL;
    if (bytes == NULL ||
        pread(fd, bytes, (size_t)header->sh_size, (off_t)header->sh_offset) != (ssize_t)header->sh_size ||
        !gotable_open(&program->go, bytes, (size_t)header->sh_size)) {
        free(bytes);
        program->go.count = 0;
        return;
    }
    program->go_at = header->sh_addr;
    program->go_bytes = bytes;
}

static bool is_static(Elf *elf)
{
    GElf_Phdr header;
    size_t count = 0;
    if (elf_getphdrnum(elf, &count) != 0)
        return false;
    for (size_t i = 0; i < count; i++)
        if (gelf_getphdr(elf, (int)i, &header) != NULL && header.p_type == PT_INTERP)
            return false;
    return true;
}

static void read_section(struct program *program, int fd, Elf *elf, Elf_Scn *section, size_t names)
{
    GElf_Shdr header;
    const char *name = gelf_getshdr(section, &header) != NULL ? elf_strptr(elf, names, header.sh_name) : NULL;
    if (name == NULL)
        return;
    if (strcmp(name, ".eh_frame") == 0 && header.sh_type != SHT_NOBITS) {
        program->frames = header.sh_addr;
        program->frames_size = header.sh_size;
    } else if (strcmp(name, ".gopclntab") == 0 || strcmp(name, ".data.rel.ro.gopclntab") == 0) {
        read_go(program, fd, &header);
    } else if (header.sh_type == SHT_SYMTAB && is_static(elf)) {
        read_symbols(program, elf, section, &header);
    }
}

static void read_file(struct program *program, int fd)
{
    size_t names;
    elf_version(EV_CURRENT);
    Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
    Elf_Scn *section = NULL;
    if (elf != NULL && elf_kind(elf) == ELF_K_ELF && gelf_getclass(elf) == ELFCLASS64 &&
        elf_getshdrstrndx(elf, &names) == 0)
        while ((section = elf_nextscn(elf, section)) != NULL)
            read_section(program, fd, elf, section, names);
    elf_end(elf);
}

struct program *program_at(const char *path, dev_t device, ino_t inode)
{
    struct stat status;
    for (struct program *program = programs; program != NULL; program = program->next)
        if (program->device == device && program->inode == inode)
            return program;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct program *program =
        fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) ? calloc(1, sizeof *program) : NULL;
    if (program != NULL) {
        program->device = device;
        program->inode = inode;
        read_file(program, fd);
        program->next = programs;
        programs = program;
    }
    if (fd >= 0)
        close(fd);
    return program;
}

void programs_forget(void)
{
    while (programs != NULL) {
        struct program *program = programs;
        programs = program->next;
        free(program->entries);
        free(program->wrappers);
        free(program->go_bytes);
        free(program);
    }
}

/* --- .eh_frame without its header --------------------------------------------------------------------------------- */

/* How an address is written in the descriptions that belong to the one at AT, which says so behind "zR". */
static int encoding_of(const unsigned char *bytes, size_t size, size_t at)
{
    size_t i = at + 8; /* behind length and id */
    if (i + 3 >= size || bytes[i] != 1 || bytes[i + 1] != 'z')
        return -1;
    const unsigned char *augmentation = bytes + i + 2;
    const unsigned char *end = memchr(augmentation, '\0', size - i - 2);
    if (end == NULL)
        return -1;
    i = (size_t)(end - bytes) + 1;
    for (int number = 0; number < 4 && i < size; number++) /* alignments, return register, length of what follows */
        while (i < size && bytes[i++] & 0x80) {
        }
    for (; augmentation < end && i < size; augmentation++) {
        if (*augmentation == 'R')
            return bytes[i];
        if (*augmentation == 'L')
            i++;
        else if (*augmentation == 'P')
            i += (bytes[i] & 7) == 4 || (bytes[i] & 7) == 0 ? 9 : 5;
        else if (*augmentation != 'S')
            return -1;
    }
    return -1;
}

enum { PCREL_SDATA4 = 0x1b };

static int compare_entries(const void *left, const void *right)
{
    const struct unwind_entry *a = left, *b = right;
    return a->function < b->function ? -1 : a->function > b->function;
}

static bool add_entry(struct program *program, size_t *room, int32_t function, int32_t description)
{
    if (program->entry_count == *room) {
        size_t more = *room > 0 ? 2 * *room : 256;
        struct unwind_entry *entries = realloc(program->entries, more * sizeof *entries);
        if (entries == NULL)
            return false;
        program->entries = entries;
        *room = more;
    }
    program->entries[program->entry_count++] = (struct unwind_entry){function, description};
    return true;
}

/* Those that are written as every compiler for this machine does it; the others are missing. */
static void find_entries(struct program *program, const unsigned char *bytes, size_t size)
{
    size_t room = 0;
    uint32_t length, back;
    int32_t begin;
    for (size_t at = 0; at + 12 <= size; at += 4 + (size_t)length) {
        memcpy(&length, bytes + at, sizeof length);
        memcpy(&back, bytes + at + 4, sizeof back);
        if (length == 0 || length >= size - at || length < 8)
            return;
        if (back == 0 || back > at + 4 || encoding_of(bytes, size, at + 4 - back) != PCREL_SDATA4)
            continue;
        memcpy(&begin, bytes + at + 8, sizeof begin);
        if (!add_entry(program, &room, (int32_t)(begin + (int64_t)at + 8), (int32_t)at))
            return;
    }
}

bool program_sort(struct program *program, pid_t pid, uint64_t bias)
{
    if (program->sorted)
        return program->entry_count > 0;
    program->sorted = true;
    size_t size = (size_t)program->frames_size;
    unsigned char *bytes = size > 0 && size <= FRAMES_MAX ? malloc(size) : NULL;
    if (bytes != NULL && target_read(pid, bias + program->frames, bytes, size))
        find_entries(program, bytes, size);
    free(bytes);
    if (program->entry_count > 0)
        qsort(program->entries, program->entry_count, sizeof program->entries[0], compare_entries);
    return program->entry_count > 0;
}
