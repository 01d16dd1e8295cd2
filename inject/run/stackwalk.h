/*
 * stackwalk.h - the stack of a thread of the server that is stopped, walked by libunwind from outside.
 *
 * libunwind comes by dlopen(): only a session with call sites needs it.  It reads the server's memory through us.  Where
 * it has no table for a function it guesses by the frame pointer; such a step is not believed, and the stack is `partial`
 * from there on.  Go's functions have tables of their own (sites/gotable.h).  musl's have none at all; but a return
 * address behind an instruction that calls just the function that we are in can hardly be another one.
 */
#ifndef SNAG_STACKWALK_H
#define SNAG_STACKWALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#include "run/mapping.h"

enum {
    TRAIL_MAX = 96, /* frames that are looked at, of which STACK_FRAMES are shown */
};

/* A word on the stack by which a call that comes the same way is known again.  Places are in bytes from the stack pointer. */
struct slot {
    int32_t at;
    bool relative; /* VALUE is a place, too: a frame pointer */
    int64_t value;
};

struct trail {
    size_t count, slot_count;
    bool partial;            /* there are frames outward of these, which are not known */
    bool lasting;            /* the slots tell it from every other one; not so behind a signal handler */
    uint64_t ips[TRAIL_MAX]; /* where it is, and where it goes on, innermost first */
    struct slot slots[2 * TRAIL_MAX];
};

/* Loads libunwind.  Returns false if it is not there, or this is no machine for it. */
bool stackwalk_begin(void);

/*
 * Walks the stack of thread TID, which makes CALL and has REGISTERS, and whose files are MAPPINGS.  False if not even its
 * beginning is known.
 */
bool stackwalk_walk(pid_t tid, enum call call, const struct mappings *mappings,
                    const struct user_regs_struct *registers, struct trail *out);

#endif
