/*
 * wrap_exec.c - exec and posix_spawn: a program that is started belongs to the session, whatever happened to the
 * environment (env -i, a daemon that cleans up).  LD_PRELOAD and SNAG_BOARD are put back, and snag is told, so that a
 * program that does not attach then (a static one) is reported.
 *
 * All of it may run in a vfork child, which borrows its parent's memory: what must be built is built on the stack, and
 * nothing is allocated.
 */
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hook.h"
#include "memory.h"
#include "raw.h"
#include "real.h"
#include "record.h"

#define PRELOAD "LD_PRELOAD="
#define BOARD "SNAG_BOARD="

enum {
    ENTRIES_HERE = 256, /* what is built on the stack; more goes into a mapping of its own */
    TEXT_HERE = 1024 + 2 * BOARD_PATH_MAX,
    PATH_PART = 64,
};

/* The environment of a program that is started.  Begins with environment_begin(), ends with environment_end(). */
struct environment {
    char *const *envp; /* what the program is to get; the caller's own if that can't be read */
    char *list[ENTRIES_HERE];
    char text[TEXT_HERE];
    void *mapped;
    size_t mapped_size;
};

/* Whether TEXT can be read up to its end; at least a part of it, which is all that we look at. */
static bool text_is_there(const char *text)
{
    char c = 0;
    return memory_copy(&c, text, 1);
}

/* Sets *COUNT to the number of entries of ENVP.  Returns false where the kernel would say EFAULT. */
static bool count_entries(char *const envp[], size_t *count)
{
    char *entry = NULL;
    *count = 0;
    if (!envp)
        return true;
    while (memory_copy(&entry, &envp[*count], sizeof entry)) {
        if (!entry)
            return true;
        if (!text_is_there(entry))
            return false;
        ++*count;
    }
    return false;
}

/* Returns the value of NAME ("X=") in ENVP, NULL if it is not there. */
static const char *find(char *const envp[], const char *name)
{
    size_t length = strlen(name);
    for (; envp && *envp; envp++)
        if (strncmp(*envp, name, length) == 0)
            return *envp + length;
    return NULL;
}

/* Is the shim among the libraries that OLD, a value of LD_PRELOAD, names? */
static bool preloads_us(const char *old)
{
    size_t length = strlen(snag_board->shim_path);
    for (const char *at = old; at && (at = strstr(at, snag_board->shim_path)) != NULL; at += length) {
        bool starts = at == old || at[-1] == ':' || at[-1] == ' ';
        if (starts && (at[length] == 0 || at[length] == ':' || at[length] == ' '))
            return true;
    }
    return false;
}

/* Copies ENVP to LIST with our two variables in their places; what must be written is written to TEXT. */
static void fill(char *const envp[], char **list, char *text)
{
    const char *old = find(envp, PRELOAD);
    size_t count = 0;
    char *end = stpcpy(stpcpy(text, PRELOAD), preloads_us(old) ? old : snag_board->shim_path);
    if (old && *old && !preloads_us(old))
        end = stpcpy(stpcpy(end, ":"), old);
    stpcpy(stpcpy(end + 1, BOARD), snag_board->board_path);

    for (; envp && *envp; envp++)
        if (strncmp(*envp, PRELOAD, sizeof PRELOAD - 1) != 0 && strncmp(*envp, BOARD, sizeof BOARD - 1) != 0)
            list[count++] = *envp;
    list[count++] = text;
    list[count++] = end + 1;
    list[count] = NULL;
}

/* A vfork child's mapping stays behind in its parent: only environments of hundreds of entries get one. */
static void environment_begin(struct environment *environment, char *const envp[])
{
    size_t entries;
    environment->envp = envp;
    environment->mapped = NULL;
    if (!count_entries(envp, &entries))
        return;
    const char *old = find(envp, PRELOAD);
    size_t text = sizeof PRELOAD + sizeof BOARD + (size_t)2 * BOARD_PATH_MAX + (old ? strlen(old) : 0) + 2;
    size_t list = (entries + 3) * sizeof(char *);
    if (list <= sizeof environment->list && text <= sizeof environment->text) {
        fill(envp, environment->list, environment->text);
        environment->envp = environment->list;
        return;
    }
    long at = snag_raw(SYS_mmap, 0, (long)(list + text), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at < 0 && at > -4096)
        return;
    environment->mapped = (void *)(intptr_t)at;
    environment->mapped_size = list + text;
    fill(envp, environment->mapped, (char *)environment->mapped + list);
    environment->envp = environment->mapped;
}

static void environment_end(struct environment *environment)
{
    if (environment->mapped)
        raw2(SYS_munmap, raw_pointer(environment->mapped), (long)environment->mapped_size);
}

/* Copies what of PATH can be read, in parts, for it may end where memory does.  Returns the length, the NUL included. */
static size_t copy_path(char out[EVENT_PAYLOAD_MAX], const char *path)
{
    size_t length = 0;
    while (length + PATH_PART <= EVENT_PAYLOAD_MAX) {
        size_t part = PATH_PART;
        while (part > 0 && !memory_copy(out + length, path + length, part))
            part /= 2;
        if (part == 0)
            return length;
        const char *end = memchr(out + length, 0, part);
        if (end)
            return (size_t)(end - out) + 1;
        length += part;
    }
    return length;
}

