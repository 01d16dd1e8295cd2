/*
 * sites_test.c - patterns and names on a board that the test fills as a shim would: with the modules beside this program,
 * and stacks through them.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sites/modules.h"
#include "sites/sites.h"
#include "tests/unit/harness.h"

static struct rule_set *set;
static struct board *board;

/* A board, and PATTERNS that a plan has, up to a NULL. */
static void make_board(const char *const *patterns)
{
    size_t size = (board_size() + 63) & ~(size_t)63;
    set = calloc(1, sizeof *set);
    assert_non_null(set);
    set->strings_size = 1;
    for (; *patterns != NULL; patterns++) {
        size_t length = strlen(*patterns) + 1;
        memcpy(set->strings + set->strings_size, *patterns, length);
        set->patterns[set->pattern_count++].text = set->strings_size;
        set->strings_size += (uint32_t)length;
    }
    set->sites = true;
    void *memory = aligned_alloc(64, size);
    assert_non_null(memory);
    memset(memory, 0, size);
    board = board_make(memory, size, set, 0);
    assert_non_null(board);
}

static void free_board(void)
{
    free(board);
    free(set);
}

static char *own_folder(char out[PATH_MAX])
{
    ssize_t length = readlink("/proc/self/exe", out, PATH_MAX - 1);
    assert_true(length > 0);
    out[length] = '\0';
    *strrchr(out, '/') = '\0';
    return out;
}

/* Puts the module at PATH on the board, with the build id of the file FROM ("": none). */
static uint32_t put_path(const char *path, const char *from)
{
    const uint8_t *id = NULL;
    size_t size = 0;
    struct symbols *symbols = NULL;
    if (from[0] != '\0') {
        FILE *file = fopen(from, "re");
        assert_non_null(file);
        symbols = symbols_open(dup(fileno(file)), from);
        assert_non_null(symbols);
        fclose(file);
        size = symbols_build_id(symbols, &id);
    }
    uint16_t index = module_put(board, path, id != NULL ? id : (const uint8_t *)"", size, getpid());
    symbols_free(symbols);
    assert_int_not_equal(index, MODULE_NONE);
    return index;
}

static uint32_t put_module(const char *name)
{
    char folder[PATH_MAX], path[2 * PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", own_folder(folder), name);
    return put_path(path, path);
}

/* The addresses of function NAME in module INDEX. */
static struct function function(uint32_t index, const char *name)
{
    const struct function *list;
    struct modules *modules = modules_new(board);
    struct function found = {.from = 0};
    size_t count = symbols_functions(modules_symbols(modules, index), &list);
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].name, name) == 0)
            found = list[i];
    modules_free(modules);
    assert_true(found.to > 0);
    found.name = NULL;
    return found;
}

static uint64_t put_stack(enum call call, const uint64_t *frames, size_t count)
{
    struct stack_frame parts[STACK_FRAMES];
    for (size_t i = 0; i < count; i++) {
        uint16_t module = frame_module(frames[i]);
        parts[i] =
            (struct stack_frame){module == MODULE_NONE ? 0 : board_module(board, module)->key, frame_offset(frames[i])};
    }
    uint64_t id = stack_id(call, parts, count);
    assert_int_not_equal(stack_put(board, id, call, frames, count), STACK_NONE);
    return id;
}

static struct stack *stack_of(uint64_t id)
{
    for (uint32_t i = 0; i < STACK_MAX; i++)
        if (atomic_load(&board_stack(board, i)->id) == id)
            return board_stack(board, i);
    return NULL;
}

static uint64_t frame(uint32_t module, uint64_t offset)
{
    return (uint64_t)module << 48 | offset;
}

static struct sites *new_sites(void)
{
    struct sites *sites = sites_new(board, set, NULL, NULL);
    assert_non_null(sites);
    return sites;
}

static void serve(struct sites *sites)
{
    const char *pattern;
    assert_int_equal(sites_serve(sites, &pattern), 0);
}

/* --- Patterns ---------------------------------------------------------------------------------------------------- */

