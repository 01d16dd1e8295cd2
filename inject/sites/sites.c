#include "sites/sites.h"

#include <errno.h>
#include <inttypes.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sites/modules.h"
#include "sites/resolve.h"
#include "sites/texts.h"

#define SERVE_NS UINT64_C(5000000) /* a server's clients, and timers, wait meanwhile */

enum { SLOTS = 4 * STACK_MAX }; /* of the table of sites, which is never full */

/* A frame that was named; many stacks go through it. */
struct named_frame {
    uint64_t frame; /* as on the board */
    struct site_frame shown;
    struct place places[];
};

struct sites {
    struct board *board;
    struct modules *modules;
    struct resolver *resolver;
    void (*breathe)(void *context);
    void *context;
    struct texts texts;
    const char *patterns[PATTERN_MAX];
    size_t pattern_count;
    void *frames;                 /* tree of struct named_frame */
    struct site *slots[SLOTS];    /* by id */
    struct site *list[STACK_MAX]; /* all of them */
    size_t count, named;          /* of the first `named`, each has a name */
};

/* --- Beginning and end ------------------------------------------------------------------------------------------- */

static int copy_patterns(struct sites *sites, const struct rule_set *set)
{
    for (uint32_t i = 0; i < set->pattern_count && i < PATTERN_MAX; i++) {
        sites->patterns[i] = texts_add(&sites->texts, set->strings + set->patterns[i].text, SIZE_MAX);
        if (sites->patterns[i] == NULL)
            return -1;
        sites->pattern_count++;
    }
    return 0;
}

struct sites *sites_new(struct board *board, const struct rule_set *set, void (*breathe)(void *context), void *context)
{
    struct sites *sites = calloc(1, sizeof *sites);
    if (sites == NULL)
        return NULL;
    sites->board = board;
    sites->breathe = breathe;
    sites->context = context;
    sites->modules = modules_new(board);
    if (sites->modules != NULL && copy_patterns(sites, set) == 0)
        sites->resolver = resolver_new(board, sites->modules, sites->patterns, sites->pattern_count);
    if (sites->resolver != NULL)
        return sites;
    sites_free(sites);
    errno = ENOMEM;
    return NULL;
}

void sites_free(struct sites *sites)
{
    if (sites == NULL)
        return;
    for (size_t i = 0; i < sites->count; i++) {
        free(sites->list[i]->frames);
        free(sites->list[i]->hits);
        free(sites->list[i]);
    }
    tdestroy(sites->frames, free);
    resolver_free(sites->resolver);
    modules_free(sites->modules);
    texts_free(&sites->texts);
    free(sites);
}

int sites_pattern(struct sites *sites, const char *text)
{
    for (size_t i = 0; i < sites->pattern_count; i++)
        if (strcmp(sites->patterns[i], text) == 0)
            return (int)i;
    const char *kept = texts_add(&sites->texts, text, SIZE_MAX);
    if (kept == NULL || resolver_add(sites->resolver, kept) != 0)
        return -1;
    sites->patterns[sites->pattern_count] = kept;
    return (int)sites->pattern_count++;
}

bool sites_found(const struct sites *sites, size_t pattern)
{
    return pattern >= sites->pattern_count || resolver_found(sites->resolver, pattern);
}

void sites_explain(struct sites *sites, size_t pattern, FILE *out)
{
    fprintf(out, "%s: ", sites->patterns[pattern]);
    resolver_explain(sites->resolver, pattern, out);
}

/* --- Naming ------------------------------------------------------------------------------------------------------ */

static int compare_frames(const void *left, const void *right)
{
    const struct named_frame *a = left, *b = right;
    return a->frame < b->frame ? -1 : a->frame > b->frame;
}

/* The instruction that makes the call is before the one that it returns to, which may be of the next function. */
static size_t find_places(struct sites *sites, uint64_t frame, struct place places[PLACES_MAX])
{
    uint64_t offset = frame_offset(frame);
    struct symbols *symbols = offset > 0 ? modules_symbols(sites->modules, frame_module(frame)) : NULL;
    places[0] = (struct place){.function = NULL};
    if (symbols == NULL)
        return 1;
    size_t count = symbols_places(symbols, offset - 1, places);
    places[count - 1].into++;
    return count;
}

