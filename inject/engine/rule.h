/*
 * rule.h - one compiled rule of a plan: plain data that lives on the board, in shared memory.
 *
 * A rule is immutable while a plan that holds it is in force; what changes (ordinals, counts) is in struct tally, beside
 * it.  Only the command line writes rules; the shim reads them, so that no text of a user is ever parsed in a target.
 */
#ifndef SNAG_RULE_H
#define SNAG_RULE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "call.h"

enum {
    RULE_MAX = 128,         /* rules on a board; also the length of a thread's and a process's own counters */
    TALLY_MAX = 2048,       /* tallies: the first RULE_MAX are those of the rules that the session began with */
    CALL_WORDS = 2,         /* 64-bit words that hold a bit for each call */
    STRING_NONE = 0,        /* an offset into the board's strings that means "not given" */
    ADDRESS_PATH_MAX = 108, /* sizeof sockaddr_un.sun_path */
};

/* What a rule does when it fires.  FAIL and RETURN replace the call; the others are done around it and combine. */
enum rule_action {
    ACT_FAIL = 1 << 0,        /* error= */
    ACT_RETURN = 1 << 1,      /* retval= */
    ACT_SOCKLEN = 1 << 2,     /* socklen= */
    ACT_FAMILY = 1 << 3,      /* family= */
    ACT_FDMIN = 1 << 4,       /* fdmin= */
    ACT_BACKLOG = 1 << 5,     /* backlog= */
    ACT_DELAY_ENTER = 1 << 6, /* delay_enter= */
    ACT_DELAY_EXIT = 1 << 7,  /* delay_exit= */
    ACT_SIGNAL = 1 << 8,      /* signal= */
};

/* Which calls a rule's ordinal counts together: per= */
enum rule_scope { PER_TREE, PER_PROCESS, PER_THREAD, PER_FD, PER_SITE };

/* queue=: whether a failing accept takes the pending connection along. */
enum rule_queue { QUEUE_AS_KERNEL, QUEUE_KEEP, QUEUE_DROP };

/* Which filters are set. */
enum rule_filter {
    IF_FD = 1 << 0,
    IF_PORT = 1 << 1,
    IF_LOCAL = 1 << 2,
    IF_PATH = 1 << 3,
    IF_TYPE = 1 << 4,
    IF_PENDING = 1 << 5,
    IF_COMM = 1 << 6,
    IF_THREAD = 1 << 7,
    IF_WINDOW = 1 << 8, /* after= or for= */
    IF_CALLER = 1 << 9,
    IF_STACK = 1 << 10,
    IF_SITE = 1 << 11,
};

/* An IPv4 or IPv6 address as local= compares it; family 0 means none. */
struct rule_address {
    uint16_t family; /* AF_INET or AF_INET6 */
    uint16_t port;   /* host order; 0 matches every port */
    uint8_t bytes[16];
};

/*
 * The order is that of use: what decide() looks at for each call comes first, and fits a cache line; from `serial` on to
 * `retval` is what it takes along of a rule that makes a call fail.
 */
struct rule {
    uint64_t calls[CALL_WORDS]; /* bit CALL_x: the rule names call x */
    uint32_t actions;           /* of enum rule_action */
    uint32_t filters;           /* of enum rule_filter */
    int32_t fd;                 /* IF_FD */
    uint32_t scope;             /* of enum rule_scope */
    uint32_t first, last, step; /* when=: ordinals first, first+step, ... up to last; step 0 means first alone */
    uint32_t tally;             /* index of its struct tally; rules that one line of a plan was split into share it */
    uint64_t probability;       /* fires if a 64-bit draw is below it; UINT64_MAX: always */
    uint32_t serial;            /* 0: it counts since the session began; else unique, new at each reset too */
    uint32_t slot;              /* below RULE_MAX, no other of the plan's: where processes and threads count for it */

