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
    bool done[MODULE_MAX];
    struct {
        struct pattern pattern;
        bool found;
    } patterns[];
};

struct resolver *resolver_new(struct board *board, struct modules *modules, const char *const *texts, size_t count)
{
    struct resolver *resolver = calloc(1, sizeof *resolver + count * sizeof resolver->patterns[0]);
    if (resolver == NULL)
        return NULL;
    resolver->board = board;
    resolver->modules = modules;
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
    struct board *board;
    uint32_t module, pattern;
};

static int put_range(void *context, uint64_t from, uint64_t to)
{
    const struct target *target = context;
    uint32_t count = atomic_load_explicit(&target->board->range_count, memory_order_relaxed);
    if (count >= RANGE_MAX) {
        errno = ENOSPC;
        return -1;
    }
    *board_range(target->board, count) = (struct range){
        .from = from, .to = to, .module = (uint16_t)target->module, .pattern = (uint16_t)target->pattern};
    atomic_store_explicit(&target->board->range_count, count + 1, memory_order_release);
    return 0;
}

/* Ranges first, then the generation that makes stacks look at them, then the word that a process waits for. */
static int resolve_module(struct resolver *resolver, uint32_t index, const char *path, size_t *bad)
{
    struct target target = {.board = resolver->board, .module = index};
    for (size_t i = 0; i < resolver->count; i++) {
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
    atomic_fetch_add_explicit(&resolver->board->range_generation, 1, memory_order_release);
    atomic_store_explicit(&board_module(resolver->board, index)->resolved, (uint32_t)resolver->count,
                          memory_order_release);
    return 0;
}

int resolver_serve(struct resolver *resolver, size_t *pattern)
{
    uint32_t count = resolver->count > 0 ? modules_count(resolver->modules) : 0;
    for (uint32_t i = 0; i < count; i++) {
        const char *path = resolver->done[i] ? NULL : modules_path(resolver->modules, i);
        if (path == NULL)
            continue;
        resolver->done[i] = true;
        if (resolve_module(resolver, i, path, pattern) != 0)
            return -1;
    }
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