/* What the shim makes of it, with the shim's own code. */
static void patterns_mark_stacks(void **state)
{
    (void)state;
    static const char *const patterns[] = {"place_outer", "place_static", "place_extern@places*", "place_*@other",
                                           NULL};
    make_board(patterns);
    uint32_t places = put_module("places.so");
    struct function outer = function(places, "place_outer"), hidden = function(places, "place_static");
    struct sites *sites = new_sites();
    /* Behind the last instruction of place_static is where a call that never returns would come back to. */
    const uint64_t frames[] = {frame(places, hidden.to), frame(places, outer.from + 5)};
    struct stack *stack = stack_of(put_stack(CALL_listen, frames, 2));
    assert_false(stack_refresh(board, stack));
    serve(sites);
    assert_int_equal(atomic_load(&board_module(board, places)->resolved), 4);
    assert_int_equal(atomic_load(&board->range_generation), 1);
    assert_true(stack_refresh(board, stack));
    assert_false(stack_caller_matches(stack, 0));
    assert_true(stack_matches(stack, 0));
    assert_true(stack_caller_matches(stack, 1));
    assert_false(stack_matches(stack, 2));
    assert_false(stack_matches(stack, 3));
    /* A module that comes later; it is stripped, and has the names of the other file of its build. */
    uint32_t stripped = put_module("places_stripped.so");
    const uint64_t later[] = {frame(stripped, outer.from + 5)};
    struct stack *other = stack_of(put_stack(CALL_bind, later, 1));
    assert_false(stack_refresh(board, other));
    serve(sites);
    assert_true(stack_refresh(board, other));
    assert_true(stack_caller_matches(other, 0));
    sites_free(sites);
    free_board();
}

static void offsets_are_compared_as_they_are_shown(void **state)
{
    (void)state;
    static const char *const patterns[] = {"0x1234@libnone.so", "*@libnone.so", NULL};
    make_board(patterns);
    uint32_t none = put_path("/nowhere/libnone.so", "");
    struct sites *sites = new_sites();
    const uint64_t frames[] = {frame(none, 0x1234)}, others[] = {frame(none, 0x1235)};
    struct stack *stack = stack_of(put_stack(CALL_bind, frames, 1)), *other = stack_of(put_stack(CALL_bind, others, 1));
    serve(sites);
    assert_true(stack_refresh(board, stack) && stack_refresh(board, other));
    assert_true(stack_caller_matches(stack, 0) && stack_caller_matches(stack, 1));
    assert_false(stack_caller_matches(other, 0));
    assert_true(stack_caller_matches(other, 1));
    sites_free(sites);
    free_board();
}

static void expect_explanation(struct sites *sites, size_t pattern, const char *want)
{
    char text[500] = "";
    FILE *out = fmemopen(text, sizeof text, "w");
    assert_false(sites_found(sites, pattern));
    sites_explain(sites, pattern, out);
    fclose(out);
    assert_string_equal(text, want);
}

static void what_is_not_found_is_explained(void **state)
{
    (void)state;
    static const char *const patterns[] = {"place_outr", "place_outer", "f@plaecs.so", "f@libnone.so", NULL};
    make_board(patterns);
    struct sites *sites = new_sites();
    expect_explanation(sites, 0, "place_outr: no process told which files it has mapped");
    put_module("places.so");
    put_path("/nowhere/libnone.so", "");
    serve(sites);
    expect_explanation(sites, 0, "place_outr: no function of that name in places.so; did you mean place_outer?");
    assert_true(sites_found(sites, 1));
    expect_explanation(sites, 2, "f@plaecs.so: no module is called plaecs.so; did you mean places.so?");
    expect_explanation(sites, 3, "f@libnone.so: no function of that name: the file can't be read");
    sites_free(sites);
    free_board();
}

/* 128 patterns in 1,024 modules may be more than the board holds. */
static void too_many_ranges_are_an_error(void **state)
{
    (void)state;
    static const char *const patterns[] = {"place_outer", "0x1@a*", NULL};
    make_board(patterns);
    put_module("places.so");
    put_path("/nowhere/a", "");
    atomic_store(&board->range_count, RANGE_MAX - 1);
    struct sites *sites = new_sites();
    const char *pattern = NULL;
    assert_int_equal(sites_serve(sites, &pattern), -1);
    assert_int_equal(errno, ENOSPC);
    assert_string_equal(pattern, "0x1@a*");
    assert_int_equal(atomic_load(&board->range_count), RANGE_MAX);
    sites_free(sites);
    free_board();
}

