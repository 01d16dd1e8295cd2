#include "stack.h"

#include <string.h>

#include "board.h"

enum { STACK_PATIENCE = 4096 }; /* looks at a stack that somebody else is about to write */

/* Mixes VALUE into HASH: every bit of both reaches every bit of the result (the finalizer of splitmix64). */
static uint64_t mix(uint64_t hash, uint64_t value)
{
    uint64_t x = (hash ^ value) + UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* FNV-1a, 64 bits. */
static uint64_t hash_text(const char *text)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return hash;
}

uint32_t module_key(const char *path)
{
    const char *slash = strrchr(path, '/');
    uint64_t hash = mix(0, hash_text(slash ? slash + 1 : path));
    return (uint32_t)(hash >> 32);
}

static bool module_is(const struct module *module, const char *path, const void *build_id, size_t size)
{
    size_t length = strnlen(path, sizeof module->path - 1);
    return strncmp(module->path, path, length) == 0 && module->path[length] == 0 && module->build_id_size == size &&
           memcmp(module->build_id, build_id, size) == 0;
}

static void module_fill(struct module *module, const char *path, const void *build_id, size_t size, int32_t pid)
{
    size_t length = strnlen(path, sizeof module->path - 1);
    module->key = module_key(path);
    module->pid = pid;
    module->build_id_size = (uint8_t)size;
    memcpy(module->build_id, build_id, size);
    memcpy(module->path, path, length);
    module->path[length] = 0;
    atomic_store_explicit(&module->state, MODULE_NAMED, memory_order_release);
}

/* Readers go up to module_count, so it only grows. */
static void count_module(struct board *board, uint32_t count)
{
    uint32_t known = atomic_load(&board->module_count);
    while (known < count && !atomic_compare_exchange_weak(&board->module_count, &known, count))
        ;
}

/* Two processes that come with the same file at once may both add it: then there are two, with one key. */
uint16_t module_put(struct board *board, const char *path, const void *build_id, size_t size, int32_t pid)
{
    if (size > sizeof board_module(board, 0)->build_id)
        size = 0;
    for (uint32_t i = 0; i < MODULE_MAX; i++) {
        struct module *module = board_module(board, i);
        uint32_t state = atomic_load_explicit(&module->state, memory_order_acquire);
        if (state == MODULE_NAMED && module_is(module, path, build_id, size))
            return (uint16_t)i;
        if (state != MODULE_FREE || !atomic_compare_exchange_strong(&module->state, &state, MODULE_CLAIMED))
            continue;
        count_module(board, i + 1);
        module_fill(module, path, build_id, size, pid);
        return (uint16_t)i;
    }
    return MODULE_NONE;
}

/* The beginnings of the names of files whose frames say nothing about who makes a call. */
static const char *const left_out[] = {
    "libc.so.", "libc-2.",     "ld-linux",      "ld-2.",       "libpthread.so", "libpthread-2.", "linux-vdso",
    "ld-musl-", "libasan.so.", "libhwasan.so.", "libtsan.so.", "liblsan.so.",   "libubsan.so.",  "libclang_rt.",
};

bool module_is_left_out(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    for (size_t i = 0; i < sizeof left_out / sizeof left_out[0]; i++)
        if (strncmp(name, left_out[i], strlen(left_out[i])) == 0)
            return true;
    return false;
}

uint64_t stack_id_partial(uint64_t id)
{
    uint64_t partial = mix(id, hash_text("..."));
    return partial ? partial : 1;
}

uint64_t stack_id(enum call call, const struct stack_frame *frames, size_t count)
{
    uint64_t id = mix(0, hash_text(call_info(call)->name));
    for (size_t i = 0; i < count; i++)
        id = mix(mix(id, frames[i].key), frames[i].offset);
    return id ? id : 1;
}

/* Modules are compared by key: another build of a program makes the same site where its code stayed in place. */
static uint32_t frame_key(struct board *board, uint64_t frame)
{
    uint16_t module = frame_module(frame);
    return module < MODULE_MAX ? board_module(board, module)->key : 0;
}

