#include "run/reach.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

enum {
    SCRIPT_DEPTH = 4,    /* levels of #!, as many as the kernel follows */
    SCRIPT_LINE = 256,   /* bytes of a #! line that the kernel reads */
    HEADERS_MAX = 128,   /* program headers that are looked at */
    SECTIONS_MAX = 1024, /* sections that are looked at, for Go's marks */
    NAMES_MAX = 1 << 20, /* bytes of section names */
    NOTES_MAX = 1 << 16, /* bytes of one note segment */
    DYNAMIC_MAX = 512,   /* entries of the dynamic section that are looked at */
};

/* Commands that start the server somewhere else: as another user, under another parent, or on another machine. */
static const struct refused {
    const char *name;
    const char *instead;
} refused[] = {
    {"docker", "docker asks a daemon to start it; run snag inside the container, around the server itself"},
    {"podman", "podman hands it to a runtime of its own; run snag inside the container, around the server itself"},
    {"nerdctl", "nerdctl asks a daemon to start it; run snag inside the container, around the server itself"},
    {"kubectl", "kubectl starts it on another machine; run snag inside the container, around the server itself"},
    {"systemctl", "systemd starts it, not this command; give snag the command of the unit's ExecStart= line"},
    {"systemd-run", "systemd starts it, not this command; give snag the command itself"},
    {"machinectl", "it starts in another machine or session; run snag there, around the server itself"},
    {"sudo", "it drops LD_PRELOAD; run it the other way round: sudo snag run ... -- SERVER"},
    {"doas", "it drops LD_PRELOAD; run it the other way round: doas snag run ... -- SERVER"},
    {"su", "it drops LD_PRELOAD; run it the other way round: su USER -c 'snag run ... -- SERVER'"},
    {"runuser", "run it the other way round: runuser -u USER -- snag run ... -- SERVER"},
    {"ssh", "the server runs on another machine; run snag there, around the server itself"},
};

static void refuse(struct reach *out, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void refuse(struct reach *out, int status, const char *format, ...)
{
    va_list arguments;
    out->status = status;
    va_start(arguments, format);
    vsnprintf(out->why, sizeof out->why, format, arguments);
    va_end(arguments);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static bool is_refused(const char *command, struct reach *out)
{
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (strcmp(base_name(command), refused[i].name) == 0) {
            refuse(out, 125, "%s can't be run under snag: %s", refused[i].name, refused[i].instead);
            return true;
        }
    return false;
}

/* Whether PATH could be executed; fills OUT with why not. */
static bool is_executable(const char *path, struct reach *out)
{
    struct stat status;
    if (stat(path, &status) != 0)
        refuse(out, errno == ENOENT || errno == ENOTDIR ? 127 : 126, "%s: %s", path, strerror(errno));
    else if (S_ISDIR(status.st_mode))
        refuse(out, 126, "%s is a directory", path);
    else if (!S_ISREG(status.st_mode))
        refuse(out, 126, "%s is not a regular file", path);
    else if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) != 0)
        refuse(out, 126, "%s has no permission to be executed (chmod +x)", path);
    else
        return true;
    return false;
}

/* Finds COMMAND as execvp(3) does: a file that may not be executed does not end the search. */
static bool find_command(const char *command, struct reach *out)
{
    const char *path = getenv("PATH");
    bool seen = false;
    if (command[0] == '\0') {
        refuse(out, 127, "the command is empty");
        return false;
    }
    if (strchr(command, '/') != NULL) {
        snprintf(out->path, sizeof out->path, "%s", command);
        return is_executable(out->path, out);
    }
    for (const char *part = path != NULL ? path : "/bin:/usr/bin"; part != NULL;) {
        size_t length = strcspn(part, ":");
        int written =
            snprintf(out->path, sizeof out->path, "%.*s%s%s", (int)length, part, length ? "/" : "./", command);
        if (written > 0 && (size_t)written < sizeof out->path && access(out->path, F_OK) == 0) {
            struct stat status;
            if (is_executable(out->path, out)) {
                out->status = 0;
                out->why[0] = '\0';
                return true;
            }
            seen = seen || (stat(out->path, &status) == 0 && S_ISREG(status.st_mode));
        }
        part = part[length] == ':' ? part + length + 1 : NULL;
    }
    if (!seen)
        refuse(out, 127, "%s: not found in PATH", command);
    return false;
}

