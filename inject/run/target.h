/*
 * target.h - a server's processes and threads as a backend outside of them knows them, and what it may ask of them.
 *
 * They are found by the thread id of a notification, and forgotten when they are gone: targets_sweep() must be called at
 * least as often as thread ids can come back as others, which takes the kernel a while.  One lock around all: the caller's.
 */
#ifndef SNAG_TARGET_H
#define SNAG_TARGET_H

#include <linux/seccomp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/decide.h"

/* What a rule's EMFILE or ENFILE found when it first struck in a process. */
struct strike {
    uint32_t open;   /* descriptors that were open, plus 1; 0: it has not struck */
    uint32_t serial; /* of the rule: another's strike is none */
    uint32_t replaced;
};

/* A counter of per=fd. */
struct fd_ordinal {
    uint32_t slot;
    int fd;
    _Atomic uint64_t count;
};

struct image;

struct process {
    pid_t pid;
    int pidfd;
    int folder;               /* /proc/PID/fd */
    uint64_t limit, limit_ns; /* RLIMIT_NOFILE, and when it was read; limit_ns 0: not yet */
    bool executes;            /* it has asked for an exec since it was reported last */
    char comm[16];
    bool struck;
    uint32_t replaced; /* descriptors that dup2 gave away again at once */
    uint32_t threads;  /* that are known */
    struct strike strikes[RULE_MAX];
    _Atomic uint64_t ordinals[RULE_MAX]; /* per=process, by slot */
    struct fd_ordinal *fd_ordinals;
    size_t fd_ordinal_count;
    struct image *image; /* the program that it executes, as callsite.c knows it; NULL: it does not */
    struct process *next;
};

struct notified;

/* A stack that was walked for a call that comes again. */
struct walked {
    struct seccomp_data data;
    uint64_t sp;
    uint32_t stack; /* on the board; STACK_NONE: it could not be walked */
    bool valid;
};

struct thread {
    pid_t tid;
    struct process *process;
    struct fallback fallback;
    struct notified *held; /* a call of it that was begun and not answered; the supervisor's */
    struct walked walked;
    int place;                           /* /proc/PID/task/TID/syscall; -1: not open */
    _Atomic uint64_t ordinals[RULE_MAX]; /* per=thread, by slot */
    struct thread *next;
};

struct targets;

/* DROP is called with each thread that is gone and still has a call `held`.  NULL with errno ENOMEM. */
struct targets *targets_new(void (*drop)(void *context, struct thread *thread), void *context);
void targets_free(struct targets *targets);

/* Returns thread TID; *FRESH: its process was not known.  NULL with errno: it is gone, or there is no memory. */
struct thread *targets_find(struct targets *targets, pid_t tid, bool *fresh);

/* Forgets who is gone. */
void targets_sweep(struct targets *targets);

/* Whether some thread of PROCESS has not ended. */
bool process_lives(const struct process *process);

/* The counter of per=fd, made if need be; NULL without memory. */
_Atomic uint64_t *process_fd_ordinal(struct process *process, uint32_t slot, int fd);

/* Forgets the counters of descriptors FIRST to LAST: they are being closed. */
void process_forget_fds(struct process *process, unsigned first, unsigned last);

/* How many descriptors PROCESS has open. */
uint32_t process_open_count(const struct process *process);

/* Whether PROCESS may open one more, as RLIMIT_NOFILE says; far below the limit, as it said a moment ago. */
bool process_has_room(struct process *process);

/* The lowest number from FIRST on that PROCESS may open and has not; -1: none. */
int process_free_fd(const struct process *process, int first);

/* A duplicate of PROCESS's descriptor FD, close-on-exec; -1 with errno. */
int process_fd(const struct process *process, int fd);

/* Copy LENGTH bytes from address AT in thread TID's memory, and to two addresses; false if any can't be. */
bool target_read(pid_t tid, uint64_t at, void *to, size_t length);
bool target_write_two(pid_t tid, uint64_t at, const void *from, size_t length, uint64_t at2, const void *from2,
                      size_t length2);

/* Copies the name of thread TID to OUT, terminated. */
void target_comm(pid_t tid, char out[16]);

#endif