    uint32_t number;                /* as the user counts rules, from 1; never given twice in a session */
    int32_t error;                  /* ACT_FAIL: the errno, above 0 */
    uint64_t times;                 /* UINT64_MAX: no limit */
    uint64_t consumes[CALL_WORDS];  /* bit CALL_x: `error` takes the connection along that call x would have returned */
    uint64_t overrules[CALL_WORDS]; /* bit CALL_x: call x does its work and says `error` all the same */
    uint8_t queue;                  /* of enum rule_queue */
    uint8_t sticky;                 /* EMFILE and ENFILE do not give way when the process closes a descriptor */
    uint16_t family;                /* AF_x */

    int32_t retval; /* ACT_RETURN: 0 or more */
    uint32_t socklen;
    int32_t fdmin;
    int32_t backlog;
    int32_t signal;
    uint32_t after_start; /* the window counts from the start of the session, not from ready */
    uint64_t delay_enter_ns, delay_exit_ns;

    uint64_t since_ns;         /* the first behind RULE_HEAD: when it was added or reset; 0: with the session */
    uint64_t after_ns, for_ns; /* IF_WINDOW; for_ns UINT64_MAX: until the end */
    uint16_t port;
    uint16_t type; /* IF_TYPE: AF_INET, AF_INET6 or AF_UNIX */
    struct rule_address local;
    uint32_t path, comm, thread;            /* globs: offsets into the board's strings; "@" starts an abstract path */
    uint32_t label, text;                   /* name= or STRING_NONE; the rule as the user wrote it */
    uint16_t caller_pattern, stack_pattern; /* IF_CALLER, IF_STACK: patterns by number (stack.h) */
    uint64_t site;                          /* IF_SITE: the id of a call site */
};

/* Bytes of a struct rule that a decision takes along: the rule may be gone from the board before the call is over. */
#define RULE_HEAD offsetof(struct rule, since_ns)

/*
 * What has happened to a rule so far.  A cache line of its own, so that two rules never share one.
 *
 * The tallies behind the first RULE_MAX are used again for other rules, while some thread may still be about to count for
 * an earlier one.  Therefore each of their words has the low bits of the rule's serial above its count, and is changed
 * only as long as they are there; those of serial 0 are never used again, and are plain counts.
 */
struct tally {
    _Alignas(64) _Atomic uint64_t matched; /* calls that passed all filters: the ordinal under per=tree */
    _Atomic uint64_t injected;             /* times that it fired and the fault was delivered */
    _Atomic uint64_t missed;               /* fired, but the kernel had nothing to consume or to tamper with */
    _Atomic uint64_t yielded;              /* EMFILE or ENFILE let through, for a descriptor had been closed */
};

enum { TALLY_BITS = 40 }; /* of a word that are its count */

/* Returns what the words of a rule with SERIAL have above their counts. */
static inline uint64_t tally_tag(uint32_t serial)
{
    return (uint64_t)serial << TALLY_BITS;
}

/* Returns the count in WORD of a tally. */
static inline uint64_t tally_count(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed) & ((UINT64_C(1) << TALLY_BITS) - 1);
}

/* Sets of calls, a bit each. */
static inline bool calls_have(const uint64_t calls[CALL_WORDS], enum call call)
{
    return calls[call / 64] >> (call % 64) & 1;
}

static inline void calls_add(uint64_t calls[CALL_WORDS], enum call call)
{
    calls[call / 64] |= UINT64_C(1) << (call % 64);
}

static inline void calls_drop(uint64_t calls[CALL_WORDS], enum call call)
{
    calls[call / 64] &= ~(UINT64_C(1) << (call % 64));
}

static inline bool rule_names(const struct rule *rule, enum call call)
{
    return calls_have(rule->calls, call);
}

/* Sets `consumes` and `overrules` of RULE by the rows of calls.def for its calls and its error, and by its `queue`. */
void rule_set_effects(struct rule *rule);

/* Whether RULE can be decided only by who knows the call site. */
static inline bool rule_needs_site(const struct rule *rule)
{
    return (rule->filters & (IF_CALLER | IF_STACK | IF_SITE)) || rule->scope == PER_SITE;
}

#endif