/* The pid is given, for a vfork child's state is its parent's. */
static void report(enum event_kind kind, uint64_t t_ns, pid_t pid, const char *path, int error)
{
    char copy[EVENT_PAYLOAD_MAX];
    uint64_t position;
    struct event *event = record_begin(kind, copy, copy_path(copy, path), &position);
    if (!event)
        return;
    event->t_ns = t_ns;
    event->pid = event->tid = pid;
    event->err = (uint16_t)error;
    record_end(event, position);
}

static pid_t own_pid(void)
{
    return (pid_t)raw2(SYS_getpid, 0, 0);
}

static void exec_begin(struct environment *environment, const char *path, char *const envp[])
{
    environment_begin(environment, envp);
    report(EVENT_EXEC, session_stamp(), own_pid(), path, 0);
}

/* An exec came back: it failed, and errno says why. */
static int exec_failed(struct environment *environment, const char *path)
{
    report(EVENT_EXEC_FAILED, session_stamp(), own_pid(), path, errno);
    environment_end(environment);
    return -1;
}

WRAPPER int execve(const char *path, char *const argv[], char *const envp[])
{
    if (!snag_board)
        return REAL(execve)(path, argv, envp);
    struct environment environment;
    exec_begin(&environment, path, envp);
    REAL(execve)(path, argv, environment.envp);
    return exec_failed(&environment, path);
}

WRAPPER int execvpe(const char *file, char *const argv[], char *const envp[])
{
    if (!snag_board)
        return REAL(execvpe)(file, argv, envp);
    struct environment environment;
    exec_begin(&environment, file, envp);
    REAL(execvpe)(file, argv, environment.envp);
    return exec_failed(&environment, file);
}

/* libc has a function for it since glibc 2.34; programs made the system call before. */
static int really_execveat(int folder, const char *path, char *const argv[], char *const envp[], int flags)
{
    if (REAL(execveat))
        return REAL(execveat)(folder, path, argv, envp, flags);
    errno = (int)-snag_raw(SYS_execveat, folder, raw_pointer(path), raw_pointer(argv), raw_pointer(envp), flags, 0);
    return -1;
}

WRAPPER int execveat(int folder, const char *path, char *const argv[], char *const envp[], int flags)
{
    if (!snag_board)
        return really_execveat(folder, path, argv, envp, flags);
    struct environment environment;
    exec_begin(&environment, path, envp);
    really_execveat(folder, path, argv, environment.envp, flags);
    return exec_failed(&environment, path);
}

WRAPPER int fexecve(int fd, char *const argv[], char *const envp[])
{
    if (!snag_board)
        return REAL(fexecve)(fd, argv, envp);
    struct environment environment;
    exec_begin(&environment, NULL, envp);
    REAL(fexecve)(fd, argv, environment.envp);
    return exec_failed(&environment, NULL);
}

WRAPPER int execv(const char *path, char *const argv[])
{
    return execve(path, argv, environ);
}

WRAPPER int execvp(const char *file, char *const argv[])
{
    return execvpe(file, argv, environ);
}

/* The forms with a list: counted first, then collected. */
static size_t count_arguments(va_list arguments)
{
    size_t count = 1;
    while (va_arg(arguments, char *) != NULL)
        count++;
    return count;
}

/* By address: execle reads on behind the list. */
static void collect_arguments(char **argv, const char *first, size_t count, va_list *arguments)
{
    argv[0] = (char *)(uintptr_t)first;
    for (size_t i = 1; i <= count; i++)
        argv[i] = va_arg(*arguments, char *);
}

#define COLLECT(argv, first) \
    va_list counted, arguments; \
    va_start(counted, first); \
    size_t count = count_arguments(counted); \
    va_end(counted); \
    char *argv[count + 1]; \
    va_start(arguments, first); \
    collect_arguments(argv, first, count, &arguments)

WRAPPER int execl(const char *path, const char *first, ...)
{
    COLLECT(argv, first);
    va_end(arguments);
    return execve(path, argv, environ);
}

WRAPPER int execlp(const char *file, const char *first, ...)
{
    COLLECT(argv, first);
    va_end(arguments);
    return execvpe(file, argv, environ);
}

WRAPPER int execle(const char *path, const char *first, ...)
{
    COLLECT(argv, first);
    char *const *envp = va_arg(arguments, char *const *);
    va_end(arguments);
    return execve(path, argv, envp);
}

WRAPPER int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                        const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    if (!snag_board)
        return REAL(posix_spawn)(pid, path, actions, attributes, argv, envp);
    struct environment environment;
    uint64_t before = session_stamp();
    environment_begin(&environment, envp);
    pid_t child = 0;
    int error = REAL(posix_spawn)(&child, path, actions, attributes, argv, environment.envp);
    environment_end(&environment);
    if (error == 0)
        report(EVENT_EXEC, before, child, path, 0);
    if (error == 0 && pid)
        *pid = child;
    return error;
}

WRAPPER int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                         const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    if (!snag_board)
        return REAL(posix_spawnp)(pid, file, actions, attributes, argv, envp);
    struct environment environment;
    uint64_t before = session_stamp();
    environment_begin(&environment, envp);
    pid_t child = 0;
    int error = REAL(posix_spawnp)(&child, file, actions, attributes, argv, environment.envp);
    environment_end(&environment);
    if (error == 0)
        report(EVENT_EXEC, before, child, file, 0);
    if (error == 0 && pid)
        *pid = child;
    return error;
}
