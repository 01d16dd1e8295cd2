#include "sites/resolve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sites/demangle.h"
#include "sites/pattern.h"

enum { NAMED_MODULES = 6 }; /* in an explanation; more are counted */

struct resolver {
    struct board *board;
    struct modules *modules;
    size_t count;
    uint32_t ranges; /* on the board; it is told of them later */
    bool done[MODULE_MAX];
    struct {
        struct pattern pattern;
        bool found;
    } patterns[PATTERN_MAX];
};

struct resolver *resolver_new(struct board *board, struct modules *modules, const char *const *texts, size_t count)
{
    struct resolver *resolver = count <= PATTERN_MAX ? calloc(1, sizeof *resolver) : NULL;
    if (resolver == NULL)
        return NULL;
    resolver->board = board;
    resolver->modules = modules;
    resolver->ranges = atomic_load(&board->range_count);
    for (; resolver->count < count; resolver->count++)
        if (pattern_read(&resolver->patterns[resolver->count].pattern, texts[resolver->count]) != 0) {
            resolver_free(resolver);
            errno = ENOMEM;
            return NULL;
        }
    return resolver;
}

void resolver_free(struct resolver *resolver)
{
    if (resolver == NULL)
        return;
    for (size_t i = 0; i < resolver->count; i++)
        pattern_clear(&resolver->patterns[i].pattern);
    free(resolver);
}

/* What a range is for. */
struct target {
    struct resolver *resolver;
    uint32_t module, pattern;
};

static int put_range(void *context, uint64_t from, uint64_t to)
{
    const struct target *target = context;
    struct resolver *resolver = target->resolver;
    if (resolver->ranges >= RANGE_MAX) {
        errno = ENOSPC;
        return -1;
    }
    *board_range(resolver->board, resolver->ranges++) = (struct range){
        .from = from, .to = to, .module = (uint16_t)target->module, .pattern = (uint16_t)target->pattern};
    return 0;
}

/* Looks for the patterns from FIRST on in a module.  The ranges are not told of yet. */
static int look_into(struct resolver *resolver, uint32_t index, const char *path, size_t first, size_t *bad)
{
    struct target target = {.resolver = resolver, .module = index};
    for (size_t i = first; i < resolver->count; i++) {
        const struct pattern *pattern = &resolver->patterns[i].pattern;
        if (!pattern_has_module(pattern, path))
            continue;
        struct symbols *symbols = pattern->name != NULL ? modules_symbols(resolver->modules, index) : NULL;
        target.pattern = (uint32_t)i;
        int ranges = pattern_ranges(pattern, symbols, put_range, &target);
        if (ranges < 0) {
            *bad = i;
            return -1;
        }
        resolver->patterns[i].found = resolver->patterns[i].found || ranges > 0;
    }
    return 0;
}

/* Ranges first, then the generation that makes stacks look at them; last the word that a process waits for. */
static void tell_ranges(struct resolver *resolver)
{
    atomic_store_explicit(&resolver->board->range_count, resolver->ranges, memory_order_release);
    atomic_fetch_add_explicit(&resolver->board->range_generation, 1, memory_order_release);
}

static void tell_resolved(struct resolver *resolver, uint32_t index)
{
    resolver->done[index] = true;
    atomic_store_explicit(&board_module(resolver->board, index)->resolved, (uint32_t)resolver->count,
                          memory_order_release);
}

int resolver_serve(struct resolver *resolver, size_t *pattern)
{
    uint32_t count = resolver->count > 0 ? modules_count(resolver->modules) : 0;
    for (uint32_t i = 0; i < count; i++) {
        const char *path = resolver->done[i] ? NULL : modules_path(resolver->modules, i);
        if (path == NULL)
            continue;
        if (look_into(resolver, i, path, 0, pattern) != 0)
            return -1;
        tell_ranges(resolver);
        tell_resolved(resolver, i);
    }
    return 0;
}

/* Looks for the last pattern in all modules, and for the others in those that are new; marks those that it looked into. */
static int look_everywhere(struct resolver *resolver, bool looked[MODULE_MAX])
{
    size_t bad;
    uint32_t count = modules_count(resolver->modules);
    for (uint32_t i = 0; i < count; i++) {
        const char *path = modules_path(resolver->modules, i);
        looked[i] = path != NULL;
        if (looked[i] && look_into(resolver, i, path, resolver->done[i] ? resolver->count - 1 : 0, &bad) != 0)
            return -1;
    }
    return 0;
}