/* Reads LENGTH bytes at OFFSET, all of them. */
static bool read_at(int fd, void *to, size_t length, uint64_t offset)
{
    return offset <= INT64_MAX && pread(fd, to, length, (off_t)offset) == (ssize_t)length;
}

/* Whether a segment of notes holds one of Go's. */
static bool notes_of_go(int fd, const Elf64_Phdr *segment)
{
    size_t size = segment->p_filesz < NOTES_MAX ? (size_t)segment->p_filesz : NOTES_MAX;
    unsigned char *notes = malloc(size ? size : 1);
    bool found = false;
    if (notes != NULL && read_at(fd, notes, size, segment->p_offset))
        for (size_t at = 0; !found && at + sizeof(Elf64_Nhdr) <= size;) {
            Elf64_Nhdr note;
            memcpy(&note, notes + at, sizeof note);
            at += sizeof note;
            found = note.n_namesz == 4 && at + 4 <= size && memcmp(notes + at, "Go\0\0", 4) == 0;
            uint64_t skip =
                (((uint64_t)note.n_namesz + 3) & ~UINT64_C(3)) + (((uint64_t)note.n_descsz + 3) & ~UINT64_C(3));
            at = skip > size ? size : at + (size_t)skip;
        }
    free(notes);
    return found;
}

/* Whether a section is called .go.buildinfo: Go with cgo has libc, and still makes its own system calls. */
static bool sections_of_go(int fd, const Elf64_Ehdr *header)
{
    Elf64_Shdr section, names;
    bool found = false;
    if (header->e_shentsize != sizeof section || header->e_shstrndx >= header->e_shnum ||
        !read_at(fd, &names, sizeof names, header->e_shoff + header->e_shstrndx * sizeof names) || names.sh_size == 0 ||
        names.sh_size > NAMES_MAX)
        return false;
    char *text = calloc(1, (size_t)names.sh_size + 1);
    if (text != NULL && read_at(fd, text, (size_t)names.sh_size, names.sh_offset))
        for (size_t i = 0; !found && i < header->e_shnum && i < SECTIONS_MAX; i++)
            found = read_at(fd, &section, sizeof section, header->e_shoff + i * sizeof section) &&
                    section.sh_name < names.sh_size && strcmp(text + section.sh_name, ".go.buildinfo") == 0;
    free(text);
    return found;
}

/* The machine that we run on, as our own program's header says it. */
static uint16_t own_machine(void)
{
    Elf64_Ehdr header = {0};
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return EM_NONE;
    bool read = read_at(fd, &header, sizeof header, 0);
    close(fd);
    return read ? header.e_machine : EM_NONE;
}

/* Reads the path of the loader, which SEGMENT holds. */
static bool read_loader(int fd, const Elf64_Phdr *segment, char loader[PATH_MAX])
{
    size_t size = segment->p_filesz < PATH_MAX - 1 ? (size_t)segment->p_filesz : PATH_MAX - 1;
    memset(loader, 0, PATH_MAX);
    return read_at(fd, loader, size, segment->p_offset);
}

/* musl's loader is called ld-musl-x86_64.so.1, ... */
static bool is_loader_of_musl(const char *loader)
{
    return strncmp(base_name(loader), "ld-musl-", 8) == 0;
}

/* glibc's is called ld-linux-x86-64.so.2, ld-linux-aarch64.so.1, ld64.so.2, ... */
static bool is_loader_of_glibc(const char *loader)
{
    const char *name = base_name(loader);
    return strncmp(name, "ld-linux", 8) == 0 || strncmp(name, "ld64.so", 7) == 0 || strncmp(name, "ld.so", 5) == 0;
}

static const char *loader_fault(int fd, const Elf64_Phdr *segment)
{
    char loader[PATH_MAX];
    if (!read_loader(fd, segment, loader) || is_loader_of_musl(loader) || is_loader_of_glibc(loader))
        return NULL;
    return "it is built for another libc than glibc and musl";
}

/* Reads the program headers.  Returns how many, -1 if they can't be read. */
static int read_segments(int fd, const Elf64_Ehdr *header, Elf64_Phdr segments[HEADERS_MAX])
{
    int count = header->e_phnum < HEADERS_MAX ? header->e_phnum : HEADERS_MAX;
    bool read = header->e_phentsize == sizeof segments[0] &&
                read_at(fd, segments, (size_t)count * sizeof segments[0], header->e_phoff);
    return read ? count : -1;
}

