/*
 * board.h - the memory that snag and the processes under test share: the compiled plan, its counters, the rings.
 *
 * One file, mapped by everybody, at any address: it holds offsets and indices, never pointers.
 *
 *     struct board | rules[PLANS][RULE_MAX] | tallies[TALLY_MAX] | strings[PLANS]
 *         | modules[MODULE_MAX] | stacks[STACK_MAX] | ranges[RANGE_MAX] | site_ordinals[RULE_MAX][STACK_MAX]
 *         | ring[ring_count]
 *
 * The parts of the second line have memory only in a session with call sites (`sites`).
 *
 * The command line makes it, fills it, seals it (magic last) and reads the rings; the shim attaches to it.  Functions
 * here do no I/O and no malloc, and take no lock; where to get the memory from is the caller's business (run/ maps a
 * file, the tests use plain memory).
 *
 * The plan may be changed while targets decide by it.  There is room for PLANS: one is in force, and the next is written
 * where the oldest was, whole, and then takes its place by one store of plan_stamp.  A thread that began to decide and was
 * held up for PLANS - 1 changes may find its plan being overwritten; plan_next, which is raised before the first byte
 * changes, tells it so.
 * See board_publish() for who writes, decide.c for who reads.
 */
#ifndef SNAG_BOARD_H
#define SNAG_BOARD_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event.h"
#include "rule.h"
#include "stack.h"

#define BOARD_MAGIC UINT64_C(0x31304452414f4273) /* "sBOARD01" in memory order; another format, another magic */

enum {
    BOARD_FORMAT = 2,
    BOARD_STRINGS = 65536, /* bytes for all strings of a plan */
    PLANS = 8,             /* plans that there is room for; a power of two */
    BOARD_RINGS = 128,
    BOARD_PATH_MAX = 256,     /* a path on the board, terminator included */
    BOARD_NAMESPACE_MAX = 32, /* the name of a namespace, zeros up to its end included */
    WANTED_FREES = 255,       /* the index into board.wanted for what calls.def lists under FREES */
};

/* Why a call must take the slow way through the shim: bits of board.wanted[call]. */
enum board_want {
    WANT_RULE = 1 << 0,      /* a rule names it */
    WANT_RECORD = 1 << 1,    /* it is recorded, injected or not */
    WANT_READY = 1 << 2,     /* it can show that the server is ready; cleared when it is */
    WANT_FREES = 1 << 3,     /* it can free a descriptor, and a rule must know of that */
    WANT_BREAK = 1 << 4,     /* it comes between an accept4 and an accept, which then are not one logical call */
    WANT_ARGUMENTS = 1 << 5, /* its records, where there are any, hold its arguments */
    WANT_SITE = 1 << 6,      /* its records, where there are any, hold its call site */
    WANT_ANY_FD = 1 << 7,    /* a rule names it without fd=: looking for one about the descriptor is no use */
};

struct board {
    uint64_t magic;
    uint32_t format;
    uint32_t header_size; /* sizeof(struct board): another build, another size, refused */
    uint64_t size;        /* of the whole file, bytes */
    uint64_t seed;
    uint64_t start_ns; /* CLOCK_MONOTONIC when the session began */

    /*
     * Whether records are stamped with ticks_now() instead of CLOCK_MONOTONIC, and what the two said at one moment.  The
     * reader turns ticks into ns, with a second pair of readings of its own.
     */
    uint32_t counts_ticks;
    uint64_t origin_ticks, origin_ns;

    uint32_t ring_count;
    uint64_t rules_at, tallies_at, strings_at, rings_at; /* offsets from the start of the board */
    uint64_t modules_at, stacks_at, ranges_at, site_ordinals_at;
    uint32_t sites;      /* 1: the session has call sites, so the shim loads libunwind */
    int32_t session_pid; /* snag's, as snag sees itself */

    /* What /proc/self/ns/pid leads to for snag.  The pids of a process for which it is another are not snag's to judge. */
    char pid_namespace[BOARD_NAMESPACE_MAX];

