/*
 * stack.h - call sites: which call, and the stack that led to it.
 *
 * Three tables on the board.  The shim writes modules (files that a process has mapped) and stacks, once each; snag writes
 * ranges, which say where in a module the functions are that a rule's caller= or stack= names.  No names and no text of a
 * user's get into a target: the shim compares offsets.
 *
 *     pattern   one caller= or stack= of the plan, compiled to ranges; at most PATTERN_MAX in a session
 *     module    a mapped file, by path; key is the hash of its base name, which with an offset makes the same number in
 *               every run, under ASLR and on another machine
 *     frame     (module, offset): the RETURN address minus the module's load bias (dlpi_addr), thus a link-time address.
 *               A function is looked up at offset - 1: a call that never returns may be its caller's last instruction
 *     stack     up to STACK_FRAMES frames, innermost first, without those of libc, ld.so, the shim, sanitizers' runtimes
 *     site      a call and a stack; its id is 64 bits, never 0, shown as 16 hex digits
 *
 * Functions here do no I/O and no malloc, and take no lock; they are async-signal-safe and thread-safe.
 */
#ifndef SNAG_STACK_H
#define SNAG_STACK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "call.h"

enum {
    STACK_FRAMES = 32,
    STACK_MAX = 8192, /* sites on a board: a power of two */
    MODULE_MAX = 1024,
    MODULE_NONE = 0xffff, /* a frame in memory that belongs to no file (code made at run time); its offset is 0 */
    PATTERN_MAX = 128,
    RANGE_MAX = 65536,
};

struct board;

/* A file that some process has mapped.  Written once, by the shim; found by path and build id. */
struct module {
    _Atomic uint32_t state;    /* of enum module_state */
    uint32_t key;              /* hash of the base name */
    _Atomic uint32_t resolved; /* patterns whose ranges snag has written for it: 0..n in order; by snag */
    int32_t pid; /* of who mapped it first, as it sees itself: a reader finds the file by /proc/PID/root too */
    uint8_t build_id[20];
    uint8_t build_id_size; /* 0: it has none */
    char path[256];        /* as the process saw it, cut to fit, terminated; "[vdso]" */
};
enum module_state { MODULE_FREE, MODULE_CLAIMED, MODULE_NAMED };

/* Where in a module the functions of a pattern are: offsets FROM up to and without TO.  Appended by snag. */
struct range {
    uint64_t from, to;
    uint16_t module, pattern;
    uint32_t reserved;
};

/* One call site.  Written once, by the shim, but for the marks. */
struct stack {
    _Atomic uint64_t id;           /* 0: free */
    _Atomic uint32_t state;        /* 0 until the frames are all there, then 1 */
    uint16_t call;                 /* of enum call */
    uint8_t count;                 /* frames */
    uint8_t partial;               /* 1: there are frames outward of these, which are not known */
    uint64_t frames[STACK_FRAMES]; /* module index << 48 | offset */
    /* Which patterns it matches: `marked` is the board's range_generation that the marks were made under. */
    _Atomic uint32_t marked;
    _Atomic uint32_t unresolved; /* 1: when it was marked, snag had not resolved all modules that it goes through */
    _Atomic uint64_t caller_marks[PATTERN_MAX / 64]; /* patterns that hold the innermost frame */
    _Atomic uint64_t stack_marks[PATTERN_MAX / 64];  /* patterns that hold any frame */
};

static inline uint16_t frame_module(uint64_t frame)
{
    return (uint16_t)(frame >> 48);
}

static inline uint64_t frame_offset(uint64_t frame)
{
    return frame & UINT64_C(0xffffffffffff);
}

/* A frame as the id is made of it: of numbers that are equal in every run. */
struct stack_frame {
    uint32_t key; /* of its module */
    uint64_t offset;
};

enum { STACK_NONE = UINT32_MAX }; /* no index of a stack */

/* Returns the key of the module at PATH: the hash of its base name. */
uint32_t module_key(const char *path);

/*
 * Returns the index of the module PATH with BUILD_ID (SIZE bytes, at most 20), which is added if it is not there, for
 * process PID.  MODULE_NONE if there is no room for one more.
 */
uint16_t module_put(struct board *board, const char *path, const void *build_id, size_t size, int32_t pid);

/* Whether frames in the module at PATH say nothing of who makes a call: libc's, the loader's, a sanitizer's. */
bool module_is_left_out(const char *path);

/* Returns the id of the call site of CALL with the COUNT FRAMES, innermost first.  Never 0. */
uint64_t stack_id(enum call call, const struct stack_frame *frames, size_t count);

/* Returns the id of the stack that begins as that with ID, and of which no more is known.  Never 0. */
uint64_t stack_id_partial(uint64_t id);

/*
 * Returns the index of the stack with ID, CALL and the COUNT FRAMES (module index << 48 | offset, at most STACK_FRAMES),
 * which is added if it is not there.  STACK_NONE, counted in board->stacks_lost, if the table is full, or if another
 * stack has that id.
 */
uint32_t stack_put(struct board *board, uint64_t id, enum call call, const uint64_t *frames, size_t count);

/* As stack_put(), for a stack of which these FRAMES alone are known; ID is from stack_id_partial(). */
uint32_t stack_put_partial(struct board *board, uint64_t id, enum call call, const uint64_t *frames, size_t count);

/*
 * Marks STACK anew if ranges came since it was marked.  Returns whether that is all that snag will say of it; false while
 * it has not resolved all modules that STACK goes through.  To be called before the two below.
 */
bool stack_refresh(struct board *board, struct stack *stack);

/* Returns whether PATTERN holds the innermost frame of STACK, or any, as it is marked. */
bool stack_caller_matches(const struct stack *stack, uint16_t pattern);
bool stack_matches(const struct stack *stack, uint16_t pattern);

#endif