static const char *elf64_fault(int fd, const Elf64_Ehdr *header)
{
    Elf64_Phdr segments[HEADERS_MAX];
    const char *fault = "it is linked statically, so no library can be preloaded into it";
    if (header->e_machine != own_machine())
        return "it is built for another machine";
    int count = read_segments(fd, header, segments);
    if (count < 0)
        return NULL;
    for (int i = 0; i < count; i++)
        if (segments[i].p_type == PT_NOTE && notes_of_go(fd, &segments[i]))
            return "it is a Go program, which makes its system calls without libc";
    if (sections_of_go(fd, header))
        return "it is a Go program, which makes its system calls without libc";
    for (int i = 0; i < count; i++)
        if (segments[i].p_type == PT_INTERP)
            fault = loader_fault(fd, &segments[i]);
    return fault;
}

static bool elf64_is_for_musl(int fd, const Elf64_Ehdr *header)
{
    Elf64_Phdr segments[HEADERS_MAX];
    char loader[PATH_MAX];
    int count = read_segments(fd, header, segments);
    for (int i = 0; i < count; i++)
        if (segments[i].p_type == PT_INTERP)
            return read_loader(fd, &segments[i], loader) && is_loader_of_musl(loader);
    return false;
}

static bool read_header(int fd, Elf64_Ehdr *header)
{
    return read_at(fd, header, sizeof *header, 0) && memcmp(header->e_ident, ELFMAG, SELFMAG) == 0;
}

static const char *elf_fault(int fd)
{
    Elf64_Ehdr header = {0};
    if (!read_header(fd, &header))
        return NULL;
    if (header.e_ident[EI_CLASS] == ELFCLASS32 && sizeof(void *) == 8)
        return "it is a 32-bit program";
    if (header.e_ident[EI_CLASS] != ELFCLASS64)
        return NULL;
    return elf64_fault(fd, &header);
}

