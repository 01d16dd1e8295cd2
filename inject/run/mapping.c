#include "run/mapping.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "run/proc.h"
#include "run/program.h"
#include "run/target.h"

#define DELETED " (deleted)"

enum {
    HEADERS_MAX = 32,  /* program headers of a file; more than any linker makes */
    NOTE_PART = 256,   /* bytes of a note segment that are looked through */
    DYNAMIC_MAX = 128, /* entries of the program's dynamic section */
    LINKS_MAX = 4096,  /* libraries that a loader knows; it may be in the middle of changing the list */
    PAGE = 4096,       /* or a multiple of it: what a segment's address is cut to in its file */
    BUILD_ID_MAX = sizeof((struct module *)NULL)->build_id,
};

/* A line of /proc/PID/maps that belongs to a file. */
struct piece {
    uint64_t start, end;
    size_t file;
};

struct file {
    struct mapped mapped; /* first */
    uint64_t end;
    dev_t device;
    ino_t inode;
    bool code, looked; /* looked: `mapped` is filled */
    char *path;
};

/* A library as the server's loader knows it. */
struct library {
    uint64_t dynamic;
    char *name;
};

struct mappings {
    pid_t pid;
    struct board *board;
    struct piece *pieces;
    size_t piece_count;
    struct file *files;
    size_t file_count;
    struct library *libraries;
    size_t library_count;
    char program[PATH_MAX];
};

/* --- /proc/PID/maps ---------------------------------------------------------------------------------------------- */

static bool is_last_file(const struct mappings *mappings, dev_t device, ino_t inode, uint64_t offset)
{
    const struct file *last = mappings->file_count > 0 ? &mappings->files[mappings->file_count - 1] : NULL;
    return last != NULL && last->device == device && last->inode == inode && offset != 0;
}

static struct file *add_file(struct mappings *mappings, uint64_t start, dev_t device, ino_t inode, const char *path)
{
    struct file *more = realloc(mappings->files, (mappings->file_count + 1) * sizeof *more);
    if (more == NULL)
        return NULL;
    mappings->files = more;
    struct file *file = &more[mappings->file_count];
    *file = (struct file){.mapped = {.start = start}, .device = device, .inode = inode, .path = strdup(path)};
    if (file->path == NULL)
        return NULL;
    mappings->file_count++;
    char *deleted = strstr(file->path, DELETED); /* said of a program that was replaced: it keeps its call sites */
    if (deleted != NULL && deleted[sizeof DELETED - 1] == '\0')
        *deleted = '\0';
    return file;
}

static int add_piece(struct mappings *mappings, uint64_t start, uint64_t end)
{
    struct piece *more = realloc(mappings->pieces, (mappings->piece_count + 1) * sizeof *more);
    if (more == NULL)
        return -1;
    mappings->pieces = more;
    more[mappings->piece_count++] = (struct piece){start, end, mappings->file_count - 1};
    return 0;
}

/* The pieces of a file follow each other, the one with its head first. */
static int take_line(struct mappings *mappings, const char *line)
{
    uint64_t start, end, offset, inode;
    unsigned major, minor;
    char rights[8];
    int path = 0;
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %x:%x %" SCNu64 " %n", &start, &end, rights, &offset,
               &major, &minor, &inode, &path) != 7 ||
        path == 0 || (inode == 0 && strcmp(line + path, "[vdso]") != 0))
        return 0;
    dev_t device = makedev(major, minor);
    if (!is_last_file(mappings, device, (ino_t)inode, offset) &&
        add_file(mappings, start, device, (ino_t)inode, line + path) == NULL)
        return -1;
    struct file *file = &mappings->files[mappings->file_count - 1];
    file->end = end;
    file->code |= strchr(rights, 'x') != NULL;
    return add_piece(mappings, start, end);
}

static int read_maps(struct mappings *mappings)
{
    char path[64], *line = NULL;
    size_t size = 0;
    int result = 0;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)mappings->pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return -1;
    while (result == 0 && getline(&line, &size, file) > 0) {
        line[strcspn(line, "\n")] = '\0';
        result = take_line(mappings, line);
    }
    free(line);
    fclose(file);
    return result;
}

/* --- A file in memory -------------------------------------------------------------------------------------------- */

struct headers {
    ElfW(Phdr) list[HEADERS_MAX];
    size_t count;
};

static bool read_headers(pid_t pid, uint64_t start, ElfW(Ehdr) * head, struct headers *out)
{
    out->count = 0;
    if (!target_read(pid, start, head, sizeof *head) || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 ||
        head->e_phnum > HEADERS_MAX || head->e_phentsize != sizeof out->list[0] ||
        !target_read(pid, start + head->e_phoff, out->list, head->e_phnum * sizeof out->list[0]))
        return false;
    out->count = head->e_phnum;
    return true;
}