/* --- Files ------------------------------------------------------------------------------------------------------- */

/* A file that was replaced since is not what is mapped. */
static void another_build_is_not_read(void **state)
{
    (void)state;
    static const char *const none[] = {NULL};
    char folder[PATH_MAX], path[2 * PATH_MAX];
    make_board(none);
    snprintf(path, sizeof path, "%s/places_cc.so", own_folder(folder));
    uint32_t right = put_module("places.so"), twin = put_module("places_stripped.so"), wrong = put_path(path, "");
    board_module(board, wrong)->build_id_size = 20;
    uint32_t vdso = put_path("[vdso]", "");
    struct modules *modules = modules_new(board);
    assert_int_equal(modules_count(modules), 4);
    assert_non_null(modules_symbols(modules, right));
    assert_ptr_equal(modules_symbols(modules, twin), modules_symbols(modules, right)); /* of one build */
    assert_null(modules_symbols(modules, wrong));
    assert_null(modules_symbols(modules, vdso));
    assert_null(modules_symbols(modules, 4));
    assert_null(modules_path(modules, MODULE_NONE));
    modules_free(modules);
    free_board();
}

/* A pipe in place of a module must not be waited for. */
static void a_pipe_is_no_module(void **state)
{
    (void)state;
    static const char *const patterns[] = {"f", NULL};
    char path[] = "/tmp/snag-test.XXXXXX", pipe[64];
    make_board(patterns);
    assert_non_null(mkdtemp(path));
    snprintf(pipe, sizeof pipe, "%s/libpipe.so", path);
    assert_int_equal(mkfifo(pipe, 0600), 0);
    uint32_t index = put_path(pipe, "");
    struct sites *sites = new_sites();
    serve(sites);
    assert_int_equal(atomic_load(&board_module(board, index)->resolved), 1);
    sites_free(sites);
    unlink(pipe);
    rmdir(path);
    free_board();
}

/* --- Names ------------------------------------------------------------------------------------------------------- */

static const char *name_of(const struct site *site)
{
    static char name[SITE_NAME_MAX];
    assert_non_null(site);
    return site_name(site, name);
}

static void sites_are_called_by_their_functions(void **state)
{
    (void)state;
    static const char *const none[] = {NULL};
    struct site *const *list;
    make_board(none);
    uint32_t places = put_module("places.so"), unknown = put_path("/nowhere/libnone.so", "");
    struct function outer = function(places, "place_outer");
    struct sites *sites = new_sites();
    uint64_t low[] = {frame(unknown, 8), frame(places, outer.from + 1)},
             high[] = {low[0], frame(places, outer.from + 2)};
    uint64_t nameless[] = {frame(unknown, 0x99)}, made[] = {frame(MODULE_NONE, 0)};
    uint64_t second = put_stack(CALL_bind, high, 2), first = put_stack(CALL_bind, low, 2);
    uint64_t third = put_stack(CALL_bind, nameless, 1), fourth = put_stack(CALL_bind, made, 1);
    uint64_t other = put_stack(CALL_listen, high, 2), empty = put_stack(CALL_listen, made, 0);
    assert_string_equal(name_of(sites_find(sites, second)), "place_outer"); /* not numbered yet */
    assert_non_null(sites_find(sites, first));
    assert_non_null(sites_find(sites, third));
    assert_non_null(sites_find(sites, fourth));
    assert_non_null(sites_find(sites, other));
    assert_null(sites_find(sites, 12345));
    assert_null(sites_find(sites, 0));
    assert_int_equal(sites_sort(sites, &list), 5);
    assert_string_equal(name_of(sites_find(sites, first)), "place_outer");
    assert_string_equal(name_of(sites_find(sites, second)), "place_outer~2");
    assert_string_equal(name_of(sites_find(sites, other)), "place_outer");
    assert_string_equal(name_of(sites_find(sites, third)), "0x99@libnone.so");
    assert_string_equal(name_of(sites_find(sites, fourth)), "0x0@?");
    assert_string_equal(name_of(sites_find(sites, empty)), "unknown");
    /* Behind place_static's last instruction another function may begin. */
    const struct function hidden = function(places, "place_static");
    const uint64_t behind[] = {frame(places, hidden.to)};
    const struct site *last = sites_find(sites, put_stack(CALL_socket, behind, 1));
    assert_string_equal(name_of(last), "place_static");
    assert_int_equal(last->frames[0].places[0].into, hidden.to - hidden.from);
    sites_free(sites);
    free_board();
}