/* An exec that would change who runs. */
static const char *gain_of(const char *path, int fd)
{
    struct stat status;
    struct statvfs mount;
    if (fstat(fd, &status) != 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ||
        (fstatvfs(fd, &mount) == 0 && (mount.f_flag & ST_NOSUID)))
        return NULL;
    if ((status.st_mode & S_ISUID) && status.st_uid != geteuid())
        return "it runs as another user (setuid)";
    if ((status.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && status.st_gid != getegid())
        return "it runs as another group (setgid)";
    if (geteuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0)
        return "it has file capabilities";
    return NULL;
}

/* What makes the loader ignore LD_PRELOAD (AT_SECURE). */
static const char *secure_fault(const char *path, int fd)
{
    static _Thread_local char fault[80];
    const char *gain = gain_of(path, fd);
    if (gain != NULL)
        snprintf(fault, sizeof fault, "%s, so the loader ignores LD_PRELOAD", gain);
    return gain != NULL ? fault : NULL;
}

const char *reach_gain(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return NULL;
    const char *gain = gain_of(path, fd);
    close(fd);
    return gain;
}

bool reach_may_gain(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    return syscall(SYS_capget, &header, data) == 0 &&
           (data[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective & CAP_TO_MASK(CAP_SYS_ADMIN));
}

const char *reach_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return NULL;
    const char *fault = elf_fault(fd);
    if (fault == NULL)
        fault = secure_fault(path, fd);
    close(fd);
    return fault;
}

/* Where in the file the byte is that is loaded at ADDRESS; UINT64_MAX: nowhere. */
static uint64_t offset_of(uint64_t address, const Elf64_Phdr *segments, int count)
{
    for (int i = 0; i < count; i++)
        if (segments[i].p_type == PT_LOAD && address >= segments[i].p_vaddr &&
            address - segments[i].p_vaddr < segments[i].p_filesz)
            return segments[i].p_offset + (address - segments[i].p_vaddr);
    return UINT64_MAX;
}

/* Reads the dynamic section's entries.  Returns how many. */
static size_t read_dynamic(int fd, const Elf64_Phdr *segments, int count, Elf64_Dyn entries[DYNAMIC_MAX])
{
    for (int i = 0; i < count; i++) {
        if (segments[i].p_type != PT_DYNAMIC)
            continue;
        uint64_t size = segments[i].p_filesz / sizeof entries[0];
        size_t read = size < DYNAMIC_MAX ? (size_t)size : DYNAMIC_MAX;
        return read_at(fd, entries, read * sizeof entries[0], segments[i].p_offset) ? read : 0;
    }
    return 0;
}

static bool elf64_needs(int fd, const Elf64_Ehdr *header, const char *library)
{
    Elf64_Phdr segments[HEADERS_MAX];
    Elf64_Dyn entries[DYNAMIC_MAX];
    char name[NAME_MAX];
    uint64_t names = UINT64_MAX;
    int count = read_segments(fd, header, segments);
    size_t length = strlen(library), size = read_dynamic(fd, segments, count, entries);
    for (size_t i = 0; i < size; i++)
        if (entries[i].d_tag == DT_STRTAB)
            names = offset_of(entries[i].d_un.d_ptr, segments, count);
    for (size_t i = 0; i < size && names != UINT64_MAX; i++)
        if (entries[i].d_tag == DT_NEEDED && length <= sizeof name &&
            read_at(fd, name, length, names + entries[i].d_un.d_val) && memcmp(name, library, length) == 0)
            return true;
    return false;
}

bool reach_needs(const char *path, const char *library)
{
    Elf64_Ehdr header = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    bool needs =
        read_header(fd, &header) && header.e_ident[EI_CLASS] == ELFCLASS64 && elf64_needs(fd, &header, library);
    close(fd);
    return needs;
}

static bool is_for_musl(const char *path)
{
    Elf64_Ehdr header = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    bool is = read_header(fd, &header) && header.e_ident[EI_CLASS] == ELFCLASS64 && elf64_is_for_musl(fd, &header);
    close(fd);
    return is;
}

/* Reads the program of a #! line into INTERPRETER.  Returns whether PATH is a script that names one. */
static bool read_interpreter(const char *path, char interpreter[PATH_MAX])
{
    char line[SCRIPT_LINE] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    ssize_t length = pread(fd, line, sizeof line - 1, 0);
    close(fd);
    if (length < 3 || line[0] != '#' || line[1] != '!')
        return false;
    line[strcspn(line, "\r\n")] = '\0';
    char *name = line + 2 + strspn(line + 2, " \t");
    name[strcspn(name, " \t")] = '\0';
    snprintf(interpreter, PATH_MAX, "%s", name);
    return name[0] != '\0';
}

/* Says why PATH, the command itself or an interpreter of it, keeps us out: FAULT, if that is not NULL. */
static void judge(const char *path, const char *fault, struct reach *out)
{
    if (fault == NULL)
        return;
    out->by_file = true;
    if (strcmp(path, out->path) == 0)
        refuse(out, 125, "%s can't be reached: %s", path, fault);
    else
        refuse(out, 125, "%s can't be reached: its interpreter is %s, and %s", out->path, path, fault);
}

/* Finds the program that COMMAND executes. */
static void find_program(const char *command, struct reach *out)
{
    char next[PATH_MAX];
    memset(out, 0, sizeof *out);
    if (is_refused(command, out) || !find_command(command, out))
        return;
    memcpy(out->program, out->path, sizeof out->program);
    for (int depth = 0; depth < SCRIPT_DEPTH && read_interpreter(out->program, next); depth++) {
        memcpy(out->program, next, sizeof out->program);
        if (!is_executable(out->program, out)) {
            char why[REACH_WHY_MAX];
            memcpy(why, out->why, sizeof why);
            refuse(out, out->status, "%s: its interpreter can't be run: %.*s", out->path, PATH_MAX, why);
            return;
        }
    }
}

void reach_command(const char *command, struct reach *out)
{
    find_program(command, out);
    if (out->status == 0)
        judge(out->program, reach_file(out->program), out);
    if (out->status == 0 && is_for_musl(out->program)) {
        out->siteless = true;
        snprintf(out->why, sizeof out->why, "%s is for musl, where the shim finds no call sites", out->program);
    }
}

/* Neither loader nor libc matter, but the system calls must be this machine's. */
static const char *outside_fault(const char *path)
{
    static _Thread_local char fault[160];
    Elf64_Ehdr header = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return NULL;
    bool elf = read_header(fd, &header);
    close(fd);
    if (elf && header.e_ident[EI_CLASS] == ELFCLASS32 && sizeof(void *) == 8)
        return "it is a 32-bit program";
    if (elf && header.e_machine != own_machine())
        return "it is built for another machine";
    const char *gain = reach_gain(path);
    if (gain == NULL || reach_may_gain())
        return NULL;
    snprintf(fault, sizeof fault,
             "%s, which a filter would keep it from (no_new_privs); it needs CAP_SYS_ADMIN, so run snag as root", gain);
    return fault;
}

void reach_outside(const char *command, struct reach *out)
{
    find_program(command, out);
    if (out->status == 0)
        judge(out->program, outside_fault(out->program), out);
}