static const struct site_frame *name_frame(struct sites *sites, uint64_t frame)
{
    struct named_frame key = {.frame = frame};
    struct named_frame *const *known = tfind(&key, &sites->frames, compare_frames);
    struct place places[PLACES_MAX];
    if (known != NULL)
        return &(*known)->shown;
    size_t count = find_places(sites, frame, places);
    struct named_frame *named = malloc(sizeof *named + count * sizeof places[0]);
    if (named == NULL)
        return NULL;
    const char *path = modules_path(sites->modules, frame_module(frame));
    memcpy(named->places, places, count * sizeof places[0]);
    named->frame = frame;
    named->shown = (struct site_frame){.path = path != NULL ? path : "?",
                                       .module = path != NULL ? modules_base(path) : "?",
                                       .offset = frame_offset(frame),
                                       .places = named->places,
                                       .place_count = count};
    if (tsearch(named, &sites->frames, compare_frames) == NULL) {
        free(named);
        return NULL;
    }
    if (sites->breathe != NULL)
        sites->breathe(sites->context);
    return &named->shown;
}

/* Names the frames of SITE; those that there is memory for. */
static void name_frames(struct sites *sites, struct site *site, const uint64_t *frames, size_t count)
{
    site->frame_count = 0;
    site->frames = calloc(count > 0 ? count : 1, sizeof *site->frames);
    if (site->frames == NULL)
        return;
    for (; site->frame_count < count; site->frame_count++) {
        const struct site_frame *frame = name_frame(sites, frames[site->frame_count]);
        if (frame == NULL)
            return;
        site->frames[site->frame_count] = *frame;
    }
}

/* Sets what SITE is called by, if there is memory. */
static void name_site(struct sites *sites, struct site *site)
{
    char text[SITE_NAME_MAX] = "unknown";
    const char *function = NULL;
    for (size_t i = 0; i < site->frame_count && function == NULL; i++)
        function = site->frames[i].places[0].function;
    if (function != NULL)
        name_plain(function, text);
    else if (site->frame_count > 0)
        snprintf(text, sizeof text, "0x%" PRIx64 "@%s", site->frames[0].offset, site->frames[0].module);
    const char *kept = texts_add(&sites->texts, text, SIZE_MAX);
    if (kept != NULL)
        site->function = kept;
}

/* --- Finding ----------------------------------------------------------------------------------------------------- */

static struct site **find_slot(struct sites *sites, uint64_t id)
{
    size_t slot = (size_t)(id % SLOTS);
    while (sites->slots[slot] != NULL && sites->slots[slot]->id != id)
        slot = (slot + 1) % SLOTS;
    return &sites->slots[slot];
}

/* The shim's entry of ID; it looks from the same place on.  NULL: there is none that is complete. */
static const struct stack *find_stack(struct sites *sites, uint64_t id)
{
    for (uint32_t n = 0; n < STACK_MAX; n++) {
        const struct stack *stack = board_stack(sites->board, (uint32_t)((id + n) % STACK_MAX));
        uint64_t found = atomic_load_explicit(&stack->id, memory_order_relaxed);
        if (found == 0)
            return NULL;
        if (found == id)
            return atomic_load_explicit(&stack->state, memory_order_acquire) == 1 ? stack : NULL;
    }
    return NULL;
}

/* Returns the site with ID, which may have no names yet. */
static struct site *get_site(struct sites *sites, uint64_t id)
{
    struct site **slot = find_slot(sites, id);
    if (id == 0 || *slot != NULL || sites->count == STACK_MAX)
        return id != 0 ? *slot : NULL;
    const struct stack *stack = find_stack(sites, id);
    if (stack == NULL || stack->call >= CALL_COUNT || stack->count > STACK_FRAMES)
        return NULL;
    struct site *site = calloc(1, sizeof *site);
    if (site == NULL)
        return NULL;
    *site = (struct site){
        .id = id, .call = (enum call)stack->call, .partial = stack->partial, .function = "unknown", .number = 1};
    sites->list[sites->count++] = site;
    *slot = site;
    return site;
}

/* Names SITE, or what memory allows of it. */
static void give_name(struct sites *sites, struct site *site)
{
    uint64_t frames[STACK_FRAMES];
    const struct stack *stack = find_stack(sites, site->id);
    site->named = true;
    if (stack == NULL)
        return;
    size_t count = stack->count < STACK_FRAMES ? stack->count : STACK_FRAMES;
    memcpy(frames, stack->frames, sizeof frames);
    name_frames(sites, site, frames, count);
    name_site(sites, site);
}

