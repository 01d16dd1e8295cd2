/*
 * session.h - what this process and this thread know of the session: the board, and their own counters.
 *
 * Who may run when: any function here may be called from a signal handler, in a vfork child, and in several threads at
 * once, so everything is plain loads, atomics, and raw system calls.  A process's own state sits on pages that the
 * kernel empties in a forked child (MADV_WIPEONFORK, Linux 4.14), raw clone() included, and so needs no atfork handler:
 * a zero pid there means "a child that has not been here yet".  A vfork child shares the pages with its parent, and
 * shows the parent's pid.
 */
#ifndef SNAG_SESSION_H
#define SNAG_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../inject/engine/decide.h"
#include "../inject/engine/ticks.h"

/* What a rule's EMFILE or ENFILE found when it first struck in this process; see scene_room(). */
struct strike {
    _Atomic uint32_t open; /* descriptors that were open, plus 1; 0: it has not struck */
    uint32_t serial;       /* of the rule: another's strike is none */
    uint32_t high;         /* numbers from here on count as taken */
    uint32_t frees;        /* process.frees at the last count that found no room */
    uint32_t replaced;     /* process.replaced when it struck */
};

/* Of this process; zero at first and in each forked child. */
struct process {
    _Atomic int32_t pid;
    _Atomic uint32_t epoch;              /* unique among the processes of the session */
    _Atomic uint32_t frees;              /* descriptors freed so far: a hint that counting again pays */
    _Atomic uint32_t replaced;           /* of these, those that dup2 gave away again at once */
    _Atomic uint64_t ordinals[RULE_MAX]; /* per=process, by slot */
    _Atomic bool struck;                 /* some strike below has been set */
    struct strike strikes[RULE_MAX];     /* by slot */
};

/* Of this thread.  `epoch` differs from the process's in a new thread and after fork: then the rest is void. */
struct thread {
    uint32_t epoch;
    int32_t tid;
    struct ring *ring; /* NULL: it uses the shared one */
    uint32_t tries;    /* records without a ring of its own */
    bool acted;        /* a rule acted on the last call that was decided: a hint */
    struct fallback fallback;
    _Atomic uint64_t ordinals[RULE_MAX]; /* per=thread, by slot */
};

/* The board; NULL without a session. */
extern struct board *snag_board;

/* By call: bits of enum board_want; all zero without a session.  The one thing that a wrapper always looks at. */
extern const volatile unsigned char *snag_wanted;

/*
 * By system call number: enum call plus 1, or one of enum other_syscall, for those that syscall() must hand to us.  All
 * zero without a session.
 */
extern unsigned char snag_syscalls[512];

/* Numbers that are wrapped, and are no calls of a plan. */
enum other_syscall {
    OTHER_CLOSE_RANGE = CALL_COUNT + 1,
    OTHER_EVENTFD,
    OTHER_EXECVE,
    OTHER_EXECVEAT,
    OTHER_SECCOMP,
};

/* Behind session_process() and session_thread(), which see that they are valid. */
extern struct process *snag_process;
extern __thread struct thread snag_thread;
__attribute__((noinline)) void session_begin_process(void);
__attribute__((noinline)) void session_begin_thread(void);

/* Whether snag sees the pids of this process as the process does itself. */
extern bool snag_sees_pids;

/* Returns this process's state, made valid (after a fork, this reports the child to snag).  Session only. */
static inline struct process *session_process(void)
{
    if (__builtin_expect(atomic_load_explicit(&snag_process->pid, memory_order_relaxed) == 0, 0))
        session_begin_process();
    return snag_process;
}

/* Returns this thread's state, made valid.  Session only. */
static inline struct thread *session_thread(void)
{
    uint32_t epoch = atomic_load_explicit(&session_process()->epoch, memory_order_relaxed);
    if (__builtin_expect(snag_thread.epoch != epoch, 0))
        session_begin_thread();
    return &snag_thread;
}

/* Whether this is a vfork child, which runs in its parent's memory.  A system call. */
bool session_in_vfork_child(void);

/* Returns SIZE bytes of zeroed memory, a copy of which a forked child gets; NULL if there are none. */
void *session_map(size_t size);

/* A call that is wanted for WANT is made: if that ends this thread's wait for the second half of a logical call, so be it. */
static inline void session_break(unsigned want)
{
    if (want & WANT_BREAK)
        snag_thread.fallback.error = 0;
}

/*
 * The counter of per=fd for rules of SLOT and FD in this process; NULL if FD is too high to be counted.  For the rules that
 * the session began with the memory is there since the start; for the first rule of a slot that comes later this maps it.
 */
_Atomic uint64_t *session_fd_ordinal(uint32_t slot, int fd);

/* Forgets the per=fd counters of descriptors FIRST to LAST: they are being closed. */
void session_forget_fds(unsigned first, unsigned last);

/* CLOCK_MONOTONIC in ns. */
uint64_t session_now(void);

/* The time as records carry it (struct board, counts_ticks). */
static inline uint64_t session_stamp(void)
{
    return __builtin_expect(snag_board->counts_ticks != 0, 1) ? ticks_now() : session_now();
}

#endif