static bool stack_is(struct board *board, const struct stack *stack, enum call call, const uint64_t *frames,
                     size_t count)
{
    if (stack->call != call || stack->count != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (frame_offset(stack->frames[i]) != frame_offset(frames[i]) ||
            frame_key(board, stack->frames[i]) != frame_key(board, frames[i]))
            return false;
    return true;
}

static void stack_fill(struct stack *stack, enum call call, const uint64_t *frames, size_t count, bool partial)
{
    stack->call = (uint16_t)call;
    stack->count = (uint8_t)count;
    stack->partial = partial;
    memcpy(stack->frames, frames, count * sizeof frames[0]);
    atomic_store_explicit(&stack->unresolved, 1, memory_order_relaxed); /* it was not marked yet */
    atomic_store_explicit(&stack->state, 1, memory_order_release);
}

/* Waits a moment for who claimed STACK to fill it.  One that died over it never will. */
static bool stack_is_filled(const struct stack *stack)
{
    for (int i = 0; i < STACK_PATIENCE; i++)
        if (atomic_load_explicit(&stack->state, memory_order_acquire))
            return true;
    return false;
}

static uint32_t stack_lost(struct board *board)
{
    atomic_fetch_add_explicit(&board->stacks_lost, 1, memory_order_relaxed);
    return STACK_NONE;
}

static uint32_t put(struct board *board, uint64_t id, enum call call, const uint64_t *frames, size_t count,
                    bool partial)
{
    for (uint32_t n = 0; n < STACK_MAX; n++) {
        uint32_t index = (uint32_t)(id + n) % STACK_MAX;
        struct stack *stack = board_stack(board, index);
        uint64_t found = atomic_load_explicit(&stack->id, memory_order_relaxed);
        if (found == 0 && atomic_compare_exchange_strong(&stack->id, &found, id)) {
            stack_fill(stack, call, frames, count, partial);
            return index;
        }
        if (found != id)
            continue;
        if (!stack_is_filled(stack))
            stack_fill(stack, call, frames, count, partial); /* what its owner would write, so both may */
        return stack_is(board, stack, call, frames, count) ? index : stack_lost(board);
    }
    return stack_lost(board);
}

uint32_t stack_put(struct board *board, uint64_t id, enum call call, const uint64_t *frames, size_t count)
{
    return put(board, id, call, frames, count, false);
}

uint32_t stack_put_partial(struct board *board, uint64_t id, enum call call, const uint64_t *frames, size_t count)
{
    return put(board, id, call, frames, count, true);
}

/* Every process that is attached could have written it: it must not lead out of the table. */
static uint16_t frame_count(const struct stack *stack)
{
    return stack->count < STACK_FRAMES ? stack->count : STACK_FRAMES;
}

static bool range_holds(const struct range *range, uint64_t frame)
{
    uint64_t offset = frame_offset(frame);
    return range->module == frame_module(frame) && range->from <= offset && offset < range->to;
}

static void mark(struct stack *stack, const struct range *range, uint64_t *caller, uint64_t *any)
{
    uint64_t bit = UINT64_C(1) << range->pattern % 64;
    if (range->pattern >= PATTERN_MAX)
        return;
    if (range_holds(range, stack->frames[0]))
        caller[range->pattern / 64] |= bit;
    for (uint16_t i = 0; i < frame_count(stack) && !(any[range->pattern / 64] & bit); i++)
        if (range_holds(range, stack->frames[i]))
            any[range->pattern / 64] |= bit;
}

static bool is_resolved(struct board *board, const struct stack *stack)
{
    uint32_t patterns = atomic_load_explicit(&board->pattern_count, memory_order_relaxed);
    for (uint16_t i = 0; i < frame_count(stack); i++) {
        uint16_t module = frame_module(stack->frames[i]);
        if (module < MODULE_MAX &&
            atomic_load_explicit(&board_module(board, module)->resolved, memory_order_acquire) < patterns)
            return false;
    }
    return true;
}

/*
 * Several threads may do this at once, and one of them may be late: marks are added, never taken away, for ranges are not
 * either.
 */
static void mark_anew(struct board *board, struct stack *stack, uint32_t generation)
{
    uint64_t caller[PATTERN_MAX / 64] = {0}, any[PATTERN_MAX / 64] = {0};
    uint32_t count = atomic_load_explicit(&board->range_count, memory_order_acquire);
    if (count > RANGE_MAX)
        count = RANGE_MAX;
    for (uint32_t i = 0; i < count && stack->count > 0; i++)
        mark(stack, board_range(board, i), caller, any);
    for (size_t i = 0; i < PATTERN_MAX / 64; i++) {
        atomic_fetch_or_explicit(&stack->caller_marks[i], caller[i], memory_order_relaxed);
        atomic_fetch_or_explicit(&stack->stack_marks[i], any[i], memory_order_relaxed);
    }
    atomic_store_explicit(&stack->unresolved, 1, memory_order_relaxed);
    atomic_store_explicit(&stack->marked, generation, memory_order_release);
}

bool stack_refresh(struct board *board, struct stack *stack)
{
    uint32_t generation = atomic_load_explicit(&board->range_generation, memory_order_acquire);
    bool fresh = atomic_load_explicit(&stack->marked, memory_order_acquire) == generation;
    if (fresh && !atomic_load_explicit(&stack->unresolved, memory_order_relaxed))
        return true;
    /* Asked before the marks are made: what is resolved has its ranges. */
    bool resolved = is_resolved(board, stack);
    mark_anew(board, stack, generation);
    atomic_store_explicit(&stack->unresolved, !resolved, memory_order_relaxed);
    return resolved;
}

static bool has_mark(const _Atomic uint64_t *marks, uint16_t pattern)
{
    return atomic_load_explicit(&marks[pattern / 64], memory_order_relaxed) >> pattern % 64 & 1;
}

bool stack_caller_matches(const struct stack *stack, uint16_t pattern)
{
    return has_mark(stack->caller_marks, pattern);
}

bool stack_matches(const struct stack *stack, uint16_t pattern)
{
    return has_mark(stack->stack_marks, pattern);
}