/* What is added to the file's own addresses. */
static uint64_t bias_of(const struct headers *headers, uint64_t start)
{
    for (size_t i = 0; i < headers->count; i++)
        if (headers->list[i].p_type == PT_LOAD && headers->list[i].p_offset < PAGE)
            return start - (headers->list[i].p_vaddr - headers->list[i].p_offset);
    return start;
}

/* Looks for the build id in a note segment that is at ADDRESS; returns its length, and in *AT where it is. */
static size_t find_build_id(const unsigned char *notes, size_t size, uint64_t address, uint64_t *at)
{
    ElfW(Nhdr) note;
    for (size_t done = 0; size - done >= sizeof note;) {
        memcpy(&note, notes + done, sizeof note);
        size_t left = size - done - sizeof note;
        size_t name = (note.n_namesz + (size_t)3) & ~(size_t)3, text = (note.n_descsz + (size_t)3) & ~(size_t)3;
        if (name > left || text > left - name)
            return 0;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && memcmp(notes + done + sizeof note, "GNU", 4) == 0) {
            *at = address + done + sizeof note + name;
            return note.n_descsz < BUILD_ID_MAX ? note.n_descsz : BUILD_ID_MAX;
        }
        done += sizeof note + name + text;
    }
    return 0;
}

/* Fills the mark of MAPPED; returns how much of it is a build id. */
static size_t read_mark(pid_t pid, const struct headers *headers, struct mapped *mapped)
{
    unsigned char notes[NOTE_PART];
    size_t length = 0;
    for (size_t i = 0; i < headers->count && length == 0; i++) {
        const ElfW(Phdr) *header = &headers->list[i];
        size_t size = header->p_memsz < sizeof notes ? header->p_memsz : sizeof notes;
        if (header->p_type == PT_NOTE && target_read(pid, mapped->bias + header->p_vaddr, notes, size))
            length = find_build_id(notes, size, mapped->bias + header->p_vaddr, &mapped->mark_at);
    }
    mapped->mark_size = length;
    if (length == 0) {
        mapped->mark_at = mapped->start;
        mapped->mark_size = MARK_MAX;
    }
    if (!target_read(pid, mapped->mark_at, mapped->mark, mapped->mark_size))
        mapped->mark_size = 0;
    return mapped->mark_size > 0 ? length : 0;
}

static uint64_t table_of(const struct headers *headers, uint64_t bias)
{
    for (size_t i = 0; i < headers->count; i++)
        if (headers->list[i].p_type == PT_GNU_EH_FRAME)
            return bias + headers->list[i].p_vaddr;
    return 0;
}

/* --- What the loader calls it ------------------------------------------------------------------------------------ */

static void read_text(pid_t pid, uint64_t at, char out[PATH_MAX])
{
    size_t length = 0;
    while (length < PATH_MAX - 1 && target_read(pid, at + length, &out[length], 1) && out[length] != '\0')
        length++;
    out[length] = '\0';
}

/* What MAPPINGS's program says of its loader's list of libraries: the head of that; 0: nothing. */
static uint64_t find_links(const struct mappings *mappings, const struct headers *headers, uint64_t bias)
{
    ElfW(Dyn) entry;
    struct r_debug debug;
    for (size_t i = 0; i < headers->count; i++)
        for (size_t k = 0; headers->list[i].p_type == PT_DYNAMIC && k < DYNAMIC_MAX; k++) {
            uint64_t at = bias + headers->list[i].p_vaddr + k * sizeof entry;
            if (!target_read(mappings->pid, at, &entry, sizeof entry) || entry.d_tag == DT_NULL)
                return 0;
            if (entry.d_tag == DT_DEBUG)
                return target_read(mappings->pid, entry.d_un.d_ptr, &debug, sizeof debug) ? (uintptr_t)debug.r_map : 0;
        }
    return 0;
}

static void add_library(struct mappings *mappings, uint64_t dynamic, const char *name)
{
    struct library *more = realloc(mappings->libraries, (mappings->library_count + 1) * sizeof *more);
    if (more == NULL)
        return;
    mappings->libraries = more;
    more[mappings->library_count] = (struct library){dynamic, strdup(name)};
    mappings->library_count += more[mappings->library_count].name != NULL;
}

