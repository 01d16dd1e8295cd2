/*
 * decide.h - the one function that decides what happens to a call.
 *
 * Pure as far as a decision can be: it reads the rules, advances counters, and asks the backend about the call only
 * when a filter needs it.  No I/O, no malloc, no lock.  Async-signal-safe and thread-safe.
 */
#ifndef SNAG_DECIDE_H
#define SNAG_DECIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "board.h"

/* What a socket's own address is, as the filters compare it. */
struct scene_address {
    uint16_t family; /* AF_INET, AF_INET6, AF_UNIX, ...; 0: not a socket, or not known */
    uint16_t port;   /* host order */
    uint8_t bytes[16];
    char path[ADDRESS_PATH_MAX + 2]; /* AF_UNIX: terminated, '@' first if abstract, "" if unnamed */
};

/* A thread's last accept4 that failed with EINVAL or ENOSYS: the accept that follows on the same descriptor is the
 * same logical call.  Kept by the backend, one a thread, zeroed at first; decide_note() and decide() maintain it. */
struct fallback {
    int32_t fd;
    int32_t error; /* 0: none */
    bool injected; /* by `rule`, its RULE_HEAD alone; else the kernel said so */
    struct rule rule;
    uint32_t nth;
};

struct scene;

/* What decide() may ask a backend about a call.  Each must be async-signal-safe and leave errno alone. */
struct scene_ops {
    /*
     * The counter for rules of SLOT in the scope that is asked for (not PER_TREE); NULL: uncountable, no match.  Zero at
     * first; it holds the serial of the rule that counts there and its ordinal, and is decide()'s to change.
     */
    _Atomic uint64_t *(*counter)(const struct scene *scene, uint32_t slot, enum rule_scope scope);
    /* The socket's own address; for bind, the one that is asked for; for socket, the family alone. */
    void (*address)(const struct scene *scene, struct scene_address *out);
    /* Whether a connection waits on the listening descriptor. */
    bool (*pending)(const struct scene *scene);
    /* The process's name, and the thread's (comm, at most 15 bytes), terminated into OUT. */
    void (*comm)(const struct scene *scene, char out[16]);
    void (*thread)(const struct scene *scene, char out[16]);
    /* CLOCK_MONOTONIC, ns. */
    uint64_t (*now)(const struct scene *scene);
    /*
     * Whether a descriptor was closed since ERROR, the EMFILE or ENFILE of the rule of SLOT with SERIAL, first struck in this
     * process, and not taken again.  FIRING: the rule is about to fire; when it is not, the memory of its strike is dropped.
     */
    bool (*room)(const struct scene *scene, uint32_t slot, uint32_t serial, int32_t error, bool firing);
    /* The call site, on the board; NULL if the stack could not be walked: no rule matches then that needs to know. */
    struct stack *(*site)(const struct scene *scene);
};

/* A call that is about to be made. */
struct scene {
    const struct scene_ops *ops;
    enum call call;
    int fd;           /* -1: it names none */
    bool has_address; /* the caller wants the peer's address (accept, accept4) */
    bool struck; /* some rule's EMFILE or ENFILE has struck in this process, so ops->room has something to forget */
    struct fallback *fallback; /* this thread's, or NULL where nothing falls back */
};

/* What is to happen to it. */
struct decision {
    const struct rule *rule; /* NULL: nothing, make the call; else `copy` */
    struct rule copy;        /* RULE_HEAD of the rule that acts: the rule itself may go before the call is over */
    uint32_t nth;            /* its ordinal, from 1 */
    bool yielded;            /* the rule fired but EMFILE or ENFILE gives way: make the call, and report it so */
    bool repeated;           /* the other half of a logical call: report EINVAL again, count nothing */
};

/*
 * Decides about the call in SCENE: all filters, then the ordinal of every matching rule, then when, prob and times;
 * the first that triggers acts.  Fills OUT and returns true if a rule acts or yields; OUT stays where it is, for it points
 * into itself.  Nothing fires and nothing counts while the board is paused or snag is gone.  The decision is that of one
 * plan, however often the plan is changed meanwhile (board_publish()).
 */
bool decide(struct board *board, const struct scene *scene, struct decision *out);

/*
 * Whether some rule can match CALL on FD, as far as its name and fd= tell.  If none can, decide() would do nothing but
 * say so, at five times the price.
 */
static inline bool decide_concerns(struct board *board, enum call call, int fd)
{
    uint32_t stamp = atomic_load_explicit(&board->plan_stamp, memory_order_acquire);
    const struct rule *rules = board_rules(board, stamp);
    for (uint32_t i = 0; i < board->rule_counts[stamp % PLANS]; i++)
        if (rule_names(&rules[i], call) && (!(rules[i].filters & IF_FD) || rules[i].fd == fd))
            return true;
    return !board_holds(board, stamp);
}

/* Takes back the injection of DECISION and counts it as missed: the kernel had nothing to consume or tamper with. */
void decide_missed(struct board *board, const struct decision *decision);

/* Tells a thread's FALLBACK what CALL on FD ended with: ERROR 0 for success; DECISION, or NULL if no rule acted. */
void decide_note(struct fallback *fallback, enum call call, int fd, int error, const struct decision *decision);

/* Returns whether ORDINAL is one of when='s: first, first+step, ... up to last.  Exposed for tests and for `check`. */
bool rule_when(const struct rule *rule, uint32_t ordinal);

/* Returns the 64-bit draw of prob= for rule number RULE at ORDINAL: a pure function. */
uint64_t rule_draw(uint64_t seed, uint32_t rule, uint32_t ordinal);

/* Returns whether TEXT matches GLOB: `*`, `?`, `[a-z]`, `[!a]`, `\` quotes.  No recursion. */
bool glob_match(const char *glob, const char *text);

#endif