static void count(struct sites *sites, uint64_t id, int err, unsigned flags, uint32_t rule)
{
    struct event event = {.kind = EVENT_CALL, .call = CALL_bind, .site = id, .ret = err ? -1 : 0};
    event.err = (uint16_t)err;
    event.flags = (uint16_t)flags;
    sites_count(sites, &event, rule);
}

static void calls_are_counted_where_they_were_made(void **state)
{
    (void)state;
    static const char *const none[] = {NULL};
    make_board(none);
    const uint64_t frames[] = {frame(put_module("places.so"), 1)};
    uint64_t id = put_stack(CALL_bind, frames, 1);
    struct sites *sites = new_sites();
    count(sites, id, 0, 0, 0);
    count(sites, id, EACCES, 0, 0);
    count(sites, id, EMFILE, EVENT_INJECTED, 3);
    count(sites, id, EMFILE, EVENT_INJECTED, 1);
    count(sites, id, EMFILE, EVENT_INJECTED, 3);
    count(sites, id + 1, 0, 0, 0);
    const struct site *site = sites_find(sites, id);
    assert_int_equal(site->calls, 5);
    assert_int_equal(site->failed, 4);
    assert_int_equal(site->injected, 3);
    assert_int_equal(site->hit_count, 2);
    assert_true(site->hits[0].rule == 3 && site->hits[0].injected == 2);
    assert_true(site->hits[1].rule == 1 && site->hits[1].injected == 1);
    sites_free(sites);
    free_board();
}

static unsigned breaths;

static void breathe(void *context)
{
    assert_ptr_equal(context, &breaths);
    breaths++;
}

/* What a target may have written over its board is no reason to fall over. */
static void nonsense_on_the_board(void **state)
{
    (void)state;
    static const char *const patterns[] = {"f", NULL};
    struct site *const *list;
    make_board(patterns);
    srand(1);
    atomic_store(&board->module_count, 5000);
    for (uint32_t i = 0; i < 40; i++) {
        struct module *module = board_module(board, i);
        for (size_t k = 0; k < sizeof module->path; k++)
            module->path[k] = (char)(rand() % 3 ? rand() : '/');
        module->build_id_size = (uint8_t)rand();
        atomic_store(&module->state, MODULE_NAMED);
    }
    for (uint64_t id = 1; id < 300; id++) {
        struct stack *stack = board_stack(board, (uint32_t)id);
        atomic_store(&stack->id, id);
        atomic_store(&stack->state, 1);
        stack->call = (uint16_t)(rand() % (CALL_COUNT + 5));
        stack->count = (uint8_t)(rand() % 40);
        for (size_t k = 0; k < STACK_FRAMES; k++)
            stack->frames[k] = frame((uint32_t)rand() % 60, (uint64_t)rand());
    }
    struct sites *sites = sites_new(board, set, breathe, &breaths);
    assert_non_null(sites);
    serve(sites);
    for (uint64_t id = 1; id < 300; id++)
        count(sites, id, 0, 0, 0);
    serve(sites);
    assert_true(sites_sort(sites, &list) > 100);
    assert_true(breaths > 100);
    sites_free(sites);
    free_board();
}

static void rules_for_sites(void **state)
{
    (void)state;
    char id[SITE_ID_MAX], rule[SITE_RULE_MAX];
    assert_string_equal(site_rule(CALL_accept4, site_id_text(0x9f3, id), rule),
                        "accept4:error=EMFILE:site=00000000000009f3");
}

TEST_MAIN(TEST(patterns_mark_stacks), TEST(offsets_are_compared_as_they_are_shown),
          TEST(what_is_not_found_is_explained), TEST(too_many_ranges_are_an_error), TEST(another_build_is_not_read),
          TEST(a_pipe_is_no_module), TEST(sites_are_called_by_their_functions),
          TEST(calls_are_counted_where_they_were_made), TEST(nonsense_on_the_board), TEST(rules_for_sites))