static void read_libraries(struct mappings *mappings, uint64_t program)
{
    ElfW(Ehdr) head;
    struct headers headers;
    struct link_map map;
    char name[PATH_MAX];
    if (!read_headers(mappings->pid, program, &head, &headers))
        return;
    uint64_t link = find_links(mappings, &headers, bias_of(&headers, program));
    for (size_t i = 0; i < LINKS_MAX && link != 0 && target_read(mappings->pid, link, &map, sizeof map); i++) {
        read_text(mappings->pid, (uintptr_t)map.l_name, name);
        if (name[0] != '\0')
            add_library(mappings, (uintptr_t)map.l_ld, name);
        link = (uintptr_t)map.l_next;
    }
}

/* The path of FILE, absolute, as the loader was asked for it. */
static void copy_path(const struct mappings *mappings, const struct file *file, char out[PATH_MAX])
{
    const char *name = file->path;
    char folder[PATH_MAX];
    for (size_t i = 0; i < mappings->library_count; i++)
        if (file->mapped.start <= mappings->libraries[i].dynamic && mappings->libraries[i].dynamic < file->end)
            name = mappings->libraries[i].name;
    if (*name == '/' || *name == '[' || proc_cwd(mappings->pid, folder) != 0)
        folder[0] = '\0';
    int length = snprintf(out, PATH_MAX, "%s%s%s", folder, folder[0] != '\0' ? "/" : "", name);
    if (length >= PATH_MAX)
        snprintf(out, PATH_MAX, "%s", file->path);
}

/* --- All of it --------------------------------------------------------------------------------------------------- */

static void look_at(const struct mappings *mappings, struct file *file)
{
    ElfW(Ehdr) head;
    struct headers headers;
    struct mapped *mapped = &file->mapped;
    char path[PATH_MAX];
    file->looked = true;
    mapped->module = MODULE_NONE;
    copy_path(mappings, file, path);
    mapped->key = module_key(path);
    mapped->is_program = strcmp(file->path, mappings->program) == 0;
    mapped->left_out = module_is_left_out(path) || file->inode == 0;
    mapped->bias = mapped->start;
    if (!read_headers(mappings->pid, mapped->start, &head, &headers))
        return;
    mapped->bias = bias_of(&headers, mapped->start);
    mapped->table = table_of(&headers, mapped->bias);
    size_t length = read_mark(mappings->pid, &headers, mapped);
    if (!mapped->left_out)
        mapped->module = module_put(mappings->board, path, mapped->mark, length, mappings->pid);
}

struct mappings *mappings_read(pid_t pid, struct board *board)
{
    struct mappings *mappings = calloc(1, sizeof *mappings);
    if (mappings == NULL)
        return NULL;
    mappings->pid = pid;
    mappings->board = board;
    proc_exe(pid, mappings->program);
    char *deleted = strstr(mappings->program, DELETED);
    if (deleted != NULL)
        *deleted = '\0';
    if (read_maps(mappings) != 0) {
        int saved = errno;
        mappings_free(mappings);
        errno = saved;
        return NULL;
    }
    for (size_t i = 0; i < mappings->file_count; i++)
        if (strcmp(mappings->files[i].path, mappings->program) == 0) {
            read_libraries(mappings, mappings->files[i].mapped.start);
            break;
        }
    return mappings;
}

void mappings_free(struct mappings *mappings)
{
    if (mappings == NULL)
        return;
    for (size_t i = 0; i < mappings->file_count; i++)
        free(mappings->files[i].path);
    for (size_t i = 0; i < mappings->library_count; i++)
        free(mappings->libraries[i].name);
    free(mappings->files);
    free(mappings->pieces);
    free(mappings->libraries);
    free(mappings);
}

const struct mapped *mappings_find(const struct mappings *mappings, uint64_t address)
{
    size_t low = 0, high = mappings->piece_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct piece *piece = &mappings->pieces[middle];
        if (address < piece->start)
            high = middle;
        else if (address >= piece->end)
            low = middle + 1;
        else {
            struct file *file = &mappings->files[piece->file];
            if (!file->looked)
                look_at(mappings, file);
            return &file->mapped;
        }
    }
    return NULL;
}

struct program *mappings_program(const struct mappings *mappings, const struct mapped *mapped)
{
    const struct file *file = (const struct file *)(const void *)mapped;
    char path[64];
    if (!mapped->is_program)
        return NULL;
    snprintf(path, sizeof path, "/proc/%d/exe", (int)mappings->pid);
    return program_at(path, file->device, file->inode);
}

void mappings_register(const struct mappings *mappings)
{
    for (size_t i = 0; i < mappings->file_count; i++)
        if (mappings->files[i].code)
            mappings_find(mappings, mappings->files[i].mapped.start);
}