    /*
     * The lease: a futex word inside a robust mutex that snag holds while it lives.  The kernel sets
     * FUTEX_OWNER_DIED in it when snag ends, however it ends, so no rule fires a moment longer (set_robust_list(2)).
     */
    uint64_t lease_at;
    _Alignas(64) unsigned char lease_mutex[64];

    char board_path[BOARD_PATH_MAX]; /* what exec must put into SNAG_BOARD */
    char shim_path[BOARD_PATH_MAX];  /* what exec must put into LD_PRELOAD */

    _Alignas(64) unsigned char wanted[256]; /* by call: bits of enum board_want; written by snag alone */

    /* Written by the shim.  Each is rare, so they share a line. */
    _Alignas(64) _Atomic uint64_t ready_ns; /* CLOCK_MONOTONIC of the first wait on a listening socket; 0: not yet */
    _Atomic uint32_t epochs;                /* numbers given to processes, so that a fork never looks like its parent */
    _Atomic uint32_t attached;              /* processes that attached after an exec */
    _Atomic uint32_t module_count;          /* modules that are claimed: those from here on are free */
    _Atomic uint32_t stacks_lost;           /* stacks without a place: the table is full, or two have one id */
    _Atomic uint64_t unwalked;              /* calls without a site that should have one */
    _Atomic uint64_t unresolved;  /* decisions by caller= or stack= that came before snag had resolved a module */
    _Atomic uint32_t no_unwinder; /* processes in which libunwind could not be used: no sites there */

    /* Written by snag, read at each decision. */
    _Alignas(64) _Atomic uint32_t paused; /* rules neither count nor fire */
    _Atomic uint32_t rings_ready;         /* rings whose memory is sure to be there; the others must not be touched */
    _Atomic uint32_t pattern_count;       /* patterns of the session: what module.resolved goes up to */
    _Atomic uint32_t range_count;         /* ranges that are written */
    _Atomic uint32_t range_generation;    /* changes when a module was resolved: marks made before are void */
    _Atomic uint32_t plan_stamp;          /* of the plan in force; each change adds 1 */
    _Atomic uint32_t plan_next;           /* the stamp of the last plan that was begun to be written */
    uint32_t rule_counts[PLANS];          /* of the plan with each stamp, modulo PLANS */
};

/* What a plan compiles to, before it is on a board. */
struct rule_set {
    struct rule rules[RULE_MAX];
    uint32_t count;
    uint32_t tallies; /* rules as the user counts them, at most COUNT */
    uint64_t seed;
    char strings[BOARD_STRINGS]; /* offset 0 is the empty string */
    uint32_t strings_size;
    struct {
        uint32_t
            text; /* caller= or stack= without the escapes of a value, but with those of a glob: an offset into the strings */
    } patterns[PATTERN_MAX];
    uint32_t pattern_count;
    bool sites; /* call sites are needed: by a rule, or because who runs the session says so */
};

/* Returns how many bytes a board with BOARD_RINGS rings takes. */
size_t board_size(void);

/* Returns where on a board the memory for call sites begins; it ends where the rings begin. */
size_t board_sites_at(void);

/*
 * Makes MEMORY (SIZE bytes, at least board_size(), zeroed, 64-byte aligned) a board with the rules of SET, RING_COUNT
 * rings and START_NS.  The board is sealed but for what the caller still sets: session_pid, pid_namespace, the
 * lease, the paths, ready rings, `wanted` bits besides WANT_RULE and WANT_FREES.  Returns it.
 */
struct board *board_make(void *memory, size_t size, const struct rule_set *set, uint64_t start_ns);

/*
 * Checks that MEMORY (SIZE bytes: the whole file) is a sealed board of this build, with all offsets, counts and
 * strings in bounds.  Returns NULL if it is, else what is wrong in a few words: "truncated", "not a board", ...
 * Safe on any bytes; never reads past SIZE.
 */
const char *board_fault(const void *memory, size_t size);

/*
 * Sets (ON) or clears WANT_READY for the calls that can show that the server is ready, and for those that must be
 * followed to know what listens.  For snag alone.
 */