int resolver_add(struct resolver *resolver, const char *text)
{
    bool looked[MODULE_MAX] = {false};
    uint32_t ranges = resolver->ranges;
    if (resolver->count == PATTERN_MAX) {
        errno = E2BIG;
        return -1;
    }
    struct pattern *pattern = &resolver->patterns[resolver->count].pattern;
    if (pattern_read(pattern, text) != 0)
        return -1;
    resolver->patterns[resolver->count++].found = false;
    if (look_everywhere(resolver, looked) != 0) {
        int error = errno;
        resolver->ranges = ranges;
        resolver->count--;
        pattern_clear(pattern);
        errno = error;
        return -1;
    }
    tell_ranges(resolver);
    for (uint32_t i = 0; i < MODULE_MAX; i++)
        if (looked[i])
            tell_resolved(resolver, i);
    atomic_store_explicit(&resolver->board->pattern_count, (uint32_t)resolver->count, memory_order_release);
    return 0;
}

bool resolver_found(const struct resolver *resolver, size_t pattern)
{
    return resolver->patterns[pattern].found;
}

/* The modules that PATTERN looks into.  Returns how many there are. */
static size_t print_modules(struct resolver *resolver, const struct pattern *pattern, FILE *out)
{
    size_t looked = 0;
    uint32_t count = modules_count(resolver->modules);
    for (uint32_t i = 0; i < count; i++) {
        const char *path = modules_path(resolver->modules, i);
        if (path == NULL || !pattern_has_module(pattern, path) || modules_symbols(resolver->modules, i) == NULL)
            continue;
        if (looked < NAMED_MODULES)
            fprintf(out, "%s%s", looked > 0 ? ", " : " in ", modules_base(path));
        looked++;
    }
    if (looked > NAMED_MODULES)
        fprintf(out, " and %zu more", looked - NAMED_MODULES);
    return looked;
}

static void print_suggestion(struct resolver *resolver, const struct pattern *pattern, FILE *out)
{
    char best[NAME_MAX_BYTES] = "";
    struct nearest nearest = nearest_to(pattern->name, strlen(pattern->name));
    uint32_t count = modules_count(resolver->modules);
    for (uint32_t i = 0; i < count; i++) {
        const char *path = modules_path(resolver->modules, i);
        if (path != NULL && pattern_has_module(pattern, path) && modules_symbols(resolver->modules, i) != NULL)
            pattern_offer(pattern, modules_symbols(resolver->modules, i), &nearest, best, sizeof best);
    }
    if (nearest.best != NULL)
        fprintf(out, "; did you mean %s?", nearest.best);
}

static void print_no_module(struct resolver *resolver, const struct pattern *pattern, FILE *out)
{
    struct nearest nearest = nearest_to(pattern->module, strlen(pattern->module));
    uint32_t count = modules_count(resolver->modules);
    fprintf(out, "no module is called %s", pattern->module);
    for (uint32_t i = 0; i < count; i++) {
        const char *path = modules_path(resolver->modules, i);
        nearest_offer(&nearest, path != NULL ? modules_base(path) : NULL);
    }
    if (nearest.best != NULL)
        fprintf(out, "; did you mean %s?", nearest.best);
}

void resolver_explain(struct resolver *resolver, size_t index, FILE *out)
{
    const struct pattern *pattern = &resolver->patterns[index].pattern;
    uint32_t count = modules_count(resolver->modules), meant = 0;
    for (uint32_t i = 0; i < count; i++) {
        const char *path = modules_path(resolver->modules, i);
        meant += path != NULL && pattern_has_module(pattern, path);
    }
    if (count == 0) {
        fputs("no process told which files it has mapped", out);
    } else if (meant == 0) {
        print_no_module(resolver, pattern, out);
    } else {
        fputs("no function of that name", out);
        if (print_modules(resolver, pattern, out) == 0)
            fputs(": the file can't be read", out);
        else if (pattern->name != NULL)
            print_suggestion(resolver, pattern, out);
    }
}