struct site *sites_find(struct sites *sites, uint64_t id)
{
    struct site *site = get_site(sites, id);
    if (site != NULL && !site->named)
        give_name(sites, site);
    return site;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* Names sites until it is END_NS.  Breathing finds more of them. */
static void name_until(struct sites *sites, uint64_t end_ns)
{
    for (; sites->named < sites->count && now_ns() < end_ns; sites->named++)
        if (!sites->list[sites->named]->named)
            give_name(sites, sites->list[sites->named]);
}

int sites_serve(struct sites *sites, const char **pattern)
{
    size_t index;
    if (resolver_serve(sites->resolver, &index) != 0) {
        *pattern = sites->patterns[index];
        return -1;
    }
    name_until(sites, now_ns() + SERVE_NS);
    return 0;
}

/* --- Counting ---------------------------------------------------------------------------------------------------- */

static void count_hit(struct site *site, uint32_t rule)
{
    size_t i = 0;
    while (i < site->hit_count && site->hits[i].rule != rule)
        i++;
    if (i == site->hit_count) {
        struct site_hit *more = realloc(site->hits, (i + 1) * sizeof *more);
        if (more == NULL)
            return;
        site->hits = more;
        site->hits[site->hit_count++] = (struct site_hit){.rule = rule};
    }
    site->hits[i].injected++;
}

void sites_count(struct sites *sites, const struct event *event, uint32_t rule)
{
    struct site *site = get_site(sites, event->site);
    if (site == NULL)
        return;
    site->calls++;
    site->failed += event->ret < 0 && event->err != 0;
    if (!(event->flags & EVENT_INJECTED))
        return;
    site->injected++;
    if (rule > 0)
        count_hit(site, rule);
}

/* Equal from run to run: by what the ids are made of, and not by when a site was seen. */
static int compare_stacks(const struct site *a, const struct site *b)
{
    for (size_t i = 0; i < a->frame_count && i < b->frame_count; i++) {
        int order = strcmp(a->frames[i].module, b->frames[i].module);
        if (order != 0)
            return order;
        if (a->frames[i].offset != b->frames[i].offset)
            return a->frames[i].offset < b->frames[i].offset ? -1 : 1;
    }
    if (a->frame_count != b->frame_count)
        return a->frame_count < b->frame_count ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

static int compare_sites(const void *left, const void *right)
{
    const struct site *a = *(struct site *const *)left, *b = *(struct site *const *)right;
    if (a->call != b->call)
        return a->call < b->call ? -1 : 1;
    int order = strcmp(a->function, b->function);
    return order != 0 ? order : compare_stacks(a, b);
}

size_t sites_sort(struct sites *sites, struct site *const **list)
{
    name_until(sites, UINT64_MAX);
    qsort(sites->list, sites->count, sizeof(void *), compare_sites);
    for (size_t i = 0; i < sites->count; i++) {
        const struct site *before = i > 0 ? sites->list[i - 1] : NULL;
        struct site *site = sites->list[i];
        bool same = before != NULL && before->call == site->call && strcmp(before->function, site->function) == 0;
        site->number = same ? before->number + 1 : 1;
    }
    *list = sites->list;
    return sites->count;
}

const char *site_id_text(uint64_t id, char out[SITE_ID_MAX])
{
    out[SITE_ID_MAX - 1] = '\0';
    for (size_t i = SITE_ID_MAX - 1; i-- > 0; id >>= 4)
        out[i] = "0123456789abcdef"[id & 15];
    return out;
}

const char *site_name(const struct site *site, char out[SITE_NAME_MAX])
{
    if (site->number > 1)
        snprintf(out, SITE_NAME_MAX, "%s~%u", site->function, site->number);
    else
        snprintf(out, SITE_NAME_MAX, "%s", site->function);
    return out;
}

const char *site_rule(enum call call, const char *id, char out[SITE_RULE_MAX])
{
    const struct call_info *info = call_info(call);
    const struct call_errno *best = NULL;
    for (size_t i = 0; i < call_errno_count(call); i++)
        if (best == NULL || info->errnos[i].modes > best->modes)
            best = &info->errnos[i];
    if (best != NULL)
        snprintf(out, SITE_RULE_MAX, "%s:error=%s:site=%s", info->name, best->name, id);
    else
        snprintf(out, SITE_RULE_MAX, "%s:delay_enter=10ms:site=%s", info->name, id);
    return out;
}