void board_watch_ready(struct board *board, bool on);

/*
 * Puts the plan SET in force, in the place of the one that is; its seed and its tallies are not looked at.  What its rules
 * must have besides what plan_compile() gives: number, serial, slot, tally, since_ns, where a rule that stays keeps what
 * it had.  One that is new, or is to begin anew, has a serial of its own and a tally that is no other rule's; the tally, at
 * RULE_MAX or above, is made to begin at zero.
 *
 * Atomic for who decides: each decision is that of one plan.  Bits of `wanted` are set before and cleared after, so that
 * each call that begins after the return is decided by SET, and calls that SET does not name cost nothing again.  For snag
 * alone, from one thread; the board may be in use.  Returns -1, with nothing done, if SET is too large.
 */
int board_publish(struct board *board, const struct rule_set *set);

/* Whether CALL is what a program does not do between an accept4 that failed and the accept that it falls back to. */
bool board_call_breaks(enum call call);

/*
 * The parts of a board.  Indices must be in range; strings are terminated; STRING_NONE gives "".  These are on the way
 * of each intercepted call, so they are inline.
 */

/* The rules of the plan with STAMP. */
static inline struct rule *board_rules(struct board *board, uint32_t stamp)
{
    return (struct rule *)(void *)((char *)board + board->rules_at) + (size_t)(stamp % PLANS) * RULE_MAX;
}

/*
 * Whether what was read of the plan with STAMP until now is sound: none of it has been overwritten.  Reading comes first,
 * then this, and only then may anything be done on the strength of it.
 */
static inline bool board_holds(struct board *board, uint32_t stamp)
{
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&board->plan_next, memory_order_relaxed) - stamp < PLANS;
}

static inline struct tally *board_tally(struct board *board, uint32_t index)
{
    return (struct tally *)(void *)((char *)board + board->tallies_at) + index;
}

static inline const char *board_string(struct board *board, uint32_t offset)
{
    return (const char *)board + board->strings_at + offset;
}

static inline struct ring *board_ring(struct board *board, uint32_t index)
{
    return (struct ring *)(void *)((char *)board + board->rings_at) + index;
}

/* Those of call sites, on a board that has them (`sites`). */
static inline struct module *board_module(struct board *board, uint32_t index)
{
    return (struct module *)(void *)((char *)board + board->modules_at) + index;
}

static inline struct stack *board_stack(struct board *board, uint32_t index)
{
    return (struct stack *)(void *)((char *)board + board->stacks_at) + index;
}

static inline struct range *board_range(struct board *board, uint32_t index)
{
    return (struct range *)(void *)((char *)board + board->ranges_at) + index;
}

/* The counter of per=site for rules of SLOT and the stack at index STACK: equal for all processes. */
static inline _Atomic uint64_t *board_site_ordinal(struct board *board, uint32_t slot, uint32_t stack)
{
    return (_Atomic uint64_t *)(void *)((char *)board + board->site_ordinals_at) + (size_t)slot * STACK_MAX + stack;
}

/* From linux/futex.h, which older systems' headers may lack in part. */
#define LEASE_OWNER_DIED UINT32_C(0x40000000)
#define LEASE_TID_MASK UINT32_C(0x3fffffff)

/* Whether snag still holds the lease: one load.  Async-signal-safe. */
static inline bool board_alive(struct board *board)
{
    _Atomic uint32_t *word = (_Atomic uint32_t *)(void *)((char *)board + board->lease_at);
    uint32_t lease = atomic_load_explicit(word, memory_order_relaxed);
    return (lease & LEASE_TID_MASK) != 0 && !(lease & LEASE_OWNER_DIED);
}

/* Whether RULE injects EMFILE or ENFILE and gives way when the process closes a descriptor. */
static inline bool rule_exhausts(const struct rule *rule)
{
    return (rule->actions & ACT_FAIL) && (rule->error == EMFILE || rule->error == ENFILE) && !rule->sticky;
}

#endif
