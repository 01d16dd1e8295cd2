#include "sites/modules.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUILD_ID_MAX = sizeof((struct module *)NULL)->build_id };

/* A module as it was when it was first looked at. */
struct view {
    char path[sizeof((struct module *)NULL)->path]; /* "": not looked at */
    uint8_t build_id[BUILD_ID_MAX];
    size_t build_id_size;
    pid_t pid;
    bool tried; /* to open it */
    bool owner; /* of `symbols`: it is not another module's */
    struct symbols *symbols;
};

struct modules {
    struct board *board;
    struct view views[MODULE_MAX];
};

struct modules *modules_new(struct board *board)
{
    struct modules *modules = calloc(1, sizeof *modules);
    if (modules != NULL)
        modules->board = board;
    return modules;
}

void modules_free(struct modules *modules)
{
    if (modules == NULL)
        return;
    for (size_t i = 0; i < MODULE_MAX; i++)
        if (modules->views[i].owner)
            symbols_free(modules->views[i].symbols);
    free(modules);
}

uint32_t modules_count(const struct modules *modules)
{
    uint32_t count = atomic_load_explicit(&modules->board->module_count, memory_order_acquire);
    return count < MODULE_MAX ? count : MODULE_MAX;
}

static struct view *get_view(struct modules *modules, uint32_t index)
{
    if (index >= modules_count(modules))
        return NULL;
    struct view *view = &modules->views[index];
    if (view->path[0] != '\0')
        return view;
    const struct module *module = board_module(modules->board, index);
    if (atomic_load_explicit(&module->state, memory_order_acquire) != MODULE_NAMED)
        return NULL;
    memcpy(view->path, module->path, sizeof view->path - 1);
    memcpy(view->build_id, module->build_id, sizeof view->build_id);
    view->build_id_size = module->build_id_size <= BUILD_ID_MAX ? module->build_id_size : 0;
    view->pid = module->pid;
    if (view->path[0] == '\0')
        snprintf(view->path, sizeof view->path, "?");
    return view;
}

const char *modules_path(struct modules *modules, uint32_t index)
{
    const struct view *view = get_view(modules, index);
    return view != NULL ? view->path : NULL;
}

const char *modules_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL && slash[1] != '\0' ? slash + 1 : path;
}

/* Opens PATH, if it is a file.  Not so that a pipe or a device would notice. */
static int open_file(const char *path)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd >= 0 && (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool is_same_build(const struct view *view, struct symbols *symbols)
{
    const uint8_t *id;
    size_t size = symbols_build_id(symbols, &id);
    size_t compared = size < BUILD_ID_MAX ? size : BUILD_ID_MAX;
    return compared == view->build_id_size && (compared == 0 || memcmp(id, view->build_id, compared) == 0);
}

static struct symbols *try_path(const struct view *view, const char *path, const char *name)
{
    int fd = open_file(path);
    struct symbols *symbols = fd >= 0 ? symbols_open(fd, name) : NULL;
    if (symbols == NULL || is_same_build(view, symbols))
        return symbols;
    symbols_free(symbols);
    return NULL;
}

static bool is_same_file(const char *left, const char *right)
{
    struct stat a, b;
    return stat(left, &a) == 0 && stat(right, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* The path as snag sees it is the better name where both are one file: debug files are found by it. */
static struct symbols *open_symbols(const struct view *view)
{
    char inside[sizeof view->path + 32], program[32];
    if (view->path[0] != '/')
        return NULL; /* [vdso] */
    snprintf(inside, sizeof inside, "/proc/%d/root%s", (int)view->pid, view->path);
    snprintf(program, sizeof program, "/proc/%d/exe", (int)view->pid);
    struct symbols *symbols = try_path(view, inside, is_same_file(inside, view->path) ? view->path : inside);
    if (symbols == NULL)
        symbols = try_path(view, view->path, view->path);
    if (symbols == NULL && view->build_id_size > 0)
        symbols = try_path(view, program, program);
    return symbols;
}

/* A module with the same build id that was opened before. */
static struct view *find_twin(struct modules *modules, const struct view *view)
{
    for (size_t i = 0; i < MODULE_MAX && view->build_id_size > 0; i++) {
        struct view *other = &modules->views[i];
        if (other->owner && other->build_id_size == view->build_id_size &&
            memcmp(other->build_id, view->build_id, view->build_id_size) == 0)
            return other;
    }
    return NULL;
}

struct symbols *modules_symbols(struct modules *modules, uint32_t index)
{
    struct view *view = get_view(modules, index);
    if (view == NULL)
        return NULL;
    if (view->tried)
        return view->symbols;
    view->tried = true;
    struct view *twin = find_twin(modules, view);
    view->symbols = twin != NULL ? twin->symbols : open_symbols(view);
    view->owner = twin == NULL && view->symbols != NULL;
    return view->symbols;
}
